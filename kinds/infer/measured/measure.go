package measured

import (
	"context"
	"fmt"
	"math"

	"github.com/cantus-network/cantus/exact/claim"
)

// Bounds of what one place can add to a measurement.
const (
	maxGap      = 4.0     // nats
	maxDistance = 2.0     // nats of one alternative
	least       = 0x1p-16 // nats: the step of a wide logarithm; nearer is as near
)

// Measurement is how far an answer lies from what an auditor's backend says.
type Measurement struct {
	Tokens int
	// Gaps are the clipped token gaps of the places that have one, in nats. See Gap.
	Gaps []float64
	// Near is the mean over the places of the natural logarithm of their distance, and Spread
	// the variance of that logarithm. A place's distance is the mean of |difference of the
	// logarithms| over the alternatives, each with the probability that the auditor's backend
	// gives it.
	Near, Spread float64
}

// Mean is the mean clipped gap of a place.
func (m *Measurement) Mean() float64 {
	sum := 0.0
	for _, g := range m.Gaps {
		sum += g
	}
	return sum / float64(max(m.Tokens, 1))
}

// Misses counts the gaps above a bound.
func (m *Measurement) Misses(bound float64) (n int) {
	for _, g := range m.Gaps {
		if g > bound {
			n++
		}
	}
	return n
}

// Audit has a backend score an answer and measures it. The result must have passed Check.
func Audit(ctx context.Context, b Backend, t *claim.Task, r *claim.Result) (*Measurement, []Place, error) {
	places, err := b.Score(ctx, t.Prompt, r.Output, int(t.Top))
	if err != nil {
		return nil, nil, err
	}
	m, err := Measure(t, r, places)
	return m, places, err
}

// Measure compares an answer with the places as an auditor's backend sees them.
func Measure(t *claim.Task, r *claim.Result, places []Place) (*Measurement, error) {
	if len(places) != len(r.Output) {
		return nil, fmt.Errorf("%w: %d places of an answer of %d tokens", ErrBackend, len(places), len(r.Output))
	}
	m := &Measurement{Tokens: len(places)}
	var sum, squares float64
	for i, p := range places {
		if len(p) == 0 {
			return nil, fmt.Errorf("%w: place %d without alternatives", ErrBackend, i)
		}
		if g := Gap(p, r.Output[i], &t.Sampling, uint64(len(t.Prompt)+i), maxGap); g > 0 {
			m.Gaps = append(m.Gaps, g)
		}
		x := math.Log(max(distance(p, r.TopOf(i)), least))
		sum, squares = sum+x, squares+x*x
	}
	if n := float64(m.Tokens); n > 0 {
		m.Near = sum / n
		m.Spread = max(squares/n-m.Near*m.Near, 0)
	}
	return m, nil
}

// distance is the distance of what was said from what is. The weights are the auditor's, so
// that a liar can't choose what counts. An alternative that was not said is as far off as it
// must be at least, being not above the last one that was.
func distance(is, said Place) float64 {
	byID := make(map[uint32]int32, len(said))
	for _, a := range said {
		byID[a.ID] = a.LogProb
	}
	var sum, mass float64
	for _, a := range is {
		w := nats(a.LogProb, true)
		l, ok := byID[a.ID]
		if !ok {
			l = min(said[len(said)-1].LogProb, a.LogProb)
		}
		sum += w * min(math.Abs(nats(a.LogProb, false)-nats(l, false)), maxDistance)
		mass += w
	}
	return sum / max(mass, least)
}
