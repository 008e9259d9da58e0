package exact

import "math"

// WideBits is the number of fraction bits of a wide value.
const WideBits = 16

// Round is ⌊(v + 2^(s-1)) / 2^s⌋: v/2^s to the nearest integer, halves upwards. For s ≤ 0 it
// is v·2^-s. The caller sees to |v| < 2^62, and to |v|·2^-s < 2^63 where s < 0.
func Round(v int64, s int) int64 {
	switch {
	case s <= 0:
		return v << uint(-s)
	case s > 62:
		return 0 // |v|/2^63 < 1/2
	}
	// |v| + 2^61 ≤ 2^62 + 2^61 < 2^63: no overflow.
	return (v + 1<<uint(s-1)) >> uint(s)
}

// To32 is Round saturated to 32 bits, for any s and |v| < 2^62.
func To32(v int64, s int) int32 {
	if s >= 0 {
		return Sat32(Round(v, s))
	}
	switch {
	case v == 0:
		return 0
	case s <= -32 && v > 0:
		return math.MaxInt32
	case s <= -32:
		return math.MinInt32
	}
	return Sat32(Sat64(v) << uint(-s))
}

// Sat64 brings v within ±2^31, so that a shift by up to 31 neither overflows nor hides
// that the result is out of 32 bits.
func Sat64(v int64) int64 { return min(max(v, -1<<31), 1<<31) }

// Sat32 is the nearest 32-bit integer.
func Sat32(v int64) int32 { return int32(min(max(v, math.MinInt32), math.MaxInt32)) }

// Add32 is a + b, saturated.
func Add32(a, b int32) int32 { return Sat32(int64(a) + int64(b)) }

// Accumulate adds b to a, each sum saturated: the residual connection.
func Accumulate(a, b []int32) {
	b = b[:len(a)]
	for i := range a {
		a[i] = Add32(a[i], b[i])
	}
}

// Signed is what can be quantised: wide values and products of them.
type Signed interface{ ~int32 | ~int64 }

// Quantise brings x·2^exp into the block format with magnitudes of at most 2^bits - 1:
// dst[i]·2^out ≈ x[i]·2^exp. When x fits it is taken as it is and out = exp; otherwise the
// shift is the least that the largest magnitude needs, and a magnitude that rounding takes
// to 2^bits becomes 2^bits - 1. Magnitudes of x are at most 2^62, bits at most 15.
func Quantise[T Signed](dst []int16, x []T, exp, bits int) (out int) {
	dst = dst[:len(x)]
	var any uint64
	for _, v := range x {
		// The bit length of the largest magnitude is that of all of them or-ed.
		any |= uint64(max(int64(v), -int64(v)))
	}
	s := bitLen(any) - bits
	if s <= 0 {
		for i, v := range x {
			dst[i] = int16(v)
		}
		return exp
	}
	half, limit := int64(1)<<uint(s-1), int64(1)<<uint(bits)-1
	for i, v := range x {
		dst[i] = int16(min(max((int64(v)+half)>>uint(s), -limit), limit))
	}
	return exp + s
}
