package modelfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFile says that a file is no model.
var ErrFile = errors.New("not a model file")

// Head is what the beginning of a file says. With it one knows where all else lies.
type Head struct {
	Config    Config
	Tokenizer int64 // how many bytes it has
}

// headPieces are the pieces that a head can be in.
const headPieces = 2

// Lengths reads the first bytes of a file, HeadBytes of them: how long the configuration
// and the tokenizer are.
func Lengths(b []byte) (config, tokenizer int64, err error) {
	if len(b) < int(head) || string(b[:len(Magic)]) != Magic {
		return 0, 0, fmt.Errorf("%w: begins with %q", ErrFile, b[:min(len(b), len(Magic))])
	}
	c, t := binary.LittleEndian.Uint64(b[len(Magic):]), binary.LittleEndian.Uint64(b[len(Magic)+8:])
	if c > MaxConfig || t > MaxTokenizer {
		return 0, 0, fmt.Errorf("%w: configuration of %d bytes and tokenizer of %d", ErrFile, c, t)
	}
	return int64(c), int64(t), nil
}

// HeadBytes is how many bytes Lengths reads.
const HeadBytes = len(Magic) + 16

// DecodeHead reads the beginning of a file.
func DecodeHead(b []byte) (*Head, error) {
	c, t, err := Lengths(b)
	if err != nil {
		return nil, err
	}
	at := Align(head)
	if int64(len(b)) < at+c {
		return nil, fmt.Errorf("%w: ends within its configuration", ErrFile)
	}
	if len(bytes.Trim(b[head:at], "\x00")) != 0 {
		return nil, fmt.Errorf("%w: bytes other than 0 before its configuration", ErrFile)
	}
	conf, err := DecodeConfig(b[at : at+c])
	if err != nil {
		return nil, err
	}
	return &Head{Config: *conf, Tokenizer: t}, nil
}

// Layout is that of the head's file.
func (h *Head) Layout() (*Layout, error) { return NewLayout(&h.Config, h.Tokenizer) }

// ProveHead shows the beginning of the file against its root, for OpenHead: the file's
// length in 8 bytes, its first one or two pieces, the nodes.
func (p *Prover) ProveHead() ([]byte, error) {
	data, nodes, err := p.Prove(headList(p.size))
	if err != nil {
		return nil, fmt.Errorf("show a model's head: %w", err)
	}
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(p.size)), data...)
	for _, d := range nodes {
		b = append(b, d[:]...)
	}
	return b, nil
}

// ProveHead reads a whole file to show its beginning, for OpenHead.
func ProveHead(r io.ReaderAt, size int64) ([]byte, error) {
	p, err := NewProver(r, size)
	if err != nil {
		return nil, err
	}
	return p.ProveHead()
}

// MaxHeadBytes is the most that ProveHead gives: length, pieces, and two nodes for each
// height of the tree.
const MaxHeadBytes = 8 + headPieces*PieceSize + 2*50*32

// OpenHead reads what ProveHead made, if it belongs to the model with this root.
func OpenHead(root Digest, b []byte) (*Head, error) {
	if len(b) < 8 || len(b) > MaxHeadBytes {
		return nil, fmt.Errorf("head of a model: %w: %d bytes", ErrProof, len(b))
	}
	size := binary.LittleEndian.Uint64(b)
	if size < 1 || size > math.MaxInt64>>13 {
		return nil, fmt.Errorf("head of a model of %d bytes: %w", size, ErrProof)
	}
	list := headList(int64(size))
	n, m := Proved(int64(size), list)
	if len(b) != 8+n+32*m {
		return nil, fmt.Errorf("head of a model of %d bytes: %w: %d bytes, not %d", size, ErrProof, len(b), 8+n+32*m)
	}
	data := b[8 : 8+n]
	if err := Check(root, int64(size), list, data, Digests(b[8+n:])); err != nil {
		return nil, fmt.Errorf("head of a model: %w", err)
	}
	h, err := DecodeHead(data)
	if err != nil {
		return nil, err
	}
	l, err := h.Layout()
	if err != nil {
		return nil, err
	}
	if l.Size() != int64(size) {
		return nil, fmt.Errorf("%w: %d bytes, and its configuration makes %d", ErrFile, size, l.Size())
	}
	return h, nil
}

func headList(size int64) []uint64 {
	list := make([]uint64, min(headPieces, pieces(size)))
	for i := range list {
		list[i] = uint64(i)
	}
	return list
}

// Digests takes whole hashes out of bytes.
func Digests(b []byte) []Digest {
	list := make([]Digest, len(b)/len(Digest{}))
	for i := range list {
		copy(list[i][:], b[i*len(Digest{}):])
	}
	return list
}
