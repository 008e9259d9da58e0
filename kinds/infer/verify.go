package infer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/work"
)

// Verify implements work.Kind. It computes the answer again, all of its tokens in a few
// passes, and compares tokens, probabilities and the reason to end, to the bit. There is no
// "unsure": an auditor that holds the model knows, and one that doesn't returns an error.
func (k *Kind) Verify(ctx context.Context, _ work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	_, c, err := k.task(t)
	if err != nil {
		return work.Verdict{}, err
	}
	res, err := result(c, r)
	if err != nil {
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed, Reason: err.Error()}, nil
	}
	if k.pool == nil {
		return work.Verdict{}, errNoModels
	}
	e, err := k.pool.Acquire(ctx, c.Model)
	if err != nil {
		return work.Verdict{}, fmt.Errorf("replay an answer: %w", err)
	}
	defer e.Release()
	err = e.Recompute(ctx, c, res)
	var d *answer.Difference
	switch {
	case errors.As(err, &d):
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed, Reason: d.What}, nil
	case err != nil:
		return work.Verdict{}, fmt.Errorf("replay an answer: %w", err)
	}
	return work.Verdict{Outcome: work.Pass, Label: work.Replayed}, nil
}
