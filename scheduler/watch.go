package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/work"
)

const (
	ledgerTime   = 20 * time.Second // for one look at the ledger
	paramsBlocks = 50               // how often the parameters are read again
	defendEvery  = 2 * time.Second
	maxBlockTime = time.Minute
)

// watch follows the chain: it takes up new jobs, passes on what the ledger says of the
// others and answers challenges.
func (s *Scheduler) watch() {
	defer s.wg.Done()
	var at time.Time
	var defended time.Time
	var defending atomic.Bool
	params := int64(0)
	for wait := firstRetry; ; {
		h, err := s.cfg.Ledger.WaitHeight(s.ctx, s.height.Load())
		if s.ctx.Err() != nil {
			return
		}
		if err == nil {
			at = s.tickBlock(h, at)
			ctx, cancel := context.WithTimeout(s.ctx, ledgerTime)
			if s.params.Load() == nil || h-params >= paramsBlocks {
				if err = s.readParams(ctx); err == nil {
					params = h
				}
			}
			err = errors.Join(err, s.refresh(ctx))
			// An answer takes a block, and this must see every one.
			if time.Since(defended) >= defendEvery && defending.CompareAndSwap(false, true) {
				defended = time.Now()
				s.wg.Go(func() {
					defer defending.Store(false)
					ctx, cancel := context.WithTimeout(s.ctx, ledgerTime)
					defer cancel()
					if err := s.defend(ctx); err != nil && s.ctx.Err() == nil {
						s.log.Warn("challenges against this gateway are not answered; trying again", "err", err)
						s.m.troubles.Inc()
					}
				})
			}
			cancel()
		}
		s.mu.Lock()
		if s.ledgerErr = err; err == nil {
			s.heard = s.cfg.Now()
		}
		s.mu.Unlock()
		if err == nil {
			wait = firstRetry
			continue
		}
		if s.ctx.Err() != nil {
			return
		}
		s.log.Warn("the ledger does not answer as it should; trying again", "err", err, "in", wait)
		s.m.troubles.Inc()
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// tickBlock notes a new height and how long blocks take.
func (s *Scheduler) tickBlock(h int64, last time.Time) time.Time {
	now := time.Now()
	was := s.height.Swap(h)
	if n := h - was; was > 0 && n > 0 && !last.IsZero() {
		one := min(now.Sub(last)/time.Duration(n), maxBlockTime)
		old := time.Duration(s.block.Load())
		s.block.Store(int64(old + (one-old)/8))
	}
	s.m.height.Set(float64(h))
	return now
}

// heightTime estimates when a height comes, a bit early.
func (s *Scheduler) heightTime(h int64) time.Time {
	blocks := max(1, h-s.height.Load())
	return s.cfg.Now().Add(time.Duration(blocks) * time.Duration(s.block.Load()) * 9 / 10)
}

func (s *Scheduler) readParams(ctx context.Context) error {
	p, err := s.cfg.Ledger.Params(ctx)
	if err != nil {
		return fmt.Errorf("read the ledger's parameters: %w", err)
	}
	s.params.Store(&p)
	return nil
}

// refresh reads all live jobs of this gateway.
func (s *Scheduler) refresh(ctx context.Context) error {
	live, err := s.cfg.Ledger.Jobs(ctx)
	if err != nil {
		return fmt.Errorf("read this gateway's jobs from the ledger: %w", err)
	}
	seen := make(map[work.JobID]bool, len(live))
	for _, view := range live {
		seen[view.ID] = true
		s.mu.Lock()
		j := s.jobs[view.ID]
		s.mu.Unlock()
		if j == nil {
			if err := s.adopt(view); err != nil {
				return fmt.Errorf("take up job %d: %w", view.ID, err)
			}
			continue
		}
		j.view.Store(&view)
		j.kickNow()
	}
	for _, j := range s.all() {
		if seen[j.id] || j.over() && j.view.Load().Status != "" {
			continue
		}
		if _, err := j.look(ctx); err != nil && !j.over() {
			return fmt.Errorf("job %d: %w", j.id, err)
		}
		j.kickNow()
	}
	return nil
}

// adopt takes up a job that is new to this database.
func (s *Scheduler) adopt(view work.Job) error {
	rec := jobRecord{
		Kind: view.Kind, Spec: view.Spec, Phase: PhaseWaiting, Open: 1,
		Sealed: s.height.Load(), TakenAt: s.cfg.Now().UnixMilli(),
	}
	if view.Epochs > 0 {
		// What it promised its workers is in a database that is not here, and no pay tree
		// can be built without it.
		rec.Phase, rec.Reason = PhaseRefused, "this gateway's records of it are lost: the ledger has epochs that this database has not"
	}
	switch why, err := s.lost(view); {
	case err != nil:
		return err
	case why != "":
		rec.Phase, rec.Reason = PhaseRefused, why
	}
	j := newJob(s, view.ID, rec, view)
	b := s.store.batch()
	j.setRecord(b)
	if err := s.store.commit(b); err != nil {
		return err
	}
	s.mu.Lock()
	s.jobs[view.ID] = j
	s.mu.Unlock()
	s.start(j)
	s.log.Info("a job is taken up", "job", uint64(view.ID), "kind", view.Kind, "buyer", view.Buyer, "affordable", view.Affordable())
	j.kickNow()
	j.notify()
	return nil
}

// sweep does what is due by the clock.
func (s *Scheduler) sweep() {
	defer s.wg.Done()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	s.measure()
	for n := 0; ; n++ {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.expire(s.now())
		s.listen(s.now())
		if n%4 == 0 {
			s.store.checkDisk()
			s.measure()
			if err := s.flushScores(); err != nil {
				s.log.Warn("keep the workers' scores", "err", err)
			}
		}
		if n%240 == 239 {
			s.forget(s.now())
			if err := s.prune(s.cfg.Now()); err != nil {
				s.log.Warn("drop jobs that ended long ago", "err", err)
			}
			if err := s.pruneScores(s.cfg.Now()); err != nil {
				s.log.Warn("drop old scores", "err", err)
			}
		}
	}
}

// prune drops what is kept of jobs that ended long ago.
func (s *Scheduler) prune(now time.Time) error {
	var old []*job
	for _, j := range s.all() {
		j.mu.Lock()
		if end := j.rec.EndedAt; end != 0 && now.Sub(time.UnixMilli(end)) > s.cfg.Retain {
			old = append(old, j)
		}
		j.mu.Unlock()
	}
	for _, j := range old {
		b := s.store.batch()
		for _, space := range jobSpaces {
			prefix := jobKey(space, j.id)
			_ = b.DeleteRange(prefix, after(prefix), nil)
		}
		if err := s.store.commit(b); err != nil {
			return fmt.Errorf("job %d: %w", j.id, err)
		}
		s.mu.Lock()
		delete(s.jobs, j.id)
		s.mu.Unlock()
		s.log.Info("an old job is dropped", "job", uint64(j.id))
	}
	return nil
}
