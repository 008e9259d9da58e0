// Package gguf reads GGUF files: metadata and tensors of F32, F16, BF16, Q8_0, Q4_0, Q4_K
// and Q6_K. A file comes from a stranger: every length is checked against the file's size
// before memory is taken for it, and anything odd is an error.
//
// Rows are given as float64, and every one of them is exactly what the file says: a value
// of a block is an integer of at most 21 bits times a 16-bit float, less another such
// product; both are multiples of 2^-24·2^0 below 2^27, so 51 bits hold them and their
// difference, and no operation here rounds. So there is nothing that a fused multiply-add
// or another machine could do differently.
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFile says that a file is no GGUF file, or not one that this package reads.
var ErrFile = errors.New("not a GGUF file that can be read")

// Bounds of a file.
const (
	maxKeys    = 1 << 12
	maxTensors = 1 << 16
	maxArray   = 1 << 22
	maxString  = 16 << 20
	maxMeta    = 256 << 20
)

// File is an open file.
type File struct {
	Meta    map[string]any // uint64, int64, float64, bool, string, []uint64, []int64, []float64, []string
	Tensors map[string]*Tensor
	r       io.ReaderAt
}

// Tensor is a matrix, or a vector, which has one row.
type Tensor struct {
	Name       string
	Rows, Cols int
	Type       Type
	offset     int64
	file       *File
}

// Type is how a tensor's elements are stored.
type Type uint32

// The types that can be read.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q8_0 Type = 8
	Q4_K Type = 12
	Q6_K Type = 14
	BF16 Type = 30
)

// layout is how many elements a block has and how many bytes it takes.
func (t Type) layout() (elements, bytes int, ok bool) {
	switch t {
	case F32:
		return 1, 4, true
	case F16, BF16:
		return 1, 2, true
	case Q4_0:
		return 32, 18, true
	case Q8_0:
		return 32, 34, true
	case Q4_K:
		return 256, 144, true
	case Q6_K:
		return 256, 210, true
	}
	return 0, 0, false
}

// decoder reads the metadata and remembers the first error.
type decoder struct {
	r    *bufio.Reader
	n    int64 // read so far
	size int64
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrFile}, args...)...)
	}
}

func (d *decoder) take(n int64) []byte {
	if d.err == nil && (n < 0 || n > d.size-d.n || d.n+n > maxMeta) {
		d.fail("%d bytes at byte %d, of %d", n, d.n, d.size)
	}
	if d.err != nil {
		return make([]byte, min(max(n, 0), 8)) // enough for the integers
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail("byte %d: %w", d.n, err)
	}
	d.n += n
	return b
}

func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) string() string {
	n := d.u64()
	if n > maxString {
		d.fail("string of %d bytes", n)
		return ""
	}
	if d.err != nil {
		return ""
	}
	return string(d.take(int64(n)))
}

// number reads one value of a numeric type.
func (d *decoder) number(kind uint32) any {
	switch kind {
	case 0:
		return uint64(d.take(1)[0])
	case 1:
		return int64(int8(d.take(1)[0]))
	case 2:
		return uint64(binary.LittleEndian.Uint16(d.take(2)))
	case 3:
		return int64(int16(binary.LittleEndian.Uint16(d.take(2))))
	case 4:
		return uint64(d.u32())
	case 5:
		return int64(int32(d.u32()))
	case 6:
		return float64(math.Float32frombits(d.u32()))
	case 7:
		b := d.take(1)[0]
		if b > 1 {
			d.fail("boolean of %d", b)
		}
		return b == 1
	case 10:
		return d.u64()
	case 11:
		return int64(d.u64())
	case 12:
		return math.Float64frombits(d.u64())
	}
	d.fail("value of type %d", kind)
	return nil
}

func (d *decoder) value() any {
	switch kind := d.u32(); kind {
	case 8:
		return d.string()
	case 9:
		return d.array()
	default:
		return d.number(kind)
	}
}

