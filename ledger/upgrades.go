package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
	"github.com/ethereum/go-ethereum/common"

	"github.com/cantus-network/cantus/ledger/precompiles/cantus"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
)

// ruleChange is one step of the network's rules that validators vote on by its name. At the
// height that they choose, programs that don't know the name stop, and those that do run
// the modules' migrations (Migrator in each module) and go on.
type ruleChange struct {
	name   string
	stores storetypes.StoreUpgrades          // stores that come or go with it
	after  func(*App, context.Context) error // what is left to do when the modules have migrated
}

// ruleChanges are all that this program knows, in order. One that every network has behind it
// may be removed; its name is never used again.
var ruleChanges = []ruleChange{
	// Plants, probation, cells and fines for outvoted auditors: x/work from 1 to 2.
	{name: "v2"},
	// Disputes that the ledger decides, and kinds that are measured: x/work from 2 to 3.
	// Contracts that ask models: x/requests is new, and the precompiled contract over it.
	{name: "v3", stores: storetypes.StoreUpgrades{Added: []string{requeststypes.StoreKey}}, after: (*App).activateCantus},
}

// prepareUpgrades registers what this program can do and, where it was started to carry on
// behind an upgrade's height, has the stores loaded accordingly.
func (a *App) prepareUpgrades() error {
	due, err := a.Upgrade.ReadUpgradeInfoFromDisk()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read which upgrade this node stopped for: %w", err)
	}
	for _, u := range ruleChanges {
		a.Upgrade.SetUpgradeHandler(u.name, func(ctx context.Context, _ upgradetypes.Plan, from module.VersionMap) (module.VersionMap, error) {
			versions, err := a.modules.RunMigrations(ctx, a.configurator, from)
			if err != nil || u.after == nil {
				return versions, err
			}
			return versions, u.after(a, ctx)
		})
		if due.Name == u.name && !a.Upgrade.IsSkipHeight(due.Height) {
			a.SetStoreLoader(upgradetypes.UpgradeStoreLoader(due.Height, &u.stores))
		}
	}
	return nil
}

// activateCantus lets contracts call ICantus. A network that was begun with it has it already.
func (a *App) activateCantus(ctx context.Context) error {
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	if slices.Contains(a.EVM.GetParams(sdkCtx).ActiveStaticPrecompiles, cantus.Address) {
		return nil
	}
	if err := a.EVM.EnableStaticPrecompiles(sdkCtx, common.HexToAddress(cantus.Address)); err != nil {
		return fmt.Errorf("activate the precompiled contract ICantus: %w", err)
	}
	return nil
}
