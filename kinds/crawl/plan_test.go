package crawl_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/local"
	"github.com/cantus-network/cantus/work"
)

// tree is a site without end: each page links to ten others.
func tree(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, "<title>%s</title>", r.URL.Path)
	for i := range 10 {
		fmt.Fprintf(w, "<a href='%s/%d'>x</a>", strings.TrimSuffix(r.URL.Path, "/"), i)
	}
}

func TestMaxPagesIsNeverExceeded(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint64{1, 7, 50, 333} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/robots.txt", strings.HasSuffix(r.URL.Path, "3"):
				http.NotFound(w, r)
			case strings.HasSuffix(r.URL.Path, "5"):
				http.Redirect(w, r, strings.TrimSuffix(r.URL.Path, "5")+"x", http.StatusFound)
			default:
				tree(w, r)
			}
		}))
		stats, records := crawlAll(t, spec(t, s.URL, func(s *crawl.Spec) { s.MaxPages = limit }))
		require.Equal(t, limit, stats.Counts["pages"])
		var kept uint64
		for _, r := range records {
			if crawl.IsPage(crawl.Fetch{Mode: crawl.ModePage}, r) {
				kept++
			}
		}
		require.Equal(t, limit, kept)
		require.Zero(t, stats.Queued)
		for uri, n := range s.asked {
			require.Equal(t, 1, n, uri)
		}
	}
}

func TestMaxDepth(t *testing.T) {
	t.Parallel()
	for depth, want := range []uint64{1, 11, 111} {
		s := serve(t, http.HandlerFunc(tree))
		stats, _ := crawlAll(t, spec(t, s.URL, func(s *crawl.Spec) { s.MaxDepth = uint32(depth) }))
		require.Equal(t, want, stats.Counts["pages"])
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	m := map[string]string{}
	other := serve(t, pages(map[string]string{"/": "<p>other"}))
	m["/d/"] = "<a href=a>a</a><a href=/out>o</a><a href=/d/sub/>s</a><a href=/d>nearly</a><a href='" + other.URL + "/'>other port</a>"
	for _, p := range []string{"/d/a", "/out", "/d/sub/", "/d"} {
		m[p] = "<p>" + p
	}
	for scope, want := range map[crawl.Scope]uint64{crawl.ScopeHost: 5, crawl.ScopeDomain: 5, crawl.ScopePrefix: 3} {
		s := serve(t, pages(m))
		stats, _ := crawlAll(t, spec(t, s.URL+"/d/", func(s *crawl.Spec) { s.Scope = scope }))
		require.Equal(t, want, stats.Counts["pages"], scope)
	}
	require.Zero(t, other.times("/"))
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		switch {
		case r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<a href=/loop>l</a><a href=/hop/0>h</a><a href=/self>s</a><a href=/away>a</a><a href=/good>g</a>")
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/pool", 302)
		case r.URL.Path == "/pool":
			http.Redirect(w, r, "/loop", 302)
		case r.URL.Path == "/self":
			http.Redirect(w, r, "/self", 301)
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://elsewhere.example/", 301)
		case r.URL.Path == "/good":
			http.Redirect(w, r, "/target", 308)
		case r.URL.Path == "/target":
			fmt.Fprint(w, "here")
		default:
			if _, err := fmt.Sscanf(r.URL.Path, "/hop/%d", &n); err != nil {
				http.NotFound(w, r)
				return
			}
			http.Redirect(w, r, fmt.Sprintf("/hop/%d", n+1), 302)
		}
	}))
	stats, _ := crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 2, stats.Counts["pages"])
	require.EqualValues(t, 1, stats.Counts["error-redirect-loop"], "%v", stats.Counts)
	require.EqualValues(t, 5+10, stats.Counts["redirects"])
	require.Equal(t, 1, s.times("/hop/10"))
	require.Zero(t, s.times("/hop/11"))
}

func TestRetries(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<a href=/once>o</a><a href=/never>n</a>")
		case "/once":
			if n.Add(1) == 1 {
				http.Error(w, "busy", 503)
				return
			}
			fmt.Fprint(w, "ok")
		case "/never":
			http.Error(w, "broken", 500)
		default:
			http.NotFound(w, r)
		}
	}))
	stats, _ := crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 2, stats.Counts["pages"])
	require.EqualValues(t, 1, stats.Counts["error-http-5xx"])
	require.EqualValues(t, 4, stats.Counts["retries"])
	require.Equal(t, 4, s.times("/never"))
	require.Equal(t, 2, s.times("/once"))
}

