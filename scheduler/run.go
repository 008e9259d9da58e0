package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

const (
	stepEvery  = time.Second // a job is looked at this often even if nothing happens
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
	maxOpening = 16 // openings, verdicts or reveals in one transaction
	maxPending = 64 // epochs that the ledger takes before the first of them settled
)

// run takes the job through its life. It is the only one that changes the job's phase and
// that sends transactions for it.
func (j *job) run(ctx context.Context) {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.kick:
		case <-tick.C:
		}
		if time.Now().Before(j.retry) {
			continue
		}
		err := j.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if j.tried > 0 {
				j.setTrouble("")
			}
			j.tried, j.retry = 0, time.Time{}
		default:
			wait := min(lastRetry, firstRetry<<min(j.tried, 10))
			if errors.Is(err, errUrgent) {
				wait = min(wait, max(10*time.Millisecond, time.Duration(j.s.block.Load())))
			}
			wait += rand.N(wait / 4)
			j.retry = time.Now().Add(wait)
			if j.tried++; j.tried%8 == 1 || j.tried < 4 {
				j.log.Warn("the job does not get on; it is tried again", "err", err, "in", wait.Round(time.Millisecond))
			}
			j.setTrouble(err.Error())
			j.s.m.troubles.Inc()
		}
		if j.over() {
			return
		}
	}
}

func (j *job) setTrouble(t string) {
	j.mu.Lock()
	changed := j.trouble != t
	j.trouble = t
	j.mu.Unlock()
	if changed {
		j.notify()
	}
}

// look reads the job from the ledger again.
func (j *job) look(ctx context.Context) (work.Job, error) {
	view, err := j.s.cfg.Ledger.Job(ctx, j.id)
	if err != nil {
		return view, fmt.Errorf("read the job from the ledger: %w", err)
	}
	j.view.Store(&view)
	return view, nil
}

func (j *job) phase() (Phase, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rec.Phase, j.rec.Open
}

// step does what there is to do now. An error means that it is to be tried again.
func (j *job) step(ctx context.Context) error {
	if j.over() {
		return nil
	}
	view := *j.view.Load()
	if view.Status == "" {
		var err error
		if view, err = j.look(ctx); err != nil {
			return err
		}
	}
	if view.Status == work.JobClosed || view.Status == work.JobFaulted {
		return j.conclude(ctx, view)
	}
	// What has a deadline on the ledger is not held up by what fails elsewhere.
	errs := []error{j.fixAll(ctx), j.plant(ctx), j.advance(ctx, view)}
	switch phase, _ := j.phase(); phase {
	case PhaseFaulted: // no further epoch can be right; the job's expiry ends it
		return errors.Join(append(errs, j.answer(ctx, view))...)
	case PhaseRefused:
		return errors.Join(append(errs, j.finish(ctx, view))...)
	}
	for n := view.Settled + 1; n <= view.Epochs; n++ {
		if err := j.follow(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("%w: epoch %d: %w", errUrgent, n, err))
		}
	}
	view, err := j.commitEpochs(ctx, view)
	errs = append(errs, err, j.record(ctx, view))
	if err == nil {
		errs = append(errs, j.finish(ctx, view))
	}
	return errors.Join(errs...)
}

// errUrgent marks what has a deadline on the ledger and is tried again within blocks.
var errUrgent = errors.New("an epoch's audit")

// advance moves the job from phase to phase.
func (j *job) advance(ctx context.Context, view work.Job) error {
	height := j.s.height.Load()
	closing := view.Status == work.JobClosing
	phase, _ := j.phase()
	if closing {
		j.noteClosing(height)
	}
	switch phase {
	case PhaseWaiting:
		err := j.readSpec(ctx)
		var no refused
		switch {
		case errors.As(err, &no):
			return j.enterPhase(PhaseRefused, no.reason)
		case errors.Is(err, errSpecAbsent) && closing:
			return j.enterPhase(PhaseRefused, "it was closed before its spec came to the artifact store")
		case errors.Is(err, errSpecAbsent):
			j.setTrouble(fmt.Sprintf("waiting for the spec %s in the artifact store", j.rec.Spec))
			return nil
		case err != nil:
			return err
		}
		if err := j.enterPhase(PhaseRunning, ""); err != nil {
			return err
		}
		fallthrough
	case PhaseRunning:
		if err := j.resume(ctx); err != nil {
			return err
		}
		return j.running(ctx, closing, view, height)
	case PhaseDraining:
		if err := j.resume(ctx); err != nil {
			return err
		}
		return j.draining(ctx, closing, height)
	}
	return nil
}

