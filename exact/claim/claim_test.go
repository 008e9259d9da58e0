package claim_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

func task() *claim.Task {
	return &claim.Task{
		Model: claim.Digest{1, 2, 3}, Prompt: []uint32{1, 300, 70_000, 262_143}, MaxTokens: 3,
		Sampling: exact.Sampling{Seed: [32]byte{9}, Temperature: 700_000, TopK: 40, TopP: 900_000},
		Stop:     []uint32{2, 500}, LogProbs: true, Top: 2,
	}
}

func result() *claim.Result {
	return &claim.Result{Output: []uint32{7, 8, 9}, Finish: claim.Length, LogProbs: []int32{-1, -200_000, 0},
		Top: []claim.Alternative{{7, -1}, {1, -5}, {8, -200_000}, {2, -1 << 31}, {9, 0}, {70_000, 1<<31 - 1}}}
}

func embed() *claim.Task {
	return &claim.Task{Model: claim.Digest{5}, Prompt: []uint32{1, 2}, Embed: true}
}

func TestClaimsComeBackAsTheyWere(t *testing.T) {
	for _, want := range []*claim.Task{task(), embed(), {Prompt: []uint32{0}, MaxTokens: 1}} {
		b, err := want.Encode()
		require.NoError(t, err)
		got, err := claim.DecodeTask(b)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, want := range []*claim.Result{result(), {}, {Finish: claim.Embedded, Embedding: []int32{-3, 4}}} {
		b, err := want.Encode()
		require.NoError(t, err)
		got, err := claim.DecodeResult(b)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, []claim.Alternative{{8, -200_000}, {2, -1 << 31}}, result().TopOf(1))
}

func TestTokensAreCompact(t *testing.T) {
	long := task()
	long.Prompt = slices.Repeat([]uint32{262_143}, 21_000)
	b, err := long.Encode()
	require.NoError(t, err)
	require.Less(t, len(b), 21_000*3+128)
	long.Prompt = slices.Repeat([]uint32{262_143}, 22_000)
	_, err = long.Encode()
	require.ErrorIs(t, err, claim.ErrTask)
}

func TestBadTasksAreRefused(t *testing.T) {
	for why, edit := range map[string]func(*claim.Task){
		"prompt of 0 tokens":         func(t *claim.Task) { t.Prompt = nil },
		"token 1 of the prompt":      func(t *claim.Task) { t.Prompt[1] = claim.MaxVocab },
		"0 tokens are wanted":        func(t *claim.Task) { t.MaxTokens = 0 },
		"131073 tokens are wanted":   func(t *claim.Task) { t.MaxTokens = exact.MaxContext + 1 },
		"temperature":                func(t *claim.Task) { t.Sampling.Temperature = 1 },
		"stop token 1":               func(t *claim.Task) { t.Stop = []uint32{5, 5} },
		"17 stop tokens":             func(t *claim.Task) { t.Stop = make([]uint32, 17) },
		"21 alternatives":            func(t *claim.Task) { t.Top = 21 },
		"without logarithms":         func(t *claim.Task) { t.LogProbs = false },
		"ask for fewer":              func(t *claim.Task) { t.MaxTokens, t.Top = 100_000, 20 },
		"an embedding has no answer": func(t *claim.Task) { t.Embed = true },
	} {
		bad := task()
		edit(bad)
		require.ErrorIs(t, bad.Check(), claim.ErrTask, why)
		require.ErrorContains(t, bad.Check(), why)
		_, err := bad.Encode()
		require.Error(t, err, why)
	}
}

func TestTasksThatDoNotFitAModel(t *testing.T) {
	require.NoError(t, task().Fits(1<<18, 7))
	require.ErrorContains(t, task().Fits(1<<18, 6), "context of 6")
	require.ErrorContains(t, task().Fits(1<<18-1, 7), "token 3 of the prompt")
	require.ErrorContains(t, (&claim.Task{Prompt: []uint32{0}, MaxTokens: 1, LogProbs: true, Top: 3}).Fits(2, 9), "3 alternatives")
}

func TestResultsThatAreNotTheirTasks(t *testing.T) {
	require.NoError(t, result().Check(task()))
	for why, edit := range map[string]func(*claim.Result){
		"at most 3 were wanted": func(r *claim.Result) { r.Output = append(r.Output, 1) },
		"token 1 is 262144":     func(r *claim.Result) { r.Output[1] = claim.MaxVocab },
		"but 1 more follow":     func(r *claim.Result) { r.Output[1] = 2 },
		`is "stop"`:             func(r *claim.Result) { r.Output[2] = 500 },
		`not "cancelled"`:       func(r *claim.Result) { r.Finish = claim.Cancelled },
		`is "cancelled"`:        func(r *claim.Result) { r.Output = r.Output[:2] },
		"2 logarithms":          func(r *claim.Result) { r.LogProbs = r.LogProbs[:2] },
		"5 alternatives":        func(r *claim.Result) { r.Top = r.Top[:5] },
		"alternative 0":         func(r *claim.Result) { r.Top[0].ID = claim.MaxVocab },
		"nobody asked for":      func(r *claim.Result) { r.Embedding = []int32{1} },
	} {
		bad := result()
		edit(bad)
		require.ErrorIs(t, bad.Check(task()), claim.ErrResult, why)
		require.ErrorContains(t, bad.Check(task()), why)
	}
	stopped := &claim.Result{Output: []uint32{7, 2}, Finish: claim.Stop, LogProbs: []int32{0, 0}, Top: make([]claim.Alternative, 4)}
	require.NoError(t, stopped.Check(task()))
	require.NoError(t, (&claim.Result{Finish: claim.Cancelled}).Check(task()))
	require.NoError(t, (&claim.Result{Finish: claim.Embedded, Embedding: []int32{1}}).Check(embed()))
	require.ErrorContains(t, result().Check(embed()), "an embedding of")
}

func TestOtherSpellingsAreRefused(t *testing.T) {
	b, err := task().Encode()
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"a byte after it": append(slices.Clone(b), 0),
		"cut":             b[:len(b)-1],
		"long length":     append([]byte{0x98, 11}, b[1:]...),
	} {
		_, err := claim.DecodeTask(bad)
		require.ErrorIs(t, err, claim.ErrEncoding, name)
	}
	// A varint with a byte too many.
	_, err = claim.DecodeResult([]byte{0x85, 0x42, 0x81, 0x00, 1, 0x40, 0x40, 0x40})
	require.ErrorIs(t, err, claim.ErrEncoding)
	_, err = claim.DecodeResult(make([]byte, claim.MaxResultBytes+1))
	require.ErrorContains(t, err, "at most")
}

func FuzzTask(f *testing.F) {
	for _, t := range []*claim.Task{task(), embed()} {
		b, err := t.Encode()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := claim.DecodeTask(b)
		if err != nil {
			return
		}
		again, err := v.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzResult(f *testing.F) {
	b, err := result().Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := claim.DecodeResult(b)
		if err != nil {
			return
		}
		_ = v.Check(task())
		again, err := v.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
