package keeper

import (
	"context"
	"fmt"
	"strings"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// InitGenesis imports what was offered and asked. The lists follow from the records. It
// fails if the books don't match what the account holds, so the bank's genesis must come
// first, and the market's, whose jobs the requests name.
func (k *Keeper) InitGenesis(ctx context.Context, g *types.GenesisState) error {
	if err := g.Validate(); err != nil {
		return err
	}
	k.adopt(ctx)
	if err := k.params.Set(ctx, g.Params); err != nil {
		return err
	}
	if err := k.burned.Set(ctx, g.Burned); err != nil {
		return err
	}
	// The sequence counts what there was; the file names the next.
	if err := k.nextRequest.Set(ctx, max(g.NextRequest, 1)-1); err != nil {
		return err
	}
	for _, s := range g.Speakers {
		if err := k.speakers.Set(ctx, idOf(s), s); err != nil {
			return err
		}
	}
	for _, o := range g.Offers {
		addr, text, err := k.account(o.Gateway)
		if err != nil {
			return err
		}
		o.Gateway = text
		if err := k.setOffer(ctx, addr, o); err != nil {
			return err
		}
	}
	for _, r := range g.Requests {
		j, err := k.market.Job(ctx, r.Job)
		if err != nil {
			return fmt.Errorf("import request %d: %w", r.Id, err)
		}
		if j.Buyer != r.Payer || j.Gateway != r.Gateway {
			return types.ErrInvalid.Wrapf("import request %d of %s to %s: job %d is of %s to %s", r.Id, r.Payer, r.Gateway, j.Id, j.Buyer, j.Gateway)
		}
		if err := k.set(ctx, r); err != nil {
			return err
		}
		if err := k.list(ctx, r); err != nil {
			return fmt.Errorf("import request %d: %w", r.Id, err)
		}
	}
	if len(g.Requests) == 0 {
		if err := k.sweep(ctx); err != nil {
			return err
		}
	}
	books, err := k.Invariants(ctx)
	if err != nil {
		return err
	}
	if len(books.Broken) > 0 {
		return fmt.Errorf("import requests: the books don't match: %s", strings.Join(books.Broken, "; "))
	}
	return nil
}

// adopt makes the module's account. A running network gets this module by an upgrade, and
// until then its account was like any other: whoever knew its address could send to it,
// which made it an ordinary account, and the upgrade must not stop at that.
func (k *Keeper) adopt(ctx context.Context) {
	old := k.accounts.GetAccount(ctx, k.accounts.GetModuleAddress(types.ModuleName))
	if _, ours := old.(sdk.ModuleAccountI); old != nil && !ours {
		base := authtypes.NewBaseAccount(old.GetAddress(), nil, old.GetAccountNumber(), old.GetSequence())
		k.accounts.SetModuleAccount(ctx, authtypes.NewModuleAccount(base, types.ModuleName, authtypes.Burner))
		return
	}
	k.accounts.GetModuleAccount(ctx, types.ModuleName) // makes it where there is none
}

// sweep burns what was sent to the module's account before there was a request.
func (k *Keeper) sweep(ctx context.Context) error {
	found := k.bank.GetBalance(ctx, k.accounts.GetModuleAddress(types.ModuleName), chain.BaseDenom).Amount
	if !found.IsPositive() {
		return nil
	}
	if err := k.bank.BurnCoins(ctx, types.ModuleName, chain.Coins(found)); err != nil {
		return fmt.Errorf("burn what was sent to the account of requests before there were any: %w", err)
	}
	total, err := k.burned.Get(ctx)
	if err != nil {
		return fmt.Errorf("read what was burned: %w", err)
	}
	return k.burned.Set(ctx, total.Add(found))
}

// ExportGenesis exports what was offered and asked.
func (k *Keeper) ExportGenesis(ctx context.Context) (*types.GenesisState, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return nil, err
	}
	g := &types.GenesisState{Params: p}
	if g.Burned, err = k.burned.Get(ctx); err != nil {
		return nil, fmt.Errorf("read what was burned: %w", err)
	}
	n, err := k.nextRequest.Peek(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the next request's number: %w", err)
	}
	g.NextRequest = n + 1
	if err := k.speakers.Walk(ctx, nil, func(_, b []byte) (bool, error) {
		g.Speakers = append(g.Speakers, b)
		return false, nil
	}); err != nil {
		return nil, fmt.Errorf("export the speakers: %w", err)
	}
	if err := k.offers.Walk(ctx, nil, func(_ offerKey, o types.Offer) (bool, error) {
		g.Offers = append(g.Offers, o)
		return false, nil
	}); err != nil {
		return nil, fmt.Errorf("export the offers: %w", err)
	}
	if err := k.requests.Walk(ctx, nil, func(_ uint64, r types.Request) (bool, error) {
		g.Requests = append(g.Requests, r)
		return false, nil
	}); err != nil {
		return nil, fmt.Errorf("export the requests: %w", err)
	}
	return g, nil
}

// offered is an offer's place in the list by gateway.
func offered(key offerKey) offeredBy { return collections.Join(key.K2(), key.K1()) }
