package work

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Beacon derives an epoch's beacon from the hash of the first block after the one that
// holds its commitment. Gateway and workers could not know it when the epoch was committed;
// docs/threat-model.md says what that block's proposer could.
func Beacon(chain string, job JobID, epoch uint64, blockHash []byte) [32]byte {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(job))
	binary.BigEndian.PutUint64(n[8:], epoch)
	return domainHash(domainBeacon, n[:], blockHash, []byte(chain))
}

// SampleCount is how many samples an epoch of so many receipts gets at an audit rate in
// basis points: rounded up, at least one, at most limit.
func SampleCount(receipts uint64, auditBps, limit uint32) int {
	if receipts == 0 || limit == 0 {
		return 0
	}
	hi, lo := bits.Mul64(receipts, uint64(auditBps))
	lo, carry := bits.Add64(lo, 9_999, 0)
	hi += carry
	if hi >= 10_000 {
		return int(limit)
	}
	n, _ := bits.Div64(hi, lo, 10_000)
	return int(min(max(n, 1), uint64(limit), receipts))
}

// Samples draws n units of an epoch's, one from each of n equal parts. Drawing units rather
// than receipts makes a receipt as likely to be audited as it is dear; drawing from parts
// misses no more than independent draws would, and nothing where there are as many samples
// as receipts and all cost the same. Two may fall on one receipt that lies in both parts.
func Samples(beacon [32]byte, units uint64, n int) []uint64 {
	if units == 0 {
		return nil
	}
	return drawParts(beacon, 0, 0, units, n)
}

// Shape is what an epoch's sampling goes by. The receipts of workers on probation come
// first in the tree.
type Shape struct {
	Receipts, Units                   uint64
	ProbationReceipts, ProbationUnits uint64 // of those
}

// Rates are how much of an epoch is audited, in basis points of its receipts. Workers on
// probation are audited at the higher of the two.
type Rates struct {
	AuditBps     uint32
	ProbationBps uint32
	MaxSamples   uint32
}

// EpochSamples draws an epoch's units: first from those of the workers on probation, then
// from the rest, each part at its own rate. MaxSamples holds for both together, and leaves
// at least one sample to each part if it is 2 or more.
func EpochSamples(beacon [32]byte, s Shape, r Rates) []uint64 {
	if s.ProbationReceipts == 0 || s.ProbationUnits == 0 || s.ProbationReceipts > s.Receipts || s.ProbationUnits > s.Units {
		return Samples(beacon, s.Units, SampleCount(s.Receipts, r.AuditBps, r.MaxSamples))
	}
	rest := s.Receipts - s.ProbationReceipts
	limit := r.MaxSamples
	if rest > 0 && limit > 1 {
		limit--
	}
	n := SampleCount(s.ProbationReceipts, max(r.AuditBps, r.ProbationBps), limit)
	draws := Samples(beacon, s.ProbationUnits, n)
	if s.Units == s.ProbationUnits {
		return draws
	}
	more := SampleCount(rest, r.AuditBps, r.MaxSamples-uint32(n))
	return append(draws, drawParts(beacon, uint32(n), s.ProbationUnits, s.Units-s.ProbationUnits, more)...)
}

// drawParts draws a unit from each of n equal parts of so many units that begin at one; the
// samples are numbered from first. Where there are fewer units than parts some are drawn twice.
func drawParts(beacon [32]byte, first uint32, begin, units uint64, n int) []uint64 {
	draws := make([]uint64, n)
	for i := range draws {
		from, to := part(units, i, n), part(units, i+1, n)
		if from == to {
			to++
		}
		draws[i] = begin + from + draw(beacon, first+uint32(i), to-from)
	}
	return draws
}

// part is where the i-th of n equal parts of so many units begins.
func part(units uint64, i, n int) uint64 {
	hi, lo := bits.Mul64(units, uint64(i))
	q, _ := bits.Div64(hi, lo, uint64(n)) // at most units, since i is at most n
	return q
}

// draw is the i-th sample's unit of so many.
func draw(beacon [32]byte, i uint32, units uint64) uint64 {
	var c [4]byte
	binary.BigEndian.PutUint32(c[:], i)
	return modulo(domainHash(domainSample, beacon[:], c[:]), units)
}

// modulo reduces a 256-bit number, so the bias is below 2⁻¹⁹².
func modulo(h [32]byte, m uint64) uint64 {
	var r uint64
	for i := 0; i < 32; i += 8 {
		_, r = bits.Div64(r, binary.BigEndian.Uint64(h[i:]), m)
	}
	return r
}

// Candidate is a worker that may be drawn as an auditor.
type Candidate struct {
	Key      PublicKey
	Operator string
	Network  string
}

// Auditors draws up to n auditors for a sample from the candidates: those whose operator
// is not the audited worker's and is not yet drawn for this sample, by the order of a hash
// that the beacon fixes, those of another declared network first. The order of the
// candidates does not matter. The caller passes only workers that were active, did this
// kind, and were enrolled before the epoch was committed.
func Auditors(beacon [32]byte, sample uint32, audited Candidate, candidates []Candidate, n int) []PublicKey {
	type ranked struct {
		Candidate
		near bool
		hash [32]byte
	}
	var c [4]byte
	binary.BigEndian.PutUint32(c[:], sample)
	rank := make([]ranked, 0, len(candidates))
	for _, w := range candidates {
		if w.Operator == audited.Operator || w.Key == audited.Key {
			continue
		}
		near := w.Network != "" && w.Network == audited.Network
		rank = append(rank, ranked{w, near, domainHash(domainAuditor, beacon[:], c[:], w.Key[:])})
	}
	slices.SortFunc(rank, func(a, b ranked) int {
		if a.near != b.near {
			if a.near {
				return 1
			}
			return -1
		}
		return slices.Compare(a.hash[:], b.hash[:])
	})
	var drawn []PublicKey
	var operators []string
	for _, w := range rank {
		if len(drawn) == n {
			break
		}
		if slices.Contains(operators, w.Operator) {
			continue
		}
		drawn = append(drawn, w.Key)
		operators = append(operators, w.Operator)
	}
	return drawn
}

// SettledRoot chains the receipts root of a settled epoch onto those before it. A
// job's settled root is the chain over all of its epochs; the first link is all zero.
func SettledRoot(previous [32]byte, job JobID, epoch uint64, receipts Hash) [32]byte {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(job))
	binary.BigEndian.PutUint64(n[8:], epoch)
	return domainHash(domainSettled, previous[:], n[:], receipts[:])
}
