package convert

import (
	"fmt"

	"math/big"

	"github.com/cantus-network/cantus/exact"
)

// precision is the bits that constants are computed with before they are rounded once.
const precision = 256

func number(v float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(v) }

func times(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Mul(a, b) }
func over(a, b *big.Float) *big.Float  { return new(big.Float).SetPrec(precision).Quo(a, b) }
func plus(a, b *big.Float) *big.Float  { return new(big.Float).SetPrec(precision).Add(a, b) }
func minus(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Sub(a, b) }

// logarithm is ln x, x > 0: of a number in [1/2, 1) by 2·artanh((x-1)/(x+1)), whose terms
// shrink by 9 at least, and the power of two times ln 2.
func logarithm(x *big.Float) *big.Float {
	m := new(big.Float).SetPrec(precision)
	e := x.MantExp(m)
	return plus(artanhLog(m), times(number(float64(-e)), artanhLog(number(0.5))))
}

func artanhLog(x *big.Float) *big.Float {
	z := over(minus(x, number(1)), plus(x, number(1)))
	sum, p, sq := number(0), z, times(z, z)
	for i := 1; i < 2*precision; i += 2 {
		sum = plus(sum, over(p, number(float64(i))))
		p = times(p, sq)
	}
	return times(sum, number(2))
}

// exponential is e^x for |x| < 64: the series at x/2^16, squared 16 times.
func exponential(x *big.Float) *big.Float {
	y := new(big.Float).SetPrec(precision).SetMantExp(x, -16)
	sum, term := number(1), number(1)
	for i := 1; i < 40; i++ {
		term = over(times(term, y), number(float64(i)))
		sum = plus(sum, term)
	}
	for range 16 {
		sum = times(sum, sum)
	}
	return sum
}

// pi is 16·arctan(1/5) - 4·arctan(1/239).
func pi() *big.Float {
	arctan := func(d float64) *big.Float {
		p := over(number(1), number(d))
		sum, sq := number(0), over(number(-1), number(d*d))
		for i := 1; i < precision; i += 2 {
			sum = plus(sum, over(p, number(float64(i))))
			p = times(p, sq)
		}
		return sum
	}
	return minus(times(number(16), arctan(5)), times(number(4), arctan(239)))
}

// rotary is how the frequencies of a model's positions are made.
type rotary struct {
	base   float64
	pairs  int
	linear float64   // all frequencies are divided by it; 0 for 1
	each   []float64 // frequency i is divided by each[i]; nil for 1
	llama3 *llama3Scaling
}

// llama3Scaling slows frequencies whose turns are long against the context that the model
// was first trained with, and leaves the short ones.
type llama3Scaling struct {
	factor, low, high, context float64
}

// frequencies are in units of 2^-64 turns for each position: base^(-i/pairs)/2π.
func (r rotary) frequencies() ([]uint64, error) {
	if !(r.base > 1 && r.base < 1e12) {
		return nil, fmt.Errorf("%w: rotary base of %v", ErrSource, r.base)
	}
	if r.each != nil && len(r.each) != r.pairs {
		return nil, fmt.Errorf("%w: %d rotary factors for %d pairs", ErrSource, len(r.each), r.pairs)
	}
	turn := times(number(2), pi())
	step := over(logarithm(number(r.base)), number(float64(-r.pairs)))
	freq := make([]uint64, r.pairs)
	for i := range freq {
		f := exponential(times(step, number(float64(i))))
		if r.linear != 0 {
			f = over(f, number(r.linear))
		}
		if r.each != nil {
			if !(r.each[i] > 0 && r.each[i] < 1e9) {
				return nil, fmt.Errorf("%w: rotary factor of %v", ErrSource, r.each[i])
			}
			f = over(f, number(r.each[i]))
		}
		if r.llama3 != nil {
			f = r.llama3.scale(f, turn)
		}
		f = over(f, turn)
		n, _ := plus(new(big.Float).SetPrec(precision).SetMantExp(f, 64), number(0.5)).Uint64()
		freq[i] = n
	}
	return freq, nil
}

func (s *llama3Scaling) check() error {
	if !(s.factor >= 1 && s.low > 0 && s.high > s.low && s.context >= 1 && s.factor < 1e6 && s.high < 1e6 && s.context < 1e9) {
		return fmt.Errorf("%w: rotary scaling %+v", ErrSource, *s)
	}
	return nil
}

func (s *llama3Scaling) scale(f, turn *big.Float) *big.Float {
	// How often a pair turns in the old context.
	turns := over(times(number(s.context), f), turn)
	slow := over(f, number(s.factor))
	switch {
	case turns.Cmp(number(s.high)) > 0:
		return f
	case turns.Cmp(number(s.low)) < 0:
		return slow
	}
	part := over(minus(turns, number(s.low)), minus(number(s.high), number(s.low)))
	return plus(times(minus(number(1), part), slow), times(part, f))
}

// scoreScale is log2(e)/√head.
func scoreScale(head int) (exact.Scale, error) {
	root := new(big.Float).SetPrec(precision).Sqrt(number(float64(head)))
	v := over(number(1), times(logarithm(number(2)), root))
	n, _ := new(big.Float).SetPrec(precision).SetMantExp(v, 62).Uint64()
	return exact.NewScale(n, 1, -62)
}

// epsilon is what is added to mean squares, in units of 2^-32.
func epsilon(v float64) (uint64, error) {
	if !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%w: epsilon of norms of %v", ErrSource, v)
	}
	return uint64(integer(v, -32)), nil
}
