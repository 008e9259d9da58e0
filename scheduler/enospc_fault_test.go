package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// brokenDisk is a file system that has no room from its n-th write on, for so many writes.
// Everything that may need room counts: writes, new files, syncs, renames.
type brokenDisk struct {
	vfs.FS
	count, from, until atomic.Int64
	what               atomic.Pointer[string] // the first operation that failed
}

const never = 1 << 60

func newBrokenDisk(on vfs.FS) *brokenDisk {
	d := &brokenDisk{}
	d.from.Store(never)
	d.FS = errorfs.Wrap(on, errorfs.InjectorFunc(d.maybe))
	return d
}

func (d *brokenDisk) maybe(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpMkdirAll, errorfs.OpFilePreallocate,
		errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileFlush:
	default:
		return nil
	}
	if n := d.count.Add(1); n < d.from.Load() || n >= d.until.Load() {
		return nil
	}
	what := fmt.Sprintf("%d %s", op.Kind, op.Path)
	d.what.CompareAndSwap(nil, &what)
	return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
}

// GetDiskUsage tells of no room while there is none, and of enough for work but not for a
// ballast otherwise.
func (d *brokenDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 100 << 20}
	if next := d.count.Load() + 1; next >= d.from.Load() && next < d.until.Load() {
		u.AvailBytes = 0
	}
	return u, nil
}

// breaks lets count writes fail after n more.
func (d *brokenDisk) breaks(n, count int) {
	d.what.Store(nil)
	d.until.Store(never)
	d.from.Store(d.count.Load() + 1 + int64(n))
	d.until.Store(d.from.Load() + int64(count))
}

func (d *brokenDisk) mend() {
	d.from.Store(never)
	d.until.Store(0)
	d.what.Store(nil)
}

func (d *brokenDisk) broke() bool { return d.what.Load() != nil }

// ruin is a scheduler on a disk that fills up.
type ruin struct {
	*world
	cfg  scheduler.Config
	disk *brokenDisk
	mem  *vfs.MemFS
	id   work.JobID
	hand *hand

	mu       sync.Mutex
	life     int // counts starts
	dead     bool
	why      error
	fatal    chan struct{}
	waited   bool
	acked    map[uint64]work.SignedReceipt
	promised uint64
}

func newRuin(t *testing.T) *ruin {
	r := &ruin{acked: map[uint64]work.SignedReceipt{}, fatal: make(chan struct{})}
	r.world = newWorld(t, func(c *scheduler.Config) {
		c.Now = time.Now
		c.LostAfter, c.LeaseGrace, c.MaxTries = 20*time.Millisecond, 20*time.Millisecond, 1<<20
		c.MinFree = 50 << 20
		r.cfg = *c
	})
	require.NoError(t, r.s.Close())
	t.Cleanup(func() {
		if dead, _ := r.died(); dead { // and the test failed: leave something that can be closed
			r.disk = newBrokenDisk(vfs.NewMem())
			require.NoError(t, r.open())
		}
	})
	r.mem = r.fs.(*vfs.MemFS)
	r.hand = r.world.hand("ann")
	r.id = r.job(countSpec{Tasks: 30, Bundle: 3, Grow: true, Units: 1}, 1<<40, 12)
	r.m.mu.Lock()
	r.m.jobs[r.id].AuditBps = 0
	r.m.mu.Unlock()
	r.disk = newBrokenDisk(r.mem)
	return r
}

// open starts the scheduler and a worker, unless the disk has no room for that.
func (r *ruin) open() error {
	r.link = &link{m: r.m}
	r.mu.Lock()
	r.life++
	r.dead, r.why, r.fatal = false, nil, make(chan struct{})
	life, fatal := r.life, r.fatal
	r.mu.Unlock()
	cfg := r.cfg
	cfg.Metrics = nil
	cfg.Ledger, cfg.FS = r.link, r.disk
	cfg.Fatal = func(err error) {
		r.mu.Lock()
		if r.life == life && !r.dead {
			r.dead, r.why = true, err
			close(fatal)
		}
		r.mu.Unlock()
		select {} // as the end of the process would, it never returns
	}
	type opened struct {
		s   *scheduler.Scheduler
		err error
	}
	c := make(chan opened, 1)
	go func() {
		s, err := scheduler.Open(cfg)
		c <- opened{s, err}
	}()
	select {
	case o := <-c:
		if o.err != nil {
			return o.err
		}
		r.s = o.s
		go r.labour(o.s, life)
		return nil
	case <-fatal:
		return r.why
	case <-time.After(400 * time.Millisecond):
		// It met the full disk midway and waits for room.
		r.waited = r.disk.broke()
		r.disk.mend()
	}
	select {
	case o := <-c:
		if o.err != nil {
			return o.err
		}
		r.s = o.s
		go r.labour(o.s, life)
		return nil
	case <-fatal:
		return r.why
	case <-time.After(30 * time.Second):
		r.t.Fatal("Open hangs, though there is room again")
		return nil
	}
}

