// Package localnet runs a whole network on one machine: a validator and a gateway in this
// process, workers in processes of their own. It is the engine behind `cantus up`, the
// network that `cantus crawl` starts when none runs, and the tests of the whole.
//
// The parts are those of a large network, talking over the same sockets; only the keys
// are made without asking and the genesis allows loopback addresses. Start finds what an
// earlier run left in the home and goes on with it.
//
//	localnet.go  Start, Close
//	accounts.go  the first accounts and their notes
//	enroll.go    enrolling the workers
//	process.go   worker processes, started again when they die
package localnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/desk"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/docs"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// MaxWorkers bounds --workers: more processes than that are of no use on one machine.
const MaxWorkers = 64

// Options say what to start.
type Options struct {
	Home    home.Dir
	Workers int // processes
	Log     *slog.Logger
	Version string
	Listen  string      // of the gateway; empty for any loopback port, the same one each time
	Ledger  node.Listen // of the node; empty for the same
	// ModelMemory and Threads are what each worker may use for models; 0 for usual amounts.
	ModelMemory int64
	Threads     int
	// Artifacts keeps the gateway's blobs; nil for files in the home.
	Artifacts artifact.Store
	// Decoys are keys that the gateway plants by once they are enrolled, about PlantBps of
	// all receipts: see scheduler.Config.
	Decoys   []work.PrivateKey
	PlantBps int
	// Progress is told what is being waited for; nil for nobody.
	Progress func(string)
}

// Network is a running one.
type Network struct {
	opts    Options
	release func()
	node    *node.Node
	client  *client.Client
	gateway *gateway.Gateway
	desk    func() // ends the answering of contracts
	kinds   func() // ends the gateway's kinds
	workers []*process
	logs    []*os.File
	info    home.Network
	stop    context.CancelFunc // of the workers
	failed  chan error
	once    sync.Once
	err     error
}

// Start starts a network, or the next run of the one that the home holds. When ctx ends
// before it stands, what was started is stopped again.
func Start(ctx context.Context, o Options) (_ *Network, err error) {
	if o.Workers < 1 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("%d workers: want 1 to %d", o.Workers, MaxWorkers)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	release, err := o.Home.Lock()
	if err != nil {
		return nil, err
	}
	n := &Network{opts: o, release: release, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	// What comes after a failed start may read the file: it must not name a dead network.
	o.Home.ForgetNetwork()
	registry := gateway.NewRegistry()

	o.Progress("starting the ledger")
	ring, err := keys.OpenUnencrypted(o.Home.Keyring())
	if err != nil {
		return nil, err
	}
	if err := n.startLedger(ctx, ring, registry); err != nil {
		return nil, err
	}
	o.Progress("bonding the gateway and enrolling workers")
	if err := n.startGateway(ctx, ring, registry); err != nil {
		return nil, err
	}
	if err := n.startWorkers(ctx, ring); err != nil {
		return nil, err
	}
	if err := n.describe(ring); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Network) startLedger(ctx context.Context, ring keys.Ring, reg prometheus.Registerer) error {
	dir := n.opts.Home.Ledger()
	accounts, err := firstAccounts(ring, n.opts.Workers)
	if err != nil {
		return err
	}
	if !node.Prepared(dir) {
		err := node.InitDevnet(ctx, dir, ring, node.Devnet{Validator: accountValidator, Accounts: accounts, Moniker: "local"})
		if err != nil {
			return err
		}
	}
	// The node outlives ctx, which is the start's: Close stops it, after the gateway.
	n.node, err = node.Start(context.WithoutCancel(ctx), dir, node.Options{Logger: n.opts.Log.With("part", "ledger"), Listen: n.opts.Ledger, Metrics: reg})
	if err != nil {
		return err
	}
	go func() {
		if err := n.node.Wait(); err != nil {
			n.failed <- fmt.Errorf("the ledger stopped: %w", err)
		}
	}()
	// A node answers queries from its first block after a start on.
	if err := n.node.WaitHeight(ctx, n.node.Height()+1); err != nil {
		return err
	}
	n.client, err = client.New(ctx, n.node.Addrs().GRPC, ring)
	if err != nil {
		return err
	}
	return fundOperators(ctx, n.client, ring, n.opts.Workers)
}

func (n *Network) startGateway(ctx context.Context, ring keys.Ring, reg *prometheus.Registry) error {
	owner, err := keys.Find(ring, accountGateway)
	if err != nil {
		return err
	}
	key, err := market.NodeKey(filepath.Join(n.opts.Home.Gateway(), "gateway.key"))
	if err != nil {
		return err
	}
	view := market.NewView(n.client.Conn())
	params, err := view.Params(ctx)
	if err != nil {
		return err
	}
	kinds, stop, err := all.Kinds(all.Options{Models: n.opts.Home.Models(), Metrics: reg, Log: n.opts.Log.With("part", "gateway")})
	if err != nil {
		return err
	}
	n.kinds = stop
	cfg := gateway.Config{
		Chain: n.client.ChainID(), Address: owner.Address.String(), Key: key, FeeBps: gatewayFeeBps,
		Dir: n.opts.Home.Gateway(), Kinds: kinds, Models: modeldir.At(n.opts.Home.Models()).Handler(),
		Ledger:    market.NewLedger(view, market.NewChain(n.client, owner.Name), owner.Address.String()),
		Listen:    n.opts.Listen,
		Version:   n.opts.Version,
		Artifacts: n.opts.Artifacts,
		Limits:    gateway.Limits{Jobs: -1},
		Cells: func(ctx context.Context) ([]work.Cell, error) {
			rec, err := view.GatewayRecord(ctx, owner.Address.String())
			if market.NotFound(err) {
				return nil, nil // not bonded yet
			}
			if err != nil {
				return nil, err
			}
			g, err := market.PlainGateway(rec)
			return g.Cells, err
		},
		AllowLoopback:   params.AllowLoopback,
		ClaimForWorkers: true,
		Decoys:          n.opts.Decoys,
		PlantBps:        n.opts.PlantBps,
		Docs:            docs.Handler(),
		Log:             n.opts.Log.With("part", "gateway"),
		Metrics:         reg,
	}
	if n.gateway, err = gateway.New(cfg); err != nil {
		return err
	}
	if err := market.RegisterGateway(ctx, n.client, view, owner, key, n.gateway.URL(), gatewayFeeBps, market.GatewayBond(params)); err != nil {
		return err
	}
	counter, err := desk.Beside(ctx, n.client, owner.Name, n.gateway, cfg)
	if err != nil {
		return err
	}
	run, stopDesk := context.WithCancel(context.WithoutCancel(ctx))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if counter != nil {
			counter.Run(run)
		}
	}()
	n.desk = func() { stopDesk(); <-gone }
	go func() {
		if err := n.gateway.Run(context.WithoutCancel(ctx)); err != nil {
			n.failed <- fmt.Errorf("the gateway stopped: %w", err)
		}
	}()
	return nil
}

