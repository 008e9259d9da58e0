package engines

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
)

// Models is where a Pool finds models. Its methods are safe for concurrent use.
type Models interface {
	// Shape is a model's configuration and the size of its file.
	Shape(root artifact.Digest) (*model.Config, int64, error)
	// Load reads a model and checks that it has this root.
	Load(root artifact.Digest) (*model.Model, error)
}

// Options are the bounds of a Pool. Zero values are usual ones.
type Options struct {
	Memory  int64 // bytes for weights, keys and values
	Threads int   // that one model is computed with
	Streams int   // answers that one model computes side by side
	Waiting int   // answers that wait for one model; more are refused
	Rows    int   // of one pass
	// Turn is how long a model that has no room lets the others go on before they take no
	// more work.
	Turn time.Duration
}

func (o Options) complete() Options {
	if o.Memory <= 0 {
		o.Memory = 4 << 30
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Streams <= 0 {
		o.Streams = 16
	}
	if o.Waiting <= 0 {
		o.Waiting = 1024
	}
	if o.Rows <= 0 {
		o.Rows = 256
	}
	if o.Turn <= 0 {
		o.Turn = 5 * time.Second
	}
	return o
}

// Errors of a Pool that a caller tells apart.
var (
	ErrTooLarge = errors.New("the model does not fit into this machine's memory")
	ErrClosed   = errors.New("the machine computes no more answers")
)

// Pool is the models of a machine. It is safe for concurrent use.
type Pool struct {
	models Models
	o      Options
	engine int64 // bytes for models and their answers
	side   *room // for what is computed beside them

	mu      sync.Mutex
	used    int64
	loaded  map[artifact.Digest]*Engine
	waiting []*waiter // for room, the one that waits longest first
	changed chan struct{}
	clock   uint64 // counts uses
	closed  bool
}

// waiter is a call that wants a model for which there is no room.
type waiter struct {
	root  artifact.Digest
	since time.Time
}

// New makes a pool. Close ends it.
func New(m Models, o Options) *Pool {
	o = o.complete()
	side := o.Memory / 8
	return &Pool{models: m, o: o, engine: o.Memory - side, side: newRoom(side), loaded: map[artifact.Digest]*Engine{}, changed: make(chan struct{})}
}

// Close ends all answers with an error.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.tell()
	var all []*Engine
	for _, e := range p.loaded { // order-free: all of them
		all = append(all, e)
	}
	p.mu.Unlock()
	for _, e := range all {
		<-e.ready
		e.close()
	}
}

// tell wakes those who wait for a change. The caller holds p.mu.
func (p *Pool) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Use is what a Pool holds at present.
type Use struct {
	Models, Active, Waiting int
	Bytes                   int64
}

// Use says what is loaded, and how many answers are computed and wait.
func (p *Pool) Use() Use {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := Use{Bytes: p.used + p.side.held()}
	for _, e := range p.loaded { // order-free: sums
		u.Models++
		select {
		case <-e.ready:
			if e.engine != nil {
				a, w, _ := e.engine.Load()
				u.Active, u.Waiting = u.Active+a, u.Waiting+w
			}
		default:
		}
	}
	return u
}

// Acquire gives a loaded model, and waits while it is loaded or while there is no room for
// it. Release gives it back.
func (p *Pool) Acquire(ctx context.Context, root artifact.Digest) (*Engine, error) {
	w := &waiter{root: root, since: time.Now()}
	defer p.leave(w)
	for {
		e, changed, err := p.try(w)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", root, err)
		}
		if e == nil {
			select {
			case <-changed:
			case <-time.After(p.o.Turn): // by now others may have to give way
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			continue
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			e.Release()
			return nil, context.Cause(ctx)
		}
		if e.err != nil {
			e.Release()
			return nil, fmt.Errorf("model %s: %w", root, e.err)
		}
		return e, nil
	}
}

