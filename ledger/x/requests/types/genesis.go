package types

import (
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/exact/speaker"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// DefaultGenesis is a network where nothing was asked yet, under the rules of a public one.
func DefaultGenesis() *GenesisState {
	return &GenesisState{Params: DefaultParams(), NextRequest: 1, Burned: math.ZeroInt()}
}

// Validate refuses a state whose records are malformed, double or point nowhere. Whether the
// sums match what the account holds is checked when it is imported.
func (g *GenesisState) Validate() error {
	if err := g.Params.Validate(); err != nil {
		return err
	}
	if err := CheckSum("genesis: burned", g.Burned); err != nil {
		return err
	}
	speakers := map[speaker.ID]bool{}
	for i, b := range g.Speakers {
		if err := CheckSpeaker(b); err != nil {
			return ErrInvalid.Wrapf("genesis: speaker %d: %s", i, err.Error())
		}
		id := speaker.IDOf(b)
		if speakers[id] {
			return ErrInvalid.Wrapf("genesis: speaker %s is there twice", id)
		}
		speakers[id] = true
	}
	known := func(id []byte) bool { return len(id) == idSize && speakers[speaker.ID(id)] }
	type place struct{ speaker, gateway string }
	offers := map[place]bool{}
	for _, o := range g.Offers {
		at := place{string(o.Speaker), o.Gateway}
		if !known(o.Speaker) || offers[at] {
			return ErrInvalid.Wrapf("genesis: the offer of %s for speaker %x is for none, or there twice", o.Gateway, o.Speaker)
		}
		offers[at] = true
		if err := o.Terms.CheckFor(o.Speaker); err != nil {
			return ErrInvalid.Wrapf("genesis: the offer of %s for speaker %x: %s", o.Gateway, o.Speaker, err.Error())
		}
	}
	seen, jobs := map[uint64]bool{}, map[uint64]bool{}
	for _, r := range g.Requests {
		switch {
		case r.Id == 0 || r.Id >= g.NextRequest || seen[r.Id]:
			return ErrInvalid.Wrapf("genesis: request %d is there twice, or the next is to be %d", r.Id, g.NextRequest)
		case !known(r.Speaker):
			return ErrInvalid.Wrapf("genesis: request %d is to speaker %x, which is not there", r.Id, r.Speaker)
		case r.Job == 0 || jobs[r.Job]:
			return ErrInvalid.Wrapf("genesis: request %d has job %d, which another has, or none", r.Id, r.Job)
		}
		seen[r.Id], jobs[r.Job] = true, true
		if err := r.check(); err != nil {
			return ErrInvalid.Wrapf("genesis: request %d: %s", r.Id, err.Error())
		}
	}
	return nil
}

// check refuses a record that no request can have.
func (r Request) check() error {
	switch {
	case r.Status < Status_STATUS_OPEN || r.Status > Status_STATUS_CANCELLED:
		return ErrInvalid.Wrapf("status %s", r.Status)
	case r.Calling:
		return ErrInvalid.Wrap("its callback is under way")
	case r.Policy > MaxPolicy:
		return ErrInvalid.Wrapf("policy %d", r.Policy)
	case len(r.Callback) != 0 && len(r.Callback) != 20 || (len(r.Callback) == 0) != (r.CallbackGas == 0) || r.CallbackGas > maxCallbackGas:
		return ErrInvalid.Wrapf("a callback of %d bytes with %d gas", len(r.Callback), r.CallbackGas)
	case (len(r.Prompt) > 0) != (r.Status == Status_STATUS_OPEN) || len(r.Prompt) > MaxPrompt || len(r.Answer) > max(LongestAnswer(r.Speaker, r.Terms), idSize):
		return ErrInvalid.Wrapf("%s, with a prompt of %d bytes and an answer of %d", r.Status, len(r.Prompt), len(r.Answer))
	}
	if err := worktypes.CheckDigest("digest of its prompt", r.PromptDigest); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	for _, s := range []struct {
		name  string
		value math.Int
	}{
		{"callback_price", r.CallbackPrice}, {"byte_price", r.BytePrice}, {"fee", r.Fee}, {"escrow", r.Escrow}, {"held", r.Held},
		{"burned", r.Burned}, {"delivered", r.Delivered}, {"gas_paid", r.GasPaid}, {"returned", r.Returned},
	} {
		if err := CheckSum(s.name, s.value); err != nil {
			return err
		}
	}
	if err := r.Sampling.checkFor(r.Speaker); err != nil {
		return err
	}
	return r.Terms.CheckFor(r.Speaker)
}
