package client_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// network is a devnet that the tests of this package share: two accounts, alice
// and bob, with a thousand notes each.
var network struct {
	once sync.Once
	home string
	ring keys.Ring
	node *node.Node
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if network.node != nil {
		_ = network.node.Close()
	}
	if network.home != "" {
		_ = os.RemoveAll(network.home)
	}
	os.Exit(code)
}

func connect(t *testing.T) *client.Client {
	t.Helper()
	network.once.Do(func() { network.err = startNetwork() })
	require.NoError(t, network.err)
	c, err := client.New(t.Context(), network.node.Addrs().GRPC, network.ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func startNetwork() error {
	ctx := context.Background()
	home, err := os.MkdirTemp("", "cantus-client-test-")
	if err != nil {
		return err
	}
	network.home = home
	if network.ring, err = keys.OpenUnencrypted(filepath.Join(home, "keys")); err != nil {
		return err
	}
	var accounts []genesis.Account
	for _, name := range []string{"val", "alice", "bob"} {
		if _, err := keys.Create(network.ring, name); err != nil {
			return err
		}
		a, err := keys.Find(network.ring, name)
		if err != nil {
			return err
		}
		accounts = append(accounts, genesis.Account{Address: a.Address, Amount: chain.Notes(1000)})
	}
	if err := node.InitDevnet(ctx, home, network.ring, node.Devnet{Validator: "val", Accounts: accounts}); err != nil {
		return err
	}
	if network.node, err = node.Start(ctx, home, node.Options{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return network.node.WaitHeight(ctx, 1)
}

func send(from, to sdk.AccAddress, amount math.Int) sdk.Msg {
	return banktypes.NewMsgSend(from, to, chain.Coins(amount))
}

func TestSend(t *testing.T) {
	c := connect(t)
	ctx := t.Context()
	require.Equal(t, chain.DevnetID, c.ChainID())
	alice, err := c.Address("alice")
	require.NoError(t, err)
	to := sdk.AccAddress("somebody new here 1.")
	before, err := c.Balance(ctx, alice)
	require.NoError(t, err)

	// Two messages, one transaction.
	res, err := c.Send(ctx, "alice", send(alice, to, math.NewInt(5)), send(alice, to, math.NewInt(7)))
	require.NoError(t, err)
	require.Positive(t, res.Height)
	var out banktypes.MsgSendResponse
	require.NoError(t, res.Response(1, &out))
	require.Error(t, res.Response(2, &out))
	require.Error(t, res.Response(0, &banktypes.MsgMultiSendResponse{}))

	got, err := c.Balance(ctx, to)
	require.NoError(t, err)
	require.Equal(t, "12", got.String())
	after, err := c.Balance(ctx, alice)
	require.NoError(t, err)
	require.Equal(t, before.SubRaw(12).Sub(res.Fee).String(), after.String(), "the amounts and the fee, to the last unit")

	// Many callers, two keys: none of them may trip over another's number.
	bob, err := c.Address("bob")
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			name, addr := "alice", alice
			if i%2 == 1 {
				name, addr = "bob", bob
			}
			_, errs[i] = c.Send(ctx, name, send(addr, to, math.OneInt()))
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	got, err = c.Balance(ctx, to)
	require.NoError(t, err)
	require.Equal(t, "20", got.String())
}

func TestSendErrors(t *testing.T) {
	c := connect(t)
	ctx := t.Context()
	alice, err := c.Address("alice")
	require.NoError(t, err)

	_, err = c.Send(ctx, "alice", send(alice, alice, chain.Notes(1_000_000)))
	require.ErrorIs(t, err, sdkerrors.ErrInsufficientFunds)
	var refused *client.Error
	require.ErrorAs(t, err, &refused)
	require.NotContains(t, err.Error(), ".go:", "no stack traces")

	_, err = c.Send(ctx, "nobody", send(alice, alice, math.OneInt()))
	require.ErrorIs(t, err, keys.ErrNoKey)

	_, err = c.Send(ctx, "alice")
	require.Error(t, err)

	// An account that the ledger has never heard of cannot pay a fee.
	if _, err := keys.Create(network.ring, "stranger"); err != nil {
		require.ErrorIs(t, err, keys.ErrExists)
	}
	stranger, err := c.Address("stranger")
	require.NoError(t, err)
	_, err = c.Send(ctx, "stranger", send(stranger, alice, math.OneInt()))
	require.ErrorIs(t, err, client.ErrNotFound)

	// Nobody may send to a module's account.
	_, err = c.Send(ctx, "alice", send(alice, authtypes.NewModuleAddress("distribution"), math.OneInt()))
	require.ErrorIs(t, err, sdkerrors.ErrUnauthorized)
}

// Two clients with the same key: each finds out what the other did.
func TestSharedKey(t *testing.T) {
	one, two := connect(t), connect(t)
	alice, err := one.Address("alice")
	require.NoError(t, err)
	for _, c := range []*client.Client{one, two, one, two} {
		_, err := c.Send(t.Context(), "alice", send(alice, alice, math.OneInt()))
		require.NoError(t, err)
	}
}

func TestFollow(t *testing.T) {
	c := connect(t)
	now, err := c.Height(t.Context())
	require.NoError(t, err)
	from := max(1, now-2)
	want := from
	for h, err := range c.Follow(t.Context(), from) {
		require.NoError(t, err)
		require.Equal(t, want, h)
		if want++; h > now+2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range c.Follow(ctx, 1) {
		t.Fatal("a follower of a finished context must end")
	}
}

func TestUnreachable(t *testing.T) {
	_, err := client.New(t.Context(), "127.0.0.1:1", nil)
	require.ErrorIs(t, err, client.ErrUnreachable)
}
