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
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
)

func verifyCommand(g *globals) *cobra.Command {
	var offline bool
	v := &answerVerifier{g: g}
	var models string
	c := &cobra.Command{
		Use:   "verify DIR|ANSWER.json",
		Short: "Check a dataset, or an answer, against its receipts and the ledger",
		Long: `A dataset: checks that every file is the one that the manifest names; that every receipt is signed;
that the receipts give the roots that the ledger settled; that every record follows from the bytes
in the WARC files, and the index and the table from these; that the lineage is signed by the job's
buyer or gateway, and registered.

An answer ("cantus infer --out", or any reply of the routes in OpenAI's shape): checks that the
worker signed for this very task and result at this price; that the text is what the tokens say,
if the model is at hand; that the ledger knows the worker and the tab, has committed to the
receipt, and what its auditors found. --replay computes the answer again, to the bit.

Exits with 1 where anything is wrong, and with 3 where a replay was wanted and the model is not
at hand. With --offline the ledger is not asked, and the result says so.`,
		Example: `  cantus verify docs
  cantus verify answer.json --replay
  cantus verify answer.json --replay --pull --offline --gateway https://gw.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := os.Stat(args[0])
			file := err == nil && info.Mode().IsRegular()
			s, err := g.verifySession(cmd.Context(), offline)
			switch {
			case err == nil && s != nil:
				defer s.Close()
			case file && errors.Is(err, home.ErrNoNetwork):
				v.why = "no ledger is known here; --grpc names one" // the rest can be checked
			case err != nil:
				return fmt.Errorf("%w; --offline checks everything but the ledger", err)
			default:
				v.why = "as --offline says"
			}
			if !file {
				if v.replay || v.pull {
					return usagef("%s: --replay and --pull are for answers, which are files", args[0])
				}
				return g.verifyDirectory(cmd, s, args[0])
			}
			v.s, v.errs = s, cmd.ErrOrStderr()
			if models == "" {
				models = g.home().Models()
			}
			v.models = modeldir.At(models)
			return v.verifyAnswers(cmd, args[0])
		},
	}
	c.Flags().BoolVar(&v.replay, "replay", false, "compute an answer again with its model, and compare it to the bit")
	c.Flags().BoolVar(&v.pull, "pull", false, "fetch the model from the gateway if it is not here")
	c.Flags().IntVar(&v.threads, "threads", 0, "threads to replay with (default all processors)")
	c.Flags().StringVar(&models, "models", "", "`directory` of models (default models in --home)")
	c.Flags().BoolVar(&offline, "offline", false, "check everything but the ledger")
	return c
}

// verifySession reaches the ledger, unless it is not to be asked.
func (g *globals) verifySession(ctx context.Context, offline bool) (*session, error) {
	if offline {
		return nil, nil
	}
	return g.connect(ctx)
}

// verifyDirectory is the command's body for a dataset.
func (g *globals) verifyDirectory(cmd *cobra.Command, s *session, dir string) error {
	show := progress.New(os.Stderr, progress.Detect(os.Stderr, g.json))
	report, err := verifyDataset(cmd.Context(), s, dir, show)
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
		err = fmt.Errorf("%s does not verify", dir)
	}
	return err
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
