package crawl_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/local"
	"github.com/cantus-network/cantus/work"
)

// site is a server under test that remembers what it was asked for.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int
}

func serve(t testing.TB, h http.Handler) *site {
	t.Helper()
	s := &site{asked: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.URL.RequestURI()]++
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) times(uri string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[uri]
}

// pages serves a fixed set of pages; a missing one is 404.
func pages(m map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := m[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if bytes.HasPrefix([]byte(body), []byte("<")) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "text/plain")
		}
		fmt.Fprint(w, body)
	})
}

func env(t testing.TB) work.Env {
	t.Helper()
	store, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	return work.Env{Now: time.Now, Rand: rand.Reader, Blobs: store, Dial: new(net.Dialer).DialContext, Log: slog.New(slog.DiscardHandler)}
}

func anyHost(string) bool { return true }

func encode(t testing.TB, s crawl.Spec) []byte {
	t.Helper()
	b, err := crawl.EncodeSpec(s)
	require.NoError(t, err)
	return b
}

// spec is a usual one; change edits it.
func spec(t testing.TB, seed string, change func(*crawl.Spec)) crawl.Spec {
	t.Helper()
	s, err := crawl.NewSpec(seed)
	require.NoError(t, err)
	if change != nil {
		change(&s)
	}
	return s
}

// crawlAll runs a whole crawl on loopback and returns its status and its records by URL.
func crawlAll(t testing.TB, s crawl.Spec) (local.Stats, map[string]crawl.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records := map[string]crawl.Record{}
	kind := crawl.New()
	defer kind.Close()
	stats, err := local.Run(ctx, kind, encode(t, s), local.Options{
		Env: env(t), AllowPrivate: anyHost, Parallel: 4,
		Each: func(o work.Outcome) error {
			require.False(t, o.Failed, o.Reason)
			r, err := crawl.DecodeRecord(o.Result.Body)
			require.NoError(t, err)
			records[r.URL] = r
			return nil
		},
	})
	require.NoError(t, err)
	addsUp(t, stats.PlanStatus)
	require.True(t, stats.Finished)
	require.Equal(t, stats.Units, stats.Counts["units"])
	return stats, records
}

// addsUp holds the figures against each other; only robots.txt may be out unseen, so
// callers look when none is.
func addsUp(t testing.TB, s work.PlanStatus) {
	t.Helper()
	c := s.Counts
	decided := c["pages"] + c["noindex"] + c["skipped"] + c["redirects"] + c["sitemaps"] + c["robots-denied"] + c["dropped"] + c["errors"]
	require.GreaterOrEqual(t, c["found"], decided)
	require.LessOrEqual(t, c["found"], decided+s.Queued+s.Out)
	if s.Out == 0 {
		require.Equal(t, c["found"], decided+s.Queued, "%v", c)
	}
	var errors uint64
	for name, n := range c {
		if len(name) > 6 && name[:6] == "error-" {
			errors += n
		}
	}
	require.Equal(t, c["errors"], errors)
}

func TestHappyPath(t *testing.T) {
	s := serve(t, pages(map[string]string{
		"/":           `<html lang=en><title>Home</title><a href="/a">a</a> <a href="b?x=1#frag">b</a> <a href="https://elsewhere.example/">e</a>`,
		"/a":          `<title>A</title>Hello there <a href="/">home</a><a href="/missing">m</a><a href=/private/x>p</a>`,
		"/b?x=1":      `<title>B</title>Bee`,
		"/robots.txt": "User-agent: *\nDisallow: /private/\n",
	}))
	stats, records := crawlAll(t, spec(t, s.URL, nil))
	require.Equal(t, uint64(3), stats.Counts["pages"])
	require.Equal(t, uint64(1), stats.Counts["error-http-404"])
	require.Equal(t, uint64(1), stats.Counts["robots-denied"])
	require.Equal(t, uint64(5), stats.Units)
	require.Equal(t, "Home", records[s.URL+"/"].Title)
	require.Equal(t, []string{s.URL + "/a", s.URL + "/b?x=1", "https://elsewhere.example/"}, records[s.URL+"/"].Links)
	for uri, n := range s.asked {
		require.Equal(t, 1, n, uri)
	}
	require.Zero(t, s.times("/private/x"))
}

// brokenStore can't store.
type brokenStore struct{ artifact.Store }

func (brokenStore) Put(context.Context, []byte) (artifact.Digest, error) {
	return artifact.Digest{}, fmt.Errorf("disk is full")
}
