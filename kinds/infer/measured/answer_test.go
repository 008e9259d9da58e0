package measured_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// TestDrawIsTheExactOne holds the draw against that of the exact kind, on all tokens at once.
func TestDrawIsTheExactOne(t *testing.T) {
	logits := make([]int32, 16)
	for n := range 300 {
		var p measured.Place
		for i := range logits {
			logits[i] = -int32(unit("l", uint32(n), uint32(i)) * 400_000)
			p = append(p, claim.Alternative{ID: uint32(i), LogProb: logits[i]})
		}
		slices.SortFunc(p, func(a, b claim.Alternative) int { return int(b.LogProb - a.LogProb) })
		s := exact.Sampler{Sampling: exact.Sampling{Seed: [32]byte{byte(n)}, Temperature: uint32(n%4) * 500_000, TopK: uint32(n % 5), TopP: uint32(n%3) * 400_000}}
		is := measured.Draw(p, &s.Sampling, uint64(n))
		require.EqualValues(t, s.Draw(logits, uint64(n)), is)
		require.Zero(t, measured.Gap(p, is, &s.Sampling, uint64(n), 4))
		for _, a := range p {
			g := measured.Gap(p, a.ID, &s.Sampling, uint64(n), 4)
			require.GreaterOrEqual(t, g, 0.0)
			require.LessOrEqual(t, g, 4.0)
		}
		require.Equal(t, 4.0, measured.Gap(p, 999, &s.Sampling, uint64(n), 4))
	}
}

// TestAnswersAreThoseOfTheirSeed: greedy streams, begun anew where the seed wants another
// token, give what token by token gives.
func TestAnswersAreThoseOfTheirSeed(t *testing.T) {
	for n := range 12 {
		b := honest()
		q := task(n, 20)
		r := said(t, b, q)
		require.Equal(t, claim.Length, r.Finish)
		tokens := slices.Clone(q.Prompt)
		for i := range 20 {
			p := b.place(tokens, measured.Top)
			id := measured.Draw(p, &q.Sampling, uint64(len(tokens)))
			require.Equal(t, id, r.Output[i])
			require.Equal(t, p, measured.Place(r.TopOf(i)))
			tokens = append(tokens, id)
		}
		if q.Sampling.Temperature == 0 {
			require.Equal(t, 1, b.asked, "one stream is enough")
		}
	}
}

func TestAnswersEnd(t *testing.T) {
	q := task(0, 30)
	whole := said(t, honest(), q)
	q.Stop = []uint32{whole.Output[7]}
	r := said(t, honest(), q)
	at := slices.Index(whole.Output, q.Stop[0])
	require.Equal(t, claim.Stop, r.Finish)
	require.Equal(t, whole.Output[:at+1], r.Output)

	r, err := measured.Generate(t.Context(), honest(), task(0, 30), func(s answer.Step) bool { return s.Token != whole.Output[4] })
	require.NoError(t, err)
	require.Equal(t, claim.Cancelled, r.Finish)
	require.NoError(t, measured.Check(task(0, 30), r))

	_, err = measured.Generate(t.Context(), honest(), &claim.Task{Prompt: []uint32{1}, MaxTokens: 3}, nil)
	require.ErrorIs(t, err, claim.ErrTask)
}

// TestWhatContradictsItselfIsSeen changes one thing of an answer at a time.
func TestWhatContradictsItselfIsSeen(t *testing.T) {
	for n := range 30 {
		q := task(n, 10)
		for name, edit := range map[string]func(r *claim.Result){
			"a token":           func(r *claim.Result) { r.Output[n%10] = (r.Output[n%10] + 1) % vocab },
			"its probability":   func(r *claim.Result) { r.LogProbs[n%10]-- },
			"the order":         func(r *claim.Result) { p := r.TopOf(n % 10); p[0], p[1] = p[1], p[0] },
			"one twice":         func(r *claim.Result) { p := r.TopOf(n % 10); p[5] = p[4] },
			"too much":          func(r *claim.Result) { p := r.TopOf(n % 10); p[0].LogProb, p[1].LogProb = 0, 0 },
			"more than certain": func(r *claim.Result) { r.TopOf(n % 10)[0].LogProb = 1 },
			"nothing":           func(r *claim.Result) { r.Top = r.Top[1:] },
		} {
			r := said(t, honest(), q)
			edit(r)
			require.ErrorIs(t, measured.Check(q, r), claim.ErrResult, name)
		}
	}
}

