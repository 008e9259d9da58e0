package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/artifact"
)

// spool keeps blobs in a directory, one file each, within a quota that it shares with
// others. What matters beyond a crash is synced by Sync; until then a blob may be lost or
// torn, which get notices.
type spool struct {
	dir   string
	quota *quota

	mu   sync.Mutex
	held map[artifact.Digest]*kept
}

// kept is one blob and how many still need it.
type kept struct {
	size int64
	refs int
}

// quota counts bytes on disk.
type quota struct {
	limit int64
	mu    sync.Mutex
	used  int64
}

func (q *quota) take(n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.limit {
		return fmt.Errorf("%w: %d of %d bytes are used, %d more do not fit: give the worker more disk, or wait until uploads went through",
			artifact.ErrFull, q.used, q.limit, n)
	}
	q.used += n
	return nil
}

func (q *quota) give(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
}

// openSpool opens the spool in dir and drops the blobs that nobody needs, as well as what a
// crash left half-written. needs says how many need a blob.
func openSpool(dir string, q *quota, needs func(artifact.Digest) int) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's blob directory: %w", room(err))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the worker's blob directory: %w", err)
	}
	s := &spool{dir: dir, quota: q, held: map[artifact.Digest]*kept{}}
	for _, e := range entries {
		info, err := e.Info()
		d, notDigest := artifact.ParseDigest(e.Name())
		if err != nil || notDigest != nil || !info.Mode().IsRegular() || needs(d) == 0 {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("clean the worker's blob directory: %w", err)
			}
			continue
		}
		s.held[d] = &kept{info.Size(), needs(d)}
		q.mu.Lock()
		q.used += info.Size() // even above the limit: what was kept stays until it is uploaded
		q.mu.Unlock()
	}
	return s, nil
}

func (s *spool) path(d artifact.Digest) string { return filepath.Join(s.dir, d.String()) }

// put stores a blob for one more who needs it. It isn't durable until sync.
func (s *spool) put(b []byte) (artifact.Digest, error) {
	d := artifact.Sum(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.held[d]; k != nil {
		k.refs++
		return d, nil
	}
	n := int64(len(b))
	if err := s.quota.take(n); err != nil {
		return d, fmt.Errorf("keep a blob of %d bytes: %w", n, err)
	}
	err := os.WriteFile(s.path(d)+".tmp", b, 0o600)
	if err == nil {
		err = os.Rename(s.path(d)+".tmp", s.path(d))
	}
	if err != nil {
		_ = os.Remove(s.path(d) + ".tmp") // the next start removes what remains
		s.quota.give(n)
		if full(err) {
			err = fmt.Errorf("%w: make room on the worker's disk: %w", artifact.ErrFull, err)
		}
		return d, fmt.Errorf("keep a blob of %d bytes: %w", n, err)
	}
	s.held[d] = &kept{n, 1}
	return d, nil
}

func (s *spool) has(d artifact.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[d] != nil
}

// get returns a blob, or ErrNotFound. A damaged one is dropped and not found.
func (s *spool) get(d artifact.Digest) ([]byte, error) {
	if !s.has(d) {
		return nil, fmt.Errorf("%w: %s", artifact.ErrNotFound, d)
	}
	b, err := os.ReadFile(s.path(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read a kept blob: %w", err)
	}
	if err != nil || artifact.Sum(b) != d {
		s.remove(d)
		return nil, fmt.Errorf("%w: %s is gone or damaged on this machine's disk", artifact.ErrNotFound, d)
	}
	return b, nil
}

// drop says that one less needs each of the blobs; the last one's drop removes it.
func (s *spool) drop(ds ...artifact.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		if k := s.held[d]; k != nil {
			if k.refs--; k.refs <= 0 {
				s.unlink(d, k)
			}
		}
	}
}

// remove takes a blob away whoever needs it.
func (s *spool) remove(d artifact.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.held[d]; k != nil {
		s.unlink(d, k)
	}
}

// unlink removes a blob. The caller holds mu.
func (s *spool) unlink(d artifact.Digest, k *kept) {
	_ = os.Remove(s.path(d)) // the next start removes what remains
	delete(s.held, d)
	s.quota.give(k.size)
}

// clear removes every blob.
func (s *spool) clear() {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.held))
	s.mu.Unlock()
	for _, d := range all {
		s.remove(d)
	}
}

// sync makes blobs durable.
func (s *spool) sync(ds []artifact.Digest) error {
	for _, d := range ds {
		if err := syncPath(s.path(d)); err != nil {
			return fmt.Errorf("make a kept blob durable: %w", err)
		}
	}
	if err := syncPath(s.dir); err != nil {
		return fmt.Errorf("make kept blobs durable: %w", err)
	}
	return nil
}

// syncPath flushes a file or directory to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (q *quota) held() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}
