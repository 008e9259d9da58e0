package convert

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/model"
)

// reference is the same transformer in floating point, from the same tensors, written
// without a look at package model: what the integers are compared with.
type reference struct {
	c      *model.Config
	freq   []float64 // radians for each position
	w      map[string][][]float32
	keys   [][][]float64
	values [][][]float64
}

func newReference(t testing.TB, c *model.Config, freq []uint64, tensor func(model.Part, int, bool) (rows, error)) *reference {
	f := &reference{c: c, w: map[string][][]float32{}, keys: make([][][]float64, c.Layers), values: make([][][]float64, c.Layers)}
	for _, v := range freq {
		f.freq = append(f.freq, float64(v)/(1<<63)/2*2*math.Pi)
	}
	load := func(p model.Part, l int, bias bool) {
		x, err := tensor(p, l, bias)
		require.NoError(t, err)
		n, cols := x.Shape()
		var m [][]float32
		row := make([]float64, cols)
		for r := range n {
			require.NoError(t, x.Row(row, r))
			v := make([]float32, cols)
			for i := range row {
				v[i] = float32(row[i])
			}
			m = append(m, v)
		}
		f.w[key(p, l, bias)] = m
	}
	load(model.Embedding, 0, false)
	load(model.OutputNorm, 0, false)
	if !c.Tied {
		load(model.Output, 0, false)
	}
	for l := range c.Layers {
		for _, p := range []model.Part{model.AttnNorm, model.Query, model.Key, model.Value, model.AttnOut, model.FFNNorm, model.Gate, model.Up, model.Down} {
			load(p, l, false)
		}
		if c.QKVBias {
			load(model.Query, l, true)
			load(model.Key, l, true)
			load(model.Value, l, true)
		}
		if c.HeadNorm {
			load(model.QueryNorm, l, false)
			load(model.KeyNorm, l, false)
		}
	}
	return f
}

func key(p model.Part, l int, bias bool) string {
	k := string(p) + string(rune('0'+l))
	if bias {
		k += "b"
	}
	return k
}

func (f *reference) mul(p model.Part, l int, x []float64) []float64 {
	w := f.w[key(p, l, false)]
	y := make([]float64, len(w))
	for r, row := range w {
		var s float32
		for i, v := range row {
			s += v * float32(x[i])
		}
		y[r] = float64(s)
	}
	if b := f.w[key(p, l, true)]; b != nil {
		for i := range y {
			y[i] += float64(b[0][i])
		}
	}
	return y
}

func (f *reference) norm(p model.Part, l int, x []float64) []float64 {
	g := f.w[key(p, l, false)][0]
	var ss float64
	for _, v := range x {
		ss += v * v
	}
	k := 1 / math.Sqrt(ss/float64(len(x))+float64(f.c.Eps)/(1<<32))
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] * k * float64(g[i])
	}
	return y
}

func (f *reference) turn(x []float64, pos int) {
	n := len(f.freq)
	for i, w := range f.freq {
		s, c := math.Sincos(w * float64(pos))
		j, k := 2*i, 2*i+1
		if f.c.Halves {
			j, k = i, i+n
		}
		x[j], x[k] = x[j]*c-x[k]*s, x[j]*s+x[k]*c
	}
}

// next gives the logits after a token.
func (f *reference) next(token int) []float64 {
	c := f.c
	x := make([]float64, c.Dim)
	for i, v := range f.w[key(model.Embedding, 0, false)][token] {
		x[i] = float64(v)
	}
	for l := range c.Layers {
		h := f.norm(model.AttnNorm, l, x)
		q, k, v := f.mul(model.Query, l, h), f.mul(model.Key, l, h), f.mul(model.Value, l, h)
		pos := len(f.keys[l])
		d := c.HeadDim
		for i := range c.Heads {
			if c.HeadNorm {
				copy(q[i*d:], f.norm(model.QueryNorm, l, q[i*d:(i+1)*d]))
			}
			f.turn(q[i*d:(i+1)*d], pos)
		}
		for i := range c.KVHeads {
			if c.HeadNorm {
				copy(k[i*d:], f.norm(model.KeyNorm, l, k[i*d:(i+1)*d]))
			}
			f.turn(k[i*d:(i+1)*d], pos)
		}
		f.keys[l], f.values[l] = append(f.keys[l], k), append(f.values[l], v)
		y := make([]float64, c.Heads*d)
		first := 0
		if c.Window > 0 {
			first = max(0, pos+1-c.Window)
		}
		for i := range c.Heads {
			kv := i / (c.Heads / c.KVHeads) * d
			var sum float64
			scores := make([]float64, pos+1)
			top := math.Inf(-1)
			for t := first; t <= pos; t++ {
				for j := range d {
					scores[t] += q[i*d+j] * f.keys[l][t][kv+j]
				}
				scores[t] /= math.Sqrt(float64(d))
				top = max(top, scores[t])
			}
			for t := first; t <= pos; t++ {
				e := math.Exp(scores[t] - top)
				sum += e
				for j := range d {
					y[i*d+j] += e * f.values[l][t][kv+j]
				}
			}
			for j := range d {
				y[i*d+j] /= sum
			}
		}
		for i, v := range f.mul(model.AttnOut, l, y) {
			x[i] += v
		}
		h = f.norm(model.FFNNorm, l, x)
		g, u := f.mul(model.Gate, l, h), f.mul(model.Up, l, h)
		for i := range g {
			g[i] = g[i] / (1 + math.Exp(-g[i])) * u[i]
		}
		for i, v := range f.mul(model.Down, l, g) {
			x[i] += v
		}
	}
	x = f.norm(model.OutputNorm, 0, x)
	if c.Tied {
		return f.mul(model.Embedding, 0, x)
	}
	return f.mul(model.Output, 0, x)
}

// loss is -ln of the probability that logits give to a token.
func loss(logits []float64, token int) float64 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = max(top, v)
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(v - top)
	}
	return math.Log(sum) + top - logits[token]
}
