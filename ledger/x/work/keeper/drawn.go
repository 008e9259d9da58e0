package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// An auditor is drawn from the whole roster, so it may never have heard of the gateway whose
// job it is drawn for. What it was drawn for is therefore listed by auditor, from the opening
// of the sample until it is decided or void, and with it where the job's gateway is.

// listAudits lists a sample under each of its auditors.
func (k *Keeper) listAudits(ctx context.Context, e types.Epoch, sample uint32) error {
	for _, slot := range e.Samples[sample].Slots {
		if err := k.audits.Set(ctx, collections.Join4(slot.Auditor, e.Job, e.Number, sample)); err != nil {
			return err
		}
	}
	return nil
}

// unlistAudits takes a sample off its auditors' lists. One that is on none is no error.
func (k *Keeper) unlistAudits(ctx context.Context, e types.Epoch, sample uint32) error {
	if !e.Samples[sample].InAudit() {
		return nil
	}
	for _, slot := range e.Samples[sample].Slots {
		if err := k.audits.Remove(ctx, collections.Join4(slot.Auditor, e.Job, e.Number, sample)); err != nil {
			return err
		}
	}
	return nil
}

// listEpochAudits lists the audits of an epoch that came with its samples.
func (k *Keeper) listEpochAudits(ctx context.Context, e types.Epoch) error {
	if e.Final() {
		return nil
	}
	for i, s := range e.Samples {
		if !s.InAudit() {
			continue
		}
		if err := k.listAudits(ctx, e, uint32(i)); err != nil {
			return err
		}
	}
	return nil
}

// relistAudits lists the audits of a market that had no such list. Only live jobs have
// epochs that are not final, and each of them a few.
func (k *Keeper) relistAudits(ctx context.Context) error {
	return k.live.Walk(ctx, nil, func(id uint64) (bool, error) {
		j, err := k.job(ctx, id)
		if err != nil {
			return true, err
		}
		for n := j.EpochsSettled + 1; n <= j.Epochs; n++ { // at most types.MaxPending
			e, err := k.epoch(ctx, id, n)
			if err != nil {
				return true, err
			}
			if err := k.listEpochAudits(ctx, e); err != nil {
				return true, err
			}
		}
		return false, nil
	})
}

// auditReader reads the audits of one list, which has all of a job's in a row.
type auditReader struct {
	k     *Keeper
	job   types.Job
	at    types.Gateway
	epoch types.Epoch
}

func (r *auditReader) read(ctx context.Context, key auditKey) (types.Audit, error) {
	auditor, id, number, sample := key.K1(), key.K2(), key.K3(), key.K4()
	var err error
	if r.job.Id != id {
		if r.job, err = r.k.job(ctx, id); err != nil {
			return types.Audit{}, err
		}
		if r.at, err = r.k.gatewayOfJob(ctx, r.job); err != nil {
			return types.Audit{}, err
		}
	}
	if r.epoch.Job != id || r.epoch.Number != number {
		if r.epoch, err = r.k.epoch(ctx, id, number); err != nil {
			return types.Audit{}, err
		}
	}
	s, slot, err := slot(&r.epoch, sample, auditor)
	if err != nil {
		return types.Audit{}, fmt.Errorf("epoch %d of job %d: %w", number, id, err)
	}
	a := types.Audit{
		Job: id, Epoch: number, Sample: sample, Status: s.Status, Deadline: s.Deadline,
		Committed: len(slot.Commitment) > 0, Revealed: slot.Outcome != types.Outcome_OUTCOME_UNSPECIFIED,
		Gateway: r.at.Address, GatewayKey: r.at.Key, Cell: r.job.Cell, Url: r.at.Url,
	}
	if c := r.at.Cell(r.job.Cell); c != nil {
		a.Url = c.Url
	}
	return a, nil
}

// drawnAudit is an entry of the list, as the books compare it.
type drawnAudit struct {
	auditor    string
	job, epoch uint64
	sample     uint32
}

// tallyAudits notes which audits of an epoch must be listed.
func (b *bookkeeper) tallyAudits(e types.Epoch) {
	if e.Final() {
		return
	}
	for i, s := range e.Samples {
		if !s.InAudit() {
			continue
		}
		for _, slot := range s.Slots {
			b.audits[drawnAudit{string(slot.Auditor), e.Job, e.Number, uint32(i)}] = true
		}
	}
}

// checkAudits checks that those audits are listed, and no others.
func (k *Keeper) checkAudits(ctx context.Context, b *bookkeeper) error {
	listed := 0
	err := k.audits.Walk(ctx, nil, func(key auditKey) (bool, error) {
		listed++
		if !b.audits[drawnAudit{string(key.K1()), key.K2(), key.K3(), key.K4()}] {
			b.broken("worker %x is listed as an auditor of sample %d of epoch %d of job %d, which is not in audit", key.K1(), key.K4(), key.K3(), key.K2())
		}
		return false, nil
	})
	if listed != len(b.audits) {
		b.broken("%d audits are listed, %d are under way", listed, len(b.audits))
	}
	return err
}
