package worker_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

func done(g *gateway, n int) func() bool { return func() bool { return len(g.receipts) == n } }

func both(t testing.TB, a, b *gateway) worker.Config {
	cfg := a.config(t)
	cfg.Fallbacks = []worker.Endpoint{{URL: b.http.URL, Key: b.key.Public()}}
	cfg.Failover = 300 * time.Millisecond
	return cfg
}

// onlyAudits waits until a worker asks a gateway for nothing but audits.
func onlyAudits(r *running, g *gateway) {
	g.t.Helper()
	nudge := time.NewTicker(50 * time.Millisecond)
	defer nudge.Stop()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-nudge.C:
				g.plane.Nudge(r.cfg.Key.Public())
			case <-stop:
				return
			}
		}
	}()
	g.mu.Lock()
	g.asked = nil
	g.mu.Unlock()
	g.wait("it is only asked for audits", func() bool { return len(g.asked) > 0 && g.asked[len(g.asked)-1].Max == 0 })
}

// A worker works for its preferred gateway, goes on with the next when that is away, and
// returns to it.
func TestFailover(t *testing.T) {
	a, b := newGateway(t), newGateway(t)
	r := run(t, both(t, a, b))
	a.offer(a.bundle("", bodies("plain", 3)...))
	a.wait("the first gateway's work is done", done(a, 3))
	onlyAudits(r, b)

	back := a.away()
	b.offer(b.bundle("", bodies("plain", 3)...))
	b.wait("the second gateway's work is done", done(b, 3))

	back()
	a.offer(a.bundle("", bodies("plain", 3)...))
	a.wait("the first gateway is worked for again", done(a, 6))
	onlyAudits(r, b)
	require.NoError(t, r.stop(t))
	require.Zero(t, a.twice+b.twice)
	p, err := worker.Vouchers(r.cfg.Dir)
	require.NoError(t, err)
	require.Len(t, p, 2, "promises of both")
}

// One that is drawn as an auditor answers also where it doesn't lease.
func TestAuditsWhileLeasingElsewhere(t *testing.T) {
	a, b := newGateway(t), newGateway(t)
	run(t, both(t, a, b))
	a.offer(a.bundle("", "one"))
	a.wait("it works for the first", done(a, 1))
	b.wait("the second is connected", func() bool { return len(b.asked) > 0 })
	unlock := b.lock()
	b.audits = append(b.audits, plane.Audit{Epoch: 1, Sample: 1, Job: 1, Kind: "echo/1", Spec: b.spec(""), Seq: 1,
		Receipt: []byte("x"), Deadline: time.Now().Add(time.Minute).UnixMilli()})
	unlock()
	for _, k := range b.plane.Connected() {
		b.plane.Nudge(k)
	}
	b.wait("the verdict is committed", func() bool { return len(b.commits) == 1 })
	unlock = b.lock()
	b.reveals = append(b.reveals, plane.Reveal{Job: 1, Epoch: 1, Sample: 1})
	unlock()
	for _, k := range b.plane.Connected() {
		b.plane.Nudge(k)
	}
	b.wait("and revealed", func() bool { return len(b.revealed) == 1 })
}

// A gateway that owes vouchers is left for the next.
func TestUnderpaidFailsOver(t *testing.T) {
	a, b := newGateway(t), newGateway(t)
	a.voucher = func(work.Voucher) *work.Voucher { return nil }
	a.offer(a.bundle("", "unpaid"))
	run(t, both(t, a, b))
	a.wait("the first is taken", done(a, 1))
	b.offer(b.bundle("", "paid"))
	b.wait("the next gateway's work is done", done(b, 1))
}

// A gateway that says no is left at once.
func TestRefusalFailsOver(t *testing.T) {
	a, b := newGateway(t), newGateway(t)
	a.refuseLease.Store(true)
	cfg := both(t, a, b)
	cfg.Failover = time.Hour
	run(t, cfg)
	b.offer(b.bundle("", "one"))
	b.wait("the next gateway's work is done", done(b, 1))
}

