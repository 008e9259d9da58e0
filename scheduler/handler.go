package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// maxReason bounds the text of a refusal.
const maxReason = 400

// Hello opens a worker's session. The gateway that serves the artifact store fills in
// its address and the token.
func (s *Scheduler) Hello(ctx context.Context, key work.PublicKey, r plane.HelloRequest) (plane.HelloReply, error) {
	if err := s.enter(); err != nil {
		return plane.HelloReply{}, err
	}
	defer s.leave()
	rec, err := s.admit(ctx, key)
	if err != nil {
		return plane.HelloReply{}, err
	}
	if !rec.Active {
		s.relieve(key)
		return plane.HelloReply{}, plane.Errorf(plane.CodeDenied, "worker %s is paused, unbonding or jailed on chain %s: see `cantus worker list`", key, s.cfg.Chain)
	}
	w := s.worker(key)
	s.comesFrom(w, rec.Network, plane.Remote(ctx))
	s.met(w, rec, both(r.Kinds, rec.Kinds), s.now())
	w.mu.Lock()
	w.capacity = max(1, min(int(r.Capacity), maxCapacity))
	w.seen = s.now()
	for _, o := range w.orders {
		o.sent = time.Time{} // a session that starts anew knows none of its orders
	}
	w.mu.Unlock()
	s.log.Info("a worker says hello", "worker", key.Short(), "version", fmt.Sprintf("%.40q", r.Version), "capacity", r.Capacity)
	reply := plane.HelloReply{Chain: s.cfg.Chain, Gateway: s.cfg.Key.Public(), Now: s.cfg.Now().UnixMilli()}
	if p := s.params.Load(); p != nil {
		reply.AllowLoopback = p.AllowLoopback
	}
	return reply, nil
}

// both are the kinds that a worker asks for and is enrolled for.
func both(asked, enrolled []work.Name) []work.Name {
	return slices.DeleteFunc(slices.Clone(asked), func(k work.Name) bool { return !slices.Contains(enrolled, k) })
}

// Lease gives a worker tasks, audits and reveals to do.
func (s *Scheduler) Lease(ctx context.Context, key work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
	if err := s.enter(); err != nil {
		return plane.LeaseReply{}, err
	}
	defer s.leave()
	rec, err := s.admit(ctx, key)
	if err != nil {
		return plane.LeaseReply{}, err
	}
	now := s.now()
	w := s.worker(key)
	s.busy(w)
	w.mu.Lock()
	w.seen = now
	if !slices.Equal(w.holds, r.Held) {
		w.holds = slices.Clone(r.Held)
	}
	w.mu.Unlock()
	for _, g := range w.missing(r.Holding, now, s.cfg.LostAfter) {
		s.fault(w, faultLost)
		g.job.takeBack(g.bundle, g.lease, 0.75)
	}
	if !rec.Active {
		s.relieve(key)
	}
	s.expire(now)

	room := room{bundles: min(int(r.Max), plane.MaxBundles), tasks: plane.MaxTasks, bytes: replyBytes}
	var reply plane.LeaseReply
	wakes := s.wakes.Load()
	// Audits before tasks: they have the shorter deadlines, and an auditor that misses one
	// is slashed.
	reply.Audits, reply.Reveals = s.ordersFor(w, &room, now)
	room.bundles = w.allowance(room.bundles, now)
	wait := s.patience()
	kinds := both(r.Kinds, rec.Kinds)
	st := s.met(w, rec, kinds, now)
	if err := s.store.diskError(); err == nil && rec.Active && !w.isAccused() && !room.none() {
		if reply.Bundles, wait, err = s.lease(w, st, kinds, &room, now); err != nil {
			return plane.LeaseReply{}, err
		}
	}
	if len(reply.Bundles)+len(reply.Audits)+len(reply.Reveals) == 0 {
		s.rest(w)
		// What came up since is not waited for.
		if s.hasOrders(w) || s.wakes.Load() != wakes {
			wait = minWait
		}
		reply.Wait = uint32(wait.Milliseconds())
	}
	return reply, nil
}

// Done takes receipts, failures, verdicts and reveals. What the reply acknowledges is
// durable; an error means that the whole report should be sent again.
func (s *Scheduler) Done(ctx context.Context, key work.PublicKey, r plane.DoneRequest) (plane.DoneReply, error) {
	if err := s.enter(); err != nil {
		return plane.DoneReply{}, err
	}
	defer s.leave()
	if n := len(r.Receipts) + len(r.Failures) + len(r.Verdicts) + len(r.Reveals); n > plane.MaxFinished {
		return plane.DoneReply{}, plane.Errorf(plane.CodeInvalid, "a report of %d items, at most %d", n, plane.MaxFinished)
	}
	rec, err := s.admit(ctx, key)
	if err != nil {
		return plane.DoneReply{}, err
	}
	start := time.Now()
	w := s.worker(key)
	w.mu.Lock()
	w.seen = s.now()
	w.mu.Unlock()

	type part struct {
		receipts []*work.SignedReceipt
		failures []plane.Failure
	}
	parts := map[work.JobID]*part{}
	var order []work.JobID
	of := func(id work.JobID) *part {
		if parts[id] == nil {
			parts[id] = &part{}
			order = append(order, id)
		}
		return parts[id]
	}
	for i := range r.Receipts {
		p := of(r.Receipts[i].Receipt.Job)
		p.receipts = append(p.receipts, &r.Receipts[i])
	}
	for _, f := range r.Failures {
		p := of(f.Lease.Job)
		p.failures = append(p.failures, f)
	}
	var reply plane.DoneReply
	for _, id := range order {
		v, refused, err := s.receipts(ctx, w, rec.Active, id, parts[id].receipts, parts[id].failures)
		if err != nil {
			return plane.DoneReply{}, err
		}
		if v != nil {
			reply.Vouchers = append(reply.Vouchers, *v)
		}
		reply.Refused = append(reply.Refused, refused...)
	}
	refused, err := s.verdicts(key, r.Verdicts, r.Reveals)
	if err != nil {
		return plane.DoneReply{}, err
	}
	reply.Refused = append(reply.Refused, refused...)
	for i := range reply.Refused {
		reply.Refused[i].Reason = plane.Clip(reply.Refused[i].Reason, maxReason)
	}
	s.m.doneSeconds.Observe(time.Since(start).Seconds())
	return reply, nil
}
