package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/docs"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/chain"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

func gatewayCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "gateway", Short: "Gateways: they plan jobs, lease tasks and commit results"}
	c.AddCommand(gatewayList(g), gatewayRegister(g), gatewayStart(g))
	return c
}

func gatewayList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the ledger's gateways",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			gs, err := s.GatewayRecords(cmd.Context())
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), gs)
			}
			rows := [][]string{{"ADDRESS", "URL", "STATUS", "BOND", "FEE", "JOBS", "FAULTS"}}
			for _, r := range gs {
				rows = append(rows, []string{r.Address, r.Url, statusName(r.Status), chain.FormatAmount(r.Bond), percent(r.FeeBps), fmt.Sprint(r.OpenJobs), fmt.Sprint(r.Faults)})
			}
			return table(cmd.OutOrStdout(), rows)
		}),
	}
}

func gatewayRegister(g *globals) *cobra.Command {
	var from, url, bond string
	var fee float64
	c := &cobra.Command{
		Use:   "register --from ACCOUNT --url URL",
		Short: "Bond this home's gateway on the ledger, or change its URL and fee",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if fee < 0 || fee > 100 {
				return usagef("--fee %g: want a percentage from 0 to 100", fee)
			}
			s, err := g.connect(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			a, err := s.account(from)
			if err != nil {
				return err
			}
			key, err := market.NodeKey(filepath.Join(g.home().Gateway(), "gateway.key"))
			if err != nil {
				return err
			}
			p, err := s.Params(ctx)
			if err != nil {
				return err
			}
			amount := p.MinGatewayBond
			if bond != "" {
				if amount, err = parseAmount("--bond", bond); err != nil {
					return err
				}
			}
			if err := market.RegisterGateway(ctx, s.ledger, s.View, a, key, url, uint32(fee*100), amount); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "gateway %s is registered at %s\n", a.Address, url)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "gateway", "account that bonds, is paid and signs")
	f.StringVar(&url, "url", "", "URL that buyers and workers reach it by")
	f.StringVar(&bond, "bond", "", "bond; default: the least that the network takes")
	f.Float64Var(&fee, "fee", 5, "per cent of a job's price that it keeps")
	_ = c.MarkFlagRequired("url")
	return c
}

func gatewayStart(g *globals) *cobra.Command {
	var from, listen, plane, websocket, advertise, cert, key string
	var claim bool
	c := &cobra.Command{
		Use:   "start",
		Short: "Run a gateway until Ctrl-C",
		Long: `Runs the gateway that "cantus gateway register" has bonded. It listens on loopback unless
told otherwise; on any other address it wants a certificate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			release, err := g.home().Lock()
			if err != nil {
				return err
			}
			defer release()
			s, err := g.connect(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			a, err := s.account(from)
			if err != nil {
				return err
			}
			rec, err := s.GatewayRecord(ctx, a.Address.String())
			if err != nil {
				return fmt.Errorf("%w; bond it first with `cantus gateway register`", err)
			}
			nodeKey, err := market.NodeKey(filepath.Join(g.home().Gateway(), "gateway.key"))
			if err != nil {
				return err
			}
			if pub := nodeKey.Public(); string(rec.Key) != string(pub[:]) {
				return fmt.Errorf("the ledger knows the gateway %s by another key than the one in %s", a.Address, g.home().Gateway())
			}
			params, err := s.Params(ctx)
			if err != nil {
				return err
			}
			gw, err := gateway.New(gateway.Config{
				Chain: s.net.ChainID, Address: a.Address.String(), Key: nodeKey, FeeBps: rec.FeeBps,
				Dir: g.home().Gateway(), Kinds: all.Kinds(),
				Ledger: market.NewLedger(s.View, market.NewChain(s.ledger, a.Name), a.Address.String()),
				Listen: listen, PlaneListen: plane, PlaneWebSocket: websocket, Advertise: advertise,
				CertFile: cert, KeyFile: key,
				AllowLoopback: params.AllowLoopback, ClaimForWorkers: claim,
				Docs: docs.Handler(), Log: log, Metrics: gateway.NewRegistry(),
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "gateway %s serves %s at %s\n", a.Address, s.net.ChainID, gw.URL())
			return gw.Run(ctx)
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "gateway", "the gateway's account")
	f.StringVar(&listen, "listen", "127.0.0.1:7600", "address of the HTTP door")
	f.StringVar(&plane, "plane", "127.0.0.1:7601", "address that workers connect to over TCP")
	f.StringVar(&websocket, "websocket", "127.0.0.1:7602", "address that workers connect to over WebSocket")
	f.StringVar(&advertise, "advertise", "", "host name that workers reach it by")
	f.StringVar(&cert, "tls-cert", "", "certificate file, PEM")
	f.StringVar(&key, "tls-key", "", "its key file, PEM")
	f.BoolVar(&claim, "claim", true, "send the workers' claims for them once a job is settled")
	return c
}

func statusName(s worktypes.Status) string {
	return map[worktypes.Status]string{
		worktypes.Status_STATUS_ACTIVE: "active", worktypes.Status_STATUS_PAUSED: "paused",
		worktypes.Status_STATUS_UNBONDING: "unbonding", worktypes.Status_STATUS_GONE: "gone", worktypes.Status_STATUS_JAILED: "jailed",
	}[s]
}

func percent(bps uint32) string { return fmt.Sprintf("%g %%", float64(bps)/100) }
