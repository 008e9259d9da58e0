package cli_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// foreign stands for an inference server: the demo model, with the noise of a machine whose
// floating point is its own.
type foreign struct {
	m       *model.Model
	machine string

	mu sync.Mutex
	r  *model.Runner
}

func newForeign(m *model.Model, machine string) *foreign {
	return &foreign{m: m, machine: machine, r: model.NewRunner(m, kernel.Best(), 1)}
}

// noise is up to 0.004 nats of a token at a place.
func (f *foreign) noise(tokens []uint32, id uint32) int32 {
	h := fnv.New64a()
	fmt.Fprint(h, f.machine, tokens, id)
	return int32((h.Sum64()*0x9e3779b97f4a7c15)>>40) % (1 << 16 / 250)
}

func (f *foreign) Score(ctx context.Context, prompt, output []uint32, top int) (list []measured.Place, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Concat(prompt, output)
	cache := model.NewCache(f.m, len(all)/model.PageTokens+1)
	for t, err := range model.Redraw(ctx, f.r, cache, model.Request{Prompt: prompt, Top: top}, output, 64, true) {
		if err != nil {
			return nil, err
		}
		var p measured.Place
		for _, a := range t.Top {
			p = append(p, claim.Alternative{ID: a.ID, LogProb: min(a.LogProb, 0) - f.noise(all[:len(prompt)+len(list)], a.ID)})
		}
		slices.SortFunc(p, func(a, b claim.Alternative) int {
			return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.ID, b.ID))
		})
		list = append(list, p)
	}
	return list, nil
}

func (f *foreign) Continue(ctx context.Context, tokens []uint32, limit, top int) iter.Seq2[measured.Place, error] {
	return func(yield func(measured.Place, error) bool) {
		for range limit {
			list, err := f.Score(ctx, tokens, []uint32{0}, top)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(list[0], nil) {
				return
			}
			tokens = append(slices.Clone(tokens), list[0][0].ID)
		}
	}
}

