package worker

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"time"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/netguard"
	"github.com/cantus-network/cantus/worker/witness"
)

// Auditors are drawn from all of a kind's workers, so one may be drawn for a job of a
// gateway, or of a cell, that it has no session with. Silence would cost it, so the eye asks
// the ledger what the worker was drawn for. Where there is no link, the worker attends: it
// keeps a session that leases nothing, for as long as audits are open there. A gateway that
// doesn't let it in, or shows it nothing, leaves it unsure, and that is what it says then, by
// itself, shortly before the time is over.

// drawn is what the eye knows of the worker's audits. It is of the goroutine that watches.
type drawn struct {
	audits   []witness.Audit
	asked    time.Time // when the ledger was
	share    float64   // of the longest wait, until it is asked again
	fresh    bool      // the list is of this look
	attended map[party]*attendance
	mute     bool // it was said that there is no account to send with
}

// attendance is a session for audits alone.
type attendance struct {
	leave  context.CancelFunc
	gone   chan struct{} // closed when it has ended
	needed time.Time     // when it last was
}

// maxAttended bounds the sessions for audits alone. What is beyond waits, and is said to be
// unsure where its turn doesn't come.
const maxAttended = 32

// askAudits asks the ledger what the worker was drawn for, if it is time.
func (e *eye) askAudits(ctx context.Context) error {
	if e.drawn.fresh = e.untilAsked() <= 0; !e.drawn.fresh {
		return nil
	}
	audits, err := e.ledger.Audits(ctx, e.w.cfg.Key.Public())
	if err != nil {
		return err
	}
	e.drawn.audits, e.drawn.asked, e.drawn.share = audits, time.Now(), 0.5+rand.Float64()/2
	return nil
}

// untilAsked is how long it is until the ledger is asked again: some times within the blocks
// that an auditor has, however fast they come.
func (e *eye) untilAsked() time.Duration {
	if e.drawn.asked.IsZero() {
		return 0
	}
	every := e.w.cfg.AuditsEvery
	if n := e.params.VerdictCommitBlocks; n > 0 {
		every = min(every, time.Duration(n)*e.blockTime/8)
	}
	every = max(time.Duration(e.drawn.share*float64(every)), lookSoon)
	return every - time.Since(e.drawn.asked)
}

// at is with whom an audit is to be done, and where that is.
func (e *eye) at(a witness.Audit) (party, target) {
	return party{e.head.Chain, a.GatewayKey, a.Cell}, target{url: a.URL, key: a.GatewayKey, cell: a.Cell, stranger: true}
}

// attendTo has a session, of the worker's usual ones or for this alone, wherever it has
// something to say, and ends those that are needed no longer.
func (e *eye) attendTo(ctx, hard context.Context) {
	now := time.Now()
	for p, a := range e.drawn.attended {
		select {
		case <-a.gone:
			a.leave()
			delete(e.drawn.attended, p)
		default:
		}
	}
	for _, audit := range e.drawn.audits {
		if !audit.Pending() {
			continue
		}
		p, at := e.at(audit)
		switch a := e.drawn.attended[p]; {
		case a != nil:
			a.needed = now
		case len(e.drawn.attended) < maxAttended && !e.w.keeps(p):
			stay, leave := context.WithCancel(ctx)
			a := &attendance{leave: leave, gone: make(chan struct{}), needed: now}
			e.drawn.attended[p] = a
			e.w.loops.Go(func() { defer close(a.gone); e.w.attend(ctx, stay, hard, p, at) })
		}
	}
	for _, a := range e.drawn.attended {
		if now.Sub(a.needed) > e.w.cfg.LedgerEvery {
			a.leave() // the next look sees it gone
		}
	}
	for _, l := range e.w.allLinks() {
		if e.drawn.attended[l.party] == nil {
			e.w.retire(l)
		}
	}
}

