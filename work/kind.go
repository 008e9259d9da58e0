package work

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"time"

	"github.com/cantus-network/cantus/artifact"
)

// Limits that hold for every kind.
const (
	MaxSpec   = 256 << 10 // bytes of a spec
	MaxTask   = 64 << 10  // bytes of a task's body
	MaxResult = 4 << 20   // bytes of a result's body
	MaxBlobs  = 64        // blobs that one result refers to
	MaxPart   = 32 << 10  // bytes of a part that is streamed
	MaxHeld   = 64        // things that a worker says it holds
	MaxUnits  = 1 << 32   // units of one task
)

// Name names a kind and its version: "crawl/1". Two versions are two kinds.
type Name string

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}/[1-9][0-9]{0,3}$`)

// Check refuses a name that is not of the form "word/number".
func (n Name) Check() error {
	if len(n) > 40 || !namePattern.MatchString(string(n)) {
		return fmt.Errorf("kind name %.40q: want lower-case letters, digits and dashes, a slash and a version, like crawl/1", string(n))
	}
	return nil
}

// JobID numbers the jobs of one chain, from 1.
type JobID uint64

// Task is the smallest piece of a job: what is leased, receipted, paid and audited.
type Task struct {
	Job  JobID
	Seq  uint64 // unique within the job, from 1; a plan's own numbers stay between it and the scheduler
	Spec []byte // the job's spec
	Body []byte // the kind's own encoding
}

type taskID struct {
	_    struct{} `cbor:",toarray"`
	Job  JobID
	Seq  uint64
	Spec artifact.Digest
	Body artifact.Digest
}

// Digest binds a task to its job, its place in it, the spec and the body.
func (t Task) Digest() artifact.Digest { return t.DigestOf(artifact.Sum(t.Spec)) }

// DigestOf is Digest for whoever knows the spec's digest, which many tasks share.
func (t Task) DigestOf(spec artifact.Digest) artifact.Digest {
	b, err := Encode(taskID{Job: t.Job, Seq: t.Seq, Spec: spec, Body: artifact.Sum(t.Body)})
	if err != nil {
		panic(err) // a struct of numbers and arrays always encodes
	}
	return domainHash(domainTask, b)
}

// Result is what executing a task gave.
type Result struct {
	// Body is the kind's own record of the result in its canonical encoding, at most
	// MaxResult bytes. Its digest is what the receipt signs, so everything that matters
	// must follow from it: blobs are named in it by digest.
	Body []byte
	// Blobs are the bulk outputs that the body names; Env.Blobs holds their bytes. Execute
	// lists them for the worker that uploads them. A receipt commits to the body alone, so
	// Meter, Verify and a Plan get results with none and go by the body.
	Blobs []artifact.Digest
}

// Digest is the digest that a receipt signs.
func (r Result) Digest() artifact.Digest { return artifact.Sum(r.Body) }

// Needs says what a job's tasks ask of the network.
type Needs struct {
	// UnitsPerTask is the most that one task can cost. The scheduler keeps so much of
	// the escrow in reserve for each task that is out.
	UnitsPerTask uint64
	// TaskTime is how long one task may take before its lease ends.
	TaskTime time.Duration
	// Silence, where it is not 0, marks tasks that somebody waits for. Their workers show by
	// parts that they are alive, and one that is silent for longer loses its lease.
	Silence time.Duration
}

// Env is what a kind gets from the machine that it runs on. Time, randomness, the
// network and storage come in through it, so that tests can hold them.
type Env struct {
	Now   func() time.Time
	Rand  io.Reader
	Blobs artifact.Store // where blobs are put, and where an auditor finds them
	Dial  DialFunc       // refuses addresses that the network does not allow
	Log   *slog.Logger
	// Stream is for whoever waits for the task; nil where nobody does, as in an audit.
	Stream Stream
}

// Stream shows a task's result while it comes about. It is safe for concurrent use.
type Stream interface {
	// Send passes on a part, at most MaxPart bytes, in the kind's own encoding; it does not
	// wait. Parts arrive in order, but one may arrive twice, and if the task goes to another
	// worker its parts begin anew: so a part says where it belongs.
	Send(part []byte)
	// Stopped is closed once nobody waits for the task any more. Execute should then end
	// soon, with what is done as its result.
	Stopped() <-chan struct{}
}

// Kind is one sort of AI work that the network sells. Methods are safe for concurrent
// use. A kind keeps no state of its own between calls but caches.
type Kind interface {
	Name() Name
	// Check says whether a spec is valid and what its tasks need. It is pure. The error
	// is for the buyer: what is wrong with the spec and what would be right.
	Check(spec []byte) (Needs, error)
	// Meter says how many units a result is worth. It is pure and refuses a result
	// that is malformed or does not answer the task.
	Meter(Task, Result) (uint64, error)
	// Execute does a task on a worker. An error means that this worker could not do
	// it and another should; a result that says "the server does not exist" is a result.
	Execute(context.Context, Env, Task) (Result, error)
	// Verify does on an auditor what the kind can do to find a result true or false. An
	// error means that the auditor could not find out.
	Verify(context.Context, Env, Task, Result) (Verdict, error)
}
