package crawl_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// fetch does one task by itself and holds the result against everything that holds for
// every result.
func fetch(t testing.TB, k *crawl.Kind, e work.Env, s crawl.Spec, f crawl.Fetch) crawl.Record {
	t.Helper()
	r, err := tryFetch(t, t.Context(), k, e, s, f)
	require.NoError(t, err)
	return r
}

func tryFetch(t testing.TB, ctx context.Context, k *crawl.Kind, e work.Env, s crawl.Spec, f crawl.Fetch) (crawl.Record, error) {
	t.Helper()
	task := taskOf(t, s, f)
	res, err := k.Execute(ctx, e, task)
	if err != nil {
		return crawl.Record{}, err
	}
	units, err := k.Meter(task, res)
	require.NoError(t, err)
	rec, err := crawl.DecodeRecord(res.Body)
	require.NoError(t, err)
	if rec.Error != "" {
		require.Zero(t, units)
		return rec, nil
	}
	require.EqualValues(t, 1, units)
	blob, err := e.Blobs.Get(ctx, rec.WARC, 0)
	require.NoError(t, err)
	_, _, err = crawl.Recheck(s, f, rec, blob)
	require.NoError(t, err)
	return rec, nil
}

func taskOf(t testing.TB, s crawl.Spec, f crawl.Fetch) work.Task {
	t.Helper()
	body, err := work.Encode(f)
	require.NoError(t, err)
	return work.Task{Job: 1, Seq: 1, Spec: encode(t, s), Body: body}
}

func page(url string) crawl.Fetch { return crawl.Fetch{Mode: crawl.ModePage, URL: url} }

// raw serves each connection with f, which sees the requests' heads.
func raw(t testing.TB, f func(c net.Conn, requests *bufio.Reader)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c, bufio.NewReader(c))
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

func request(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == "\r\n" {
			return true
		}
	}
}

// says answers one request with fixed bytes and closes.
func says(t testing.TB, response string) string {
	return raw(t, func(c net.Conn, r *bufio.Reader) {
		if request(r) {
			io.WriteString(c, response)
		}
	})
}

func packed(t testing.TB, how, s string) string {
	var b bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "flate":
		w, _ = flate.NewWriter(&b, 6)
	}
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"

func TestResponses(t *testing.T) {
	hello := "<title>Hello</title>world"
	with := func(head, body string) string {
		return okHead + head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
	}
	for _, c := range []struct{ name, response, body string }{
		{"plain", with("", hello), hello},
		{"until close", okHead + "\r\n" + hello, hello},
		{"old protocol", "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + hello, hello},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 25\n\n" + hello, hello},
		{"chunked", okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n<titl\r\n14;x=y\r\ne>Hello</title>world\r\n0\r\nTrailer: x\r\n\r\n", hello},
		{"gzip", with("Content-Encoding: gzip\r\n", packed(t, "gzip", hello)), hello},
		{"gzip twice", with("Content-Encoding: gzip, gzip\r\n", packed(t, "gzip", packed(t, "gzip", hello))), hello},
		{"gzip with rubbish behind", with("Content-Encoding: gzip\r\n", packed(t, "gzip", hello)+"rubbish rubbish"), hello},
		{"said to be gzip", with("Content-Encoding: gzip\r\n", hello), hello},
		{"zlib", with("Content-Encoding: deflate\r\n", packed(t, "zlib", hello)), hello},
		{"flate", with("Content-Encoding: deflate\r\n", packed(t, "flate", hello)), hello},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + with("", hello), hello},
		{"no type", "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n<!doctype html>" + hello[:16], "<!doctype html>" + hello[:16]},
		{"no reason", "HTTP/1.1 200\r\nContent-Type: text/html\r\nContent-Length: 25\r\n\r\n" + hello, hello},
		{"empty", with("", ""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := crawl.New()
			defer k.Close()
			url := says(t, c.response)
			r := fetch(t, k, env(t), spec(t, url, nil), page(url))
			require.Empty(t, r.Error)
			require.EqualValues(t, 200, r.Status)
			require.EqualValues(t, len(c.body), r.Size)
			require.False(t, r.Truncated)
			require.Equal(t, "text/html", r.MediaType)
			require.Equal(t, "127.0.0.1", r.IP)
			if c.body == hello {
				require.Equal(t, "Hello", r.Title)
			}
		})
	}
}

