package measured

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrCalibration marks a calibration that no honest runs could have given, or runs that give
// none.
var ErrCalibration = errors.New("calibration")

// Calibration is what honest noise looks like for a model and a backend, or for several
// backends that audit each other. Numbers are integers, so that it has one digest.
type Calibration struct {
	_       struct{} `cbor:",toarray"`
	Answers uint32   // honest answers that it was made from
	Tokens  uint64
	Groups  []string // pairs of backends that they came from, for people

	// The logarithm of the distance, in millionths: its mean in the farthest group, and its
	// variance from answer to answer and from place to place.
	Near   int64
	Answer uint64
	Place  uint64
	// Shift is how much farther a worse model is taken to be, at least and by what steps, in
	// millionths of that logarithm.
	Shift uint64
	// Gap is the gap above which a place is a miss, in millionths of a nat; Miss how many
	// places in a million an honest answer misses at most, and Worse how many a worse model.
	Gap, Miss, Worse uint64
	// NearWeight and MissWeight, in millionths, shrink the two logarithms of likelihood ratios
	// until their exponentials are e-values on the honest answers: at most 1 on average.
	NearWeight, MissWeight uint64
}

const million = 1e6

// Check refuses numbers that would make a test of anything but noise.
func (c *Calibration) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrCalibration, fmt.Sprintf(format, a...))
	}
	switch {
	case c.Answers < MinAnswers || c.Tokens < MinTokens || c.Tokens > 1<<40:
		return bad("made from %d answers and %d tokens: at least %d and %d are needed", c.Answers, c.Tokens, MinAnswers, MinTokens)
	case len(c.Groups) == 0 || len(c.Groups) > 64:
		return bad("%d groups of answers: want 1 to 64", len(c.Groups))
	case c.Near < -12*million || c.Near > 1*million:
		return bad("a mean distance of e^%.3f nats: want e^-12 to e^1", float64(c.Near)/million)
	case c.Answer > 100*million || c.Place > 100*million || c.Answer+c.Place == 0:
		return bad("variances of %d and %d millionths: want some, and at most 100", c.Answer, c.Place)
	case c.Shift < 100_000 || c.Shift > 10*million:
		return bad("a shift of %d millionths: want 0.1 to 10", c.Shift)
	case c.Gap > maxGap*million:
		return bad("gaps count from %d millionths of a nat on: at most %.0f nats", c.Gap, maxGap)
	case c.Miss == 0 || c.Miss >= c.Worse || c.Worse >= million:
		return bad("%d misses in a million places when honest and %d when not: want more than none, and more when not", c.Miss, c.Worse)
	case c.NearWeight > million || c.MissWeight > million:
		return bad("weights of %d and %d millionths: at most 1", c.NearWeight, c.MissWeight)
	}
	for _, g := range c.Groups {
		if g == "" || len(g) > 100 {
			return bad("a group named %.20q: want 1 to 100 bytes", g)
		}
	}
	return nil
}

// Score is the logarithm of an e-value, in thousandths of a nat: how much rather than of an
// honest worker an answer is of one with a worse model. It is at most MaxScore either way.
// Two likelihood ratios are averaged, which needs them not to be independent: one of the
// distance, which finds a quantised or another model, one of the misses, which finds answers
// of another model with copied probabilities.
func (c *Calibration) Score(m *Measurement) int32 {
	if m.Tokens == 0 {
		return 0
	}
	near, miss := c.ratios(m)
	near *= float64(c.NearWeight) / million
	miss *= float64(c.MissWeight) / million
	top := max(near, miss)
	v := top + math.Log((math.Exp(near-top)+math.Exp(miss-top))/2)
	return int32(math.Round(min(max(v*1000, -MaxScore), MaxScore)))
}

// shifts is how many steps of Shift farther a worse model may be: with steps of a factor 2, up
// to 128 times as far, all of them as likely.
const shifts = 7

// tail is the logarithm of Student's density with four degrees of freedom, but for a constant.
// A few answers of honest workers lie much farther off than a normal distribution would let
// them, more than any calibration sees; this lets them.
func tail(z float64) float64 { return -2.5 * math.Log1p(z*z/4) }

// ratios are the two logarithms of likelihood ratios, without weights.
func (c *Calibration) ratios(m *Measurement) (near, miss float64) {
	n := float64(m.Tokens)
	variance := (float64(c.Answer) + float64(c.Place)/n) / million
	shift := float64(c.Shift) / million
	scale := math.Sqrt(variance)
	z := m.Near - float64(c.Near)/million
	var worse float64
	for i := 1; i <= shifts; i++ {
		worse += math.Exp(tail((z-float64(i)*shift)/scale)) / shifts
	}
	near = math.Log(worse) - tail(z/scale)
	k := float64(m.Misses(float64(c.Gap) / million))
	q, w := float64(c.Miss)/million, float64(c.Worse)/million
	miss = k*math.Log(w/q) + (n-k)*math.Log((1-w)/(1-q))
	return near, miss
}

// Bounds of what a calibration is made from.
const (
	MinAnswers = 40   // of each group
	MinTokens  = 1000 // of each group
)

