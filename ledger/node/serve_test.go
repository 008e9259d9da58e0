package node_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	ethtypes "github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// An Ethereum wallet's way: sign, send raw, wait for the receipt.
func TestEthereumTransaction(t *testing.T) {
	home := t.TempDir()
	ring, err := keys.OpenUnencrypted(filepath.Join(home, "keys"))
	require.NoError(t, err)
	_, err = keys.Create(ring, "val")
	require.NoError(t, err)
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	require.NoError(t, keys.ImportHex(ring, "wallet", hex.EncodeToString(crypto.FromECDSA(key))))
	wallet, err := keys.Find(ring, "wallet")
	require.NoError(t, err)
	require.Equal(t, crypto.PubkeyToAddress(key.PublicKey).Hex(), wallet.Hex(), "one key, one address on both sides")
	require.NoError(t, node.InitDevnet(t.Context(), home, ring, node.Devnet{
		Validator: "val", Accounts: []genesis.Account{{Address: wallet.Address, Amount: testAmount}},
	}))
	n := start(t, home)
	waitHeight(t, n, 2)

	to := common.HexToAddress("0x00000000000000000000000000000000000c0ffe")
	tx, err := ethtypes.SignNewTx(key, ethtypes.LatestSignerForChainID(new(big.Int).SetUint64(n.EVMChainID())), &ethtypes.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(n.EVMChainID()), Nonce: 0, To: &to, Value: big.NewInt(42),
		Gas: 21_000, GasFeeCap: big.NewInt(3_000_000_000), GasTipCap: big.NewInt(1_000_000_000),
	})
	require.NoError(t, err)
	raw, err := tx.MarshalBinary()
	require.NoError(t, err)
	_, code := call(t, n.Addrs().JSONRPC, "eth_sendRawTransaction", "0x"+hex.EncodeToString(raw))
	require.Zero(t, code)

	var receipt struct{ Status, BlockNumber string }
	require.Eventually(t, func() bool {
		res, code := call(t, n.Addrs().JSONRPC, "eth_getTransactionReceipt", tx.Hash().Hex())
		return code == 0 && json.Unmarshal(res, &receipt) == nil && receipt.Status != ""
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, "0x1", receipt.Status)
	got, code := call(t, n.Addrs().JSONRPC, "eth_getBalance", to.Hex(), "latest")
	require.Zero(t, code)
	require.JSONEq(t, `"0x2a"`, string(got))

	// The Cosmos side sees the same account.
	c, err := client.New(t.Context(), n.Addrs().GRPC, ring)
	require.NoError(t, err)
	defer c.Close()
	balance, err := c.Balance(t.Context(), to.Bytes())
	require.NoError(t, err)
	require.Equal(t, "42", balance.String())
	_, err = c.Send(t.Context(), "wallet", sendMsg(wallet, to.Bytes()))
	require.NoError(t, err, "the number that the Ethereum transaction took is the account's")

	ws, _, err := websocket.DefaultDialer.Dial("ws://"+n.Addrs().JSONRPC, nil)
	require.NoError(t, err)
	defer ws.Close()
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}`)))
	for range 2 { // the subscription's ID, then a header
		require.NoError(t, ws.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, msg, err := ws.ReadMessage()
		require.NoError(t, err)
		require.NotContains(t, string(msg), "error")
	}
}

func TestReflectionAndMetrics(t *testing.T) {
	home, _ := devnet(t)
	registry := prometheus.NewPedanticRegistry()
	n, err := node.Start(t.Context(), home, node.Options{Logger: testLog(t), Metrics: registry})
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Close() })
	waitHeight(t, n, 2)

	conn, err := grpc.NewClient(n.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_ListServices{},
	}))
	resp, err := stream.Recv()
	require.NoError(t, err)
	var services []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		services = append(services, s.Name)
	}
	require.Contains(t, services, "cosmos.bank.v1beta1.Query")
	require.Contains(t, services, "cosmos.evm.vm.v1.Query")

	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		found[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	require.GreaterOrEqual(t, found["cantus_ledger_block_height"], 2.0)
	require.Contains(t, found, "cantus_ledger_mempool_transactions")
	require.NoError(t, n.Close())
	families, err = registry.Gather()
	require.NoError(t, err)
	require.Empty(t, families, "a stopped node takes its metrics back")
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()

	replace := func(file, old, new string) func(*testing.T, string) {
		return func(t *testing.T, home string) {
			path := filepath.Join(home, file)
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(raw), old)
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), old, new, 1)), 0o644))
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		opts  node.Options
		want  string
	}{
		"port in use":       {opts: node.Options{Listen: node.Listen{GRPC: taken.Addr().String()}}, want: "grpc"},
		"no port":           {opts: node.Options{Listen: node.Listen{REST: "localhost"}}, want: "host:port"},
		"unknown setting":   {spoil: replace("config/app.toml", "keep_recent", "keep_decent"), want: "keep_decent"},
		"bad setting":       {spoil: replace("config/app.toml", "mempool_size = 5000", "mempool_size = -1"), want: "mempool_size"},
		"broken toml":       {spoil: replace("config/app.toml", "[listen]", "[listen"), want: "app.toml"},
		"broken comet":      {spoil: replace("config/config.toml", "[rpc]", "[rpc"), want: "config.toml"},
		"other mempool":     {spoil: replace("config/config.toml", `type = "app"`, `type = "flood"`), want: "mempool"},
		"broken genesis":    {spoil: replace("config/genesis.json", "{", "["), want: "genesis"},
		"foreign genesis":   {spoil: replace("config/genesis.json", `"feemarket": {`, `"freemarket": {`), want: "freemarket"},
		"broken vote key":   {spoil: replace("config/priv_validator_key.json", "{", ""), want: "voting key"},
		"broken node key":   {spoil: replace("config/node_key.json", "{", ""), want: "node key"},
		"not a home at all": {spoil: func(t *testing.T, home string) { require.NoError(t, os.RemoveAll(filepath.Join(home, "config"))) }, want: "not a ledger's home"},
	} {
		t.Run(name, func(t *testing.T) {
			home, _ := devnet(t)
			if c.spoil != nil {
				c.spoil(t, home)
			}
			_, err := node.Start(t.Context(), home, c.opts)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "goroutine")
		})
	}
}

// A Start that failed leaves nothing behind that would stop the next one.
func TestStartAfterFailure(t *testing.T) {
	home, _ := devnet(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = node.Start(t.Context(), home, node.Options{Listen: node.Listen{JSONRPC: taken.Addr().String()}})
	require.ErrorIs(t, err, node.ErrPortInUse)
	n := start(t, home)
	waitHeight(t, n, 1)
}

// The node ends with the context that it was started with.
func TestContextEnds(t *testing.T) {
	home, _ := devnet(t)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := node.Start(ctx, home, node.Options{Logger: testLog(t)})
	require.NoError(t, err)
	waitHeight(t, n, 1)
	cancel()
	require.NoError(t, n.Wait())
	_, err = net.Dial("tcp", n.Addrs().GRPC)
	require.Error(t, err, "it no longer listens")
}

func sendMsg(from keys.Account, to []byte) sdk.Msg {
	return banktypes.NewMsgSend(from.Address, to, chain.Coins(math.OneInt()))
}
