package plane

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"

	"github.com/cantus-network/cantus/work"
)

const (
	maxVersion   = 64
	maxCapacity  = 1 << 16
	maxURL       = 2048
	maxToken     = 4096
	maxSignature = ed25519.SignatureSize
	statusOK     = 0
	statusError  = 1
)

type checker interface{ Check() error }

// decode reads a message from outside: canonical, within its limits, and acceptable.
func decode[T checker](b []byte) (T, error) {
	v, err := work.Decode[T](b, MaxMessage)
	if err != nil {
		return v, err
	}
	if err := v.Check(); err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// encodeReply is a status byte and either the reply or an Error.
func encodeReply(reply any, failure *Error) ([]byte, error) {
	status, v := byte(statusOK), reply
	if failure != nil {
		status, v = statusError, failure
	}
	b, err := work.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode a reply: %w", err)
	}
	if len(b) >= MaxMessage {
		return nil, fmt.Errorf("a reply of %d bytes: at most %d fit in a message", len(b), MaxMessage-1)
	}
	return append([]byte{status}, b...), nil
}

func decodeReply[T checker](b []byte) (T, error) {
	var zero T
	if len(b) == 0 || len(b) > MaxMessage {
		return zero, fmt.Errorf("%w: a reply of %d bytes", work.ErrEncoding, len(b))
	}
	switch b[0] {
	case statusOK:
		return decode[T](b[1:])
	case statusError:
		e, err := work.Decode[Error](b[1:], MaxMessage)
		if err == nil {
			err = e.Check()
		}
		if err != nil {
			return zero, err
		}
		return zero, &e
	}
	return zero, fmt.Errorf("%w: reply status %d", work.ErrEncoding, b[0])
}

