package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// wakeJob settles what can be settled of a job, closes it when nothing is left to do, and
// stores it.
func (k *Keeper) wakeJob(ctx context.Context, j types.Job) error {
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	for j.Live() && j.OpenChallenges == 0 && j.EpochsSettled < j.Epochs {
		e, err := k.epoch(ctx, j.Id, j.EpochsSettled+1)
		if err != nil {
			return err
		}
		if e.Status != types.EpochStatus_EPOCH_STATUS_DECIDED || height(ctx) < e.Deadline || e.OwesPlants() || e.OpenDisputes > 0 {
			break
		}
		if err := k.settle(ctx, &j, &e); err != nil {
			return fmt.Errorf("settle epoch %d of job %d: %w", e.Number, j.Id, err)
		}
		if err := k.setEpoch(ctx, e); err != nil {
			return err
		}
	}
	if j.Status == types.JobStatus_JOB_STATUS_OPEN && height(ctx) >= j.ExpiryHeight {
		if err := k.startClosing(ctx, &j, p, "expired"); err != nil {
			return err
		}
	}
	if j.Status == types.JobStatus_JOB_STATUS_CLOSING {
		graceEnd := j.ClosingHeight + p.GraceBlocks
		switch {
		case !j.Finished && height(ctx) <= graceEnd:
			if err := k.jobQueue.Set(ctx, collections.Join(graceEnd+1, j.Id)); err != nil {
				return err
			}
		case j.EpochsSettled == j.Epochs && j.OpenChallenges == 0:
			if err := k.close(ctx, &j); err != nil {
				return fmt.Errorf("close job %d: %w", j.Id, err)
			}
		}
	}
	return k.setJob(ctx, j)
}

// settle makes an epoch final: everybody but the workers is paid for its units, and the
// workers' part becomes payable. Nobody is paid for plants: the buyer keeps their price.
func (k *Keeper) settle(ctx context.Context, j *types.Job, e *types.Epoch) error {
	if e.Refereed {
		if err := k.resolveSamples(ctx, e); err != nil {
			return err
		}
	}
	if err := k.bookPlants(ctx, j, *e); err != nil {
		return err
	}
	units := math.NewIntFromUint64(e.PayableUnits())
	if err := k.spend(ctx, j, &j.PaidGateway, j.Gateway, j.GatewayPrice.Mul(units)); err != nil {
		return err
	}
	for _, r := range j.Royalties {
		owner, _, err := k.account(r.Owner)
		if err != nil || k.bank.BlockedAddr(owner) {
			continue // an artifact was given to nobody who can be paid: the buyer keeps the share
		}
		if err := k.spend(ctx, j, &j.PaidRoyalties, r.Owner, r.Price.Mul(units)); err != nil {
			return err
		}
	}
	if err := k.payAuditors(ctx, j, e, j.AuditPrice.Mul(units)); err != nil {
		return err
	}
	if err := k.spendBurn(ctx, j, j.BurnPrice.Mul(units)); err != nil {
		return err
	}

	label := work.Asserted
	if upheld(*e) {
		label = e.Audited()
	}
	e.Label = string(label)
	if j.EpochsSettled > 0 {
		label = work.Weakest(work.Label(j.Label), label)
	}
	j.Label = string(label)
	var previous [32]byte
	copy(previous[:], j.SettledRoot)
	root := work.SettledRoot(previous, work.JobID(j.Id), e.Number, e.ReceiptsTree().Hash)
	j.SettledRoot = root[:]
	j.EpochsSettled++
	j.UnitsSettled += e.PayableUnits()
	e.Status = types.EpochStatus_EPOCH_STATUS_SETTLED
	e.SettledHeight = height(ctx)
	e.Deadline = 0
	emit(ctx, types.EventEpochSettled, types.AttrJob, j.Id, types.AttrEpoch, e.Number, types.AttrGateway, j.Gateway,
		types.AttrUnits, e.PayableUnits(), types.AttrLabel, e.Label, types.AttrRoot, j.SettledRoot)
	return nil
}

// upheld reports whether every audit of the epoch found its receipt true, and there was
// one. Plants say nothing about the work and don't count.
func upheld(e types.Epoch) bool {
	any := false
	for _, s := range e.Samples {
		switch {
		case s.Plant || s.Status == types.SampleStatus_SAMPLE_STATUS_MERGED:
		case s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD:
			any = true
		default:
			return false
		}
	}
	return any
}

// earned reports whether a slot did its part: it saw through a plant, or it revealed what
// the majority found, or anything where there was no majority.
func earned(s types.Sample, slot types.AuditorSlot) bool {
	if s.Plant {
		return slot.Outcome == types.Outcome_OUTCOME_FAIL
	}
	switch s.Status {
	case types.SampleStatus_SAMPLE_STATUS_UPHELD:
		return slot.Outcome == types.Outcome_OUTCOME_PASS
	case types.SampleStatus_SAMPLE_STATUS_FALSE:
		return slot.Outcome == types.Outcome_OUTCOME_FAIL
	case types.SampleStatus_SAMPLE_STATUS_UNDECIDED:
		return slot.Outcome != types.Outcome_OUTCOME_UNSPECIFIED
	}
	return false
}

