package api

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Limits of the interface.
const (
	MaxReceipts = 1000 // receipts in one page
	MaxPay      = 5000 // workers in one page of a pay list
	MaxJobs     = 100  // jobs in one page of the list
)

// Info is what a gateway says of itself.
type Info struct {
	Chain      string         `json:"chain"`
	Gateway    string         `json:"gateway"` // its account's address
	GatewayKey work.PublicKey `json:"gateway_key"`
	Cell       string         `json:"cell,omitempty"` // of the gateway, that this is; jobs for it name it
	Plane      []string       `json:"plane"`          // where workers connect
	Artifacts  string         `json:"artifacts"`      // base URL of the artifact interface
	Kinds      []work.Name    `json:"kinds"`
	FeeBps     uint32         `json:"fee_bps"`
	Version    string         `json:"version,omitempty"`
}

// Ready says whether a gateway can do its work, check by check.
type Ready struct {
	Ready   bool    `json:"ready"`
	Checks  []Check `json:"checks"`
	Height  int64   `json:"height"`
	Workers int     `json:"workers"`
	Idle    int     `json:"idle"`
}

// Check is one thing that a gateway needs.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// Cell is a part of a gateway with workers and jobs of its own. A worker's cell follows
// from its key: see work.CellOf.
type Cell struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// SpecReply says under which digest a spec was stored and what its tasks need.
type SpecReply struct {
	Digest       artifact.Digest `json:"digest"`
	UnitsPerTask uint64          `json:"units_per_task"` // the most that one task can cost
	TaskSeconds  float64         `json:"task_seconds"`   // how long one may take
}

// Job is how a job gets on at its gateway.
type Job struct {
	ID         uint64            `json:"id"`
	Kind       work.Name         `json:"kind"`
	Status     work.JobStatus    `json:"status"` // on the ledger
	Phase      string            `json:"phase"`  // at the gateway
	Reason     string            `json:"reason,omitempty"`
	Trouble    string            `json:"trouble,omitempty"` // what keeps it from getting on now
	Height     int64             `json:"height"`
	Queued     uint64            `json:"queued"`
	Out        uint64            `json:"out"`
	Ready      uint64            `json:"ready"`
	Done       uint64            `json:"done"`
	Failed     uint64            `json:"failed"`
	Counts     map[string]uint64 `json:"counts"` // the kind's own figures
	Units      uint64            `json:"units"`
	Receipts   uint64            `json:"receipts"`
	Spent      string            `json:"spent"` // anote
	Rate       float64           `json:"tasks_per_second"`
	ETASeconds float64           `json:"eta_seconds"` // negative: unknown
	// What the ledger says: amounts are in anote.
	Buyer         string     `json:"buyer,omitempty"`
	Escrow        string     `json:"escrow"`
	Price         string     `json:"price"` // per unit
	SettledUnits  uint64     `json:"settled_units"`
	SettledEpochs uint64     `json:"settled_epochs"`
	Paid          JobPaid    `json:"paid"`
	Claimed       bool       `json:"claimed"` // the gateway sent the workers' claims
	Taken         time.Time  `json:"taken"`   // when the gateway took the job up
	Ended         *time.Time `json:"ended,omitempty"`

	WorkerCount int         `json:"worker_count"`
	Workers     []JobWorker `json:"workers"` // those with most units
	EpochCount  uint64      `json:"epoch_count"`
	Epochs      []JobEpoch  `json:"epochs"` // the newest
}

// JobPaid is where a job's escrow went so far, in anote.
type JobPaid struct {
	Workers   string `json:"workers"`
	Gateway   string `json:"gateway"`
	Auditors  string `json:"auditors"`
	Royalties string `json:"royalties"`
	Burned    string `json:"burned"`
	Refunded  string `json:"refunded"`
}

// JobList is some of a gateway's jobs, the newest first.
type JobList struct {
	Jobs []Job `json:"jobs"`
	More bool  `json:"more"`
}

// JobWorker is a worker's part in a job.
type JobWorker struct {
	Worker   work.PublicKey `json:"worker"`
	Units    uint64         `json:"units"`
	Receipts uint64         `json:"receipts"`
}

