package crawl_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

func prose(seed uint64, words int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var sb strings.Builder
	for range words {
		fmt.Fprintf(&sb, "w%d ", r.IntN(5000))
	}
	return sb.String()
}

// audit lets one worker do a task and another check it. Between the two, forge may change
// the result, and the site may change by itself.
func audit(t *testing.T, s *site, path string, forge func(e work.Env, f crawl.Fetch, r *work.Result)) work.Verdict {
	t.Helper()
	e := env(t)
	sp := spec(t, s.URL, nil)
	f := page(s.URL + path)
	switch path {
	case "/robots.txt", "/stamped/robots.txt":
		f.Mode = crawl.ModeRobots
	case "/map.txt":
		f.Mode = crawl.ModeSitemap
	}
	task := taskOf(t, sp, f)
	worker, auditor := crawl.New(), crawl.New()
	defer worker.Close()
	defer auditor.Close()
	res, err := worker.Execute(t.Context(), e, task)
	require.NoError(t, err)
	if forge != nil {
		forge(e, f, &res)
	}
	v, err := auditor.Verify(t.Context(), e, task, res)
	require.NoError(t, err)
	require.NoError(t, v.Label.Check())
	require.NotEmpty(t, v.Reason)
	if !v.Evidence.IsZero() {
		has, err := e.Blobs.Has(t.Context(), v.Evidence)
		require.NoError(t, err)
		require.True(t, has[0])
	}
	return v
}

// change edits the record only.
func change(t *testing.T, f func(*crawl.Record)) func(work.Env, crawl.Fetch, *work.Result) {
	return func(_ work.Env, _ crawl.Fetch, res *work.Result) {
		r, err := crawl.DecodeRecord(res.Body)
		require.NoError(t, err)
		f(&r)
		res.Body, err = work.Encode(r)
		require.NoError(t, err)
	}
}

// rewrite is a thorough forger: it changes the exchange and makes everything else fit. It
// does so with a server of its own.
func rewrite(t *testing.T, f func(ex *warc.Exchange)) func(work.Env, crawl.Fetch, *work.Result) {
	return func(e work.Env, fetch crawl.Fetch, res *work.Result) {
		r, err := crawl.DecodeRecord(res.Body)
		require.NoError(t, err)
		blob, err := e.Blobs.Get(t.Context(), r.WARC, 0)
		require.NoError(t, err)
		ex, err := warc.Parse(blob, r.Members)
		require.NoError(t, err)
		f(&ex)
		head := strings.ReplaceAll(string(ex.ResponseHead), "X-Crawler-", "X-Old-")
		url := says(t, dropLength(head, len(ex.Body))+string(ex.Body))
		fake := e
		fake.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return e.Dial(ctx, network, strings.Trim(strings.TrimPrefix(url, "http://"), "/"))
		}
		forger := crawl.New()
		defer forger.Close()
		*res, err = forger.Execute(t.Context(), fake, taskOf(t, spec(t, fetch.URL, nil), fetch))
		require.NoError(t, err)
		r, err = crawl.DecodeRecord(res.Body)
		require.NoError(t, err)
		require.Empty(t, r.Error)
	}
}

func dropLength(head string, n int) string {
	var out []string
	for _, l := range strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n") {
		if !strings.HasPrefix(strings.ToLower(l), "content-length:") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", n)
}

func replaceBody(s string) func(*warc.Exchange) {
	return func(ex *warc.Exchange) { ex.Body = []byte(s) }
}

