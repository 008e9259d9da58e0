package infer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/work"
)

// Spoil changes one token of an answer into another one that the prompt or the answer also
// has, with the probability that the right one had; in a list of alternatives it takes the
// right one's place. Of an embedding it changes one number by one. The tokens before it are
// right, so whoever computes the answer again finds another token there, whatever comes
// after it.
func (k *Kind) Spoil(_ context.Context, env work.Env, t work.Task, right work.Result) (work.Result, error) {
	_, c, err := k.task(t)
	if err != nil {
		return work.Result{}, err
	}
	res, err := result(c, right)
	if err != nil {
		return work.Result{}, err
	}
	draw := func(n int) (int, error) {
		var b [8]byte
		if _, err := io.ReadFull(env.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("read randomness: %w", err)
		}
		return int(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
	}
	if c.Embed {
		i, err := draw(len(res.Embedding))
		if err != nil {
			return work.Result{}, err
		}
		if res.Embedding[i] > 0 {
			res.Embedding[i]--
		} else {
			res.Embedding[i]++
		}
		return encoded(c, res)
	}
	n := len(res.Output)
	if res.Finish == claim.Stop {
		n-- // an answer that ends with another token does not end there
	}
	if n <= 0 {
		return work.Result{}, fmt.Errorf("an answer of %d tokens: %w", len(res.Output), work.ErrUnspoilable)
	}
	i, err := draw(n)
	if err != nil {
		return work.Result{}, err
	}
	was := res.Output[i]
	list := others(c, res, i)
	if len(list) == 0 {
		return work.Result{}, fmt.Errorf("an answer of one token again and again: %w", work.ErrUnspoilable)
	}
	j, err := draw(len(list))
	if err != nil {
		return work.Result{}, err
	}
	res.Output[i] = list[j]
	if len(res.Top) > 0 {
		for a := range res.TopOf(i) {
			if x := &res.TopOf(i)[a]; x.ID == was {
				x.ID = list[j]
			}
		}
	}
	return encoded(c, res)
}

// others are the tokens that could stand at a place of an answer, for all that one can see:
// those around it, but none that would end the answer or is among the alternatives there.
func others(t *claim.Task, r *claim.Result, i int) []uint32 {
	list := slices.Concat(r.Output, t.Prompt)
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(id uint32) bool {
		return id == r.Output[i] || t.Ends(id) ||
			len(r.Top) > 0 && slices.ContainsFunc(r.TopOf(i), func(a claim.Alternative) bool { return a.ID == id })
	})
}

func encoded(t *claim.Task, r *claim.Result) (work.Result, error) {
	if err := r.Check(t); err != nil {
		return work.Result{}, err
	}
	body, err := r.Encode()
	return work.Result{Body: body}, err
}
