package worker_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

func bodies(prefix string, n int) []string {
	var bs []string
	for i := range n {
		bs = append(bs, fmt.Sprintf("%s:%d", prefix, i))
	}
	return bs
}

func TestWork(t *testing.T) {
	g := newGateway(t)
	b1, b2 := g.bundle("", bodies("plain", 30)...), g.bundle("", append(bodies("blob", 10), "bigblob:1")...)
	g.offer(b1, b2)
	r := run(t, g.config(t))
	g.wait("all tasks are receipted", func() bool { return len(g.receipts) == 41 })
	for _, b := range []plane.Bundle{b1, b2} {
		for _, l := range b.Tasks {
			s := g.receipts[plane.LeaseID{Job: 1, Seq: l.Seq, Attempt: 1}]
			task := work.Task{Job: 1, Seq: l.Seq, Body: l.Body}
			require.Equal(t, task.Digest(), s.Receipt.Task)
			require.Equal(t, uint64(len(l.Body)), s.Receipt.Units)
			body, err := g.store.Get(t.Context(), s.Receipt.Result, 0)
			require.NoError(t, err)
			e, err := work.Decode[echoResult](body, 1<<20)
			require.NoError(t, err)
			if !e.Blob.IsZero() {
				_, err := g.store.Get(t.Context(), e.Blob, 0)
				require.NoError(t, err)
			}
		}
	}
	require.NoError(t, r.stop(t))
	require.Zero(t, g.twice)
	require.Empty(t, g.failures)
	left, err := filepath.Glob(filepath.Join(r.cfg.Dir, "gateways", "*", "blobs", "*"))
	require.NoError(t, err)
	require.Empty(t, left, "blobs are dropped once they are uploaded")
	promises, err := worker.Vouchers(r.cfg.Dir)
	require.NoError(t, err)
	require.Len(t, promises, 1)
	require.Equal(t, g.units[1], promises[0].Voucher.Voucher.Units)
	require.Equal(t, g.units[1], promises[0].Earned)
	require.NoError(t, promises[0].Voucher.Verify())
}

// What goes wrong in a kind costs that task and nothing else.
func TestBadTasks(t *testing.T) {
	g := newGateway(t)
	bad := g.bundle("", "panic:1", "error:1", "unput:1", "huge:1", "lie:1", "loopback:1", "private:1", "good")
	badSpec := g.bundle("bad", "x")
	unknown := g.bundle("", "x")
	unknown.Kind = "other/1"
	noSpec := g.bundle("", "x")
	noSpec.Spec = artifact.Sum([]byte("never stored"))
	long := g.bundle("", "wait:1")
	long.Deadline = time.Now().Add(300 * time.Millisecond).UnixMilli()
	g.offer(bad, badSpec, unknown, noSpec, long)
	run(t, g.config(t))
	for i, want := range []string{"panicked: as asked", "cannot do it", "never put", "bytes and", "another task's result", "not allowed", "not allowed"} {
		f := g.failure(bad, i)
		require.Contains(t, f.Reason, want)
		require.LessOrEqual(t, len(f.Reason), plane.MaxReason)
		require.False(t, f.Untried)
	}
	require.Contains(t, g.failure(badSpec, 0).Reason, "a bad spec")
	require.Contains(t, g.failure(unknown, 0).Reason, "doesn't do other/1")
	require.Contains(t, g.failure(noSpec, 0).Reason, "fetch the job's spec")
	g.wait("the good one is done", func() bool { return len(g.receipts) == 1 })
	after := g.bundle("", "after")
	g.offer(after)
	g.wait("the worker goes on", func() bool { return len(g.receipts) == 2 })
	g.mu.Lock()
	defer g.mu.Unlock()
	require.NotContains(t, g.failures, plane.LeaseID{Job: 1, Seq: long.Tasks[0].Seq, Attempt: 1}, "a lease that ended is not this worker's to report on")
}