// TestAudit is the table of what an audit finds.
func TestAudit(t *testing.T) {
	long := "<title>Page</title><p>" + prose(1, 400)
	var n atomic.Int32
	var gone atomic.Bool
	started := time.Now()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		h := w.Header()
		h.Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/robots.txt":
			h.Set("Content-Type", "text/plain")
			fmt.Fprint(w, "User-agent: *\nDisallow: /denied\n")
		case "/stamped/robots.txt":
			h.Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "# made at %d\nUser-agent: *\nDisallow: /denied\n", i)
		case "/map.txt":
			h.Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "%[1]s/static\n%[1]s/dated\n%[1]s/tagged\n%[1]s/script\n", "http://"+r.Host)
		case "/application": // all of it is a program
			fmt.Fprintf(w, "<title>Shop</title><script nonce=%d src=/app.js></script>", i)
		case "/static":
			fmt.Fprint(w, long)
		case "/dated":
			h.Set("Last-Modified", started.Add(-time.Hour).UTC().Format(http.TimeFormat))
			fmt.Fprint(w, long)
		case "/tagged":
			h.Set("ETag", `"v1"`)
			fmt.Fprint(w, long)
		case "/script": // varies where nobody reads
			fmt.Fprintf(w, "<script>var x = %d</script>%s", i, long)
		case "/varies": // a little
			fmt.Fprintf(w, "%s <p>visitor number %d, take %s", long, i, prose(uint64(i)+1000, 20))
		case "/random": // altogether
			fmt.Fprint(w, prose(uint64(i)+5000, 300))
		case "/moved":
			http.Redirect(w, r, "/static", 301)
		case "/found":
			http.Redirect(w, r, fmt.Sprintf("/to/%d", i), 302)
		case "/missing":
			http.NotFound(w, r)
		case "/vanishes":
			if gone.Swap(true) {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, long)
		case "/picture":
			h.Set("Content-Type", "image/png")
			fmt.Fprint(w, "png")
		case "/pdf":
			h.Set("Content-Type", "application/pdf")
			fmt.Fprintf(w, "%%PDF-1.7 %d", i)
		default:
			fmt.Fprint(w, long)
		}
	}))
	honest := func(work.Env, crawl.Fetch, *work.Result) {}
	for _, c := range []struct {
		name, path string
		forge      func(work.Env, crawl.Fetch, *work.Result)
		want       work.AuditOutcome
	}{
		{"static", "/static", honest, work.Pass},
		{"robots.txt", "/robots.txt", honest, work.Pass},
		{"robots.txt with a date", "/stamped/robots.txt", honest, work.Pass},
		{"sitemap", "/map.txt", honest, work.Pass},
		{"no text", "/application", honest, work.Pass},
		{"same text", "/script", honest, work.Pass},
		{"varies a little", "/varies", honest, work.Pass},
		{"varies altogether", "/random", honest, work.Unsure},
		{"redirect", "/moved", honest, work.Pass},
		{"redirect that varies", "/found", honest, work.Unsure},
		{"missing", "/missing", honest, work.Pass},
		{"gone since", "/vanishes", honest, work.Unsure},
		{"type not kept", "/picture", honest, work.Pass},
		{"document that varies", "/pdf", honest, work.Unsure},
		{"denied by robots.txt", "/denied", honest, work.Unsure},

		{"other title", "/static", change(t, func(r *crawl.Record) { r.Title = "Buy" }), work.Fail},
		{"one more link", "/static", change(t, func(r *crawl.Record) { r.Links = append(r.Links, "http://spam.example/") }), work.Fail},
		{"other digest", "/static", change(t, func(r *crawl.Record) { r.Digest[0]++ }), work.Fail},
		{"other text", "/static", change(t, func(r *crawl.Record) { r.TextDigest[0]++ }), work.Fail},
		{"other fingerprint", "/static", change(t, func(r *crawl.Record) { r.SimHash++ }), work.Fail},
		{"other size", "/static", change(t, func(r *crawl.Record) { r.Size++ }), work.Fail},
		{"other address", "/static", change(t, func(r *crawl.Record) { r.IP = "192.0.2.1" }), work.Fail},
		{"other time", "/static", change(t, func(r *crawl.Record) { r.Time++ }), work.Fail},
		{"other status", "/static", change(t, func(r *crawl.Record) { r.Status = 203 }), work.Fail},
		{"said to be cut", "/static", change(t, func(r *crawl.Record) { r.Truncated = true }), work.Fail},
		{"told to stay out", "/static", change(t, func(r *crawl.Record) { r.NoIndex = true }), work.Fail},
		{"no links followed", "/static", change(t, func(r *crawl.Record) { r.NoFollow = true }), work.Fail},
		{"other language", "/static", change(t, func(r *crawl.Record) { r.Language = "xx" }), work.Fail},
		{"other target", "/moved", change(t, func(r *crawl.Record) { r.Location += "x" }), work.Fail},
		{"of another page", "/static", change(t, func(r *crawl.Record) { r.URL += "x" }), work.Fail},
		{"members moved", "/static", change(t, func(r *crawl.Record) { r.Members[0]--; r.Members[1]++ }), work.Fail},
		{"not a record", "/static", func(_ work.Env, _ crawl.Fetch, r *work.Result) { r.Body = []byte("x") }, work.Fail},
		{"another blob", "/static", func(_ work.Env, _ crawl.Fetch, r *work.Result) { r.Blobs[0][0]++ }, work.Fail},
		{"body alone", "/static", func(_ work.Env, _ crawl.Fetch, r *work.Result) { r.Blobs = nil }, work.Pass},

		{"another page altogether", "/static", rewrite(t, replaceBody(prose(77, 400))), work.Fail},
		{"a sentence more, dated", "/dated", rewrite(t, replaceBody(long+" Buy now.")), work.Fail},
		{"a sentence more, tagged", "/tagged", rewrite(t, replaceBody(long+" Buy now.")), work.Fail},
		{"another page that varies", "/varies", rewrite(t, replaceBody(prose(77, 400))), work.Fail},
		{"empty page", "/static", rewrite(t, replaceBody("")), work.Fail},
		{"robots.txt, one rule more", "/robots.txt", rewrite(t, replaceBody("User-agent: *\nDisallow: /denied\nDisallow: /a\n")), work.Unsure},
		{"another robots.txt", "/robots.txt", rewrite(t, replaceBody("User-agent: *\nAllow: /\nSitemap: http://spam.example/map.xml\n")), work.Fail},
		{"no rules", "/robots.txt", rewrite(t, replaceBody("")), work.Fail},
		{"another robots.txt with a date", "/stamped/robots.txt", rewrite(t, replaceBody("# made at 1\nUser-agent: *\nDisallow: /\n")), work.Unsure},
		{"another sitemap", "/map.txt", rewrite(t, replaceBody("http://spam.example/1\nhttp://spam.example/2\n")), work.Fail},
		{"links without words", "/static", rewrite(t, replaceBody(long+"<a href=/invented></a>")), work.Unsure},
		{"kept from the dataset", "/static", rewrite(t, replaceBody("<meta name=robots content=noindex>"+long)), work.Unsure},
		{"no text, other links", "/application", rewrite(t, replaceBody("<title>Shop</title><a href=/invented></a>")), work.Unsure},
		{"missing, it is said", "/static", rewrite(t, func(ex *warc.Exchange) {
			ex.ResponseHead, ex.Body = []byte("HTTP/1.1 404 Not Found\r\n\r\n"), nil
		}), work.Fail},
		{"moved, it is said", "/static", rewrite(t, func(ex *warc.Exchange) {
			ex.ResponseHead, ex.Body = []byte("HTTP/1.1 301 Moved\r\nLocation: http://spam.example/\r\n\r\n"), nil
		}), work.Fail},
		{"busy, it is said", "/static", rewrite(t, func(ex *warc.Exchange) {
			ex.ResponseHead, ex.Body = []byte("HTTP/1.1 503 Busy\r\n\r\n"), nil
		}), work.Unsure},
		{"a picture, it is said", "/static", rewrite(t, func(ex *warc.Exchange) {
			ex.ResponseHead, ex.Body = []byte("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"), nil
		}), work.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := audit(t, s, c.path, c.forge)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			if v.Outcome == work.Unsure {
				require.Equal(t, work.Asserted, v.Label)
			}
		})
	}
}

