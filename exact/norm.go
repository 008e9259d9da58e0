package exact

import (
	"errors"
	"math/bits"
)

// MaxNorm is the most elements that Norm takes.
const MaxNorm = 1 << 14

// NormBits is the number of fraction bits of a normalised element, before its gain.
const NormBits = 20

// Gain is the learned weight of a norm: M[i]·2^Exp, |M[i]| ≤ 2^24.
type Gain struct {
	M   []int32
	Exp int
}

// RootMean describes the reciprocal of a root mean square: x[i]·R·2^-Shift is x[i] over
// the root mean square, with NormBits fraction bits, R ≤ 2^31.
type RootMean struct {
	R     int64
	Shift int
}

// Rooted finds the reciprocal root mean square of wide values. eps is what is added to
// the mean of the squares, in units of 2^-32, at most 2^32. len(x) ≤ MaxNorm.
func Rooted(x []int32, eps uint64) RootMean {
	var any uint32
	for _, v := range x {
		any |= uint32(max(v, -v)) // -2^31 stays 2^31 as unsigned
	}
	// Squares of 24 bits: at most MaxNorm·2^48 = 2^62.
	s := max(0, bits.Len32(any)-24)
	var sum uint64
	for _, v := range x {
		r := Round(int64(v), s)
		sum += uint64(r * r)
	}
	// sum·2^(2s)/len is the mean square in units of 2^-32. eps·len ≤ 2^46.
	sum += eps * uint64(len(x)) >> uint(2*s)
	sum = max(sum, 1)
	z := bits.LeadingZeros64(sum)
	mean := (sum << uint(z)) / uint64(len(x))
	// The mean square is mean·2^(2s-z); make the exponent even and mean ≥ 2^62.
	if z&1 == 1 {
		mean, z = mean>>1, z-1
	}
	y := bits.LeadingZeros64(mean) &^ 1
	mean, z = mean<<uint(y), z+y
	// root ∈ [2^31, 2^32), so R ∈ [2^30, 2^31].
	r := int64(1<<62) / int64(Sqrt(mean))
	// x/rms = x·2^-16 / (root·2^(s-z/2)·2^-16) = x·R·2^(z/2-s-62).
	return RootMean{R: r, Shift: 62 + s - z/2 - NormBits}
}

// Norm is RMSNorm: dst[i]·2^exp = x[i]/rms·gain. An element over the root mean square is
// at most √MaxNorm = 2^7, that is 2^27 and, with what rounding adds, below 2^28 with
// NormBits; times a gain below 2^53.
func Norm(dst []int64, x []int32, g Gain, eps uint64) (exp int) {
	rm := Rooted(x, eps)
	m := g.M[:len(x)]
	dst = dst[:len(x)]
	for i, v := range x {
		// |x|·R ≤ 2^31·2^31.
		dst[i] = Round(int64(v)*rm.R, rm.Shift) * int64(m[i])
	}
	return g.Exp - NormBits
}

// Widen turns values with an exponent into wide ones.
func Widen(dst []int32, x []int64, exp int) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = To32(v, -(exp + WideBits))
	}
}

// Sqrt is ⌊√v⌋.
func Sqrt(v uint64) uint32 {
	var root uint64
	for bit := uint64(1) << 31; bit != 0; bit >>= 1 {
		if t := root | bit; t*t <= v {
			root = t
		}
	}
	return uint32(root)
}

// ErrGain says that a gain is out of the bounds that Norm's proof rests on.
var ErrGain = errors.New("exact: gain with an integer above 2^24 or an exponent beyond ±200")

// Check refuses a gain out of bounds.
func (g Gain) Check() error {
	for _, m := range g.M {
		if m > 1<<24 || m < -1<<24 {
			return ErrGain
		}
	}
	if g.Exp > 200 || g.Exp < -200 {
		return ErrGain
	}
	return nil
}
