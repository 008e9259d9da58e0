package ledger

import (
	"encoding/json"
	"fmt"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
)

// Export is the latest state as a genesis file's content: a network started from
// it continues at the next height with the same accounts, stakes and jobs.
func (a *App) Export() (out servertypes.ExportedApp, err error) {
	defer func() {
		if r := recover(); r != nil { // the SDK's way to say that state is broken
			err = fmt.Errorf("export the ledger's state: %v", r)
		}
	}()
	ctx := a.NewContextLegacy(true, cmtproto.Header{Height: a.LastBlockHeight(), ChainID: a.ChainID()})
	state, err := a.modules.ExportGenesis(ctx, a.codec)
	if err != nil {
		return out, fmt.Errorf("export the ledger's state: %w", err)
	}
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return out, fmt.Errorf("export the ledger's state: %w", err)
	}
	validators, err := staking.WriteValidators(ctx, a.Staking)
	if err != nil {
		return out, fmt.Errorf("export the validators: %w", err)
	}
	return servertypes.ExportedApp{
		AppState:        raw,
		Validators:      validators,
		Height:          a.LastBlockHeight() + 1,
		ConsensusParams: a.GetConsensusParams(ctx),
	}, nil
}
