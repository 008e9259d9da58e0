package types

import (
	"bytes"
	"slices"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/work"
)

// Plain is p as package work verifies it.
func (p Proof) Plain() (work.Proof, error) {
	if len(p.Siblings) > maxSiblings {
		return work.Proof{}, ErrInvalid.Wrapf("proof of %d siblings, at most %d", len(p.Siblings), maxSiblings)
	}
	out := work.Proof{Index: p.Index, Siblings: make([]work.Node, len(p.Siblings))}
	for i, s := range p.Siblings {
		if len(s.Hash) != len(work.Hash{}) {
			return work.Proof{}, ErrInvalid.Wrapf("proof: sibling %d has %d bytes, want 32", i, len(s.Hash))
		}
		out.Siblings[i] = work.Node{Hash: work.Hash(s.Hash), Sum: s.Sum}
	}
	return out, nil
}

// ProofOf is a proof as messages carry it.
func ProofOf(p work.Proof) Proof {
	out := Proof{Index: p.Index, Siblings: make([]Node, len(p.Siblings))}
	for i, s := range p.Siblings {
		out.Siblings[i] = Node{Hash: append([]byte(nil), s.Hash[:]...), Sum: s.Sum}
	}
	return out
}

// ReceiptsTree is the commitment to the epoch's receipts.
func (e Epoch) ReceiptsTree() work.Root {
	return work.Root{Hash: hash32(e.ReceiptsRoot), Leaves: e.Receipts, Sum: e.Units}
}

// PayTree is the commitment to the workers' cumulative units.
func (e Epoch) PayTree() work.Root {
	return work.Root{Hash: hash32(e.PayRoot), Leaves: e.Workers, Sum: e.TotalUnits}
}

// hash32 copies 32 bytes out of b; what is shorter, as in a record that has no such
// digest yet, is all zero.
func hash32(b []byte) (h [32]byte) {
	if len(b) == len(h) {
		copy(h[:], b)
	}
	return h
}

// BeaconBytes is the epoch's beacon, all zero before it is drawn.
func (e Epoch) BeaconBytes() [32]byte { return hash32(e.Beacon) }

// Final reports whether nothing more happens to the epoch.
func (e Epoch) Final() bool {
	return e.Status == EpochStatus_EPOCH_STATUS_SETTLED || e.Status == EpochStatus_EPOCH_STATUS_VOID
}

// OwesPlants reports whether the gateway has committed to plants that it has not shown.
func (e Epoch) OwesPlants() bool { return len(e.Plants) > 0 && !e.PlantsShown }

// PayableUnits are the epoch's units without those of its plants.
func (e Epoch) PayableUnits() uint64 { return e.Units - e.PlantUnits }

// PlantUnitsOf are the units of the shown plants that a worker signed.
func (e Epoch) PlantUnitsOf(worker []byte) uint64 {
	var n uint64
	for _, p := range e.Shown {
		if bytes.Equal(p.Worker, worker) {
			n += p.Units
		}
	}
	return n
}

// Cell is the gateway's cell of that name.
func (g *Gateway) Cell(name string) *Cell {
	for i := range g.Cells {
		if g.Cells[i].Name == name {
			return &g.Cells[i]
		}
	}
	return nil
}

// Decided reports whether the sample's audit is over.
func (s Sample) Decided() bool {
	switch s.Status {
	case SampleStatus_SAMPLE_STATUS_UPHELD, SampleStatus_SAMPLE_STATUS_FALSE, SampleStatus_SAMPLE_STATUS_UNDECIDED,
		SampleStatus_SAMPLE_STATUS_UNAUDITED, SampleStatus_SAMPLE_STATUS_MERGED, SampleStatus_SAMPLE_STATUS_ACCUSED:
		return true
	}
	return false
}

// Count is how many of the sample's auditors found it true, and how many false.
func (s Sample) Count() (passes, fails int) {
	for _, slot := range s.Slots {
		switch slot.Outcome {
		case Outcome_OUTCOME_PASS:
			passes++
		case Outcome_OUTCOME_FAIL:
			fails++
		}
	}
	return passes, fails
}

// Outvoted reports whether its auditors found it false by vote: most of those who could
// tell, and two where more than one was asked, for one auditor alone convicts nobody.
func (s Sample) Outvoted() bool {
	passes, fails := s.Count()
	return fails > passes && fails >= min(2, len(s.Slots))
}

// SampleAt is the number of the sample of the receipt at a place in the tree, or -1.
func (e Epoch) SampleAt(index uint64) int {
	return slices.IndexFunc(e.Samples, func(s Sample) bool {
		return s.Index == index && len(s.Receipt) > 0 && s.Status != SampleStatus_SAMPLE_STATUS_MERGED
	})
}

