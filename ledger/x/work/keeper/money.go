package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// lock takes an amount from an account into one of the module's.
func (k *Keeper) lock(ctx context.Context, from sdk.AccAddress, into string, amount math.Int) error {
	if err := k.bank.SendCoinsFromAccountToModule(ctx, from, into, chain.Coins(amount)); err != nil {
		return fmt.Errorf("lock %s: %w", chain.FormatAmount(amount), err)
	}
	return nil
}

// release pays an amount out of one of the module's accounts.
func (k *Keeper) release(ctx context.Context, from string, to sdk.AccAddress, amount math.Int) error {
	if !amount.IsPositive() {
		return nil
	}
	if err := k.bank.SendCoinsFromModuleToAccount(ctx, from, to, chain.Coins(amount)); err != nil {
		return fmt.Errorf("pay %s out of %s: %w", chain.FormatAmount(amount), from, err)
	}
	return nil
}

// burn destroys an amount that one of the module's accounts holds.
func (k *Keeper) burn(ctx context.Context, from string, amount math.Int, reason string) error {
	if !amount.IsPositive() {
		return nil
	}
	if err := k.bank.BurnCoins(ctx, from, chain.Coins(amount)); err != nil {
		return fmt.Errorf("burn %s of %s: %w", chain.FormatAmount(amount), from, err)
	}
	total, err := k.burned.Get(ctx)
	if err != nil {
		return fmt.Errorf("read what was burned: %w", err)
	}
	emit(ctx, types.EventBurned, types.AttrAmount, amount, types.AttrReason, reason)
	return k.burned.Set(ctx, total.Add(amount))
}

// spend pays an amount out of a job's escrow and adds it to sum, which is one of the
// job's own. No job pays above its escrow: that it would is an error, whatever led there.
func (k *Keeper) spend(ctx context.Context, j *types.Job, sum *math.Int, to string, amount math.Int) error {
	if !amount.IsPositive() {
		return nil
	}
	if left := j.Left(); amount.GT(left) {
		return types.ErrEscrow.Wrapf("job %d: %s anote to pay, %s left", j.Id, amount, left)
	}
	addr, _, err := k.account(to)
	if err != nil {
		return err
	}
	if err := k.release(ctx, types.EscrowAccount, addr, amount); err != nil {
		return fmt.Errorf("job %d: %w", j.Id, err)
	}
	*sum = sum.Add(amount)
	return nil
}

// spendBurn destroys a part of a job's escrow.
func (k *Keeper) spendBurn(ctx context.Context, j *types.Job, amount math.Int) error {
	if left := j.Left(); amount.GT(left) {
		return types.ErrEscrow.Wrapf("job %d: %s anote to burn, %s left", j.Id, amount, left)
	}
	if err := k.burn(ctx, types.EscrowAccount, amount, "protocol fee"); err != nil {
		return fmt.Errorf("job %d: %w", j.Id, err)
	}
	j.Burned = j.Burned.Add(amount)
	return nil
}

// slashWorker burns a share of a worker's bond.
func (k *Keeper) slashWorker(ctx context.Context, w *types.Worker, bps uint32, p types.Params, reason string) error {
	return k.takeBond(ctx, w, types.Share(w.Bond, bps), math.ZeroInt(), nil, p, reason)
}

// slashForReceipt takes what a false receipt costs. The challenger, where there is one, has
// a share of it, and the rest is burned.
func (k *Keeper) slashForReceipt(ctx context.Context, w *types.Worker, challenger string, p types.Params) error {
	amount := types.Share(w.Bond, p.FalseReceiptSlashBps)
	if challenger == "" {
		return k.takeBond(ctx, w, amount, math.ZeroInt(), nil, p, "false receipt")
	}
	to, _, err := k.account(challenger)
	if err != nil {
		return err
	}
	return k.takeBond(ctx, w, amount, types.Share(amount, p.DisputeRewardBps), to, p, "false receipt")
}

// takeBond takes an amount from a worker's bond: a part of it goes to somebody, the rest is
// burned. A worker whose bond has shrunk to less than half of the least is paused until its
// operator adds to it.
func (k *Keeper) takeBond(ctx context.Context, w *types.Worker, amount, part math.Int, to sdk.AccAddress, p types.Params, reason string) error {
	if err := k.release(ctx, types.BondsAccount, to, part); err != nil {
		return fmt.Errorf("slash worker %x: %w", w.Key, err)
	}
	if err := k.burn(ctx, types.BondsAccount, amount.Sub(part), reason); err != nil {
		return fmt.Errorf("slash worker %x: %w", w.Key, err)
	}
	w.Bond = w.Bond.Sub(amount)
	emit(ctx, types.EventWorkerSlashed, types.AttrWorker, w.Key, types.AttrOperator, w.Operator,
		types.AttrAmount, amount, types.AttrReason, reason)
	if w.Status == types.Status_STATUS_ACTIVE && w.Bond.MulRaw(2).LT(p.MinWorkerBond) {
		return k.setWorkerStatus(ctx, w, types.Status_STATUS_PAUSED)
	}
	return nil
}

// slashGateway takes a share of a gateway's bond: half of it goes to the informer where
// there is one, the rest is burned. It returns the informer's reward.
func (k *Keeper) slashGateway(ctx context.Context, g *types.Gateway, job uint64, informer sdk.AccAddress, p types.Params, reason string) (math.Int, error) {
	amount := types.Share(g.Bond, p.GatewayFaultSlashBps)
	reward := math.ZeroInt()
	if informer != nil {
		reward = amount.QuoRaw(2)
	}
	if err := k.release(ctx, types.BondsAccount, informer, reward); err != nil {
		return reward, err
	}
	if err := k.burn(ctx, types.BondsAccount, amount.Sub(reward), reason); err != nil {
		return reward, fmt.Errorf("slash gateway %s: %w", g.Address, err)
	}
	g.Bond = g.Bond.Sub(amount)
	g.Faults++
	if g.Status == types.Status_STATUS_ACTIVE {
		g.Status = types.Status_STATUS_PAUSED
	}
	emit(ctx, types.EventGatewaySlashed, types.AttrGateway, g.Address, types.AttrJob, job,
		types.AttrAmount, amount, types.AttrReason, reason)
	return reward, nil
}
