package types

import (
	"bytes"
	"slices"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/work"
)

// Every message checks what it can without the ledger's state. Addresses are read with
// the application's codec by the keeper.
var (
	_ sdk.HasValidateBasic = (*MsgUpdateParams)(nil)
	_ sdk.HasValidateBasic = (*MsgRegisterOperator)(nil)
	_ sdk.HasValidateBasic = (*MsgEnrollWorkers)(nil)
	_ sdk.HasValidateBasic = (*MsgUpdateWorker)(nil)
	_ sdk.HasValidateBasic = (*MsgUnbondWorkers)(nil)
	_ sdk.HasValidateBasic = (*MsgRegisterGateway)(nil)
	_ sdk.HasValidateBasic = (*MsgUpdateGateway)(nil)
	_ sdk.HasValidateBasic = (*MsgUnbondGateway)(nil)
	_ sdk.HasValidateBasic = (*MsgSetCells)(nil)
	_ sdk.HasValidateBasic = (*MsgTopUpBond)(nil)
	_ sdk.HasValidateBasic = (*MsgOpenJob)(nil)
	_ sdk.HasValidateBasic = (*MsgTopUpJob)(nil)
	_ sdk.HasValidateBasic = (*MsgCloseJob)(nil)
	_ sdk.HasValidateBasic = (*MsgFinishJob)(nil)
	_ sdk.HasValidateBasic = (*MsgCommitEpoch)(nil)
	_ sdk.HasValidateBasic = (*MsgOpenReceipts)(nil)
	_ sdk.HasValidateBasic = (*MsgCommitVerdicts)(nil)
	_ sdk.HasValidateBasic = (*MsgRevealVerdicts)(nil)
	_ sdk.HasValidateBasic = (*MsgRevealPlants)(nil)
	_ sdk.HasValidateBasic = (*MsgClaim)(nil)
	_ sdk.HasValidateBasic = (*MsgChallengeVoucher)(nil)
	_ sdk.HasValidateBasic = (*MsgAnswerChallenge)(nil)
	_ sdk.HasValidateBasic = (*MsgChallengeDuplicate)(nil)
	_ sdk.HasValidateBasic = (*MsgOpenDispute)(nil)
	_ sdk.HasValidateBasic = (*MsgAnswerDispute)(nil)
	_ sdk.HasValidateBasic = (*MsgDescend)(nil)
	_ sdk.HasValidateBasic = (*MsgDecide)(nil)
	_ sdk.HasValidateBasic = (*MsgContradict)(nil)
)

// ValidateBasic checks the new parameters.
func (m *MsgUpdateParams) ValidateBasic() error { return m.Params.Validate() }

// ValidateBasic checks the texts.
func (m *MsgRegisterOperator) ValidateBasic() error {
	if err := CheckText("moniker", m.Moniker, MaxMoniker); err != nil {
		return err
	}
	return CheckText("contact", m.Contact, MaxContact)
}

// ValidateBasic checks one enrollment but for its signature.
func (e Enrollment) ValidateBasic() error {
	if err := CheckKey(e.Key); err != nil {
		return err
	}
	if err := CheckKinds(e.Kinds); err != nil {
		return err
	}
	if err := CheckText("network", e.Network, MaxPlace); err != nil {
		return err
	}
	if err := CheckText("region", e.Region, MaxPlace); err != nil {
		return err
	}
	if err := CheckAmount("bond", e.Bond); err != nil {
		return err
	}
	return checkSignature(e.Signature)
}

// ValidateBasic checks every enrollment.
func (m *MsgEnrollWorkers) ValidateBasic() error {
	if err := checkBatch("workers", len(m.Workers)); err != nil {
		return err
	}
	for i, w := range m.Workers {
		if err := w.ValidateBasic(); err != nil {
			return ErrInvalid.Wrapf("worker %d of the message: %v", i, err)
		}
	}
	return nil
}

