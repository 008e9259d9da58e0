package work

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// A sum tree is a Merkle tree of RFC 6962's shape whose every node also commits to the
// sum of the leaves below it. The root of the receipts tree therefore fixes the epoch's
// units, and a proof shows which of them a receipt covers: a gateway can neither count
// units that no receipt claims nor open another receipt than the one that was drawn.
//
//	leaf   = SHA-256(0x00 ‖ sum ‖ data)
//	inner  = SHA-256(0x01 ‖ left sum ‖ left hash ‖ right sum ‖ right hash)
//	root   = SHA-256(0x02 ‖ number of leaves ‖ sum ‖ top hash)
//
// Numbers are 8 bytes, big-endian. The top hash of an empty tree is SHA-256("").

// ErrProof is returned for a proof that does not show what it should.
var ErrProof = errors.New("proof does not verify")

// Hash is a node of a sum tree.
type Hash [sha256.Size]byte

// Node is a subtree as its parent sees it.
type Node struct {
	Hash Hash
	Sum  uint64
}

// Proof shows that a leaf is in a tree: the siblings from the leaf up.
type Proof struct {
	Index    uint64
	Siblings []Node
}

// Root is what is committed of a tree.
type Root struct {
	Hash   Hash
	Leaves uint64
	Sum    uint64
}

// LeafNode is the node of a leaf that holds data and counts sum.
func LeafNode(data []byte, sum uint64) Node {
	h := sha256.New()
	var b [9]byte
	binary.BigEndian.PutUint64(b[1:], sum)
	h.Write(b[:])
	h.Write(data)
	n := Node{Sum: sum}
	h.Sum(n.Hash[:0])
	return n
}

func join(l, r Node) (Node, error) {
	sum, carry := bits.Add64(l.Sum, r.Sum, 0)
	if carry != 0 {
		return Node{}, fmt.Errorf("%w: sums overflow", ErrProof)
	}
	var b [1 + 2*(8+sha256.Size)]byte
	b[0] = 1
	binary.BigEndian.PutUint64(b[1:], l.Sum)
	copy(b[9:], l.Hash[:])
	binary.BigEndian.PutUint64(b[41:], r.Sum)
	copy(b[49:], r.Hash[:])
	return Node{Hash: sha256.Sum256(b[:]), Sum: sum}, nil
}

func rootOf(top Node, leaves uint64) Root {
	var b [1 + 8 + 8 + sha256.Size]byte
	b[0] = 2
	binary.BigEndian.PutUint64(b[1:], leaves)
	binary.BigEndian.PutUint64(b[9:], top.Sum)
	copy(b[17:], top.Hash[:])
	return Root{Hash: sha256.Sum256(b[:]), Leaves: leaves, Sum: top.Sum}
}

// Tree is a sum tree with all of its nodes, for proofs. It is immutable once built and
// takes about 80 bytes a leaf.
type Tree struct {
	levels [][]Node // from the leaves to the top
}

// NewTree builds the tree over leaves, in this order. It fails only if the sums overflow.
func NewTree(leaves []Node) (*Tree, error) {
	t := &Tree{levels: [][]Node{leaves}}
	for level := leaves; len(level) > 1; {
		next := make([]Node, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			n, err := join(level[i], level[i+1])
			if err != nil {
				return nil, err
			}
			next = append(next, n)
		}
		// An odd last node rises unchanged: the same shape as splitting at the largest
		// power of two.
		if len(level)%2 == 1 {
			next = append(next, level[len(level)-1])
		}
		t.levels = append(t.levels, next)
		level = next
	}
	return t, nil
}

// Root is the tree's commitment.
func (t *Tree) Root() Root {
	top := t.levels[len(t.levels)-1]
	if len(top) == 0 {
		return rootOf(Node{Hash: sha256.Sum256(nil)}, 0)
	}
	return rootOf(top[0], uint64(len(t.levels[0])))
}

// Prove returns the proof of leaf i.
func (t *Tree) Prove(i int) (Proof, error) {
	if i < 0 || i >= len(t.levels[0]) {
		return Proof{}, fmt.Errorf("prove leaf %d of a tree of %d", i, len(t.levels[0]))
	}
	p := Proof{Index: uint64(i)}
	for _, level := range t.levels[:len(t.levels)-1] {
		if s := i ^ 1; s < len(level) {
			p.Siblings = append(p.Siblings, level[s])
		}
		i /= 2
	}
	return p, nil
}

// Find returns the leaf that covers a unit: the i for which the sums of the leaves
// before i are at most unit and, with leaf i, more than unit.
func (t *Tree) Find(unit uint64) (int, error) {
	top := t.levels[len(t.levels)-1]
	if len(top) == 0 || unit >= top[0].Sum {
		return 0, fmt.Errorf("unit %d is beyond the tree", unit)
	}
	i := 0
	for l := len(t.levels) - 2; l >= 0; l-- {
		i *= 2
		if level := t.levels[l]; i+1 < len(level) && unit >= level[i].Sum {
			unit -= level[i].Sum
			i++
		}
	}
	return i, nil
}

// Verify checks that leaf is in the tree that root commits to and returns the sum of
// the leaves before it: the leaf covers the units [offset, offset+leaf.Sum).
func (p Proof) Verify(root Root, leaf Node) (offset uint64, err error) {
	if p.Index >= root.Leaves {
		return 0, fmt.Errorf("%w: leaf %d of a tree of %d", ErrProof, p.Index, root.Leaves)
	}
	node, i, last, used := leaf, p.Index, root.Leaves-1, 0
	for last > 0 {
		if i%2 == 1 || i < last {
			if used == len(p.Siblings) {
				return 0, fmt.Errorf("%w: too short", ErrProof)
			}
			s := p.Siblings[used]
			used++
			if i%2 == 1 {
				offset += s.Sum // no overflow: join checks the larger sum
				node, err = join(s, node)
			} else {
				node, err = join(node, s)
			}
			if err != nil {
				return 0, err
			}
		}
		i /= 2
		last /= 2
	}
	if used != len(p.Siblings) {
		return 0, fmt.Errorf("%w: too long", ErrProof)
	}
	if got := rootOf(node, root.Leaves); got != root {
		return 0, fmt.Errorf("%w: another root", ErrProof)
	}
	return offset, nil
}

// ReceiptLeaf is the leaf of a signed receipt's canonical encoding.
func ReceiptLeaf(encoded []byte, units uint64) Node { return LeafNode(encoded, units) }

// PayLeaf is the leaf of a worker's cumulative units. Pay trees are sorted by worker.
func PayLeaf(worker PublicKey, units uint64) Node { return LeafNode(worker[:], units) }
