package trace

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
)

// game is what a dispute came to.
type game struct {
	ruling  referee.Ruling
	place   referee.Place
	rounds  int
	leaf    uint64
	agreed  [][]referee.Digest
	worker  referee.Digest
	other   referee.Digest
	opening []byte
	cost    referee.Cost
}

// play is the ledger's side of a dispute. It knows the task, the result, the model's root,
// and what the parties send; opener is who opens the tile.
func play(t testing.TB, task *claim.Task, result *claim.Result, worker, challenger, opener *Tracer) *game {
	t.Helper()
	ctx := t.Context()
	shown, err := opener.Head()
	require.NoError(t, err)
	head, err := modelfile.OpenHead(task.Model, shown)
	require.NoError(t, err)
	c, err := referee.NewCase(head, task, result)
	require.NoError(t, err)
	w, err := worker.Root(ctx)
	require.NoError(t, err)
	o, err := challenger.Root(ctx)
	require.NoError(t, err)
	require.NotEqual(t, w, o, "nothing to dispute")
	g := &game{}
	n := c.Root()
	for c.Children(n) > 0 {
		a, err := worker.Children(ctx, n)
		require.NoError(t, err)
		b, err := challenger.Children(ctx, n)
		require.NoError(t, err)
		require.Len(t, a, c.Children(n))
		require.Len(t, b, c.Children(n))
		require.Equal(t, w, referee.Parent(a))
		require.Equal(t, o, referee.Parent(b))
		i := 0
		for a[i] == b[i] {
			i++
		}
		g.agreed = append(g.agreed, a[:i])
		w, o, n = a[i], b[i], n.Child(i)
		g.rounds++
	}
	require.Equal(t, c.Levels(), g.rounds)
	g.leaf, g.worker, g.other, g.place = n.Index, w, o, c.Locate(n.Index)
	g.cost, err = c.Cost(g.leaf)
	require.NoError(t, err)
	g.opening, err = opener.Open(ctx, g.leaf)
	require.NoError(t, err)
	require.Len(t, g.opening, g.cost.Bytes)
	require.LessOrEqual(t, g.cost.Bytes, referee.MaxOpening)
	g.ruling, err = c.Decide(g.leaf, g.agreed, w, o, g.opening)
	require.NoError(t, err)
	return g
}

// tasks ask for everything that a trace can have.
func tasks(m *loaded, prompt, n int) map[string]*claim.Task {
	sampled := exact.Sampling{Seed: [32]byte{3}, Temperature: 900_000}
	kp := exact.Sampling{Seed: [32]byte{4}, Temperature: 1_300_000, TopK: 20, TopP: 800_000}
	p := exact.Sampling{Seed: [32]byte{5}, Temperature: 700_000, TopP: 500_000}
	list := map[string]*claim.Task{
		"greedy":  {MaxTokens: uint32(n)},
		"sampled": {MaxTokens: uint32(n), Sampling: sampled, LogProbs: true, Top: 3},
		"k and p": {MaxTokens: uint32(n), Sampling: kp, LogProbs: true},
		"p":       {MaxTokens: uint32(n), Sampling: p},
		"embed":   {Embed: true},
	}
	for _, t := range list {
		t.Model, t.Prompt = m.Root, m.prompt(prompt)
	}
	return list
}

// TestEveryTileFollows computes tiles of every stage by the referee's rules, from what
// was opened, and compares it with what the engine made.
func TestEveryTileFollows(t *testing.T) {
	for name, edit := range variants {
		m := synthetic(t, edit)
		for kind, task := range tasks(m, 37, 3) {
			if name != "wide" && name != "qwen2" && kind != "k and p" {
				continue // what the others have as well
			}
			if testing.Short() && kind != "sampled" && kind != "k and p" {
				continue
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				x := m.tracer(t, task, m.answer(t, task))
				c := x.Case()
				_, err := x.Root(t.Context())
				require.NoError(t, err)
				rng := rand.New(rand.NewPCG(1, 2))
				check := func(l referee.Place) {
					leaf := c.At(l)
					require.Equal(t, l, c.Locate(leaf))
					g := decide(t, x, leaf)
					require.True(t, g.Worker && g.Challenger, "%s", l)
				}
				// Of each stage the first tile, the last, and some others, at some positions.
				last := len(c.Positions()) - 2
				for s := range referee.Stages {
					for _, p := range []int{0, rng.IntN(last), last - 1, last} {
						l := referee.Place{Position: p, Layer: m.Layers, Stage: s}
						if s < referee.Final {
							l.Layer = rng.IntN(m.Layers)
						}
						n := c.Tiles(p, s)
						if n == 0 {
							continue
						}
						for _, l.Tile = range slices.Compact([]int{0, rng.IntN(n), n - 1}) {
							check(l)
						}
					}
				}
			})
		}
	}
}

