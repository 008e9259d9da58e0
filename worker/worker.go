package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// Worker does tasks for one gateway. Make it with New and Run it once.
type Worker struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	kinds   map[work.Name]work.Kind
	names   []work.Name

	memory *budget
	disk   *quota
	slots  *slots        // bundles side by side
	audits chan struct{} // audits side by side

	durable atomic.Pointer[state]
	spool   *spool // results that wait for their upload
	specs   *specs

	sessionMu sync.Mutex
	current   *session
	ready     chan struct{} // closed while there is a session

	reports  chan any      // *finished, plane.Failure, plane.VerdictCommit, plane.VerdictReveal
	kick     chan struct{} // tells the reporter to try what waits now
	stopping chan struct{} // closed when Run is told to stop
	tasks    sync.WaitGroup
	failed   chan error // what ends the worker from within, once

	holdingMu sync.Mutex
	holding   map[plane.LeaseID]bool
	auditing  map[sampleID]bool
	unpaid    atomic.Bool
}

// New makes a worker. It does nothing before Run.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, log: cfg.Log.With("worker", cfg.Key.Public().Short()),
		kinds:  map[work.Name]work.Kind{},
		memory: newBudget(cfg.Memory / 2), disk: &quota{limit: cfg.Disk},
		slots: newSlots(cfg.Capacity), audits: make(chan struct{}, max(1, cfg.Capacity/2)),
		ready:   make(chan struct{}),
		reports: make(chan any, 256), kick: make(chan struct{}, 1),
		stopping: make(chan struct{}), failed: make(chan error, 1),
		holding: map[plane.LeaseID]bool{}, auditing: map[sampleID]bool{},
	}
	for _, k := range cfg.Kinds {
		w.kinds[k.Name()] = k
		w.names = append(w.names, k.Name())
	}
	if w.metrics, err = newMetrics(cfg.Metrics, w); err != nil {
		return nil, err
	}
	return w, nil
}

// ErrInUse means that another worker uses the same state directory.
var ErrInUse = errors.New("another worker uses this directory")

type dirLock struct{ *flock.Flock }

func (l dirLock) Close() error { return l.Unlock() }

func lockDir(dir string) (dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dirLock{}, fmt.Errorf("make the worker's directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return dirLock{}, fmt.Errorf("lock the worker's directory %s: %w", dir, err)
	}
	if !ok {
		holder, _ := os.ReadFile(path) // for people only
		return dirLock{}, fmt.Errorf("%w: %s (process %.20s): stop it, or give this one another directory", ErrInUse, dir, strings.TrimSpace(string(holder)))
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return dirLock{}, errors.Join(fmt.Errorf("lock the worker's directory %s: %w", dir, err), l.Unlock())
	}
	return dirLock{l}, nil
}

// Run works until ctx ends, then stops gracefully: it leases nothing more, gives back what
// it hasn't started, lets tasks go on for Config.Drain, and reports what it can; the rest
// is in the journal for the next time. It returns nil after such a stop. A gateway that is
// away, refuses the key, or underpays is no reason to return: it is waited for.
func (w *Worker) Run(ctx context.Context) (err error) {
	defer w.metrics.unregister()
	lock, err := lockDir(w.cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	s, err := w.reach(ctx)
	if err != nil || s == nil {
		return err
	}
	if err := w.openFiles(s); err != nil {
		s.close()
		return err
	}
	defer func() { err = errors.Join(err, w.durable.Load().close()) }()
	w.setSession(s)
	defer w.dropSession()
	w.log.Info("worker started", "gateway", w.cfg.Gateway, "chain", s.info.Chain, "kinds", w.names, "capacity", w.cfg.Capacity,
		"receipts_waiting", w.durable.Load().waiting())

	hard, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	reported := make(chan struct{})
	go func() { defer close(reported); w.report(hard) }()

	err = w.leaseUntil(ctx, hard)
	close(w.stopping)
	w.log.Info("worker stops", "bundles", w.slots.busy(), "wait_at_most", w.cfg.Drain)
	stop := time.AfterFunc(w.cfg.Drain, func() { cancel(errStopping) })
	defer stop.Stop()
	w.tasks.Wait()
	close(w.reports)
	<-reported
	if n := w.durable.Load().waiting(); n > 0 {
		w.log.Warn("receipts without a voucher stay in the journal; the worker reports them when it starts again", "receipts", n)
	}
	return err
}

var errStopping = errors.New("the worker is stopping")

// reach connects, for as long as it takes. It returns nil without an error when ctx ended.
func (w *Worker) reach(ctx context.Context) (*session, error) {
	p := pause{min: 500 * time.Millisecond, max: 30 * time.Second}
	for {
		s, err := w.connect(ctx)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		d := p.step()
		w.log.Warn("no session with the gateway; trying again", "err", err, "in", d.Round(time.Millisecond))
		if !sleep(ctx, d) {
			return nil, nil
		}
	}
}

// openFiles opens what the worker remembers of this gateway and chain.
func (w *Worker) openFiles(s *session) error {
	of := artifact.Sum([]byte(s.info.Chain + "\x00" + s.info.Gateway.String()))
	dir := filepath.Join(w.cfg.Dir, "gateways", of.String()[:16])
	st, err := openState(dir, w.cfg.Now(), w.log)
	if err != nil {
		return err
	}
	needs := st.blobs()
	if w.spool, err = openSpool(filepath.Join(dir, "blobs"), w.disk, func(d artifact.Digest) int { return needs[d] }); err == nil {
		var files *spool
		files, err = openSpool(filepath.Join(w.cfg.Dir, "specs"), w.disk, func(artifact.Digest) int { return 1 })
		w.specs = newSpecs(files)
	}
	if err != nil {
		return errors.Join(err, st.close())
	}
	w.durable.Store(st)
	return nil
}

func (w *Worker) setSession(s *session) {
	w.sessionMu.Lock()
	defer w.sessionMu.Unlock()
	w.current = s
	close(w.ready)
	w.metrics.connected.Set(1)
	wake(w.kick)
}

func (w *Worker) dropSession() {
	w.sessionMu.Lock()
	defer w.sessionMu.Unlock()
	if w.current != nil {
		w.current.close()
		w.current, w.ready = nil, make(chan struct{})
		w.metrics.connected.Set(0)
	}
}

// session returns the session of now, waiting for one.
func (w *Worker) session(ctx context.Context) (*session, error) {
	for {
		w.sessionMu.Lock()
		s, ready := w.current, w.ready
		w.sessionMu.Unlock()
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

// fail ends the worker because of an error that nothing can be done about, like a journal
// that can't be written.
func (w *Worker) fail(err error) {
	select {
	case w.failed <- err:
	default: // the first is the one that matters
	}
}

func (w *Worker) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// slots counts bundles being done.
type slots struct {
	mu    sync.Mutex
	limit int
	used  int
	freed chan struct{} // gets a value when one came free
}

func newSlots(n int) *slots { return &slots{limit: n, freed: make(chan struct{}, 1)} }

func (s *slots) free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.limit-s.used)
}

func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *slots) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used++
}

func (s *slots) give() {
	s.mu.Lock()
	s.used--
	s.mu.Unlock()
	wake(s.freed)
}
