package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// checkPay checks that a worker's cumulative units are in an epoch's pay tree.
func checkPay(e types.Epoch, p types.PayProof) error {
	key, err := work.KeyFromBytes(p.Worker)
	if err != nil {
		return types.ErrInvalid.Wrap(err.Error())
	}
	proof, err := p.Proof.Plain()
	if err != nil {
		return err
	}
	if _, err := proof.Verify(e.PayTree(), work.PayLeaf(key, p.Units)); err != nil {
		return types.ErrProof.Wrapf("%d units of worker %s in epoch %d of job %d: %v", p.Units, key, e.Number, e.Job, err)
	}
	return nil
}

// Claim pays workers' operators what a settled epoch owes them. Claims for which nothing
// is due are passed over; a message of nothing else is refused.
func (m msgServer) Claim(ctx context.Context, msg *types.MsgClaim) (*types.MsgClaimResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	if _, _, err := m.account(msg.Sender); err != nil {
		return nil, err
	}
	j, err := m.job(ctx, msg.Job)
	if err != nil {
		return nil, err
	}
	e, err := m.epoch(ctx, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	if e.Status != types.EpochStatus_EPOCH_STATUS_SETTLED {
		return nil, types.ErrState.Wrapf("epoch %d of job %d is not settled: %s", e.Number, j.Id, e.Status)
	}
	before := j.Spent()
	for _, c := range msg.Claims {
		if err := checkPay(e, c); err != nil {
			return nil, err
		}
		if err := m.claim(ctx, &j, c.Worker, c.Units); err != nil {
			return nil, fmt.Errorf("claim for worker %x in job %d: %w", c.Worker, j.Id, err)
		}
	}
	paid := j.Spent().Sub(before)
	if paid.IsZero() {
		return nil, types.ErrNothing.Wrapf("job %d owes these workers nothing more for its epochs up to %d", j.Id, e.Number)
	}
	return &types.MsgClaimResponse{Paid: paid}, m.setJob(ctx, j)
}

// claim pays for a worker's units up to a proven cumulative number.
func (k *Keeper) claim(ctx context.Context, j *types.Job, worker []byte, units uint64) error {
	c, err := k.claimOf(ctx, j.Id, worker)
	if err != nil {
		return err
	}
	if units <= c.Drawn {
		return nil
	}
	// The trees' sums bound what all workers can claim of one epoch, but a gateway could
	// take from one worker in a later tree what it gave it in an earlier. Whatever it
	// does, the escrow pays for each settled unit once.
	due := min(units-c.Drawn, j.UnitsSettled-j.UnitsClaimed)
	if due == 0 {
		return nil
	}
	w, err := k.worker(ctx, worker)
	if err != nil {
		return err
	}
	// Units that a challenge already had paid from the gateway's bond are owed to it.
	var covered uint64
	if c.Units > c.Drawn {
		covered = min(due, c.Units-c.Drawn)
	}
	pay := func(sum *math.Int, to string, units uint64) error {
		return k.spend(ctx, j, sum, to, j.WorkerPrice.Mul(math.NewIntFromUint64(units)))
	}
	if c.Forfeited {
		if err := pay(&j.Refunded, j.Buyer, due); err != nil {
			return err
		}
		emit(ctx, types.EventForfeited, types.AttrJob, j.Id, types.AttrWorker, worker, types.AttrUnits, due)
	} else {
		if err := pay(&j.PaidWorkers, j.Gateway, covered); err != nil {
			return err
		}
		if err := pay(&j.PaidWorkers, w.Operator, due-covered); err != nil {
			return err
		}
		emit(ctx, types.EventClaimed, types.AttrJob, j.Id, types.AttrWorker, worker, types.AttrOperator, w.Operator,
			types.AttrUnits, due, types.AttrAmount, j.WorkerPrice.Mul(math.NewIntFromUint64(due-covered)))
	}
	c.Drawn += due
	c.Units = max(c.Units, c.Drawn)
	j.UnitsClaimed += due
	return k.setClaim(ctx, c)
}
