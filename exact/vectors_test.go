package exact

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// vector is one call of a function: its name, its arguments and its results, all integers
// in decimal, or lists of them.
type vector struct {
	Op   string         `json:"op"`
	In   map[string]any `json:"in"`
	Want map[string]any `json:"want"`
}

// dec writes integers as text, since not every reader of JSON has 64 bits.
func dec[T int | int8 | int16 | int32 | int64 | uint32 | uint64 | Scale](v T) string {
	if v < 0 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(uint64(v), 10)
}

func decs[T int | int8 | int16 | int32 | int64 | uint32 | uint64 | Scale](vs []T) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = dec(v)
	}
	return out
}

type maker struct {
	*rand.Rand
	out []vector
}

func (m *maker) add(op string, in, want map[string]any) {
	m.out = append(m.out, vector{op, in, want})
}

// wide gives a value with any number of bits, so that small and large ones are as likely.
func (m *maker) wide(bits int) int64 {
	v := m.Int64() >> (63 - m.IntN(bits+1))
	if m.IntN(2) == 0 {
		return -v
	}
	return v
}

func fill[T int8 | int16 | int32 | int64](m *maker, n, bits int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(m.wide(bits))
	}
	return out
}

func (m *maker) scale() Scale { return Scale(uint32(100+m.IntN(60))<<23 | m.Uint32()>>9) }

