// Package tab is the standing job that pays for inference. Its spec says which models it
// may use at which price and which key signs the API keys that draw on it; the escrow of
// the job is its balance.
//
//	spec.go    Spec: what the buyer puts on the ledger, by its digest
//	key.go     Key: an API key, made by the buyer without asking anybody
//	revoke.go  Revocations: keys that are void, in the buyer's signed list
//
// API keys need no registration: a gateway sees by the tab's signature that a key is the
// buyer's, and what it may spend. What each key has spent is in the gateway's state.
package tab

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/work"
)

// Bounds of a Spec.
const (
	Version         = 1
	MaxModels       = 16
	MaxName         = 100      // bytes of a model's name
	DefaultMaxUnits = 1 << 16  // units of one request
	MaxMaxUnits     = 1 << 31  // and the most that a tab may allow
	MaxPrice        = 1 << 20  // units of one token
	maxSpec         = 16 << 10 // bytes of a spec
)

// ErrSpec marks a spec that no tab can have.
var ErrSpec = errors.New("not a valid tab")

// Spec is what a tab buys.
type Spec struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Models  []Model
	Key     work.PublicKey // signs API keys and their revocation
	// MaxUnits is the most that one request may cost. The scheduler keeps as much of the
	// escrow in reserve for each request that is out.
	MaxUnits uint64
}

// Model is a model that a tab may use.
type Model struct {
	_           struct{}        `cbor:",toarray"`
	Root        artifact.Digest // of its file
	Name        string          // by which clients ask for it
	PromptUnits uint64          // per token of a prompt
	OutputUnits uint64          // per token of an answer
}

// Check says what would be right where a field is wrong.
func (s *Spec) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrSpec, fmt.Sprintf(format, a...))
	}
	switch {
	case s.Version != Version:
		return bad("version %d: this program knows version %d", s.Version, Version)
	case len(s.Models) == 0 || len(s.Models) > MaxModels:
		return bad("%d models: want 1 to %d", len(s.Models), MaxModels)
	case s.Key.IsZero():
		return bad("no key that signs API keys")
	case s.MaxUnits == 0 || s.MaxUnits > MaxMaxUnits:
		return bad("a request may cost %d units: want 1 to %d, usually %d", s.MaxUnits, uint64(MaxMaxUnits), DefaultMaxUnits)
	}
	names, roots := map[string]bool{}, map[artifact.Digest]bool{}
	for i, m := range s.Models {
		switch {
		case m.Root.IsZero():
			return bad("model %d has no root", i)
		case !plainName(m.Name):
			return bad("model %d is named %.40q: want 1 to %d letters, digits, dots, dashes, underscores, colons and slashes", i, m.Name, MaxName)
		case names[m.Name]:
			return bad("two models are named %q", m.Name)
		case roots[m.Root]:
			return bad("model %s is listed twice", m.Root)
		case m.PromptUnits == 0 || m.PromptUnits > MaxPrice || m.OutputUnits == 0 || m.OutputUnits > MaxPrice:
			return bad("a token of %q costs %d units in a prompt and %d in an answer: want 1 to %d", m.Name, m.PromptUnits, m.OutputUnits, MaxPrice)
		case m.PromptUnits+m.OutputUnits > s.MaxUnits:
			return bad("a request may cost %d units, but the shortest one to %q costs %d", s.MaxUnits, m.Name, m.PromptUnits+m.OutputUnits)
		}
		names[m.Name], roots[m.Root] = true, true
	}
	return nil
}

func plainName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-' && c != '_' && c != ':' && c != '/') {
			return false
		}
	}
	return true
}

// Encode is the one encoding of a spec that Check accepts.
func (s *Spec) Encode() ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return work.Encode(s)
}

// Decode takes what Encode gives and nothing else.
func Decode(b []byte) (*Spec, error) {
	s, err := work.Decode[Spec](b, maxSpec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return &s, s.Check()
}

// Model finds a model by its root.
func (s *Spec) Model(root artifact.Digest) (Model, bool) {
	for _, m := range s.Models {
		if m.Root == root {
			return m, true
		}
	}
	return Model{}, false
}

// Units is what an answer costs, for work.Kind's Meter.
//
// An answer whose client hung up before its first token costs nothing: there is nothing in
// such a result that anybody could check, and whoever is paid for what can't be checked is
// paid for not doing it. From the first token on a replay shows whether the prompt was
// computed, and it is paid.
func (m Model) Units(t *claim.Task, r *claim.Result) uint64 {
	if r.Finish == claim.Cancelled && len(r.Output) == 0 {
		return 0
	}
	return m.Cost(len(t.Prompt), len(r.Output))
}

// Most is the most that a task's answer can cost.
func (m Model) Most(t *claim.Task) uint64 { return m.Cost(len(t.Prompt), int(t.MaxTokens)) }

// Cost is the price of so many tokens. Both are below 2^20 and prices at most 2^20, so it
// does not overflow.
func (m Model) Cost(prompt, output int) uint64 {
	return uint64(prompt)*m.PromptUnits + uint64(output)*m.OutputUnits
}
