package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// wakeAt has an epoch looked at in the EndBlock of a height.
func (k *Keeper) wakeAt(ctx context.Context, e types.Epoch, at int64) error {
	return k.epochQueue.Set(ctx, collections.Join3(at, e.Job, e.Number))
}

// drawSamples gives a committed epoch its beacon and its samples. The hash is that of the
// block that is being executed, which every validator was given alike.
func (k *Keeper) drawSamples(ctx context.Context, hash []byte, job, number uint64) error {
	e, err := k.epoch(ctx, job, number)
	if err != nil {
		return err
	}
	if e.Status != types.EpochStatus_EPOCH_STATUS_COMMITTED {
		return nil // its job was faulted meanwhile
	}
	j, err := k.job(ctx, job)
	if err != nil {
		return err
	}
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	beacon := work.Beacon(chainID(ctx), work.JobID(job), number, hash)
	e.Beacon = beacon[:]
	e.Deadline = height(ctx) + p.OpenBlocks
	shape := work.Shape{Receipts: e.Receipts, Units: e.Units, ProbationReceipts: e.ProbationReceipts, ProbationUnits: e.ProbationUnits}
	rates := work.Rates{AuditBps: j.AuditBps, ProbationBps: p.ProbationAuditBps, MaxSamples: p.MaxSamples}
	for _, unit := range work.EpochSamples(beacon, shape, rates) {
		e.Samples = append(e.Samples, types.Sample{Unit: unit, Status: types.SampleStatus_SAMPLE_STATUS_DRAWN, Deadline: e.Deadline})
	}
	e.Status = types.EpochStatus_EPOCH_STATUS_SAMPLED
	emit(ctx, types.EventEpochSampled, types.AttrJob, job, types.AttrEpoch, number, types.AttrGateway, j.Gateway,
		types.AttrSamples, len(e.Samples), types.AttrHeight, e.Deadline)
	if len(e.Samples) == 0 {
		if err := k.concludeAudits(ctx, &e, p); err != nil {
			return err
		}
	} else if err := k.wakeAt(ctx, e, e.Deadline); err != nil {
		return err
	}
	return k.setEpoch(ctx, e)
}

// open takes one opening of a sample: it proves that the receipt is the one that covers
// the drawn unit, and draws its auditors.
func (k *Keeper) open(ctx context.Context, e *types.Epoch, o types.Opening, pool *auditorPool, p types.Params) error {
	if uint64(o.Sample) >= uint64(len(e.Samples)) {
		return types.ErrNotFound.Wrapf("no sample %d: the epoch has %d", o.Sample, len(e.Samples))
	}
	s := &e.Samples[o.Sample]
	if s.Status != types.SampleStatus_SAMPLE_STATUS_DRAWN {
		return types.ErrState.Wrapf("sample %d was opened before", o.Sample)
	}
	signed, offset, err := checkLeaf(ctx, *e, o.Receipt, o.Proof)
	if err != nil {
		return err
	}
	r := signed.Receipt
	if s.Unit < offset || s.Unit-offset >= r.Units {
		return types.ErrReceipt.Wrapf("sample %d is unit %d, but the receipt covers %d units from %d", o.Sample, s.Unit, r.Units, offset)
	}
	if err := signed.Verify(); err != nil {
		return types.ErrReceipt.Wrap(err.Error())
	}
	w, err := k.worker(ctx, r.Worker[:])
	if err != nil {
		return types.ErrReceipt.Wrapf("task %d is receipted by %s, who is not enrolled", r.Seq, r.Worker)
	}
	// Its kinds and status may have changed since it did the task, and that is no fault
	// of the gateway's. But there must be a bond, and it must have been there in time: a
	// gateway can't enrol a key only once it was drawn.
	if w.Status == types.Status_STATUS_GONE || w.EnrolledHeight > e.CommitHeight {
		return types.ErrReceipt.Wrapf("task %d is receipted by %s, who had no bond when the epoch was committed", r.Seq, r.Worker)
	}
	if err := checkProbation(*e, *s, o.Proof.Index, w); err != nil {
		return err
	}

	s.Receipt, s.Index = o.Receipt, o.Proof.Index
	for i := range e.Samples {
		other := e.Samples[i]
		if i != int(o.Sample) && other.Index == s.Index && len(other.Receipt) > 0 && other.Status != types.SampleStatus_SAMPLE_STATUS_MERGED {
			return k.conclude(ctx, e, o.Sample, types.SampleStatus_SAMPLE_STATUS_MERGED)
		}
	}
	auditors, err := pool.draw(ctx, o.Sample, w, p.Auditors)
	if err != nil {
		return err
	}
	if len(auditors) == 0 {
		return k.conclude(ctx, e, o.Sample, types.SampleStatus_SAMPLE_STATUS_UNAUDITED)
	}
	s.Status = types.SampleStatus_SAMPLE_STATUS_OPENED
	s.Deadline = height(ctx) + p.VerdictCommitBlocks
	emit(ctx, types.EventSampleOpened, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, o.Sample,
		types.AttrWorker, r.Worker, types.AttrStatus, s.Status, types.AttrHeight, s.Deadline)
	for _, a := range auditors {
		s.Slots = append(s.Slots, types.AuditorSlot{Auditor: a[:]})
		emit(ctx, types.EventAuditorDrawn, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, o.Sample, types.AttrWorker, a)
	}
	if err := k.listAudits(ctx, *e, o.Sample); err != nil {
		return err
	}
	return k.wakeAt(ctx, *e, s.Deadline)
}