// StatusAt is how the audit of a receipt stands; zero where it was not drawn.
func (e Epoch) StatusAt(index uint64) SampleStatus {
	if i := e.SampleAt(index); i >= 0 {
		return e.Samples[i].Status
	}
	return SampleStatus_SAMPLE_STATUS_UNSPECIFIED
}

// Doubt says why nobody stands for a receipt of the epoch any more, as far as the epoch knows;
// it is empty where somebody does.
func (e Epoch) Doubt(index uint64) string {
	s := e.StatusAt(index)
	switch {
	case e.Status == EpochStatus_EPOCH_STATUS_VOID:
		return "its epoch is void"
	case e.ShownAt(index):
		return "its gateway has shown that it knew it to be wrong"
	case s == SampleStatus_SAMPLE_STATUS_FALSE:
		return "it was found false"
	case s == SampleStatus_SAMPLE_STATUS_UNDECIDED && e.Status == EpochStatus_EPOCH_STATUS_SETTLED:
		return "its auditors did not uphold it"
	}
	return ""
}

// Contested reports whether auditors did not uphold a receipt and it is not decided yet what
// that comes to.
func (e Epoch) Contested(index uint64) bool {
	s := e.StatusAt(index)
	return e.Status != EpochStatus_EPOCH_STATUS_SETTLED && (s == SampleStatus_SAMPLE_STATUS_ACCUSED || s == SampleStatus_SAMPLE_STATUS_UNDECIDED)
}

// LabelOf is how a receipt of the epoch was checked itself. What it is among receipts that
// were is for the epoch's own label to say.
func (e Epoch) LabelOf(index uint64) work.Label {
	if e.Status != EpochStatus_EPOCH_STATUS_SETTLED || e.StatusAt(index) != SampleStatus_SAMPLE_STATUS_UPHELD {
		return work.Asserted
	}
	return e.Audited()
}

// Audited is what an audit of the epoch's kind comes to where it upholds a receipt.
func (e Epoch) Audited() work.Label {
	switch {
	case e.Refereed: // whoever upheld it computed the same bits
		return work.Replayed
	case e.Measured:
		return work.Measured
	}
	return work.Agreed
}

// FoundByDispute is how many of its samples were not drawn, but shown to be false.
func (e Epoch) FoundByDispute() int {
	n := 0
	for _, s := range e.Samples {
		if s.Challenger != "" && len(s.Slots) == 0 {
			n++
		}
	}
	return n
}

// ShownAt reports whether the receipt at a place in the tree was shown to be a plant.
func (e Epoch) ShownAt(index uint64) bool {
	return slices.ContainsFunc(e.Shown, func(p Plant) bool { return p.Index == index })
}

// Over reports whether the dispute has ended.
func (d Dispute) Over() bool {
	switch d.Status {
	case DisputeStatus_DISPUTE_STATUS_WON, DisputeStatus_DISPUTE_STATUS_LOST, DisputeStatus_DISPUTE_STATUS_MOOT:
		return true
	}
	return false
}

// Answered reports whether the dispute is open and the worker has named its trace.
func (d Dispute) Answered() bool {
	switch d.Status {
	case DisputeStatus_DISPUTE_STATUS_DESCENDING, DisputeStatus_DISPUTE_STATUS_DECIDING, DisputeStatus_DISPUTE_STATUS_AGREED:
		return true
	}
	return false
}

// InAudit reports whether the sample's auditors have still something to say.
func (s Sample) InAudit() bool {
	return s.Status == SampleStatus_SAMPLE_STATUS_OPENED || s.Status == SampleStatus_SAMPLE_STATUS_REVEALING
}

// Live reports whether the job may still get epochs or has some that are not final.
func (j Job) Live() bool {
	return j.Status == JobStatus_JOB_STATUS_OPEN || j.Status == JobStatus_JOB_STATUS_CLOSING
}

// Spent is what left the job's escrow.
func (j Job) Spent() math.Int {
	return j.PaidWorkers.Add(j.PaidGateway).Add(j.PaidAuditors).Add(j.PaidRoyalties).Add(j.Burned).Add(j.Refunded)
}

// Left is what is still in the job's escrow.
func (j Job) Left() math.Int { return j.Escrow.Sub(j.Spent()) }

// Payable is the part of the escrow that belongs to workers who have not claimed it yet.
func (j Job) Payable() math.Int {
	return j.WorkerPrice.Mul(math.NewIntFromUint64(j.UnitsSettled - j.UnitsClaimed))
}
