package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// eye is the worker's own look at the ledger. It sees to what a gateway might leave
// undone: verdicts that don't arrive, commitments that pay less than was promised, claims
// that nobody sends. What it does is decided from the ledger's records each time, and what
// it has done is in the journals, so a crash makes it neither forget nor do things twice.
type eye struct {
	bearings
	kick chan struct{}

	mu    sync.Mutex
	asked map[askedID]bool // reveals that a gateway asked for

	// Of the goroutine that watches:
	jobs    map[jobID]*watched
	strange map[string]bool // chains that were complained about
	drawn   drawn
}

type askedID struct {
	link *link
	id   sampleID
}

type jobID struct {
	link *link
	job  work.JobID
}

func newEye(w *Worker, l *witness.Ledger) *eye {
	return &eye{
		bearings: newBearings(w, l), kick: make(chan struct{}, 1), asked: map[askedID]bool{},
		jobs: map[jobID]*watched{}, strange: map[string]bool{}, drawn: drawn{attended: map[party]*attendance{}},
	}
}

// watch looks until ctx ends. hard ends when the worker must stop at once.
func (e *eye) watch(ctx, hard context.Context) {
	fails := pause{min: time.Second, max: time.Minute}
	for {
		next, err := e.look(ctx, hard)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = fails.step()
			e.w.log.Warn("look at the ledger", "err", err, "again_in", next.Round(time.Millisecond))
			e.revealBlindly()
		} else {
			fails.reset()
		}
		t := time.NewTimer(max(next, lookSoon))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-e.kick:
			sleep(ctx, lookSoon) // for company
		}
		t.Stop()
	}
}

// look looks once and returns when to look again.
func (e *eye) look(ctx, hard context.Context) (time.Duration, error) {
	if err := e.askAudits(ctx); err != nil {
		return 0, err
	}
	busy := len(e.drawn.audits) > 0
	for _, l := range e.w.allLinks() {
		busy = busy || len(l.durable.openVerdicts()) > 0 || len(l.durable.promised()) > 0
	}
	// Now and then also without a cause, to know how fast blocks come.
	if busy || !e.measured || time.Since(e.oriented) > e.w.cfg.LedgerEvery {
		if err := e.orient(ctx); err != nil {
			return 0, err
		}
	}
	soonest := min(jitter(e.w.cfg.LedgerEvery), e.untilAsked())
	if !e.measured {
		soonest = min(soonest, e.blockTime)
	}
	e.attendTo(ctx, hard)
	if !busy {
		return soonest, nil
	}
	if err := e.enlist(ctx); err != nil {
		return 0, err
	}
	next, err := e.breakSilence(hard)
	if err != nil {
		return 0, err
	}
	soonest = min(soonest, next)
	for _, l := range e.w.allLinks() {
		if l.party.chain != e.head.Chain {
			if !e.strange[l.party.chain] {
				e.strange[l.party.chain] = true
				l.log.Error("the ledger is of another chain than the gateway: what is done there can't be looked after", "ledger", e.head.Chain, "chain", l.party.chain)
			}
			continue
		}
		for _, f := range []func(context.Context, *link) (time.Duration, error){e.relay, e.account} {
			next, err := f(ctx, l)
			if err != nil {
				return 0, err
			}
			soonest = min(soonest, next)
		}
	}
	return soonest, nil
}

// ask notes that a gateway asks for a reveal. The eye shows it once the ledger says that
// every commitment is in, or that their time is over.
func (e *eye) ask(l *link, id sampleID) {
	e.mu.Lock()
	e.asked[askedID{l, id}] = true
	e.mu.Unlock()
	wake(e.kick)
}

func (e *eye) isAsked(l *link, id sampleID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[askedID{l, id}]
}

// taken reports whether a gateway asked for a reveal, and forgets it.
func (e *eye) taken(l *link, id sampleID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.asked[askedID{l, id}]
	delete(e.asked, askedID{l, id})
	return ok
}

// revealBlindly shows what was asked for although the ledger can't be read: silence would
// cost the auditor its bond, and a worker without a ledger does the same.
func (e *eye) revealBlindly() {
	e.mu.Lock()
	asked := e.asked
	e.asked = map[askedID]bool{}
	e.mu.Unlock()
	for a := range asked {
		if v, ok := a.link.durable.verdict(a.id); ok {
			a.link.log.Warn("revealing a verdict on the gateway's word, since the ledger can't be read", "job", v.Job, "epoch", v.Epoch, "sample", v.Sample)
			a.link.reports <- v.reveal()
		}
	}
}

