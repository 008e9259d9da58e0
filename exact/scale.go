package exact

import (
	"errors"
	"math/bits"
)

func bitLen(v uint64) int { return bits.Len64(v) }

// Scale is a factor ≥ 0: the bit pattern of a normal IEEE 754 binary32 number without
// sign, or 0. Nothing computes with it as a float; Split takes it apart.
type Scale uint32

// ErrScale says that a bit pattern is no Scale.
var ErrScale = errors.New("exact: scale is negative, subnormal, infinite or not a number")

// Check refuses what is no scale.
func (s Scale) Check() error {
	if e := s >> 23; s != 0 && (e == 0 || e >= 255) {
		return ErrScale
	}
	return nil
}

// Split gives m and e with s = m·2^e and m = 0 or 2^23 ≤ m < 2^24.
func (s Scale) Split() (m int64, e int) {
	if s == 0 {
		return 0, 0
	}
	return int64(s&(1<<23-1) | 1<<23), int(s>>23&255) - 150
}

// NewScale is num·2^exp/den rounded to 24 bits; 0 where that is below the smallest scale,
// ErrScale where it is above the largest. num and den are not 0.
func NewScale(num, den uint64, exp int) (Scale, error) {
	ln, ld := bits.LeadingZeros64(num), bits.LeadingZeros64(den)
	n, d := num<<uint(ln), den<<uint(ld)
	q, _ := bits.Div64(n>>32, n<<32, d) // in (2^31, 2^33): n>>32 < d
	s := bitLen(q) - 24
	q = (q + 1<<uint(s-1)) >> uint(s)
	if q == 1<<24 {
		q, s = 1<<23, s+1
	}
	// num/den = q·2^(s-32+ld-ln)
	switch b := exp + s - 32 + ld - ln + 150; {
	case b < 1:
		return 0, nil
	case b > 254:
		return 0, ErrScale
	default:
		return Scale(q&(1<<23-1)) | Scale(b)<<23, nil
	}
}
