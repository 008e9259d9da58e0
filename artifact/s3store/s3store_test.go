package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
	"github.com/cantus-network/cantus/artifact/s3store"
)

const access, secret = "tester", "a secret of this test"

// server is a versitygw: somebody else's S3 server, over a directory.
type server struct {
	url  string
	root string // whose directories are the buckets
}

// serve starts one, or skips the test where the program is not there. `.ci/run prepare`
// builds it, from .ci/tools.mod, as bin/versitygw.
func serve(t *testing.T) *server {
	program := os.Getenv("VERSITYGW")
	if program == "" {
		var err error
		program, err = filepath.Abs("../../bin/versitygw")
		require.NoError(t, err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no S3 server to test against: %v", err)
		}
		t.Skipf("no S3 server to test against: %v; `.ci/run prepare` builds one", err)
	}
	s := &server{root: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	s.url = "http://" + addr
	// The sidecar keeps what the program would else put into extended attributes, which
	// not every file system has.
	cmd := exec.Command(program, "--port", addr, "--quiet", "--health", "/health", "posix", "--sidecar", t.TempDir(), s.root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+access, "ROOT_SECRET_ACCESS_KEY="+secret)
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for {
		resp, err := http.Get(s.url + "/health")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-ended:
			t.Fatalf("versitygw ended: %s", log.String())
		case <-t.Context().Done():
			t.Fatal("versitygw does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var buckets atomic.Int64

// bucket makes an empty one and returns its address.
func (s *server) bucket(t *testing.T) (name string) {
	name = fmt.Sprintf("test-%d", buckets.Add(1))
	require.NoError(t, os.Mkdir(filepath.Join(s.root, name), 0o755))
	return name
}

func (s *server) address(bucket string) string {
	return "s3://" + bucket + "/some/prefix?region=us-east-1&endpoint=" + url.QueryEscape(s.url)
}

func open(t *testing.T, address string, limits artifact.Options) *s3store.Store {
	o, err := s3store.Parse(address)
	require.NoError(t, err)
	o.Options = limits
	st, err := s3store.Open(t.Context(), o)
	require.NoError(t, err)
	return st
}

func TestStore(t *testing.T) {
	s := serve(t)
	artifacttest.Run(t, func(t *testing.T, opts artifact.Options) artifact.Store {
		return open(t, s.address(s.bucket(t)), opts)
	})
}

// TestAnotherProcess: what one store put is there for the next, counted against its quota,
// and lies where the package says.
func TestAnotherProcess(t *testing.T) {
	s := serve(t)
	bucket := s.bucket(t)
	blobs := artifacttest.Blobs(9, 20, 50, 100)
	ds, err := open(t, s.address(bucket), artifact.Options{}).PutAll(t.Context(), blobs)
	require.NoError(t, err)
	size := 0
	for i, d := range ds {
		b, err := os.ReadFile(filepath.Join(s.root, bucket, "some", "prefix", d.String()[:2], d.String()))
		require.NoError(t, err)
		require.Equal(t, blobs[i], b)
		size += len(b)
	}
	again := open(t, s.address(bucket), artifact.Options{Quota: int64(size) + 10})
	_, err = again.PutAll(t.Context(), blobs)
	require.NoError(t, err, "what is there counts once")
	_, err = again.Put(t.Context(), make([]byte, 11))
	require.ErrorIs(t, err, artifact.ErrFull)
	_, err = again.Put(t.Context(), make([]byte, 10))
	require.NoError(t, err)
}

// TestDamage: bytes that changed in the bucket are never handed out, and putting the blob
// again repairs it where the service shows the damage.
func TestDamage(t *testing.T) {
	s := serve(t)
	bucket := s.bucket(t)
	st := open(t, s.address(bucket), artifact.Options{})
	b := bytes.Repeat([]byte("abc"), 1000)
	d, err := st.Put(t.Context(), b)
	require.NoError(t, err)
	file := filepath.Join(s.root, bucket, "some", "prefix", d.String()[:2], d.String())
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("abd"), 1000), 0o644))
	_, err = st.Get(t.Context(), d, 0)
	require.ErrorIs(t, err, artifact.ErrCorrupt)
	require.NoError(t, os.WriteFile(file, b[:2000], 0o644))
	_, err = st.Get(t.Context(), d, 0)
	require.ErrorIs(t, err, artifact.ErrCorrupt)
	_, err = st.Put(t.Context(), b)
	require.NoError(t, err)
	got, err := st.Get(t.Context(), d, 0)
	require.NoError(t, err)
	require.Equal(t, b, got)
}

// proxy stands before the server and answers some requests itself.
func (s *server) proxy(t *testing.T, meddle func(w http.ResponseWriter, r *http.Request) (done bool)) *server {
	u, err := url.Parse(s.url)
	require.NoError(t, err)
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host }}
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !meddle(w, r) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return &server{url: p.URL, root: s.root}
}

