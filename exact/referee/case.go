package referee

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// Digest is a SHA-256 hash.
type Digest = merkle.Digest

// Ways is how many children a node has at most: what each party shows in a round.
const Ways = 16

// waysBits is the logarithm of Ways.
const waysBits = 4

var (
	// ErrFalse says that a result can't be true, whatever its trace is.
	ErrFalse = errors.New("the result can't be one of its task and model")
	// ErrNothing says that nothing was computed that could be in dispute.
	ErrNothing = errors.New("an answer without tokens has nothing to dispute")
	// ErrTooLarge says that some tile could not be opened within MaxOpening.
	ErrTooLarge = errors.New("the model is too large for disputes")
)

// Case is an answer in dispute. It does not change, and is made again from its parts in no
// time.
type Case struct {
	conf   *modelfile.Config
	layout *modelfile.Layout
	task   *claim.Task
	result *claim.Result
	fixed  uint64   // tiles of a layer but those of Scores and Mix
	starts []uint64 // first tile of each position, and the number of all tiles
}

// NewCase is the case of a task and its result. head is that of the task's model, opened
// against its root.
func NewCase(head *modelfile.Head, t *claim.Task, r *claim.Result) (*Case, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalse, err)
	}
	m := &head.Config
	layout, err := head.Layout()
	if err != nil {
		return nil, err
	}
	if err := t.Fits(m.Vocab, m.Context); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalse, err)
	}
	if err := r.Check(t); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalse, err)
	}
	if t.Embed && len(r.Embedding) != m.Dim {
		return nil, fmt.Errorf("%w: an embedding of %d numbers, and the model has %d", ErrFalse, len(r.Embedding), m.Dim)
	}
	for i, id := range r.Output {
		if int(id) >= m.Vocab {
			return nil, fmt.Errorf("%w: token %d of the answer is %d, and the model's vocabulary has %d", ErrFalse, i, id, m.Vocab)
		}
	}
	c := &Case{conf: m, layout: layout, task: t, result: r}
	n := c.positions()
	if n < len(t.Prompt) {
		return nil, ErrNothing
	}
	c.fixed = c.sum(0, 0, Final) - uint64(2*m.KVHeads*c.pages(0))
	c.starts = make([]uint64, n+1)
	plain, drawing := c.sum(0, Final, stages), c.sum(n-1, Final, stages)
	for p := range n {
		c.starts[p+1] = c.starts[p] + uint64(m.Layers)*c.layer(p)
		if p == n-1 || c.draws(p) {
			c.starts[p+1] += drawing
		} else {
			c.starts[p+1] += plain
		}
	}
	if err := disputable(m, c.Leaves()); err != nil {
		return nil, err
	}
	return c, nil
}

// positions is how many positions are computed: all but the last token's.
func (c *Case) positions() int {
	if c.task.Embed {
		return len(c.task.Prompt)
	}
	return len(c.task.Prompt) + len(c.result.Output) - 1
}

// Token is the one at a position: of the prompt, then of the answer.
func (c *Case) Token(p int) uint32 {
	if n := len(c.task.Prompt); p >= n {
		return c.result.Output[p-n]
	}
	return c.task.Prompt[p]
}

// Leaves is how many tiles the trace has.
func (c *Case) Leaves() uint64 { return c.starts[len(c.starts)-1] }

// Node is one of the nodes that parties show each other: at level 0 the hash of a tile, at
// level k the root over the tiles from Index·16^k on, 16^k of them or as many as there are.
type Node struct {
	Level int
	Index uint64
}

// Levels is the root's level, and how many rounds lead to a tile.
func (c *Case) Levels() int {
	k := 0
	for n := c.Leaves(); n > 1; n = (n + Ways - 1) / Ways {
		k++
	}
	return k
}

// Root is the node that commits to the whole trace.
func (c *Case) Root() Node { return Node{Level: c.Levels()} }

// Range is which tiles a node covers.
func (c *Case) Range(n Node) (from, to uint64) {
	shift := uint(waysBits * n.Level)
	return n.Index << shift, min((n.Index+1)<<shift, c.Leaves())
}

// Children is how many children a node has; 0 for a tile, and for what is no node.
func (c *Case) Children(n Node) int {
	if n.Level < 1 || n.Level > c.Levels() || n.Index > c.Leaves()>>uint(waysBits*n.Level) {
		return 0
	}
	from, to := c.Range(n)
	if from >= to {
		return 0
	}
	each := uint64(1) << uint(waysBits*(n.Level-1))
	return int((to - from + each - 1) / each)
}

// Child is a node's child i.
func (n Node) Child(i int) Node { return Node{n.Level - 1, n.Index<<waysBits + uint64(i)} }

// Parent is the node over children, from 1 to Ways of them: what a party that shows
// children must have said before.
func Parent(children []Digest) Digest { return merkle.Root(children) }

// Describe tells in words what a tile is of.
func (c *Case) Describe(leaf uint64) string {
	if leaf >= c.Leaves() {
		return fmt.Sprintf("tile %d of %d", leaf, c.Leaves())
	}
	return c.Locate(leaf).String()
}
