package engines

import (
	"context"
	"sync"
)

// room is a number of bytes that is shared out. One taker gets what it wants even if that
// is more than there is, as long as nobody else has any: else a long answer could never be
// audited by a small machine.
type room struct {
	limit int64

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed and replaced whenever bytes come free
}

func newRoom(limit int64) *room { return &room{limit: limit, freed: make(chan struct{})} }

func (r *room) tryTake(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used != 0 && r.used+n > r.limit {
		return false
	}
	r.used += n
	return true
}

func (r *room) take(ctx context.Context, n int64) error {
	for {
		r.mu.Lock()
		freed := r.freed // before the try, so that nothing that comes free after it is missed
		r.mu.Unlock()
		if r.tryTake(n) {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *room) give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	close(r.freed)
	r.freed = make(chan struct{})
}

func (r *room) held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}
