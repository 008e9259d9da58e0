package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucketsCoverEveryDuration(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 63, 64, 127, 128, 129, 130, 255, 256, 1 << 20, 1<<20 + 1<<13, 1<<40 - 1, 1 << 40, math.MaxInt64} {
		b := bucketOf(v)
		require.Less(t, b, buckets)
		require.GreaterOrEqual(t, b, last)
		require.GreaterOrEqual(t, highest(b), v)
		require.LessOrEqual(t, highest(b)-v, v/64+1)
		if v > 0 {
			require.Less(t, highest(bucketOf(v)-1), v)
		}
		last = b
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	require.Zero(t, h.quantile(0.5))
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(random.Float64()*20)) + 1
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.1, 0.5, 0.99, 0.999} {
		exact, got := all[int(q*10_000)], h.quantile(q)
		require.GreaterOrEqual(t, got, exact)
		require.LessOrEqual(t, got, exact+exact/64+1)
	}
	require.Equal(t, all[len(all)-1], h.quantile(1))
	require.EqualValues(t, 10_000, h.short().Count)
}
