package worker

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// doubtRecord is a receipt that this auditor found false, and what it takes to prove that on
// the ledger: the bodies, which are in the spool. Who found it false before others do has to
// rely on nobody to keep them, least on the gateway.
type doubtRecord struct {
	_      struct{} `cbor:",toarray"`
	Job    work.JobID
	Epoch  uint64
	Sample uint32
	Kind   work.Name
	Task   artifact.Digest
	Result artifact.Digest
	At     int64 // Unix seconds
}

func (d doubtRecord) id() sampleID { return sampleID{d.Job, d.Epoch, d.Sample} }

// openDoubts lists the receipts that may have to be proved false.
func (s *state) openDoubts() []doubtRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.doubts))
}

// hasDoubt reports whether there is a doubt about a sample.
func (s *state) hasDoubt(id sampleID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.doubts[id]
	return ok
}

// judged notes a verdict durably, and keeps what may have to be proved. Nobody learns of a
// verdict before: a commitment whose salt is lost can't be revealed, and a receipt that was
// found false and whose result is gone can't be disputed.
func (l *link) judged(log *slog.Logger, kind work.Kind, v verdictRecord, task, result []byte) error {
	var doubts []doubtRecord
	if _, ok := kind.(work.Disputer); ok && v.Outcome == work.Fail {
		switch {
		case l.w.advocate == nil:
			log.Warn("found a receipt false that may have to be proved so on the ledger, which this worker doesn't look at (--ledger)")
		case len(result) > witness.MaxDisputed:
			log.Error("found a receipt false whose result is too large to be disputed", "bytes", len(result), "at_most", witness.MaxDisputed)
		default:
			d := doubtRecord{Job: v.Job, Epoch: v.Epoch, Sample: v.Sample, Kind: kind.Name(), At: v.At}
			if err := l.keep(&d, task, result); err != nil {
				return err
			}
			doubts = append(doubts, d)
		}
	}
	if err := l.durable.addVerdict(v, doubts...); err != nil {
		l.w.fail(err)
		return err
	}
	for _, d := range doubts {
		if !l.durable.hasDoubt(d.id()) { // another verdict came first
			l.spool.drop(d.Task, d.Result)
		}
	}
	return nil
}

// keep puts a doubt's bodies on the disk.
func (l *link) keep(d *doubtRecord, task, result []byte) (err error) {
	if d.Task, err = l.spool.put(task); err != nil {
		return fmt.Errorf("keep a task that was done wrongly: %w", err)
	}
	if d.Result, err = l.spool.put(result); err == nil {
		err = l.spool.sync([]artifact.Digest{d.Task, d.Result})
	}
	if err != nil {
		return fmt.Errorf("keep a result that was found false: %w", err)
	}
	return nil
}

// dropDoubt forgets a doubt once nothing is left to be proved by this worker.
func (l *link) dropDoubt(d doubtRecord) {
	if !l.durable.hasDoubt(d.id()) {
		return
	}
	if err := l.durable.note(recordDropped, decidedRecord{Job: d.Job, Epoch: d.Epoch, Sample: d.Sample}); err != nil {
		l.w.fail(err)
		return
	}
	l.spool.drop(d.Task, d.Result)
}
