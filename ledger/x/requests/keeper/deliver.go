package keeper

import (
	"context"
	"crypto/sha256"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

func labelOf(r types.Request) work.Label { return work.Label(r.Label) }

// Deliver answers a request. Anybody may, with the evidence that it takes; the delivery fee
// is theirs. Everything that follows has happened when it returns but for the callback.
func (k *Keeper) Deliver(ctx context.Context, id uint64, evidence []byte, deliverer sdk.AccAddress) (types.Call, error) {
	charge(ctx, gasEvidence+uint64(len(evidence))*gasEvidenceByte, "evidence")
	p, err := k.Params(ctx)
	if err != nil {
		return types.Call{}, err
	}
	r, err := k.ready(ctx, id)
	if err != nil {
		return types.Call{}, err
	}
	if r.Status != types.Status_STATUS_OPEN {
		return types.Call{}, types.ErrState.Wrapf("request %d takes no answer: %s", id, r.Status)
	}
	e, err := types.DecodeEvidence(evidence, int(p.MaxEvidenceBytes), r.Speaker)
	if err != nil {
		return types.Call{}, err
	}
	f, err := k.examine(ctx, r, e)
	if err != nil {
		return types.Call{}, err
	}
	if err := k.closeJob(ctx, r); err != nil {
		return types.Call{}, err
	}
	k.write(&r, f)
	r.AnsweredHeight = height(ctx)
	if err := k.burn(ctx, &r, len(r.Answer)); err != nil {
		return types.Call{}, err
	}
	if err := k.pay(ctx, &r, &r.Delivered, deliverer, r.Terms.DeliveryFee); err != nil {
		return types.Call{}, err
	}
	if f.final {
		err = k.end(ctx, &r, types.Status_STATUS_FINAL)
	} else {
		r.Status, r.Prompt = types.Status_STATUS_ANSWERED, nil
	}
	if err != nil {
		return types.Call{}, err
	}
	emit(ctx, types.EventAnswered, types.AttrRequest, r.Id, types.AttrGateway, r.Gateway, types.AttrStatus, r.Status,
		types.AttrLabel, r.Label, types.AttrReceipt, r.Receipt)
	return k.tell(ctx, r)
}

// write notes an answer. One that is longer than its terms allow is told by its digest; a page
// is never, since it leaves out what is too long.
func (k *Keeper) write(r *types.Request, f finding) {
	r.Answer, r.Digested = f.answer, false
	if len(f.answer) > types.LongestAnswer(r.Speaker, r.Terms) {
		h := sha256.Sum256(f.answer)
		r.Answer, r.Digested = h[:], true
	}
	r.Label, r.Receipt = string(f.label), f.receipt[:]
	r.Epoch, r.Index, r.Worker = f.epoch, f.index, f.worker
}

// tell stores a request of which somebody is to be told. What is held beyond the gas of its
// callbacks goes back; without a contract to call that is all.
func (k *Keeper) tell(ctx context.Context, r types.Request) (types.Call, error) {
	r.Calling = len(r.Callback) > 0
	if err := k.giveBack(ctx, &r, k.reserve(r)); err != nil {
		return types.Call{}, err
	}
	return callOf(r, r.Calling), k.set(ctx, r)
}

// reserve is what must stay of a request's fee for callbacks: that which is under way, and
// the one that there may be if the answer is refuted.
func (k *Keeper) reserve(r types.Request) math.Int {
	n := int64(0)
	if r.Calling {
		n++
	}
	if r.Status == types.Status_STATUS_ANSWERED {
		n++
	}
	return r.CallPrice().MulRaw(n)
}

// Called is told how a callback went. The gas that it used is paid to the caller, who had it
// made; the rest goes back.
func (k *Keeper) Called(ctx context.Context, id uint64, how types.Called, caller sdk.AccAddress) error {
	r, err := k.Lookup(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case !r.Calling:
		return types.ErrState.Wrapf("request %d: no callback is under way", id)
	case how.GasUsed > r.CallbackGas:
		return types.ErrInvalid.Wrapf("request %d: its callback used %d gas, and had %d", id, how.GasUsed, r.CallbackGas)
	}
	r.Calling, r.Calls, r.CallFailed = false, r.Calls+1, !how.OK
	amount := r.CallbackPrice.Mul(math.NewIntFromUint64(how.GasUsed))
	if err := k.pay(ctx, &r, &r.GasPaid, caller, amount); err != nil {
		return err
	}
	if err := k.giveBack(ctx, &r, k.reserve(r)); err != nil {
		return err
	}
	emit(ctx, types.EventCalled, types.AttrRequest, id, types.AttrSuccess, how.OK, types.AttrGas, how.GasUsed, types.AttrAmount, amount)
	return k.set(ctx, r)
}
