package referee

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// ErrOpening says that an opening does not show what it must. It says nothing about who is
// right: another opening may do better.
var ErrOpening = errors.New("opening does not show what it must")

// Span is tiles from From up to To.
type Span struct{ From, To uint64 }

// Wanted is what an opening consists of, one after the other without anything between, and
// each in ascending order: the tiles, the pieces of the model's file, the nodes over the
// trace's other tiles as merkle.Missing asks for them, and those over the file's other
// pieces.
type Wanted struct {
	Tiles      []uint64
	Pieces     []uint64
	Nodes      []Span
	TileBytes  int
	PieceBytes int
	PieceNodes int
}

// Bytes is how long the opening is.
func (w *Wanted) Bytes() int {
	return w.TileBytes + w.PieceBytes + len(Digest{})*(len(w.Nodes)+w.PieceNodes)
}

// Cost is what a ruling takes, known before anything is opened.
type Cost struct {
	Bytes  int    // of the opening
	Hashes uint64 // blocks of 64 bytes that are hashed
	Ops    uint64 // about how many multiplications
}

// Wanted says what the opening of a tile consists of: what the tile follows from.
func (c *Case) Wanted(leaf uint64) (*Wanted, error) {
	if leaf >= c.Leaves() {
		return nil, fmt.Errorf("%w: tile %d of %d", ErrOpening, leaf, c.Leaves())
	}
	r, err := c.rule(leaf)
	if err != nil {
		return nil, err
	}
	return c.wanted(leaf, r), nil
}

func (c *Case) wanted(leaf uint64, r *rule) *Wanted {
	w := &Wanted{}
	for _, run := range r.tiles {
		for i := range run.n {
			w.Tiles = append(w.Tiles, run.first+i)
		}
	}
	slices.Sort(w.Tiles)
	w.Tiles = slices.Compact(w.Tiles)
	for _, i := range w.Tiles {
		w.TileBytes += c.TileBytes(c.Locate(i))
	}
	agreed(c.Levels(), leaf, func(_, _ int, from, to uint64) {
		if touches(w.Tiles, from, to) {
			merkle.Missing(from, to, w.Tiles, func(from, to uint64) { w.Nodes = append(w.Nodes, Span{from, to}) })
		}
	})
	if len(r.spans) > 0 {
		w.Pieces = modelfile.Pieces(r.spans)
		w.PieceBytes, w.PieceNodes = modelfile.Proved(c.layout.Size(), w.Pieces)
	}
	return w
}

// agreed calls f for every node that the parties agreed on above and before a tile, from
// left to right: child i of the node at level k+1.
func agreed(levels int, leaf uint64, f func(level, i int, from, to uint64)) {
	for k := levels - 1; k >= 0; k-- {
		shift := uint(waysBits * k)
		parent := leaf >> shift >> waysBits << waysBits
		for i := range leaf>>shift - parent {
			f(k, int(i), (parent+i)<<shift, (parent+i+1)<<shift)
		}
	}
}

func touches(tiles []uint64, from, to uint64) bool {
	i, _ := slices.BinarySearch(tiles, from)
	return i < len(tiles) && tiles[i] < to
}

// Cost is what Decide takes for a tile.
func (c *Case) Cost(leaf uint64) (Cost, error) {
	if leaf >= c.Leaves() {
		return Cost{}, fmt.Errorf("%w: tile %d of %d", ErrOpening, leaf, c.Leaves())
	}
	r, err := c.rule(leaf)
	if err != nil {
		return Cost{}, err
	}
	w := c.wanted(leaf, r)
	blocks := func(n, of int) uint64 { return uint64(n/64 + 2*of) }
	return Cost{
		Bytes:  w.Bytes(),
		Hashes: blocks(w.TileBytes, 2*len(w.Tiles)+len(w.Nodes)) + blocks(w.PieceBytes, 2*len(w.Pieces)+w.PieceNodes),
		Ops:    r.ops,
	}, nil
}

// Ruling says whose tile is the true one.
type Ruling struct {
	True               Digest // hash of the tile as it follows from what was opened
	Worker, Challenger bool   // whether that is what they said
}

// Decide computes a tile that two parties differ on. agreed holds, for each level from the
// root's children down to the tiles, the children before the first one that they differed
// on. worker and challenger are their hashes of the tile.
//
// The worker must besides say the same as its result where a tile holds what the result
// says. If neither is right the worker's claim is false all the same.
func (c *Case) Decide(leaf uint64, agreed [][]Digest, worker, challenger Digest, opening []byte) (Ruling, error) {
	if leaf >= c.Leaves() {
		return Ruling{}, fmt.Errorf("%w: tile %d of %d", ErrOpening, leaf, c.Leaves())
	}
	r, err := c.rule(leaf)
	if err != nil {
		return Ruling{}, err
	}
	in, err := c.open(leaf, r, agreed, opening)
	if err != nil {
		return Ruling{}, fmt.Errorf("%s: %w", c.Describe(leaf), err)
	}
	rule := Ruling{True: merkle.Leaf(r.eval(in))}
	rule.Worker, rule.Challenger = worker == rule.True, challenger == rule.True
	if at, tile, ok := c.Claimed(c.Locate(leaf).Position); ok && at == leaf && worker != merkle.Leaf(tile) {
		rule.Worker = false
	}
	return rule, nil
}

