package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	recordFresh = 3 * time.Second // how long the ledger's record of a worker is believed
	recordStale = 2 * time.Minute // and how long while the ledger does not answer
	forgetAfter = time.Hour       // a worker that was not heard of since is forgotten
	maxCapacity = 64
)

// worker is how a worker is doing at this gateway. Of it only the score is kept on disk.
type worker struct {
	key work.PublicKey

	mu       sync.Mutex
	capacity int
	share    float64 // of what its capacity allows, 0 to 1; halved by each lease that runs out
	out      map[*bundle]hold
	tasks    int
	load     time.Duration // what it has in hand takes so long, one after another
	seen     time.Time
	orders   map[orderID]*order
	// Who it is, see standing.go and score.go.
	standing standing
	kinds    []work.Name
	holds    []artifact.Digest // what tasks may require
	declared string
	address  netip.Addr
	mismatch bool
	accused  map[accusation]bool
	score    score
}

// hold is what a worker has in hand of one bundle.
type hold struct {
	job     *job
	lease   uint64
	seqs    []uint64
	tasks   int // of seqs, not yet done
	time    time.Duration
	granted time.Time
	missing time.Time // since when the worker does not mention it
}

// worker returns the session of key, making one where there is none: a gateway that came
// back serves workers that know it from before.
func (s *Scheduler) worker(key work.PublicKey) *worker {
	s.mu.Lock()
	w := s.workers[key]
	s.mu.Unlock()
	if w != nil {
		return w
	}
	record := s.loadScore(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w = s.workers[key]; w == nil {
		w = &worker{key: key, capacity: 1, share: 1, out: map[*bundle]hold{}, orders: map[orderID]*order{}, seen: s.now(), score: record}
		s.workers[key] = w
	}
	return w
}

// allowance is how many more bundles w may have now.
func (w *worker) allowance(want int, now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := int(float64(2*w.capacity) * w.share * w.score.value(now))
	return min(want, max(1, limit)-len(w.out))
}

// queue is how long w needs for what it already has.
func (w *worker) queue() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.load / time.Duration(w.capacity)
}

func (w *worker) take(b *bundle, h hold) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out[b] = h
	w.tasks += h.tasks
	w.load += h.time
}

// finish takes n tasks of b out of w's hands; all of them ends the hold.
func (w *worker) finish(b *bundle, n int) (h hold, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.out[b]
	if !ok {
		return hold{}, false
	}
	n = min(n, h.tasks)
	w.tasks -= n
	h.tasks -= n
	w.out[b] = h
	if h.tasks > 0 {
		return h, false
	}
	delete(w.out, b)
	w.load -= h.time
	w.share = min(1, w.share+1.0/16)
	return h, true
}

// lose takes b from w without thanks.
func (w *worker) lose(b *bundle, penalty float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.out[b]
	if !ok {
		return
	}
	delete(w.out, b)
	w.tasks -= h.tasks
	w.load -= h.time
	w.share = max(1.0/64, w.share*penalty)
}

// punish gives w a smaller share for reporting what does not hold.
func (w *worker) punish() {
	w.mu.Lock()
	w.share = max(1.0/64, w.share/4)
	w.mu.Unlock()
}

// missing compares what w says it holds with what it should hold, and returns the
// bundles that it has not mentioned for longer than lost.
func (w *worker) missing(holding []plane.LeaseID, now time.Time, lost time.Duration) []held {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks == 0 || len(holding) >= w.tasks {
		return nil
	}
	type key struct {
		job work.JobID
		seq uint64
	}
	said := make(map[key]bool, len(holding))
	for _, l := range holding {
		said[key{l.Job, l.Seq}] = true
	}
	var gone []held
	for b, h := range w.out {
		mentioned := slices.ContainsFunc(h.seqs, func(seq uint64) bool { return said[key{h.job.id, seq}] })
		switch {
		case mentioned:
			h.missing = time.Time{}
		case h.missing.IsZero():
			h.missing = now
		case now.Sub(h.missing) >= lost:
			gone = append(gone, held{b, h})
		}
		w.out[b] = h
	}
	return gone
}

