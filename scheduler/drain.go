package scheduler

import (
	"context"
	"fmt"
	"time"
)

// Seal closes the open epoch of every job before its time and returns once the ledger has
// all that is sealed. It is for a gateway that is about to stop and leases nothing any
// more: what comes in afterwards enters a next epoch. Where ctx ends first nothing is lost,
// and the next Open goes on.
func (s *Scheduler) Seal(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.sealing.Store(true)
	defer s.sealing.Store(false)
	for {
		open := 0
		for _, j := range s.all() {
			if !j.handedIn() {
				open++
				j.kickNow()
			}
		}
		if open == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%d jobs have receipts that the ledger does not have yet: %w", open, ctx.Err())
		}
	}
}

// handedIn reports whether the ledger has all that the job can give it now.
func (j *job) handedIn() bool {
	epochs := j.view.Load().Epochs
	j.mu.Lock()
	defer j.mu.Unlock()
	switch j.rec.Phase {
	case PhaseRunning, PhaseDraining, PhaseSettling:
		return j.rec.EndedAt != 0 || j.inOpen == 0 && epochs+1 >= j.rec.Open
	}
	return true
}