func makeVectors() []vector {
	m := &maker{Rand: rand.New(rand.NewChaCha8([32]byte{1}))}
	type is = map[string]any
	for range 60 {
		v, s := m.wide(61), m.IntN(80)-12
		m.add("to32", is{"v": dec(v), "s": dec(s)}, is{"out": dec(To32(v, s))})
	}
	for _, tc := range [][2]int64{{math.MaxInt32, -1}, {math.MinInt32, -1}, {1, -31}, {-1, -31}, {-1, -32}, {1, -40}, {3, 1}, {-3, 1}, {1<<62 - 1, 62}, {1 - 1<<62, 62}, {1<<62 - 1, 63}} {
		m.add("to32", is{"v": dec(tc[0]), "s": dec(tc[1])}, is{"out": dec(To32(tc[0], int(tc[1])))})
	}
	for range 12 {
		x, exp, b := fill[int64](m, 9, 40), m.IntN(40)-30, 7+m.IntN(9)
		dst := make([]int16, len(x))
		out := Quantise(dst, x, exp, b)
		m.add("quantise", is{"x": decs(x), "exp": dec(exp), "bits": dec(b)}, is{"q": decs(dst), "exp": dec(out)})
	}
	for _, x := range [][]int64{{0, 0}, {32767, -32767}, {32768, -1}, {65535, -65535}, {65534, 1}} {
		dst := make([]int16, len(x))
		out := Quantise(dst, x, -16, 15)
		m.add("quantise", is{"x": decs(x), "exp": "-16", "bits": "15"}, is{"q": decs(dst), "exp": dec(out)})
	}
	for i := range 12 {
		n := []int{1, 16, 100, 600}[i%4]
		w, a, s, exp := fill[int8](m, n, 7), fill[int16](m, n, ActBits(n)), m.scale(), m.IntN(24)-20
		m.add("linear", is{"w": decs(w), "scale": dec(s), "a": decs(a), "exp": dec(exp)}, is{"out": dec(Linear(w, s, a, exp))})
	}
	for range 4 {
		w, s := fill[int8](m, 8, 7), m.scale()
		dst := make([]int32, len(w))
		Embed(dst, w, s)
		m.add("embed", is{"w": decs(w), "scale": dec(s)}, is{"out": decs(dst)})
	}
	for i := range 16 {
		n := []int{1, 7, 64, 65}[i%4]
		x, g, eps := fill[int32](m, n, 31), Gain{fill[int32](m, n, 24), m.IntN(8) - 24}, m.Uint64()>>(32+m.IntN(32))
		switch i {
		case 0:
			clear(x)
			eps = 0
		case 1:
			clear(x)
			x[0] = 1
			eps = 0
		case 2:
			for j := range x {
				x[j] = math.MinInt32
			}
			eps = 1 << 32
		}
		dst := make([]int64, n)
		exp := Norm(dst, x, g, eps)
		wide := make([]int32, n)
		Widen(wide, dst, exp)
		m.add("norm", is{"x": decs(x), "gain": decs(g.M), "gainExp": dec(g.Exp), "eps": dec(eps)}, is{"out": decs(dst), "exp": dec(exp), "wide": decs(wide)})
	}
	angles := []uint64{0, 1 << 32, 1 << 62, 1<<62 - 1, 1 << 63, 3 << 62, math.MaxUint64, 1<<62 + 1<<52}
	for range 40 {
		angles = append(angles, m.Uint64())
	}
	for _, a := range angles {
		m.add("sincos", is{"angle": dec(a)}, is{"sin": dec(Sine(a)), "cos": dec(Cosine(a))})
	}
	for i := range 8 {
		freq, pos := []uint64{1 << 63 / 22 * 7, m.Uint64(), m.Uint64() >> 20}, m.IntN(MaxContext)
		sin, cos := make([]int32, 3), make([]int32, 3)
		SinCos(sin, cos, freq, pos)
		x := fill[int32](m, 8, 31)
		y := append([]int32(nil), x...)
		Rotate(y, sin, cos, i%2 == 0)
		m.add("rotate", is{"x": decs(x), "freq": decs(freq), "pos": dec(pos), "halves": dec(1 - i%2)}, is{"out": decs(y)})
	}
	for range 30 {
		d := uint64(m.wide(22) & math.MaxInt64 & (1<<23 - 1))
		m.add("exp2", is{"d": dec(d)}, is{"out": dec(Exp2(d))})
	}
	for i := range 10 {
		n := []int{1, 3, 40}[i%3]
		scores, exps := fill[int32](m, n, 18+i%3*6), make([]int8, n)
		for j := range exps {
			exps[j] = int8(m.IntN(22) - 16)
		}
		v := fill[int16](m, n, HeadBits)
		w := make([]int16, n)
		sum, exp := Weights(w, scores, exps)
		var total int64
		for j := range v {
			total += int64(w[j]) * int64(v[j])
		}
		in := make([]int, n)
		for j, e := range exps {
			in[j] = int(e)
		}
		m.add("attend", is{"scores": decs(scores), "exps": decs(in), "values": decs(v)},
			is{"weights": decs(w), "sum": dec(sum), "exp": dec(exp), "mix": dec(Mix(total, sum, exp))})
	}
	for range 12 {
		g, u := fill[int32](m, 4, 22), fill[int32](m, 4, 31)
		dst := make([]int64, 4)
		Gate(dst, g, u)
		m.add("gate", is{"gate": decs(g), "up": decs(u)}, is{"out": decs(dst)})
	}
	for i := range 60 {
		u := max(m.Uint64()>>m.IntN(64), 1)
		switch i {
		case 0:
			u = 1
		case 1:
			u = math.MaxUint64
		case 2:
			u = 1 << 63
		}
		m.add("log2", is{"u": dec(u)}, is{"out": dec(Log2(u))})
	}
	for i := range 24 {
		n := []int{5, 33, 300}[i%3]
		s := Sampler{Sampling: Sampling{Temperature: []uint32{0, 20_000, 700_000, Million, 3 * Million, 10 * Million}[i%6],
			TopK: []uint32{0, 0, 1, 7}[i%4], TopP: []uint32{0, 500_000, 950_000, Million, 1}[i%5]}}
		for j := range s.Seed {
			s.Seed[j] = byte(m.Uint32())
		}
		logits, pos := fill[int32](m, n, 14+i%9), m.Uint64()>>m.IntN(64)
		logits[n-1] = logits[0] // a tie
		top, sum := LogSum(logits)
		m.add("draw", is{"logits": decs(logits), "position": dec(pos), "seed": hex.EncodeToString(s.Seed[:]),
			"temperature": dec(s.Temperature), "topK": dec(s.TopK), "topP": dec(s.TopP)},
			is{"token": dec(s.Draw(logits, pos)), "noise": dec(Noise(&s.Seed, pos, uint32(n-1))), "top": dec(top), "logSum": dec(sum)})
	}
	return m.out
}

// TestVectors holds the functions to what they once gave.
func TestVectors(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, v := range makeVectors() {
		line, err := json.Marshal(v)
		require.NoError(t, err)
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line)
	}
	b.WriteString("\n]\n")
	if *update {
		require.NoError(t, os.WriteFile("testdata/vectors.json", b.Bytes(), 0o644))
	}
	want, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

// TestSecondImplementation lets another implementation, in another language and written
// from docs/exact.md, compute the vectors, the tables and a small model.
func TestSecondImplementation(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node: the vectors' second implementation is testdata/check.mjs")
	}
	out, err := exec.Command(node, "testdata/check.mjs").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Log(string(out))
}