// resume makes sure that the job has its kind, its spec and an open plan.
func (j *job) resume(ctx context.Context) error {
	if err := j.readSpec(ctx); err != nil {
		return err
	}
	if err := j.openPlan(ctx); err != nil {
		return err
	}
	j.mu.Lock()
	on := j.rec.Phase == PhaseRunning
	was := j.leasing.Swap(on)
	j.status = j.plan.Status()
	if j.status.Finished {
		j.rec.Finished = true
	}
	j.mu.Unlock()
	if on && !was {
		j.s.wake(1<<10, artifact.Digest{})
	}
	return nil
}

func (j *job) noteClosing(height int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.rec.Closing == 0 {
		j.rec.Closing = height // on the disk with the next change of phase
	}
}

// running sees whether the job is at its end, and seals the epoch when it is time.
func (j *job) running(ctx context.Context, closing bool, view work.Job, height int64) error {
	j.mu.Lock()
	done := j.rec.Finished && len(j.tasks) == 0
	broke := j.overBudget(j.affordable())
	due := j.inOpen > 0 && (height-j.rec.Sealed >= view.EpochBlocks || j.s.sealing.Load())
	j.mu.Unlock()
	switch {
	case done:
		return j.seal(ctx, true, "every task is done")
	case broke:
		return j.seal(ctx, true, "the escrow does not cover another task")
	case closing:
		return j.enterPhase(PhaseDraining, "the job is closing on the ledger")
	case due:
		return j.seal(ctx, false, "")
	}
	return nil
}

// draining waits for what is out, but not so long that the last epoch comes too late.
func (j *job) draining(ctx context.Context, closing bool, height int64) error {
	grace := int64(30)
	if p := j.s.params.Load(); p != nil {
		grace = p.GraceBlocks
	}
	j.mu.Lock()
	empty := j.out == 0
	late := closing && height-j.rec.Closing >= grace/3
	reason := j.rec.Reason
	j.mu.Unlock()
	if empty || late {
		return j.seal(ctx, true, reason)
	}
	return nil
}

// commitEpochs sends the roots of sealed epochs that the ledger does not have.
func (j *job) commitEpochs(ctx context.Context, view work.Job) (work.Job, error) {
	phase, open := j.phase()
	if view.Epochs >= open {
		return view, j.fault(fmt.Sprintf("the ledger has epoch %d of this job, but this database never sealed it: is another gateway using this account?", view.Epochs))
	}
	for n := view.Epochs + 1; n < open && view.Epochs-view.Settled < maxPending; n++ {
		j.mu.Lock()
		es := j.epochs[n]
		j.mu.Unlock()
		if es == nil {
			return view, nil // its roots are not worked out yet
		}
		rec := es.record
		c := Commitment{
			Job: j.id, Number: n, Receipts: rec.Receipts.root(), Pay: rec.Pay.root(), Finish: phase == PhaseSettling && n == open-1,
			ProbationReceipts: rec.ProbationReceipts, ProbationUnits: rec.ProbationUnits, Plants: rec.Plants,
		}
		err := j.s.send("commit", j.s.cfg.Ledger.CommitEpoch(ctx, c))
		now, lookErr := j.look(ctx)
		if lookErr != nil {
			return view, errors.Join(err, lookErr)
		}
		view = now
		if err != nil && view.Epochs < n {
			return view, fmt.Errorf("commit epoch %d: %w", n, err)
		}
		j.log.Info("an epoch is committed", "epoch", n, "units", c.Receipts.Sum, "total", c.Pay.Sum)
		j.notify()
	}
	return view, nil
}

