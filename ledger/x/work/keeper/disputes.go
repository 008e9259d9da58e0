package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// A dispute is a game between the worker that signed a receipt and a challenger. Each
// commits to a trace, a tree over every step of the computation. Level by level both show
// the children of the node where they are, and the ledger takes them to the first that
// differs, until they are at one step whose inputs they agree on. That it computes itself.
//
// What a party shows must hash to what it committed to before, so it does not matter who
// sends it. Only three things follow from a move in time, and the epoch waits for none of
// them for longer than a move for each level and two more:
//
//   - The challenger wins. The receipt is false, as if it had been found so in an audit,
//     and other disputes about it are moot.
//   - The challenger loses. That proves nothing but the one step, so the receipt may be
//     disputed by others, and only the deposit is lost: else a worker's friend could clear
//     it by losing on purpose.
//   - It is moot, and the deposit goes back.

func (k *Keeper) dispute(ctx context.Context, id uint64) (types.Dispute, error) {
	return get(ctx, k.disputes, id, "dispute %d", id)
}

// addDispute stores a dispute where it is looked for; one that is over has no exhibit.
func (k *Keeper) addDispute(ctx context.Context, d types.Dispute, x *types.Exhibit) error {
	if err := k.disputes.Set(ctx, d.Id, d); err != nil || d.Over() {
		return err
	}
	if x != nil {
		if err := k.exhibits.Set(ctx, d.Id, *x); err != nil {
			return err
		}
	}
	if err := k.disputed.Set(ctx, collections.Join4(d.Job, d.Epoch, d.Index, d.Id)); err != nil {
		return err
	}
	if err := k.defendants.Set(ctx, collections.Join(d.Worker, d.Id)); err != nil {
		return err
	}
	return k.disputeQueue.Set(ctx, collections.Join(d.Deadline, d.Id))
}

// nextMove stores a dispute whose parties have a new time to move.
func (k *Keeper) nextMove(ctx context.Context, d types.Dispute) error {
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	d.Deadline = height(ctx) + p.DisputeMoveBlocks
	emit(ctx, types.EventDisputeMoved, types.AttrDispute, d.Id, types.AttrStatus, d.Status, types.AttrLevel, d.Level, types.AttrNode, d.Node,
		types.AttrHeight, d.Deadline)
	if err := k.disputeQueue.Set(ctx, collections.Join(d.Deadline, d.Id)); err != nil {
		return err
	}
	return k.disputes.Set(ctx, d.Id, d)
}

// wakeDispute ends a dispute in which a party was silent. Where both were, or where anybody
// could have moved, it is the challenger's loss, for it is the one who claims something.
func (k *Keeper) wakeDispute(ctx context.Context, id uint64) error {
	d, err := k.dispute(ctx, id)
	if err != nil {
		return err
	}
	if d.Over() || height(ctx) < d.Deadline {
		return nil // it moved meanwhile
	}
	switch {
	case d.Status == types.DisputeStatus_DISPUTE_STATUS_ASKED:
		return k.won(ctx, d, false, "the worker did not answer")
	case d.Status == types.DisputeStatus_DISPUTE_STATUS_DESCENDING && len(d.ChallengerChildren) > 0:
		return k.won(ctx, d, false, "the worker did not show the children of its node")
	case d.Status == types.DisputeStatus_DISPUTE_STATUS_DESCENDING:
		return k.lost(ctx, d, false, "the challenger did not show the children of its node")
	case d.Status == types.DisputeStatus_DISPUTE_STATUS_AGREED:
		return k.lost(ctx, d, false, "nobody showed that the trace, which both parties have, contradicts the result")
	}
	return k.lost(ctx, d, false, "nobody opened the step")
}