// open checks an opening and takes it apart.
func (c *Case) open(leaf uint64, r *rule, nodes [][]Digest, opening []byte) (*inputs, error) {
	w := c.wanted(leaf, r)
	if len(opening) != w.Bytes() {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrOpening, len(opening), w.Bytes())
	}
	if len(nodes) != c.Levels() {
		return nil, fmt.Errorf("%w: agreed nodes of %d levels, not %d", ErrOpening, len(nodes), c.Levels())
	}
	for i, list := range nodes {
		if digit := leaf >> uint(waysBits*(len(nodes)-1-i)) % Ways; uint64(len(list)) != digit {
			return nil, fmt.Errorf("%w: %d agreed nodes at level %d, not %d", ErrOpening, len(list), len(nodes)-1-i, digit)
		}
	}
	rest := reader(opening)
	tiles, pieces := rest.next(w.TileBytes), rest.next(w.PieceBytes)
	shown := modelfile.Digests(rest.next(len(w.Nodes) * len(Digest{})))
	if len(w.Pieces) > 0 {
		if err := modelfile.Check(c.task.Model, c.layout.Size(), w.Pieces, pieces, modelfile.Digests(rest)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOpening, err)
		}
	}
	// Where each tile lies.
	offsets := make([]int, len(w.Tiles)+1)
	for i, t := range w.Tiles {
		offsets[i+1] = offsets[i] + c.TileBytes(c.Locate(t))
	}
	next := 0
	hash := func(uint64) Digest {
		d := merkle.Leaf(tiles[offsets[next]:offsets[next+1]])
		next++
		return d
	}
	missing := func() Digest {
		d := shown[0]
		shown = shown[1:]
		return d
	}
	var wrong error
	agreed(c.Levels(), leaf, func(level, i int, from, to uint64) {
		if touches(w.Tiles, from, to) && merkle.Join(from, to, w.Tiles, hash, missing) != nodes[len(nodes)-1-level][i] {
			wrong = fmt.Errorf("%w: tiles %d to %d are not the ones that both parties agreed on", ErrOpening, from, to-1)
		}
	})
	if wrong != nil {
		return nil, wrong
	}
	in := &inputs{}
	for _, run := range r.tiles {
		i, _ := slices.BinarySearch(w.Tiles, run.first)
		in.tiles = append(in.tiles, tiles[offsets[i]:offsets[i+int(run.n)]])
	}
	if len(w.Pieces) > 0 {
		in.spans = modelfile.Cut(w.Pieces, pieces, r.spans)
	}
	return in, nil
}

// WantedOf says what Contradicts wants opened at a position: one tile, and nodes up to the
// root.
func (c *Case) WantedOf(position int) (*Wanted, error) {
	leaf, tile, ok := c.Claimed(position)
	if !ok {
		return nil, fmt.Errorf("%w: the result says nothing about position %d", ErrOpening, position)
	}
	w := &Wanted{Tiles: []uint64{leaf}, TileBytes: len(tile)}
	merkle.Missing(0, c.Leaves(), w.Tiles, func(from, to uint64) { w.Nodes = append(w.Nodes, Span{from, to}) })
	return w, nil
}

// Contradicts gives nil if the trace with this root has at a position not what the result
// says, as the opening shows: then whoever claims both is refuted by that alone.
func (c *Case) Contradicts(root Digest, position int, opening []byte) error {
	w, err := c.WantedOf(position)
	if err != nil {
		return err
	}
	if len(opening) != w.Bytes() {
		return fmt.Errorf("%w: %d bytes, not %d", ErrOpening, len(opening), w.Bytes())
	}
	tile, nodes := opening[:w.TileBytes], modelfile.Digests(opening[w.TileBytes:])
	top := merkle.Join(0, c.Leaves(), w.Tiles, func(uint64) Digest { return merkle.Leaf(tile) }, func() Digest {
		d := nodes[0]
		nodes = nodes[1:]
		return d
	})
	if top != root {
		return fmt.Errorf("%w: position %d of another trace", ErrOpening, position)
	}
	if _, claimed, _ := c.Claimed(position); bytes.Equal(tile, claimed) {
		return fmt.Errorf("%w: at position %d the trace has what the result says", ErrOpening, position)
	}
	return nil
}
