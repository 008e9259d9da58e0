package trace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/referee"
)

// BenchmarkDispute tells how long one party to a dispute computes, next to how long an
// audit of the same answer takes: an answer of 64 tokens to 192 by a model of 110 million
// parameters.
func BenchmarkDispute(b *testing.B) {
	m := synthetic(b, func(c *model.Config) {
		*c = model.Config{Name: "bench", Vocab: 32000, Dim: 768, Hidden: 2048, Layers: 12, Heads: 12, KVHeads: 12, HeadDim: 64,
			Context: 2048, RotaryPairs: 32, Eps: 42950, Score: 0x3e38aa3b, Tied: true}
	})
	task := &claim.Task{Model: m.Root, Prompt: m.prompt(192), MaxTokens: 64,
		Sampling: exact.Sampling{Temperature: 800_000, TopP: 900_000}}
	result := m.answer(b, task)
	for b.Loop() {
		start := time.Now()
		lap := func(name string) {
			b.ReportMetric(time.Since(start).Seconds(), name)
			start = time.Now()
		}
		r := model.NewRunner(m.Model, kernel.Best(), 2)
		n, err := model.Replay(r, model.NewCache(m.Model, 10), task.Prompt, result.Output, task.Sampling, 64)
		r.Close()
		require.NoError(b, err)
		require.Len(b, result.Output, n)
		lap("audit-s")
		x := m.tracer(b, task, result)
		lap("model-s")
		_, err = x.Root(b.Context())
		require.NoError(b, err)
		lap("root-s")
		leaf := x.Case().Leaves() * 9 / 10
		for x.Case().Locate(leaf).Stage != referee.Mix {
			leaf++
		}
		way(b, x, leaf)
		lap("rounds-s")
		opening, err := x.Open(b.Context(), leaf)
		require.NoError(b, err)
		lap("opening-s")
		agreed, d := way(b, x, leaf)
		lap("again-s")
		ruling, err := x.Case().Decide(leaf, agreed, d, d, opening)
		require.NoError(b, err)
		require.True(b, ruling.Worker)
		lap("ruling-s")
		b.ReportMetric(float64(len(opening)), "opened-B")
		b.ReportMetric(float64(x.Case().Leaves()), "tiles")
	}
}
