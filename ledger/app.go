// Package ledger is the chain: a slim Cosmos SDK application with an EVM, wired
// by hand. It holds no server; ledger/node runs it.
//
//	app.go       App: what it is made of and its life, New to Close
//	accounts.go  the module accounts and the addresses that nobody may send to
//	keepers.go   the keepers, in the order in which they need each other
//	modules.go   the modules, and the order in which they run
//	evm.go       precompiles, the ante handler and the mempool that Ethereum and
//	             Cosmos transactions share
//	services.go  what a server asks of the app: gRPC, REST, AutoCLI
//	export.go    the state as a genesis file
//
// Beside it: chain (names and units), encoding (codecs), genesis (genesis
// files), node (a full node in process), client (sending and following), cli (the
// commands), and x/ with our own modules.
//
// There is no IBC: the EVM module's keepers take nil for it.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/ethereum/go-ethereum/common"
	corevm "github.com/ethereum/go-ethereum/core/vm"

	// The tracers of debug_trace… register themselves with go-ethereum.
	_ "github.com/ethereum/go-ethereum/eth/tracers/native"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/baseapp/txnrunner"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/version"
	authante "github.com/cosmos/cosmos-sdk/x/auth/ante"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	evmmempool "github.com/cosmos/evm/mempool"
	"github.com/cosmos/evm/x/vm"
	"github.com/cosmos/evm/x/vm/runner"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
)

// Options are what a node decides about the application it runs. None of them
// may change what a block does except EVMChainID, which therefore comes from the
// genesis file and from nowhere else.
type Options struct {
	// Home is the node's directory: the upgrade module keeps a note there.
	Home string
	// EVMChainID is the network's EIP-155 chain ID; zero means the default.
	EVMChainID uint64
	// BlockGas is the genesis file's limit of gas a block; the mempool needs it
	// before the first block. Zero or less means no limit.
	BlockGas int64
	// MempoolSize is how many Cosmos transactions may wait; zero means no limit.
	MempoolSize int
	// SkipUpgrades are heights whose planned upgrade this node passes over.
	SkipUpgrades map[int64]bool
}

// App is the ledger's state machine.
type App struct {
	*baseapp.BaseApp
	Keepers

	amino    *codec.LegacyAmino
	codec    codec.Codec
	registry codectypes.InterfaceRegistry
	txConfig client.TxConfig

	keys       map[string]*storetypes.KVStoreKey
	objectKeys map[string]*storetypes.ObjectStoreKey

	modules      *module.Manager
	configurator module.Configurator

	mempool        *evmmempool.Mempool
	pendingTxMu    sync.RWMutex
	pendingTxFuncs []func(common.Hash)

	closeOnce sync.Once
	closeErr  error
}

// extendEVM gives go-ethereum the EVM module's additions to it. The module would do
// so itself, once for each application, and go-ethereum takes them only once: a
// second node in a process, or the same one started again, would panic.
var extendEVM sync.Once

// New builds the application over a database and loads its latest state. The
// SDK reports wiring mistakes and broken state by panicking; New returns them as
// errors, so that a node can say what happened to which home.
func New(logger log.Logger, db dbm.DB, opts Options, baseOptions ...func(*baseapp.BaseApp)) (app *App, err error) {
	defer func() {
		if r := recover(); r != nil {
			app, err = nil, fmt.Errorf("build the ledger's application: %v", r)
		}
	}()
	chain.Configure()
	if opts.EVMChainID == 0 {
		opts.EVMChainID = chain.DefaultEVMChainID
	}
	// The EVM module keeps its chain's configuration in a global that it refuses to
	// set again, unless what it holds is the default.
	if c := evmtypes.GetChainConfig(); c != nil && c.ChainId != chain.DefaultEVMChainID {
		return nil, fmt.Errorf("this process has already run a ledger with EVM chain ID %d: start this one in a process of its own", c.ChainId)
	}
	extendEVM.Do(func() {
		if err = corevm.ExtendActivators(evmtypes.DefaultCosmosEVMActivators); err == nil {
			evmtypes.DefaultCosmosEVMActivators = nil
		}
	})
	if err != nil {
		return nil, fmt.Errorf("extend the EVM: %w", err)
	}
	// The bank's virtual fee accounts, which the EVM uses from the first block
	// after a restart, look this name up. The SDK only sets it when the first
	// Cosmos transaction is checked.
	authante.FeeRecipientModule = authtypes.FeeCollectorName

	enc := encoding.New(opts.EVMChainID)
	base := baseapp.NewBaseApp(chain.Name, logger, db, enc.Tx.TxDecoder(), baseOptions...)
	base.SetVersion(version.Version)
	base.SetInterfaceRegistry(enc.Registry)
	base.SetTxEncoder(enc.Tx.TxEncoder())
	base.SetDisableBlockGasMeter(true) // the fee market meters blocks

	app = &App{
		BaseApp:  base,
		amino:    enc.Amino,
		codec:    enc.Codec,
		registry: enc.Registry,
		txConfig: enc.Tx,
	}
	if err := app.buildKeepers(opts); err != nil {
		return nil, err
	}
	vmModule, err := app.buildModules()
	if err != nil {
		return nil, err
	}

	app.MountKVStores(app.keys)
	app.MountObjectStores(app.objectKeys)
	app.SetInitChainer(app.initChain)
	app.SetPreBlocker(func(ctx sdk.Context, _ *abci.RequestFinalizeBlock) (*sdk.ResponsePreBlock, error) {
		return app.modules.PreBlock(ctx)
	})
	app.SetBeginBlocker(app.modules.BeginBlock)
	app.SetEndBlocker(app.modules.EndBlock)
	app.buildAnte()
	app.buildMempool(logger, opts)

	if err := app.prepareUpgrades(); err != nil {
		return nil, err
	}
	if err := app.LoadLatestVersion(); err != nil {
		return nil, fmt.Errorf("load the ledger's latest state: %w", err)
	}
	restoreEVM(app, vmModule)
	// Transactions run one after another; the wrapper numbers the EVM's logs
	// across the block.
	runner.SetRunner(base, txnrunner.NewDefaultRunner(enc.Tx.TxDecoder()))
	return app, nil
}

// restoreEVM sets what the EVM module keeps in globals from the loaded state, so
// that a restarted node answers queries before its first block.
func restoreEVM(app *App, m vm.AppModule) {
	if app.LastBlockHeight() == 0 {
		return
	}
	m.HydrateGlobals(app.NewContextLegacy(true, cmtproto.Header{Height: app.LastBlockHeight(), ChainID: app.ChainID()}))
}

// initChain writes the genesis state.
func (a *App) initChain(ctx sdk.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	var state map[string]json.RawMessage
	if err := json.Unmarshal(req.AppStateBytes, &state); err != nil {
		return nil, fmt.Errorf("read the genesis file's app_state: %w", err)
	}
	if err := a.Upgrade.SetModuleVersionMap(ctx, a.modules.GetVersionMap()); err != nil {
		return nil, err
	}
	return a.modules.InitGenesis(ctx, a.codec, state)
}

// Close ends the mempool and the stores. It may be called more than once.
func (a *App) Close() error {
	a.closeOnce.Do(func() {
		var err error
		if a.mempool != nil {
			err = a.mempool.Close()
		}
		a.closeErr = errors.Join(err, a.BaseApp.Close())
	})
	return a.closeErr
}

// blockGas is the limit that the mempool works with.
func (o Options) blockGas() uint64 {
	if o.BlockGas <= 0 {
		return math.MaxInt64
	}
	return uint64(o.BlockGas)
}
