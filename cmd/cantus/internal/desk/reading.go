package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// reading answers requests for pages of the web, in one form. Workers see a page at different
// times, so that their results differ though the page does not.
type reading struct {
	*Desk
	form types.Form
}

var _ trade = reading{}

// liveSpec is that of every job that answers requests for pages.
func liveSpec() ([]byte, error) {
	b, err := crawl.EncodeSpec(crawl.NewLiveSpec())
	if err != nil {
		return nil, fmt.Errorf("encode the spec of live pages: %w", err)
	}
	return b, nil
}

func (reading) spec(context.Context, types.Request) ([]byte, error) { return liveSpec() }

// ask gives a page up that is not to be had: the job ends at once, and what it did not use
// goes back to whoever paid.
func (d reading) ask(_ context.Context, r types.Request) (bool, error) {
	job, url := work.JobID(r.Job), string(r.Prompt)
	err := d.cfg.Pages.Ask(job, url)
	switch {
	case errors.Is(err, crawl.ErrNotOpen):
		return false, nil // it comes to its end
	case errors.Is(err, crawl.ErrDenied), errors.Is(err, crawl.ErrSilent), errors.Is(err, crawl.ErrURL):
		d.cfg.Log.Info("a contract's page is not to be had", "request", r.Id, "job", r.Job, "why", err)
		if err := d.cfg.Pages.Finish(job); err != nil && !errors.Is(err, crawl.ErrNotOpen) {
			return false, fmt.Errorf("end the job: %w", err)
		}
		return false, nil
	case err != nil:
		return false, err
	}
	d.cfg.Log.Debug("a worker is asked", "request", r.Id, "job", r.Job, "url", url)
	return true, nil
}

func (d reading) answered(id work.JobID) (done []answered, pending int, open bool, err error) {
	list, pending, err := d.cfg.Pages.Answered(id)
	if errors.Is(err, crawl.ErrNotOpen) {
		return nil, 0, false, nil
	}
	for _, a := range list {
		done = append(done, answered{a.Receipt, a.Task, a.Result})
	}
	return done, pending, err == nil, err
}

// about: the robots.txt that was read before the page is nobody's answer.
func (reading) about(r types.Request, task []byte) bool {
	f, err := page.DecodeFetch(task)
	return err == nil && f == page.Fetch{Mode: page.ModePage, URL: string(r.Prompt)}
}

// key is empty of a result that contradicts what its worker stored: the ledger would refuse
// it, and audits find it out.
func (d reading) key(ctx context.Context, r types.Request, task, result []byte) (string, error) {
	rec, err := page.DecodeRecord(result)
	if err != nil || d.form.Check(rec, string(r.Prompt)) != nil {
		return "", nil
	}
	_, err = crawl.Content(ctx, d.cfg.Artifacts, task, result, d.form == types.Text)
	if errors.Is(err, crawl.ErrResult) || errors.Is(err, artifact.ErrNotFound) || errors.Is(err, artifact.ErrTooLarge) {
		d.cfg.Log.Warn("a worker's page is not as it says", "request", r.Id, "job", r.Job, "err", err)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return d.form.Key(rec), nil
}

// evidence holds the content where the ledger wants it or is to keep it: a longer one would
// only cost its bytes.
func (d reading) evidence(ctx context.Context, r types.Request, ws []*witness) (e types.Evidence, err error) {
	show := false
	for i, w := range ws {
		rec, err := page.DecodeRecord(w.result)
		if err != nil {
			return e, err
		}
		show = show || d.form.MustShow(rec)
		if i > 0 {
			e.Results = append(e.Results, w.result)
		}
	}
	content, err := crawl.Content(ctx, d.cfg.Artifacts, ws[0].task, ws[0].result, d.form == types.Text)
	if err != nil {
		return e, err
	}
	if show || len(content) <= int(r.Terms.MaxAnswerBytes) {
		e.Spelling = slices.Clone(content)
	}
	return e, nil
}
