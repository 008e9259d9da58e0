package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	signOfLife  = time.Second // between messages about a task that has nothing new to show
	partsBytes  = 512 << 10   // of parts in one message
	streamBytes = 4 << 20     // of one task's parts that wait; the result has it all in any case
)

// holds lists what the kinds have at hand that tasks may require.
func (w *Worker) holds() []artifact.Digest {
	var all []artifact.Digest
	for _, name := range w.names {
		if h, ok := w.kinds[name].(work.Holder); ok {
			all = append(all, h.Holds()...)
		}
	}
	return all[:min(len(all), work.MaxHeld)]
}

// streams sends the parts of a link's tasks that somebody waits for: those of all tasks
// together, one message after another.
type streams struct {
	l    *link
	kick chan struct{}

	mu   sync.Mutex
	live map[plane.LeaseID]*stream
}

// stream is one task's.
type stream struct {
	all     *streams
	lease   plane.LeaseID
	stopped chan struct{}

	// The rest is guarded by all.mu.
	parts [][]byte // not yet sent
	bytes int
	sent  time.Time // when the gateway last heard of the task
	ended bool      // stopped is closed
	over  bool      // the kind is done with it
}

var _ work.Stream = (*stream)(nil)

func newStreams(l *link) *streams {
	return &streams{l: l, kick: make(chan struct{}, 1), live: map[plane.LeaseID]*stream{}}
}

func (a *streams) open(id plane.LeaseID) *stream {
	// The first sign of life goes out at once: whoever asked may have left before the task
	// came here.
	st := &stream{all: a, lease: id, stopped: make(chan struct{})}
	a.mu.Lock()
	a.live[id] = st
	a.mu.Unlock()
	wake(a.kick)
	return st
}

// done drops the parts that wait: the result that follows says it all. Signs of life go on
// until the lease is released, so that nobody else gets the task meanwhile.
func (a *streams) done(st *stream) {
	a.mu.Lock()
	st.parts, st.bytes, st.over = nil, 0, true
	a.mu.Unlock()
}

// drop forgets tasks whose leases are released.
func (a *streams) drop(ids []plane.LeaseID) {
	a.mu.Lock()
	for _, id := range ids {
		delete(a.live, id)
	}
	a.mu.Unlock()
}

// Send implements work.Stream.
func (st *stream) Send(part []byte) {
	if len(part) == 0 || len(part) > work.MaxPart {
		return // the gateway would refuse the whole message
	}
	st.all.mu.Lock()
	if !st.over && st.bytes+len(part) <= streamBytes {
		st.parts = append(st.parts, slices.Clone(part))
		st.bytes += len(part)
	}
	st.all.mu.Unlock()
	wake(st.all.kick)
}

// Stopped implements work.Stream.
func (st *stream) Stopped() <-chan struct{} { return st.stopped }

// run sends until ctx ends.
func (a *streams) run(ctx context.Context) {
	tick := time.NewTicker(signOfLife / 2)
	defer tick.Stop()
	for ctx.Err() == nil {
		a.mu.Lock()
		idle := len(a.live) == 0
		a.mu.Unlock()
		if idle {
			select {
			case <-ctx.Done():
				return
			case <-a.kick:
			}
		} else {
			select {
			case <-ctx.Done():
				return
			case <-a.kick:
			case <-tick.C:
			}
		}
		req, taken := a.collect()
		if len(req.Parts) == 0 {
			continue
		}
		began := time.Now()
		rest := spacing
		reply, err := a.send(ctx, req)
		switch {
		case err == nil:
			a.answered(req, taken, reply)
		case errors.Is(err, plane.ErrInvalid):
			// Sent again it would be as invalid; the results will tell.
			a.l.log.Error("parts refused", "err", err)
			a.answered(req, taken, reply)
		default:
			a.l.log.Debug("send parts", "err", err)
			rest = 4 * spacing
			if e := new(plane.Error); errors.As(err, &e) {
				rest = max(rest, e.After())
			}
			wake(a.kick)
		}
		sleep(ctx, rest-time.Since(began))
	}
}

func (a *streams) send(ctx context.Context, req plane.PartRequest) (plane.PartReply, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := a.l.session(ctx)
	if err != nil {
		return plane.PartReply{}, err
	}
	return s.client.Part(ctx, req)
}

// collect gathers what there is to send, of all tasks in turn, and how many parts of each
// task that is.
func (a *streams) collect() (req plane.PartRequest, taken map[plane.LeaseID]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken = map[plane.LeaseID]int{}
	size, now := 0, time.Now()
	for id, st := range a.live {
		if len(req.Parts) == plane.MaxParts {
			break
		}
		if len(st.parts) == 0 && now.Sub(st.sent) >= signOfLife {
			req.Parts = append(req.Parts, plane.Part{Lease: id})
			taken[id] = 0
		}
		for _, p := range st.parts {
			if len(req.Parts) == plane.MaxParts || size+len(p) > partsBytes {
				break
			}
			req.Parts = append(req.Parts, plane.Part{Lease: id, Body: p})
			size += len(p)
			taken[id]++
		}
	}
	return req, taken
}

// answered drops what the gateway has and ends the tasks that nobody waits for.
func (a *streams) answered(req plane.PartRequest, taken map[plane.LeaseID]int, reply plane.PartReply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, more := time.Now(), false
	for id, n := range taken {
		st := a.live[id]
		if st == nil {
			continue
		}
		n = min(n, len(st.parts)) // it may be done since
		for _, p := range st.parts[:n] {
			st.bytes -= len(p)
		}
		st.parts, st.sent = st.parts[n:], now
		more = more || len(st.parts) > 0
	}
	for _, id := range reply.Stop {
		if st := a.live[id]; st != nil && !st.ended {
			st.ended = true
			close(st.stopped)
		}
	}
	if more || len(req.Parts) == plane.MaxParts {
		wake(a.kick)
	}
}
