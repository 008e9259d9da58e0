package scheduler

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cantus-network/cantus/work"
)

// migrate makes a database of an earlier version one of this: all of it in one batch, so a
// crash leaves the one or the other. There is no way back.
func (s *store) migrate(m metaRecord, now time.Time) error {
	if m.Version != 1 {
		return fmt.Errorf("database %s is of version %d, this program writes version %d: use the program that made it, or a newer one", s.dir, m.Version, metaVersion)
	}
	b := s.batch()
	next, err := s.migrateTasks(b, now)
	if err == nil {
		err = s.migrateEpochs(b)
	}
	if err != nil {
		_ = b.Close()
		return fmt.Errorf("bring database %s from version 1 to %d: %w", s.dir, metaVersion, err)
	}
	for id, n := range next {
		_ = b.Set(jobKey(spaceNumber, id), binary.BigEndian.AppendUint64(nil, n), nil)
	}
	m.Version = metaVersion
	_ = b.Set([]byte{spaceMeta}, encode(m), nil)
	if err := s.commit(b); err != nil {
		return err
	}
	s.log.Info("the gateway's database was brought to this program's version", "dir", s.dir, "version", metaVersion, "jobs", len(next))
	return nil
}

type bundleRecord1 struct {
	_        struct{} `cbor:",toarray"`
	Pace     int64
	Worker   work.PublicKey
	Deadline int64 // Unix milliseconds
	Tasks    []taskRecord1
}

type taskRecord1 struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Attempt uint32
	Tries   uint32
	Leased  bool
	Body    []byte
}

// migrateTasks rewrites the bundles that are out and works out what number each job's next
// task gets. In version 1 a task's number was the plan's own.
func (s *store) migrateTasks(b *pebble.Batch, now time.Time) (next map[work.JobID]uint64, err error) {
	next = map[work.JobID]uint64{}
	err = s.scan([]byte{spaceJob}, after([]byte{spaceJob}), func(k, _ []byte) (bool, error) {
		id := work.JobID(lastNumber(k))
		last, err := s.lastDone(id)
		next[id] = last + 1
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return next, s.scan([]byte{spaceBundle}, after([]byte{spaceBundle}), func(k, v []byte) (bool, error) {
		old, err := decode[bundleRecord1]("a bundle", v)
		if err != nil {
			return false, err
		}
		if len(k) != 17 {
			return false, fmt.Errorf("%w: a bundle's key of %d bytes", ErrCorrupt, len(k))
		}
		id := work.JobID(binary.BigEndian.Uint64(k[1:]))
		r := bundleRecord{
			Pace: old.Pace, Worker: old.Worker, Granted: now.UnixMilli(),
			Left: int64(max(0, time.UnixMilli(old.Deadline).Sub(now))), Tasks: make([]taskRecord, len(old.Tasks)),
		}
		for i, t := range old.Tasks {
			r.Tasks[i] = taskRecord{Seq: t.Seq, Plan: t.Seq, Attempt: t.Attempt, Tries: t.Tries, Leased: t.Leased, Body: t.Body}
			next[id] = max(next[id], t.Seq+1)
		}
		return true, b.Set(k, encode(r), nil)
	})
}

// lastDone is the highest number of a job's finished tasks.
func (s *store) lastDone(id work.JobID) (uint64, error) {
	prefix := jobKey(spaceDone, id)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, fmt.Errorf("read the gateway's database: %w", err)
	}
	var last uint64
	if iter.Last() {
		last = lastNumber(iter.Key())
	}
	return last, iter.Close()
}

type epochRecord1 struct {
	_         struct{} `cbor:",toarray"`
	Receipts  rootRecord
	Pay       rootRecord
	Status    work.EpochStatus
	Commit    int64
	Settled   int64
	Drawn     uint32
	Upheld    uint32
	False     uint32
	Undecided uint32
	Unaudited uint32
	Label     work.Label
}

func (s *store) migrateEpochs(b *pebble.Batch) error {
	return s.scan([]byte{spaceEpoch}, after([]byte{spaceEpoch}), func(k, v []byte) (bool, error) {
		old, err := decode[epochRecord1]("an epoch", v)
		if err != nil {
			return false, err
		}
		return true, b.Set(k, encode(epochRecord{
			Receipts: old.Receipts, Pay: old.Pay, Status: old.Status, Commit: old.Commit, Settled: old.Settled,
			Drawn: old.Drawn, Upheld: old.Upheld, False: old.False, Undecided: old.Undecided, Unaudited: old.Unaudited, Label: old.Label,
		}), nil)
	})
}
