package dataset

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// LedgerView is what Verify asks of the ledger.
type LedgerView interface {
	// Chain is the ID of the chain that answers.
	Chain(ctx context.Context) (string, error)
	Job(ctx context.Context, id work.JobID) (work.Job, error)
	Epoch(ctx context.Context, id work.JobID, number uint64) (work.Epoch, error)
	// Signers are the keys whose statement about the job counts: its buyer's, its gateway's.
	Signers(ctx context.Context, job work.Job) ([]artifact.Verifier, error)
	// Registration is the artifact of that CID, or ErrUnregistered.
	Registration(ctx context.Context, cid string) (Registration, error)
}

// ErrUnregistered is returned by a LedgerView for a CID that the ledger does not have.
var ErrUnregistered = errors.New("not registered on the ledger")

// Registration is an artifact as the ledger has it.
type Registration struct {
	Type            string
	Owner           string
	StatementDigest artifact.Digest
	Job             work.JobID
	SettledRoot     artifact.Digest
	Label           string
	License         string
	Revoked         bool
	RevokeReason    string
}

// ledger holds the dataset against what the ledger says. Its errors are the view's.
func (v *verifier) ledger(view LedgerView) error {
	c := v.r.check("ledger")
	o := v.m.Origin
	bad := func(format string, args ...any) { c.must(fmt.Errorf(format, args...)) }

	chainID, err := view.Chain(v.ctx)
	if err != nil {
		return fmt.Errorf("ask the ledger: %w", err)
	}
	if chainID != o.Chain {
		bad("the ledger is of chain %s, and the dataset of %s: give the address of a node of that chain", chainID, o.Chain)
		return nil
	}
	job, err := view.Job(v.ctx, work.JobID(o.Job))
	if err != nil {
		return fmt.Errorf("ask the ledger for job %d: %w", o.Job, err)
	}
	c.Checked++
	switch {
	case job.Kind != crawl.Name:
		bad("job %d is of kind %s", o.Job, job.Kind)
	case artifact.Sum(v.specRaw) != job.Spec:
		bad("job %d has another spec", o.Job)
	case job.SettledRoot != o.SettledRoot:
		bad("job %d has the settled root %s on the ledger, and the dataset has %s", o.Job, job.SettledRoot, o.SettledRoot)
	case job.Settled != uint64(len(o.Epochs)):
		bad("job %d has %d settled epochs, and the dataset %d", o.Job, job.Settled, len(o.Epochs))
	case job.Buyer != v.p.Buyer || job.Gateway != v.p.Gateway:
		bad("job %d is of buyer %s and gateway %s, and the dataset says %s and %s", o.Job, job.Buyer, job.Gateway, printable(v.p.Buyer), printable(v.p.Gateway))
	case v.chain != nil && job.UnitsSettled != v.chain.total-v.planted:
		bad("job %d settled %d units, and the receipts have %d besides %d of plants", o.Job, job.UnitsSettled, v.chain.total-v.planted, v.planted)
	}
	if err := v.ledgerEpochs(view); err != nil {
		return err
	}
	if err := v.ledgerSigner(view, job); err != nil {
		return err
	}
	return v.registration(view)
}

