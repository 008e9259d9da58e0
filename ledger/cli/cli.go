// Package cli is the command "ledger": it prepares, runs and joins networks, and
// reaches every module's queries and transactions.
//
// A network of several validators starts like this. One of them coordinates:
//
//	coordinator   ledger init --chain-id cantus-1 --account ADDRESS=AMOUNT …
//	everybody     ledger stake --genesis genesis.json --from NAME --stake AMOUNT > mine.json
//	coordinator   ledger collect mine.json theirs.json …
//	everybody     ledger join --genesis genesis.json --peer ID@HOST:PORT …
//	everybody     ledger start
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	sdk "github.com/cosmos/cosmos-sdk/types"
	evmaddress "github.com/cosmos/evm/encoding/address"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// Options are what the program that mounts the command decides. The functions are
// called when a command runs, after the program has parsed its flags.
type Options struct {
	// Home is the ledger node's home.
	Home func() string
	// Keys opens the accounts' keys.
	Keys func() (keys.Ring, error)
	// Log is where a running node logs to; nil discards.
	Log func() *slog.Logger
}

// Command is "ledger" with all that is under it.
func Command(o Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Run a ledger node, start or join a network, query and send",
		Long: `The ledger escrows the money, picks who checks what, and pays.

"cantus up" runs a whole network on one machine. The commands here are for
networks of several machines, and for a close look at any of them.`,
	}
	cmd.AddCommand(
		initCommand(o), stakeCommand(o), collectCommand(o), joinCommand(o), startCommand(o),
		statusCommand(o), exportCommand(o),
		moduleCommand(o, "query", []string{"q"}, "Ask a module of the ledger"),
		moduleCommand(o, "tx", nil, "Send a transaction to a module of the ledger"),
	)
	return cmd
}

// listenFlags adds the node's addresses to a command.
func listenFlags(cmd *cobra.Command) *node.Listen {
	var l node.Listen
	f := cmd.Flags()
	f.StringVar(&l.RPC, "rpc", "", "`address` host:port of CometBFT's RPC (port 0: any free one)")
	f.StringVar(&l.P2P, "p2p", "", "`address` host:port for other nodes")
	f.StringVar(&l.GRPC, "grpc", "", "`address` host:port of gRPC")
	f.StringVar(&l.REST, "rest", "", "`address` host:port of REST")
	f.StringVar(&l.JSONRPC, "json-rpc", "", "`address` host:port of Ethereum's JSON-RPC")
	return &l
}

// pauseFlag adds the pause between blocks to a command.
func pauseFlag(cmd *cobra.Command) *time.Duration {
	return cmd.Flags().Duration("block-pause", 0, "how long this node waits after a block before it votes on the next; all validators should take the same (default 1.5s)")
}

