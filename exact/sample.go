package exact

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Million is the unit of temperatures and of shares of probability.
const Million = 1_000_000

// Bounds of Sampling.
const (
	MinTemperature = 20_000       // 0.02; 0 is greedy
	MaxTemperature = 10 * Million // 10
)

// log2e24 is log2(e) with 24 fraction bits.
const log2e24 = 24204406

// Sampling says how a token is drawn from logits. Its zero value takes the likeliest.
type Sampling struct {
	Seed        [32]byte
	Temperature uint32 // millionths; 0 takes the likeliest token
	TopK        uint32 // only the k likeliest; 0 for all
	TopP        uint32 // only the likeliest that have this many millionths together; 0 for all
}

// Check refuses what is out of bounds.
func (s Sampling) Check() error {
	switch {
	case s.Temperature != 0 && (s.Temperature < MinTemperature || s.Temperature > MaxTemperature):
		return fmt.Errorf("exact: temperature of %d millionths: must be 0, or from %d to %d", s.Temperature, MinTemperature, MaxTemperature)
	case s.TopP > Million:
		return fmt.Errorf("exact: top-p of %d millionths: must be at most %d", s.TopP, Million)
	}
	return nil
}

// Noise is a standard Gumbel variate times log2(e), less a constant, with 24 fraction
// bits: -log2(-log2(u)·2^48) for u = v/2^64, where v, at least 1, is little-endian word
// token mod 4 of SHA-256("gumbel/1" ‖ seed ‖ position ‖ ⌊token/4⌋), both little-endian, of
// 8 and 4 bytes.
func Noise(seed *[32]byte, position uint64, token uint32) int64 {
	h := noiseBlock(seed, position, token/4)
	return gumbel(h[token%4*8:])
}

func noiseBlock(seed *[32]byte, position uint64, block uint32) [32]byte {
	var in [52]byte
	copy(in[:], "gumbel/1")
	copy(in[8:], seed[:])
	binary.LittleEndian.PutUint64(in[40:], position)
	binary.LittleEndian.PutUint32(in[48:], block)
	return sha256.Sum256(in[:])
}

func gumbel(b []byte) int64 {
	u := max(binary.LittleEndian.Uint64(b), 1)
	// Log2's error could take it beyond 64.
	e := max(int64(64<<LogBits)-int64(Log2(u)), 1)
	return -int64(Log2(uint64(e)) >> (LogBits - 24))
}

// Sampler draws tokens; it keeps its memory from one to the next. Not for concurrent use.
type Sampler struct {
	Sampling
	kept []candidate
}

type candidate struct {
	id    uint32
	logit int32
	cost  int64 // the same over the temperature, in binary logarithms with 24 fraction bits
}

// Greedy is the token with the highest logit, the first one of several.
func Greedy(logits []int32) int {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	return best
}

// Steepness is log2(e) over the temperature, which is not 0, with 24 fraction bits: below
// 2^24·log2(e)·10^6/20,000 < 2^30.2.
func (s *Sampling) Steepness() int64 { return int64(log2e24) * Million / int64(s.Temperature) }

// Cost is how far a logit is below the highest one, over the temperature, in binary
// logarithms with 24 fraction bits. Differences are below 2^32, so products below 2^62.2.
func Cost(top, logit int32, steepness int64) int64 {
	return (int64(top) - int64(logit)) * steepness >> WideBits
}

// Mass is the probability that goes with a cost, over the likeliest token's, with ExpBits.
func Mass(cost int64) uint64 { return uint64(Exp2(uint64(cost >> 8))) }

// Reaches says whether a sum of masses is the share of a total that topP asks for. Sums are
// below 2^18 tokens · 2^30; without their lower 8 bits the products with a million stay
// below 2^60.
func Reaches(sum, total uint64, topP uint32) bool {
	return sum>>8*Million >= total>>8*uint64(topP)
}

// Draw is the token at a position: of those that TopK and TopP leave the one with the
// highest logit/temperature + noise, the lowest id of several.
func (s *Sampler) Draw(logits []int32, position uint64) int {
	first := Greedy(logits)
	if s.Temperature == 0 {
		return first
	}
	steep := s.Steepness()
	s.kept = s.kept[:0]
	for i, l := range logits {
		s.kept = append(s.kept, candidate{id: uint32(i), logit: l, cost: Cost(logits[first], l, steep)})
	}
	s.cut()
	best, chosen := int64(math.MinInt64), uint32(0)
	var block [32]byte
	have := uint32(math.MaxUint32)
	for _, c := range s.kept {
		// Noise is at most 0.
		if -c.cost < best {
			continue
		}
		if b := c.id / 4; b != have {
			block, have = noiseBlock(&s.Seed, position, b), b
		}
		if v := gumbel(block[c.id%4*8:]) - c.cost; v > best || v == best && c.id < chosen {
			best, chosen = v, c.id
		}
	}
	return int(chosen)
}

// cut leaves the candidates that TopK and TopP leave.
func (s *Sampler) cut() {
	byP := s.TopP != 0 && s.TopP < Million
	byK := s.TopK != 0 && int(s.TopK) < len(s.kept)
	if !byP && !byK {
		return
	}
	if !byK {
		// What has no weight in the sum can only come after the sum is reached.
		s.kept = slices.DeleteFunc(s.kept, func(c candidate) bool { return Mass(c.cost) == 0 })
	}
	slices.SortFunc(s.kept, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.logit, a.logit), cmp.Compare(a.id, b.id))
	})
	if byK {
		s.kept = s.kept[:s.TopK]
	}
	if !byP {
		return
	}
	var total, sum uint64
	for _, c := range s.kept {
		total += Mass(c.cost)
	}
	for i, c := range s.kept {
		sum += Mass(c.cost)
		if Reaches(sum, total, s.TopP) {
			s.kept = s.kept[:i+1]
			return
		}
	}
}

// LogSum gives the highest logit and the natural logarithm, wide, of the sum of e^(logit -
// highest): the logarithm of a token's probability is its logit less both.
func LogSum(logits []int32) (top, log int32) {
	top = logits[Greedy(logits)]
	var sum uint64
	for _, l := range logits {
		sum += Share(top, l)
	}
	return top, LogOf(sum)
}

// Share is e^(logit - top) with ExpBits.
func Share(top, logit int32) uint64 {
	return uint64(Exp2(uint64((int64(top) - int64(logit)) * log2e24 >> 24)))
}

// LogOf is the natural logarithm, wide, of a sum of shares.
func LogOf(sum uint64) int32 {
	// ln = (log2(sum) - 30)·ln 2: with 24 fraction bits, below 2^29, times 30 more.
	l2 := int64(Log2(sum)-ExpBits<<LogBits) >> (LogBits - 24)
	return int32(Round(l2*744261118, 24+30-WideBits))
}

// LogProb is the natural logarithm of a token's probability at temperature 1, wide, given
// the highest logit and what LogSum gives.
func LogProb(logit, top, log int32) int32 { return Sat32(int64(logit) - int64(top) - int64(log)) }