func TestWorseModelsAreFound(t *testing.T) {
	c := calibration(t)
	sum := func(list []measured.Run) (q measured.Sequence, first int) {
		for i, r := range list {
			s := c.Score(r.Measurement)
			require.LessOrEqual(t, s, int32(measured.MaxScore))
			require.GreaterOrEqual(t, s, int32(-measured.MaxScore))
			if q.Add(s) && first == 0 {
				first = i + 1
			}
		}
		return q, first
	}
	q, first := sum(runs(t, honest(), 1000, 200))
	require.Zero(t, first, "honest: %v", &q)
	q, first = sum(runs(t, quantised(), 1000, 40))
	require.NotZero(t, first, "quantised: %v", &q)
	require.Greater(t, first, 6, "a single answer convicts nobody")
	q, first = sum(runs(t, &parrot{model: "another", machine: "a"}, 1000, 20))
	require.NotZero(t, first, "another model: %v", &q)
}

// TestHonestScoresAreEValues: on average the exponential of a score is at most 1, also for
// answers that the calibration did not see and that are shorter or longer.
func TestHonestScoresAreEValues(t *testing.T) {
	c := calibration(t)
	for _, most := range []uint32{4, 16, 64} {
		sum := 0.0
		const n = 150
		for i := range n {
			q := task(5000+i, most)
			m, _, err := measured.Audit(t.Context(), auditor(), q, said(t, honest(), q))
			require.NoError(t, err)
			sum += exp(c.Score(m))
		}
		require.LessOrEqual(t, sum/n, 1.1, "%d tokens", most)
	}
}

func TestCalibrationsThatAreNone(t *testing.T) {
	few := runs(t, honest(), 0, measured.MinAnswers-1)
	_, err := measured.Calibrate(few)
	require.ErrorIs(t, err, measured.ErrCalibration)
	_, err = measured.Calibrate(nil)
	require.ErrorIs(t, err, measured.ErrCalibration)
	good := calibration(t)
	require.NoError(t, good.Check())
	for name, edit := range map[string]func(*measured.Calibration){
		"few answers": func(c *measured.Calibration) { c.Answers = 3 }, "no groups": func(c *measured.Calibration) { c.Groups = nil },
		"distance": func(c *measured.Calibration) { c.Near = 1 << 40 }, "no variance": func(c *measured.Calibration) { c.Answer, c.Place = 0, 0 },
		"no shift": func(c *measured.Calibration) { c.Shift = 0 }, "gap": func(c *measured.Calibration) { c.Gap = 1 << 30 },
		"misses": func(c *measured.Calibration) { c.Miss = c.Worse }, "weight": func(c *measured.Calibration) { c.NearWeight = 1 << 30 },
		"group name": func(c *measured.Calibration) { c.Groups = []string{""} },
	} {
		bad := *good
		edit(&bad)
		require.ErrorIs(t, bad.Check(), measured.ErrCalibration, name)
	}
	// What seems noise to the calibration is what the most distant group has.
	both := append(runs(t, honest(), 0, 60), runs(t, quantised(), 0, 60)...)
	for i := range both[60:] {
		both[60+i].Group = "rounder"
	}
	wide, err := measured.Calibrate(both)
	require.NoError(t, err)
	require.Greater(t, wide.Near, good.Near)
	require.Equal(t, []string{"a by b", "rounder"}, wide.Groups)
}

func TestSequence(t *testing.T) {
	var q measured.Sequence
	for range 10_000 {
		require.False(t, q.Add(-4000))
	}
	n := 0
	for !q.Add(1 << 30) {
		n++
	}
	require.Equal(t, measured.Alarm/measured.MaxScore, n, "good answers buy nothing, and one answer counts for no more than MaxScore")
}
