package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// ledger is a small double of the chain with one job: it makes a block a second, takes
// epochs, draws samples, wants them opened with proofs that it verifies, settles, and pays
// claims. It has no auditors, so nothing of theirs is in what is measured.
type ledger struct {
	mu      sync.Mutex
	height  int64
	changed chan struct{}
	hash    []byte
	job     work.Job
	epochs  []*work.Epoch
	workers map[work.PublicKey]bool
	claimed map[work.PublicKey]uint64
	trouble []string
}

const (
	chainID    = "load-1"
	theJob     = work.JobID(1)
	settleTime = 3 // blocks
	perClaim   = 100
)

var _ scheduler.Ledger = (*ledger)(nil)

func newLedger(workers []work.PublicKey, j work.Job) *ledger {
	l := &ledger{height: 1, changed: make(chan struct{}), job: j, workers: map[work.PublicKey]bool{}, claimed: map[work.PublicKey]uint64{}}
	for _, k := range workers {
		l.workers[k] = true
	}
	return l
}

// run makes blocks until ctx ends.
func (l *ledger) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.block()
		}
	}
}

func (l *ledger) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.height++
	h := sha256.Sum256(binary.BigEndian.AppendUint64(l.hash, uint64(l.height)))
	l.hash = h[:]
	for _, e := range l.epochs[l.job.Settled:] {
		l.advance(e)
	}
	for l.job.Settled < l.job.Epochs {
		e := l.epochs[l.job.Settled]
		if e.Status != work.EpochDecided || l.height < e.CommitHeight+settleTime || (e.Plants != [32]byte{} && !e.PlantsShown) {
			break
		}
		e.Status, e.SettledHeight, e.Label = work.EpochSettled, l.height, work.Agreed
		l.job.Settled++
		l.job.UnitsSettled += e.Receipts.Sum
	}
	if l.job.Status == work.JobClosing && l.job.Finished && l.job.Settled == l.job.Epochs {
		l.job.Status = work.JobClosed
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) advance(e *work.Epoch) {
	if e.Status == work.EpochCommitted && e.CommitHeight < l.height {
		e.Beacon = work.Beacon(chainID, theJob, e.Number, l.hash)
		e.Status, e.Deadline = work.EpochSampled, l.height+300
		for _, unit := range work.Samples(e.Beacon, e.Receipts.Sum, work.SampleCount(e.Receipts.Leaves, l.job.AuditBps, 32)) {
			e.Samples = append(e.Samples, work.Sample{Unit: unit, Status: work.SampleDrawn, Deadline: e.Deadline})
		}
	}
	if e.Status == work.EpochSampled && !slices.ContainsFunc(e.Samples, func(s work.Sample) bool { return s.Status == work.SampleDrawn }) {
		e.Status = work.EpochDecided
	}
}

// close ends the job, as its buyer would.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.Status == work.JobOpen {
		l.job.Status = work.JobClosing
	}
}

// fail notes what a real ledger would have refused.
func (l *ledger) fail(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	l.trouble = append(l.trouble, err.Error())
	return err
}

func (l *ledger) WaitHeight(ctx context.Context, above int64) (int64, error) {
	for {
		l.mu.Lock()
		h, changed := l.height, l.changed
		l.mu.Unlock()
		if h > above {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-changed:
		}
	}
}

func (l *ledger) Params(context.Context) (scheduler.Params, error) {
	return scheduler.Params{GraceBlocks: 600, MaxWorkersPerTx: perClaim, AllowLoopback: true}, nil
}

func (l *ledger) Jobs(context.Context) ([]work.Job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.Status != work.JobOpen && l.job.Status != work.JobClosing {
		return nil, nil
	}
	return []work.Job{l.job}, nil
}

func (l *ledger) Job(_ context.Context, id work.JobID) (work.Job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != theJob {
		return work.Job{}, scheduler.ErrNoJob
	}
	return l.job, nil
}

func (l *ledger) epoch(n uint64) (*work.Epoch, error) {
	if n == 0 || n > uint64(len(l.epochs)) {
		return nil, scheduler.ErrNoEpoch
	}
	return l.epochs[n-1], nil
}

func (l *ledger) Epoch(_ context.Context, _ work.JobID, n uint64) (work.Epoch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.epoch(n)
	if err != nil {
		return work.Epoch{}, err
	}
	c := *e
	c.Samples = slices.Clone(e.Samples)
	return c, nil
}

// Worker knows every worker as one that is past any probation, each under an operator of
// its own.
func (l *ledger) Worker(_ context.Context, k work.PublicKey) (work.Worker, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.workers[k] {
		return work.Worker{}, scheduler.ErrNoWorker
	}
	return work.Worker{Key: k, Operator: k.String(), Kinds: []work.Name{kindName}, Active: true, AuditsPassed: 1 << 20}, nil
}

