package measured_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// TestServersSayWhatTheirModelsSay asks a model directly and by a server of each family.
func TestServersSayWhatTheirModelsSay(t *testing.T) {
	for _, c := range []struct {
		owner   string
		noEcho  bool
		scoring measured.Scoring
	}{{"vllm", false, measured.Echo}, {"llamacpp", true, measured.Steps}, {"somebody", true, measured.Steps}} {
		t.Run(c.owner, func(t *testing.T) {
			h := connect(t, &server{parrot: honest(), owner: c.owner, noEcho: c.noEcho}, measured.HTTPOptions{Key: "k"})
			require.Equal(t, "parrot-q", h.Model())
			require.Equal(t, c.scoring, h.Scoring())
			require.NoError(t, h.Health(t.Context()))
			for n := range 6 {
				q := task(n, 9)
				r := said(t, h, q)
				require.Equal(t, said(t, honest(), q), r)
				want, err := honest().Score(t.Context(), q.Prompt, r.Output, measured.Top)
				require.NoError(t, err)
				got, err := h.Score(t.Context(), q.Prompt, r.Output, measured.Top)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			places, err := h.Score(t.Context(), []uint32{1}, nil, 2)
			require.NoError(t, err)
			require.Empty(t, places)
		})
	}
}

func TestATextEndsWhereTheServerEndsIt(t *testing.T) {
	whole := said(t, honest(), task(0, 12))
	h := connect(t, &server{parrot: &parrot{model: "m", machine: "a", noise: 0.004, end: whole.Output[5]}, owner: "x"}, measured.HTTPOptions{})
	q := task(0, 12)
	q.Stop = []uint32{whole.Output[5]}
	require.Equal(t, q.Stop[0], said(t, h, q).Output[len(said(t, h, q).Output)-1])
}

// TestHostileServers answers with what no honest server would.
func TestHostileServers(t *testing.T) {
	say := func(status int, body string) func(string, http.ResponseWriter, []byte) bool {
		return func(path string, w http.ResponseWriter, _ []byte) bool {
			if path == "/v1/models" {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	event := func(logs string) string {
		return `data: {"choices":[{"index":0,"logprobs":` + logs + `}]}` + "\n\n"
	}
	for name, c := range map[string]struct {
		status int
		body   string
		is     error
		says   string
	}{
		"an error":            {503, `{"error":{"message":"loading\u0007 the model"}}`, measured.ErrUnavailable, "loading"},
		"a refusal":           {400, `{"error":"prompt must be text"}`, measured.ErrBackend, "prompt must be text"},
		"a long complaint":    {500, strings.Repeat("x", 1<<20), measured.ErrUnavailable, "500"},
		"an error later":      {200, `data: {"error":{"message":"out of memory"}}` + "\n\n", measured.ErrUnavailable, "out of memory"},
		"a redirect":          {302, "", measured.ErrBackend, "302"},
		"nothing":             {200, "", measured.ErrUnavailable, "broke off"},
		"half an event":       {200, "data: {\"choices\":[", measured.ErrBackend, ""},
		"an endless line":     {200, "data: " + strings.Repeat("[", 1<<20), measured.ErrBackend, "more than"},
		"no logarithms":       {200, event("null") + "data: [DONE]\n", measured.ErrUnavailable, "broke off"},
		"texts":               {200, event(`{"tokens":["a"],"top_logprobs":[{"a":-1,"b":-2}]}`), measured.ErrBackend, "by their text"},
		"another vocabulary":  {200, event(`{"tokens":["token_id:64"],"top_logprobs":[null]}`), measured.ErrBackend, "another model"},
		"a negative token":    {200, event(`{"content":[{"id":-1,"logprob":-1,"top_logprobs":[]}]}`), measured.ErrBackend, "another model"},
		"too few":             {200, event(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":-0.1}]}`), measured.ErrBackend, "alternatives"},
		"no lists":            {200, event(`{"tokens":["token_id:6"],"top_logprobs":[]}`), measured.ErrBackend, "lists"},
		"a certain and more":  {200, event(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":0,"token_id:7":0}]}`), measured.ErrBackend, "add up"},
		"positive":            {200, event(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":3,"token_id:7":-9}]}`), measured.ErrBackend, "logarithm"},
		"one twice":           {200, event(`{"content":[{"id":6,"logprob":-1,"top_logprobs":[{"id":6,"logprob":-1},{"id":6,"logprob":-2}]}]}`), measured.ErrBackend, "twice"},
		"no number":           {200, event(`{"content":[{"id":6,"logprob":-1,"top_logprobs":[{"id":6},{"id":7,"logprob":-2}]}]}`), measured.ErrBackend, "no logarithm"},
		"what was not asked":  {200, strings.Repeat(event(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":-0.1,"token_id:7":-9}]}`), 3), measured.ErrBackend, "more than"},
		"a sample":            {200, event(`{"tokens":["token_id:7"],"top_logprobs":[{"token_id:6":-0.1,"token_id:7":-9}]}`), measured.ErrBackend, "must not sample"},
		"a choice of choices": {200, `data: {"choices":[{},{}]}` + "\n\n", measured.ErrBackend, "choices"},
		"an untold end":       {200, `data: {"choices":[{"index":0,"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n", measured.ErrBackend, "which token ended"},
	} {
		s := &server{parrot: honest(), owner: "x", edit: say(c.status, c.body)}
		_, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: s.start(t), Vocab: vocab})
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
		require.Less(t, len(err.Error()), 1000, name)
	}
}

func TestServersThatCannotBeUsed(t *testing.T) {
	for _, url := range []string{"", "ftp://x", "http://", "http://a?b=c", "http://user:pw@a", "://"} {
		_, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: url, Vocab: 3})
		require.ErrorContains(t, err, "want http", url)
	}
	s := &server{parrot: honest(), owner: "x"}
	_, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: s.start(t), Vocab: vocab, Model: "other"})
	require.ErrorContains(t, err, `does not serve "other"`)
	_, err = measured.Connect(t.Context(), measured.HTTPOptions{URL: s.start(t)})
	require.ErrorContains(t, err, "vocabulary")
	// The key goes along, and is not in errors.
	s.edit = func(_ string, w http.ResponseWriter, _ []byte) bool { w.WriteHeader(401); return true }
	_, err = measured.Connect(t.Context(), measured.HTTPOptions{URL: s.start(t), Vocab: vocab, Key: "sk-secret"})
	require.ErrorContains(t, err, "401")
	require.NotContains(t, err.Error(), "secret")
}

// TestServersWithSeveralModels asks for the one that was named.
func TestServersWithSeveralModels(t *testing.T) {
	asked := map[string]bool{}
	s := &server{parrot: honest(), owner: "x"}
	s.edit = func(path string, w http.ResponseWriter, body []byte) bool {
		if path == "/v1/models" {
			fmt.Fprint(w, `{"data":[{"id":"a","owned_by":"vllm"},{"id":"b","owned_by":"x"}]}`)
			return true
		}
		var q struct{ Model string }
		if err := json.Unmarshal(body, &q); err != nil {
			return false
		}
		asked[q.Model] = true
		return false
	}
	h := connect(t, s, measured.HTTPOptions{Model: "b"})
	require.Equal(t, "b", h.Model())
	require.Equal(t, map[string]bool{"b": true}, asked)
	_, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: s.start(t), Vocab: vocab})
	require.ErrorContains(t, err, "2 models")
}

// TestSilenceAndHangingUp: a server that says nothing is left, and one whose client has gone
// hears of it.
func TestSilenceAndHangingUp(t *testing.T) {
	gone := make(chan struct{}, 8)
	s := &server{parrot: honest(), owner: "x"}
	h := connect(t, s, measured.HTTPOptions{Silence: 200 * time.Millisecond})
	quiet := &quietServer{server: s, gone: gone}
	url := quiet.start(t)
	slow, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: url, Vocab: vocab, Silence: 200 * time.Millisecond, Scoring: measured.Steps})
	require.NoError(t, err)
	quiet.hush.Store(true)
	_, err = measured.Generate(t.Context(), slow, task(0, 5), func(answer.Step) bool { return true })
	require.ErrorIs(t, err, measured.ErrUnavailable)
	require.ErrorContains(t, err, "said nothing")
	<-gone

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	_, err = measured.Generate(ctx, slow, task(0, 5), func(answer.Step) bool { return true })
	require.ErrorIs(t, err, why)
	<-gone

	// Who breaks off has what came until then.
	n := 0
	for p, err := range h.Continue(t.Context(), []uint32{1}, 50, 2) {
		require.NoError(t, err)
		require.Len(t, p, 2)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":-0.5,"token_id:7":-1}]}`))
	f.Add([]byte(`{"content":[{"id":6,"logprob":-0.5,"top_logprobs":[{"id":6,"logprob":-0.5},{"id":7,"logprob":-2}]}]}`))
	f.Add([]byte(`{"tokens":["token_id:6"],"top_logprobs":[{"token_id:6":1e308}]}`))
	var logs json.RawMessage
	s := &server{parrot: honest(), owner: "x"}
	h := connect(f, s, measured.HTTPOptions{})
	s.edit = func(path string, w http.ResponseWriter, _ []byte) bool {
		fmt.Fprintf(w, "{\"choices\":[{\"index\":0,\"logprobs\":%s}]}", logs)
		return true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		logs = b
		places, err := h.Score(t.Context(), []uint32{1}, []uint32{6}, 2)
		if err != nil {
			return
		}
		require.Len(t, places, 1)
		for i, a := range places[0] {
			require.Less(t, a.ID, uint32(vocab))
			require.LessOrEqual(t, a.LogProb, int32(0))
			if i > 0 {
				require.LessOrEqual(t, a.LogProb, places[0][i-1].LogProb)
			}
		}
	})
}
