package types

import (
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/exact/speaker"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Kind is the kind of the jobs in which models answer requests.
const Kind = "infer/1"

// Limits on what offers and requests may carry.
const (
	MaxPrompt      = 32 << 10 // bytes
	MaxAnswer      = 4 << 10  // bytes that are kept of an answer
	MaxTokens      = 1 << 14  // of an answer
	MaxUnits       = 1 << 20  // of one token
	MinCallbackGas = 25_000   // with less no contract gets anything done

	idSize = 32
)

// CheckSum refuses a sum that is missing, negative or absurd; zero is fine.
func CheckSum(what string, v math.Int) error {
	if err := worktypes.CheckSum(what, v); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	return nil
}

// CheckID refuses what can't be a speaker's ID.
func CheckID(b []byte) error {
	if len(b) != idSize {
		return ErrInvalid.Wrapf("speaker: an ID of %d bytes, want %d", len(b), idSize)
	}
	return nil
}

// CheckFor refuses terms under which no request to this speaker could be answered. Whether the
// market takes such jobs is for the market to say.
func (t Terms) CheckFor(speaker []byte) error {
	if err := worktypes.CheckDigest("spec digest", t.SpecDigest); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if t.Cell != "" {
		if err := worktypes.CheckCellName(t.Cell); err != nil {
			return ErrInvalid.Wrap(err.Error())
		}
	}
	if err := worktypes.CheckAmount("price", t.Price); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if err := CheckSum("delivery fee", t.DeliveryFee); err != nil {
		return err
	}
	most := sizes{units: MaxUnits, prompt: MaxPrompt, tokens: MaxTokens}
	if _, ok := FormByID(speaker); ok {
		most = sizes{prompt: MaxURL} // a page has no tokens, and costs one unit
	}
	for _, n := range []struct {
		name        string
		value, most uint64
	}{
		{"prompt_units", t.PromptUnits, most.units},
		{"output_units", t.OutputUnits, most.units},
		{"max_prompt_bytes", uint64(t.MaxPromptBytes), most.prompt},
		{"max_answer_bytes", uint64(t.MaxAnswerBytes), MaxAnswer},
		{"max_tokens", uint64(t.MaxTokens), most.tokens},
	} {
		if n.value < min(1, n.most) || n.value > n.most {
			return ErrInvalid.Wrapf("%s is %d, want %d to %d", n.name, n.value, min(1, n.most), n.most)
		}
	}
	if err := worktypes.CheckUses(t.Uses); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	return nil
}

// sizes are limits that differ between models and pages; what must be 0 has the limit 0.
type sizes struct{ units, prompt, tokens uint64 }

// AuditsAll reports whether every answer is to be audited.
func (t Terms) AuditsAll() bool { return t.AuditBps >= worktypes.BasisPoints }

// Takes refuses a request that is too large for the terms.
func (t Terms) Takes(s Size) error {
	switch {
	case s.PromptBytes > t.MaxPromptBytes:
		return ErrOffer.Wrapf("a prompt of %d bytes, at most %d", s.PromptBytes, t.MaxPromptBytes)
	case s.MaxTokens > t.MaxTokens:
		return ErrOffer.Wrapf("%d tokens are wanted, at most %d", s.MaxTokens, t.MaxTokens)
	}
	return nil
}

// Units is what a task costs of so many tokens. All are bounded so that it can't overflow.
func (t Terms) Units(prompt, output int) uint64 {
	return uint64(prompt)*t.PromptUnits + uint64(output)*t.OutputUnits
}

// Speakers says how the parameters are named for package speaker.
func (s Sampling) Speakers() speaker.Params {
	return speaker.Params{MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, Seed: s.Seed}
}

// Check refuses what no answer can be drawn by.
func (s Sampling) Check() error {
	if err := (&speaker.Speaker{}).Task([]uint32{0}, 0, s.Speakers()).Check(); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	return nil
}

// Check refuses a size that no request can have.
func (s Size) Check(p Params) error {
	if _, page := FormByID(s.Speaker[:]); page {
		switch {
		case s.PromptBytes < 1 || s.PromptBytes > MaxURL:
			return ErrInvalid.Wrapf("an address of %d bytes, want 1 to %d", s.PromptBytes, MaxURL)
		case s.MaxTokens != 0:
			return ErrInvalid.Wrapf("%d tokens are wanted of a page, which has none: want 0", s.MaxTokens)
		}
	} else {
		switch {
		case s.PromptBytes < 1 || s.PromptBytes > MaxPrompt:
			return ErrInvalid.Wrapf("a prompt of %d bytes, want 1 to %d", s.PromptBytes, MaxPrompt)
		case s.MaxTokens < 1 || s.MaxTokens > MaxTokens:
			return ErrInvalid.Wrapf("%d tokens are wanted, want 1 to %d", s.MaxTokens, MaxTokens)
		}
	}
	switch {
	case s.Policy > MaxPolicy:
		return ErrInvalid.Wrapf("policy %d: want %d to wait for the challenge window, %d to be told at once, or 2 to %d workers that must agree",
			s.Policy, Safe, Optimistic, MaxPolicy)
	case s.CallbackGas != 0 && s.CallbackGas < MinCallbackGas || s.CallbackGas > p.MaxCallbackGas:
		return ErrInvalid.Wrapf("%d gas for the callback: want %d to %d, or 0 without a callback", s.CallbackGas, MinCallbackGas, p.MaxCallbackGas)
	}
	return nil
}

// Check refuses a request that can't be made.
func (a Ask) Check(p Params) error {
	if err := a.Size().Check(p); err != nil {
		return err
	}
	if err := worktypes.CheckAmount("fee", a.Fee); err != nil {
		return ErrFee.Wrap(err.Error())
	}
	if none := a.Callback == [20]byte{}; none != (a.CallbackGas == 0) {
		return ErrInvalid.Wrapf("callback 0x%x with %d gas: want both or neither", a.Callback, a.CallbackGas)
	}
	if _, page := FormByID(a.Speaker[:]); page {
		if err := CheckURL(string(a.Prompt)); err != nil {
			return err
		}
	}
	return a.Sampling.checkFor(a.Speaker[:])
}

// checkFor refuses a sampling that no request to this speaker has: pages are not drawn.
func (s Sampling) checkFor(speaker []byte) error {
	if _, page := FormByID(speaker); !page {
		return s.Check()
	}
	if s != (Sampling{}) {
		return ErrInvalid.Wrap("a page is not drawn: want no tokens, no seed and nothing else of sampling")
	}
	return nil
}

// Workers is how many workers' receipts an answer needs.
func Workers(policy uint32) int { return int(max(policy, 1)) }

// Tries is how often a request's escrow lets a worker be asked: one answer may be false and
// be found so before anybody is told.
func Tries(policy uint32) uint64 {
	if policy == Optimistic {
		return 1
	}
	return uint64(Workers(policy)) + 1
}

// Calls is how many callbacks a request may come to.
func Calls(policy uint32) int64 {
	if policy == Optimistic {
		return 2
	}
	return 1
}

// Over reports whether nothing more happens to the request.
func (r Request) Over() bool {
	switch r.Status {
	case Status_STATUS_FINAL, Status_STATUS_REFUTED, Status_STATUS_FAILED, Status_STATUS_CANCELLED:
		return true
	}
	return false
}

// CallPrice is what one callback costs at most, in anote.
func (r Request) CallPrice() math.Int {
	return r.CallbackPrice.Mul(math.NewIntFromUint64(r.CallbackGas))
}

// Spent is what left the module of the request's fee.
func (r Request) Spent() math.Int {
	return r.Escrow.Add(r.Burned).Add(r.Delivered).Add(r.GasPaid).Add(r.Returned)
}
