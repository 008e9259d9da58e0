package crawl

import (
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Name is the kind's name on the network.
const Name work.Name = "crawl/1"

// Kind crawls. Between calls it keeps what is only a cache: connections, specs that it
// has read, robots.txt files, and when hosts may be asked again.
type Kind struct {
	client client
	robots robotsCache
	live   live // what live jobs share

	mu    sync.Mutex
	specs map[artifact.Digest]Spec
}

var (
	_ work.Kind    = (*Kind)(nil)
	_ work.Planner = (*Kind)(nil)
)

// New makes the kind for one worker, gateway or auditor.
func New() *Kind { return &Kind{client: client{times: usual}} }

// NewWithRoots is New for networks with certificate authorities of their own.
func NewWithRoots(roots *x509.CertPool) *Kind {
	k := New()
	k.client.roots = roots
	return k
}

// Close closes the connections that are kept. The Kind stays usable.
func (k *Kind) Close() { k.client.pool.close() }

// Name implements work.Kind.
func (k *Kind) Name() work.Name { return Name }

// Check implements work.Kind.
func (k *Kind) Check(spec []byte) (work.Needs, error) {
	s, err := DecodeSpec(spec)
	if err != nil {
		return work.Needs{}, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if err := s.Check(); err != nil {
		return work.Needs{}, err
	}
	return work.Needs{UnitsPerTask: 1, TaskTime: taskTime}, nil
}

// spec reads a spec that many tasks share.
func (k *Kind) spec(b []byte) (Spec, error) {
	d := artifact.Sum(b)
	k.mu.Lock()
	s, ok := k.specs[d]
	k.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := DecodeSpec(b)
	if err != nil {
		return Spec{}, err
	}
	if err := s.Check(); err != nil {
		return Spec{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.specs == nil || len(k.specs) >= 16 {
		k.specs = map[artifact.Digest]Spec{}
	}
	k.specs[d] = s
	return s, nil
}

// Meter implements work.Kind: one unit for an exchange with a response, whatever its
// status, and nothing without one.
func (k *Kind) Meter(t work.Task, r work.Result) (uint64, error) {
	rec, err := k.record(t, r)
	if err != nil {
		return 0, err
	}
	if rec.Status == 0 {
		return 0, nil
	}
	return 1, nil
}

// record reads a result and holds it against its task.
func (k *Kind) record(t work.Task, r work.Result) (Record, error) {
	spec, f, err := k.task(t)
	if err != nil {
		return Record{}, err
	}
	rec, err := DecodeRecord(r.Body)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	return rec, checkRecord(rec, spec, f, r.Blobs)
}
