package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// gauge is a market in which crawls are measured.
func gauge(t testing.TB) (*world, *gate) {
	w := crew(t, func(p *types.Params) { p.MeasuredKinds = []string{kindName} })
	return w, w.openJob("buyer", "gate")
}

// look has one more receipt of ada/0's audited with these scores.
func look(w *world, g *gate, find finding, scores ...int32) types.Sample {
	w.t.Helper()
	g.scores = scores
	n := g.commit(task{"ada/0", uint64(len(g.epochs)) + 1, 10})
	g.w.next()
	g.audit(n, find)
	w.skip(6)
	e := w.epoch(g.job, n)
	require.Equal(w.t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
	return e.Samples[0]
}

// A worker whose receipts look like a cheat's again and again is convicted, and not before.
func TestSuspicionAddsUp(t *testing.T) {
	w, g := gauge(t)
	for i := range 6 {
		s := look(w, g, liar, 90_000, 3_500, 90_000) // clipped to 4,000
		require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UNDECIDED, s.Status, "one sample convicts nobody")
		require.EqualValues(t, 4_000, s.Score)
		require.Equal(t, []types.Suspicion{{Kind: kindName, Sum: uint32(i+1) * 4_000}}, w.worker("ada/0").Suspicions)
		require.Equal(t, notes(100), w.worker("ada/0").Bond)
		require.Equal(t, "asserted", w.epoch(g.job, uint64(i)+1).Label)
	}
	w = w.reborn()
	g.w = w
	s := look(w, g, liar, 1_000, 2_000, 1_500)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, s.Status)
	require.EqualValues(t, 1_500, s.Score, "the median")
	cheat := w.worker("ada/0")
	require.Equal(t, types.Status_STATUS_JAILED, cheat.Status)
	require.Equal(t, notes(50), cheat.Bond)
	require.EqualValues(t, 1, cheat.AuditsFailed)
	require.Empty(t, cheat.Suspicions)
	for _, slot := range s.Slots {
		require.Equal(t, notes(100), w.worker(nameOf(work.PublicKey(slot.Auditor))).Bond)
	}
}

// What was good long ago excuses nothing, and what was bad is made up for.
func TestSuspicionNeverFallsBelowZero(t *testing.T) {
	w, g := gauge(t)
	for range 3 {
		s := look(w, g, honest, -9_000, -9_000, -9_000)
		require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UPHELD, s.Status)
		require.EqualValues(t, -4_000, s.Score)
		require.Empty(t, w.worker("ada/0").Suspicions)
	}
	require.Equal(t, "measured", w.epoch(g.job, 3).Label)
	require.EqualValues(t, 3, w.worker("ada/0").AuditsPassed)
	look(w, g, honest, 3_000, 3_000, 3_000)
	look(w, g, honest, -1_000, -1_000, -1_000)
	require.EqualValues(t, 2_000, w.worker("ada/0").Suspicions[0].Sum)
	look(w, g, honest, -2_000, -2_000, -2_000)
	require.Empty(t, w.worker("ada/0").Suspicions)
	// One auditor that lies moves nothing, nor does one alone of three.
	look(w, g, honest, 4_000, -10, -20)
	require.Empty(t, w.worker("ada/0").Suspicions)
	n := 0
	look(w, g, func(int, work.PublicKey) types.Outcome {
		if n++; n > 1 {
			return types.Outcome_OUTCOME_UNSURE
		}
		return types.Outcome_OUTCOME_FAIL
	}, 4_000, 4_000, 4_000)
	require.Empty(t, w.worker("ada/0").Suspicions)
}

// A score is inside the commitment, and only verdicts of measured kinds have one.
func TestScoresRefused(t *testing.T) {
	w, g := gauge(t)
	g.scores = []int32{5, 6, 7}
	g.commit(task{"ada/0", 1, 10})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	c, r := g.verdicts(1, honest)
	must(w, w.msg.CommitVerdicts, c)
	r.Verdicts[0].Score = 9
	refused(w, types.ErrVerdict, "not the committed one", w.msg.RevealVerdicts, r)
	r.Verdicts[0].Score = work.MaxScore + 1
	refused(w, types.ErrInvalid, "at most", w.msg.RevealVerdicts, r)
	r.Verdicts[0].Score = 5
	must(w, w.msg.RevealVerdicts, r)
	must(w, w.msg.RevealVerdicts, r) // carried twice

	w = crew(t)
	g = w.openJob("buyer", "gate")
	g.scores = []int32{5, 6, 7}
	g.commit(task{"ada/0", 1, 10})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	c, r = g.verdicts(1, honest)
	must(w, w.msg.CommitVerdicts, c)
	refused(w, types.ErrVerdict, "have none", w.msg.RevealVerdicts, r)
}

// A plant's scores are nobody's, and passing one costs as ever.
func TestMeasuredPlants(t *testing.T) {
	w := crew(t, func(p *types.Params) { p.MeasuredKinds = []string{kindName} })
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	g.scores = []int32{4_000, 4_000, 4_000}
	n := g.commitPlanted([]uint64{0}, task{"ada/1", 1, 10})
	w.next()
	var lazy string
	g.audit(n, func(_ int, k work.PublicKey) types.Outcome {
		if lazy == "" {
			lazy = nameOf(k)
			return types.Outcome_OUTCOME_PASS
		}
		return types.Outcome_OUTCOME_FAIL
	})
	must(w, w.msg.RevealPlants, g.reveal(n))
	require.Empty(t, w.worker("ada/1").Suspicions)
	require.Equal(t, cut(notes(100), 500, 1), w.worker(lazy).Bond)
	require.Zero(t, w.gateway("gate").PlantsUpheld)
	w.skip(8)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, n).Status)
}

func TestSuspect(t *testing.T) {
	p := types.DefaultParams()
	var w types.Worker
	for _, c := range []struct {
		kind  string
		score int32
		want  []types.Suspicion
		over  bool
	}{
		{"b/1", -5, nil, false},
		{"b/1", 1_000, []types.Suspicion{{Kind: "b/1", Sum: 1_000}}, false},
		{"a/1", 1 << 30, []types.Suspicion{{Kind: "a/1", Sum: 4_000}, {Kind: "b/1", Sum: 1_000}}, false},
		{"c/1", 7, []types.Suspicion{{Kind: "a/1", Sum: 4_000}, {Kind: "b/1", Sum: 1_000}, {Kind: "c/1", Sum: 7}}, false},
		{"b/1", -1_000, []types.Suspicion{{Kind: "a/1", Sum: 4_000}, {Kind: "c/1", Sum: 7}}, false},
		{"a/1", -1 << 30, []types.Suspicion{{Kind: "c/1", Sum: 7}}, false},
	} {
		_, over := w.Suspect(c.kind, c.score, p)
		require.Equal(t, c.over, over)
		require.Equal(t, len(c.want), len(w.Suspicions))
		for i := range c.want {
			require.Equal(t, c.want[i], w.Suspicions[i])
		}
	}
	p.MeasuredClip = p.MeasuredThreshold / 2
	require.ErrorContains(t, p.Validate(), "at least three times")
	p = types.DefaultParams()
	p.MeasuredKinds = p.RefereedKinds
	require.ErrorContains(t, p.Validate(), "want one")
}
