package scheduler

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// How long an order waits for its answer before it is given again.
const (
	auditAgain  = 15 * time.Second
	revealAgain = 3 * time.Second
)

// orderID names what an auditor is asked to do.
type orderID struct {
	job    work.JobID
	epoch  uint64
	sample uint32
	reveal bool
}

// order is an audit or a reveal that waits for its auditor.
type order struct {
	audit plane.Audit
	sent  time.Time
}

// auditorOf is one auditor's part in one sample.
type auditorOf struct {
	sample  uint32
	auditor work.PublicKey
}

// setOrders makes want the open orders of an epoch and nudges who has new ones.
func (s *Scheduler) setOrders(id work.JobID, epoch uint64, had map[work.PublicKey]bool, want map[work.PublicKey]map[orderID]*order) {
	for key := range had {
		if want[key] == nil {
			want[key] = nil // to take back what is there
		}
	}
	for key, orders := range want {
		w := s.worker(key)
		fresh := false
		w.mu.Lock()
		for o := range w.orders {
			if o.job == id && o.epoch == epoch && orders[o] == nil {
				delete(w.orders, o)
			}
		}
		for o, x := range orders {
			if w.orders[o] == nil {
				w.orders[o] = x
				fresh = true
			}
		}
		w.mu.Unlock()
		if fresh {
			s.busy(w)
			s.cfg.Nudge(key)
		}
	}
}

// ordersFor picks the orders that w is to be given now.
func (s *Scheduler) ordersFor(w *worker, r *room, now time.Time) (audits []plane.Audit, reveals []plane.Reveal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, o := range w.orders {
		again := auditAgain
		if id.reveal {
			again = revealAgain
		}
		if !o.sent.IsZero() && now.Sub(o.sent) < again {
			continue
		}
		if id.reveal {
			if len(reveals) == plane.MaxAudits {
				continue
			}
			reveals = append(reveals, plane.Reveal{Job: id.job, Epoch: id.epoch, Sample: id.sample})
		} else {
			size := bundleOverhead + len(o.audit.Body) + len(o.audit.Receipt)
			if len(audits) == plane.MaxAudits || r.bytes < size {
				continue
			}
			r.bytes -= size
			audits = append(audits, o.audit)
		}
		o.sent = now
	}
	s.m.orders.Add(float64(len(audits) + len(reveals)))
	return audits, reveals
}

// hasOrders reports whether w has orders that it was never given.
func (s *Scheduler) hasOrders(w *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orders {
		if o.sent.IsZero() {
			return true
		}
	}
	return false
}

func (s *Scheduler) answered(key work.PublicKey, id orderID) {
	w := s.worker(key)
	w.mu.Lock()
	delete(w.orders, id)
	w.mu.Unlock()
}

// verdicts takes sealed and opened verdicts, for the job's loop to carry to the ledger.
func (s *Scheduler) verdicts(key work.PublicKey, commits []plane.VerdictCommit, reveals []plane.VerdictReveal) (refused []plane.Refusal, err error) {
	if len(commits)+len(reveals) == 0 {
		return nil, nil
	}
	b := s.store.batch()
	kicked := map[*job]bool{}
	for _, v := range commits {
		j, why, err := s.verdict(b, key, v)
		if err != nil {
			_ = b.Close()
			return nil, err
		}
		if why != "" {
			refused = append(refused, plane.Refusal{Job: v.Job, Epoch: v.Epoch, Seq: uint64(v.Sample), Reason: why})
			continue
		}
		kicked[j] = true
	}
	for _, v := range reveals {
		j, why, err := s.reveal(b, key, v)
		if err != nil {
			_ = b.Close()
			return nil, err
		}
		if why != "" {
			refused = append(refused, plane.Refusal{Job: v.Job, Epoch: v.Epoch, Seq: uint64(v.Sample), Reason: why})
			continue
		}
		kicked[j] = true
	}
	s.m.refused.WithLabelValues("verdict").Add(float64(len(refused)))
	if err := s.store.commit(b); err != nil {
		return nil, err
	}
	for j := range kicked {
		j.kickNow()
	}
	return refused, nil
}