// fault ends a job that can't be continued here.
func (j *job) fault(why string) error {
	if err := j.enterPhase(PhaseFaulted, why); err != nil {
		return err
	}
	return errors.New(why)
}

// follow does a committed epoch's part: opens what was drawn, carries verdicts.
func (j *job) follow(ctx context.Context, n uint64) error {
	ep, err := j.s.cfg.Ledger.Epoch(ctx, j.id, n)
	if err != nil {
		return fmt.Errorf("read it from the ledger: %w", err)
	}
	j.mu.Lock()
	es := j.epochs[n]
	if es == nil {
		j.mu.Unlock()
		return errNotSealed
	}
	if ep.Receipts != es.record.Receipts.root() || ep.Pay != es.record.Pay.root() || ep.Plants != es.record.Plants {
		j.mu.Unlock()
		return j.fault(fmt.Sprintf("the ledger has other roots of epoch %d than this database: is another gateway using this account?", n))
	}
	first := es.live == nil
	changed := first || es.live.Status != ep.Status
	es.live = &ep
	commits, reveals, orders, err := j.audits(n, es, &ep)
	had := es.asked
	es.asked = map[work.PublicKey]bool{}
	for key := range orders {
		es.asked[key] = true
	}
	j.mu.Unlock()
	if err != nil {
		return err
	}
	j.s.setOrders(j.id, n, had, orders)
	j.accuseOf(n, es, &ep)
	if changed {
		j.log.Info("an epoch on the ledger", "epoch", n, "status", ep.Status, "samples", len(ep.Samples))
		j.notify()
	}

	var openings []Opening
	for i, sample := range ep.Samples {
		if sample.Status != work.SampleDrawn || ep.Status != work.EpochSampled {
			continue
		}
		o, err := j.opening(n, uint32(i), sample.Unit)
		if err != nil {
			return fmt.Errorf("open sample %d: %w", i, err)
		}
		openings = append(openings, o)
	}
	// After a failure the parts are smaller the next time, so that one bad item does not
	// keep the others out.
	size := max(1, maxOpening>>es.failed)
	err = errors.Join(
		inParts(openings, size, func(part []Opening) error {
			return j.s.send("open", j.s.cfg.Ledger.OpenReceipts(ctx, j.id, n, part))
		}),
		inParts(commits, size, func(part []VerdictCommitment) error {
			return j.s.send("verdict", j.s.cfg.Ledger.CommitVerdicts(ctx, j.id, n, part))
		}),
		inParts(reveals, size, func(part []VerdictReveal) error {
			return j.s.send("reveal", j.s.cfg.Ledger.RevealVerdicts(ctx, j.id, n, part))
		}),
	)
	if es.failed++; err == nil {
		es.failed = 0
	}
	return errors.Join(err, j.showPlants(ctx, n, &ep))
}

// inParts sends items in transactions of at most n.
func inParts[T any](items []T, n int, send func([]T) error) error {
	var errs []error
	for part := range slices.Chunk(items, n) {
		errs = append(errs, send(part))
	}
	return errors.Join(errs...)
}