// Run is an honest answer, measured by an honest auditor.
type Run struct {
	Group string // which pair of backends; each one's noise is held against the test
	*Measurement
}

// Calibrate learns honest noise. The test is made so that it holds for each group: the mean is
// the farthest group's, and the rest the noisiest one's. A worse model is taken to be at least
// twice as far off, and to miss several times as often.
func Calibrate(runs []Run) (*Calibration, error) {
	groups := map[string][]*Measurement{}
	c := &Calibration{Near: math.MinInt64, Shift: uint64(math.Round(math.Ln2 * million))}
	for _, r := range runs {
		if r.Measurement == nil || r.Tokens == 0 {
			continue
		}
		groups[r.Group] = append(groups[r.Group], r.Measurement)
		c.Answers++
		c.Tokens += uint64(r.Tokens)
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%w: no answers", ErrCalibration)
	}
	for name, list := range groups { // order-free: maxima, and names that are sorted
		c.Groups = append(c.Groups, name)
		tokens := 0
		for _, m := range list {
			tokens += m.Tokens
		}
		if len(list) < MinAnswers || tokens < MinTokens {
			return nil, fmt.Errorf("%w: %d answers with %d tokens of %s: at least %d and %d are needed of each pair of backends", ErrCalibration, len(list), tokens, name, MinAnswers, MinTokens)
		}
		mean, answer, place := components(list)
		c.Near = max(c.Near, int64(math.Round(mean*million)))
		c.Answer = max(c.Answer, uint64(math.Ceil(answer*million)))
		c.Place = max(c.Place, uint64(math.Ceil(place*million)))
	}
	slices.Sort(c.Groups)
	c.Answer = max(c.Answer, 2500) // a deviation of 5 %: no noise is known better
	c.misses(groups)
	c.NearWeight, c.MissWeight = million, million
	var worst float64
	c.NearWeight, worst = shrink(groups, func(m *Measurement) float64 { v, _ := c.ratios(m); return v })
	if c.NearWeight == 0 {
		return nil, fmt.Errorf("%w: honest answers lie too far apart to tell anything from (e-value %.2f)", ErrCalibration, worst)
	}
	c.MissWeight, _ = shrink(groups, func(m *Measurement) float64 { _, v := c.ratios(m); return v })
	return c, c.Check()
}

// components splits the variance of the logarithm of the distance in that from answer to
// answer and that from place to place.
func components(list []*Measurement) (mean, answer, place float64) {
	var n, sum, within float64
	for _, m := range list {
		n, sum, within = n+float64(m.Tokens), sum+m.Near*float64(m.Tokens), within+m.Spread*float64(m.Tokens)
	}
	mean, place = sum/n, within/n
	var between, expected float64
	for _, m := range list {
		between += (m.Near - mean) * (m.Near - mean)
		expected += place / float64(m.Tokens)
	}
	k := float64(len(list))
	return mean, max(between/(k-1)-expected/k, 0), place
}

// misses finds the gap that an honest place hardly ever has, and how often it has it.
func (c *Calibration) misses(groups map[string][]*Measurement) {
	var gap float64
	for _, list := range groups { // order-free: a maximum
		var all []float64
		tokens := 0
		for _, m := range list {
			all, tokens = append(all, m.Gaps...), tokens+m.Tokens
		}
		slices.SortFunc(all, func(a, b float64) int { return cmp.Compare(b, a) })
		// One place in 500 may lie above it.
		if k := tokens / 500; k < len(all) {
			gap = max(gap, all[k])
		}
	}
	c.Gap = uint64(math.Ceil(min(max(gap, 0.002), maxGap/2) * million))
	var rate float64
	for _, list := range groups { // order-free: a maximum
		k, n := 0, 0
		for _, m := range list {
			k, n = k+m.Misses(float64(c.Gap)/million), n+m.Tokens
		}
		_, high := Interval(k, n)
		rate = max(rate, high)
	}
	c.Miss = uint64(math.Ceil(min(rate, 0.3) * million))
	c.Worse = uint64(math.Ceil(min(max(3*rate, rate+0.02), 0.6) * million))
}

// shrink finds the greatest weight with which the exponential of a logarithm is, in each
// group, at most 1 on average with room for chance, and what it is without any weight.
func shrink(groups map[string][]*Measurement, log func(*Measurement) float64) (weight uint64, worst float64) {
	bound := func(w float64) (high float64) {
		for _, list := range groups { // order-free: a maximum
			var sum, squares float64
			for _, m := range list {
				// As the score is clipped from above, so is what it must hold for.
				e := math.Exp(min(w*log(m), MaxScore/1000))
				sum, squares = sum+e, squares+e*e
			}
			n := float64(len(list))
			mean := sum / n
			high = max(high, mean+2*math.Sqrt(max(squares/n-mean*mean, 0)/n))
		}
		return high
	}
	worst = bound(1)
	for w := 1.0; w >= 0.02; w *= 0.9 {
		if bound(w) <= 1 {
			return uint64(w * million), worst
		}
	}
	return 0, worst
}

// Interval is where a rate lies of which k in n were seen, with 95 % (Wilson).
func Interval(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(mid-half, 0), min(mid+half, 1)
}
