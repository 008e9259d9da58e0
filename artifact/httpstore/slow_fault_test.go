package httpstore_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/artifact/httpstore/httpstoretest"
	"github.com/cantus-network/cantus/internal/fault"
)

// faulty is a store behind a proxy.
func faulty(t *testing.T, limit time.Duration) (*artifact.Memory, *httpstore.Store, *fault.Proxy) {
	m, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	srv := httptest.NewServer(httpstoretest.Handler(m, func(string) bool { return true }))
	t.Cleanup(srv.Close)
	p, err := fault.NewProxy(srv.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	s, err := httpstore.New("http://"+p.Addr(), httpstore.Options{Time: limit})
	require.NoError(t, err)
	return m, s, p
}

// TestSlowUpload: what a link can't carry in one request's time goes in several, so that a
// worker behind a slow line gets its results through at all.
func TestSlowUpload(t *testing.T) {
	m, s, p := faulty(t, 2*time.Second)
	blobs := artifacttest.Blobs(1, 60, 100_000, 100_000)
	p.Throttle(1 << 20) // 6 MB take six seconds, and a request may take two
	_, err := s.PutAll(t.Context(), blobs)
	require.NoError(t, err)
	for _, b := range blobs {
		_, err := m.Get(t.Context(), artifact.Sum(b), 0)
		require.NoError(t, err)
	}
}

// TestCutUpload cuts the link at many places of an upload: it fails, nothing of it is
// stored in part, and the same call again goes through.
func TestCutUpload(t *testing.T) {
	m, s, p := faulty(t, 20*time.Second)
	batch := func(seed int) [][]byte { return artifacttest.Blobs(uint64(seed), 5, 1000, 1000) }
	_, err := s.PutAll(t.Context(), batch(1_000_000))
	require.NoError(t, err)
	before, _ := p.Passed()
	_, err = s.PutAll(t.Context(), batch(1_000_001))
	require.NoError(t, err)
	after, _ := p.Passed()
	for n := range fault.Positions(int(after-before)-1, 40) {
		blobs := batch(n)
		p.CutAfter(int64(n))
		_, err := s.PutAll(t.Context(), blobs)
		require.Error(t, err, "cut after %d", n)
		for _, b := range blobs {
			_, err := m.Get(t.Context(), artifact.Sum(b), 0)
			require.ErrorIs(t, err, artifact.ErrNotFound, "cut after %d", n)
		}
		p.Mend()
		_, err = s.PutAll(t.Context(), blobs)
		require.NoError(t, err, "after a cut at %d", n)
	}
}

// TestForgottenUpload: a kept connection that died without a word costs one request its
// time; the next has a new connection.
func TestForgottenUpload(t *testing.T) {
	_, s, p := faulty(t, 300*time.Millisecond)
	blobs := artifacttest.Blobs(3, 3, 1, 4000)
	_, err := s.PutAll(t.Context(), blobs[:1])
	require.NoError(t, err)
	p.Forget()
	if _, err = s.PutAll(t.Context(), blobs); err != nil {
		_, err = s.PutAll(t.Context(), blobs)
	}
	require.NoError(t, err)
}
