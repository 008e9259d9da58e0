package answer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
)

// ErrFalse marks an answer that is not what its task gives.
var ErrFalse = errors.New("the answer is false")

// Difference is where an answer is false.
type Difference struct {
	Token int    // its place in the output, or in the embedding
	What  string // what is there and what should be, for people
}

// Error implements error. It is ErrFalse.
func (d *Difference) Error() string { return ErrFalse.Error() + ": " + d.What }

// Unwrap makes it ErrFalse.
func (d *Difference) Unwrap() error { return ErrFalse }

// rows is how many tokens of an answer are computed in one pass: more are hardly faster,
// and keep what else the machine does waiting for longer.
const rows = 128

// Machine is what an answer is computed again with.
type Machine struct {
	Runner *model.Runner
	Cache  *model.Cache // with room for the prompt and the answer
	Rows   int          // of one pass; 0 for a usual number
}

// Pages is how many pages of a cache an answer takes.
func Pages(t *claim.Task, r *claim.Result) int {
	return (len(t.Prompt)+len(r.Output))/model.PageTokens + 1
}

// Recompute computes a result again, teacher-forced: all tokens of the answer in few passes.
// A result that is not, to the bit, what its task gives is a *Difference; any other error
// says that it could not be found out.
func Recompute(ctx context.Context, m *model.Model, on Machine, t *claim.Task, r *claim.Result) error {
	if artifact.Digest(t.Model) != artifact.Digest(m.Root) {
		return fmt.Errorf("replay an answer of model %x with model %x", t.Model, m.Root)
	}
	if err := r.Check(t); err != nil {
		return &Difference{What: err.Error()}
	}
	if err := t.Fits(m.Vocab, m.Context); err != nil {
		return &Difference{What: "no answer can be right: " + err.Error()}
	}
	n := on.Rows
	if n == 0 {
		n = rows
	}
	if t.Embed {
		return embedding(ctx, on, n, t, r)
	}
	for i, id := range r.Output {
		if int(id) >= m.Vocab {
			return &Difference{Token: i, What: fmt.Sprintf("token %d of the answer is %d: the vocabulary has %d", i, id, m.Vocab)}
		}
	}
	if len(r.Output) == 0 {
		return nil // hung up before the first token
	}
	claimed := Steps(r)
	q := model.Request{Prompt: t.Prompt, Sampling: t.Sampling, Top: int(t.Top)}
	i := 0
	for is, err := range model.Redraw(ctx, on.Runner, on.Cache, q, r.Output, n, t.LogProbs) {
		if err != nil {
			return err
		}
		if d := differ(i, claimed[i], is); d != nil {
			return d
		}
		i++
	}
	return nil
}

func differ(i int, said Step, is model.Token) *Difference {
	switch {
	case said.Token != is.ID:
		return &Difference{i, fmt.Sprintf("token %d of the answer is %d, and its task gives %d there", i, said.Token, is.ID)}
	case said.LogProb != is.LogProb:
		return &Difference{i, fmt.Sprintf("the logarithm of the probability of token %d is given as %d, and is %d", i, said.LogProb, is.LogProb)}
	}
	for k, a := range said.Top {
		if a != claim.Alternative(is.Top[k]) {
			return &Difference{i, fmt.Sprintf("alternative %d of token %d is given as %d with %d, and is %d with %d", k, i, a.ID, a.LogProb, is.Top[k].ID, is.Top[k].LogProb)}
		}
	}
	return nil
}

func embedding(ctx context.Context, on Machine, rows int, t *claim.Task, r *claim.Result) error {
	is, err := model.Embed(ctx, on.Runner, on.Cache, t.Prompt, rows)
	if err != nil {
		return err
	}
	if len(is) != len(r.Embedding) {
		return &Difference{What: fmt.Sprintf("the embedding has %d numbers: the model's have %d", len(r.Embedding), len(is))}
	}
	for i, v := range r.Embedding {
		if v != is[i] {
			return &Difference{i, fmt.Sprintf("number %d of the embedding is %d, and its task gives %d there", i, v, is[i])}
		}
	}
	return nil
}

// Replay computes the proof's answer again with its model. Check comes first: Replay says
// whether the task has this result, not who claims it.
func (p *Proof) Replay(ctx context.Context, m *model.Model, r *model.Runner) error {
	t, res, err := p.Claim()
	if err != nil {
		return err
	}
	return Recompute(ctx, m, Machine{Runner: r, Cache: model.NewCache(m, Pages(t, res))}, t, res)
}
