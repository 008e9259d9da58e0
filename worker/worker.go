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
	"github.com/cantus-network/cantus/work"
)

// Worker does tasks for its gateways, for one at a time. Make it with New and Run it once.
// What its links share is here: the key, the kinds, memory, disk and slots.
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
	specs  *specs

	choice   *choice
	eye      *eye                        // on the ledger; nil without one
	advocate *advocate                   // in disputes there; nil without one
	refereed atomic.Pointer[[]work.Name] // kinds of which the ledger decides disputes; nil while that isn't known
	stopping chan struct{}               // closed when Run is told to stop
	failed   chan error                  // what ends the worker from within, once

	loops   sync.WaitGroup // that keep sessions and lease
	linksMu sync.Mutex
	links   map[party]*link
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
		stopping: make(chan struct{}), failed: make(chan error, 1),
		links: map[party]*link{},
	}
	w.choice = newChoice(cfg.endpoints(), cfg.Failover, w.log)
	for _, k := range cfg.Kinds {
		w.kinds[k.Name()] = k
		w.names = append(w.names, k.Name())
	}
	if cfg.Ledger != nil {
		w.eye = newEye(w, cfg.Ledger)
		w.advocate = newAdvocate(w, cfg.Ledger)
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
		return dirLock{}, fmt.Errorf("make the worker's directory: %w", room(err))
	}
	path := filepath.Join(dir, "lock")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return dirLock{}, fmt.Errorf("lock the worker's directory %s: %w", dir, room(err))
	}
	if !ok {
		holder, _ := os.ReadFile(path) // for people only
		return dirLock{}, fmt.Errorf("%w: %s (process %.20s): stop it, or give this one another directory", ErrInUse, dir, strings.TrimSpace(string(holder)))
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return dirLock{}, errors.Join(fmt.Errorf("lock the worker's directory %s: %w", dir, room(err)), l.Unlock())
	}
	return dirLock{l}, nil
}

// Run works until ctx ends, then stops gracefully: it leases nothing more, gives back what
// it hasn't started, lets tasks go on for Config.Drain, and reports what it can; the rest
// is in the journals for the next time. It returns nil after such a stop. A gateway that is
// away, refuses the key, or underpays is no reason to return: it is waited for, and the
// next one is worked for meanwhile.
func (w *Worker) Run(ctx context.Context) (err error) {
	defer w.metrics.unregister()
	lock, err := lockDir(w.cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	files, err := openSpool(filepath.Join(w.cfg.Dir, "specs"), w.disk, func(artifact.Digest) int { return 1 })
	if err != nil {
		return err
	}
	w.specs = newSpecs(files)

	hard, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer func() { err = errors.Join(err, w.closeLinks()) }()
	left, err := w.recover(hard)
	if err != nil {
		cancel(errStopping)
		w.settleLinks()
		return err
	}
	w.log.Info("worker started", "gateways", len(w.choice.places), "kinds", w.names, "capacity", w.cfg.Capacity)

	defer time.AfterFunc(w.cfg.Failover, w.choice.decide).Stop()
	seek, stopSeeking := context.WithCancel(ctx)
	defer stopSeeking()
	for _, p := range w.choice.places {
		w.loops.Go(func() { w.keep(seek, hard, p) })
	}
	for _, l := range left {
		w.loops.Go(func() { w.wrapUp(seek, hard, l, nil) })
	}
	if w.eye == nil {
		w.log.Info("no ledger to look at: nothing that the gateways commit is checked, and nothing is sent without them (--ledger)")
	} else {
		w.loops.Go(func() { w.eye.watch(seek, hard) })
		w.loops.Go(func() { w.advocate.watch(seek) })
	}
	select {
	case <-ctx.Done():
	case err = <-w.failed:
	}
	stopSeeking()
	w.loops.Wait()
	close(w.stopping)
	w.log.Info("worker stops", "bundles", w.slots.busy(), "wait_at_most", w.cfg.Drain)
	stop := time.AfterFunc(w.cfg.Drain, func() { cancel(errStopping) })
	defer stop.Stop()
	w.settleLinks()
	return err
}

var errStopping = errors.New("the worker is stopping")

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

// slots counts bundles being done, and those that a gateway was just asked for.
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

// reserve takes up to n slots and returns how many it got.
func (s *slots) reserve(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(0, min(n, s.limit-s.used))
	s.used += n
	return n
}

// unreserve gives slots back that were reserved in vain.
func (s *slots) unreserve(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// give gives back the slot of a bundle that is done.
func (s *slots) give() {
	s.unreserve(1)
	wake(s.freed)
}
