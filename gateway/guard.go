package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// guard is the ledger as the scheduler sees it: a job that the gateway does not take up
// yet, because its buyer has too many or because the gateway is about to stop, is not
// shown. What the scheduler once took up is shown always.
type guard struct {
	scheduler.Ledger
	limiter *limiter
	perUser int
	ready   chan struct{} // closed once scheduler is set
	known   func(work.JobID) bool

	mu       sync.Mutex
	draining bool
	held     map[work.JobID]string // why a job waits
}

func newGuard(l scheduler.Ledger, lim *limiter) *guard {
	return &guard{Ledger: l, limiter: lim, perUser: lim.limits.Jobs, ready: make(chan struct{}), held: map[work.JobID]string{}}
}

// serve lets the guard ask the scheduler what it knows, which opens before it can be asked.
func (g *guard) serve(s *scheduler.Scheduler) {
	g.known = func(id work.JobID) bool {
		_, err := s.Progress(id)
		return !errors.Is(err, scheduler.ErrUnknownJob)
	}
	close(g.ready)
}

// drain lets no new job in from now on.
func (g *guard) drain() {
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
}

// Jobs lists the live jobs that the scheduler has or may take up. The oldest of a buyer's
// come first, so that which ones are worked on does not change until one of them ends.
func (g *guard) Jobs(ctx context.Context) ([]work.Job, error) {
	select {
	case <-g.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	all, err := g.Ledger.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b work.Job) int { return cmp.Compare(a.ID, b.ID) })
	g.mu.Lock()
	defer g.mu.Unlock()
	held := map[work.JobID]string{}
	open := map[string]int{}
	shown := all[:0]
	for _, j := range all {
		switch {
		case g.known(j.ID):
		case g.draining:
			held[j.ID] = "the gateway is about to stop and takes up no job"
			continue
		case g.perUser >= 0 && j.Status == work.JobOpen && open[j.Buyer] >= g.perUser:
			held[j.ID] = fmt.Sprintf("its buyer has %d open jobs at this gateway, as many as it works on at a time", open[j.Buyer])
			if _, before := g.held[j.ID]; !before {
				g.limiter.refused.WithLabelValues(string(classJob)).Inc()
			}
			continue
		}
		if j.Status == work.JobOpen {
			open[j.Buyer]++
		}
		shown = append(shown, j)
	}
	g.held = held
	return shown, nil
}

// heldJob answers for a job that waits at the door; nil for any other.
func (g *guard) heldJob(id work.JobID) error {
	g.mu.Lock()
	why, ok := g.held[id]
	g.mu.Unlock()
	if !ok {
		return nil
	}
	err := failf(http.StatusTooManyRequests, "job_waits", "job %d waits: %s", id, why).(*failure)
	err.retry = 10 * time.Second
	return err
}
