package referee

import (
	"math/bits"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// residual is what a layer begins with, and what comes after the last one.
func (b *maker) residual() {
	m := b.conf
	if b.Layer == 0 {
		w, s, err := b.layout.Rows(modelfile.Embedding, 0, int(b.Token(b.Position)), 1)
		b.span(w, err)
		b.span(s, err)
		b.ops = uint64(m.Dim)
		b.eval = func(in *inputs) []byte {
			x := make([]int32, m.Dim)
			scale := reader(in.spans[1])
			exact.Embed(x, weights(in.spans[0]), exact.Scale(scale.i32()))
			return Wide(nil, x)
		}
		return
	}
	before := Place{b.Position, b.Layer - 1, Middle, 0}
	b.runAt(before, 1)
	before.Stage = Down
	b.runAt(before, b.Tiles(b.Position, Down))
	b.add()
}

func (b *maker) middle() {
	b.all(Residual)
	b.all(AttnOut)
	b.add()
}

// add is the sum of the two runs that were asked for.
func (b *maker) add() {
	b.ops = uint64(b.conf.Dim)
	b.eval = func(in *inputs) []byte {
		x := wide(in.tiles[0])
		exact.Accumulate(x, wide(in.tiles[1]))
		return Wide(nil, x)
	}
}

// norm is a residual normalised and quantised.
func (b *maker) norm(from Stage, part modelfile.Part) {
	m := b.conf
	b.all(from)
	b.span(b.layout.Gain(part, b.inLayer()))
	b.ops = 4 * uint64(m.Dim)
	b.eval = func(in *inputs) []byte {
		y := make([]int64, m.Dim)
		return quantised(y, exact.Norm(y, wide(in.tiles[0]), gain(in.spans[0]), m.Eps), exact.ActBits(m.Dim))
	}
}

func (b *maker) hidden() {
	m := b.conf
	b.all(Final)
	b.span(b.layout.Gain(modelfile.OutputNorm, 0))
	b.ops = 4 * uint64(m.Dim)
	b.eval = func(in *inputs) []byte {
		x, y := wide(in.tiles[0]), make([]int64, m.Dim)
		exact.Widen(x, y, exact.Norm(y, x, gain(in.spans[0]), m.Eps))
		return Wide(nil, x)
	}
}

// product is some rows of a matrix times a block.
func (b *maker) product(part modelfile.Part, from Stage, of, columns int) {
	if from == Gated {
		// Its exponent is in the tile before it.
		n := b.Tiles(b.Position, Bits)
		b.run(Bits, n-1, 1)
	}
	b.all(from)
	row, n := rows(b.Tile, of, columns)
	w, s, err := b.layout.Rows(part, b.inLayer(), row, n)
	b.span(w, err)
	b.span(s, err)
	b.ops = uint64(n * columns)
	b.eval = func(in *inputs) []byte {
		var x block
		if from == Gated {
			x = readGated(in.tiles[0], in.tiles[1], columns)
		} else {
			x = readBlock(in.tiles[0])
		}
		w, scales := weights(in.spans[0]), reader(in.spans[1])
		out := make([]int32, n)
		for r := range out {
			out[r] = exact.Linear(w[r*columns:(r+1)*columns], exact.Scale(scales.i32()), x.q, x.exp)
		}
		return Wide(nil, out)
	}
}

// GatedExp is the exponent of what the gate makes, quantised, if its values have that many
// bits and there are that many of them; and by how many bits they are shifted.
func GatedExp(bits, columns int) (exp, shift int) {
	shift = max(0, bits-exact.ActBits(columns))
	return exact.GateExp + shift, shift
}

func readGated(last, mantissas []byte, columns int) block {
	r, q := reader(last), reader(mantissas)
	exp, _ := GatedExp(int(r.i32()), columns)
	return block{q.i16s(columns), exp}
}

// gate asks for what a chunk of the gate is made of, and computes it.
func (b *maker) gate() func(in *inputs) []int64 {
	m := b.conf
	from := b.Tile * GateChunk
	n := min(GateChunk, m.Hidden-from)
	g, _ := b.elements(Gate, from, n, RowsOf(m.Dim))
	u, _ := b.elements(Up, from, n, RowsOf(m.Dim))
	b.ops = 3 * uint64(n)
	return func(in *inputs) []int64 {
		y := make([]int64, n)
		exact.Gate(y, wide(in.tiles[g]), wide(in.tiles[u]))
		return y
	}
}

// Magnitude is how many bits the largest magnitude of x has, or before if that is more.
func Magnitude(x []int64, before int32) int32 {
	var any uint64
	for _, v := range x {
		any |= uint64(max(v, -v))
	}
	return max(before, int32(bits.Len64(any)))
}

func (b *maker) bits() {
	gate := b.gate()
	before := -1
	if b.Tile > 0 {
		before = b.before()
	}
	b.eval = func(in *inputs) []byte {
		var n int32
		if before >= 0 {
			r := reader(in.tiles[before])
			n = r.i32()
		}
		return put32(nil, Magnitude(gate(in), n))
	}
}

func (b *maker) gated() {
	columns := b.conf.Hidden
	gate := b.gate()
	last := b.last(Bits)
	b.eval = func(in *inputs) []byte {
		r := reader(in.tiles[last])
		_, shift := GatedExp(int(r.i32()), columns)
		limit := int64(1)<<uint(exact.ActBits(columns)) - 1
		y := gate(in)
		q := make([]int16, len(y))
		for i, v := range y {
			q[i] = int16(min(max(exact.Round(v, shift), -limit), limit))
		}
		return put16(nil, q)
	}
}
