package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// crawlFlags are what the user says of a crawl.
type crawlFlags struct {
	out      string
	maxPages uint64
	maxDepth uint32
	maxBytes uint64
	scope    string
	rate     float64
	sitemaps bool
	budget   string
	price    string
	audit    float64
	epoch    int64
	expiry   int64
	from     string
	license  string
	workers  int
	resume   uint64
}

// crawlJob is a crawl on its way.
type crawlJob struct {
	crawlFlags
	g       *globals
	seeds   []string
	show    *progress.Printer
	session *session
	started time.Time
}

const crawlKind = work.Name("crawl/1")

func crawlCommand(g *globals) *cobra.Command {
	var f crawlFlags
	c := &cobra.Command{
		Use:   "crawl URL... --out DIR",
		Short: "Crawl the web into a dataset that is checked, paid for and verifiable",
		Long: `Opens a job with escrow, has the network's workers fetch the pages within the scope,
waits until the results are audited and settled, and writes them to DIR: WARC files, a CDXJ
index, a Parquet table, the signed receipts, and a signed statement of where it comes from.

The network that runs from the home directory is used. If none does, one is started for this
job alone and stopped after it. Ctrl-C stops waiting: the job goes on where a network runs,
and "cantus crawl --resume JOB --out DIR" picks it up; no page is fetched twice.`,
		Example: `  cantus crawl https://example.org/ --out example --max-pages 100
  cantus crawl https://example.org/docs/ --scope prefix --out docs --budget 2note
  cantus crawl --resume 3 --out docs`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.resume == 0 && len(args) == 0:
				return usagef("give at least one URL to begin with, or --resume JOB")
			case f.resume != 0 && len(args) > 0:
				return usagef("--resume takes up a job as it was ordered: give no URLs")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			j := &crawlJob{
				crawlFlags: f, g: g, seeds: args, started: time.Now(),
				show: progress.New(os.Stderr, progress.Detect(os.Stderr, g.json)),
			}
			r, err := j.run(cmd.Context())
			if err != nil {
				return err
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && r.Pages == 0 {
				// What was tried is in the dataset, with its receipts; but nobody wanted that.
				err = fmt.Errorf("no page could be fetched (%s): check the addresses and --scope", r.Figures)
			}
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.out, "out", "", "directory for the dataset; must be new or empty")
	fl.Uint64Var(&f.maxPages, "max-pages", 0, "stop after this many pages; 0: as many as the budget pays for")
	fl.Uint32Var(&f.maxDepth, "max-depth", 16, "follow links this far from the first pages")
	fl.Uint64Var(&f.maxBytes, "max-bytes", crawl.DefaultBytes, "cut a page's body off after this many bytes")
	fl.StringVar(&f.scope, "scope", string(crawl.ScopeHost), "which links belong to the crawl: host, domain or prefix")
	fl.Float64Var(&f.rate, "rate", crawl.DefaultRate/1000.0, "most requests a second to one host; robots.txt may ask for fewer")
	fl.BoolVar(&f.sitemaps, "sitemaps", true, "follow the sitemaps that robots.txt names")
	fl.StringVar(&f.budget, "budget", "5note", "the most that the job may cost, held in escrow")
	fl.StringVar(&f.price, "price", "0.001note", "what to pay for one unit: one HTTP exchange")
	fl.Float64Var(&f.audit, "audit", 2, "per cent of the receipts to audit")
	fl.Int64Var(&f.epoch, "epoch", 50, "commit the receipts every so many blocks")
	fl.Int64Var(&f.expiry, "expiry", 0, "close the job after so many blocks; 0: the network's longest")
	fl.StringVar(&f.from, "from", localnet.AccountBuyer, "account that pays and will own the dataset")
	fl.StringVar(&f.license, "license", "NOASSERTION", "SPDX expression of the terms that the dataset is under")
	fl.IntVar(&f.workers, "workers", 4, "workers of the network that is started when none runs")
	fl.Uint64Var(&f.resume, "resume", 0, "pick up this job")
	_ = c.MarkFlagRequired("out")
	return c
}

// spec makes the job's spec, checked.
func (j *crawlJob) spec() ([]byte, error) {
	s, err := crawl.NewSpec(j.seeds...)
	if err != nil {
		return nil, usageError{err}
	}
	if j.rate <= 0 || j.rate > crawl.MaxRate/1000 {
		return nil, usagef("--rate %g: want above 0 and up to %d requests a second", j.rate, crawl.MaxRate/1000)
	}
	s.Scope, s.MaxPages, s.MaxDepth, s.MaxBytes = crawl.Scope(j.scope), j.maxPages, j.maxDepth, j.maxBytes
	s.Rate, s.Sitemaps = max(1, uint32(j.rate*1000)), j.sitemaps
	if err := s.Check(); err != nil {
		return nil, usageError{err}
	}
	b, err := crawl.EncodeSpec(s)
	if err != nil {
		return nil, err
	}
	if len(b) > work.MaxSpec {
		return nil, usagef("the job's description takes %d bytes, at most %d: begin with fewer URLs", len(b), work.MaxSpec)
	}
	return b, nil
}

// run takes the crawl from its flags to a dataset. Everything that can be refused without
// a network is refused before one is started.
func (j *crawlJob) run(ctx context.Context) (crawlResult, error) {
	var r crawlResult
	var spec []byte
	var budget, price math.Int
	var err error
	out, err := filepath.Abs(j.out)
	if err != nil {
		return r, err
	}
	j.out = out
	if j.resume == 0 {
		if spec, err = j.spec(); err != nil {
			return r, err
		}
		if budget, err = parseAmount("--budget", j.budget); err != nil {
			return r, err
		}
		if price, err = parseAmount("--price", j.price); err != nil {
			return r, err
		}
		if budget.LT(price) {
			return r, usagef("--budget %s does not pay for one unit at --price %s", j.budget, j.price)
		}
		if j.audit <= 0 || j.audit > 100 {
			return r, usagef("--audit %g: want a percentage above 0 and up to 100", j.audit)
		}
		if err := emptyDir(j.out); err != nil {
			return r, err
		}
	}
	closeNet, err := j.open(ctx)
	if err != nil {
		return r, err
	}
	defer closeNet()

	gw, err := j.session.gatewayAPI()
	if err != nil {
		return r, err
	}
	var rec home.Job
	if j.resume != 0 {
		if rec, err = j.g.home().ReadJob(j.resume); err != nil {
			return r, err
		}
		j.from, j.license = rec.Account, rec.License
	} else {
		id, err := j.session.order(ctx, gw, order{
			kind: crawlKind, spec: spec, escrow: budget, price: price, audit: j.audit, epoch: j.epoch, expiry: j.expiry, from: j.from, flag: "--budget",
		})
		if err != nil {
			return r, err
		}
		rec = home.Job{ID: id, Out: j.out, Spec: spec, License: j.license, Account: j.from}
		if err := j.g.home().WriteJob(rec); err != nil {
			return r, fmt.Errorf("job %d is open, but could not be noted: %w", id, err)
		}
		j.show.Step(fmt.Sprintf("job %d is open", id), map[string]any{"event": "opened", "job": id})
	}
	if err := j.follow(ctx, gw, work.JobID(rec.ID)); err != nil {
		if ctx.Err() != nil {
			return r, fmt.Errorf("%w: `cantus crawl --resume %d --out %s` finishes job %d", errInterrupted, rec.ID, j.out, rec.ID)
		}
		return r, err
	}
	return j.collect(ctx, gw, rec)
}

// open reaches the network of the home, or starts one.
func (j *crawlJob) open(ctx context.Context) (closeNet func(), err error) {
	if s, err := j.g.connect(ctx); err == nil {
		if err := answers(ctx, s); err == nil {
			j.session = s
			return s.Close, nil
		}
		s.Close()
		if j.g.gateway != "" || j.g.grpc != "" {
			return nil, fmt.Errorf("the gateway at %s does not answer", s.net.Gateway)
		}
	} else if j.g.grpc != "" {
		return nil, err
	}
	j.show.Step("no network answers; starting one for this job", map[string]any{"event": "starting"})
	log, err := j.g.logger(os.Stderr)
	if err != nil {
		return nil, err
	}
	n, err := localnet.Start(ctx, localnet.Options{Home: j.g.home(), Workers: j.workers, Log: log, Version: j.g.version})
	if err != nil {
		return nil, err
	}
	s, err := j.g.connectTo(ctx, n.Info())
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	j.session = s
	return func() {
		s.Close()
		if err := n.Close(); err != nil {
			log.Error("stop the network", "err", err)
		}
	}, nil
}

// answers reports whether the session's gateway does.
func answers(ctx context.Context, s *session) error {
	gw, err := s.gatewayAPI()
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	info, err := gw.Info(short)
	if err != nil {
		return err
	}
	if info.Chain != s.net.ChainID {
		return fmt.Errorf("the gateway at %s serves the network %s, and the ledger is of %s", s.net.Gateway, info.Chain, s.net.ChainID)
	}
	return nil
}

// lostTime is how long a network that stopped answering may take to come back before a
// crawl gives up waiting for it. The job itself does not need the one who waits.
const lostTime = 60 * time.Second

// follow shows the job until every epoch is final.
func (j *crawlJob) follow(ctx context.Context, gw *api.Client, id work.JobID) error {
	defer j.show.Clear()
	params, err := j.session.Params(ctx)
	if err != nil {
		return err
	}
	for heard := time.Now(); ; {
		record, err := j.session.JobRecord(ctx, id)
		switch {
		case err == nil && market.Final(record.Status):
			return nil
		case err == nil:
			heard = time.Now()
		case ctx.Err() != nil:
			return ctx.Err()
		case market.NotFound(err) || time.Since(heard) > lostTime:
			return fmt.Errorf("%w; `cantus crawl --resume %d --out %s` goes on once the network answers", err, id, j.out)
		default:
			j.show.Update(fmt.Sprintf("job %d: waiting for the network to come back (%v)", id, err), map[string]any{"event": "waiting", "error": err.Error()})
		}
		if err == nil {
			j.progress(ctx, gw, id, params.ChallengeBlocks)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// progress shows how the job gets on at its gateway, if that answers.
func (j *crawlJob) progress(ctx context.Context, gw *api.Client, id work.JobID, challenge int64) {
	p, err := gw.Job(ctx, id)
	switch {
	case err == nil:
		j.show.Update(progressLine(p, challenge), map[string]any{"event": "progress", "progress": p})
	case !api.NotFound(err) && ctx.Err() == nil: // not taken up yet otherwise
		j.show.Update(fmt.Sprintf("job %d: the gateway does not answer (%v)", id, err), map[string]any{"event": "waiting", "error": err.Error()})
	}
}

// emptyDir refuses an output directory that holds something.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("--out %s is not empty: choose another directory, or empty it", dir)
	}
	return nil
}
