package merkle_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/merkle"
)

func hashes(n int) []merkle.Digest {
	list := make([]merkle.Digest, n)
	for i := range list {
		list[i] = merkle.Leaf(binary.AppendUvarint(nil, uint64(i)))
	}
	return list
}

func TestLeavesAndNodesAreThoseOfTheRFC(t *testing.T) {
	for _, n := range []int{0, 1, 64, 126, 127, 128, 5000} {
		data := make([]byte, n)
		require.Equal(t, sha256.Sum256(append([]byte{0}, data...)), merkle.Leaf(data))
	}
	a, b := merkle.Leaf([]byte("a")), merkle.Leaf([]byte("b"))
	require.Equal(t, sha256.Sum256(append(append([]byte{1}, a[:]...), b[:]...)), merkle.Node(a, b))
}

// TestTreesOfSixteens holds what bisection rests on: a tree over leaves is the tree over
// its nodes of 16 leaves each, the last of fewer.
func TestTreesOfSixteens(t *testing.T) {
	for n := 1; n < 600; n++ {
		list := hashes(n)
		var s merkle.Stack
		for _, d := range list {
			s.Push(d)
		}
		require.Equal(t, merkle.Root(list), s.Root())
		var upper []merkle.Digest
		for from := 0; from < n; from += 16 {
			upper = append(upper, merkle.Root(list[from:min(from+16, n)]))
		}
		require.Equal(t, merkle.Root(list), merkle.Root(upper), "%d leaves", n)
	}
}

func TestProofsOfSomeLeaves(t *testing.T) {
	const n = 77
	list := hashes(n)
	for _, leaves := range [][]uint64{{0}, {76}, {3, 4, 5, 6}, {0, 13, 64, 65, 76}, {}} {
		var proof []merkle.Digest
		merkle.Missing(0, n, leaves, func(a, b uint64) { proof = append(proof, merkle.Root(list[a:b])) })
		rest := proof
		got := merkle.Join(0, n, leaves, func(i uint64) merkle.Digest { return list[i] }, func() merkle.Digest {
			d := rest[0]
			rest = rest[1:]
			return d
		})
		require.Equal(t, merkle.Root(list), got)
		require.Empty(t, rest)
		require.LessOrEqual(t, len(proof), 7*max(len(leaves), 1))
	}
}
