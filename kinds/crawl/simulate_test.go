package crawl_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/local"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// world is a small web without a network: what every address answers follows from its
// name and the seed.
type world struct {
	t      testing.TB
	seed   uint64
	hosts  int
	pages  int // of each host
	robots map[string]string
	ips    map[string]string
	store  artifact.Store
	tries  map[string]int
}

func newWorld(t testing.TB, seed uint64, hosts, pages int) *world {
	store, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	return &world{t: t, seed: seed, hosts: hosts, pages: pages, robots: map[string]string{}, ips: map[string]string{}, store: store, tries: map[string]int{}}
}

func (w *world) host(i int) string { return fmt.Sprintf("h%d.example.com", i) }

func (w *world) dice(url string) *rand.Rand {
	d := artifact.Sum([]byte(url))
	return rand.New(rand.NewPCG(w.seed, uint64(d[0])<<24|uint64(d[1])<<16|uint64(d[2])<<8|uint64(d[3])))
}

// answer is what asking for a task gives. Trouble passes after some tries, so that what is
// found in the end does not depend on the order.
func (w *world) answer(now time.Time, f crawl.Fetch) crawl.Record {
	u, err := weburl.Parse(f.URL)
	require.NoError(w.t, err)
	w.tries[f.URL]++
	d := w.dice(f.URL)
	r := crawl.Record{URL: f.URL, Time: now.UnixMilli(), Status: 200, MediaType: "text/html", IP: w.ips[u.Host()]}
	r.WARC, r.Members = artifact.Sum([]byte("warc "+f.URL)), [3]uint32{1, 1, 1}
	if f.Mode == crawl.ModeRobots {
		body, ok := w.robots[u.Host()]
		if !ok {
			r.Status, r.Digest = 404, artifact.Sum([]byte("none"))
			return r
		}
		blob, members, err := warc.Build(warc.Exchange{
			URL: f.URL, Time: now, RequestHead: []byte("GET /robots.txt HTTP/1.1\r\n\r\n"),
			ResponseHead: []byte("HTTP/1.1 200 OK\r\n\r\n"), Body: []byte(body),
		})
		require.NoError(w.t, err)
		r.WARC, err = w.store.Put(w.t.Context(), blob)
		require.NoError(w.t, err)
		r.Members, r.Digest, r.Size = members, artifact.Sum([]byte(body)), uint64(len(body))
		return r
	}
	if strings.HasSuffix(f.URL, "/") { // a seed: it always leads on
		r.Digest, r.Size = artifact.Sum([]byte(f.URL)), 100
		for i := range w.pages / 4 {
			r.Links = append(r.Links, fmt.Sprintf("%sp%d", f.URL, 4*i))
		}
		return r
	}
	switch n := d.IntN(20); {
	case n == 0 && w.tries[f.URL] < 3:
		return crawl.Record{URL: f.URL, Time: now.UnixMilli(), Error: crawl.ErrReset}
	case n == 1 && w.tries[f.URL] < 2:
		r.Status, r.RetryAfter, r.Digest = 503, 7, artifact.Sum([]byte("busy"))
		return r
	case n == 2:
		r.Status, r.Digest = 404, artifact.Sum([]byte("gone"))
		return r
	case n == 3:
		r.Status, r.Digest = http.StatusFound, artifact.Sum(nil)
		r.Location = w.link(d)
		return r
	}
	r.Digest, r.Size = artifact.Sum([]byte(f.URL)), 100
	if d.IntN(20) == 0 {
		r.Digest = artifact.Sum([]byte("the same")) // without links, or the order would matter
		return r
	}
	for range d.IntN(12) {
		if l := w.link(d); !slices.Contains(r.Links, l) {
			r.Links = append(r.Links, l)
		}
	}
	return r
}

func (w *world) link(d *rand.Rand) string {
	return fmt.Sprintf("http://%s/p%d", w.host(d.IntN(w.hosts)), d.IntN(w.pages))
}

