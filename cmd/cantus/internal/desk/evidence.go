package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// deliver brings an answer to the ledger, on the word of these witnesses.
func (d *Desk) deliver(ctx context.Context, v *voice.Voice, r types.Request, ws []*witness) error {
	b, err := evidence(v, ws)
	if err != nil {
		return fmt.Errorf("make the evidence: %w", err)
	}
	began := time.Now()
	if err := d.cfg.Ledger.Deliver(ctx, r.Id, b); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	d.m.ended.WithLabelValues("delivered").Inc()
	d.m.evidence.Observe(float64(len(b)))
	d.cfg.Log.Info("a contract is answered", "request", r.Id, "job", r.Job, "policy", r.Policy, "evidence_bytes", len(b), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// evidence is all that it takes to see that an answer is one of this request.
func evidence(v *voice.Voice, ws []*witness) ([]byte, error) {
	task, err := claim.DecodeTask(ws[0].task)
	if err != nil {
		return nil, err
	}
	result, err := claim.DecodeResult(ws[0].result)
	if err != nil {
		return nil, err
	}
	e := types.Evidence{Task: ws[0].task, Result: ws[0].result}
	if e.Spelling, err = v.Spelling(task.Prompt, result.Output); err != nil {
		return nil, err
	}
	for _, w := range ws {
		e.Testimonies = append(e.Testimonies, types.Testimony{Epoch: w.epoch, Receipt: w.receipt, Proof: worktypes.ProofOf(w.proof)})
	}
	return e.Marshal()
}