// ValidateBasic checks what is to change.
func (m *MsgUpdateWorker) ValidateBasic() error {
	if err := CheckKey(m.Key); err != nil {
		return err
	}
	if err := checkStatus(m.Status); err != nil {
		return err
	}
	if len(m.Kinds) > 0 {
		if err := CheckKinds(m.Kinds); err != nil {
			return err
		}
	}
	if err := CheckText("network", m.Network, MaxPlace); err != nil {
		return err
	}
	return CheckText("region", m.Region, MaxPlace)
}

func checkStatus(s Status) error {
	switch s {
	case Status_STATUS_UNSPECIFIED, Status_STATUS_ACTIVE, Status_STATUS_PAUSED:
		return nil
	}
	return ErrInvalid.Wrapf("status %s: want active or paused", s)
}

// ValidateBasic checks the keys.
func (m *MsgUnbondWorkers) ValidateBasic() error {
	if err := checkBatch("workers", len(m.Keys)); err != nil {
		return err
	}
	for i, k := range m.Keys {
		if err := CheckKey(k); err != nil {
			return err
		}
		if slices.ContainsFunc(m.Keys[:i], func(o []byte) bool { return bytes.Equal(o, k) }) {
			return ErrInvalid.Wrapf("worker %x is named twice", k)
		}
	}
	return nil
}

// ValidateBasic checks everything but the signature.
func (m *MsgRegisterGateway) ValidateBasic() error {
	if err := CheckKey(m.Key); err != nil {
		return err
	}
	if err := CheckURL(m.Url); err != nil {
		return err
	}
	if err := CheckAmount("bond", m.Bond); err != nil {
		return err
	}
	if m.FeeBps > BasisPoints {
		return ErrInvalid.Wrapf("fee of %d bps, at most %d", m.FeeBps, BasisPoints)
	}
	return checkSignature(m.Signature)
}

// ValidateBasic checks what is to change.
func (m *MsgUpdateGateway) ValidateBasic() error {
	if m.Url != "" {
		if err := CheckURL(m.Url); err != nil {
			return err
		}
	}
	if m.FeeBps > BasisPoints {
		return ErrInvalid.Wrapf("fee of %d bps, at most %d", m.FeeBps, BasisPoints)
	}
	return checkStatus(m.Status)
}

// ValidateBasic has nothing to check.
func (m *MsgUnbondGateway) ValidateBasic() error { return nil }

// ValidateBasic checks everything but the addresses.
func (m *MsgSetCells) ValidateBasic() error {
	for _, c := range m.Cells {
		if c.OpenJobs != 0 {
			return ErrInvalid.Wrapf("cell %s: the ledger counts its jobs", c.Name)
		}
	}
	return CheckCells(m.Cells)
}

// ValidateBasic checks the amount and the worker, if there is one.
func (m *MsgTopUpBond) ValidateBasic() error {
	if len(m.Worker) > 0 {
		if err := CheckKey(m.Worker); err != nil {
			return err
		}
	}
	return CheckAmount("bond", m.Amount)
}

// ValidateBasic checks the terms of a job.
func (m *MsgOpenJob) ValidateBasic() error {
	if err := work.Name(m.Kind).Check(); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if err := CheckDigest("spec digest", m.SpecDigest); err != nil {
		return err
	}
	if err := CheckAmount("escrow", m.Escrow); err != nil {
		return err
	}
	if err := CheckAmount("price", m.Price); err != nil {
		return err
	}
	switch {
	case m.Escrow.LT(m.Price):
		return ErrInvalid.Wrapf("an escrow of %s anote does not pay one unit of %s anote", m.Escrow, m.Price)
	case m.AuditBps > BasisPoints:
		return ErrInvalid.Wrapf("audit rate of %d bps, at most %d", m.AuditBps, BasisPoints)
	case m.MaxGatewayFeeBps > BasisPoints:
		return ErrInvalid.Wrapf("gateway fee of at most %d bps, want no more than %d", m.MaxGatewayFeeBps, BasisPoints)
	case m.ExpiryBlocks < 1 || m.ExpiryBlocks > maxWindow:
		return ErrInvalid.Wrapf("expiry in %d blocks, want at least 1", m.ExpiryBlocks)
	case m.EpochBlocks < 1 || m.EpochBlocks > m.ExpiryBlocks:
		return ErrInvalid.Wrapf("an epoch of %d blocks, want 1 to the job's %d", m.EpochBlocks, m.ExpiryBlocks)
	}
	if m.Cell != "" {
		if err := CheckCellName(m.Cell); err != nil {
			return err
		}
	}
	return CheckUses(m.Uses)
}

