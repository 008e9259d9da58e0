package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/work"
)

// The length that is reckoned for a proof is that of the message.
func TestSizeOfPayProof(t *testing.T) {
	for _, n := range []int{1, 2, 3, 100, 1000} {
		leaves := make([]work.Node, n)
		keys := keysOf(n)
		for i, k := range keys {
			leaves[i] = work.PayLeaf(k, uint64(i)*1000)
		}
		tree, err := work.NewTree(leaves)
		require.NoError(t, err)
		for i, k := range keys {
			p, err := tree.Prove(i)
			require.NoError(t, err)
			require.Len(t, payProof(k, uint64(i)*1000, p), sizeOfPayProof(uint64(i)*1000, p))
		}
	}
}

// An epoch is measured in one tree and in cells alike, and its commitment does not grow with
// the workers.
func TestMeasureEpoch(t *testing.T) {
	few, err := measureEpoch(4, 1)
	require.NoError(t, err)
	many, err := measureEpoch(5000, 1)
	require.NoError(t, err)
	cells, err := measureEpoch(5000, 5)
	require.NoError(t, err)
	require.InDelta(t, few.CommitBytes, many.CommitBytes, 16)
	require.Less(t, cells.LedgerBytes, 6*few.CommitBytes)
	require.Greater(t, many.ProofBytes, few.ProofBytes)
	require.Equal(t, 5000, many.Largest)
	require.Less(t, cells.Largest, 1200)
	require.Greater(t, cells.Smallest, 800)
}

// When a cell comes or goes, workers move to it or from it and nowhere else.
func TestMeasureMove(t *testing.T) {
	for _, c := range [][2]int{{4, 5}, {5, 4}, {5, 10}} {
		m := measureMove(20_000, c[0], c[1])
		require.Zero(t, m.Wrongly)
		require.InDelta(t, m.Ideal, m.Moved, 0.02)
	}
}

func TestReckon(t *testing.T) {
	e, err := measureEpoch(1000, 1)
	require.NoError(t, err)
	n := reckon(defaults(), e)
	require.InDelta(t, 385_802, n.Rate, 1)
	for _, x := range n.Needs {
		require.Positive(t, x.Count, x.Part)
	}
	small := defaults()
	small.Pages, small.AuditRate = 1e6, 0.0001
	require.Contains(t, reckon(small, e).First, "nothing")
}
