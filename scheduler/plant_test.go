package scheduler_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// decoys enrols workers that the gateway plants by.
func (w *world) decoys(n int, operator string) (keys []work.PrivateKey) {
	for range n {
		k := newKey(w.t)
		w.m.enroll(k.Public(), operator, countName)
		keys = append(keys, k)
	}
	return keys
}

// planting is a world whose gateway plants by n decoys, about so many basis points.
func plantingWorld(t testing.TB, n, bps int) (*world, []work.PrivateKey) {
	var keys []work.PrivateKey
	w := newWorld(t, func(c *scheduler.Config) { c.Decoys, c.PlantBps = keys, bps })
	keys = w.decoys(n, "gateway's friend")
	w.restart()
	return w, keys
}

func (w *world) restart() {
	w.link.disconnect()
	require.NoError(w.t, w.s.Close())
	w.start()
}

// TestPlants lets a gateway plant among the work of honest workers.
func TestPlants(t *testing.T) {
	w, decoys := plantingWorld(t, 5, 1000)
	w.m.mu.Lock()
	w.m.maxSamples = 64
	w.m.mu.Unlock()
	hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid"), w.hand("dan")}
	id := w.job(countSpec{Tasks: 600, Bundle: 3, Grow: true, Units: 1}, 1<<40, 5)
	stop := w.labour(hands...)
	x := w.ended(id)
	stop()
	require.Equal(t, scheduler.PhaseDone, x.Phase, x.Reason)
	require.Empty(t, w.m.faults)

	j := w.m.job(id)
	require.Positive(t, len(j.plants))
	results, plants := 0, map[uint64]bool{}
	_, _, err := w.s.Receipts(context.Background(), id, scheduler.Cursor{}, func(r scheduler.SealedReceipt) bool {
		s, err := work.DecodeReceipt(r.Receipt)
		require.NoError(t, err)
		if r.Plant {
			plants[s.Receipt.Seq] = true
			require.Contains(t, keysOf(decoys), s.Receipt.Worker)
			return true
		}
		results++
		require.NotContains(t, keysOf(decoys), s.Receipt.Worker, "a decoy has no work of its own here")
		return true
	})
	require.NoError(t, err)
	require.Equal(t, 600, results, "every task once, and no plant among them")
	require.Equal(t, j.plants, plants, "what the ledger was shown")
	for _, e := range j.epochs {
		require.False(t, e.Plants.IsZero(), "also to none")
		require.True(t, e.PlantsShown)
		p, err := w.s.Plants(id, e.Number)
		require.NoError(t, err)
		require.NoError(t, p.Check(e.Plants))
	}

	// The figures are those of the work alone.
	require.EqualValues(t, 600, x.Done)
	require.EqualValues(t, 600, x.Receipts)
	planted := uint64(0)
	for _, n := range j.planted {
		planted += n
	}
	require.Equal(t, j.Units-planted, x.Units)
	require.Len(t, x.Workers, len(hands))
	require.Equal(t, len(hands), x.WorkerCount)
	require.Zero(t, len(j.forfeit), "nobody is convicted for a plant")
	for _, h := range hands {
		require.Equal(t, j.claimed[h.key.Public()], h.vouchers[id].Units)
	}
}

func keysOf(l []work.PrivateKey) (keys []work.PublicKey) {
	for _, k := range l {
		keys = append(keys, k.Public())
	}
	return keys
}

