// Package node runs a full ledger node inside this process.
//
//	Identity  the node's own keys, made on first use
//	Init      a home directory: configuration, keys and genesis
//	Start     the node over a home; Close stops it, and Start may follow again
//	Running   where the node of a home listens, for programs beside it
//
// A home is used by one node at a time: Start takes a lock that the operating
// system drops with the process, however it ends. Everything a node writes
// survives kill -9; the next Start replays what was not yet applied.
//
// In the home:
//
//	config/config.toml   CometBFT's own settings (consensus, peers, state sync)
//	config/app.toml      the rest: pruning, snapshots, listeners (Config)
//	config/genesis.json  where the network starts
//	config/*_key.json    the node's identity and the validator's voting key
//	data/                blocks and state
//	listen.json          the addresses of the running node, ports resolved
//	node.lock            held while a node runs
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/cosmos/cosmos-sdk/client"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/genesis"
)

// Options are what the caller of Start decides; the rest is in the home.
type Options struct {
	// Logger gets the node's log; nil discards it. What CometBFT and the SDK call
	// information arrives as debug: they write several lines a block.
	Logger *slog.Logger
	// Listen replaces the configuration's addresses where it is not empty.
	Listen Listen
	// Metrics, when not nil, gets the node's metrics.
	Metrics prometheus.Registerer
}

// Node is a running node.
type Node struct {
	home    string
	chainID string
	evmID   uint64
	addrs   Listen
	log     *slog.Logger

	lock      *homeLock
	app       *ledger.App
	comet     *cmtnode.Node
	dbs       *openDBs
	clientCtx client.Context
	grpc      *grpc.Server
	grpcConn  *grpc.ClientConn
	servers   []*http.Server
	jsonRPC   *jsonRPC
	metrics   *collector

	quiet    atomic.Bool // see sdkLog
	stopping atomic.Bool
	failed   chan error // the first failure of a running part
	done     chan struct{}
	stopOnce sync.Once
	stopErr  error
}

// serverGrace is how long requests in flight may take to end when the node stops.
const serverGrace = 2 * time.Second

// Start starts the node of a home that Init has prepared. When ctx ends, the node
// closes. The node serves before its first block: WaitHeight waits for one.
func Start(ctx context.Context, home string, opts Options) (_ *Node, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	chain.Configure()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if home, err = filepath.Abs(home); err != nil {
		return nil, fmt.Errorf("start the ledger: %w", err)
	}
	lock, err := lockHome(home)
	if err != nil {
		return nil, err
	}
	n := &Node{
		home: home, log: opts.Logger, lock: lock,
		failed: make(chan error, 1), done: make(chan struct{}),
	}
	n.quiet.Store(true)
	// Parts of CometBFT and the SDK say by panicking that what is on disk is broken.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("start the ledger in %s: %v", home, r)
		}
		if err != nil {
			_ = n.Close()
		}
	}()

	cfg, err := loadConfig(home)
	if err != nil {
		return nil, err
	}
	gen, err := readGenesis(home, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the ledger: %w", err)
	}
	if ok, err := genesis.HasValidators(gen); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("start the ledger: the genesis file of %s has no validators: add stakes to it first", home))
	}
	if n.evmID, err = genesis.EVMChainID(gen); err != nil {
		return nil, fmt.Errorf("start the ledger: %w", err)
	}
	n.chainID = gen.ChainID
	listeners, err := openListeners(home, cfg.listen(), opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("start the ledger: %w", err)
	}
	defer listeners.close() // those that no server has taken by then
	n.addrs = listeners.addrs

	if err := n.startApp(cfg, gen); err != nil {
		return nil, err
	}
	if err := n.startComet(cfg, listeners); err != nil {
		return nil, err
	}
	if err := n.startServers(cfg, listeners); err != nil {
		return nil, err
	}
	if err := recordListen(home, n.addrs); err != nil {
		return nil, err
	}
	if opts.Metrics != nil {
		n.metrics = newCollector(n, opts.Metrics)
		if err := n.metrics.register(); err != nil {
			return nil, fmt.Errorf("start the ledger: register its metrics: %w", err)
		}
	}
	go n.watch(ctx)
	n.log.Info("ledger started", "chain", n.chainID, "height", n.Height(),
		"rpc", n.addrs.RPC, "grpc", n.addrs.GRPC, "rest", n.addrs.REST, "json_rpc", n.addrs.JSONRPC)
	return n, nil
}

