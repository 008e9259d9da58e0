package answer_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

func key(t testing.TB, n byte) work.PrivateKey {
	k, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{n}, 32))
	require.NoError(t, err)
	return k
}

// honest computes an answer and signs for it.
func honest(t testing.TB, m *model.Model, q claim.Task) (*answer.Proof, []byte) {
	q.Model = claim.Digest(m.Root)
	e := model.NewEngine(m, model.NewRunner(m, kernel.Best(), 1), model.Limits{Pages: 32, Active: 1, Waiting: 1, Rows: 64})
	defer e.Close()
	r := &claim.Result{Finish: claim.Length}
	for tok, err := range e.Generate(t.Context(), model.Request{Prompt: q.Prompt, MaxTokens: int(q.MaxTokens), Sampling: q.Sampling, Top: int(q.Top)}) {
		require.NoError(t, err)
		r.Output = append(r.Output, tok.ID)
		if q.LogProbs {
			r.LogProbs = append(r.LogProbs, tok.LogProb)
			for _, a := range tok.Top {
				r.Top = append(r.Top, claim.Alternative(a))
			}
		}
	}
	spec := tab.Spec{Version: tab.Version, Key: key(t, 1).Public(), MaxUnits: 1000, Models: []tab.Model{{Root: artifact.Digest(m.Root), Name: "noise", PromptUnits: 2, OutputUnits: 5}}}
	raw, err := spec.Encode()
	require.NoError(t, err)
	return signed(t, raw, spec.Models[0], &q, r, nil), raw
}

func signed(t testing.TB, spec []byte, m tab.Model, q *claim.Task, r *claim.Result, edit func(*work.Receipt)) *answer.Proof {
	task, err := q.Encode()
	require.NoError(t, err)
	result, err := r.Encode()
	require.NoError(t, err)
	wt := work.Task{Job: 4, Seq: 17, Spec: spec, Body: task}
	receipt := work.Receipt{Chain: "net-1", Job: 4, Seq: 17, Attempt: 1, Task: wt.Digest(), Result: artifact.Sum(result), Units: m.Units(q, r), Started: 5, Finished: 6}
	if edit != nil {
		edit(&receipt)
	}
	s, err := work.SignReceipt(key(t, 9), receipt)
	require.NoError(t, err)
	enc, err := s.Encode()
	require.NoError(t, err)
	p, err := answer.New(artifact.Sum(spec), m, "1500", enc, task, result)
	require.NoError(t, err)
	return p
}

func question() claim.Task {
	return claim.Task{Prompt: []uint32{1, 70, 80}, MaxTokens: 12, LogProbs: true, Top: 2, Sampling: exact.Sampling{Seed: [32]byte{3}, Temperature: 900_000}}
}

func TestProofs(t *testing.T) {
	m := modeltest.Load(t, modeltest.File(t, 1, nil))
	p, spec := honest(t, m, question())
	require.NoError(t, p.Check())
	require.NoError(t, p.CheckSpec(spec))
	cost, ok := p.Cost()
	require.True(t, ok)
	require.EqualValues(t, (3*2+12*5)*1500, cost.Int64())
	r := model.NewRunner(m, kernel.Portable(), 2)
	defer r.Close()
	require.NoError(t, p.Replay(t.Context(), m, r))

	other := modeltest.Load(t, modeltest.File(t, 2, nil))
	or := model.NewRunner(other, kernel.Best(), 1)
	defer or.Close()
	err := p.Replay(t.Context(), other, or)
	require.Error(t, err)
	require.NotErrorIs(t, err, answer.ErrFalse, "the wrong model says nothing")

	// Any field that is changed is noticed.
	for name, edit := range map[string]func(*answer.Proof){
		"chain": func(p *answer.Proof) { p.Chain = "net-2" }, "job": func(p *answer.Proof) { p.Job++ }, "seq": func(p *answer.Proof) { p.Seq++ },
		"worker": func(p *answer.Proof) { p.Worker[0]++ }, "model": func(p *answer.Proof) { p.Model[0]++ }, "spec": func(p *answer.Proof) { p.Spec[0]++ },
		"prompt units": func(p *answer.Proof) { p.PromptUnits++ }, "output units": func(p *answer.Proof) { p.OutputUnits++ },
		"units": func(p *answer.Proof) { p.Units++ }, "receipt": func(p *answer.Proof) { p.Receipt = p.Receipt[:len(p.Receipt)-1] },
		"signature": func(p *answer.Proof) { p.Receipt[len(p.Receipt)-1] ^= 1 },
		"task":      func(p *answer.Proof) { p.Task[len(p.Task)-1] ^= 1 }, "result": func(p *answer.Proof) { p.Result[5] ^= 1 },
		"price": func(p *answer.Proof) { p.Price = "1e9" }, "a negative price": func(p *answer.Proof) { p.Price = "-1" },
	} {
		changed := *p
		changed.Receipt, changed.Task, changed.Result = bytes.Clone(p.Receipt), bytes.Clone(p.Task), bytes.Clone(p.Result)
		edit(&changed)
		require.ErrorIs(t, changed.Check(), answer.ErrProof, name)
	}
	renamed := *p
	renamed.Name = "better"
	require.NoError(t, renamed.Check())
	require.ErrorIs(t, renamed.CheckSpec(spec), answer.ErrProof)
	require.ErrorIs(t, p.CheckSpec([]byte("another spec")), answer.ErrProof)
}

