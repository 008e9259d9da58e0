package plane

import (
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Limits of one message.
const (
	MaxMessage  = 1 << 20 // bytes of any request or reply
	MaxBundles  = 64      // bundles in one lease
	MaxTasks    = 256     // tasks in one lease
	MaxAudits   = 64      // audits, and reveals, in one lease
	MaxFinished = 256     // receipts, failures, verdicts and reveals together in one report
	MaxHolding  = 4096    // leases that a worker lists as held
	MaxKinds    = 32      // kinds that a worker names
	MaxParts    = 256     // parts in one message
	MaxReason   = 200     // bytes of a reason
)

// Every message is the canonical CBOR (work.Encode) of one of these types. A worker asks,
// the gateway answers; nothing comes unasked but a Nudge. MaxMessage holds for the whole
// of a message, so who makes a LeaseReply packs by bytes as well as by number.

// HelloRequest opens a session: who the worker is and what it can do.
type HelloRequest struct {
	_        struct{} `cbor:",toarray"`
	Version  string   // the program's
	Kinds    []work.Name
	Capacity uint32 // bundles that it runs side by side
}

// HelloReply tells a worker what it needs for this session.
type HelloReply struct {
	_             struct{} `cbor:",toarray"`
	Chain         string
	Gateway       work.PublicKey // signs its vouchers
	Artifacts     string         // base URL of the artifact store
	Token         string         // bearer token for it, bound to this worker; secret
	AllowLoopback bool           // the network's genesis allows loopback addresses
	Now           int64          // the gateway's clock, Unix milliseconds
}

// LeaseRequest asks for work. It is also the heartbeat: asking renews nothing but shows
// that the worker lives. With Max 0 it asks for audits and reveals alone.
type LeaseRequest struct {
	_     struct{} `cbor:",toarray"`
	Max   uint32   // bundles
	Kinds []work.Name
	// Holding lists the leases that the worker still works on, so that a gateway that
	// came back knows which of its records are live.
	Holding []LeaseID
	// Held lists what the worker has at hand that tasks may require, such as models.
	Held []artifact.Digest
}

// LeaseID names one lease of one task.
type LeaseID struct {
	_       struct{} `cbor:",toarray"`
	Job     work.JobID
	Seq     uint64
	Attempt uint32
}

// LeaseReply gives work, audits and reveals to do.
type LeaseReply struct {
	_       struct{} `cbor:",toarray"`
	Bundles []Bundle
	Audits  []Audit
	Reveals []Reveal
	// Wait is how long to wait before asking again when nothing was given, in
	// milliseconds; a Nudge ends the wait early.
	Wait uint32
}

// Bundle is tasks that one worker does in order.
type Bundle struct {
	_        struct{} `cbor:",toarray"`
	Job      work.JobID
	Kind     work.Name
	Spec     artifact.Digest // in the artifact store
	Pace     uint32          // milliseconds from one start to the next
	Deadline int64           // Unix milliseconds by the gateway's clock
	Tasks    []Lease
}

// Lease is one task of a bundle.
type Lease struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Attempt uint32
	Body    []byte
}

// Audit asks a worker, drawn by the beacon, to check a receipt.
type Audit struct {
	_        struct{} `cbor:",toarray"`
	Epoch    uint64
	Sample   uint32
	Job      work.JobID
	Kind     work.Name
	Spec     artifact.Digest
	Seq      uint64
	Body     []byte // the task's
	Receipt  []byte // the signed receipt; its result is in the artifact store
	Deadline int64
}

// Reveal asks an auditor to show a verdict whose sample's commitments are all on the
// ledger.
type Reveal struct {
	_      struct{} `cbor:",toarray"`
	Job    work.JobID
	Epoch  uint64
	Sample uint32
}

// PartRequest shows what tasks that somebody waits for have come to, and that their worker is
// alive. A worker sends it again until it is answered, so a part may come twice.
type PartRequest struct {
	_     struct{} `cbor:",toarray"`
	Parts []Part
}

// Part is a piece of a task's result in the kind's own encoding; an empty one is a sign of
// life.
type Part struct {
	_     struct{} `cbor:",toarray"`
	Lease LeaseID
	Body  []byte
}

// PartReply lists those of the tasks that nobody waits for any more: the worker ends them
// soon, with what is done as their results.
type PartReply struct {
	_    struct{} `cbor:",toarray"`
	Stop []LeaseID
}

// DoneRequest reports finished tasks, failed tasks, verdicts and reveals. Results and
// blobs are in the artifact store before it is sent. Sending it again is harmless.
type DoneRequest struct {
	_        struct{} `cbor:",toarray"`
	Receipts []work.SignedReceipt
	Failures []Failure
	Verdicts []VerdictCommit
	Reveals  []VerdictReveal
}

// Failure gives a lease back: this worker can't do the task.
type Failure struct {
	_      struct{} `cbor:",toarray"`
	Lease  LeaseID
	Reason string // at most MaxReason bytes
	// Untried means that the worker never started the task, because it is stopping: it
	// says nothing about the task.
	Untried bool
}

// VerdictCommit is an auditor's sealed verdict.
type VerdictCommit struct {
	_          struct{} `cbor:",toarray"`
	Job        work.JobID
	Epoch      uint64
	Sample     uint32
	Commitment artifact.Digest
	Signature  []byte
}

// VerdictReveal opens it.
type VerdictReveal struct {
	_        struct{} `cbor:",toarray"`
	Job      work.JobID
	Epoch    uint64
	Sample   uint32
	Outcome  work.AuditOutcome
	Evidence artifact.Digest
	Salt     [work.SaltSize]byte
	Score    int32
}

// DoneReply acknowledges. What it acknowledges survives a crash of the gateway.
type DoneReply struct {
	_        struct{}             `cbor:",toarray"`
	Vouchers []work.SignedVoucher // the newest of each job that the receipts named
	Refused  []Refusal
}

// Refusal says why a receipt, verdict or reveal was not taken. Final: don't send it again.
type Refusal struct {
	_      struct{} `cbor:",toarray"`
	Job    work.JobID
	Epoch  uint64 // of a verdict or reveal; 0 for a receipt, since epochs count from 1
	Seq    uint64 // the task, or the sample of a verdict or reveal
	Reason string
}

// Nudge tells a waiting worker to ask for work now.
type Nudge struct {
	_ struct{} `cbor:",toarray"`
}

// Deadline is a wire time as a time.Time.
func Deadline(ms int64) time.Time { return time.UnixMilli(ms) }