func (n *Network) startWorkers(ctx context.Context, ring keys.Ring) error {
	argv, err := workerCommand()
	if err != nil {
		return err
	}
	nodeKeys := make([]work.PrivateKey, n.opts.Workers)
	accounts := make([]*witness.Account, n.opts.Workers)
	for i := range nodeKeys {
		if nodeKeys[i], err = market.NodeKey(filepath.Join(n.opts.Home.Worker(i+1), "node.key")); err != nil {
			return err
		}
		if accounts[i], err = witness.EnsureAccount(filepath.Join(n.opts.Home.Worker(i+1), "account.key")); err != nil {
			return err
		}
	}
	if err := enrollWorkers(ctx, n.client, market.NewView(n.client.Conn()), ring, nodeKeys, accounts, all.Usual()); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	for i := range nodeKeys {
		dir := n.opts.Home.Worker(i + 1)
		out, err := os.OpenFile(filepath.Join(dir, "worker.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("open a worker's log: %w", err)
		}
		n.logs = append(n.logs, out)
		args := append(append([]string(nil), argv...), "start", "--gateway", n.gateway.URL(), "--ledger", "http://"+n.node.Addrs().REST, "--home", dir, "--models", n.opts.Home.Models())
		if n.opts.ModelMemory > 0 {
			args = append(args, "--model-memory", strconv.FormatInt(n.opts.ModelMemory, 10))
		}
		if n.opts.Threads > 0 {
			args = append(args, "--threads", strconv.Itoa(n.opts.Threads))
		}
		n.workers = append(n.workers, start(run, process{
			name: "worker-" + strconv.Itoa(i+1), argv: args, out: out, log: n.opts.Log.With("part", "workers"),
			env: []string{"GOMAXPROCS=2"},
		}))
	}
	return nil
}

// workerCommand is how to run a worker: the small program beside this one, or this one.
func workerCommand() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to start workers: %w", err)
	}
	if small := filepath.Join(filepath.Dir(self), "cantus-worker"); isProgram(small) {
		return []string{small}, nil
	}
	return []string{self, "worker"}, nil
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}

func (n *Network) describe(ring keys.Ring) error {
	a := n.node.Addrs()
	n.info = home.Network{
		ChainID: n.node.ChainID(), EVMChainID: n.node.EVMChainID(), RPC: "http://" + a.RPC, GRPC: a.GRPC,
		REST: "http://" + a.REST, JSONRPC: "http://" + a.JSONRPC, Gateway: n.gateway.URL(),
		Workers: n.opts.Workers, PID: os.Getpid(), Accounts: map[string]string{},
	}
	accounts, err := keys.List(ring)
	if err != nil {
		return err
	}
	for _, acc := range accounts {
		n.info.Accounts[acc.Name] = acc.Address.String()
	}
	return n.opts.Home.WriteNetwork(n.info)
}

// Info is what network.json says.
func (n *Network) Info() home.Network { return n.info }

// Wait returns when ctx ends, or when a part of the network failed.
func (n *Network) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		return err
	}
}

// Close stops the workers, which give back what they can't finish, then the gateway, then
// the ledger. Everything that was acknowledged is on disk.
func (n *Network) Close() error {
	n.once.Do(func() {
		var errs []error
		n.opts.Home.ForgetNetwork()
		if n.stop != nil {
			n.stop()
		}
		for _, w := range n.workers {
			w.wait()
		}
		for _, f := range n.logs {
			f.Close()
		}
		if n.desk != nil {
			n.desk()
		}
		if n.gateway != nil {
			errs = append(errs, n.gateway.Close())
		}
		if n.kinds != nil {
			n.kinds()
		}
		if n.client != nil {
			n.client.Close()
		}
		if n.node != nil {
			errs = append(errs, n.node.Close())
		}
		n.release()
		n.err = errors.Join(errs...)
	})
	return n.err
}