// What a gateway had not acknowledged when it went away is reported to it when it is back:
// while the worker works for another, and also if the worker was killed in between and no
// longer has the gateway in its configuration.
func TestNothingLostOverFailover(t *testing.T) {
	if dir := os.Getenv("CANTUS_TEST_FAILOVER"); dir != "" {
		cfg := configFor(t, os.Getenv("CANTUS_TEST_GATEWAY"))
		cfg.Fallbacks = []worker.Endpoint{{URL: os.Getenv("CANTUS_TEST_NEXT")}}
		cfg.Failover = 300 * time.Millisecond
		seed, err := os.ReadFile(filepath.Join(dir, "seed"))
		require.NoError(t, err)
		cfg.Key, err = work.PrivateKeyFromSeed(seed)
		require.NoError(t, err)
		cfg.Dir = dir
		w, err := worker.New(cfg)
		require.NoError(t, err)
		t.Log(w.Run(context.Background()))
		return
	}
	a, b := newGateway(t), newGateway(t)
	log := filepath.Join(t.TempDir(), "executions")
	const tasks = 20
	a.doneDown.Store(true)
	a.offer(a.bundle(log, bodies("blob", tasks/2)...), a.bundle(log, bodies("plain", tasks/2)...))
	cfg := a.config(t)
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "seed"), cfg.Key.Seed(), 0o600))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestNothingLostOverFailover$")
	cmd.Env = append(os.Environ(), "CANTUS_TEST_FAILOVER="+cfg.Dir, "CANTUS_TEST_GATEWAY="+a.http.URL, "CANTUS_TEST_NEXT="+b.http.URL)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	journalled := func() int {
		paths, _ := filepath.Glob(filepath.Join(cfg.Dir, "gateways", "*", "journal"))
		n := 0
		for _, p := range paths {
			n += worker.JournalledReceipts(p)
		}
		return n
	}
	require.Eventually(t, func() bool { return journalled() == tasks }, 60*time.Second, time.Millisecond)
	back := a.away()
	b.offer(b.bundle("", bodies("plain", 3)...))
	b.wait("it works for the next meanwhile", done(b, 3))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Empty(t, a.receipts)

	a.doneDown.Store(false)
	next := b.config(t)
	next.Key, next.Dir = cfg.Key, cfg.Dir
	run(t, next)
	b.offer(b.bundle("", "more"))
	b.wait("it works for the next alone", done(b, 4))
	back()
	a.wait("the first is told what it was owed", done(a, tasks))
	require.Len(t, executions(t, log), tasks, "nothing is done twice")
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.asked {
		if r.Max > 0 {
			return // by the first run
		}
	}
	t.Error("the first run never leased")
}

// A worker belongs to one of a gateway's cells, and moves when the cells change. What it
// leased where it was it reports there.
func TestCells(t *testing.T) {
	base := newGateway(t)
	cells := map[string]*gateway{"one": newGatewayOf(t, base.key), "two": newGatewayOf(t, base.key)}
	list := func(names ...string) {
		type cell struct {
			Name string `json:"name"`
			URL  string `json:"url"`
		}
		all := []cell{}
		for _, n := range names {
			all = append(all, cell{n, cells[n].http.URL})
		}
		b, err := json.Marshal(all)
		require.NoError(t, err)
		text := string(b)
		base.cells.Store(&text)
	}
	list("one", "two")
	cfg := base.config(t)
	cfg.CellsEvery = 50 * time.Millisecond
	mine := work.CellOf(cfg.Key.Public(), []string{"one", "two"})
	other := map[string]string{"one": "two", "two": "one"}[mine]
	old, next := cells[mine], cells[other]
	old.offer(old.bundle("", "first"))
	r := run(t, cfg)
	old.wait("it works for its cell", done(old, 1))
	require.Zero(t, next.hellos+base.hellos)

	// Under way when the cell goes from the list.
	old.offer(old.bundle("", bodies("slow", 5)...))
	old.wait("it is leased", func() bool { return len(old.bundles) == 0 })
	list(other)
	next.offer(next.bundle("", "after the move"))
	next.wait("it works for its new cell", done(next, 1))
	old.wait("what it had leased is reported to the old one", done(old, 6))
	require.NoError(t, r.stop(t))
	require.Zero(t, base.hellos)

	// A list that makes no sense changes nothing.
	for _, bad := range []string{"{}", `[{"name":"x","url":"ftp://x"}]`, `[{"name":"","url":"http://127.0.0.1:1"}]`, `[{"name":"a","url":"http://127.0.0.1:1"},{"name":"a","url":"http://127.0.0.1:1"}]`} {
		base.cells.Store(&bad)
		cfg := base.config(t)
		r := run(t, cfg)
		base.wait("it works for the gateway in spite of "+bad, func() bool { return base.hellos > 0 })
		require.NoError(t, r.stop(t))
		base.hellos = 0
	}
}
