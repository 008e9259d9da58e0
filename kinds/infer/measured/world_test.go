package measured_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

const vocab = 64

// parrot is a language model: what it says next is a hash of the last three tokens. Noise is
// how far a machine's arithmetic, or a quantised copy, is off.
type parrot struct {
	model, machine string
	noise          float64
	end            uint32 // a token that ends a text; 0 for none
	asked          int
}

func unit(of string, parts ...uint32) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(of))
	x := h.Sum64()
	for _, p := range parts {
		x = (x ^ uint64(p)) * 0x9e3779b97f4a7c15
		x ^= x >> 29
	}
	x *= 0xbf58476d1ce4e5b9
	return float64((x^x>>32)>>11) / (1 << 53)
}

func (p *parrot) place(tokens []uint32, top int) measured.Place {
	last := tokens[max(len(tokens)-3, 0):]
	at := func(more ...uint32) []uint32 { return append(slices.Clone(last), more...) }
	logits, sum := make([]float64, vocab), 0.0
	for i := range logits {
		logits[i] = 8*math.Pow(unit(p.model, at(uint32(i))...), 2) + p.noise*(unit(p.machine, at(uint32(i), uint32(len(tokens)))...)-0.5)
		sum += math.Exp(logits[i])
	}
	var list measured.Place
	for i, l := range logits {
		list = append(list, claim.Alternative{ID: uint32(i), LogProb: int32(math.Round(min(l-math.Log(sum), 0) * 65536))})
	}
	slices.SortFunc(list, func(a, b claim.Alternative) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.ID, b.ID))
	})
	return list[:top]
}

func (p *parrot) Continue(_ context.Context, tokens []uint32, limit, top int) iter.Seq2[measured.Place, error] {
	p.asked++
	return func(yield func(measured.Place, error) bool) {
		for range limit {
			next := p.place(tokens, top)
			if !yield(next, nil) || p.end != 0 && next[0].ID == p.end {
				return
			}
			tokens = append(slices.Clone(tokens), next[0].ID)
		}
	}
}

func (p *parrot) Score(_ context.Context, prompt, output []uint32, top int) (list []measured.Place, err error) {
	all := slices.Concat(prompt, output)
	for i := range output {
		list = append(list, p.place(all[:len(prompt)+i], top))
	}
	return list, nil
}

func task(n int, most uint32) *claim.Task {
	return measured.Question([]uint32{1, uint32(n % vocab), uint32(n / vocab % vocab)}, int(most), nil, uint32(n))
}

func said(t testing.TB, b measured.Backend, q *claim.Task) *claim.Result {
	r, err := measured.Generate(t.Context(), b, q, func(answer.Step) bool { return true })
	require.NoError(t, err)
	require.NoError(t, measured.Check(q, r))
	return r
}

func honest() *parrot  { return &parrot{model: "m", machine: "a", noise: 0.004} }
func auditor() *parrot { return &parrot{model: "m", machine: "b", noise: 0.004} }

// quantised is the same model, a good deal rounder.
func quantised() *parrot { return &parrot{model: "m", machine: "q", noise: 0.1} }

// runs are answers of a worker, measured.
func runs(t testing.TB, worker measured.Backend, from, n int) (list []measured.Run) {
	for i := range n {
		q := task(from+i, 32)
		m, _, err := measured.Audit(t.Context(), auditor(), q, said(t, worker, q))
		require.NoError(t, err)
		list = append(list, measured.Run{Group: "a by b", Measurement: m})
	}
	return list
}

func calibration(t testing.TB) *measured.Calibration {
	c, err := measured.Calibrate(runs(t, honest(), 0, 120))
	require.NoError(t, err)
	return c
}

// server is an OpenAI-compatible server with a parrot behind it, in the dialect of owner.
type server struct {
	*parrot
	owner  string
	noEcho bool
	edit   func(path string, w http.ResponseWriter, body []byte) bool // answers itself
}

func (s *server) start(t testing.TB) string {
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func (s *server) logs(tokens []uint32, places []measured.Place) any {
	if s.owner == "llamacpp" {
		var content []map[string]any
		for i, p := range places {
			var top []map[string]any
			for _, a := range p {
				top = append(top, map[string]any{"id": a.ID, "token": "x", "logprob": float64(a.LogProb) / 65536})
			}
			content = append(content, map[string]any{"id": tokens[i], "token": "x", "top_logprobs": top, "logprob": -1})
		}
		return map[string]any{"content": content}
	}
	names, tops := []string{}, []any{}
	for i, id := range tokens {
		names = append(names, fmt.Sprintf("token_id:%d", id))
		if places[i] == nil {
			tops = append(tops, nil)
			continue
		}
		m := map[string]float64{}
		for _, a := range places[i] {
			m[fmt.Sprintf("token_id:%d", a.ID)] = float64(a.LogProb) / 65536
		}
		tops = append(tops, m)
	}
	return map[string]any{"tokens": names, "top_logprobs": tops}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	if s.edit != nil && s.edit(r.URL.Path, w, body.Bytes()) {
		return
	}
	if r.URL.Path == "/v1/models" {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": []any{map[string]any{"id": "parrot-q", "owned_by": s.owner}}})
		return
	}
	var q struct {
		Prompt []uint32 `json:"prompt"`
		Most   int      `json:"max_tokens"`
		Logs   int      `json:"logprobs"`
		Stream bool     `json:"stream"`
		Echo   bool     `json:"echo"`
	}
	if err := json.Unmarshal(body.Bytes(), &q); err != nil || q.Echo && s.noEcho {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":{"message":"echo is not for me"}}`))
		return
	}
	choice := func(tokens []uint32, places []measured.Place, finish any) any {
		return map[string]any{"choices": []any{map[string]any{"index": 0, "logprobs": s.logs(tokens, places), "finish_reason": finish}}}
	}
	var tokens []uint32
	var places []measured.Place
	if q.Echo {
		tokens, places = slices.Clone(q.Prompt), []measured.Place{nil}
		for i := 1; i < len(q.Prompt); i++ {
			places = append(places, s.place(q.Prompt[:i], q.Logs))
		}
	}
	for p := range s.Continue(r.Context(), q.Prompt, q.Most, q.Logs) {
		if q.Stream {
			b, _ := json.Marshal(choice([]uint32{p[0].ID}, []measured.Place{p}, nil))
			if _, err := fmt.Fprintf(w, ": a comment\n\ndata: %s\n\n", b); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
		tokens, places = append(tokens, p[0].ID), append(places, p)
	}
	finish := "length"
	if s.end != 0 && tokens[len(tokens)-1] == s.end {
		finish = "stop"
	}
	if !q.Stream {
		_ = json.NewEncoder(w).Encode(choice(tokens, places, finish))
		return
	}
	fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"finish_reason\":%q}]}\n\ndata: [DONE]\n\n", finish)
}

func connect(t testing.TB, s *server, o measured.HTTPOptions) *measured.HTTP {
	o.URL, o.Vocab = s.start(t), vocab
	h, err := measured.Connect(t.Context(), o)
	require.NoError(t, err)
	return h
}

// quietServer stops speaking when it is told to, and tells when its client has gone.
type quietServer struct {
	*server
	hush atomic.Bool
	gone chan struct{}
}

func (s *quietServer) start(t testing.TB) string {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hush.Load() {
			s.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		s.gone <- struct{}{}
	}))
	t.Cleanup(h.Close)
	return h.URL
}
