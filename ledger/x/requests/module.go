// Package requests lets contracts ask models: a contract pays, a gateway has workers answer
// through a job of the work market, and the contract is told by a callback once the answer
// has stood the test that the contract chose.
//
//	types/    messages, records, parameters, errors, events
//	keeper/   what was offered and asked, and what makes evidence an answer
//	here      the module as the application wires it, and its command line
//
// Contracts reach it through a precompiled contract, which is the only one that calls them.
package requests

import (
	"context"
	"encoding/json"
	"fmt"

	"cosmossdk.io/core/appmodule"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	gwruntime "github.com/grpc-ecosystem/grpc-gateway/runtime"

	"github.com/cantus-network/cantus/ledger/x/requests/keeper"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// ConsensusVersion counts the changes of the module's state or rules that need an upgrade.
const ConsensusVersion = 1

var (
	_ module.AppModuleBasic = AppModule{}
	_ module.HasGenesis     = AppModule{}
	_ module.HasServices    = AppModule{}
	_ appmodule.AppModule   = AppModule{}
)

// AppModule is the module as the application's manager holds it. In genesis it comes
// after the bank, whose balances it checks its books against, and after the market.
type AppModule struct {
	keeper *keeper.Keeper
}

// NewAppModule wires the module. Without a keeper it still serves as a module's basics:
// codecs, default genesis and routes.
func NewAppModule(k *keeper.Keeper) AppModule { return AppModule{keeper: k} }

// IsAppModule and IsOnePerModuleType mark the type for the application's wiring.
func (AppModule) IsAppModule()        {}
func (AppModule) IsOnePerModuleType() {}

// Name is the module's name.
func (AppModule) Name() string { return types.ModuleName }

// ConsensusVersion is the version of the state and the rules.
func (AppModule) ConsensusVersion() uint64 { return ConsensusVersion }

// RegisterLegacyAminoCodec registers the messages for amino signing.
func (AppModule) RegisterLegacyAminoCodec(cdc *codec.LegacyAmino) {
	types.RegisterLegacyAminoCodec(cdc)
}

// RegisterInterfaces registers the messages.
func (AppModule) RegisterInterfaces(r codectypes.InterfaceRegistry) { types.RegisterInterfaces(r) }

// RegisterGRPCGatewayRoutes mounts the REST routes of the queries.
func (AppModule) RegisterGRPCGatewayRoutes(c client.Context, mux *gwruntime.ServeMux) {
	if err := types.RegisterQueryHandlerClient(context.Background(), mux, types.NewQueryClient(c)); err != nil {
		panic(fmt.Errorf("mount the requests module's routes: %w", err)) // two modules claim one route
	}
}

// RegisterServices registers the messages and queries.
func (m AppModule) RegisterServices(cfg module.Configurator) {
	types.RegisterMsgServer(cfg.MsgServer(), keeper.NewMsgServer(m.keeper))
	types.RegisterQueryServer(cfg.QueryServer(), keeper.NewQueryServer(m.keeper))
}

// DefaultGenesis is a network where nothing was asked yet.
func (AppModule) DefaultGenesis(cdc codec.JSONCodec) json.RawMessage {
	return cdc.MustMarshalJSON(types.DefaultGenesis())
}

// ValidateGenesis checks a genesis file's requests.
func (AppModule) ValidateGenesis(cdc codec.JSONCodec, _ client.TxEncodingConfig, raw json.RawMessage) error {
	var g types.GenesisState
	if err := cdc.UnmarshalJSON(raw, &g); err != nil {
		return fmt.Errorf("read the genesis of module %s: %w", types.ModuleName, err)
	}
	return g.Validate()
}

// InitGenesis imports what was offered and asked. A node can't start with one whose books are wrong.
func (m AppModule) InitGenesis(ctx sdk.Context, cdc codec.JSONCodec, raw json.RawMessage) {
	var g types.GenesisState
	cdc.MustUnmarshalJSON(raw, &g)
	if err := m.keeper.InitGenesis(ctx, &g); err != nil {
		panic(err)
	}
}

// ExportGenesis exports what was offered and asked.
func (m AppModule) ExportGenesis(ctx sdk.Context, cdc codec.JSONCodec) json.RawMessage {
	g, err := m.keeper.ExportGenesis(ctx)
	if err != nil {
		panic(fmt.Errorf("export module %s: %w", types.ModuleName, err))
	}
	return cdc.MustMarshalJSON(g)
}
