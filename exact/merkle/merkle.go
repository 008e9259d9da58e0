// Package merkle is the one hash tree of verifiable inference: that of RFC 6962, over the
// pieces of a model's file and over the tiles of a trace. Several leaves are shown at once
// with what they need of the rest and no more, so a proof has exactly one form.
//
//	merkle.go  Leaf, Node, Root, Stack: hashes of leaves, of nodes, of whole lists
//	proof.go   Missing, Join: which nodes a proof needs, and what they and leaves make
package merkle

import (
	"crypto/sha256"
	"math/bits"
	"slices"
)

// Digest is a SHA-256 hash.
type Digest = [sha256.Size]byte

// Leaf is the hash of a leaf: SHA-256(0 ‖ data).
func Leaf(data []byte) Digest {
	var small [128]byte
	if len(data) < len(small) {
		copy(small[1:], data)
		return sha256.Sum256(small[:1+len(data)])
	}
	h := sha256.New()
	h.Write(small[:1])
	h.Write(data)
	return Digest(h.Sum(small[:0]))
}

// Node is the hash of a node: SHA-256(1 ‖ left ‖ right).
func Node(left, right Digest) Digest {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+len(left):], right[:])
	return sha256.Sum256(b[:])
}

// Split is where the tree over n ≥ 2 leaves divides: the largest power of two below n.
func Split(n uint64) uint64 { return 1 << uint(bits.Len64(n-1)-1) }

// Root is the node over a list of at least one node of equal height, of which the last may
// be lower: over the leaves of a tree, or over its nodes that cover 2^k leaves each.
func Root(list []Digest) Digest {
	if len(list) == 1 {
		return list[0]
	}
	mid := Split(uint64(len(list)))
	return Node(Root(list[:mid]), Root(list[mid:]))
}

// Stack builds a tree over leaves as they come. The zero Stack has none.
type Stack struct {
	nodes []Digest // roots of perfect subtrees, the largest first
	n     uint64
}

// Push appends a leaf by its hash.
func (s *Stack) Push(d Digest) {
	for c := s.n; c&1 == 1; c >>= 1 {
		d = Node(s.nodes[len(s.nodes)-1], d)
		s.nodes = s.nodes[:len(s.nodes)-1]
	}
	s.nodes = append(s.nodes, d)
	s.n++
}

// Len is how many leaves there are.
func (s *Stack) Len() uint64 { return s.n }

// Root is the root over all leaves so far, of which there must be one. More may follow.
func (s *Stack) Root() Digest {
	d := s.nodes[len(s.nodes)-1]
	for i := len(s.nodes) - 2; i >= 0; i-- {
		d = Node(s.nodes[i], d)
	}
	return d
}

// Clone is another stack with the same leaves.
func (s *Stack) Clone() *Stack { return &Stack{nodes: slices.Clone(s.nodes), n: s.n} }
