package ledger

import (
	"fmt"

	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"
	reflectionv1 "cosmossdk.io/api/cosmos/reflection/v1"
	runtimeservices "github.com/cosmos/cosmos-sdk/runtime/services"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authsims "github.com/cosmos/cosmos-sdk/x/auth/simulation"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	authzmodule "github.com/cosmos/cosmos-sdk/x/authz/module"
	"github.com/cosmos/cosmos-sdk/x/bank"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/consensus"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distr "github.com/cosmos/cosmos-sdk/x/distribution"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantmodule "github.com/cosmos/cosmos-sdk/x/feegrant/module"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	"github.com/cosmos/cosmos-sdk/x/mint"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	"github.com/cosmos/cosmos-sdk/x/upgrade"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
	"github.com/cosmos/evm/x/erc20"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	"github.com/cosmos/evm/x/feemarket"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	"github.com/cosmos/evm/x/vm"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/cantus-network/cantus/ledger/x/lineage"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/ledger/x/requests"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/ledger/x/work"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// buildModules makes the module manager and registers every module's messages
// and queries.
func (a *App) buildModules() (vm.AppModule, error) {
	vmModule := vm.NewAppModule(a.EVM, a.Account, a.Bank, a.Account.AddressCodec())
	a.modules = module.NewManager(
		genutil.NewAppModule(a.Account, a.Staking, a, a.txConfig),
		auth.NewAppModule(a.codec, a.Account, authsims.RandomGenesisAccounts, nil),
		bank.NewAppModule(a.codec, a.Bank, a.Account, nil),
		feegrantmodule.NewAppModule(a.codec, a.Account, a.Bank, a.FeeGrant, a.registry),
		gov.NewAppModule(a.codec, &a.Gov, a.Account, a.Bank, nil),
		mint.NewAppModule(a.codec, a.Mint, a.Account, nil, nil),
		slashing.NewAppModule(a.codec, a.Slashing, a.Account, a.Bank, a.Staking, nil, a.registry),
		distr.NewAppModule(a.codec, a.Distribution, a.Account, a.Bank, a.Staking, nil),
		staking.NewAppModule(a.codec, a.Staking, a.Account, a.Bank, nil),
		upgrade.NewAppModule(a.Upgrade, a.Account.AddressCodec()),
		evidence.NewAppModule(a.Evidence),
		authzmodule.NewAppModule(a.codec, a.Authz, a.Account, a.Bank, a.registry),
		consensus.NewAppModule(a.codec, a.Consensus),
		vmModule,
		feemarket.NewAppModule(a.FeeMarket),
		erc20.NewAppModule(a.ERC20, a.Account),
		work.NewAppModule(a.Work),
		lineage.NewAppModule(a.Lineage),
		requests.NewAppModule(a.Requests),
	)
	basics := Basics()
	basics.RegisterLegacyAminoCodec(a.amino)
	basics.RegisterInterfaces(a.registry)
	a.orderModules()

	a.configurator = module.NewConfigurator(a.codec, a.MsgServiceRouter(), a.GRPCQueryRouter())
	if err := a.modules.RegisterServices(a.configurator); err != nil {
		return vmModule, fmt.Errorf("register the modules' services: %w", err)
	}
	autocliv1.RegisterQueryServer(a.GRPCQueryRouter(), runtimeservices.NewAutoCLIQueryService(a.modules.Modules))
	reflection, err := runtimeservices.NewReflectionService()
	if err != nil {
		return vmModule, fmt.Errorf("build the reflection service: %w", err)
	}
	reflectionv1.RegisterReflectionServiceServer(a.GRPCQueryRouter(), reflection)

	// A message without its signer annotation could not be signed: find out now.
	files, err := proto.MergedRegistry()
	if err != nil {
		return vmModule, fmt.Errorf("merge the protobuf registries: %w", err)
	}
	if err := msgservice.ValidateProtoAnnotations(files); err != nil {
		return vmModule, fmt.Errorf("check the messages' annotations: %w", err)
	}
	return vmModule, nil
}

// Basics are the modules without their keepers: default genesis states and their
// validation, codecs, REST routes.
func Basics() module.BasicManager {
	return module.NewBasicManager(
		genutil.NewAppModuleBasic(genutiltypes.DefaultMessageValidator),
		auth.AppModuleBasic{},
		bank.AppModuleBasic{},
		feegrantmodule.AppModuleBasic{},
		gov.NewAppModuleBasic(nil),
		mint.AppModuleBasic{},
		slashing.AppModuleBasic{},
		distr.AppModuleBasic{},
		staking.AppModuleBasic{},
		upgrade.AppModuleBasic{},
		evidence.AppModuleBasic{},
		authzmodule.AppModuleBasic{},
		consensus.AppModuleBasic{},
		vm.AppModuleBasic{},
		feemarket.AppModuleBasic{},
		erc20.AppModuleBasic{},
		work.NewAppModule(nil),
		lineage.NewAppModule(nil),
		requests.NewAppModule(nil),
	)
}

// orderModules says who comes first. What matters:
//   - upgrade runs before anything reads state that it may change;
//   - begin: mint fills the fee pool that distribution empties; the fee market
//     sets the base fee that the EVM announces; slashing follows distribution, so
//     that a validator's past rewards are not slashed;
//   - end: the bank collects the block's virtual fees first; the fee market comes
//     last, to see all the gas that was used;
//   - genesis: accounts and balances before those who look at them, the market's jobs
//     before the requests that they answer, genutil (which
//     runs the genesis transactions) after staking and the fee market.
func (a *App) orderModules() {
	a.modules.SetOrderPreBlockers(upgradetypes.ModuleName, authtypes.ModuleName, evmtypes.ModuleName)
	a.modules.SetOrderBeginBlockers(
		minttypes.ModuleName,
		erc20types.ModuleName, feemarkettypes.ModuleName, evmtypes.ModuleName,
		worktypes.ModuleName, lineagetypes.ModuleName, requeststypes.ModuleName,
		distrtypes.ModuleName, slashingtypes.ModuleName, evidencetypes.ModuleName, stakingtypes.ModuleName,
		authtypes.ModuleName, banktypes.ModuleName, govtypes.ModuleName, genutiltypes.ModuleName,
		authz.ModuleName, feegrant.ModuleName, consensustypes.ModuleName,
	)
	a.modules.SetOrderEndBlockers(
		banktypes.ModuleName,
		govtypes.ModuleName, stakingtypes.ModuleName, authtypes.ModuleName,
		distrtypes.ModuleName, slashingtypes.ModuleName, minttypes.ModuleName, genutiltypes.ModuleName,
		evidencetypes.ModuleName, authz.ModuleName, feegrant.ModuleName, upgradetypes.ModuleName,
		consensustypes.ModuleName,
		worktypes.ModuleName, lineagetypes.ModuleName, requeststypes.ModuleName,
		evmtypes.ModuleName, erc20types.ModuleName, feemarkettypes.ModuleName,
	)
	genesis := []string{
		authtypes.ModuleName, banktypes.ModuleName, distrtypes.ModuleName, stakingtypes.ModuleName,
		slashingtypes.ModuleName, govtypes.ModuleName, minttypes.ModuleName,
		evmtypes.ModuleName, feemarkettypes.ModuleName, erc20types.ModuleName,
		worktypes.ModuleName, lineagetypes.ModuleName, requeststypes.ModuleName,
		genutiltypes.ModuleName, evidencetypes.ModuleName, authz.ModuleName, feegrant.ModuleName,
		upgradetypes.ModuleName, consensustypes.ModuleName,
	}
	a.modules.SetOrderInitGenesis(genesis...)
	a.modules.SetOrderExportGenesis(genesis...)
}
