package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	linger      = 3 * time.Millisecond  // how long a report waits for company
	spacing     = 25 * time.Millisecond // from one report, or request for work, to the next: well below the plane's limit
	batchBytes  = 32 << 20              // of blobs uploaded together
	maxFailures = 4096                  // kept while the gateway is away; their leases end anyway
)

// reporter brings what was done to a gateway. It alone reports there, so a voucher always
// answers the latest report.
type reporter struct {
	l        *link
	failures []plane.Failure
	verdicts []plane.VerdictCommit
	reveals  []plane.VerdictReveal
	// owed holds receipts that the gateway took and gave no good voucher for.
	owed  map[work.JobID]map[plane.LeaseID]uint64
	last  time.Time // of the last report
	pause pause
	retry *time.Timer
}

// report runs until l.reports is closed. Once hard ends it only writes to the journal.
func (l *link) report(hard context.Context) {
	r := &reporter{l: l, owed: map[work.JobID]map[plane.LeaseID]uint64{}, pause: pause{min: 250 * time.Millisecond, max: 30 * time.Second}, retry: time.NewTimer(0)}
	defer r.retry.Stop()
	for {
		select {
		case <-r.retry.C:
			r.flush(hard)
		case <-l.kick:
			r.flush(hard)
		case first, ok := <-l.reports:
			if !ok {
				r.flush(hard)
				return
			}
			r.take(hard, r.batch(first))
		}
	}
}

// batch collects what is there, and what comes within a moment.
func (r *reporter) batch(first any) []any {
	items := []any{first}
	t := time.NewTimer(linger)
	defer t.Stop()
	var size int64
	for len(items) < plane.MaxFinished && size < batchBytes {
		select {
		case it, ok := <-r.l.reports:
			if !ok {
				return items
			}
			items = append(items, it)
			if f, ok := it.(*finished); ok {
				size += f.held
			}
		case <-t.C:
			return items
		}
	}
	return items
}

// take deals with new items.
func (r *reporter) take(ctx context.Context, items []any) {
	var results []*finished
	for _, it := range items {
		switch v := it.(type) {
		case *finished:
			results = append(results, v)
		case plane.Failure:
			if len(r.failures) < maxFailures {
				r.failures = append(r.failures, v)
			}
		case plane.VerdictCommit:
			r.verdicts = append(r.verdicts, v)
		case plane.VerdictReveal:
			r.reveals = append(r.reveals, v)
		}
	}
	receipts := r.secure(ctx, results)
	if ctx.Err() != nil {
		return
	}
	err := r.send(ctx, receipts)
	r.again(err)
}

// again sets when what is left is tried again.
func (r *reporter) again(err error) {
	left := len(r.failures)+len(r.verdicts)+len(r.reveals)+r.l.durable.waiting() > 0
	switch {
	case !left:
		r.pause.reset()
		r.retry.Stop()
		return
	case err == nil && len(r.owed) == 0:
		r.pause.reset()
	case err != nil:
		r.l.log.Warn("report", "err", err, "receipts_waiting", r.l.durable.waiting())
	}
	d := r.pause.step()
	if e := new(plane.Error); errors.As(err, &e) {
		d = max(d, e.After())
	}
	r.retry.Reset(d)
}

// flush uploads and reports everything that waits.
func (r *reporter) flush(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	waiting := r.l.durable.receipts()
	var err error
	for len(waiting) > 0 && err == nil && ctx.Err() == nil {
		n := min(len(waiting), plane.MaxFinished)
		if err = r.uploadKept(ctx, waiting[:n]); err == nil {
			err = r.send(ctx, waiting[:n])
		}
		waiting = waiting[n:]
	}
	if err == nil {
		err = r.send(ctx, nil)
	}
	r.again(err)
}

