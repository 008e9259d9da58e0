package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// Errors of a Ledger.
var (
	ErrRefused = errors.New("the ledger refuses")
	ErrAbsent  = errors.New("the ledger has no such record")
)

// step does what there is to do for a request now.
func (d *Desk) step(ctx context.Context, s *state, r types.Request) error {
	if r.Status == types.Status_STATUS_ANSWERED {
		return d.judge(ctx, r)
	}
	t, err := d.trade(r)
	if err != nil {
		return err
	}
	if err := d.keepSpec(ctx, t, r); err != nil {
		return err
	}
	ws, pending, asks, err := d.witnesses(ctx, t, s, r)
	if err != nil {
		return err
	}
	chosen, want := choose(r.Policy, ws)
	if len(chosen) > 0 {
		return d.deliver(ctx, t, r, chosen)
	}
	if !asks {
		return d.giveUp(ctx, r)
	}
	for range want - pending {
		asked, err := t.ask(ctx, r)
		if err != nil || !asked {
			return err
		}
		d.m.asked.Inc()
	}
	return nil
}

// deliver brings an answer to the ledger, on the word of these witnesses.
func (d *Desk) deliver(ctx context.Context, t trade, r types.Request, ws []*witness) error {
	b, err := d.pack(ctx, t, r, ws)
	if err != nil {
		return fmt.Errorf("make the evidence: %w", err)
	}
	began := time.Now()
	if err := d.cfg.Ledger.Deliver(ctx, r.Id, b); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	d.m.ended.WithLabelValues("delivered").Inc()
	d.m.evidence.Observe(float64(len(b)))
	d.cfg.Log.Info("a contract is answered", "request", r.Id, "job", r.Job, "policy", r.Policy, "evidence_bytes", len(b), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// judge ends a request that was answered at once, as soon as it is known whether the answer
// was true.
func (d *Desk) judge(ctx context.Context, r types.Request) error {
	job := work.JobID(r.Job)
	e, err := d.cfg.Ledger.Epoch(ctx, job, r.Epoch)
	if err != nil {
		return err
	}
	worker, err := work.KeyFromBytes(r.Worker)
	if err != nil {
		return fmt.Errorf("worker of request %d: %w", r.Id, err)
	}
	st, err := d.standing(ctx, r, e, r.Index, worker)
	if err != nil {
		return err
	}
	if st != lost && e.Status != worktypes.EpochStatus_EPOCH_STATUS_SETTLED {
		return nil
	}
	return d.conclude(ctx, r)
}

// giveUp ends a request whose job is over without an answer. The ledger waits for a while,
// since somebody else may have one.
func (d *Desk) giveUp(ctx context.Context, r types.Request) error {
	j, err := d.cfg.Ledger.Job(ctx, work.JobID(r.Job))
	if err != nil || j.Live() {
		return err
	}
	return d.conclude(ctx, r)
}

func (d *Desk) conclude(ctx context.Context, r types.Request) error {
	if err := d.cfg.Ledger.Conclude(ctx, r.Id); err != nil {
		return fmt.Errorf("conclude: %w", err)
	}
	d.m.ended.WithLabelValues("concluded").Inc()
	d.cfg.Log.Info("a contract's request is concluded", "request", r.Id, "job", r.Job)
	return nil
}

// working reports whether a job may still be asked something, and whether it was taken up.
func (d *Desk) working(id work.JobID) (bool, error) {
	p, err := d.cfg.Scheduler.Progress(id)
	if errors.Is(err, scheduler.ErrUnknownJob) {
		return false, nil
	}
	return p.Phase == scheduler.PhaseRunning, err
}
