package referee

import (
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/exact/modelfile"
)

// Sizes that the trace is cut into. All are part of its definition.
const (
	// Page is how many positions share a tile of scores: those from a multiple of it.
	Page = 32
	// GateChunk and LogitChunk are how many elements of a feed-forward part and of logits
	// a tile covers that is computed of more than one matrix, or of logits.
	GateChunk  = 1024
	LogitChunk = 2048
	// tileWeights is how many weights a tile of a product may need, if it has more than
	// one row; maxRows is how many rows it has at most.
	tileWeights = 32 << 10
	maxRows     = 64
)

// Stage names what a tile holds.
type Stage uint8

// The stages, in the order of the trace: first those of each layer, then those after the
// last one. W is a list of wide values, B a block with its exponent.
const (
	Residual Stage = iota // W: the token's embedding, or Middle and Down of the layer before
	AttnIn                // B: Norm of Residual
	Query                 // W, some rows a tile: product of AttnIn, before its bias
	Key                   // likewise
	Value                 // likewise
	Queries               // B, a tile for each head: with bias, norm and rotation
	KeyValue              // two B, a tile for each key head
	Scores                // a tile for each key head and page: scores of its query heads
	Mix                   // a tile for each key head and page: running sums of weights, and of weight times value
	Mixed                 // W, a tile for each key head: what its query heads saw
	MixIn                 // B: all of Mixed
	AttnOut               // W, some rows a tile: product of MixIn
	Middle                // W: Residual and AttnOut
	FFNIn                 // B: Norm of Middle
	Gate                  // W, some rows a tile: product of FFNIn
	Up                    // likewise
	Bits                  // a tile for each GateChunk: running number of bits of what Gated quantises
	Gated                 // a tile for each GateChunk: Gate and Up through the gate, quantised
	Down                  // W, some rows a tile: product of Gated

	Final    // W: Middle and Down of the last layer
	Hidden   // W: Norm of Final: the embedding, if one is wanted
	OutputIn // B: Norm of Final
	Logits   // W, some rows a tile: product of OutputIn
	Peak     // a tile for each LogitChunk: running highest logit
	Likely   // likewise: running sum of probabilities, and the likeliest tokens
	KeepK    // ten times a tile for each LogitChunk: which logits top-k leaves
	KeepP    // likewise: which top-p leaves
	Best     // a tile for each LogitChunk: running highest logit with noise
	Drawn    // the token, and the logarithms of probabilities

	stages
)

var stageNames = [stages]string{"residual", "attn_in", "query", "key", "value", "queries", "key_value", "scores", "mix", "mixed",
	"mix_in", "attn_out", "middle", "ffn_in", "gate", "up", "bits", "gated", "down",
	"final", "hidden", "output_in", "logits", "peak", "likely", "keep_k", "keep_p", "best", "drawn"}