// run drives a plan over the world with a clock of its own. crash says how often the plan
// is lost together with what it wrote last.
type run struct {
	w       *world
	spec    crawl.Spec
	private bool
	crash   float64
	crashes int

	clock time.Time
	given map[string]int // how often each address was given out
	pages map[string]bool
	last  work.PlanStatus
}

type flight struct {
	bundle  work.Bundle
	host    string
	next    time.Time // when its next task starts
	at      int
	learned bool // the plan knew the server's address
}

func (r *run) do(seed uint64) {
	t := r.w.t
	d := rand.New(rand.NewPCG(seed, 99))
	r.clock = time.UnixMilli(1_800_000_000_000)
	r.given, r.pages = map[string]int{}, map[string]bool{}
	state, err := local.OpenState("")
	require.NoError(t, err)
	defer state.Close()
	kind := crawl.New()
	specBytes := encode(t, r.spec)
	open := func() work.Plan {
		p, err := kind.Plan(t.Context(), 1, specBytes, state, work.PlanEnv{
			Now: func() time.Time { return r.clock }, Blobs: r.w.store,
			AllowPrivate: func(string) bool { return r.private },
		})
		require.NoError(t, err)
		return p
	}
	p := open()
	// call does one call of the plan and commits it, or loses both and does it again.
	call := func(f func(b work.Batch)) {
		for {
			b := state.NewBatch()
			f(b)
			if d.Float64() >= r.crash {
				require.NoError(t, b.Commit())
				return
			}
			require.NoError(t, b.Drop())
			require.NoError(t, p.Close())
			p = open()
			r.crashes++
		}
	}
	var flights []*flight
	lastOf := map[string]time.Time{} // host -> when it was asked last
	learned := map[string]bool{}     // hosts whose servers' addresses the plan was told
	var outcomes []work.Outcome
	for step := 0; ; step++ {
		require.Less(t, step, 2_000_000, "the crawl does not end")
		var bundles []work.Bundle
		call(func(b work.Batch) {
			var err error
			bundles, err = p.Next(b, 1+d.IntN(100))
			require.NoError(t, err)
		})
		r.last = p.Status()
		addsUp(t, r.last)
		for _, bundle := range bundles {
			f := &flight{bundle: bundle, next: r.clock}
			for _, task := range bundle.Tasks {
				fetch, err := crawl.DecodeFetch(task.Body)
				require.NoError(t, err)
				u, err := weburl.Parse(fetch.URL)
				require.NoError(t, err)
				if f.host != "" {
					require.Equal(t, f.host, u.Host(), "a bundle is of one host")
				}
				f.host = u.Host()
				r.given[fetch.URL]++
			}
			if !r.private {
				require.LessOrEqual(t, len(bundle.Tasks), 32)
				for _, o := range flights {
					require.NotEqual(t, f.host, o.host, "two bundles of one host at a time")
					require.False(t, learned[f.host] && o.learned && r.w.ips[f.host] == r.w.ips[o.host], "two hosts of one server at a time")
				}
			}
			f.learned = learned[f.host]
			flights = append(flights, f)
		}
		if r.last.Finished {
			break
		}
		// Let the bundle whose next task is first do it, or time pass.
		slices.SortStableFunc(flights, func(a, b *flight) int { return a.next.Compare(b.next) })
		if len(flights) == 0 {
			require.Positive(t, r.last.Wait)
			r.clock = r.clock.Add(r.last.Wait)
			continue
		}
		i := 0
		if r.private {
			i = d.IntN(len(flights))
		}
		f := flights[i]
		if f.next.After(r.clock) {
			r.clock = f.next
		}
		task := f.bundle.Tasks[f.at]
		fetch, err := crawl.DecodeFetch(task.Body)
		require.NoError(t, err)
		if !r.private {
			pace := time.Duration(float64(time.Second) * 1000 / float64(r.spec.Rate))
			if last, ok := lastOf[f.host]; ok {
				require.GreaterOrEqual(t, r.clock.Sub(last), pace, "%s was asked too soon", f.host)
			}
			lastOf[f.host] = r.clock
		}
		rec := r.w.answer(r.clock, fetch)
		r.clock = r.clock.Add(time.Duration(d.IntN(50)) * time.Millisecond)
		body, err := work.Encode(rec)
		require.NoError(t, err)
		o := work.Outcome{Task: task, Result: work.Result{Body: body}}
		if rec.Status != 0 {
			o.Result.Blobs, o.Units = []artifact.Digest{rec.WARC}, 1
			if crawl.IsPage(fetch, rec) {
				r.pages[fetch.URL] = true
			}
		}
		outcomes = append(outcomes, o)
		if f.at++; f.at == len(f.bundle.Tasks) {
			flights = slices.Delete(flights, i, i+1)
		} else {
			f.next = r.clock.Add(f.bundle.Pace)
		}
		if f.at == len(f.bundle.Tasks) || d.IntN(3) == 0 || len(flights) == 0 {
			call(func(b work.Batch) { require.NoError(t, p.Done(b, outcomes)) })
			for _, o := range outcomes {
				rec, err := crawl.DecodeRecord(o.Result.Body)
				require.NoError(t, err)
				if u, err := weburl.Parse(rec.URL); err == nil && rec.IP != "" {
					learned[u.Host()] = true
				}
			}
			outcomes = nil
			if r.spec.MaxPages > 0 {
				require.LessOrEqual(t, p.Status().Counts["pages"], r.spec.MaxPages)
			}
		}
	}
	require.Zero(t, r.last.Queued)
	require.Zero(t, r.last.Out)
	require.NoError(t, p.Close())
}

