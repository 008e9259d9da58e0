package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/artifact"
)

// taskMemory is what a task reserves of the memory budget before it starts, and how many
// bytes of blobs it may keep in memory; more goes to disk until it is uploaded.
const taskMemory = 1 << 20

// taskBlobs is the artifact store that a kind sees while it does one task: what it puts
// stays here until the result is known; what it gets comes from here or the gateway.
type taskBlobs struct {
	remote artifact.Store // the gateway's
	spool  *spool

	mu     sync.Mutex
	memory map[artifact.Digest][]byte
	used   int64
	disk   []artifact.Digest
	count  int
	done   bool
}

// maxPuts bounds what one task may put, beyond what its result may name.
const maxPuts = 1024

var (
	_ artifact.Store = (*taskBlobs)(nil)

	errTaskOver = errors.New("the task is over")
)

func newTaskBlobs(remote artifact.Store, s *spool) *taskBlobs {
	return &taskBlobs{remote: remote, spool: s, memory: map[artifact.Digest][]byte{}}
}

// Put implements artifact.Store.
func (t *taskBlobs) Put(ctx context.Context, b []byte) (artifact.Digest, error) {
	if err := ctx.Err(); err != nil {
		return artifact.Digest{}, err
	}
	d := artifact.Sum(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch _, ok := t.memory[d]; {
	case t.done:
		return d, errTaskOver
	case ok || slices.Contains(t.disk, d):
		return d, nil
	case t.count == maxPuts:
		return d, fmt.Errorf("%w: a task may put %d blobs", artifact.ErrTooLarge, maxPuts)
	}
	if n := int64(len(b)); t.used+n <= taskMemory {
		t.memory[d] = bytes.Clone(b)
		t.used += n
	} else if _, err := t.spool.put(b); err != nil {
		return d, err
	} else {
		t.disk = append(t.disk, d)
	}
	t.count++
	return d, nil
}

// PutAll implements artifact.Store.
func (t *taskBlobs) PutAll(ctx context.Context, blobs [][]byte) ([]artifact.Digest, error) {
	ds := make([]artifact.Digest, len(blobs))
	for i, b := range blobs {
		d, err := t.Put(ctx, b)
		if err != nil {
			return nil, err
		}
		ds[i] = d
	}
	return ds, nil
}

// local returns a blob of the task's own.
func (t *taskBlobs) local(d artifact.Digest) ([]byte, bool, error) {
	t.mu.Lock()
	b, ok := t.memory[d]
	onDisk := slices.Contains(t.disk, d)
	t.mu.Unlock()
	if ok || !onDisk {
		return b, ok, nil
	}
	b, err := t.spool.get(d)
	return b, true, err
}

// Get implements artifact.Store.
func (t *taskBlobs) Get(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	b, ok, err := t.local(d)
	if !ok && err == nil {
		return t.remote.Get(ctx, d, max)
	}
	if err != nil {
		return nil, err
	}
	if max > 0 && int64(len(b)) > max {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d were asked for", artifact.ErrTooLarge, d, len(b), max)
	}
	return bytes.Clone(b), nil
}

// Open implements artifact.Store.
func (t *taskBlobs) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, int64, error) {
	b, ok, err := t.local(d)
	if !ok && err == nil {
		return t.remote.Open(ctx, d)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), err
}

// Has implements artifact.Store.
func (t *taskBlobs) Has(ctx context.Context, ds ...artifact.Digest) ([]bool, error) {
	has := make([]bool, len(ds))
	var ask []artifact.Digest
	var where []int
	for i, d := range ds {
		if has[i] = t.mine(d); !has[i] {
			ask, where = append(ask, d), append(where, i)
		}
	}
	if len(ask) == 0 {
		return has, nil
	}
	got, err := t.remote.Has(ctx, ask...)
	if err != nil {
		return nil, err
	}
	for i, w := range where {
		has[w] = got[i]
	}
	return has, nil
}

func (t *taskBlobs) mine(d artifact.Digest) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.memory[d]
	return ok || slices.Contains(t.disk, d)
}

// blob is one to be uploaded: its bytes, or where they are on disk.
type blob struct {
	digest artifact.Digest
	bytes  []byte // nil if in the spool
	disk   bool
}

// finish ends the task and returns those of its blobs that are named, dropping the rest.
// It fails for a name that is neither the task's nor in the gateway's store.
func (t *taskBlobs) finish(ctx context.Context, named []artifact.Digest) ([]blob, error) {
	t.mu.Lock()
	t.done = true
	var own []blob
	var others []artifact.Digest
	seen := map[artifact.Digest]bool{}
	for _, d := range named {
		if seen[d] {
			continue
		}
		seen[d] = true
		if b, ok := t.memory[d]; ok {
			own = append(own, blob{digest: d, bytes: b})
		} else if slices.Contains(t.disk, d) {
			own = append(own, blob{digest: d, disk: true})
		} else {
			others = append(others, d)
		}
	}
	var unused []artifact.Digest
	for _, d := range t.disk {
		if !seen[d] {
			unused = append(unused, d)
		}
	}
	t.memory, t.disk = nil, nil
	t.mu.Unlock()
	t.spool.drop(unused...)
	if len(others) == 0 {
		return own, nil
	}
	has, err := t.remote.Has(ctx, others...)
	if err != nil {
		return nil, fmt.Errorf("look for blobs that the result names: %w", err)
	}
	if i := slices.Index(has, false); i >= 0 {
		return nil, fmt.Errorf("the result names blob %s, which the kind never put", others[i])
	}
	return own, nil
}

// discard ends the task without a result.
func (t *taskBlobs) discard() {
	t.mu.Lock()
	disk := t.disk
	t.memory, t.disk, t.done = nil, nil, true
	t.mu.Unlock()
	t.spool.drop(disk...)
}
