package scheduler

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("the scheduler is closed")

// Config is what a scheduler is made of. The first group must be set.
type Config struct {
	Chain     string          // the ledger's chain ID
	Key       work.PrivateKey // the gateway's; signs vouchers
	Ledger    Ledger
	Kinds     []work.Kind
	Artifacts artifact.Store // specs, results and blobs
	Dir       string         // of the database

	// Nudge tells a connected worker to ask for work now. It does not wait.
	Nudge func(work.PublicKey)
	// AllowPrivate is handed to plans; nil allows no host that isn't public.
	AllowPrivate func(host string) bool
	// ClaimForWorkers sends the workers' claims once a job is over.
	ClaimForWorkers bool

	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	FS      vfs.FS      // of the database; nil for the machine's
	Fatal   func(error) // called before the process ends because the database can't go on

	// Decoys are keys of enrolled workers in this gateway's own hands, of an operator that
	// is not the gateway's account, that plant receipts known to be wrong: about PlantBps of
	// all receipts, in basis points; 0 stands for 50, a negative number for none.
	Decoys   []work.PrivateKey
	PlantBps int
	Rand     io.Reader // for plants; nil for crypto/rand

	// Shares of a job's tasks in flight, in basis points, that workers on probation together,
	// one operator and one network may hold; 0 stands for 2,000, 3,300 and 3,300, and 10,000
	// for no limit.
	ProbationShare, OperatorShare, NetworkShare uint32
	// Networks names the network that an address is of, "AS64500", or "" where it does not
	// know; nil where there is no such table. Operators' declarations are held against it.
	Networks func(netip.Addr) string

	MaxTries   int           // workers that may fail at a task before it is given up
	LeaseGrace time.Duration // added to every lease for the way there and back
	LostAfter  time.Duration // a lease that its worker stopped mentioning is lost after this
	MinFree    uint64        // bytes; with less free on the disk no new work is taken on
	Retain     time.Duration // how long an ended job's receipts are kept
}

func (c Config) check() (Config, error) {
	switch {
	case c.Chain == "":
		return c, errors.New("scheduler: Config.Chain is empty")
	case c.Ledger == nil, c.Artifacts == nil:
		return c, errors.New("scheduler: Config.Ledger and Config.Artifacts must be set")
	case c.Dir == "":
		return c, errors.New("scheduler: Config.Dir is empty")
	case c.PlantBps > 10_000 || max(c.ProbationShare, c.OperatorShare, c.NetworkShare) > 10_000:
		return c, errors.New("scheduler: a share above 10,000 basis points, which is all, in Config")
	}
	def(&c.Log, slog.New(slog.DiscardHandler))
	def(&c.FS, vfs.Default)
	def(&c.MaxTries, 4)
	def(&c.LeaseGrace, 10*time.Second)
	def(&c.LostAfter, 10*time.Second)
	def(&c.MinFree, 256<<20)
	def(&c.Retain, 90*24*time.Hour)
	def(&c.PlantBps, 50)
	def(&c.ProbationShare, 2000)
	def(&c.OperatorShare, 3300)
	def(&c.NetworkShare, 3300)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Nudge == nil {
		c.Nudge = func(work.PublicKey) {}
	}
	if c.AllowPrivate == nil {
		c.AllowPrivate = func(string) bool { return false }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Fatal == nil {
		c.Fatal = func(error) { os.Exit(1) }
	}
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Scheduler runs the jobs of one gateway.
type Scheduler struct {
	cfg    Config
	log    *slog.Logger
	store  *store
	kinds  map[work.Name]work.Kind
	m      *metrics
	params atomic.Pointer[Params]
	height atomic.Int64
	block  atomic.Int64 // nanoseconds that a block takes, smoothed

	gate   sync.RWMutex // held for reading by every call, for writing by Close
	closed bool
	stop   context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup

	mu        sync.Mutex
	jobs      map[work.JobID]*job
	workers   map[work.PublicKey]*worker
	idle      map[work.PublicKey]*worker
	known     map[work.PublicKey]*ledgerWorker
	heard     time.Time // when the ledger last answered
	ledgerErr error

	sealing atomic.Bool  // Seal wants epochs closed before their time
	fenced  *fenceRecord // of a restored database; nil for any other. watch's own after Open

	decoys      []decoy // sorted by name
	decoySecret [32]byte

	signatures *work.Verifier

	counted atomic.Pointer[census]
	recount atomic.Bool // the last census missed somebody
	wakes   atomic.Uint64

	clock  clock
	leases expiries
	fair   fairness
	cores  chan struct{} // one token for each core that checks receipts
}

// Open reads the database and starts to follow the ledger. It returns without waiting
// for the ledger to answer.
func Open(cfg Config) (*Scheduler, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	st, err := openStore(cfg)
	if err != nil {
		return nil, err
	}
	s := &Scheduler{
		cfg: cfg, log: cfg.Log, store: st, m: m,
		kinds:   map[work.Name]work.Kind{},
		jobs:    map[work.JobID]*job{},
		workers: map[work.PublicKey]*worker{},
		idle:    map[work.PublicKey]*worker{},
		known:   map[work.PublicKey]*ledgerWorker{},
		cores:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0))),
		// For one session's connections; more workers than that report in batches anyway.
		signatures: work.NewVerifier(8192),
	}
	s.block.Store(int64(time.Second))
	s.clock.source = cfg.Now
	if err := s.setDecoys(); err != nil {
		return nil, errors.Join(err, st.close())
	}
	for _, k := range cfg.Kinds {
		if err := k.Name().Check(); err != nil {
			return nil, errors.Join(err, st.close())
		}
		s.kinds[k.Name()] = k
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.load(); err != nil {
		s.stop()
		return nil, errors.Join(err, st.close())
	}
	if err := s.fence(); err != nil {
		s.stop()
		return nil, errors.Join(err, st.close())
	}
	for _, j := range s.all() {
		s.start(j)
	}
	s.wg.Add(2)
	go s.watch()
	go s.sweep()
	return s, nil
}

// all lists the jobs.
func (s *Scheduler) all() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]*job, 0, len(s.jobs))
	for _, j := range s.jobs {
		jobs = append(jobs, j)
	}
	return jobs
}

// job returns nil for a job that is not here.
func (s *Scheduler) job(id work.JobID) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id]
}

// start runs the job's loop unless the job is over.
func (s *Scheduler) start(j *job) {
	if j.over() {
		return
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		j.run(s.ctx)
	}()
}

// enter admits a call unless the scheduler is closed; leave must follow.
func (s *Scheduler) enter() error {
	s.gate.RLock()
	if s.closed {
		s.gate.RUnlock()
		return ErrClosed
	}
	return nil
}

func (s *Scheduler) leave() { s.gate.RUnlock() }

// Close stops all loops, lets calls that are under way end and closes the database.
// Nothing is lost without it: it only makes the next Open faster.
func (s *Scheduler) Close() error {
	s.stop()
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	s.gate.Unlock()
	s.wg.Wait()
	var errs []error
	for _, j := range s.all() {
		j.mu.Lock()
		errs = append(errs, j.closePlan())
		j.mu.Unlock()
		j.notify()
	}
	errs = append(errs, s.flushScores(), s.store.close())
	s.m.unregister()
	return errors.Join(errs...)
}
