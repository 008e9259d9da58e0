package model

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
)

// PieceSize is how much of a file a leaf of its tree holds; the last one holds the rest.
const PieceSize = 4096

// Digest is a SHA-256 hash.
type Digest = [sha256.Size]byte

// ErrProof says that a piece does not belong where it is claimed to.
var ErrProof = errors.New("piece is not part of the model")

// Tree takes a file as it is written to it and keeps what a root needs: the tree of RFC
// 6962 over its pieces, and its length. The zero Tree is an empty file's.
type Tree struct {
	size  uint64
	piece hash.Hash
	stack []Digest // roots of perfect subtrees, the largest first
	count uint64   // whole pieces so far
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
			t.push(Digest(t.piece.Sum(nil)))
		}
	}
	return n, nil
}

func (t *Tree) push(d Digest) {
	for c := t.count; c&1 == 1; c >>= 1 {
		d = node(t.stack[len(t.stack)-1], d)
		t.stack = t.stack[:len(t.stack)-1]
	}
	t.stack = append(t.stack, d)
	t.count++
}

// Root is that of what was written so far.
func (t *Tree) Root() Digest {
	if t.size == 0 {
		return rooted(0, sha256.Sum256(nil))
	}
	return rooted(t.size, t.top())
}

func node(l, r Digest) Digest {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[1+len(l):], r[:])
	return sha256.Sum256(b[:])
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

// Proof shows one piece against a root.
type Proof struct {
	Size  uint64 // of the whole file
	Index uint64 // of the piece
	Path  []Digest
}

// Prove reads a file and makes the proof of piece index.
func Prove(r io.ReaderAt, size int64, index uint64) (*Proof, []byte, error) {
	n := uint64(size+PieceSize-1) / PieceSize
	if size < 0 || index >= n {
		return nil, nil, fmt.Errorf("prove piece %d of a model with %d: %w", index, n, ErrProof)
	}
	p := &Proof{Size: uint64(size), Index: index}
	if err := p.walk(r, 0, n); err != nil {
		return nil, nil, fmt.Errorf("prove piece %d: %w", index, err)
	}
	piece := make([]byte, min(PieceSize, size-int64(index)*PieceSize))
	if _, err := r.ReadAt(piece, int64(index)*PieceSize); err != nil {
		return nil, nil, fmt.Errorf("read piece %d: %w", index, err)
	}
	return p, piece, nil
}

// walk goes down to the piece through the subtree over [from, to) and appends the other
// sides on its way back, so that the path begins at the piece.
func (p *Proof) walk(r io.ReaderAt, from, to uint64) error {
	if to-from == 1 {
		return nil
	}
	mid := from + split(to-from)
	a, b := from, mid
	if p.Index < mid {
		a, b = mid, to
		if err := p.walk(r, from, mid); err != nil {
			return err
		}
	} else if err := p.walk(r, mid, to); err != nil {
		return err
	}
	var t Tree
	end := min(b*PieceSize, p.Size)
	if _, err := io.Copy(&t, io.NewSectionReader(r, int64(a*PieceSize), int64(end-a*PieceSize))); err != nil {
		return err
	}
	p.Path = append(p.Path, t.top())
	return nil
}

// top is the tree's own root, of at least one byte.
func (t *Tree) top() Digest {
	stack := t.stack
	if t.size%PieceSize != 0 {
		stack = append(stack[:len(stack):len(stack)], Digest(t.piece.Sum(nil)))
	}
	d := stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		d = node(stack[i], d)
	}
	return d
}

// split is the largest power of two below n ≥ 2.
func split(n uint64) uint64 { return 1 << uint(bits.Len64(n-1)-1) }

// Check says whether a piece is where the proof claims, in the file with this root.
func (p *Proof) Check(root Digest, piece []byte) error {
	n := (p.Size + PieceSize - 1) / PieceSize
	if p.Size > 1<<50 || p.Index >= n || uint64(len(piece)) != min(PieceSize, p.Size-p.Index*PieceSize) {
		return ErrProof
	}
	d := sha256.Sum256(append([]byte{0}, piece...))
	path := p.Path
	var climb func(from, to uint64) bool
	climb = func(from, to uint64) bool {
		if to-from == 1 {
			return true
		}
		mid := from + split(to-from)
		left := p.Index < mid
		if left && !climb(from, mid) || !left && !climb(mid, to) || len(path) == 0 {
			return false
		}
		if left {
			d = node(d, path[0])
		} else {
			d = node(path[0], d)
		}
		path = path[1:]
		return true
	}
	if !climb(0, n) || len(path) != 0 || rooted(p.Size, d) != root {
		return ErrProof
	}
	return nil
}
