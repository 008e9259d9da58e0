package worker

import (
	"context"
	"errors"
	"slices"
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

// errMoved ends the work for a cell that is the worker's no longer.
var errMoved = errors.New("the worker belongs to another cell now")

// errWanted ends the wrapping up with a gateway that a place wants to work for.
var errWanted = errors.New("the gateway is worked for again")

// keep keeps a session with a place and leases from it while it is its turn. Tasks run
// under hard, which outlives ctx.
func (w *Worker) keep(ctx, hard context.Context, p *place) {
	wait := pause{min: 500 * time.Millisecond, max: 30 * time.Second}
	for ctx.Err() == nil {
		at := w.resolve(ctx, p)
		s, err := w.connect(ctx, at)
		if err != nil {
			w.choice.lost(p, errors.Is(err, plane.ErrLogin))
			d := wait.step()
			if ctx.Err() == nil {
				w.log.Warn("no session with the gateway; trying again", "gateway", at.url, "err", err, "in", d.Round(time.Millisecond))
			}
			sleep(ctx, d)
			continue
		}
		l, err := w.open(hard, party{s.info.Chain, s.info.Gateway, at.cell}, at)
		if err != nil {
			s.close()
			w.fail(err)
			return
		}
		if !l.acquire() {
			// Another place is the same gateway, or what is left of earlier is reported to it.
			l.yield()
			s.close()
			sleep(ctx, wait.step())
			continue
		}
		l.wanted.Store(false)
		wait.reset()
		l.log.Info("session with a gateway", "url", at.url, "chain", s.info.Chain)
		l.setSession(s)
		err = l.serve(ctx, hard, p, s, func() bool { return w.resolve(ctx, p) == at })
		switch {
		case ctx.Err() != nil:
			return // the session is still needed to report
		case errors.Is(err, errMoved):
			l.log.Info("moving to another cell; what was leased here is finished and reported here")
			w.loops.Go(func() { w.wrapUp(ctx, hard, l, s) })
		default:
			l.log.Info("looking for the gateway again", "url", at.url, "err", err)
			l.dropSession()
			l.releaseToken()
			w.choice.lost(p, false)
		}
	}
}

// wrapUp tells a party that the worker has left what it must still be told, and answers
// its audits, until nothing is left. s is its session if there is one; then the caller
// holds the link's token.
func (w *Worker) wrapUp(ctx, hard context.Context, l *link, s *session) {
	wait := pause{min: time.Second, max: 10 * time.Minute}
	for ctx.Err() == nil {
		if s == nil {
			var err error
			if s, err = w.connect(ctx, l.where()); err != nil {
				d := wait.step()
				if ctx.Err() == nil {
					l.log.Warn("a gateway that receipts are owed by is away; trying again", "url", l.where().url, "err", err, "in", d.Round(time.Millisecond))
				}
				sleep(ctx, d)
				if l.where().stranger && l.idle() {
					return // its audits were decided meanwhile
				}
				continue
			}
			if s.info.Chain != l.party.chain || !l.acquire() {
				s.close()
				s = nil
				if l.idle() || !sleep(ctx, wait.step()) {
					return // a place keeps it
				}
				continue
			}
			l.setSession(s)
		}
		wait.reset()
		last := time.Now()
		err := l.serve(ctx, hard, nil, s, func() bool {
			if !l.idle() {
				last = time.Now()
			}
			return time.Since(last) < wrapUpLinger
		})
		if ctx.Err() != nil {
			return
		}
		l.dropSession()
		l.releaseToken()
		s = nil
		switch {
		case errors.Is(err, errWanted):
			return
		case errors.Is(err, errMoved):
			l.log.Info("done with a gateway that the worker has left")
			return
		}
	}
}

// serve asks for work, or for audits alone where it is another's turn, until ctx ends or
// the connection stays lost. stay is asked now and then, and after a lost connection,
// whether to go on.
func (l *link) serve(ctx, hard context.Context, p *place, s *session, stay func() bool) error {
	wait := pause{min: 250 * time.Millisecond, max: 15 * time.Second}
	var lost, last time.Time
	var lastErr error
	check := time.Now().Add(jitter(l.w.cfg.CellsEvery))
	for {
		if !sleep(ctx, time.Until(last.Add(spacing))) {
			return nil
		}
		last = time.Now()
		if p == nil && l.wanted.Load() {
			return errWanted
		}
		if last.After(check) {
			if !stay() {
				return errMoved
			}
			check = time.Now().Add(jitter(l.w.cfg.CellsEvery))
		}
		rest, err := l.leaseOnce(ctx, hard, p, s)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			wait.reset()
			if !lost.IsZero() {
				lost, check = time.Time{}, time.Now()
			}
			l.answered(p, false)
		case errors.Is(err, plane.ErrDisconnected), errors.Is(err, context.DeadlineExceeded):
			if lost.IsZero() {
				lost = time.Now()
			}
			lastErr = err
			l.lost(p)
			if time.Since(lost) > rediscover {
				return lastErr
			}
			rest = min(wait.step(), time.Second)
		case errors.Is(err, plane.ErrNoSession):
			if err := s.greetAgain(ctx); err != nil {
				l.log.Warn("hello", "err", err)
			}
			rest = wait.step()
		default:
			rest = wait.step()
			var after time.Duration
			if e := new(plane.Error); errors.As(err, &e) {
				after = e.After()
			}
			rest = max(rest, after)
			if errors.Is(err, plane.ErrDenied) || after >= l.w.cfg.Failover {
				l.answered(p, true)
			}
			l.log.Warn("lease", "err", err, "again_in", rest.Round(time.Millisecond))
		}
		l.rest(ctx, s, rest, err == nil && l.w.choice.turn(p))
	}
}

