package engines

import (
	"context"
	"iter"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// Engine is a loaded model.
type Engine struct {
	pool  *Pool
	root  artifact.Digest
	bytes int64
	ready chan struct{} // closed once it is loaded, or can't be

	// pool.mu guards these.
	refs int
	last uint64

	// Not changed once ready.
	err    error
	m      *model.Model
	engine *model.Engine

	audits, embeds chan struct{} // hold an element while one is computed
}

// take counts a use. The caller holds pool.mu.
func (e *Engine) take() {
	e.refs++
	e.pool.clock++
	e.last = e.pool.clock
}

// Release says that the caller is done with the model.
func (e *Engine) Release() {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.refs--; e.refs > 0 {
		return
	}
	if e.err != nil && p.loaded[e.root] == e {
		delete(p.loaded, e.root) // the next one tries again
		p.used -= e.bytes
	}
	p.tell()
}

func (e *Engine) load(pages int) {
	defer e.Release()
	defer close(e.ready)
	p := e.pool
	if e.m, e.err = p.models.Load(e.root); e.err != nil {
		return
	}
	e.engine = model.NewEngine(e.m, model.NewRunner(e.m, best(), p.o.Threads), model.Limits{
		Pages: pages, Active: p.o.Streams, Waiting: p.o.Waiting, Rows: p.o.Rows,
	})
}

func (e *Engine) close() {
	if e.engine != nil {
		e.engine.Close()
	}
}

// Model is the loaded model.
func (e *Engine) Model() *model.Model { return e.m }

// Generate gives the tokens of a task's answer as they are computed, beside other answers.
func (e *Engine) Generate(ctx context.Context, t *claim.Task) iter.Seq2[model.Token, error] {
	return e.engine.Generate(ctx, model.Request{
		Prompt: t.Prompt, MaxTokens: int(t.MaxTokens), Sampling: t.Sampling, Stop: t.Stop, Top: int(t.Top),
	})
}

// Embed computes an embedding.
func (e *Engine) Embed(ctx context.Context, t *claim.Task) (out []int32, err error) {
	err = e.beside(ctx, e.embeds, e.pool.o.Threads, (len(t.Prompt)/model.PageTokens)+1, func(on answer.Machine) error {
		out, err = model.Embed(ctx, on.Runner, on.Cache, t.Prompt, e.pool.o.Rows)
		return err
	})
	return out, err
}

// Recompute computes an answer again, as answer.Recompute.
func (e *Engine) Recompute(ctx context.Context, t *claim.Task, r *claim.Result) error {
	threads := e.pool.o.Threads
	if e.pool.Use().Active > 0 {
		threads = max(1, threads/2)
	}
	return e.beside(ctx, e.audits, threads, answer.Pages(t, r), func(on answer.Machine) error {
		return answer.Recompute(ctx, e.m, on, t, r)
	})
}

// beside computes something that is no answer, one at a time of its sort, with memory that
// no answer has.
func (e *Engine) beside(ctx context.Context, turn chan struct{}, threads, pages int, f func(answer.Machine) error) error {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	bytes := int64(pages) * int64(model.PageBytes(&e.m.Config))
	if err := e.pool.side.take(ctx, bytes); err != nil {
		return err
	}
	defer e.pool.side.give(bytes)
	r := model.NewRunner(e.m, best(), threads)
	defer r.Close()
	return f(answer.Machine{Runner: r, Cache: model.NewCache(e.m, pages)})
}
