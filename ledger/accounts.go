package ledger

import (
	"maps"
	"slices"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	evmutils "github.com/cosmos/evm/utils"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	corevm "github.com/ethereum/go-ethereum/core/vm"

	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// moduleAccounts are the accounts that modules own, with what the bank lets them do.
func moduleAccounts() map[string][]string {
	accounts := map[string][]string{
		authtypes.FeeCollectorName:     nil,
		distrtypes.ModuleName:          nil,
		minttypes.ModuleName:           {authtypes.Minter},
		stakingtypes.BondedPoolName:    {authtypes.Burner, authtypes.Staking},
		stakingtypes.NotBondedPoolName: {authtypes.Burner, authtypes.Staking},
		govtypes.ModuleName:            {authtypes.Burner},
		evmtypes.ModuleName:            {authtypes.Minter, authtypes.Burner},
		feemarkettypes.ModuleName:      nil,
		erc20types.ModuleName:          {authtypes.Minter, authtypes.Burner},
		requeststypes.ModuleName:       {authtypes.Burner},
	}
	for _, name := range worktypes.Accounts() {
		accounts[name] = []string{authtypes.Burner}
	}
	return accounts
}

// blockedAddresses are the accounts that the bank refuses to send to: every
// module account (what a module holds must be what its books say) and every
// precompiled contract (what lands there is lost) but ICantus, which takes the fees that
// come along with requests.
func blockedAddresses() map[string]bool {
	blocked := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(moduleAccounts())) {
		blocked[authtypes.NewModuleAddress(name).String()] = true
	}
	for _, addr := range evmtypes.AvailableStaticPrecompiles {
		blocked[evmutils.Bech32StringFromHexAddress(addr)] = true
	}
	for _, addr := range corevm.PrecompiledAddressesPrague {
		blocked[evmutils.Bech32StringFromHexAddress(addr.Hex())] = true
	}
	return blocked
}
