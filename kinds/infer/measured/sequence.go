package measured

import "fmt"

// Sequence is how the ledger adds up scores (x/work's measured kinds, whose parameters are
// MaxScore and Alarm here), for whoever wants to know what it would find. It adds up a worker's scores, in thousandths of a nat, never below zero: Page's
// cumulative sum. A score is the logarithm of an e-value, so as long as the worker is honest
// and its noise is such as the calibration saw, the sum crosses a bound of h nats once in e^h
// answers on average at most, however audits are spaced; a worker with a worse model gains at
// each answer what tells it from noise, and good answers of the past buy nothing.
type Sequence struct {
	Sum     int64  `json:"sum"`     // thousandths of a nat
	Answers uint64 `json:"answers"` // that were added
	Highest int64  `json:"highest"`
}

// Bounds of sequences, in thousandths of a nat.
const (
	// MaxScore is the most that one answer can count for or against its worker.
	MaxScore = 4_000
	// Alarm convicts: one false alarm in e^25 audited answers, if the noise is what the
	// calibration saw. Six answers can't reach it.
	Alarm = 25_000
)

// Add adds a score and reports whether the sum is above Alarm.
func (s *Sequence) Add(score int32) bool {
	s.Sum = max(s.Sum+int64(min(max(score, -MaxScore), MaxScore)), 0)
	s.Answers++
	s.Highest = max(s.Highest, s.Sum)
	return s.Crossed()
}

// Crossed reports whether the sum is above Alarm.
func (s *Sequence) Crossed() bool { return s.Sum > Alarm }

// String is for people.
func (s *Sequence) String() string {
	return fmt.Sprintf("%.1f of %.0f nats after %d answers", float64(s.Sum)/1000, float64(Alarm)/1000, s.Answers)
}
