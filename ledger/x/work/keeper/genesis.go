package keeper

import (
	"context"
	"fmt"
	"strings"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// InitGenesis imports a market. The indexes, the roster and the queues follow from the
// records. It fails if the books don't match what the accounts hold, so the bank's
// genesis must come first.
func (k *Keeper) InitGenesis(ctx context.Context, g *types.GenesisState) error {
	if err := g.Validate(); err != nil {
		return err
	}
	for _, name := range types.Accounts() {
		k.accounts.GetModuleAccount(ctx, name) // makes it where there is none
	}
	if err := k.checkReferees(g.Params); err != nil {
		return err
	}
	if err := k.params.Set(ctx, g.Params); err != nil {
		return err
	}
	burned := g.Burned
	if burned.IsNil() {
		burned = math.ZeroInt()
	}
	if err := k.burned.Set(ctx, burned); err != nil {
		return err
	}
	// The sequences count what there was; the file names the next.
	if err := k.nextJob.Set(ctx, max(g.NextJob, 1)-1); err != nil {
		return err
	}
	if err := k.nextCase.Set(ctx, max(g.NextChallenge, 1)-1); err != nil {
		return err
	}
	if err := k.nextDispute.Set(ctx, max(g.NextDispute, 1)-1); err != nil {
		return err
	}
	for _, load := range []func(context.Context, *types.GenesisState) error{
		k.importWorkers, k.importGateways, k.importJobs,
	} {
		if err := load(ctx, g); err != nil {
			return fmt.Errorf("import the work market: %w", err)
		}
	}
	books, err := k.Invariants(ctx)
	if err != nil {
		return err
	}
	if len(books.Broken) > 0 {
		return fmt.Errorf("import the work market: the books don't match: %s", strings.Join(books.Broken, "; "))
	}
	return nil
}

func (k *Keeper) importWorkers(ctx context.Context, g *types.GenesisState) error {
	for _, op := range g.Operators {
		addr, _, err := k.account(op.Address)
		if err != nil {
			return err
		}
		if err := k.operators.Set(ctx, addr, op); err != nil {
			return err
		}
	}
	for _, w := range g.Workers {
		addr, _, err := k.account(w.Operator)
		if err != nil {
			return err
		}
		if err := k.setWorker(ctx, w); err != nil {
			return err
		}
		if w.Status != types.Status_STATUS_GONE {
			if err := k.owned.Set(ctx, collections.Join(addr, w.Key)); err != nil {
				return err
			}
		}
		if w.Status == types.Status_STATUS_ACTIVE {
			if err := k.joinRoster(ctx, w); err != nil {
				return err
			}
		}
	}
	for _, u := range g.Unbondings {
		who := workerBond(u.Worker)
		if len(u.Worker) == 0 {
			addr, _, err := k.account(u.Gateway)
			if err != nil {
				return err
			}
			who = gatewayBond(addr)
		}
		if err := k.queueRelease(ctx, u.ReleaseHeight, who); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) importGateways(ctx context.Context, g *types.GenesisState) error {
	for _, gw := range g.Gateways {
		addr, _, err := k.account(gw.Address)
		if err != nil {
			return err
		}
		if err := k.setGateway(ctx, gw); err != nil {
			return err
		}
		if gw.Status == types.Status_STATUS_GONE {
			continue
		}
		if err := k.gatewayOf.Set(ctx, gw.Key, addr); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) importJobs(ctx context.Context, g *types.GenesisState) error {
	for _, j := range g.Jobs {
		if err := k.setJob(ctx, j); err != nil {
			return err
		}
		if err := k.indexJob(ctx, j); err != nil {
			return err
		}
		var at int64
		switch j.Status {
		case types.JobStatus_JOB_STATUS_OPEN:
			at = j.ExpiryHeight
		case types.JobStatus_JOB_STATUS_CLOSING:
			at = j.ClosingHeight + 1 // it asks to be woken again where its grace is not over
		default:
			continue
		}
		if err := k.jobQueue.Set(ctx, collections.Join(at, j.Id)); err != nil {
			return err
		}
	}
	for _, e := range g.Epochs {
		if err := k.setEpoch(ctx, e); err != nil {
			return err
		}
		if err := k.requeue(ctx, e); err != nil {
			return err
		}
		if err := k.listEpochAudits(ctx, e); err != nil {
			return err
		}
	}
	for _, c := range g.Claimed {
		if err := k.setClaim(ctx, c); err != nil {
			return err
		}
	}
	for _, c := range g.Challenges {
		if err := k.addChallenge(ctx, c); err != nil {
			return err
		}
	}
	for _, x := range g.Exhibits {
		if err := k.exhibits.Set(ctx, x.Dispute, x); err != nil {
			return err
		}
	}
	for _, d := range g.Disputes {
		if err := k.addDispute(ctx, d, nil); err != nil {
			return err
		}
	}
	return nil
}

// requeue has an imported epoch looked at when it next must be.
func (k *Keeper) requeue(ctx context.Context, e types.Epoch) error {
	switch e.Status {
	case types.EpochStatus_EPOCH_STATUS_COMMITTED:
		return k.beacons.Set(ctx, collections.Join3(e.CommitHeight, e.Job, e.Number))
	case types.EpochStatus_EPOCH_STATUS_DECIDED:
		return k.wakeAt(ctx, e, e.Deadline)
	case types.EpochStatus_EPOCH_STATUS_SAMPLED, types.EpochStatus_EPOCH_STATUS_AUDITING:
		for _, s := range e.Samples {
			if s.Decided() {
				continue
			}
			if err := k.wakeAt(ctx, e, s.Deadline); err != nil {
				return err
			}
		}
	}
	return nil
}

// ExportGenesis is the whole market.
func (k *Keeper) ExportGenesis(ctx context.Context) (*types.GenesisState, error) {
	g := &types.GenesisState{}
	var err error
	if g.Params, err = k.Params(ctx); err != nil {
		return nil, err
	}
	if g.Burned, err = k.burned.Get(ctx); err != nil {
		return nil, fmt.Errorf("read what was burned: %w", err)
	}
	if g.NextJob, err = k.nextJob.Peek(ctx); err != nil {
		return nil, fmt.Errorf("read the number of jobs: %w", err)
	}
	if g.NextChallenge, err = k.nextCase.Peek(ctx); err != nil {
		return nil, fmt.Errorf("read the number of challenges: %w", err)
	}
	if g.NextDispute, err = k.nextDispute.Peek(ctx); err != nil {
		return nil, fmt.Errorf("read the number of disputes: %w", err)
	}
	g.NextJob++
	g.NextChallenge++
	g.NextDispute++
	if err := k.operators.Walk(ctx, nil, func(_ sdk.AccAddress, v types.Operator) (bool, error) {
		g.Operators = append(g.Operators, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.workers.Walk(ctx, nil, func(_ []byte, v types.Worker) (bool, error) {
		g.Workers = append(g.Workers, v)
		if v.ReleaseHeight > 0 {
			g.Unbondings = append(g.Unbondings, types.Unbonding{Worker: v.Key, ReleaseHeight: v.ReleaseHeight})
		}
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.gateways.Walk(ctx, nil, func(_ sdk.AccAddress, v types.Gateway) (bool, error) {
		g.Gateways = append(g.Gateways, v)
		if v.ReleaseHeight > 0 {
			g.Unbondings = append(g.Unbondings, types.Unbonding{Gateway: v.Address, ReleaseHeight: v.ReleaseHeight})
		}
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.jobs.Walk(ctx, nil, func(_ uint64, v types.Job) (bool, error) {
		g.Jobs = append(g.Jobs, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.epochs.Walk(ctx, nil, func(_ epochID, v types.Epoch) (bool, error) {
		g.Epochs = append(g.Epochs, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.claimed.Walk(ctx, nil, func(_ workerOfJob, v types.Claimed) (bool, error) {
		g.Claimed = append(g.Claimed, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.challenges.Walk(ctx, nil, func(_ uint64, v types.Challenge) (bool, error) {
		g.Challenges = append(g.Challenges, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	if err := k.disputes.Walk(ctx, nil, func(_ uint64, v types.Dispute) (bool, error) {
		g.Disputes = append(g.Disputes, v)
		return false, nil
	}); err != nil {
		return nil, err
	}
	return g, k.exhibits.Walk(ctx, nil, func(_ uint64, v types.Exhibit) (bool, error) {
		g.Exhibits = append(g.Exhibits, v)
		return false, nil
	})
}