// breakSilence says that the worker is unsure where nobody showed it what it was drawn for
// and the time is nearly over. It returns when to look again. The verdict gets to the ledger
// as any other does that a gateway leaves lying.
func (e *eye) breakSilence(hard context.Context) (time.Duration, error) {
	soonest := e.w.cfg.LedgerEvery
	for _, a := range e.drawn.audits {
		if a.Status != work.SampleOpened || a.Committed {
			continue
		}
		if !e.maySend() {
			if !e.drawn.mute {
				e.w.log.Error("this worker was drawn as an auditor and has no account to send a verdict with, should its gateway not ask for it: "+
					"run the key command and enrol the account", "job", a.Job, "epoch", a.Epoch, "sample", a.Sample)
			}
			e.drawn.mute = true
			return soonest, nil
		}
		p, at := e.at(a)
		id := sampleID{a.Job, a.Epoch, a.Sample}
		last := a.Deadline - max(e.params.VerdictCommitBlocks/4, 3)
		if e.w.isAuditing(p, id) {
			last = a.Deadline - max(e.params.VerdictCommitBlocks/8, 2)
		}
		if e.head.Height < last {
			soonest = min(soonest, max(e.until(last), lookSoon))
			continue
		}
		if !e.drawn.fresh {
			e.drawn.asked = time.Time{} // it may have been decided since
			return lookSoon, nil
		}
		l, err := e.w.open(hard, p, at)
		if err != nil {
			e.w.fail(err)
			return 0, err
		}
		if _, ok := l.durable.verdict(id); ok {
			continue
		}
		l.log.Warn("nobody showed this auditor what to check: it says that it is unsure", "job", a.Job, "epoch", a.Epoch, "sample", a.Sample, "url", a.URL)
		v := verdictRecord{Job: a.Job, Epoch: a.Epoch, Sample: a.Sample, Outcome: work.Unsure, At: e.w.cfg.Now().Unix()}
		cryptorand.Read(v.Salt[:])
		if err := l.durable.addVerdict(v); err != nil {
			e.w.fail(err)
			return 0, err
		}
		e.w.metrics.audits.WithLabelValues("unseen", v.Outcome.String()).Inc()
	}
	return soonest, nil
}

// keeps reports whether somebody keeps a session with a party, or tries to.
func (w *Worker) keeps(p party) bool {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	l := w.links[p]
	return l != nil && len(l.token) > 0
}

// isAuditing reports whether an audit is under way.
func (w *Worker) isAuditing(p party, id sampleID) bool {
	w.linksMu.Lock()
	l := w.links[p]
	w.linksMu.Unlock()
	if l == nil {
		return false
	}
	l.holdingMu.Lock()
	defer l.holdingMu.Unlock()
	return l.auditing[id]
}

// attend keeps a session with a party for audits alone until stay ends, or another keeps it.
func (w *Worker) attend(ctx, stay, hard context.Context, p party, at target) {
	wait := pause{min: 500 * time.Millisecond, max: 30 * time.Second}
	log := w.log.With("gateway", p.gateway.Short(), "url", at.url)
	for stay.Err() == nil {
		s, err := w.connect(stay, at)
		if err == nil && s.info.Chain != p.chain {
			s.close()
			err = fmt.Errorf("it is of chain %q, not of %q", s.info.Chain, p.chain)
		}
		if err != nil {
			d := wait.step()
			if stay.Err() == nil {
				log.Warn("no session with a gateway that this worker is to audit at; trying again", "err", err, "in", d.Round(time.Millisecond))
			}
			sleep(stay, d)
			continue
		}
		l, err := w.open(hard, p, at)
		if err != nil {
			s.close()
			w.fail(err)
			return
		}
		if !l.acquire() {
			s.close()
			return
		}
		wait.reset()
		l.log.Info("session with a gateway to audit at", "url", at.url)
		l.setSession(s)
		err = l.serve(stay, hard, nil, s, func() bool { return true })
		if ctx.Err() != nil {
			return // the session is still needed to report
		}
		l.dropSession()
		l.releaseToken()
		if errors.Is(err, errWanted) {
			return
		}
		if stay.Err() != nil {
			l.log.Info("nothing is left to be audited at a gateway", "url", at.url)
		}
	}
}

// retire forgets the link with a party that the owner never named, once there is nothing
// that must be remembered of it: over the years, a worker is drawn at many.
func (w *Worker) retire(l *link) {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	if !l.where().stranger || !l.idle() || !l.durable.empty() || !l.acquire() {
		return
	}
	// Whoever still has the link gets no session on it any more: the token stays taken.
	delete(w.links, l.party)
	l.stop(errRetired)
	l.tasks.Wait()
	close(l.reports)
	<-l.reported
	err := l.durable.close()
	if err == nil {
		err = os.RemoveAll(l.dir)
	}
	if err != nil {
		l.log.Warn("forget a gateway that was audited at", "dir", l.dir, "err", room(err))
	}
}

var errRetired = errors.New("nothing is left to be done there")

// guard says what a party that the owner never named may have this worker connect to: public
// addresses, and this machine's where the owner's own gateway is. It is nil for the others,
// and in a closed test network.
func (w *Worker) guard(at target) *netguard.Guard {
	if !at.stranger || w.cfg.Insecure {
		return nil
	}
	g := &netguard.Guard{}
	for _, e := range w.cfg.endpoints() {
		if u, err := url.Parse(e.URL); err == nil && onThisMachine(u.Hostname()) {
			g.AllowLoopback = true
		}
	}
	return g
}

// dialTo is how to connect to what a party names; nil for as usual.
func (w *Worker) dialTo(at target) work.DialFunc {
	if g := w.guard(at); g != nil {
		return g.Dial
	}
	return nil
}
