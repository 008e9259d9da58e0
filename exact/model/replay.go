package model

import (
	"context"
	"fmt"
	"iter"

	"github.com/cantus-network/cantus/exact"
)

// Replay computes an answer again, all of its tokens in passes of up to rows each instead
// of one by one, and gives the index of the first that is not what the request draws
// there, or len(answer) where all are. It is how an audit checks a whole answer at a
// fraction of its cost. The cache needs room for the prompt and the answer.
func Replay(r *Runner, c *Cache, prompt, answer []uint32, s exact.Sampling, rows int) (int, error) {
	n := 0
	for t, err := range Redraw(context.Background(), r, c, Request{Prompt: prompt, Sampling: s}, answer, rows, false) {
		if err != nil {
			return 0, err
		}
		if t.ID != answer[n] {
			return n, nil
		}
		n++
	}
	return n, nil
}

// Redraw gives, for each place of an answer, the token that the request draws there after
// the prompt and the answer's tokens before it, as an Engine would tell it; without logs
// its probability and the alternatives are left out. It computes all of an answer in passes
// of up to rows tokens, and ends with ctx between them. Of the request it takes the prompt,
// the sampling and Top. The cache needs room for the prompt and the answer.
func Redraw(ctx context.Context, r *Runner, c *Cache, q Request, answer []uint32, rows int, logs bool) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		if err := redraw(ctx, r, c, q, answer, rows, logs, yield); err != nil {
			yield(Token{}, fmt.Errorf("replay: %w", err))
		}
	}
}

func redraw(ctx context.Context, r *Runner, c *Cache, q Request, answer []uint32, rows int, logs bool, yield func(Token, error) bool) error {
	prompt := q.Prompt
	if len(prompt) == 0 || len(answer) == 0 {
		return fmt.Errorf("%w: it needs a prompt and an answer", ErrRequest)
	}
	if err := q.Sampling.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	seq := c.NewSequence(prompt)
	defer seq.Release()
	// The last token of the answer is drawn, but nothing after it.
	todo := append(append([]uint32(nil), prompt...), answer[:len(answer)-1]...)
	if err := seq.Reserve(len(todo) - seq.Len()); err != nil {
		return err
	}
	rows = min(max(rows, 1), MaxRows)
	logits := make([][]int32, rows)
	drawn := make([]Token, rows)
	samplers := make([]exact.Sampler, r.t.n)
	for i := range samplers {
		samplers[i].Sampling = q.Sampling
	}
	for seq.Len() < len(todo) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		from := seq.Len()
		part := todo[from:min(from+rows, len(todo))]
		batch := make([]Row, len(part))
		for i, id := range part {
			batch[i] = Row{Seq: seq, Token: id}
			if from+i >= len(prompt)-1 {
				if logits[i] == nil {
					logits[i] = make([]int32, r.m.Vocab)
				}
				batch[i].Logits = logits[i]
			}
		}
		if err := r.Forward(batch); err != nil {
			return err
		}
		r.t.each(len(batch), 1, func(worker, a, b int) {
			for i := a; i < b; i++ {
				if batch[i].Logits != nil {
					drawn[i] = tell(&samplers[worker], logits[i], uint64(from+i+1), q.Top, logs)
				}
			}
		})
		for i := range batch {
			if batch[i].Logits != nil && !yield(drawn[i], nil) {
				return nil
			}
		}
	}
	return nil
}

// Embed gives the state after a prompt's last token as the output matrix would get it,
// before it is quantised. The cache needs room for the prompt. It ends with ctx between
// passes.
func Embed(ctx context.Context, r *Runner, c *Cache, prompt []uint32, rows int) ([]int32, error) {
	if len(prompt) == 0 {
		return nil, fmt.Errorf("embed: %w: the prompt has no token", ErrRequest)
	}
	seq := c.NewSequence(prompt)
	defer seq.Release()
	if err := seq.Reserve(len(prompt) - seq.Len()); err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	out := make([]int32, r.m.Dim)
	rows = min(max(rows, 1), MaxRows)
	for seq.Len() < len(prompt) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		from := seq.Len()
		part := prompt[from:min(from+rows, len(prompt))]
		batch := make([]Row, len(part))
		for i, id := range part {
			batch[i] = Row{Seq: seq, Token: id}
		}
		if from+len(part) == len(prompt) {
			batch[len(part)-1].Hidden = out
		}
		if err := r.Forward(batch); err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
	}
	return out, nil
}