// send reports receipts and failures, and after them verdicts and reveals, which have a
// report of their own so that a refusal is never mistaken for one of a receipt.
func (r *reporter) send(ctx context.Context, records []receiptRecord) error {
	for len(records)+len(r.failures) > 0 {
		req, batch, rest := nextReport(records, r.failures)
		if err := r.sendOne(ctx, req, batch); err != nil {
			return err
		}
		var over []plane.LeaseID
		for _, f := range req.Failures {
			over = append(over, f.Lease)
		}
		r.l.release(over...)
		r.failures = r.failures[len(req.Failures):]
		records = rest
	}
	for len(r.verdicts)+len(r.reveals) > 0 {
		v := r.verdicts[:min(len(r.verdicts), plane.MaxFinished/2)]
		o := r.reveals[:min(len(r.reveals), plane.MaxFinished/2)]
		reply, err := r.done(ctx, plane.DoneRequest{Verdicts: v, Reveals: o})
		if err != nil && !errors.Is(err, plane.ErrInvalid) {
			return err
		}
		if err != nil {
			r.l.log.Error("verdicts refused", "err", err)
		}
		for _, f := range reply.Refused {
			r.l.log.Warn("verdict or reveal refused", "job", f.Job, "epoch", f.Epoch, "sample", f.Seq, "reason", f.Reason)
		}
		r.verdicts, r.reveals = r.verdicts[len(v):], r.reveals[len(o):]
	}
	return nil
}

// nextReport takes what fits into one report. Two attempts at one task never share a
// report, because a refusal names the task alone.
func nextReport(records []receiptRecord, failures []plane.Failure) (req plane.DoneRequest, batch, rest []receiptRecord) {
	type taskID struct {
		job work.JobID
		seq uint64
	}
	seen := map[taskID]bool{}
	for _, rec := range records {
		id := taskID{rec.Receipt.Receipt.Job, rec.Receipt.Receipt.Seq}
		if seen[id] || len(batch) == plane.MaxFinished {
			rest = append(rest, rec)
			continue
		}
		seen[id] = true
		batch = append(batch, rec)
		req.Receipts = append(req.Receipts, rec.Receipt)
	}
	req.Failures = failures[:min(len(failures), plane.MaxFinished-len(batch))]
	return req, batch, rest
}

// sendOne reports once and enters the answer. A report that the gateway finds invalid is
// split until the culprit is alone, and that one is given up.
func (r *reporter) sendOne(ctx context.Context, req plane.DoneRequest, batch []receiptRecord) error {
	reply, err := r.done(ctx, req)
	switch n := len(req.Receipts) + len(req.Failures); {
	case err == nil:
		return r.enter(ctx, batch, reply)
	case !errors.Is(err, plane.ErrInvalid):
		return err
	case n > 1:
		rn, fn := len(req.Receipts)/2, len(req.Failures)/2
		if len(req.Receipts) == 1 {
			rn = 1 // and all failures in the other half
			fn = 0
		}
		first := plane.DoneRequest{Receipts: req.Receipts[:rn], Failures: req.Failures[:fn]}
		second := plane.DoneRequest{Receipts: req.Receipts[rn:], Failures: req.Failures[fn:]}
		if err := r.sendOne(ctx, first, batch[:rn]); err != nil {
			return err
		}
		return r.sendOne(ctx, second, batch[rn:])
	default:
		r.l.log.Error("the gateway finds a report invalid", "err", err)
		var over []plane.LeaseID
		for _, rec := range batch {
			over = append(over, leaseOf(rec.Receipt))
			r.l.w.metrics.receipts.WithLabelValues("invalid").Inc()
		}
		return r.settle(over, nil, nil)
	}
}

// done asks once more after a hello if the gateway has forgotten the session.
func (r *reporter) done(ctx context.Context, req plane.DoneRequest) (plane.DoneReply, error) {
	if len(req.Receipts)+len(req.Failures)+len(req.Verdicts)+len(req.Reveals) == 0 {
		return plane.DoneReply{}, nil
	}
	s, err := r.session(ctx)
	if err != nil {
		return plane.DoneReply{}, err
	}
	if !sleep(ctx, time.Until(r.last.Add(spacing))) {
		return plane.DoneReply{}, context.Cause(ctx)
	}
	r.last = time.Now()
	reply, err := s.client.Done(ctx, req)
	if errors.Is(err, plane.ErrNoSession) {
		if err := s.greetAgain(ctx); err != nil {
			return reply, err
		}
		return s.client.Done(ctx, req)
	}
	return reply, err
}

