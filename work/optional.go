package work

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"time"

	"github.com/cantus-network/cantus/artifact"
)

// A Kind may offer these besides. Whoever implements one guards it at compile time:
//
//	var _ work.Planner = (*Kind)(nil)
//
//	interface  who calls it   what for
//	Planner    the scheduler  to get a job's tasks; a kind without it takes its tasks
//	                          one by one through its own routes
//	Spoiler    the scheduler  to make plants, which show whether auditors look
//	Holder     the worker     to say which models it has at hand
//	Mounter    the gateway    for HTTP routes of the kind's own
//	Disputer   the worker     to prove on the ledger whose result is right
//
// A Plan may offer Audience besides, if its tasks are streamed.

// Planner is a kind that derives a job's tasks from its spec and from earlier results.
type Planner interface {
	// Plan opens a job's plan: a new one where state is empty, else the plan as the last
	// committed batch left it. The plan owns the part of the scheduler's state that it is
	// given and keeps nothing elsewhere. Blobs holds the bodies of results.
	Plan(ctx context.Context, job JobID, spec []byte, state State, env PlanEnv) (Plan, error)
}

// ErrUnspoilable is returned by Spoil for a right result of which no wrong one can be made
// that an auditor would surely find false.
var ErrUnspoilable = errors.New("no wrong result that is sure to be found false can be made of it")

// Spoiler is a kind that can make a wrong result that looks right: it answers the task,
// has the same meter, and only doing the task again shows what is wrong with it.
type Spoiler interface {
	// Spoil makes one from a right result of the same task, though perhaps under another
	// number, by env.Rand; its blobs go to env.Blobs. env.Now is when the work is to seem
	// done. Where an honest auditor might not find the result false it is ErrUnspoilable.
	Spoil(ctx context.Context, env Env, task Task, right Result) (Result, error)
}

// Holder is a kind whose tasks need something big at hand, such as a model.
type Holder interface {
	// Holds lists what is at hand now, at most MaxHeld. Bundle.Requires names one of them.
	Holds() []artifact.Digest
}

// Errors of a Disputer that its caller tells apart.
var (
	// ErrNoTrace is returned by Trace.Root where no computation of the task gives a result of
	// this form: the ledger sees that without a trace. Head works then, the rest does not.
	ErrNoTrace = errors.New("no computation of the task gives such a result")
	// ErrNoRoom is returned by Disputer.Trace while traces that are open hold the memory that
	// another one needs. It must not be waited for: whoever holds them may be the caller.
	ErrNoRoom = errors.New("no room for another trace while others are open")
)

// Disputer is a kind whose results the ledger's referee decides on when they are disputed.
type Disputer interface {
	// Trace gets ready to compute a task's result again, step by step, as the referee knows
	// the steps. It goes by the bodies alone, as the referee does: the task's Spec may be
	// missing. What it returns is closed by the caller.
	Trace(ctx context.Context, task Task, result Result) (Trace, error)
}

// Trace is all steps of the computation whose outcome a result claims to be, in a tree of
// hashes: its leaves, on level 0, are the steps, and each node has 16 children, the last one
// of a level perhaps fewer. It takes the result's word only for what earlier steps gave, so
// that it is the same for everybody. It is used by one goroutine at a time; methods may take
// as long as the computation.
type Trace interface {
	// Head is what the ledger must be shown of what the computation goes by, say a model.
	Head(ctx context.Context) ([]byte, error)
	// Root is the hash of all of it.
	Root(ctx context.Context) (artifact.Digest, error)
	// Children are the hashes of a node's children.
	Children(ctx context.Context, level uint32, node uint64) ([]artifact.Digest, error)
	// Open is what the ledger must be shown to compute a step.
	Open(ctx context.Context, leaf uint64) ([]byte, error)
	// Contradiction finds a position at which the result is not what its own trace gives, and
	// what the ledger must be shown to see that. A result is true where none is found.
	Contradiction(ctx context.Context) (position uint64, opening []byte, found bool, err error)
	Close()
}

