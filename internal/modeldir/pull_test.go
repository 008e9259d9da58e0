package modeldir_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/modeldir"
)

func served(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestServe(t *testing.T) {
	d, e := made(t)
	url := served(t, d.Handler())
	get := func(path, ranges string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		require.NoError(t, err)
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	var list struct {
		Models []map[string]any
	}
	require.NoError(t, json.NewDecoder(get("/models", "").Body).Decode(&list))
	require.Len(t, list.Models, 1)
	require.Equal(t, e.Hex(), list.Models[0]["root"])
	require.NotContains(t, list.Models[0], "source", "a path of this machine")

	resp := get("/models/"+e.Hex(), "bytes=100-199")
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.EqualValues(t, 100, resp.ContentLength)
	require.Contains(t, resp.Header.Get("Cache-Control"), "immutable")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, get("/models/"+e.Hex(), fmt.Sprintf("bytes=%d-", e.Bytes+1)).StatusCode)
	for _, path := range []string{"/models/tiny", "/models/" + strings.Repeat("0", 64), "/models/" + e.Hex() + ".json", "/models/..%2f..%2fetc%2fpasswd"} {
		require.Equal(t, http.StatusNotFound, get(path, "").StatusCode, path)
	}
}

func TestPull(t *testing.T) {
	d, e := made(t)
	url := served(t, d.Handler())
	for _, ref := range []string{e.Hex(), strings.ToUpper(e.Hex()), "tiny", e.Hex()[:8]} {
		other := modeldir.At(filepath.Join(t.TempDir(), "models"))
		got, err := other.Pull(t.Context(), modeldir.Pull{From: url + "/", Ref: ref})
		require.NoError(t, err, ref)
		require.Equal(t, e.Root, got.Root)
		require.Equal(t, "tiny", got.Name)
		require.Equal(t, "mit", got.Licence)
		require.Equal(t, url+"/", got.Source)
		_, err = other.Load(t.Context(), ref, 0)
		require.NoError(t, err)
		require.Empty(t, leftovers(t, other))
	}
	other := modeldir.At(t.TempDir())
	_, err := other.Pull(t.Context(), modeldir.Pull{From: url, Ref: "nobody"})
	require.ErrorIs(t, err, modeldir.ErrNone)
	require.ErrorContains(t, err, "tiny")
	_, err = other.Pull(t.Context(), modeldir.Pull{From: url, Ref: strings.Repeat("0", 64)})
	require.ErrorIs(t, err, modeldir.ErrPull)
	for _, bad := range []string{"", "models.example", "ftp://models.example", "http://"} {
		_, err = other.Pull(t.Context(), modeldir.Pull{From: bad, Ref: "tiny"})
		require.ErrorContains(t, err, "want one like")
	}
}

// breaking hands out at most so many bytes of a model a connection.
func breaking(h http.Handler, most int, asked *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h.ServeHTTP(&short{ResponseWriter: w, left: most}, r)
	})
}

type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	if len(p) > s.left {
		_, _ = s.ResponseWriter.Write(p[:s.left])
		panic(http.ErrAbortHandler)
	}
	s.left -= len(p)
	return s.ResponseWriter.Write(p)
}

func TestPullGoesOnWhereItStopped(t *testing.T) {
	d, e := made(t)
	var asked atomic.Int64
	url := served(t, breaking(d.Handler(), int(e.Bytes/3), &asked))
	other := modeldir.At(t.TempDir())
	got, err := other.Pull(t.Context(), modeldir.Pull{From: url, Ref: e.Hex()})
	require.NoError(t, err)
	require.Equal(t, e.Root, got.Root)
	require.GreaterOrEqual(t, asked.Load(), int64(4), "the list, and three parts")
}

