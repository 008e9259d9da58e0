package claim

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact"
)

// ErrResult marks a result that no computation of its task could have.
var ErrResult = errors.New("inference result")

// Finish says why an answer ends where it does.
type Finish uint8

// The reasons.
const (
	Stop      Finish = 1 // its last token is one of the task's stop tokens
	Length    Finish = 2 // it has as many tokens as were wanted
	Cancelled Finish = 3 // the client hung up: it is the beginning of an answer
	Embedded  Finish = 4 // an embedding was wanted
)

// String is how the reason is spelt in messages.
func (f Finish) String() string {
	switch f {
	case Stop:
		return "stop"
	case Length:
		return "length"
	case Cancelled:
		return "cancelled"
	case Embedded:
		return "embedded"
	}
	return fmt.Sprintf("finish(%d)", uint8(f))
}

// Alternative is a token that might have been, and the natural logarithm of its
// probability at temperature 1, wide.
type Alternative struct {
	ID      uint32
	LogProb int32
}

// Result is what came of a Task.
type Result struct {
	Output   []uint32
	Finish   Finish
	LogProbs []int32       // of each token of Output, if the task asks; wide
	Top      []Alternative // Task.Top for each token of Output, one token's after another's, the likeliest first

	Embedding []int32 // wide, if the task asks for it
}

// TopOf are the alternatives at the place of token i of the output.
func (r *Result) TopOf(i int) []Alternative {
	n := len(r.Top) / max(len(r.Output), 1)
	return r.Top[i*n : (i+1)*n]
}

// Check refuses a result that has not the form that its task asks for, or ends where the
// task does not let it. What is left is to compute whether it is true.
func (r *Result) Check(t *Task) error {
	if t.Embed {
		if r.Finish != Embedded || len(r.Embedding) == 0 || len(r.Embedding) > exact.MaxNorm ||
			len(r.Output) != 0 || len(r.LogProbs) != 0 || len(r.Top) != 0 {
			return fmt.Errorf("%w: an embedding of 1 to %d numbers is wanted and nothing else", ErrResult, exact.MaxNorm)
		}
		return nil
	}
	n := len(r.Output)
	if len(r.Embedding) != 0 {
		return fmt.Errorf("%w: an embedding that nobody asked for", ErrResult)
	}
	if n > int(t.MaxTokens) {
		return fmt.Errorf("%w: %d tokens, and at most %d were wanted", ErrResult, n, t.MaxTokens)
	}
	if i := beyond(r.Output, MaxVocab); i >= 0 {
		return fmt.Errorf("%w: token %d is %d: must be below %d", ErrResult, i, r.Output[i], MaxVocab)
	}
	for i, id := range r.Output[:max(n-1, 0)] {
		if t.Ends(id) {
			return fmt.Errorf("%w: token %d is stop token %d, but %d more follow", ErrResult, i, id, n-1-i)
		}
	}
	ended := n > 0 && t.Ends(r.Output[n-1])
	var want Finish
	switch {
	case ended:
		want = Stop
	case n == int(t.MaxTokens):
		want = Length
	default:
		want = Cancelled
	}
	if r.Finish != want {
		return fmt.Errorf("%w: %d of %d tokens, the last one %s: its reason to end is %q, not %q", ErrResult, n, t.MaxTokens, stopWord(ended), want, r.Finish)
	}
	logs, top := 0, 0
	if t.LogProbs {
		logs, top = n, n*int(t.Top)
	}
	if len(r.LogProbs) != logs || len(r.Top) != top {
		return fmt.Errorf("%w: %d logarithms of probabilities and %d alternatives: %d and %d were wanted", ErrResult, len(r.LogProbs), len(r.Top), logs, top)
	}
	for i, a := range r.Top {
		if a.ID >= MaxVocab {
			return fmt.Errorf("%w: alternative %d is token %d: must be below %d", ErrResult, i, a.ID, MaxVocab)
		}
	}
	return nil
}

func stopWord(ended bool) string {
	if ended {
		return "a stop token"
	}
	return "no stop token"
}
