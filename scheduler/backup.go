package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cantus-network/cantus/work"
)

// A database that comes back from a backup does not know what its gateway promised after
// the backup was made: vouchers above what its accounts say, tasks that were done since.
// If it went on as if nothing had happened it would sign lower vouchers than before and
// lease the same tasks anew. So it is fenced: it takes no receipt in the jobs that it has,
// commits what it has of them and answers for that; and it refuses the jobs that were
// opened before it came back and that it does not know. Jobs opened later are as any.

// fenceRecord says that the database was restored.
type fenceRecord struct {
	_      struct{} `cbor:",toarray"`
	Reason string   // for people
	// Height is the ledger's when the restored gateway first heard of it; 0 until then.
	Height int64
}

const maxFenceReason = 200

// Checkpoint writes a consistent copy of the database to a directory that must not exist:
// all that was acknowledged before the call is in it. It costs little while it is on the
// database's own file system, for files that do not change are linked.
func (s *Scheduler) Checkpoint(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.store.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy the gateway's database to %s: %w", dir, err)
	}
	return nil
}

// Probe tries whether the database can be written durably, by writing again what it has.
func (s *Scheduler) Probe() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	v, err := s.store.get([]byte{spaceMeta})
	if err != nil {
		return err
	}
	b := s.store.batch()
	_ = b.Set([]byte{spaceMeta}, v, nil)
	return s.store.commit(b)
}

// Fence marks the database in dir, which nobody may have open, as one that came back from
// a backup: see the comment at the head of this file. It must be called before the restored
// database is opened.
func Fence(dir, reason string) error {
	quiet := pebbleLog{log: slog.New(slog.DiscardHandler), fatal: func(error) {}}
	db, err := pebble.Open(dir, &pebble.Options{FS: vfs.Default, FormatMajorVersion: pebble.FormatNewest, ErrorIfNotExists: true, Logger: quiet})
	if err != nil {
		return fmt.Errorf("open the restored database %s: %w", dir, err)
	}
	if len(reason) > maxFenceReason {
		reason = reason[:maxFenceReason]
	}
	err = db.Set([]byte{spaceFence}, encode(fenceRecord{Reason: reason}), pebble.Sync)
	if err != nil {
		err = fmt.Errorf("mark the restored database %s: %w", dir, err)
	}
	return errors.Join(err, db.Close())
}

// Owner reads whose database lies in dir, which nobody may have open: the chain and the
// gateway's key.
func Owner(dir string) (chain string, gateway work.PublicKey, err error) {
	quiet := pebbleLog{log: slog.New(slog.DiscardHandler), fatal: func(error) {}}
	db, err := pebble.Open(dir, &pebble.Options{FS: vfs.Default, FormatMajorVersion: pebble.FormatNewest, ErrorIfNotExists: true, ReadOnly: true, Logger: quiet})
	if err != nil {
		return "", gateway, fmt.Errorf("open the gateway's database %s: %w", dir, err)
	}
	defer db.Close()
	v, closer, err := db.Get([]byte{spaceMeta})
	if err != nil {
		return "", gateway, fmt.Errorf("read whose database %s is: %w", dir, err)
	}
	defer closer.Close()
	m, err := decode[metaRecord]("its first record", v)
	return m.Chain, m.Gateway, err
}

// fence does at Open what a restored database needs, before any loop runs. A crash on the
// way does no harm: until the fence has a height all of it is done again.
func (s *Scheduler) fence() error {
	b, err := s.store.get([]byte{spaceFence})
	if b == nil || err != nil {
		return err
	}
	f, err := decode[fenceRecord]("the mark of a restored database", b)
	if err != nil {
		return err
	}
	s.fenced = &f
	if f.Height != 0 {
		return nil
	}
	for _, j := range s.all() {
		if j.rec.EndedAt != 0 {
			continue
		}
		switch j.rec.Phase {
		case PhaseWaiting:
			err = j.enterPhase(PhaseRefused, f.Reason)
		case PhaseRunning, PhaseDraining:
			err = j.closeEpoch(true, f.Reason)
		}
		if err != nil {
			return fmt.Errorf("job %d: %w", j.id, err)
		}
		s.log.Warn("a restored database does not go on with a job: it commits and answers for what it has", "job", uint64(j.id), "why", f.Reason)
	}
	return nil
}

// lost reports why a job that the database does not know can't be taken up: it was opened
// before the database came back, so the gateway may have worked on it already.
func (s *Scheduler) lost(view work.Job) (reason string, err error) {
	f := s.fenced
	if f == nil {
		return "", nil
	}
	if f.Height == 0 {
		known := *f
		known.Height = s.height.Load()
		b := s.store.batch()
		_ = b.Set([]byte{spaceFence}, encode(known), nil)
		if err := s.store.commit(b); err != nil {
			return "", err
		}
		s.fenced = &known
		f = &known
	}
	if view.OpenedHeight > f.Height {
		return "", nil
	}
	return f.Reason, nil
}

// answer does for a job at fault what is still right: it opens what was drawn of the
// epochs that the ledger has from this very database, and carries their verdicts.
func (j *job) answer(ctx context.Context, view work.Job) error {
	var errs []error
	for n := view.Settled + 1; n <= view.Epochs; n++ {
		j.mu.Lock()
		es := j.epochs[n]
		j.mu.Unlock()
		if es == nil {
			break
		}
		ep, err := j.s.cfg.Ledger.Epoch(ctx, j.id, n)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read epoch %d from the ledger: %w", n, err))...)
		}
		if ep.Receipts != es.record.Receipts.root() || ep.Pay != es.record.Pay.root() {
			break
		}
		if err := j.follow(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("%w: epoch %d: %w", errUrgent, n, err))
		}
	}
	return errors.Join(errs...)
}