func (l *ledger) Claimed(_ context.Context, _ work.JobID, k work.PublicKey) (scheduler.Claimed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return scheduler.Claimed{Units: l.claimed[k]}, nil
}

func (l *ledger) Challenges(context.Context) ([]scheduler.Challenge, error) { return nil, nil }

func (l *ledger) CommitEpoch(_ context.Context, c scheduler.Commitment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.job.Status != work.JobOpen && l.job.Status != work.JobClosing || l.job.Finished:
		return l.fail("epoch %d: the job takes none any more", c.Number)
	case c.Number != l.job.Epochs+1:
		return l.fail("epoch %d, the next is %d", c.Number, l.job.Epochs+1)
	case c.Receipts.Leaves == 0 || c.Pay.Leaves == 0:
		return l.fail("epoch %d is empty", c.Number)
	case c.Pay.Sum-c.Receipts.Sum != l.job.Units:
		return l.fail("epoch %d: %d units in all, but %d and %d were committed", c.Number, c.Pay.Sum, l.job.Units, c.Receipts.Sum)
	}
	l.epochs = append(l.epochs, &work.Epoch{
		Job: theJob, Number: c.Number, Receipts: c.Receipts, Pay: c.Pay, Status: work.EpochCommitted, CommitHeight: l.height,
		ProbationReceipts: c.ProbationReceipts, ProbationUnits: c.ProbationUnits, Plants: c.Plants,
	})
	l.job.Epochs, l.job.Units, l.job.Receipts = c.Number, c.Pay.Sum, l.job.Receipts+c.Receipts.Leaves
	if c.Finish {
		l.finish()
	}
	return nil
}

func (l *ledger) finish() {
	l.job.Finished = true
	if l.job.Status == work.JobOpen {
		l.job.Status = work.JobClosing
	}
}

func (l *ledger) FinishJob(context.Context, work.JobID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish()
	return nil
}

func (l *ledger) OpenReceipts(_ context.Context, _ work.JobID, n uint64, openings []scheduler.Opening) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.epoch(n)
	if err != nil {
		return err
	}
	for _, o := range openings {
		if int(o.Sample) >= len(e.Samples) {
			return l.fail("epoch %d has no sample %d", n, o.Sample)
		}
		s := &e.Samples[o.Sample]
		signed, err := work.DecodeReceipt(o.Receipt)
		if err != nil {
			return l.fail("%w", err)
		}
		offset, err := o.Proof.Verify(e.Receipts, work.ReceiptLeaf(o.Receipt, signed.Receipt.Units))
		if err != nil {
			return l.fail("epoch %d, sample %d: %w", n, o.Sample, err)
		}
		if s.Unit < offset || s.Unit-offset >= signed.Receipt.Units {
			return l.fail("epoch %d: sample %d is unit %d, the receipt covers %d from %d", n, o.Sample, s.Unit, signed.Receipt.Units, offset)
		}
		if err := signed.Verify(); err != nil {
			return l.fail("%w", err)
		}
		s.Status = work.SampleUnaudited
	}
	return nil
}

func (l *ledger) Claim(_ context.Context, _ work.JobID, n uint64, claims []scheduler.PayProof) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.epoch(n)
	if err != nil {
		return err
	}
	if e.Status != work.EpochSettled || len(claims) > perClaim {
		return l.fail("%d claims from epoch %d, which is %s", len(claims), n, e.Status)
	}
	for _, c := range claims {
		if _, err := c.Proof.Verify(e.Pay, work.PayLeaf(c.Worker, c.Units)); err != nil {
			return l.fail("claim of %s: %w", c.Worker.Short(), err)
		}
		if c.Units <= l.claimed[c.Worker] {
			return l.fail("worker %s claims %d units a second time", c.Worker.Short(), c.Units)
		}
	}
	for _, c := range claims {
		l.claimed[c.Worker] = c.Units
	}
	return nil
}

func (l *ledger) RevealPlants(_ context.Context, _ work.JobID, n uint64, _ [work.SaltSize]byte, _ []scheduler.CommittedReceipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.epoch(n)
	if err == nil {
		e.PlantsShown = true
	}
	return err
}

var errNoAuditors = errors.New("this ledger draws no auditors")

func (l *ledger) CommitVerdicts(context.Context, work.JobID, uint64, []scheduler.VerdictCommitment) error {
	return errNoAuditors
}

func (l *ledger) RevealVerdicts(context.Context, work.JobID, uint64, []scheduler.VerdictReveal) error {
	return errNoAuditors
}

func (l *ledger) AnswerChallenge(context.Context, uint64, uint64, scheduler.PayProof) error {
	return errors.New("nobody has challenged anything")
}

// amount is more notes than any run spends.
func amount() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 62) }