// TestTrouble: a service that fails now and then is asked again, one that always fails is
// given up, and an answer that breaks off is fetched again.
func TestTrouble(t *testing.T) {
	s := serve(t)
	bucket := s.bucket(t)
	var n, broken atomic.Int64
	flaky := s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if n.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, bucket) && broken.Add(1) == 1 {
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("01234"))
			panic(http.ErrAbortHandler)
		}
		return false
	})
	st := open(t, flaky.address(bucket), artifact.Options{})
	blobs := artifacttest.Blobs(11, 5, 1000, 1000)
	ds, err := st.PutAll(t.Context(), blobs)
	require.NoError(t, err)
	for i, d := range ds {
		b, err := st.Get(t.Context(), d, 0)
		require.NoError(t, err)
		require.Equal(t, blobs[i], b)
	}
	asked := int64(0)
	down := s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, bucket) {
			return false
		}
		asked++
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	_, err = open(t, down.address(bucket), artifact.Options{}).Put(t.Context(), []byte("x"))
	require.Error(t, err)
	require.LessOrEqual(t, asked, int64(4))

	full := s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusInsufficientStorage)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>`)
			return true
		}
		return false
	})
	_, err = open(t, full.address(bucket), artifact.Options{}).Put(t.Context(), []byte("y"))
	require.ErrorIs(t, err, artifact.ErrFull)

	old := s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotImplemented)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>what?</Message></Error>`)
			return true
		}
		return false
	})
	plain := open(t, old.address(bucket), artifact.Options{})
	d, err := plain.Put(t.Context(), []byte("z"))
	require.NoError(t, err)
	b, err := plain.Get(t.Context(), d, 0)
	require.NoError(t, err)
	require.Equal(t, "z", string(b))
}

func TestOpenRefuses(t *testing.T) {
	s := serve(t)
	bucket := s.bucket(t)
	o, err := s3store.Parse(s.address(bucket + "x"))
	require.NoError(t, err)
	_, err = s3store.Open(t.Context(), o)
	require.ErrorContains(t, err, "the bucket must exist")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	o, err = s3store.Parse(s.address(bucket))
	require.NoError(t, err)
	_, err = s3store.Open(t.Context(), o)
	require.ErrorContains(t, err, "credentials")
	require.NotContains(t, err.Error(), "another")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s3store.Open(ctx, o)
	require.True(t, errors.Is(err, context.Canceled), err)
}

func TestParse(t *testing.T) {
	o, err := s3store.Parse("s3://bucket/a/b/?endpoint=https://s3.example.org/&region=eu-1&path-style=false")
	require.NoError(t, err)
	require.Equal(t, s3store.Options{Bucket: "bucket", Prefix: "a/b", Endpoint: "https://s3.example.org", Region: "eu-1"}, o)
	require.Equal(t, "s3://bucket/a/b", o.String())
	o, err = s3store.Parse("s3://bucket")
	require.NoError(t, err)
	require.Equal(t, s3store.Options{Bucket: "bucket"}, o)
	for bad, says := range map[string]string{
		"":                                  "not the address",
		"/a/directory":                      "not the address",
		"s3://":                             "can't be the name",
		"s3://Upper":                        "can't be the name",
		"s3://b/":                           "can't be the name",
		"s3://key:secret@bucket/":           "must not hold credentials",
		"s3://bucket/../x":                  "prefix",
		"s3://bucket/a//b":                  "prefix",
		"s3://bucket/a b":                   "prefix",
		"s3://bucket#x":                     "not the address",
		"s3://bucket?secret=x":              "none of",
		"s3://bucket?region=a&region=b":     "each once",
		"s3://bucket?region=A_B":            "region",
		"s3://bucket?path-style=perhaps":    "path-style",
		"s3://bucket?endpoint=ftp://x":      "endpoint",
		"s3://bucket?endpoint=http://x.org": "insecure=true",
		"s3://bucket?%zz":                   "can't be read",
	} {
		_, err := s3store.Parse(bad)
		require.ErrorContains(t, err, says, bad)
		require.NotContains(t, err.Error(), "secret@", bad)
	}
	_, err = s3store.Parse("s3://bucket?endpoint=http://x.org&insecure=true")
	require.NoError(t, err)
}

// FuzzParse: whatever an address says, it is refused or names a bucket by its rules.
func FuzzParse(f *testing.F) {
	f.Add("s3://bucket/a/b?endpoint=https://s3.example.org&region=eu-1")
	f.Add("s3://bucket?endpoint=http://127.0.0.1:9000&path-style=true&insecure=1")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := s3store.Parse(s)
		if err != nil {
			return
		}
		if len(o.Bucket) < 3 || strings.Contains(o.Prefix, "..") && strings.Contains("/"+o.Prefix+"/", "/../") || strings.HasPrefix(o.Prefix, "/") {
			t.Fatalf("%q gave %+v", s, o)
		}
	})
}
