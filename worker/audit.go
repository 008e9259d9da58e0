package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// auditMargin is how long before an audit's deadline the verdict must be on its way.
const auditMargin = 3 * time.Second

// startAudit begins an audit unless it is under way already. One that was done before a
// crash is not done again: its verdict is in the journal.
func (l *link) startAudit(ctx context.Context, s *session, a plane.Audit) {
	id := sampleID{a.Job, a.Epoch, a.Sample}
	l.holdingMu.Lock()
	defer l.holdingMu.Unlock()
	if l.auditing[id] {
		return
	}
	l.auditing[id] = true
	l.tasks.Add(1)
	go func() {
		defer l.tasks.Done()
		defer func() {
			l.holdingMu.Lock()
			delete(l.auditing, id)
			l.holdingMu.Unlock()
		}()
		select {
		case l.w.audits <- struct{}{}:
			defer func() { <-l.w.audits }()
		case <-ctx.Done():
			return
		}
		log := l.log.With("job", a.Job, "epoch", a.Epoch, "sample", a.Sample, "task", a.Seq)
		if err := l.audit(ctx, log, s, a); err != nil {
			log.Error("audit", "err", err)
		}
	}()
}

func (l *link) audit(ctx context.Context, log *slog.Logger, s *session, a plane.Audit) error {
	id := sampleID{a.Job, a.Epoch, a.Sample}
	v, ok := l.durable.verdict(id)
	if !ok {
		deadline := s.local(a.Deadline)
		ctx, cancel := context.WithDeadlineCause(ctx, deadline, errDeadline)
		defer cancel()
		verdict, result := l.judge(ctx, deadline, s, a)
		if context.Cause(ctx) != nil {
			return fmt.Errorf("no verdict in time: %w", context.Cause(ctx))
		}
		v = verdictRecord{Job: a.Job, Epoch: a.Epoch, Sample: a.Sample, Outcome: verdict.Outcome, Evidence: verdict.Evidence, Score: verdict.Score, At: l.w.cfg.Now().Unix()}
		rand.Read(v.Salt[:])
		if err := l.judged(log, l.w.kinds[a.Kind], v, a.Body, result); err != nil {
			return err
		}
		if v, ok = l.durable.verdict(id); !ok {
			return nil // it was decided on meanwhile
		}
		l.w.metrics.audits.WithLabelValues(string(a.Kind), v.Outcome.String()).Inc()
		log.Info("audited", "outcome", v.Outcome, "reason", verdict.Reason)
	}
	commit, err := l.seal(v)
	if err != nil {
		return err
	}
	l.reports <- commit
	if l.w.eye != nil {
		wake(l.w.eye.kick)
	}
	return nil
}

// seal makes a verdict's commitment, the same each time.
func (l *link) seal(v verdictRecord) (plane.VerdictCommit, error) {
	id := work.VerdictID{Chain: l.party.chain, Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Auditor: l.w.cfg.Key.Public()}
	c, err := work.Verdict{Outcome: v.Outcome, Evidence: v.Evidence, Score: v.Score}.Commitment(id, v.Salt)
	if err != nil {
		return plane.VerdictCommit{}, err
	}
	sig, err := l.w.cfg.Key.SignCommitment(id, c)
	return plane.VerdictCommit{Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Commitment: c, Signature: sig}, err
}

// reveal shows a verdict that the gateway asks for: at once, or, where there is a ledger
// to look at, once that says that it is time.
func (l *link) reveal(r plane.Reveal) {
	id := sampleID{r.Job, r.Epoch, r.Sample}
	v, ok := l.durable.verdict(id)
	switch {
	case !ok:
		l.log.Error("asked to reveal a verdict that this worker never gave, or that was decided on", "job", r.Job, "epoch", r.Epoch, "sample", r.Sample)
	case l.w.eye != nil:
		l.w.eye.ask(l, id)
	default:
		l.reports <- v.reveal()
	}
}

// errInconsistent marks an audit in which the gateway shows things that don't belong
// together; it says nothing about the worker that is audited.
var errInconsistent = errors.New("the gateway's audit is inconsistent")

// judge finds out whether a receipt is true. Whatever keeps it from finding out makes the
// verdict unsure: an auditor that says nothing is taken to shirk. It returns the result's body,
// where it came that far.
func (l *link) judge(ctx context.Context, deadline time.Time, s *session, a plane.Audit) (work.Verdict, []byte) {
	left := time.Until(deadline)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-min(auditMargin, left/4)))
	defer cancel()
	task, result, units, err := l.fetchAudit(ctx, s, a)
	var v work.Verdict
	if err == nil {
		v, err = l.check(ctx, s, a, task, result, units)
	}
	if err != nil {
		return work.Verdict{Outcome: work.Unsure, Reason: err.Error()}, nil
	}
	return v, result.Body
}

