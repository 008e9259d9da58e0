package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

// Memory is a Store that forgets: the in-process twin of FS, for tests.
type Memory struct {
	opts  Options
	mu    sync.RWMutex
	blobs map[Digest][]byte
	used  int64
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory(opts Options) (*Memory, error) {
	opts, err := opts.check()
	if err != nil {
		return nil, err
	}
	return &Memory{opts: opts, blobs: map[Digest][]byte{}}, nil
}

// Put implements Store.
func (m *Memory) Put(ctx context.Context, b []byte) (Digest, error) {
	ds, err := m.PutAll(ctx, [][]byte{b})
	if err != nil {
		return Digest{}, err
	}
	return ds[0], nil
}

// PutAll implements Store.
func (m *Memory) PutAll(ctx context.Context, blobs [][]byte) ([]Digest, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store %d artifacts: %w", len(blobs), err)
	}
	if err := m.opts.checkBlobs(blobs); err != nil {
		return nil, err
	}
	ds := make([]Digest, len(blobs))
	for i, b := range blobs {
		ds[i] = Sum(b)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, b := range blobs {
		if _, ok := m.blobs[ds[i]]; ok {
			continue
		}
		if m.opts.Quota > 0 && m.used+int64(len(b)) > m.opts.Quota {
			return nil, fmt.Errorf("%w: %d of %d bytes are used, a blob of %d does not fit", ErrFull, m.used, m.opts.Quota, len(b))
		}
		m.blobs[ds[i]] = bytes.Clone(b)
		m.used += int64(len(b))
	}
	return ds, nil
}

func (m *Memory) blob(ctx context.Context, d Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", d, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, ok := m.blobs[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, d)
	}
	return b, nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, d Digest, max int64) ([]byte, error) {
	b, err := m.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	if max > 0 && int64(len(b)) > max {
		return nil, tooLarge(d, int64(len(b)), max)
	}
	return append([]byte{}, b...), nil
}

// Open implements Store.
func (m *Memory) Open(ctx context.Context, d Digest) (io.ReadCloser, int64, error) {
	b, err := m.blob(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return VerifiedReader(io.NopCloser(bytes.NewReader(b)), d, int64(len(b))), int64(len(b)), nil
}

// Has implements Store.
func (m *Memory) Has(ctx context.Context, ds ...Digest) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look for %d artifacts: %w", len(ds), err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	has := make([]bool, len(ds))
	for i, d := range ds {
		_, has[i] = m.blobs[d]
	}
	return has, nil
}
