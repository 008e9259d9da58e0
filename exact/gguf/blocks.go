package gguf

import (
	"encoding/binary"
	"math"
)

// Half is the value of an IEEE 754 binary16 number.
func Half(h uint16) float64 {
	s, e, m := h>>15, int(h>>10&31), int(h&1023)
	var v float64
	switch e {
	case 0:
		v = math.Ldexp(float64(m), -24)
	case 31:
		v = math.Inf(1)
		if m != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(float64(m|1024), e-25)
	}
	if s == 1 {
		v = -v
	}
	return v
}

// Brain is the value of a bfloat16 number.
func Brain(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

// decode writes the elements of whole blocks.
func (t Type) decode(dst []float64, b []byte) {
	le := binary.LittleEndian
	per, size, _ := t.layout()
	for ; len(b) > 0; b, dst = b[size:], dst[per:] {
		switch t {
		case F32:
			dst[0] = float64(math.Float32frombits(le.Uint32(b)))
		case F16:
			dst[0] = Half(le.Uint16(b))
		case BF16:
			dst[0] = Brain(le.Uint16(b))
		case Q8_0:
			d := Half(le.Uint16(b))
			for i := range 32 {
				dst[i] = d * float64(int8(b[2+i]))
			}
		case Q4_0:
			d := Half(le.Uint16(b))
			for i := range 16 {
				q := b[2+i]
				dst[i] = d * float64(int(q&15)-8)
				dst[i+16] = d * float64(int(q>>4)-8)
			}
		case Q4_K:
			decodeQ4K(dst, b)
		case Q6_K:
			decodeQ6K(dst, b)
		}
	}
}

// decodeQ4K: 8 parts of 32 elements, each with a 6-bit scale and a 6-bit minimum that 12
// bytes hold: of the first four parts in the lower bits of 4 and 4 bytes, of the others in
// the halves of the last 4 and the upper bits of the first 8.
func decodeQ4K(dst []float64, b []byte) {
	d, dmin := Half(binary.LittleEndian.Uint16(b)), Half(binary.LittleEndian.Uint16(b[2:]))
	s, q := b[4:16], b[16:144]
	for part := range 8 {
		scale, least := s[part&3]&63, s[part&3+4]&63
		if part >= 4 {
			scale = s[part+4]&15 | s[part-4]>>6<<4
			least = s[part+4]>>4 | s[part]>>6<<4
		}
		for i := range 32 {
			v := q[part/2*32+i] >> (part % 2 * 4) & 15
			// Each product is exact, so it does not matter whether the difference is fused.
			dst[part*32+i] = float64(d*float64(int(scale)*int(v))) - float64(dmin*float64(least))
		}
	}
}

// decodeQ6K: 16 parts of 16 elements with an 8-bit scale each; the lower four bits of the
// elements in 128 bytes, the upper two in 64.
func decodeQ6K(dst []float64, b []byte) {
	low, high, s := b[:128], b[128:192], b[192:208]
	d := Half(binary.LittleEndian.Uint16(b[208:]))
	for half := range 2 {
		for i := range 32 {
			l0, l1, h := low[half*64+i], low[half*64+32+i], high[half*32+i]
			for j, v := range [4]byte{l0&15 | h&3<<4, l1&15 | h>>2&3<<4, l0>>4 | h>>4&3<<4, l1>>4 | h>>6<<4} {
				at := half*128 + j*32 + i
				dst[at] = d * float64(int(int8(s[at/16]))*(int(v)-32))
			}
		}
	}
}
