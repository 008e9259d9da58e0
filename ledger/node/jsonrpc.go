package node

import (
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/common"
	ethrpc "github.com/ethereum/go-ethereum/rpc"
	"github.com/gorilla/websocket"
	"github.com/spf13/viper"

	rpcclient "github.com/cometbft/cometbft/rpc/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/evm/rpc"
	"github.com/cosmos/evm/rpc/backend"
	"github.com/cosmos/evm/rpc/namespaces/ethereum/eth"
	"github.com/cosmos/evm/rpc/stream"
	evmconfig "github.com/cosmos/evm/server/config"
)

// jsonRPC serves Ethereum's JSON-RPC: POST requests and, on the same port, the
// WebSocket connections that subscriptions need.
type jsonRPC struct {
	http *ethrpc.Server
	ws   http.Handler
}

// namespaces are the methods that are served. None of them needs a key or changes
// the node.
var namespaces = []string{rpc.EthNamespace, rpc.Web3Namespace, rpc.NetNamespace, rpc.TxPoolNamespace}

func newJSONRPC(n *Node, cfg Config) (*jsonRPC, error) {
	settings := jsonRPCSettings(n, cfg)
	// The backend reads its settings out of a viper by the EVM server's key names.
	v := viper.New()
	for key, value := range map[string]any{
		"evm.evm-chain-id": n.evmID,
		"json-rpc.gas-cap": settings.JSONRPC.GasCap,
	} {
		v.Set(key, value)
	}
	srv := &server.Context{Viper: v, Logger: n.sdkLog(), Config: n.comet.Config()}
	logger := srv.Logger.With("module", "json-rpc")

	events, ok := n.clientCtx.Client.(rpcclient.EventsClient)
	if !ok {
		return nil, fmt.Errorf("the RPC client %T has no events", n.clientCtx.Client)
	}
	subs := stream.NewRPCStreams(events, logger, n.clientCtx.TxConfig.TxDecoder())
	n.app.RegisterPendingTxListener(func(h common.Hash) { subs.ListenPendingTx(h) })

	// Without an index of its own the backend finds Ethereum transactions in
	// CometBFT's, by the events that app.toml has indexed.
	b := backend.NewBackend(srv, n.clientCtx, nil, n.app.Pool(), backend.WithLogger(logger))
	b.Cfg = settings
	b.EvmChainID = new(big.Int).SetUint64(n.evmID)

	s := ethrpc.NewServer()
	s.SetBatchLimits(settings.JSONRPC.BatchRequestLimit, settings.JSONRPC.BatchResponseMaxSize)
	s.SetHTTPBodyLimit(settings.JSONRPC.HTTPBodyLimit)
	for _, a := range rpc.BuildRPCs(namespaces, srv, n.clientCtx, subs, b) {
		service := a.Service
		if api, ok := service.(*eth.PublicAPI); ok {
			service = ethAPI{PublicAPI: api}
		}
		if err := s.RegisterName(a.Namespace, service); err != nil {
			return nil, fmt.Errorf("register the %s methods: %w", a.Namespace, err)
		}
	}
	ws, ok := rpc.NewWebsocketsServer(n.clientCtx, logger, subs, &settings).(http.Handler)
	if !ok {
		return nil, fmt.Errorf("the WebSocket server is no http.Handler in this version of the EVM")
	}
	return &jsonRPC{http: s, ws: ws}, nil
}

// jsonRPCSettings are the EVM server's settings as a node here has them.
func jsonRPCSettings(n *Node, cfg Config) evmconfig.Config {
	c := evmconfig.Config{EVM: *evmconfig.DefaultEVMConfig(), JSONRPC: *evmconfig.DefaultJSONRPCConfig()}
	c.EVM.EVMChainID = n.evmID
	c.JSONRPC.Enable = true
	c.JSONRPC.API = namespaces
	c.JSONRPC.Address = n.addrs.JSONRPC // where the WebSocket server sends what is no subscription
	c.JSONRPC.EVMTimeout = time.Duration(cfg.EthCallTimeout)
	c.JSONRPC.HTTPBodyLimit = maxBody
	c.JSONRPC.BatchRequestLimit = 100
	c.JSONRPC.AllowInsecureUnlock = false
	c.JSONRPC.WSOrigins = cfg.CORSOrigins
	return c
}

// ServeHTTP implements http.Handler.
func (j *jsonRPC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) {
		j.ws.ServeHTTP(w, r)
		return
	}
	j.http.ServeHTTP(w, r)
}

// close ends the requests in flight. The subscriptions end with CometBFT's event
// bus; their own Close would wait for channels that nobody closes.
func (j *jsonRPC) close() { j.http.Stop() }

// ethAPI is the eth namespace less eth_fillTransaction. This version of the EVM
// fills transactions with the gas they would take at block 0, and clients that
// trust it (viem) send contract calls that revert; told that the method does not
// exist, they estimate for themselves. Two embedded methods of one name at one
// depth cancel each other out of the method set, so the server never sees it.
type ethAPI struct {
	*eth.PublicAPI
	withoutFill //lint:ignore U1000 embedded for what it hides
}

//lint:ignore U1000 see ethAPI
type withoutFill struct{}

// FillTransaction is here to hide the other one.
//
//lint:ignore U1000 see ethAPI
func (withoutFill) FillTransaction() {}
