package model

import "fmt"

// Span is a part of a file.
type Span struct{ Offset, Length int64 }

// Layout says where in a file things lie. All follows from the configuration and the
// length of the tokenizer, so whoever has the first piece of a file, and proofs of others
// against its root, can find and check one row of one matrix: a referee needs no more.
type Layout struct {
	slots map[slotKey]slotAt
	size  int64
}

type slotKey struct {
	part  Part
	layer int
	bias  bool
}

type slotAt struct {
	slot
	offset int64
}

// NewLayout is the layout of a file whose tokenizer has that many bytes.
func NewLayout(c *Config, tokenizer int64) (*Layout, error) {
	head, err := c.encode()
	if err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if tokenizer < 0 || tokenizer > maxTokenizer {
		return nil, fmt.Errorf("%w: tokenizer of %d bytes", ErrConfig, tokenizer)
	}
	at := aligned(aligned(aligned(int64(len(magic))+16)+int64(len(head)))+tokenizer) + 8*int64(c.RotaryPairs)
	l := &Layout{slots: map[slotKey]slotAt{}}
	shape := &Model{Config: *c}
	for _, s := range shape.slots() {
		at = aligned(at)
		l.slots[slotKey{s.part, s.layer, s.bias != nil}] = slotAt{s, at}
		at += s.size()
	}
	l.size = aligned(at)
	return l, nil
}

// Size is the whole file's.
func (l *Layout) Size() int64 { return l.size }

// Row is where the weights of one row of a matrix lie, and the row's scale. Layers of parts
// that are not in a layer are 0.
func (l *Layout) Row(part Part, layer, row int) (weights, scale Span, err error) {
	s, ok := l.slots[slotKey{part, layer, false}]
	if !ok || s.matrix == nil || row < 0 || row >= s.rows {
		return weights, scale, fmt.Errorf("%w: no row %d of matrix %s in layer %d", ErrConfig, row, part, layer)
	}
	n := int64(s.cols)
	return Span{s.offset + int64(row)*n, n}, Span{s.offset + int64(s.rows)*n + 4*int64(row), 4}, nil
}

// Gain is where a norm's exponent, 4 bytes, and its integers lie.
func (l *Layout) Gain(part Part, layer int) (Span, error) {
	s, ok := l.slots[slotKey{part, layer, false}]
	if !ok || s.gain == nil {
		return Span{}, fmt.Errorf("%w: no norm %s in layer %d", ErrConfig, part, layer)
	}
	return Span{s.offset, s.size()}, nil
}

// Bias is where the bias of one row lies, 4 bytes.
func (l *Layout) Bias(part Part, layer, row int) (Span, error) {
	s, ok := l.slots[slotKey{part, layer, true}]
	if !ok || row < 0 || row >= s.cols {
		return Span{}, fmt.Errorf("%w: no bias %d of %s in layer %d", ErrConfig, row, part, layer)
	}
	return Span{s.offset + 4*int64(row), 4}, nil
}

// Pieces are the pieces of a file that a part of it touches.
func (s Span) Pieces() (from, to uint64) {
	return uint64(s.Offset) / PieceSize, uint64(s.Offset+s.Length+PieceSize-1) / PieceSize
}
