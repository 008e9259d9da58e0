package referee

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// small is a case with every stage, of a model that nobody has.
func small(t testing.TB, edit func(*modelfile.Config, *claim.Task, *claim.Result)) *Case {
	m := modelfile.Config{Name: "small", Vocab: 2100, Dim: 40, Hidden: 1100, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 6, Context: 4096,
		RotaryPairs: 3, Eps: 42950, Score: 0x3ed53cbb, QKVBias: true, HeadNorm: true}
	task := &claim.Task{Prompt: make([]uint32, 40), MaxTokens: 2, LogProbs: true, Top: 4,
		Sampling: exact.Sampling{Temperature: 1_000_000, TopK: 9, TopP: 900_000}}
	result := &claim.Result{Output: make([]uint32, 2), Finish: claim.Length, LogProbs: make([]int32, 2), Top: make([]claim.Alternative, 8)}
	if edit != nil {
		edit(&m, task, result)
	}
	c, err := NewCase(&modelfile.Head{Config: m}, task, result)
	require.NoError(t, err)
	return c
}

func embedding(m *modelfile.Config, t *claim.Task, r *claim.Result) {
	*t = claim.Task{Prompt: t.Prompt, Embed: true}
	*r = claim.Result{Finish: claim.Embedded, Embedding: make([]int32, m.Dim)}
}

// evaluate runs the rule of a tile on bytes that fill calls for.
func evaluate(t testing.TB, c *Case, leaf uint64, fill func(b []byte)) []byte {
	r, err := c.rule(leaf)
	require.NoError(t, err)
	in := &inputs{}
	for _, run := range r.tiles {
		n := 0
		for i := range run.n {
			require.Less(t, run.first+i, leaf, "%s follows from a later tile", c.Describe(leaf))
			n += c.TileBytes(c.Locate(run.first + i))
		}
		in.tiles = append(in.tiles, make([]byte, n))
	}
	for _, s := range r.spans {
		require.True(t, s.Offset >= 0 && s.Length > 0 && s.Offset+s.Length <= c.layout.Size())
		in.spans = append(in.spans, make([]byte, s.Length))
	}
	for _, b := range slices.Concat(in.tiles, in.spans) {
		fill(b)
	}
	out := r.eval(in)
	require.Len(t, out, c.TileBytes(c.Locate(leaf)), "%s", c.Describe(leaf))
	return out
}

// TestRulesTakeWhatTheyAreGiven runs every kind of rule on inputs that no computation gives,
// as two parties might agree on to lame the referee: it gives some tile of the right length.
func TestRulesTakeWhatTheyAreGiven(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for _, c := range []*Case{small(t, nil), small(t, embedding)} {
		for leaf := range c.Leaves() {
			if p := c.Locate(leaf).Position; p != 0 && p < len(c.starts)-3 {
				continue
			}
			for _, fill := range []func([]byte){
				func([]byte) {},
				func(b []byte) { _, _ = rng.Read(b) },
				func(b []byte) {
					for i := range b {
						b[i] = 0xff
					}
				},
				func(b []byte) {
					for i := range b {
						b[i] = []byte{0, 0, 0, 0x80}[i%4]
					}
				},
			} {
				evaluate(t, c, leaf, fill)
			}
		}
	}
}

func FuzzRules(f *testing.F) {
	plain, embed := small(f, nil), small(f, embedding)
	for s := range Stages {
		c := plain
		if s == Hidden {
			c = embed
		}
		f.Add(s == Hidden, c.At(Place{len(c.starts) - 2, 1, s, 0}), []byte{1, 0xff, 0x80, 7})
	}
	f.Fuzz(func(t *testing.T, hidden bool, leaf uint64, b []byte) {
		c := plain
		if hidden {
			c = embed
		}
		if leaf %= c.Leaves(); len(b) == 0 {
			b = []byte{0}
		}
		at := 0
		evaluate(t, c, leaf, func(dst []byte) {
			for i := range dst {
				dst[i] = b[at%len(b)]
				at++
			}
		})
	})
}

// TestBoundsHold compares what openings take with what Disputable promises, for models of
// all shapes.
func TestBoundsHold(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		kv := 1 + rng.IntN(8)
		c := small(t, func(m *modelfile.Config, task *claim.Task, _ *claim.Result) {
			m.KVHeads, m.Heads, m.HeadDim = kv, kv*(1+rng.IntN(6)), 2+rng.IntN(120)
			m.RotaryPairs = 1 + rng.IntN(m.HeadDim/2)
			m.Dim, m.Hidden, m.Vocab = 1+rng.IntN(3000), 1+rng.IntN(9000), 10+rng.IntN(9000)
			m.Window = rng.IntN(2) * rng.IntN(100)
			task.Prompt = make([]uint32, 1+rng.IntN(200))
		})
		_, most := bound(c.conf, c.Leaves())
		for s := range Stages {
			p := len(c.starts) - 2 - rng.IntN(2)
			for range 4 {
				if n := c.Tiles(p, s); n > 0 {
					l := Place{p, rng.IntN(c.conf.Layers), s, rng.IntN(n)}
					if s >= Final {
						l.Layer = c.conf.Layers
					}
					require.Equal(t, l, c.Locate(c.At(l)))
					cost, err := c.Cost(c.At(l))
					require.NoError(t, err)
					require.LessOrEqual(t, cost.Bytes, most, "%s of %+v", l, c.conf)
				}
			}
		}
	}
}

// TestWhatIsLeftIsWhatTheSamplerLeaves compares the passes over the logits with a sort.
func TestWhatIsLeftIsWhatTheSamplerLeaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		logits := make([]int32, 1+rng.IntN(5000))
		spread := int32(1) << (1 + rng.IntN(24))
		for i := range logits {
			logits[i] = rng.Int32N(spread) - spread/3
		}
		s := exact.Sampling{Temperature: uint32(20_000 + rng.IntN(3_000_000)), TopK: uint32(rng.IntN(3) * (1 + rng.IntN(len(logits)))), TopP: uint32(rng.IntN(1_000_000))}
		s.Seed[0] = byte(rng.IntN(256))
		position := rng.Uint64N(100)
		sampler := exact.Sampler{Sampling: s}
		c := &Case{conf: &modelfile.Config{Vocab: len(logits)}, task: &claim.Task{Sampling: s}}
		d := c.NewDraw()
		var peak PeakTile
		peak.Add(0, logits)
		limit := uint64(1<<64 - 1)
		for stage, by := range []bool{c.byK(), c.byP()} {
			if !by {
				continue
			}
			k := &KeepTile{}
			for pass := range Passes {
				k.Add(d, KeepK+Stage(stage), pass, peak.Logit, limit, 0, logits)
				k = k.Next(d, KeepK+Stage(stage), pass)
			}
			limit = k.Prefix
		}
		best := NewBest()
		best.Add(d, int(position), peak.Logit, limit, 0, logits)
		require.EqualValues(t, sampler.Draw(logits, position), best.ID, "%+v", s)
	}
}
