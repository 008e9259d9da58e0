package worker

import (
	"context"
	"sync"
)

// budget bounds bytes in memory. A task takes its reservation before it starts and then
// holds what it really produced; only the start waits, so tasks can't block one another
// half-way.
type budget struct {
	limit int64

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed and replaced whenever bytes come free
}

func newBudget(limit int64) *budget { return &budget{limit: limit, freed: make(chan struct{})} }

// reserve waits until n bytes are free. One reservation is always granted when nothing
// else is held.
func (b *budget) reserve(ctx context.Context, n int64) error {
	for {
		b.mu.Lock()
		if b.used == 0 || b.used+n <= b.limit {
			b.used += n
			b.mu.Unlock()
			return nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// adjust changes what is held, without waiting.
func (b *budget) adjust(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if n < 0 {
		close(b.freed)
		b.freed = make(chan struct{})
	}
}

func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
