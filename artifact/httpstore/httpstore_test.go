package httpstore_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/artifact/httpstore/httpstoretest"
)

// serve is a gateway's API over a store, by the text of the package doc.
func serve(t *testing.T, store artifact.Store, token string) *httptest.Server {
	admit := func(got string) bool { return got == token }
	s := httptest.NewServer(httpstoretest.Handler(store, admit))
	t.Cleanup(s.Close)
	return s
}

func TestStore(t *testing.T) {
	artifacttest.Run(t, func(t *testing.T, opts artifact.Options) artifact.Store {
		m, err := artifact.NewMemory(opts)
		require.NoError(t, err)
		s, err := httpstore.New(serve(t, m, "secret").URL, httpstore.Options{Token: func() string { return "secret" }})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		return s
	})
}

// More than one request can hold goes in several.
func TestBatches(t *testing.T) {
	m, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	s, err := httpstore.New(serve(t, m, "").URL, httpstore.Options{})
	require.NoError(t, err)
	blobs := artifacttest.Blobs(1, 2*httpstore.MaxBlobs+3, 1, 300)
	blobs = append(blobs, make([]byte, 40<<20), make([]byte, 40<<20), []byte("last"))
	ds, err := s.PutAll(t.Context(), blobs)
	require.NoError(t, err)
	has, err := m.Has(t.Context(), ds...)
	require.NoError(t, err)
	require.NotContains(t, has, false)
	require.Equal(t, artifact.Sum([]byte("last")), ds[len(ds)-1])
	many := make([]artifact.Digest, 2*httpstore.MaxHas+1)
	many[len(many)-1] = ds[0]
	has, err = s.Has(t.Context(), many...)
	require.NoError(t, err)
	require.True(t, has[len(has)-1])
	require.False(t, has[0])

	_, err = s.Put(t.Context(), make([]byte, httpstore.MaxRequest))
	require.ErrorIs(t, err, artifact.ErrTooLarge)
}

func TestToken(t *testing.T) {
	m, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	token := "old"
	s, err := httpstore.New(serve(t, m, "new").URL, httpstore.Options{Token: func() string { return token }})
	require.NoError(t, err)
	_, err = s.Put(t.Context(), []byte("x"))
	require.ErrorIs(t, err, httpstore.ErrUnauthorized)
	token = "new"
	_, err = s.Put(t.Context(), []byte("x"))
	require.NoError(t, err)
}

// A gateway that lies, or isn't one, is found out.
func TestHostileGateway(t *testing.T) {
	blob := []byte("what was asked for")
	d := artifact.Sum(blob)
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		get     error
	}{
		"another blob": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("what was served to you")) }, artifact.ErrCorrupt},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "18")
			_, _ = w.Write(blob[:5])
		}, nil},
		"endless": {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, nil},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, nil},
		"error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); endless(w) }, nil},
		"empty": {func(http.ResponseWriter, *http.Request) {}, nil},
		"wrong sum": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"digests":["`+d.String()+`"],"has":[]}`)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tt.handler)
			defer srv.Close()
			s, err := httpstore.New(srv.URL, httpstore.Options{Token: func() string { return "secret" }})
			require.NoError(t, err)
			defer s.Close()
			_, err = s.Get(t.Context(), d, 1<<20)
			require.Error(t, err)
			if tt.get != nil {
				require.ErrorIs(t, err, tt.get)
			}
			require.Less(t, len(err.Error()), 2000)
			_, err = s.Put(t.Context(), []byte("another"))
			require.Error(t, err)
			_, err = s.Has(t.Context(), d)
			require.Error(t, err)
		})
	}
	require.Zero(t, elsewhere, "the token went elsewhere")
}

func endless(w http.ResponseWriter) {
	b := make([]byte, 64<<10)
	for range 1000 {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "ftp://x", "http://", "http://u:p@x", "http://x?y", "://"} {
		_, err := httpstore.New(u, httpstore.Options{})
		require.Error(t, err, u)
	}
}
