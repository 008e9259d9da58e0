package infer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/work"
)

var errStopped = errors.New("nobody waits for the answer any more")

// Execute implements work.Kind. Whoever waits gets each token as it comes; when nobody does
// any more, what there is by then is the result.
func (k *Kind) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	_, c, err := k.task(t)
	if err != nil {
		return work.Result{}, err
	}
	res, err := k.answer(ctx, env.Stream, c)
	if err != nil {
		return work.Result{}, fmt.Errorf("answer with model %x: %w", c.Model[:4], err)
	}
	body, err := res.Encode()
	if err != nil {
		return work.Result{}, err
	}
	return work.Result{Body: body}, nil
}

func (k *Kind) answer(ctx context.Context, stream work.Stream, t *claim.Task) (*claim.Result, error) {
	if k.pool == nil {
		return nil, errNoModels
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if stream != nil && !t.Embed { // an embedding has no beginning that could be its result
		go func() {
			select {
			case <-stream.Stopped():
				cancel(errStopped)
			case <-run.Done():
			}
		}()
	}
	steps, embedding, err := k.compute(run, stream, t)
	if err != nil && (ctx.Err() != nil || !errors.Is(err, errStopped)) {
		return nil, err
	}
	if t.Embed {
		return &claim.Result{Finish: claim.Embedded, Embedding: embedding}, nil
	}
	res := answer.Join(t, steps)
	res.Finish = finish(t, res.Output)
	return res, nil
}

// finish says why an answer with these tokens ends.
func finish(t *claim.Task, output []uint32) claim.Finish {
	switch n := len(output); {
	case n > 0 && t.Ends(output[n-1]):
		return claim.Stop
	case n == int(t.MaxTokens):
		return claim.Length
	}
	return claim.Cancelled
}

// compute gives what was computed, also when it ends with an error.
func (k *Kind) compute(ctx context.Context, stream work.Stream, t *claim.Task) (steps []answer.Step, embedding []int32, err error) {
	e, err := k.pool.Acquire(ctx, t.Model)
	if err != nil {
		return nil, nil, err
	}
	defer e.Release()
	if err := t.Fits(e.Model().Vocab, e.Model().Context); err != nil {
		return nil, nil, err
	}
	if t.Embed {
		embedding, err = e.Embed(ctx, t)
		return nil, embedding, err
	}
	for token, err := range e.Generate(ctx, t) {
		if err != nil {
			return steps, nil, err
		}
		s := answer.Step{Token: token.ID}
		if t.LogProbs {
			s.LogProb = token.LogProb
			for _, a := range token.Top {
				s.Top = append(s.Top, claim.Alternative(a))
			}
		}
		steps = append(steps, s)
		if len(steps) == 1 {
			k.m.prefilled.Add(float64(len(t.Prompt)))
		}
		k.m.generated.Inc()
		if stream == nil {
			continue
		}
		part, err := answer.Part{Offset: uint32(len(steps) - 1), Steps: steps[len(steps)-1:]}.Encode(t)
		if err != nil {
			return steps, nil, err
		}
		stream.Send(part)
		select {
		case <-stream.Stopped():
			return steps, nil, errStopped
		default:
		}
	}
	return steps, nil, nil
}
