package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

// flatSource makes large weights quickly; what they are does not matter to the speed.
type flatSource struct{ noiseSource }

func (s *flatSource) Matrix(part Part, layer int) (Tensor, error) {
	shape := &Model{Config: *s.c}
	for _, sl := range shape.slots() {
		if sl.Part == part && sl.Layer == layer && sl.matrix != nil {
			t := Tensor{W: make([]int8, sl.Rows*sl.Cols), Scales: make([]exact.Scale, sl.Rows)}
			x := uint32(1)
			for i := range t.W {
				x = x*1664525 + 1013904223
				t.W[i] = int8(x>>24)/2 + 1
			}
			for i := range t.Scales {
				t.Scales[i] = 0x39800000
			}
			return t, nil
		}
	}
	panic("no such part")
}

// benchModel is a Llama of 110 million parameters.
func benchModel(b *testing.B) *Model {
	c := Config{Name: "bench", Vocab: 32000, Dim: 768, Hidden: 2048, Layers: 12, Heads: 12, KVHeads: 12, HeadDim: 64,
		Context: 2048, RotaryPairs: 32, Eps: 42950, Score: 0x3e38aa3b, Tied: true}
	m := &Model{Config: c, freq: make([]uint64, 32)}
	src := &flatSource{noiseSource{rng: nil, c: &c}}
	for _, s := range m.slots() {
		switch {
		case s.matrix != nil:
			t, err := src.Matrix(s.Part, s.Layer)
			require.NoError(b, err)
			*s.matrix, err = kernel.Pack(s.Rows, s.Cols, t.W, t.Scales)
			require.NoError(b, err)
		case s.gain != nil:
			s.gain.M, s.gain.Exp = make([]int32, s.Cols), -23
			for i := range s.gain.M {
				s.gain.M[i] = 1 << 23
			}
		}
	}
	m.output = m.embed
	return m
}

// BenchmarkForward reports tokens a second: of one stream, of 16 side by side, and of a
// prompt of 128 tokens.
func BenchmarkForward(b *testing.B) {
	m := benchModel(b)
	for _, threads := range []int{1, 2} {
		for _, way := range []struct {
			name            string
			streams, tokens int
		}{{"generate", 1, 1}, {"16 streams", 16, 1}, {"prompt", 1, 128}} {
			b.Run(fmt.Sprintf("%s/%d threads", way.name, threads), func(b *testing.B) {
				r := NewRunner(m, kernel.Best(), threads)
				defer r.Close()
				cache := NewCache(m, way.streams*64)
				seqs := make([]*Sequence, way.streams)
				for i := range seqs {
					seqs[i] = cache.NewSequence(nil)
				}
				logits := make([]int32, m.Vocab*way.streams)
				for i := range b.N {
					var rows []Row
					for j, s := range seqs {
						if s.Len()+way.tokens > 256 {
							s.Release()
						}
						require.NoError(b, s.Reserve(way.tokens))
						for k := range way.tokens {
							rows = append(rows, Row{Seq: s, Token: uint32(i*131+j*17+k*7) % 32000})
						}
						rows[len(rows)-1].Logits = logits[j*m.Vocab : (j+1)*m.Vocab]
					}
					require.NoError(b, r.Forward(rows))
				}
				b.ReportMetric(float64(b.N*way.streams*way.tokens)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