// has says whether a trace has tiles of a stage.
func has(c *referee.Case, s referee.Stage) bool {
	return c.Tiles(len(c.Positions())-2, s) > 0
}

// decide has the referee compute a tile that nobody disputes.
func decide(t testing.TB, x *Tracer, leaf uint64) referee.Ruling {
	t.Helper()
	agreed, d := way(t, x, leaf)
	opening, err := x.Open(t.Context(), leaf)
	require.NoError(t, err)
	require.LessOrEqual(t, len(opening), referee.MaxOpening)
	r, err := x.Case().Decide(leaf, agreed, d, d, opening)
	require.NoError(t, err)
	return r
}

// way is what a dispute about a tile would have agreed on, and the tile's hash.
func way(t testing.TB, x *Tracer, leaf uint64) (agreed [][]referee.Digest, d referee.Digest) {
	t.Helper()
	n := x.Case().Root()
	for n.Level > 0 {
		list, err := x.Children(t.Context(), n)
		require.NoError(t, err)
		i := int(leaf >> uint(4*(n.Level-1)) % referee.Ways)
		agreed, d, n = append(agreed, list[:i]), list[i], n.Child(i)
	}
	return agreed, d
}

// TestLiarsLose plays a whole dispute about every stage: with a liar as the worker, and with
// one who accuses an honest worker, at the first, a middle and the last position.
func TestLiarsLose(t *testing.T) {
	m := synthetic(t, variants["qwen2"])
	for kind, task := range tasks(m, 35, 4) {
		result := m.answer(t, task)
		honest := m.tracer(t, task, result)
		c := honest.Case()
		last := len(c.Positions()) - 2
		for s := range referee.Stages {
			for _, p := range []int{0, last / 2, last} {
				n := c.Tiles(p, s)
				if n == 0 {
					continue
				}
				liar := m.tracer(t, task, result)
				lie := referee.Place{Position: p, Layer: m.Layers, Stage: s, Tile: n / 2}
				if s < referee.Final {
					lie.Layer = p % m.Layers
				}
				liar.change = func(l referee.Place, tile []byte) []byte {
					if l == lie {
						tile = bytes.Clone(tile)
						tile[len(tile)/2] ^= 1
					}
					return tile
				}
				g := play(t, task, result, liar, honest, honest)
				require.Equal(t, lie, g.place, kind)
				require.Equal(t, []bool{false, true}, []bool{g.ruling.Worker, g.ruling.Challenger}, "%s: %s", kind, lie)
				// The liar accuses; and even opens, which makes no difference.
				g = play(t, task, result, honest, liar, honest)
				require.Equal(t, []bool{true, false}, []bool{g.ruling.Worker, g.ruling.Challenger}, "%s: %s", kind, lie)
			}
		}
	}
}

// TestAnotherModelLoses disputes answers of a model that differs in one weight, and of one
// that skips a layer.
func TestAnotherModelLoses(t *testing.T) {
	m := synthetic(t, nil)
	l, err := modelfile.NewLayout(&m.Config, int64(len(m.Tokenizer)))
	require.NoError(t, err)
	for name, change := range map[string]func(b []byte){
		"one weight": func(b []byte) {
			w, _, err := l.Row(modelfile.Down, 1, 7)
			require.NoError(t, err)
			b[w.Offset+5] ^= 3
		},
		"no second layer": func(b []byte) {
			for _, p := range []modelfile.Part{modelfile.AttnOut, modelfile.Down} {
				_, s, err := l.Rows(p, 1, 0, m.Dim)
				require.NoError(t, err)
				clear(b[s.Offset : s.Offset+s.Length])
			}
		},
		"a norm": func(b []byte) {
			g, err := l.Gain(modelfile.OutputNorm, 0)
			require.NoError(t, err)
			b[g.Offset+6] ^= 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := bytes.Clone(m.file)
			change(other)
			fake := load(t, other)
			require.NotEqual(t, m.Root, fake.Root)
			task := tasks(m, 40, 5)["sampled"]
			result := fake.answer(t, task)
			prover, err := modelfile.NewProver(bytes.NewReader(m.file), int64(len(m.file)))
			require.NoError(t, err)
			worker, err := newTracer(fake.Model, prover, task, result, 1)
			require.NoError(t, err)
			defer worker.Close()
			honest := m.tracer(t, task, result)
			g := play(t, task, result, worker, honest, honest)
			require.Equal(t, []bool{false, true}, []bool{g.ruling.Worker, g.ruling.Challenger})
			_, err = New(fake.Model, bytes.NewReader(other), int64(len(other)), task, result, 1)
			require.ErrorIs(t, err, ErrModel)
		})
	}
}

