package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/ledger/chain"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func gatewayCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "gateway", Short: "Gateways: they plan jobs, lease tasks and commit results"}
	c.AddCommand(gatewayList(g), gatewayRegister(g), gatewayCells(g), gatewayStart(g), gatewayDrain(g), gatewayBackup(g), gatewayRestore(g),
		gatewayOffer(g), gatewayOffers(g), gatewayWithdraw(g))
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
			amount := market.GatewayBond(p)
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
	f.StringVar(&bond, "bond", "", "bond; default: twice the least that the network takes")
	f.Float64Var(&fee, "fee", 5, "per cent of a job's price that it keeps")
	_ = c.MarkFlagRequired("url")
	return c
}

func gatewayCells(g *globals) *cobra.Command {
	var from string
	var set []string
	var none bool
	c := &cobra.Command{
		Use:   "cells",
		Short: "Show this gateway's cells on the ledger, or set them",
		Long: `Cells divide a large gateway: each is a "cantus gateway start --cell NAME" with a home and
an account of its own, and the gateway's node key. A worker finds its cell by its key, a
job by its buyer's choice or by its number. --set names all of them anew.`,
		Example: `  cantus gateway cells --set north,https://north.example.org,cantus1… --set south,https://south.example.org,cantus1…`,
		Args:    cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			ctx := cmd.Context()
			a, err := s.account(from)
			if err != nil {
				return err
			}
			if len(set) > 0 || none {
				var cells []work.Cell
				for _, text := range set {
					parts := strings.Split(text, ",")
					if len(parts) != 3 {
						return usagef("--set %q: want NAME,URL,ADDRESS", text)
					}
					cells = append(cells, work.Cell{Name: parts[0], URL: parts[1], Address: parts[2]})
				}
				if err := market.SetCells(ctx, s.ledger, s.View, a, cells); err != nil {
					return err
				}
			}
			r, err := s.GatewayRecord(ctx, a.Address.String())
			if err != nil {
				return err
			}
			gw, err := market.PlainGateway(r)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), gw.Cells)
			}
			rows := [][]string{{"CELL", "URL", "ADDRESS"}}
			for _, c := range gw.Cells {
				rows = append(rows, []string{c.Name, c.URL, c.Address})
			}
			return table(cmd.OutOrStdout(), rows)
		}),
	}
	f := c.Flags()
	f.StringVar(&from, "from", "gateway", "the gateway's account")
	f.StringArrayVar(&set, "set", nil, "a cell, NAME,URL,ADDRESS (repeatable)")
	f.BoolVar(&none, "none", false, "have no cells any more")
	c.MarkFlagsMutuallyExclusive("set", "none")
	return c
}

func statusName(s worktypes.Status) string {
	return map[worktypes.Status]string{
		worktypes.Status_STATUS_ACTIVE: "active", worktypes.Status_STATUS_PAUSED: "paused",
		worktypes.Status_STATUS_UNBONDING: "unbonding", worktypes.Status_STATUS_GONE: "gone", worktypes.Status_STATUS_JAILED: "jailed",
	}[s]
}

func percent(bps uint32) string { return fmt.Sprintf("%g %%", float64(bps)/100) }
