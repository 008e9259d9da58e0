package keeper

import (
	"context"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Conclude ends a request of which the market has decided: an answer that was told at once
// is final or refuted, and one that nobody answered in time has failed. Anybody may.
func (k *Keeper) Conclude(ctx context.Context, id uint64) (types.Call, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return types.Call{}, err
	}
	r, err := k.ready(ctx, id)
	if err != nil {
		return types.Call{}, err
	}
	switch r.Status {
	case types.Status_STATUS_ANSWERED:
		return k.judge(ctx, r)
	case types.Status_STATUS_OPEN:
		if err := k.unanswered(ctx, r, p); err != nil {
			return types.Call{}, err
		}
		if err := k.end(ctx, &r, types.Status_STATUS_FAILED); err != nil {
			return types.Call{}, err
		}
		return k.tell(ctx, r)
	}
	return types.Call{}, types.ErrState.Wrapf("request %d is over: %s", id, r.Status)
}

// judge ends a request that was answered before its epoch settled. Who was told a false
// answer is told so; who was told a true one is not called again.
func (k *Keeper) judge(ctx context.Context, r types.Request) (types.Call, error) {
	e, err := k.market.Epoch(ctx, r.Job, r.Epoch)
	if err != nil {
		return types.Call{}, err
	}
	why, err := k.doubts(ctx, r.Job, e, r.Index, r.Worker)
	if err != nil {
		return types.Call{}, err
	}
	if why != "" {
		r.Answer, r.Digested, r.Label = nil, false, ""
		if err := k.end(ctx, &r, types.Status_STATUS_REFUTED); err != nil {
			return types.Call{}, err
		}
		return k.tell(ctx, r)
	}
	if e.Status != worktypes.EpochStatus_EPOCH_STATUS_SETTLED {
		return types.Call{}, types.ErrEarly.Wrapf("request %d: epoch %d of job %d is %s: wait until it has settled", r.Id, e.Number, r.Job, e.Status)
	}
	r.Label = string(e.LabelOf(r.Index))
	if err := k.giveBack(ctx, &r, math.ZeroInt()); err != nil {
		return types.Call{}, err
	}
	if err := k.end(ctx, &r, types.Status_STATUS_FINAL); err != nil {
		return types.Call{}, err
	}
	return callOf(r, false), k.set(ctx, r)
}

// unanswered refuses to give a request up that may still be answered: while its job goes on,
// and for a while after the last of its epochs settled.
func (k *Keeper) unanswered(ctx context.Context, r types.Request, p types.Params) error {
	j, err := k.market.Job(ctx, r.Job)
	if err != nil {
		return err
	}
	if j.Live() {
		return types.ErrEarly.Wrapf("request %d: job %d is %s: wait until it is over", r.Id, j.Id, j.Status)
	}
	if j.EpochsSettled == 0 {
		return nil
	}
	e, err := k.market.Epoch(ctx, j.Id, j.EpochsSettled)
	if err != nil {
		return err
	}
	if until := e.SettledHeight + p.DeliverBlocks; height(ctx) < until {
		return types.ErrEarly.Wrapf("request %d may be answered below height %d", r.Id, until)
	}
	return nil
}
