package measured_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// worded is vocabularies whose tokens have texts.
type worded struct {
	vocabularies
	words *tokenizer.Tokenizer
}

func (v worded) Open(root artifact.Digest) (*infer.Card, error) {
	c, err := v.vocabularies.Open(root)
	if err == nil {
		c.Tokenizer = v.words
	}
	return c, err
}

// writes is a batch of a plan whose state nobody reads.
type writes struct{}

func (writes) Set(_, _ []byte) {}
func (writes) Delete([]byte)   {}

// parts brings a worker's parts to the plan.
type parts struct {
	plan work.Audience
	seq  uint64
}

func (p parts) Send(part []byte)         { p.plan.Part(p.seq, work.PublicKey{}, part) }
func (p parts) Stopped() <-chan struct{} { return nil }

// TestRoutes asks a gateway in OpenAI's way for an answer of a foreign server: the client gets
// what it asked for, and a proof that has what an audit needs.
func TestRoutes(t *testing.T) {
	w := newWorld(t)
	words, err := tokenizer.New(modeltest.Vocabulary())
	require.NoError(t, err)
	gateway, err := infer.New(infer.Options{Models: measured.Models(worded{vocabularies{artifact.Digest{7}}, words}, w.shelf)})
	require.NoError(t, err)
	t.Cleanup(gateway.Close)
	mux := http.NewServeMux()
	gateway.Mount(mux.Handle, work.MountEnv{Chain: "net-1", Now: time.Now})
	sold, err := measured.New(measured.Options{Infer: gateway, Shelf: w.shelf})
	require.NoError(t, err)
	plan, err := sold.Plan(t.Context(), 3, w.spec, state{}, work.PlanEnv{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plan.Close()) })
	owner, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	token, err := tab.Mint(owner, "net-1", tab.Key{Job: 3, ID: tab.KeyID{1}})
	require.NoError(t, err)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	post := func(path, body string) (int, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, b
	}
	status, b := post("/v1/embeddings", `{"model":"parrot","input":[1,2]}`)
	require.Equal(t, 400, status, string(b))
	require.Contains(t, string(b), "can't be measured")

	worker, by := w.kind(honest()), owner
	go func() {
		for t.Context().Err() == nil {
			bundles, err := plan.Next(writes{}, 1)
			if err != nil || len(bundles) == 0 {
				time.Sleep(time.Millisecond)
				continue
			}
			q := bundles[0].Tasks[0]
			q.Spec = w.spec
			env := w.env()
			env.Stream = parts{plan.(work.Audience), q.Seq}
			o := work.Outcome{Task: q}
			o.Result, err = worker.Execute(t.Context(), env, q)
			if err == nil {
				o.Units, err = worker.Meter(q, o.Result)
			}
			var signed work.SignedReceipt
			if err == nil {
				signed, err = work.SignReceipt(by, work.Receipt{Chain: "net-1", Job: 3, Seq: q.Seq, Attempt: 1, Task: q.Digest(), Result: o.Result.Digest(), Units: o.Units, Finished: 1})
			}
			if err == nil {
				o.Receipt, err = signed.Encode()
			}
			if err != nil {
				o = work.Outcome{Task: q, Failed: true, Reason: err.Error()}
			}
			_ = plan.Done(writes{}, []work.Outcome{o})
		}
	}()
	status, b = post("/v1/completions", `{"model":"parrot","prompt":[1,7,9],"max_tokens":6,"temperature":0.8,"seed":5,"logprobs":2}`)
	require.Equal(t, 200, status, string(b))
	var said struct {
		Choices []struct {
			Logs struct {
				Top []map[string]float64 `json:"top_logprobs"`
			} `json:"logprobs"`
		}
		Cantus json.RawMessage
	}
	require.NoError(t, json.Unmarshal(b, &said))
	require.Len(t, said.Choices, 1)
	for _, top := range said.Choices[0].Logs.Top {
		require.LessOrEqual(t, len(top), 3, "two, and the token itself")
	}
	proof, err := answer.Parse(said.Cantus)
	require.NoError(t, err)
	require.NoError(t, proof.Check())
	require.Equal(t, w.digest, proof.Model)
	q, r, err := proof.Claim()
	require.NoError(t, err)
	require.Len(t, r.Output, 6)
	require.Len(t, r.TopOf(0), measured.Top)
	require.NoError(t, measured.Check(q, r))
}