// Loopback may be dialled only where network and owner agree; a gateway on this machine
// counts as the owner's word.
func TestLoopback(t *testing.T) {
	g := newGateway(t)
	g.loopback = true
	b := g.bundle("", "loopback:1", "private:1")
	g.offer(b)
	run(t, g.config(t))
	require.Contains(t, g.failure(b, 1).Reason, "not allowed")
	g.wait("loopback is done", func() bool { return len(g.receipts) == 1 })
}

func TestCapacityAndHolding(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	cfg.Capacity = 2
	var bs []plane.Bundle
	for range 5 {
		bs = append(bs, g.bundle("", bodies("slow", 2)...))
	}
	g.offer(bs...)
	run(t, cfg)
	g.wait("all is done", func() bool { return len(g.receipts) == 10 })
	g.mu.Lock()
	defer g.mu.Unlock()
	var held int
	for _, r := range g.asked {
		require.LessOrEqual(t, r.Max, uint32(2))
		held = max(held, len(r.Holding))
	}
	require.LessOrEqual(t, held, 4+2*plane.MaxFinished)
	require.Positive(t, held, "leases under way are mentioned")
}

// A stop lets the task under way end, gives back what wasn't started, and reports.
func TestDrain(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	cfg.Capacity = 1
	b := g.bundle("", bodies("slow", 50)...)
	g.offer(b)
	r := run(t, cfg)
	g.wait("the first is done", func() bool { return len(g.receipts) > 0 })
	require.NoError(t, r.stop(t))
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Equal(t, len(b.Tasks), len(g.receipts)+len(g.failures))
	require.NotEmpty(t, g.failures)
	for _, f := range g.failures {
		require.True(t, f.Untried)
	}
}

// Tasks that don't end are ended after Drain.
func TestDrainIsBounded(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	cfg.Drain = 100 * time.Millisecond
	b := g.bundle("", "wait:1")
	g.offer(b)
	r := run(t, cfg)
	g.wait("it is leased", func() bool { return len(g.bundles) == 0 })
	require.NoError(t, r.stop(t))
}

// A gateway whose store is down costs no work: results wait on disk, the worker goes on,
// and a stop and start in between loses nothing.
func TestStoreDown(t *testing.T) {
	g := newGateway(t)
	log := filepath.Join(t.TempDir(), "executions")
	g.offer(g.bundle(log, append(bodies("blob", 5), "bigblob:1")...))
	g.storeDown.Store(true)
	cfg := g.config(t)
	cfg.Drain = 3 * time.Second
	r := run(t, cfg)
	require.Eventually(t, func() bool { return len(executions(t, log)) == 6 }, 30*time.Second, time.Millisecond)
	require.NoError(t, r.stop(t))
	require.Empty(t, g.receipts)
	kept, err := filepath.Glob(filepath.Join(cfg.Dir, "gateways", "*", "blobs", "*"))
	require.NoError(t, err)
	require.Len(t, kept, 12, "a body and a blob each")
	g.storeDown.Store(false)
	run(t, cfg)
	g.wait("all is reported", func() bool { return len(g.receipts) == 6 })
	require.Len(t, executions(t, log), 6, "nothing is done twice")
	require.Eventually(t, func() bool {
		kept, err = filepath.Glob(filepath.Join(cfg.Dir, "gateways", "*", "blobs", "*"))
		return err == nil && len(kept) == 0
	}, 30*time.Second, time.Millisecond)
}

func executions(t testing.TB, path string) []string {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	return strings.Fields(string(b))
}