func TestRobotsVariants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		pages  int
	}{
		{"allows", 200, "User-agent: *\nAllow: /", 2},
		{"denies", 200, "User-agent: *\nDisallow: /b", 1},
		{"denies us", 200, "User-agent: CantusBot\nDisallow: /", 0},
		{"missing", 404, "", 2},
		{"forbidden", 403, "", 2},
		{"broken", 500, "", 0},
		{"HTML in its place", 200, "<html>hello</html>", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/robots.txt":
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.body)
				case "/":
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprint(w, "<a href=/b>b</a>")
				default:
					fmt.Fprint(w, "text")
				}
			}))
			stats, _ := crawlAll(t, spec(t, s.URL, nil))
			require.EqualValues(t, c.pages, stats.Counts["pages"])
			if c.status == 500 {
				require.Equal(t, 4, s.times("/robots.txt"))
				require.Zero(t, s.times("/"))
				require.EqualValues(t, 1, stats.Counts["error-robots-unreachable"])
			} else {
				require.Equal(t, 1, s.times("/robots.txt"))
			}
		})
	}
}

func TestRobotsRedirect(t *testing.T) {
	t.Parallel()
	for hops, denied := range map[int]bool{1: true, 5: true, 6: false} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := 0
			switch {
			case r.URL.Path == "/":
				fmt.Fprint(w, "text")
				return
			case r.URL.Path == "/robots.txt":
			default:
				fmt.Sscanf(r.URL.Path, "/r/%d", &n)
			}
			if n == hops {
				fmt.Fprint(w, "User-agent: *\nDisallow: /")
				return
			}
			http.Redirect(w, r, fmt.Sprintf("/r/%d", n+1), 301)
		}))
		stats, _ := crawlAll(t, spec(t, s.URL, nil))
		require.Equal(t, denied, stats.Counts["robots-denied"] == 1, "%d hops: %v", hops, stats.Counts)
	}
}

func TestSitemaps(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	var base string
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/robots.txt":
			fmt.Fprintf(w, "Sitemap: %s/index.xml\nSitemap: /list.txt\nSitemap: https://elsewhere.example/s.xml\nSitemap: /missing.xml", base)
		case "/index.xml":
			fmt.Fprintf(w, `<?xml version="1.0"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>%s/a.xml</loc></sitemap><sitemap><loc>%s/b.xml.gz</loc></sitemap><sitemap><loc>%s/index.xml</loc></sitemap></sitemapindex>`, base, base, base)
		case "/a.xml":
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprintf(w, `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="i"><url><loc> %s/1?x&amp;y </loc><image:loc>%s/picture</image:loc></url><url><loc>https://elsewhere.example/</loc></url></urlset>`, base, base)
		case "/b.xml.gz":
			w.Header().Set("Content-Type", "application/gzip")
			w.Write(zipped.Bytes())
		case "/list.txt":
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "%s/3\n\nnot an address\n%s/4\n", base, base)
		case "/missing.xml":
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, "text of ", r.URL.RequestURI())
		}
	}))
	base = s.URL
	z := gzip.NewWriter(&zipped)
	fmt.Fprintf(z, "<urlset><url><loc>%s/2</loc></url></urlset>", base)
	z.Close()

	stats, _ := crawlAll(t, spec(t, s.URL, func(s *crawl.Spec) { s.Sitemaps = true }))
	require.EqualValues(t, 5, stats.Counts["pages"], "%v", stats.Counts)
	require.EqualValues(t, 4, stats.Counts["sitemaps"])
	require.EqualValues(t, 1, stats.Counts["error-http-404"])
	for _, uri := range []string{"/", "/1?x&y", "/2", "/3", "/4", "/index.xml"} {
		require.Equal(t, 1, s.times(uri), uri)
	}
	require.Zero(t, s.times("/picture"))

	stats, _ = crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 1, stats.Counts["pages"], "sitemaps are only followed when asked for")
}

func TestReadSitemapBounds(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", 100)
	for _, body := range []string{"", "<", "<urlset", "<html><body>x", "<urlset>" + deep, "<!DOCTYPE x [<!ENTITY a \"b\">]><urlset><url><loc>&a;</loc></url></urlset>", "\x1f\x8bnot gzip"} {
		_, refs := crawl.ReadSitemap([]byte(body), "application/xml")
		require.LessOrEqual(t, len(refs), 1, body)
	}
	many := "<urlset>" + strings.Repeat("<url><loc>http://e.example/</loc></url>", crawl.MaxSitemapLinks+10) + "</urlset>"
	_, refs := crawl.ReadSitemap([]byte(many), "application/xml")
	require.Len(t, refs, crawl.MaxSitemapLinks)
	root, refs := crawl.ReadSitemap([]byte(`<rss><channel><item><link>http://e.example/r</link></item></channel></rss>`), "application/rss+xml")
	require.Equal(t, "rss", root)
	require.Equal(t, []string{"http://e.example/r"}, refs)
	root, refs = crawl.ReadSitemap([]byte(`<feed><entry><link href="http://e.example/f"/></entry></feed>`), "application/atom+xml")
	require.Equal(t, "feed", root)
	require.Equal(t, []string{"http://e.example/f"}, refs)
}

