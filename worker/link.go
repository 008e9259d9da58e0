package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// party is whom a worker has dealings with: one gateway of one chain, or one cell of it.
type party struct {
	chain   string
	gateway work.PublicKey
	cell    string
}

// dir names the party's directory.
func (p party) dir() string {
	text := p.chain + "\x00" + p.gateway.String()
	if p.cell != "" {
		text += "\x00" + p.cell
	}
	return artifact.Sum([]byte(text)).String()[:16]
}

// link is what a worker has with one party: a session when there is one, and always the
// journal, the kept results, the reporter and the audits. Nothing of one party's ever goes
// to another, so what one of them owes is not lost while the worker works for the next.
type link struct {
	w     *Worker
	log   *slog.Logger
	party party
	dir   string

	durable *state
	spool   *spool
	token   chan struct{} // held by whoever keeps the link's session
	wanted  atomic.Bool   // a place waits for the token

	sessionMu sync.Mutex
	current   *session
	ready     chan struct{} // closed while there is a session
	at        target        // where the party was found last
	stop      context.CancelCauseFunc

	reports  chan any      // *finished, plane.Failure, plane.VerdictCommit, plane.VerdictReveal
	kick     chan struct{} // tells the reporter to try what waits now
	turn     chan struct{} // tells the lease loop to ask now
	tasks    sync.WaitGroup
	reported chan struct{} // closed when the reporter has ended

	holdingMu sync.Mutex
	holding   map[plane.LeaseID]bool
	auditing  map[sampleID]bool
	unpaid    atomic.Bool
	streams   *streams
}

// whereabouts is the file in a party's directory that says whose it is.
type whereabouts struct {
	Chain   string         `json:"chain"`
	Gateway work.PublicKey `json:"gateway_key"`
	Cell    string         `json:"cell,omitempty"`
	URL     string         `json:"url"`
	// Stranger marks a party that the worker's owner never named.
	Stranger bool `json:"stranger,omitempty"`
}

const (
	whereFile = "gateway.json"
	maxWhere  = 4 << 10
)

func readWhere(dir string) (whereabouts, error) {
	var v whereabouts
	b, err := os.ReadFile(filepath.Join(dir, whereFile))
	if err != nil {
		return v, err
	}
	if len(b) > maxWhere {
		return v, fmt.Errorf("%s: %d bytes, at most %d", filepath.Join(dir, whereFile), len(b), maxWhere)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%s: %w", filepath.Join(dir, whereFile), err)
	}
	return v, nil
}

// open returns the link with a party, opening its files if that wasn't done yet. hard ends
// when the worker must stop at once.
func (w *Worker) open(hard context.Context, p party, at target) (*link, error) {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	if l := w.links[p]; l != nil {
		return l, l.setWhere(at)
	}
	l := &link{
		w: w, log: w.log.With("gateway", p.gateway.Short()), party: p, dir: filepath.Join(w.cfg.Dir, "gateways", p.dir()),
		token: make(chan struct{}, 1), ready: make(chan struct{}),
		reports: make(chan any, 256), kick: make(chan struct{}, 1), turn: make(chan struct{}, 1), reported: make(chan struct{}),
		holding: map[plane.LeaseID]bool{}, auditing: map[sampleID]bool{},
	}
	l.streams = newStreams(l)
	if p.cell != "" {
		l.log = l.log.With("cell", p.cell)
	}
	var err error
	if l.durable, err = openState(l.dir, w.cfg.Now(), l.log); err != nil {
		return nil, err
	}
	needs := l.durable.blobs()
	if l.spool, err = openSpool(filepath.Join(l.dir, "blobs"), w.disk, func(d artifact.Digest) int { return needs[d] }); err == nil {
		err = l.setWhere(at)
	}
	if err != nil {
		return nil, errors.Join(err, l.durable.close())
	}
	w.links[p] = l
	reporting, stop := context.WithCancelCause(hard)
	l.stop = stop
	go func() { defer close(l.reported); l.report(reporting) }()
	go l.streams.run(reporting)
	if n := l.durable.waiting(); n > 0 {
		l.log.Info("receipts of an earlier time wait for a voucher", "receipts", n)
	}
	return l, nil
}

