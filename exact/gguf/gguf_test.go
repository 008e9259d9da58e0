package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var le = binary.LittleEndian

func str(b []byte, s string) []byte { return append(le.AppendUint64(b, uint64(len(s))), s...) }

// file is a GGUF file with one tensor.
func file(kind Type, cols, rows int, data []byte) []byte {
	b := le.AppendUint32([]byte("GGUF"), 3)
	b = le.AppendUint64(le.AppendUint64(b, 1), 2)
	b = append(le.AppendUint32(str(b, "a.flag"), 7), 1)
	b = le.AppendUint64(le.AppendUint32(le.AppendUint32(str(b, "a.list"), 9), 5), 2)
	b = le.AppendUint32(le.AppendUint32(b, 7), 0xffffffff)
	b = le.AppendUint32(str(b, "t"), 2)
	b = le.AppendUint64(le.AppendUint64(b, uint64(cols)), uint64(rows))
	b = le.AppendUint64(le.AppendUint32(b, uint32(kind)), 0)
	b = append(b, make([]byte, (32-len(b)%32)%32)...)
	return append(b, data...)
}

func read(t *testing.T, kind Type, cols int, data []byte) []float64 {
	b := file(kind, cols, 1, data)
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Equal(t, true, f.Meta["a.flag"])
	require.Equal(t, []int64{7, -1}, f.Meta["a.list"])
	row := make([]float64, cols)
	require.NoError(t, f.Tensors["t"].Row(row, 0))
	require.ErrorIs(t, f.Tensors["t"].Row(row, 1), ErrFile)
	return row
}

const half = 0x3800 // 0.5 in binary16

func TestFloats(t *testing.T) {
	var b []byte
	for _, h := range []uint16{0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x3555} {
		b = le.AppendUint16(b, h)
	}
	require.Equal(t, []float64{1, -2, 0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504, math.Copysign(0, -1), 1365 * 0x1p-12}, read(t, F16, 8, b))
	require.True(t, math.IsInf(Half(0xfc00), -1))
	require.True(t, math.IsNaN(Half(0x7c01)))
	require.Equal(t, []float64{1, -0.15625}, read(t, BF16, 2, []byte{0x80, 0x3f, 0x20, 0xbe}))
	require.Equal(t, []float64{1.5, -0x1p-149}, read(t, F32, 2, []byte{0, 0, 0xc0, 0x3f, 1, 0, 0, 0x80}))
}

func TestQ8_0AndQ4_0(t *testing.T) {
	b, want := le.AppendUint16(nil, half), make([]float64, 32)
	for i := range 32 {
		b = append(b, byte(int8(i*7-100)))
		want[i] = 0.5 * float64(i*7-100)
	}
	require.Equal(t, want, read(t, Q8_0, 32, b))
	b = le.AppendUint16(nil, half)
	for i := range 16 {
		b = append(b, byte(i|(15-i)<<4))
		want[i], want[i+16] = 0.5*float64(i-8), 0.5*float64(7-i)
	}
	require.Equal(t, want, read(t, Q4_0, 32, b))
}

// TestQ4_K packs known scales, minima and elements bit by bit, as the format's description
// has them, and reads them back.
func TestQ4_K(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	scale, least, q := make([]byte, 8), make([]byte, 8), make([]byte, 256)
	for i := range 8 {
		scale[i], least[i] = byte(rng.IntN(64)), byte(rng.IntN(64))
	}
	b := le.AppendUint16(le.AppendUint16(nil, half), 0x3400) // 0.5, 0.25
	packed := make([]byte, 12)
	for i := range 4 {
		packed[i] = scale[i] | scale[i+4]>>4<<6
		packed[i+4] = least[i] | least[i+4]>>4<<6
		packed[i+8] = scale[i+4]&15 | least[i+4]<<4
	}
	b = append(b, packed...)
	qs := make([]byte, 128)
	want := make([]float64, 256)
	for i := range q {
		q[i] = byte(rng.IntN(16))
		part := i / 32
		qs[part/2*32+i%32] |= q[i] << (part % 2 * 4)
		want[i] = 0.5*float64(scale[part])*float64(q[i]) - 0.25*float64(least[part])
	}
	require.Equal(t, want, read(t, Q4_K, 256, append(b, qs...)))
}

func TestQ6_K(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	low, high, scales := make([]byte, 128), make([]byte, 64), make([]byte, 16)
	for i := range scales {
		scales[i] = byte(rng.IntN(256))
	}
	want := make([]float64, 256)
	for i := range want {
		q := byte(rng.IntN(64))
		n, j := i/128, i%128 // of each half, four parts of 32
		low[n*64+j%64] |= q & 15 << (j / 64 * 4)
		high[n*32+j%32] |= q >> 4 << (j / 32 * 2)
		want[i] = 0.5 * float64(int8(scales[i/16])) * float64(int(q)-32)
	}
	b := append(append(append([]byte(nil), low...), high...), scales...)
	require.Equal(t, want, read(t, Q6_K, 256, le.AppendUint16(b, half)))
}

func TestOpenRefuses(t *testing.T) {
	good := file(F32, 2, 2, make([]byte, 16))
	open := func(b []byte) error {
		_, err := Open(bytes.NewReader(b), int64(len(b)))
		return err
	}
	require.NoError(t, open(good))
	for i := range len(good) {
		require.Error(t, open(good[:i]), "cut at %d", i)
	}
	at := func(s string) int { return bytes.Index(good, []byte(s)) }
	for name, spoil := range map[string]func(b []byte){
		"version":             func(b []byte) { b[4] = 1 },
		"many tensors":        func(b []byte) { b[12] = 1 },
		"many keys":           func(b []byte) { b[20] = 1 },
		"a huge string":       func(b []byte) { b[30] = 1 },
		"a boolean of 2":      func(b []byte) { b[at("a.flag")+10] = 2 },
		"a type of value":     func(b []byte) { b[at("a.flag")+6] = 77 },
		"a huge array":        func(b []byte) { b[at("a.list")+20] = 1 },
		"an array of arrays":  func(b []byte) { b[at("a.list")+10] = 9 },
		"a key twice":         func(b []byte) { copy(b[at("a.list"):], "a.flag") },
		"three dimensions":    func(b []byte) { b[at("t\x02\x00")+1] = 3 },
		"no columns":          func(b []byte) { b[at("t\x02\x00")+5] = 0 },
		"more rows than data": func(b []byte) { b[at("t\x02\x00")+13] = 3 },
		"a type of tensor":    func(b []byte) { b[at("t\x02\x00")+21] = 99 },
		"half a block":        func(b []byte) { b[at("t\x02\x00")+21] = byte(Q8_0) },
		"an offset":           func(b []byte) { b[at("t\x02\x00")+25] = 32 },
		"an unaligned offset": func(b []byte) { b[at("t\x02\x00")+25] = 1 },
	} {
		b := bytes.Clone(good)
		spoil(b)
		require.ErrorIs(t, open(b), ErrFile, name)
	}
}
