package referee

import (
	"encoding/binary"

	"github.com/cantus-network/cantus/exact"
)

// Numbers lie in tiles little-endian, one after the other: wide values and exponents in 4
// bytes, mantissas of blocks in 2, sums in 8.

func put16(b []byte, list []int16) []byte {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func put32[T ~int32 | ~uint32](b []byte, list ...T) []byte {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func put64[T ~int64 | ~uint64](b []byte, list ...T) []byte {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// reader takes numbers out of bytes whose length the caller knows to suffice.
type reader []byte

func (r *reader) next(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) i32() int32  { return int32(binary.LittleEndian.Uint32(r.next(4))) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.next(8)) }

func (r *reader) i32s(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = r.i32()
	}
	return list
}

func (r *reader) i16s(n int) []int16 {
	list := make([]int16, n)
	for i := range list {
		list[i] = int16(binary.LittleEndian.Uint16(r.next(2)))
	}
	return list
}

func (r *reader) i64s(n int) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(r.u64())
	}
	return list
}

// wide reads a tile, or several in their order, of wide values.
func wide(b []byte) []int32 { r := reader(b); return r.i32s(len(b) / 4) }

// block is mantissas and their exponent.
type block struct {
	q   []int16
	exp int
}

// readBlock reads a tile that is a block.
func readBlock(b []byte) block {
	r := reader(b)
	exp := r.i32()
	return block{r.i16s(len(r) / 2), int(exp)}
}

// Block writes a block's tile: its exponent, then its mantissas.
func Block(b []byte, q []int16, exp int) []byte { return put16(put32(b, int32(exp)), q) }

// Mantissas writes a tile of Gated.
func Mantissas(b []byte, q []int16) []byte { return put16(b, q) }

// Wide writes a tile of wide values.
func Wide(b []byte, v []int32) []byte { return put32(b, v...) }

// quantised is x as a block's tile.
func quantised[T exact.Signed](x []T, exp, bits int) []byte {
	q := make([]int16, len(x))
	exp = exact.Quantise(q, x, exp, bits)
	return Block(nil, q, exp)
}

func weights(b []byte) []int8 {
	w := make([]int8, len(b))
	for i, v := range b {
		w[i] = int8(v)
	}
	return w
}

// gain reads a norm's weight as it lies in a model's file.
func gain(b []byte) exact.Gain {
	r := reader(b)
	exp := r.i32()
	return exact.Gain{M: r.i32s(len(r) / 4), Exp: int(exp)}
}