// setWhere notes where the party is, also for the next start. A party that the owner named
// stays one.
func (l *link) setWhere(at target) error {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	if l.at.url != "" && at.stranger && !l.at.stranger || l.at.url == at.url && l.at.stranger == at.stranger {
		return nil
	}
	b, err := json.Marshal(whereabouts{Chain: l.party.chain, Gateway: l.party.gateway, Cell: l.party.cell, URL: at.url, Stranger: at.stranger})
	if err == nil {
		err = replaceFile(filepath.Join(l.dir, whereFile), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note where a gateway is: %w", room(err))
	}
	l.at = target{url: at.url, key: l.party.gateway, cell: l.party.cell, stranger: at.stranger}
	return nil
}

func (l *link) where() target {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	return l.at
}

// recover opens the links of earlier times and returns those on which something is left
// to be done.
func (w *Worker) recover(hard context.Context) ([]*link, error) {
	paths, err := filepath.Glob(filepath.Join(w.cfg.Dir, "gateways", "*", whereFile))
	if err != nil {
		return nil, fmt.Errorf("look for journals in %s: %w", w.cfg.Dir, err)
	}
	var left []*link
	for _, path := range paths {
		v, err := readWhere(filepath.Dir(path))
		p := party{v.Chain, v.Gateway, v.Cell}
		if err == nil && p.dir() != filepath.Base(filepath.Dir(path)) {
			err = errors.New("it names another gateway than its directory")
		}
		if err == nil {
			_, err = gatewayURL(v.URL, w.cfg.Insecure)
		}
		if err != nil {
			w.log.Warn("a gateway of an earlier time can't be looked for; what is journalled for it waits until it is worked for again", "file", path, "err", err)
			continue
		}
		l, err := w.open(hard, p, target{url: v.URL, stranger: v.Stranger})
		if err != nil {
			return nil, err
		}
		if !l.idle() {
			left = append(left, l)
		}
	}
	return left, nil
}

// idle reports whether there is nothing that the party must still be told.
func (l *link) idle() bool {
	l.holdingMu.Lock()
	busy := len(l.holding) + len(l.auditing)
	l.holdingMu.Unlock()
	return busy == 0 && l.durable.waiting() == 0 && !l.durable.judgedSince(l.w.cfg.Now().Add(-keepAnswering))
}

// acquire makes the caller the one who keeps the link's session.
func (l *link) acquire() bool {
	select {
	case l.token <- struct{}{}:
		return true
	default:
		return false
	}
}

// yield asks whoever only wraps things up to leave the session to a place.
func (l *link) yield() {
	l.wanted.Store(true)
	wake(l.turn)
}

func (l *link) releaseToken() { <-l.token }

func (l *link) setSession(s *session) {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	l.current = s
	close(l.ready)
	l.w.metrics.connected.Inc()
	wake(l.kick)
}

func (l *link) dropSession() {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	if l.current != nil {
		l.current.close()
		l.current, l.ready = nil, make(chan struct{})
		l.w.metrics.connected.Dec()
	}
}

// session returns the session of now, waiting for one.
func (l *link) session(ctx context.Context) (*session, error) {
	for {
		l.sessionMu.Lock()
		s, ready := l.current, l.ready
		l.sessionMu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// setUnpaid says whether the party owes vouchers. One that does gets no more work from
// this worker, which goes on with the next.
func (l *link) setUnpaid(owes bool) {
	if l.unpaid.Swap(owes) == owes {
		return
	}
	if owes {
		l.w.metrics.underpaid.Inc()
	} else {
		l.w.metrics.underpaid.Dec()
	}
	l.w.choice.decide()
	wake(l.turn)
}

// settleLinks waits until what is under way has come to an end and was reported, as far
// as that is possible now.
func (w *Worker) settleLinks() {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	var all sync.WaitGroup
	for _, l := range w.links {
		all.Go(func() {
			l.tasks.Wait()
			close(l.reports)
			<-l.reported
			if n := l.durable.waiting(); n > 0 {
				l.log.Warn("receipts without a voucher stay in the journal; the worker reports them when it starts again", "receipts", n, "gateway_url", l.where().url)
			}
		})
	}
	all.Wait()
}

// closeLinks closes what is left of the links.
func (w *Worker) closeLinks() error {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	var errs []error
	for _, l := range w.links {
		l.dropSession()
		l.stop(nil)
		errs = append(errs, l.durable.close())
	}
	return errors.Join(errs...)
}

// all lists the links of now.
func (w *Worker) allLinks() []*link {
	w.linksMu.Lock()
	defer w.linksMu.Unlock()
	ls := make([]*link, 0, len(w.links))
	for _, l := range w.links {
		ls = append(ls, l)
	}
	return ls
}

// wrapUpLinger is how long a party that the worker has left is still asked for audits
// after the last thing that it had to be told: receipts are drawn some time after they
// were committed.
const wrapUpLinger = 10 * time.Minute
