package crawl

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// What an Own can refuse to ask for.
var (
	ErrNotOpen = errors.New("no such live job is open at this gateway")
	ErrURL     = errors.New("not the one spelling of a web address")
	ErrDenied  = errors.New("robots.txt does not allow it")
	ErrSilent  = errors.New("nobody got a response")
)

// Own is the door for a gateway itself to its live jobs. Nobody waits at it: what is asked
// comes to tasks when robots.txt and the host's pace allow it, and what came of them is kept
// with the job's state, so that it is there whatever happens in between. What was asked and
// is no task yet is not kept: who wants it asks again.
type Own struct{ kind *Kind }

// Own opens the door.
func (k *Kind) Own() *Own { return &Own{k} }

// Answered is a page that was fetched with some response, and the worker's word for it.
type Answered struct {
	_       struct{} `cbor:",toarray"`
	Receipt []byte   // work.SignedReceipt
	Task    []byte   // Fetch
	Result  []byte   // Record
}

// maxAnswered bounds an encoded Answered.
const maxAnswered = work.MaxTask + work.MaxResult + 4<<10

// maxAsks bounds what waits in one job: its gateway asks for a few pages at a time.
const maxAsks = 1000

// Ask has a page fetched once. It does not wait for it: Answered tells what came of it.
//
// ErrDenied means that the host's robots.txt, which a worker has fetched, does not allow it;
// ErrSilent that there was no response to several tries. Both hold for a while, so that who
// asks for no other page had better Finish the job.
func (o *Own) Ask(job work.JobID, url string) error {
	u, err := weburl.Parse(url)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrURL, err)
	}
	if u.String() != url {
		return fmt.Errorf("%w: %.80q is spelled %.80q", ErrURL, url, u)
	}
	l := &o.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.plans[job]
	switch {
	case p == nil || p.rec.Finished:
		return fmt.Errorf("job %d: %w", job, ErrNotOpen)
	case len(p.asks) >= maxAsks:
		return fmt.Errorf("job %d: %d pages wait already, at most %d: ask again when some of them are there", job, len(p.asks), maxAsks)
	}
	if err := l.refusal(p, u, p.env.Now()); err != nil {
		return err
	}
	p.asks = append(p.asks, u)
	p.wake()
	return nil
}

// Answered tells what was asked of a job by this door: the pages that were fetched with some
// response, the oldest first, and how many are waiting or with a worker.
func (o *Own) Answered(job work.JobID) (done []Answered, pending int, err error) {
	l := &o.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.plans[job]
	if p == nil {
		return nil, 0, fmt.Errorf("job %d: %w", job, ErrNotOpen)
	}
	pending = len(p.asks)
	for _, t := range p.out { // order-free: a sum
		if t.Mode == ModePage {
			pending++
		}
	}
	return slices.Clone(p.kept), pending, nil
}

// Finish says that nothing more will be asked: the job ends as soon as what is under way
// has come to its end.
func (o *Own) Finish(job work.JobID) error {
	l := &o.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.plans[job]
	if p == nil {
		return fmt.Errorf("job %d: %w", job, ErrNotOpen)
	}
	p.rec.Finished, p.asks, p.dirty = true, nil, true
	p.wake()
	return nil
}

// Content is what a fetched page says: its body as it was kept, or its text, which is empty
// where the page has none. Both are checked against the record; ErrResult means that the
// worker's word contradicts what it stored.
func Content(ctx context.Context, store artifact.Store, task, result []byte, text bool) ([]byte, error) {
	spec := NewLiveSpec()
	spec.MaxBytes = MaxBytes // whatever the job's is: the worker was held to it
	f, rec, err := Answer(spec, task, result)
	if err != nil {
		return nil, err
	}
	if f.Mode != ModePage || rec.Status == 0 {
		return nil, fmt.Errorf("%w: %s: no page that was answered", ErrResult, f.URL)
	}
	blob, err := store.Get(ctx, rec.WARC, int64(rec.Members[0])+int64(rec.Members[1])+int64(rec.Members[2]))
	if err != nil {
		return nil, fmt.Errorf("read the exchange with %s: %w", f.URL, err)
	}
	ex, page, err := Recheck(spec, f, rec, blob)
	if err != nil {
		return nil, err
	}
	if text {
		return []byte(page), nil
	}
	return ex.Body, nil
}
