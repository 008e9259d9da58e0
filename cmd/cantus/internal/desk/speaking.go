package desk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// speaking answers requests to models, whose workers all give the same result.
type speaking struct{ *Desk }

var _ trade = speaking{}

func (d speaking) spec(ctx context.Context, r types.Request) ([]byte, error) {
	v, err := d.voice(ctx, r)
	if err != nil {
		return nil, err
	}
	return specOf(v.Speaker(), r.Terms, d.cfg.Key)
}

// voice is that of a speaker, of which the gateway must have the model.
func (d speaking) voice(ctx context.Context, r types.Request) (*voice.Voice, error) {
	id := speaker.ID(r.Speaker)
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

func (d speaking) ask(ctx context.Context, r types.Request) (bool, error) {
	v, err := d.voice(ctx, r)
	if err != nil {
		return false, err
	}
	prompt, err := v.Prompt(r.Prompt)
	if err != nil {
		return false, fmt.Errorf("spell the prompt: %w", err)
	}
	t := v.Speaker().Task(prompt, r.Id, r.Sampling.Speakers())
	if err := d.cfg.Models.Ask(work.JobID(r.Job), *t); err != nil {
		return false, err
	}
	d.cfg.Log.Debug("a worker is asked", "request", r.Id, "job", r.Job, "tokens", len(prompt))
	return true, nil
}

func (d speaking) answered(id work.JobID) (done []answered, pending int, open bool, err error) {
	list, pending, err := d.cfg.Models.Answered(id)
	if errors.Is(err, infer.ErrNotOpen) {
		return nil, 0, false, nil
	}
	for _, a := range list {
		done = append(done, answered{a.Receipt, a.Task, a.Result})
	}
	return done, pending, err == nil, err
}

// about: a request's job has no other tasks.
func (speaking) about(types.Request, []byte) bool { return true }

func (speaking) key(_ context.Context, _ types.Request, _, result []byte) (string, error) {
	if res, err := claim.DecodeResult(result); err != nil || res.Finish == claim.Cancelled {
		return "", nil // only the beginning of an answer
	}
	return artifact.Sum(result).String(), nil
}

func (d speaking) evidence(ctx context.Context, r types.Request, ws []*witness) (e types.Evidence, err error) {
	v, err := d.voice(ctx, r)
	if err != nil {
		return e, err
	}
	task, err := claim.DecodeTask(ws[0].task)
	if err != nil {
		return e, err
	}
	result, err := claim.DecodeResult(ws[0].result)
	if err != nil {
		return e, err
	}
	e.Spelling, err = v.Spelling(task.Prompt, result.Output)
	return e, err
}
