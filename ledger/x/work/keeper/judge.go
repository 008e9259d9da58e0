package keeper

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// conclude ends a sample's audit. What follows for its worker and its auditors follows at
// once, unless the receipt may turn out to be a plant: then a worker whose receipt was
// found false is only charged, which keeps its bond here until the plants are shown.
func (k *Keeper) conclude(ctx context.Context, e *types.Epoch, i uint32, status types.SampleStatus) error {
	s := &e.Samples[i]
	if err := k.unlistAudits(ctx, *e, i); err != nil {
		return err
	}
	s.Status = status
	s.Deadline = 0
	signed, err := work.DecodeReceipt(s.Receipt)
	if err != nil {
		return err
	}
	key := signed.Receipt.Worker
	emit(ctx, types.EventSampleDecided, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i,
		types.AttrWorker, key, types.AttrStatus, status)
	found := status == types.SampleStatus_SAMPLE_STATUS_FALSE
	if e.Refereed && !found {
		return nil // until the epoch settles somebody may prove it false
	}
	if !e.OwesPlants() || e.Status == types.EpochStatus_EPOCH_STATUS_VOID {
		return k.judge(ctx, *e, i, circumstances{})
	}
	if !found {
		return nil
	}
	w, err := k.worker(ctx, key[:])
	if err != nil {
		return err
	}
	w.Charges++
	return k.setWorker(ctx, w)
}

// circumstances of a decided sample that it does not show itself.
type circumstances struct {
	charged  bool // its worker was charged meanwhile
	doubtful bool // as doubtful says; only the end of an epoch knows
}