// ledgerEpochs holds every epoch's roots against the ledger's, and the exclusions
// against the audits.
func (v *verifier) ledgerEpochs(view LedgerView) error {
	c := v.r.check("epochs on the ledger")
	if v.chain == nil {
		c.Skipped = "the receipts cannot be read"
		return nil
	}
	var all []work.Epoch
	for i, mine := range v.chain.epochs {
		e, err := view.Epoch(v.ctx, work.JobID(v.m.Origin.Job), mine.number)
		if err != nil {
			return fmt.Errorf("ask the ledger for epoch %d: %w", mine.number, err)
		}
		all = append(all, e)
		c.Checked++
		switch {
		case e.Status != work.EpochSettled:
			c.fail("epoch %d is %s", mine.number, e.Status)
		case e.Receipts != mine.receipts:
			c.fail("epoch %d: the ledger has the root %x over %d receipts and %d units, the receipts here give %x over %d and %d", mine.number,
				e.Receipts.Hash, e.Receipts.Leaves, e.Receipts.Sum, mine.receipts.Hash, mine.receipts.Leaves, mine.receipts.Sum)
		case e.Pay != mine.pay:
			c.fail("epoch %d: the ledger has the pay root %x over %d workers and %d units, the receipts here give %x over %d and %d", mine.number,
				e.Pay.Hash, e.Pay.Leaves, e.Pay.Sum, mine.pay.Hash, mine.pay.Leaves, mine.pay.Sum)
		case e.CommitHeight != v.m.Origin.Epochs[i].Height:
			c.fail("epoch %d was committed in block %d, and the dataset says %d", mine.number, e.CommitHeight, v.m.Origin.Epochs[i].Height)
		}
		v.ledgerPlants(c, e)
	}
	if l := label(all); string(l) != v.p.Label {
		c.fail("the epochs are %s, and the dataset says %s", l, printable(v.p.Label))
	}
	proved, said := 0, 0
	lookup := refutations(all)
	for _, x := range v.excluded {
		if x.Reason == refuted {
			said++
		}
	}
	err := readEntries(v.dir, v.m.Origin.Chain, work.JobID(v.m.Origin.Job), func(e entry) error {
		switch {
		case !lookup[string(e.Signed)]:
		case v.plants.has(e):
			delete(lookup, string(e.Signed)) // auditors found it out, as they should
		default:
			proved++
		}
		return v.ctx.Err()
	})
	if err != nil {
		return err
	}
	if proved != said || proved != len(lookup) {
		c.fail("audits proved %d receipts false, %d of them here, and the dataset excludes %d for it", len(lookup), proved, said)
	}
	return nil
}

// ledgerPlants holds what the dataset calls plants against the commitment to them.
func (v *verifier) ledgerPlants(c *Check, e work.Epoch) {
	p, ok := v.plants[e.Number]
	switch {
	case ok != e.PlantsShown:
		c.fail("epoch %d: plants shown on the ledger: %v, in %s: %v", e.Number, e.PlantsShown, plantsFile, ok)
	case ok:
		if err := p.Check(e.Plants); err != nil {
			c.fail("epoch %d: %v", e.Number, err)
		}
	}
}

// ledgerSigner checks that the lineage is signed by a key of the job.
func (v *verifier) ledgerSigner(view LedgerView, job work.Job) error {
	c := v.r.check("signer")
	trusted, err := view.Signers(v.ctx, job)
	if err != nil {
		return fmt.Errorf("ask the ledger for the keys of job %d: %w", job.ID, err)
	}
	e, err := artifact.DecodeEnvelope(v.envelope)
	if err == nil {
		_, err = e.Verify(artifact.PayloadType, 1, trusted...)
	}
	if err != nil {
		err = fmt.Errorf("%s: neither the job's buyer nor its gateway signed it: %w", lineageFile, err)
	}
	c.must(err)
	return nil
}

// registration checks what the ledger has under the dataset's CID.
func (v *verifier) registration(view LedgerView) error {
	c := v.r.check("registration")
	a, err := view.Registration(v.ctx, v.r.CID)
	if errors.Is(err, ErrUnregistered) {
		c.Checked++
		c.fail("the ledger does not have %s", v.r.CID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask the ledger for %s: %w", v.r.CID, err)
	}
	c.Checked++
	switch {
	case a.Revoked:
		c.fail("its owner revoked it: %s", printable(a.RevokeReason))
	case a.Type != v.m.Type || a.Job != work.JobID(v.m.Origin.Job) || a.SettledRoot != v.m.Origin.SettledRoot:
		c.fail("it is registered as a %s of job %d with the settled root %s", printable(a.Type), a.Job, a.SettledRoot)
	case a.StatementDigest != artifact.Sum(v.envelope):
		c.fail("it is registered with another statement (%s)", a.StatementDigest)
	case a.License != v.p.License || a.Label != v.p.Label:
		c.fail("it is registered as %s under %s, and the dataset says %s under %s", printable(a.Label), printable(a.License), printable(v.p.Label), printable(v.p.License))
	}
	return nil
}
