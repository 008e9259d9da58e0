package scheduler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// leaseTime is longer than a lease of two tasks of the kind, and much shorter than an hour.
const leaseTime = 5 * time.Minute

// leased starts a job of two tasks of which one worker has the lease, and another waits.
func leased(t *testing.T) (w *world, id work.JobID, ann, ben *hand, out []plane.Bundle) {
	w = newWorld(t, func(c *scheduler.Config) { c.LostAfter = 24 * time.Hour })
	ann, ben = w.hand("ann"), w.hand("ben")
	id = w.job(countSpec{Tasks: 2, Bundle: 2, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	out = ann.lease(1).Bundles
	require.Len(t, out, 1)
	require.Empty(t, ben.lease(1).Bundles, "it is out")
	return w, id, ann, ben, out
}

// settled reports the receipts of the one who has the lease and of the one who had it,
// in both orders: two tasks, each counted once.
func settled(t *testing.T, w *world, id work.JobID, late *hand, old []plane.Bundle, now *hand, fresh []plane.Bundle) {
	t.Helper()
	r := late.done(plane.DoneRequest{Receipts: late.receipts(old)})
	require.Len(t, r.Refused, 2, "the tasks went elsewhere")
	require.Empty(t, r.Vouchers)
	r = now.done(plane.DoneRequest{Receipts: now.receipts(fresh)})
	require.Empty(t, r.Refused)
	require.Len(t, r.Vouchers, 1)
	require.Len(t, late.done(plane.DoneRequest{Receipts: late.receipts(old)}).Refused, 2)
	w.ended(id)
	require.Len(t, w.exported(id), 2)
	require.EqualValues(t, 2, w.m.job(id).Receipts)
	require.Empty(t, w.m.faults)
}

// TestClockSetBack: the lease is not an hour longer for it.
func TestClockSetBack(t *testing.T) {
	w, id, ann, ben, out := leased(t)
	w.clock.advance(-time.Hour)
	require.Empty(t, ben.lease(1).Bundles, "the step ends no lease")
	w.clock.advance(leaseTime)
	fresh := ben.lease(1).Bundles
	require.Len(t, fresh, 1, "the lease ran out in its time")
	settled(t, w, id, ann, out, ben, fresh)
}

// TestClockSetForward: the lease may end early, and nobody loses more than that lease.
func TestClockSetForward(t *testing.T) {
	w, id, ann, ben, out := leased(t)
	w.clock.advance(time.Hour)
	fresh := ben.lease(1).Bundles
	require.Len(t, fresh, 1)
	settled(t, w, id, ann, out, ben, fresh)

	w, id, ann, _, out = leased(t)
	w.clock.advance(time.Hour)
	r := ann.done(plane.DoneRequest{Receipts: ann.receipts(out)})
	require.Empty(t, r.Refused, "late is as good as in time while nobody else has the tasks")
	w.ended(id)
	require.Len(t, w.exported(id), 2)
}

// TestClockSetWhileDown: a gateway that starts again with another time on its clock keeps
// its leases for as long as they were meant, or a little longer, and loses none.
func TestClockSetWhileDown(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour, -24 * 365 * time.Hour} {
		w, id, ann, ben, out := leased(t)
		require.NoError(t, w.s.Close())
		w.clock.advance(step)
		w.start()
		w.opened(id)
		require.Empty(t, ben.lease(1).Bundles, "step %v: the worker has time to come back", step)
		w.clock.advance(2*leaseTime + 24*time.Hour) // and the time after which it is lost
		fresh := ben.lease(1).Bundles
		require.Len(t, fresh, 1, "step %v: a lease is out for ever", step)
		settled(t, w, id, ann, out, ben, fresh)
	}
}

// TestClockRunsBackwards: a whole job by a clock that only ever goes back.
func TestClockRunsBackwards(t *testing.T) {
	w := newWorld(t, nil)
	id := w.job(countSpec{Tasks: 60, Bundle: 3, Grow: true, Units: 1}, 1<<40, 6)
	w.labour(w.hand("ann"), w.hand("ben"), w.hand("cid"))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				w.clock.advance(-time.Minute)
			}
		}
	}()
	x := w.ended(id)
	close(stop)
	<-done
	require.Equal(t, scheduler.PhaseDone, x.Phase)
	require.Len(t, w.exported(id), 60)
	require.Empty(t, w.m.faults)
}

// TestWrongTimesInReceipts: what a worker says of when it worked is a claim that nothing
// depends on, but it must be one that can be.
func TestWrongTimesInReceipts(t *testing.T) {
	w, _, ann, _, out := leased(t)
	for _, when := range [][2]int64{{-1, 5}, {7, 6}} {
		r := ann.receipts(out)[0].Receipt
		r.Started, r.Finished = when[0], when[1]
		_, err := work.SignReceipt(ann.key, r)
		require.Error(t, err)
		bad := work.SignedReceipt{Receipt: r, Signature: make([]byte, 64)}
		require.Error(t, plane.DoneRequest{Receipts: []work.SignedReceipt{bad}}.Check(), "the plane does not let it in")
	}
	r := ann.receipts(out)
	for i := range r { // an hour ahead of the gateway, and a hundred years
		c := r[i].Receipt
		c.Started = w.clock.Now().Add(time.Hour).UnixMilli()
		c.Finished = c.Started + int64(i)*100*365*24*3600*1000
		var err error
		r[i], err = work.SignReceipt(ann.key, c)
		require.NoError(t, err)
	}
	require.Empty(t, ann.done(plane.DoneRequest{Receipts: r}).Refused)
}
