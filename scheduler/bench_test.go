package scheduler_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// BenchmarkCycle measures how many tasks a second are leased, reported, verified and made
// durable on a real disk. The workers' own part, executing and signing, is not in it.
func BenchmarkCycle(b *testing.B) {
	for _, batch := range []int{1, 50} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { benchmarkCycle(b, batch) })
	}
}

func benchmarkCycle(b *testing.B, batch int) {
	const workers = 64
	w := newWorld(b, nil)
	w.s.Close()
	dir := b.TempDir()
	w.fs = vfs.Default
	w.cfg = func(c *scheduler.Config) {
		c.Dir, c.Now = dir, time.Now
		c.OperatorShare = 10_000 // the first of the hands takes as much as the others
	}
	w.start()
	id := w.job(countSpec{Tasks: 1 << 40, Bundle: uint64(batch), Units: 1, Pad: make([]byte, 80)}, 1<<60, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	hands := make([]*hand, workers)
	for i := range hands {
		hands[i] = w.hand(fmt.Sprint("operator ", i))
		hands[i].hello(64)
	}
	ctx := context.Background()
	left, cpu := b.N, time.Duration(0)
	for b.ResetTimer(); left > 0; {
		start := cpuTime()
		leased := make([][]plane.Bundle, workers)
		rounds := min(8, (left+workers*batch-1)/(workers*batch))
		all(workers, func(i int) {
			for range rounds {
				r, err := w.s.Lease(ctx, hands[i].key.Public(), plane.LeaseRequest{Max: 1, Kinds: []work.Name{countName}})
				require.NoError(b, err)
				leased[i] = append(leased[i], r.Bundles...)
			}
		})
		b.StopTimer()
		cpu += cpuTime() - start
		reports := make([][]plane.DoneRequest, workers)
		all(workers, func(i int) {
			for _, x := range leased[i] {
				reports[i] = append(reports[i], plane.DoneRequest{Receipts: hands[i].receipts([]plane.Bundle{x})})
			}
		})
		b.StartTimer()
		start = cpuTime()
		all(workers, func(i int) {
			for _, r := range reports[i] {
				reply, err := w.s.Done(ctx, hands[i].key.Public(), r)
				require.NoError(b, err)
				require.Empty(b, reply.Refused)
			}
		})
		cpu += cpuTime() - start
		for _, r := range reports {
			left -= len(r) * batch
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N-left)/b.Elapsed().Seconds(), "cycles/s")
	// What two cores that do nothing else can do follows from the processor's time.
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N-left), "cpu-ns/cycle")
}

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func all(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(i)
		}()
	}
	wg.Wait()
}

// BenchmarkVerify is the part of a cycle that no scheduler can save: one signature.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, nil)
	s, err := work.SignReceipt(newKey(b), work.Receipt{Chain: w.m.chain, Job: 1, Seq: 1, Attempt: 1})
	require.NoError(b, err)
	start := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Verify(); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/float64(b.N), "cpu-ns/cycle")
}