func initCommand(o Options) *cobra.Command {
	var (
		n        genesis.Network
		accounts []string
		from     string
		stake    string
		moniker  string
	)
	cmd := &cobra.Command{
		Use:   "init --chain-id ID --account ADDRESS=AMOUNT…",
		Short: "Found a network: write its genesis file and this node's home",
		Long: `Found a network: write its genesis file and this node's home.

Each --account gives an address (cantus1… or 0x…) or the name of one of your own
accounts, and what it holds at the start. With --from and --stake this node is the
network's first validator.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&n.ChainID, "chain-id", "", "the network's `ID`: a-z, 0-9 and -")
	f.Uint64Var(&n.EVMChainID, "evm-chain-id", chain.DefaultEVMChainID, "the network's EIP-155 chain `ID`")
	f.StringArrayVar(&accounts, "account", nil, "a first account, `ADDRESS=AMOUNT`; may be repeated")
	f.StringVar(&from, "from", "", "the account that stakes for this node's validator")
	f.StringVar(&stake, "stake", "", "what it stakes, as an `amount` like 1000note")
	f.StringVar(&moniker, "moniker", "cantus", "this node's `name` among others")
	f.BoolVar(&n.AllowLoopback, "allow-loopback", false, "let workers fetch from loopback addresses (one-machine networks only)")
	f.StringArrayVar(&n.Market, "market", nil, "a parameter of the work market, `NAME=VALUE`, like challenge_blocks=300; may be repeated")
	pause := pauseFlag(cmd)
	listen := listenFlags(cmd)
	_ = cmd.MarkFlagRequired("chain-id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home := o.Home()
		if node.Prepared(home) {
			return fmt.Errorf("%s is a ledger's home already: choose another, or remove it if you no longer need it", home)
		}
		if (from == "") != (stake == "") {
			return errors.New("--from and --stake belong together")
		}
		var err error
		if n.Accounts, err = parseAccounts(o, accounts); err != nil {
			return err
		}
		g, err := genesis.New(n)
		if err != nil {
			return err
		}
		if from != "" {
			signed, err := signStake(cmd.Context(), o, g, from, stake, moniker, "")
			if err != nil {
				return err
			}
			if err := genesis.AddStake(g, signed); err != nil {
				return err
			}
		}
		if err := node.Init(home, node.Setup{Moniker: moniker, Genesis: g, Listen: *listen, BlockPause: *pause}); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "network %s founded\ngenesis %s\n", n.ChainID, node.GenesisPath(home))
		return showIdentity(cmd.OutOrStdout(), home)
	}
	return cmd
}

// parseAccounts reads ADDRESS=AMOUNT pairs.
func parseAccounts(o Options, pairs []string) ([]genesis.Account, error) {
	out := make([]genesis.Account, 0, len(pairs))
	for _, p := range pairs {
		who, amount, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("--account %.120q: write ADDRESS=AMOUNT", p)
		}
		addr, err := parseAddress(o, who)
		if err != nil {
			return nil, fmt.Errorf("--account %.120q: %w", p, err)
		}
		v, err := chain.ParseAmount(amount)
		if err != nil {
			return nil, fmt.Errorf("--account %.120q: %w", p, err)
		}
		out = append(out, genesis.Account{Address: addr, Amount: v})
	}
	return out, nil
}

// parseAddress reads cantus1…, 0x… or the name of an own account.
func parseAddress(o Options, s string) (sdk.AccAddress, error) {
	chain.Configure()
	if strings.HasPrefix(s, chain.Bech32Prefix+"1") || strings.HasPrefix(s, "0x") {
		addr, err := evmaddress.NewEvmCodec(chain.Bech32Prefix).StringToBytes(s)
		if err != nil {
			return nil, fmt.Errorf("not an address: %w", err)
		}
		return addr, nil
	}
	ring, err := o.Keys()
	if err != nil {
		return nil, err
	}
	a, err := keys.Find(ring, s)
	return a.Address, err
}

func signStake(ctx context.Context, o Options, g *genesis.Genesis, from, stake, moniker, address string) (json.RawMessage, error) {
	amount, err := chain.ParseAmount(stake)
	if err != nil {
		return nil, fmt.Errorf("--stake: %w", err)
	}
	ring, err := o.Keys()
	if err != nil {
		return nil, err
	}
	id, err := node.LoadIdentity(o.Home())
	if err != nil {
		return nil, err
	}
	memo := ""
	if address != "" {
		memo = id.NodeID + "@" + address
	}
	return genesis.SignStake(ctx, g, ring, genesis.Stake{
		Operator: from, ConsensusKey: id.ConsensusKey, Amount: amount, Moniker: moniker, Address: memo,
	})
}

func stakeCommand(o Options) *cobra.Command {
	var path, from, stake, moniker, address string
	cmd := &cobra.Command{
		Use:   "stake --genesis FILE --from ACCOUNT --stake AMOUNT",
		Short: "Sign this node's stake in a network that is being founded",
		Long: `Sign this node's stake in a network that is being founded, and print it. The
coordinator adds it to the genesis file with "ledger collect". It makes this node's
keys if there are none yet.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&path, "genesis", "", "the network's genesis `file` (default: this home's)")
	f.StringVar(&from, "from", "", "the `account` that stakes")
	f.StringVar(&stake, "stake", "", "what it stakes, as an `amount` like 1000note")
	f.StringVar(&moniker, "moniker", "cantus", "the validator's `name`")
	f.StringVar(&address, "address", "", "where other nodes find this one, `host:port`")
	_ = cmd.MarkFlagRequired("from")
	_ = cmd.MarkFlagRequired("stake")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if path == "" {
			path = node.GenesisPath(o.Home())
		}
		g, err := genesis.Read(path)
		if err != nil {
			return err
		}
		signed, err := signStake(cmd.Context(), o, g, from, stake, moniker, address)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), string(signed))
		return nil
	}
	return cmd
}

// maxStakeFile bounds a signed stake, which is about a kilobyte.
const maxStakeFile = 1 << 20

func collectCommand(o Options) *cobra.Command {
	return &cobra.Command{
		Use:   "collect STAKE-FILE…",
		Short: "Add signed stakes to the genesis file of a network that is being founded",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := node.GenesisPath(o.Home())
			g, err := genesis.Read(path)
			if err != nil {
				return err
			}
			for _, file := range args {
				signed, err := readBounded(file, maxStakeFile)
				if err != nil {
					return err
				}
				if err := genesis.AddStake(g, signed); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
			if err := genesis.Write(g, path); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d stakes added to %s: give this file to every validator\n", len(args), path)
			return nil
		},
	}
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return raw, err
}