func TestDirectivesAndDuplicates(t *testing.T) {
	t.Parallel()
	same := "<title>Same</title><a href=/from-same>f</a>"
	s := serve(t, pages(map[string]string{
		"/":          "<a href=/hidden>h</a><a href=/closed>c</a><a href=/one>1</a><a href=/two>2</a><a href=/x/three>3</a>",
		"/hidden":    "<meta name=robots content=noindex><a href=/from-hidden>f</a>",
		"/closed":    "<meta name=robots content=nofollow><a href=/from-closed>f</a>",
		"/one":       same,
		"/two":       same,
		"/x/three":   same,
		"/from-same": "<p>f", "/from-hidden": "<p>h", "/from-closed": "<p>c",
	}))
	stats, _ := crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 1, stats.Counts["noindex"])
	require.EqualValues(t, 2, stats.Counts["duplicates"])
	require.Equal(t, 1, s.times("/from-hidden"))
	require.Zero(t, s.times("/from-closed"))
	require.EqualValues(t, 7, stats.Counts["pages"])
}

func TestSkippedTypesAreCounted(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<a href=/film>film</a>")
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		w.Write(make([]byte, 1<<20))
	}))
	stats, records := crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 1, stats.Counts["pages"])
	require.EqualValues(t, 1, stats.Counts["skipped"])
	require.Zero(t, records[s.URL+"/film"].Size)
}

func TestDeadHost(t *testing.T) {
	t.Parallel()
	s := serve(t, http.NotFoundHandler())
	s.Close()
	stats, _ := crawlAll(t, spec(t, s.URL, nil))
	require.EqualValues(t, 1, stats.Counts["error-refused"])
	require.Zero(t, stats.Units)
}

// TestNamedHosts serves several names from one machine.
func TestNamedHosts(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.Host + r.URL.Path {
		case "example.com/":
			http.Redirect(w, r, "http://www.example.com/", http.StatusMovedPermanently)
		case "www.example.com/":
			fmt.Fprint(w, "<a href=/a>a</a><a href=http://blog.example.com/>b</a><a href=http://other.example/>o</a>")
		case "www.example.com/a", "blog.example.com/":
			fmt.Fprint(w, "<p>", r.Host)
		default:
			http.NotFound(w, r)
		}
	}))
	for scope, want := range map[crawl.Scope]uint64{crawl.ScopeHost: 2, crawl.ScopeDomain: 3, crawl.ScopePrefix: 2} {
		e := env(t)
		dial := e.Dial
		e.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, s.Listener.Addr().String())
		}
		k := crawl.New()
		stats, err := local.Run(t.Context(), k, encode(t, spec(t, "http://example.com/", func(s *crawl.Spec) { s.Scope = scope })),
			local.Options{Env: e, AllowPrivate: anyHost, Parallel: 2})
		require.NoError(t, err)
		addsUp(t, stats.PlanStatus)
		require.Equal(t, want, stats.Counts["pages"], "%s: a seed's redirect to another host of its domain is followed", scope)
		require.EqualValues(t, 1, stats.Counts["redirects"])
		k.Close()
	}
}

// TestResume interrupts a crawl on disk and goes on.
func TestResume(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(tree))
	dir, e := t.TempDir(), env(t)
	raw := encode(t, spec(t, s.URL, func(s *crawl.Spec) { s.MaxPages = 200 }))
	k := crawl.New()
	defer k.Close()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := local.Run(ctx, k, raw, local.Options{Env: e, AllowPrivate: anyHost, Parallel: 1, Dir: dir, Each: func(work.Outcome) error {
		if n++; n == 50 {
			cancel()
		}
		return nil
	}})
	require.ErrorIs(t, err, context.Canceled)
	var left []string
	// What was in a worker's hands is the scheduler's to give out anew; here nobody does,
	// so the crawl can't end. It must still do everything else, once.
	state, err := local.OpenState(dir)
	require.NoError(t, err)
	defer state.Close()
	p, err := k.Plan(t.Context(), 1, raw, state, work.PlanEnv{Now: time.Now, Blobs: e.Blobs, AllowPrivate: anyHost})
	require.NoError(t, err)
	require.Positive(t, p.Status().Out)
	b := state.NewBatch()
	bundles, err := p.Next(b, 1000)
	require.NoError(t, err)
	require.NoError(t, b.Commit())
	for _, bundle := range bundles {
		for _, task := range bundle.Tasks {
			f, err := crawl.DecodeFetch(task.Body)
			require.NoError(t, err)
			left = append(left, strings.TrimPrefix(f.URL, s.URL))
		}
	}
	require.NotEmpty(t, left)
	for _, uri := range left {
		require.Zero(t, s.times(uri), "%s was fetched already", uri)
	}
}
