package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/crawl"
)

func demoCommand(g *globals) *cobra.Command {
	var workers int
	var keep string
	c := &cobra.Command{
		Use:   "demo [URL...]",
		Short: "Show the main jobs: a network, a crawl, an answer, their audit, payment and proof",
		Long: `Starts a one-machine network in a new home, crawls this project's documentation, which the
network's gateway serves, or the URLs given; waits until the crawl is audited and settled; writes
the dataset; verifies it against the ledger; and shows where the money went. Then it asks the demo
model what a word means, waits until the answer is audited and paid, and computes it again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := keep
			if dir == "" {
				tmp, err := os.MkdirTemp("", "cantus-demo-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(tmp)
				dir = tmp
			} else if err := emptyDir(dir); err != nil {
				return err
			}
			return demo(cmd, g, dir, workers, args)
		},
	}
	c.Flags().IntVar(&workers, "workers", 4, "worker processes")
	c.Flags().StringVar(&keep, "keep", "", "keep the home and the dataset in this directory")
	return c
}

func demo(cmd *cobra.Command, g *globals, dir string, workers int, seeds []string) (err error) {
	ctx := cmd.Context()
	own := *g
	own.homeFlag, own.grpc, own.gateway = filepath.Join(dir, "home"), "", ""
	log, err := own.logger(os.Stderr)
	if err != nil {
		return err
	}
	show := progress.New(os.Stderr, progress.Detect(os.Stderr, g.json))
	began := time.Now()
	if err := importDemo(ctx, home.Dir(own.homeFlag)); err != nil {
		return err
	}
	n, err := localnet.Start(ctx, localnet.Options{
		Home: home.Dir(own.homeFlag), Workers: workers, Log: log, Version: g.version,
		Progress: func(s string) { show.Step(s, map[string]string{"event": s}) },
	})
	if err != nil {
		return err
	}
	defer func() {
		// The demo ends when all of it has stopped in order.
		if cerr := n.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("stop the network: %w", cerr))
		}
	}()
	if err := own.offerUsualPages(ctx, n.Info()); err != nil {
		return err
	}
	up := time.Since(began)
	if len(seeds) == 0 {
		seeds = []string{n.Info().Gateway + "/docs/"}
	}
	j := &crawlJob{
		g: &own, seeds: seeds, show: show, started: time.Now(),
		crawlFlags: crawlFlags{
			out: filepath.Join(dir, "dataset"), maxPages: 500, maxDepth: 16, maxBytes: crawl.DefaultBytes,
			scope: string(crawl.ScopePrefix), rate: crawl.DefaultRate / 1000.0, sitemaps: false,
			budget: "5note", price: "0.001note", audit: 5, epoch: 25, from: localnet.AccountBuyer, license: "Apache-2.0", workers: workers,
		},
	}
	r, err := j.run(ctx)
	if err != nil {
		return err
	}
	s, err := own.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	report, err := verifyDataset(ctx, s, j.out, show)
	if err != nil {
		return err
	}
	told, err := s.demoAnswer(ctx, dir, show)
	if err != nil {
		return err
	}
	books, err := s.Books(ctx)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if g.json {
		if err := printJSON(out, map[string]any{"crawl": r, "verify": report, "answer": told, "books_ok": books.Ok, "start_seconds": up.Seconds()}); err != nil {
			return err
		}
	} else {
		if err := r.print(out); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nnetwork up in %.1f s; from order to dataset %.1f s\n", up.Seconds(), r.Seconds)
		printReport(out, report)
		if err := told.print(out); err != nil {
			return err
		}
	}
	switch {
	case !report.OK():
		return errors.New("the dataset does not verify")
	case !r.Account.Balanced:
		return errors.New("the job's money does not add up")
	case told.bad():
		return errors.New("the answer does not verify")
	case !told.Account.Balanced:
		return errors.New("the tab's money does not add up")
	case !books.Ok:
		return errors.New("the ledger's books do not balance")
	case r.Pages == 0:
		return errors.New("no page was crawled")
	}
	return nil
}
