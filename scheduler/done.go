package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// receipts takes a worker's receipts and failures of one job. What it returns without an
// error is durable.
func (s *Scheduler) receipts(ctx context.Context, w *worker, active bool, id work.JobID, receipts []*work.SignedReceipt, failures []plane.Failure) (voucher *work.SignedVoucher, refused []plane.Refusal, err error) {
	refuse := func(seq uint64, why, reason string) {
		s.m.refused.WithLabelValues(why).Inc()
		refused = append(refused, plane.Refusal{Job: id, Seq: seq, Reason: reason})
	}
	j := s.job(id)
	if j == nil {
		for _, r := range receipts {
			refuse(r.Receipt.Seq, "job", "this gateway has no such job")
		}
		return nil, refused, nil
	}
	claims := j.match(w, active, receipts)
	if err := s.verify(ctx, j, claims); err != nil {
		return nil, nil, err
	}

	now := s.now()
	in, err := j.settle(w, claims, failures, now)
	if err != nil {
		return nil, nil, err
	}
	synced := in.pending.b != nil
	if err := in.pending.wait(); err != nil {
		return nil, nil, err
	}
	var unsure error
	named := false
	for _, c := range claims {
		switch {
		case c.err != nil:
			unsure = errors.Join(unsure, c.err)
		case c.refusal != "":
			refuse(c.receipt.Receipt.Seq, "receipt", c.refusal)
		case c.task != nil:
			named = true
		default:
			ok, err := j.known(c.receipt)
			switch {
			case err != nil:
				return nil, nil, err
			case ok:
				named = true
			default:
				refuse(c.receipt.Receipt.Seq, "lease", "its lease ended and the task went elsewhere, or was never leased to this worker")
			}
		}
	}
	if in.accepted > 0 {
		s.m.accepted.Add(float64(in.accepted))
		s.wake(in.wake, artifact.Digest{})
		j.notify()
	}
	if unsure != nil {
		// What was taken stays taken: reporting it again is harmless.
		return nil, nil, fmt.Errorf("job %d: %w", id, unsure)
	}
	if !named {
		return nil, refused, nil
	}
	if !synced {
		// A receipt that came twice at once: the first may be on its way to the disk.
		s.store.sync()
	}
	v, err := work.SignVoucher(s.cfg.Key, work.Voucher{Chain: s.cfg.Chain, Job: id, Worker: w.key, Epoch: in.account.Epoch, Units: in.account.Units})
	if err != nil {
		return nil, nil, fmt.Errorf("sign a voucher: %w", err)
	}
	return &v, refused, nil
}

// match finds the leases that receipts answer.
func (j *job) match(w *worker, active bool, receipts []*work.SignedReceipt) []*claim {
	j.mu.Lock()
	defer j.mu.Unlock()
	claims := make([]*claim, len(receipts))
	for i, r := range receipts {
		c := &claim{receipt: r}
		claims[i] = c
		if r.Receipt.Worker != w.key {
			c.refuse("it is of worker %s and came from %s", r.Receipt.Worker.Short(), w.key.Short())
			continue
		}
		t := j.tasks[r.Receipt.Seq]
		if t == nil || !t.answers(w.key, r.Receipt.Attempt) {
			continue // it may have been accepted before
		}
		c.task, c.body = t, t.body
		switch {
		case j.rec.Phase != PhaseRunning && j.rec.Phase != PhaseDraining:
			c.refuse("the job is over")
		case !active:
			// The ledger faults a gateway that commits a receipt whose worker has no bond
			// any more.
			c.refuse("the ledger does not have this worker as active")
		case j.banned[w.key]:
			c.refuse("this worker was proved to have cheated in this job")
		case j.plan == nil:
			c.err = errPlanShut
		}
	}
	return claims
}

// answers reports whether a receipt of this worker and attempt is for t's last lease. A
// receipt that is late is as good as one in time while nobody else has the task.
func (t *task) answers(w work.PublicKey, attempt uint32) bool {
	return t.attempt == attempt && t.worker == w && attempt > 0
}

// entered is what became of a report.
type entered struct {
	pending  pending
	accepted int
	account  account // the worker's, with what was accepted
	wake     int     // waiting workers that there may be tasks for now
}

