package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	// heartbeat is how long a worker is silent at most, so that the gateway knows it lives.
	heartbeat = 10 * time.Second
	// rediscover is how long a lost connection is waited for before the gateway is asked
	// anew where its plane is.
	rediscover = 30 * time.Second
)

// leaseUntil asks for work until ctx ends. Tasks run under hard, which outlives ctx.
func (w *Worker) leaseUntil(ctx, hard context.Context) error {
	p := pause{min: 250 * time.Millisecond, max: 15 * time.Second}
	var lost, last time.Time
	for {
		if !sleep(ctx, time.Until(last.Add(spacing))) {
			return nil
		}
		last = time.Now()
		s, err := w.session(ctx)
		if err != nil {
			return nil
		}
		wait, err := w.leaseOnce(ctx, hard, s)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			p.reset()
			lost = time.Time{}
		case errors.Is(err, plane.ErrDisconnected), errors.Is(err, context.DeadlineExceeded):
			if lost.IsZero() {
				lost = time.Now()
			}
			if time.Since(lost) > rediscover {
				if err := w.findAgain(ctx); err != nil {
					return err
				}
				lost = time.Time{}
			}
			wait = min(p.step(), time.Second)
		case errors.Is(err, plane.ErrNoSession):
			if err := s.greetAgain(ctx); err != nil {
				w.log.Warn("hello", "err", err)
			}
			wait = p.step()
		default:
			wait = p.step()
			if e := new(plane.Error); errors.As(err, &e) {
				wait = max(wait, e.After())
			}
			w.log.Warn("lease", "err", err, "again_in", wait.Round(time.Millisecond))
		}
		if err := w.rest(ctx, s, wait); err != nil {
			return err
		}
	}
}

// findAgain replaces a session whose connection stays lost.
func (w *Worker) findAgain(ctx context.Context) error {
	w.sessionMu.Lock()
	old := w.current.info
	w.sessionMu.Unlock()
	w.dropSession()
	w.log.Info("looking for the gateway again", "gateway", w.cfg.Gateway)
	s, err := w.reach(ctx)
	if err != nil || s == nil {
		return err
	}
	if s.info.Chain != old.Chain || s.info.Gateway != old.Gateway {
		defer s.close()
		return fmt.Errorf("%w: it was %s of chain %s and is %s of chain %s; start the worker again to work for it",
			ErrGatewayChanged, old.Gateway.Short(), old.Chain, s.info.Gateway.Short(), s.info.Chain)
	}
	w.setSession(s)
	return nil
}

// leaseOnce asks once and starts what came. It returns how long to wait before asking
// again; negative means until a slot is free or a heartbeat is due.
func (w *Worker) leaseOnce(ctx, hard context.Context, s *session) (time.Duration, error) {
	free := w.slots.free()
	if w.unpaid.Load() {
		free = 0
	}
	reply, err := s.client.Lease(ctx, plane.LeaseRequest{
		Max: uint32(min(free, plane.MaxBundles)), Kinds: w.names, Holding: w.held(),
	})
	if err != nil {
		return 0, err
	}
	for _, r := range reply.Reveals {
		w.reveal(r)
	}
	for _, a := range reply.Audits {
		w.startAudit(hard, s, a)
	}
	// A gateway that gives more than it was asked for gets the surplus back.
	for i, b := range reply.Bundles {
		if i >= free {
			w.giveBack(b.Job, b.Tasks, "more bundles than the worker asked for")
			continue
		}
		w.hold(b)
		w.slots.take()
		w.tasks.Add(1)
		go func() {
			defer w.tasks.Done()
			defer w.slots.give()
			w.doBundle(hard, s, b)
		}()
	}
	if w.slots.free() == 0 || w.unpaid.Load() {
		return -1, nil
	}
	if len(reply.Bundles) > 0 {
		return 0, nil
	}
	return time.Duration(reply.Wait) * time.Millisecond, nil
}

// rest waits until it is time to ask again. It says hello after a reconnection, and it
// returns what ends the worker from within.
func (w *Worker) rest(ctx context.Context, s *session, wait time.Duration) error {
	full := wait < 0
	if full || wait > heartbeat {
		wait = heartbeat
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	var freed <-chan struct{}
	if full {
		freed = w.slots.freed
	}
	select {
	case <-ctx.Done():
	case err := <-w.failed:
		return err
	case <-t.C:
	case <-s.client.Nudges():
	case <-freed:
	case <-s.client.Reconnects():
		if _, err := s.greet(ctx); err != nil {
			w.log.Warn("hello after a reconnection", "err", err)
		}
		wake(w.kick)
	}
	return nil
}

// hold notes a bundle's leases as being worked on.
func (w *Worker) hold(b plane.Bundle) {
	w.holdingMu.Lock()
	defer w.holdingMu.Unlock()
	for _, t := range b.Tasks {
		w.holding[plane.LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt}] = true
	}
}

func (w *Worker) release(ids ...plane.LeaseID) {
	w.holdingMu.Lock()
	defer w.holdingMu.Unlock()
	for _, id := range ids {
		delete(w.holding, id)
	}
}

func (w *Worker) held() []plane.LeaseID {
	w.holdingMu.Lock()
	defer w.holdingMu.Unlock()
	ids := make([]plane.LeaseID, 0, min(len(w.holding), plane.MaxHolding))
	for id := range w.holding {
		if len(ids) == plane.MaxHolding {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// giveBack returns leases whose tasks were never started.
func (w *Worker) giveBack(job work.JobID, tasks []plane.Lease, why string) {
	for _, t := range tasks {
		w.reports <- plane.Failure{Lease: plane.LeaseID{Job: job, Seq: t.Seq, Attempt: t.Attempt}, Reason: why, Untried: true}
	}
}
