package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cantus-network/cantus/work"
)

// conclude ends a job that the ledger closed: its epochs are recorded, its workers' pay
// is claimed.
func (j *job) conclude(ctx context.Context, view work.Job) error {
	phase, _ := j.phase()
	if phase == PhaseWaiting || phase == PhaseRunning || phase == PhaseDraining {
		if err := j.seal(ctx, true, "the ledger closed the job"); err != nil {
			return err
		}
	}
	for n := uint64(1); n <= view.Epochs; n++ {
		j.mu.Lock()
		es := j.epochs[n]
		known := es == nil || es.record.Status == work.EpochSettled || es.record.Status == work.EpochVoid
		j.mu.Unlock()
		if known {
			continue
		}
		if err := j.recordEpoch(ctx, n, es); err != nil {
			return err
		}
	}
	if j.s.cfg.ClaimForWorkers {
		if err := j.claimAll(ctx, view.Settled); err != nil {
			return err
		}
		if _, err := j.look(ctx); err != nil {
			return err
		}
	}
	j.trees.drop()
	return j.end(view.Status == work.JobFaulted)
}

// claimAll sends the claims of all workers as of a settled epoch. The ledger pays each
// unit once, so claims that were sent before are found out by asking.
func (j *job) claimAll(ctx context.Context, epoch uint64) error {
	j.mu.Lock()
	done := j.rec.Claimed
	j.mu.Unlock()
	if done || epoch == 0 {
		return nil
	}
	t, err := j.payTree(epoch)
	if errors.Is(err, errNotSealed) {
		return nil // another database's job
	}
	if err != nil {
		return err
	}
	size := 32
	if p := j.s.params.Load(); p != nil && p.MaxWorkersPerTx > 0 {
		size = min(p.MaxWorkersPerTx, 256)
	}
	for first := 0; first < len(t.workers); first += size {
		var part []PayProof
		for i := first; i < min(first+size, len(t.workers)); i++ {
			if t.units[i] == 0 {
				continue
			}
			p, err := t.prove(i)
			if err != nil {
				return err
			}
			part = append(part, p)
		}
		if err := j.claim(ctx, epoch, part); err != nil {
			return err
		}
	}
	j.mu.Lock()
	j.rec.Claimed = true
	j.mu.Unlock()
	j.log.Info("the workers' pay is claimed", "epoch", epoch, "workers", len(t.workers))
	return nil
}

func (j *job) claim(ctx context.Context, epoch uint64, part []PayProof) error {
	if len(part) == 0 {
		return nil
	}
	err := j.s.send("claim", j.s.cfg.Ledger.Claim(ctx, j.id, epoch, part))
	if err == nil || ctx.Err() != nil {
		return err
	}
	// Some were claimed before, by us or by their operators.
	var left []PayProof
	for _, p := range part {
		c, askErr := j.s.cfg.Ledger.Claimed(ctx, j.id, p.Worker)
		if askErr != nil {
			return errors.Join(err, askErr)
		}
		if c.Units < p.Units {
			left = append(left, p)
		}
	}
	if len(left) < len(part) {
		return j.claim(ctx, epoch, left)
	}
	if len(part) > 1 {
		return errors.Join(j.claim(ctx, epoch, part[:len(part)/2]), j.claim(ctx, epoch, part[len(part)/2:]))
	}
	return fmt.Errorf("claim the pay of worker %s: %w", part[0].Worker.Short(), err)
}

// maxAnswers is how many challenges are answered at a time.
const maxAnswers = 32

// defend answers the challenges against this gateway.
func (s *Scheduler) defend(ctx context.Context) error {
	challenges, err := s.cfg.Ledger.Challenges(ctx)
	if err != nil {
		return fmt.Errorf("read the challenges against this gateway: %w", err)
	}
	// At once, so that the answers can share transactions: each has its deadline.
	errs := make([]error, len(challenges))
	var all sync.WaitGroup
	slots := make(chan struct{}, maxAnswers)
	for i, c := range challenges {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := s.answer(ctx, c); err != nil {
				errs[i] = fmt.Errorf("answer challenge %d of worker %s on job %d: %w", c.ID, c.Worker.Short(), c.Job, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *Scheduler) answer(ctx context.Context, c Challenge) error {
	j := s.job(c.Job)
	if j == nil {
		return errors.New("this database does not have the job")
	}
	view := j.view.Load()
	epoch := view.Epochs
	if view.Status == work.JobFaulted {
		epoch = view.Settled // what came later is void
	} else if epoch < c.Epoch {
		j.mu.Lock()
		open, any := j.rec.Open, j.inOpen > 0
		j.mu.Unlock()
		if open == c.Epoch && any {
			return j.sealFor(c)
		}
		return nil // it is sealed, and its commitment is on its way
	}
	t, err := j.payTree(epoch)
	if err != nil {
		return err
	}
	for i, w := range t.workers {
		if w != c.Worker {
			continue
		}
		p, err := t.prove(i)
		if err != nil {
			return err
		}
		if p.Units < c.Units {
			return fmt.Errorf("its voucher promises %d units, epoch %d pays %d", c.Units, epoch, p.Units)
		}
		s.log.Info("answering a challenge", "challenge", c.ID, "job", uint64(c.Job), "worker", c.Worker.Short())
		return s.send("answer", s.cfg.Ledger.AnswerChallenge(ctx, c.ID, epoch, p))
	}
	return errors.New("the worker has no pay in this job")
}

// sealFor makes the job's loop seal early: somebody asks for what the open epoch holds.
func (j *job) sealFor(c Challenge) error {
	j.mu.Lock()
	j.rec.Sealed = 0 // long ago, so that the epoch is due
	j.mu.Unlock()
	j.kickNow()
	return nil
}
