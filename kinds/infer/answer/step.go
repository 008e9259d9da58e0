package answer

import (
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/work"
)

// Step is one token of an answer. LogProb and Top are there if the task asks for them; Top
// is the likeliest first, with claim.Task.Top of them.
type Step struct {
	Token   uint32
	LogProb int32
	Top     []claim.Alternative
}

// Equal compares steps to the bit.
func (s Step) Equal(o Step) bool {
	return s.Token == o.Token && s.LogProb == o.LogProb && slices.Equal(s.Top, o.Top)
}

// Steps takes a result apart.
func Steps(r *claim.Result) []Step {
	list := make([]Step, len(r.Output))
	for i, id := range r.Output {
		list[i].Token = id
		if len(r.LogProbs) > i {
			list[i].LogProb = r.LogProbs[i]
		}
		if len(r.Top) > 0 {
			list[i].Top = r.TopOf(i)
		}
	}
	return list
}

// Join makes a result's lists of steps; the Finish is left to the caller.
func Join(t *claim.Task, steps []Step) *claim.Result {
	r := &claim.Result{Output: make([]uint32, len(steps))}
	for i, s := range steps {
		r.Output[i] = s.Token
		if t.LogProbs {
			r.LogProbs = append(r.LogProbs, s.LogProb)
			r.Top = append(r.Top, s.Top...)
		}
	}
	return r
}

// Part is some steps of an answer on their way to whoever waits for it.
type Part struct {
	Offset uint32 // of the first of them in the answer
	Steps  []Step
}

type partWire struct {
	_      struct{} `cbor:",toarray"`
	Offset uint32
	Steps  []byte // as a claim.Result with nothing else
}

// Encode is a part's one encoding.
func (p Part) Encode(t *claim.Task) ([]byte, error) {
	steps, err := Join(t, p.Steps).Encode()
	if err != nil {
		return nil, err
	}
	return work.Encode(partWire{Offset: p.Offset, Steps: steps})
}

// DecodePart takes what Encode gives and nothing else: at least one step, with what the
// task asks for, and no more of them than its answer can have.
func DecodePart(b []byte, t *claim.Task) (Part, error) {
	w, err := work.Decode[partWire](b, work.MaxPart)
	if err != nil {
		return Part{}, fmt.Errorf("part of an answer: %w", err)
	}
	r, err := claim.DecodeResult(w.Steps)
	if err != nil {
		return Part{}, fmt.Errorf("part of an answer: %w", err)
	}
	n, logs, top := len(r.Output), 0, 0
	if t.LogProbs {
		logs, top = n, n*int(t.Top)
	}
	switch {
	case n == 0 || uint64(w.Offset)+uint64(n) > uint64(t.MaxTokens):
		return Part{}, fmt.Errorf("part of an answer: %d tokens from %d on, of at most %d", n, w.Offset, t.MaxTokens)
	case r.Finish != 0 || len(r.Embedding) != 0 || len(r.LogProbs) != logs || len(r.Top) != top:
		return Part{}, fmt.Errorf("part of an answer: %w: not what the task asks for", claim.ErrResult)
	}
	return Part{Offset: w.Offset, Steps: Steps(r)}, nil
}
