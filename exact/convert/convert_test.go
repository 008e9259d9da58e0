package convert

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// stories reads a file of the trained test model, which lies beside the checkout.
func stories(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../shared/models"
	}
	b, err := os.ReadFile(filepath.Join(dir, "stories260K", name))
	if err != nil {
		t.Skipf("the trained test model is not here (CANTUS_TEST_MODELS names its folder): %v", err)
	}
	return b
}

func storiesModel(t testing.TB) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	src := stories(t, "stories260K.gguf")
	var out bytes.Buffer
	root, err := FromGGUF(&out, bytes.NewReader(src), int64(len(src)), Options{Context: 512})
	require.NoError(t, err)
	m, err := model.Load(&out, int64(out.Len()))
	require.NoError(t, err)
	require.Equal(t, root, m.Root)
	tok, err := tokenizer.Parse(m.Tokenizer)
	require.NoError(t, err)
	return m, tok
}

func TestStoriesTellTheirStory(t *testing.T) {
	m, tok := storiesModel(t)
	cache := model.NewCache(m, 16)
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	prompt := tok.Encode("Once upon a time", false, true)
	s := cache.NewSequence(prompt)
	require.NoError(t, s.Reserve(200))
	logits := make([]int32, m.Vocab)
	var out []uint32
	for len(out) < 150 {
		rows := make([]model.Row, len(prompt))
		for i, id := range prompt {
			rows[i] = model.Row{Seq: s, Token: id}
		}
		rows[len(rows)-1].Logits = logits
		require.NoError(t, r.Forward(rows))
		next := exact.Greedy(logits)
		out = append(out, uint32(next))
		prompt = []uint32{uint32(next)}
	}
	t.Log(tok.Decode(out))
	require.Contains(t, tok.Decode(out), ", there was a little girl named Lily. She loved to play outside in the park.")
}

// TestCostOfIntegers compares perplexities on stories that nobody trained with.
func TestCostOfIntegers(t *testing.T) {
	if testing.Short() {
		t.Skip("the reference in floating point takes seconds")
	}
	src := stories(t, "stories260K.gguf")
	m, tok := storiesModel(t)
	f, err := gguf.Open(bytes.NewReader(src), int64(len(src)))
	require.NoError(t, err)
	g := &ggufSource{f: f}
	c, rot, err := g.config(Options{})
	require.NoError(t, err)
	freq, err := rot.frequencies()
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/stories.txt")
	require.NoError(t, err)
	cache := model.NewCache(m, 64)
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	var ours, theirs, worst float64
	n, agree := 0, 0
	for story := range strings.Lines(string(text)) {
		ids := tok.Encode(strings.TrimSpace(story), false, true)
		ref := newReference(t, c, freq, g.tensor)
		s := cache.NewSequence(nil)
		require.NoError(t, s.Reserve(len(ids)))
		rows := make([]model.Row, len(ids))
		for i, id := range ids {
			rows[i] = model.Row{Seq: s, Token: id, Logits: make([]int32, m.Vocab)}
		}
		require.NoError(t, r.Forward(rows))
		s.Release()
		for i, id := range ids[:len(ids)-1] {
			want := ref.next(int(id))
			got := make([]float64, m.Vocab)
			best := 0
			for j, v := range rows[i].Logits {
				got[j] = float64(v) / (1 << exact.WideBits)
				worst = max(worst, math.Abs(got[j]-want[j]))
				if want[j] > want[best] {
					best = j
				}
			}
			if exact.Greedy(rows[i].Logits) == best {
				agree++
			}
			ours += loss(got, int(ids[i+1]))
			theirs += loss(want, int(ids[i+1]))
			n++
		}
	}
	po, pt := math.Exp(ours/float64(n)), math.Exp(theirs/float64(n))
	t.Logf("%d tokens: perplexity %.5f in integers, %.5f in float32: %+.3f %%; same likeliest token %.2f %%; logits differ by %.3f at most",
		n, po, pt, 100*(po/pt-1), 100*float64(agree)/float64(n), worst)
	require.Less(t, po/pt, 1.01)
}