// labour works like a worker until this life ends, and remembers what it was told.
func (r *ruin) labour(s *scheduler.Scheduler, life int) {
	ctx := context.Background()
	over := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.life != life || r.dead
	}
	for ; !over(); time.Sleep(time.Millisecond) {
		got, err := s.Lease(ctx, r.hand.key.Public(), plane.LeaseRequest{Max: 4, Kinds: []work.Name{countName}})
		if err != nil || len(got.Bundles) == 0 {
			continue
		}
		req := plane.DoneRequest{Receipts: r.hand.receipts(got.Bundles)}
		for range 3 { // a worker tries again, and so may say the same twice
			reply, err := s.Done(ctx, r.hand.key.Public(), req)
			if err != nil {
				continue
			}
			r.mu.Lock()
			if r.life == life && !r.dead {
				refused := map[uint64]bool{}
				for _, f := range reply.Refused {
					refused[f.Seq] = true
				}
				for _, v := range reply.Vouchers {
					r.promised = max(r.promised, v.Voucher.Units)
				}
				for _, x := range req.Receipts {
					if !refused[x.Receipt.Seq] {
						r.acked[x.Receipt.Seq] = x
					}
				}
			}
			r.mu.Unlock()
			break
		}
	}
}

// died reports whether the process ended itself, and why.
func (r *ruin) died() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead, r.why
}

// bury takes over what a dead process left on the disk: all that it wrote, or only what it
// synced.
func (r *ruin) bury(lost int) {
	r.link.disconnect()
	if r.s != nil {
		go r.s.Close() // it never ends: Fatal did not return
	}
	r.mem = r.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 - lost, RNG: rand.New(rand.NewPCG(1, 2))})
	r.disk = newBrokenDisk(r.mem)
}

// end stops the process as an operator does.
func (r *ruin) end() error {
	r.mu.Lock()
	r.life++
	r.mu.Unlock()
	c := make(chan error, 1)
	go func() { c <- r.s.Close() }()
	select {
	case err := <-c:
		return err
	case <-r.fatal:
		return nil // the caller sees that it died
	case <-time.After(60 * time.Second):
		r.t.Fatal("Close hangs")
		return nil
	}
}

// TestNoRoomAtEachWrite: the disk of the gateway's database is full at each of its writes
// in turn: for that write, for it and its repetition, and for good until somebody makes
// room. Either the process takes on no more work and goes on by itself once there is room,
// or it ends and says what to do, or it does not start and says so. No acknowledged receipt
// and no voucher is lost, nothing counts twice.
func TestNoRoomAtEachWrite(t *testing.T) {
	for _, mode := range []struct {
		name  string
		count int
	}{{"once", 1}, {"twice", 2}, {"until freed", never}} {
		t.Run(mode.name, func(t *testing.T) {
			seen := map[string]int{}
			writes := 1 << 20
			step, at := 1, 0
			for n := 0; n < writes; n += step {
				outcome, total := oneRuin(t, n, mode.count)
				seen[outcome]++
				if testing.Verbose() {
					t.Logf("write %d of %d: %s", n, total, outcome)
				}
				if outcome == "unhurt" {
					break
				}
				if at++; at == 1 && !fault.Everywhere() {
					writes = total
					step = max(1, total/14)
					if mode.count == never {
						step *= 2
					}
				}
			}
			t.Logf("%v", seen)
			require.Greater(t, len(seen), 1)
		})
	}
}