// watch closes the node when the caller's context ends or a part of it fails.
func (n *Node) watch(ctx context.Context) {
	go func() {
		if n.WaitHeight(ctx, n.app.LastBlockHeight()+2) == nil && !n.stopping.Load() {
			n.quiet.Store(false)
		}
	}()
	select {
	case <-ctx.Done():
		_ = n.Close()
	case err := <-n.failed:
		n.log.Error("ledger failed", "error", err)
		n.close(err)
	case <-n.done:
	}
}

// fail reports that a part of the node ended by itself.
func (n *Node) fail(err error) {
	if n.stopping.Load() || err == nil {
		return
	}
	select {
	case n.failed <- err:
	default:
	}
}

// Close stops the node and returns when everything is on disk. It may be called
// more than once, and while Start has got only half way.
func (n *Node) Close() error { return n.close(nil) }

func (n *Node) close(cause error) error {
	n.stopOnce.Do(func() {
		n.stopping.Store(true)
		n.quiet.Store(true)
		errs := []error{cause}
		if n.metrics != nil {
			n.metrics.unregister()
		}
		n.stopServers()
		if n.comet != nil && n.comet.IsRunning() {
			if err := n.comet.Stop(); err != nil {
				errs = append(errs, fmt.Errorf("stop consensus: %w", err))
			}
			n.comet.Wait()
		}
		if n.app != nil {
			n.waitSnapshot()
			if err := n.app.Close(); err != nil {
				n.log.Debug("close the ledger's application", "error", err)
			}
		}
		if n.dbs != nil {
			n.dbs.close()
		}
		if n.lock != nil {
			errs = append(errs, n.lock.release())
		}
		n.stopErr = errors.Join(errs...)
		close(n.done)
	})
	<-n.done
	return n.stopErr
}

// snapshotPatience is how long a node that stops waits for the snapshot that it is taking.
const snapshotPatience = 5 * time.Minute

// waitSnapshot waits for the end of the snapshot that is being taken, if one is: it reads
// the state in a goroutine of its own, and reading a closed database is a panic there. The
// manager does one thing at a time and refuses a second, which is how it can be asked. A
// node that is still restoring one has applied no block, and has nothing to wait for.
func (n *Node) waitSnapshot() {
	m := n.app.SnapshotManager()
	if m == nil || n.app.LastBlockHeight() == 0 {
		return
	}
	for end := time.Now().Add(snapshotPatience); time.Now().Before(end); time.Sleep(heightPoll) {
		if _, err := m.Prune(m.GetKeepRecent()); !errors.Is(err, storetypes.ErrConflict) {
			time.Sleep(heightPoll) // for the one thing that it notes in the state afterwards
			return
		}
	}
	n.log.Warn("the snapshot takes too long; stopping without it")
}

// Wait waits for the node to stop. It returns nil after Close or after the
// context given to Start ended, and otherwise what went wrong.
func (n *Node) Wait() error {
	<-n.done
	return n.stopErr
}

// Done is closed when the node has stopped.
func (n *Node) Done() <-chan struct{} { return n.done }

// Addrs are the addresses that the node listens on, host:port.
func (n *Node) Addrs() Listen { return n.addrs }

// ChainID is the network's ID.
func (n *Node) ChainID() string { return n.chainID }

// EVMChainID is the network's EIP-155 chain ID.
func (n *Node) EVMChainID() uint64 { return n.evmID }

// Height is the height of the latest block.
func (n *Node) Height() int64 { return n.comet.BlockStore().Height() }

// heightPoll is how often WaitHeight looks: well under the shortest block time.
const heightPoll = 20 * time.Millisecond

// WaitHeight waits until the ledger has applied the block at the given height.
func (n *Node) WaitHeight(ctx context.Context, height int64) error {
	tick := time.NewTicker(heightPoll)
	defer tick.Stop()
	for n.app.LastBlockHeight() < height {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for block %d, at %d: %w", height, n.app.LastBlockHeight(), ctx.Err())
		case <-n.done:
			return fmt.Errorf("wait for block %d: the node stopped: %w", height, errors.Join(n.stopErr, net.ErrClosed))
		}
	}
	return nil
}