// TestPlantsAreHidden looks at everything that anybody can ask before they are shown.
func TestPlantsAreHidden(t *testing.T) {
	w, decoys := plantingWorld(t, 1, 5000)
	w.m.mu.Lock()
	w.m.auditors = 1
	w.m.mu.Unlock()
	ann := w.hand("ann")
	id := w.job(countSpec{Tasks: 60, Bundle: 5, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	ann.hello(8)
	for range 4 { // some of the work, so that the job stays open
		b := ann.lease(1).Bundles
		ann.done(plane.DoneRequest{Receipts: ann.receipts(b)})
	}
	decoy := decoys[0].Public()
	var x scheduler.Progress
	w.until("the decoy has receipts", func() bool {
		var err error
		x, err = w.s.Progress(id)
		require.NoError(t, err)
		return x.Receipts > 20
	})
	shown := map[work.PublicKey]scheduler.WorkerProgress{}
	for _, p := range x.Workers {
		shown[p.Worker] = p
	}
	require.Equal(t, x.Receipts-20, shown[decoy].Receipts, "they look like work")
	require.Equal(t, shown[decoy].Units+shown[ann.key.Public()].Units, x.Units)

	require.NoError(t, w.s.Seal(t.Context()))
	w.until("the epoch is committed", func() bool { j := w.m.job(id); return j.Epochs == 1 })
	_, more, err := w.s.Receipts(t.Context(), id, scheduler.Cursor{}, func(scheduler.SealedReceipt) bool {
		t.Error("a receipt of an epoch whose plants were not shown")
		return false
	})
	require.NoError(t, err)
	require.True(t, more)
	p, err := w.s.Plants(id, 1)
	require.NoError(t, err)
	require.Empty(t, p.Indices)
	require.Zero(t, p.Salt)

	// The numbers leave room elsewhere too, and the receipts are signed and timed like others.
	stop := w.labour(ann, w.hand("ben"))
	w.ended(id)
	stop()
	all := w.exported(id)
	genuine := map[uint64]bool{}
	highest := uint64(0)
	for seq, r := range all {
		highest = max(highest, seq)
		genuine[seq] = r.Receipt.Worker != decoy
		require.EqualValues(t, 1, r.Receipt.Attempt)
	}
	gaps := 0
	for seq := uint64(1); seq <= highest; seq++ {
		if _, ok := genuine[seq]; !ok {
			gaps++
		}
	}
	require.Positive(t, gaps, "not each number that is nobody's is a plant's")
}

// TestNoPlants has reasons not to plant: no decoy may, the escrow is too small.
func TestNoPlants(t *testing.T) {
	for name, set := range map[string]func(w *world, k work.PublicKey){
		"the gateway's own": func(w *world, k work.PublicKey) { w.m.enroll(k, "gw", countName) },
		"without a bond":    func(w *world, k work.PublicKey) { w.m.setActive(k, false) },
		"of another kind":   func(w *world, k work.PublicKey) { w.m.enroll(k, "friend", "other/1") },
	} {
		w, decoys := plantingWorld(t, 1, 10_000)
		set(w, decoys[0].Public())
		id := w.job(countSpec{Tasks: 50, Bundle: 5, Units: 1}, 1<<40, 5)
		stop := w.labour(w.hand("ann"), w.hand("ben"))
		w.ended(id)
		stop()
		require.Len(t, w.exported(id), 50, name)
		require.Empty(t, w.m.faults, name)
	}
	w, _ := plantingWorld(t, 1, 10_000)
	id := w.job(countSpec{Tasks: 10_000, Bundle: 5, Units: 1}, 2000, 5) // 200 units
	stop := w.labour(w.hand("ann"), w.hand("ben"))
	x := w.ended(id)
	stop()
	require.Contains(t, x.Reason, "escrow")
	require.Empty(t, w.m.faults)
	require.LessOrEqual(t, w.m.job(id).Units-plantedUnits(w.m.job(id)), uint64(200))
}

func plantedUnits(j modelJob) (n uint64) {
	for _, u := range j.planted {
		n += u
	}
	return n
}

// TestDecoysWork: decoys work like anybody, but never in a job that they plant in.
func TestDecoysWork(t *testing.T) {
	w, decoys := plantingWorld(t, 6, 3000)
	hands := []*hand{w.hand("ann"), w.hand("ben")}
	for _, k := range decoys {
		hands = append(hands, &hand{w: w, key: k, audits: true, vouchers: map[work.JobID]work.Voucher{}, sealed: map[string]plane.VerdictReveal{}})
	}
	var ids []work.JobID
	for range 4 {
		ids = append(ids, w.job(countSpec{Tasks: 120, Bundle: 2, Grow: true, Units: 1}, 1<<40, 8))
	}
	stop := w.labour(hands...)
	worked := 0
	for _, id := range ids {
		w.ended(id)
	}
	stop()
	require.Empty(t, w.m.faults)
	for _, id := range ids {
		j := w.m.job(id)
		require.NotEmpty(t, j.plants)
		by := map[bool]map[work.PublicKey]bool{true: {}, false: {}}
		for seq, r := range w.exported(id) {
			by[j.plants[seq]][r.Receipt.Worker] = true
		}
		for k := range by[true] {
			require.Contains(t, keysOf(decoys), k)
			require.NotContains(t, by[false], k, "a planter with work of its own in the job")
		}
		for _, k := range keysOf(decoys) {
			if by[false][k] {
				worked++
			}
		}
	}
	require.Positive(t, worked, "decoys have receipts of their own")
}
