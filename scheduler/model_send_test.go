package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// The transactions that the model takes.

func (l *link) CommitEpoch(_ context.Context, c scheduler.Commitment) error {
	return l.send("commit", func(m *model) error {
		j := m.jobs[c.Job]
		total := new(big.Int).Mul(j.Price, new(big.Int).SetUint64(c.Pay.Sum))
		switch {
		case j.Status != work.JobOpen && (j.Status != work.JobClosing || j.Finished || m.height > j.closing+m.params.GraceBlocks):
			return fmt.Errorf("job %d takes no epochs: %s", c.Job, j.Status)
		case c.Number != j.Epochs+1:
			return fmt.Errorf("epoch %d, the next is %d", c.Number, j.Epochs+1)
		case j.Epochs-j.Settled >= 64:
			return errors.New("too many epochs pending")
		case c.Receipts.Leaves == 0 || c.Pay.Leaves == 0:
			return errors.New("an empty epoch")
		case c.ProbationReceipts > c.Receipts.Leaves || c.ProbationUnits > c.Receipts.Sum:
			return errors.New("more on probation than there are")
		case (c.ProbationReceipts == 0) != (c.ProbationUnits == 0):
			return errors.New("receipts on probation without units, or units without receipts")
		case c.Pay.Sum-c.Receipts.Sum != j.Units:
			return fmt.Errorf("%d units in all, but %d and %d were committed", c.Pay.Sum, j.Units, c.Receipts.Sum)
		case total.Cmp(j.Escrow) > 0:
			return errors.New("more than the escrow")
		}
		j.epochs = append(j.epochs, &work.Epoch{
			Job: c.Job, Number: c.Number, Receipts: c.Receipts, Pay: c.Pay, Status: work.EpochCommitted, CommitHeight: m.height,
			ProbationReceipts: c.ProbationReceipts, ProbationUnits: c.ProbationUnits, Plants: c.Plants,
		})
		j.Epochs, j.Units, j.Receipts = c.Number, c.Pay.Sum, j.Receipts+c.Receipts.Leaves
		if c.Finish {
			m.finish(j)
		}
		return nil
	})
}

func (m *model) finish(j *modelJob) {
	j.Finished = true
	if j.Status == work.JobOpen {
		j.Status, j.closing = work.JobClosing, m.height
	}
}

func (l *link) OpenReceipts(_ context.Context, id work.JobID, n uint64, openings []scheduler.Opening) error {
	return l.send("open", func(m *model) error {
		j, e, err := m.epoch(id, n)
		if err != nil {
			return err
		}
		if e.Status != work.EpochSampled {
			return fmt.Errorf("epoch %d has no samples to open: %s", n, e.Status)
		}
		for _, o := range openings {
			if e.Samples[o.Sample].Status != work.SampleDrawn {
				return fmt.Errorf("sample %d was opened before", o.Sample)
			}
		}
		for _, o := range openings {
			if err := m.openSample(j, e, o); err != nil {
				return err
			}
		}
		m.advance(j, e)
		return nil
	})
}

func (m *model) openSample(j *modelJob, e *work.Epoch, o scheduler.Opening) error {
	s := &e.Samples[o.Sample]
	signed, err := work.DecodeReceipt(o.Receipt)
	if err != nil {
		return err
	}
	r := signed.Receipt
	offset, err := o.Proof.Verify(e.Receipts, work.ReceiptLeaf(o.Receipt, r.Units))
	if err != nil {
		return err
	}
	if s.Unit < offset || s.Unit-offset >= r.Units {
		return fmt.Errorf("sample %d is unit %d, the receipt covers %d from %d", o.Sample, s.Unit, r.Units, offset)
	}
	if err := signed.Verify(); err != nil {
		return err
	}
	if o.Proof.Index >= e.ProbationReceipts && m.workers[r.Worker].AuditsPassed < m.params.ProbationAudits {
		m.fault(j, fmt.Sprintf("epoch %d: receipt %d is of a worker on probation and not among the first", e.Number, o.Proof.Index))
		return nil
	}
	s.Receipt = o.Receipt
	for i := range e.Samples {
		if i != int(o.Sample) && e.Samples[i].Status != work.SampleMerged && string(e.Samples[i].Receipt) == string(o.Receipt) {
			s.Status = work.SampleMerged
			return nil
		}
	}
	var candidates []work.Candidate
	for _, w := range m.workers {
		if w.Active && slices.Contains(w.Kinds, j.Kind) {
			candidates = append(candidates, work.Candidate{Key: w.Key, Operator: w.Operator})
		}
	}
	who := work.Candidate{Key: r.Worker, Operator: m.workers[r.Worker].Operator}
	drawn := work.Auditors(e.Beacon, o.Sample, who, candidates, m.auditors)
	if len(drawn) == 0 {
		s.Status = work.SampleUnaudited
		return nil
	}
	s.Status, s.Deadline = work.SampleOpened, m.height+m.openBlocks
	for _, a := range drawn {
		s.Slots = append(s.Slots, work.Slot{Auditor: a})
	}
	return nil
}

// commitments are kept beside the epochs, which have no room for them.
var commitments sync.Map

