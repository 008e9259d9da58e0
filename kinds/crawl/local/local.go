// Package local runs a crawl in one process: the same plan and the same exchanges as on
// the network, without leases, receipts, audits and money. It is what the network's cost is
// measured against, and how the crawler is tested whole.
package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cantus-network/cantus/work"
)

// Kind is a kind that plans, as crawl.Kind does.
type Kind interface {
	work.Kind
	work.Planner
}

// Options say how to run.
type Options struct {
	Env          work.Env
	AllowPrivate func(host string) bool
	Parallel     int    // bundles at a time
	Dir          string // of the state; "": memory. A folder with a state goes on where it ended
	// Each is told of every outcome, from one goroutine at a time, before it is committed.
	Each func(work.Outcome) error
}

// Stats are what a run came to.
type Stats struct {
	work.PlanStatus
	Units   uint64
	Elapsed time.Duration
}

// Run crawls until the plan is finished or ctx ends.
func Run(ctx context.Context, kind Kind, spec []byte, o Options) (stats Stats, err error) {
	if _, err := kind.Check(spec); err != nil {
		return Stats{}, err
	}
	state, err := OpenState(o.Dir)
	if err != nil {
		return Stats{}, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	plan, err := kind.Plan(ctx, 1, spec, state, work.PlanEnv{Now: o.Env.Now, Blobs: o.Env.Blobs, AllowPrivate: o.AllowPrivate})
	if err != nil {
		return Stats{}, err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()

	ctx, cancel := context.WithCancel(ctx)
	bundles := make(chan work.Bundle)
	outcomes := make(chan work.Outcome, 4*max(1, o.Parallel))
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for range max(1, o.Parallel) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for b := range bundles {
				for i, t := range b.Tasks {
					start := time.Now()
					t.Spec = spec
					oc := execute(ctx, kind, o.Env, t)
					select {
					case outcomes <- oc:
					case <-ctx.Done():
						return
					}
					if i+1 < len(b.Tasks) && !sleep(ctx, b.Pace-time.Since(start)) {
						return
					}
				}
			}
		}()
	}
	defer close(bundles)
	r := runner{kind: kind, o: o, state: state, plan: plan}
	start := time.Now()
	err = r.run(ctx, bundles, outcomes)
	return Stats{PlanStatus: plan.Status(), Units: r.units, Elapsed: time.Since(start)}, err
}

type runner struct {
	kind  Kind
	o     Options
	state *State
	plan  work.Plan
	units uint64
}

func (r *runner) run(ctx context.Context, bundles chan<- work.Bundle, outcomes <-chan work.Outcome) error {
	var queue []work.Bundle
	for {
		// Plan when there is less than every worker could take.
		var wait <-chan time.Time
		if len(queue) < max(1, r.o.Parallel) {
			batch := r.state.NewBatch()
			more, err := r.plan.Next(batch, 256)
			if err != nil {
				return errors.Join(err, batch.Drop())
			}
			if err := batch.Commit(); err != nil {
				return err
			}
			queue = append(queue, more...)
			if len(more) == 0 {
				s := r.plan.Status()
				if s.Finished {
					return nil
				}
				wait = time.After(s.Wait)
			}
		}
		var to chan<- work.Bundle
		var first work.Bundle
		if len(queue) > 0 {
			to, first = bundles, queue[0]
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case to <- first:
			queue = queue[1:]
		case <-wait:
		case oc := <-outcomes:
			if err := r.done(oc, outcomes); err != nil {
				return err
			}
		}
	}
}

// done takes an outcome, and what else is there, into the plan in one batch.
func (r *runner) done(oc work.Outcome, more <-chan work.Outcome) error {
	list := []work.Outcome{oc}
	for range 64 {
		select {
		case oc := <-more:
			list = append(list, oc)
			continue
		default:
		}
		break
	}
	for _, oc := range list {
		r.units += oc.Units
		if r.o.Each != nil {
			if err := r.o.Each(oc); err != nil {
				return err
			}
		}
	}
	batch := r.state.NewBatch()
	if err := r.plan.Done(batch, list); err != nil {
		return errors.Join(err, batch.Drop())
	}
	return batch.Commit()
}

func execute(ctx context.Context, kind Kind, env work.Env, t work.Task) work.Outcome {
	res, err := kind.Execute(ctx, env, t)
	if err != nil {
		return work.Outcome{Task: t, Failed: true, Reason: err.Error()}
	}
	units, err := kind.Meter(t, res)
	if err != nil {
		return work.Outcome{Task: t, Failed: true, Reason: fmt.Sprintf("meter: %v", err)}
	}
	return work.Outcome{Task: t, Result: res, Units: units}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