// ValidateBasic checks the amount.
func (m *MsgTopUpJob) ValidateBasic() error {
	if err := checkJob(m.Job); err != nil {
		return err
	}
	return CheckAmount("escrow", m.Amount)
}

// ValidateBasic checks that a job is named.
func (m *MsgCloseJob) ValidateBasic() error { return checkJob(m.Job) }

// ValidateBasic checks that a job is named.
func (m *MsgFinishJob) ValidateBasic() error { return checkJob(m.Job) }

func checkJob(id uint64) error {
	if id == 0 {
		return ErrInvalid.Wrap("job 0: they count from 1")
	}
	return nil
}

func checkEpoch(job, number uint64) error {
	if job == 0 || number == 0 {
		return ErrInvalid.Wrapf("job %d, epoch %d: both count from 1", job, number)
	}
	return nil
}

// ValidateBasic checks the commitment by itself.
func (m *MsgCommitEpoch) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Number); err != nil {
		return err
	}
	if err := CheckDigest("receipts root", m.ReceiptsRoot); err != nil {
		return err
	}
	if err := CheckDigest("pay root", m.PayRoot); err != nil {
		return err
	}
	switch {
	case m.Receipts == 0:
		return ErrInvalid.Wrap("an epoch without receipts")
	case m.Workers == 0:
		return ErrInvalid.Wrap("a pay tree without workers")
	case m.TotalUnits < m.Units:
		return ErrInvalid.Wrapf("%d units in all are fewer than the epoch's %d", m.TotalUnits, m.Units)
	}
	if len(m.Plants) > 0 {
		if err := CheckDigest("commitment to the plants", m.Plants); err != nil {
			return err
		}
	}
	return checkProbation(m.ProbationReceipts, m.ProbationUnits, m.Receipts, m.Units)
}

// checkProbation checks the part of an epoch that is by workers on probation. A part of
// receipts without a unit can't be sampled, and is not named.
func checkProbation(receipts, units, ofReceipts, ofUnits uint64) error {
	switch {
	case (receipts == 0) != (units == 0):
		return ErrInvalid.Wrapf("%d receipts of workers on probation with %d units: both or neither are zero", receipts, units)
	case receipts > ofReceipts || units > ofUnits:
		return ErrInvalid.Wrapf("%d receipts and %d units of workers on probation are more than the epoch's %d and %d", receipts, units, ofReceipts, ofUnits)
	}
	return nil
}

// ValidateBasic checks the openings' sizes.
func (m *MsgOpenReceipts) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	if err := checkBatch("openings", len(m.Openings)); err != nil {
		return err
	}
	for _, o := range m.Openings {
		if err := checkReceipt(o.Receipt); err != nil {
			return err
		}
		if _, err := o.Proof.Plain(); err != nil {
			return err
		}
	}
	return nil
}

func checkReceipt(b []byte) error {
	if len(b) == 0 || len(b) > work.MaxReceipt {
		return ErrInvalid.Wrapf("receipt of %d bytes, want 1 to %d", len(b), work.MaxReceipt)
	}
	return nil
}

// ValidateBasic checks the commitments' sizes.
func (m *MsgCommitVerdicts) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	if err := checkBatch("verdicts", len(m.Verdicts)); err != nil {
		return err
	}
	for _, v := range m.Verdicts {
		if err := CheckKey(v.Auditor); err != nil {
			return err
		}
		if err := CheckDigest("commitment", v.Commitment); err != nil {
			return err
		}
		if err := checkSignature(v.Signature); err != nil {
			return err
		}
	}
	return nil
}

