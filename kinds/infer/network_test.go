package infer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

func TestKeysThatDoNotOpen(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	thief := key(t, 66)
	mint := func(k work.PrivateKey, chain string, v tab.Key) string {
		s, err := tab.Mint(k, chain, v)
		require.NoError(t, err)
		return s
	}
	good := w.mint(nil)
	last := []byte(good)
	last[len(last)-1] ^= 2
	for name, c := range map[string]struct{ token, code string }{
		"none":            {"", "invalid_api_key"},
		"another's":       {"sk-abc", "invalid_api_key"},
		"cut off":         {good[:len(good)-4], "invalid_api_key"},
		"changed":         {string(last), "invalid_api_key"},
		"padded":          {good + "=", "invalid_api_key"},
		"forged":          {mint(thief, chain, tab.Key{Job: w.job}), "invalid_api_key"},
		"another chain's": {mint(w.owner, "test-2", tab.Key{Job: w.job}), "invalid_api_key"},
		"another tab's":   {mint(w.owner, chain, tab.Key{Job: w.job + 1}), "unknown_tab"},
		"expired":         {w.mint(func(k *tab.Key) { k.Expires = time.Now().Unix() - 1 }), "expired_api_key"},
	} {
		_, err := w.gateway.Tab(t.Context(), c.token)
		require.Equal(t, 401, refusal(t, err, c.code).Status, name)
	}
	d := w.tab(w.mint(func(k *tab.Key) { k.Expires = time.Now().Unix() + 3600 }))
	list := d.Models()
	require.Len(t, list, 1)
	require.Equal(t, "noise", list[0].ID)
	require.Equal(t, 512, list[0].Context)
	require.NotNil(t, list[0].Tokenizer)
	// It expires while its client holds it.
	w.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err := d.Ask(t.Context(), &list[0], question(1, 5))
	refusal(t, err, "expired_api_key")
}

func TestRevokedKeys(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	token := w.mint(nil)
	open := w.tab(token)
	post := func(b []byte) int {
		rec := httptest.NewRecorder()
		w.routes.ServeHTTP(rec, httptest.NewRequest("POST", "/infer/v1/revoke", bytes.NewReader(b)))
		return rec.Code
	}
	list := func(k work.PrivateKey, n uint64, job work.JobID, ids ...tab.KeyID) []byte {
		b, err := tab.Revoke(k, chain, tab.Revocations{Job: job, Number: n, IDs: ids})
		require.NoError(t, err)
		return b
	}
	require.Equal(t, 400, post([]byte("garbage")))
	require.Equal(t, 413, post(make([]byte, tab.MaxRevocations+1)))
	require.Equal(t, 403, post(list(key(t, 66), 1, w.job, tab.KeyID{1})))
	require.Equal(t, 404, post(list(w.owner, 1, w.job+1, tab.KeyID{1})))
	w.tab(token)
	require.Equal(t, 202, post(list(w.owner, 2, w.job, tab.KeyID{9}, tab.KeyID{1}, tab.KeyID{1})))
	require.Equal(t, 409, post(list(w.owner, 1, w.job)), "older than the one there is")
	_, err := w.gateway.Tab(t.Context(), token)
	refusal(t, err, "revoked_api_key")
	models := open.Models()
	_, err = open.Ask(t.Context(), &models[0], question(1, 5))
	refusal(t, err, "revoked_api_key")
	w.tab(w.mint(func(k *tab.Key) { k.ID = tab.KeyID{2} }))
	require.Empty(t, w.next(1)) // writes it
	w.crash()
	_, err = w.gateway.Tab(t.Context(), token)
	refusal(t, err, "revoked_api_key")
	require.Equal(t, 202, post(list(w.owner, 3, w.job)))
	w.tab(token)
}

func TestFiguresAreRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	k, err := infer.New(infer.Options{Metrics: reg})
	require.NoError(t, err)
	_, err = infer.New(infer.Options{Metrics: reg})
	require.Error(t, err)
	families, err := reg.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
	k.Close()
	families, err = reg.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
}

// TestThroughTheRoutes asks as a client does and checks the proof that comes back.
func TestThroughTheRoutes(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { defer close(served); w.serve(ctx, worker, 4) }()
	defer func() { cancel(); <-served }()
	srv := httptest.NewServer(w.routes)
	defer srv.Close()
	post := func(path, body string) (int, []byte) {
		r, err := http.NewRequest("POST", srv.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+w.mint(nil))
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, b
	}
	var texts []string
	for range 2 {
		code, b := post("/v1/chat/completions", `{"model":"noise","messages":[{"role":"user","content":"once upon a time"}],"max_tokens":12,"seed":7,"temperature":0.8}`)
		require.Equal(t, 200, code, string(b))
		var v struct {
			Choices []struct{ Message struct{ Content string } }
			Usage   struct {
				PromptTokens     uint64 `json:"prompt_tokens"`
				CompletionTokens uint64 `json:"completion_tokens"`
			}
			Cantus json.RawMessage
		}
		require.NoError(t, json.Unmarshal(b, &v))
		p, err := answer.Parse(v.Cantus)
		require.NoError(t, err, string(b))
		require.NoError(t, p.Check())
		require.NoError(t, p.CheckSpec(w.raw))
		require.Equal(t, v.Usage.PromptTokens+3*v.Usage.CompletionTokens, p.Units)
		texts = append(texts, v.Choices[0].Message.Content)
	}
	require.Equal(t, texts[0], texts[1], "a seed has one answer")

	code, b := post("/v1/chat/completions", `{"model":"noise","messages":[{"role":"user","content":"once"}],"max_tokens":5,"stream":true}`)
	require.Equal(t, 200, code)
	require.Contains(t, string(b), "data: [DONE]")
	require.Contains(t, string(b), `"cantus":{`)
	code, b = post("/v1/embeddings", `{"model":"noise","input":"once upon a time"}`)
	require.Equal(t, 200, code, string(b))
	code, b = post("/v1/chat/completions", `{"model":"noise","messages":[{"role":"user","content":"once"}],"max_tokens":4000}`)
	require.Equal(t, 400, code, string(b))
	units, n := w.spending(tab.KeyID{1})
	require.NotZero(t, units)
	require.EqualValues(t, 4, n)
}