// settle enters what was found good: the receipts, the units, what the plan makes of
// them, all in one batch. Claims whose lease ended meanwhile lose their task.
func (j *job) settle(w *worker, claims []*claim, failures []plane.Failure, now time.Time) (entered, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var in entered
	a := j.accounts[w.key]
	if a != nil {
		in.account = *a
	}

	var good []*claim
	var bad, dropped []*task
	untried := map[*task]bool{}
	forged := false
	entering := make(map[*task]bool, len(claims))
	open := j.rec.Phase == PhaseRunning || j.rec.Phase == PhaseDraining
	for _, c := range claims {
		if c.task == nil || c.err != nil {
			continue
		}
		if entering[c.task] || !open || j.tasks[c.task.seq] != c.task || !c.task.answers(w.key, c.receipt.Receipt.Attempt) {
			c.task = nil
			continue
		}
		entering[c.task] = true
		if c.refusal != "" {
			bad = append(bad, c.task)
			forged = true
		} else {
			good = append(good, c)
		}
	}
	for _, f := range failures {
		t := j.tasks[f.Lease.Seq]
		if t != nil && t.leased && !entering[t] && t.answers(w.key, f.Lease.Attempt) && open {
			entering[t] = true
			untried[t] = f.Untried
			bad = append(bad, t)
		}
	}
	if len(good) == 0 && len(bad) == 0 {
		return in, nil
	}
	if forged {
		w.punish()
	}
	w.mu.Lock()
	w.score.did(float64(len(good)), faults(claims, bad, untried), now)
	w.mu.Unlock()
	slices.SortFunc(good, func(a, b *claim) int { return cmp.Compare(a.task.seq, b.task.seq) })
	slices.SortFunc(bad, func(a, b *task) int { return cmp.Compare(a.seq, b.seq) })

	outcomes := make([]work.Outcome, 0, len(good)+len(bad))
	for _, c := range good {
		outcomes = append(outcomes, work.Outcome{Task: j.taskOf(c.task), Result: c.result, Units: c.receipt.Receipt.Units, Worker: w.key, Receipt: c.encoded})
	}
	for _, t := range bad {
		if !untried[t] && j.blame(t, w.key) {
			dropped = append(dropped, t)
			outcomes = append(outcomes, work.Outcome{Task: j.taskOf(t), Failed: true, Reason: "several workers could not do it"})
		}
	}
	b := j.s.store.batch()
	if len(outcomes) > 0 {
		if err := j.tell(b, outcomes); err != nil {
			_ = b.Close()
			return in, err
		}
	}
	var value []byte
	units := uint64(0)
	for _, c := range good {
		value = appendReceipt(value[:0], c.encoded, c.task.body)
		_ = b.Set(receiptKey(j.id, j.rec.Open, c.task.seq), value, nil)
		_ = b.Set(numberKey(spaceDone, j.id, c.task.seq), binary.BigEndian.AppendUint64(nil, j.rec.Open), nil)
		units += c.receipt.Receipt.Units
	}
	for _, t := range dropped {
		_ = b.Set(numberKey(spaceDone, j.id, t.seq), make([]byte, 8), nil)
	}
	if len(good) > 0 {
		in.account.Units += units
		in.account.Receipts += uint64(len(good))
		in.account.Epoch = j.rec.Open
		_ = b.Set(accountKey(j.id, w.key), encode(in.account), nil)
	}
	if len(dropped) > 0 {
		j.rec.Failed += uint64(len(dropped))
		j.setRecord(b)
	}
	j.takeOut(w, good, bad, dropped, b, now)
	p, err := j.s.store.apply(b)
	if err != nil {
		return in, err
	}
	in.pending, in.accepted = p, len(good)
	if len(good) > 0 {
		if a == nil {
			a = new(account)
			j.accounts[w.key] = a
		}
		*a = in.account
		j.units += units
		j.receipts += uint64(len(good))
		j.inOpen += uint64(len(good))
		j.rate.add(len(good), now)
		j.consider(good)
	}
	j.s.m.failures.Add(float64(len(bad)))
	in.wake = len(j.ready) + int(min(j.status.Queued, 64))
	if j.out == 0 && (j.rec.Phase == PhaseDraining || j.rec.Finished) {
		j.kickNow()
	}
	return in, nil
}

// faults weighs what did not go well in a report.
func faults(claims []*claim, bad []*task, untried map[*task]bool) (sum float64) {
	for _, c := range claims {
		if c.task != nil && c.refusal != "" && c.err == nil {
			sum += faultRefused - faultFailure // it is among the bad as well
		}
	}
	for _, t := range bad {
		if !untried[t] {
			sum += faultFailure
		}
	}
	return sum
}

// takeOut ends the leases of what came in: tasks that are done or given up leave, tasks
// that failed wait for another worker. The caller holds j.mu.
func (j *job) takeOut(w *worker, good []*claim, bad, dropped []*task, b writer, now time.Time) {
	touched := map[*bundle]int{}
	rewrite := map[*bundle]bool{}
	leave := func(t *task) {
		if t.leased {
			touched[t.bundle]++
		}
		j.remove(t)
		if len(t.bundle.tasks) == 0 {
			j.dropBundle(b, t.bundle)
		}
	}
	for _, c := range good {
		leave(c.task)
	}
	for _, t := range bad {
		if slices.Contains(dropped, t) {
			leave(t)
			continue
		}
		if t.leased {
			touched[t.bundle]++
		}
		rewrite[t.bundle] = true
		j.unlease(t)
	}
	for t := range rewrite {
		if len(t.tasks) > 0 {
			_ = b.Set(numberKey(spaceBundle, j.id, t.id), encode(j.s.bundleRecord(t)), nil)
		}
	}
	for t, n := range touched {
		if h, ended := w.finish(t, n); ended {
			j.s.fair.learn(j, len(h.seqs), now.Sub(h.granted))
		}
	}
}

// known reports whether the very same receipt was accepted before.
func (j *job) known(r *work.SignedReceipt) (bool, error) {
	at, err := j.s.store.get(numberKey(spaceDone, j.id, r.Receipt.Seq))
	if err != nil || len(at) != 8 {
		return false, err
	}
	v, err := j.s.store.get(receiptKey(j.id, binary.BigEndian.Uint64(at), r.Receipt.Seq))
	if err != nil || v == nil {
		return false, err
	}
	was, _, err := splitReceipt(v)
	if err != nil {
		return false, err
	}
	is, err := r.Encode()
	if err != nil {
		return false, nil // what can't be encoded was never accepted
	}
	return bytes.Equal(was, is), nil
}
