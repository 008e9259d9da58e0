package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// OpenJob locks a buyer's escrow for a job. What everybody earns of a unit's price is
// fixed here, so that later changes of fees don't touch it.
func (m msgServer) OpenJob(ctx context.Context, msg *types.MsgOpenJob) (*types.MsgOpenJobResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	buyer, buyerText, err := m.payee(msg.Buyer)
	if err != nil {
		return nil, err
	}
	g, err := m.taker(ctx, msg, p)
	if err != nil {
		return nil, err
	}
	n, err := m.nextJob.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("number a job: %w", err)
	}
	zero := math.ZeroInt()
	j := types.Job{
		Id: n + 1, Buyer: buyerText, Gateway: g.Address, Kind: msg.Kind, SpecDigest: msg.SpecDigest,
		Escrow: msg.Escrow, Price: msg.Price, AuditBps: msg.AuditBps, EpochBlocks: msg.EpochBlocks,
		OpenedHeight: height(ctx), ExpiryHeight: height(ctx) + msg.ExpiryBlocks,
		Status: types.JobStatus_JOB_STATUS_OPEN, Uses: msg.Uses, Cell: msg.Cell,
		PaidWorkers: zero, PaidGateway: zero, PaidAuditors: zero, PaidRoyalties: zero, Burned: zero, Refunded: zero,
	}
	if err := m.splitPrice(ctx, &j, g.FeeBps, p); err != nil {
		return nil, err
	}
	if err := m.lock(ctx, buyer, types.EscrowAccount, msg.Escrow); err != nil {
		return nil, err
	}
	if err := m.indexJob(ctx, j); err != nil {
		return nil, err
	}
	if err := m.jobQueue.Set(ctx, collections.Join(j.ExpiryHeight, j.Id)); err != nil {
		return nil, err
	}
	g.OpenJobs++
	if err := m.setGateway(ctx, g); err != nil {
		return nil, err
	}
	emit(ctx, types.EventJobOpened, types.AttrJob, j.Id, types.AttrBuyer, buyerText, types.AttrGateway, g.Address,
		types.AttrCell, j.Cell, types.AttrKind, j.Kind, types.AttrAmount, j.Escrow)
	return &types.MsgOpenJobResponse{Job: j.Id}, m.setJob(ctx, j)
}

// splitPrice divides a unit's price. Every share is rounded down, and the workers get the
// remainder.
func (k *Keeper) splitPrice(ctx context.Context, j *types.Job, gatewayBps uint32, p types.Params) error {
	j.GatewayPrice = types.Share(j.Price, gatewayBps)
	j.AuditPrice = types.Share(j.Price, p.AuditFeeBps)
	j.BurnPrice = types.Share(j.Price, p.ProtocolFeeBps)
	j.WorkerPrice = j.Price.Sub(j.GatewayPrice).Sub(j.AuditPrice).Sub(j.BurnPrice)
	if len(j.Uses) > 0 {
		if k.lineage == nil {
			return types.ErrRoyalties.Wrap("this network has no register of artifacts: a job can't use any")
		}
		shares, err := k.lineage.Royalties(ctx, j.Uses)
		if err != nil {
			return types.ErrRoyalties.Wrap(err.Error())
		}
		if len(shares) > types.MaxRoyalties {
			return types.ErrRoyalties.Wrapf("the artifacts owe %d owners, at most %d", len(shares), types.MaxRoyalties)
		}
		var sum uint64
		for _, s := range shares {
			sum += uint64(s.Bps)
			if sum > uint64(p.MaxRoyaltyBps) {
				return types.ErrRoyalties.Wrapf("the artifacts ask for more than %d bps", p.MaxRoyaltyBps)
			}
			_, owner, err := k.account(s.Owner)
			if err != nil {
				return err
			}
			price := types.Share(j.Price, s.Bps)
			if !price.IsPositive() {
				continue
			}
			j.Royalties = append(j.Royalties, types.Royalty{Artifact: s.Artifact, Owner: owner, Price: price})
			j.WorkerPrice = j.WorkerPrice.Sub(price)
		}
	}
	if !j.WorkerPrice.IsPositive() {
		return types.ErrFee.Wrapf("of a unit's price of %s anote nothing is left for the worker", j.Price)
	}
	return nil
}

