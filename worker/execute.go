package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/netguard"
)

// finished is a task that was done, on its way to a voucher.
type finished struct {
	receipt work.Receipt // unsigned
	body    []byte
	blobs   []blob
	held    int64 // bytes that it holds of the memory budget
}

func (f *finished) lease() plane.LeaseID {
	return plane.LeaseID{Job: f.receipt.Job, Seq: f.receipt.Seq, Attempt: f.receipt.Attempt}
}

// errDeadline ends tasks whose lease is over: they aren't reported, since by then they
// are somebody else's.
var errDeadline = errors.New("the lease is over")

// errTaskTime ends a task that takes longer than its kind says one may.
var errTaskTime = errors.New("the task took longer than its kind allows")

// grace is how long a kind may take to notice that its task was cancelled. One that takes
// longer is left behind; its slot goes on without it.
const grace = 5 * time.Second

// doBundle does a bundle's tasks in order, one start per pace.
func (l *link) doBundle(ctx context.Context, s *session, b plane.Bundle) {
	log := l.log.With("job", b.Job, "kind", b.Kind)
	ctx, cancel := context.WithDeadlineCause(ctx, s.local(b.Deadline), errDeadline)
	defer cancel()
	failAll := func(tasks []plane.Lease, err error) {
		log.Warn("bundle failed", "tasks", len(tasks), "err", err)
		for _, t := range tasks {
			l.failTask(log, b, t, err)
		}
	}
	kind := l.w.kinds[b.Kind]
	if kind == nil {
		failAll(b.Tasks, fmt.Errorf("this worker doesn't do %s", b.Kind))
		return
	}
	spec, err := l.w.specs.get(ctx, s, b.Spec)
	if err != nil {
		failAll(b.Tasks, fmt.Errorf("fetch the job's spec: %w", err))
		return
	}
	needs, err := protect(ctx, func(context.Context) (work.Needs, error) { return kind.Check(spec) })
	if err != nil {
		failAll(b.Tasks, fmt.Errorf("the job's spec: %w", err))
		return
	}
	next := time.Now()
	for i, t := range b.Tasks {
		if !l.untilStart(ctx, next) {
			l.endEarly(ctx, log, b, b.Tasks[i:])
			return
		}
		next = time.Now().Add(time.Duration(b.Pace) * time.Millisecond)
		l.doTask(ctx, log, s, kind, needs, b, t, spec)
	}
}

// untilStart waits for a task's turn. It reports false when there will be none.
func (l *link) untilStart(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-l.w.stopping:
		return false
	case <-ctx.Done():
		return false
	case <-t.C:
		return !l.w.isStopping()
	}
}

// endEarly deals with the tasks of a bundle that won't be started.
func (l *link) endEarly(ctx context.Context, log *slog.Logger, b plane.Bundle, rest []plane.Lease) {
	if errors.Is(context.Cause(ctx), errDeadline) {
		log.Warn("the lease ended before all tasks were started", "tasks", len(rest))
		for _, t := range rest {
			l.release(plane.LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt})
		}
		return
	}
	l.giveBack(b.Job, rest, "the worker is stopping")
}

func (l *link) failTask(log *slog.Logger, b plane.Bundle, t plane.Lease, err error) {
	id := plane.LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt}
	l.w.metrics.tasks.WithLabelValues(string(b.Kind), "failed").Inc()
	log.Debug("task failed", "task", t.Seq, "err", err)
	l.reports <- plane.Failure{Lease: id, Reason: plane.Clip(err.Error(), plane.MaxReason)}
}

func (l *link) doTask(ctx context.Context, log *slog.Logger, s *session, kind work.Kind, needs work.Needs, b plane.Bundle, t plane.Lease, spec []byte) {
	if err := l.w.memory.reserve(ctx, taskMemory); err != nil {
		l.endEarly(ctx, log, b, []plane.Lease{t})
		return
	}
	task := work.Task{Job: b.Job, Seq: t.Seq, Spec: spec, Body: t.Body}
	start := l.w.cfg.Now()
	f, err := l.execute(ctx, s, kind, needs, task, t.Attempt)
	l.w.metrics.seconds.WithLabelValues(string(b.Kind)).Observe(l.w.cfg.Now().Sub(start).Seconds())
	if err != nil {
		l.w.memory.adjust(-taskMemory)
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errDeadline):
			l.w.metrics.tasks.WithLabelValues(string(b.Kind), "late").Inc()
			log.Warn("the lease ended before the task was done", "task", t.Seq)
			l.release(plane.LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt})
		case errors.Is(cause, errStopping):
			l.giveBack(b.Job, []plane.Lease{t}, "the worker stopped")
		default:
			l.failTask(log, b, t, err)
		}
		return
	}
	l.w.memory.adjust(f.held - taskMemory)
	f.receipt.Attempt = t.Attempt
	f.receipt.Started = max(0, start.UnixMilli())
	f.receipt.Finished = max(f.receipt.Started, l.w.cfg.Now().UnixMilli())
	l.w.metrics.tasks.WithLabelValues(string(b.Kind), "done").Inc()
	log.Debug("task done", "task", t.Seq, "units", f.receipt.Units, "bytes", f.held)
	l.reports <- f
}

