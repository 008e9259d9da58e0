package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// standing is how a receipt stands with the ledger.
type standing int

const (
	waits   standing = iota // its epoch is not committed
	stands                  // committed, and nothing was said against it
	settled                 // nothing can be said against it any more
	lost                    // nobody stands for it
)

// witness is a worker's word for an answer.
type witness struct {
	signed   work.SignedReceipt
	receipt  []byte
	task     []byte
	result   []byte
	epoch    uint64
	proof    work.Proof
	standing standing
	operator string
	key      string // of the answer
}

// witnesses are the receipts of a request's job that are of answers, with how many
// tasks are under way, and whether the job can be asked for more.
func (d *Desk) witnesses(ctx context.Context, t trade, s *state, r types.Request) (ws []*witness, pending int, asks bool, err error) {
	job := work.JobID(r.Job)
	// Before the receipts, so that none is missed that comes in between.
	if asks, err = d.working(job); err != nil {
		return nil, 0, false, err
	}
	done, pending, open, err := t.answered(job)
	if err != nil {
		return nil, 0, false, err
	}
	asks = asks && open
	results := map[artifact.Digest][]byte{}
	for _, a := range done {
		digest := artifact.Sum(a.result)
		results[digest] = a.result
		if s.stored[digest] {
			continue
		}
		if _, err := d.cfg.Artifacts.Put(ctx, a.result); err != nil {
			return nil, 0, false, fmt.Errorf("keep an answer: %w", err)
		}
		s.stored[digest] = true
	}
	sealed, err := d.sealed(ctx, job)
	if err != nil {
		return nil, 0, false, err
	}
	for _, a := range done {
		if has(sealed, a.receipt) {
			continue
		}
		w, err := newWitness(a.receipt, a.task)
		if err != nil {
			return nil, 0, false, err
		}
		sealed = append(sealed, w)
	}
	for _, w := range sealed {
		digest := w.signed.Receipt.Result
		if s.lost[digest] || !t.about(r, w.task) {
			continue
		}
		if w.result = results[digest]; w.result == nil {
			if w.result, err = d.cfg.Artifacts.Get(ctx, digest, work.MaxResult); errors.Is(err, artifact.ErrNotFound) {
				s.lost[digest] = true
				d.cfg.Log.Warn("what a worker answered is not here any more", "request", r.Id, "result", digest)
				continue
			} else if err != nil {
				return nil, 0, false, err
			}
		}
		key, known := s.keys[digest]
		if !known {
			if key, err = t.key(ctx, r, w.task, w.result); err != nil {
				return nil, 0, false, err
			}
			s.keys[digest] = key
		}
		if w.key = key; key == "" {
			continue
		}
		if err := d.weigh(ctx, r, w); err != nil {
			return nil, 0, false, err
		}
		ws = append(ws, w)
	}
	return ws, pending, asks, nil
}

func newWitness(receipt, task []byte) (*witness, error) {
	s, err := work.DecodeReceipt(receipt)
	if err != nil {
		return nil, err
	}
	return &witness{signed: s, receipt: receipt, task: task}, nil
}

func has(list []*witness, receipt []byte) bool {
	for _, w := range list {
		if bytes.Equal(w.receipt, receipt) {
			return true
		}
	}
	return false
}

// sealed are the receipts of a job's sealed epochs, each with its proof.
func (d *Desk) sealed(ctx context.Context, job work.JobID) ([]*witness, error) {
	var list []*witness
	var bad error
	_, _, err := d.cfg.Scheduler.Receipts(ctx, job, scheduler.Cursor{}, func(s scheduler.SealedReceipt) bool {
		var w *witness
		if w, bad = newWitness(bytes.Clone(s.Receipt), bytes.Clone(s.Body)); bad != nil {
			return false
		}
		w.epoch = s.Epoch
		list = append(list, w)
		return true
	})
	if errors.Is(err, scheduler.ErrUnknownJob) {
		return nil, nil
	}
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read the receipts of job %d: %w", job, err)
	}
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].epoch == list[from].epoch {
			to++
		}
		if err := prove(list[from:to]); err != nil {
			return nil, fmt.Errorf("prove the receipts of epoch %d of job %d: %w", list[from].epoch, job, err)
		}
		from = to
	}
	return list, nil
}

// prove gives each of an epoch's receipts its proof.
func prove(list []*witness) error {
	leaves := make([]work.Node, len(list))
	for i, w := range list {
		leaves[i] = work.ReceiptLeaf(w.receipt, w.signed.Receipt.Units)
	}
	tree, err := work.NewTree(leaves)
	if err != nil {
		return err
	}
	for i, w := range list {
		if w.proof, err = tree.Prove(i); err != nil {
			return err
		}
	}
	return nil
}

// weigh finds out how a witness stands, and whose it is.
func (d *Desk) weigh(ctx context.Context, r types.Request, w *witness) error {
	operator, err := d.cfg.Ledger.Operator(ctx, w.signed.Receipt.Worker)
	if errors.Is(err, ErrAbsent) {
		w.standing = lost
		return nil
	}
	if err != nil || w.epoch == 0 {
		w.operator = operator
		return err
	}
	w.operator = operator
	e, err := d.cfg.Ledger.Epoch(ctx, work.JobID(r.Job), w.epoch)
	if errors.Is(err, ErrAbsent) {
		return nil // sealed, and not on the ledger yet
	}
	if err != nil {
		return err
	}
	w.standing, err = d.standing(ctx, r, e, w.proof.Index, w.signed.Receipt.Worker)
	return err
}

// standing sees a receipt as the ledger will.
func (d *Desk) standing(ctx context.Context, r types.Request, e worktypes.Epoch, index uint64, worker work.PublicKey) (standing, error) {
	final := e.Status == worktypes.EpochStatus_EPOCH_STATUS_SETTLED
	switch {
	case e.Doubt(index) != "":
		return lost, nil
	case e.Contested(index):
		return waits, nil
	case final && r.Policy == types.Safe && r.Terms.AuditsAll() && e.LabelOf(index) == work.Asserted:
		return lost, nil // nobody looked, and the contract wants that somebody did
	}
	forfeited, err := d.cfg.Ledger.Forfeited(ctx, work.JobID(r.Job), worker)
	switch {
	case err != nil:
		return waits, err
	case forfeited:
		return lost, nil
	case final:
		return settled, nil
	}
	return stands, nil
}

// choose takes the witnesses that an answer is delivered with, and, where there are not
// enough, says how many more answers must come, besides those under way.
func choose(policy uint32, ws []*witness) (chosen []*witness, want int) {
	enough := stands
	if policy == types.Safe {
		enough = settled
	}
	need := types.Workers(policy)
	want = need
	type group struct {
		ready     []*witness
		operators map[string]bool // of those that are not lost
		counted   map[string]bool // of those that are ready
	}
	groups := map[string]*group{}
	for _, w := range ws {
		if w.standing == lost {
			continue
		}
		g := groups[w.key]
		if g == nil {
			g = &group{operators: map[string]bool{}, counted: map[string]bool{}}
			groups[w.key] = g
		}
		g.operators[w.operator] = true
		if w.standing >= enough && !g.counted[w.operator] {
			g.counted[w.operator] = true
			g.ready = append(g.ready, w)
		}
		if len(g.ready) == need {
			return g.ready, 0
		}
		want = min(want, need-len(g.operators))
	}
	return nil, max(want, 0)
}
