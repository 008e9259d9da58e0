package keeper

import (
	"bytes"
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// CommitEpoch fixes an epoch's receipts and the cumulative pay. Epochs are numbered
// without gaps, so the same number can't be committed twice.
func (m msgServer) CommitEpoch(ctx context.Context, msg *types.MsgCommitEpoch) (*types.MsgCommitEpochResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	j, err := m.gatewaysJob(ctx, msg.Gateway, msg.Job, p)
	if err != nil {
		return nil, err
	}
	switch {
	case msg.Number != j.Epochs+1:
		return nil, types.ErrEpoch.Wrapf("epoch %d of job %d: the next is %d", msg.Number, j.Id, j.Epochs+1)
	case j.Epochs-j.EpochsSettled >= types.MaxPending:
		return nil, types.ErrState.Wrapf("job %d has %d epochs that are not final: wait until one settled", j.Id, types.MaxPending)
	case msg.TotalUnits-msg.Units != j.Units:
		return nil, types.ErrEpoch.Wrapf("epoch %d of job %d: %d units in all, but %d and %d were committed", msg.Number, j.Id, msg.TotalUnits, j.Units, msg.Units)
	case j.Receipts+msg.Receipts < j.Receipts:
		return nil, types.ErrInvalid.Wrapf("%d receipts are more than can be counted", msg.Receipts)
	}
	payable := msg.TotalUnits - j.PlantUnits
	if cost := j.Price.Mul(math.NewIntFromUint64(payable)); cost.GT(j.Escrow) {
		return nil, types.ErrEscrow.Wrapf("job %d: %d units cost %s anote, the escrow is %s: the buyer must add to it", j.Id, payable, cost, j.Escrow)
	}
	e := types.Epoch{
		Job: j.Id, Number: msg.Number, ReceiptsRoot: msg.ReceiptsRoot, Receipts: msg.Receipts, Units: msg.Units,
		PayRoot: msg.PayRoot, Workers: msg.Workers, TotalUnits: msg.TotalUnits,
		CommitHeight: height(ctx), Status: types.EpochStatus_EPOCH_STATUS_COMMITTED,
		ProbationReceipts: msg.ProbationReceipts, ProbationUnits: msg.ProbationUnits, ProbationAudits: p.ProbationAudits,
		Plants: msg.Plants, Refereed: p.Refereed(j.Kind), Measured: p.Measured(j.Kind),
	}
	j.Epochs, j.Units, j.Receipts = msg.Number, msg.TotalUnits, j.Receipts+msg.Receipts
	if err := m.beacons.Set(ctx, collections.Join3(e.CommitHeight, e.Job, e.Number)); err != nil {
		return nil, err
	}
	emit(ctx, types.EventEpochCommitted, types.AttrJob, j.Id, types.AttrEpoch, e.Number, types.AttrGateway, j.Gateway, types.AttrUnits, e.Units)
	if msg.Finish {
		if err := m.finish(ctx, &j, p); err != nil {
			return nil, err
		}
	}
	if err := m.setEpoch(ctx, e); err != nil {
		return nil, err
	}
	return &types.MsgCommitEpochResponse{}, m.setJob(ctx, j)
}

// OpenReceipts shows sampled receipts. It takes all of them or none.
func (m msgServer) OpenReceipts(ctx context.Context, msg *types.MsgOpenReceipts) (*types.MsgOpenReceiptsResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	j, err := m.servedJob(ctx, msg.Gateway, msg.Job)
	if err != nil {
		return nil, err
	}
	e, err := m.epoch(ctx, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	if e.Status != types.EpochStatus_EPOCH_STATUS_SAMPLED {
		return nil, types.ErrState.Wrapf("epoch %d of job %d has no samples to open: %s", e.Number, j.Id, e.Status)
	}
	pool, err := m.newAuditorPool(ctx, j, e)
	if err != nil {
		return nil, err
	}
	for _, o := range msg.Openings {
		if err := m.open(ctx, &e, o, pool, p); err != nil {
			return nil, fmt.Errorf("open sample %d of epoch %d of job %d: %w", o.Sample, e.Number, j.Id, err)
		}
	}
	if _, err := m.advance(ctx, &e, p, false); err != nil {
		return nil, err
	}
	return &types.MsgOpenReceiptsResponse{}, m.setEpoch(ctx, e)
}

// slot finds an auditor's slot in a sample.
func slot(e *types.Epoch, sample uint32, auditor []byte) (*types.Sample, *types.AuditorSlot, error) {
	if uint64(sample) >= uint64(len(e.Samples)) {
		return nil, nil, types.ErrNotFound.Wrapf("no sample %d: the epoch has %d", sample, len(e.Samples))
	}
	s := &e.Samples[sample]
	for i := range s.Slots {
		if bytes.Equal(s.Slots[i].Auditor, auditor) {
			return s, &s.Slots[i], nil
		}
	}
	return nil, nil, types.ErrUnauthorized.Wrapf("%x was not drawn as an auditor of sample %d", auditor, sample)
}

func verdictID(ctx context.Context, e types.Epoch, sample uint32, auditor []byte) (work.VerdictID, error) {
	key, err := work.KeyFromBytes(auditor)
	if err != nil {
		return work.VerdictID{}, types.ErrInvalid.Wrap(err.Error())
	}
	return work.VerdictID{Chain: chainID(ctx), Job: work.JobID(e.Job), Epoch: e.Number, Sample: sample, Auditor: key}, nil
}

// CommitVerdicts takes auditors' commitments. One that is there already is passed over,
// so that two who carry the same ones don't undo each other.
func (m msgServer) CommitVerdicts(ctx context.Context, msg *types.MsgCommitVerdicts) (*types.MsgCommitVerdictsResponse, error) {
	e, p, err := m.audited(ctx, msg, msg.Sender, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	for _, v := range msg.Verdicts {
		s, slot, err := slot(&e, v.Sample, v.Auditor)
		if err != nil {
			return nil, err
		}
		switch {
		case bytes.Equal(slot.Commitment, v.Commitment):
			continue
		case len(slot.Commitment) > 0:
			return nil, types.ErrVerdict.Wrapf("auditor %x committed another verdict on sample %d", v.Auditor, v.Sample)
		case s.Status != types.SampleStatus_SAMPLE_STATUS_OPENED:
			return nil, types.ErrDeadline.Wrapf("sample %d takes no more commitments: %s", v.Sample, s.Status)
		}
		id, err := verdictID(ctx, e, v.Sample, v.Auditor)
		if err != nil {
			return nil, err
		}
		if err := work.VerifyCommitment(id, artifact.Digest(v.Commitment), v.Signature); err != nil {
			return nil, types.ErrVerdict.Wrapf("sample %d: %v", v.Sample, err)
		}
		slot.Commitment = v.Commitment
		emit(ctx, types.EventVerdict, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, v.Sample, types.AttrWorker, v.Auditor)
	}
	if _, err := m.advance(ctx, &e, p, false); err != nil {
		return nil, err
	}
	return &types.MsgCommitVerdictsResponse{}, m.setEpoch(ctx, e)
}

// RevealVerdicts takes what the commitments hid, once nobody can commit any more.
func (m msgServer) RevealVerdicts(ctx context.Context, msg *types.MsgRevealVerdicts) (*types.MsgRevealVerdictsResponse, error) {
	e, p, err := m.audited(ctx, msg, msg.Sender, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	for _, v := range msg.Verdicts {
		s, slot, err := slot(&e, v.Sample, v.Auditor)
		if err != nil {
			return nil, err
		}
		switch {
		case slot.Outcome == v.Outcome && slot.Score == v.Score && bytes.Equal(slot.Evidence, v.Evidence):
			continue
		case slot.Outcome != types.Outcome_OUTCOME_UNSPECIFIED:
			return nil, types.ErrVerdict.Wrapf("auditor %x revealed another verdict on sample %d", v.Auditor, v.Sample)
		case s.Status == types.SampleStatus_SAMPLE_STATUS_OPENED:
			return nil, types.ErrState.Wrapf("sample %d: others may still commit; reveal when it is revealing", v.Sample)
		case s.Status != types.SampleStatus_SAMPLE_STATUS_REVEALING:
			return nil, types.ErrDeadline.Wrapf("sample %d takes no more verdicts: %s", v.Sample, s.Status)
		case len(slot.Commitment) == 0:
			return nil, types.ErrVerdict.Wrapf("auditor %x committed nothing on sample %d", v.Auditor, v.Sample)
		case v.Score != 0 && !e.Measured:
			return nil, types.ErrVerdict.Wrapf("sample %d: a score of %d, but verdicts of this kind have none", v.Sample, v.Score)
		}
		id, err := verdictID(ctx, e, v.Sample, v.Auditor)
		if err != nil {
			return nil, err
		}
		verdict := work.Verdict{Outcome: work.AuditOutcome(v.Outcome), Evidence: artifact.Digest(v.Evidence), Score: v.Score}
		if err := verdict.CheckReveal(id, [work.SaltSize]byte(v.Salt), artifact.Digest(slot.Commitment)); err != nil {
			return nil, types.ErrVerdict.Wrap(err.Error())
		}
		slot.Outcome, slot.Evidence, slot.Score = v.Outcome, v.Evidence, v.Score
		emit(ctx, types.EventRevealed, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, v.Sample,
			types.AttrWorker, v.Auditor, types.AttrOutcome, v.Outcome)
	}
	if _, err := m.advance(ctx, &e, p, false); err != nil {
		return nil, err
	}
	return &types.MsgRevealVerdictsResponse{}, m.setEpoch(ctx, e)
}

// audited returns the epoch that a message with verdicts is about.
func (m msgServer) audited(ctx context.Context, msg interface{ ValidateBasic() error }, sender string, job, number uint64) (types.Epoch, types.Params, error) {
	if err := msg.ValidateBasic(); err != nil {
		return types.Epoch{}, types.Params{}, err
	}
	if _, _, err := m.account(sender); err != nil {
		return types.Epoch{}, types.Params{}, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return types.Epoch{}, p, err
	}
	e, err := m.epoch(ctx, job, number)
	if err != nil {
		return e, p, err
	}
	if e.Status == types.EpochStatus_EPOCH_STATUS_VOID {
		return e, p, types.ErrState.Wrapf("epoch %d of job %d is void", number, job)
	}
	return e, p, nil
}
