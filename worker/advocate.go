package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// advocate speaks for the worker in disputes on the ledger: for its receipts when others call
// them false, and against those that it found false as an auditor. What there is to be done it
// reads from the ledger each time, so it goes on after a crash where it was. One goroutine
// looks; computing and sending are moves, of which a few are made side by side, those with the
// nearest deadline first.
type advocate struct {
	bearings
	traces *traces

	// Of the goroutine that looks:
	trials  map[uint64]*trial // disputes that it speaks in, by number
	foreign map[uint64]bool   // disputes of the same operator that it has no part in
	doubted map[sampleID]*suspicion
	moving  map[any]move
	done    chan moved
	movers  sync.WaitGroup
	deaf    bool // it was said that there is no account to send with
}

// role is whose part the worker has in a dispute.
type role string

const (
	accused    role = "accused"
	challenger role = "challenger"
	// helper is an auditor that found false what another one disputes, with the same trace:
	// whatever that one leaves undone it does itself, since one proof is enough for both.
	helper role = "helper"
)

// trial is what is remembered of a dispute; all of it can be found out again.
type trial struct {
	role   role
	sample sampleID
	key    traceKey // once it is known
	last   witness.Dispute
	sure   bool // it looked lost once
	// silent is why the worker says no more; empty while it does.
	silent string
}

// move is something to be done before a height.
type move struct {
	key      any
	deadline int64
	trace    traceKey // that it needs, if known
	opening  bool     // it is no answer to anybody
	log      *slog.Logger
	what     string
	// do does it, on a goroutine of its own. What it returns is called by the one that looks.
	do func(context.Context) (func(), error)
}

// moved is a move's end.
type moved struct {
	key  any
	then func()
	err  error
}

// maxMoves is how many moves are made side by side. One of them may be no answer to anybody,
// so that there is always room for one that has to be in time.
const maxMoves = 2

func newAdvocate(w *Worker, l *witness.Ledger) *advocate {
	return &advocate{
		bearings: newBearings(w, l), traces: newTraces(w.kinds), trials: map[uint64]*trial{}, foreign: map[uint64]bool{},
		doubted: map[sampleID]*suspicion{}, moving: map[any]move{}, done: make(chan moved),
	}
}

// watch looks until ctx ends.
func (a *advocate) watch(ctx context.Context) {
	defer a.traces.shut(0)
	defer a.movers.Wait()
	fails := pause{min: time.Second, max: time.Minute}
	for {
		next, err := a.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = min(fails.step(), a.patience())
			a.w.log.Warn("look for disputes on the ledger", "err", err, "again_in", next.Round(time.Millisecond))
		} else {
			fails.reset()
		}
		t := time.NewTimer(max(next, lookSoon))
		select {
		case <-ctx.Done():
		case <-t.C:
		case m := <-a.done:
			a.ended(m)
		}
		t.Stop()
	}
}

// look looks once, begins the moves that are due, and returns when to look again.
func (a *advocate) look(ctx context.Context) (time.Duration, error) {
	idle := jitter(a.w.cfg.LedgerEvery)
	if err := a.orient(ctx); err != nil {
		return 0, err
	}
	disputes := slices.ContainsFunc(a.w.cfg.Kinds, func(k work.Kind) bool { _, ok := k.(work.Disputer); return ok })
	if a.params.DisputeMoveBlocks == 0 || !disputes && len(a.params.RefereedKinds) == 0 {
		return max(idle, paramsEvery), nil // a ledger without disputes
	}
	idle = min(idle, time.Duration((0.5+rand.Float64()/2)*float64(a.patience())))
	if err := a.enlist(ctx); errors.Is(err, witness.ErrNotFound) {
		return idle, nil // a worker that is not enrolled
	} else if err != nil {
		return 0, err
	}
	moves, err := a.sue(ctx)
	if err != nil {
		return 0, err
	}
	more, err := a.weigh(ctx)
	if err != nil {
		return 0, err
	}
	moves = append(moves, more...)
	a.begin(ctx, moves)
	a.tidy(moves)
	if len(a.trials)+len(a.doubted) > 0 || !a.measured {
		return min(idle, 2*a.blockTime), nil
	}
	return idle, nil
}

