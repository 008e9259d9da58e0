package trace

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
)

// loaded is a model and its file.
type loaded struct {
	*model.Model
	file []byte
}

func load(t testing.TB, b []byte) *loaded {
	m, err := model.Load(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	return &loaded{m, b}
}

// synthetic is a model of noise; edit changes its configuration.
func synthetic(t testing.TB, edit func(*model.Config)) *loaded {
	return load(t, modeltest.File(t, 7, edit))
}

// variants are the differences between the models of the family, and shapes that take
// several tiles where others take one.
var variants = map[string]func(*model.Config){
	"llama":   nil,
	"mistral": func(c *model.Config) { c.Window, c.Halves = 11, true },
	"window":  func(c *model.Config) { c.Window = 45 },
	"qwen2":   func(c *model.Config) { c.QKVBias, c.Halves, c.Tied = true, true, true },
	"qwen3":   func(c *model.Config) { c.HeadNorm, c.Halves, c.KVHeads, c.HeadDim = true, true, 1, 16 },
	"wide":    func(c *model.Config) { c.Vocab, c.Hidden, c.Dim, c.Layers = 5000, 2100, 600, 1 },
}

// stories is the trained test model, which lies beside the checkout.
func stories(t testing.TB) *loaded {
	t.Helper()
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../shared/models"
	}
	src, err := os.ReadFile(filepath.Join(dir, "stories260K", "stories260K.gguf"))
	if err != nil {
		t.Skipf("the trained test model is not here (CANTUS_TEST_MODELS names its folder): %v", err)
	}
	var out bytes.Buffer
	_, err = convert.FromGGUF(&out, bytes.NewReader(src), int64(len(src)), convert.Options{Context: 512})
	require.NoError(t, err)
	return load(t, out.Bytes())
}

func (m *loaded) prompt(n int) []uint32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]uint32, n)
	for i := range out {
		out[i] = rng.Uint32N(uint32(m.Vocab))
	}
	return out
}

// answer is the true result of a task.
func (m *loaded) answer(t testing.TB, task *claim.Task) *claim.Result {
	t.Helper()
	r := model.NewRunner(m.Model, kernel.Best(), 2)
	if task.Embed {
		defer r.Close()
		s := model.NewCache(m.Model, len(task.Prompt)/model.PageTokens+1).NewSequence(nil)
		require.NoError(t, s.Reserve(len(task.Prompt)))
		rows := make([]model.Row, len(task.Prompt))
		for i, id := range task.Prompt {
			rows[i] = model.Row{Seq: s, Token: id}
		}
		out := make([]int32, m.Dim)
		rows[len(rows)-1].Hidden = out
		require.NoError(t, r.Forward(rows))
		return &claim.Result{Finish: claim.Embedded, Embedding: out}
	}
	e := model.NewEngine(m.Model, r, model.Limits{Pages: 64, Active: 1, Waiting: 1, Rows: 64})
	defer e.Close()
	out := &claim.Result{Finish: claim.Length}
	for token, err := range e.Generate(t.Context(), model.Request{Prompt: task.Prompt, MaxTokens: int(task.MaxTokens),
		Sampling: task.Sampling, Stop: task.Stop, Top: int(task.Top)}) {
		require.NoError(t, err)
		out.Output = append(out.Output, token.ID)
		if task.LogProbs {
			out.LogProbs = append(out.LogProbs, token.LogProb)
			for _, a := range token.Top {
				out.Top = append(out.Top, claim.Alternative{ID: a.ID, LogProb: a.LogProb})
			}
		}
	}
	if task.Ends(out.Output[len(out.Output)-1]) {
		out.Finish = claim.Stop
	}
	require.NoError(t, out.Check(task))
	return out
}

// tracer is the honest one, or a liar's that changes tiles.
func (m *loaded) tracer(t testing.TB, task *claim.Task, r *claim.Result) *Tracer {
	t.Helper()
	x, err := New(m.Model, bytes.NewReader(m.file), int64(len(m.file)), task, r, 2)
	require.NoError(t, err)
	t.Cleanup(x.Close)
	return x
}
