package exact

// MaxColumns is the most columns that a matrix may have.
const MaxColumns = 1 << 16

// ActBits is how many bits the magnitudes of a block may have that is multiplied with a
// matrix of the given number of columns: 24 less the bits that the columns need, at most
// 15. With 2^n columns or fewer, weights of at most 127 and magnitudes of at most
// 2^(24-n) - 1, a sum is below 2^n · 127 · 2^(24-n) = 127·2^24 < 2^31, so it fits 32 bits
// in whatever order it is taken, and so does every part of it.
func ActBits(columns int) int { return min(15, 24-bitLen(uint64(max(columns, 1)-1))) }

// Dot is the sum of w[i]·a[i]. With len(w) columns, w within ±127 and a within ActBits it
// fits 32 bits, in every order.
func Dot(w []int8, a []int16) int32 {
	a = a[:len(w)]
	var s int32
	for i, v := range w {
		s += int32(v) * int32(a[i])
	}
	return s
}

// Requantise turns a sum into a wide value: sum·scale·2^exp with WideBits fraction bits,
// rounded and saturated once. exp is the exponent of the activations. |sum| < 2^31 and
// the scale's integer is below 2^24, so the product is below 2^55.
func Requantise(sum int32, scale Scale, exp int) int32 {
	m, e := scale.Split()
	return To32(int64(sum)*m, -(e + exp + WideBits))
}

// Linear is one output row of a matrix: what the ledger recomputes in a dispute.
func Linear(w []int8, scale Scale, a []int16, exp int) int32 {
	return Requantise(Dot(w, a), scale, exp)
}

// Embed writes one row of the embedding table as wide values.
func Embed(dst []int32, w []int8, scale Scale) {
	m, e := scale.Split()
	w = w[:len(dst)]
	for i := range dst {
		dst[i] = To32(int64(w[i])*m, -(e + WideBits))
	}
}
