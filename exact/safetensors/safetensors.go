// Package safetensors reads safetensors files: tensors of F32, F16 and BF16 with one or two
// dimensions. Files come from strangers; the header is parsed strictly and every tensor
// must lie in the file. Rows are given as float64, which holds each element exactly.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cantus-network/cantus/exact/gguf"
)

// ErrFile says that a file is no safetensors file, or not one that this package reads.
var ErrFile = errors.New("not a safetensors file that can be read")

const maxHeader = 64 << 20

// Tensor is a matrix, or a vector, which has one row.
type Tensor struct {
	Name       string
	Rows, Cols int
	kind       string
	offset     int64
	r          io.ReaderAt
}

type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

var sizes = map[string]int64{"F32": 4, "F16": 2, "BF16": 2}

// Open reads the header of a file of size bytes. Rows are read from r later. What is of
// another type or shape is left out.
func Open(r io.ReaderAt, size int64) (map[string]*Tensor, error) {
	var lead [8]byte
	if _, err := r.ReadAt(lead[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrFile, n, size)
	}
	head := make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(head, &raw); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFile, err)
	}
	start := 8 + int64(n)
	out := make(map[string]*Tensor, len(raw))
	for name, b := range raw {
		if name == "__metadata__" {
			continue
		}
		var e entry
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %w", ErrFile, name, err)
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if from < 0 || to < from || to > size-start {
			return nil, fmt.Errorf("%w: tensor %q does not lie in the file", ErrFile, name)
		}
		each, ok := sizes[e.Type]
		if !ok || len(e.Shape) < 1 || len(e.Shape) > 2 {
			continue
		}
		shape := append([]int64{1}, e.Shape...)[len(e.Shape)-1:] // the last two of 1 and the shape
		if shape[0] < 1 || shape[1] < 1 || shape[0] > 1<<20 || shape[1] > 1<<20 || shape[0]*shape[1]*each != to-from {
			return nil, fmt.Errorf("%w: tensor %q of shape %d has %d bytes", ErrFile, name, e.Shape, to-from)
		}
		out[name] = &Tensor{Name: name, Rows: int(shape[0]), Cols: int(shape[1]), kind: e.Type, offset: start + from, r: r}
	}
	return out, nil
}

// Shape is the number of rows and columns.
func (t *Tensor) Shape() (rows, cols int) { return t.Rows, t.Cols }

// Row reads one row into dst, of Cols elements.
func (t *Tensor) Row(dst []float64, row int) error {
	if row < 0 || row >= t.Rows || len(dst) != t.Cols {
		return fmt.Errorf("%w: row %d of tensor %s into %d", ErrFile, row, t.Name, len(dst))
	}
	each := sizes[t.kind]
	b := make([]byte, int64(t.Cols)*each)
	if _, err := t.r.ReadAt(b, t.offset+int64(row)*int64(len(b))); err != nil {
		return fmt.Errorf("read row %d of tensor %s: %w", row, t.Name, err)
	}
	for i := range dst {
		x := b[int64(i)*each:]
		switch t.kind {
		case "F32":
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(x)))
		case "F16":
			dst[i] = gguf.Half(binary.LittleEndian.Uint16(x))
		default:
			dst[i] = gguf.Brain(binary.LittleEndian.Uint16(x))
		}
	}
	return nil
}