func (l *link) CommitVerdicts(_ context.Context, id work.JobID, n uint64, verdicts []scheduler.VerdictCommitment) error {
	return l.send("verdict", func(m *model) error {
		j, e, err := m.epoch(id, n)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			slot, err := findSlot(e, v.Sample, v.Auditor)
			if err != nil {
				return err
			}
			vid := work.VerdictID{Chain: m.chain, Job: id, Epoch: n, Sample: v.Sample, Auditor: v.Auditor}
			if err := work.VerifyCommitment(vid, v.Commitment, v.Signature); err != nil {
				return err
			}
			key := fmt.Sprintf("%p %v", e, vid)
			if was, ok := commitments.Load(key); ok && was != v.Commitment {
				return errors.New("another verdict was committed")
			} else if !ok && e.Samples[v.Sample].Status != work.SampleOpened {
				return errors.New("too late")
			}
			commitments.Store(key, v.Commitment)
			slot.Committed = true
		}
		m.advance(j, e)
		return nil
	})
}

func findSlot(e *work.Epoch, sample uint32, a work.PublicKey) (*work.Slot, error) {
	if int(sample) >= len(e.Samples) {
		return nil, fmt.Errorf("no sample %d", sample)
	}
	for i := range e.Samples[sample].Slots {
		if s := &e.Samples[sample].Slots[i]; s.Auditor == a {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s was not drawn for sample %d", a.Short(), sample)
}

func (l *link) RevealVerdicts(_ context.Context, id work.JobID, n uint64, verdicts []scheduler.VerdictReveal) error {
	return l.send("reveal", func(m *model) error {
		j, e, err := m.epoch(id, n)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			slot, err := findSlot(e, v.Sample, v.Auditor)
			if err != nil {
				return err
			}
			if slot.Outcome == v.Outcome {
				continue
			}
			if e.Samples[v.Sample].Status != work.SampleRevealing {
				return fmt.Errorf("sample %d is not revealing", v.Sample)
			}
			vid := work.VerdictID{Chain: m.chain, Job: id, Epoch: n, Sample: v.Sample, Auditor: v.Auditor}
			c, ok := commitments.Load(fmt.Sprintf("%p %v", e, vid))
			if !ok {
				return errors.New("nothing was committed")
			}
			verdict := work.Verdict{Outcome: v.Outcome, Evidence: v.Evidence}
			if err := verdict.CheckReveal(vid, v.Salt, c.(artifact.Digest)); err != nil {
				return err
			}
			slot.Outcome, slot.Evidence = v.Outcome, v.Evidence
		}
		m.advance(j, e)
		return nil
	})
}

func (l *link) RevealPlants(_ context.Context, id work.JobID, n uint64, salt [work.SaltSize]byte, plants []scheduler.CommittedReceipt) error {
	return l.send("plants", func(m *model) error {
		j, e, err := m.epoch(id, n)
		switch {
		case err != nil:
			return err
		case e.Status != work.EpochDecided || e.Plants.IsZero() || e.PlantsShown:
			return fmt.Errorf("epoch %d is %s, plants shown: %v", n, e.Status, e.PlantsShown)
		}
		p := work.Plants{Chain: m.chain, Job: id, Epoch: n, Salt: salt}
		for _, x := range plants {
			s, err := work.DecodeReceipt(x.Receipt)
			if err != nil {
				return err
			}
			if _, err := x.Proof.Verify(e.Receipts, work.ReceiptLeaf(x.Receipt, s.Receipt.Units)); err != nil {
				return err
			}
			if err := s.Verify(); err != nil {
				return err
			}
			p.Indices = append(p.Indices, x.Proof.Index)
		}
		if err := p.Check(e.Plants); err != nil {
			return err
		}
		for _, x := range plants {
			s, _ := work.DecodeReceipt(x.Receipt)
			e.PlantUnits += s.Receipt.Units
			j.planted[s.Receipt.Worker] += s.Receipt.Units
			j.plants[s.Receipt.Seq] = true
		}
		e.PlantsShown = true
		return nil
	})
}

func (l *link) FinishJob(_ context.Context, id work.JobID) error {
	return l.send("finish", func(m *model) error {
		j := m.jobs[id]
		if j.Status == work.JobClosed || j.Status == work.JobFaulted {
			return fmt.Errorf("job %d is %s", id, j.Status)
		}
		m.finish(j)
		return nil
	})
}

func (l *link) Claim(_ context.Context, id work.JobID, n uint64, claims []scheduler.PayProof) error {
	return l.send("claim", func(m *model) error {
		j, e, err := m.epoch(id, n)
		if err != nil {
			return err
		}
		if e.Status != work.EpochSettled {
			return errors.New("not settled")
		}
		if len(claims) == 0 || len(claims) > m.params.MaxWorkersPerTx {
			return fmt.Errorf("%d claims in one transaction", len(claims))
		}
		paid := false
		for _, c := range claims {
			if _, err := c.Proof.Verify(e.Pay, work.PayLeaf(c.Worker, c.Units)); err != nil {
				return err
			}
			paid = paid || c.Units > j.claimed[c.Worker]
		}
		if !paid {
			return errors.New("nothing is due")
		}
		for _, c := range claims {
			j.claimed[c.Worker] = max(j.claimed[c.Worker], c.Units)
		}
		return nil
	})
}

func (l *link) AnswerChallenge(_ context.Context, id, n uint64, pay scheduler.PayProof) error {
	return l.send("answer", func(m *model) error {
		c := m.challenges[id]
		if c == nil {
			return errors.New("no such challenge")
		}
		_, e, err := m.epoch(c.Job, n)
		if err != nil {
			return err
		}
		if n < c.Epoch || pay.Worker != c.Worker || pay.Units < c.Units {
			return errors.New("that is no answer")
		}
		if _, err := pay.Proof.Verify(e.Pay, work.PayLeaf(pay.Worker, pay.Units)); err != nil {
			return err
		}
		delete(m.challenges, id)
		return nil
	})
}
