package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// testAmount is what the test's account holds.
var testAmount = chain.Notes(1000)

// devnet prepares a devnet's home and returns it with its keys: "val" and "alice".
func devnet(t *testing.T) (home string, ring keys.Ring) {
	t.Helper()
	home = t.TempDir()
	ring, err := keys.OpenUnencrypted(filepath.Join(home, "keys"))
	require.NoError(t, err)
	for _, name := range []string{"val", "alice"} {
		_, err := keys.Create(ring, name)
		require.NoError(t, err)
	}
	alice, err := keys.Find(ring, "alice")
	require.NoError(t, err)
	require.NoError(t, node.InitDevnet(t.Context(), home, ring, node.Devnet{
		Validator: "val",
		Accounts:  []genesis.Account{{Address: alice.Address, Amount: testAmount}},
	}))
	return home, ring
}

func start(t *testing.T, home string) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), home, node.Options{Logger: testLog(t)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// testLog shows warnings and errors of the node in the test's output.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func waitHeight(t *testing.T, n *node.Node, h int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, n.WaitHeight(ctx, h))
}

// call makes a JSON-RPC call and returns its result, or its error's code.
func call(t *testing.T, addr, method string, params ...any) (result json.RawMessage, code int) {
	t.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	require.NoError(t, err)
	resp, err := http.Post("http://"+addr, "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var out struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	require.NoError(t, json.Unmarshal(raw, &out), "%s answered %q", method, raw)
	if out.Error != nil {
		return nil, out.Error.Code
	}
	return out.Result, 0
}

func TestDevnet(t *testing.T) {
	home, ring := devnet(t)
	n := start(t, home)
	waitHeight(t, n, 3)
	alice, err := keys.Find(ring, "alice")
	require.NoError(t, err)

	t.Run("json-rpc", func(t *testing.T) {
		id, code := call(t, n.Addrs().JSONRPC, "eth_chainId")
		require.Zero(t, code)
		require.JSONEq(t, fmt.Sprintf(`"0x%x"`, chain.DefaultEVMChainID), string(id))
		balance, code := call(t, n.Addrs().JSONRPC, "eth_getBalance", alice.Hex(), "latest")
		require.Zero(t, code)
		require.JSONEq(t, fmt.Sprintf(`"0x%x"`, testAmount.BigInt()), string(balance))
		_, code = call(t, n.Addrs().JSONRPC, "eth_fillTransaction", map[string]any{"from": alice.Hex()})
		require.Equal(t, -32601, code, "eth_fillTransaction must not exist")
	})
	t.Run("work", func(t *testing.T) {
		resp, err := http.Get("http://" + n.Addrs().REST + "/cantus/work/v1/params")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), `"allow_loopback":true`)
	})
	t.Run("second start", func(t *testing.T) {
		_, err := node.Start(t.Context(), home, node.Options{})
		require.ErrorIs(t, err, node.ErrRunning)
	})
	t.Run("rest", func(t *testing.T) {
		resp, err := http.Get("http://" + n.Addrs().REST + "/cosmos/bank/v1beta1/balances/" + alice.Address.String())
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), testAmount.String())
	})
	t.Run("restart", func(t *testing.T) {
		before, addrs := n.Height(), n.Addrs()
		require.NoError(t, n.Close())
		again := start(t, home)
		require.Equal(t, addrs, again.Addrs(), "the ports of the last run were free")
		require.GreaterOrEqual(t, again.Height(), before)
		waitHeight(t, again, before+3)
		require.NoError(t, again.Close())
	})
}