// isPast reports whether a lease or an audit that was just given is over already by what is
// known of the gateway's clock. No gateway gives out such a one.
func (s *session) isPast(r plane.LeaseReply) bool {
	past := func(ms int64) bool { return !time.Now().Before(s.local(ms)) }
	return slices.ContainsFunc(r.Bundles, func(b plane.Bundle) bool { return past(b.Deadline) }) ||
		slices.ContainsFunc(r.Audits, func(a plane.Audit) bool { return past(a.Deadline) })
}

func (l *link) answered(p *place, refused bool) {
	if p != nil {
		l.w.choice.answered(p, l, refused)
	}
}

func (l *link) lost(p *place) {
	if p != nil {
		l.w.choice.lost(p, false)
	}
}

// leaseOnce asks once and starts what came. It returns how long to wait before asking
// again; negative means until a slot is free or a heartbeat is due.
func (l *link) leaseOnce(ctx, hard context.Context, p *place, s *session) (time.Duration, error) {
	free := 0
	mayLease := func() bool { return l.w.choice.turn(p) && !l.unpaid.Load() }
	if mayLease() {
		free = l.w.slots.reserve(plane.MaxBundles)
	}
	reply, err := s.client.Lease(ctx, plane.LeaseRequest{Max: uint32(free), Kinds: l.w.names, Holding: l.held(), Held: l.w.holds()})
	if err != nil {
		l.w.slots.unreserve(free)
		return 0, err
	}
	if s.isPast(reply) {
		// The gateway's clock was set since its hello: it says anew what it shows.
		if err := s.greetAgain(ctx); err != nil {
			l.log.Warn("hello, since the gateway's clock was set", "err", err)
		}
	}
	for _, r := range reply.Reveals {
		l.reveal(r)
	}
	for _, a := range reply.Audits {
		l.startAudit(hard, s, a)
	}
	// A gateway that gives more than it was asked for gets the surplus back.
	for i, b := range reply.Bundles {
		if i >= free {
			l.giveBack(b.Job, b.Tasks, "more bundles than the worker asked for")
			continue
		}
		l.hold(b)
		l.tasks.Add(1)
		go func() {
			defer l.tasks.Done()
			defer l.w.slots.give()
			l.doBundle(hard, s, b)
		}()
	}
	l.w.slots.unreserve(max(0, free-len(reply.Bundles)))
	if l.w.slots.free() == 0 || !mayLease() {
		return -1, nil
	}
	if len(reply.Bundles) > 0 || free == 0 {
		return 0, nil
	}
	return time.Duration(reply.Wait) * time.Millisecond, nil
}

// rest waits until it is time to ask again. It says hello after a reconnection.
func (l *link) rest(ctx context.Context, s *session, wait time.Duration, leasing bool) {
	full := wait < 0
	if full || wait > heartbeat {
		wait = heartbeat
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	var freed <-chan struct{}
	if full && leasing && !l.unpaid.Load() {
		freed = l.w.slots.freed
	}
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.client.Nudges():
	case <-freed:
	case <-l.turn:
	case <-s.client.Reconnects():
		if _, err := s.greet(ctx); err != nil {
			l.log.Warn("hello after a reconnection", "err", err)
		}
		wake(l.kick)
	}
}

// hold notes a bundle's leases as being worked on.
func (l *link) hold(b plane.Bundle) {
	l.holdingMu.Lock()
	defer l.holdingMu.Unlock()
	for _, t := range b.Tasks {
		l.holding[plane.LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt}] = true
	}
}

func (l *link) release(ids ...plane.LeaseID) {
	l.streams.drop(ids)
	l.holdingMu.Lock()
	defer l.holdingMu.Unlock()
	for _, id := range ids {
		delete(l.holding, id)
	}
}

func (l *link) held() []plane.LeaseID {
	l.holdingMu.Lock()
	defer l.holdingMu.Unlock()
	ids := make([]plane.LeaseID, 0, min(len(l.holding), plane.MaxHolding))
	for id := range l.holding {
		if len(ids) == plane.MaxHolding {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// giveBack returns leases whose tasks were never started.
func (l *link) giveBack(job work.JobID, tasks []plane.Lease, why string) {
	for _, t := range tasks {
		l.reports <- plane.Failure{Lease: plane.LeaseID{Job: job, Seq: t.Seq, Attempt: t.Attempt}, Reason: why, Untried: true}
	}
}
