package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// ledger holds an answer against what the ledger has: its worker, its tab, and, by the
// gateway's list of receipts, the epoch that commits to it.
func (v *answerVerifier) ledger(ctx context.Context, r *answerReport, p *answer.Proof) error {
	if p.Chain != v.s.net.ChainID {
		r.add("ledger", fails, "the answer is of the network %s, and the ledger of %s", p.Chain, v.s.net.ChainID)
		return nil
	}
	w, err := v.s.WorkerRecord(ctx, p.Worker)
	switch {
	case market.NotFound(err):
		r.add(checkWorker, fails, "worker %s is not enrolled", p.Worker)
	case err != nil:
		return err
	default:
		r.add(checkWorker, holds, "enrolled under %s, bond %s, %s", w.Operator, notes(w.Bond.String()), statusName(w.Status))
	}
	j, err := v.s.Job(ctx, p.Job)
	switch {
	case market.NotFound(err):
		r.add(checkTab, fails, "there is no job %d", p.Job)
		return nil
	case err != nil:
		return err
	case !isTab(j.Kind) || j.Spec != p.Spec:
		r.add(checkTab, fails, "job %d is of kind %s with the spec %s", p.Job, j.Kind, j.Spec)
		return nil
	case p.Price != "" && p.Price != j.Price.String():
		r.add(checkTab, fails, "a unit costs %s anote in job %d, and the answer says %s", j.Price, p.Job, p.Price)
		return nil
	}
	v.spec(ctx, r, p, j)
	return v.epoch(ctx, r, p)
}

// spec holds the answer's model and prices against its tab.
func (v *answerVerifier) spec(ctx context.Context, r *answerReport, p *answer.Proof, j work.Job) {
	spec, err := v.findSpec(ctx, p.Spec)
	if err == nil {
		err = p.CheckSpec(spec)
	}
	switch {
	case errors.Is(err, answer.ErrProof):
		r.add(checkTab, fails, "%v", err)
	case err != nil:
		r.add(checkTab, skipped, "job %d of %s, %s; its models and prices: %v", j.ID, j.Buyer, j.Status, err)
	default:
		r.add(checkTab, holds, "job %d of %s, %s; it names this model and these prices", j.ID, j.Buyer, j.Status)
	}
}

const maxSpecBytes = 64 << 10

// findSpec finds a tab's spec in this home, or at the gateway.
func (v *answerVerifier) findSpec(ctx context.Context, d artifact.Digest) ([]byte, error) {
	tabs, err := v.g.home().Tabs()
	if err != nil {
		return nil, err
	}
	for _, t := range tabs {
		if artifact.Sum(t.Spec) == d {
			return t.Spec, nil
		}
	}
	gw, err := v.s.gatewayAPI()
	if err != nil {
		return nil, err
	}
	return gw.Artifact(ctx, d, maxSpecBytes)
}

var errFound = errors.New("found")

// epoch finds the commitment to an answer. The receipts come from a gateway, which nobody
// has to trust: they must give the root that is on the ledger.
func (v *answerVerifier) epoch(ctx context.Context, r *answerReport, p *answer.Proof) error {
	gw, err := v.s.gatewayAPI()
	if err != nil {
		r.add(checkEpoch, skipped, "%v", err)
		return nil
	}
	var leaves []work.Node // of the epoch that is being read
	number, index, found := uint64(0), uint64(0), false
	err = gw.Receipts(ctx, p.Job, api.Cursor{}, func(rec api.Receipt) error {
		if rec.Epoch != number {
			if found {
				return errFound
			}
			number, leaves = rec.Epoch, nil
		}
		s, err := work.DecodeReceipt(rec.Receipt)
		if err != nil {
			return err
		}
		leaves = append(leaves, work.ReceiptLeaf(rec.Receipt, s.Receipt.Units))
		if bytes.Equal(rec.Receipt, p.Receipt) {
			found, index = true, rec.Index
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, errFound):
		r.add(checkEpoch, skipped, "the gateway's receipts: %v", err)
		return nil
	case !found:
		r.add(checkEpoch, open, "its epoch is not committed and audited yet: verify it again in a while")
		return nil
	}
	tree, err := work.NewTree(leaves)
	if err != nil {
		return fmt.Errorf("build the tree of epoch %d: %w", number, err)
	}
	res, err := v.s.Work.Epoch(ctx, &worktypes.QueryEpochRequest{Job: uint64(p.Job), Number: number})
	switch {
	case market.NotFound(err):
		r.add(checkEpoch, open, "epoch %d is not on the ledger yet", number)
		return nil
	case err != nil:
		return fmt.Errorf("read epoch %d of job %d: %w", number, p.Job, err)
	}
	e, err := market.PlainEpoch(res.Epoch)
	if err != nil {
		return err
	}
	if tree.Root() != e.Receipts {
		r.add(checkEpoch, fails, "the receipts that the gateway shows for epoch %d are not those that the ledger has the root of", number)
		return nil
	}
	r.add(checkEpoch, holds, "receipt %d of %d in epoch %d, committed in block %d, %s", index+1, e.Receipts.Leaves, number, e.CommitHeight, e.Status)
	v.audit(r, e, res.Epoch.Samples, index)
	return nil
}

// audit says what auditors, or the ledger itself, found in this very answer or its epoch.
func (v *answerVerifier) audit(r *answerReport, e work.Epoch, samples []worktypes.Sample, index uint64) {
	for i, s := range samples {
		if s.Index != index || len(s.Receipt) == 0 {
			continue
		}
		switch st := e.Samples[i].Status; st {
		case work.SampleUpheld:
			r.Label = work.Replayed
			r.add(checkAudit, holds, "this answer was drawn and replayed by others: upheld")
		case work.SampleFalse:
			how := "its auditors found it false"
			if s.Proved {
				how = "the ledger computed itself that it is false"
			}
			r.add(checkAudit, fails, "%s", how)
		default:
			r.add(checkAudit, open, "this answer was drawn for an audit: %s", st)
		}
		return
	}
	switch e.Status {
	case work.EpochSettled:
		r.add(checkAudit, holds, "others of its epoch were drawn, this one was not; the epoch is %s", orNone(string(e.Label)))
		if e.Label != "" {
			r.Label = e.Label
		}
	case work.EpochVoid:
		r.add(checkAudit, fails, "epoch %d is void: its gateway did not show what was drawn", e.Number)
	default:
		r.add(checkAudit, open, "epoch %d is not settled yet: %s", e.Number, e.Status)
	}
}