// checkProbation checks that a drawn receipt is in the part of the epoch where it belongs.
// The two parts are drawn from at different rates, so neither a new worker's receipts may
// hide in the part that is looked at less, nor may a part's units be another number of
// receipts than it was counted with. The gateway goes by the ledger's state before its
// commitment: a worker's upheld receipts only ever grow in number.
func checkProbation(e types.Epoch, s types.Sample, index uint64, w types.Worker) error {
	first := s.Unit < e.ProbationUnits
	switch {
	case first != (index < e.ProbationReceipts):
		return types.ErrReceipt.Wrapf("unit %d is of receipt %d, but the first %d receipts have the first %d units, said the commitment",
			s.Unit, index, e.ProbationReceipts, e.ProbationUnits)
	case !first && w.AuditsPassed < uint64(e.ProbationAudits):
		return types.ErrReceipt.Wrapf("receipt %d is by worker %x, who is on probation: it belongs to the first part of the epoch", index, w.Key)
	}
	return nil
}

// checkLeaf checks that a receipt is one of an epoch's and returns the number of units
// before it. It does not check the receipt's signature: the gateway committed to it as it is.
func checkLeaf(ctx context.Context, e types.Epoch, encoded []byte, proof types.Proof) (work.SignedReceipt, uint64, error) {
	signed, err := work.DecodeReceipt(encoded)
	if err != nil {
		return signed, 0, types.ErrReceipt.Wrap(err.Error())
	}
	r := signed.Receipt
	if r.Chain != chainID(ctx) || r.Job != work.JobID(e.Job) {
		return signed, 0, types.ErrReceipt.Wrapf("it is of job %d on %q, not of job %d on %q", r.Job, r.Chain, e.Job, chainID(ctx))
	}
	plain, err := proof.Plain()
	if err != nil {
		return signed, 0, err
	}
	offset, err := plain.Verify(e.ReceiptsTree(), work.ReceiptLeaf(encoded, r.Units))
	if err != nil {
		return signed, 0, types.ErrProof.Wrapf("receipt of task %d in epoch %d: %v", r.Seq, e.Number, err)
	}
	return signed, offset, nil
}

// advance takes an epoch's samples as far as they go. In EndBlock due is true, and what
// has passed its deadline goes on without those who were silent. It reports whether the
// gateway hid a sample; then nothing was changed.
func (k *Keeper) advance(ctx context.Context, e *types.Epoch, p types.Params, due bool) (hidden bool, err error) {
	if e.Status != types.EpochStatus_EPOCH_STATUS_SAMPLED && e.Status != types.EpochStatus_EPOCH_STATUS_AUDITING {
		return false, nil
	}
	drawn := false
	for _, s := range e.Samples {
		if s.Status == types.SampleStatus_SAMPLE_STATUS_DRAWN {
			if due && s.Deadline <= height(ctx) {
				return true, nil
			}
			drawn = true
		}
	}
	over := true
	for i := range e.Samples {
		if err := k.advanceSample(ctx, e, uint32(i), p, due); err != nil {
			return false, fmt.Errorf("sample %d of epoch %d of job %d: %w", i, e.Number, e.Job, err)
		}
		over = over && e.Samples[i].Decided()
	}
	if !drawn {
		e.Status = types.EpochStatus_EPOCH_STATUS_AUDITING
	}
	if over {
		return false, k.concludeAudits(ctx, e, p)
	}
	return false, nil
}

