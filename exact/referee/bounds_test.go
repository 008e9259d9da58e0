package referee_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
)

// shapes are those of models in use.
var shapes = map[string]modelfile.Config{
	"110M": {Vocab: 32000, Dim: 768, Hidden: 2048, Layers: 12, Heads: 12, KVHeads: 12, HeadDim: 64, Tied: true},
	"1.1B": {Vocab: 32000, Dim: 2048, Hidden: 5632, Layers: 22, Heads: 32, KVHeads: 4, HeadDim: 64},
	"8B":   {Vocab: 128256, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128},
	"70B":  {Vocab: 128256, Dim: 8192, Hidden: 28672, Layers: 80, Heads: 64, KVHeads: 8, HeadDim: 128},
}

func shape(name string) *modelfile.Head {
	m := shapes[name]
	m.Name, m.Context, m.RotaryPairs, m.Eps, m.Score = name, 131072, m.HeadDim/2, 42950, 0x3e38aa3b
	return &modelfile.Head{Config: m, Tokenizer: 2 << 20}
}

func caseOf(t testing.TB, h *modelfile.Head, prompt, output int) *referee.Case {
	task := &claim.Task{Prompt: make([]uint32, prompt), MaxTokens: uint32(output), LogProbs: true, Top: 5,
		Sampling: exact.Sampling{Temperature: 900_000, TopK: 40, TopP: 900_000}}
	c, err := referee.NewCase(h, task, &claim.Result{Output: make([]uint32, output), Finish: claim.Length,
		LogProbs: make([]int32, output), Top: make([]claim.Alternative, 5*output)})
	require.NoError(t, err)
	return c
}

// TestOpeningsOfLargeModels tells what disputes take of models in use, and holds every
// opening to the bound that Disputable promises.
func TestOpeningsOfLargeModels(t *testing.T) {
	var table strings.Builder
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"110M", "1.1B", "8B", "70B"} {
		h := shape(name)
		require.NoError(t, referee.Disputable(&h.Config), name)
		for _, n := range []int{256, 2048, 8192, 32768} {
			out := min(n/2, 4096) // more, with alternatives, are no result that can be disputed
			c := caseOf(t, h, n-out, out+1)
			worst, most := referee.Place{}, referee.Cost{}
			last := len(c.Positions()) - 2
			for s := range referee.Stages {
				tiles := c.Tiles(last, s)
				if tiles == 0 {
					continue
				}
				for range 8 {
					l := referee.Place{Position: last - rng.IntN(40), Layer: h.Config.Layers, Stage: s}
					if s < referee.Final {
						l.Layer = rng.IntN(h.Config.Layers)
					}
					l.Tile = rng.IntN(c.Tiles(l.Position, s))
					require.Equal(t, l, c.Locate(c.At(l)))
					cost, err := c.Cost(c.At(l))
					require.NoError(t, err)
					require.LessOrEqual(t, cost.Bytes, referee.MaxOpening, "%s: %s", name, l)
					if cost.Bytes > most.Bytes {
						worst, most = l, cost
					}
				}
			}
			fmt.Fprintf(&table, "%-5s %6d tokens: %13d tiles, %d rounds, largest opening %6d bytes (%s), %d blocks hashed, %d multiplications\n",
				name, n, c.Leaves(), c.Levels(), most.Bytes, worst.Stage, most.Hashes, most.Ops)
		}
	}
	t.Log("\n" + table.String())
}

// TestModelsThatAreTooLarge are refused before anybody is asked for an opening.
func TestModelsThatAreTooLarge(t *testing.T) {
	for name, edit := range map[string]func(*modelfile.Config){
		"attn_in":  func(m *modelfile.Config) { m.Dim = exact.MaxNorm; m.Hidden = 64; m.Vocab = 64; m.Context = 1 << 17 },
		"mix":      func(m *modelfile.Config) { m.Heads, m.KVHeads, m.HeadDim = 128, 1, 256 },
		"attn_out": func(m *modelfile.Config) { m.Heads, m.KVHeads, m.HeadDim = 256, 256, 256 },
	} {
		h := shape("8B")
		edit(&h.Config)
		require.NoError(t, h.Config.Check(), name)
		err := referee.Disputable(&h.Config)
		if name == "attn_in" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, referee.ErrTooLarge, name)
	}
}

// TestWhatNoTraceCouldMakeTrue is refused before there is a trace.
func TestWhatNoTraceCouldMakeTrue(t *testing.T) {
	h := shape("110M")
	h.Config.Context = 10
	good := func() (*claim.Task, *claim.Result) {
		return &claim.Task{Prompt: []uint32{1, 2}, MaxTokens: 2}, &claim.Result{Output: []uint32{3, 4}, Finish: claim.Length}
	}
	task, result := good()
	_, err := referee.NewCase(h, task, result)
	require.NoError(t, err)
	for why, edit := range map[string]func(*claim.Task, *claim.Result){
		"vocabulary has 32000":  func(_ *claim.Task, r *claim.Result) { r.Output[1] = 32000 },
		"token 1 of the prompt": func(t *claim.Task, _ *claim.Result) { t.Prompt[1] = 32000 },
		"context of 10":         func(t *claim.Task, _ *claim.Result) { t.Prompt = make([]uint32, 9) },
		"reason to end":         func(_ *claim.Task, r *claim.Result) { r.Finish = claim.Stop },
		"must be from 1":        func(t *claim.Task, _ *claim.Result) { t.MaxTokens = 0 },
		"an embedding of 3": func(t *claim.Task, r *claim.Result) {
			*t, *r = claim.Task{Prompt: t.Prompt, Embed: true}, claim.Result{Finish: claim.Embedded, Embedding: make([]int32, 3)}
		},
	} {
		task, result := good()
		edit(task, result)
		_, err := referee.NewCase(h, task, result)
		require.ErrorIs(t, err, referee.ErrFalse, why)
		require.ErrorContains(t, err, why)
	}
	task, result = good()
	result.Output, result.Finish = nil, claim.Cancelled
	_, err = referee.NewCase(h, task, result)
	require.ErrorIs(t, err, referee.ErrNothing)
}

// TestNodes holds the geometry of the game.
func TestNodes(t *testing.T) {
	c := caseOf(t, shape("110M"), 3, 2)
	n := c.Root()
	require.Equal(t, c.Levels(), n.Level)
	from, to := c.Range(n)
	require.Zero(t, from)
	require.Equal(t, c.Leaves(), to)
	for n.Level > 0 {
		var end uint64
		for i := range c.Children(n) {
			a, b := c.Range(n.Child(i))
			if i > 0 {
				require.Equal(t, end, a)
			}
			require.Less(t, a, b)
			end = b
		}
		_, to := c.Range(n)
		require.Equal(t, to, end)
		n = n.Child(c.Children(n) - 1) // down the ragged side
	}
	require.Equal(t, c.Leaves()-1, n.Index)
	require.Equal(t, referee.Drawn, c.Locate(n.Index).Stage)
	for _, bad := range []referee.Node{{}, {Level: -1}, {Level: c.Levels() + 1}, {Level: 1, Index: 1 << 60}, {Level: c.Levels(), Index: 1}} {
		require.Zero(t, c.Children(bad), "%v", bad)
	}
	require.Contains(t, c.Describe(c.Leaves()), "of")
}
