package scheduler

import (
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cantus-network/cantus/work"
)

// A worker's score says how far its word was good here. Two sums fade by half every
// scoreHalf: good, one for each receipt that was taken, and bad, the faults below. Then
//
//	score = (20 + min(good, 1000)) / (20 + min(good, 1000) + bad)
//
// which is 1 for a newcomer and for whoever has no faults, and never 0. The score scales
// how many bundles the worker may hold, and below lowScore it shares what workers on
// probation may hold together. Good work is counted up to a limit, so that a long
// record buys little leave to cheat; faults fade whether or not the worker is heard of.
const (
	scoreHalf  = 6 * time.Hour
	scorePrior = 20
	scoreGood  = 1000
	lowScore   = 0.5

	faultFailure = 0.25 // a task that it gave back, having tried
	faultLost    = 2    // a bundle that it did not report in time
	faultRefused = 10   // a receipt that does not hold
	faultVerdict = 10   // a verdict that it owed and did not give
	faultPlant   = 200  // a plant that it found right
	faultFalse   = 500  // a receipt of its that auditors found false

	flushEvery  = 4         // sweeps
	forgetScore = 1.0 / 256 // a record with less in it is dropped
)

// score is a worker's record as of a time. The worker's mutex guards it.
type score struct {
	good, bad float64
	at        time.Time
	dirty     bool // not on the disk yet
}

// fade brings the sums to now. A clock that went back changes nothing.
func (c *score) fade(now time.Time) {
	if d := now.Sub(c.at); d > 0 {
		keep := math.Exp2(-float64(d) / float64(scoreHalf))
		c.good, c.bad, c.at = c.good*keep, c.bad*keep, now
	}
}

func (c *score) did(good, bad float64, now time.Time) {
	c.fade(now)
	c.good += good
	c.bad += bad
	c.dirty = true
}

func (c score) value(now time.Time) float64 {
	c.fade(now)
	g := scorePrior + math.Min(c.good, scoreGood)
	return g / (g + c.bad)
}

// fault counts a fault of w's.
func (s *Scheduler) fault(w *worker, weight float64) {
	now := s.now()
	w.mu.Lock()
	w.score.did(0, weight, now)
	w.mu.Unlock()
}

// loadScore reads a worker's score; what can't be read is a newcomer's.
func (s *Scheduler) loadScore(key work.PublicKey) score {
	fresh := score{at: s.now()}
	b, err := s.store.get(scoreKey(key))
	if err != nil || b == nil {
		return fresh
	}
	r, err := decode[scoreRecord]("a score", b)
	if err != nil || !(r.Good >= 0) || !(r.Bad >= 0) || math.IsInf(r.Good+r.Bad, 0) {
		s.log.Warn("a worker's score can't be read; it begins anew", "worker", key.Short(), "err", err)
		return fresh
	}
	c := score{good: r.Good, bad: r.Bad, at: s.clock.steady(time.UnixMilli(r.At))}
	if c.at.After(fresh.at) {
		c.at = fresh.at // the clock was set back
	}
	return c
}

// flushScores writes the scores that changed. It does not wait for the disk: what a crash
// takes is a second's worth.
func (s *Scheduler) flushScores() error {
	s.mu.Lock()
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	b := s.store.batch()
	defer b.Close()
	for _, w := range workers {
		w.mu.Lock()
		if c := &w.score; c.dirty {
			c.dirty = false
			_ = b.Set(scoreKey(w.key), encode(scoreRecord{Good: c.good, Bad: c.bad, At: s.clock.wall(c.at).UnixMilli()}), nil)
		}
		w.mu.Unlock()
	}
	if b.Empty() {
		return nil
	}
	if err := s.store.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("write the workers' scores: %w", err)
	}
	return nil
}

// pruneScores drops scores that have faded.
func (s *Scheduler) pruneScores(now time.Time) error {
	b := s.store.batch()
	defer b.Close()
	prefix := []byte{spaceScore}
	err := s.store.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		r, err := decode[scoreRecord]("a score", v)
		c := score{good: r.Good, bad: r.Bad, at: time.UnixMilli(r.At)}
		if c.fade(now); err != nil || c.good+c.bad < forgetScore {
			_ = b.Delete(k, nil)
		}
		return b.Count() < 10_000, nil
	})
	if err != nil || b.Empty() {
		return err
	}
	if err := s.store.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("drop old scores: %w", err)
	}
	return nil
}

// judge takes what an epoch's audits say of workers and auditors into their scores. Plants
// are no work of their decoys', and whoever found one right did not look.
func (j *job) judge(ep *work.Epoch, plants map[uint64]plantRecord) {
	for _, x := range ep.Samples {
		var plant bool
		if r, err := work.DecodeReceipt(x.Receipt); err == nil {
			if _, plant = plants[r.Receipt.Seq]; !plant && x.Status == work.SampleFalse {
				j.s.fault(j.s.worker(r.Receipt.Worker), faultFalse)
			}
		}
		switch x.Status {
		case work.SampleUpheld, work.SampleFalse, work.SampleUndecided:
		default:
			continue
		}
		for _, slot := range x.Slots {
			switch {
			case !slot.Committed || slot.Outcome == 0:
				j.s.fault(j.s.worker(slot.Auditor), faultVerdict)
			case plant && slot.Outcome == work.Pass:
				j.s.fault(j.s.worker(slot.Auditor), faultPlant)
			}
		}
	}
}
