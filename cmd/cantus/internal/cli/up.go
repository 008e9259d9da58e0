package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/ledger/node"
	"github.com/cantus-network/cantus/ledger/precompiles/cantus"
)

func upCommand(g *globals) *cobra.Command {
	var o localnet.Options
	var l node.Listen
	var artifacts string
	var demo bool
	var memory size
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a whole network on this machine until Ctrl-C",
		Long: `Runs a validator, a gateway and workers on this machine, for trying things out and for
development. The network is real: consensus, escrow, audits and payment are those of a large
one. Its notes are worthless, its keys lie unencrypted in the home directory, and its workers
may fetch from loopback addresses. Ctrl-C stops it; the next "up" goes on where it stopped.

Its gateway and workers answer prompts with the models in the home's models directory ("cantus
model import" adds more). Unless --demo=false there is a small one from the start, and a tab that
pays for its answers: "cantus chat" talks with it, "cantus tab env" prints what OpenAI's clients need.
Contracts may ask it too, and for pages of the web: "cantus status" prints what wallets need,
docs/contracts.md says how.

` + settingsHelp("up"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := g.settings(cmd, "up"); err != nil {
				return err
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			store, closer, err := openArtifacts(cmd.Context(), artifacts, 0)
			if err != nil {
				return err
			}
			if closer != nil {
				defer closer.Close()
			}
			o.Artifacts, o.ModelMemory = store, int64(memory)
			o.Home, o.Log, o.Version, o.Ledger = g.home(), log, g.version, l
			o.Progress = func(s string) {
				if !g.json {
					fmt.Fprintln(os.Stderr, s)
				}
			}
			if demo {
				if err := importDemo(cmd.Context(), g.home()); err != nil {
					return err
				}
			}
			n, err := localnet.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			o.Progress("offering pages to contracts")
			err = g.offerUsualPages(cmd.Context(), n.Info())
			var paid demoTab
			if demo && err == nil {
				o.Progress("opening a tab for the demo model")
				paid, err = g.openDemoTab(cmd.Context(), n.Info())
			}
			info := n.Info()
			switch {
			case err != nil:
			case g.json:
				err = printJSON(cmd.OutOrStdout(), struct {
					home.Network
					demoTab
				}{info, paid})
			default:
				rows := [][]string{
					{"network", fmt.Sprintf("%s is up, with %d workers; Ctrl-C stops it", info.ChainID, info.Workers)},
					{"gateway", info.Gateway}, {"docs", info.Gateway + "/docs/"}, {"metrics", info.Gateway + "/metrics"},
					{"rpc", info.RPC}, {"grpc", info.GRPC}, {"rest", info.REST},
					{"json-rpc", fmt.Sprintf("%s (EVM chain %d)", info.JSONRPC, info.EVMChainID)},
					{"home", string(g.home())},
				}
				rows = append(rows, []string{"contracts", fmt.Sprintf("ask %s for pages of the web", cantus.Address)})
				if demo {
					rows = append(rows, []string{"", "or for the model " + paid.Speaker}, []string{"openai", paid.BaseURL}, []string{"api key", fmt.Sprintf("in %s; `cantus tab env` prints it", paid.KeyFile)})
				}
				err = table(cmd.OutOrStdout(), rows)
			}
			if err == nil {
				err = n.Wait(cmd.Context())
			}
			if !g.json {
				fmt.Fprintln(os.Stderr, "stopping")
			}
			if cerr := n.Close(); err == nil {
				err = cerr
			}
			return err
		},
	}
	f := c.Flags()
	f.IntVar(&o.Workers, "workers", 4, "worker processes, each with an operator of its own")
	f.BoolVar(&demo, "demo", true, "have the demo model, and a tab that pays for its answers")
	f.Var(&memory, "model-memory", "memory that each worker may use for models and their answers (default 4GiB)")
	f.IntVar(&o.Threads, "threads", 0, "threads that a worker computes a model with (default all processors)")
	f.StringVar(&o.Listen, "listen", "", "address of the gateway, host:port; default: a free loopback port, the same each time")
	f.StringVar(&artifacts, "artifacts", "", artifactsHelp)
	f.StringVar(&l.RPC, "rpc", "", "address of CometBFT's RPC")
	f.StringVar(&l.GRPC, "ledger-grpc", "", "address of the ledger's gRPC")
	f.StringVar(&l.REST, "rest", "", "address of REST")
	f.StringVar(&l.JSONRPC, "json-rpc", "", "address of Ethereum's JSON-RPC")
	return c
}
