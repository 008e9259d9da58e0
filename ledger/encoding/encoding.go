// Package encoding builds the codecs that read and write the ledger's
// transactions and state. The node and its clients share it; it registers types
// and runs nothing.
package encoding

import (
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	govv1beta1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1beta1"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
	evmencoding "github.com/cosmos/evm/encoding"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/ledger/chain"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Config is a set of codecs that know every message and account type of the ledger.
type Config struct {
	Registry codectypes.InterfaceRegistry
	Codec    codec.Codec
	Tx       client.TxConfig
	Amino    *codec.LegacyAmino
}

// New builds the codecs of a network with the given EIP-155 chain ID.
func New(evmChainID uint64) Config {
	chain.Configure()
	c := evmencoding.MakeConfig(evmChainID)
	for _, register := range []func(codectypes.InterfaceRegistry){
		authtypes.RegisterInterfaces,
		authz.RegisterInterfaces,
		banktypes.RegisterInterfaces,
		consensustypes.RegisterInterfaces,
		distrtypes.RegisterInterfaces,
		evidencetypes.RegisterInterfaces,
		feegrant.RegisterInterfaces,
		govv1.RegisterInterfaces,
		govv1beta1.RegisterInterfaces,
		minttypes.RegisterInterfaces,
		slashingtypes.RegisterInterfaces,
		stakingtypes.RegisterInterfaces,
		upgradetypes.RegisterInterfaces,
		evmtypes.RegisterInterfaces,
		erc20types.RegisterInterfaces,
		feemarkettypes.RegisterInterfaces,
		worktypes.RegisterInterfaces,
		lineagetypes.RegisterInterfaces,
		requeststypes.RegisterInterfaces,
	} {
		register(c.InterfaceRegistry)
	}
	return Config{Registry: c.InterfaceRegistry, Codec: c.Codec, Tx: c.TxConfig, Amino: c.Amino}
}
