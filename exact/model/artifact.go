package model

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// writer counts and keeps the first error.
type writer struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(p)
	}
	w.n += int64(len(p))
	return len(p), w.err
}

func (w *writer) align() { _, _ = w.Write(make([]byte, modelfile.Align(w.n)-w.n)) }

// Write writes a model's file and gives its root.
func Write(dst io.Writer, c *Config, freq []uint64, tokenizer []byte, src Source) (Digest, error) {
	if err := c.Check(); err != nil {
		return Digest{}, err
	}
	if len(freq) != c.RotaryPairs {
		return Digest{}, fmt.Errorf("%w: %d rotary frequencies for %d pairs", ErrConfig, len(freq), c.RotaryPairs)
	}
	if len(tokenizer) > modelfile.MaxTokenizer {
		return Digest{}, fmt.Errorf("%w: tokenizer of %d bytes: at most %d", ErrConfig, len(tokenizer), modelfile.MaxTokenizer)
	}
	head, err := c.Encode()
	if err != nil {
		return Digest{}, err
	}
	var tree Tree
	w := &writer{w: bufio.NewWriterSize(io.MultiWriter(dst, &tree), 1<<20)}
	_, _ = w.Write([]byte(modelfile.Magic))
	_ = binary.Write(w, binary.LittleEndian, []uint64{uint64(len(head)), uint64(len(tokenizer))})
	for _, part := range [][]byte{head, tokenizer} {
		w.align()
		_, _ = w.Write(part)
	}
	w.align()
	_ = binary.Write(w, binary.LittleEndian, freq)
	shape := &Model{Config: *c}
	for _, s := range shape.slots() {
		w.align()
		if err := w.slot(&s, src); err != nil {
			return Digest{}, fmt.Errorf("write model: %s of layer %d: %w", s.Part, s.Layer, err)
		}
	}
	w.align()
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return Digest{}, fmt.Errorf("write model: %w", w.err)
	}
	return tree.Root(), nil
}

func (w *writer) slot(s *slot, src Source) error {
	switch {
	case s.matrix != nil:
		t, err := src.Matrix(s.Part, s.Layer)
		if err != nil {
			return err
		}
		if len(t.W) != s.Rows*s.Cols || len(t.Scales) != s.Rows {
			return fmt.Errorf("%w: %d weights and %d scales for %d × %d", ErrConfig, len(t.W), len(t.Scales), s.Rows, s.Cols)
		}
		_ = binary.Write(w, binary.LittleEndian, t.W)
		return binary.Write(w, binary.LittleEndian, t.Scales)
	case s.gain != nil:
		g, err := src.Gain(s.Part, s.Layer)
		if err != nil {
			return err
		}
		if len(g.M) != s.Cols {
			return fmt.Errorf("%w: gain of %d for %d columns", ErrConfig, len(g.M), s.Cols)
		}
		_ = binary.Write(w, binary.LittleEndian, int32(g.Exp))
		return binary.Write(w, binary.LittleEndian, g.M)
	default:
		b, err := src.Bias(s.Part, s.Layer)
		if err != nil {
			return err
		}
		if len(b) != s.Cols {
			return fmt.Errorf("%w: bias of %d for %d rows", ErrConfig, len(b), s.Cols)
		}
		return binary.Write(w, binary.LittleEndian, b)
	}
}

// reader counts what it read, so that it can find the next line.
type reader struct {
	r io.Reader
	n int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	return n, err
}

func (r *reader) bytes(n int64) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func (r *reader) align() error {
	b, err := r.bytes(modelfile.Align(r.n) - r.n)
	if err == nil && len(bytes.Trim(b, "\x00")) != 0 {
		err = fmt.Errorf("%w: bytes other than 0 before byte %d", ErrFile, r.n)
	}
	return err
}

// Load reads a model of size bytes and computes its root on the way. A file that is not
// exactly as long as its configuration says is refused before memory is taken for it.
func Load(src io.Reader, size int64) (*Model, error) {
	m, err := load(src, size)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return m, nil
}

func load(src io.Reader, size int64) (*Model, error) {
	var tree Tree
	r := &reader{r: bufio.NewReaderSize(io.TeeReader(io.LimitReader(src, size), &tree), 1<<20)}
	head, err := r.bytes(int64(modelfile.HeadBytes))
	if err != nil {
		return nil, err
	}
	clen, tlen, err := modelfile.Lengths(head)
	if err != nil {
		return nil, err
	}
	if clen+tlen > size {
		return nil, fmt.Errorf("%w: configuration of %d bytes and tokenizer of %d", ErrFile, clen, tlen)
	}
	if err := r.align(); err != nil {
		return nil, err
	}
	conf, err := r.bytes(clen)
	if err != nil {
		return nil, err
	}
	c, err := modelfile.DecodeConfig(conf)
	if err != nil {
		return nil, err
	}
	m := &Model{Config: *c}
	slots := m.slots()
	want := modelfile.Align(modelfile.Align(modelfile.Align(r.n)+tlen) + 8*int64(c.RotaryPairs))
	for i := range slots {
		want += modelfile.Align(slots[i].Size())
	}
	if want != size {
		return nil, fmt.Errorf("%w: %d bytes, and its configuration makes %d", ErrFile, size, want)
	}
	if err := r.align(); err != nil {
		return nil, err
	}
	if m.Tokenizer, err = r.bytes(tlen); err != nil {
		return nil, err
	}
	if err := r.align(); err != nil {
		return nil, err
	}
	m.freq = make([]uint64, c.RotaryPairs)
	if err := binary.Read(r, binary.LittleEndian, m.freq); err != nil {
		return nil, err
	}
	for i := range slots {
		if err := r.align(); err != nil {
			return nil, err
		}
		if err := r.slot(&slots[i]); err != nil {
			return nil, fmt.Errorf("%s of layer %d: %w", slots[i].Part, slots[i].Layer, err)
		}
	}
	if err := r.align(); err != nil {
		return nil, err
	}
	if m.Tied {
		m.output = m.embed
	}
	m.Root = tree.Root()
	return m, nil
}

func (r *reader) slot(s *slot) error {
	switch {
	case s.matrix != nil:
		w := make([]int8, s.Rows*s.Cols)
		if err := binary.Read(r, binary.LittleEndian, w); err != nil {
			return err
		}
		scales := make([]exact.Scale, s.Rows)
		if err := binary.Read(r, binary.LittleEndian, scales); err != nil {
			return err
		}
		m, err := kernel.Pack(s.Rows, s.Cols, w, scales)
		*s.matrix = m
		return err
	case s.gain != nil:
		var exp int32
		if err := binary.Read(r, binary.LittleEndian, &exp); err != nil {
			return err
		}
		s.gain.Exp, s.gain.M = int(exp), make([]int32, s.Cols)
		if err := binary.Read(r, binary.LittleEndian, s.gain.M); err != nil {
			return err
		}
		return s.gain.Check()
	default:
		*s.bias = make([]int32, s.Cols)
		return binary.Read(r, binary.LittleEndian, *s.bias)
	}
}
