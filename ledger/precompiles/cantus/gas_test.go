package cantus_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/precompiles/cantus"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// TestGas logs what calls cost with x/requests, for docs/contracts.md, and holds that nobody
// needs more gas for them than wallets send without being asked.
func TestGas(t *testing.T) {
	w := realWorld(t)
	h := w.hostile(behave, common.Address{})
	send := func(what string, to common.Address, data []byte) outcome {
		t.Helper()
		o := w.send(w.accounts[2], to, new(big.Int), plenty, data)
		require.True(t, o.ok, "%s: %s", what, o.err)
		t.Logf("%-40s %8d gas", what, o.used)
		require.Less(t, o.used, uint64(1_500_000), what)
		return o
	}
	for _, policy := range []uint8{types.Safe, types.Optimistic, 3} {
		o := send("request, by a contract: 2 bytes", h.addr, h.pack("ask", uint64(100_000), policy))
		id := o.event("Requested")["id"].(*big.Int)
		if policy == 3 {
			send("cancel", h.addr, h.pack("cancel", id))
		}
	}
	quote, err := w.cantus().view("quote", w.model, uint32(200), uint32(64), uint64(100_000), uint8(0))
	require.NoError(t, err)
	fee := quote[0].(*big.Int)
	o := w.send(w.accounts[2], precompile, fee, plenty, w.cantus().pack("request", w.model, []byte(strings.Repeat("x", 200)), struct {
		MaxTokens, Temperature, TopK, TopP uint32
		Seed                               uint64
	}{MaxTokens: 64}, fee, h.addr, uint64(100_000), uint8(0)))
	require.True(t, o.ok, o.err)
	t.Logf("%-40s %8d gas", "request, by an account: 200 bytes", o.used)
	w.wait()
	send("conclude: failed, with its callback", precompile, w.cantus().pack("conclude", big.NewInt(1)))
}

// A new network has the contract.
func TestActivation(t *testing.T) {
	w := startWorld(t)
	params := w.app.EVM.GetParams(w.ctx())
	require.Equal(t, ledger.ActivePrecompiles(), params.ActiveStaticPrecompiles)
	require.Contains(t, params.ActiveStaticPrecompiles, cantus.Address)
	require.NoError(t, evmtypes.ValidatePrecompiles(params.ActiveStaticPrecompiles))
	require.Equal(t, cantus.Address, common.HexToAddress(cantus.Address).Hex(), "spelt as the EVM module spells it")
	// Its account can be paid, unlike all others of precompiled contracts.
	require.False(t, w.app.Bank.BlockedAddr(sdk.AccAddress(precompile.Bytes())))
}
