package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/rpc/client/local"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/rs/cors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/api"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	servergrpc "github.com/cosmos/cosmos-sdk/server/grpc"
	servercmtlog "github.com/cosmos/cosmos-sdk/server/log"
	"github.com/cosmos/cosmos-sdk/store/v2"
	pruningtypes "github.com/cosmos/cosmos-sdk/store/v2/pruning/types"
	"github.com/cosmos/cosmos-sdk/store/v2/snapshots"
	snapshottypes "github.com/cosmos/cosmos-sdk/store/v2/snapshots/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/genesis"
)

const (
	// pruneEvery is the number of blocks between removals of old states.
	pruneEvery = 10
	// maxBody bounds a request to REST and JSON-RPC.
	maxBody = 5 << 20
	// httpTimeout bounds reading a request and writing its answer.
	httpTimeout = 30 * time.Second
)

// startApp opens the state and builds the application over it.
func (n *Node) startApp(cfg config, gen *genesis.Genesis) error {
	data := filepath.Join(n.home, dataDir)
	app, err := openApp(n.home, data, n.sdkLog(), cfg.app, gen, n.evmID)
	if err != nil {
		return fmt.Errorf("start the ledger in %s: %w", n.home, err)
	}
	n.app = app
	return nil
}

// openApp opens the databases under data and the application over them.
func openApp(home, data string, logger sdkLog, cfg Config, gen *genesis.Genesis, evmID uint64) (_ *ledger.App, err error) {
	db, err := dbm.NewDB("application", dbm.GoLevelDBBackend, data)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	options := []func(*baseapp.BaseApp){
		baseapp.SetChainID(gen.ChainID),
		baseapp.SetInterBlockCache(store.NewCommitKVStoreCacheManager()),
		baseapp.SetMinRetainBlocks(cfg.RetainBlocks),
		baseapp.SetIndexEvents(cfg.IndexEvents),
	}
	if cfg.KeepRecent == 0 {
		options = append(options, baseapp.SetPruning(pruningtypes.NewPruningOptions(pruningtypes.PruningNothing)))
	} else {
		options = append(options, baseapp.SetPruning(pruningtypes.NewCustomPruningOptions(cfg.KeepRecent, pruneEvery)))
	}
	if cfg.SnapshotInterval > 0 {
		dir := filepath.Join(data, "snapshots")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("open the snapshots: %w", err)
		}
		meta, err := dbm.NewDB("metadata", dbm.GoLevelDBBackend, dir)
		if err != nil {
			return nil, fmt.Errorf("open the snapshots: %w", err)
		}
		snaps, err := snapshots.NewStore(meta, dir)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open the snapshots: %w", err), meta.Close())
		}
		options = append(options, baseapp.SetSnapshot(snaps, snapshottypes.NewSnapshotOptions(cfg.SnapshotInterval, cfg.SnapshotKeep)))
	}
	var blockGas int64
	if p := gen.Consensus.Params; p != nil {
		blockGas = p.Block.MaxGas
	}
	return ledger.New(logger, db, ledger.Options{
		Home: home, EVMChainID: evmID, BlockGas: blockGas, MempoolSize: cfg.MempoolSize,
	}, options...)
}

// startComet starts consensus over the application.
func (n *Node) startComet(cfg config, ls *listeners) error {
	c := cfg.comet
	c.RPC.ListenAddress = "tcp://" + ls.addrs.RPC
	c.P2P.ListenAddress = "tcp://" + ls.addrs.P2P
	key, err := p2p.LoadNodeKey(c.NodeKeyFile())
	if err != nil {
		return fmt.Errorf("start the ledger: the node key: %w", err)
	}
	pv, err := loadVotingKey(c)
	if err != nil {
		return fmt.Errorf("start the ledger: %w", err)
	}
	n.dbs = &openDBs{}
	n.comet, err = cmtnode.NewNode(c, pv, key,
		proxy.NewLocalClientCreator(server.NewCometABCIWrapper(n.app)),
		func() (*cmttypes.GenesisDoc, error) {
			gen, err := readGenesis(n.home, cfg)
			if err != nil {
				return nil, err
			}
			return gen.ToGenesisDoc()
		},
		n.dbs.open,
		cmtnode.DefaultMetricsProvider(c.Instrumentation),
		servercmtlog.CometLoggerWrapper{Logger: n.sdkLog()},
	)
	if err != nil {
		return fmt.Errorf("start the ledger: prepare consensus: %w", err)
	}
	ls.free("rpc")
	ls.free("p2p")
	if err := n.comet.Start(); err != nil {
		return fmt.Errorf("start the ledger: start consensus: %w", err)
	}
	n.app.Pool().SetEventBus(n.comet.EventBus())
	return nil
}

