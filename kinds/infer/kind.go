package infer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/engines"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// Name is the kind's name on the network.
const Name work.Name = "infer/1"

const (
	taskTime = 10 * time.Minute // of a whole answer
	silence  = 5 * time.Second  // of its worker, until another one does it
)

// Models is the models of a machine. A gateway needs their vocabularies, a worker their
// weights. Its methods are safe for concurrent use.
type Models interface {
	// List lists the models at hand.
	List() ([]artifact.Digest, error)
	// Open reads what there is to know of a model besides its weights.
	Open(root artifact.Digest) (*Card, error)
	// Load reads a model and checks that it has this root.
	Load(root artifact.Digest) (*model.Model, error)
	// File opens a model's file, for who has to show pieces of it.
	File(root artifact.Digest) (ModelFile, int64, error)
}

// ModelFile is the open file of a model.
type ModelFile interface {
	io.ReaderAt
	io.Closer
}

// Card is a model without its weights.
type Card struct {
	Config    model.Config
	Size      int64 // bytes of its file
	Created   time.Time
	Tokenizer *tokenizer.Tokenizer
}

// Options of a Kind. Zero values are usual ones.
type Options struct {
	Models  Models
	Engines engines.Options // a worker's
	Metrics prometheus.Registerer
	Log     *slog.Logger

	// A gateway's.
	Queue       int           // requests that wait, of all tabs
	QueuePerTab int           // and of one
	QueuePerKey int           // and of one API key
	Patience    time.Duration // how long a client waits while nothing happens
	Rand        io.Reader     // for seeds that a client leaves open
}

func (o Options) complete() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Queue <= 0 {
		o.Queue = 16384
	}
	if o.QueuePerTab <= 0 {
		o.QueuePerTab = 4096
	}
	if o.QueuePerKey <= 0 {
		o.QueuePerKey = 1024
	}
	if o.Patience <= 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}

// Kind answers prompts. Between calls it keeps what is only a cache, loaded models and
// specs that it has read, and finds the open plans of its gateway for its routes.
type Kind struct {
	o     Options
	pool  *engines.Pool // nil without models
	m     *metrics
	chain atomic.Pointer[string]

	queued atomic.Int64 // requests that wait, of all tabs

	mu    sync.Mutex
	held  []artifact.Digest // as listed last
	heldT time.Time
	specs map[artifact.Digest]*tab.Spec
	cards map[artifact.Digest]*Card
	plans map[work.JobID]*plan
}

var (
	_ work.Kind    = (*Kind)(nil)
	_ work.Planner = (*Kind)(nil)
	_ work.Spoiler = (*Kind)(nil)
	_ work.Holder  = (*Kind)(nil)
	_ work.Mounter = (*Kind)(nil)
)

// New makes the kind for one worker, gateway or auditor. Close ends it.
func New(o Options) (*Kind, error) {
	k := &Kind{o: o.complete(), specs: map[artifact.Digest]*tab.Spec{}, cards: map[artifact.Digest]*Card{}, plans: map[work.JobID]*plan{}}
	if k.o.Models != nil {
		k.pool = engines.New(shapes{k}, k.o.Engines)
	}
	var err error
	k.m, err = newMetrics(k.o.Metrics, k)
	return k, err
}

// Close ends the answers under way.
func (k *Kind) Close() {
	if k.pool != nil {
		k.pool.Close()
	}
	k.m.close(k.o.Metrics)
}

// shapes is a Kind's models as its engines see them.
type shapes struct{ *Kind }

func (s shapes) Shape(root artifact.Digest) (*model.Config, int64, error) {
	c, err := s.card(root)
	if err != nil {
		return nil, 0, err
	}
	return &c.Config, c.Size, nil
}

func (s shapes) Load(root artifact.Digest) (*model.Model, error) {
	start := time.Now()
	m, err := s.o.Models.Load(root)
	s.o.Log.Info("load a model", "model", root, "took", time.Since(start).Round(time.Millisecond), "err", err)
	return m, err
}

var errNoModels = errors.New("this machine holds no models: import or pull one (cantus model)")

// card reads what a gateway needs of a model, and keeps it.
func (k *Kind) card(root artifact.Digest) (*Card, error) {
	if k.o.Models == nil {
		return nil, errNoModels
	}
	k.mu.Lock()
	c := k.cards[root]
	k.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := k.o.Models.Open(root)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", root, err)
	}
	// An answer that the ledger can't judge could not be disputed, so it is not sold.
	if err := referee.Disputable(&c.Config); err != nil {
		return nil, fmt.Errorf("model %s: %w", root, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cards) >= 256 {
		clear(k.cards)
	}
	k.cards[root] = c
	return c, nil
}

// Name implements work.Kind.
func (k *Kind) Name() work.Name { return Name }

// Check implements work.Kind.
func (k *Kind) Check(spec []byte) (work.Needs, error) {
	s, err := tab.Decode(spec)
	if err != nil {
		return work.Needs{}, err
	}
	return work.Needs{UnitsPerTask: s.MaxUnits, TaskTime: taskTime, Silence: silence}, nil
}

// spec reads a spec that many tasks share.
func (k *Kind) spec(b []byte) (*tab.Spec, error) {
	d := artifact.Sum(b)
	k.mu.Lock()
	s := k.specs[d]
	k.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := tab.Decode(b)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.specs) >= 64 {
		clear(k.specs)
	}
	k.specs[d] = s
	return s, nil
}

// task reads a task, and its model's entry in the tab.
func (k *Kind) task(t work.Task) (tab.Model, *claim.Task, error) {
	s, err := k.spec(t.Spec)
	if err != nil {
		return tab.Model{}, nil, err
	}
	c, err := claim.DecodeTask(t.Body)
	if err != nil {
		return tab.Model{}, nil, err
	}
	m, ok := s.Model(c.Model)
	if !ok {
		return tab.Model{}, nil, fmt.Errorf("%w: model %x is not one of the tab's", claim.ErrTask, c.Model)
	}
	if most := m.Most(c); most > s.MaxUnits {
		return tab.Model{}, nil, fmt.Errorf("%w: its answer may cost %d units, and the tab pays %d for a request", claim.ErrTask, most, s.MaxUnits)
	}
	return m, c, nil
}

// Meter implements work.Kind: tokens of the prompt and tokens of the answer, each at its
// price, and nothing for an answer that was hung up on before its first token.
func (k *Kind) Meter(t work.Task, r work.Result) (uint64, error) {
	m, c, err := k.task(t)
	if err != nil {
		return 0, err
	}
	res, err := result(c, r)
	if err != nil {
		return 0, err
	}
	return m.Units(c, res), nil
}

// result reads a result and holds it against its task.
func result(t *claim.Task, r work.Result) (*claim.Result, error) {
	if len(r.Blobs) > 0 {
		return nil, fmt.Errorf("%w: %d blobs: an answer has none", claim.ErrResult, len(r.Blobs))
	}
	res, err := claim.DecodeResult(r.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", claim.ErrResult, err)
	}
	return res, res.Check(t)
}

// listEvery is how old the list of models at hand may be: a worker asks for it with every
// lease.
const listEvery = 5 * time.Second

// Holds implements work.Holder.
func (k *Kind) Holds() []artifact.Digest {
	if k.o.Models == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.heldT) > listEvery {
		list, err := k.o.Models.List()
		if err != nil {
			k.o.Log.Warn("list the models at hand", "err", err)
			list = nil
		}
		k.held, k.heldT = list[:min(len(list), work.MaxHeld)], now
	}
	return k.held[:len(k.held):len(k.held)]
}