// indexJob lists a job under its buyer, its gateway and, if it is, among the live ones.
func (k *Keeper) indexJob(ctx context.Context, j types.Job) error {
	buyer, _, err := k.account(j.Buyer)
	if err != nil {
		return err
	}
	gateway, _, err := k.account(j.Gateway)
	if err != nil {
		return err
	}
	if err := k.byBuyer.Set(ctx, collections.Join(buyer, j.Id)); err != nil {
		return err
	}
	if err := k.byGateway.Set(ctx, collections.Join(gateway, j.Id)); err != nil {
		return err
	}
	if j.Live() {
		return k.live.Set(ctx, j.Id)
	}
	return nil
}

// buyersJob returns a job of the sender's that is open.
func (m msgServer) buyersJob(ctx context.Context, sender string, id uint64) (types.Job, error) {
	_, buyer, err := m.account(sender)
	if err != nil {
		return types.Job{}, err
	}
	j, err := m.job(ctx, id)
	if err != nil {
		return j, err
	}
	switch {
	case j.Buyer != buyer:
		return j, types.ErrUnauthorized.Wrapf("job %d is %s's", id, j.Buyer)
	case j.Status != types.JobStatus_JOB_STATUS_OPEN:
		return j, types.ErrState.Wrapf("job %d is no longer open: %s", id, j.Status)
	}
	return j, nil
}

// gatewaysJob returns a job of the sender's for which it may still commit.
func (m msgServer) gatewaysJob(ctx context.Context, sender string, id uint64, p types.Params) (types.Job, error) {
	j, err := m.servedJob(ctx, sender, id)
	if err != nil {
		return j, err
	}
	switch {
	case j.Finished:
		return j, types.ErrState.Wrapf("job %d is finished", id)
	case !mayCommit(ctx, j, p):
		return j, types.ErrState.Wrapf("job %d takes no more epochs: %s", id, j.Status)
	}
	return j, nil
}

// TopUpJob adds to a job's escrow.
func (m msgServer) TopUpJob(ctx context.Context, msg *types.MsgTopUpJob) (*types.MsgTopUpJobResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	j, err := m.buyersJob(ctx, msg.Buyer, msg.Job)
	if err != nil {
		return nil, err
	}
	buyer, _, err := m.account(msg.Buyer)
	if err != nil {
		return nil, err
	}
	j.Escrow = j.Escrow.Add(msg.Amount)
	if err := types.CheckAmount("escrow", j.Escrow); err != nil {
		return nil, err
	}
	if err := m.lock(ctx, buyer, types.EscrowAccount, msg.Amount); err != nil {
		return nil, err
	}
	emit(ctx, types.EventJobToppedUp, types.AttrJob, j.Id, types.AttrAmount, msg.Amount)
	return &types.MsgTopUpJobResponse{}, m.setJob(ctx, j)
}

// CloseJob ends a job's new work at its buyer's wish.
func (m msgServer) CloseJob(ctx context.Context, msg *types.MsgCloseJob) (*types.MsgCloseJobResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	j, err := m.buyersJob(ctx, msg.Buyer, msg.Job)
	if err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.startClosing(ctx, &j, p, "closed by its buyer"); err != nil {
		return nil, err
	}
	return &types.MsgCloseJobResponse{}, m.setJob(ctx, j)
}

// FinishJob is the gateway's word that no epoch follows: the job closes as soon as those
// that were committed are final.
func (m msgServer) FinishJob(ctx context.Context, msg *types.MsgFinishJob) (*types.MsgFinishJobResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	j, err := m.gatewaysJob(ctx, msg.Gateway, msg.Job, p)
	if err != nil {
		return nil, err
	}
	if err := m.finish(ctx, &j, p); err != nil {
		return nil, err
	}
	return &types.MsgFinishJobResponse{}, m.setJob(ctx, j)
}

// finish marks a job as finished; this block's end closes it if nothing is pending.
func (k *Keeper) finish(ctx context.Context, j *types.Job, p types.Params) error {
	j.Finished = true
	if j.Status == types.JobStatus_JOB_STATUS_OPEN {
		if err := k.startClosing(ctx, j, p, "finished by its gateway"); err != nil {
			return err
		}
	}
	return k.jobQueue.Set(ctx, collections.Join(height(ctx), j.Id))
}