// sue goes through the open disputes that the worker has a part in and returns its moves.
func (a *advocate) sue(ctx context.Context) ([]move, error) {
	about, err := a.ledger.Disputes(ctx, witness.Disputed{Worker: a.w.cfg.Key.Public()})
	if err != nil {
		return nil, err
	}
	own, err := a.ledger.Disputes(ctx, witness.Disputed{Challenger: a.operator})
	if err != nil {
		return nil, err
	}
	var moves []move
	seen := map[uint64]bool{}
	for _, d := range about {
		seen[d.ID] = true
		moves = append(moves, a.speak(d, accused, sampleID{})...)
	}
	for _, d := range own {
		if seen[d.ID] {
			continue
		}
		seen[d.ID] = true
		of, ok, err := a.partIn(ctx, d)
		if err != nil {
			return nil, err
		}
		if ok {
			moves = append(moves, a.speak(d, challenger, of)...)
		}
	}
	for id := range a.foreign {
		if !seen[id] {
			delete(a.foreign, id)
		}
	}
	for id, t := range a.trials {
		if !seen[id] {
			if err := a.conclude(ctx, id, t); err != nil {
				return nil, err
			}
		}
	}
	return moves, nil
}

// partIn finds out whether a dispute of the operator's is about a receipt that this worker,
// and not another one of the operator's, found false.
func (a *advocate) partIn(ctx context.Context, d witness.Dispute) (sampleID, bool, error) {
	if t := a.trials[d.ID]; t != nil && t.role == challenger {
		return t.sample, true, nil
	}
	if a.foreign[d.ID] {
		return sampleID{}, false, nil
	}
	_, x, err := a.ledger.Dispute(ctx, d.ID)
	if err != nil {
		return sampleID{}, false, err
	}
	epoch, err := a.ledger.Epoch(ctx, d.Job, d.Epoch)
	if err != nil {
		return sampleID{}, false, err
	}
	for i, s := range epoch.Samples {
		if string(s.Receipt) == string(x.Receipt) && foundFalse(s, a.w.cfg.Key.Public()) {
			return sampleID{d.Job, d.Epoch, uint32(i)}, true, nil
		}
	}
	if len(x.Receipt) > 0 {
		a.foreign[d.ID] = true
	}
	return sampleID{}, false, nil
}

func foundFalse(s work.Sample, auditor work.PublicKey) bool {
	return slices.ContainsFunc(s.Slots, func(slot work.Slot) bool { return slot.Auditor == auditor && slot.Outcome == work.Fail })
}

// speak returns the worker's move in a dispute, if it has one.
func (a *advocate) speak(d witness.Dispute, r role, of sampleID) []move {
	t := a.trials[d.ID]
	if t == nil {
		t = &trial{role: r, sample: of}
		a.trials[d.ID] = t
		log := a.logOf(d, r)
		switch r {
		case accused:
			log.Warn("A RECEIPT OF THIS WORKER IS DISPUTED: it defends it", "by", d.Challenger, "deadline", d.Deadline, "in", a.until(d.Deadline).Round(time.Second))
		case challenger:
			log.Warn("this worker disputes a receipt that it found false", "of", d.Worker)
		case helper:
			log.Info("another auditor disputes what this worker found false: it helps where that one is silent", "by", d.Challenger)
		}
	}
	if t.role != r && t.role == helper {
		t.role = r
	}
	t.last = d
	if t.silent != "" {
		return nil
	}
	what := a.turn(d, r)
	if what == "" {
		return nil
	}
	return []move{a.moveIn(d, t, what)}
}

// What can be done in a dispute.
const (
	moveAnswer     = "answer_dispute"
	moveDescend    = "descend"
	moveDecide     = "decide"
	moveContradict = "contradict"
	moveOpen       = "open_dispute"
	moveWeigh      = "weigh"
)

// turn says what the worker has to do in a dispute now.
func (a *advocate) turn(d witness.Dispute, r role) string {
	switch {
	case r == helper && !a.after(d, 2):
		return "" // the challenger has time left
	case d.Status == witness.DisputeAsked && r == accused:
		return moveAnswer
	case d.Status == witness.DisputeDescending && (r == accused && !d.WorkerShown || r != accused && !d.ChallengerShown):
		return moveDescend
	case d.Status == witness.DisputeDeciding && (r != accused || a.after(d, 4)):
		return moveDecide // the accused loses nothing by others' silence, and lets them pay
	case d.Status == witness.DisputeAgreed && r != accused:
		return moveContradict
	}
	return ""
}

// after reports whether a part of the present move's time, one in so many, is over.
func (a *advocate) after(d witness.Dispute, part int64) bool {
	n := a.params.DisputeMoveBlocks
	return a.head.Height >= d.Deadline-n+n/part
}

