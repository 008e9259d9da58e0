package desk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer"
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
	id := speaker.ID(r.Speaker)
	v, err := d.voice(ctx, id)
	if err != nil {
		return err
	}
	if err := d.keepSpec(ctx, v.Speaker(), r.Terms); err != nil {
		return err
	}
	ws, pending, asks, err := d.witnesses(ctx, s, r)
	if err != nil {
		return err
	}
	chosen, want := choose(r.Policy, ws)
	if len(chosen) > 0 {
		return d.deliver(ctx, v, r, chosen)
	}
	if !asks {
		return d.giveUp(ctx, r)
	}
	for range want - pending {
		if err := d.ask(v, r); err != nil {
			return err
		}
	}
	return nil
}

// voice is that of a speaker, of which the gateway must have the model.
func (d *Desk) voice(ctx context.Context, id speaker.ID) (*voice.Voice, error) {
	d.mu.Lock()
	v := d.voices[id]
	d.mu.Unlock()
	if v != nil {
		return v, nil
	}
	sp, err := d.cfg.Ledger.Speaker(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read speaker %s: %w", id, err)
	}
	if v, err = d.cfg.Models.Speaks(sp); err != nil {
		return nil, fmt.Errorf("speak as %s: %w", id, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.voices) >= maxVoices {
		clear(d.voices)
	}
	d.voices[id] = v
	return v, nil
}

// ask has a worker answer.
func (d *Desk) ask(v *voice.Voice, r types.Request) error {
	prompt, err := v.Prompt(r.Prompt)
	if err != nil {
		return fmt.Errorf("spell the prompt: %w", err)
	}
	t := v.Speaker().Task(prompt, r.Id, r.Sampling.Speakers())
	if err := d.cfg.Models.Ask(work.JobID(r.Job), *t); err != nil {
		return err
	}
	d.m.asked.Inc()
	d.cfg.Log.Debug("a worker is asked", "request", r.Id, "job", r.Job, "tokens", len(prompt))
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
	st, err := d.standing(ctx, job, e, r.Index, worker)
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

// answered is what was asked in a job and what came of it; open says whether more can be.
func (d *Desk) answered(id work.JobID) (done []infer.Answered, pending int, open bool, err error) {
	done, pending, err = d.cfg.Models.Answered(id)
	if errors.Is(err, infer.ErrNotOpen) {
		return nil, 0, false, nil
	}
	return done, pending, err == nil, err
}