// seat finds an auditor's part in a sample.
func (s *Scheduler) seat(key work.PublicKey, id work.JobID, epoch uint64, sample uint32) (j *job, es *epochState, slot *work.Slot, why string, err error) {
	j = s.job(id)
	if j == nil {
		return nil, nil, nil, "this gateway has no such job", nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	es = j.epochs[epoch]
	switch {
	case es == nil:
		return j, nil, nil, "the job has no such epoch", nil
	case es.record.Status == work.EpochSettled || es.record.Status == work.EpochVoid:
		return j, es, nil, "the epoch is settled", nil
	case es.live == nil:
		return j, es, nil, "", plane.Busy(time.Second, "this gateway has just started and reads the ledger: try again")
	case uint64(sample) >= uint64(len(es.live.Samples)):
		return j, es, nil, "the epoch has no such sample", nil
	}
	for i := range es.live.Samples[sample].Slots {
		if slot := es.live.Samples[sample].Slots[i]; slot.Auditor == key {
			return j, es, &slot, "", nil
		}
	}
	return j, es, nil, "this worker was not drawn to audit that sample", nil
}

func (s *Scheduler) verdict(b writer, key work.PublicKey, v plane.VerdictCommit) (j *job, why string, err error) {
	j, es, slot, why, err := s.seat(key, v.Job, v.Epoch, v.Sample)
	if why != "" || err != nil {
		return j, why, err
	}
	id := work.VerdictID{Chain: s.cfg.Chain, Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Auditor: key}
	if err := work.VerifyCommitment(id, v.Commitment, v.Signature); err != nil {
		return j, err.Error(), nil
	}
	defer func() {
		if why == "" && err == nil {
			s.answered(key, orderID{v.Job, v.Epoch, v.Sample, false})
		}
	}()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.loadVerdicts(v.Epoch, es); err != nil {
		return j, "", err
	}
	at := auditorOf{v.Sample, key}
	if was, ok := es.verdicts[at]; ok {
		if was.Commitment != v.Commitment {
			return j, "another verdict of this auditor is already sealed", nil
		}
	} else if !slot.Committed {
		r := verdictRecord{Commitment: v.Commitment, Signature: bytes.Clone(v.Signature)}
		_ = b.Set(verdictKey(v.Job, v.Epoch, v.Sample, key), encode(r), nil)
		es.verdicts[at] = r
		j.log.Info("a verdict came in, sealed", "epoch", v.Epoch, "sample", v.Sample, "auditor", key.Short())
	}
	return j, "", nil
}

func (s *Scheduler) reveal(b writer, key work.PublicKey, v plane.VerdictReveal) (j *job, why string, err error) {
	j, es, slot, why, err := s.seat(key, v.Job, v.Epoch, v.Sample)
	if why != "" || err != nil {
		return j, why, err
	}
	defer func() {
		if why == "" && err == nil {
			s.answered(key, orderID{v.Job, v.Epoch, v.Sample, true})
		}
	}()
	if slot.Outcome != 0 {
		return j, "", nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.loadVerdicts(v.Epoch, es); err != nil {
		return j, "", err
	}
	at := auditorOf{v.Sample, key}
	r, ok := es.verdicts[at]
	switch {
	case ok && !r.Commitment.IsZero():
		id := work.VerdictID{Chain: s.cfg.Chain, Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Auditor: key}
		verdict := work.Verdict{Outcome: v.Outcome, Evidence: v.Evidence, Score: v.Score}
		if err := verdict.CheckReveal(id, v.Salt, r.Commitment); err != nil {
			return j, err.Error(), nil
		}
	case slot.Committed: // somebody else carried it there: the ledger checks it
	default:
		return j, "no verdict of this auditor is sealed for that sample", nil
	}
	if !r.Revealed {
		r.Revealed, r.Outcome, r.Evidence, r.Salt, r.Score = true, v.Outcome, v.Evidence, v.Salt, v.Score
		_ = b.Set(verdictKey(v.Job, v.Epoch, v.Sample, key), encode(r), nil)
		es.verdicts[at] = r
		j.log.Info("a verdict was opened", "epoch", v.Epoch, "sample", v.Sample, "auditor", key.Short(), "outcome", v.Outcome.String())
	}
	return j, "", nil
}

// loadVerdicts reads an epoch's verdicts from the database, once. The caller holds j.mu.
func (j *job) loadVerdicts(n uint64, es *epochState) error {
	if es.verdicts != nil {
		return nil
	}
	es.verdicts = map[auditorOf]verdictRecord{}
	prefix := numberKey(spaceVerdict, j.id, n)
	return j.s.store.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		r, err := decodeVerdict(v)
		if err != nil {
			return false, err
		}
		k = k[len(prefix):]
		if len(k) != 4+len(work.PublicKey{}) {
			return false, fmt.Errorf("%w: a verdict's key of %d bytes", ErrCorrupt, len(k))
		}
		at := auditorOf{sample: uint32(k[0])<<24 | uint32(k[1])<<16 | uint32(k[2])<<8 | uint32(k[3])}
		copy(at.auditor[:], k[4:])
		es.verdicts[at] = r
		return true, nil
	})
}