// oneRuin runs a job to its end on a disk whose n-th write finds no room.
func oneRuin(t *testing.T, n, count int) (outcome string, writes int) {
	r := newRuin(t)
	r.disk.breaks(n, count)
	outcome = "unhurt"
	starts := 0
	start := func() {
		for {
			if starts++; starts > 5 {
				t.Fatalf("write %d: it doesn't start", n)
			}
			err := r.open()
			if err == nil {
				if r.waited {
					outcome = "waited to start"
				}
				return
			}
			if !errors.Is(err, scheduler.ErrDisk) {
				require.ErrorContains(t, err, "no space left", "write %d: it says what is wrong", n)
			}
			require.ErrorContains(t, err, "start again", "write %d: it says what to do", n)
			outcome = "did not start"
			if dead, _ := r.died(); dead {
				r.s = nil
				r.bury(100 * (n % 2))
				continue
			}
			r.disk.mend()
		}
	}
	start()
	stopped := false
	deadline := time.Now().Add(10 * time.Second)
	var x scheduler.Progress
	for {
		if dead, why := r.died(); dead {
			require.ErrorContains(t, why, "start again once the cause is gone", "write %d", n)
			require.ErrorContains(t, why, "no space left", "write %d: it says what is wrong", n)
			outcome = "ended itself"
			r.bury(100 * (n % 2))
			start()
			continue
		}
		if r.disk.broke() && outcome == "unhurt" {
			outcome = "went on"
		}
		if r.disk.broke() && count == never {
			// Full for good: unless it ends, it takes on no more work.
			what := *r.disk.what.Load()
			for wait := time.Now().Add(30 * time.Second); r.s.Health().Disk == nil; time.Sleep(time.Millisecond) {
				if dead, _ := r.died(); dead {
					break
				}
				require.True(t, time.Now().Before(wait), "write %d (%s): it goes on as if nothing were", n, what)
			}
			r.disk.mend()
			if dead, _ := r.died(); dead {
				continue
			}
			require.ErrorIs(t, r.s.Health().Disk, scheduler.ErrDisk)
		}
		type answer struct {
			x   scheduler.Progress
			err error
		}
		c := make(chan answer, 1)
		go func() { x, err := r.s.Progress(r.id); c <- answer{x, err} }()
		select {
		case a := <-c:
			if a.err == nil {
				x = a.x
			} else {
				require.True(t, x.EndedAt.IsZero(), "%v", a.err)
			}
		case <-r.fatal:
			continue
		}
		if !x.EndedAt.IsZero() {
			break
		}
		r.mu.Lock()
		half := len(r.acked) >= 15
		r.mu.Unlock()
		if half && !stopped { // a stop and a start in between
			stopped = true
			err := r.end()
			if dead, _ := r.died(); !dead {
				if err != nil {
					require.True(t, errors.Is(err, syscall.ENOSPC), "write %d: %v", n, err)
				}
				start()
				continue
			}
			r.mu.Lock()
			r.life++ // its worker is gone; it is buried above
			r.mu.Unlock()
			continue
		}
		if time.Now().After(deadline) {
			what := "it was mended"
			if r.disk.broke() {
				what = *r.disk.what.Load()
			}
			t.Fatalf("write %d (%s), %s: the job never ends: %s %q, %d leased, trouble %q, faults %v, health %v", n, what, outcome, x.Phase, x.Reason, len(r.acked), x.Trouble, r.m.faults, r.s.Health().Disk)
		}
		r.m.block()
		time.Sleep(time.Millisecond)
	}
	writes = int(r.disk.count.Load())
	r.disk.mend()
	require.Equal(t, scheduler.PhaseDone, x.Phase, "write %d: %s", n, x.Reason)
	require.Empty(t, r.m.faults, "write %d", n)
	require.NoError(t, r.end())
	require.NoError(t, r.open())
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.exported(r.id)
	require.Len(t, all, 30, "write %d", n)
	for seq, a := range r.acked {
		require.Equal(t, a.Receipt, all[seq].Receipt, "write %d: an acknowledged receipt", n)
	}
	var units uint64
	for _, s := range all {
		units += s.Receipt.Units
	}
	j := r.m.job(r.id)
	require.EqualValues(t, 30, j.Receipts, "write %d", n)
	require.Equal(t, units, j.Units, "write %d: what is paid is what was done", n)
	require.Equal(t, units, j.claimed[r.hand.key.Public()], "write %d", n)
	require.GreaterOrEqual(t, units, r.promised, "write %d: a promise", n)
	r.life++
	require.NoError(t, r.s.Close())
	return outcome, writes
}