func (k *Keeper) advanceSample(ctx context.Context, e *types.Epoch, i uint32, p types.Params, due bool) error {
	s := &e.Samples[i]
	committed, revealed := 0, 0
	for _, slot := range s.Slots {
		if len(slot.Commitment) > 0 {
			committed++
		}
		if slot.Outcome != types.Outcome_OUTCOME_UNSPECIFIED {
			revealed++
		}
	}
	late := due && s.Deadline <= height(ctx)
	if s.Status == types.SampleStatus_SAMPLE_STATUS_OPENED && (committed == len(s.Slots) || late) {
		if committed == 0 {
			return k.decide(ctx, e, i, p)
		}
		s.Status = types.SampleStatus_SAMPLE_STATUS_REVEALING
		s.Deadline = height(ctx) + p.VerdictRevealBlocks
		emit(ctx, types.EventRevealing, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i, types.AttrHeight, s.Deadline)
		return k.wakeAt(ctx, *e, s.Deadline)
	}
	if s.Status == types.SampleStatus_SAMPLE_STATUS_REVEALING && (revealed == committed || late) {
		return k.decide(ctx, e, i, p)
	}
	return nil
}

// decide counts what a sample's auditors revealed. Two must agree that a receipt is false
// where more than one was asked: one auditor alone can't cost a worker its bond. Where the
// kind is refereed their votes cost it nothing, but one that found it false may prove that.
func (k *Keeper) decide(ctx context.Context, e *types.Epoch, i uint32, p types.Params) error {
	s := &e.Samples[i]
	for _, slot := range s.Slots {
		w, err := k.worker(ctx, slot.Auditor)
		if err != nil {
			return err
		}
		if slot.Outcome == types.Outcome_OUTCOME_UNSPECIFIED {
			w.VerdictsMissed++
			if err := k.slashWorker(ctx, &w, p.SilentAuditorSlashBps, p, "silent as an auditor"); err != nil {
				return err
			}
		} else {
			w.Verdicts++
		}
		if err := k.setWorker(ctx, w); err != nil {
			return err
		}
	}
	passes, fails := s.Count()
	switch {
	case e.Refereed && fails > 0:
		return k.conclude(ctx, e, i, types.SampleStatus_SAMPLE_STATUS_ACCUSED)
	case e.Measured && fails >= passes: // one sample convicts nobody
		return k.conclude(ctx, e, i, types.SampleStatus_SAMPLE_STATUS_UNDECIDED)
	case s.Outvoted():
		return k.conclude(ctx, e, i, types.SampleStatus_SAMPLE_STATUS_FALSE)
	case passes > fails:
		return k.conclude(ctx, e, i, types.SampleStatus_SAMPLE_STATUS_UPHELD)
	}
	return k.conclude(ctx, e, i, types.SampleStatus_SAMPLE_STATUS_UNDECIDED)
}

// concludeAudits marks an epoch whose samples are all decided. It settles once the
// challenge window has passed too, its plants are shown where it has a commitment, and its
// receipts are disputed no more where they may be.
func (k *Keeper) concludeAudits(ctx context.Context, e *types.Epoch, p types.Params) error {
	e.Status = types.EpochStatus_EPOCH_STATUS_DECIDED
	if e.Refereed {
		e.DisputeUntil = height(ctx) + p.DisputeOpenBlocks
	}
	e.Deadline = max(e.CommitHeight+p.ChallengeBlocks, height(ctx), e.DisputeUntil)
	if e.OwesPlants() {
		e.Deadline = max(e.Deadline, height(ctx)+p.OpenBlocks)
	}
	emit(ctx, types.EventEpochDecided, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrHeight, e.Deadline)
	return k.wakeAt(ctx, *e, e.Deadline)
}

// wakeEpoch does what is due for an epoch, then what follows for its job.
func (k *Keeper) wakeEpoch(ctx context.Context, job, number uint64) error {
	e, err := k.epoch(ctx, job, number)
	if err != nil {
		return err
	}
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	hidden, err := k.advance(ctx, &e, p, true)
	if err != nil {
		return err
	}
	j, err := k.job(ctx, job)
	if err != nil {
		return err
	}
	if hidden {
		if _, err := k.fault(ctx, &j, nil, fmt.Sprintf("epoch %d: a sampled receipt was not opened in time", number)); err != nil {
			return err
		}
		return k.setJob(ctx, j)
	}
	if err := k.setEpoch(ctx, e); err != nil {
		return err
	}
	if e.Status == types.EpochStatus_EPOCH_STATUS_DECIDED && e.OwesPlants() && height(ctx) >= e.Deadline {
		if _, err := k.fault(ctx, &j, nil, fmt.Sprintf("epoch %d: its plants were not shown in time", number)); err != nil {
			return err
		}
		return k.setJob(ctx, j)
	}
	return k.wakeJob(ctx, j)
}

// headerHash is the hash of the block that is being executed.
func headerHash(ctx context.Context) []byte { return sdk.UnwrapSDKContext(ctx).HeaderHash() }