// audits works out, for an epoch's samples as the ledger has them, what is to be carried
// there and what is to be asked of whom. The caller holds j.mu.
func (j *job) audits(n uint64, es *epochState, ep *work.Epoch) (commits []VerdictCommitment, reveals []VerdictReveal, orders map[work.PublicKey]map[orderID]*order, err error) {
	if err := j.loadVerdicts(n, es); err != nil {
		return nil, nil, nil, err
	}
	orders = map[work.PublicKey]map[orderID]*order{}
	ask := func(key work.PublicKey, id orderID, o *order) {
		if orders[key] == nil {
			orders[key] = map[orderID]*order{}
		}
		orders[key][id] = o
	}
	for i, sample := range ep.Samples {
		if sample.Status != work.SampleOpened && sample.Status != work.SampleRevealing {
			continue
		}
		for _, slot := range sample.Slots {
			at := auditorOf{uint32(i), slot.Auditor}
			v, have := es.verdicts[at]
			switch {
			case sample.Status == work.SampleOpened && slot.Committed:
			case sample.Status == work.SampleOpened && have:
				commits = append(commits, VerdictCommitment{Sample: at.sample, Auditor: slot.Auditor, Commitment: v.Commitment, Signature: v.Signature})
			case sample.Status == work.SampleOpened:
				id := orderID{j.id, n, at.sample, false}
				audit, err := j.auditOf(n, at.sample, sample.Receipt, j.s.heightTime(cmp.Or(sample.Deadline, ep.Deadline)))
				if err != nil {
					return nil, nil, nil, err
				}
				ask(slot.Auditor, id, &order{audit: audit})
			case !slot.Committed || slot.Outcome != 0:
			case v.Revealed:
				reveals = append(reveals, VerdictReveal{Sample: at.sample, Auditor: slot.Auditor, Outcome: v.Outcome, Evidence: v.Evidence, Salt: v.Salt, Score: v.Score})
			default:
				ask(slot.Auditor, orderID{j.id, n, at.sample, true}, &order{})
			}
		}
	}
	return commits, reveals, orders, nil
}

// auditOf is the order to check a receipt.
func (j *job) auditOf(epoch uint64, sample uint32, encoded []byte, deadline time.Time) (plane.Audit, error) {
	r, err := work.DecodeReceipt(encoded)
	if err != nil {
		return plane.Audit{}, fmt.Errorf("sample %d of epoch %d: %w", sample, epoch, err)
	}
	v, err := j.s.store.get(receiptKey(j.id, epoch, r.Receipt.Seq))
	if err != nil {
		return plane.Audit{}, err
	}
	_, body, err := splitReceipt(v)
	if err != nil {
		return plane.Audit{}, err
	}
	return plane.Audit{
		Epoch: epoch, Sample: sample, Job: j.id, Kind: j.rec.Kind, Spec: j.rec.Spec,
		Seq: r.Receipt.Seq, Body: body, Receipt: encoded, Deadline: deadline.UnixMilli(),
	}, nil
}
