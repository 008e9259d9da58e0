package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

func newApp(t *testing.T) *ledger.App {
	t.Helper()
	app, err := ledger.New(log.NewNopLogger(), dbm.NewMemDB(), ledger.Options{Home: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = app.Close() })
	return app
}

// What the application can run, a client can write: their codecs know the same
// messages.
func TestClientsKnowEveryMessage(t *testing.T) {
	app := newApp(t)
	want := app.InterfaceRegistry().ListImplementations(sdk.MsgInterfaceProtoName)
	require.NotEmpty(t, want)
	require.ElementsMatch(t, want, encoding.New(chain.DefaultEVMChainID).Registry.ListImplementations(sdk.MsgInterfaceProtoName))
}

// Nobody can send to a module's account, so what it holds is what its books say.
func TestModuleAccountsAreBlocked(t *testing.T) {
	app := newApp(t)
	for name := range app.Account.GetModulePermissions() {
		require.True(t, app.Bank.BlockedAddr(authtypes.NewModuleAddress(name)), name)
	}
	for _, name := range worktypes.Accounts() {
		require.Contains(t, app.Account.GetModulePermissions(), name)
	}
}

// Applications may follow each other, and stand beside each other, in one process.
func TestSeveralInOneProcess(t *testing.T) {
	one := newApp(t)
	newApp(t)
	require.NoError(t, one.Close())
	require.NoError(t, one.Close(), "a second Close is harmless")
	newApp(t)
}

// Every module's commands can be built from what the modules say about themselves.
func TestAutoCLI(t *testing.T) {
	options := newApp(t).AutoCLI()
	for _, name := range []string{"bank", "staking", "gov", "work", "lineage"} {
		require.Contains(t, options.ModuleOptions, name)
	}
}
