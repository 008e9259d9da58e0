package openai

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// door is a tab that looks at what would be asked and refuses it.
type door struct {
	t     *testing.T
	model Model
}

func (d door) Tab(context.Context, string) (Tab, error) { return d, nil }
func (d door) Models() []Model                          { return []Model{d.model} }

func (d door) Ask(_ context.Context, m *Model, task claim.Task) (Answer, error) {
	require.NoError(d.t, task.Check())
	require.NoError(d.t, claimFits(&task, m))
	return nil, &Refusal{Status: http.StatusTeapot, Type: "fuzz", Code: "asked", Message: "asked"}
}

func claimFits(t *claim.Task, m *Model) error { return t.Fits(m.Vocab, m.Context) }

func doorOf(t testing.TB, tok *tokenizer.Tokenizer) Model {
	t.Helper()
	return Model{ID: "m", Root: artifact.Digest{1}, Context: 256, Vocab: len(tok.Vocabulary().Tokens), PromptUnits: 1, OutputUnits: 1, Tokenizer: tok}
}

// FuzzRequest sends any body to any route: it is answered with an error in OpenAI's shape,
// or asks the network for something that a model could answer.
func FuzzRequest(f *testing.F) {
	for _, b := range []string{
		`{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0.5,"top_p":0.9,"seed":1,"stop":["a"],"n":2,"logprobs":true,"top_logprobs":3}`,
		`{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","content":[{"type":"text","text":"a"}]}],"max_tokens":5}`,
		`{"model":"m","prompt":[[1,2],[3]],"logprobs":2,"echo":false,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m","prompt":"a","max_tokens":1e2,"top_k":3}`,
		`{"model":"m","input":["a","b"],"encoding_format":"base64"}`,
		`{"model":"m","messages":[],"stop":{},"seed":1e400}`, `[`, `{"model":null}`, `{"a":1,"a":2}`,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body string) {
		tok := letters(t, chatML, "<|im_start|>", "<|im_end|>")
		mux := http.NewServeMux()
		Mount(mux.Handle, door{t, doorOf(t, tok)}, Options{Log: slog.New(slog.DiscardHandler)})
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings"} {
			q := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			q.Header.Set("Authorization", "Bearer k")
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, q)
			require.GreaterOrEqual(t, w.Code, 400)
			require.Less(t, w.Code, 500, "%s", w.Body)
			var v struct {
				Error *struct{ Message, Type *string }
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v))
			require.NotNil(t, v.Error)
			require.NotEmpty(t, *v.Error.Message)
		}
	})
}
