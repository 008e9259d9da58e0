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
	total, faulted := math.ZeroInt(), j.Status == types.JobStatus_JOB_STATUS_FAULTED
	for _, c := range msg.Claims {
		if err := checkPay(e, c); err != nil {
			return nil, err
		}
		paid, err := m.claim(ctx, &j, c.Worker, c.Units)
		if err != nil {
			return nil, fmt.Errorf("claim for worker %x in job %d: %w", c.Worker, j.Id, err)
		}
		total = total.Add(paid)
	}
	if total.IsZero() && faulted == (j.Status == types.JobStatus_JOB_STATUS_FAULTED) {
		return nil, types.ErrNothing.Wrapf("job %d owes these workers nothing more for its epochs up to %d", j.Id, e.Number)
	}
	return &types.MsgClaimResponse{Paid: total}, m.setJob(ctx, j)
}

// claim pays for a worker's units up to a proven cumulative number, and returns how much.
// Its plants' units are in that number, and nobody is paid for them.
//
// While no tree gives a worker less than an earlier one and every plant is in its own
// worker's number, what is due never exceeds what was settled and not drawn yet: the trees'
// sums see to that. So a claim that finds less proves that the gateway took from one worker
// what it gave another. The escrow still pays for each unit once; the gateway's bond pays
// the rest.
func (k *Keeper) claim(ctx context.Context, j *types.Job, worker []byte, units uint64) (math.Int, error) {
	c, err := k.claimOf(ctx, j.Id, worker)
	if err != nil {
		return math.Int{}, err
	}
	units -= min(units, c.PlantUnits)
	if units <= c.Drawn {
		return math.ZeroInt(), nil
	}
	due := min(units-c.Drawn, j.UnitsSettled-j.UnitsClaimed)
	short := due < units-c.Drawn
	paid, err := k.draw(ctx, j, c, due)
	if err != nil || !short {
		return paid, err
	}
	rest, err := k.faultAndPay(ctx, j, worker, units, fmt.Sprintf("its pay trees give worker %x units that they gave another", worker))
	if err != nil {
		return paid, err
	}
	emit(ctx, types.EventShortfall, types.AttrJob, j.Id, types.AttrWorker, worker, types.AttrAmount, rest)
	return paid.Add(rest), nil
}

// draw pays for a worker's next units out of the escrow.
func (k *Keeper) draw(ctx context.Context, j *types.Job, c types.Claimed, due uint64) (math.Int, error) {
	if due == 0 {
		return math.ZeroInt(), nil
	}
	before := j.Spent()
	w, err := k.worker(ctx, c.Worker)
	if err != nil {
		return math.Int{}, err
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
			return math.Int{}, err
		}
		emit(ctx, types.EventForfeited, types.AttrJob, j.Id, types.AttrWorker, c.Worker, types.AttrUnits, due)
	} else {
		if err := pay(&j.PaidWorkers, j.Gateway, covered); err != nil {
			return math.Int{}, err
		}
		if err := pay(&j.PaidWorkers, w.Operator, due-covered); err != nil {
			return math.Int{}, err
		}
		emit(ctx, types.EventClaimed, types.AttrJob, j.Id, types.AttrWorker, c.Worker, types.AttrOperator, w.Operator,
			types.AttrUnits, due, types.AttrAmount, j.WorkerPrice.Mul(math.NewIntFromUint64(due-covered)))
	}
	c.Drawn += due
	c.Units = max(c.Units, c.Drawn)
	j.UnitsClaimed += due
	return j.Spent().Sub(before), k.setClaim(ctx, c)
}
