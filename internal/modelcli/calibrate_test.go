package modelcli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/modelcli"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/models"
)

// noisy is a server whose model says what a hash of the last token says, and whose arithmetic
// is a little off by a hash of its own name.
func noisy(t *testing.T, name string) string {
	unit := func(parts ...any) float64 {
		h := fnv.New64a()
		fmt.Fprint(h, parts...)
		return float64(h.Sum64()*0x9e3779b97f4a7c15>>11) / (1 << 53)
	}
	place := func(tokens []uint32) (likeliest string, all map[string]float64) {
		const n = 24
		logits, sum := make([]float64, n), 0.0
		for i := range logits {
			logits[i] = 6*unit(tokens[len(tokens)-1], i) + 0.002*unit(name, len(tokens), i)
			sum += math.Exp(logits[i])
		}
		all, best := map[string]float64{}, math.Inf(-1)
		for i, l := range logits {
			id := fmt.Sprintf("token_id:%d", 300+i)
			if all[id] = l - math.Log(sum); l > best {
				likeliest, best = id, l
			}
		}
		return likeliest, all
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Prompt []uint32 `json:"prompt"`
			Most   int      `json:"max_tokens"`
			Stream bool     `json:"stream"`
			Echo   bool     `json:"echo"`
		}
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"data":[{"id":"m","owned_by":"x"}]}`)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var tokens []string
		var tops []any
		if q.Echo {
			for i, id := range q.Prompt {
				tokens, tops = append(tokens, fmt.Sprintf("token_id:%d", id)), append(tops, nil)
				if i > 0 {
					_, tops[i] = place(q.Prompt[:i])
				}
			}
		}
		for range q.Most {
			id, top := place(q.Prompt)
			tokens, tops = append(tokens, id), append(tops, top)
			var n uint32
			_, _ = fmt.Sscanf(id, "token_id:%d", &n)
			q.Prompt = append(q.Prompt, n)
		}
		b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"index": 0, "finish_reason": "length", "logprobs": map[string]any{"tokens": tokens, "top_logprobs": tops}}}})
		if q.Stream {
			fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", b)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestCalibrate makes a description by the command and gives it to another machine.
func TestCalibrate(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	_, err := modeldir.At(here).Add(t.Context(), models.Demo(), modeldir.Options{Name: models.DemoName})
	require.NoError(t, err)
	run := func(dir string, args ...string) (string, error) {
		root := &cobra.Command{Use: "cantus", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(modelcli.Command(modelcli.Program{Name: "cantus", Dir: func() string { return dir }, JSON: func() bool { return false }}))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append([]string{"model"}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	var lines strings.Builder
	for n := range measured.MinAnswers {
		fmt.Fprintf(&lines, "What is the number %d?\n\n", n)
	}
	prompts := filepath.Join(t.TempDir(), "prompts.txt")
	require.NoError(t, os.WriteFile(prompts, []byte(lines.String()), 0o600))
	flags := []string{"calibrate", models.DemoName, "--name", "demo-f16", "--backend", "noise 1", "--worker", noisy(t, "a"), "--worker", noisy(t, "b"),
		"--auditor", noisy(t, "c"), "--prompts", prompts, "--tokens", "26"}
	_, err = run(here, flags...)
	require.ErrorContains(t, err, "40 prompts that the model can take, and 120 are wanted")
	out, err := run(here, append(flags, "--answers", "40")...)
	require.NoError(t, err)
	require.Contains(t, out, "from 80 honest answers with 2080 tokens")

	shelf := measured.NewShelf(filepath.Join(here, "measured"))
	digest, d, err := shelf.Find("demo-f16")
	require.NoError(t, err)
	require.Contains(t, out, digest.String())
	require.Equal(t, []string{"server 1", "server 2"}, d.Noise.Groups)

	file, err := filepath.Glob(filepath.Join(here, "measured", "*.json"))
	require.NoError(t, err)
	require.Len(t, file, 1)
	_, err = run(there, "measured", file[0])
	require.NoError(t, err)
	out, err = run(there, "measured")
	require.NoError(t, err)
	require.Contains(t, out, digest.String())
	_, err = run(there, "measured", prompts)
	require.ErrorIs(t, err, measured.ErrDescriptor)
}
