package model

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
)

// noiseSource makes weights of nothing: the same for a seed, and large enough that every
// part of a layer matters to the logits.
type noiseSource struct {
	rng *rand.Rand
	c   *Config
}

func (s *noiseSource) Matrix(part Part, layer int) (Tensor, error) {
	shape := &Model{Config: *s.c}
	for _, sl := range shape.slots() {
		if sl.Part == part && sl.Layer == layer && sl.matrix != nil {
			t := Tensor{W: make([]int8, sl.Rows*sl.Cols), Scales: make([]exact.Scale, sl.Rows)}
			for i := range t.W {
				t.W[i] = int8(s.rng.IntN(255) - 127)
			}
			for i := range t.Scales {
				t.Scales[i], _ = exact.NewScale(100+s.rng.Uint64N(100), 127*150, 0)
				if part != Embedding {
					t.Scales[i], _ = exact.NewScale(100+s.rng.Uint64N(100), 127*uint64(50*intRoot(sl.Cols)), 0)
				}
			}
			return t, nil
		}
	}
	panic("no such part")
}

func intRoot(n int) int { return int(exact.Sqrt(uint64(n))) }

func (s *noiseSource) Gain(part Part, layer int) (exact.Gain, error) {
	n := s.c.Dim
	if part == QueryNorm || part == KeyNorm {
		n = s.c.HeadDim
	}
	g := exact.Gain{M: make([]int32, n), Exp: -23}
	for i := range g.M {
		g.M[i] = 1<<22 + s.rng.Int32N(1<<23)
	}
	return g, nil
}

func (s *noiseSource) Bias(part Part, layer int) ([]int32, error) {
	n := s.c.KeyColumns()
	if part == Query {
		n = s.c.Queries()
	}
	b := make([]int32, n)
	for i := range b {
		b[i] = s.rng.Int32N(1<<17) - 1<<16
	}
	return b, nil
}

// synthetic writes a model of noise; edit changes its configuration.
func synthetic(t testing.TB, edit func(*Config)) []byte {
	c := &Config{Name: "noise", Vocab: 61, Dim: 48, Hidden: 72, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 12, Context: 2048,
		RotaryPairs: 6, Eps: 42950, Score: 0x3ed53cbb}
	if edit != nil {
		edit(c)
	}
	freq := make([]uint64, c.RotaryPairs)
	for i := range freq {
		freq[i] = 0x28be60db9391054a >> (2 * i)
	}
	var b bytes.Buffer
	root, err := Write(&b, c, freq, []byte("none"), &noiseSource{rand.New(rand.NewChaCha8([32]byte{7})), c})
	require.NoError(t, err)
	again, err := Root(bytes.NewReader(b.Bytes()))
	require.NoError(t, err)
	require.Equal(t, root, again)
	return b.Bytes()
}

func load1(t testing.TB, b []byte) *Model {
	m, err := Load(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	return m
}

// variants are the differences between the models of the family.
var variants = map[string]func(*Config){
	"llama":   nil,
	"mistral": func(c *Config) { c.Window, c.Halves = 11, true },
	"qwen2":   func(c *Config) { c.QKVBias, c.Halves, c.Tied = true, true, true },
	"qwen3":   func(c *Config) { c.HeadNorm, c.Halves, c.KVHeads, c.HeadDim = true, true, 1, 16 },
}

func randomTokens(m *Model, n int) []uint32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]uint32, n)
	for i := range out {
		out[i] = rng.Uint32N(uint32(m.Vocab))
	}
	return out
}
