package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/ledger/chain"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func parseJobID(s string) (work.JobID, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("job %q: want its number, from 1", s)
	}
	return work.JobID(id), nil
}

// withJob makes a command's body of f, on the job that its argument names.
func (g *globals) withJob(f func(cmd *cobra.Command, s *session, id work.JobID) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		id, err := parseJobID(args[0])
		if err != nil {
			return err
		}
		return g.withSession(func(cmd *cobra.Command, s *session, _ []string) error { return f(cmd, s, id) })(cmd, args)
	}
}

type jobRow struct {
	ID       uint64 `json:"id"`
	Kind     string `json:"kind"`
	Status   string `json:"status"`
	Buyer    string `json:"buyer"`
	Gateway  string `json:"gateway"`
	Escrow   string `json:"escrow"`
	Units    uint64 `json:"units"`
	Epochs   uint64 `json:"epochs"`
	Settled  uint64 `json:"epochs_settled"`
	Refunded string `json:"refunded"`
}

func jobCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "job", Short: "Jobs: what buyers ordered and where the money went"}
	var mine string
	var live bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the ledger's jobs",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			buyer := ""
			if mine != "" {
				a, err := s.account(mine)
				if err != nil {
					return err
				}
				buyer = a.Address.String()
			}
			jobs, err := s.JobRecords(cmd.Context(), buyer, "", live)
			if err != nil {
				return err
			}
			rows := make([]jobRow, 0, len(jobs))
			out := [][]string{{"JOB", "KIND", "STATUS", "ESCROW", "UNITS", "EPOCHS", "SETTLED", "REFUNDED"}}
			for _, j := range jobs {
				plain, err := market.PlainJob(j)
				if err != nil {
					return err
				}
				r := jobRow{
					ID: j.Id, Kind: j.Kind, Status: string(plain.Status), Buyer: j.Buyer, Gateway: j.Gateway,
					Escrow: j.Escrow.String(), Units: j.Units, Epochs: j.Epochs, Settled: j.EpochsSettled, Refunded: j.Refunded.String(),
				}
				rows = append(rows, r)
				out = append(out, []string{fmt.Sprint(r.ID), r.Kind, r.Status, chain.FormatAmount(j.Escrow), fmt.Sprint(r.Units), fmt.Sprint(r.Epochs), fmt.Sprint(r.Settled), chain.FormatAmount(j.Refunded)})
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			return table(cmd.OutOrStdout(), out)
		}),
	}
	list.Flags().StringVar(&mine, "buyer", "", "only this account's")
	list.Flags().BoolVar(&live, "live", false, "only open and closing ones")
	show := &cobra.Command{
		Use:   "show JOB",
		Short: "Show a job: epochs, audits, and its money to the last anote",
		Args:  cobra.ExactArgs(1),
		RunE: g.withJob(func(cmd *cobra.Command, s *session, id work.JobID) error {
			a, err := s.AccountOf(cmd.Context(), id)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), a)
			}
			return printAccount(cmd.OutOrStdout(), a)
		}),
	}
	var from string
	closeJob := &cobra.Command{
		Use:   "close JOB",
		Short: "Stop a job of yours: what was done is still checked and paid, the rest is refunded",
		Args:  cobra.ExactArgs(1),
		RunE: g.withJob(func(cmd *cobra.Command, s *session, id work.JobID) error {
			a, err := s.account(from)
			if err != nil {
				return err
			}
			height, hash, err := s.send(cmd.Context(), a.Name, &worktypes.MsgCloseJob{Buyer: a.Address.String(), Job: uint64(id)})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"job": id, "height": height, "tx": hash})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "job %d closes since block %d; `cantus job show %d` tells when the rest is refunded\n", id, height, id)
			return nil
		}),
	}
	closeJob.Flags().StringVar(&from, "from", "buyer", "the job's buyer")
	c.AddCommand(list, show, closeJob)
	return c
}