// JobEpoch is a sealed epoch.
type JobEpoch struct {
	Number        uint64           `json:"number"`
	ReceiptsRoot  artifact.Digest  `json:"receipts_root"`
	Receipts      uint64           `json:"receipts"`
	Units         uint64           `json:"units"`
	PayRoot       artifact.Digest  `json:"pay_root"`
	Status        work.EpochStatus `json:"status,omitempty"` // empty until it is committed
	CommitHeight  int64            `json:"commit_height,omitempty"`
	SettledHeight int64            `json:"settled_height,omitempty"`
	Drawn         uint32           `json:"samples_drawn"`
	Upheld        uint32           `json:"samples_upheld"`
	False         uint32           `json:"samples_false"`
	Undecided     uint32           `json:"samples_undecided"`
	Unaudited     uint32           `json:"samples_unaudited"`
	Label         work.Label       `json:"label,omitempty"`
}

// Cursor is a place among a job's receipts: before receipt Index of an epoch. The zero
// Cursor is the beginning.
type Cursor struct {
	Epoch uint64 `json:"epoch"`
	Index uint64 `json:"index"`
}

// Receipt is a receipt in its place in an epoch's tree, and the task that it answers.
type Receipt struct {
	Epoch   uint64 `json:"epoch"`
	Index   uint64 `json:"index"`
	Receipt []byte `json:"receipt"` // canonical encoding of a work.SignedReceipt: the leaf
	Task    []byte `json:"task"`    // its body
}

// ReceiptPage is some of a job's sealed receipts, in order.
type ReceiptPage struct {
	Receipts []Receipt `json:"receipts"`
	Next     Cursor    `json:"next"`
	End      bool      `json:"end"`  // nothing is sealed behind Next
	More     bool      `json:"more"` // more will be
}

// Plants says which receipts of an epoch its gateway had planted to see whether auditors
// look. Shown is false, and the rest means nothing, where the epoch has no commitment to its
// plants or the ledger was not shown them yet; until then the epoch's receipts are not
// handed out either.
type Plants struct {
	Shown   bool     `json:"shown"`
	Salt    string   `json:"salt"`    // 64 hexadecimal digits
	Indices []uint64 `json:"indices"` // in the receipts tree
}

// Of is the plants as package work checks them, once they were shown.
func (p Plants) Of(chain string, job work.JobID, epoch uint64) (work.Plants, error) {
	if !p.Shown {
		return work.Plants{}, fmt.Errorf("the plants of epoch %d of job %d were not shown", epoch, job)
	}
	out := work.Plants{Chain: chain, Job: job, Epoch: epoch, Indices: p.Indices}
	if n, err := hex.Decode(out.Salt[:], []byte(p.Salt[:min(len(p.Salt), 2*len(out.Salt))])); err != nil || n != len(out.Salt) {
		return work.Plants{}, fmt.Errorf("the plants of epoch %d of job %d have no salt", epoch, job)
	}
	return out, nil
}

// Pay is a worker's place in an epoch's pay tree.
type Pay struct {
	Worker work.PublicKey `json:"worker"`
	Epoch  uint64         `json:"epoch"`
	Units  uint64         `json:"units"`
	Proof  PayProof       `json:"proof"`
	// The tree's root, as the ledger has it.
	PayRoot artifact.Digest `json:"pay_root"`
	Leaves  uint64          `json:"workers"`
	Total   uint64          `json:"total_units"`
}

// Check verifies the proof against root, which the caller has from the ledger.
func (p Pay) Check(root work.Root) error {
	_, err := p.Proof.Proof().Verify(root, work.PayLeaf(p.Worker, p.Units))
	return err
}

// PayProof leads from a worker's leaf to the pay tree's root.
type PayProof struct {
	Index    uint64    `json:"index"`
	Siblings []PayNode `json:"siblings"`
}

// Proof is the proof as package work verifies it.
func (p PayProof) Proof() work.Proof {
	out := work.Proof{Index: p.Index}
	for _, s := range p.Siblings {
		out.Siblings = append(out.Siblings, work.Node{Hash: work.Hash(s.Hash), Sum: s.Sum})
	}
	return out
}

// PayNode is a sibling of a proof.
type PayNode struct {
	Hash artifact.Digest `json:"hash"`
	Sum  uint64          `json:"sum"`
}

// PayList is some of an epoch's pay tree, sorted by worker.
type PayList struct {
	Epoch   uint64          `json:"epoch"`
	PayRoot artifact.Digest `json:"pay_root"`
	Units   uint64          `json:"units"`
	Workers []PayEntry      `json:"workers"`
	More    bool            `json:"more"`
}

// PayEntry is a worker's cumulative units.
type PayEntry struct {
	Worker work.PublicKey `json:"worker"`
	Units  uint64         `json:"units"`
}

// ErrorReply is the body of every failure.
type ErrorReply struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody says what was wrong and what to do.
type ErrorBody struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	RetryAfter int    `json:"retry_after,omitempty"` // seconds, as in the header
}
