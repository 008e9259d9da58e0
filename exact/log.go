package exact

import "math/bits"

// LogBits is the number of fraction bits of Log2.
const LogBits = 48

// log2e is log2(e) with 63 fraction bits, to the nearest.
const log2e = 0xb8aa3b295c17f0bc

// Log2 is the binary logarithm of u ≥ 1 with LogBits, within 2^-45 of the true one, by
// these very steps: m = u shifted to have its leading one in bit 63; P, the upper half of
// m·c[i] with i the eight bits below the leading one, is 2^62·(1+r); ln(1+r) by five terms
// of its series; and the table's log2(1+i/256).
func Log2(u uint64) uint64 {
	z := bits.LeadingZeros64(u)
	m := u << uint(z)
	i := m >> 55 & 255
	p, _ := bits.Mul64(m, reciprocal[i])
	r := (p - 1<<62) << 2 // with 64 fraction bits, below 2^-8 and a little
	t := uint64(1 << 64 / 5)
	for _, c := range [4]uint64{1 << 62, 1 << 64 / 3, 1 << 63, 1<<64 - 1} {
		t = c - high(r, t)
	}
	return uint64(63-z)<<LogBits + logTable[i] + high(high(r, t), log2e)>>(63-LogBits)
}

func high(a, b uint64) uint64 {
	h, _ := bits.Mul64(a, b)
	return h
}