// fetchAudit gets what a receipt is about, and the units that it claims.
func (l *link) fetchAudit(ctx context.Context, s *session, a plane.Audit) (work.Task, work.Result, uint64, error) {
	fail := func(err error) (work.Task, work.Result, uint64, error) { return work.Task{}, work.Result{}, 0, err }
	if l.w.kinds[a.Kind] == nil {
		return fail(fmt.Errorf("this worker doesn't do %s", a.Kind))
	}
	signed, err := work.DecodeReceipt(a.Receipt)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errInconsistent, err))
	}
	receipt := signed.Receipt
	spec, err := l.w.specs.get(ctx, s, a.Spec)
	if err != nil {
		return fail(fmt.Errorf("fetch the job's spec: %w", err))
	}
	task := work.Task{Job: a.Job, Seq: a.Seq, Spec: spec, Body: a.Body}
	switch {
	case signed.Verify() != nil:
		return fail(fmt.Errorf("%w: the receipt isn't signed by its worker", errInconsistent))
	case receipt.Chain != s.info.Chain || receipt.Job != a.Job || receipt.Seq != a.Seq || receipt.Task != task.Digest():
		return fail(fmt.Errorf("%w: the receipt is of another task", errInconsistent))
	}
	body, err := l.fetchResult(ctx, s, receipt.Result)
	if err != nil {
		return fail(fmt.Errorf("fetch the result: %w", err))
	}
	return task, work.Result{Body: body}, receipt.Units, nil
}

// check finds out whether a result is what its task gives, and worth what was claimed.
func (l *link) check(ctx context.Context, s *session, a plane.Audit, task work.Task, result work.Result, claimed uint64) (work.Verdict, error) {
	kind := l.w.kinds[a.Kind]
	// What the meter says follows from the result alone: no two machines can differ on it.
	units, err := protect(ctx, func(context.Context) (uint64, error) { return kind.Meter(task, result) })
	if err != nil && ctx.Err() != nil {
		return work.Verdict{}, err
	}
	unmetered := ""
	if err != nil {
		unmetered = "the result doesn't answer the task: " + err.Error()
	} else if units != claimed {
		unmetered = fmt.Sprintf("the receipt claims %d units of a result that is worth %d", claimed, units)
	}
	refereed := l.w.isRefereed(a.Kind)
	blobs := newTaskBlobs(s.store, l.spool)
	defer blobs.discard()
	v, err := protect(ctx, func(ctx context.Context) (work.Verdict, error) {
		return kind.Verify(ctx, l.env(s, blobs, a.Job, a.Seq), task, result)
	})
	// Where the ledger decides, what can't be proved to it is not said: it knows no specs.
	// Elsewhere what the meter says is enough, and the kind adds what its verdicts have besides,
	// such as a score.
	if unmetered != "" && !refereed && (err != nil || v.Outcome != work.Fail) {
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed, Evidence: result.Digest(), Reason: unmetered}, nil
	}
	if err != nil {
		return work.Verdict{}, err
	}
	if v.Outcome < work.Pass || v.Outcome > work.Unsure {
		return work.Verdict{}, fmt.Errorf("the kind found %v, which is no outcome", v.Outcome)
	}
	switch {
	case unmetered != "" && v.Outcome == work.Pass:
		return work.Verdict{Outcome: work.Unsure, Reason: unmetered + ", which can't be proved on the ledger"}, nil
	case refereed && v.Outcome == work.Fail && len(result.Body) > witness.MaxDisputed:
		return work.Verdict{Outcome: work.Unsure, Reason: v.Reason + ", and the result is too large to prove that on the ledger"}, nil
	}
	return v, l.uploadEvidence(ctx, s, blobs, v.Evidence)
}

// isRefereed reports whether, as far as this worker knows, the ledger decides disputes about
// a kind's receipts.
func (w *Worker) isRefereed(kind work.Name) bool {
	kinds := w.refereed.Load()
	_, disputes := w.kinds[kind].(work.Disputer)
	return disputes && kinds != nil && slices.Contains(*kinds, kind)
}

// fetchResult waits a little for a result that isn't there, and no longer.
func (l *link) fetchResult(ctx context.Context, s *session, d artifact.Digest) ([]byte, error) {
	p := pause{min: 100 * time.Millisecond, max: 5 * time.Second}
	for missing := 0; ; {
		b, err := s.store.Get(ctx, d, work.MaxResult)
		if err == nil {
			return b, nil
		}
		if errors.Is(err, artifact.ErrNotFound) {
			missing++
		}
		if errors.Is(err, artifact.ErrTooLarge) || missing == 3 {
			return nil, err
		}
		s.renew(ctx, err)
		if !sleep(ctx, p.step()) {
			return nil, err
		}
	}
}

// uploadEvidence makes what the auditor saw available to others.
func (l *link) uploadEvidence(ctx context.Context, s *session, blobs *taskBlobs, d artifact.Digest) error {
	if d.IsZero() {
		return nil
	}
	b, own, err := blobs.local(d)
	if !own || err != nil {
		return err // not the kind's own: it names something that is there already
	}
	p := pause{min: 100 * time.Millisecond, max: 5 * time.Second}
	for {
		_, err := s.store.Put(ctx, b)
		if err == nil || permanent(err) {
			return err
		}
		s.renew(ctx, err)
		if !sleep(ctx, p.step()) {
			return fmt.Errorf("upload the evidence: %w", err)
		}
	}
}
