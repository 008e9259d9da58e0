package model

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/kernel"
)

// TestRedrawTellsWhatAnEngineTells computes answers again with their probabilities, in
// passes of several sizes.
func TestRedrawTellsWhatAnEngineTells(t *testing.T) {
	m := load1(t, synthetic(t, variants["mistral"]))
	e := newTestEngine(t, m, Limits{Pages: 20, Active: 4, Waiting: 4, Rows: 32})
	r := NewRunner(m, kernel.Portable(), 2)
	defer r.Close()
	cache := NewCache(m, 20)
	for i := range 4 {
		q := request(m, i)
		want, err := collect(e, q)
		require.NoError(t, err)
		for _, rows := range []int{1, 7, 64} {
			var got []Token
			for tok, err := range Redraw(t.Context(), r, cache, q, ids(want), rows, true) {
				require.NoError(t, err)
				got = append(got, tok)
			}
			require.Equal(t, want, got, "request %d, %d rows", i, rows)
		}
		for tok, err := range Redraw(t.Context(), r, cache, q, ids(want), 64, false) {
			require.NoError(t, err)
			require.Equal(t, Token{ID: want[0].ID}, tok)
			break // whoever has seen enough leaves nothing behind
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Redraw(ended, r, cache, request(m, 0), []uint32{1}, 64, true) {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 20, cache.Available())
}

func TestEmbeddingsAreOfTheLastToken(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	r := NewRunner(m, kernel.Best(), 2)
	defer r.Close()
	prompt := randomTokens(m, 100)
	want, err := Embed(t.Context(), r, NewCache(m, 10), prompt, 1)
	require.NoError(t, err)
	cache := NewCache(m, 10)
	for _, rows := range []int{3, 64, 512, 512} { // the last one finds its beginning in the cache
		got, err := Embed(t.Context(), r, cache, prompt, rows)
		require.NoError(t, err)
		require.Equal(t, want, got, "%d rows", rows)
	}
	other, err := Embed(t.Context(), r, cache, prompt[:99], 512)
	require.NoError(t, err)
	require.NotEqual(t, want, other)
	_, err = Embed(t.Context(), r, cache, nil, 1)
	require.ErrorIs(t, err, ErrRequest)
}
