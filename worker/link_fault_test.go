package worker_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/worker"
)

// links are a worker's ways to its gateway, in the test's hands.
type links struct{ plane, store *fault.Proxy }

func (l links) both(f func(*fault.Proxy)) { f(l.plane); f(l.store) }

// behind puts proxies before a gateway's plane and its store. It returns the URL for the
// worker.
func (g *gateway) behind(t *testing.T) (string, links) {
	t.Helper()
	proxy := func(target string) *fault.Proxy {
		p, err := fault.NewProxy(target)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p
	}
	l := links{proxy(strings.TrimPrefix(g.plane.URLs()[0], "nats://")), proxy(g.http.Listener.Addr().String())}
	unlock := g.lock()
	g.url = "http://" + l.store.Addr()
	unlock()
	info := worker.Info{Chain: chain, Gateway: g.key.Public(), Plane: []string{"nats://" + l.plane.Addr()}, Artifacts: "http://" + l.store.Addr()}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(info) }))
	t.Cleanup(front.Close)
	return front.URL, l
}

// once checks that n tasks were each done once, reported, and promised their pay.
func (g *gateway) once(t *testing.T, r *running, log string, n int) {
	t.Helper()
	require.NoError(t, r.stop(t))
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Len(t, g.receipts, n)
	require.Empty(t, g.failures)
	ran := executions(t, log)
	require.Len(t, ran, n, "each task is done once")
	slices.Sort(ran)
	require.Len(t, slices.Compact(ran), n)
	p, err := worker.Vouchers(r.cfg.Dir)
	require.NoError(t, err)
	require.Len(t, p, 1)
	require.Equal(t, g.units[1], p[0].Earned)
	require.Equal(t, g.units[1], p[0].Voucher.Voucher.Units)
}

// Half a second each way and 64 KB/s: slower, and nothing else.
func TestSlowLinks(t *testing.T) {
	g := newGateway(t)
	url, l := g.behind(t)
	l.both(func(p *fault.Proxy) {
		p.Delay(500*time.Millisecond, 500*time.Millisecond)
		p.Throttle(64 << 10)
	})
	log := filepath.Join(t.TempDir(), "executions")
	g.offer(g.bundle(log, bodies("blob", 6)...), g.bundle(log, bodies("plain", 6)...))
	r := run(t, configFor(t, url))
	g.wait("all is reported", func() bool { return len(g.receipts) == 12 })
	l.both(func(p *fault.Proxy) { p.Delay(0, 0) })
	g.once(t, r, log, 12)
}

// The links are cut, jammed and cut in the middle of messages again and again while tasks
// are under way, reports and uploads among them.
func TestCutLinks(t *testing.T) {
	g := newGateway(t)
	url, l := g.behind(t)
	log := filepath.Join(t.TempDir(), "executions")
	const tasks = 4 * 12
	for range 4 {
		g.offer(g.bundle(log, append(bodies("slow", 6), bodies("blob", 6)...)...))
	}
	r := run(t, configFor(t, url))
	held := func() bool {
		return len(g.asked) > 0 && len(g.asked[len(g.asked)-1].Holding) > 0 && len(g.bundles) == 0
	}
	g.wait("all is leased", held)
	for i, fail := range []func(*fault.Proxy){
		(*fault.Proxy).Cut,
		func(p *fault.Proxy) { p.Stall(true) },
		func(p *fault.Proxy) { p.CutAfter(300) },
		func(p *fault.Proxy) { p.CutAfter(90) },
	} {
		l.both(fail)
		time.Sleep(300 * time.Millisecond)
		l.both(func(p *fault.Proxy) { p.Stall(false); p.Mend() })
		n := len(executions(t, log))
		require.Eventually(t, func() bool { e := len(executions(t, log)); return e > n || e == tasks }, 30*time.Second, time.Millisecond, "after fault %d", i)
	}
	g.wait("all is reported", func() bool { return len(g.receipts) == tasks })
	g.once(t, r, log, tasks)
}

// A link that dies without a word: the worker finds out when a request was not answered in
// its time, connects anew and goes on. That takes most of a minute, so it is run by
// FAULTS=all; the plane has the same test with shorter times.
func TestForgottenLink(t *testing.T) {
	if !fault.Everywhere() {
		t.Skip("takes most of a minute; set FAULTS=all")
	}
	g := newGateway(t)
	url, l := g.behind(t)
	log := filepath.Join(t.TempDir(), "executions")
	g.offer(g.bundle(log, bodies("plain", 3)...))
	r := run(t, configFor(t, url))
	g.wait("the first are reported", func() bool { return len(g.receipts) == 3 })
	l.plane.Forget()
	g.offer(g.bundle(log, bodies("plain", 3)...))
	g.mu.Lock()
	hellos := g.hellos
	g.mu.Unlock()
	g.wait("the worker connects anew", func() bool { return g.hellos > hellos })
	g.wait("the rest is reported", func() bool { return len(g.receipts) == 6 })
	g.once(t, r, log, 6)
}

// Whatever the worker's clock shows, and the gateway's, and whichever is set while a lease
// is out: the lease is as long as the gateway meant it, and what the receipts claim of
// times is in order.
func TestWrongClocks(t *testing.T) {
	start := time.Now()
	clocks := map[string]func() time.Time{
		"right":      time.Now,
		"ahead":      func() time.Time { return time.Now().Add(time.Hour) },
		"behind":     func() time.Time { return time.Now().Add(-time.Hour) },
		"backwards":  func() time.Time { return start.Add(-100 * time.Since(start)) },
		"before all": func() time.Time { return time.Unix(-1_000_000, 0) },
	}
	for name, now := range clocks {
		for _, step := range []time.Duration{0, time.Hour, -time.Hour} {
			t.Run(name+" and the gateway's set by "+step.String(), func(t *testing.T) {
				t.Parallel()
				g := newGateway(t)
				cfg := g.config(t)
				cfg.Now = now
				r := run(t, cfg)
				g.wait("hello", func() bool { return g.hellos > 0 })
				short := func(bodies ...string) plane.Bundle {
					b := g.bundle("", bodies...)
					b.Deadline = g.now().Add(30 * time.Second).UnixMilli()
					return b
				}
				g.offer(short("one"))
				g.wait("the first is reported", func() bool { return len(g.receipts) == 1 })
				time.Sleep(1100 * time.Millisecond) // a hello more than one second old may be said again
				g.ahead.Store(int64(step))
				g.offer(short("two", "slow:1", "three"))
				g.wait("a lease of after the step is done", func() bool { return len(g.receipts) == 4 })
				if step <= 0 {
					// (Set forward, its leases seem longer than they are, until the next hello; a task
					// ends by its kind's time all the same, and the gateway takes the lease back.)
					past := g.bundle("", "wait:1")
					past.Deadline = g.now().Add(100 * time.Millisecond).UnixMilli()
					g.offer(past)
				}
				g.offer(short("four"))
				g.wait("a lease that ended is let go", func() bool {
					a := g.asked[len(g.asked)-1]
					return len(g.receipts) == 5 && len(a.Holding) == 0
				})
				require.NoError(t, r.stop(t))
				g.mu.Lock()
				defer g.mu.Unlock()
				require.Empty(t, g.failures)
				for _, s := range g.receipts {
					require.NoError(t, s.Receipt.Check())
				}
			})
		}
	}
}
