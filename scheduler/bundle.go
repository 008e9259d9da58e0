package scheduler

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// task is a task that was given out by the plan and is not done.
type task struct {
	seq     uint64 // its number on the network
	plan    uint64 // and the one by which the plan knows it
	body    []byte
	attempt uint32         // leases so far
	tries   uint32         // of these, the ones that it is to blame for
	worker  work.PublicKey // of the last lease
	leased  bool
	bundle  *bundle
	avoid   []work.PublicKey // workers that could not do it
	heard   time.Time        // of a task that somebody waits for: when its worker last was
}

// bundle is tasks that one worker does in order. While some are out the others wait, for
// two workers must not be at one bundle's pace together. The job's mutex guards it.
type bundle struct {
	id       uint64 // its first task's number
	pace     time.Duration
	requires artifact.Digest // what a worker must hold; zero for nothing
	tasks    []*task         // not done, in order
	leased   int             // how many of them are out
	lease    uint64          // counts leases, so that a stale deadline is known for one
	worker   work.PublicKey
	granted  time.Time
	deadline time.Time
	expiry   *expiry // while it is out
	released time.Time
	standing standing // of the worker, while it is out
}

// fits returns how many of the bundle's tasks a lease can hold.
func (b *bundle) fits(tasks, bytes int) int {
	n := 0
	for _, t := range b.tasks {
		bytes -= len(t.body) + taskOverhead
		if n == tasks || bytes < 0 {
			break
		}
		n++
	}
	return n
}

// shuns reports whether the next task failed on w and another worker should have a
// chance first.
func (b *bundle) shuns(w work.PublicKey, now time.Time) bool {
	return len(b.tasks) > 0 && now.Sub(b.released) < shunFor && slices.Contains(b.tasks[0].avoid, w)
}

func (s *Scheduler) bundleRecord(b *bundle) bundleRecord {
	r := bundleRecord{Pace: int64(b.pace), Worker: b.worker, Left: int64(b.deadline.Sub(b.granted)), Granted: s.clock.wall(b.granted).UnixMilli(), Tasks: make([]taskRecord, len(b.tasks))}
	for i, t := range b.tasks {
		r.Tasks[i] = taskRecord{Seq: t.seq, Plan: t.plan, Attempt: t.attempt, Tries: t.tries, Leased: t.leased, Body: t.body}
	}
	return r
}

// addBundle takes a bundle that the plan gave out. The caller holds j.mu.
func (j *job) addBundle(b *bundle) {
	for _, t := range b.tasks {
		t.bundle = b
		j.tasks[t.seq] = t
	}
	j.ready = append(j.ready, b)
}

// remove takes a finished task out of everything. The caller holds j.mu.
func (j *job) remove(t *task) {
	b := t.bundle
	if i := slices.Index(b.tasks, t); i >= 0 {
		b.tasks = slices.Delete(b.tasks, i, i+1)
	}
	delete(j.tasks, t.seq)
	waiting := b.leased == 0
	j.unlease(t)
	if waiting && len(b.tasks) == 0 {
		j.ready = slices.DeleteFunc(j.ready, func(r *bundle) bool { return r == b })
	}
}

// unlease ends a task's lease. When it was the last of its bundle's, what is left of the
// bundle waits for a worker. The caller holds j.mu.
func (j *job) unlease(t *task) {
	if !t.leased {
		return
	}
	t.leased = false
	j.out--
	j.held.add(t.bundle.standing, -1)
	b := t.bundle
	if b.leased--; b.leased > 0 {
		return
	}
	j.s.leases.drop(b.expiry)
	b.expiry = nil
	if len(b.tasks) > 0 {
		b.released = j.s.now()
		j.ready = slices.Insert(j.ready, 0, b) // older work first
	}
}

// release ends the lease of a bundle whose worker did not keep it. The first task is the
// one that it was at, and bears the blame. The caller holds j.mu.
func (j *job) release(b *bundle) (given []*task) {
	blamed := false
	for _, t := range slices.Clone(b.tasks) {
		if !t.leased {
			continue
		}
		if !blamed {
			blamed = true
			if j.blame(t, b.worker) {
				given = append(given, t)
			}
		}
		j.unlease(t)
	}
	return given
}

// blame counts a try and reports whether the task was tried often enough.
func (j *job) blame(t *task, w work.PublicKey) bool {
	t.tries++
	if len(t.avoid) < 8 && !slices.Contains(t.avoid, w) {
		t.avoid = append(t.avoid, w)
	}
	return t.tries >= uint32(j.s.cfg.MaxTries)
}

// expiry is a lease's deadline.
type expiry struct {
	at     time.Time
	job    *job
	bundle *bundle
	lease  uint64
	index  int // in the heap; -1 outside
}

// expiries orders deadlines.
type expiries struct {
	mu sync.Mutex
	h  expiryHeap
}

type expiryHeap []*expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, k int) bool { return h[i].at.Before(h[k].at) }
func (h expiryHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i, k
}

func (h *expiryHeap) Push(x any) {
	e := x.(*expiry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	x.index = -1
	return x
}

func (e *expiries) add(x *expiry) {
	e.mu.Lock()
	heap.Push(&e.h, x)
	e.mu.Unlock()
}

func (e *expiries) drop(x *expiry) {
	if x == nil {
		return
	}
	e.mu.Lock()
	if x.index >= 0 {
		heap.Remove(&e.h, x.index)
	}
	e.mu.Unlock()
}

// due takes out the deadlines that have passed.
func (e *expiries) due(now time.Time) []*expiry {
	e.mu.Lock()
	defer e.mu.Unlock()
	var d []*expiry
	for len(e.h) > 0 && !e.h[0].at.After(now) {
		d = append(d, heap.Pop(&e.h).(*expiry))
	}
	return d
}

// expire takes the leases back that ran out, for others.
func (s *Scheduler) expire(now time.Time) {
	for _, x := range s.leases.due(now) {
		x.job.mu.Lock()
		late, w := x.bundle.lease == x.lease && x.bundle.leased > 0, x.bundle.worker
		x.job.mu.Unlock()
		if late {
			s.fault(s.worker(w), faultLost)
		}
		x.job.takeBack(x.bundle, x.lease, 0.5)
	}
}

// takeBack ends a lease unless it ended already.
func (j *job) takeBack(b *bundle, lease uint64, penalty float64) {
	j.mu.Lock()
	if b.lease != lease || b.leased == 0 {
		j.mu.Unlock()
		return
	}
	j.log.Info("a lease ran out", "task", b.tasks[0].seq, "tasks", b.leased, "worker", b.worker.Short())
	j.s.m.expired.Add(float64(b.leased))
	worker := b.worker
	given := j.release(b)
	if len(given) > 0 {
		if err := j.giveUp(given, "several workers did not finish it in time"); err != nil {
			j.log.Error("give up a task", "err", err)
		}
	}
	j.mu.Unlock()
	j.s.worker(worker).lose(b, penalty)
	j.s.wake(1, b.requires)
	j.notify()
}
