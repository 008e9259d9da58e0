package main

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/models"
)

func demo(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.Load(models.Demo(), models.Demo().Size())
	require.NoError(t, err)
	return m
}

func told(t *testing.T) report {
	t.Helper()
	var r report
	b, err := os.ReadFile("../demo.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

// TestDemoIsWhatIsTold holds the embedded model against its report.
func TestDemoIsWhatIsTold(t *testing.T) {
	m, r := demo(t), told(t)
	require.Equal(t, r.Root, fmt.Sprintf("%x", m.Root))
	require.EqualValues(t, r.Bytes, models.Demo().Size())
	require.LessOrEqual(t, r.Bytes, 10_000_000, "what a repository may hold of a model")
	kept, err := os.Open("../kept.jsonl")
	require.NoError(t, err)
	defer kept.Close()
	got, err := measure(m, kept)
	require.NoError(t, err)
	require.Equal(t, r.Exact.Tokens, got.Tokens)
	require.InDelta(t, r.Exact.Mean, got.Mean, 1e-9, "integers give the same everywhere; only this sum is of floats")
	require.Less(t, got.Perplexity/r.Float.Perplexity, 1.01, "the conversion may cost 1 %%")
}

// TestDemoAnswers asks it what the report says that it was asked: the same bits give the
// same answers.
func TestDemoAnswers(t *testing.T) {
	got, err := answers(demo(t))
	require.NoError(t, err)
	require.Equal(t, told(t).Answers, got)
	for _, x := range got {
		t.Logf("%s → %s", x.Question, x.Answer)
		require.NotEmpty(t, x.Answer)
	}
}

// TestDemoChats holds that it comes with a chat template and knows when to stop.
func TestDemoChats(t *testing.T) {
	tok, err := tokenizer.Parse(demo(t).Tokenizer)
	require.NoError(t, err)
	v := tok.Vocabulary()
	require.Contains(t, v.Template, "<|im_start|>")
	end := tok.Encode("<|im_end|>", true, false)
	require.Len(t, end, 1)
	require.True(t, tok.Stops(int(end[0])))
}