// try gives a model that is loaded, or begins to load it. It gives none where the caller
// has to wait for a change.
func (p *Pool) try(w *waiter) (*Engine, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	if e := p.loaded[w.root]; e != nil {
		if p.mustYield(w) {
			p.join(w)
			return nil, p.changed, nil
		}
		e.take()
		return e, nil, nil
	}
	c, size, err := p.models.Shape(w.root)
	if err != nil {
		return nil, nil, err
	}
	if p.first(w) {
		if pages, bytes, ok := p.fit(c, size); ok {
			e := &Engine{pool: p, root: w.root, bytes: bytes, ready: make(chan struct{}), audits: make(chan struct{}, 1), embeds: make(chan struct{}, 1)}
			e.take()
			e.take() // as long as it is being loaded
			p.used += bytes
			p.loaded[w.root] = e
			go e.load(pages)
			return e, nil, nil
		}
		if need := size + least(c)*int64(model.PageBytes(c)); need > p.engine {
			return nil, nil, fmt.Errorf("%w: it needs %d MiB, and %d MiB are for models", ErrTooLarge, need>>20, p.engine>>20)
		}
	}
	p.join(w)
	return nil, p.changed, nil
}

// join puts a waiter in line. The caller holds p.mu.
func (p *Pool) join(w *waiter) {
	for _, x := range p.waiting {
		if x == w {
			return
		}
	}
	p.waiting = append(p.waiting, w)
}

// leave takes a waiter out of the line.
func (p *Pool) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.waiting {
		if x == w {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			p.tell()
			return
		}
	}
}

// first reports whether nobody waits longer for another model. The caller holds p.mu.
func (p *Pool) first(w *waiter) bool {
	for _, x := range p.waiting {
		if x == w {
			return true
		}
		if x.root != w.root {
			return false
		}
	}
	return true
}

// mustYield reports whether somebody has waited so long for another model that this one
// takes no more work until it was unloaded. The caller holds p.mu.
func (p *Pool) mustYield(w *waiter) bool {
	for _, x := range p.waiting {
		if x == w {
			return false
		}
		if x.root != w.root && p.loaded[x.root] == nil && time.Since(x.since) > p.o.Turn {
			return true
		}
	}
	return false
}

// least is how many pages a model must have: for its whole context, or for a usual one.
func least(c *model.Config) int64 { return int64(pagesOf(min(c.Context, 4096))) }

func pagesOf(tokens int) int { return (tokens + model.PageTokens - 1) / model.PageTokens }

// fit makes room for a model by dropping ones that nobody uses, the longest unused first,
// and says how many pages of keys and values it may have. The caller holds p.mu.
func (p *Pool) fit(c *model.Config, size int64) (pages int, bytes int64, ok bool) {
	page := int64(model.PageBytes(c))
	need := size + least(c)*page
	free := p.engine - p.used
	for _, e := range p.loaded { // order-free: a sum
		if e.refs == 0 {
			free += e.bytes
		}
	}
	if need > free {
		return 0, 0, false
	}
	dropped := false
	for p.engine-p.used < need {
		var oldest *Engine
		for _, e := range p.loaded { // order-free: uses have numbers of their own
			if e.refs == 0 && (oldest == nil || e.last < oldest.last) {
				oldest = e
			}
		}
		p.drop(oldest)
		dropped = true
	}
	if dropped {
		debug.FreeOSMemory() // before as much is taken anew
	}
	// Room for every stream to be of usual length, or for one of the whole context, but at
	// most half of what is left, so that the next model finds some.
	want := int64(max(pagesOf(c.Context), p.o.Streams*pagesOf(min(c.Context, 4096))))
	left := p.engine - p.used - size
	n := max(least(c), min(want, left/2/page))
	return int(n), size + n*page, true
}

// drop unloads a model that nobody uses. The caller holds p.mu.
func (p *Pool) drop(e *Engine) {
	delete(p.loaded, e.root)
	p.used -= e.bytes
	go e.close() // it computes nothing, so it ends at once
}

// Reserve takes memory for what is computed beside the answers, if there is some at once.
// give gives it back.
func (p *Pool) Reserve(bytes int64) (give func(), ok bool) {
	if !p.side.tryTake(bytes) {
		return nil, false
	}
	return func() { p.side.give(bytes) }, true
}

// best is the fastest kernel that this machine has; all give the same bits.
func best() *kernel.Kernel { return kernel.Best() }
