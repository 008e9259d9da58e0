package openai

import (
	"context"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// Network is the gateway as the routes see it.
type Network interface {
	// Tab finds out who pays by a bearer key. Errors: *Refusal.
	Tab(ctx context.Context, key string) (Tab, error)
}

// Tab is who pays.
type Tab interface {
	// Models are those that the key may use.
	Models() []Model
	// Ask starts an answer. Errors: *Refusal.
	Ask(ctx context.Context, m *Model, t claim.Task) (Answer, error)
}

// Model is one that a tab offers.
type Model struct {
	ID      string
	Root    artifact.Digest
	Created time.Time
	Owner   string
	Context int // positions, of prompt and answer together
	Vocab   int // a token is below it

	PromptUnits, OutputUnits uint64 // of a token
	MaxUnits                 uint64 // of one request; 0 where the tab has no such bound

	Tokenizer *tokenizer.Tokenizer
}

// Answer is one that comes about. Ending the context of Ask says that nobody waits for it
// any more.
type Answer interface {
	// Next waits for more of the answer; io.EOF when it is over. An answer that ends by a
	// stop token has it as its last step.
	Next() ([]answer.Step, error)
	// Stop says that what there is suffices: generation stops, what was done is paid, and
	// Next ends with io.EOF soon.
	Stop()
	// Proof waits for the receipt. It is called after io.EOF, or instead of Next for an
	// embedding.
	Proof() (*answer.Proof, error)
}

// Refusal is a network's no, as the client gets it.
type Refusal struct {
	Status     int
	Type, Code string // in OpenAI's words, such as insufficient_quota
	Message    string
	Retry      time.Duration // when to ask again; 0 where there is no telling
}

func (r *Refusal) Error() string { return r.Message }
