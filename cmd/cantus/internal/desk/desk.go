// Package desk answers contracts: it runs beside a gateway, watches the ledger for requests
// that took the gateway's offers, has the gateway's workers answer them, and brings the
// answers to the ledger with the evidence that it wants.
//
//	desk.go      Desk, Run: every open request, every block
//	request.go   one request's next step
//	trade.go     what models and pages differ in
//	speaking.go  requests to models, by kind infer/1
//	reading.go   requests for pages, by kind crawl/1
//	witness.go   what workers signed for a request, and how the ledger sees it
//	offer.go     Offer, OfferPages: terms, and the specs that stand behind them
//	ledger.go    Ledger on a node
//	metrics.go   figures
//
// # What is kept
//
// Nothing. Which requests are open is on the ledger, their jobs, receipts and what is under
// way are the scheduler's, answers are with their jobs' state and in the artifact store. A
// desk that starts looks at these and goes on, whatever another one did before it.
package desk

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// Ledger is what the desk needs of the chain.
type Ledger interface {
	// WaitHeight returns the newest height once it is above the given one.
	WaitHeight(ctx context.Context, above int64) (int64, error)
	// Open lists the gateway's requests that are not over.
	Open(ctx context.Context) ([]types.Request, error)
	Speaker(ctx context.Context, id speaker.ID) (*speaker.Speaker, error)
	// Job and Epoch are records of the market; ErrAbsent where there is no such one.
	Job(ctx context.Context, id work.JobID) (worktypes.Job, error)
	Epoch(ctx context.Context, job work.JobID, number uint64) (worktypes.Epoch, error)
	// Operator is who owns a worker; ErrAbsent where nobody does.
	Operator(ctx context.Context, worker work.PublicKey) (string, error)
	Forfeited(ctx context.Context, job work.JobID, worker work.PublicKey) (bool, error)
	// Deliver and Conclude return once that is in a block; ErrRefused where the ledger says
	// no.
	Deliver(ctx context.Context, request uint64, evidence []byte) error
	Conclude(ctx context.Context, request uint64) error
}

// Models is the gateway's inference: infer.Own.
type Models interface {
	Speaks(s *speaker.Speaker) (*voice.Voice, error)
	Ask(job work.JobID, t claim.Task) error
	Answered(job work.JobID) (done []infer.Answered, pending int, err error)
}

// Pages is the gateway's crawler: crawl.Own.
type Pages interface {
	Ask(job work.JobID, url string) error
	Finish(job work.JobID) error
	Answered(job work.JobID) (done []crawl.Answered, pending int, err error)
}

// Scheduler is the gateway's.
type Scheduler interface {
	Progress(id work.JobID) (scheduler.Progress, error)
	Receipts(ctx context.Context, id work.JobID, from scheduler.Cursor, f func(scheduler.SealedReceipt) bool) (scheduler.Cursor, bool, error)
}

var (
	_ Models    = (*infer.Own)(nil)
	_ Pages     = (*crawl.Own)(nil)
	_ Scheduler = (*scheduler.Scheduler)(nil)
)

// Config says whose desk it is.
type Config struct {
	Cell      string         // of the gateway; empty for none
	Key       work.PublicKey // the gateway's, which its offers' tabs name
	Ledger    Ledger
	Scheduler Scheduler
	Models    Models // nil where the gateway does not sell inference
	Pages     Pages  // nil where it does not crawl
	Artifacts artifact.Store
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Desk answers the requests of one gateway.
type Desk struct {
	cfg Config
	m   *metrics

	mu     sync.Mutex
	cases  map[uint64]*state // of requests that are not over
	voices map[speaker.ID]*voice.Voice
	specs  map[artifact.Digest]bool // that the store has
}

// state is what is known of a request besides what can be read.
type state struct {
	busy   bool
	stored map[artifact.Digest]bool   // results in the artifact store
	keys   map[artifact.Digest]string // of results
	lost   map[artifact.Digest]bool   // results that are nowhere
	failed int                        // steps in a row
	why    string                     // the last of them failed
	retry  int64                      // not before this height
}

// How much at a time.
const (
	maxBusy   = 32
	maxVoices = 64
	pause     = time.Second // after the ledger could not be read
	lastRetry = 6           // 2^6 blocks
)

// New makes a desk. Run runs it.
func New(cfg Config) (*Desk, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, cases: map[uint64]*state{}, voices: map[speaker.ID]*voice.Voice{}, specs: map[artifact.Digest]bool{}}
	var err error
	d.m, err = newMetrics(cfg.Metrics)
	return d, err
}

// Run looks at every open request once a block until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, maxBusy)
	for height := int64(0); ctx.Err() == nil; {
		next, err := d.cfg.Ledger.WaitHeight(ctx, height)
		var open []types.Request
		if err == nil {
			height = next
			open, err = d.cfg.Ledger.Open(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				d.cfg.Log.Warn("contracts' requests can't be read; it is tried again", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		for _, r := range d.due(open, height) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			all.Go(func() {
				d.look(ctx, r, height)
				<-slots
			})
		}
	}
}

// due are the requests to look at now. States of those that are over are forgotten.
func (d *Desk) due(open []types.Request, height int64) (list []types.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	is := make(map[uint64]bool, len(open))
	for _, r := range open {
		if r.Terms.Cell != d.cfg.Cell {
			continue
		}
		is[r.Id] = true
		s := d.cases[r.Id]
		if s == nil {
			s = &state{stored: map[artifact.Digest]bool{}, keys: map[artifact.Digest]string{}, lost: map[artifact.Digest]bool{}}
			d.cases[r.Id] = s
			d.cfg.Log.Info("a contract asks", "request", r.Id, "job", r.Job, "policy", r.Policy, "payer", r.Payer)
		}
		if !s.busy && height >= s.retry {
			s.busy = true
			list = append(list, r)
		}
	}
	for id, s := range d.cases { // order-free: each is looked at alone
		if !is[id] && !s.busy {
			delete(d.cases, id)
		}
	}
	d.m.open.Set(float64(len(is)))
	return list
}

// look takes a request one step on.
func (d *Desk) look(ctx context.Context, r types.Request, height int64) {
	d.mu.Lock()
	s := d.cases[r.Id]
	d.mu.Unlock()
	err := d.step(ctx, s, r)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.busy = false
	if err == nil || ctx.Err() != nil {
		s.failed, s.why, s.retry = 0, "", 0
		return
	}
	s.failed = min(s.failed+1, lastRetry)
	s.retry = height + 1<<s.failed
	d.m.trouble.Inc()
	level := slog.LevelDebug // it is still the same
	if err.Error() != s.why {
		s.why, level = err.Error(), slog.LevelWarn
	}
	d.cfg.Log.Log(ctx, level, "a contract's request does not get on; it is tried again", "request", r.Id, "job", r.Job, "err", err, "not_before", s.retry)
}
