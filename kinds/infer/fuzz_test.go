package infer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// FuzzMeter feeds tasks and results of any sort: none may be worth more than the tab pays
// for a request, and none that is accepted may break what others rely on.
func FuzzMeter(f *testing.F) {
	k := newKind(f, infer.Options{})
	spec := &tab.Spec{Version: tab.Version, Key: key(f, 1).Public(), MaxUnits: 1000,
		Models: []tab.Model{{Root: artifact.Digest{1}, Name: "m", PromptUnits: 1, OutputUnits: 3}}}
	raw, err := spec.Encode()
	require.NoError(f, err)
	q := question(1, 3)
	q.Model, q.Stop = claim.Digest{1}, []uint32{9}
	q.LogProbs, q.Top = true, 1
	task, err := q.Encode()
	require.NoError(f, err)
	for _, r := range []claim.Result{
		{Finish: claim.Cancelled},
		{Finish: claim.Stop, Output: []uint32{9}, LogProbs: []int32{-1}, Top: []claim.Alternative{{ID: 9, LogProb: -1}}},
	} {
		body, err := r.Encode()
		require.NoError(f, err)
		f.Add(raw, task, body)
	}
	f.Fuzz(func(t *testing.T, spec, task, body []byte) {
		wt := work.Task{Job: 1, Seq: 1, Spec: spec, Body: task}
		units, err := k.Meter(wt, work.Result{Body: body})
		if err != nil {
			require.Zero(t, units)
			return
		}
		needs, err := k.Check(spec)
		require.NoError(t, err)
		require.LessOrEqual(t, units, needs.UnitsPerTask)
		c, err := claim.DecodeTask(task)
		require.NoError(t, err)
		r, err := claim.DecodeResult(body)
		require.NoError(t, err)
		require.NoError(t, r.Check(c))
		if wrong, err := k.Spoil(t.Context(), work.Env{Rand: seedBytes(3)}, wt, work.Result{Body: body}); err == nil {
			same, err := k.Meter(wt, wrong)
			require.NoError(t, err)
			require.Equal(t, units, same)
			require.NotEqual(t, body, wrong.Body)
		}
	})
}