// ValidateBasic checks the reveals' sizes.
func (m *MsgRevealVerdicts) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	if err := checkBatch("verdicts", len(m.Verdicts)); err != nil {
		return err
	}
	for _, v := range m.Verdicts {
		if err := CheckKey(v.Auditor); err != nil {
			return err
		}
		switch {
		case v.Outcome < Outcome_OUTCOME_PASS || v.Outcome > Outcome_OUTCOME_UNSURE:
			return ErrInvalid.Wrapf("outcome %d: want pass, fail or unsure", v.Outcome)
		case len(v.Evidence) != 32:
			return ErrInvalid.Wrapf("evidence: a digest of %d bytes, want 32", len(v.Evidence))
		case len(v.Salt) != work.SaltSize:
			return ErrInvalid.Wrapf("salt of %d bytes, want %d", len(v.Salt), work.SaltSize)
		case v.Score < -work.MaxScore || v.Score > work.MaxScore:
			return ErrInvalid.Wrapf("score %d, want at most %d either way", v.Score, work.MaxScore)
		}
	}
	return nil
}

// ValidateBasic checks the plants' sizes and their order.
func (m *MsgRevealPlants) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	switch {
	case len(m.Salt) != work.SaltSize:
		return ErrInvalid.Wrapf("salt of %d bytes, want %d", len(m.Salt), work.SaltSize)
	case len(m.Plants) > work.MaxPlants:
		return ErrInvalid.Wrapf("%d plants, at most %d", len(m.Plants), work.MaxPlants)
	}
	for i, r := range m.Plants {
		if err := checkReceipt(r.Receipt); err != nil {
			return err
		}
		if _, err := r.Proof.Plain(); err != nil {
			return err
		}
		if i > 0 && m.Plants[i-1].Proof.Index >= r.Proof.Index {
			return ErrInvalid.Wrapf("plants are not in ascending order: %d before %d", m.Plants[i-1].Proof.Index, r.Proof.Index)
		}
	}
	return nil
}

func (p PayProof) validate() error {
	if err := CheckKey(p.Worker); err != nil {
		return err
	}
	_, err := p.Proof.Plain()
	return err
}

// ValidateBasic checks the proofs' sizes.
func (m *MsgClaim) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	if err := checkBatch("claims", len(m.Claims)); err != nil {
		return err
	}
	for _, c := range m.Claims {
		if err := c.validate(); err != nil {
			return err
		}
	}
	return nil
}

// ValidateBasic checks the voucher's size.
func (m *MsgChallengeVoucher) ValidateBasic() error {
	if len(m.Voucher) == 0 || len(m.Voucher) > work.MaxVoucher {
		return ErrInvalid.Wrapf("voucher of %d bytes, want 1 to %d", len(m.Voucher), work.MaxVoucher)
	}
	return nil
}

// ValidateBasic checks the proof's size.
func (m *MsgAnswerChallenge) ValidateBasic() error {
	if m.Challenge == 0 || m.Epoch == 0 {
		return ErrInvalid.Wrapf("challenge %d, epoch %d: both count from 1", m.Challenge, m.Epoch)
	}
	return m.Pay.validate()
}

// ValidateBasic checks that the two receipts are in two places.
func (m *MsgChallengeDuplicate) ValidateBasic() error {
	for _, r := range []CommittedReceipt{m.First, m.Second} {
		if err := checkEpoch(m.Job, r.Epoch); err != nil {
			return err
		}
		if err := checkReceipt(r.Receipt); err != nil {
			return err
		}
		if _, err := r.Proof.Plain(); err != nil {
			return err
		}
	}
	if m.First.Epoch == m.Second.Epoch && m.First.Proof.Index == m.Second.Proof.Index {
		return ErrInvalid.Wrapf("both are receipt %d of epoch %d: one receipt is no duplicate", m.First.Proof.Index, m.First.Epoch)
	}
	return nil
}
