package exact

// HeadBits is how many bits the magnitudes of queries, keys and values have, as blocks of
// one head: a sum over 256 columns is at most 2^8·(2^11-1)² < 2^30.
const HeadBits = 11

// MaxHead is the most columns that a head has; MaxContext the most positions.
const (
	MaxHead    = 256
	MaxContext = 1 << 17
)

// Dot16 is the sum of a[i]·b[i] over one head.
func Dot16(a, b []int16) int32 {
	b = b[:len(a)]
	var s int32
	for i, v := range a {
		s += int32(v) * int32(b[i])
	}
	return s
}

// Score turns the product of a query and a key into a wide value whose power of two is
// the weight of that key. scale is log2(e)/√head, exp the sum of the two exponents.
func Score(dot int32, scale Scale, exp int) int32 { return Requantise(dot, scale, exp) }

// ExpBits is the number of fraction bits of Exp2.
const ExpBits = 30

// Exp2 is 2^-d for d ≥ 0 with 16 fraction bits, with ExpBits.
func Exp2(d uint64) uint32 {
	n := d >> 16
	if n > ExpBits {
		return 0
	}
	t := (uint64(exp2High[d>>8&255])*uint64(exp2Low[d&255]) + 1<<29) >> 30
	return uint32((t + 1<<n>>1) >> n)
}

// Weights turns scores into the weights of the values: dst[t] = 2^(scores[t] - max) with
// 15 fraction bits, made smaller by the powers of two that the exponent of value t is
// below the largest exponent, and at most 32,767. sum is the sum of all 2^(scores - max)
// with ExpBits, before any of that; it is at least 2^30 and below 2^48. exps may be
// shorter than MaxContext only as scores is.
func Weights(dst []int16, scores []int32, exps []int8) (sum uint64, exp int) {
	exps, dst = exps[:len(scores)], dst[:len(scores)]
	top, high := scores[0], exps[0]
	for t, s := range scores {
		top, high = max(top, s), max(high, exps[t])
	}
	for t, s := range scores {
		e := Exp2(uint64(int64(top) - int64(s)))
		sum += uint64(e)
		dst[t] = Weight(e, int(high), int(exps[t]))
	}
	return sum, int(high)
}

// Weight is the weight of one value with exponent exp, where high is the largest of all:
// what Exp2 gave, with 15 fraction bits, made smaller by the difference.
func Weight(e uint32, high, exp int) int16 {
	return int16(min(Round(int64(e), ExpBits-15+high-exp), 1<<15-1))
}

// Mix is the weighted mean of one column of the values, as a wide value: the sum of
// weight·value over all positions, over the sum of the weights. total is below 2^17
// positions · 2^15 · 2^11 = 2^43, so that 20 more bits fit; the quotient is rounded to
// the nearest, halves away from zero.
func Mix(total int64, sum uint64, exp int) int32 {
	n, d := total<<20, int64(sum)
	if n < 0 {
		n = -((-n + d/2) / d)
	} else {
		n = (n + d/2) / d
	}
	// total·2^15 ≈ Σ e·v, so the mean is n·2^(15-20).
	return To32(n, 5-exp-WideBits)
}
