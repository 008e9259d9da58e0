package scheduler

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cantus-network/cantus/work"
)

// ErrDisk is returned while the disk is too full to take on work safely.
var ErrDisk = errors.New("the gateway's disk is nearly full")

// ballastSize is freed when the disk is full in spite of everything, so that what was
// begun can be written and the process can stop in order.
const ballastSize = 16 << 20

// store is the database. Writes become visible at once and durable with wait.
type store struct {
	db      *pebble.DB
	fs      vfs.FS // below the disk-full guard
	dir     string
	minFree uint64
	full    atomic.Bool
	log     *slog.Logger
	cache   *pebble.Cache
}

func openStore(cfg Config) (*store, error) {
	s := &store{fs: cfg.FS, dir: cfg.Dir, minFree: cfg.MinFree, log: cfg.Log}
	if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the gateway's database directory %s: %w", s.dir, err)
	}
	s.cache = pebble.NewCache(64 << 20)
	opts := &pebble.Options{
		FS:                          vfs.OnDiskFull(s.fs, s.diskFull),
		Cache:                       s.cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      pebbleLog{log: cfg.Log, fatal: cfg.Fatal},
	}
	db, err := pebble.Open(s.dir, opts)
	if err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("open the gateway's database %s (is another gateway using it?): %w", s.dir, err)
	}
	s.db = db
	if err := s.claim(cfg.Chain, cfg.Key.Public()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.ballast()
	s.checkDisk()
	return s, nil
}

// claim writes whose database this is, or checks it.
func (s *store) claim(chain string, gateway work.PublicKey) error {
	b, err := s.get([]byte{spaceMeta})
	if err != nil {
		return err
	}
	if b == nil {
		batch := s.batch()
		_ = batch.Set([]byte{spaceMeta}, encode(metaRecord{Version: metaVersion, Chain: chain, Gateway: gateway}), nil)
		return s.commit(batch)
	}
	m, err := decode[metaRecord]("its first record", b)
	switch {
	case err != nil:
		return err
	case m.Version != metaVersion:
		return fmt.Errorf("database %s is of version %d, this program writes version %d: use the program that made it", s.dir, m.Version, metaVersion)
	case m.Chain != chain || m.Gateway != gateway:
		return fmt.Errorf("database %s belongs to gateway %s on chain %s, not to %s on %s: give each gateway a directory of its own", s.dir, m.Gateway.Short(), m.Chain, gateway.Short(), chain)
	}
	return nil
}

func (s *store) close() error {
	err := s.db.Close()
	s.cache.Unref()
	return err
}

// batch collects writes for apply or commit.
func (s *store) batch() *pebble.Batch { return s.db.NewBatch() }

// pending is a batch that is visible and will be durable once wait returns.
type pending struct{ b *pebble.Batch }

// apply makes b visible in the order of the calls and queues it for the disk. The caller
// must call wait on the result.
func (s *store) apply(b *pebble.Batch) (pending, error) {
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return pending{}, fmt.Errorf("write to the gateway's database: %w", err)
	}
	return pending{b}, nil
}

func (p pending) wait() error {
	if p.b == nil {
		return nil
	}
	if err := p.b.SyncWait(); err != nil {
		return fmt.Errorf("make the gateway's database durable: %w", err)
	}
	return p.b.Close()
}

func (s *store) commit(b *pebble.Batch) error {
	p, err := s.apply(b)
	if err != nil {
		return err
	}
	return p.wait()
}

// get returns a copy of a value, nil where there is none.
func (s *store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the gateway's database: %w", err)
	}
	b := append([]byte{}, v...)
	return b, closer.Close()
}

// scan calls f for each key in [start, end) in order, until f returns false or an error.
func (s *store) scan(start, end []byte, f func(key, value []byte) (bool, error)) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return fmt.Errorf("read the gateway's database: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("read the gateway's database: %w", err), it.Close())
		}
		more, err := f(it.Key(), v)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !more {
			break
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("read the gateway's database: %w", err)
	}
	return nil
}

func (s *store) ballastName() string { return s.fs.PathJoin(s.dir, "ballast") }

// ballast sets some space aside while there is plenty.
func (s *store) ballast() {
	if _, err := s.fs.Stat(s.ballastName()); err == nil {
		return
	}
	if u, err := s.fs.GetDiskUsage(s.dir); err != nil || u.AvailBytes < s.minFree+4*ballastSize {
		return
	}
	f, err := s.fs.Create(s.ballastName(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return // without it the disk check alone must do
	}
	zero := make([]byte, 1<<20)
	for range ballastSize / len(zero) {
		if _, err = f.Write(zero); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.fs.Remove(s.ballastName())
	}
}

// diskFull is called by the file system when a write found no space, before it is retried.
func (s *store) diskFull() {
	s.full.Store(true)
	s.log.Error("the disk is full: no new work until there is space", "dir", s.dir)
	_ = s.fs.Remove(s.ballastName())
}

// checkDisk looks how much space is left and stops or resumes taking on work.
func (s *store) checkDisk() {
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return // a file system that can't say is taken at its writes
	}
	switch full := s.full.Load(); {
	case !full && u.AvailBytes < s.minFree:
		s.full.Store(true)
		s.log.Error("the disk is nearly full: no new work until there is space", "dir", s.dir, "free", u.AvailBytes, "want", s.minFree)
	case full && u.AvailBytes >= s.minFree+s.minFree/4:
		s.full.Store(false)
		s.ballast()
		s.log.Info("the disk has space again: work goes on", "dir", s.dir, "free", u.AvailBytes)
	}
}

// diskError is nil while there is space for new work.
func (s *store) diskError() error {
	if s.full.Load() {
		return fmt.Errorf("%w: free at least %d MiB on the disk of %s", ErrDisk, (s.minFree+s.minFree/4)>>20, s.dir)
	}
	return nil
}

// pebbleLog passes on what an operator must know. Pebble calls Fatalf when it can't keep
// its promises any more, and relies on it not to return.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("database: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("the gateway's database can't go on; what was acknowledged is safe, start again once the cause is gone: "+format, args...)
	l.log.Error(err.Error())
	l.fatal(err)
	os.Exit(1)
}
