package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// take takes a request's fee out of an account. All of it is held at first.
func (k *Keeper) take(ctx context.Context, r *types.Request, from sdk.AccAddress) error {
	if err := k.bank.SendCoinsFromAccountToModule(ctx, from, types.ModuleName, chain.Coins(r.Fee)); err != nil {
		return fmt.Errorf("take the fee of request %d: %w", r.Id, err)
	}
	r.Held = r.Fee
	return nil
}

// pay pays a part of what is held of a request's fee and adds it to sum, which is one of the
// request's own. No request pays what it does not hold: that it would is an error, whatever
// led there.
func (k *Keeper) pay(ctx context.Context, r *types.Request, sum *math.Int, to sdk.AccAddress, amount math.Int) error {
	if !amount.IsPositive() {
		return nil
	}
	if amount.GT(r.Held) {
		return types.ErrFee.Wrapf("request %d: %s anote to pay, %s held", r.Id, amount, r.Held)
	}
	if err := k.bank.SendCoinsFromModuleToAccount(ctx, types.ModuleName, to, chain.Coins(amount)); err != nil {
		return fmt.Errorf("pay %s of request %d: %w", chain.FormatAmount(amount), r.Id, err)
	}
	r.Held = r.Held.Sub(amount)
	*sum = sum.Add(amount)
	return nil
}

// giveBack returns to a request's payer what is held beyond what has to stay.
func (k *Keeper) giveBack(ctx context.Context, r *types.Request, stays math.Int) error {
	payer, _, err := k.account(r.Payer)
	if err != nil {
		return err
	}
	return k.pay(ctx, r, &r.Returned, payer, r.Held.Sub(stays))
}

// burn destroys what bytes on the ledger cost.
func (k *Keeper) burn(ctx context.Context, r *types.Request, bytes int) error {
	amount := r.BytePrice.MulRaw(int64(bytes))
	if !amount.IsPositive() {
		return nil
	}
	if amount.GT(r.Held) {
		return types.ErrFee.Wrapf("request %d: %s anote to burn, %s held", r.Id, amount, r.Held)
	}
	if err := k.bank.BurnCoins(ctx, types.ModuleName, chain.Coins(amount)); err != nil {
		return fmt.Errorf("burn %s of request %d: %w", chain.FormatAmount(amount), r.Id, err)
	}
	total, err := k.burned.Get(ctx)
	if err != nil {
		return fmt.Errorf("read what was burned: %w", err)
	}
	r.Held, r.Burned = r.Held.Sub(amount), r.Burned.Add(amount)
	return k.burned.Set(ctx, total.Add(amount))
}

// callbackPrice is what a unit of a callback's gas costs in the present block.
func (k *Keeper) callbackPrice(ctx context.Context, p types.Params) math.Int {
	base := k.fees.GetBaseFee(sdk.UnwrapSDKContext(ctx))
	if base.IsNil() || !base.IsPositive() {
		return p.MinCallbackPrice
	}
	return math.MaxInt(p.MinCallbackPrice, base.Ceil().TruncateInt())
}
