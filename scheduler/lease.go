package scheduler

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	taskOverhead   = 32                        // bytes of a task on the wire besides its body
	bundleOverhead = 128                       // and of a bundle
	replyBytes     = plane.MaxMessage - 64<<10 // what a lease reply may hold, with room for the rest
	minPrefetch    = 16                        // tasks asked of a plan at a time, at least
	shunFor        = 5 * time.Second           // how long a worker that failed at a task is passed over
	minWait        = 50 * time.Millisecond     // between a worker's empty-handed requests
	maxWait        = 15 * time.Second
	limitedWait    = 500 * time.Millisecond // of a worker that has its share of what is out
)

// room is what still fits into a lease reply.
type room struct{ bundles, tasks, bytes int }

func (r *room) use(tasks, bytes int) {
	r.bundles--
	r.tasks -= tasks
	r.bytes -= bytes
}

func (r room) none() bool {
	return r.bundles <= 0 || r.tasks <= 0 || r.bytes <= bundleOverhead+taskOverhead
}

// fairness shares the workers' time between jobs: each job's clock advances by the time
// that what it was given will take, and the job whose clock is behind comes first. A job
// that had nothing to give does not save up for later.
type fairness struct {
	mu    sync.Mutex
	clock float64 // of the job that was served last
}

// order returns jobs with the one first that is most behind.
func (f *fairness) order(jobs []*job) []*job {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range jobs {
		j.served = math.Max(j.served, f.clock-1)
	}
	slices.SortFunc(jobs, func(a, b *job) int {
		switch {
		case a.served < b.served:
			return -1
		case a.served > b.served:
			return 1
		}
		return int(a.id) - int(b.id)
	})
	return jobs
}

func (f *fairness) charge(j *job, tasks int) {
	if tasks == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = math.Max(f.clock, j.served)
	j.served += float64(tasks) * j.cost
}

// learn takes note of how long a job's tasks really take, measured here.
func (f *fairness) learn(j *job, tasks int, took time.Duration) {
	if tasks == 0 || took < 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	one := math.Max(took.Seconds()/float64(tasks), 1e-6)
	j.cost += (one - j.cost) / 16
}

// lease fills the reply with bundles for w.
func (s *Scheduler) lease(w *worker, st standing, kinds []work.Name, r *room, now time.Time) ([]plane.Bundle, time.Duration, error) {
	jobs := s.fair.order(s.leasing(w.key, kinds))
	census := s.census(now)
	var bundles []plane.Bundle
	var waits []pending
	wait := maxWait
	for pass := 0; pass < 2 && !r.none(); pass++ {
		rest := jobs[:0:0]
		for i, j := range jobs {
			if r.none() {
				break
			}
			// A fair part now, the rest once the others had theirs.
			part := room{(r.bundles + len(jobs) - i - 1) / (len(jobs) - i), r.tasks, r.bytes}
			if pass > 0 {
				part.bundles = r.bundles
			}
			asked := part.bundles
			got, p, next, err := j.take(w, st, census, &part, now)
			if err != nil {
				s.log.Error("lease tasks", "job", j.id, "err", err)
				continue
			}
			if p.b != nil {
				waits = append(waits, p)
			}
			r.bundles -= asked - part.bundles
			r.tasks, r.bytes = part.tasks, part.bytes
			bundles = append(bundles, got...)
			if part.bundles == 0 {
				rest = append(rest, j)
			} else {
				wait = min(wait, next)
			}
		}
		jobs = rest
	}
	for _, p := range waits {
		if err := p.wait(); err != nil {
			return nil, 0, err
		}
	}
	return bundles, max(minWait, min(wait, s.patience())), nil
}

// patience is how long a worker waits for a nudge before it asks again: the more workers
// there are the longer, so that asking in vain costs the gateway little.
func (s *Scheduler) patience() time.Duration {
	s.mu.Lock()
	n := len(s.workers)
	s.mu.Unlock()
	return min(maxWait, time.Second+time.Duration(n)*2*time.Millisecond)
}

