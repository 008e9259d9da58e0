package model

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

type seenKey struct {
	row, layer int
	s          Stage
	head       int
}

type seenBlock struct {
	q   []int16
	exp int
}

// recorder keeps all that it sees.
type recorder struct {
	wide   map[seenKey][]int32
	blocks map[seenKey]seenBlock
}

func (r *recorder) Wide(row, layer int, s Stage, v []int32) {
	r.wide[seenKey{row, layer, s, 0}] = slices.Clone(v)
}

func (r *recorder) Block(row, layer int, s Stage, head int, q []int16, exp int) {
	r.blocks[seenKey{row, layer, s, head}] = seenBlock{slices.Clone(q), exp}
}

func (r *recorder) Attention(int, int, int, *Attended) {}

// TestEveryStageFollowsByOneFunction takes a pass apart and computes each stage of each row
// from those before it with package exact alone, one row of a matrix at a time: what a
// referee does with the one that is in dispute.
func TestEveryStageFollowsByOneFunction(t *testing.T) {
	for name, edit := range variants {
		t.Run(name, func(t *testing.T) {
			m := load1(t, synthetic(t, edit))
			rec := &recorder{map[seenKey][]int32{}, map[seenKey]seenBlock{}}
			r := NewRunner(m, kernel.Best(), 2)
			defer r.Close()
			r.Observe(rec)
			s := NewCache(m, 2).NewSequence(nil)
			tokens := randomTokens(m, 40)
			require.NoError(t, s.Reserve(len(tokens)))
			var rows []Row
			for _, id := range tokens {
				rows = append(rows, Row{Seq: s, Token: id, Logits: make([]int32, m.Vocab)})
			}
			require.NoError(t, r.Forward(rows))
			j := &referee{t, m, rec}
			for i := range rows {
				x := make([]int32, m.Dim)
				m.embed.Embed(x, int(tokens[i]))
				for l := range m.layers {
					x = j.layer(i, l, x)
				}
				require.Equal(t, x, rec.wide[seenKey{i, m.Layers, StageFinal, 0}])
				in := j.norm(x, m.norm)
				require.Equal(t, in, rec.blocks[seenKey{i, m.Layers, StageOutputIn, 0}])
				require.Equal(t, j.product(m.output, in), rows[i].Logits)
			}
		})
	}
}

type referee struct {
	t   *testing.T
	m   *Model
	rec *recorder
}

func (j *referee) wide(i, l int, s Stage, want []int32) []int32 {
	require.Equal(j.t, want, j.rec.wide[seenKey{i, l, s, 0}], "%s of row %d in layer %d", s, i, l)
	return want
}

func (j *referee) block(i, l int, s Stage, head int, want seenBlock) seenBlock {
	require.Equal(j.t, want, j.rec.blocks[seenKey{i, l, s, head}], "%s %d of row %d in layer %d", s, head, i, l)
	return want
}

func (j *referee) norm(x []int32, g exact.Gain) seenBlock {
	y := make([]int64, len(x))
	return quantised(y, exact.Norm(y, x, g, j.m.Eps), exact.ActBits(len(x)))
}

func quantised[T exact.Signed](x []T, exp, bits int) seenBlock {
	q := make([]int16, len(x))
	exp = exact.Quantise(q, x, exp, bits)
	return seenBlock{q, exp}
}

func (j *referee) product(m *kernel.Matrix, a seenBlock) []int32 {
	out := make([]int32, m.Rows)
	for r := range out {
		w, scale := m.Row(r)
		out[r] = exact.Linear(w, scale, a.q, a.exp)
	}
	return out
}

func (j *referee) heads(i, l int, s Stage, x []int32, bias []int32, g *exact.Gain, pos int) {
	m := j.m
	x = slices.Clone(x)
	if m.QKVBias {
		exact.Accumulate(x, bias)
	}
	for h := range len(x) / m.HeadDim {
		v := x[h*m.HeadDim : (h+1)*m.HeadDim]
		if g != nil {
			if m.HeadNorm {
				y := make([]int64, len(v))
				exact.Widen(v, y, exact.Norm(y, v, *g, m.Eps))
			}
			sin, cos := make([]int32, m.RotaryPairs), make([]int32, m.RotaryPairs)
			exact.SinCos(sin, cos, m.freq, pos)
			exact.Rotate(v, sin, cos, m.Halves)
		}
		j.block(i, l, s, h, quantised(v, -exact.WideBits, exact.HeadBits))
	}
}

func (j *referee) layer(i, l int, x []int32) []int32 {
	m, w := j.m, &j.m.layers[l]
	j.wide(i, l, StageResidual, x)
	in := j.block(i, l, StageAttnIn, 0, j.norm(x, w.attnNorm))
	j.heads(i, l, StageQueries, j.wide(i, l, StageQuery, j.product(w.query, in)), w.queryBias, &w.queryNorm, i)
	j.heads(i, l, StageKeys, j.wide(i, l, StageKey, j.product(w.key, in)), w.keyBias, &w.keyNorm, i)
	j.heads(i, l, StageValues, j.wide(i, l, StageValue, j.product(w.value, in)), w.valueBias, nil, i)
	mixed := make([]int32, m.Queries())
	for h := range m.Heads {
		j.mix(i, l, h, mixed[h*m.HeadDim:(h+1)*m.HeadDim])
	}
	j.wide(i, l, StageMixed, mixed)
	a := j.block(i, l, StageMixIn, 0, quantised(mixed, -exact.WideBits, exact.ActBits(len(mixed))))
	x = slices.Clone(x)
	exact.Accumulate(x, j.wide(i, l, StageAttnOut, j.product(w.out, a)))
	j.wide(i, l, StageMiddle, x)
	in = j.block(i, l, StageFFNIn, 0, j.norm(x, w.ffnNorm))
	gate, up := j.wide(i, l, StageGate, j.product(w.gate, in)), j.wide(i, l, StageUp, j.product(w.up, in))
	y := make([]int64, m.Hidden)
	exact.Gate(y, gate, up)
	a = j.block(i, l, StageGated, 0, quantised(y, exact.GateExp, exact.ActBits(m.Hidden)))
	x = slices.Clone(x)
	exact.Accumulate(x, j.wide(i, l, StageDown, j.product(w.down, a)))
	return x
}

func (j *referee) mix(i, l, h int, dst []int32) {
	m := j.m
	first := 0
	if m.Window > 0 {
		first = max(0, i+1-m.Window)
	}
	kv := h / (m.Heads / m.KVHeads)
	q := j.rec.blocks[seenKey{i, l, StageQueries, h}]
	var scores []int32
	var exps []int8
	var values []seenBlock
	for t := first; t <= i; t++ {
		k, v := j.rec.blocks[seenKey{t, l, StageKeys, kv}], j.rec.blocks[seenKey{t, l, StageValues, kv}]
		scores = append(scores, exact.Score(exact.Dot16(q.q, k.q), m.Score, q.exp+k.exp))
		exps, values = append(exps, int8(v.exp)), append(values, v)
	}
	weights := make([]int16, len(scores))
	sum, exp := exact.Weights(weights, scores, exps)
	for c := range dst {
		var total int64
		for t, v := range values {
			total += int64(weights[t]) * int64(v.q[c])
		}
		dst[c] = exact.Mix(total, sum, exp)
	}
}
