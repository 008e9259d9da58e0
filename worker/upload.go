package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

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
		if rec.Receipt, signErr = work.SignReceipt(r.l.w.cfg.Key, f.receipt); signErr != nil {
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
	if err := r.l.durable.addReceipts(records); err != nil {
		r.l.w.fail(err)
		return nil
	}
	for _, f := range results {
		r.free(f, uploaded)
	}
	if !uploaded {
		if ctx.Err() == nil {
			r.l.log.Warn("upload; the results are kept on disk until it works", "results", len(records), "err", err)
		}
		return nil
	}
	return records
}

// free gives back what a result holds of the memory, and of the disk if it is uploaded.
func (r *reporter) free(f *finished, uploaded bool) {
	r.l.w.memory.adjust(-f.held)
	f.held = 0
	if !uploaded {
		return
	}
	for _, b := range f.blobs {
		if b.disk {
			r.l.spool.drop(b.digest)
		}
	}
}

// reject turns a result that can't be reported into a failure.
func (r *reporter) reject(f *finished, err error) {
	r.l.log.Error("a finished task is lost", "job", f.receipt.Job, "task", f.receipt.Seq, "err", err)
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
				if bytes, err = r.l.spool.get(b.digest); err != nil {
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
				r.l.w.metrics.uploaded.Add(float64(len(b)))
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

// session is the link's session, waited for only a moment: results must not pile up in
// memory while the gateway is away.
func (r *reporter) session(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errors.New("there is no session with the gateway"))
	defer cancel()
	return r.l.session(ctx)
}

// keep writes a result's body and blobs to disk, durably.
func (r *reporter) keep(f *finished) ([]artifact.Digest, error) {
	var put, all []artifact.Digest
	fail := func(err error) ([]artifact.Digest, error) {
		r.l.spool.drop(put...)
		return nil, fmt.Errorf("keep a result until the gateway is back: %w", err)
	}
	store := func(b []byte) error {
		d, err := r.l.spool.put(b)
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
	if err := r.l.spool.sync(all); err != nil {
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
		if err := r.l.durable.setUploaded(ids); err != nil {
			r.l.w.fail(err)
			return err
		}
		r.l.spool.drop(drop...)
		blobs, ids, drop, size = nil, nil, nil, 0
		return nil
	}
	for _, rec := range records {
		if len(rec.Blobs) == 0 {
			continue
		}
		own, err := r.kept(rec)
		if err != nil {
			r.l.log.Error("a finished task is lost", "job", rec.Receipt.Receipt.Job, "task", rec.Receipt.Receipt.Seq, "err", err)
			if err := r.l.durable.settle([]plane.LeaseID{leaseOf(rec.Receipt)}, nil, nil); err != nil {
				r.l.w.fail(err)
				return err
			}
			r.l.spool.drop(rec.Blobs...)
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
		b, err := r.l.spool.get(d)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
}
