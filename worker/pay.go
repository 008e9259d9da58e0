package worker

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/work"
)

// ErrUnderpaid means that a gateway took receipts and did not promise to pay them.
var ErrUnderpaid = errors.New("the gateway underpays")

// creditor says who a voucher must be from and to.
type creditor struct {
	chain   string
	gateway work.PublicKey
	worker  work.PublicKey
}

// check tells whether v is a good promise of at least earned units in job. old is the
// voucher that the worker had before, or nil; promises only grow.
func (c creditor) check(job work.JobID, v, old *work.SignedVoucher, earned uint64) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: job %d: %s", ErrUnderpaid, job, fmt.Sprintf(format, args...))
	}
	if v == nil {
		if earned == 0 {
			return nil
		}
		return bad("no voucher for %d units", earned)
	}
	if err := v.Verify(); err != nil {
		return bad("%v", err)
	}
	switch got := v.Voucher; {
	case got.Chain != c.chain:
		return bad("the voucher is of chain %q, not %q", got.Chain, c.chain)
	case got.Gateway != c.gateway:
		return bad("the voucher is signed by %s, not by the gateway %s", got.Gateway.Short(), c.gateway.Short())
	case got.Worker != c.worker:
		return bad("the voucher is for worker %s, not for %s", got.Worker.Short(), c.worker.Short())
	case got.Job != job:
		return bad("the voucher is for job %d", got.Job)
	case got.Units < earned:
		return bad("the voucher promises %d units of %d", got.Units, earned)
	case old != nil && got.Units < old.Voucher.Units:
		return bad("the voucher promises %d units; an earlier one promised %d", got.Units, old.Voucher.Units)
	}
	return nil
}
