package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	workercli "github.com/cantus-network/cantus/worker/cli"
)

func workerCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "worker", Short: "Workers: they do the tasks, and hold no funds"}
	c.AddCommand(workerList(g), workerEnroll(g))
	// The rest is what the small program cantus-worker has too.
	c.AddCommand(workercli.Commands(workercli.Program{Version: g.version, Kinds: all.Kinds})...)
	return c
}

func workerList(g *globals) *cobra.Command {
	var operator, kind string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the ledger's workers",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			ws, err := s.WorkerRecords(cmd.Context(), operator, work.Name(kind))
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), ws)
			}
			rows := [][]string{{"WORKER", "OPERATOR", "KINDS", "STATUS", "BOND", "NETWORK", "REGION", "AUDITS", "VERDICTS"}}
			for _, w := range ws {
				rows = append(rows, []string{
					fmt.Sprintf("%x", w.Key), w.Operator, strings.Join(w.Kinds, ","), statusName(w.Status), chain.FormatAmount(w.Bond),
					w.Network, w.Region, fmt.Sprintf("%d passed, %d failed", w.AuditsPassed, w.AuditsFailed), fmt.Sprintf("%d, %d missed", w.Verdicts, w.VerdictsMissed),
				})
			}
			return table(cmd.OutOrStdout(), rows)
		}),
	}
	c.Flags().StringVar(&operator, "operator", "", "only this address's")
	c.Flags().StringVar(&kind, "kind", "", "only those that do this kind")
	return c
}

func workerEnroll(g *globals) *cobra.Command {
	var from, network, region, bond string
	c := &cobra.Command{
		Use:   "enroll KEYFILE|KEY=SIGNATURE...",
		Short: "Enrol workers under an operator's account, bonding each, in one transaction",
		Long: `Enrols workers. The operator's account bonds each of them and is paid for what they do. A worker
is given by its key file, as "cantus-worker key" makes it, or, where the key is on another
machine, by what "cantus-worker key --enroll CHAIN,OPERATOR" prints there: its public key and the
signature that shows its possession, as KEY=SIGNATURE.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			s, err := g.connect(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			operator, err := s.account(from)
			if err != nil {
				return err
			}
			p, err := s.Params(ctx)
			if err != nil {
				return err
			}
			if len(args) > int(p.MaxWorkersPerTx) {
				return usagef("%d workers, at most %d in one transaction", len(args), p.MaxWorkersPerTx)
			}
			amount := p.MinWorkerBond
			if bond != "" {
				if amount, err = parseAmount("--bond", bond); err != nil {
					return err
				}
			}
			var kinds []work.Name
			for _, k := range all.Kinds() {
				kinds = append(kinds, k.Name())
			}
			var workers []market.Enrollment
			for _, arg := range args {
				key, sig, err := possession(arg, s.net.ChainID, operator.Address.String())
				if err != nil {
					return err
				}
				workers = append(workers, market.Enrollment{Key: key, Signature: sig, Kinds: kinds, Network: network, Region: region, Bond: amount})
			}
			n, err := market.Enroll(ctx, s.ledger, s.View, operator, workers)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d workers enrolled under %s, %d were already\n", n, operator.Address, len(workers)-n)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "operator", "the operator's account")
	f.StringVar(&network, "network", "", "the network they are in, for example an AS number; auditors are drawn from others first")
	f.StringVar(&region, "region", "", "the region they are in")
	f.StringVar(&bond, "bond", "", "bond of each; default: the least that the network takes")
	return c
}

// possession reads a worker's key and its signature over the enrolment, or makes the
// signature where the key file is at hand.
func possession(arg, chainID, operator string) (work.PublicKey, []byte, error) {
	if k, s, ok := strings.Cut(arg, "="); ok {
		key, err := work.ParseKey(k)
		if err != nil {
			return key, nil, usageError{err}
		}
		sig, err := hex.DecodeString(s)
		if err == nil {
			err = key.VerifyEnrollment(chainID, operator, sig)
		}
		if err != nil {
			return key, nil, fmt.Errorf("worker %s: it did not sign to belong to %s on %s: %w", key.Short(), operator, chainID, err)
		}
		return key, sig, nil
	}
	key, err := worker.LoadKey(arg)
	if err != nil {
		return work.PublicKey{}, nil, err
	}
	sig, err := key.SignEnrollment(chainID, operator)
	return key.Public(), sig, err
}