// payAuditors divides a pool equally among the slots that earned it. What is left over
// stays in the escrow, and so with the buyer.
func (k *Keeper) payAuditors(ctx context.Context, j *types.Job, e *types.Epoch, pool math.Int) error {
	n := 0
	for _, s := range e.Samples {
		for _, slot := range s.Slots {
			if earned(s, slot) {
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	share := pool.QuoRaw(int64(n))
	for i := range e.Samples {
		for a := range e.Samples[i].Slots {
			slot := &e.Samples[i].Slots[a]
			if !earned(e.Samples[i], *slot) {
				continue
			}
			w, err := k.worker(ctx, slot.Auditor)
			if err != nil {
				return err
			}
			if err := k.spend(ctx, j, &j.PaidAuditors, w.Operator, share); err != nil {
				return err
			}
			slot.Paid = true
		}
	}
	return nil
}

// startClosing ends a job's new work. The gateway may still commit what was done.
func (k *Keeper) startClosing(ctx context.Context, j *types.Job, p types.Params, reason string) error {
	j.Status = types.JobStatus_JOB_STATUS_CLOSING
	j.ClosingHeight = height(ctx)
	emit(ctx, types.EventJobClosing, types.AttrJob, j.Id, types.AttrGateway, j.Gateway, types.AttrReason, reason)
	return k.jobQueue.Set(ctx, collections.Join(j.ClosingHeight+p.GraceBlocks+1, j.Id))
}

// mayCommit reports whether the gateway may still commit epochs of a job.
func mayCommit(ctx context.Context, j types.Job, p types.Params) bool {
	switch j.Status {
	case types.JobStatus_JOB_STATUS_OPEN:
		return true
	case types.JobStatus_JOB_STATUS_CLOSING:
		return !j.Finished && height(ctx) <= j.ClosingHeight+p.GraceBlocks
	}
	return false
}

// close ends a job of which nothing is open. What the workers have not claimed yet stays
// in the escrow for them; the rest goes back to the buyer.
func (k *Keeper) close(ctx context.Context, j *types.Job) error {
	refund, err := k.refund(ctx, j)
	if err != nil {
		return err
	}
	j.Status = types.JobStatus_JOB_STATUS_CLOSED
	emit(ctx, types.EventJobClosed, types.AttrJob, j.Id, types.AttrGateway, j.Gateway, types.AttrAmount, refund)
	return k.leaveGateway(ctx, *j)
}

// refund pays the buyer what is left in the escrow and not payable to workers.
func (k *Keeper) refund(ctx context.Context, j *types.Job) (math.Int, error) {
	amount := j.Left().Sub(j.Payable())
	return amount, k.spend(ctx, j, &j.Refunded, j.Buyer, amount)
}

// leaveGateway takes a job that is no longer live off its gateway's count.
func (k *Keeper) leaveGateway(ctx context.Context, j types.Job) error {
	if err := k.live.Remove(ctx, j.Id); err != nil {
		return err
	}
	addr, _, err := k.account(j.Gateway)
	if err != nil {
		return err
	}
	g, err := k.gateway(ctx, addr)
	if err != nil {
		return err
	}
	g.OpenJobs--
	if c := g.Cell(j.Cell); c != nil {
		c.OpenJobs--
	}
	return k.setGateway(ctx, g)
}

// fault ends a job whose gateway was proved at fault: the gateway is slashed and paused,
// epochs that are not settled are void, and what they would have cost goes back to the
// buyer. A gateway is slashed once for each job. It changes j but does not store it, and
// returns the informer's reward.
func (k *Keeper) fault(ctx context.Context, j *types.Job, informer sdk.AccAddress, reason string) (math.Int, error) {
	if j.Status == types.JobStatus_JOB_STATUS_FAULTED {
		return math.ZeroInt(), nil
	}
	p, err := k.Params(ctx)
	if err != nil {
		return math.Int{}, err
	}
	addr, _, err := k.account(j.Gateway)
	if err != nil {
		return math.Int{}, err
	}
	g, err := k.gateway(ctx, addr)
	if err != nil {
		return math.Int{}, err
	}
	reward, err := k.slashGateway(ctx, &g, j.Id, informer, p, reason)
	if err != nil {
		return reward, err
	}
	if err := k.setGateway(ctx, g); err != nil {
		return reward, err
	}
	refund := math.ZeroInt()
	if j.Live() {
		for n := j.EpochsSettled + 1; n <= j.Epochs; n++ { // at most types.MaxPending
			if err := k.void(ctx, j.Id, n); err != nil {
				return reward, err
			}
		}
		if refund, err = k.refund(ctx, j); err != nil {
			return reward, err
		}
		if err := k.leaveGateway(ctx, *j); err != nil {
			return reward, err
		}
		if j.ClosingHeight == 0 {
			j.ClosingHeight = height(ctx)
		}
	}
	j.Status = types.JobStatus_JOB_STATUS_FAULTED
	emit(ctx, types.EventJobFaulted, types.AttrJob, j.Id, types.AttrGateway, j.Gateway, types.AttrReason, reason, types.AttrAmount, refund)
	return reward, nil
}

// void ends an epoch that will never be paid. What auditors found in it still counts.
func (k *Keeper) void(ctx context.Context, job, number uint64) error {
	e, err := k.epoch(ctx, job, number)
	if err != nil {
		return err
	}
	if e.OwesPlants() {
		if err := k.judgeBlind(ctx, &e); err != nil {
			return err
		}
	}
	for i := range e.Samples {
		if err := k.unlistAudits(ctx, e, uint32(i)); err != nil {
			return err
		}
	}
	e.Status = types.EpochStatus_EPOCH_STATUS_VOID
	e.Deadline = 0
	emit(ctx, types.EventEpochVoid, types.AttrJob, job, types.AttrEpoch, number)
	return k.setEpoch(ctx, e)
}
