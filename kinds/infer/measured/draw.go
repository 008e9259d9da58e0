package measured

import (
	"math"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

// Draw is the token that a place's alternatives give under a task's sampling: the likeliest
// one at temperature 0, else of those that TopK and TopP leave the one with the highest
// logarithm of probability over the temperature plus noise, by exact.Noise of the committed
// seed, as in infer/1. The alternatives are all that can be drawn and all that TopP counts.
// All of it is integers, so whoever has the alternatives gets the same token.
func Draw(p Place, s *exact.Sampling, position uint64) uint32 {
	if s.Temperature == 0 {
		return p[0].ID
	}
	steep := s.Steepness()
	best, chosen := int64(math.MinInt64), uint32(0)
	for _, a := range p[:p.kept(s)] {
		if v := value(p[0].LogProb, a, s, steep, position); v > best || v == best && a.ID < chosen {
			best, chosen = v, a.ID
		}
	}
	return chosen
}

// value is what the draw goes by, in binary logarithms with 24 fraction bits.
func value(top int32, a claim.Alternative, s *exact.Sampling, steep int64, position uint64) int64 {
	return exact.Noise(&s.Seed, position, a.ID) - exact.Cost(top, a.LogProb, steep)
}

// kept is how many of the likeliest TopK and TopP leave, at least one.
func (p Place) kept(s *exact.Sampling) int {
	n := len(p)
	if s.TopK != 0 {
		n = min(n, int(s.TopK))
	}
	if s.TopP == 0 || s.TopP >= exact.Million {
		return n
	}
	steep := s.Steepness()
	var total, sum uint64
	for _, a := range p[:n] {
		total += exact.Mass(exact.Cost(p[0].LogProb, a.LogProb, steep))
	}
	for i, a := range p[:n] {
		sum += exact.Mass(exact.Cost(p[0].LogProb, a.LogProb, steep))
		if exact.Reaches(sum, total, s.TopP) {
			return i + 1
		}
	}
	return n
}

// Gap is how much worse than the token that these alternatives give is the one in an answer,
// in nats over the temperature (over 1 at temperature 0), at most most. It is 0 if they are the
// same. A token that TopK or TopP leaves out is, besides, as much worse as it is less likely
// than the last one that they leave.
func Gap(p Place, token uint32, s *exact.Sampling, position uint64, most float64) float64 {
	at := p.find(token)
	if at < 0 {
		return most
	}
	if s.Temperature == 0 {
		return min(nats(p[0].LogProb, false)-nats(p[at].LogProb, false), most)
	}
	steep := s.Steepness()
	n := p.kept(s)
	best := int64(math.MinInt64)
	for _, a := range p[:n] {
		best = max(best, value(p[0].LogProb, a, s, steep, position))
	}
	worse := max(best-value(p[0].LogProb, p[at], s, steep, position), 0)
	if at >= n {
		worse += exact.Cost(p[n-1].LogProb, p[at].LogProb, steep)
	}
	return min(float64(worse)/(1<<24)*math.Ln2, most)
}
