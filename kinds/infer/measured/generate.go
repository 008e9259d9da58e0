package measured

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// Top is how many alternatives a task of this kind commits to at each place.
const Top = claim.MaxTop

// Complete makes a task commit to what an audit compares.
func Complete(t *claim.Task) {
	if !t.Embed {
		t.LogProbs, t.Top = true, Top
	}
}

// Generate answers a task. The server's greedy stream is taken as long as the seed's choice is
// the likeliest token; where it is another one, the stream is broken off and begun anew after
// that token. So the answer is the one that the seed gives, at the price of a request for each
// token that is not the likeliest, which a server with a prefix cache hardly feels.
//
// Each step is given to tell, which returns false to stop. What there is then is the result;
// with an error, what there was until then is returned too.
func Generate(ctx context.Context, b Backend, t *claim.Task, tell func(answer.Step) bool) (*claim.Result, error) {
	if t.Embed {
		return nil, fmt.Errorf("%w: embeddings of foreign servers can't be measured", claim.ErrTask)
	}
	if !t.LogProbs || t.Top < 2 {
		return nil, fmt.Errorf("%w: it commits to %d alternatives at each place: at least 2 are needed for an audit", claim.ErrTask, t.Top)
	}
	tokens := append([]uint32(nil), t.Prompt...)
	var steps []answer.Step
	for stopped := false; !stopped && len(steps) < int(t.MaxTokens); {
		before := len(steps)
		for p, err := range b.Continue(ctx, tokens, int(t.MaxTokens)-len(steps), int(t.Top)) {
			if err != nil {
				return join(t, steps), err
			}
			if len(p) < int(t.Top) {
				return join(t, steps), fmt.Errorf("%w: %d alternatives at place %d, and the task commits to %d", ErrBackend, len(p), len(steps), t.Top)
			}
			p = p[:t.Top]
			id := Draw(p, &t.Sampling, uint64(len(tokens)))
			s := answer.Step{Token: id, LogProb: p[p.find(id)].LogProb, Top: p}
			steps, tokens = append(steps, s), append(tokens, id)
			if stopped = !tell(s) || t.Ends(id); stopped || id != p[0].ID || len(steps) == int(t.MaxTokens) {
				break
			}
		}
		if len(steps) == before {
			return join(t, steps), fmt.Errorf("%w: it gave no token at place %d", ErrBackend, before)
		}
	}
	return join(t, steps), nil
}

// join makes a result and says why it ends.
func join(t *claim.Task, steps []answer.Step) *claim.Result {
	r := answer.Join(t, steps)
	switch n := len(r.Output); {
	case n > 0 && t.Ends(r.Output[n-1]):
		r.Finish = claim.Stop
	case n == int(t.MaxTokens):
		r.Finish = claim.Length
	default:
		r.Finish = claim.Cancelled
	}
	return r
}

// Check refuses a result that contradicts itself: alternatives that can't be of one place, or
// a token that is not the one that they give under the task's seed. No model is needed for it,
// and honest noise has no part in it: it compares what the worker said with what it said.
func Check(t *claim.Task, r *claim.Result) error {
	if err := r.Check(t); err != nil {
		return err
	}
	if t.Embed || !t.LogProbs || t.Top < 2 {
		return fmt.Errorf("%w: it does not commit to alternatives, so it can't be measured", claim.ErrTask)
	}
	for i, id := range r.Output {
		p := Place(r.TopOf(i))
		if err := p.check(); err != nil {
			return fmt.Errorf("%w: place %d: %w", claim.ErrResult, i, err)
		}
		if is := Draw(p, &t.Sampling, uint64(len(t.Prompt)+i)); is != id {
			return fmt.Errorf("%w: token %d of the answer is %d, and the alternatives that it commits to give %d under the task's seed", claim.ErrResult, i, id, is)
		}
		if at := p.find(id); p[at].LogProb != r.LogProbs[i] {
			return fmt.Errorf("%w: two logarithms for the probability of token %d", claim.ErrResult, i)
		}
	}
	return nil
}