// String is the stage's name.
func (s Stage) String() string {
	if s < stages {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// Stages is how many there are.
const Stages = stages

// Place says what a tile is of.
type Place struct {
	Position int
	Layer    int // the number of layers for what comes after the last one
	Stage    Stage
	Tile     int // within the stage
}

// String is how messages tell a place.
func (p Place) String() string {
	return fmt.Sprintf("position %d, layer %d, %s, tile %d", p.Position, p.Layer, p.Stage, p.Tile)
}

// RowsOf is how many rows of a matrix with that many columns a tile of its product has: as
// many as 32 KiB of weights hold, a power of two up to 64, but one at least.
func RowsOf(columns int) int {
	n := maxRows
	for n > 1 && n*columns > tileWeights {
		n /= 2
	}
	return n
}

func parts(n, of int) int { return (n + of - 1) / of }

// pages is how many pages the query at position p sees.
func (c *Case) pages(p int) int { return p/Page - c.conf.First(p)/Page + 1 }

// draws says whether a token is drawn from what is computed at position p.
func (c *Case) draws(p int) bool { return !c.task.Embed && p >= len(c.task.Prompt)-1 }

// chunks is how many tiles of LogitChunk the logits have.
func (c *Case) chunks() int { return parts(c.conf.Vocab, LogitChunk) }

// Tiles is how many tiles a stage has at a position, in one layer.
func (c *Case) Tiles(p int, s Stage) int {
	m := c.conf
	switch s {
	case Residual, AttnIn, MixIn, Middle, FFNIn, Final:
		return 1
	case Query:
		return parts(m.Queries(), RowsOf(m.Dim))
	case Key, Value:
		return parts(m.KeyColumns(), RowsOf(m.Dim))
	case Queries:
		return m.Heads
	case KeyValue, Mixed:
		return m.KVHeads
	case Scores, Mix:
		return m.KVHeads * c.pages(p)
	case AttnOut:
		return parts(m.Dim, RowsOf(m.Queries()))
	case Gate, Up:
		return parts(m.Hidden, RowsOf(m.Dim))
	case Bits, Gated:
		return parts(m.Hidden, GateChunk)
	case Down:
		return parts(m.Dim, RowsOf(m.Hidden))
	case Hidden:
		return one(c.task.Embed && p == c.positions()-1)
	case OutputIn, Drawn:
		return one(c.draws(p))
	case Logits:
		return one(c.draws(p)) * parts(m.Vocab, RowsOf(m.Dim))
	case Peak:
		return one(c.draws(p)) * c.chunks()
	case Likely:
		return one(c.draws(p) && c.task.LogProbs) * c.chunks()
	case KeepK:
		return one(c.draws(p) && c.byK()) * Passes * c.chunks()
	case KeepP:
		return one(c.draws(p) && c.byP()) * Passes * c.chunks()
	case Best:
		return one(c.draws(p) && c.task.Sampling.Temperature != 0) * c.chunks()
	}
	return 0
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sum is how many tiles stages from a up to b have, in one layer.
func (c *Case) sum(p int, a, b Stage) uint64 {
	n := 0
	for s := a; s < b; s++ {
		n += c.Tiles(p, s)
	}
	return uint64(n)
}

// layer is how many tiles a layer has at a position: sum of all its stages.
func (c *Case) layer(p int) uint64 { return c.fixed + uint64(2*c.conf.KVHeads*c.pages(p)) }

// At is the index of a tile. The place must exist.
func (c *Case) At(l Place) uint64 {
	i := c.starts[l.Position] + uint64(l.Tile)
	if l.Stage >= Final {
		return i + uint64(c.conf.Layers)*c.layer(l.Position) + c.sum(l.Position, Final, l.Stage)
	}
	return i + uint64(l.Layer)*c.layer(l.Position) + c.sum(l.Position, 0, l.Stage)
}

// Locate says what tile i, below Leaves, is of.
func (c *Case) Locate(i uint64) Place {
	p, exact := slices.BinarySearch(c.starts, i)
	if !exact {
		p--
	}
	rest := i - c.starts[p]
	each := c.layer(p)
	l := Place{Position: p, Layer: c.conf.Layers, Stage: Final}
	if rest < each*uint64(c.conf.Layers) {
		l.Layer, l.Stage = int(rest/each), 0
		rest %= each
	} else {
		rest -= each * uint64(c.conf.Layers)
	}
	for n := uint64(c.Tiles(p, l.Stage)); rest >= n; n = uint64(c.Tiles(p, l.Stage)) {
		rest -= n
		l.Stage++
	}
	l.Tile = int(rest)
	return l
}

// Positions are the indices of the first tile of each position, and Leaves at the end.
func (c *Case) Positions() []uint64 { return c.starts }

// rows is which rows of a product a tile has.
func rows(tile, of, columns int) (from, n int) {
	each := RowsOf(columns)
	from = tile * each
	return from, min(each, of-from)
}

// seen is which positions of tile i of Scores or Mix at position p are seen.
func (c *Case) seen(p, i int) (from, to int) {
	page := c.conf.First(p)/Page + i
	return max(page*Page, c.conf.First(p)), min((page+1)*Page, p+1)
}

// TileBytes is how long a tile is.
func (c *Case) TileBytes(l Place) int {
	m := c.conf
	switch l.Stage {
	case Residual, Middle, Final, Hidden:
		return 4 * m.Dim
	case AttnIn, FFNIn, OutputIn:
		return 4 + 2*m.Dim
	case Query:
		return rowBytes(l.Tile, m.Queries(), m.Dim)
	case Key, Value:
		return rowBytes(l.Tile, m.KeyColumns(), m.Dim)
	case Queries:
		return 4 + 2*m.HeadDim
	case KeyValue:
		return 8 + 4*m.HeadDim
	case Scores:
		from, to := c.seen(l.Position, l.Tile%c.pages(l.Position))
		return 4 * (1 + m.Group() + (to-from)*(1+m.Group()))
	case Mix:
		return 8 * m.Group() * (1 + m.HeadDim)
	case Mixed:
		return 4 * m.Group() * m.HeadDim
	case MixIn:
		return 4 + 2*m.Queries()
	case AttnOut:
		return rowBytes(l.Tile, m.Dim, m.Queries())
	case Gate, Up:
		return rowBytes(l.Tile, m.Hidden, m.Dim)
	case Bits:
		return 4
	case Gated:
		return 2 * min(GateChunk, m.Hidden-l.Tile*GateChunk)
	case Down:
		return rowBytes(l.Tile, m.Dim, m.Hidden)
	case Logits:
		return rowBytes(l.Tile, m.Vocab, m.Dim)
	case Peak:
		return 8
	case Likely:
		return 8 + 8*int(c.task.Top)
	case KeepK, KeepP:
		return keepBytes
	case Best:
		return 16
	case Drawn:
		return 4 + one(c.task.LogProbs)*(4+8*int(c.task.Top))
	}
	return 0
}

func rowBytes(tile, of, columns int) int {
	_, n := rows(tile, of, columns)
	return 4 * n
}

// outputPart is the matrix that logits are a product of.
func outputPart(m *modelfile.Config) modelfile.Part {
	if m.Tied {
		return modelfile.Embedding
	}
	return modelfile.Output
}