// A worker that is killed reports after its restart what it had not yet reported, and does
// none of it again.
func TestKill(t *testing.T) {
	if dir := os.Getenv("CANTUS_TEST_WORKER"); dir != "" {
		cfg := configFor(t, os.Getenv("CANTUS_TEST_GATEWAY"))
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
	for _, what := range []string{"store down", "reports down"} {
		t.Run(what, func(t *testing.T) {
			g := newGateway(t)
			log := filepath.Join(t.TempDir(), "executions")
			const tasks = 40
			g.offer(g.bundle(log, bodies("blob", tasks/2)...), g.bundle(log, bodies("plain", tasks/2)...))
			g.storeDown.Store(what == "store down")
			g.doneDown.Store(what == "reports down")
			cfg := g.config(t)
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "seed"), cfg.Key.Seed(), 0o600))
			cmd := exec.Command(os.Args[0], "-test.run", "^TestKill$")
			cmd.Env = append(os.Environ(), "CANTUS_TEST_WORKER="+cfg.Dir, "CANTUS_TEST_GATEWAY="+g.http.URL)
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { return len(executions(t, log)) == tasks }, 60*time.Second, time.Millisecond)
			// Each result is safe once its receipt is in the journal.
			require.Eventually(t, func() bool {
				paths, _ := filepath.Glob(filepath.Join(cfg.Dir, "gateways", "*", "journal"))
				return len(paths) == 1 && worker.JournalledReceipts(paths[0]) == tasks
			}, 60*time.Second, time.Millisecond)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			require.Empty(t, g.receipts)
			g.storeDown.Store(false)
			g.doneDown.Store(false)
			run(t, cfg)
			g.wait("all is reported", func() bool { return len(g.receipts) == tasks })
			ran := executions(t, log)
			slices.Sort(ran)
			require.Len(t, slices.Compact(ran), tasks)
			require.Len(t, executions(t, log), tasks, "nothing is done twice")
		})
	}
}

func TestUnderpaid(t *testing.T) {
	stranger := newKey(t)
	for name, change := range map[string]func(work.Voucher) *work.Voucher{
		"none":           func(work.Voucher) *work.Voucher { return nil },
		"one too few":    func(v work.Voucher) *work.Voucher { v.Units--; return &v },
		"another job":    func(v work.Voucher) *work.Voucher { v.Job++; return &v },
		"another chain":  func(v work.Voucher) *work.Voucher { v.Chain = "other"; return &v },
		"another worker": func(v work.Voucher) *work.Voucher { v.Worker = stranger.Public(); return &v },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.offer(g.bundle("", "first"))
			r := run(t, g.config(t))
			g.wait("the first is paid", func() bool { return len(g.receipts) == 1 })
			g.mu.Lock()
			g.voucher = change
			g.mu.Unlock()
			g.offer(g.bundle("", "second"))
			g.wait("the second is not", func() bool { return len(g.receipts) == 2 })
			require.Eventually(t, func() bool { return metric(t, r, "cantus_worker_underpaid") == 1 }, 30*time.Second, time.Millisecond)
			g.offer(g.bundle("", "third"))
			// It keeps asking, for audits alone, and keeps demanding its voucher.
			g.mu.Lock()
			g.asked = nil
			g.mu.Unlock()
			g.wait("it demands again", func() bool { return g.twice > 0 })
			g.mu.Lock()
			for _, a := range g.asked {
				require.Zero(t, a.Max)
			}
			g.voucher = nil
			require.Len(t, g.receipts, 2)
			g.mu.Unlock()
			g.wait("it works again once it was paid", func() bool { return len(g.receipts) == 3 })
		})
	}
}

// The debt is remembered over a restart.
func TestUnderpaidRestart(t *testing.T) {
	g := newGateway(t)
	g.voucher = func(work.Voucher) *work.Voucher { return nil }
	g.offer(g.bundle("", "first"))
	cfg := g.config(t)
	r := run(t, cfg)
	g.wait("the first is taken", func() bool { return len(g.receipts) == 1 })
	require.NoError(t, r.stop(t))
	r = run(t, cfg)
	g.wait("it demands again", func() bool { return g.twice > 0 })
	require.Eventually(t, func() bool { return metric(t, r, "cantus_worker_underpaid") == 1 }, 30*time.Second, time.Millisecond)
}

func metric(t testing.TB, r *running, name string) float64 {
	families, err := r.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}

func TestRefusedReceipt(t *testing.T) {
	g := newGateway(t)
	g.refuse = func(r work.Receipt) string {
		if r.Seq == 1 {
			return "its lease ended"
		}
		return ""
	}
	g.offer(g.bundle("", "one", "two"))
	r := run(t, g.config(t))
	g.wait("the second is taken", func() bool { return len(g.receipts) == 1 })
	require.NoError(t, r.stop(t))
	p, err := worker.Vouchers(r.cfg.Dir)
	require.NoError(t, err)
	require.Equal(t, uint64(3), p[0].Earned)
}

