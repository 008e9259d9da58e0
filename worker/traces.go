package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// traces are the traces that are open. Making one may take as long as the task did, so one is
// kept while its dispute lasts and somebody moves now and then; but it also holds memory that
// the tasks need, so there are few, and what is not needed soon is closed and made again.
type traces struct {
	kinds map[work.Name]work.Kind

	mu   sync.Mutex
	open map[traceKey]*openTrace
}

// traceKey says what is traced; two disputes about one answer have one trace.
type traceKey struct {
	kind         work.Name
	task, result artifact.Digest
}

// openTrace is a trace, or one that is being made.
type openTrace struct {
	turn  chan struct{} // held by whoever uses it
	trace work.Trace    // of whoever holds turn; nil while there is none

	// Guarded by traces.mu:
	users int
	used  time.Time
}

const (
	maxTraces = 4
	traceIdle = 30 * time.Second
)

func newTraces(kinds map[work.Name]work.Kind) *traces {
	return &traces{kinds: kinds, open: map[traceKey]*openTrace{}}
}

// subject is what a trace is of.
type subject struct {
	kind         work.Name
	receipt      work.Receipt
	task, result []byte
}

// newSubject reads what a dispute or a sample is about.
func newSubject(kind work.Name, receipt, task, result []byte) (subject, error) {
	signed, err := work.DecodeReceipt(receipt)
	if err != nil {
		return subject{}, err
	}
	if artifact.Sum(result) != signed.Receipt.Result {
		return subject{}, fmt.Errorf("the result of %d bytes is not the one of the receipt of task %d", len(result), signed.Receipt.Seq)
	}
	return subject{kind, signed.Receipt, task, result}, nil
}

func (s subject) key() traceKey {
	return traceKey{s.kind, artifact.Digest(sha256.Sum256(s.task)), s.receipt.Result}
}

// errNoDisputer means that the worker can't speak in a dispute of a kind.
var errNoDisputer = errors.New("this worker doesn't do the kind, or its program can't dispute it: start it with the kind's model at hand")

// useTrace calls f with the trace of a subject. f is left behind if it doesn't stop with ctx.
// After an error of f's the trace is made anew.
func useTrace[T any](ctx context.Context, c *traces, s subject, f func(context.Context, work.Trace) (T, error)) (v T, err error) {
	kind, ok := c.kinds[s.kind].(work.Disputer)
	if !ok {
		return v, fmt.Errorf("%s: %w", s.kind, errNoDisputer)
	}
	t := c.take(s.key())
	defer c.give(t)
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
	if t.trace == nil {
		c.shut(maxTraces - 1)
		made, err := c.make(ctx, kind, s)
		if errors.Is(err, work.ErrNoRoom) {
			c.shut(0)
			made, err = c.make(ctx, kind, s)
		}
		if err != nil {
			return v, fmt.Errorf("make the trace of task %d of job %d: %w", s.receipt.Seq, s.receipt.Job, err)
		}
		t.trace = made
	}
	var ended atomic.Bool // f, or whoever waited for it
	trace := t.trace
	v, err = protect(ctx, func(ctx context.Context) (T, error) {
		defer func() {
			if ended.Swap(true) {
				trace.Close() // nobody waited
			}
		}()
		return f(ctx, trace)
	})
	switch {
	case !ended.Swap(true):
		t.trace = nil // it is still in use, and closed then
	case err != nil:
		t.trace = nil
		trace.Close() // whatever is wrong with it
	}
	return v, err
}

// make makes a trace. One that comes too late is closed.
func (c *traces) make(ctx context.Context, kind work.Disputer, s subject) (work.Trace, error) {
	return protect(ctx, func(ctx context.Context) (work.Trace, error) {
		t, err := kind.Trace(ctx, work.Task{Job: s.receipt.Job, Seq: s.receipt.Seq, Body: s.task}, work.Result{Body: s.result})
		if err == nil && ctx.Err() != nil {
			t.Close()
			return nil, context.Cause(ctx)
		}
		return t, err
	})
}

func (c *traces) take(key traceKey) *openTrace {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.open[key]
	if t == nil {
		t = &openTrace{turn: make(chan struct{}, 1)}
		c.open[key] = t
	}
	t.users++
	return t
}

func (c *traces) give(t *openTrace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.users--
	t.used = time.Now()
}

// shut closes traces that nobody uses, those longest unused first, until there are n of them.
func (c *traces) shut(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var oldest traceKey
		idle := 0
		for k, t := range c.open {
			if t.users == 0 {
				if idle++; idle == 1 || t.used.Before(c.open[oldest].used) {
					oldest = k
				}
			}
		}
		if idle <= n {
			return
		}
		c.forget(oldest)
	}
}

// rest closes the traces that nobody has used for a while, or needs any more.
func (c *traces) rest(needed map[traceKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, t := range c.open {
		if t.users == 0 && (!needed[k] || time.Since(t.used) > traceIdle) {
			c.forget(k)
		}
	}
}

// forget closes a trace that nobody uses. The caller holds mu.
func (c *traces) forget(k traceKey) {
	t := c.open[k]
	delete(c.open, k)
	if t.trace != nil {
		t.trace.Close()
	}
}