// TestSameCrawlWithCrashes runs the same crawl with and without losing the plan all the
// time, at different paces: what is fetched is the same.
func TestSameCrawlWithCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		var want map[string]bool
		var counts map[string]uint64
		for i, crash := range []float64{0, 0.05, 0.4} {
			w := newWorld(t, seed, 5, 120)
			for h := range 5 {
				w.ips[w.host(h)] = fmt.Sprintf("192.0.2.%d", h/2)
			}
			w.robots[w.host(1)] = "User-agent: *\nDisallow: /p1\n"
			s := spec(t, "http://"+w.host(0)+"/", func(s *crawl.Spec) { s.Scope = crawl.ScopeDomain })
			s.Seeds = append(s.Seeds, "http://"+w.host(0)+"/p1", "http://"+w.host(1)+"/")
			r := run{w: w, spec: s, crash: crash, private: seed%2 == 1}
			r.do(seed*10 + uint64(i))
			require.Equal(t, crash > 0, r.crashes > 0)
			for url, n := range r.given {
				// Once, and again only after trouble.
				require.LessOrEqual(t, n, w.tries[url], url)
				if strings.HasSuffix(url, "/robots.txt") {
					require.Equal(t, 1, n, url)
				}
			}
			if want == nil {
				want, counts = r.pages, r.last.Counts
				require.Greater(t, len(want), 100)
				continue
			}
			require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(r.pages)))
			require.Equal(t, counts, r.last.Counts)
		}
	}
}

func TestPageLimitWithCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		w := newWorld(t, seed, 3, 200)
		s := spec(t, "http://"+w.host(0)+"/", func(s *crawl.Spec) { s.Scope, s.MaxPages = crawl.ScopeDomain, 40+seed })
		r := run{w: w, spec: s, crash: 0.2, private: seed%2 == 0}
		r.do(seed)
		require.Equal(t, 40+seed, r.last.Counts["pages"])
		require.Len(t, r.pages, int(40+seed))
	}
}

// TestCrawlDelay lets robots.txt ask for more patience than the buyer.
func TestCrawlDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 7, 1, 60)
	w.robots[w.host(0)] = "User-agent: *\nCrawl-delay: 4\n"
	r := run{w: w, spec: spec(t, "http://"+w.host(0)+"/", nil)}
	start := time.UnixMilli(1_800_000_000_000)
	r.do(1)
	pages := len(r.given)
	require.Greater(t, pages, 20)
	require.GreaterOrEqual(t, r.clock.Sub(start), time.Duration(pages-2)*4*time.Second)
}
