package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/work"
	workercli "github.com/cantus-network/cantus/worker/cli"
)

func workerCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "worker", Short: "Workers: they do the tasks, and hold no funds"}
	c.AddCommand(workerList(g), workerEnroll(g), workerUnbond(g))
	// The rest is what the small program cantus-worker has too.
	c.AddCommand(workercli.Commands(workercli.Program{
		Version: g.version, Names: all.Names(),
		Kinds: func(m workercli.Machine) ([]work.Kind, func(), error) { return all.Kinds(all.Options(m)) },
	})...)
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