func (d *decoder) array() any {
	kind, n := d.u32(), d.u64()
	if n > maxArray || int64(n) > d.size-d.n {
		d.fail("array of %d", n)
		return nil
	}
	var strings []string
	var us []uint64
	var is []int64
	var fs []float64
	var bs []bool
	for i := uint64(0); i < n && d.err == nil; i++ {
		if kind == 8 {
			strings = append(strings, d.string())
			continue
		}
		switch v := d.number(kind).(type) {
		case uint64:
			us = append(us, v)
		case int64:
			is = append(is, v)
		case float64:
			fs = append(fs, v)
		case bool:
			bs = append(bs, v)
		}
	}
	switch kind {
	case 8:
		return strings
	case 1, 3, 5, 11:
		return is
	case 6, 12:
		return fs
	case 7:
		return bs
	default:
		return us
	}
}

// Open reads the metadata of a file of size bytes. Rows are read from r later.
func Open(r io.ReaderAt, size int64) (*File, error) {
	d := &decoder{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), size: size}
	f := &File{Meta: map[string]any{}, Tensors: map[string]*Tensor{}, r: r}
	if m := d.take(4); string(m) != "GGUF" {
		d.fail("begins with %q", m)
	}
	if v := d.u32(); v != 2 && v != 3 {
		d.fail("version %d: versions 2 and 3 can be read", v)
	}
	tensors, keys := d.u64(), d.u64()
	if tensors > maxTensors || keys > maxKeys {
		d.fail("%d tensors and %d keys", tensors, keys)
	}
	for i := uint64(0); i < keys && d.err == nil; i++ {
		key := d.string()
		if _, twice := f.Meta[key]; twice {
			d.fail("key %q twice", key)
		}
		f.Meta[key] = d.value()
	}
	for i := uint64(0); i < tensors && d.err == nil; i++ {
		f.tensor(d)
	}
	if d.err != nil {
		return nil, d.err
	}
	align := int64(32)
	if a, ok := f.Meta["general.alignment"].(uint64); ok {
		if a == 0 || a > 1<<20 || a&(a-1) != 0 {
			return nil, fmt.Errorf("%w: alignment of %d", ErrFile, a)
		}
		align = int64(a)
	}
	start := (d.n + align - 1) / align * align
	for _, t := range f.Tensors {
		if t.offset%align != 0 || t.offset > size-start || t.bytes() > size-start-t.offset {
			return nil, fmt.Errorf("%w: tensor %s does not lie in the file", ErrFile, t.Name)
		}
		t.offset += start
	}
	return f, nil
}

func (f *File) tensor(d *decoder) {
	t := &Tensor{Name: d.string(), file: f}
	dims := d.u32()
	if dims < 1 || dims > 2 {
		d.fail("tensor %q has %d dimensions: 1 or 2 can be read", t.Name, dims)
		return
	}
	shape := [2]uint64{1, 1}
	for i := range dims {
		shape[i] = d.u64()
	}
	t.Type = Type(d.u32())
	offset := d.u64()
	if d.err != nil {
		return
	}
	per, _, ok := t.Type.layout()
	switch {
	case !ok:
		d.fail("tensor %q has type %d: F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K can be read", t.Name, t.Type)
		return
	case shape[0] < 1 || shape[0] > 1<<20 || shape[1] < 1 || shape[1] > 1<<20 || shape[0]%uint64(per) != 0:
		d.fail("tensor %q has shape %d", t.Name, shape)
		return
	case offset > 1<<50:
		d.fail("tensor %q begins at %d", t.Name, offset)
		return
	case f.Tensors[t.Name] != nil:
		d.fail("tensor %q twice", t.Name)
		return
	}
	t.Cols, t.Rows, t.offset = int(shape[0]), int(shape[1]), int64(offset)
	f.Tensors[t.Name] = t
}

func (t *Tensor) rowBytes() int {
	per, n, _ := t.Type.layout()
	return t.Cols / per * n
}

func (t *Tensor) bytes() int64 { return int64(t.Rows) * int64(t.rowBytes()) }

// Row reads one row into dst, of Cols elements.
func (t *Tensor) Row(dst []float64, row int) error {
	if row < 0 || row >= t.Rows || len(dst) != t.Cols {
		return fmt.Errorf("%w: row %d of tensor %s into %d", ErrFile, row, t.Name, len(dst))
	}
	b := make([]byte, t.rowBytes())
	if _, err := t.file.r.ReadAt(b, t.offset+int64(row)*int64(len(b))); err != nil {
		return fmt.Errorf("read row %d of tensor %s: %w", row, t.Name, err)
	}
	t.Type.decode(dst, b)
	return nil
}
