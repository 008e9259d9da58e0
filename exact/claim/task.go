package claim

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact"
)

// Bounds of a Task.
const (
	MaxTaskBytes   = 64 << 10  // encoded
	MaxResultBytes = 256 << 10 // encoded: what a ledger can be shown in a dispute
	MaxVocab       = 1 << 18   // a token is below it
	MaxStop        = 16        // stop tokens
	MaxTop         = 20        // alternatives for each token
)

// ErrTask marks a task that is out of bounds or contradicts itself.
var ErrTask = errors.New("inference task")

// Digest is a SHA-256 hash.
type Digest = [32]byte

// Task asks a model to continue a prompt, or for the prompt's embedding.
type Task struct {
	Model     Digest   // root of the model's file
	Prompt    []uint32 // tokens, at least one
	MaxTokens uint32   // the answer ends with this many at the latest
	Sampling  exact.Sampling
	Stop      []uint32 // tokens that end the answer, and are its last; ascending
	LogProbs  bool     // tell each token's logarithm of probability
	Top       uint8    // and those of this many likeliest tokens at its place; needs LogProbs

	// Embed asks for the state after the prompt's last token, as the output matrix would
	// get it, instead of a continuation. All fields between Prompt and here are zero.
	Embed bool
}

// Check refuses what no model could answer.
func (t *Task) Check() error {
	if len(t.Prompt) == 0 || len(t.Prompt) > exact.MaxContext {
		return fmt.Errorf("%w: prompt of %d tokens: must be from 1 to %d", ErrTask, len(t.Prompt), exact.MaxContext)
	}
	if i := beyond(t.Prompt, MaxVocab); i >= 0 {
		return fmt.Errorf("%w: token %d of the prompt is %d: must be below %d", ErrTask, i, t.Prompt[i], MaxVocab)
	}
	if t.Embed {
		if t.MaxTokens != 0 || t.Sampling != (exact.Sampling{}) || len(t.Stop) != 0 || t.LogProbs || t.Top != 0 {
			return fmt.Errorf("%w: an embedding has no answer to draw, so all that says how must be zero", ErrTask)
		}
		return nil
	}
	if t.MaxTokens < 1 || t.MaxTokens > exact.MaxContext {
		return fmt.Errorf("%w: %d tokens are wanted: must be from 1 to %d", ErrTask, t.MaxTokens, exact.MaxContext)
	}
	if err := t.Sampling.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrTask, err)
	}
	if len(t.Stop) > MaxStop {
		return fmt.Errorf("%w: %d stop tokens: at most %d", ErrTask, len(t.Stop), MaxStop)
	}
	for i, id := range t.Stop {
		if id >= MaxVocab || i > 0 && id <= t.Stop[i-1] {
			return fmt.Errorf("%w: stop token %d is %d: must be below %d and above the one before it", ErrTask, i, id, MaxVocab)
		}
	}
	switch {
	case t.Top > MaxTop:
		return fmt.Errorf("%w: %d alternatives for each token: at most %d", ErrTask, t.Top, MaxTop)
	case t.Top > 0 && !t.LogProbs:
		return fmt.Errorf("%w: alternatives are wanted without logarithms of probabilities", ErrTask)
	}
	if n := t.longest(); n > MaxResultBytes {
		return fmt.Errorf("%w: an answer of %d tokens with %d alternatives each could have %d bytes: at most %d; ask for fewer of either", ErrTask, t.MaxTokens, t.Top, n, MaxResultBytes)
	}
	return nil
}

// longest is the most bytes that an answer can have, encoded.
func (t *Task) longest() int {
	const id, log = 3, 5 // of varints
	each := id
	if t.LogProbs {
		each += log + int(t.Top)*(id+log)
	}
	return int(t.MaxTokens)*each + 64
}

// Fits refuses what a model with this vocabulary and context can't answer.
func (t *Task) Fits(vocab, context int) error {
	if n := len(t.Prompt) + int(t.MaxTokens); n > context {
		return fmt.Errorf("%w: %d tokens of prompt and %d wanted are more than the model's context of %d", ErrTask, len(t.Prompt), t.MaxTokens, context)
	}
	if i := beyond(t.Prompt, vocab); i >= 0 {
		return fmt.Errorf("%w: token %d of the prompt is %d: the model's vocabulary has %d", ErrTask, i, t.Prompt[i], vocab)
	}
	if int(t.Top) > vocab {
		return fmt.Errorf("%w: %d alternatives of a vocabulary of %d", ErrTask, t.Top, vocab)
	}
	return nil
}

// Ends says whether a token ends an answer.
func (t *Task) Ends(token uint32) bool {
	for _, s := range t.Stop {
		if s == token {
			return true
		}
	}
	return false
}

// beyond is the index of the first token at or above limit, or -1.
func beyond(tokens []uint32, limit int) int {
	for i, id := range tokens {
		if uint64(id) >= uint64(limit) {
			return i
		}
	}
	return -1
}