// startServers starts gRPC, REST and JSON-RPC.
func (n *Node) startServers(cfg config, ls *listeners) error {
	fail := func(what string, err error) error { return fmt.Errorf("start the ledger: %s: %w", what, err) }
	sdkCfg := serverconfig.DefaultConfig()
	conn, err := grpc.NewClient(ls.addrs.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(codec.NewProtoCodec(n.app.InterfaceRegistry()).GRPCCodec()),
			grpc.MaxCallRecvMsgSize(sdkCfg.GRPC.MaxRecvMsgSize),
		))
	if err != nil {
		return fail("gRPC", err)
	}
	n.grpcConn = conn
	n.clientCtx = client.Context{}.
		WithCodec(n.app.Codec()).
		WithInterfaceRegistry(n.app.InterfaceRegistry()).
		WithTxConfig(n.app.TxConfig()).
		WithLegacyAmino(n.app.Amino()).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithKeyring(keyring.NewInMemory(n.app.Codec())). // the node holds no accounts
		WithChainID(n.chainID).
		WithHomeDir(n.home).
		WithClient(local.New(n.comet)).
		WithGRPCClient(conn)
	n.app.RegisterTxService(n.clientCtx)
	n.app.RegisterTendermintService(n.clientCtx)
	n.app.RegisterNodeService(n.clientCtx, *sdkCfg)
	n.app.Pool().SetClientCtx(n.clientCtx)

	if n.grpc, _, err = servergrpc.NewGRPCServerAndContext(n.clientCtx, n.app, sdkCfg.GRPC, n.sdkLog()); err != nil {
		return fail("gRPC", err)
	}
	listener := ls.take("grpc")
	go func() { n.fail(wrap("gRPC server", n.grpc.Serve(listener))) }()

	pages := cors.New(cors.Options{
		AllowedOrigins: cfg.app.CORSOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Content-Type"},
	})
	rest := api.New(n.clientCtx, n.sdkLog(), n.grpc)
	n.app.RegisterAPIRoutes(rest, sdkCfg.API)
	n.serve("REST", ls.take("rest"), pages.Handler(rest.GRPCGatewayRouter))

	if n.jsonRPC, err = newJSONRPC(n, cfg.app); err != nil {
		return fail("JSON-RPC", err)
	}
	n.serve("JSON-RPC", ls.take("json-rpc"), pages.Handler(n.jsonRPC))
	return nil
}

// serve runs an HTTP server until the node stops.
func (n *Node) serve(name string, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           http.MaxBytesHandler(h, maxBody),
		ReadHeaderTimeout: httpTimeout,
		ReadTimeout:       httpTimeout,
		WriteTimeout:      httpTimeout,
		IdleTimeout:       4 * httpTimeout,
	}
	n.servers = append(n.servers, srv)
	go func() {
		err := srv.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		n.fail(wrap(name+" server", err))
	}()
}

// stopServers ends the servers, giving requests in flight a moment.
func (n *Node) stopServers() {
	ctx, cancel := context.WithTimeout(context.Background(), serverGrace)
	defer cancel()
	if n.jsonRPC != nil {
		n.jsonRPC.close()
	}
	for _, s := range n.servers {
		if err := s.Shutdown(ctx); err != nil {
			_ = s.Close()
		}
	}
	if n.grpc != nil {
		stopped := make(chan struct{})
		go func() { n.grpc.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
		case <-ctx.Done():
			n.grpc.Stop()
		}
	}
	if n.grpcConn != nil {
		_ = n.grpcConn.Close()
	}
}

// sdkLog is the node's log for the parts that come from elsewhere.
func (n *Node) sdkLog() sdkLog { return sdkLog{n.log, n.fail, &n.quiet} }

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// checkJSON tells whether an existing file holds JSON.
func checkJSON(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !json.Valid(raw) {
		return fmt.Errorf("%s is damaged: put back a copy of it", path)
	}
	return nil
}
