package ledger

import (
	"fmt"

	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	signingtypes "github.com/cosmos/cosmos-sdk/types/tx/signing"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	txmodule "github.com/cosmos/cosmos-sdk/x/auth/tx/config"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	authzkeeper "github.com/cosmos/cosmos-sdk/x/authz/keeper"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	consensuskeeper "github.com/cosmos/cosmos-sdk/x/consensus/keeper"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	evidencekeeper "github.com/cosmos/cosmos-sdk/x/evidence/keeper"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantkeeper "github.com/cosmos/cosmos-sdk/x/feegrant/keeper"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	mintkeeper "github.com/cosmos/cosmos-sdk/x/mint/keeper"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradekeeper "github.com/cosmos/cosmos-sdk/x/upgrade/keeper"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
	evmaddress "github.com/cosmos/evm/encoding/address"
	erc20keeper "github.com/cosmos/evm/x/erc20/keeper"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	feemarketkeeper "github.com/cosmos/evm/x/feemarket/keeper"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmkeeper "github.com/cosmos/evm/x/vm/keeper"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/ledger/chain"
	lineagekeeper "github.com/cantus-network/cantus/ledger/x/lineage/keeper"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	requestskeeper "github.com/cantus-network/cantus/ledger/x/requests/keeper"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	workkeeper "github.com/cantus-network/cantus/ledger/x/work/keeper"
	workreferees "github.com/cantus-network/cantus/ledger/x/work/referees"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Keepers are the modules' keepers.
type Keepers struct {
	Account      authkeeper.AccountKeeper
	Bank         bankkeeper.Keeper
	Staking      *stakingkeeper.Keeper
	Slashing     slashingkeeper.Keeper
	Mint         mintkeeper.Keeper
	Distribution distrkeeper.Keeper
	Gov          govkeeper.Keeper
	Upgrade      *upgradekeeper.Keeper
	Authz        authzkeeper.Keeper
	Evidence     evidencekeeper.Keeper
	FeeGrant     feegrantkeeper.Keeper
	Consensus    consensuskeeper.Keeper

	FeeMarket feemarketkeeper.Keeper
	EVM       *evmkeeper.Keeper
	ERC20     erc20keeper.Keeper

	Work     *workkeeper.Keeper
	Lineage  *lineagekeeper.Keeper
	Requests *requestskeeper.Keeper
}

// buildKeepers makes the stores' keys and every keeper. The order is forced: a
// keeper comes after those it is given.
func (a *App) buildKeepers(opts Options) error {
	a.keys = storetypes.NewKVStoreKeys(
		authtypes.StoreKey, banktypes.StoreKey, stakingtypes.StoreKey, minttypes.StoreKey,
		distrtypes.StoreKey, slashingtypes.StoreKey, govtypes.StoreKey, consensustypes.StoreKey,
		upgradetypes.StoreKey, feegrant.StoreKey, evidencetypes.StoreKey, authzkeeper.StoreKey,
		evmtypes.StoreKey, feemarkettypes.StoreKey, erc20types.StoreKey,
		worktypes.StoreKey, lineagetypes.StoreKey, requeststypes.StoreKey,
	)
	a.objectKeys = storetypes.NewObjectStoreKeys(banktypes.ObjectStoreKey, evmtypes.ObjectKey)

	govAddr := authtypes.NewModuleAddress(govtypes.ModuleName)
	authority := govAddr.String()

	a.Consensus = consensuskeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[consensustypes.StoreKey]), authority, runtime.EventService{})
	a.SetParamStore(a.Consensus.ParamsStore)

	a.Account = authkeeper.NewAccountKeeper(a.codec, runtime.NewKVStoreService(a.keys[authtypes.StoreKey]),
		authtypes.ProtoBaseAccount, moduleAccounts(), evmaddress.NewEvmCodec(chain.Bech32Prefix), chain.Bech32Prefix, authority)

	a.Bank = bankkeeper.NewBaseKeeper(a.codec, runtime.NewKVStoreService(a.keys[banktypes.StoreKey]),
		a.Account, blockedAddresses(), authority, a.Logger()).
		WithObjStoreKey(a.objectKeys[banktypes.ObjectStoreKey])

	// Textual signing shows amounts in notes, so it needs the bank's metadata.
	tx, err := authtx.NewTxConfigWithOptions(a.codec, authtx.ConfigOptions{
		EnabledSignModes:           append(append([]signingtypes.SignMode{}, authtx.DefaultSignModes...), signingtypes.SignMode_SIGN_MODE_TEXTUAL),
		TextualCoinMetadataQueryFn: txmodule.NewBankKeeperCoinMetadataQueryFn(a.Bank),
	})
	if err != nil {
		return fmt.Errorf("build the transaction codec: %w", err)
	}
	a.txConfig = tx

	a.Staking = stakingkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[stakingtypes.StoreKey]), a.Account, a.Bank, authority,
		evmaddress.NewEvmCodec(sdk.GetConfig().GetBech32ValidatorAddrPrefix()),
		evmaddress.NewEvmCodec(sdk.GetConfig().GetBech32ConsensusAddrPrefix()))
	a.Mint = mintkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[minttypes.StoreKey]),
		a.Staking, a.Account, a.Bank, authtypes.FeeCollectorName, authority)
	a.Distribution = distrkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[distrtypes.StoreKey]),
		a.Account, a.Bank, a.Staking, authtypes.FeeCollectorName, authority)
	a.Slashing = slashingkeeper.NewKeeper(a.codec, a.amino, runtime.NewKVStoreService(a.keys[slashingtypes.StoreKey]), a.Staking, authority)
	a.Staking.SetHooks(stakingtypes.NewMultiStakingHooks(a.Distribution.Hooks(), a.Slashing.Hooks()))

	a.FeeGrant = feegrantkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[feegrant.StoreKey]), a.Account)
	a.Authz = authzkeeper.NewKeeper(runtime.NewKVStoreService(a.keys[authzkeeper.StoreKey]), a.codec, a.MsgServiceRouter(), a.Account)
	a.Upgrade = upgradekeeper.NewKeeper(opts.SkipUpgrades, runtime.NewKVStoreService(a.keys[upgradetypes.StoreKey]), a.codec, opts.Home, a.BaseApp, authority)
	a.Gov = *govkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[govtypes.StoreKey]), a.Account, a.Bank, a.Distribution,
		a.MsgServiceRouter(), govtypes.DefaultConfig(), authority, govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(a.Staking))
	a.Evidence = *evidencekeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[evidencetypes.StoreKey]),
		a.Staking, a.Slashing, a.Account.AddressCodec(), runtime.ProvideCometInfoService())

	a.Work, err = workkeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[worktypes.StoreKey]), a.Account, a.Bank, authority)
	if err != nil {
		return err
	}
	a.Lineage, err = lineagekeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[lineagetypes.StoreKey]), authority)
	if err != nil {
		return err
	}
	workreferees.Set(a.Work)
	// Jobs pay the owners of what they use, and artifacts name the jobs that made them.
	a.Work.SetLineage(a.Lineage)
	a.Lineage.SetJobs(a.Work)
	a.Lineage.SetBank(a.Bank)

	a.FeeMarket = feemarketkeeper.NewKeeper(a.codec, govAddr, a.keys[feemarkettypes.StoreKey])
	// Requests open jobs, and price callbacks by what gas costs.
	a.Requests, err = requestskeeper.NewKeeper(a.codec, runtime.NewKVStoreService(a.keys[requeststypes.StoreKey]), a.Account, a.Bank,
		a.Work, a.FeeMarket, authority)
	if err != nil {
		return err
	}
	// The EVM and ERC-20 keepers hold each other.
	a.EVM = evmkeeper.NewKeeper(a.codec, a.keys[evmtypes.StoreKey], a.objectKeys[evmtypes.ObjectKey], a.persistentKeys(), govAddr,
		a.Account, a.Bank, a.Staking, a.FeeMarket, &a.Consensus, &a.ERC20, opts.EVMChainID, "")
	a.ERC20 = erc20keeper.NewKeeper(a.keys[erc20types.StoreKey], a.codec, govAddr, a.Account, a.Bank, a.EVM, a.Staking, nil)
	precompiles, err := a.precompiles()
	if err != nil {
		return err
	}
	a.EVM.WithStaticPrecompiles(precompiles)
	a.EVM.EnableVirtualFeeCollection()
	return nil
}

// persistentKeys are the stores that a precompile's cached writes span.
func (a *App) persistentKeys() []storetypes.StoreKey {
	keys := make([]storetypes.StoreKey, 0, len(a.keys)+len(a.objectKeys))
	for _, k := range a.keys {
		keys = append(keys, k)
	}
	for _, k := range a.objectKeys {
		keys = append(keys, k)
	}
	return keys
}
