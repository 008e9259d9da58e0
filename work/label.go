package work

import "fmt"

// Label says how a result was checked. Labels are ordered, and a result is never shown
// with a stronger one than it earned.
type Label string

const (
	Proved   Label = "proved"   // a proof, or the ledger's referee decided
	Replayed Label = "replayed" // the same bits on another machine
	Attested Label = "attested" // genuine hardware evidence
	Agreed   Label = "agreed"   // k of n found the same
	Measured Label = "measured" // statistics
	Asserted Label = "asserted" // a signature only
)

var strength = map[Label]int{Proved: 6, Replayed: 5, Attested: 4, Agreed: 3, Measured: 2, Asserted: 1}

// Check refuses an unknown label.
func (l Label) Check() error {
	if strength[l] == 0 {
		return fmt.Errorf("unknown trust label %.20q: one of proved, replayed, attested, agreed, measured, asserted", string(l))
	}
	return nil
}

// Stronger reports whether l promises more than o.
func (l Label) Stronger(o Label) bool { return strength[l] > strength[o] }

// Weakest is the label of something that was made of parts with these labels: the
// weakest of them, Asserted where there are none.
func Weakest(labels ...Label) Label {
	if len(labels) == 0 {
		return Asserted
	}
	w := labels[0]
	for _, l := range labels[1:] {
		if w.Stronger(l) {
			w = l
		}
	}
	return w
}
