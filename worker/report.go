package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

const (
	linger      = 3 * time.Millisecond  // how long a report waits for company
	spacing     = 25 * time.Millisecond // from one report, or request for work, to the next: well below the plane's limit
	batchBytes  = 32 << 20              // of blobs uploaded together
	maxFailures = 4096                  // kept while the gateway is away; their leases end anyway
)

// reporter brings what was done to the gateway. It alone reports, so a voucher always
// answers the latest report.
type reporter struct {
	w        *Worker
	failures []plane.Failure
	verdicts []plane.VerdictCommit
	reveals  []plane.VerdictReveal
	// owed holds receipts that the gateway took and gave no good voucher for.
	owed  map[work.JobID]map[plane.LeaseID]uint64
	last  time.Time // of the last report
	pause pause
	retry *time.Timer
}

// report runs until w.reports is closed. Once hard ends it only writes to the journal.
func (w *Worker) report(hard context.Context) {
	r := &reporter{w: w, owed: map[work.JobID]map[plane.LeaseID]uint64{}, pause: pause{min: 250 * time.Millisecond, max: 30 * time.Second}, retry: time.NewTimer(0)}
	defer r.retry.Stop()
	for {
		select {
		case <-r.retry.C:
			r.flush(hard)
		case <-w.kick:
			r.flush(hard)
		case first, ok := <-w.reports:
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
		case it, ok := <-r.w.reports:
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
	left := len(r.failures)+len(r.verdicts)+len(r.reveals)+r.w.durable.Load().waiting() > 0
	switch {
	case !left:
		r.pause.reset()
		r.retry.Stop()
		return
	case err == nil && len(r.owed) == 0:
		r.pause.reset()
	case err != nil:
		r.w.log.Warn("report", "err", err, "receipts_waiting", r.w.durable.Load().waiting())
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
	waiting := r.w.durable.Load().receipts()
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

// secure brings results to where nothing can lose them: uploaded, or else kept on disk,
// and their receipts in the journal. It returns the receipts that may be reported now.
func (r *reporter) secure(ctx context.Context, results []*finished) []receiptRecord {
	if len(results) == 0 {
		return nil
	}
	err := r.upload(ctx, results)
	if err != nil && permanent(err) {
		if len(results) > 1 {
			half := len(results) / 2
			return append(r.secure(ctx, results[:half]), r.secure(ctx, results[half:])...)
		}
		r.reject(results[0], fmt.Errorf("the gateway doesn't take the result: %w", err))
		return nil
	}
	uploaded := err == nil
	records := make([]receiptRecord, 0, len(results))
	for _, f := range results {
		rec := receiptRecord{}
		var signErr error
		if rec.Receipt, signErr = work.SignReceipt(r.w.cfg.Key, f.receipt); signErr != nil {
			r.reject(f, signErr)
			continue
		}
		if !uploaded {
			if rec.Blobs, signErr = r.keep(f); signErr != nil {
				// No room for it: the task goes back, and the network still gets its result.
				r.reject(f, signErr)
				continue
			}
		}
		records = append(records, rec)
	}
	if err := r.w.durable.Load().addReceipts(records); err != nil {
		r.w.fail(err)
		return nil
	}
	for _, f := range results {
		r.free(f, uploaded)
	}
	if !uploaded {
		if ctx.Err() == nil {
			r.w.log.Warn("upload; the results are kept on disk until it works", "results", len(records), "err", err)
		}
		return nil
	}
	return records
}

// free gives back what a result holds of the memory, and of the disk if it is uploaded.
func (r *reporter) free(f *finished, uploaded bool) {
	r.w.memory.adjust(-f.held)
	f.held = 0
	if !uploaded {
		return
	}
	for _, b := range f.blobs {
		if b.disk {
			r.w.spool.drop(b.digest)
		}
	}
}

// reject turns a result that can't be reported into a failure.
func (r *reporter) reject(f *finished, err error) {
	r.w.log.Error("a finished task is lost", "job", f.receipt.Job, "task", f.receipt.Seq, "err", err)
	r.free(f, true)
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, plane.Failure{Lease: f.lease(), Reason: plane.Clip(err.Error(), plane.MaxReason)})
	}
}

// permanent reports whether an upload failed because of what was uploaded.
func permanent(err error) bool {
	var status *httpstore.StatusError
	return errors.Is(err, artifact.ErrTooLarge) || errors.Is(err, artifact.ErrNotFound) ||
		(errors.As(err, &status) && !status.Temporary() && !errors.Is(err, httpstore.ErrUnauthorized))
}

// upload sends results' bodies and blobs, trying twice.
func (r *reporter) upload(ctx context.Context, results []*finished) error {
	var blobs [][]byte
	seen := map[artifact.Digest]bool{}
	add := func(d artifact.Digest, b []byte) {
		if !seen[d] {
			seen[d] = true
			blobs = append(blobs, b)
		}
	}
	for _, f := range results {
		add(f.receipt.Result, f.body)
		for _, b := range f.blobs {
			bytes := b.bytes
			if b.disk {
				var err error
				if bytes, err = r.w.spool.get(b.digest); err != nil {
					return err
				}
			}
			add(b.digest, bytes)
		}
	}
	return r.put(ctx, blobs)
}

func (r *reporter) put(ctx context.Context, blobs [][]byte) (err error) {
	for attempt := range 2 {
		if attempt > 0 && !sleep(ctx, 200*time.Millisecond) {
			return context.Cause(ctx)
		}
		var s *session
		if s, err = r.session(ctx); err != nil {
			return err
		}
		if _, err = s.store.PutAll(ctx, blobs); err == nil {
			for _, b := range blobs {
				r.w.metrics.uploaded.Add(float64(len(b)))
			}
			return nil
		}
		s.renew(ctx, err)
		if permanent(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// session is the worker's session, waited for only a moment: results must not pile up in
// memory while the gateway is away.
func (r *reporter) session(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errors.New("there is no session with the gateway"))
	defer cancel()
	return r.w.session(ctx)
}

// keep writes a result's body and blobs to disk, durably.
func (r *reporter) keep(f *finished) ([]artifact.Digest, error) {
	var put, all []artifact.Digest
	fail := func(err error) ([]artifact.Digest, error) {
		r.w.spool.drop(put...)
		return nil, fmt.Errorf("keep a result until the gateway is back: %w", err)
	}
	store := func(b []byte) error {
		d, err := r.w.spool.put(b)
		if err == nil {
			put, all = append(put, d), append(all, d)
		}
		return err
	}
	if err := store(f.body); err != nil {
		return fail(err)
	}
	for _, b := range f.blobs {
		if b.disk {
			all = append(all, b.digest) // it was put by the task, and stays
		} else if err := store(b.bytes); err != nil {
			return fail(err)
		}
	}
	if err := r.w.spool.sync(all); err != nil {
		return fail(err)
	}
	return all, nil
}

// uploadKept uploads what receipts still have on disk. One whose blobs are damaged is
// given up, since nobody could ever check it.
func (r *reporter) uploadKept(ctx context.Context, records []receiptRecord) error {
	var blobs [][]byte
	var ids []plane.LeaseID
	var drop []artifact.Digest
	var size int
	done := func() error {
		if len(ids) == 0 {
			return nil
		}
		if err := r.put(ctx, blobs); err != nil {
			return fmt.Errorf("upload what was kept: %w", err)
		}
		if err := r.w.durable.Load().setUploaded(ids); err != nil {
			r.w.fail(err)
			return err
		}
		r.w.spool.drop(drop...)
		blobs, ids, drop, size = nil, nil, nil, 0
		return nil
	}
	for _, rec := range records {
		if len(rec.Blobs) == 0 {
			continue
		}
		own, err := r.kept(rec)
		if err != nil {
			r.w.log.Error("a finished task is lost", "job", rec.Receipt.Receipt.Job, "task", rec.Receipt.Receipt.Seq, "err", err)
			if err := r.w.durable.Load().settle([]plane.LeaseID{leaseOf(rec.Receipt)}, nil, nil); err != nil {
				r.w.fail(err)
				return err
			}
			r.w.spool.drop(rec.Blobs...)
			continue
		}
		for _, b := range own {
			size += len(b)
		}
		blobs, ids, drop = append(blobs, own...), append(ids, leaseOf(rec.Receipt)), append(drop, rec.Blobs...)
		if size >= batchBytes {
			if err := done(); err != nil {
				return err
			}
		}
	}
	return done()
}

func (r *reporter) kept(rec receiptRecord) ([][]byte, error) {
	var blobs [][]byte
	for _, d := range rec.Blobs {
		b, err := r.w.spool.get(d)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
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
		r.w.release(over...)
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
			r.w.log.Error("verdicts refused", "err", err)
		}
		for _, f := range reply.Refused {
			r.w.log.Warn("verdict or reveal refused", "job", f.Job, "epoch", f.Epoch, "sample", f.Seq, "reason", f.Reason)
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
		r.w.log.Error("the gateway finds a report invalid", "err", err)
		var over []plane.LeaseID
		for _, rec := range batch {
			over = append(over, leaseOf(rec.Receipt))
			r.w.metrics.receipts.WithLabelValues("invalid").Inc()
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
			r.w.metrics.receipts.WithLabelValues("refused").Inc()
			r.w.log.Warn("receipt refused", "job", c.Job, "task", c.Seq, "reason", reason)
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
		a := r.w.durable.Load().account(job)
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
		r.w.metrics.receipts.WithLabelValues("taken").Add(float64(len(receipts)))
		r.w.metrics.units.Add(float64(units))
	}
	return r.settle(over, earned, keep)
}

func (r *reporter) settle(over []plane.LeaseID, earned map[work.JobID]uint64, vouchers []work.SignedVoucher) error {
	if err := r.w.durable.Load().settle(over, earned, vouchers); err != nil {
		r.w.fail(err)
		return err
	}
	r.w.release(over...)
	return nil
}

func (r *reporter) underpaid(job work.JobID, receipts map[plane.LeaseID]uint64, err error) {
	r.w.log.Error("THE GATEWAY UNDERPAYS: nothing more is leased from it until it promises what it owes; "+
		"its last good vouchers are in the journal to be claimed with", "job", job, "receipts", len(receipts), "err", err)
	r.owed[job] = receipts
	r.w.unpaid.Store(true)
	r.w.metrics.underpaid.Set(1)
}

func (r *reporter) paid(job work.JobID) {
	if _, owed := r.owed[job]; !owed {
		return
	}
	delete(r.owed, job)
	r.w.log.Info("the gateway made good", "job", job)
	if len(r.owed) == 0 {
		r.w.unpaid.Store(false)
		r.w.metrics.underpaid.Set(0)
		wake(r.w.slots.freed) // there is a reason to ask for work again
	}
}
