package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/cmd/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
)

func verifyCommand(g *globals) *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check everything in a dataset against its receipts and the ledger",
		Long: `Checks that every file is the one that the manifest names; that every receipt is signed; that
the receipts give the roots that the ledger settled; that every record follows from the bytes in
the WARC files, and the index and the table from these; that the lineage is signed by the job's
buyer or gateway, and registered. Exits with 1 where anything is wrong.

With --offline the ledger is not asked, and the result says so.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			show := progress.New(os.Stderr, progress.Detect(os.Stderr, g.json))
			var s *session
			if !offline {
				var err error
				if s, err = g.connect(ctx); err != nil {
					return fmt.Errorf("%w; --offline checks everything but the ledger", err)
				}
				defer s.Close()
			}
			report, err := verifyDataset(ctx, s, args[0], show)
			if err != nil {
				return err
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), struct {
					*dataset.Report
					OK bool `json:"ok"`
				}{report, report.OK()})
			} else {
				printReport(cmd.OutOrStdout(), report)
			}
			if err == nil && !report.OK() {
				err = fmt.Errorf("%s does not verify", args[0])
			}
			return err
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "check everything but the ledger")
	return c
}

// verifyDataset verifies a directory against the session's ledger, or offline without one.
func verifyDataset(ctx context.Context, s *session, dir string, show *progress.Printer) (*dataset.Report, error) {
	var view dataset.LedgerView
	if s != nil {
		view = market.DatasetView{View: s.View, ChainID: s.net.ChainID}
	}
	defer show.Clear()
	return dataset.Verify(ctx, dir, view, func(p dataset.Progress) {
		show.Update(fmt.Sprintf("verifying %s: %d of %d", p.Stage, p.Done, p.Total), map[string]any{"event": "verifying", "stage": p.Stage, "done": p.Done, "total": p.Total})
	})
}

func printReport(w io.Writer, r *dataset.Report) { fmt.Fprint(w, r.String()) }

// readIndex reads the dataset.json in dir: the dataset's CID and what it was asked for.
func readIndex(dir string) (cid string, p dataset.Parameters, err error) {
	path := filepath.Join(dir, "dataset.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", p, fmt.Errorf("%s holds no dataset: there is no dataset.json in it", dir)
	}
	if err != nil {
		return "", p, err
	}
	m, err := artifact.DecodeManifest(b)
	if err != nil {
		return "", p, fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(m.Parameters, &p); err != nil {
		return "", p, fmt.Errorf("%s: its parameters: %w", path, err)
	}
	return artifact.ManifestCID(b), p, nil
}
