package node

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"log/slog"

	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"

	"github.com/cantus-network/cantus/ledger/genesis"
)

// Export reads the latest state of a home, whose node must not run, as a genesis:
// a network that starts from it goes on where this one was.
func Export(home string) (_ *genesis.Genesis, err error) {
	if home, err = filepath.Abs(home); err != nil {
		return nil, fmt.Errorf("export the ledger: %w", err)
	}
	lock, err := lockHome(home)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	cfg, err := loadConfig(home)
	if err != nil {
		return nil, err
	}
	gen, err := genesis.ReadPast(filepath.Join(home, genesisFile))
	if err != nil {
		return nil, fmt.Errorf("export the ledger: %w", err)
	}
	evmID, err := genesis.EVMChainID(gen)
	if err != nil {
		return nil, fmt.Errorf("export the ledger: %w", err)
	}
	var quiet atomic.Bool
	quiet.Store(true)
	logger := sdkLog{slog.New(slog.DiscardHandler), func(error) {}, &quiet}
	app, err := openApp(home, filepath.Join(home, dataDir), logger, cfg.app, gen, evmID)
	if err != nil {
		return nil, fmt.Errorf("export the ledger of %s: %w", home, err)
	}
	defer app.Close()
	if app.LastBlockHeight() == 0 {
		return nil, fmt.Errorf("export the ledger of %s: it has no blocks yet", home)
	}
	state, err := app.Export()
	if err != nil {
		return nil, fmt.Errorf("export the ledger of %s: %w", home, err)
	}
	out := &genesis.Genesis{
		AppName:       gen.AppName,
		GenesisTime:   time.Now().UTC(),
		ChainID:       gen.ChainID,
		InitialHeight: state.Height,
		AppState:      state.AppState,
		Consensus:     genutiltypes.NewConsensusGenesis(state.ConsensusParams, state.Validators),
	}
	return out, genesis.Carry(out, gen)
}
