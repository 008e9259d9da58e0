package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
)

type statusView struct {
	home.Network
	Height   int64    `json:"height"`
	Enrolled int      `json:"workers_enrolled"`
	Gateways int      `json:"gateways"`
	Jobs     int      `json:"jobs_live"`
	BooksOK  bool     `json:"books_ok"`
	Broken   []string `json:"books_broken,omitempty"`
	Burned   string   `json:"burned"`
}

func statusCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the network: its endpoints, height, workers, jobs and whether its books balance",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) (err error) {
			ctx := cmd.Context()
			v := statusView{Network: s.net}
			if v.Height, err = s.ledger.Height(ctx); err != nil {
				return err
			}
			ws, err := s.WorkerRecords(ctx, "", "")
			if err != nil {
				return err
			}
			gs, err := s.GatewayRecords(ctx)
			if err != nil {
				return err
			}
			jobs, err := s.JobRecords(ctx, "", "", true)
			if err != nil {
				return err
			}
			books, err := s.Books(ctx)
			if err != nil {
				return err
			}
			v.Enrolled, v.Gateways, v.Jobs = len(ws), len(gs), len(jobs)
			v.BooksOK, v.Broken, v.Burned = books.Ok, books.Broken, books.Burned.String()
			if g.json {
				return printJSON(cmd.OutOrStdout(), v)
			}
			state := "balance"
			if !books.Ok {
				state = fmt.Sprintf("DO NOT BALANCE: %v", books.Broken)
			}
			return table(cmd.OutOrStdout(), [][]string{
				{"network", fmt.Sprintf("%s (EVM chain %d)", v.ChainID, v.EVMChainID)},
				{"height", fmt.Sprint(v.Height)},
				{"gateway", v.Gateway},
				{"rpc", v.RPC}, {"grpc", v.GRPC}, {"rest", v.REST}, {"json-rpc", v.JSONRPC},
				{"workers", fmt.Sprintf("%d enrolled", v.Enrolled)},
				{"gateways", fmt.Sprint(v.Gateways)},
				{"live jobs", fmt.Sprint(v.Jobs)},
				{"books", state},
				{"burned", notes(v.Burned)},
			})
		}),
	}
}
