package scheduler

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// Phase is where a job is at this gateway.
type Phase string

const (
	PhaseWaiting  Phase = "waiting"  // for its spec
	PhaseRunning  Phase = "running"  // tasks are leased
	PhaseDraining Phase = "draining" // no more leases; what is out may come in
	PhaseSettling Phase = "settling" // every receipt is sealed; epochs are audited and settle
	PhaseDone     Phase = "done"
	PhaseRefused  Phase = "refused" // it can't run here; the buyer is refunded
	PhaseFaulted  Phase = "faulted"
)

// writer is a batch that is being collected.
type writer = *pebble.Batch

// job is one job at this gateway.
type job struct {
	s      *Scheduler
	id     work.JobID
	log    *slog.Logger
	prefix []byte // of the plan's keys
	kick   chan struct{}

	view    atomic.Pointer[work.Job] // the ledger's record as last read
	leasing atomic.Bool              // running with an open plan

	mu       sync.Mutex
	rec      jobRecord // Kind and Spec never change and may be read without mu
	kind     work.Kind
	spec     []byte
	needs    work.Needs
	plan     work.Plan
	status   work.PlanStatus
	planWait time.Time // don't ask the plan before
	trouble  string    // what goes wrong now, for people
	tasks    map[uint64]*task
	ready    []*bundle // waiting for a worker
	out      int       // tasks that are leased
	units    uint64    // accepted, cumulative
	receipts uint64
	inOpen   uint64  // receipts in the open epoch
	next     uint64  // the number that the next task gets
	held     tallies // who has the tasks that are out
	plants   planting
	accounts map[work.PublicKey]*account
	banned   map[work.PublicKey]bool // proved to have cheated in this job
	rate     rate
	epochs   map[uint64]*epochState

	// fairness guards these.
	served float64
	cost   float64 // seconds of a task

	trees treeCache
	subs  subscribers
	retry time.Time // the loop's next try after an error; the loop's own
	tried int
}

func newJob(s *Scheduler, id work.JobID, rec jobRecord, view work.Job) *job {
	j := &job{
		s: s, id: id, rec: rec,
		log:      s.log.With("job", uint64(id)),
		prefix:   jobKey(spacePlan, id),
		kick:     make(chan struct{}, 1),
		tasks:    map[uint64]*task{},
		accounts: map[work.PublicKey]*account{},
		banned:   map[work.PublicKey]bool{},
		epochs:   map[uint64]*epochState{},
		cost:     1,
		next:     1,
		held:     newTallies(),
		plants:   newPlanting(),
	}
	j.prefix = j.prefix[:len(j.prefix):len(j.prefix)]
	j.view.Store(&view)
	return j
}

// kickNow makes the job's loop look again soon.
func (j *job) kickNow() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// over reports whether nothing is left to do for the job.
func (j *job) over() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rec.EndedAt != 0
}

func (j *job) setRecord(b writer) { _ = b.Set(jobKey(spaceJob, j.id), encode(j.rec), nil) }

// enterPhase changes the phase, durably. The caller holds no lock.
func (j *job) enterPhase(p Phase, reason string) error {
	j.mu.Lock()
	return j.setPhase(p, reason)
}

// end notes that nothing is left to do.
func (j *job) end(faulted bool) error {
	j.mu.Lock()
	j.rec.EndedAt = j.s.cfg.Now().UnixMilli()
	p, reason := j.rec.Phase, j.rec.Reason
	switch {
	case faulted:
		p, reason = PhaseFaulted, "the ledger found this gateway at fault"
	case p != PhaseRefused && p != PhaseFaulted:
		p = PhaseDone
	}
	return j.setPhase(p, reason)
}

// setPhase writes the record with another phase. The caller holds j.mu, which it gives up.
func (j *job) setPhase(p Phase, reason string) error {
	j.rec.Phase, j.rec.Reason = p, reason
	j.leasing.Store(p == PhaseRunning && j.plan != nil)
	if p == PhaseDone || p == PhaseFaulted || p == PhaseRefused {
		if err := j.closePlan(); err != nil {
			j.log.Warn("closing a plan", "err", err)
		}
	}
	b := j.s.store.batch()
	j.setRecord(b)
	done, err := j.s.store.apply(b)
	j.mu.Unlock()
	if err == nil {
		err = done.wait()
	}
	if err != nil {
		return err
	}
	j.log.Info("the job enters a phase", "phase", p, "reason", reason)
	j.notify()
	return nil
}

// giveUp tells the plan that tasks can't be done. The caller holds j.mu. It waits for no
// disk: if it is lost, the tasks are tried once more.
func (j *job) giveUp(tasks []*task, reason string) error {
	b := j.s.store.batch()
	defer b.Close()
	outcomes := make([]work.Outcome, len(tasks))
	for i, t := range tasks {
		outcomes[i] = work.Outcome{Task: j.taskOf(t), Failed: true, Reason: reason}
	}
	if err := j.tell(b, outcomes); err != nil {
		return err
	}
	for _, t := range tasks {
		j.setGivenUp(b, t)
	}
	j.rec.Failed += uint64(len(tasks))
	j.setRecord(b)
	if err := j.s.store.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("write to the gateway's database: %w", err)
	}
	for _, t := range tasks {
		j.remove(t)
	}
	j.s.m.failed.Add(float64(len(tasks)))
	return nil
}

