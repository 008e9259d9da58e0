package model

import (
	"fmt"

	"github.com/cantus-network/cantus/exact"
)

// Replay computes an answer again, all of its tokens in passes of up to rows each instead
// of one by one, and gives the index of the first that is not what the request draws
// there, or len(answer) where all are. It is how an audit checks a whole answer at a
// fraction of its cost. The cache needs room for the prompt and the answer.
func Replay(r *Runner, c *Cache, prompt, answer []uint32, s exact.Sampling, rows int) (int, error) {
	if len(prompt) == 0 || len(answer) == 0 {
		return 0, fmt.Errorf("%w: a replay needs a prompt and an answer", ErrRequest)
	}
	if err := s.Check(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	seq := c.NewSequence(prompt)
	defer seq.Release()
	// The last token of the answer is drawn, but nothing after it.
	todo := append(append([]uint32(nil), prompt...), answer[:len(answer)-1]...)
	if err := seq.Reserve(len(todo) - seq.Len()); err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	rows = min(max(rows, 1), MaxRows)
	logits := make([][]int32, rows)
	drawn := make([]int, rows)
	samplers := make([]exact.Sampler, r.t.n)
	for i := range samplers {
		samplers[i].Sampling = s
	}
	for seq.Len() < len(todo) {
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
			return 0, fmt.Errorf("replay: %w", err)
		}
		r.t.each(len(batch), 1, func(worker, a, b int) {
			for i := a; i < b; i++ {
				if batch[i].Logits != nil {
					drawn[i] = samplers[worker].Draw(logits[i], uint64(from+i+1))
				}
			}
		})
		for i := range batch {
			if n := from + i + 1 - len(prompt); n >= 0 && drawn[i] != int(answer[n]) {
				return n, nil
			}
		}
	}
	return len(answer), nil
}