func TestTroubles(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	stall := func(text string) string {
		return raw(t, func(c net.Conn, r *bufio.Reader) {
			request(r)
			io.WriteString(c, text)
			io.Copy(io.Discard, c) // until the crawler gives up
		})
	}
	drip := raw(t, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, okHead+"\r\n")
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	endless := raw(t, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(c, "X-More: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for _, c := range []struct{ name, url, class string }{
		{"nobody listens", "http://" + closed.Addr().String() + "/", crawl.ErrRefused},
		{"no such name", "http://no-such-name.invalid/", crawl.ErrDNS},
		{"no way there", "http://nowhere.example/", crawl.ErrUnreachable},
		{"forbidden", "http://forbidden.example/", crawl.ErrForbidden},
		{"silent", stall(""), crawl.ErrTimeout},
		{"head stalls", stall("HTTP/1.1 200 OK\r\nX"), crawl.ErrTimeout},
		{"body stalls", stall(okHead + "Content-Length: 10\r\n\r\n12345"), crawl.ErrTimeout},
		{"body drips for ever", drip, crawl.ErrTimeout},
		{"head without end", endless, crawl.ErrTooLarge},
		{"hangs up", says(t, ""), crawl.ErrReset},
		{"hangs up in the head", says(t, "HTTP/1.1 200 OK\r\nX: y"), crawl.ErrReset},
		{"hangs up in the body", says(t, okHead+"Content-Length: 100\r\n\r\nshort"), crawl.ErrReset},
		{"hangs up in a chunk", says(t, okHead+"Transfer-Encoding: chunked\r\n\r\n64\r\nshort"), crawl.ErrReset},
		{"not HTTP", says(t, "SSH-2.0-OpenSSH_9\r\n\r\n"), crawl.ErrProtocol},
		{"two lengths", says(t, okHead+"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), crawl.ErrProtocol},
		{"negative length", says(t, okHead+"Content-Length: -1\r\n\r\nxy"), crawl.ErrProtocol},
		{"bad chunk", says(t, okHead+"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), crawl.ErrProtocol},
		{"status 99", says(t, "HTTP/1.1 099 Odd\r\n\r\n"), crawl.ErrProtocol},
		{"status 999", says(t, "HTTP/1.1 999 Odd\r\n\r\n"), crawl.ErrProtocol},
		{"switches protocols", says(t, "HTTP/1.1 101 Switching\r\n\r\n"), crawl.ErrProtocol},
		{"interim for ever", says(t, strings.Repeat("HTTP/1.1 103 Hints\r\n\r\n", 20)), crawl.ErrProtocol},
		{"coding not asked for", says(t, okHead+"Content-Encoding: br\r\n\r\nxy"), crawl.ErrProtocol},
		{"broken gzip", says(t, okHead+"Content-Encoding: gzip\r\n\r\n"+packed(t, "gzip", strings.Repeat("abc", 100))[:30]), crawl.ErrProtocol},
		{"TLS to HTTP", strings.Replace(raw(t, func(c net.Conn, _ *bufio.Reader) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), "http:", "https:", 1), crawl.ErrTLS},
		{"unknown authority", secure.URL + "/", crawl.ErrTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := crawl.New()
			if c.class == crawl.ErrTimeout {
				k.Hurry(200 * time.Millisecond)
			}
			defer k.Close()
			e := env(t)
			dial := e.Dial
			e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				switch address {
				case "nowhere.example:80":
					return nil, errors.New("the cable is cut")
				case "forbidden.example:80":
					return nil, fmt.Errorf("connect to %s: %w", address, work.ErrForbiddenAddress)
				case "no-such-name.invalid:80":
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "no-such-name.invalid", IsNotFound: true}}
				}
				return dial(ctx, network, address)
			}
			r := fetch(t, k, e, spec(t, c.url, nil), page(c.url))
			require.Equal(t, c.class, r.Error)
			require.Zero(t, r.Status)
			require.Zero(t, k.Idle())
		})
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(pages(map[string]string{"/": "<title>Safe</title>"}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	k := crawl.NewWithRoots(roots)
	defer k.Close()
	r := fetch(t, k, env(t), spec(t, s.URL, nil), page(s.URL+"/"))
	require.Equal(t, "Safe", r.Title)
}

func TestOwnFaultIsNoResult(t *testing.T) {
	k := crawl.New()
	e := env(t)
	e.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.Join(context.Canceled) }
	_, err := tryFetch(t, t.Context(), k, e, spec(t, "http://a.example/", nil), page("http://a.example/"))
	require.Error(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	url := raw(t, func(c net.Conn, r *bufio.Reader) {
		request(r)
		cancel()
		io.Copy(io.Discard, c)
	})
	_, err = tryFetch(t, ctx, k, env(t), spec(t, url, nil), page(url))
	require.ErrorIs(t, err, context.Canceled)

	e = env(t)
	store := e.Blobs
	e.Blobs = brokenStore{store}
	ok := says(t, okHead+"\r\nx")
	_, err = tryFetch(t, t.Context(), k, e, spec(t, ok, nil), page(ok))
	require.ErrorContains(t, err, "disk is full")
}

func TestLimits(t *testing.T) {
	big := strings.Repeat("<p>some text here</p>\n", 10_000)
	bomb := packed(t, "gzip", strings.Repeat("\x00", 20<<20))
	small := func(s *crawl.Spec) { s.MaxBytes = 5000 }
	large := func(s *crawl.Spec) { s.MaxBytes = crawl.MaxBytes }
	for _, c := range []struct {
		name, response string
		change         func(*crawl.Spec)
		size           int
		cut            bool
	}{
		{"long body", fmt.Sprintf(okHead+"Content-Length: %d\r\n\r\n%s", len(big), big), small, 5000, true},
		{"long body, no length", okHead + "\r\n" + big, small, 5000, true},
		{"exactly as long", okHead + "\r\n" + big[:5000], small, 5000, false},
		{"long when unpacked", okHead + "Content-Encoding: gzip\r\n\r\n" + packed(t, "gzip", big), small, 5000, true},
		{"bomb", okHead + "Content-Encoding: gzip\r\n\r\n" + bomb, large, 200 * len(bomb), true},
		{"length of a petabyte", okHead + "Content-Length: 1000000000000000\r\n\r\n" + big, small, 5000, true},
		{"picture", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5000000\r\n\r\n" + big, small, 0, true},
		{"small picture", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\n12345", small, 0, true},
		{"document", "HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: 5\r\n\r\n%PDF-", small, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := crawl.New()
			defer k.Close()
			url := says(t, c.response)
			r := fetch(t, k, env(t), spec(t, url, c.change), page(url))
			require.EqualValues(t, 200, r.Status, r.Error)
			require.EqualValues(t, c.size, r.Size)
			require.Equal(t, c.cut, r.Truncated)
		})
	}
}

func TestHeadFields(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/agent":
			fmt.Fprint(w, r.UserAgent(), r.Host)
		case "/moved":
			h.Set("Location", "../x?y#z")
			w.WriteHeader(301)
		case "/mail":
			h.Set("Location", "mailto:me@e.example")
			w.WriteHeader(302)
		case "/busy":
			h.Set("Retry-After", "120")
			w.WriteHeader(429)
		case "/later":
			h.Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(503)
		case "/odd":
			h.Set("Retry-After", "soon")
			w.WriteHeader(503)
		case "/tag":
			h.Add("X-Robots-Tag", "otherbot: noindex")
			h.Add("X-Robots-Tag", "unavailable_after: 25 Jun 2030 15:00:00 PST, nofollow")
			h.Add("X-Robots-Tag", "cantusbot: noindex")
			h.Set("Content-Type", "text/html")
			fmt.Fprint(w, "<a href=/x>x</a>")
		case "/meta":
			h.Set("Content-Type", "text/html")
			fmt.Fprint(w, "<meta name=robots content='noindex,nofollow'>")
		case "/latin":
			h.Set("Content-Type", `Text/HTML ; Charset="ISO-8859-1"`)
			fmt.Fprint(w, "<title>caf\xe9</title>")
		case "/sjis":
			h.Set("Content-Type", "text/html")
			fmt.Fprint(w, "<meta charset=shift_jis><title>\x93\xfa\x96{</title>")
		}
	}))
	k := crawl.New()
	defer k.Close()
	e, sp := env(t), spec(t, s.URL, nil)
	get := func(path string) crawl.Record { return fetch(t, k, e, sp, page(s.URL+path)) }

	require.Equal(t, s.URL+"/x?y", get("/moved").Location)
	require.Empty(t, get("/mail").Location)
	require.EqualValues(t, 120, get("/busy").RetryAfter)
	require.InDelta(t, 3600, get("/later").RetryAfter, 30)
	require.Zero(t, get("/odd").RetryAfter)
	tag := get("/tag")
	require.True(t, tag.NoIndex && tag.NoFollow)
	meta := get("/meta")
	require.True(t, meta.NoIndex && meta.NoFollow)
	require.Equal(t, "café", get("/latin").Title)
	require.Equal(t, "text/html", get("/latin").MediaType)
	require.Equal(t, "日本", get("/sjis").Title)

	agent := get("/agent")
	blob, err := e.Blobs.Get(t.Context(), agent.WARC, 0)
	require.NoError(t, err)
	ex, text, err := crawl.Recheck(sp, page(s.URL+"/agent"), agent, blob)
	require.NoError(t, err)
	require.Contains(t, text, "CantusBot/1.0; +https://")
	require.Contains(t, text, strings.TrimPrefix(s.URL, "http://"))
	require.True(t, bytes.HasPrefix(ex.RequestHead, []byte("GET /agent HTTP/1.1\r\nHost: ")))
	require.True(t, bytes.HasPrefix(ex.ResponseHead, []byte("HTTP/1.1 200 OK\r\n")))
}

func TestConnectionsAreKept(t *testing.T) {
	s := serve(t, pages(map[string]string{"/": "<p>x", "/b": "<p>y"}))
	k := crawl.New()
	defer k.Close()
	e := env(t)
	var dials atomic.Int32
	dial := e.Dial
	e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	}
	for range 3 {
		for _, p := range []string{"/", "/b", "/missing"} {
			fetch(t, k, e, spec(t, s.URL, nil), page(s.URL+p))
		}
	}
	require.EqualValues(t, 1, dials.Load())
	require.Equal(t, 1, k.Idle())
	// The server hangs up between two requests: no result, another connection.
	s.CloseClientConnections()
	require.EqualValues(t, 200, fetch(t, k, e, spec(t, s.URL, nil), page(s.URL+"/")).Status)
	require.EqualValues(t, 2, dials.Load())
	k.Close()
	require.Zero(t, k.Idle())
}

func TestPoisonedConnectionIsNotKept(t *testing.T) {
	url := says(t, okHead+"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
	k := crawl.New()
	defer k.Close()
	r := fetch(t, k, env(t), spec(t, url, nil), page(url))
	require.EqualValues(t, 2, r.Size)
	require.Zero(t, k.Idle())
}

func TestUndoLimits(t *testing.T) {
	_, _, err := crawl.Undo([]byte("x"), "gzip,gzip,gzip,gzip", 100, false)
	require.Error(t, err)
	b, whole, err := crawl.Undo([]byte(packed(t, "gzip", strings.Repeat("abc", 1000)))[:25], "gzip", 100, true)
	require.NoError(t, err)
	require.False(t, whole)
	require.LessOrEqual(t, len(b), 100)
}
