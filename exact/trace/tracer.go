package trace

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
)

// maxNodes is the most nodes of the tree that a Tracer keeps: 32 MiB of them.
const maxNodes = 1 << 20

// ErrModel says that a task is of another model.
var ErrModel = errors.New("the task is of another model")

// Tracer is one party's view of an answer: what it would have been, had the party computed
// it. It computes when it is asked. Not for concurrent use.
type Tracer struct {
	c       *referee.Case
	m       *model.Model
	prover  *modelfile.Prover
	runner  *model.Runner
	cache   *model.Cache
	threads int
	change  func(referee.Place, []byte) []byte // in tests: what a liar does to a tile

	level  int                         // of the lowest nodes that are kept
	tree   [][]referee.Digest          // those, and all levels above it
	wrong  int                         // first position where the result says something else, or -1
	blocks map[uint64][]referee.Digest // hashes of the tiles below some of them
}

// New makes a tracer of a result. file is the model's file, from which openings are made.
// The result may be anybody's: the tokens at its positions are taken from it, and
// everything else is computed.
func New(m *model.Model, file io.ReaderAt, size int64, t *claim.Task, r *claim.Result, threads int) (*Tracer, error) {
	if m.Root != t.Model {
		return nil, fmt.Errorf("trace an answer: %w: %x, not %x", ErrModel, t.Model[:8], m.Root[:8])
	}
	prover, err := modelfile.NewProver(file, size)
	if err != nil {
		return nil, fmt.Errorf("trace an answer: %w", err)
	}
	if prover.Root() != m.Root {
		return nil, fmt.Errorf("trace an answer: the model's file is not the loaded one: %w", ErrModel)
	}
	return newTracer(m, prover, t, r, threads)
}

func newTracer(m *model.Model, prover *modelfile.Prover, t *claim.Task, r *claim.Result, threads int) (*Tracer, error) {
	c, err := referee.NewCase(&modelfile.Head{Config: m.Config, Tokenizer: int64(len(m.Tokenizer))}, t, r)
	if err != nil {
		return nil, fmt.Errorf("trace an answer: %w", err)
	}
	x := &Tracer{c: c, m: m, prover: prover, threads: max(threads, 1), blocks: map[uint64][]referee.Digest{}}
	for n := c.Leaves(); n > maxNodes; n = (n + referee.Ways - 1) / referee.Ways {
		x.level++
	}
	positions := len(c.Positions()) - 1
	// All positions, and those of a pass that computes some of them again.
	x.cache = model.NewCache(m, positions/model.PageTokens+maxRows/model.PageTokens+3)
	x.runner = model.NewRunner(m, kernel.Best(), x.threads)
	return x, nil
}

// Close ends the tracer's goroutines.
func (t *Tracer) Close() { t.runner.Close() }

// Case is what the answer's trace looks like.
func (t *Tracer) Case() *referee.Case { return t.c }

// Head shows the beginning of the model's file, for modelfile.OpenHead.
func (t *Tracer) Head() ([]byte, error) { return t.prover.ProveHead() }

// Root is the root of the trace.
func (t *Tracer) Root(ctx context.Context) (referee.Digest, error) {
	if t.tree == nil {
		if err := t.replay(ctx); err != nil {
			return referee.Digest{}, fmt.Errorf("trace an answer: %w", err)
		}
	}
	return t.tree[len(t.tree)-1][0], nil
}

// Children are the nodes below a node.
func (t *Tracer) Children(ctx context.Context, n referee.Node) ([]referee.Digest, error) {
	count := t.c.Children(n)
	if count == 0 {
		return nil, fmt.Errorf("trace an answer: node %d of level %d has no children", n.Index, n.Level)
	}
	spans := make([]referee.Span, count)
	for i := range spans {
		spans[i].From, spans[i].To = t.c.Range(n.Child(i))
	}
	list, _, err := t.show(ctx, spans, nil)
	if err != nil {
		return nil, fmt.Errorf("trace an answer: %w", err)
	}
	return list, nil
}

// Open makes the opening of a tile, with which a referee decides about it.
func (t *Tracer) Open(ctx context.Context, leaf uint64) ([]byte, error) {
	w, err := t.c.Wanted(leaf)
	if err != nil {
		return nil, err
	}
	nodes, tiles, err := t.show(ctx, w.Nodes, w.Tiles)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", t.c.Describe(leaf), err)
	}
	var pieces []byte
	var proof []referee.Digest
	if len(w.Pieces) > 0 {
		if pieces, proof, err = t.prover.Prove(w.Pieces); err != nil {
			return nil, fmt.Errorf("open %s: %w", t.c.Describe(leaf), err)
		}
	}
	b := make([]byte, 0, w.Bytes())
	for _, tile := range tiles {
		b = append(b, tile...)
	}
	b = append(b, pieces...)
	for _, list := range [][]referee.Digest{nodes, proof} {
		for _, d := range list {
			b = append(b, d[:]...)
		}
	}
	return b, nil
}

// Contradiction finds the first position at which the computation gives something else than
// the result says, and shows it against the trace's root; found is false if there is none.
func (t *Tracer) Contradiction(ctx context.Context) (position int, opening []byte, found bool, err error) {
	if _, err := t.Root(ctx); err != nil {
		return 0, nil, false, err
	}
	if t.wrong < 0 {
		return 0, nil, false, nil
	}
	w, err := t.c.WantedOf(t.wrong)
	if err != nil {
		return 0, nil, false, err
	}
	nodes, tiles, err := t.show(ctx, w.Nodes, w.Tiles)
	if err != nil {
		return 0, nil, false, err
	}
	for _, d := range nodes {
		tiles[0] = append(tiles[0], d[:]...)
	}
	return t.wrong, tiles[0], true, nil
}

// show gives nodes over tiles, and tiles.
func (t *Tracer) show(ctx context.Context, spans []referee.Span, tiles []uint64) ([]referee.Digest, [][]byte, error) {
	if _, err := t.Root(ctx); err != nil {
		return nil, nil, err
	}
	size := uint64(1) << uint(4*t.level)
	blocks := map[uint64]bool{}
	for _, s := range spans {
		if !t.whole(s) {
			blocks[s.From/size] = true
		}
	}
	var kept [][]byte
	missing := len(tiles) > 0
	for b := range blocks {
		missing = missing || t.blocks[b] == nil
	}
	if missing {
		var err error
		if kept, err = t.load(ctx, blocks, tiles); err != nil {
			return nil, nil, err
		}
	}
	list := make([]referee.Digest, len(spans))
	for i, s := range spans {
		if t.whole(s) {
			list[i] = t.node(s)
			continue
		}
		b := s.From / size
		list[i] = merkle.Root(t.blocks[b][s.From-b*size : s.To-b*size])
	}
	return list, kept, nil
}

// whole says whether a node is made of nodes that are kept.
func (t *Tracer) whole(s referee.Span) bool {
	size := uint64(1) << uint(4*t.level)
	return s.From%size == 0 && (s.To%size == 0 || s.To == t.c.Leaves())
}

// node is a node that is made of nodes that are kept: of those of the highest level that
// the node begins and ends with.
func (t *Tracer) node(s referee.Span) referee.Digest {
	shift, k := uint(4*t.level), 0
	for k+1 < len(t.tree) && s.To-s.From >= 16<<shift {
		shift, k = shift+4, k+1
	}
	return merkle.Root(t.tree[k][s.From>>shift : (s.To+1<<shift-1)>>shift])
}