// record writes down how epochs ended, for when the ledger is not asked any more.
func (j *job) record(ctx context.Context, view work.Job) error {
	for n := view.Settled; n > 0; n-- {
		j.mu.Lock()
		es := j.epochs[n]
		known := es == nil || es.record.Status == work.EpochSettled || es.record.Status == work.EpochVoid
		j.mu.Unlock()
		if known {
			return nil // they settle in order
		}
		if err := j.recordEpoch(ctx, n, es); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) recordEpoch(ctx context.Context, n uint64, es *epochState) error {
	ep, err := j.s.cfg.Ledger.Epoch(ctx, j.id, n)
	if err != nil {
		return fmt.Errorf("read epoch %d from the ledger: %w", n, err)
	}
	r := es.record
	r.Status, r.Commit, r.Settled, r.Label = ep.Status, ep.CommitHeight, ep.SettledHeight, ep.Label
	r.Drawn, r.Upheld, r.False, r.Undecided, r.Unaudited = tally(ep.Samples)
	r.PlantsShown = ep.PlantsShown
	b := j.s.store.batch()
	_ = b.Set(numberKey(spaceEpoch, j.id, n), encode(r), nil)
	prefix := numberKey(spaceVerdict, j.id, n)
	_ = b.DeleteRange(prefix, after(prefix), nil)
	if err := j.s.store.commit(b); err != nil {
		return err
	}
	j.mu.Lock()
	j.banLiars(&ep)
	judged := ep
	plants := maps.Clone(j.plants.made[n])
	es.record, es.live, es.verdicts = r, &ep, nil
	j.refund(n, es)
	had, accused := es.asked, es.accused
	es.asked, es.accused = nil, nil
	es.live.Samples = nil // only the figures are needed from here on
	j.mu.Unlock()
	j.judge(&judged, plants)
	for key := range accused {
		j.s.acquit(key, j.id, n)
	}
	j.s.setOrders(j.id, n, had, map[work.PublicKey]map[orderID]*order{})
	j.log.Info("an epoch is over", "epoch", n, "status", r.Status, "label", r.Label, "drawn", r.Drawn, "upheld", r.Upheld, "false", r.False)
	j.notify()
	return nil
}

// banLiars takes no more receipts in this job from whose samples were found false. The
// caller holds j.mu.
func (j *job) banLiars(ep *work.Epoch) (liars []work.PublicKey) {
	for _, x := range ep.Samples {
		if x.Status != work.SampleFalse {
			continue
		}
		if s, err := work.DecodeReceipt(x.Receipt); err == nil {
			j.banned[s.Receipt.Worker] = true
			liars = append(liars, s.Receipt.Worker)
		}
	}
	return liars
}

// accuseOf stops leases to workers whose samples were just found false. A decoy is treated
// alike while its plants are not shown, so that nobody can tell.
func (j *job) accuseOf(n uint64, es *epochState, ep *work.Epoch) {
	j.mu.Lock()
	liars := j.banLiars(ep)
	if len(liars) > 0 && es.accused == nil {
		es.accused = map[work.PublicKey]bool{}
	}
	for _, key := range liars {
		es.accused[key] = true
	}
	j.mu.Unlock()
	for _, key := range liars {
		j.s.accuse(key, j.id, n)
	}
}

func tally(samples []work.Sample) (drawn, upheld, wrong, undecided, unaudited uint32) {
	for _, s := range samples {
		drawn++
		switch s.Status {
		case work.SampleUpheld:
			upheld++
		case work.SampleFalse:
			wrong++
		case work.SampleUndecided:
			undecided++
		case work.SampleUnaudited:
			unaudited++
		}
	}
	return drawn, upheld, wrong, undecided, unaudited
}

// finish tells the ledger that no epoch follows, where the last commitment did not.
func (j *job) finish(ctx context.Context, view work.Job) error {
	phase, open := j.phase()
	settling := phase == PhaseSettling && view.Epochs+1 >= open
	if view.Finished || !(settling || phase == PhaseRefused) {
		return nil
	}
	err := j.s.send("finish", j.s.cfg.Ledger.FinishJob(ctx, j.id))
	if _, lookErr := j.look(ctx); lookErr != nil {
		err = errors.Join(err, lookErr)
	}
	if err != nil && !j.view.Load().Finished && j.view.Load().Status == work.JobOpen {
		return fmt.Errorf("finish the job: %w", err)
	}
	return nil
}

// send counts what was sent.
func (s *Scheduler) send(what string, err error) error {
	result := "ok"
	if err != nil {
		result = "error"
	}
	s.m.sent.WithLabelValues(what, result).Inc()
	return err
}
