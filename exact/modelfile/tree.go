package modelfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cantus-network/cantus/exact/merkle"
)

// PieceSize is how much of a file a leaf of its tree holds; the last one holds the rest.
const PieceSize = 4096

// Digest is a SHA-256 hash.
type Digest = merkle.Digest

// ErrProof says that a piece does not belong where it is claimed to.
var ErrProof = errors.New("piece is not part of the model")

// Tree takes a file as it is written to it and keeps what a root needs: the tree of RFC
// 6962 over its pieces, and its length. The zero Tree is an empty file's.
type Tree struct {
	size  uint64
	piece hash.Hash
	stack merkle.Stack // of whole pieces
}

// Write implements io.Writer; it never fails.
func (t *Tree) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if t.piece == nil {
			t.piece = sha256.New()
		}
		in := t.size % PieceSize
		if in == 0 {
			t.piece.Reset()
			t.piece.Write([]byte{0})
		}
		part := p[:min(uint64(len(p)), PieceSize-in)]
		t.piece.Write(part)
		t.size += uint64(len(part))
		p = p[len(part):]
		if t.size%PieceSize == 0 {
			t.stack.Push(Digest(t.piece.Sum(nil)))
		}
	}
	return n, nil
}

// Root is that of what was written so far.
func (t *Tree) Root() Digest {
	if t.size == 0 {
		return rooted(0, sha256.Sum256(nil))
	}
	return rooted(t.size, t.top())
}

// top is the tree's own root, of at least one byte.
func (t *Tree) top() Digest {
	stack := &t.stack
	if t.size%PieceSize != 0 {
		stack = stack.Clone()
		stack.Push(Digest(t.piece.Sum(nil)))
	}
	return stack.Root()
}

// rooted binds the length, so that nobody can show a node of the tree for a piece.
func rooted(size uint64, top Digest) Digest {
	b := binary.LittleEndian.AppendUint64([]byte("cantus/model/1\n"), size)
	return sha256.Sum256(append(b, top[:]...))
}

// Root is the root of a file.
func Root(r io.Reader) (Digest, error) {
	var t Tree
	if _, err := io.Copy(&t, r); err != nil {
		return Digest{}, fmt.Errorf("hash model: %w", err)
	}
	return t.Root(), nil
}

// pieces is how many pieces a file of that size has.
func pieces(size int64) uint64 { return uint64(size+PieceSize-1) / PieceSize }

// pieceLen is how long piece i of a file is.
func pieceLen(size int64, i uint64) int { return int(min(PieceSize, size-int64(i)*PieceSize)) }

// Proof shows one piece against a root.
type Proof struct {
	Size  uint64 // of the whole file
	Index uint64 // of the piece
	Path  []Digest
}

// Prove reads a file and makes the proof of piece index. Who proves more than one piece of
// a large file makes a Prover.
func Prove(r io.ReaderAt, size int64, index uint64) (*Proof, []byte, error) {
	p, err := NewProver(r, size)
	if err != nil {
		return nil, nil, err
	}
	if index >= pieces(size) {
		return nil, nil, fmt.Errorf("prove piece %d of a model with %d: %w", index, pieces(size), ErrProof)
	}
	proof := &Proof{Size: uint64(size), Index: index}
	// The path begins at the piece and goes up.
	var climb func(from, to uint64) error
	climb = func(from, to uint64) error {
		if to-from == 1 {
			return nil
		}
		mid := from + merkle.Split(to-from)
		a, b := from, mid
		if index < mid {
			a, b = mid, to
			err = climb(from, mid)
		} else {
			err = climb(mid, to)
		}
		if err != nil {
			return err
		}
		d, err := p.node(a, b)
		proof.Path = append(proof.Path, d)
		return err
	}
	if err := climb(0, pieces(size)); err != nil {
		return nil, nil, fmt.Errorf("prove piece %d: %w", index, err)
	}
	piece, err := p.read(index, index+1)
	return proof, piece, err
}

// Check says whether a piece is where the proof claims, in the file with this root.
func (p *Proof) Check(root Digest, piece []byte) error {
	if p.Size > 1<<50 || p.Index >= pieces(int64(p.Size)) || len(piece) != pieceLen(int64(p.Size), p.Index) {
		return ErrProof
	}
	d := merkle.Leaf(piece)
	path := p.Path
	var climb func(from, to uint64) bool
	climb = func(from, to uint64) bool {
		if to-from == 1 {
			return true
		}
		mid := from + merkle.Split(to-from)
		left := p.Index < mid
		if left && !climb(from, mid) || !left && !climb(mid, to) || len(path) == 0 {
			return false
		}
		if left {
			d = merkle.Node(d, path[0])
		} else {
			d = merkle.Node(path[0], d)
		}
		path = path[1:]
		return true
	}
	if !climb(0, pieces(int64(p.Size))) || len(path) != 0 || rooted(p.Size, d) != root {
		return ErrProof
	}
	return nil
}
