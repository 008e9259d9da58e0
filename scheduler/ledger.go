package scheduler

import (
	"context"
	"errors"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// A Ledger returns these, wrapped or not, for records that it does not have.
var (
	ErrNoJob    = errors.New("the ledger has no such job")
	ErrNoWorker = errors.New("the ledger has no such worker")
	ErrNoEpoch  = errors.New("the ledger has no such epoch")
)

// Ledger is what the scheduler needs of the chain, on behalf of one gateway. Methods are
// safe for concurrent use.
//
// A send returns nil once its transaction is in a block and succeeded. On any error the
// scheduler does not know whether it happened: it reads the record again and sends only
// what is still missing.
type Ledger interface {
	// WaitHeight returns the height of the newest block once it is above the given one.
	WaitHeight(ctx context.Context, above int64) (int64, error)
	Params(ctx context.Context) (Params, error)
	// Jobs lists the open and closing jobs that name this gateway.
	Jobs(ctx context.Context) ([]work.Job, error)
	Job(ctx context.Context, id work.JobID) (work.Job, error)
	Epoch(ctx context.Context, job work.JobID, number uint64) (work.Epoch, error)
	Worker(ctx context.Context, key work.PublicKey) (work.Worker, error)
	Claimed(ctx context.Context, job work.JobID, worker work.PublicKey) (Claimed, error)
	// Challenges lists the open voucher challenges against this gateway.
	Challenges(ctx context.Context) ([]Challenge, error)

	CommitEpoch(ctx context.Context, c Commitment) error
	OpenReceipts(ctx context.Context, job work.JobID, epoch uint64, openings []Opening) error
	CommitVerdicts(ctx context.Context, job work.JobID, epoch uint64, verdicts []VerdictCommitment) error
	RevealVerdicts(ctx context.Context, job work.JobID, epoch uint64, verdicts []VerdictReveal) error
	// RevealPlants shows which receipts of a decided epoch the gateway had planted: all that
	// its commitment names, also where these are none.
	RevealPlants(ctx context.Context, job work.JobID, epoch uint64, salt [work.SaltSize]byte, plants []CommittedReceipt) error
	FinishJob(ctx context.Context, job work.JobID) error
	Claim(ctx context.Context, job work.JobID, epoch uint64, claims []PayProof) error
	AnswerChallenge(ctx context.Context, id, epoch uint64, pay PayProof) error
}

// Params are the ledger's parameters that a scheduler goes by.
type Params struct {
	GraceBlocks     int64 // how long epochs may follow once a job is closing
	MaxWorkersPerTx int
	AllowLoopback   bool
	// A worker is on probation until auditors upheld so many of its receipts. Until then
	// its receipts are audited at ProbationAuditBps, where that is above the job's own rate.
	ProbationAudits   uint64
	ProbationAuditBps uint32
}

// Commitment is what a gateway commits for an epoch.
type Commitment struct {
	Job      work.JobID
	Number   uint64
	Receipts work.Root // Sum: the epoch's units
	Pay      work.Root // Sum: the job's units so far
	Finish   bool      // no epoch follows
	// The first receipts of the tree, by workers on probation, and their units.
	ProbationReceipts, ProbationUnits uint64
	// Plants is the commitment to the epoch's plants (work.Plants), also to none of them;
	// zero for a gateway that plants nothing.
	Plants artifact.Digest
}

// CommittedReceipt is a receipt with its proof in an epoch's receipts tree.
type CommittedReceipt struct {
	Receipt []byte // canonical encoding of a work.SignedReceipt
	Proof   work.Proof
}

// Opening shows the receipt that covers a sample's unit.
type Opening struct {
	Sample  uint32
	Receipt []byte // canonical encoding of a work.SignedReceipt
	Proof   work.Proof
}

// VerdictCommitment is an auditor's sealed verdict on a sample.
type VerdictCommitment struct {
	Sample     uint32
	Auditor    work.PublicKey
	Commitment artifact.Digest
	Signature  []byte
}

// VerdictReveal opens it.
type VerdictReveal struct {
	Sample   uint32
	Auditor  work.PublicKey
	Outcome  work.AuditOutcome
	Evidence artifact.Digest
	Salt     [work.SaltSize]byte
	Score    int32
}

// PayProof shows a worker's cumulative units in an epoch's pay tree.
type PayProof struct {
	Worker work.PublicKey
	Units  uint64
	Proof  work.Proof
}

// Claimed is what was claimed for a worker of a job.
type Claimed struct {
	Units     uint64 // drawn from the escrow
	Forfeited bool   // to the buyer: the worker was proved to have cheated
}

// Challenge says that this gateway committed less than a voucher promised.
type Challenge struct {
	ID     uint64
	Job    work.JobID
	Worker work.PublicKey
	Epoch  uint64 // the first whose pay tree must hold the units
	Units  uint64
}
