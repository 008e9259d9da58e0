package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	sdkclient "github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/codec"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	evmkeyring "github.com/cosmos/evm/crypto/keyring"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/node"
)

// moduleCommand is "query" or "tx": one command for each module and each of its
// methods. They come from the modules' protobuf, which takes a moment to read, so
// the tree is built when the command runs and not whenever the program starts.
func moduleCommand(o Options, name string, aliases []string, short string) *cobra.Command {
	return &cobra.Command{
		Use:                name + " MODULE METHOD [ARGUMENT…]",
		Aliases:            aliases,
		Short:              short,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := takeInherited(cmd, args)
			if err != nil {
				return err
			}
			root, err := moduleTree(o)
			if err != nil {
				return err
			}
			root.SetArgs(append([]string{name}, args...))
			root.SetIn(cmd.InOrStdin())
			root.SetOut(cmd.OutOrStdout())
			root.SetErr(cmd.ErrOrStderr())
			root.SilenceErrors, root.SilenceUsage = true, true // the caller reports
			return root.ExecuteContext(cmd.Context())
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			root, err := moduleTree(o)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			at, _, err := root.Find(append([]string{name}, args...))
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range at.Commands() {
				names = append(names, c.Name()+"\t"+c.Short)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// takeInherited sets the flags that the program gives all of its commands, --home among
// them, and returns the rest of the arguments, which the modules' own commands parse.
func takeInherited(cmd *cobra.Command, args []string) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		f := cmd.InheritedFlags().Lookup(name)
		if !strings.HasPrefix(args[i], "--") || f == nil {
			rest = append(rest, args[i])
			continue
		}
		switch {
		case joined:
		case f.NoOptDefVal != "": // a switch
			value = f.NoOptDefVal
		case i+1 == len(args):
			return nil, fmt.Errorf("flag needs an argument: --%s", name)
		default:
			i++
			value = args[i]
		}
		if err := cmd.InheritedFlags().Set(name, value); err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
	}
	return rest, nil
}

// moduleTree builds the commands of all modules under a root of their own.
func moduleTree(o Options) (*cobra.Command, error) {
	app, err := ledger.New(log.NewNopLogger(), dbm.NewMemDB(), ledger.Options{})
	if err != nil {
		return nil, err
	}
	var conn *grpc.ClientConn
	root := &cobra.Command{
		Use: "ledger",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			conn, err = prepare(o, app, cmd)
			return err
		},
		PersistentPostRun: func(*cobra.Command, []string) {
			if conn != nil {
				_ = conn.Close()
			}
		},
	}
	tree := app.AutoCLI()
	tree.ClientCtx = sdkclient.Context{}.
		WithCodec(app.Codec()).WithInterfaceRegistry(app.InterfaceRegistry()).
		WithTxConfig(app.TxConfig()).WithLegacyAmino(app.Amino())
	if err := tree.EnhanceRootCommand(root); err != nil {
		return nil, fmt.Errorf("build the modules' commands: %w", err)
	}
	return root, nil
}

// prepare puts into the command's context what the SDK's commands look for in it:
// the connections to the node, the keys, the network's ID and the price of gas.
// The node is the home's, unless the SDK's own flags name another.
func prepare(o Options, app *ledger.App, cmd *cobra.Command) (*grpc.ClientConn, error) {
	home := o.Home()
	at, err := node.Running(home)
	if f := cmd.Flags().Lookup(flags.FlagGRPC); f != nil && f.Changed {
		at.GRPC = f.Value.String()
	} else if err != nil {
		return nil, fmt.Errorf("no ledger has run in %s: start one, or name a node with --%s and --%s", home, flags.FlagGRPC, flags.FlagNode)
	}
	rpc := "tcp://" + at.RPC
	if f := cmd.Flags().Lookup(flags.FlagNode); f != nil && f.Changed {
		rpc = f.Value.String()
	}
	comet, err := sdkclient.NewClientFromNode(rpc)
	if err != nil {
		return nil, fmt.Errorf("connect to the ledger's RPC at %s: %w", rpc, err)
	}
	conn, err := grpc.NewClient(at.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec.NewProtoCodec(app.InterfaceRegistry()).GRPCCodec())))
	if err != nil {
		return nil, fmt.Errorf("connect to the ledger at %s: %w", at.GRPC, err)
	}
	info, err := cmtservice.NewServiceClient(conn).GetNodeInfo(cmd.Context(), &cmtservice.GetNodeInfoRequest{})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to the ledger at %s: is the node running? (%s)", at.GRPC, status.Convert(err).Message())
	}
	c := sdkclient.Context{}.
		WithCodec(app.Codec()).WithInterfaceRegistry(app.InterfaceRegistry()).
		WithTxConfig(app.TxConfig()).WithLegacyAmino(app.Amino()).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithInput(os.Stdin).WithOutput(cmd.OutOrStdout()).
		WithHomeDir(home).WithChainID(info.DefaultNodeInfo.Network).WithGRPCClient(conn).
		WithClient(comet).
		WithBroadcastMode(flags.BroadcastSync).
		WithKeyringOptions(evmkeyring.Option()).
		WithViper("")
	if cmd.Flags().Lookup(flags.FlagFrom) != nil { // a transaction
		ring, err := o.Keys()
		if err != nil {
			return nil, err
		}
		c = c.WithKeyring(ring)
		if err := priceDefaults(cmd, conn); err != nil {
			return nil, err
		}
	}
	cmd.SetContext(context.WithValue(cmd.Context(), sdkclient.ClientContextKey, &c))
	return conn, nil
}

// priceDefaults has a transaction's gas simulated and its price asked for, unless
// the flags say otherwise.
func priceDefaults(cmd *cobra.Command, conn *grpc.ClientConn) error {
	f := cmd.Flags()
	set := func(name, value string) error {
		if f.Lookup(name) == nil || f.Changed(name) {
			return nil
		}
		return f.Set(name, value)
	}
	if err := set(flags.FlagGas, flags.GasFlagAuto); err != nil {
		return err
	}
	if err := set(flags.FlagGasAdjustment, "1.4"); err != nil {
		return err
	}
	if f.Changed(flags.FlagFees) || f.Changed(flags.FlagGasPrices) {
		return nil
	}
	resp, err := feemarkettypes.NewQueryClient(conn).BaseFee(cmd.Context(), &feemarkettypes.QueryBaseFeeRequest{})
	if err != nil || resp.BaseFee == nil {
		return err
	}
	return set(flags.FlagGasPrices, resp.BaseFee.MulInt64(5).QuoInt64(4).String()+chain.BaseDenom)
}
