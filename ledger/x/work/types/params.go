package types

import (
	"slices"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/work"
)

// BasisPoints is the whole, in the unit of every share.
const BasisPoints = 10_000

// maxWindow bounds every window, so that sums of heights can't overflow.
const maxWindow = 1 << 40

// maxProbation bounds how many audits may be asked of a new worker.
const maxProbation = 10_000

// DefaultParams are the rules of a public network with blocks of about two seconds.
func DefaultParams() Params {
	return Params{
		MinWorkerBond:         chain.Notes(100),
		MinGatewayBond:        chain.Notes(1000),
		UnbondingBlocks:       604_800,    // 14 days
		OpenBlocks:            300,        // 10 minutes
		VerdictCommitBlocks:   1_800,      // an hour
		VerdictRevealBlocks:   900,        // half an hour
		ChallengeBlocks:       1_800,      // an hour
		AnswerBlocks:          1_800,      // an hour
		MaxJobBlocks:          15_768_000, // a year
		GraceBlocks:           43_200,     // a day
		ProtocolFeeBps:        200,
		AuditFeeBps:           300,
		MaxGatewayFeeBps:      2_000,
		MaxRoyaltyBps:         3_000,
		MinAuditBps:           100,
		MaxSamples:            32,
		Auditors:              3,
		FalseReceiptSlashBps:  5_000,
		GatewayFaultSlashBps:  1_000,
		SilentAuditorSlashBps: 10,
		ChallengeDeposit:      chain.Notes(10),
		MaxWorkersPerTx:       100,

		PassedPlantSlashBps:     500,
		OutvotedAuditorSlashBps: 10,
		ProbationAudits:         20,
		ProbationAuditBps:       2_000,

		RefereedKinds:          []string{"infer/1"},
		DisputeOpenBlocks:      900, // half an hour
		DisputeMoveBlocks:      300, // 10 minutes
		DisputeDeposit:         chain.Notes(10),
		DisputeCompensationBps: 5_000,
		DisputeRewardBps:       2_500,
		MaxOpeningBytes:        MaxOpening,

		MeasuredKinds:     []string{"infer-measured/1"},
		MeasuredThreshold: 25_000,
		MeasuredClip:      4_000,
	}
}

// DevnetParams are the rules of a one-machine network with blocks of 200 ms: an epoch
// can settle a second after its commitment, and nothing takes longer than half a minute.
func DevnetParams() Params {
	p := DefaultParams()
	p.UnbondingBlocks = 100
	p.OpenBlocks = 25
	p.VerdictCommitBlocks = 25
	p.VerdictRevealBlocks = 25
	p.ChallengeBlocks = 5
	p.AnswerBlocks = 25
	p.MaxJobBlocks = 1_000_000
	p.GraceBlocks = 100
	p.ChallengeDeposit = chain.Notes(1)
	p.AllowLoopback = true
	p.ProbationAudits = 2
	p.ProbationAuditBps = 1_000
	p.DisputeOpenBlocks = 20
	p.DisputeMoveBlocks = 50
	p.DisputeDeposit = chain.Notes(1)
	return p
}

