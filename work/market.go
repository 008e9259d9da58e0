package work

import (
	"math/big"

	"github.com/cantus-network/cantus/artifact"
)

// The ledger's records as gateways, schedulers and kinds see them, free of the ledger's
// own types. Amounts are in anote.

// JobStatus is where a job is in its life.
type JobStatus string

const (
	JobOpen    JobStatus = "open"
	JobClosing JobStatus = "closing" // no new work; what was done may still be committed
	JobClosed  JobStatus = "closed"
	JobFaulted JobStatus = "faulted"
)

// Job is a buyer's order as the ledger has it.
type Job struct {
	ID           JobID
	Buyer        string
	Gateway      string // its account's address
	Cell         string // of the gateway; empty where it has none
	Kind         Name
	Spec         artifact.Digest
	Escrow       *big.Int
	Price        *big.Int // per unit
	WorkerPrice  *big.Int // the workers' part of the price
	AuditBps     uint32
	EpochBlocks  int64
	OpenedHeight int64
	ExpiryHeight int64
	Status       JobStatus
	Epochs       uint64 // committed
	Settled      uint64 // epochs settled
	Units        uint64 // committed, cumulative
	Receipts     uint64 // committed, cumulative
	UnitsSettled uint64 // without those of plants, which nobody is paid for
	Finished     bool
	SettledRoot  artifact.Digest
	// Where the escrow went so far.
	Workers, GatewayFee, Auditors, Royalties, Burned, Refunded *big.Int
}

// Affordable is how many units the escrow can pay.
func (j Job) Affordable() uint64 {
	if j.Price == nil || j.Escrow == nil || j.Price.Sign() <= 0 {
		return 0
	}
	n := new(big.Int).Quo(j.Escrow, j.Price)
	if !n.IsUint64() {
		return 1<<64 - 1
	}
	return n.Uint64()
}

// EpochStatus is where an epoch is in its life.
type EpochStatus string

const (
	EpochCommitted EpochStatus = "committed"
	EpochSampled   EpochStatus = "sampled"
	EpochAuditing  EpochStatus = "auditing"
	EpochDecided   EpochStatus = "decided"
	EpochSettled   EpochStatus = "settled"
	EpochVoid      EpochStatus = "void"
)

// SampleStatus is where a sample is in its life.
type SampleStatus string

const (
	SampleDrawn     SampleStatus = "drawn"
	SampleOpened    SampleStatus = "opened"
	SampleRevealing SampleStatus = "revealing"
	SampleUpheld    SampleStatus = "upheld"
	SampleFalse     SampleStatus = "false"
	SampleUndecided SampleStatus = "undecided"
	SampleUnaudited SampleStatus = "unaudited"
	SampleMerged    SampleStatus = "merged"
	SampleAccused   SampleStatus = "accused" // found false, and may be proved so until its epoch settles
)

// Epoch is a commitment as the ledger has it.
type Epoch struct {
	Job           JobID
	Number        uint64
	Receipts      Root // its Sum is the epoch's units
	Pay           Root // its Sum is the job's cumulative units
	Status        EpochStatus
	CommitHeight  int64
	SettledHeight int64
	Deadline      int64
	DisputeUntil  int64 // below this height its receipts may be disputed; 0 until its audits are over, and where they may not
	Beacon        [32]byte
	Samples       []Sample
	Label         Label
	// ProbationReceipts and ProbationUnits are the first ones of the receipts tree, by
	// workers on probation.
	ProbationReceipts, ProbationUnits uint64
	Plants                            artifact.Digest // commitment to the plants; zero for none
	PlantsShown                       bool
	PlantUnits                        uint64 // never paid; known once the plants were shown
}

// Sample is a drawn receipt and what its auditors said.
type Sample struct {
	Unit    uint64
	Status  SampleStatus
	Receipt []byte // the signed receipt, once opened
	Plant   bool   // its gateway has shown that it is one
	Slots   []Slot
	// Deadline is the height at which its present phase ends.
	Deadline int64
}

// Slot is one auditor's part in a sample.
type Slot struct {
	Auditor   PublicKey
	Committed bool
	Outcome   AuditOutcome // 0 until revealed
	Evidence  artifact.Digest
}

// Worker is an enrolled worker as the ledger has it.
type Worker struct {
	Key      PublicKey
	Operator string
	Kinds    []Name
	Network  string
	Region   string
	Active   bool // may be leased tasks
	// Receipts of its that auditors upheld and found false, and plants that it passed as
	// an auditor.
	AuditsPassed, AuditsFailed, PlantsPassed uint64
}

// Gateway is a bonded gateway as the ledger has it.
type Gateway struct {
	Address string
	Key     PublicKey
	URL     string
	FeeBps  uint32
	Active  bool
	Cells   []Cell
}