// leasing lists the jobs of these kinds that have tasks to give to a worker.
func (s *Scheduler) leasing(key work.PublicKey, kinds []work.Name) []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []*job
	for _, j := range s.jobs {
		if j.leasing.Load() && slices.Contains(kinds, j.rec.Kind) && !s.plantsIn(j.id, key) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// take leases bundles to w and says, where there are fewer than asked for, when to ask
// again. The leases are durable once p.wait returns.
func (j *job) take(w *worker, st standing, c *census, r *room, now time.Time) (got []plane.Bundle, p pending, next time.Duration, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.plan == nil || j.rec.Phase != PhaseRunning {
		return nil, pending{}, maxWait, nil
	}
	// Whoever has its share of what is out gets no more until others have theirs.
	limit := j.quota(st, c)
	if limit == 0 {
		return nil, pending{}, limitedWait, nil
	}
	over := max(0, r.tasks-limit)
	r.tasks -= over
	defer func() { r.tasks += over }()
	batch := j.s.store.batch()
	affordable := j.affordable()
	chosen := j.choose(w, r, &affordable, now)
	if !r.none() && affordable > 0 && !now.Before(j.planWait) {
		fresh, err := j.ask(batch, r, now)
		if err != nil {
			// What waited can still be leased; what the plan wrote is void.
			_ = batch.Close()
			batch, fresh = j.s.store.batch(), nil
			j.dropPlan(err)
		}
		for _, b := range fresh {
			j.addBundle(b)
			j.setRequirement(batch, b)
		}
		more := j.choose(w, r, &affordable, now)
		for _, b := range fresh {
			if !slices.ContainsFunc(more, func(c choice) bool { return c.bundle == b }) {
				_ = batch.Set(numberKey(spaceBundle, j.id, b.id), encode(j.s.bundleRecord(b)), nil)
			}
		}
		chosen = append(chosen, more...)
	}
	if j.overBudget(affordable) {
		j.kickNow()
	}
	tasks := 0
	for _, x := range chosen {
		got = append(got, j.grant(w, st, x, now))
		_ = batch.Set(numberKey(spaceBundle, j.id, x.bundle.id), encode(j.s.bundleRecord(x.bundle)), nil)
		tasks += x.n
	}
	if batch.Empty() {
		_ = batch.Close()
	} else if p, err = j.s.store.apply(batch); err != nil {
		return nil, pending{}, maxWait, err
	}
	j.s.fair.charge(j, tasks)
	j.s.m.leased.Add(float64(tasks))
	next = maxWait
	if d := j.planWait.Sub(now); d > 0 {
		next = d
	}
	return got, p, next, nil
}

// choice is the first n tasks of a bundle.
type choice struct {
	bundle *bundle
	n      int
}

// choose picks waiting bundles for w. The caller holds j.mu.
func (j *job) choose(w *worker, r *room, affordable *uint64, now time.Time) (chosen []choice) {
	keep := j.ready[:0]
	for i, b := range j.ready {
		if r.none() || *affordable == 0 {
			keep = append(keep, j.ready[i:]...)
			break
		}
		n := 0
		if !b.shuns(w.key, now) && w.has(b.requires) {
			n = b.fits(int(min(uint64(r.tasks), *affordable)), r.bytes-bundleOverhead)
		}
		if n == 0 {
			keep = append(keep, b)
			continue
		}
		bytes := bundleOverhead
		for _, t := range b.tasks[:n] {
			bytes += taskOverhead + len(t.body)
		}
		r.use(n, bytes)
		*affordable -= uint64(n)
		chosen = append(chosen, choice{b, n})
	}
	clear(j.ready[len(keep):])
	j.ready = keep
	return chosen
}

// ask gets fresh bundles from the plan and numbers their tasks. The plan has numbers of its
// own: the network's have gaps, which plants fill (see plant.go). The caller holds j.mu.
func (j *job) ask(batch writer, r *room, now time.Time) ([]*bundle, error) {
	want := min(plane.MaxTasks, max(minPrefetch, r.tasks/4, 2*r.bundles))
	given, err := j.plan.Next(planBatch{batch, j.prefix}, want)
	if err != nil {
		return nil, fmt.Errorf("ask the plan for tasks: %w", err)
	}
	var fresh []*bundle
	tasks := 0
	for _, g := range given {
		b := &bundle{pace: min(max(0, g.Pace), time.Hour), requires: g.Requires}
		for _, t := range g.Tasks {
			if t.Seq == 0 || len(t.Body) > work.MaxTask {
				return nil, fmt.Errorf("the plan gave out task %d with %d bytes: numbers count from 1, bodies have at most %d bytes", t.Seq, len(t.Body), work.MaxTask)
			}
			b.tasks = append(b.tasks, &task{seq: j.next, plan: t.Seq, body: t.Body})
			j.next++
			tasks++
		}
		if len(b.tasks) == 0 {
			continue
		}
		b.id = b.tasks[0].seq
		fresh = append(fresh, b)
	}
	if len(fresh) > 0 {
		j.setAside(tasks, now)
		_ = batch.Set(jobKey(spaceNumber, j.id), binary.BigEndian.AppendUint64(nil, j.next), nil)
	}
	st := j.plan.Status()
	j.status = st
	if len(fresh) == 0 {
		j.planWait = now.Add(max(minWait, min(st.Wait, maxWait)))
		if st.Finished {
			j.rec.Finished = true
			j.kickNow()
		}
	}
	return fresh, nil
}

// grant leases what was chosen. The caller holds j.mu.
func (j *job) grant(w *worker, st standing, c choice, now time.Time) plane.Bundle {
	b := c.bundle
	took := time.Duration(c.n)*j.needs.TaskTime + time.Duration(c.n-1)*b.pace
	b.worker, b.standing = w.key, st
	b.lease++
	b.leased = c.n
	j.held.add(st, c.n)
	b.granted, b.deadline = now, now.Add(took+w.queue()+j.s.cfg.LeaseGrace)
	out := plane.Bundle{
		Job: j.id, Kind: j.rec.Kind, Spec: j.rec.Spec,
		Pace: uint32(b.pace.Milliseconds()), Deadline: j.s.clock.wall(b.deadline).UnixMilli(),
		Tasks: make([]plane.Lease, c.n),
	}
	seqs := make([]uint64, c.n)
	for i, t := range b.tasks[:c.n] {
		t.attempt++
		t.worker, t.leased, t.heard = w.key, true, now
		out.Tasks[i] = plane.Lease{Seq: t.seq, Attempt: t.attempt, Body: t.body}
		seqs[i] = t.seq
	}
	j.out += c.n
	w.take(b, hold{job: j, lease: b.lease, seqs: seqs, tasks: c.n, time: took, granted: now})
	j.expires(b)
	return out
}

// expires notes when b's lease ends. The caller holds j.mu.
func (j *job) expires(b *bundle) {
	b.expiry = &expiry{at: b.deadline, job: j, bundle: b, lease: b.lease}
	j.s.leases.add(b.expiry)
}

// affordable is how many more tasks the escrow can pay if each costs the most that it may.
// The caller holds j.mu.
func (j *job) affordable() uint64 {
	total := j.view.Load().Affordable()
	reserved := j.reserved()
	if reserved >= total {
		return 0
	}
	return (total - reserved) / j.needs.UnitsPerTask
}

// reserved is how much of the escrow is spoken for, in units. Plants that were settled went
// back to the buyer. The caller holds j.mu.
func (j *job) reserved() uint64 {
	return j.units - j.plants.refunded + uint64(j.out)*j.needs.UnitsPerTask
}

// overBudget reports that the job is at its end because the escrow covers no more.
func (j *job) overBudget(affordable uint64) bool { return affordable == 0 && j.out == 0 }