// won ends a dispute in which the receipt turned out to be false, and with it all others
// about the receipt.
func (k *Keeper) won(ctx context.Context, d types.Dispute, proved bool, reason string) error {
	x, err := get(ctx, k.exhibits, d.Id, "exhibit of dispute %d", d.Id)
	if err != nil {
		return err
	}
	if err := k.endDispute(ctx, d, types.DisputeStatus_DISPUTE_STATUS_WON, proved, reason); err != nil {
		return err
	}
	e, err := k.epoch(ctx, d.Job, d.Epoch)
	if err != nil {
		return err
	}
	e.OpenDisputes--
	others, err := k.disputesOf(ctx, d.Job, d.Epoch, d.Index)
	if err != nil {
		return err
	}
	for _, id := range others { // a few: MaxDisputes and the receipt's auditors
		o, err := k.dispute(ctx, id)
		if err != nil {
			return err
		}
		if err := k.endDispute(ctx, o, types.DisputeStatus_DISPUTE_STATUS_MOOT, proved, fmt.Sprintf("dispute %d showed that the receipt is false", d.Id)); err != nil {
			return err
		}
		e.OpenDisputes--
	}
	i := e.SampleAt(d.Index)
	if i < 0 {
		i = len(e.Samples)
		e.Samples = append(e.Samples, types.Sample{Unit: x.Unit, Index: d.Index, Receipt: x.Receipt, Plant: e.ShownAt(d.Index)})
	}
	e.Samples[i].Challenger, e.Samples[i].Proved = d.Challenger, proved
	if err := k.conclude(ctx, &e, uint32(i), types.SampleStatus_SAMPLE_STATUS_FALSE); err != nil {
		return err
	}
	return k.afterDispute(ctx, e)
}

// lost ends a dispute in which the receipt was not shown to be false.
func (k *Keeper) lost(ctx context.Context, d types.Dispute, proved bool, reason string) error {
	if err := k.endDispute(ctx, d, types.DisputeStatus_DISPUTE_STATUS_LOST, proved, reason); err != nil {
		return err
	}
	e, err := k.epoch(ctx, d.Job, d.Epoch)
	if err != nil {
		return err
	}
	e.OpenDisputes--
	return k.afterDispute(ctx, e)
}

// afterDispute stores an epoch and has its job looked at in this block.
func (k *Keeper) afterDispute(ctx context.Context, e types.Epoch) error {
	if err := k.setEpoch(ctx, e); err != nil {
		return err
	}
	return k.jobQueue.Set(ctx, collections.Join(height(ctx), e.Job))
}

// endDispute closes a dispute and pays its deposit out. What it was about is forgotten.
func (k *Keeper) endDispute(ctx context.Context, d types.Dispute, s types.DisputeStatus, proved bool, reason string) error {
	if err := k.exhibits.Remove(ctx, d.Id); err != nil {
		return err
	}
	if err := k.disputed.Remove(ctx, collections.Join4(d.Job, d.Epoch, d.Index, d.Id)); err != nil {
		return err
	}
	if err := k.defendants.Remove(ctx, collections.Join(d.Worker, d.Id)); err != nil {
		return err
	}
	w, err := k.worker(ctx, d.Worker)
	if err != nil {
		return err
	}
	if err := k.payDeposit(ctx, d, w, s); err != nil {
		return fmt.Errorf("pay the deposit of dispute %d: %w", d.Id, err)
	}
	w.Disputes--
	if err := k.setWorker(ctx, w); err != nil {
		return err
	}
	d.Status, d.Proved, d.Reason = s, proved, reason
	d.Deposit, d.Deadline, d.ClosedHeight = math.ZeroInt(), 0, height(ctx)
	d.WorkerChildren, d.ChallengerChildren, d.Agreed = nil, nil, nil
	emit(ctx, types.EventDisputeEnded, types.AttrDispute, d.Id, types.AttrJob, d.Job, types.AttrEpoch, d.Epoch, types.AttrWorker, d.Worker,
		types.AttrChallenger, d.Challenger, types.AttrStatus, s, types.AttrReason, reason)
	return k.disputes.Set(ctx, d.Id, d)
}

// payDeposit gives a deposit back, or, where it was lost, a part of it to the operator of
// the worker that had to defend itself; the rest is burned, so that a worker's friends
// can't dispute its receipts for nothing.
func (k *Keeper) payDeposit(ctx context.Context, d types.Dispute, w types.Worker, s types.DisputeStatus) error {
	if s != types.DisputeStatus_DISPUTE_STATUS_LOST {
		challenger, _, err := k.account(d.Challenger)
		if err != nil {
			return err
		}
		return k.release(ctx, types.BondsAccount, challenger, d.Deposit)
	}
	p, err := k.Params(ctx)
	if err != nil {
		return err
	}
	operator, _, err := k.account(w.Operator)
	if err != nil {
		return err
	}
	part := types.Share(d.Deposit, p.DisputeCompensationBps)
	if err := k.release(ctx, types.BondsAccount, operator, part); err != nil {
		return err
	}
	return k.burn(ctx, types.BondsAccount, d.Deposit.Sub(part), "lost dispute")
}