type held struct {
	bundle *bundle
	hold
}

// relieve gives to others what a worker holds that the ledger does not have as active any
// more: nothing that it reported of it could be taken.
func (s *Scheduler) relieve(key work.PublicKey) {
	s.mu.Lock()
	w := s.workers[key]
	s.mu.Unlock()
	if w == nil {
		return
	}
	w.mu.Lock()
	all := make([]held, 0, len(w.out))
	for b, h := range w.out { // order-free: each goes back alone
		all = append(all, held{b, h})
	}
	w.mu.Unlock()
	for _, g := range all {
		g.job.takeBack(g.bundle, g.lease, 1)
	}
}

// ledgerWorker is the ledger's record of a worker as we last read it.
type ledgerWorker struct {
	mu     sync.Mutex
	record work.Worker
	err    error
	at     time.Time
}

// Worker returns the ledger's record of a worker, cached for a few seconds. The error
// wraps ErrNoWorker for a key that nobody enrolled.
func (s *Scheduler) Worker(ctx context.Context, key work.PublicKey) (work.Worker, error) {
	s.mu.Lock()
	k := s.known[key]
	if k == nil {
		k = &ledgerWorker{}
		s.known[key] = k
	}
	s.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	now := s.now()
	age := now.Sub(k.at)
	if !k.at.IsZero() && age >= 0 && age < recordFresh {
		return k.record, k.err
	}
	rec, err := s.cfg.Ledger.Worker(ctx, key)
	switch {
	case err == nil, errors.Is(err, ErrNoWorker):
		k.record, k.err, k.at = rec, err, now
	case !k.at.IsZero() && age < recordStale && k.err == nil:
		// The ledger does not answer: go by what it said last.
	default:
		return work.Worker{}, fmt.Errorf("ask the ledger about worker %s: %w", key.Short(), err)
	}
	return k.record, k.err
}

// admit returns the ledger's record of a worker that may work.
func (s *Scheduler) admit(ctx context.Context, key work.PublicKey) (work.Worker, error) {
	rec, err := s.Worker(ctx, key)
	if errors.Is(err, ErrNoWorker) {
		return rec, plane.Errorf(plane.CodeDenied, "nobody enrolled worker %s on chain %s: enrol it with `cantus worker enroll`", key, s.cfg.Chain)
	}
	if err != nil {
		s.log.Warn("a worker is put off", "worker", key.Short(), "err", err)
		return rec, plane.Busy(time.Second, "the gateway can't reach the ledger at the moment: try again")
	}
	return rec, nil
}

// forget drops workers that went away long ago.
func (s *Scheduler) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, w := range s.workers {
		w.mu.Lock()
		gone := len(w.out) == 0 && len(w.orders) == 0 && len(w.accused) == 0 && !w.score.dirty && now.Sub(w.seen) > forgetAfter
		w.mu.Unlock()
		if gone {
			delete(s.workers, key)
			delete(s.idle, key)
		}
	}
	for key := range s.known {
		if s.workers[key] == nil {
			delete(s.known, key)
		}
	}
}

// rest notes that w waits for a nudge.
func (s *Scheduler) rest(w *worker) {
	s.mu.Lock()
	s.idle[w.key] = w
	s.mu.Unlock()
}

// busy notes that w does not.
func (s *Scheduler) busy(w *worker) {
	s.mu.Lock()
	delete(s.idle, w.key)
	s.mu.Unlock()
}

// wake nudges up to n waiting workers, of those that hold something where it is required.
func (s *Scheduler) wake(n int, requires artifact.Digest) {
	if n <= 0 {
		return
	}
	s.wakes.Add(1)
	var keys []work.PublicKey
	s.mu.Lock()
	for key, w := range s.idle {
		if len(keys) == n {
			break
		}
		if !w.has(requires) {
			continue
		}
		keys = append(keys, key)
		delete(s.idle, key)
	}
	s.mu.Unlock()
	for _, key := range keys {
		s.cfg.Nudge(key)
	}
}