// TestLiesAreFound signs for answers that are not what their task gives.
func TestLiesAreFound(t *testing.T) {
	m := modeltest.Load(t, modeltest.File(t, 1, nil))
	p, spec := honest(t, m, question())
	q, honest, err := p.Claim()
	require.NoError(t, err)
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	for name, c := range map[string]struct {
		edit func(*claim.Result)
		at   int
	}{
		"a token":        {func(r *claim.Result) { r.Output[7] = (r.Output[7] + 1) % 256 }, 7},
		"a probability":  {func(r *claim.Result) { r.LogProbs[11]-- }, 11},
		"an alternative": {func(r *claim.Result) { r.Top[9].LogProb++ }, 4},
		"a cut answer":   {func(r *claim.Result) { r.Output[0], r.Finish = 12, claim.Length }, 0},
	} {
		lie, err := claim.DecodeResult(p.Result)
		require.NoError(t, err)
		c.edit(lie)
		signed := signed(t, spec, tab.Model{Root: p.Model, Name: p.Name, PromptUnits: 2, OutputUnits: 5}, q, lie, nil)
		require.NoError(t, signed.Check(), "the signature is right")
		err = signed.Replay(t.Context(), m, r)
		require.ErrorIs(t, err, answer.ErrFalse, name)
		var d *answer.Difference
		require.ErrorAs(t, err, &d)
		require.Equal(t, c.at, d.Token, name)
	}
	_ = honest
	greedy := signed(t, spec, tab.Model{Root: p.Model, Name: p.Name, PromptUnits: 2, OutputUnits: 5}, q, honest, func(r *work.Receipt) { r.Units-- })
	require.ErrorIs(t, greedy.Check(), answer.ErrProof)
}

func TestParseIsStrict(t *testing.T) {
	m := modeltest.Load(t, modeltest.File(t, 1, nil))
	p, _ := honest(t, m, question())
	b, err := json.Marshal(p)
	require.NoError(t, err)
	got, err := answer.Parse(b)
	require.NoError(t, err)
	require.Equal(t, p, got)
	var loose map[string]any
	require.NoError(t, json.Unmarshal(b, &loose))
	sorted, err := json.MarshalIndent(loose, "", "  ")
	require.NoError(t, err)
	got, err = answer.Parse(sorted)
	require.NoError(t, err, "programs reorder fields")
	require.NoError(t, got.Check())
	loose["extra"] = 1
	more, err := json.Marshal(loose)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"nothing": nil, "more": more, "twice": append(bytes.Clone(b), b...), "cut": b[:len(b)-9], "null": []byte("null"),
		"version": bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1), "huge": make([]byte, answer.MaxProof+1),
	} {
		_, err := answer.Parse(bad)
		require.ErrorIs(t, err, answer.ErrProof, name)
	}
}

func FuzzProof(f *testing.F) {
	q := claim.Task{Model: claim.Digest{1}, Prompt: []uint32{1, 70}, MaxTokens: 2}
	r := claim.Result{Output: []uint32{7, 8}, Finish: claim.Length}
	b, err := json.Marshal(signed(f, []byte("a spec"), tab.Model{Root: artifact.Digest{1}, Name: "m", PromptUnits: 1, OutputUnits: 2}, &q, &r, nil))
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := answer.Parse(b)
		if err != nil {
			require.ErrorIs(t, err, answer.ErrProof)
			return
		}
		if err := p.Check(); err != nil {
			require.ErrorIs(t, err, answer.ErrProof)
			return
		}
		task, r, err := p.Claim()
		require.NoError(t, err)
		require.NoError(t, r.Check(task))
	})
}

func FuzzPart(f *testing.F) {
	q := question()
	b, err := answer.Part{Offset: 2, Steps: []answer.Step{{Token: 7, LogProb: -5, Top: []claim.Alternative{{ID: 7, LogProb: -5}, {ID: 9, LogProb: -8}}}}}.Encode(&q)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := answer.DecodePart(b, &q)
		if err != nil {
			return
		}
		require.LessOrEqual(t, int(p.Offset)+len(p.Steps), int(q.MaxTokens))
		for _, s := range p.Steps {
			require.Len(t, s.Top, int(q.Top))
		}
		again, err := p.Encode(&q)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