// resolve is what becomes of a sample that auditors found false when its epoch settles and
// nobody has proved it. Their word counts for nothing then, but where the receipt is a
// plant: its gateway has conceded.
func resolve(s types.Sample) types.SampleStatus {
	passes, fails := s.Count()
	switch {
	case s.Status != types.SampleStatus_SAMPLE_STATUS_ACCUSED:
		return s.Status
	case s.Plant && s.Outvoted():
		return types.SampleStatus_SAMPLE_STATUS_FALSE
	case s.Plant && passes <= fails, passes == 0:
		return types.SampleStatus_SAMPLE_STATUS_UNDECIDED
	}
	return types.SampleStatus_SAMPLE_STATUS_UPHELD
}

// resolveSamples ends what could still be disputed in a settling epoch: receipts that nobody
// proved false are judged only now.
func (k *Keeper) resolveSamples(ctx context.Context, e *types.Epoch) error {
	for i := range e.Samples {
		s := &e.Samples[i]
		if s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE {
			continue
		}
		doubtful, err := k.doubtful(ctx, *e, *s)
		if err != nil {
			return err
		}
		if s.Status == types.SampleStatus_SAMPLE_STATUS_ACCUSED {
			s.Status = resolve(*s)
			if doubtful {
				s.Status = types.SampleStatus_SAMPLE_STATUS_UNDECIDED
			}
			signed, err := work.DecodeReceipt(s.Receipt)
			if err != nil {
				return err
			}
			emit(ctx, types.EventSampleDecided, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i,
				types.AttrWorker, signed.Receipt.Worker, types.AttrStatus, s.Status)
		}
		if err := k.judge(ctx, *e, uint32(i), circumstances{doubtful: doubtful}); err != nil {
			return err
		}
	}
	return nil
}

// checkDisputes counts the open disputes and their deposits, and checks where they are listed.
func (k *Keeper) checkDisputes(ctx context.Context, b *bookkeeper) error {
	open := uint64(0)
	err := k.disputes.Walk(ctx, nil, func(id uint64, d types.Dispute) (bool, error) {
		b.Deposits = b.Deposits.Add(d.Deposit)
		shown, err := k.exhibits.Has(ctx, id)
		if err != nil {
			return true, err
		}
		listed, err := k.disputed.Has(ctx, collections.Join4(d.Job, d.Epoch, d.Index, id))
		if err != nil {
			return true, err
		}
		accused, err := k.defendants.Has(ctx, collections.Join(d.Worker, id))
		if err != nil {
			return true, err
		}
		if shown == d.Over() || listed == d.Over() || accused == d.Over() || d.Over() != d.Deposit.IsZero() {
			b.broken("dispute %d is %s with a deposit of %s, has an exhibit: %t, is listed by its receipt: %t, by its worker: %t",
				id, d.Status, d.Deposit, shown, listed, accused)
		}
		if !d.Over() {
			open++
			b.disputes[epochNumber{d.Job, d.Epoch}]++
			b.defended[string(d.Worker)]++
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	var exhibits, listed, accused uint64
	if err := k.exhibits.Walk(ctx, nil, func(uint64, types.Exhibit) (bool, error) { exhibits++; return false, nil }); err != nil {
		return err
	}
	if err := k.disputed.Walk(ctx, nil, func(disputedKey) (bool, error) { listed++; return false, nil }); err != nil {
		return err
	}
	if err := k.defendants.Walk(ctx, nil, func(defendantKey) (bool, error) { accused++; return false, nil }); err != nil {
		return err
	}
	if exhibits != open || listed != open || accused != open {
		b.broken("%d disputes are open, %d have exhibits, %d are listed by receipts, %d by workers", open, exhibits, listed, accused)
	}
	return nil
}

// epochNumber names an epoch.
type epochNumber struct{ job, epoch uint64 }

// checkDisputed checks an epoch's own count of disputes, and that nothing is left to dispute
// of one that settled.
func (b *bookkeeper) checkDisputed(e types.Epoch) {
	if n := b.disputes[epochNumber{e.Job, e.Number}]; n != e.OpenDisputes {
		b.broken("epoch %d of job %d counts %d open disputes and has %d", e.Number, e.Job, e.OpenDisputes, n)
	}
	if e.Status != types.EpochStatus_EPOCH_STATUS_SETTLED {
		return
	}
	if e.OpenDisputes > 0 {
		b.broken("epoch %d of job %d settled with %d open disputes", e.Number, e.Job, e.OpenDisputes)
	}
	for i, s := range e.Samples {
		if s.Status == types.SampleStatus_SAMPLE_STATUS_ACCUSED {
			b.broken("epoch %d of job %d settled with sample %d accused", e.Number, e.Job, i)
		}
	}
}
