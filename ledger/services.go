package ledger

import (
	"cosmossdk.io/client/v2/autocli"
	"cosmossdk.io/core/appmodule"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	nodeservice "github.com/cosmos/cosmos-sdk/client/grpc/node"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	runtimeservices "github.com/cosmos/cosmos-sdk/runtime/services"
	"github.com/cosmos/cosmos-sdk/server/api"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	evmaddress "github.com/cosmos/evm/encoding/address"
	evmserver "github.com/cosmos/evm/server"
)

var (
	_ servertypes.Application = (*App)(nil)
	_ evmserver.Application   = (*App)(nil)
)

// TxConfig encodes, decodes and signs transactions.
func (a *App) TxConfig() client.TxConfig { return a.txConfig }

// Codec reads and writes state and messages.
func (a *App) Codec() codec.Codec { return a.codec }

// Amino is the codec of the oldest clients.
func (a *App) Amino() *codec.LegacyAmino { return a.amino }

// InterfaceRegistry knows every message and account type.
func (a *App) InterfaceRegistry() codectypes.InterfaceRegistry { return a.registry }

// RegisterAPIRoutes mounts the REST gateway's routes.
func (a *App) RegisterAPIRoutes(s *api.Server, _ serverconfig.APIConfig) {
	authtx.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	cmtservice.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	nodeservice.RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
	Basics().RegisterGRPCGatewayRoutes(s.ClientCtx, s.GRPCGatewayRouter)
}

// RegisterTxService answers for transactions: simulate, broadcast, look up.
func (a *App) RegisterTxService(c client.Context) {
	authtx.RegisterTxService(a.GRPCQueryRouter(), c, a.Simulate, a.registry)
}

// RegisterTendermintService answers for blocks and validator sets.
func (a *App) RegisterTendermintService(c client.Context) {
	cmtservice.RegisterTendermintService(c, a.GRPCQueryRouter(), a.registry, a.Query)
}

// RegisterNodeService answers for this node's settings.
func (a *App) RegisterNodeService(c client.Context, cfg serverconfig.Config) {
	nodeservice.RegisterNodeService(c, a.GRPCQueryRouter(), cfg, func() int64 {
		return a.CommitMultiStore().EarliestVersion()
	})
}

// AutoCLI describes the modules' commands.
func (a *App) AutoCLI() autocli.AppOptions {
	modules := map[string]appmodule.AppModule{}
	for name, m := range a.modules.Modules {
		if m, ok := m.(appmodule.AppModule); ok {
			modules[name] = m
		}
	}
	return autocli.AppOptions{
		Modules:               modules,
		ModuleOptions:         runtimeservices.ExtractAutoCLIOptions(a.modules.Modules),
		AddressCodec:          evmaddress.NewEvmCodec(sdk.GetConfig().GetBech32AccountAddrPrefix()),
		ValidatorAddressCodec: evmaddress.NewEvmCodec(sdk.GetConfig().GetBech32ValidatorAddrPrefix()),
		ConsensusAddressCodec: evmaddress.NewEvmCodec(sdk.GetConfig().GetBech32ConsensusAddrPrefix()),
	}
}