// enter takes the gateway's answer: what it refused is over, and what it took must be
// covered by a voucher, or it stays in the journal and nothing more is leased.
func (r *reporter) enter(ctx context.Context, batch []receiptRecord, reply plane.DoneReply) error {
	s, err := r.session(ctx)
	if err != nil {
		return err
	}
	type taskID struct {
		job work.JobID
		seq uint64
	}
	refused := map[taskID]string{}
	for _, f := range reply.Refused {
		if f.Epoch == 0 {
			refused[taskID{f.Job, f.Seq}] = f.Reason
		}
	}
	vouchers := map[work.JobID]*work.SignedVoucher{}
	for i := range reply.Vouchers {
		v := &reply.Vouchers[i]
		if old := vouchers[v.Voucher.Job]; old == nil || old.Voucher.Units < v.Voucher.Units {
			vouchers[v.Voucher.Job] = v
		}
	}
	var over []plane.LeaseID
	taken := map[work.JobID]map[plane.LeaseID]uint64{}
	for _, rec := range batch {
		c, id := rec.Receipt.Receipt, leaseOf(rec.Receipt)
		if reason, ok := refused[taskID{c.Job, c.Seq}]; ok {
			over = append(over, id)
			delete(r.owed[c.Job], id)
			r.l.w.metrics.receipts.WithLabelValues("refused").Inc()
			r.l.log.Warn("receipt refused", "job", c.Job, "task", c.Seq, "reason", reason)
			continue
		}
		if taken[c.Job] == nil {
			// What is owed from before must be in the voucher as well.
			taken[c.Job] = maps.Clone(r.owed[c.Job])
			if taken[c.Job] == nil {
				taken[c.Job] = map[plane.LeaseID]uint64{}
			}
		}
		taken[c.Job][id] = c.Units
	}
	earned := map[work.JobID]uint64{}
	var keep []work.SignedVoucher
	for job, receipts := range taken {
		var units uint64
		for _, u := range receipts {
			units += u
		}
		a := r.l.durable.account(job)
		v := vouchers[job]
		if err := s.creditor().check(job, v, a.voucher, a.earned+units); err != nil {
			r.underpaid(job, receipts, err)
			continue
		}
		r.paid(job)
		over = slices.AppendSeq(over, maps.Keys(receipts))
		earned[job] = a.earned + units
		if v != nil {
			keep = append(keep, *v)
		}
		r.l.w.metrics.receipts.WithLabelValues("taken").Add(float64(len(receipts)))
		r.l.w.metrics.units.Add(float64(units))
	}
	return r.settle(over, earned, keep)
}

func (r *reporter) settle(over []plane.LeaseID, earned map[work.JobID]uint64, vouchers []work.SignedVoucher) error {
	if err := r.l.durable.settle(over, earned, vouchers); err != nil {
		r.l.w.fail(err)
		return err
	}
	r.l.release(over...)
	return nil
}

func (r *reporter) underpaid(job work.JobID, receipts map[plane.LeaseID]uint64, err error) {
	r.l.log.Error("THE GATEWAY UNDERPAYS: nothing more is leased from it until it promises what it owes; "+
		"its last good vouchers are in the journal to be claimed with", "job", job, "receipts", len(receipts), "err", err)
	r.owed[job] = receipts
	r.l.setUnpaid(true)
}

func (r *reporter) paid(job work.JobID) {
	if _, owed := r.owed[job]; !owed {
		return
	}
	delete(r.owed, job)
	r.l.log.Info("the gateway made good", "job", job)
	if len(r.owed) == 0 {
		r.l.setUnpaid(false)
	}
}
