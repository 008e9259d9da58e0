package exact

// TrigBits is the number of fraction bits of sines and cosines.
const TrigBits = 30

// Sine of an angle in units of 2^-64 turns, with TrigBits: the table of a quarter turn in
// 1,024 steps, and a straight line between its entries. The angle's lower 32 bits are cut.
func Sine(angle uint64) int32 {
	a := uint32(angle >> 32)
	p := a & (1<<30 - 1) // within the quarter
	if a>>30&1 == 1 {
		p = 1<<30 - p
	}
	i, f := p>>20, int64(p&(1<<20-1))
	s := int64(sineTable[i])
	if f != 0 {
		s += Round((int64(sineTable[i+1])-s)*f, 20)
	}
	if a>>31 == 1 {
		s = -s
	}
	return int32(s)
}

// Cosine is Sine a quarter of a turn later.
func Cosine(angle uint64) int32 { return Sine(angle + 1<<62) }

// SinCos fills the sines and cosines of a position: pair i turns freq[i]·pos, wrapping.
func SinCos(sin, cos []int32, freq []uint64, pos int) {
	for i, f := range freq {
		a := f * uint64(pos)
		sin[i], cos[i] = Sine(a), Cosine(a)
	}
}

// Rotate turns the pairs of one head in place. With halves a pair is (x[i], x[i+n]) for n
// = len(sin), otherwise (x[2i], x[2i+1]). |x·cos| + |x·sin| ≤ 2·2^31·2^30 = 2^62.
func Rotate(x, sin, cos []int32, halves bool) {
	n := len(sin)
	cos = cos[:n]
	for i := range n {
		j, k := 2*i, 2*i+1
		if halves {
			j, k = i, i+n
		}
		a, b := int64(x[j]), int64(x[k])
		c, s := int64(cos[i]), int64(sin[i])
		x[j] = To32(a*c-b*s, TrigBits)
		x[k] = To32(a*s+b*c, TrigBits)
	}
}