// Mounter is a kind with routes of its own at a gateway.
type Mounter interface {
	// Mount is called once, before the gateway serves. Patterns are those of http.ServeMux.
	// The gateway counts, logs and limits requests; everything else, errors included, is the
	// kind's.
	Mount(handle func(pattern string, h http.Handler), env MountEnv)
}

// MountEnv is what routes get from their gateway.
type MountEnv struct {
	Chain   string
	Gateway PublicKey
	Now     func() time.Time
	Log     *slog.Logger
}

// PlanEnv is what a plan gets from the gateway that it runs on.
type PlanEnv struct {
	Now          func() time.Time
	Blobs        artifact.Store
	AllowPrivate func(host string) bool // the network's genesis allows this host although it is not public

	// These are for plans whose tasks somebody waits for. They may be called at any time from
	// any goroutine, but not from within the plan's own methods.

	// Wake says that Next has a bundle to give now that requires this; zero for nothing.
	Wake func(requires artifact.Digest)
	// Holders counts the workers that could be given a bundle that requires this.
	Holders func(artifact.Digest) int
	// Price is what a unit costs the buyer, in anote; nil where it is not known yet.
	Price func() *big.Int
	// Room is how many units the escrow still covers, less what is out.
	Room func() uint64
}

// Audience is a plan whose tasks are streamed.
type Audience interface {
	// Part brings a part of a task's result before the task is done; nil is a sign of life
	// alone. It returns false when nobody waits for the task any more. Unlike a plan's other
	// methods it may be called at any time from any goroutine.
	Part(seq uint64, worker PublicKey, part []byte) (wanted bool)
}

// Plan is the planner of one job. The scheduler calls it from one goroutine at a time.
//
// Next and Done write into a batch that the scheduler commits, with its own records of
// the leases and receipts, atomically and durably. If the commit fails the scheduler
// drops the plan and opens it anew from the state, so a plan may change its memory at once.
type Plan interface {
	// Next gives out tasks that may start now, at most max of them, in bundles. Each
	// task is given out once: when a lease runs out the scheduler itself leases the
	// bundle's rest anew. No bundles and not Finished means: ask again after Status.Wait.
	Next(b Batch, max int) ([]Bundle, error)
	// Done tells the outcomes of tasks, each exactly once.
	Done(b Batch, outcomes []Outcome) error
	Status() PlanStatus
	Close() error
}

// Bundle is tasks that belong together: one worker does them in order.
type Bundle struct {
	Tasks []Task        // without their Spec, which is the job's
	Pace  time.Duration // from one task's start to the next one's
	// Requires is what a worker must hold to be given the bundle; zero for nothing.
	Requires artifact.Digest
}

// Outcome is how a task ended.
type Outcome struct {
	Task   Task
	Result Result // zero when Failed
	Units  uint64
	Worker PublicKey
	// Receipt is the worker's, as Encode writes it; empty when Failed.
	Receipt []byte
	// Failed means that several workers in turn could not do the task.
	Failed bool
	Reason string
}

// PlanStatus is a plan's progress.
type PlanStatus struct {
	Queued   uint64 // tasks known and not yet given out
	Out      uint64 // given out and not yet done
	Done     uint64
	Failed   uint64
	Finished bool              // nothing is queued or out, and nothing will come
	Wait     time.Duration     // when Next gave nothing: how long until it may
	Counts   map[string]uint64 // the kind's own figures for people: "pages", "bytes"
}

// State is the plan's part of the scheduler's database, read as of the last commit.
type State interface {
	// Get returns nil and no error where there is no such key. The bytes are the caller's.
	Get(key []byte) ([]byte, error)
	// Scan calls f for each key from start (inclusive) to end (exclusive, nil for the
	// last) in order until f returns false. The slices are valid during the call only.
	Scan(start, end []byte, f func(key, value []byte) bool) error
}

// Batch collects writes that are committed together.
type Batch interface {
	Set(key, value []byte)
	Delete(key []byte)
}