// TestResultsThatTheirOwnTraceContradicts: a worker computes honestly, and says something
// else in its result.
func TestResultsThatTheirOwnTraceContradicts(t *testing.T) {
	m := synthetic(t, nil)
	for name, lie := range map[string]func(r *claim.Result){
		"sampled": func(r *claim.Result) { r.Output[2] ^= 1 },
		"greedy":  func(r *claim.Result) { r.Output[3] ^= 1 },
		"k and p": func(r *claim.Result) { r.LogProbs[1]-- },
		"embed":   func(r *claim.Result) { r.Embedding[9]++ },
	} {
		t.Run(name, func(t *testing.T) {
			task := tasks(m, 12, 5)[name]
			result := m.answer(t, task)
			honest := m.tracer(t, task, result)
			_, _, found, err := honest.Contradiction(t.Context())
			require.NoError(t, err)
			require.False(t, found)

			lie(result)
			worker, challenger := m.tracer(t, task, result), m.tracer(t, task, result)
			root, err := worker.Root(t.Context())
			require.NoError(t, err)
			p, opening, found, err := challenger.Contradiction(t.Context())
			require.NoError(t, err)
			require.True(t, found)
			c := challenger.Case()
			require.NoError(t, c.Contradicts(root, p, opening))
			require.ErrorIs(t, c.Contradicts(merkle.Leaf(nil), p, opening), referee.ErrOpening)
			require.ErrorIs(t, c.Contradicts(root, p, opening[1:]), referee.ErrOpening)
			require.ErrorIs(t, c.Contradicts(root, 0, opening), referee.ErrOpening)
			for _, i := range []int{0, len(opening) - 1} {
				bad := bytes.Clone(opening)
				bad[i] ^= 1
				require.ErrorIs(t, c.Contradicts(root, p, bad), referee.ErrOpening)
			}

			// Had it changed its trace as well, that would be the first difference, and it
			// would not help that the tile is what the result says.
			leaf, claimed, ok := c.Claimed(p)
			require.True(t, ok)
			worker = m.tracer(t, task, result)
			worker.change = func(l referee.Place, tile []byte) []byte {
				if c.At(l) == leaf {
					return claimed
				}
				return tile
			}
			g := play(t, task, result, worker, challenger, challenger)
			require.Equal(t, leaf, g.leaf)
			require.False(t, g.ruling.Worker)
			require.True(t, g.ruling.Challenger)
			// And a true tile does not save a worker whose result says something else.
			r, err := c.Decide(leaf, g.agreed, g.other, g.worker, g.opening)
			require.NoError(t, err)
			require.False(t, r.Worker)
			require.False(t, r.Challenger)
		})
	}
}

// TestOpeningsAreRefused changes every part of an opening, and what it is held against.
func TestOpeningsAreRefused(t *testing.T) {
	m := synthetic(t, nil)
	task := tasks(m, 34, 3)["k and p"]
	x := m.tracer(t, task, m.answer(t, task))
	c := x.Case()
	last := len(c.Positions()) - 2
	for s := range referee.Stages {
		if !has(c, s) {
			continue
		}
		l := referee.Place{Position: last, Layer: 1, Stage: s, Tile: c.Tiles(last, s) - 1}
		leaf := c.At(l)
		agreed, d := way(t, x, leaf)
		opening, err := x.Open(t.Context(), leaf)
		require.NoError(t, err)
		rng := rand.New(rand.NewPCG(1, uint64(s)))
		for range 40 {
			bad := bytes.Clone(opening)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			_, err := c.Decide(leaf, agreed, d, d, bad)
			require.ErrorIs(t, err, referee.ErrOpening, "%s", s)
		}
		for _, bad := range [][]byte{nil, opening[1:], append(bytes.Clone(opening), 0)} {
			_, err := c.Decide(leaf, agreed, d, d, bad)
			require.ErrorIs(t, err, referee.ErrOpening)
		}
		for _, bad := range [][][]referee.Digest{nil, agreed[1:], append(agreed[:len(agreed):len(agreed)], nil)} {
			_, err := c.Decide(leaf, bad, d, d, opening)
			require.ErrorIs(t, err, referee.ErrOpening)
		}
	}
	_, err := c.Decide(c.Leaves(), nil, referee.Digest{}, referee.Digest{}, nil)
	require.ErrorIs(t, err, referee.ErrOpening)
	_, err = c.Cost(c.Leaves())
	require.Error(t, err)
}

