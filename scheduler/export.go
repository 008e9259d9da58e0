package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/work"
)

// ErrNotSealed is returned for an epoch that is not sealed, or not there.
var ErrNotSealed = errNotSealed

// ErrNoPay is returned for a worker that a pay tree does not hold.
var ErrNoPay = errors.New("the worker has no pay in this job")

// Cursor is a place among a job's sealed receipts: before receipt Index of an epoch. The
// zero Cursor is the beginning.
type Cursor struct {
	Epoch uint64
	Index uint64
}

// SealedReceipt is a receipt in its place in an epoch's tree.
type SealedReceipt struct {
	Epoch   uint64
	Index   uint64
	Receipt []byte // canonical encoding of a work.SignedReceipt: the tree's leaf
	Body    []byte // the task's
	Plant   bool   // the gateway knew it to be wrong; the ledger has its proof
}

// Receipts calls f for each sealed receipt from a place on, in order, until f returns
// false. It returns the place behind the last one, and whether more will come. The slices
// are valid during the call only. Of an epoch with a plants commitment there is none until
// the plants were shown: before, nobody may hold its receipts side by side.
func (s *Scheduler) Receipts(ctx context.Context, id work.JobID, from Cursor, f func(SealedReceipt) bool) (next Cursor, more bool, err error) {
	if err := s.enter(); err != nil {
		return from, false, err
	}
	defer s.leave()
	j := s.job(id)
	if j == nil {
		return from, false, fmt.Errorf("job %d: %w", id, ErrUnknownJob)
	}
	if from.Epoch == 0 {
		from = Cursor{Epoch: 1}
	}
	next = from
	for ; j.public(next.Epoch); next = (Cursor{Epoch: next.Epoch + 1}) {
		ended, err := j.export(ctx, &next, f)
		if err != nil || ended {
			return next, true, err
		}
	}
	j.mu.Lock()
	more = j.rec.Open > next.Epoch && j.rec.EndedAt == 0 || j.rec.Phase == PhaseWaiting || j.rec.Phase == PhaseRunning || j.rec.Phase == PhaseDraining
	j.mu.Unlock()
	return next, more, nil
}

// export goes on in one epoch. It reports whether f wanted no more.
func (j *job) export(ctx context.Context, at *Cursor, f func(SealedReceipt) bool) (ended bool, err error) {
	t, err := j.receiptTree(at.Epoch)
	if err != nil {
		return false, err
	}
	if at.Index >= uint64(len(t.seqs)) {
		return false, nil
	}
	plants, err := j.plantsShown(at.Epoch)
	if err != nil {
		return false, err
	}
	// The tree has two parts, each in the order of the keys.
	end := after(numberKey(spaceReceipt, j.id, at.Epoch))
	for _, upTo := range []uint64{t.first, uint64(len(t.seqs))} {
		if at.Index >= upTo {
			continue
		}
		err = j.s.store.scan(receiptKey(j.id, at.Epoch, t.seqs[at.Index]), end, func(k, v []byte) (bool, error) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			if lastNumber(k) != t.seqs[at.Index] {
				return true, nil // of the other part
			}
			receipt, body, err := splitReceipt(v)
			if err != nil {
				return false, err
			}
			if !f(SealedReceipt{at.Epoch, at.Index, receipt, body, plants.Has(at.Index)}) {
				ended = true
				return false, nil
			}
			at.Index++
			return at.Index < upTo, nil
		})
		if err != nil || ended {
			return ended, err
		}
	}
	return false, nil
}

// public reports whether an epoch is sealed and hides nothing any more.
func (j *job) public(n uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	es := j.epochs[n]
	return es != nil && (es.shown() || j.rec.EndedAt != 0)
}

// Plants returns what a sealed epoch's plants commitment hid, once the ledger was shown it.
// It is the zero value where there is no commitment, or it was not shown.
func (s *Scheduler) Plants(id work.JobID, epoch uint64) (work.Plants, error) {
	if err := s.enter(); err != nil {
		return work.Plants{}, err
	}
	defer s.leave()
	j := s.job(id)
	if j == nil {
		return work.Plants{}, fmt.Errorf("job %d: %w", id, ErrUnknownJob)
	}
	if !j.sealed(epoch) {
		return work.Plants{}, fmt.Errorf("job %d, epoch %d: %w", id, epoch, ErrNotSealed)
	}
	return j.plantsShown(epoch)
}

func (j *job) plantsShown(n uint64) (work.Plants, error) {
	j.mu.Lock()
	es := j.epochs[n]
	shown := es != nil && !es.record.Plants.IsZero() && es.shown()
	j.mu.Unlock()
	if !shown {
		return work.Plants{}, nil
	}
	r, _, err := j.readPlants(n)
	if err != nil {
		return work.Plants{}, err
	}
	return j.plantsOf(n, r), nil
}

// Pay is a place in an epoch's pay tree.
type Pay struct {
	Epoch uint64
	Root  work.Root
	PayProof
}

// PayOf proves a worker's cumulative units as of an epoch; 0 means the newest that the
// ledger settled, or the newest sealed one where none is.
func (s *Scheduler) PayOf(id work.JobID, epoch uint64, w work.PublicKey) (Pay, error) {
	t, n, err := s.pay(id, epoch)
	if err != nil {
		return Pay{}, err
	}
	defer s.leave()
	i, ok := slices.BinarySearchFunc(t.workers, w, work.PublicKey.Compare)
	if !ok {
		return Pay{}, fmt.Errorf("job %d, epoch %d, worker %s: %w", id, n, w.Short(), ErrNoPay)
	}
	p, err := t.prove(i)
	return Pay{Epoch: n, Root: t.tree.Root(), PayProof: p}, err
}

// PayList calls f for each worker in an epoch's pay tree, sorted by key, from one on.
func (s *Scheduler) PayList(id work.JobID, epoch uint64, from work.PublicKey, f func(w work.PublicKey, units uint64) bool) (work.Root, error) {
	t, _, err := s.pay(id, epoch)
	if err != nil {
		return work.Root{}, err
	}
	defer s.leave()
	i, _ := slices.BinarySearchFunc(t.workers, from, work.PublicKey.Compare)
	for ; i < len(t.workers); i++ {
		if !f(t.workers[i], t.units[i]) {
			break
		}
	}
	return t.tree.Root(), nil
}

// pay finds an epoch's pay tree. Where it returns no error the caller calls leave.
func (s *Scheduler) pay(id work.JobID, epoch uint64) (_ *payTree, n uint64, err error) {
	if err := s.enter(); err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			s.leave()
		}
	}()
	j := s.job(id)
	if j == nil {
		return nil, 0, fmt.Errorf("job %d: %w", id, ErrUnknownJob)
	}
	if epoch == 0 {
		_, open := j.phase()
		if epoch = j.view.Load().Settled; epoch == 0 {
			epoch = open - 1
		}
	}
	t, err := j.payTree(epoch)
	if err != nil {
		return nil, 0, fmt.Errorf("job %d, epoch %d: %w", id, epoch, err)
	}
	return t, epoch, nil
}
