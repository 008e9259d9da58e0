package referee

import "github.com/cantus-network/cantus/exact/modelfile"

// rule says what a tile follows from, and how. It is made for one tile from the case
// alone, so what must be opened is known before anything is.
type rule struct {
	tiles []run            // of earlier tiles
	spans []modelfile.Span // of the model's file
	ops   uint64           // about how many multiplications eval does
	eval  func(in *inputs) []byte
}

// run is some tiles that follow one another.
type run struct{ first, n uint64 }

// inputs are what was opened: for each run its tiles, one after the other, and each span.
type inputs struct{ tiles, spans [][]byte }

// maker puts a rule together. Its methods give the index of what they ask for in inputs.
type maker struct {
	*Case
	Place
	rule
	err error
}

// rule is the one of a tile, below Leaves.
func (c *Case) rule(leaf uint64) (*rule, error) {
	b := &maker{Case: c, Place: c.Locate(leaf)}
	switch b.Stage {
	case Residual, Final:
		b.residual()
	case AttnIn:
		b.norm(Residual, modelfile.AttnNorm)
	case FFNIn:
		b.norm(Middle, modelfile.FFNNorm)
	case OutputIn:
		b.norm(Final, modelfile.OutputNorm)
	case Hidden:
		b.hidden()
	case Query:
		b.product(modelfile.Query, AttnIn, c.conf.Queries(), c.conf.Dim)
	case Key:
		b.product(modelfile.Key, AttnIn, c.conf.KeyColumns(), c.conf.Dim)
	case Value:
		b.product(modelfile.Value, AttnIn, c.conf.KeyColumns(), c.conf.Dim)
	case Queries:
		b.queries()
	case KeyValue:
		b.keyValue()
	case Scores:
		b.scores()
	case Mix:
		b.mix()
	case Mixed:
		b.mixed()
	case MixIn:
		b.mixIn()
	case AttnOut:
		b.product(modelfile.AttnOut, MixIn, c.conf.Dim, c.conf.Queries())
	case Middle:
		b.middle()
	case Gate:
		b.product(modelfile.Gate, FFNIn, c.conf.Hidden, c.conf.Dim)
	case Up:
		b.product(modelfile.Up, FFNIn, c.conf.Hidden, c.conf.Dim)
	case Bits:
		b.bits()
	case Gated:
		b.gated()
	case Down:
		b.product(modelfile.Down, Gated, c.conf.Dim, c.conf.Hidden)
	case Logits:
		b.product(outputPart(c.conf), OutputIn, c.conf.Vocab, c.conf.Dim)
	case Peak:
		b.peak()
	case Likely:
		b.likely()
	case KeepK, KeepP:
		b.keep()
	case Best:
		b.best()
	case Drawn:
		b.drawn()
	}
	return &b.rule, b.err
}

// run asks for n tiles of this position and layer.
func (b *maker) run(s Stage, from, n int) int {
	return b.runAt(Place{b.Position, b.Layer, s, from}, n)
}

func (b *maker) runAt(l Place, n int) int {
	b.tiles = append(b.tiles, run{b.At(l), uint64(n)})
	return len(b.tiles) - 1
}

// tile asks for one tile of this position and layer.
func (b *maker) tile(s Stage, i int) int { return b.run(s, i, 1) }

// all asks for a whole stage of this position and layer.
func (b *maker) all(s Stage) int { return b.run(s, 0, b.Tiles(b.Position, s)) }

// last asks for the last tile of a stage of this position and layer.
func (b *maker) last(s Stage) int { return b.tile(s, b.Tiles(b.Position, s)-1) }

// before asks for the tile before this one in its stage, which must not be the first.
func (b *maker) before() int { return b.tile(b.Stage, b.Tile-1) }

// elements asks for those tiles of a stage with some elements each that have elements from
// to from+n; skip is how many they have before.
func (b *maker) elements(s Stage, from, n, each int) (i, skip int) {
	first := from / each
	return b.run(s, first, parts(from+n, each)-first), from - first*each
}

// span asks for a part of the model's file.
func (b *maker) span(s modelfile.Span, err error) int {
	if err != nil && b.err == nil {
		b.err = err
	}
	b.spans = append(b.spans, s)
	return len(b.spans) - 1
}

// inLayer is the layer as the file counts it: 0 for what is in none.
func (b *maker) inLayer() int {
	if b.Stage >= Final {
		return 0
	}
	return b.Layer
}