func (a *advocate) logOf(d witness.Dispute, r role) *slog.Logger {
	return a.w.log.With("dispute", d.ID, "role", string(r), "job", d.Job, "epoch", d.Epoch)
}

// conclude says how a dispute ended.
func (a *advocate) conclude(ctx context.Context, id uint64, t *trial) error {
	d, _, err := a.ledger.Dispute(ctx, id)
	if err != nil {
		return err
	}
	if !d.Over() {
		return nil // a node that is behind
	}
	delete(a.trials, id)
	log := a.logOf(d, t.role).With("reason", d.Reason, "proved", d.Proved)
	outcome := "lost"
	switch {
	case d.Status == witness.DisputeMoot:
		outcome = "moot"
	case t.silent != "" && t.role == accused && d.Status == witness.DisputeWon:
		outcome = "conceded"
	case (d.Status == witness.DisputeWon) == (t.role != accused):
		outcome = "won"
	}
	a.w.metrics.disputes.WithLabelValues(string(t.role), outcome).Inc()
	if outcome == "lost" || outcome == "conceded" {
		log.Error("A DISPUTE IS LOST", "outcome", outcome)
	} else {
		log.Info("a dispute is over", "outcome", outcome)
	}
	return nil
}

// begin begins the moves that are due, those with the nearest deadline first.
func (a *advocate) begin(ctx context.Context, moves []move) {
	slices.SortStableFunc(moves, func(x, y move) int { return cmp.Compare(x.deadline, y.deadline) })
	for _, m := range moves {
		opening := 0
		for _, other := range a.moving {
			if other.opening {
				opening++
			}
		}
		_, under := a.moving[m.key]
		switch {
		case len(a.moving) >= maxMoves:
			return
		case under || !a.due(m.key) || m.opening && opening > 0:
			continue
		case !a.maySend():
			if !a.deaf {
				m.log.Error("THERE IS NO ACCOUNT TO SPEAK IN A DISPUTE WITH: run the key command and enrol the account, else the dispute is lost by silence",
					"deadline", m.deadline, "in", a.until(m.deadline).Round(time.Second))
			}
			a.deaf = true
			return
		}
		a.moving[m.key] = m
		left := a.until(m.deadline)
		a.movers.Go(func() {
			then, err := m.within(ctx, left+time.Minute)
			select {
			case a.done <- moved{m.key, then, err}:
			case <-ctx.Done():
			}
		})
	}
}

// within does a move for at most so long.
func (m move) within(ctx context.Context, d time.Duration) (func(), error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errDeadline)
	defer cancel()
	return m.do(ctx)
}

// ended takes note of a move's end.
func (a *advocate) ended(r moved) {
	m := a.moving[r.key]
	delete(a.moving, r.key)
	a.failed(r.key, r.err)
	if r.err != nil {
		m.log.Error("a move in a dispute failed; it is tried again", "move", m.what, "err", r.err,
			"deadline", m.deadline, "in", a.until(m.deadline).Round(time.Second))
	}
	if r.then != nil {
		r.then()
	}
}

// tidy forgets what is not needed any more.
func (a *advocate) tidy(moves []move) {
	needed := map[traceKey]bool{}
	for _, m := range moves {
		needed[m.trace] = true
	}
	for _, t := range a.trials {
		if t.silent == "" {
			needed[t.key] = true
		}
	}
	for _, s := range a.doubted {
		needed[s.key] = true
	}
	known := true
	for _, m := range a.moving {
		needed[m.trace] = true
		known = known && m.trace != (traceKey{})
	}
	if known { // else it is not known yet whose trace is needed
		a.traces.rest(needed)
	}
	if len(a.trials)+len(a.doubted)+len(a.moving) == 0 {
		clear(a.later)
	}
	open := map[role]int{accused: 0, challenger: 0, helper: 0}
	for _, t := range a.trials {
		open[t.role]++
	}
	for r, n := range open {
		a.w.metrics.disputed.WithLabelValues(string(r)).Set(float64(n))
	}
}

// read gets what an open dispute is about.
func (a *advocate) read(ctx context.Context, d witness.Dispute) (subject, error) {
	_, x, err := a.ledger.Dispute(ctx, d.ID)
	if err != nil {
		return subject{}, err
	}
	s, err := newSubject(d.Kind, x.Receipt, x.Task, x.Result)
	if err != nil {
		return subject{}, fmt.Errorf("dispute %d: %w", d.ID, err)
	}
	return s, nil
}
