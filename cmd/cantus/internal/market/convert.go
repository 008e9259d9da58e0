package market

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

var jobStatus = map[types.JobStatus]work.JobStatus{
	types.JobStatus_JOB_STATUS_OPEN:    work.JobOpen,
	types.JobStatus_JOB_STATUS_CLOSING: work.JobClosing,
	types.JobStatus_JOB_STATUS_CLOSED:  work.JobClosed,
	types.JobStatus_JOB_STATUS_FAULTED: work.JobFaulted,
}

var epochStatus = map[types.EpochStatus]work.EpochStatus{
	types.EpochStatus_EPOCH_STATUS_COMMITTED: work.EpochCommitted,
	types.EpochStatus_EPOCH_STATUS_SAMPLED:   work.EpochSampled,
	types.EpochStatus_EPOCH_STATUS_AUDITING:  work.EpochAuditing,
	types.EpochStatus_EPOCH_STATUS_DECIDED:   work.EpochDecided,
	types.EpochStatus_EPOCH_STATUS_SETTLED:   work.EpochSettled,
	types.EpochStatus_EPOCH_STATUS_VOID:      work.EpochVoid,
}

var sampleStatus = map[types.SampleStatus]work.SampleStatus{
	types.SampleStatus_SAMPLE_STATUS_DRAWN:     work.SampleDrawn,
	types.SampleStatus_SAMPLE_STATUS_OPENED:    work.SampleOpened,
	types.SampleStatus_SAMPLE_STATUS_REVEALING: work.SampleRevealing,
	types.SampleStatus_SAMPLE_STATUS_UPHELD:    work.SampleUpheld,
	types.SampleStatus_SAMPLE_STATUS_FALSE:     work.SampleFalse,
	types.SampleStatus_SAMPLE_STATUS_UNDECIDED: work.SampleUndecided,
	types.SampleStatus_SAMPLE_STATUS_UNAUDITED: work.SampleUnaudited,
	types.SampleStatus_SAMPLE_STATUS_MERGED:    work.SampleMerged,
	types.SampleStatus_SAMPLE_STATUS_ACCUSED:   work.SampleAccused,
}

// PlainJob is the ledger's record of a job in the network's own vocabulary.
func PlainJob(j types.Job) (work.Job, error) {
	spec, err := artifact.DigestFromBytes(j.SpecDigest)
	if err != nil {
		return work.Job{}, fmt.Errorf("job %d: its spec: %w", j.Id, err)
	}
	var settled artifact.Digest
	copy(settled[:], j.SettledRoot) // empty before the first settlement
	status, ok := jobStatus[j.Status]
	if !ok {
		return work.Job{}, fmt.Errorf("job %d: status %v is unknown to this version", j.Id, j.Status)
	}
	return work.Job{
		ID: work.JobID(j.Id), Buyer: j.Buyer, Gateway: j.Gateway, Cell: j.Cell, Kind: work.Name(j.Kind), Spec: spec,
		Escrow: j.Escrow.BigInt(), Price: j.Price.BigInt(), WorkerPrice: j.WorkerPrice.BigInt(),
		AuditBps: j.AuditBps, EpochBlocks: j.EpochBlocks, OpenedHeight: j.OpenedHeight, ExpiryHeight: j.ExpiryHeight,
		Status: status, Epochs: j.Epochs, Settled: j.EpochsSettled, Units: j.Units, Receipts: j.Receipts,
		UnitsSettled: j.UnitsSettled, Finished: j.Finished, SettledRoot: settled,
		Workers: j.PaidWorkers.BigInt(), GatewayFee: j.PaidGateway.BigInt(), Auditors: j.PaidAuditors.BigInt(),
		Royalties: j.PaidRoyalties.BigInt(), Burned: j.Burned.BigInt(), Refunded: j.Refunded.BigInt(),
	}, nil
}

// PlainEpoch is the ledger's record of an epoch in the network's own vocabulary.
func PlainEpoch(e types.Epoch) (work.Epoch, error) {
	fail := func(what string, err error) (work.Epoch, error) {
		return work.Epoch{}, fmt.Errorf("job %d, epoch %d: %s: %w", e.Job, e.Number, what, err)
	}
	receipts, err := artifact.DigestFromBytes(e.ReceiptsRoot)
	if err != nil {
		return fail("receipts root", err)
	}
	pay, err := artifact.DigestFromBytes(e.PayRoot)
	if err != nil {
		return fail("pay root", err)
	}
	out := work.Epoch{
		Job: work.JobID(e.Job), Number: e.Number,
		Receipts:     work.Root{Hash: work.Hash(receipts), Leaves: e.Receipts, Sum: e.Units},
		Pay:          work.Root{Hash: work.Hash(pay), Leaves: e.Workers, Sum: e.TotalUnits},
		Status:       epochStatus[e.Status],
		CommitHeight: e.CommitHeight, SettledHeight: e.SettledHeight, Deadline: e.Deadline, Label: work.Label(e.Label),
		ProbationReceipts: e.ProbationReceipts, ProbationUnits: e.ProbationUnits,
		PlantsShown: e.PlantsShown, PlantUnits: e.PlantUnits,
	}
	copy(out.Plants[:], e.Plants) // empty where there is no commitment
	copy(out.Beacon[:], e.Beacon) // empty until the next block
	for i, s := range e.Samples {
		sample := work.Sample{Unit: s.Unit, Status: sampleStatus[s.Status], Receipt: s.Receipt, Deadline: s.Deadline}
		for _, a := range s.Slots {
			k, err := work.KeyFromBytes(a.Auditor)
			if err != nil {
				return fail(fmt.Sprintf("an auditor of sample %d", i), err)
			}
			slot := work.Slot{Auditor: k, Committed: len(a.Commitment) > 0, Outcome: work.AuditOutcome(a.Outcome)}
			copy(slot.Evidence[:], a.Evidence)
			sample.Slots = append(sample.Slots, slot)
		}
		out.Samples = append(out.Samples, sample)
	}
	return out, nil
}

// PlainWorker is the ledger's record of a worker in the network's own vocabulary.
func PlainWorker(w types.Worker) (work.Worker, error) {
	k, err := work.KeyFromBytes(w.Key)
	if err != nil {
		return work.Worker{}, err
	}
	out := work.Worker{Key: k, Operator: w.Operator, Network: w.Network, Region: w.Region, Active: w.Status == types.Status_STATUS_ACTIVE,
		AuditsPassed: w.AuditsPassed, AuditsFailed: w.AuditsFailed, PlantsPassed: w.PlantsPassed}
	for _, n := range w.Kinds {
		out.Kinds = append(out.Kinds, work.Name(n))
	}
	return out, nil
}

// PlainGateway is the ledger's record of a gateway in the network's own vocabulary.
func PlainGateway(g types.Gateway) (work.Gateway, error) {
	k, err := work.KeyFromBytes(g.Key)
	if err != nil {
		return work.Gateway{}, err
	}
	out := work.Gateway{Address: g.Address, Key: k, URL: g.Url, FeeBps: g.FeeBps, Active: g.Status == types.Status_STATUS_ACTIVE}
	for _, c := range g.Cells {
		out.Cells = append(out.Cells, work.Cell{Name: c.Name, URL: c.Url, Address: c.Address})
	}
	return out, nil
}