// A gateway that forgets sessions and tokens gets hellos, not trouble.
func TestTokenExpires(t *testing.T) {
	g := newGateway(t)
	g.offer(g.bundle("", "one"))
	run(t, g.config(t))
	g.wait("one", func() bool { return len(g.receipts) == 1 })
	g.tokens.Add(1)
	g.offer(g.bundle("another spec", "two"))
	g.wait("two", func() bool { return len(g.receipts) == 2 })
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Greater(t, g.hellos, 1)
}

func TestReconnect(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	g.offer(g.bundle("", "one"))
	run(t, cfg)
	g.wait("one", func() bool { return len(g.receipts) == 1 })
	g.plane.Kick(cfg.Key.Public())
	g.offer(g.bundle("", "two"))
	g.wait("two", func() bool { return len(g.receipts) == 2 && g.hellos > 1 })
}

func TestAudits(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	audited := newKey(t)
	var sample uint32
	audit := func(body string, change func(*plane.Audit, *work.Receipt, *[]byte)) plane.Audit {
		sample++
		spec := g.spec("")
		task := work.Task{Job: 1, Seq: uint64(sample), Body: []byte(body)}
		result, err := work.Encode(echoResult{Text: body})
		require.NoError(t, err)
		a := plane.Audit{Epoch: 1, Sample: sample, Job: 1, Kind: "echo/1", Spec: spec, Seq: task.Seq, Body: task.Body,
			Deadline: time.Now().Add(time.Minute).UnixMilli()}
		r := work.Receipt{Chain: chain, Job: 1, Seq: task.Seq, Attempt: 1, Task: task.Digest(), Units: uint64(len(body)), Started: 1, Finished: 2}
		if change != nil {
			change(&a, &r, &result)
		}
		r.Result = artifact.Sum(result)
		if body != "lost" {
			_, err = g.store.Put(t.Context(), result)
			require.NoError(t, err)
		}
		s, err := work.SignReceipt(audited, r)
		require.NoError(t, err)
		if a.Receipt == nil {
			a.Receipt, err = s.Encode()
			require.NoError(t, err)
		}
		return a
	}
	type A = plane.Audit
	type R = work.Receipt
	cases := []struct {
		audit plane.Audit
		want  work.AuditOutcome
	}{
		{audit("honest", nil), work.Pass},
		{audit("forged:1", nil), work.Fail},
		{audit("inflated", func(_ *A, r *R, _ *[]byte) { r.Units++ }), work.Fail},
		{audit("garbage", func(_ *A, _ *R, b *[]byte) { *b = []byte("garbage") }), work.Fail},
		{audit("another's", func(_ *A, _ *R, b *[]byte) { *b, _ = work.Encode(echoResult{Text: "not another's"}) }), work.Fail},
		{audit("scored:1", func(_ *A, _ *R, b *[]byte) { *b = []byte("garbage") }), work.Fail},
		{audit("panic:2", func(_ *A, _ *R, b *[]byte) { *b = []byte("garbage") }), work.Fail},
		{audit("lost", nil), work.Unsure},
		{audit("panic:1", nil), work.Unsure},
		{audit("error:1", nil), work.Unsure},
		{audit("swapped", func(a *A, _ *R, _ *[]byte) { a.Body = []byte("swapped body") }), work.Unsure},
		{audit("other chain", func(_ *A, r *R, _ *[]byte) { r.Chain = "other" }), work.Unsure},
		{audit("no receipt", func(a *A, _ *R, _ *[]byte) { a.Receipt = []byte("x") }), work.Unsure},
		{audit("kind", func(a *A, _ *R, _ *[]byte) { a.Kind = "other/1" }), work.Unsure},
	}
	unlock := g.lock()
	for _, c := range cases {
		g.audits = append(g.audits, c.audit)
	}
	unlock()
	r := run(t, cfg)
	g.wait("all verdicts are in", func() bool { return len(g.commits) == len(cases) })
	require.Empty(t, g.revealed, "nothing is shown before it is asked for")
	// After a restart the verdicts are still there, and an audit that is asked for again gets
	// the same commitment.
	require.NoError(t, r.stop(t))
	unlock = g.lock()
	first := slices.Clone(g.commits)
	g.commits = nil
	for _, c := range cases {
		g.audits = append(g.audits, c.audit)
		g.reveals = append(g.reveals, plane.Reveal{Job: 1, Epoch: 1, Sample: c.audit.Sample})
	}
	g.reveals = append(g.reveals, plane.Reveal{Job: 1, Epoch: 9, Sample: 1})
	unlock()
	run(t, cfg)
	g.wait("all is revealed", func() bool { return len(g.revealed) == len(cases) && len(g.commits) == len(cases) })
	for _, c := range cases {
		id := work.VerdictID{Chain: chain, Job: 1, Epoch: 1, Sample: c.audit.Sample, Auditor: cfg.Key.Public()}
		i := slices.IndexFunc(first, func(v plane.VerdictCommit) bool { return v.Sample == c.audit.Sample })
		j := slices.IndexFunc(g.revealed, func(v plane.VerdictReveal) bool { return v.Sample == c.audit.Sample })
		require.NoError(t, work.VerifyCommitment(id, first[i].Commitment, first[i].Signature))
		v := g.revealed[j]
		require.Equal(t, c.want, v.Outcome, "%s", c.audit.Body)
		require.Equal(t, string(c.audit.Body) == "scored:1", v.Score == 40, "%s: the kind's score goes with its verdict", c.audit.Body)
		require.NoError(t, work.Verdict{Outcome: v.Outcome, Evidence: v.Evidence, Score: v.Score}.CheckReveal(id, v.Salt, first[i].Commitment))
		require.Contains(t, g.commits, first[i])
	}
	got, err := g.store.Get(t.Context(), artifact.Sum([]byte("what the auditor saw")), 0)
	require.NoError(t, err)
	require.NotEmpty(t, got, "evidence is uploaded")
}

