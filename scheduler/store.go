package scheduler

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

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
	opened  atomic.Bool
	log     *slog.Logger
	end     pebbleLog // ends the process
	cache   *pebble.Cache
}

func openStore(cfg Config) (_ *store, err error) {
	s := &store{fs: cfg.FS, dir: cfg.Dir, minFree: cfg.MinFree, log: cfg.Log, end: pebbleLog{log: cfg.Log, fatal: cfg.Fatal, said: new(repeats)}}
	defer func() {
		if vfs.IsNoSpaceError(err) {
			err = fmt.Errorf("%w: free at least %d MiB on the disk of %s and start again", err, s.enough()>>20, s.dir)
		}
	}()
	if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the gateway's database directory %s: %w", s.dir, err)
	}
	if err := s.roomToStart(); err != nil {
		return nil, err
	}
	s.cache = pebble.NewCache(64 << 20)
	opts := &pebble.Options{
		FS:                          dirs{vfs.OnDiskFull(s.fs, s.diskFull), s.end},
		Cache:                       s.cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		CompactionConcurrencyRange: func() (int, int) {
			if !s.opened.Load() {
				return 0, 1 // none: one that outlives an opening that fails panics
			}
			return 1, 2
		},
		Logger: s.end,
	}
	db, err := pebble.Open(s.dir, opts)
	if err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("open the gateway's database %s (is another gateway using it?): %w", s.dir, err)
	}
	s.db = db
	s.opened.Store(true)
	if err := s.claim(cfg.Chain, cfg.Key.Public(), cfg.Now()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.ballast()
	s.checkDisk()
	return s, nil
}

// claim writes whose database this is, or checks it.
func (s *store) claim(chain string, gateway work.PublicKey, now time.Time) error {
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
	case m.Chain != chain || m.Gateway != gateway:
		return fmt.Errorf("database %s belongs to gateway %s on chain %s, not to %s on %s: give each gateway a directory of its own", s.dir, m.Gateway.Short(), m.Chain, gateway.Short(), chain)
	case m.Version != metaVersion:
		return s.migrate(m, now)
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
type pending struct {
	b *pebble.Batch
	s *store
}

// apply makes b visible in the order of the calls and queues it for the disk. The caller
// must call wait on the result.
func (s *store) apply(b *pebble.Batch) (pending, error) {
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return pending{}, fmt.Errorf("write to the gateway's database: %w", err)
	}
	return pending{b, s}, nil
}

func (p pending) wait() error {
	if p.b == nil {
		return nil
	}
	if err := p.b.SyncWait(); err != nil {
		p.s.end.Fatalf("make it durable: %v", err)
	}
	return p.b.Close()
}

// sync makes durable what others applied. After a sync that failed nobody knows what is on
// the disk, and the log takes nothing more: the process must start again and read what is.
func (s *store) sync() {
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		s.end.Fatalf("make it durable: %v", err)
	}
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
	if s.full.Swap(true) {
		time.Sleep(fullPause) // what pebble does in the background it tries again at once
	} else {
		s.log.Error("the disk is full: no new work until there is space", "dir", s.dir)
	}
	_ = s.fs.Remove(s.ballastName())
}

// fullPause is how long writes wait that find the disk still full.
const fullPause = 50 * time.Millisecond

// roomToStart frees the ballast, if there is one, where the disk has no room to open the
// database, and refuses to start where there is none. A disk that fills up only later in
// the start makes it wait until there is room.
func (s *store) roomToStart() error {
	free := func() uint64 {
		u, err := s.fs.GetDiskUsage(s.dir)
		if err != nil {
			return ballastSize // a file system that can't say is taken at its writes
		}
		return u.AvailBytes
	}
	if free() < ballastSize {
		_ = s.fs.Remove(s.ballastName())
	}
	if n := free(); n < ballastSize/2 {
		return fmt.Errorf("%w: %d KiB: free at least %d MiB on the disk of %s and start again", ErrDisk, n>>10, s.enough()>>20, s.dir)
	}
	return nil
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
	case full && u.AvailBytes >= s.enough():
		s.full.Store(false)
		s.ballast()
		s.log.Info("the disk has space again: work goes on", "dir", s.dir, "free", u.AvailBytes)
	}
}

// diskError is nil while there is space for new work.
func (s *store) diskError() error {
	if s.full.Load() {
		return fmt.Errorf("%w: free at least %d MiB on the disk of %s", ErrDisk, s.enough()>>20, s.dir)
	}
	return nil
}

// enough is how much must be free for work to go on after the disk was full.
func (s *store) enough() uint64 { return s.minFree + s.minFree/4 }

// pebbleLog passes on what an operator must know. Pebble calls Fatalf when it can't keep
// its promises any more, and relies on it not to return.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
	said  *repeats
}

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); l.said.due(format, time.Now()) {
		l.log.Error("database: " + text)
	}
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("the gateway's database can't go on; what was acknowledged is safe, start again once the cause is gone: "+format, args...)
	l.log.Error(err.Error())
	l.fatal(err)
	os.Exit(1)
}

// dirs ends the process where the names in a directory can't be made durable. Pebble
// panics at that, without a word to the operator.
type dirs struct {
	vfs.FS
	end pebbleLog
}

type dir struct {
	vfs.File
	end  pebbleLog
	name string
}

// Unwrap is how pebble finds the file system of the machine.
func (d dirs) Unwrap() vfs.FS { return d.FS }

// OpenDir is what pebble syncs directories by.
func (d dirs) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return dir{f, d.end, name}, nil
}

// Sync syncs the directory.
func (d dir) Sync() error {
	err := d.File.Sync()
	if err != nil {
		d.end.Fatalf("sync directory %s: %v", d.name, err)
	}
	return err
}

// repeats keeps errors of one sort from filling the log (and the disk).
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (r *repeats) due(sort string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.last[sort]; ok && now.Sub(last) < 10*time.Second {
		return false
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[sort] = now
	return true
}
