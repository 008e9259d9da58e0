package referee

import (
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// head finishes a query or a key: bias, norm and rotation. It asks for what that needs.
func (b *maker) head(part, normPart modelfile.Part, h int) func(in *inputs, x []int32) {
	m := b.conf
	d := m.HeadDim
	rotary := b.span(b.layout.Rotary(), nil)
	biasAt, normAt := -1, -1
	if m.QKVBias {
		biasAt = b.span(b.layout.Biases(part, b.Layer, h*d, d))
	}
	if m.HeadNorm {
		normAt = b.span(b.layout.Gain(normPart, b.Layer))
	}
	b.ops += 8 * uint64(d)
	return func(in *inputs, x []int32) {
		if biasAt >= 0 {
			exact.Accumulate(x, wide(in.spans[biasAt]))
		}
		if normAt >= 0 {
			y := make([]int64, d)
			exact.Widen(x, y, exact.Norm(y, x, gain(in.spans[normAt]), m.Eps))
		}
		freq, r := make([]uint64, m.RotaryPairs), reader(in.spans[rotary])
		for i := range freq {
			freq[i] = r.u64()
		}
		sin, cos := make([]int32, len(freq)), make([]int32, len(freq))
		exact.SinCos(sin, cos, freq, b.Position)
		exact.Rotate(x, sin, cos, m.Halves)
	}
}

// columns asks for the columns of head h of a product.
func (b *maker) columns(s Stage, h int) func(in *inputs) []int32 {
	d := b.conf.HeadDim
	i, skip := b.elements(s, h*d, d, RowsOf(b.conf.Dim))
	return func(in *inputs) []int32 { return wide(in.tiles[i])[skip : skip+d] }
}

func (b *maker) queries() {
	x := b.columns(Query, b.Tile)
	finish := b.head(modelfile.Query, modelfile.QueryNorm, b.Tile)
	b.eval = func(in *inputs) []byte {
		q := x(in)
		finish(in, q)
		return quantised(q, -exact.WideBits, exact.HeadBits)
	}
}

func (b *maker) keyValue() {
	d := b.conf.HeadDim
	key, value := b.columns(Key, b.Tile), b.columns(Value, b.Tile)
	finish := b.head(modelfile.Key, modelfile.KeyNorm, b.Tile)
	bias := -1
	if b.conf.QKVBias {
		bias = b.span(b.layout.Biases(modelfile.Value, b.Layer, b.Tile*d, d))
	}
	b.eval = func(in *inputs) []byte {
		k, v := key(in), value(in)
		finish(in, k)
		if bias >= 0 {
			exact.Accumulate(v, wide(in.spans[bias]))
		}
		kq, vq := make([]int16, d), make([]int16, d)
		ke := exact.Quantise(kq, k, -exact.WideBits, exact.HeadBits)
		ve := exact.Quantise(vq, v, -exact.WideBits, exact.HeadBits)
		return KeyValueTile(nil, kq, ke, vq, ve)
	}
}

// KeyValueTile writes a key and a value: both exponents, then both mantissas.
func KeyValueTile(b []byte, key []int16, keyExp int, value []int16, valueExp int) []byte {
	return put16(put16(put32(b, int32(keyExp), int32(valueExp)), key), value)
}

func readKeyValue(b []byte) (key, value block) {
	r := reader(b)
	ke, ve := r.i32(), r.i32()
	d := len(r) / 4
	k := r.i16s(d)
	return block{k, int(ke)}, block{r.i16s(d), int(ve)}
}

// ScoresTile is what a tile of Scores holds: of the positions that a query sees, those of
// one page, and what the query's heads and all pages so far have come to.
type ScoresTile struct {
	High   int32   // largest exponent of a value, up to this page
	Tops   []int32 // highest score of each query head, up to this page
	Exps   []int32 // exponents of this page's values
	Scores []int32 // of each query head in turn, for this page's positions
}

// Append writes the tile.
func (s *ScoresTile) Append(b []byte) []byte {
	return put32(put32(put32(put32(b, s.High), s.Tops...), s.Exps...), s.Scores...)
}

func readScores(b []byte, group int) *ScoresTile {
	r := reader(b)
	s := &ScoresTile{High: r.i32(), Tops: r.i32s(group)}
	n := len(r) / 4 / (1 + group)
	s.Exps = r.i32s(n)
	s.Scores = r.i32s(n * group)
	return s
}

// page asks for the keys and values of the page that a tile of Scores or Mix is about.
func (b *maker) page() (g, page int, keys func(in *inputs) []keyValuePair) {
	pages := b.pages(b.Position)
	g, page = b.Tile/pages, b.Tile%pages
	from, to := b.seen(b.Position, page)
	first := len(b.rule.tiles)
	for t := from; t < to; t++ {
		b.runAt(Place{t, b.Layer, KeyValue, g}, 1)
	}
	b.ops = uint64((to - from) * b.conf.Group() * (b.conf.HeadDim + 8))
	return g, page, func(in *inputs) []keyValuePair {
		list := make([]keyValuePair, to-from)
		for i := range list {
			list[i].key, list[i].value = readKeyValue(in.tiles[first+i])
		}
		return list
	}
}

type keyValuePair struct{ key, value block }

func (b *maker) scores() {
	m := b.conf
	group := m.Group()
	g, page, keys := b.page()
	queries := b.run(Queries, g*group, group)
	before := -1
	if page > 0 {
		before = b.before()
	}
	b.eval = func(in *inputs) []byte {
		list := keys(in)
		out := &ScoresTile{Tops: make([]int32, group)}
		if before >= 0 {
			prev := readScores(in.tiles[before], group)
			out.High, out.Tops = prev.High, prev.Tops
		}
		for i, kv := range list {
			out.Exps = append(out.Exps, int32(kv.value.exp))
			if before < 0 && i == 0 {
				out.High = out.Exps[0]
			}
			out.High = max(out.High, out.Exps[i])
		}
		each := len(in.tiles[queries]) / group
		for h := range group {
			q := readBlock(in.tiles[queries][h*each : (h+1)*each])
			for i, kv := range list {
				s := exact.Score(exact.Dot16(q.q, kv.key.q), m.Score, q.exp+kv.key.exp)
				if before < 0 && i == 0 {
					out.Tops[h] = s
				}
				out.Tops[h] = max(out.Tops[h], s)
				out.Scores = append(out.Scores, s)
			}
		}
		return out.Append(nil)
	}
}

// MixTile is what a tile of Mix holds: of each query head in turn the sum of all weights up
// to this page, before values' exponents go into them; then of each the sums of weight
// times value, for each column.
type MixTile struct {
	Sums   []uint64
	Totals []int64
}

// Append writes the tile.
func (x *MixTile) Append(b []byte) []byte { return put64(put64(b, x.Sums...), x.Totals...) }

func readMix(b []byte, group, d int) *MixTile {
	r := reader(b)
	x := &MixTile{Sums: make([]uint64, group)}
	for h := range x.Sums {
		x.Sums[h] = r.u64()
	}
	x.Totals = r.i64s(group * d)
	return x
}

func (b *maker) mix() {
	group, d := b.conf.Group(), b.conf.HeadDim
	g, page, values := b.page()
	pages := b.pages(b.Position)
	own := b.tile(Scores, b.Tile)
	last := b.tile(Scores, g*pages+pages-1)
	before := -1
	if page > 0 {
		before = b.before()
	}
	b.eval = func(in *inputs) []byte {
		list := values(in)
		s, end := readScores(in.tiles[own], group), readScores(in.tiles[last], group)
		out := &MixTile{Sums: make([]uint64, group), Totals: make([]int64, group*d)}
		if before >= 0 {
			out = readMix(in.tiles[before], group, d)
		}
		for h := range group {
			totals := out.Totals[h*d : (h+1)*d]
			for i, kv := range list {
				e := exact.Exp2(uint64(int64(end.Tops[h]) - int64(s.Scores[h*len(list)+i])))
				out.Sums[h] += uint64(e)
				w := int64(exact.Weight(e, int(end.High), int(s.Exps[i])))
				for j, v := range kv.value.q {
					totals[j] += w * int64(v)
				}
			}
		}
		return out.Append(nil)
	}
}

func (b *maker) mixed() {
	group, d := b.conf.Group(), b.conf.HeadDim
	pages := b.pages(b.Position)
	end := b.Tile*pages + pages - 1
	scores, sums := b.tile(Scores, end), b.tile(Mix, end)
	b.ops = 2 * uint64(group*d)
	b.eval = func(in *inputs) []byte {
		high := readScores(in.tiles[scores], group).High
		x := readMix(in.tiles[sums], group, d)
		out := make([]int32, group*d)
		for i, total := range x.Totals {
			// A sum that was computed is never 0, but one that both parties made up may be.
			out[i] = exact.Mix(total, max(x.Sums[i/d], 1), int(high))
		}
		return Wide(nil, out)
	}
}

func (b *maker) mixIn() {
	n := b.conf.Queries()
	b.all(Mixed)
	b.ops = uint64(n)
	b.eval = func(in *inputs) []byte {
		return quantised(wide(in.tiles[0]), -exact.WideBits, exact.ActBits(n))
	}
}
