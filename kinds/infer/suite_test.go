package infer_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/worktest"
)

type forge = func(work.Env, work.Result) (work.Result, error)

// edited is a result that somebody changed.
func edited(change func(*claim.Result)) forge {
	return func(_ work.Env, r work.Result) (work.Result, error) {
		res, err := claim.DecodeResult(r.Body)
		if err != nil {
			return r, err
		}
		change(res)
		r.Body, err = res.Encode()
		return r, err
	}
}

// computed is an honest answer to something else, or of another model.
func computed(k *infer.Kind, t work.Task) forge {
	return func(e work.Env, _ work.Result) (work.Result, error) { return k.Execute(context.Background(), e, t) }
}

// shorter serves another model under the root of the right one.
type impostor struct {
	*shelf
	as, is artifact.Digest
}

func (s impostor) Open(root artifact.Digest) (*infer.Card, error) { return s.shelf.Open(s.is) }
func (s impostor) Load(artifact.Digest) (*model.Model, error)     { return s.shelf.Load(s.is) }

// TestSuite holds the kind to what the network expects of every kind, forgeries by workers
// that serve another model, skip layers, change one token or give an old answer included.
func TestSuite(t *testing.T) {
	right := modeltest.File(t, 1, nil)
	altered := modeltest.File(t, 2, nil)
	skipped := modeltest.File(t, 1, func(c *model.Config) { c.Layers = 1 })
	s := newShelf(t, right, altered, skipped)
	kind := newKind(t, infer.Options{Models: s, Engines: machine()})
	spec := &tab.Spec{Version: tab.Version, Key: key(t, 1).Public(), MaxUnits: 10_000,
		Models: []tab.Model{{Root: s.order[0], Name: "noise", PromptUnits: 1, OutputUnits: 3}}}
	good, err := spec.Encode()
	require.NoError(t, err)
	bad := map[string][]byte{"nothing": nil, "text": []byte(`{"models":[]}`)}
	for name, edit := range map[string]func(*tab.Spec){
		"version":   func(s *tab.Spec) { s.Version = 2 },
		"no models": func(s *tab.Spec) { s.Models = nil },
		"17 models": func(s *tab.Spec) {
			for i := range byte(17) {
				s.Models = append(s.Models, tab.Model{Root: artifact.Digest{i + 1}, Name: "m" + string(rune('a'+i)), PromptUnits: 1, OutputUnits: 1})
			}
		},
		"no key":        func(s *tab.Spec) { s.Key = work.PublicKey{} },
		"no units":      func(s *tab.Spec) { s.MaxUnits = 0 },
		"absurd units":  func(s *tab.Spec) { s.MaxUnits = work.MaxUnits },
		"no root":       func(s *tab.Spec) { s.Models[0].Root = artifact.Digest{} },
		"name":          func(s *tab.Spec) { s.Models[0].Name = "a b" },
		"a name twice":  func(s *tab.Spec) { s.Models = append(s.Models, s.Models[0]); s.Models[1].Root[0]++ },
		"a model twice": func(s *tab.Spec) { s.Models = append(s.Models, s.Models[0]); s.Models[1].Name = "other" },
		"free prompts":  func(s *tab.Spec) { s.Models[0].PromptUnits = 0 },
		"dear tokens":   func(s *tab.Spec) { s.Models[0].OutputUnits = tab.MaxPrice + 1 },
		"no request":    func(s *tab.Spec) { s.MaxUnits = 3 },
	} {
		b := *spec
		b.Models = append([]tab.Model(nil), spec.Models...)
		edit(&b)
		require.ErrorIs(t, b.Check(), tab.ErrSpec, name)
		enc, err := work.Encode(b)
		require.NoError(t, err)
		bad[name] = enc
	}
	worktest.Specs(t, kind, [][]byte{good}, bad)

	task := func(q claim.Task) work.Task {
		if q.Model == (claim.Digest{}) {
			q.Model = claim.Digest(s.order[0])
		}
		body, err := q.Encode()
		require.NoError(t, err)
		return work.Task{Job: 1, Seq: 1, Spec: good, Body: body}
	}
	as := func(other int) *infer.Kind {
		return newKind(t, infer.Options{Models: impostor{s, s.order[0], s.order[other]}, Engines: machine()})
	}
	sampled, greedy := question(1, 24), question(2, 16)
	greedy.Sampling = exact.Sampling{}
	logs := question(3, 10)
	logs.LogProbs, logs.Top = true, 5
	stops := question(1, 24)
	embed := claim.Task{Prompt: []uint32{1, 70, 71, 72}, Embed: true}
	sampling := question(1, 24)
	sampling.Sampling.Seed[0]++

	// A stop token that the answer is sure to meet.
	honest, err := kind.Execute(t.Context(), work.Env{}, task(sampled))
	require.NoError(t, err)
	res, err := claim.DecodeResult(honest.Body)
	require.NoError(t, err)
	stops.Stop = []uint32{res.Output[9]}

	worktest.Run(t, kind, []worktest.Case{
		{Name: "sampled", Task: task(sampled), Forge: map[string]forge{
			"a token changed": edited(func(r *claim.Result) { r.Output[11] = (r.Output[11] + 1) % 256 }),
			"the last token":  edited(func(r *claim.Result) { r.Output[23] = (r.Output[23] + 1) % 256 }),
			"cut and padded":  edited(func(r *claim.Result) { copy(r.Output[12:], r.Output[:12]) }),
			"another model":   computed(as(1), task(sampled)),
			"layers skipped":  computed(as(2), task(sampled)),
			"another seed":    computed(kind, task(sampling)),
			"no vocabulary":   edited(func(r *claim.Result) { r.Output[3] = claim.MaxVocab - 1 }),
			"said to stop":    edited(func(r *claim.Result) { r.Finish = claim.Stop }),
			"probabilities":   edited(func(r *claim.Result) { r.LogProbs = make([]int32, 24) }),
		}},
		{Name: "greedy", Task: task(greedy), Forge: map[string]forge{
			"another model": computed(as(1), task(greedy)),
			"hung up on, then a token changed": edited(func(r *claim.Result) {
				r.Output, r.Finish = r.Output[:8], claim.Cancelled
				r.Output[7] = (r.Output[7] + 1) % 256
			}),
		}},
		{Name: "probabilities", Task: task(logs), Forge: map[string]forge{
			"a probability": edited(func(r *claim.Result) { r.LogProbs[4]++ }),
			"an alternative": edited(func(r *claim.Result) {
				r.Top[7].ID = (r.Top[7].ID + 1) % 256
			}),
			"an alternative's probability": edited(func(r *claim.Result) { r.Top[49].LogProb-- }),
			"alternatives in other order":  edited(func(r *claim.Result) { r.Top[0], r.Top[1] = r.Top[1], r.Top[0] }),
		}},
		{Name: "stops", Task: task(stops), Forge: map[string]forge{
			"goes on": edited(func(r *claim.Result) { r.Output, r.Finish = append(r.Output, 70), claim.Cancelled }),
			"early":   edited(func(r *claim.Result) { r.Output = append(r.Output[:4], stops.Stop...) }),
		}},
		{Name: "embedding", Task: task(embed), Forge: map[string]forge{
			"a number":      edited(func(r *claim.Result) { r.Embedding[17]++ }),
			"shorter":       edited(func(r *claim.Result) { r.Embedding = r.Embedding[:47] }),
			"another model": computed(as(1), task(embed)),
		}},
	})
}

