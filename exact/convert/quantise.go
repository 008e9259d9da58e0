package convert

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/model"
)

// ErrSource says that a file has something that cannot be converted.
var ErrSource = errors.New("cannot convert model")

// integer gives m with m·2^exp nearest to v, the halves away from zero. v must be finite
// and |v| < 2^(62+exp).
func integer(v float64, exp int) int64 {
	b := math.Float64bits(v)
	e, m := int(b>>52&2047), int64(b&(1<<52-1))
	if e == 0 {
		e = 1
	} else {
		m |= 1 << 52
	}
	s := exp - (e - 1075) // |v| = m·2^(e-1075)
	switch {
	case s <= 0:
		m <<= uint(-s)
	case s > 60:
		m = 0
	default:
		m = (m + 1<<uint(s-1)) >> uint(s)
	}
	if b>>63 == 1 {
		return -m
	}
	return m
}

// ceiling is the least e with |v| < 2^e for all v, and whether any is not 0. It refuses
// what is not finite.
func ceiling(vs []float64) (e int, any bool, err error) {
	var top uint64
	for i, v := range vs {
		b := math.Float64bits(v) &^ (1 << 63)
		if b >= 2047<<52 {
			return 0, false, fmt.Errorf("%w: element %d is not finite", ErrSource, i)
		}
		top = max(top, b) // patterns of positive numbers are in their order
	}
	if top == 0 {
		return 0, false, nil
	}
	if e := int(top >> 52); e > 0 {
		return e - 1022, true, nil
	}
	return bits.Len64(top) - 1074, true, nil
}

// quantiseRow is q and s with q[i]·s nearest to the elements: s takes the largest one to
// ±127. Elements are taken as integers of 40 bits.
func quantiseRow(q []int8, row []float64) (exact.Scale, error) {
	e, any, err := ceiling(row)
	if err != nil || !any {
		clear(q)
		return 0, err
	}
	var top int64
	for _, v := range row {
		top = max(top, abs(integer(v, e-40)))
	}
	for i, v := range row {
		n := integer(v, e-40) * 127
		if n < 0 {
			q[i] = int8(-((-n + top/2) / top))
		} else {
			q[i] = int8((n + top/2) / top)
		}
	}
	s, err := exact.NewScale(uint64(top), 127, e-40)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return s, nil
}

func abs(v int64) int64 { return max(v, -v) }

// gain takes the elements of a norm's weight as integers of 24 bits.
func gain(vs []float64) (exact.Gain, error) {
	e, _, err := ceiling(vs)
	g := exact.Gain{M: make([]int32, len(vs)), Exp: e - 24}
	if err != nil {
		return g, err
	}
	for i, v := range vs {
		g.M[i] = int32(integer(v, g.Exp))
	}
	if err := g.Check(); err != nil {
		return g, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return g, nil
}

// wide takes the elements as wide values.
func wide(vs []float64) ([]int32, error) {
	e, _, err := ceiling(vs)
	if err == nil && e > 31-exact.WideBits {
		err = fmt.Errorf("%w: a bias is 2^%d or more", ErrSource, 31-exact.WideBits)
	}
	if err != nil {
		return nil, err
	}
	b := make([]int32, len(vs))
	for i, v := range vs {
		b[i] = exact.Sat32(integer(v, -exact.WideBits))
	}
	return b, nil
}

// rows is a tensor that is read row by row; a vector has one row.
type rows interface {
	Shape() (rows, cols int)
	Row(dst []float64, row int) error
}

// source is a model.Source over tensors by name.
type source struct {
	c      *model.Config
	tensor func(part model.Part, layer int, bias bool) (rows, error)
}

// Matrix implements model.Source.
func (s *source) Matrix(part model.Part, layer int) (model.Tensor, error) {
	t, err := s.tensor(part, layer, false)
	if err != nil {
		return model.Tensor{}, err
	}
	n, cols := t.Shape()
	m := model.Tensor{W: make([]int8, n*cols), Scales: make([]exact.Scale, n)}
	row := make([]float64, cols)
	for r := range n {
		if err := t.Row(row, r); err != nil {
			return m, err
		}
		if m.Scales[r], err = quantiseRow(m.W[r*cols:(r+1)*cols], row); err != nil {
			return m, fmt.Errorf("row %d: %w", r, err)
		}
	}
	return m, nil
}

func (s *source) vector(part model.Part, layer int, bias bool) ([]float64, error) {
	t, err := s.tensor(part, layer, bias)
	if err != nil {
		return nil, err
	}
	n, cols := t.Shape()
	if n != 1 {
		return nil, fmt.Errorf("%w: shape %d × %d, and a vector was expected", ErrSource, n, cols)
	}
	v := make([]float64, cols)
	return v, t.Row(v, 0)
}

// Gain implements model.Source.
func (s *source) Gain(part model.Part, layer int) (exact.Gain, error) {
	v, err := s.vector(part, layer, false)
	if err != nil {
		return exact.Gain{}, err
	}
	return gain(v)
}

// Bias implements model.Source.
func (s *source) Bias(part model.Part, layer int) ([]int32, error) {
	v, err := s.vector(part, layer, true)
	if err != nil {
		return nil, err
	}
	return wide(v)
}
