package ledger

import (
	"time"

	"cosmossdk.io/log/v2"
	"github.com/cosmos/cosmos-sdk/baseapp"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkmempool "github.com/cosmos/cosmos-sdk/types/mempool"
	"github.com/cosmos/cosmos-sdk/x/auth/posthandler"
	evmante "github.com/cosmos/evm/ante"
	antetypes "github.com/cosmos/evm/ante/types"
	evmmempool "github.com/cosmos/evm/mempool"
	"github.com/cosmos/evm/mempool/txpool/legacypool"
	precompiletypes "github.com/cosmos/evm/precompiles/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	"github.com/ethereum/go-ethereum/common"
	corevm "github.com/ethereum/go-ethereum/core/vm"
	"github.com/holiman/uint256"

	"github.com/cantus-network/cantus/ledger/precompiles/cantus"
	lineagekeeper "github.com/cantus-network/cantus/ledger/x/lineage/keeper"
)

const (
	// proposalWait is how long a proposer waits for the pool to recheck what the
	// last block may have spoilt.
	proposalWait = 250 * time.Millisecond
	// checkWait bounds one transaction's check.
	checkWait = 5 * time.Second
	// insertQueue is how many Ethereum transactions may wait to enter the pool.
	insertQueue = 5000
)

// ActivePrecompiles are the precompiled contracts, beside Ethereum's own, that a
// new network starts with: sorted, as the EVM module wants them. Each shows a
// module to contracts.
func ActivePrecompiles() []string {
	return []string{
		evmtypes.P256PrecompileAddress,
		evmtypes.Bech32PrecompileAddress,
		evmtypes.StakingPrecompileAddress,
		evmtypes.DistributionPrecompileAddress,
		evmtypes.BankPrecompileAddress,
		evmtypes.GovPrecompileAddress,
		evmtypes.SlashingPrecompileAddress,
		cantus.Address,
	}
}

// precompiles builds every precompiled contract that the genesis may activate.
func (a *App) precompiles() (map[common.Address]corevm.PrecompiledContract, error) {
	own, err := cantus.New(a.Requests, lineagekeeper.NewQueryServer(a.Lineage), a.Bank)
	if err != nil {
		return nil, err
	}
	all := precompiletypes.NewStaticPrecompiles().
		WithPraguePrecompiles().
		WithP256Precompile().
		WithBech32Precompile().
		WithStakingPrecompile(*a.Staking, a.Bank).
		WithDistributionPrecompile(a.Distribution, *a.Staking, a.Bank).
		WithBankPrecompile(a.Bank, &a.ERC20).
		WithGovPrecompile(a.Gov, a.Bank, a.codec).
		WithSlashingPrecompile(a.Slashing, a.Bank)
	all[own.Address()] = own
	return all, nil
}

// buildAnte sets the checks that a transaction passes before it runs.
func (a *App) buildAnte() {
	// The options' own Validate insists on an IBC keeper. The one decorator that
	// holds it looks at IBC messages only, and no such message can be decoded here.
	a.SetAnteHandler(evmante.NewAnteHandler(evmante.HandlerOptions{
		Cdc:                    a.codec,
		AccountKeeper:          a.Account,
		BankKeeper:             a.Bank,
		ExtensionOptionChecker: antetypes.HasDynamicFeeExtensionOption,
		EvmKeeper:              a.EVM,
		FeegrantKeeper:         a.FeeGrant,
		FeeMarketKeeper:        a.FeeMarket,
		SignModeHandler:        a.txConfig.SignModeHandler(),
		SigGasConsumer:         evmante.SigVerificationGasConsumer,
		DynamicFeeChecker:      true,
		PendingTxListener:      a.pendingTx,
	}))
	post, err := posthandler.NewPostHandler(posthandler.HandlerOptions{})
	if err != nil {
		panic(err) // no options, no way to fail; New would report it
	}
	a.SetPostHandler(post)
}

// pendingTx tells the JSON-RPC server's subscribers of a transaction that passed
// its checks.
func (a *App) pendingTx(hash common.Hash) {
	a.pendingTxMu.RLock()
	defer a.pendingTxMu.RUnlock()
	for _, f := range a.pendingTxFuncs {
		f(hash)
	}
}

// RegisterPendingTxListener adds a function to call with each transaction that
// passed its checks.
func (a *App) RegisterPendingTxListener(f func(common.Hash)) {
	a.pendingTxMu.Lock()
	defer a.pendingTxMu.Unlock()
	a.pendingTxFuncs = append(a.pendingTxFuncs, f)
}

// buildMempool sets the pool that Ethereum and Cosmos transactions share. It
// lives in the application: CometBFT only passes transactions through ("app"
// mempool).
func (a *App) buildMempool(logger log.Logger, opts Options) {
	pool := legacypool.DefaultConfig
	encoder := evmmempool.NewTxEncoder(a.txConfig)
	a.mempool = evmmempool.NewMempool(
		a.CreateQueryContext,
		logger,
		a.EVM,
		a.FeeMarket,
		a.txConfig,
		// One each: a rechecker keeps state between calls.
		evmmempool.NewTxRechecker(a.AnteHandler(), encoder),
		evmmempool.NewTxRechecker(a.AnteHandler(), encoder),
		&evmmempool.Config{
			AnteHandler:              a.AnteHandler(),
			LegacyPoolConfig:         &pool,
			BlockGasLimit:            opts.blockGas(),
			MinTip:                   new(uint256.Int),
			PendingTxProposalTimeout: proposalWait,
			InsertQueueSize:          insertQueue,
		},
		opts.MempoolSize,
	)
	a.SetMempool(a.mempool)
	a.SetInsertTxHandler(a.mempool.NewInsertTxHandler(a.TxDecode))
	a.SetReapTxsHandler(a.mempool.NewReapTxsHandler())
	a.SetCheckTxHandler(a.mempool.NewCheckTxHandler(a.TxDecode, checkWait))
	a.SetPrepareProposal(baseapp.NewDefaultProposalHandler(a.mempool, encodeOnly{a.BaseApp}).PrepareProposalHandler())
	a.SetPrepareCheckStater(func(sdk.Context) {
		if !a.mempool.HasEventBus() { // then nobody else tells it
			a.mempool.NotifyNewBlock()
		}
	})
}

// GetMempool is the pool of waiting transactions.
func (a *App) GetMempool() sdkmempool.ExtMempool { return a.mempool }

// Pool is the same pool by its own type: the node gives it its event bus, the
// JSON-RPC server reads it.
func (a *App) Pool() *evmmempool.Mempool { return a.mempool }

// encodeOnly verifies a proposal's transactions by encoding them: whatever the
// pool offers it has checked itself, on the state after the last block.
type encodeOnly struct{ *baseapp.BaseApp }

func (e encodeOnly) PrepareProposalVerifyTx(tx sdk.Tx) ([]byte, error) { return e.TxEncode(tx) }
