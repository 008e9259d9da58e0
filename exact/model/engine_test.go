package model

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

func newTestEngine(t testing.TB, m *Model, l Limits) *Engine {
	e := NewEngine(m, NewRunner(m, kernel.Best(), 2), l)
	t.Cleanup(e.Close)
	return e
}

func request(m *Model, n int) Request {
	r := Request{Prompt: randomTokens(m, 5+11*n), MaxTokens: 20 + 3*n, Top: n % 4}
	r.Sampling.Seed[0] = byte(n)
	if n%3 > 0 {
		r.Sampling.Temperature = uint32(n%3) * 600_000
		r.Sampling.TopP = 950_000
	}
	return r
}

func collect(e *Engine, r Request) (out []Token, err error) {
	for t, err := range e.Generate(context.Background(), r) {
		if err != nil {
			return out, err
		}
		out = append(out, t)
	}
	return out, nil
}

func ids(tokens []Token) (out []uint32) {
	for _, t := range tokens {
		out = append(out, t.ID)
	}
	return out
}

// TestAnswersDoNotDependOnTheirNeighbours computes requests alone and all at once, with
// too few pages for all and passes too small for a prompt.
func TestAnswersDoNotDependOnTheirNeighbours(t *testing.T) {
	m := load1(t, synthetic(t, variants["qwen3"]))
	const n = 16
	alone := newTestEngine(t, m, Limits{Pages: 16, Active: 1, Waiting: 1, Rows: MaxRows})
	var want [n][]Token
	for i := range n {
		var err error
		want[i], err = collect(alone, request(m, i))
		require.NoError(t, err)
		require.Len(t, want[i], request(m, i).MaxTokens)
		for _, tok := range want[i] {
			require.Len(t, tok.Top, i%4)
			require.LessOrEqual(t, tok.LogProb, int32(0))
		}
	}
	crowd := newTestEngine(t, m, Limits{Pages: 20, Active: 7, Waiting: n, Rows: 19})
	var wg sync.WaitGroup
	var got [n][]Token
	var errs [n]error
	for i := range n {
		wg.Go(func() { got[i], errs[i] = collect(crowd, request(m, i)) })
	}
	wg.Wait()
	for i := range n {
		require.NoError(t, errs[i])
		require.Equal(t, want[i], got[i], "request %d", i)
	}
	active, waiting, _ := crowd.Load()
	require.LessOrEqual(t, active, 7)
	require.Zero(t, waiting)

	// And replays find them true, and what was changed in them.
	r := NewRunner(m, kernel.Portable(), 1)
	defer r.Close()
	cache := NewCache(m, 20)
	for i := range n {
		req, answer := request(m, i), ids(want[i])
		at, err := Replay(r, cache, req.Prompt, answer, req.Sampling, 16)
		require.NoError(t, err)
		require.Equal(t, len(answer), at)
		answer[7] = (answer[7] + 1) % uint32(m.Vocab)
		at, err = Replay(r, cache, req.Prompt, answer, req.Sampling, 64)
		require.NoError(t, err)
		require.Equal(t, 7, at)
	}
	require.Equal(t, 20, cache.Available())
}

func TestStopTokensEndAnAnswer(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	e := newTestEngine(t, m, Limits{Pages: 16, Active: 2, Waiting: 2, Rows: 64})
	all, err := collect(e, request(m, 2))
	require.NoError(t, err)
	r := request(m, 2)
	r.Stop = []uint32{all[5].ID}
	some, err := collect(e, r)
	require.NoError(t, err)
	require.Equal(t, r.Stop[0], some[len(some)-1].ID)
	require.Equal(t, all[:len(some)], some)
	require.LessOrEqual(t, len(some), 6)
}

func TestWhoHangsUpGivesItsPagesBack(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	e := newTestEngine(t, m, Limits{Pages: 4, Active: 2, Waiting: 4, Rows: 64})
	r := Request{Prompt: []uint32{1}, MaxTokens: 127}
	for range 5 {
		for _, err := range e.Generate(context.Background(), r) {
			require.NoError(t, err)
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range e.Generate(ctx, r) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	out, err := collect(e, r)
	require.NoError(t, err)
	require.Len(t, out, 127)
}

func TestEngineRefuses(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	e := newTestEngine(t, m, Limits{Pages: 4, Active: 1, Waiting: 0, Rows: 64})
	for name, r := range map[string]Request{
		"no prompt":              {MaxTokens: 1},
		"no tokens wanted":       {Prompt: []uint32{1}},
		"a token out of range":   {Prompt: []uint32{uint32(m.Vocab)}, MaxTokens: 1},
		"more than the context":  {Prompt: []uint32{1}, MaxTokens: m.Context},
		"more than the pages":    {Prompt: []uint32{1}, MaxTokens: 128},
		"an absurd temperature":  {Prompt: []uint32{1}, MaxTokens: 1, Sampling: exact.Sampling{Temperature: 1}},
		"negative alternatives":  {Prompt: []uint32{1}, MaxTokens: 1, Top: -1},
		"too many alternatives":  {Prompt: []uint32{1}, MaxTokens: 1, Top: MaxTop + 1},
		"negative tokens wanted": {Prompt: []uint32{1}, MaxTokens: -5},
	} {
		_, err := collect(e, r)
		require.ErrorIs(t, err, ErrRequest, name)
	}
	_, err := collect(e, Request{Prompt: []uint32{1}, MaxTokens: 1})
	require.ErrorIs(t, err, ErrBusy, "no request may wait")
}

func TestCloseEndsRequests(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	before := runtime.NumGoroutine()
	e := NewEngine(m, NewRunner(m, kernel.Best(), 2), Limits{Pages: 64, Active: 2, Waiting: 100, Rows: 64})
	var wg sync.WaitGroup
	started := make(chan struct{}, 100)
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			for _, err := range e.Generate(context.Background(), Request{Prompt: []uint32{uint32(i)}, MaxTokens: 900}) {
				errs[i] = err
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	<-started
	e.Close()
	wg.Wait()
	for _, err := range errs {
		require.True(t, err == nil || errors.Is(err, ErrClosed), err)
	}
	_, err := collect(e, request(m, 1))
	require.ErrorIs(t, err, ErrClosed)
	// Whoever has said that it is done may still be on its way out.
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, time.Millisecond)
}