// relay sees to it that this auditor's verdicts get to the ledger.
func (e *eye) relay(ctx context.Context, l *link) (time.Duration, error) {
	soonest := e.w.cfg.LedgerEvery
	epochs := map[sampleID]work.Epoch{}
	for _, v := range l.durable.openVerdicts() {
		of := sampleID{v.Job, v.Epoch, 0}
		epoch, ok := epochs[of]
		if !ok {
			var err error
			if epoch, err = e.ledger.Epoch(ctx, v.Job, v.Epoch); err != nil {
				if errors.Is(err, witness.ErrNotFound) {
					continue // a node that is behind
				}
				return 0, err
			}
			epochs[of] = epoch
		}
		next, err := e.relayOne(ctx, l, v, epoch)
		if err != nil {
			return 0, err
		}
		soonest = min(soonest, next)
	}
	return soonest, nil
}

// relayOne looks at one verdict and returns when to look again.
func (e *eye) relayOne(ctx context.Context, l *link, v verdictRecord, epoch work.Epoch) (time.Duration, error) {
	log := l.log.With("job", v.Job, "epoch", v.Epoch, "sample", v.Sample)
	me := e.w.cfg.Key.Public()
	over := func(why string) (time.Duration, error) {
		log.Debug("a verdict is over", "why", why)
		e.taken(l, v.id())
		if err := l.durable.note(recordDecided, decidedRecord{Job: v.Job, Epoch: v.Epoch, Sample: v.Sample}); err != nil {
			e.w.fail(err)
			return 0, err
		}
		return e.w.cfg.LedgerEvery, nil
	}
	if int64(v.Sample) >= int64(len(epoch.Samples)) {
		if epoch.Status == work.EpochCommitted || epoch.Status == work.EpochSampled {
			return e.w.cfg.LedgerEvery, nil // a node that is behind
		}
		return over("the ledger has no such sample")
	}
	sample := epoch.Samples[v.Sample]
	var slot *work.Slot
	for i := range sample.Slots {
		if sample.Slots[i].Auditor == me {
			slot = &sample.Slots[i]
		}
	}
	soon := 2 * e.blockTime
	switch sample.Status {
	case work.SampleDrawn:
		return soon, nil // a node that is behind
	case work.SampleOpened:
		if slot == nil {
			return over("this worker wasn't drawn")
		}
		half := sample.Deadline - e.params.VerdictCommitBlocks/2
		switch {
		case slot.Committed && e.isAsked(l, v.id()):
			return soon, nil // the node may be a block behind the gateway
		case slot.Committed:
			return min(e.until(sample.Deadline), e.w.cfg.LedgerEvery), nil
		case e.head.Height < half:
			return e.until(half), nil
		case !e.maySend() || !e.due(v.id()):
			return soon, nil
		}
		commit, err := l.seal(v)
		if err != nil {
			return 0, err
		}
		e.failed(v.id(), e.send(ctx, log, "commit_verdicts", witness.CommitVerdicts(e.ledger.Account().Address(), v.Job, v.Epoch,
			witness.VerdictCommitment{Sample: v.Sample, Auditor: me, Commitment: commit.Commitment, Signature: commit.Signature})))
		return soon, nil
	case work.SampleRevealing:
		if slot == nil || !slot.Committed || slot.Outcome != 0 {
			return over("nothing is left to be said")
		}
		if e.taken(l, v.id()) {
			l.reports <- v.reveal()
		}
		half := sample.Deadline - e.params.VerdictRevealBlocks/2
		switch {
		case e.head.Height < half:
			return min(e.until(half), e.w.cfg.LedgerEvery), nil
		case !e.maySend() || !e.due(v.id()):
			return soon, nil
		}
		e.failed(v.id(), e.send(ctx, log, "reveal_verdicts", witness.RevealVerdicts(e.ledger.Account().Address(), v.Job, v.Epoch,
			witness.VerdictReveal{Sample: v.Sample, Auditor: me, Outcome: v.Outcome, Evidence: v.Evidence, Salt: v.Salt, Score: v.Score})))
		return soon, nil
	}
	return over(string(sample.Status))
}

// reveal is what opens the verdict.
func (v verdictRecord) reveal() plane.VerdictReveal {
	return plane.VerdictReveal{Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Outcome: v.Outcome, Evidence: v.Evidence, Salt: v.Salt, Score: v.Score}
}
