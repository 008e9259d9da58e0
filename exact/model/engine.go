package model

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/exact"
)

// Errors of an Engine that a caller tells apart.
var (
	ErrBusy    = errors.New("too many requests are waiting: try again later")
	ErrClosed  = errors.New("the engine is closed")
	ErrRequest = errors.New("bad request")
)

// Request asks for a continuation.
type Request struct {
	Prompt    []uint32
	MaxTokens int
	Sampling  exact.Sampling
	Stop      []uint32 // tokens that end the answer; the one that did is its last
	Top       int      // how many of the likeliest tokens to tell with each
}

// MaxTop is the most of Request.Top.
const MaxTop = 20

// Token is one step of an answer.
type Token struct {
	ID      uint32
	LogProb int32 // natural logarithm of its probability at temperature 1, wide
	Top     []Alternative
}

// Alternative is a token that might have been.
type Alternative struct {
	ID      uint32
	LogProb int32
}

// Limits of an engine.
type Limits struct {
	Pages   int // of the cache
	Active  int // requests that are computed side by side
	Waiting int // requests that wait; more are refused with ErrBusy
	Rows    int // of one pass, at most MaxRows: a long prompt is taken in parts of it
}

// Engine computes concurrent requests in common passes: in each, every answer grows by a
// token and prompts fill what room is left. An answer depends on its request and on
// nothing else, in particular not on what is computed beside it.
type Engine struct {
	m      *Model
	runner *Runner
	cache  *Cache
	limits Limits
	done   chan struct{}

	mu      sync.Mutex
	wake    *sync.Cond
	waiting []*job
	closed  bool
	active  int
	free    int
}

// job is a request on its way. Only the engine's goroutine uses what is below the line.
type job struct {
	Request
	ctx context.Context

	mu    sync.Mutex
	out   []Token
	err   error
	ended bool
	news  chan struct{} // has one element when something changed

	seq     *Sequence
	sampler exact.Sampler
	todo    []uint32 // to be computed before the next token
	logits  []int32
	rows    int // in this pass
	given   int
}

// NewEngine begins an engine; it owns the runner from now on. Close ends it.
func NewEngine(m *Model, r *Runner, l Limits) *Engine {
	l.Rows = min(max(l.Rows, 1), MaxRows)
	l.Active = min(max(l.Active, 1), l.Rows)
	e := &Engine{m: m, runner: r, cache: NewCache(m, l.Pages), limits: l, done: make(chan struct{}), free: l.Pages}
	e.wake = sync.NewCond(&e.mu)
	go e.loop()
	return e
}

// Close ends all requests with ErrClosed and waits for the pass under way.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.wake.Signal()
	e.mu.Unlock()
	<-e.done
}

// Load says how many requests are computed and how many wait, and how many pages are free.
func (e *Engine) Load() (active, waiting, free int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active, len(e.waiting), e.free
}

// Check refuses a request that the engine could never answer.
func (e *Engine) Check(r *Request) error {
	n := len(r.Prompt) + r.MaxTokens
	switch {
	case len(r.Prompt) == 0:
		return fmt.Errorf("%w: the prompt has no token", ErrRequest)
	case r.MaxTokens < 1 || r.MaxTokens > e.m.Context:
		return fmt.Errorf("%w: %d tokens are wanted: must be from 1 to %d", ErrRequest, r.MaxTokens, e.m.Context)
	case n > e.m.Context:
		return fmt.Errorf("%w: %d tokens of prompt and %d wanted are more than the context of %d", ErrRequest, len(r.Prompt), r.MaxTokens, e.m.Context)
	case (n+PageTokens-1)/PageTokens > e.limits.Pages:
		return fmt.Errorf("%w: %d tokens are more than this machine keeps", ErrRequest, n)
	case r.Top < 0 || r.Top > MaxTop:
		return fmt.Errorf("%w: %d alternatives: at most %d", ErrRequest, r.Top, MaxTop)
	}
	for i, id := range r.Prompt {
		if int(id) >= e.m.Vocab {
			return fmt.Errorf("%w: token %d of the prompt is %d: the vocabulary has %d", ErrRequest, i, id, e.m.Vocab)
		}
	}
	if err := r.Sampling.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}

// Generate gives the tokens of an answer as they are computed. It ends after MaxTokens,
// after a stop token, or with an error; ending ctx, or the loop, ends the computation.
func (e *Engine) Generate(ctx context.Context, r Request) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		j := &job{Request: r, ctx: ctx, news: make(chan struct{}, 1)}
		if err := e.submit(j); err != nil {
			yield(Token{}, err)
			return
		}
		for n := 0; ; {
			j.mu.Lock()
			tokens, err, ended := j.out[n:], j.err, j.ended
			j.mu.Unlock()
			for _, t := range tokens {
				if !yield(t, nil) {
					return
				}
			}
			n += len(tokens)
			switch {
			case err != nil:
				yield(Token{}, err)
				return
			case ended:
				return
			}
			select {
			case <-j.news:
			case <-ctx.Done():
				yield(Token{}, context.Cause(ctx))
				return
			}
		}
	}
}

