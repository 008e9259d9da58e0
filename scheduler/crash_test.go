package scheduler_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// TestCrash loses power at random moments, with any part of what was not synced, while
// workers work, repeat themselves and report in any order, audits run, plants are made, some
// workers are on probation and the clock is set forth and back. Whatever was acknowledged must
// be there in the end: each task accepted once, each acknowledged receipt in a committed
// tree, each voucher paid, no plant among the results.
func TestCrash(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6}
	if testing.Short() {
		seeds = seeds[:2]
	}
	planted := 0
	for _, seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		var step atomic.Int64 // how far the clock was set
		var decoys []work.PrivateKey
		w := newWorld(t, func(c *scheduler.Config) {
			// Leases of dead sessions are lost by time.
			c.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(step.Load())) }
			c.LostAfter = 5 * time.Millisecond
			c.LeaseGrace = 20 * time.Millisecond
			c.MaxTries = 1 << 20
			c.Decoys, c.PlantBps = decoys, 300
		})
		decoys = w.decoys(3, "friend")
		w.probation(4, 3000)
		var mu sync.Mutex
		dead := false // guarded by mu
		acked := map[uint64]work.SignedReceipt{}
		promised := map[work.PublicKey]uint64{}
		id := w.job(countSpec{Tasks: 600, Bundle: 3, Grow: true, Units: 1}, 1<<40, 6)
		hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid"), w.hand("dan")}
		w.audited(hands[0], 4)
		for i, h := range hands {
			h.unruly = rand.New(rand.NewPCG(seed, uint64(i)))
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		var gate sync.RWMutex // held for writing while one scheduler gives way to the next
		for _, h := range hands {
			h.acked = func(r work.SignedReceipt) {
				mu.Lock()
				defer mu.Unlock()
				if dead {
					return // the reply of a scheduler that lost its power before it sent it
				}
				if was, ok := acked[r.Receipt.Seq]; ok && was.Receipt != r.Receipt {
					t.Errorf("task %d was acknowledged twice", r.Receipt.Seq)
				}
				acked[r.Receipt.Seq] = r
				promised[r.Receipt.Worker] = max(promised[r.Receipt.Worker], h.vouchers[id].Units)
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				for ctx.Err() == nil {
					gate.RLock()
					busy, err := h.turn(ctx)
					gate.RUnlock()
					if err != nil && ctx.Err() == nil && !errors.Is(err, scheduler.ErrClosed) && !errors.Is(err, errCut) {
						var again interface{ After() time.Duration }
						if !errors.As(err, &again) {
							t.Errorf("worker: %v", err)
							return
						}
					}
					if !busy {
						time.Sleep(time.Millisecond)
					}
				}
			}()
		}
		for range 12 {
			for range rng.IntN(12) {
				w.m.block()
				if rng.IntN(8) == 0 {
					step.Add(int64(time.Hour) * int64(rng.IntN(3)-1))
				}
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
			}
			// The clone is taken while everything runs: calls of the old scheduler that
			// end later are as good as never made, and no worker believes them.
			w.link.disconnect()
			mu.Lock()
			dead = true
			left := w.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			mu.Unlock()
			gate.Lock()
			w.s.Close()
			w.fs = left
			w.start()
			mu.Lock()
			dead = false
			mu.Unlock()
			gate.Unlock()
		}
		x := w.ended(id)
		cancel()
		wg.Wait()
		require.Equal(t, scheduler.PhaseDone, x.Phase, "seed %d: %s", seed, x.Reason)
		require.Empty(t, w.m.faults, "seed %d", seed)
		all, j := w.exported(id), w.m.job(id)
		planted += len(j.plants)
		for seq := range j.plants {
			require.Contains(t, keysOf(decoys), all[seq].Receipt.Worker, "seed %d: what is shown as a plant", seed)
			delete(all, seq)
		}
		require.Len(t, all, 600, "seed %d", seed)
		require.EqualValues(t, 600, x.Receipts, "seed %d: no plant is a result", seed)
		for seq, r := range acked {
			require.Equal(t, r.Receipt, all[seq].Receipt, "seed %d: an acknowledged receipt", seed)
		}
		require.EqualValues(t, 600+len(j.plants), j.Receipts)
		total := uint64(0)
		for k, units := range promised {
			require.GreaterOrEqual(t, j.claimed[k], units, "seed %d: a promise", seed)
		}
		for _, units := range j.claimed {
			total += units
		}
		require.Equal(t, j.Units, total, "seed %d: each unit is paid once", seed)
		for k, units := range j.planted {
			require.Equal(t, units, j.claimed[k], "seed %d: a decoy has nothing but plants", seed)
		}
		require.NoError(t, w.s.Close())
	}
	require.Positive(t, planted)
}