func TestWithoutTheModelNobodyJudges(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	a := w.mustAsk(w.mint(nil), question(1, 5))
	_ = a
	task := w.one()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	task.Spec = w.raw
	for _, k := range []*infer.Kind{newKind(t, infer.Options{}), newKind(t, infer.Options{Models: newShelf(t)})} {
		_, err := k.Execute(t.Context(), work.Env{}, task)
		require.Error(t, err)
		_, err = k.Verify(t.Context(), work.Env{}, task, r)
		require.Error(t, err)
	}
	require.Empty(t, newKind(t, infer.Options{}).Holds())
	require.Equal(t, w.shelf.order, worker.Holds())
}

// TestSpoiledAnswersLookRight makes plants of an answer again and again.
func TestSpoiledAnswersLookRight(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	q := question(1, 8)
	q.LogProbs, q.Top = true, 3
	w.mustAsk(w.mint(nil), q)
	task := w.one()
	right, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	task.Spec = w.raw
	was, err := claim.DecodeResult(right.Body)
	require.NoError(t, err)
	gateway := newKind(t, infer.Options{}) // needs no model
	for i := range byte(40) {
		wrong, err := gateway.Spoil(t.Context(), work.Env{Rand: seedBytes(i * 7)}, task, right)
		require.NoError(t, err)
		is, err := claim.DecodeResult(wrong.Body)
		require.NoError(t, err)
		differ := 0
		for k := range is.Output {
			if is.Output[k] != was.Output[k] {
				differ++
				require.NotContains(t, was.TopOf(k), is.Output[k])
			}
		}
		require.Equal(t, 1, differ)
		require.Equal(t, was.LogProbs, is.LogProbs)
		v, err := worker.Verify(t.Context(), work.Env{}, task, wrong)
		require.NoError(t, err)
		require.Equal(t, work.Fail, v.Outcome)
	}
	empty, err := (&claim.Result{Finish: claim.Cancelled}).Encode()
	require.NoError(t, err)
	_, err = gateway.Spoil(t.Context(), work.Env{Rand: seedBytes(1)}, task, work.Result{Body: empty})
	require.ErrorIs(t, err, work.ErrUnspoilable)
	units, err := gateway.Meter(task, work.Result{Body: empty})
	require.NoError(t, err)
	require.Zero(t, units, "what can't be checked is not paid")
}

// TestStories runs a trained model, where there is one.
func TestStories(t *testing.T) {
	const path = "../../../shared/models/stories260K/stories260K.gguf"
	f, err := os.Open(path)
	if err != nil {
		t.Skip("the trained model for tests is not at hand")
	}
	defer f.Close()
	st, err := f.Stat()
	require.NoError(t, err)
	var file bytes.Buffer
	_, err = convert.FromGGUF(&file, f, st.Size(), convert.Options{Name: "stories"})
	require.NoError(t, err)
	s := newShelf(t, file.Bytes())
	w := newWorld(t, infer.Options{Models: s}, func(spec *tab.Spec) { spec.Models[0].Root, spec.Models[0].Name = s.order[0], "stories" })
	w.shelf = s
	worker := newKind(t, infer.Options{Models: s, Engines: machine()})
	words := s.cards[s.order[0]].Tokenizer
	q := claim.Task{Prompt: words.Encode("Once upon a time", false, true), MaxTokens: 16}
	a := w.mustAsk(w.mint(nil), q)
	task := w.one()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), task, r))
	steps, err := all(a)
	require.NoError(t, err)
	text := words.NewDecoder(true)
	var told string
	for _, id := range tokens(steps) {
		told += text.Add(id)
	}
	require.Contains(t, told, "there was a little girl named Lily")
	task.Spec = w.raw
	v, err := worker.Verify(t.Context(), work.Env{}, task, r)
	require.NoError(t, err)
	require.Equal(t, work.Pass, v.Outcome)
	require.Equal(t, work.Replayed, v.Label)
}