func TestAuditOfErrors(t *testing.T) {
	e := env(t)
	s := serve(t, pages(map[string]string{"/": "<p>x"}))
	k := crawl.New()
	defer k.Close()
	sp := spec(t, s.URL, nil)
	claim := func(rec crawl.Record) work.Verdict {
		body, err := work.Encode(rec)
		require.NoError(t, err)
		v, err := k.Verify(t.Context(), e, taskOf(t, sp, page(rec.URL)), work.Result{Body: body})
		require.NoError(t, err)
		return v
	}
	require.Equal(t, work.Unsure, claim(crawl.Record{URL: s.URL + "/", Time: 1, Error: crawl.ErrTimeout}).Outcome)
	require.Equal(t, work.Fail, claim(crawl.Record{URL: s.URL + "/", Time: 1, Error: "weather"}).Outcome)
	require.Equal(t, work.Fail, claim(crawl.Record{URL: s.URL + "/", Time: 1, Error: crawl.ErrDNS, Title: "x"}).Outcome)

	// A blob that is nowhere can't be checked: no verdict.
	task := taskOf(t, sp, page(s.URL+"/"))
	res, err := k.Execute(t.Context(), e, task)
	require.NoError(t, err)
	_, err = k.Verify(t.Context(), env(t), task, res)
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

func TestCheck(t *testing.T) {
	k := crawl.New()
	good := func() crawl.Spec { return spec(t, "http://e.example/", nil) }
	needs, err := k.Check(encode(t, good()))
	require.NoError(t, err)
	require.EqualValues(t, 1, needs.UnitsPerTask)
	require.Positive(t, needs.TaskTime)
	for name, f := range map[string]func(*crawl.Spec){
		"no address":        func(s *crawl.Spec) { s.Seeds = nil },
		"10000":             func(s *crawl.Spec) { s.Seeds = make([]string, crawl.MaxSeeds+1) },
		"unknown scope":     func(s *crawl.Spec) { s.Scope = "galaxy" },
		"pages":             func(s *crawl.Spec) { s.MaxPages = 1 << 60 },
		"depth":             func(s *crawl.Spec) { s.MaxDepth = 1 << 30 },
		"0 bytes":           func(s *crawl.Spec) { s.MaxBytes = 0 },
		"bytes":             func(s *crawl.Spec) { s.MaxBytes = 1 << 40 },
		"rate of 0":         func(s *crawl.Spec) { s.Rate = 0 },
		"rate":              func(s *crawl.Spec) { s.Rate = 1 << 30 },
		"is spelled":        func(s *crawl.Spec) { s.Seeds = []string{"http://E.example"} },
		"twice":             func(s *crawl.Spec) { s.Seeds = append(s.Seeds, s.Seeds[0]) },
		"http and https":    func(s *crawl.Spec) { s.Seeds = []string{"ftp://e.example/"} },
		"user name":         func(s *crawl.Spec) { s.Seeds = []string{"http://a:b@e.example/"} },
		"too long":          func(s *crawl.Spec) { s.Seeds = []string{"http://e.example/" + strings.Repeat("x", 3000)} },
		"not a web address": func(s *crawl.Spec) { s.Seeds = []string{"seed"} },
	} {
		s := good()
		f(&s)
		_, err := k.Check(encode(t, s))
		require.ErrorIs(t, err, crawl.ErrSpec, name)
		require.ErrorContains(t, err, name)
		_, err = k.Plan(t.Context(), 1, encode(t, s), nil, work.PlanEnv{})
		require.Error(t, err, name)
	}
	for _, b := range [][]byte{nil, {}, {0xff}, []byte("seed"), append(encode(t, good()), 0)} {
		_, err := k.Check(b)
		require.ErrorIs(t, err, crawl.ErrSpec)
	}
	_, err = crawl.NewSpec("nonsense")
	require.ErrorIs(t, err, crawl.ErrSpec)
	s, err := crawl.NewSpec("HTTP://e.example", "http://E.EXAMPLE/")
	require.NoError(t, err)
	require.Equal(t, []string{"http://e.example/"}, s.Seeds)
}

func TestBadTasks(t *testing.T) {
	k := crawl.New()
	sp := spec(t, "http://e.example/", nil)
	for _, f := range []crawl.Fetch{
		{}, {Mode: 9, URL: "http://e.example/"}, {Mode: crawl.ModePage, URL: "http://E.example/"},
		{Mode: crawl.ModePage, URL: "file:///etc/passwd"}, {Mode: crawl.ModePage, URL: "http://e.example/", Depth: 1 << 31},
	} {
		_, err := k.Execute(t.Context(), env(t), taskOf(t, sp, f))
		require.ErrorContains(t, err, "crawl task")
	}
	_, err := k.Execute(t.Context(), env(t), work.Task{Spec: []byte("x"), Body: []byte("y")})
	require.Error(t, err)
}