func TestOneWorkerPerDirectory(t *testing.T) {
	g := newGateway(t)
	cfg := g.config(t)
	run(t, cfg)
	g.wait("it is there", func() bool { return g.hellos > 0 })
	w, err := worker.New(cfg)
	require.NoError(t, err)
	require.ErrorIs(t, w.Run(t.Context()), worker.ErrInUse)
}

func TestBadConfig(t *testing.T) {
	g := newGateway(t)
	good := g.config(t)
	for name, change := range map[string]func(*worker.Config){
		"no key":         func(c *worker.Config) { c.Key = work.PrivateKey{} },
		"no dir":         func(c *worker.Config) { c.Dir = "" },
		"no kinds":       func(c *worker.Config) { c.Kinds = nil },
		"a kind twice":   func(c *worker.Config) { c.Kinds = []work.Kind{echo{}, echo{}} },
		"capacity":       func(c *worker.Config) { c.Capacity = -1 },
		"memory":         func(c *worker.Config) { c.Memory = 1 },
		"disk":           func(c *worker.Config) { c.Disk = 1 },
		"no gateway":     func(c *worker.Config) { c.Gateway = "" },
		"not a URL":      func(c *worker.Config) { c.Gateway = "gateway.example" },
		"plain outside":  func(c *worker.Config) { c.Gateway = "http://gateway.example" },
		"gateway's path": func(c *worker.Config) { c.Gateway = "https://gateway.example/?x" },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			_, err := worker.New(c)
			require.ErrorIs(t, err, worker.ErrConfig)
		})
	}
	c := good
	c.GatewayKey = newKey(t).Public()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w, err := worker.New(c)
	require.NoError(t, err)
	require.NoError(t, w.Run(ctx), "it waits for the right gateway until it is told to stop")
	require.Zero(t, g.hellos)
}
