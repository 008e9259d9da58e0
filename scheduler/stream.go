package scheduler

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// holderSeen is how long ago a worker may have asked for work at most to count as one that
// could be given some: twice what a worker is silent for.
const holderSeen = 25 * time.Second

// Part takes parts of results and signs of life, and says which tasks nobody waits for any
// more. Nothing of it is kept: what counts is the receipt.
func (s *Scheduler) Part(_ context.Context, key work.PublicKey, r plane.PartRequest) (plane.PartReply, error) {
	if err := s.enter(); err != nil {
		return plane.PartReply{}, err
	}
	defer s.leave()
	var reply plane.PartReply
	now := s.now()
	for _, p := range r.Parts {
		if !s.part(key, p, now) && len(reply.Stop) < plane.MaxParts {
			reply.Stop = append(reply.Stop, p.Lease)
		}
	}
	return reply, nil
}

// part passes a part on and reports whether the task is to go on.
func (s *Scheduler) part(key work.PublicKey, p plane.Part, now time.Time) bool {
	j := s.job(p.Lease.Job)
	if j == nil {
		return false
	}
	j.mu.Lock()
	t := j.tasks[p.Lease.Seq]
	if t == nil || !t.leased || !t.answers(key, p.Lease.Attempt) {
		j.mu.Unlock()
		return false // another has it now, or it is done
	}
	t.heard = now
	a, listening := j.plan.(work.Audience)
	seq := t.plan
	j.mu.Unlock()
	// A plan that is being opened anew is waited for.
	return !listening || a.Part(seq, key, p.Body)
}

// listen takes tasks back from workers that somebody waits for in vain.
func (s *Scheduler) listen(now time.Time) {
	for _, j := range s.all() {
		for _, b := range j.silent(now) {
			s.fault(s.worker(b.worker), faultLost)
			j.takeBack(b.bundle, b.lease, 0.75)
		}
	}
}

type silence struct {
	bundle *bundle
	lease  uint64
	worker work.PublicKey
}

// silent lists the bundles whose workers have not been heard of for too long.
func (j *job) silent(now time.Time) []silence {
	if !j.leasing.Load() {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.needs.Silence <= 0 {
		return nil
	}
	var out []silence
	for _, t := range j.tasks {
		b := t.bundle
		if t.leased && now.Sub(t.heard) > j.needs.Silence && !slices.ContainsFunc(out, func(s silence) bool { return s.bundle == b }) {
			out = append(out, silence{b, b.lease, b.worker})
		}
	}
	return out
}

// has reports whether w holds what a bundle requires.
func (w *worker) has(d artifact.Digest) bool {
	if d == (artifact.Digest{}) {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.holds, d)
}

// wakeFor is PlanEnv.Wake. Of the idle workers that hold what is required it nudges the one
// with the least in hand: somebody waits.
func (j *job) wakeFor(requires artifact.Digest) {
	j.mu.Lock()
	j.planWait = time.Time{}
	j.mu.Unlock()
	s := j.s
	s.wakes.Add(1)
	var best *worker
	least := 0
	s.mu.Lock()
	for _, w := range s.idle {
		w.mu.Lock()
		fits := slices.Contains(w.kinds, j.rec.Kind) && (requires == (artifact.Digest{}) || slices.Contains(w.holds, requires))
		n := w.tasks
		w.mu.Unlock()
		if fits && (best == nil || n < least) {
			best, least = w, n
		}
	}
	if best != nil {
		delete(s.idle, best.key)
	}
	s.mu.Unlock()
	if best != nil {
		s.cfg.Nudge(best.key)
	}
}

// holders is PlanEnv.Holders.
func (j *job) holders(d artifact.Digest) int {
	now, n := j.s.now(), 0
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	for _, w := range j.s.workers {
		w.mu.Lock()
		if now.Sub(w.seen) < holderSeen && slices.Contains(w.kinds, j.rec.Kind) && (d == (artifact.Digest{}) || slices.Contains(w.holds, d)) {
			n++
		}
		w.mu.Unlock()
	}
	return n
}

// price is PlanEnv.Price.
func (j *job) price() *big.Int { return j.view.Load().Price }

// room is PlanEnv.Room.
func (j *job) room() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.rec.Phase != PhaseRunning {
		return 0
	}
	return j.affordable() * j.needs.UnitsPerTask
}

// setRequirement writes what a bundle requires of its worker beside its record.
func (j *job) setRequirement(b writer, x *bundle) {
	if x.requires != (artifact.Digest{}) {
		_ = b.Set(numberKey(spaceRequire, j.id, x.id), x.requires[:], nil)
	}
}

func (j *job) loadRequirement(x *bundle) error {
	v, err := j.s.store.get(numberKey(spaceRequire, j.id, x.id))
	if err != nil || v == nil {
		return err
	}
	if copy(x.requires[:], v) != len(v) || len(v) != len(x.requires) {
		return fmt.Errorf("%w: what a bundle requires has %d bytes", ErrCorrupt, len(v))
	}
	return nil
}

// dropBundle deletes the record of a bundle whose last task leaves.
func (j *job) dropBundle(b writer, x *bundle) {
	_ = b.Delete(numberKey(spaceBundle, j.id, x.id), nil)
	if x.requires != (artifact.Digest{}) {
		_ = b.Delete(numberKey(spaceRequire, j.id, x.id), nil)
	}
}
