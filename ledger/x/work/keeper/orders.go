package keeper

import (
	"context"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// What other modules of the ledger do in the market: they order work for somebody, and read
// what came of it.

// OpenJob opens a job as the message would and returns its number.
func (k *Keeper) OpenJob(ctx context.Context, msg *types.MsgOpenJob) (uint64, error) {
	r, err := msgServer{k}.OpenJob(ctx, msg)
	if err != nil {
		return 0, err
	}
	return r.Job, nil
}

// CloseJob closes a buyer's job as the message would.
func (k *Keeper) CloseJob(ctx context.Context, buyer string, id uint64) error {
	_, err := msgServer{k}.CloseJob(ctx, &types.MsgCloseJob{Buyer: buyer, Job: id})
	return err
}

// CheckJob refuses a job that OpenJob would refuse whatever its buyer had. It changes nothing.
func (k *Keeper) CheckJob(ctx context.Context, msg *types.MsgOpenJob) error {
	if err := msg.ValidateBasic(); err != nil {
		return err
	}
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	g, err := k.taker(ctx, msg, p)
	if err != nil {
		return err
	}
	j := types.Job{Price: msg.Price, Uses: msg.Uses}
	return k.splitPrice(ctx, &j, g.FeeBps, p)
}

// Job returns a job.
func (k *Keeper) Job(ctx context.Context, id uint64) (types.Job, error) { return k.job(ctx, id) }

// Epoch returns an epoch of a job.
func (k *Keeper) Epoch(ctx context.Context, job, number uint64) (types.Epoch, error) {
	return k.epoch(ctx, job, number)
}

// OpenJobs is how many jobs of a gateway are not over.
func (k *Keeper) OpenJobs(ctx context.Context, gateway string) (uint64, error) {
	addr, _, err := k.account(gateway)
	if err != nil {
		return 0, err
	}
	g, err := k.gateway(ctx, addr)
	return g.OpenJobs, err
}

// Worker returns a worker by its key.
func (k *Keeper) Worker(ctx context.Context, key []byte) (types.Worker, error) {
	return k.worker(ctx, key)
}

// Forfeited reports whether a worker was proved to have cheated in a job.
func (k *Keeper) Forfeited(ctx context.Context, job uint64, worker []byte) (bool, error) {
	c, err := k.claimOf(ctx, job, worker)
	return c.Forfeited, err
}

// Receipt checks that a receipt is one of an epoch's and signed by the worker that it names.
func (k *Keeper) Receipt(ctx context.Context, e types.Epoch, encoded []byte, proof types.Proof) (work.Receipt, error) {
	signed, _, err := checkLeaf(ctx, e, encoded, proof)
	if err != nil {
		return work.Receipt{}, err
	}
	if err := signed.Verify(); err != nil {
		return work.Receipt{}, types.ErrReceipt.Wrap(err.Error())
	}
	return signed.Receipt, nil
}

// taker is the gateway that a job names, if it takes such jobs now; the job is counted in
// its cell.
func (k *Keeper) taker(ctx context.Context, msg *types.MsgOpenJob, p types.Params) (types.Gateway, error) {
	addr, text, err := k.account(msg.Gateway)
	if err != nil {
		return types.Gateway{}, err
	}
	g, err := k.gateway(ctx, addr)
	if err != nil {
		return g, err
	}
	switch {
	case g.Status != types.Status_STATUS_ACTIVE:
		return g, types.ErrState.Wrapf("gateway %s takes no jobs: it is %s", text, g.Status)
	case g.Bond.LT(p.MinGatewayBond):
		return g, types.ErrBond.Wrapf("gateway %s has a bond of %s anote, less than the least of %s", text, g.Bond, p.MinGatewayBond)
	case g.FeeBps > msg.MaxGatewayFeeBps:
		return g, types.ErrFee.Wrapf("gateway %s asks for %d bps, you accept %d", text, g.FeeBps, msg.MaxGatewayFeeBps)
	case g.FeeBps > p.MaxGatewayFeeBps:
		return g, types.ErrFee.Wrapf("gateway %s asks for %d bps, the network accepts %d", text, g.FeeBps, p.MaxGatewayFeeBps)
	case msg.AuditBps < p.MinAuditBps:
		return g, types.ErrInvalid.Wrapf("an audit rate of %d bps, at least %d", msg.AuditBps, p.MinAuditBps)
	case msg.ExpiryBlocks > p.MaxJobBlocks:
		return g, types.ErrInvalid.Wrapf("expiry in %d blocks, at most %d", msg.ExpiryBlocks, p.MaxJobBlocks)
	}
	return g, joinCell(&g, msg.Cell)
}