// execute runs a kind on a task and checks what came out.
func (l *link) execute(ctx context.Context, s *session, kind work.Kind, needs work.Needs, task work.Task, attempt uint32) (*finished, error) {
	blobs := newTaskBlobs(s.store, l.spool)
	keep := false
	defer func() {
		if !keep {
			blobs.discard()
		}
	}()
	run, cancel := ctx, context.CancelFunc(func() {})
	if needs.TaskTime > 0 {
		run, cancel = context.WithTimeoutCause(ctx, needs.TaskTime, errTaskTime)
	}
	defer cancel()
	result, err := protect(run, func(ctx context.Context) (work.Result, error) {
		env := l.env(s, blobs, task.Job, task.Seq)
		if needs.Silence > 0 {
			st := l.streams.open(plane.LeaseID{Job: task.Job, Seq: task.Seq, Attempt: attempt})
			defer l.streams.done(st)
			env.Stream = st
		}
		return kind.Execute(ctx, env, task)
	})
	if err != nil {
		return nil, err
	}
	if len(result.Body) > work.MaxResult || len(result.Blobs) > work.MaxBlobs {
		return nil, fmt.Errorf("the kind's result has %d bytes and %d blobs, at most %d and %d", len(result.Body), len(result.Blobs), work.MaxResult, work.MaxBlobs)
	}
	units, err := protect(ctx, func(context.Context) (uint64, error) { return kind.Meter(task, work.Result{Body: result.Body}) })
	if err != nil {
		return nil, fmt.Errorf("meter the result: %w", err)
	}
	if units > min(needs.UnitsPerTask, work.MaxUnits) {
		return nil, fmt.Errorf("the result is worth %d units, but a task of this job at most %d", units, min(needs.UnitsPerTask, work.MaxUnits))
	}
	own, err := blobs.finish(ctx, result.Blobs)
	if err != nil {
		return nil, err
	}
	keep = true
	f := &finished{body: result.Body, blobs: own, held: int64(len(result.Body)), receipt: work.Receipt{
		Chain: s.info.Chain, Job: task.Job, Seq: task.Seq, Task: task.Digest(), Result: result.Digest(), Units: units,
	}}
	for _, b := range own {
		f.held += int64(len(b.bytes))
	}
	return f, nil
}

// env is what a kind gets to see of this machine.
func (l *link) env(s *session, blobs artifact.Store, job work.JobID, seq uint64) work.Env {
	dial := l.w.cfg.Dial
	if dial == nil {
		// The network's genesis must allow loopback, and so must this machine's owner:
		// else a gateway could send strangers to what runs here.
		own := l.w.cfg.AllowLoopback || s.here
		dial = (&netguard.Guard{AllowLoopback: own && s.allowsLoopback()}).Dial
	}
	return work.Env{
		Now: l.w.cfg.Now, Rand: l.w.cfg.Rand, Blobs: blobs, Dial: dial,
		Log: l.log.With("job", job, "task", seq),
	}
}

// protect calls f in a goroutine of its own, turns a panic into an error, and leaves f
// behind if it doesn't return soon after ctx ended.
func protect[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("the kind panicked: %v\n%s", p, debug.Stack())
			}
			done <- o
		}()
		o.value, o.err = f(ctx)
	}()
	var zero T
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case o := <-done:
		if o.err == nil {
			return o.value, nil // it was done just in time
		}
		return zero, errors.Join(context.Cause(ctx), o.err)
	case <-t.C:
		return zero, fmt.Errorf("the kind doesn't stop: %w", context.Cause(ctx))
	}
}

// specs fetches jobs' specs and keeps the latest in memory and all on disk.
type specs struct {
	files *spool

	mu     sync.Mutex
	recent map[artifact.Digest][]byte
	flight map[artifact.Digest]chan struct{}
}

const recentSpecs = 64

func newSpecs(files *spool) *specs {
	return &specs{files: files, recent: map[artifact.Digest][]byte{}, flight: map[artifact.Digest]chan struct{}{}}
}

// get returns a spec. Many who want the same one at once fetch it once.
func (c *specs) get(ctx context.Context, s *session, d artifact.Digest) ([]byte, error) {
	for {
		c.mu.Lock()
		if b, ok := c.recent[d]; ok {
			c.mu.Unlock()
			return b, nil
		}
		wait, fetching := c.flight[d]
		if !fetching {
			c.flight[d] = make(chan struct{})
		}
		c.mu.Unlock()
		if !fetching {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	b, err := c.fetch(ctx, s, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.flight[d])
	delete(c.flight, d)
	if err != nil {
		return nil, err
	}
	if len(c.recent) >= recentSpecs {
		clear(c.recent)
	}
	c.recent[d] = b
	return b, nil
}

func (c *specs) fetch(ctx context.Context, s *session, d artifact.Digest) ([]byte, error) {
	if b, err := c.files.get(d); err == nil {
		return b, nil
	}
	p := pause{min: 100 * time.Millisecond, max: 5 * time.Second}
	for {
		b, err := s.store.Get(ctx, d, work.MaxSpec)
		if err == nil {
			if _, full := c.files.put(b); errors.Is(full, artifact.ErrFull) {
				c.files.clear() // they are only copies
			}
			return b, nil
		}
		if errors.Is(err, artifact.ErrTooLarge) || errors.Is(err, artifact.ErrNotFound) || ctx.Err() != nil {
			return nil, err
		}
		s.renew(ctx, err)
		if !sleep(ctx, p.step()) {
			return nil, err
		}
	}
}
