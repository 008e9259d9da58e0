package types

import (
	"bytes"

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
		SampleStatus_SAMPLE_STATUS_UNAUDITED, SampleStatus_SAMPLE_STATUS_MERGED:
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