func TestPullSurvivesTheProcess(t *testing.T) {
	d, e := made(t)
	ctx, cancel := context.WithCancel(t.Context())
	var from []string
	var mu sync.Mutex
	url := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from = append(from, r.Header.Get("Range"))
		mu.Unlock()
		if ctx.Err() == nil && r.URL.Path != "/models" {
			w.Header().Set("Content-Length", fmt.Sprint(e.Bytes))
			b, _ := os.ReadFile(file(d, e))
			_, _ = w.Write(b[:e.Bytes/2])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		d.Handler().ServeHTTP(w, r)
	}))
	other := modeldir.At(t.TempDir())
	_, err := other.Pull(ctx, modeldir.Pull{From: url, Ref: e.Hex(), Options: modeldir.Options{Progress: func(p modeldir.Progress) {
		if p.Done == e.Bytes/2 {
			cancel()
		}
	}}})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "pull again")
	require.Equal(t, []string{e.Hex() + ".part"}, leftovers(t, other))
	list, err := other.List()
	require.NoError(t, err)
	require.Empty(t, list, "half a model is none")
	got, err := other.Pull(t.Context(), modeldir.Pull{From: url, Ref: e.Hex()})
	require.NoError(t, err)
	require.Equal(t, e.Root, got.Root)
	require.Contains(t, from, fmt.Sprintf("bytes=%d-", e.Bytes/2))
	require.Empty(t, leftovers(t, other))
}

// TestPullFromLiars holds that nothing but the wanted model becomes one.
func TestPullFromLiars(t *testing.T) {
	d, e := made(t)
	whole, err := os.ReadFile(file(d, e))
	require.NoError(t, err)
	send := func(f func(w http.ResponseWriter, r *http.Request)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/models" {
				http.NotFound(w, r)
				return
			}
			f(w, r)
		})
	}
	bytesOf := func(b []byte) http.Handler {
		return send(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		})
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, tc := range map[string]struct {
		h    http.Handler
		want string
		kept bool
	}{
		"another model":      {bytesOf(flipped), "has the root", false},
		"no model":           {bytesOf(bytes.Repeat([]byte("no"), 5000)), "not a model file", false},
		"hardly anything":    {bytesOf([]byte("no")), "not a model file", false},
		"one that goes on":   {bytesOf(append(bytes.Clone(whole), make([]byte, 100)...)), "goes on after", false},
		"one that is cut":    {bytesOf(whole[:len(whole)-1]), "kept", true},
		"refused":            {send(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "go away", http.StatusForbidden) }), "go away", true},
		"gone":               {http.NotFoundHandler(), "does not have it", true},
		"always out of time": {send(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }), "later", true},
		"never a byte":       {send(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "no byte came", true},
		"another range": {send(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
				_, _ = w.Write(whole[:10000])
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(whole)-1, len(whole)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(whole)
		}), "answered with the range", true},
		"too large": {bytesOf(whole), "at most 1000", false},
	} {
		t.Run(name, func(t *testing.T) {
			other := modeldir.At(t.TempDir())
			p := modeldir.Pull{From: served(t, tc.h), Ref: e.Hex(), Stall: 100 * time.Millisecond, Tries: 2}
			if name == "too large" {
				p.Most = 1000
			}
			_, err := other.Pull(t.Context(), p)
			require.ErrorContains(t, err, tc.want)
			list, lerr := other.List()
			require.NoError(t, lerr)
			require.Empty(t, list)
			if !tc.kept {
				require.Empty(t, leftovers(t, other))
			}
			// Whatever it left, an honest machine can finish it.
			got, err := other.Pull(t.Context(), modeldir.Pull{From: served(t, d.Handler()), Ref: e.Hex()})
			require.NoError(t, err)
			require.Equal(t, e.Root, got.Root)
		})
	}
}

func TestPullsAtOnce(t *testing.T) {
	d, e := made(t)
	url := served(t, d.Handler())
	other := t.TempDir()
	var wait sync.WaitGroup
	var busy, done atomic.Int64
	for range 8 {
		wait.Go(func() {
			_, err := modeldir.At(other).Pull(context.Background(), modeldir.Pull{From: url, Ref: e.Hex()})
			switch {
			case err == nil:
				done.Add(1)
			case errors.Is(err, modeldir.ErrBusy):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 8, done.Load()+busy.Load())
	require.NotZero(t, done.Load())
	_, err := modeldir.At(other).Load(t.Context(), e.Hex(), 0)
	require.NoError(t, err)
	require.Empty(t, leftovers(t, modeldir.At(other)))
}