// judge has a decided sample's consequences, once it is known whether it is a plant and, if
// its kind is refereed, whether anybody proves it false. It is called once for each sample.
func (k *Keeper) judge(ctx context.Context, e types.Epoch, i uint32, c circumstances) error {
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	if e.Measured {
		if err := k.measure(ctx, e, i, p); err != nil {
			return fmt.Errorf("measure the worker of sample %d: %w", i, err)
		}
	}
	s := e.Samples[i]
	if err := k.judgeWorker(ctx, e, s, c.charged); err != nil {
		return fmt.Errorf("judge the worker of sample %d: %w", i, err)
	}
	for _, slot := range s.Slots {
		bps, why := fine(s, slot, e, p)
		if c.doubtful && slot.Outcome == types.Outcome_OUTCOME_FAIL {
			bps = 0
		}
		passed := s.Plant && slot.Outcome == types.Outcome_OUTCOME_PASS
		if bps == 0 && !passed {
			continue
		}
		w, err := k.worker(ctx, slot.Auditor)
		if err != nil {
			return err
		}
		if passed {
			w.PlantsPassed++
			emit(ctx, types.EventPlantPassed, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i, types.AttrWorker, slot.Auditor)
		}
		if bps > 0 {
			if err := k.slashWorker(ctx, &w, bps, p, why); err != nil {
				return err
			}
		}
		if err := k.setWorker(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// fine is the share of its bond that an auditor loses by its verdict. A plant that the
// majority upheld costs nobody anything: else a gateway could rob honest auditors by
// calling a true receipt a plant. Where the kind is refereed, what was found false and not
// proved costs who found it, and what was passed costs only who passed a receipt that the
// ledger computed to be false: that a worker was silent shows nobody to be wrong. Where it is
// measured, nobody was surely wrong but who passed a plant.
func fine(s types.Sample, slot types.AuditorSlot, e types.Epoch, p types.Params) (uint32, string) {
	var (
		pass  = slot.Outcome == types.Outcome_OUTCOME_PASS
		fail  = slot.Outcome == types.Outcome_OUTCOME_FAIL
		found = s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE
		kept  = s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD
	)
	switch {
	case s.Plant && pass && (found && s.Proved || (found || e.Measured) && s.Outvoted()):
		return p.PassedPlantSlashBps, "passed a plant"
	case s.Plant, e.Measured:
	case found && pass && s.Proved:
		return p.PassedPlantSlashBps, "passed a receipt that the ledger proved false"
	case found && pass && e.Refereed:
	case e.Refereed && !found && fail:
		return p.OutvotedAuditorSlashBps, "found false what nobody proved false"
	case found && pass, kept && fail:
		return p.OutvotedAuditorSlashBps, "outvoted as an auditor"
	}
	return 0, ""
}

// doubtful reports whether nobody proved a receipt false whose worker was convicted by
// another one of the same job, or may yet be. Who lies a hundred times within a window in
// which ten lies can be disputed would else have those fined who found him out. Such a worker
// is paid for nothing in the job, so the others need no proof. To excuse false accusations
// so, a dispute has to be lost, which costs ten times a fine.
func (k *Keeper) doubtful(ctx context.Context, e types.Epoch, s types.Sample) (bool, error) {
	if _, fails := s.Count(); !e.Refereed || fails == 0 || s.Plant || s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE {
		return false, nil
	}
	signed, err := work.DecodeReceipt(s.Receipt)
	if err != nil {
		return false, err
	}
	c, err := k.claimOf(ctx, e.Job, signed.Receipt.Worker[:])
	if err != nil || c.Forfeited {
		return c.Forfeited, err
	}
	w, err := k.worker(ctx, signed.Receipt.Worker[:])
	return w.Disputes > 0, err
}

// judgeWorker has a decided sample's consequences for the worker that it is of: none for
// a plant's.
func (k *Keeper) judgeWorker(ctx context.Context, e types.Epoch, s types.Sample, charged bool) error {
	upheld := s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD
	found := s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE
	if !found && (!upheld || s.Plant) {
		return nil
	}
	signed, err := work.DecodeReceipt(s.Receipt)
	if err != nil {
		return err
	}
	w, err := k.worker(ctx, signed.Receipt.Worker[:])
	if err != nil {
		return err
	}
	if charged {
		w.Charges--
	}
	switch {
	case s.Plant:
	case upheld:
		w.AuditsPassed++
	case found:
		w.AuditsFailed++
		if err := k.punish(ctx, &w, e.Job, s.Challenger); err != nil {
			return err
		}
	}
	return k.setWorker(ctx, w)
}

// judgeBlind has the consequences of the audits in an epoch whose plants will never be
// shown, because its job was faulted. What was found false counts. What was upheld counts
// for nobody: who found it false may have found a plant.
func (k *Keeper) judgeBlind(ctx context.Context, e *types.Epoch) error {
	for i := range e.Samples {
		if e.Samples[i].Status != types.SampleStatus_SAMPLE_STATUS_FALSE {
			continue
		}
		if err := k.judge(ctx, *e, uint32(i), circumstances{charged: true}); err != nil {
			return err
		}
	}
	return nil
}

// punish jails a worker that was proved to have cheated: it loses a part of its bond and
// its pay in the job, and what is left of the bond is on its way back. The challenger whose
// dispute showed it, if one did, has a share of what it loses.
func (k *Keeper) punish(ctx context.Context, w *types.Worker, job uint64, challenger string) error {
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	switch w.Status {
	case types.Status_STATUS_ACTIVE, types.Status_STATUS_PAUSED, types.Status_STATUS_UNBONDING:
		if err := k.setWorkerStatus(ctx, w, types.Status_STATUS_JAILED); err != nil {
			return err
		}
		w.ReleaseHeight = height(ctx) + p.UnbondingBlocks
		if err := k.queueRelease(ctx, w.ReleaseHeight, workerBond(w.Key)); err != nil {
			return err
		}
	}
	if err := k.slashForReceipt(ctx, w, challenger, p); err != nil {
		return err
	}
	c, err := k.claimOf(ctx, job, w.Key)
	if err != nil {
		return err
	}
	c.Forfeited = true
	return k.setClaim(ctx, c)
}
