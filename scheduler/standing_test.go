package scheduler_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// from says hello from an address.
func (h *hand) from(address string, capacity uint32) {
	h.w.t.Helper()
	ctx := plane.WithRemote(context.Background(), netip.MustParseAddr(address))
	_, err := h.w.s.Hello(ctx, h.key.Public(), plane.HelloRequest{Kinds: []work.Name{countName}, Capacity: capacity})
	require.NoError(h.w.t, err)
}

// out counts the tasks that a hand was given in one lease.
func tasksIn(r plane.LeaseReply) (n int) {
	for _, b := range r.Bundles {
		n += len(b.Tasks)
	}
	return n
}

func (w *world) view(k work.PublicKey) scheduler.WorkerView {
	for _, v := range w.s.Workers() {
		if v.Worker == k {
			return v
		}
	}
	w.t.Fatalf("no worker %s", k.Short())
	return scheduler.WorkerView{}
}

func (w *world) probation(audits uint64, bps uint32) {
	w.m.mu.Lock()
	w.m.params.ProbationAudits, w.m.params.ProbationAuditBps = audits, bps
	w.m.mu.Unlock()
	w.restart()
	w.until("the parameters are read", func() bool { p, ok := w.s.Params(); return ok && p.ProbationAudits == audits })
}

func (w *world) audited(h *hand, passed uint64) {
	w.m.mu.Lock()
	x := w.m.workers[h.key.Public()]
	x.AuditsPassed = passed
	w.m.workers[h.key.Public()] = x
	w.m.mu.Unlock()
}

// TestProbationFirst runs jobs of workers of whom some are on probation. The ledger of the
// test faults a gateway that puts one of theirs behind the first.
func TestProbationFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.m.maxSamples = 16
	w.probation(6, 5000)
	var hands []*hand
	for i := range 6 {
		h := w.hand(fmt.Sprint("operator ", i))
		if i >= 3 {
			w.audited(h, 6)
		}
		hands = append(hands, h)
	}
	id := w.job(countSpec{Tasks: 500, Bundle: 4, Grow: true, Units: 1}, 1<<40, 4)
	stop := w.labour(hands...)
	// A scheduler that starts anew has the order of its epochs from its database.
	for range 3 {
		w.until("some blocks", func() bool { w.m.block(); return true })
	}
	x := w.ended(id)
	stop()
	require.Empty(t, w.m.faults)
	require.Equal(t, scheduler.PhaseDone, x.Phase, x.Reason)
	require.Len(t, w.exported(id), 500)
	w.restart()
	require.Len(t, w.exported(id), 500, "the trees are the same")
	first, all := uint64(0), uint64(0)
	for _, e := range w.m.job(id).epochs {
		require.Equal(t, e.ProbationReceipts > 0, e.ProbationUnits > 0)
		first, all = first+e.ProbationReceipts, all+e.Receipts.Leaves
	}
	require.Positive(t, first)
	require.Less(t, first, all)
}

// TestProbationWithoutUnits: an epoch in which nobody earned anything, as of a crawl of a site
// that is away, has no part on probation, since nothing of it can be drawn.
func TestProbationWithoutUnits(t *testing.T) {
	w := newWorld(t, nil)
	w.probation(3, 5000)
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 4, Bundle: 1, Free: true}, 1<<40, 4)
	stop := w.labour(h)
	x := w.ended(id)
	stop()
	require.Empty(t, w.m.faults)
	require.Equal(t, scheduler.PhaseDone, x.Phase, x.Reason)
	e := w.m.job(id).epochs
	require.NotEmpty(t, e)
	require.Zero(t, e[0].Receipts.Sum)
	require.Zero(t, e[0].ProbationReceipts)
}

