package scheduler_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// TestCrash loses power at random moments, with any part of what was not synced, while
// workers work and audits run. Whatever was acknowledged must be there in the end: each
// task accepted once, each acknowledged receipt in a committed tree, each voucher paid.
func TestCrash(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6}
	if testing.Short() {
		seeds = seeds[:2]
	}
	for _, seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, func(c *scheduler.Config) {
			c.Now = time.Now // leases of dead sessions are lost by time
			c.LostAfter = 5 * time.Millisecond
			c.LeaseGrace = 20 * time.Millisecond
			c.MaxTries = 1 << 20
		})
		var mu sync.Mutex
		dead := false // guarded by mu
		acked := map[uint64]work.SignedReceipt{}
		promised := map[work.PublicKey]uint64{}
		id := w.job(countSpec{Tasks: 600, Bundle: 3, Grow: true, Units: 1}, 1<<40, 6)
		hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid"), w.hand("dan")}
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
		all := w.exported(id)
		require.Len(t, all, 600, "seed %d", seed)
		for seq, r := range acked {
			require.Equal(t, r.Receipt, all[seq].Receipt, "seed %d: an acknowledged receipt", seed)
		}
		j := w.m.job(id)
		require.EqualValues(t, 600, j.Receipts)
		for k, units := range promised {
			require.GreaterOrEqual(t, j.claimed[k], units, "seed %d: a promise", seed)
		}
		require.NoError(t, w.s.Close())
	}
}
