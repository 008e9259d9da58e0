package infer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/exact/trace"
	"github.com/cantus-network/cantus/kinds/infer/engines"
	"github.com/cantus-network/cantus/work"
)

var (
	_ work.Disputer = (*Kind)(nil)
	_ work.Trace    = (*disputed)(nil)
	_ work.Trace    = (*absurd)(nil)
)

// Trace implements work.Disputer. It takes a loaded model, and as much memory as an audit of
// the answer, until it is closed.
func (k *Kind) Trace(ctx context.Context, t work.Task, r work.Result) (work.Trace, error) {
	c, err := claim.DecodeTask(t.Body)
	if err != nil {
		return nil, fmt.Errorf("trace an answer: %w", err)
	}
	if k.pool == nil {
		return nil, errNoModels
	}
	file, size, err := k.o.Models.File(artifact.Digest(c.Model))
	if err != nil {
		return nil, fmt.Errorf("trace an answer of model %x: this machine must hold the model to dispute what was done with it: %w", c.Model, err)
	}
	res, err := claim.DecodeResult(r.Body)
	if err != nil {
		return &absurd{file, size}, nil
	}
	out, err := k.trace(ctx, c, res, file, size)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("trace an answer of model %x: %w", c.Model, err)
	}
	return out, nil
}

// trace makes the trace of an answer, which closes the file from then on.
func (k *Kind) trace(ctx context.Context, t *claim.Task, r *claim.Result, file ModelFile, size int64) (work.Trace, error) {
	e, err := k.pool.Acquire(ctx, artifact.Digest(t.Model))
	if err != nil {
		return nil, err
	}
	m := e.Model()
	c, err := referee.NewCase(&modelfile.Head{Config: m.Config, Tokenizer: int64(len(m.Tokenizer))}, t, r)
	if errors.Is(err, referee.ErrFalse) {
		e.Release()
		return &absurd{file, size}, nil
	}
	if err != nil {
		e.Release()
		return nil, err
	}
	give, ok := k.pool.Reserve(traceBytes(m, c))
	if !ok {
		e.Release()
		return nil, work.ErrNoRoom
	}
	d := &disputed{file: file, engine: e, give: give}
	if d.Tracer, err = trace.New(m, file, size, t, r, k.o.Engines.Threads); err != nil {
		give()
		e.Release()
		return nil, err
	}
	return d, nil
}

const (
	nodeBytes  = 34      // of each node that is kept, with those above it
	nodesKept  = 1 << 20 // at most
	passBytes  = 128 << 20
	traceExtra = 1 << 20
)

// traceBytes is about how much memory a trace takes: keys and values, the tree, and the hashes
// of the positions that are computed at a time.
func traceBytes(m *model.Model, c *referee.Case) int64 {
	leaves := int64(c.Leaves())
	pages := int64(pagesOf(len(c.Positions()))) + 4
	return pages*int64(model.PageBytes(&m.Config)) + nodeBytes*min(leaves, nodesKept) + min(32*leaves, passBytes) + traceExtra
}

func pagesOf(positions int) int { return positions/model.PageTokens + 1 }

// disputed is the trace of an answer, with what it holds until it is closed.
type disputed struct {
	*trace.Tracer
	file   ModelFile
	engine *engines.Engine
	give   func()
}

// Head implements work.Trace.
func (d *disputed) Head(context.Context) ([]byte, error) { return d.Tracer.Head() }

// Root implements work.Trace.
func (d *disputed) Root(ctx context.Context) (artifact.Digest, error) {
	root, err := d.Tracer.Root(ctx)
	return artifact.Digest(root), err
}

// Children implements work.Trace.
func (d *disputed) Children(ctx context.Context, level uint32, node uint64) ([]artifact.Digest, error) {
	list, err := d.Tracer.Children(ctx, referee.Node{Level: int(level), Index: node})
	out := make([]artifact.Digest, len(list))
	for i, h := range list {
		out[i] = artifact.Digest(h)
	}
	return out, err
}

// Contradiction implements work.Trace.
func (d *disputed) Contradiction(ctx context.Context) (uint64, []byte, bool, error) {
	position, opening, found, err := d.Tracer.Contradiction(ctx)
	return uint64(position), opening, found, err
}

// Close implements work.Trace.
func (d *disputed) Close() {
	d.Tracer.Close()
	d.give()
	d.engine.Release()
	_ = d.file.Close() // it was only read
}

// absurd stands for the trace of a result that is false at sight.
type absurd struct {
	file ModelFile
	size int64
}

// Head implements work.Trace.
func (a *absurd) Head(context.Context) ([]byte, error) { return modelfile.ProveHead(a.file, a.size) }

// Root implements work.Trace.
func (a *absurd) Root(context.Context) (artifact.Digest, error) {
	return artifact.Digest{}, work.ErrNoTrace
}

// Children implements work.Trace.
func (a *absurd) Children(context.Context, uint32, uint64) ([]artifact.Digest, error) {
	return nil, work.ErrNoTrace
}

// Open implements work.Trace.
func (a *absurd) Open(context.Context, uint64) ([]byte, error) { return nil, work.ErrNoTrace }

// Contradiction implements work.Trace.
func (a *absurd) Contradiction(context.Context) (uint64, []byte, bool, error) {
	return 0, nil, false, work.ErrNoTrace
}

// Close implements work.Trace.
func (a *absurd) Close() { _ = a.file.Close() }