// TestProbationOrderStays: who was on probation when an epoch was sealed comes first in its
// tree for ever, also when nobody is any more and the gateway has started anew.
func TestProbationOrderStays(t *testing.T) {
	w := newWorld(t, nil)
	w.probation(3, 5000)
	ann, ben := w.hand("ann"), w.hand("ben")
	w.audited(ben, 3)
	id := w.job(countSpec{Tasks: 40, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	for _, h := range []*hand{ben, ann, ben, ann} {
		h.hello(4)
		h.done(plane.DoneRequest{Receipts: h.receipts(h.lease(2).Bundles)})
	}
	require.NoError(t, w.s.Seal(t.Context()))
	w.link.disconnect() // before it can commit
	require.NoError(t, w.s.Close())
	w.audited(ann, 3)
	w.start()
	w.until("the epoch is committed", func() bool { return w.m.job(id).Epochs == 1 })
	var order []work.PublicKey
	_, _, err := w.s.Receipts(t.Context(), id, scheduler.Cursor{}, func(r scheduler.SealedReceipt) bool {
		s, err := work.DecodeReceipt(r.Receipt)
		require.NoError(t, err)
		require.EqualValues(t, len(order), r.Index)
		order = append(order, s.Receipt.Worker)
		return true
	})
	require.NoError(t, err)
	e := w.m.job(id).epochs[0]
	require.Positive(t, e.ProbationReceipts)
	for i, k := range order {
		want := ben
		if uint64(i) < e.ProbationReceipts {
			want = ann
		}
		require.Equal(t, want.key.Public(), k, "receipt %d", i)
	}
}

// TestProbationShare: newcomers together get a fifth of what is out, and all of it where
// nobody else is there.
func TestProbationShare(t *testing.T) {
	w := newWorld(t, nil)
	w.probation(3, 5000)
	id := w.job(countSpec{Tasks: 5000, Bundle: 10, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	alone := w.hand("new 0")
	alone.hello(32)
	newcomers := tasksIn(alone.lease(8))
	require.Greater(t, newcomers, 50, "nobody else is there")

	old := w.hand("old")
	w.audited(old, 3)
	old.hello(64)
	theirs := 0
	for range 8 {
		theirs += tasksIn(old.lease(40))
	}
	require.Greater(t, theirs, 400)
	for i := range 30 {
		h := w.hand(fmt.Sprint("new ", i+1))
		h.hello(32)
		newcomers += tasksIn(h.lease(32))
	}
	share := float64(newcomers) / float64(newcomers+theirs)
	require.LessOrEqual(t, share, 0.2)
	require.Greater(t, share, 0.15, "what they may have, they get")
	require.True(t, w.view(alone.key.Public()).Probation)
	require.False(t, w.view(old.key.Public()).Probation)
}

// TestSideLimits: one operator with many workers, and one network, get a third.
func TestSideLimits(t *testing.T) {
	for name, enrol := range map[string]func(w *world, i int) *hand{
		"operator": func(w *world, i int) *hand {
			h := w.hand("giant")
			h.from(fmt.Sprintf("8.%d.0.1", i), 32)
			return h
		},
		"network": func(w *world, i int) *hand {
			h := w.hand(fmt.Sprint("sybil ", i))
			h.from(fmt.Sprintf("9.9.9.%d", i+1), 32)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			id := w.job(countSpec{Tasks: 20_000, Bundle: 8, Units: 1}, 1<<40, 1<<30)
			w.phase(id, scheduler.PhaseRunning)
			var small, big []*hand
			for i := range 4 {
				h := w.hand(fmt.Sprint("small ", i))
				h.from(fmt.Sprintf("7.%d.0.1", i), 16)
				small = append(small, h)
			}
			for i := range 20 {
				big = append(big, enrol(w, i))
			}
			ours, theirs := 0, 0
			for range 10 {
				for _, h := range big {
					theirs += tasksIn(h.lease(4))
				}
				for _, h := range small {
					ours += tasksIn(h.lease(4))
				}
			}
			require.Positive(t, ours)
			require.LessOrEqual(t, float64(theirs)/float64(ours+theirs), 0.34)
			require.Greater(t, float64(theirs)/float64(ours+theirs), 0.2, "what it may have, it gets")
		})
	}
}

// TestOneMachine: addresses that are not public are no crowd.
func TestOneMachine(t *testing.T) {
	w := newWorld(t, nil)
	id := w.job(countSpec{Tasks: 2000, Bundle: 8, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	for i := range 3 {
		h := w.hand(fmt.Sprint("operator ", i))
		h.from([]string{"127.0.0.1", "192.168.1.7", "fd00::1"}[i], 32)
		require.Equal(t, 64, tasksIn(h.lease(8)))
		require.Empty(t, w.view(h.key.Public()).Network)
	}
}

// TestDeclaredNetwork holds declarations against addresses.
func TestDeclaredNetwork(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, func(c *scheduler.Config) {
		c.Metrics = reg
		c.Networks = func(a netip.Addr) string {
			if a == netip.MustParseAddr("8.8.8.8") {
				return "AS15169"
			}
			return ""
		}
	})
	for _, c := range []struct {
		declared, address, network string
		mismatch                   bool
	}{
		{"8.8.8.0/24", "8.8.8.8", "8.8.8.0/24", false},
		{"8.0.0.0/8", "8.8.8.8", "8.8.8.0/24", false},
		{"9.9.9.0/24", "8.8.8.8", "8.8.8.0/24", true},
		{"2001:db8::/32", "2001:db8:1:2::3", "2001:db8:1::/48", false},
		{"AS15169", "8.8.8.8", "8.8.8.0/24", false},
		{"AS64500", "8.8.8.8", "8.8.8.0/24", true},
		{"AS64500", "7.7.7.7", "7.7.7.0/24", false}, // the table does not know
		{"9.9.9.0/24", "127.0.0.1", "", false},
		{"", "8.8.8.8", "8.8.8.0/24", false},
		{"9.9.9.0/24", "::ffff:8.8.8.8", "8.8.8.0/24", true},
	} {
		h := w.hand("ann")
		w.m.mu.Lock()
		x := w.m.workers[h.key.Public()]
		x.Network = c.declared
		w.m.workers[h.key.Public()] = x
		w.m.mu.Unlock()
		h.from(c.address, 1)
		v := w.view(h.key.Public())
		require.Equal(t, c.network, v.Network, "%+v", c)
		require.Equal(t, c.mismatch, v.Mismatch, "%+v", c)
	}
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "cantus_scheduler_network_mismatches_total" {
			require.EqualValues(t, 3, f.GetMetric()[0].GetCounter().GetValue())
			return
		}
	}
	t.Error("mismatches are not counted")
}

// TestScore: a worker whose word does not hold gets fewer leases and counts among the
// newcomers, also after a restart, until it is forgotten.
func TestScore(t *testing.T) {
	w := newWorld(t, nil)
	id := w.job(countSpec{Tasks: 1000, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	bad, good := w.hand("bad"), w.hand("good")
	for _, h := range []*hand{bad, good} {
		h.hello(16)
	}
	require.EqualValues(t, 1, w.view(bad.key.Public()).Score)
	for range 4 {
		good.done(plane.DoneRequest{Receipts: good.receipts(good.lease(4).Bundles)})
		rs := bad.receipts(bad.lease(1).Bundles)
		rs[0].Signature[7] ^= 1
		require.Len(t, bad.done(plane.DoneRequest{Receipts: rs}).Refused, 1)
	}
	is := w.view(bad.key.Public())
	require.Less(t, is.Score, 0.5)
	require.EqualValues(t, 1, w.view(good.key.Public()).Score)
	bad.lease(1)
	require.True(t, w.view(bad.key.Public()).Probation, "on this gateway's own word")

	w.restart()
	bad.hello(16)
	require.InDelta(t, is.Score, w.view(bad.key.Public()).Score, 0.01, "it is on the disk")
	w.clock.advance(-time.Hour)
	require.InDelta(t, is.Score, w.view(bad.key.Public()).Score, 0.01, "a clock that goes back makes nobody better or worse")
	w.clock.advance(48 * time.Hour)
	require.Greater(t, w.view(bad.key.Public()).Score, 0.95, "half of it is forgotten in six hours")
}

// TestFalseStopsLeases: once a sample is found false its worker gets nothing, before the
// epoch is settled.
func TestFalseStopsLeases(t *testing.T) {
	w := newWorld(t, nil)
	w.m.maxSamples, w.m.auditors = 64, 1
	liar, ann := w.hand("liar"), w.hand("ann")
	liar.lies = true
	id := w.job(countSpec{Tasks: 4000, Bundle: 1, Units: 1}, 1<<40, 3)
	w.phase(id, scheduler.PhaseRunning)
	liar.hello(8)
	liar.done(plane.DoneRequest{Receipts: liar.receipts(liar.lease(8).Bundles)})
	held := false
	w.until("the liar is found out", func() bool {
		_, err := ann.turn(t.Context())
		require.NoError(t, err)
		for _, v := range w.s.Workers() {
			held = held || v.Worker == liar.key.Public() && v.Accused
		}
		return held
	})
	require.Empty(t, liar.lease(8).Bundles)
	// Afterwards the ledger's own record keeps it away.
	w.until("the epoch is settled", func() bool { return !w.view(liar.key.Public()).Accused })
	require.Empty(t, liar.lease(8).Bundles)
	require.Less(t, w.view(liar.key.Public()).Score, 0.5)
}

// TestAuditorsScore: whoever passes a plant, or owes a verdict, loses standing.
func TestAuditorsScore(t *testing.T) {
	w, _ := plantingWorld(t, 3, 4000)
	w.m.mu.Lock()
	w.m.maxSamples, w.m.auditors, w.m.openBlocks = 64, 3, 40
	w.m.mu.Unlock()
	honest, silent := []*hand{w.hand("ann"), w.hand("ben")}, w.hand("sid")
	silent.audits = false
	blind := w.hand("bob")
	blind.blind = true
	id := w.job(countSpec{Tasks: 300, Bundle: 2, Grow: true, Units: 1}, 1<<40, 5)
	w.m.mu.Lock()
	w.m.jobs[id].AuditBps = 9000
	w.m.mu.Unlock()
	stop := w.labour(append(honest, silent, blind)...)
	w.ended(id)
	stop()
	for _, h := range honest {
		require.Greater(t, w.view(h.key.Public()).Score, 0.9)
	}
	require.Less(t, w.view(blind.key.Public()).Score, 0.5, "it passed plants")
	require.Less(t, w.view(silent.key.Public()).Score, 0.9, "it owed verdicts")
}
