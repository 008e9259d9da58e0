package scheduler_test

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
)

// fullDisk is a file system that says how much space it has.
type fullDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 1 << 40}, nil
}

// TestDiskFull: with little space left nothing is leased, what is out still comes in, and
// with space again work goes on by itself.
func TestDiskFull(t *testing.T) {
	w := newWorld(t, nil)
	w.s.Close()
	disk := &fullDisk{FS: w.fs}
	disk.free.Store(1 << 30)
	w.fs = disk
	w.start()
	h := w.hand("ann")
	h.hello(4)
	id := w.job(countSpec{Tasks: 100, Bundle: 2, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	r := h.lease(1)
	require.Len(t, r.Bundles, 1)

	disk.free.Store(10 << 20)
	w.until("the scheduler notices", func() bool { return w.s.Health().Disk != nil })
	require.ErrorIs(t, w.s.Health().Disk, scheduler.ErrDisk)
	require.Empty(t, h.lease(1).Bundles)
	x, err := w.s.Progress(id)
	require.NoError(t, err)
	require.Contains(t, x.Trouble, "disk")
	require.Empty(t, h.done(plane.DoneRequest{Receipts: h.receipts(r.Bundles)}).Refused)

	disk.free.Store(1 << 30)
	w.until("the scheduler takes on work again", func() bool { return w.s.Health().Disk == nil })
	require.NotEmpty(t, h.lease(1).Bundles)
}

// TestUntried: what a worker gives back because it stops says nothing about the task.
func TestUntried(t *testing.T) {
	w := newWorld(t, func(c *scheduler.Config) { c.MaxTries = 1 })
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 1, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	for n := range uint32(5) {
		r := h.lease(1)
		require.Len(t, r.Bundles, 1)
		l := r.Bundles[0].Tasks[0]
		require.Equal(t, n+1, l.Attempt)
		h.done(plane.DoneRequest{Failures: []plane.Failure{{Lease: plane.LeaseID{Job: id, Seq: l.Seq, Attempt: l.Attempt}, Untried: true}}})
	}
	x, err := w.s.Progress(id)
	require.NoError(t, err)
	require.Zero(t, x.Failed)
	r := h.lease(1)
	l := r.Bundles[0].Tasks[0]
	h.done(plane.DoneRequest{Failures: []plane.Failure{{Lease: plane.LeaseID{Job: id, Seq: l.Seq, Attempt: l.Attempt}}}})
	x, err = w.s.Progress(id)
	require.NoError(t, err)
	require.EqualValues(t, 1, x.Failed)
}