// ServeHTTP speaks as vLLM does.
func (f *foreign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/models" {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": []any{map[string]any{"id": "stand-in", "owned_by": "vllm"}}})
		return
	}
	var q struct {
		Prompt []uint32 `json:"prompt"`
		Most   int      `json:"max_tokens"`
		Logs   int      `json:"logprobs"`
		Stream bool     `json:"stream"`
		Echo   bool     `json:"echo"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := func(id uint32) string { return fmt.Sprintf("token_id:%d", id) }
	choice := func(tokens []uint32, places []measured.Place, finish any) map[string]any {
		names, tops := []string{}, []map[string]float64{}
		for i, id := range tokens {
			var top map[string]float64
			for _, a := range places[i] {
				if top == nil {
					top = map[string]float64{}
				}
				top[name(a.ID)] = float64(a.LogProb) / (1 << 16)
			}
			names, tops = append(names, name(id)), append(tops, top)
		}
		return map[string]any{"choices": []any{map[string]any{
			"index": 0, "finish_reason": finish, "logprobs": map[string]any{"tokens": names, "top_logprobs": tops},
		}}}
	}
	if q.Echo {
		places, err := f.Score(r.Context(), q.Prompt[:1], q.Prompt[1:], q.Logs)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(choice(q.Prompt, append([]measured.Place{nil}, places...), "length"))
		return
	}
	for p, err := range f.Continue(r.Context(), q.Prompt, q.Most, q.Logs) {
		if err != nil {
			return
		}
		b, _ := json.Marshal(choice([]uint32{p[0].ID}, []measured.Place{p}, nil))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
	fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
}

// described calibrates the demo model on two honest stand-ins, and keeps its description where
// this network's machines look for it.
func (w *world) described(name string) artifact.Digest {
	t := w.t
	head, err := modeldir.At(w.home.Models()).Open(models.DemoName)
	require.NoError(t, err)
	right, err := all.Models(w.home.Models()).Load(artifact.Digest(head.Root))
	require.NoError(t, err)
	var prompts [][]uint32
	for i := range 48 {
		prompts = append(prompts, head.Tokenizer.Encode(fmt.Sprintf("violin %d:", i), true, true))
	}
	runs, err := measured.Honest(t.Context(), []measured.Pair{{Name: "a by b", Worker: newForeign(right, "a"), Auditor: newForeign(right, "b")}}, prompts, 24, nil, nil)
	require.NoError(t, err)
	noise, err := measured.Calibrate(runs)
	require.NoError(t, err)
	digest, err := measured.NewShelf(filepath.Join(w.home.Models(), "measured")).Add(&measured.Descriptor{
		Version: measured.Version, Name: name, Root: artifact.Digest(head.Root), Backend: "stand-ins", Noise: *noise,
	})
	require.NoError(t, err)
	return digest
}

// served runs a worker that answers with a server of its own.
func (w *world) served(name string, m *model.Model) work.PublicKey {
	t := w.t
	server := httptest.NewServer(newForeign(m, name))
	t.Cleanup(server.Close)
	list, stop, err := all.Kinds(all.Options{Models: w.home.Models(), Backend: server.URL})
	require.NoError(t, err)
	t.Cleanup(stop)
	i := slices.IndexFunc(list, func(k work.Kind) bool { return k.Name() == measured.Name })
	key, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	w.joinFor(name, key, []work.Name{measured.Name}, func(c *worker.Config) { c.Kinds = list[i : i+1] })
	return key.Public()
}

// suspicion is what the ledger has against a worker, in thousandths of a nat.
func suspicion(r types.Worker) uint32 {
	for _, s := range r.Suspicions {
		if s.Kind == string(measured.Name) {
			return s.Sum
		}
	}
	return 0
}

// Answers of foreign servers are measured, settled with their label and paid. A worker that
// sells a model of 4 bits for the right one is convicted by what many answers add up to, and
// nobody else is.
func TestForeignServersAreMeasured(t *testing.T) {
	w := inferWorld(t, 1)
	const name = "demo-float"
	digest := w.described(name)
	vocabulary, err := measured.NewShelf(filepath.Join(w.home.Models(), "measured")).Get(digest)
	require.NoError(t, err)
	right, err := all.Models(w.home.Models()).Load(vocabulary.Root)
	require.NoError(t, err)
	fair := []work.PublicKey{w.served("a", right), w.served("b", right)}

	// One tab is of one kind.
	c := cli.Root("test")
	c.SetOut(new(bytes.Buffer))
	c.SetArgs([]string{"tab", "open", "--models", models.DemoName + "," + name, "--home", string(w.home)})
	require.ErrorContains(t, c.ExecuteContext(t.Context()), "one kind")

	question := func(n int) ask.Request {
		warm, seed := 1.0, int64(n)
		return ask.Request{Model: name, Prompt: fmt.Sprintf("violin %d:", n%60), Seed: &seed, Temperature: &warm, MaxTokens: 24}
	}
	tab := w.openTabOf(digest.String()[:12], "--audit", "100", "--epoch", "10", "--escrow", "2note")
	units := uint64(0)
	for n := range 8 {
		a, err := tab.Ask(t.Context(), question(n), nil)
		require.NoError(t, err)
		require.NoError(t, a.Proof.Check())
		require.Contains(t, fair, a.Proof.Worker)
		units += a.Proof.Units
	}
	require.Contains(t, string(w.run("tab", "list")), measured.Name)
	require.Contains(t, string(w.run("tab", "show", fmt.Sprint(tab.Job))), measured.Name)
	account := w.closeTab(tab)
	require.Equal(t, units, account.Units)
	require.Zero(t, account.False)
	var labels []string
	for _, e := range account.Epochs {
		labels = append(labels, e.Label)
	}
	require.Contains(t, labels, string(work.Measured), "labels %s", strings.Join(labels, ", "))

	less, err := altered{all.Models(w.home.Models()), quantised}.Load(vocabulary.Root)
	require.NoError(t, err)
	liar := w.served("liar", less)
	p, err := w.Params(t.Context())
	require.NoError(t, err)
	tab = w.openTabOf(name, "--audit", "100", "--epoch", "10", "--escrow", "5note")
	record := func(key work.PublicKey) types.Worker {
		r, err := w.WorkerRecord(t.Context(), key)
		require.NoError(t, err)
		return r
	}
	began := time.Now()
	for round := 0; record(liar).Status == types.Status_STATUS_ACTIVE; round++ {
		require.Less(t, round, 60, "nobody convicted the liar; the ledger has %d against it", suspicion(record(liar)))
		var asked sync.WaitGroup
		for i := range 6 {
			asked.Go(func() {
				// An answer of the liar's may be lost when it is convicted.
				_, _ = tab.Ask(t.Context(), question(round*6+i), nil)
			})
		}
		asked.Wait()
		now := record(liar)
		t.Logf("round %d after %s: %s with %d against it", round, time.Since(began).Round(time.Second), now.Status, suspicion(now))
	}
	r := record(liar)
	// Jailed, and on a slow machine gone by now.
	require.Contains(t, []types.Status{types.Status_STATUS_JAILED, types.Status_STATUS_GONE}, r.Status)
	require.NotZero(t, r.AuditsFailed)
	require.True(t, r.Bond.LT(p.MinWorkerBond), "the liar's bond is still %s", r.Bond)
	account = w.closeTab(tab)
	require.NotZero(t, account.False)
	against := 0
	for _, e := range account.Epochs {
		r, err := w.Work.Epoch(t.Context(), &types.QueryEpochRequest{Job: uint64(tab.Job), Number: e.Number})
		require.NoError(t, err)
		for _, s := range r.Epoch.Samples {
			if s.Score > 0 {
				against++
			}
		}
	}
	require.Greater(t, against, int(p.MeasuredThreshold/p.MeasuredClip), "so few answers convict nobody")
	for _, e := range account.Earned {
		require.Equal(t, e.Worker != liar, e.Amount.IsPositive(), "%s was paid %s", e.Worker, e.Amount)
	}
	for _, key := range fair {
		r := record(key)
		require.Equal(t, types.Status_STATUS_ACTIVE, r.Status)
		require.True(t, r.Bond.GTE(p.MinWorkerBond.MulRaw(6).QuoRaw(10)), "an honest worker's bond is %s", r.Bond)
		require.Less(t, int64(suspicion(r)), int64(p.MeasuredThreshold)/2)
	}
}