func joinCommand(o Options) *cobra.Command {
	var (
		path    string
		setup   node.Setup
		trust   node.StateSync
		replace bool
	)
	cmd := &cobra.Command{
		Use:   "join --genesis FILE --peer ID@HOST:PORT…",
		Short: "Prepare this node's home for a network that others founded",
		Long: `Prepare this node's home for a network that others founded. "ledger start" then
runs the node, which replays every block. With --trust-height, --trust-hash and
--trust-rpc it fetches a recent state instead and checks it against that block.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&path, "genesis", "", "the network's genesis `file`")
	f.StringArrayVar(&setup.Peers, "peer", nil, "a node to connect to, `ID@HOST:PORT`; may be repeated")
	f.StringVar(&setup.Moniker, "moniker", "cantus", "this node's `name` among others")
	f.Int64Var(&trust.Height, "trust-height", 0, "a block's `height` that you trust")
	f.StringVar(&trust.Hash, "trust-hash", "", "that block's `hash`, from a source you trust")
	f.StringArrayVar(&trust.RPC, "trust-rpc", nil, "a node's RPC `address` to check against; at least two")
	f.BoolVar(&replace, "replace-genesis", false, "only replace the genesis file of a home that is prepared and has no blocks yet")
	listen, pause := listenFlags(cmd), pauseFlag(cmd)
	_ = cmd.MarkFlagRequired("genesis")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		read := genesis.Read
		if trust.Height > 0 { // its state comes from others, who may have begun with an earlier program
			read = genesis.ReadPast
		}
		g, err := read(path)
		if err != nil {
			return err
		}
		if ok, err := genesis.HasValidators(g); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s has no validators yet: ask the coordinator for the final file", path))
		}
		home := o.Home()
		if replace {
			if err := node.ReplaceGenesis(home, g); err != nil {
				return err
			}
		} else {
			setup.Genesis, setup.Listen, setup.BlockPause = g, *listen, *pause
			if trust.Height != 0 || trust.Hash != "" || len(trust.RPC) > 0 {
				setup.StateSync = &trust
			}
			if err := node.Init(home, setup); err != nil {
				return err
			}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "ready to join %s; start the node with: ledger start\n", g.ChainID)
		return showIdentity(cmd.OutOrStdout(), home)
	}
	return cmd
}

func showIdentity(w io.Writer, home string) error {
	id, err := node.LoadIdentity(home)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "node    %s\nhome    %s\n", id.NodeID, filepath.Clean(home))
	return nil
}

func startCommand(o Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run this home's ledger node until Ctrl-C",
		Args:  cobra.NoArgs,
	}
	listen := listenFlags(cmd)
	metrics := cmd.Flags().String("metrics", "", "serve Prometheus metrics on this loopback `address`, host:port")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		opts := node.Options{Listen: *listen}
		if *metrics != "" {
			reg, closeMetrics, err := serveMetrics(*metrics)
			if err != nil {
				return err
			}
			defer closeMetrics()
			opts.Metrics = reg
		}
		if o.Log != nil {
			opts.Logger = o.Log()
		}
		n, err := node.Start(ctx, o.Home(), opts)
		if err != nil {
			return err
		}
		a := n.Addrs()
		fmt.Fprintf(cmd.OutOrStdout(), "ledger    %s, at block %d\nrpc       http://%s\np2p       %s\ngrpc      %s\nrest      http://%s\njson-rpc  http://%s\n",
			n.ChainID(), n.Height(), a.RPC, a.P2P, a.GRPC, a.REST, a.JSONRPC)
		return n.Wait()
	}
	return cmd
}

func statusCommand(o Options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show this home's node and where it listens",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home := o.Home()
			if !node.Prepared(home) {
				return fmt.Errorf("%s is not a ledger's home", home)
			}
			l, err := node.Running(home)
			if err != nil {
				return fmt.Errorf("the node of %s has never run: start it with: ledger start", home)
			}
			c, err := client.New(cmd.Context(), l.GRPC, nil)
			if err != nil {
				return err
			}
			defer c.Close()
			h, err := c.Height(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "chain   %s\nheight  %d\nrpc     %s\np2p     %s\ngrpc    %s\nrest    %s\njson    %s\n",
				c.ChainID(), h, l.RPC, l.P2P, l.GRPC, l.REST, l.JSONRPC)
			return showIdentity(cmd.OutOrStdout(), home)
		},
	}
}

func exportCommand(o Options) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the latest state as a genesis file; the node must not run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := node.Export(o.Home())
			if err != nil {
				return err
			}
			if out != "" {
				return genesis.Write(g, out)
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(g)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the `file` to write (default: standard output)")
	return cmd
}
