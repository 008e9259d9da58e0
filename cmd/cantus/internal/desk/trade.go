package desk

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// trade is what differs between the kinds of jobs in which requests are answered: models
// speak (speaking.go), pages are read (reading.go).
type trade interface {
	// spec is the one that a request's job names. It follows from the request.
	spec(ctx context.Context, r types.Request) ([]byte, error)
	// ask has a worker answer once more. asked is false where that would be in vain, and then
	// the job is brought to its end.
	ask(ctx context.Context, r types.Request) (asked bool, err error)
	// answered is what was asked in a job and what came of it; open says whether the job is
	// still known to its kind.
	answered(job work.JobID) (done []answered, pending int, open bool, err error)
	// about reports whether a task is the request's, and not one that it took besides.
	about(r types.Request, task []byte) bool
	// key is the answer that a result gives, in short: results with equal keys give the same
	// one. It is empty where a result is no answer.
	key(ctx context.Context, r types.Request, task, result []byte) (string, error)
	// evidence is all that it takes to see that an answer is one of this request, but for the
	// testimonies.
	evidence(ctx context.Context, r types.Request, ws []*witness) (types.Evidence, error)
}

// answered is a task that was done, and the worker's word for it.
type answered struct{ receipt, task, result []byte }

// trade is the one of those whom a request is to.
func (d *Desk) trade(r types.Request) (trade, error) {
	if f, ok := types.FormByID(r.Speaker); ok {
		if d.cfg.Pages == nil {
			return nil, fmt.Errorf("this gateway does not sell pages: withdraw its offer of the %s of pages", f)
		}
		return reading{d, f}, nil
	}
	if d.cfg.Models == nil {
		return nil, fmt.Errorf("this gateway does not sell inference: withdraw its offer to speak as %x", r.Speaker)
	}
	return speaking{d}, nil
}

// pack is evidence with the testimonies of these witnesses, as the ledger reads it.
func (d *Desk) pack(ctx context.Context, t trade, r types.Request, ws []*witness) ([]byte, error) {
	e, err := t.evidence(ctx, r, ws)
	if err != nil {
		return nil, err
	}
	e.Task, e.Result = ws[0].task, ws[0].result
	for _, w := range ws {
		e.Testimonies = append(e.Testimonies, types.Testimony{Epoch: w.epoch, Receipt: w.receipt, Proof: worktypes.ProofOf(w.proof)})
	}
	return e.Marshal()
}

// keepSpec sees to it that the gateway finds the spec that a request's job names.
func (d *Desk) keepSpec(ctx context.Context, t trade, r types.Request) error {
	digest, err := artifact.DigestFromBytes(r.Terms.SpecDigest)
	if err != nil {
		return err
	}
	d.mu.Lock()
	kept := d.specs[digest]
	d.mu.Unlock()
	if kept {
		return nil
	}
	spec, err := t.spec(ctx, r)
	if err != nil {
		return err
	}
	if artifact.Sum(spec) != digest {
		return fmt.Errorf("the offer names the spec %s, which this gateway did not write: withdraw it", digest)
	}
	if _, err := d.cfg.Artifacts.Put(ctx, spec); err != nil {
		return fmt.Errorf("keep the spec of an offer: %w", err)
	}
	d.mu.Lock()
	d.specs[digest] = true
	d.mu.Unlock()
	return nil
}