func (e *Engine) submit(j *job) error {
	if err := e.Check(&j.Request); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= e.limits.Waiting {
		// Those that nobody waits for any more make room.
		e.waiting = slices.DeleteFunc(e.waiting, func(j *job) bool { return j.ctx.Err() != nil })
	}
	switch {
	case e.closed:
		return ErrClosed
	case len(e.waiting) >= e.limits.Waiting:
		return ErrBusy
	}
	e.waiting = append(e.waiting, j)
	e.wake.Signal()
	return nil
}

func (j *job) tell(t *Token, err error, ended bool) {
	j.mu.Lock()
	if t != nil {
		j.out = append(j.out, *t)
	}
	j.err, j.ended = err, ended
	j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default:
	}
}

func (e *Engine) loop() {
	defer close(e.done)
	defer e.runner.Close()
	var active []*job
	for {
		var open bool
		if active, open = e.admit(active); !open {
			return
		}
		if len(active) > 0 {
			active = e.pass(active)
		}
	}
}

// admit takes what waits into the active requests, in order, while there is room. Without
// any work it sleeps. It reports false once the engine is closed.
func (e *Engine) admit(active []*job) ([]*job, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active, e.free = len(active), e.cache.Available()
	for !e.closed && len(active) == 0 && len(e.waiting) == 0 {
		e.wake.Wait()
	}
	if e.closed {
		for _, j := range append(active, e.waiting...) {
			j.tell(nil, ErrClosed, true)
		}
		e.waiting = nil
		return nil, false
	}
	for len(e.waiting) > 0 && len(active) < e.limits.Active {
		j := e.waiting[0]
		if j.ctx.Err() == nil {
			s := e.cache.NewSequence(j.Prompt)
			if err := s.Reserve(len(j.Prompt) + j.MaxTokens - s.Len()); err != nil {
				s.Release()
				break // room comes when another one ends: Check saw to that it suffices
			}
			j.seq, j.sampler = s, exact.Sampler{Sampling: j.Sampling}
			j.todo, j.logits = j.Prompt[s.Len():], make([]int32, e.m.Vocab)
			active = append(active, j)
		}
		e.waiting[0] = nil
		e.waiting = e.waiting[1:]
	}
	e.active, e.free = len(active), e.cache.Available()
	return active, true
}

// pass computes one pass and gives those that are not finished.
func (e *Engine) pass(active []*job) []*job {
	still := active[:0]
	for _, j := range active {
		if j.ctx.Err() != nil {
			j.seq.Release()
			continue
		}
		still = append(still, j)
	}
	active = still
	// One row for each, so that no answer waits for another's prompt; then what is left.
	spare := e.limits.Rows - len(active)
	var rows []Row
	for _, j := range active {
		j.rows = 1 + min(len(j.todo)-1, spare)
		spare -= j.rows - 1
		for _, id := range j.todo[:j.rows] {
			rows = append(rows, Row{Seq: j.seq, Token: id})
		}
		if j.todo = j.todo[j.rows:]; len(j.todo) == 0 {
			rows[len(rows)-1].Logits = j.logits
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := e.runner.Forward(rows); err != nil {
		for _, j := range active {
			j.seq.Release()
			j.tell(nil, err, true)
		}
		return nil
	}
	tokens := make([]Token, len(active))
	e.runner.t.each(len(active), 1, func(_, from, to int) {
		for i := from; i < to; i++ {
			if j := active[i]; len(j.todo) == 0 {
				tokens[i] = j.draw()
			}
		}
	})
	still = active[:0]
	for i, j := range active {
		if len(j.todo) > 0 {
			still = append(still, j)
			continue
		}
		j.given++
		ended := j.given == j.MaxTokens
		for _, s := range j.Stop {
			ended = ended || s == tokens[i].ID
		}
		if ended {
			j.seq.Release()
		} else {
			j.todo = []uint32{tokens[i].ID}
			still = append(still, j)
		}
		j.tell(&tokens[i], nil, ended)
	}
	clear(active[len(still):])
	return still
}

// draw takes the next token: the one at the position after those computed.
func (j *job) draw() Token {
	return tell(&j.sampler, j.logits, uint64(j.seq.Len()), j.Top, true)
}

// tell draws the token at a position and, with logs, says how likely it and others were.
func tell(s *exact.Sampler, logits []int32, position uint64, n int, logs bool) Token {
	id := s.Draw(logits, position)
	t := Token{ID: uint32(id)}
	if !logs {
		return t
	}
	top, log := exact.LogSum(logits)
	prob := func(id int) int32 { return exact.Sat32(int64(logits[id]) - int64(top) - int64(log)) }
	t.LogProb = prob(id)
	for _, id := range likeliest(logits, n) {
		t.Top = append(t.Top, Alternative{ID: uint32(id), LogProb: prob(id)})
	}
	return t
}

// likeliest are the n tokens with the highest logits, the lowest ids of equal ones.
func likeliest(logits []int32, n int) []int {
	var best []int
	if n == 0 {
		return nil
	}
	for id, l := range logits {
		if len(best) == n && l <= logits[best[n-1]] {
			continue
		}
		if len(best) < n {
			best = append(best, id)
		} else {
			best[n-1] = id
		}
		for i := len(best) - 1; i > 0 && logits[best[i]] > logits[best[i-1]]; i-- {
			best[i], best[i-1] = best[i-1], best[i]
		}
	}
	return best
}