// Validate refuses parameters under which the market's sums or windows don't work out.
func (p Params) Validate() error {
	for _, a := range []struct {
		name  string
		value math.Int
	}{
		{"min_worker_bond", p.MinWorkerBond},
		{"min_gateway_bond", p.MinGatewayBond},
		{"challenge_deposit", p.ChallengeDeposit},
		{"dispute_deposit", p.DisputeDeposit},
	} {
		if err := CheckAmount("params: "+a.name, a.value); err != nil {
			return err
		}
	}
	for _, w := range []struct {
		name  string
		value int64
	}{
		{"unbonding_blocks", p.UnbondingBlocks},
		{"open_blocks", p.OpenBlocks},
		{"verdict_commit_blocks", p.VerdictCommitBlocks},
		{"verdict_reveal_blocks", p.VerdictRevealBlocks},
		{"challenge_blocks", p.ChallengeBlocks},
		{"answer_blocks", p.AnswerBlocks},
		{"max_job_blocks", p.MaxJobBlocks},
		{"grace_blocks", p.GraceBlocks},
		{"dispute_open_blocks", p.DisputeOpenBlocks},
		{"dispute_move_blocks", p.DisputeMoveBlocks},
	} {
		if w.value < 1 || w.value > maxWindow {
			return ErrInvalid.Wrapf("params: %s is %d, want 1 to %d blocks", w.name, w.value, int64(maxWindow))
		}
	}
	// A worker that asks for its bond back right after its receipts were committed must
	// still be there to be slashed when they are judged.
	if audit := p.AuditBlocks(); p.UnbondingBlocks < audit {
		return ErrInvalid.Wrapf("params: unbonding_blocks is %d, want at least the %d that an audit may take until its receipts can't be disputed any more", p.UnbondingBlocks, audit)
	}
	for _, b := range []struct {
		name  string
		value uint32
	}{
		{"protocol_fee_bps", p.ProtocolFeeBps},
		{"audit_fee_bps", p.AuditFeeBps},
		{"max_gateway_fee_bps", p.MaxGatewayFeeBps},
		{"max_royalty_bps", p.MaxRoyaltyBps},
		{"min_audit_bps", p.MinAuditBps},
		{"false_receipt_slash_bps", p.FalseReceiptSlashBps},
		{"gateway_fault_slash_bps", p.GatewayFaultSlashBps},
		{"silent_auditor_slash_bps", p.SilentAuditorSlashBps},
		{"passed_plant_slash_bps", p.PassedPlantSlashBps},
		{"outvoted_auditor_slash_bps", p.OutvotedAuditorSlashBps},
		{"probation_audit_bps", p.ProbationAuditBps},
		{"dispute_compensation_bps", p.DisputeCompensationBps},
		{"dispute_reward_bps", p.DisputeRewardBps},
	} {
		if b.value > BasisPoints {
			return ErrInvalid.Wrapf("params: %s is %d, want at most %d", b.name, b.value, BasisPoints)
		}
	}
	if sum := p.ProtocolFeeBps + p.AuditFeeBps + p.MaxGatewayFeeBps + p.MaxRoyaltyBps; sum >= BasisPoints {
		return ErrInvalid.Wrapf("params: the greatest fees sum to %d bps, which leaves the workers nothing", sum)
	}
	switch {
	case p.MaxSamples < 1 || p.MaxSamples > 256:
		return ErrInvalid.Wrapf("params: max_samples is %d, want 1 to 256", p.MaxSamples)
	case p.Auditors < 1 || p.Auditors > 15:
		return ErrInvalid.Wrapf("params: auditors is %d, want 1 to 15", p.Auditors)
	case p.MaxWorkersPerTx < 1 || p.MaxWorkersPerTx > 1000:
		return ErrInvalid.Wrapf("params: max_workers_per_tx is %d, want 1 to 1000", p.MaxWorkersPerTx)
	case p.ProbationAudits > maxProbation:
		return ErrInvalid.Wrapf("params: probation_audits is %d, want at most %d", p.ProbationAudits, maxProbation)
	case p.MaxOpeningBytes < 1 || p.MaxOpeningBytes > MaxOpening:
		return ErrInvalid.Wrapf("params: max_opening_bytes is %d, want 1 to %d", p.MaxOpeningBytes, MaxOpening)
	}
	if err := checkKindList("refereed_kinds", p.RefereedKinds); err != nil {
		return err
	}
	return p.validateMeasured()
}

// validateMeasured sees to it that no worker is convicted for one sample, nor for two.
func (p Params) validateMeasured() error {
	if err := checkKindList("measured_kinds", p.MeasuredKinds); err != nil {
		return err
	}
	if i := slices.IndexFunc(p.MeasuredKinds, p.Refereed); i >= 0 {
		return ErrInvalid.Wrapf("params: %s is refereed and measured: want one", p.MeasuredKinds[i])
	}
	if p.MeasuredClip < 1 || p.MeasuredClip > work.MaxScore || p.MeasuredThreshold < 3*p.MeasuredClip || p.MeasuredThreshold > 1000*work.MaxScore {
		return ErrInvalid.Wrapf("params: measured_threshold is %d and measured_clip %d: want a clip of 1 to %d, and at least three times that", p.MeasuredThreshold, p.MeasuredClip, work.MaxScore)
	}
	return nil
}

func checkKindList(name string, kinds []string) error {
	if len(kinds) > MaxKinds {
		return ErrInvalid.Wrapf("params: %d %s, at most %d", len(kinds), name, MaxKinds)
	}
	for i, k := range kinds {
		if err := work.Name(k).Check(); err != nil {
			return ErrInvalid.Wrapf("params: %s: %v", name, err)
		}
		if slices.Contains(kinds[:i], k) {
			return ErrInvalid.Wrapf("params: %s names %s twice", name, k)
		}
	}
	return nil
}

// AuditBlocks is how long after its commitment an epoch's receipts may still be judged, but
// for those of which a dispute is open.
func (p Params) AuditBlocks() int64 {
	return 1 + p.OpenBlocks + p.VerdictCommitBlocks + p.VerdictRevealBlocks + p.DisputeOpenBlocks
}

// Refereed reports whether disputes decide what receipts of a kind are false.
func (p Params) Refereed(kind string) bool { return slices.Contains(p.RefereedKinds, kind) }

// Measured reports whether sums of scores decide what receipts of a kind are false.
func (p Params) Measured(kind string) bool { return slices.Contains(p.MeasuredKinds, kind) }

// Share is floor(amount · bps / 10,000).
func Share(amount math.Int, bps uint32) math.Int {
	return amount.MulRaw(int64(bps)).QuoRaw(BasisPoints)
}
