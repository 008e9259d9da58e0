package scheduler_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// diskWorld keeps its database in a directory, as a backup needs it.
func diskWorld(t *testing.T) (w *world, dir *string) {
	dir = new(string)
	*dir = filepath.Join(t.TempDir(), "db")
	return newWorld(t, func(c *scheduler.Config) { c.FS, c.Dir = vfs.Default, *dir }), dir
}

// restore ends the scheduler and starts one from a copy, marked as restored or not.
func (w *world) restore(dir *string, copied string, fence bool) {
	require.NoError(w.t, w.s.Close())
	if fence {
		require.NoError(w.t, scheduler.Fence(copied, "restored by a test"))
	}
	*dir = copied
	w.start()
}

// earn has a hand do some tasks, and returns what it was promised.
func (h *hand) earn() (receipts []work.SignedReceipt, promised work.Voucher) {
	h.w.t.Helper()
	h.w.until("there is work", func() bool {
		receipts = h.receipts(h.lease(2).Bundles)
		return len(receipts) > 0
	})
	return receipts, h.done(plane.DoneRequest{Receipts: receipts}).Vouchers[0].Voucher
}

// TestRestored: a gateway goes on after its backup was made, is lost, and comes back from
// the backup. It must not promise less than before, nor commit a second time, nor lose what
// the backup has.
func TestRestored(t *testing.T) {
	w, dir := diskWorld(t)
	h := w.hand("ann")
	h.hello(8)
	id := w.job(countSpec{Tasks: 400, Bundle: 5, Units: 1}, 1<<40, 1<<30) // no epoch ends by itself
	w.phase(id, scheduler.PhaseRunning)
	had, before := h.earn()
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, w.s.Checkpoint(copied))
	require.Error(t, w.s.Checkpoint(copied), "a copy is never written over")

	// After the backup: more pay is promised, tasks are out, a second job begins.
	lost, after := h.earn()
	require.Greater(t, after.Units, before.Units)
	unknown := w.job(countSpec{Tasks: 10, Bundle: 5, Units: 1}, 1<<40, 3)
	w.phase(unknown, scheduler.PhaseRunning)

	w.restore(dir, copied, true)
	h.hello(8)
	x := w.ended(id)
	require.Equal(t, scheduler.PhaseDone, x.Phase)
	require.Contains(t, x.Reason, "restored by a test")
	j := w.m.job(id)
	require.EqualValues(t, 1, j.Epochs, "what the backup has is committed")
	require.Equal(t, before.Units, j.UnitsSettled)
	require.Len(t, w.exported(id), len(had))
	require.Equal(t, before.Units, j.claimed[h.key.Public()], "and paid")
	// Nothing more is taken or promised in that job: not what is sent again either.
	reply := h.done(plane.DoneRequest{Receipts: lost})
	require.Len(t, reply.Refused, len(lost))
	for _, v := range reply.Vouchers {
		require.Equal(t, before.Units, v.Voucher.Units, "the newest that it knows, for no new receipt")
	}
	// The job that it forgot is refused, and the buyer has the escrow back.
	x = w.ended(unknown)
	require.Equal(t, scheduler.PhaseRefused, x.Phase)
	require.Contains(t, x.Reason, "restored by a test")
	require.True(t, w.m.job(unknown).Finished)

	// A job of later is as any, also after another start.
	w.m.block()
	later := w.job(countSpec{Tasks: 30, Bundle: 5, Units: 1}, 1<<40, 3)
	w.phase(later, scheduler.PhaseRunning)
	require.NoError(t, w.s.Close())
	w.start()
	h.hello(8)
	other := w.hand("ben")
	other.hello(8)
	third := w.hand("cid")
	third.hello(8)
	stop := w.labour(h, other, third)
	require.Equal(t, scheduler.PhaseDone, w.ended(later).Phase)
	stop()
	require.Len(t, w.exported(later), 30)
	require.Empty(t, w.m.faults)
}

// TestRestoredBehindTheLedger: epochs were committed after the backup. The restored gateway
// commits nothing more in that job, but opens what is drawn of the epoch that it has.
func TestRestoredBehindTheLedger(t *testing.T) {
	w, dir := diskWorld(t)
	hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid")}
	for _, h := range hands {
		h.hello(8)
	}
	h := hands[0]
	id := w.job(countSpec{Tasks: 400, Bundle: 5, Units: 1}, 1<<40, 2)
	w.phase(id, scheduler.PhaseRunning)
	h.earn()
	w.until("the first epoch is sealed", func() bool { x, err := w.s.Progress(id); return err == nil && x.EpochCount == 1 })
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, w.s.Checkpoint(copied))
	w.until("the first epoch is committed", func() bool { return w.m.job(id).Epochs == 1 })
	h.earn()
	w.until("a second epoch is committed", func() bool { return w.m.job(id).Epochs == 2 })
	committed := w.m.sent("commit")

	w.restore(dir, copied, true)
	for _, h := range hands {
		h.hello(8)
	}
	w.phase(id, scheduler.PhaseFaulted)
	stop := w.labour(hands...)
	w.until("the epoch that it has settles", func() bool { return w.m.job(id).Settled == 1 })
	require.Equal(t, committed, w.m.sent("commit"), "and none is committed again")
	stop()
	w.until("the one that it lost is void", func() bool { return w.m.job(id).Status == work.JobFaulted })
	require.Len(t, w.m.faults, 1)
	x := w.ended(id)
	require.Equal(t, scheduler.PhaseFaulted, x.Phase)
	require.EqualValues(t, 1, x.Job.Settled)
}

// TestMoved: a copy of a gateway that never ran again goes on as if nothing had happened.
func TestMoved(t *testing.T) {
	w, dir := diskWorld(t)
	hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid")}
	for _, h := range hands {
		h.hello(8)
	}
	id := w.job(countSpec{Tasks: 60, Bundle: 5, Units: 1}, 1<<40, 3)
	w.phase(id, scheduler.PhaseRunning)
	hands[0].earn()
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, w.s.Checkpoint(copied))
	w.restore(dir, copied, false)
	for _, h := range hands {
		h.hello(8)
	}
	stop := w.labour(hands...)
	require.Equal(t, scheduler.PhaseDone, w.ended(id).Phase)
	stop()
	require.Empty(t, w.m.faults)
	require.Len(t, w.exported(id), 60)
}

// TestSeal: what is in open epochs is on the ledger when Seal returns, and a ledger that
// does not answer is not waited for longer than asked.
func TestSeal(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(8)
	id := w.job(countSpec{Tasks: 400, Bundle: 5, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	require.NoError(t, w.s.Seal(t.Context()), "nothing to seal")
	_, promised := h.earn()
	sealed := make(chan error, 1)
	go func() { sealed <- w.s.Seal(t.Context()) }()
	w.until("it is committed", func() bool { return w.m.job(id).Epochs == 1 })
	require.NoError(t, <-sealed)
	require.Equal(t, promised.Units, w.m.job(id).Units)

	w.m.mu.Lock()
	w.m.trouble = func(string) (error, error) { return errors.New("no ledger today"), nil }
	w.m.mu.Unlock()
	h.earn()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { sealed <- w.s.Seal(ctx) }()
	w.until("it is sealed", func() bool { x, err := w.s.Progress(id); return err == nil && x.EpochCount == 2 })
	cancel()
	require.ErrorIs(t, <-sealed, context.Canceled)
	w.m.mu.Lock()
	w.m.trouble = nil
	w.m.mu.Unlock()
	w.until("it is committed later", func() bool { return w.m.job(id).Epochs == 2 })
	require.NoError(t, w.s.Probe())
}