var update = flag.Bool("update", false, "write the golden file")

// TestTracesStayWhatTheyAre holds the roots of traces of models of noise. They change only
// with the definition of the trace, which other implementations and disputes under way rest
// on.
func TestTracesStayWhatTheyAre(t *testing.T) {
	const golden = "testdata/roots.json"
	got := map[string]string{}
	for name, edit := range variants {
		m := synthetic(t, edit)
		for kind, task := range tasks(m, 50, 4) {
			root, err := m.tracer(t, task, m.answer(t, task)).Root(t.Context())
			require.NoError(t, err)
			got[name+", "+kind] = fmt.Sprintf("%x", root)
		}
	}
	b, err := json.MarshalIndent(got, "", "\t")
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(golden, append(b, '\n'), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(b)+"\n")
}

// TestTheSecondImplementationTraces compares roots with those that a program in another
// language computes from docs/exact.md.
func TestTheSecondImplementationTraces(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node: the second implementation is ../testdata/check.mjs")
	}
	if testing.Short() {
		t.Skip("the second implementation takes seconds")
	}
	type claimed struct {
		Name        string   `json:"name"`
		Prompt      []uint32 `json:"prompt"`
		Output      []uint32 `json:"output"`
		Seed        string   `json:"seed"`
		Temperature uint32   `json:"temperature"`
		TopK        uint32   `json:"topK"`
		TopP        uint32   `json:"topP"`
		LogProbs    bool     `json:"logProbs"`
		Top         uint8    `json:"top"`
		Embed       bool     `json:"embed"`
		Root        string   `json:"root"`
	}
	dir := t.TempDir()
	args := []string{"../testdata/check.mjs"}
	for name, edit := range variants {
		m := synthetic(t, edit)
		var traces []claimed
		for kind, task := range tasks(m, 34, 2) {
			if name != "llama" && kind != "k and p" {
				continue // what the others have as well
			}
			result := m.answer(t, task)
			root, err := m.tracer(t, task, result).Root(t.Context())
			require.NoError(t, err)
			s := task.Sampling
			traces = append(traces, claimed{kind, task.Prompt, append([]uint32{}, result.Output...), fmt.Sprintf("%x", s.Seed), s.Temperature, s.TopK, s.TopP,
				task.LogProbs, task.Top, task.Embed, fmt.Sprintf("%x", root)})
		}
		b, err := json.Marshal(map[string]any{"traces": traces})
		require.NoError(t, err)
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, m.file, 0o644))
		require.NoError(t, os.WriteFile(file+".json", b, 0o644))
		args = append(args, file)
	}
	out, err := exec.Command(node, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// TestNodesBelowThoseThatAreKept has a tracer keep few nodes, so that the rest is computed
// again, and compares it with one that keeps all.
func TestNodesBelowThoseThatAreKept(t *testing.T) {
	m := synthetic(t, variants["window"])
	task := tasks(m, 100, 8)["k and p"]
	result := m.answer(t, task)
	all, few := m.tracer(t, task, result), m.tracer(t, task, result)
	few.level = 2
	c := all.Case()
	a, err := all.Root(t.Context())
	require.NoError(t, err)
	b, err := few.Root(t.Context())
	require.NoError(t, err)
	require.Equal(t, a, b)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		leaf := rng.Uint64N(c.Leaves())
		x, d := way(t, all, leaf)
		y, e := way(t, few, leaf)
		require.Equal(t, x, y)
		require.Equal(t, d, e)
		want, err := all.Open(t.Context(), leaf)
		require.NoError(t, err)
		got, err := few.Open(t.Context(), leaf)
		require.NoError(t, err)
		require.Equal(t, want, got, "%s", c.Describe(leaf))
		r, err := c.Decide(leaf, x, d, d, got)
		require.NoError(t, err)
		require.True(t, r.Worker)
	}
}