func checkKinds(kinds []work.Name) error {
	if len(kinds) == 0 || len(kinds) > MaxKinds {
		return fmt.Errorf("%d kinds, want 1 to %d", len(kinds), MaxKinds)
	}
	for _, k := range kinds {
		if err := k.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses a hello that no worker of ours says.
func (r HelloRequest) Check() error {
	if len(r.Version) > maxVersion {
		return fmt.Errorf("hello: version of %d bytes, at most %d", len(r.Version), maxVersion)
	}
	if err := checkKinds(r.Kinds); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if r.Capacity == 0 || r.Capacity > maxCapacity {
		return fmt.Errorf("hello: capacity %d, want 1 to %d", r.Capacity, maxCapacity)
	}
	return nil
}

// Check refuses a reply that a worker can't work with.
func (r HelloReply) Check() error {
	if r.Chain == "" || len(r.Chain) > 64 {
		return fmt.Errorf("hello: chain ID of %d characters, want 1 to 64", len(r.Chain))
	}
	if r.Gateway.IsZero() {
		return errors.New("hello: no gateway key")
	}
	if len(r.Token) > maxToken {
		return fmt.Errorf("hello: token of %d bytes, at most %d", len(r.Token), maxToken)
	}
	u, err := url.Parse(r.Artifacts)
	if err != nil || len(r.Artifacts) > maxURL || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("hello: artifact store %.80q: want an http or https URL", r.Artifacts)
	}
	if r.Now <= 0 {
		return errors.New("hello: no time")
	}
	return nil
}

// Check refuses a request beyond the limits.
func (r LeaseRequest) Check() error {
	if r.Max > MaxBundles {
		return fmt.Errorf("lease: %d bundles asked for, at most %d", r.Max, MaxBundles)
	}
	if err := checkKinds(r.Kinds); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if len(r.Holding) > MaxHolding {
		return fmt.Errorf("lease: %d leases held, at most %d", len(r.Holding), MaxHolding)
	}
	for _, l := range r.Holding {
		if err := l.Check(); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
	}
	if len(r.Held) > work.MaxHeld {
		return fmt.Errorf("lease: %d things at hand, at most %d", len(r.Held), work.MaxHeld)
	}
	return nil
}

// Check refuses a request beyond the limits.
func (r PartRequest) Check() error {
	if len(r.Parts) == 0 || len(r.Parts) > MaxParts {
		return fmt.Errorf("part: %d parts, want 1 to %d", len(r.Parts), MaxParts)
	}
	for _, p := range r.Parts {
		if err := p.Lease.Check(); err != nil {
			return fmt.Errorf("part: %w", err)
		}
		if len(p.Body) > work.MaxPart {
			return fmt.Errorf("part of task %d/%d: %d bytes, at most %d", p.Lease.Job, p.Lease.Seq, len(p.Body), work.MaxPart)
		}
	}
	return nil
}

// Check refuses a reply beyond the limits.
func (r PartReply) Check() error {
	if len(r.Stop) > MaxParts {
		return fmt.Errorf("part: %d tasks to stop, at most %d", len(r.Stop), MaxParts)
	}
	for _, l := range r.Stop {
		if err := l.Check(); err != nil {
			return fmt.Errorf("part: %w", err)
		}
	}
	return nil
}

// Check refuses what is no lease's name.
func (l LeaseID) Check() error {
	if l.Job == 0 || l.Seq == 0 || l.Attempt == 0 {
		return fmt.Errorf("lease %d/%d/%d: job, task and attempt count from 1", l.Job, l.Seq, l.Attempt)
	}
	return nil
}

// Check refuses a reply beyond the limits.
func (r LeaseReply) Check() error {
	if len(r.Bundles) > MaxBundles || len(r.Audits) > MaxAudits || len(r.Reveals) > MaxAudits {
		return fmt.Errorf("lease: %d bundles, %d audits, %d reveals: at most %d, %d and %d",
			len(r.Bundles), len(r.Audits), len(r.Reveals), MaxBundles, MaxAudits, MaxAudits)
	}
	tasks := 0
	for _, b := range r.Bundles {
		if err := b.Check(); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		tasks += len(b.Tasks)
	}
	if tasks > MaxTasks {
		return fmt.Errorf("lease: %d tasks, at most %d", tasks, MaxTasks)
	}
	for _, a := range r.Audits {
		if err := a.Check(); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
	}
	for _, v := range r.Reveals {
		if v.Job == 0 || v.Epoch == 0 {
			return fmt.Errorf("lease: reveal of job %d, epoch %d: both count from 1", v.Job, v.Epoch)
		}
	}
	return nil
}

// Check refuses a bundle that can't be done.
func (b Bundle) Check() error {
	if b.Job == 0 || b.Deadline <= 0 || len(b.Tasks) == 0 {
		return fmt.Errorf("bundle of job %d: %d tasks, deadline %d", b.Job, len(b.Tasks), b.Deadline)
	}
	if err := b.Kind.Check(); err != nil {
		return fmt.Errorf("bundle of job %d: %w", b.Job, err)
	}
	for _, t := range b.Tasks {
		if err := (LeaseID{Job: b.Job, Seq: t.Seq, Attempt: t.Attempt}).Check(); err != nil {
			return err
		}
		if len(t.Body) > work.MaxTask {
			return fmt.Errorf("task %d/%d: a body of %d bytes, at most %d", b.Job, t.Seq, len(t.Body), work.MaxTask)
		}
	}
	return nil
}

// Check refuses an audit that can't be done.
func (a Audit) Check() error {
	if a.Job == 0 || a.Epoch == 0 || a.Seq == 0 || a.Deadline <= 0 {
		return fmt.Errorf("audit of job %d, epoch %d, task %d: all count from 1, and it needs a deadline", a.Job, a.Epoch, a.Seq)
	}
	if err := a.Kind.Check(); err != nil {
		return fmt.Errorf("audit of job %d: %w", a.Job, err)
	}
	if len(a.Body) > work.MaxTask || len(a.Receipt) > work.MaxReceipt {
		return fmt.Errorf("audit of job %d, task %d: a body of %d bytes, a receipt of %d", a.Job, a.Seq, len(a.Body), len(a.Receipt))
	}
	return nil
}

// Check refuses a report beyond the limits. Signatures are the handler's to verify.
func (r DoneRequest) Check() error {
	if n := len(r.Receipts) + len(r.Failures) + len(r.Verdicts) + len(r.Reveals); n == 0 || n > MaxFinished {
		return fmt.Errorf("done: %d items, want 1 to %d", n, MaxFinished)
	}
	for _, s := range r.Receipts {
		if err := s.Receipt.Check(); err != nil {
			return fmt.Errorf("done: %w", err)
		}
		if len(s.Signature) != maxSignature {
			return fmt.Errorf("done: receipt of task %d/%d: a signature of %d bytes", s.Receipt.Job, s.Receipt.Seq, len(s.Signature))
		}
	}
	for _, f := range r.Failures {
		if err := f.Lease.Check(); err != nil {
			return fmt.Errorf("done: %w", err)
		}
		if len(f.Reason) > MaxReason {
			return fmt.Errorf("done: failure of task %d/%d: a reason of %d bytes, at most %d", f.Lease.Job, f.Lease.Seq, len(f.Reason), MaxReason)
		}
	}
	for _, v := range r.Verdicts {
		if v.Job == 0 || v.Epoch == 0 || v.Commitment.IsZero() || len(v.Signature) != maxSignature {
			return fmt.Errorf("done: verdict on job %d, epoch %d, sample %d: incomplete", v.Job, v.Epoch, v.Sample)
		}
	}
	for _, v := range r.Reveals {
		if v.Job == 0 || v.Epoch == 0 || v.Outcome < work.Pass || v.Outcome > work.Unsure {
			return fmt.Errorf("done: reveal of job %d, epoch %d, sample %d: incomplete", v.Job, v.Epoch, v.Sample)
		}
	}
	return nil
}

// Check refuses an acknowledgement beyond the limits.
func (r DoneReply) Check() error {
	if len(r.Vouchers) > MaxFinished || len(r.Refused) > MaxFinished {
		return fmt.Errorf("done: %d vouchers, %d refusals: at most %d each", len(r.Vouchers), len(r.Refused), MaxFinished)
	}
	for _, v := range r.Vouchers {
		if err := v.Voucher.Check(); err != nil {
			return fmt.Errorf("done: %w", err)
		}
		if len(v.Signature) != maxSignature {
			return fmt.Errorf("done: voucher of job %d: a signature of %d bytes", v.Voucher.Job, len(v.Signature))
		}
	}
	for _, f := range r.Refused {
		if f.Job == 0 || len(f.Reason) > maxErrorText {
			return fmt.Errorf("done: refusal in job %d with a reason of %d bytes", f.Job, len(f.Reason))
		}
	}
	return nil
}

// Check is part of the same interface; a nudge has nothing that could be wrong.
func (Nudge) Check() error { return nil }
