package speaker

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/merkle"
)

// Bounds of an encoded Spelling.
const (
	MaxSpelling = 256 << 10
	maxPiece    = 4 << 10 // bytes that one token spells
)

// Errors of spellings.
var (
	ErrSpelling = errors.New("not a spelling of this vocabulary")
	ErrUnshown  = errors.New("a token that the spelling does not show")
)

// Spelling is what some tokens of a speaker spell. It was shown against the speaker's
// vocabulary: Open is the only way to one.
//
// Encoded it is: how many tokens; for each, ascending, how many ids lie between it and the
// one before, how many bytes it spells, and those; then the nodes of the tree that are
// missing for its root, from left to right. Numbers are varints in their shortest form. A
// token without text spells 0 bytes.
type Spelling struct {
	vocabulary Digest
	size       uint32
	pieces     map[uint32][]byte
}

// Leaf is a token in the tree over a vocabulary: SHA-256(0 ‖ 1 ‖ what it spells), or
// SHA-256(0 ‖ 0) where it has no text.
func Leaf(piece []byte) Digest {
	if len(piece) == 0 {
		return merkle.Leaf([]byte{0})
	}
	return merkle.Leaf(append([]byte{1}, piece...))
}

// Open reads a spelling and checks it against the speaker's vocabulary.
func (s *Speaker) Open(b []byte) (*Spelling, error) {
	if len(b) > MaxSpelling {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrSpelling, len(b), MaxSpelling)
	}
	d := &decoder{rest: b}
	n := d.number(min(uint64(s.Size), MaxSpelling/2))
	ids, leaves := make([]uint64, 0, n), make([]Digest, 0, n)
	sp := &Spelling{vocabulary: s.Vocabulary, size: s.Size, pieces: make(map[uint32][]byte, n)}
	for next := uint64(0); d.err == nil && uint64(len(ids)) < n; {
		id := next + d.number(uint64(s.Size))
		piece := d.bytes(d.number(maxPiece))
		if id >= uint64(s.Size) {
			return nil, fmt.Errorf("%w: token %d of %d", ErrSpelling, id, s.Size)
		}
		ids, leaves = append(ids, id), append(leaves, Leaf(piece))
		sp.pieces[uint32(id)] = piece
		next = id + 1
	}
	if d.err != nil {
		return nil, d.err
	}
	missing := 0
	merkle.Missing(0, uint64(s.Size), ids, func(_, _ uint64) { missing++ })
	if len(d.rest) != missing*len(Digest{}) {
		return nil, fmt.Errorf("%w: %d bytes of nodes where %d nodes are missing", ErrSpelling, len(d.rest), missing)
	}
	root := merkle.Join(0, uint64(s.Size), ids, func(uint64) Digest {
		h := leaves[0]
		leaves = leaves[1:]
		return h
	}, func() Digest { return Digest(d.bytes(uint64(len(Digest{})))) })
	if root != s.Vocabulary {
		return nil, fmt.Errorf("%w: it has root %x, and the vocabulary has %x", ErrSpelling, root[:8], s.Vocabulary[:8])
	}
	return sp, nil
}

// of refuses a spelling that was shown against another vocabulary.
func (sp *Spelling) of(s *Speaker) error {
	if sp == nil || sp.vocabulary != s.Vocabulary || sp.size != s.Size {
		return fmt.Errorf("%w: it was opened for another speaker", ErrSpelling)
	}
	return nil
}

func (sp *Spelling) piece(id uint32) ([]byte, error) {
	piece, ok := sp.pieces[id]
	if !ok {
		return nil, fmt.Errorf("%w: token %d", ErrUnshown, id)
	}
	return piece, nil
}

// decoder reads numbers and bytes until the first that is not there.
type decoder struct {
	rest []byte
	err  error
}

// number is at most most, in its shortest form; 0 after an error.
func (d *decoder) number(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case d.err != nil:
		return 0
	case n <= 0 || v > most || n > 1 && d.rest[n-1] == 0:
		d.err = fmt.Errorf("%w: a number that is cut, longer than it needs to be, or above %d", ErrSpelling, most)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = fmt.Errorf("%w: %d bytes where %d are left", ErrSpelling, n, len(d.rest))
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
