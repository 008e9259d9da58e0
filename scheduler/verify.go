package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// claim is a receipt on its way in.
type claim struct {
	receipt *work.SignedReceipt
	task    *task  // whose lease it answers; nil where it answers none
	body    []byte // the task's

	encoded []byte
	result  work.Result
	refusal string // why it is not taken, for good
	err     error  // why it can't be decided now
}

func (c *claim) refuse(format string, args ...any) { c.refusal = fmt.Sprintf(format, args...) }

// How many claims are checked in one go: enough for their signatures to be checked
// together, few enough for a long report to go to several cores.
const verifyPart = 64

// patience is how long a report waits for its turn. A worker that waits longer gives up and
// sends the same again, so what was checked for it then would be checked for nothing.
const patience = 3 * time.Second

// turn takes a core for checking receipts, in the order of asking.
func (s *Scheduler) turn(ctx context.Context) error {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case s.cores <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-t.C:
	}
	s.m.shed.Inc()
	return plane.Busy(patience/2+rand.N(patience), "the gateway gets more receipts than it can check: report again later")
}

// verify checks claims of one job on as many cores as are free, and on one at least. An
// error means that no claim was checked.
func (s *Scheduler) verify(ctx context.Context, j *job, claims []*claim) error {
	if err := s.turn(ctx); err != nil {
		return err
	}
	var next atomic.Int64
	parts := (len(claims) + verifyPart - 1) / verifyPart
	run := func() {
		defer func() { <-s.cores }()
		for {
			i := int(next.Add(1)) - 1
			if i >= parts {
				return
			}
			s.verifySome(ctx, j, claims[i*verifyPart:min((i+1)*verifyPart, len(claims))])
		}
	}
	var wg sync.WaitGroup
	for range min(cap(s.cores), parts) - 1 {
		select {
		case s.cores <- struct{}{}:
			wg.Go(run)
		default: // the others are busy
		}
	}
	run()
	wg.Wait()
	return nil
}

// verifySome checks everything about receipts that can be checked without doing the tasks
// again: the cheap things first.
func (s *Scheduler) verifySome(ctx context.Context, j *job, claims []*claim) {
	open := make([]*claim, 0, len(claims))
	receipts := make([]*work.SignedReceipt, 0, len(claims))
	for _, c := range claims {
		if c.task == nil || c.refusal != "" || c.err != nil {
			continue
		}
		r := &c.receipt.Receipt
		switch {
		case r.Chain != s.cfg.Chain:
			c.refuse("it is for chain %.64q, this is %q", r.Chain, s.cfg.Chain)
		case r.Units > j.needs.UnitsPerTask:
			c.refuse("%d units, a task of this job costs at most %d", r.Units, j.needs.UnitsPerTask)
		case r.Task != (work.Task{Job: j.id, Seq: r.Seq, Body: c.body}).DigestOf(j.rec.Spec):
			c.refuse("it is for another task than the one that was leased")
		default:
			open = append(open, c)
			receipts = append(receipts, c.receipt)
		}
	}
	encoded, errs := s.signatures.Receipts(receipts)
	for i, c := range open {
		switch {
		case errs[i] != nil:
			c.refuse("%v", errs[i])
		case len(encoded[i]) > work.MaxReceipt:
			c.refuse("its encoding has more than %d bytes", work.MaxReceipt)
		default:
			c.encoded = encoded[i]
			s.verifyResult(ctx, j, c)
		}
	}
}

// verifyResult checks that a receipt's result is there and worth what it claims.
func (s *Scheduler) verifyResult(ctx context.Context, j *job, c *claim) {
	r := &c.receipt.Receipt
	body, err := s.cfg.Artifacts.Get(ctx, r.Result, work.MaxResult)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		c.refuse("its result %s is not in the artifact store: upload results before reporting them", r.Result)
		return
	case errors.Is(err, artifact.ErrTooLarge):
		c.refuse("its result has more than %d bytes", work.MaxResult)
		return
	case err != nil:
		c.err = fmt.Errorf("read the result of task %d: %w", r.Seq, err)
		return
	}
	c.result = work.Result{Body: body}
	units, err := meter(j.kind, work.Task{Job: j.id, Seq: r.Seq, Spec: j.spec, Body: c.body}, c.result)
	switch {
	case err != nil:
		c.refuse("its result is not one of this task: %v", err)
	case units != r.Units:
		c.refuse("it claims %d units, its result is worth %d", r.Units, units)
	}
}

// meter asks the kind, and takes a kind that panics on a hostile result as a refusal.
func meter(k work.Kind, t work.Task, r work.Result) (units uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the kind can't read it: %v\n%s", p, debug.Stack())
		}
	}()
	return k.Meter(t, r)
}