func (j *job) setGivenUp(b writer, t *task) {
	_ = b.Set(numberKey(spaceDone, j.id, t.seq), make([]byte, 8), nil)
	if len(t.bundle.tasks) == 1 {
		j.dropBundle(b, t.bundle)
	}
}

// tell passes outcomes to the plan. The caller holds j.mu.
func (j *job) tell(b writer, outcomes []work.Outcome) error {
	if j.plan == nil {
		return errPlanShut
	}
	if err := j.plan.Done(planBatch{b, j.prefix}, outcomes); err != nil {
		err = fmt.Errorf("tell the plan what became of %d tasks: %w", len(outcomes), err)
		j.dropPlan(err)
		return err
	}
	j.planWait = time.Time{}
	j.status = j.plan.Status()
	if j.status.Finished {
		j.rec.Finished = true
		j.kickNow()
	}
	return nil
}

var errPlanShut error = plane.Busy(500*time.Millisecond, "the job's plan is being opened: try again in a moment")

// taskOf is a task as the plan knows it.
func (j *job) taskOf(t *task) work.Task {
	return work.Task{Job: j.id, Seq: t.plan, Spec: j.spec, Body: t.body}
}

// load reads all jobs from the database.
func (s *Scheduler) load() error {
	prefix := []byte{spaceJob}
	return s.store.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		id := work.JobID(lastNumber(k))
		rec, err := decode[jobRecord](fmt.Sprintf("job %d", id), v)
		if err != nil {
			return false, err
		}
		j := newJob(s, id, rec, work.Job{ID: id, Kind: rec.Kind, Spec: rec.Spec})
		if err := j.load(); err != nil {
			return false, fmt.Errorf("job %d: %w", id, err)
		}
		s.jobs[id] = j
		return true, nil
	})
}

// load reads a job's accounts, epochs and, while it runs, the tasks that are out.
func (j *job) load() error {
	st := j.s.store
	err := scanJob(st, spaceAccount, j.id, func(k, v []byte) error {
		a, err := decode[account]("an account", v)
		if err != nil {
			return err
		}
		var w work.PublicKey
		copy(w[:], k[9:])
		j.accounts[w] = &a
		j.units += a.Units
		j.receipts += a.Receipts
		return nil
	})
	if err != nil {
		return err
	}
	err = scanJob(st, spaceEpoch, j.id, func(k, v []byte) error {
		r, err := decode[epochRecord]("an epoch", v)
		if err != nil {
			return err
		}
		j.epochs[lastNumber(k)] = &epochState{record: r}
		return nil
	})
	if err == nil {
		err = j.loadPlants()
	}
	for n, es := range j.epochs {
		j.refund(n, es)
	}
	if err != nil || j.rec.EndedAt != 0 {
		return err
	}
	if err := j.loadNumber(); err != nil {
		return err
	}
	open := numberKey(spaceReceipt, j.id, j.rec.Open)
	if err := st.scan(open, after(open), func(_, _ []byte) (bool, error) { j.inOpen++; return true, nil }); err != nil {
		return err
	}
	err = scanJob(st, spaceBundle, j.id, j.loadBundle)
	slices.SortFunc(j.ready, func(a, b *bundle) int { return int(a.id) - int(b.id) })
	return err
}

// loadBundle takes up a bundle as it was: what was out stays out until its deadline, but
// at least long enough for its worker to come back and report.
func (j *job) loadBundle(k, v []byte) error {
	rec, err := decode[bundleRecord]("a bundle", v)
	if err != nil {
		return err
	}
	now := j.s.now()
	b := &bundle{id: lastNumber(k), pace: time.Duration(rec.Pace), worker: rec.Worker, lease: 1}
	if err := j.loadRequirement(b); err != nil {
		return err
	}
	// A clock that was set back meanwhile does not make the lease longer than it was.
	if b.granted = j.s.clock.steady(time.UnixMilli(rec.Granted)); b.granted.After(now) {
		b.granted = now
	}
	b.deadline = b.granted.Add(time.Duration(rec.Left))
	if soonest := now.Add(j.s.cfg.LeaseGrace + j.s.cfg.LostAfter); b.deadline.Before(soonest) {
		b.deadline = soonest
	}
	var seqs []uint64
	for _, t := range rec.Tasks {
		done, err := j.s.store.get(numberKey(spaceDone, j.id, t.Seq))
		if err != nil {
			return err
		}
		if done != nil {
			continue
		}
		x := &task{seq: t.Seq, plan: t.Plan, body: t.Body, attempt: t.Attempt, tries: t.Tries, leased: t.Leased, bundle: b}
		if t.Leased {
			x.worker, x.heard = rec.Worker, now.Add(j.s.cfg.LeaseGrace)
			b.leased++
			j.out++
			seqs = append(seqs, t.Seq)
		}
		b.tasks = append(b.tasks, x)
		j.tasks[t.Seq] = x
	}
	switch {
	case len(b.tasks) == 0:
	case b.leased == 0:
		j.ready = append(j.ready, b)
	default:
		j.s.worker(b.worker).take(b, hold{job: j, lease: 1, seqs: seqs, tasks: b.leased, granted: now})
		j.expires(b)
	}
	return nil
}

// scanJob calls f for each record of a job in one space.
func scanJob(st *store, space byte, id work.JobID, f func(k, v []byte) error) error {
	prefix := jobKey(space, id)
	return st.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		err := f(k, v)
		return err == nil, err
	})
}
