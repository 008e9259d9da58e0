package measured

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// Pair is two honest backends with the same model: one answers, the other audits.
type Pair struct {
	Name            string
	Worker, Auditor Backend
}

// Honest lets each pair answer and audit prompts, and gives the runs that Calibrate wants. The
// sampling differs from prompt to prompt as that of clients does. done, if not nil, is told how
// many answers there are.
func Honest(ctx context.Context, pairs []Pair, prompts [][]uint32, tokens int, stop []uint32, done func(int)) ([]Run, error) {
	var runs []Run
	for _, p := range pairs {
		for i, prompt := range prompts {
			t := Question(prompt, tokens, stop, uint32(i))
			if err := t.Check(); err != nil {
				return nil, fmt.Errorf("prompt %d: %w", i, err)
			}
			r, err := Generate(ctx, p.Worker, t, func(answer.Step) bool { return true })
			if err != nil {
				return nil, fmt.Errorf("%s, prompt %d: %w", p.Name, i, err)
			}
			m, _, err := Audit(ctx, p.Auditor, t, r)
			if err != nil {
				return nil, fmt.Errorf("%s, prompt %d: %w", p.Name, i, err)
			}
			runs = append(runs, Run{Group: p.Name, Measurement: m})
			if done != nil {
				done(len(runs))
			}
		}
	}
	return runs, nil
}

// Question is a task as calibrations ask it: of each three one greedy, one drawn by a seed and
// one drawn from the likeliest tokens.
func Question(prompt []uint32, tokens int, stop []uint32, number uint32) *claim.Task {
	t := &claim.Task{Model: claim.Digest{1}, Prompt: prompt, MaxTokens: uint32(tokens), Stop: stop}
	Complete(t)
	seed := [32]byte{byte(number), byte(number >> 8), byte(number >> 16), 7}
	switch number % 3 {
	case 1:
		t.Sampling = exact.Sampling{Seed: seed, Temperature: 800_000}
	case 2:
		t.Sampling = exact.Sampling{Seed: seed, Temperature: exact.Million, TopP: 950_000}
	}
	return t
}
