package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// OpenDispute claims that a receipt is false, with a deposit. The sender names its trace of
// the computation; the worker must now name its own.
func (m msgServer) OpenDispute(ctx context.Context, msg *types.MsgOpenDispute) (*types.MsgOpenDisputeResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	from, challenger, err := m.payee(msg.Challenger)
	if err != nil {
		return nil, err
	}
	j, err := m.job(ctx, msg.Job)
	if err != nil {
		return nil, err
	}
	e, err := m.epoch(ctx, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	switch {
	case !e.Refereed:
		return nil, types.ErrState.Wrapf("kind %s was not refereed when epoch %d of job %d was committed: its auditors decide", j.Kind, e.Number, j.Id)
	case e.Status != types.EpochStatus_EPOCH_STATUS_DECIDED:
		return nil, types.ErrState.Wrapf("epoch %d of job %d is %s: its receipts may be disputed from when its audits are over until it settles", e.Number, j.Id, e.Status)
	case height(ctx) >= e.DisputeUntil:
		return nil, types.ErrDeadline.Wrapf("receipts of epoch %d of job %d could be disputed below height %d", e.Number, j.Id, e.DisputeUntil)
	case uint32(len(msg.Model)) > p.MaxOpeningBytes:
		return nil, types.ErrInvalid.Wrapf("%d bytes of the model, at most %d", len(msg.Model), p.MaxOpeningBytes)
	}
	x, index, err := m.exhibit(ctx, j, e, msg)
	if err != nil {
		return nil, err
	}
	w, err := m.disputable(ctx, j, e, index, x, challenger)
	if err != nil {
		return nil, err
	}
	c, err := m.caseOf(j.Kind, x)
	sight := errors.Is(err, ErrFalse)
	if err != nil && !sight {
		return nil, err
	}
	n, err := m.nextDispute.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("number a dispute: %w", err)
	}
	x.Dispute = n + 1
	d := types.Dispute{
		Id: n + 1, Job: j.Id, Epoch: e.Number, Index: index, Worker: w.Key, Challenger: challenger, Deposit: p.DisputeDeposit,
		Status: types.DisputeStatus_DISPUTE_STATUS_ASKED, Kind: j.Kind, Leaves: 1, ChallengerRoot: msg.Root,
		Deadline: height(ctx) + p.DisputeMoveBlocks, OpenedHeight: height(ctx), Bytes: uint64(msg.Size()),
	}
	if !sight {
		d.Leaves = c.Leaves()
	}
	d.Level = types.Levels(d.Leaves)
	if err := m.lock(ctx, from, types.BondsAccount, d.Deposit); err != nil {
		return nil, err
	}
	if err := m.addDispute(ctx, d, &x); err != nil {
		return nil, err
	}
	e.OpenDisputes++
	w.Disputes++
	if err := m.setEpoch(ctx, e); err != nil {
		return nil, err
	}
	if err := m.setWorker(ctx, w); err != nil {
		return nil, err
	}
	emit(ctx, types.EventDispute, types.AttrDispute, d.Id, types.AttrJob, j.Id, types.AttrEpoch, e.Number, types.AttrGateway, j.Gateway,
		types.AttrWorker, w.Key, types.AttrChallenger, challenger, types.AttrAmount, d.Deposit, types.AttrHeight, d.Deadline)
	r := &types.MsgOpenDisputeResponse{Dispute: d.Id}
	if sight {
		return r, m.won(ctx, d, true, ErrFalse.Error())
	}
	return r, nil
}

// exhibit checks what a dispute is to be about: a receipt of the epoch, and the bodies that
// it commits to. It returns the receipt's place in the tree.
func (m msgServer) exhibit(ctx context.Context, j types.Job, e types.Epoch, msg *types.MsgOpenDispute) (types.Exhibit, uint64, error) {
	x := types.Exhibit{Receipt: msg.Receipt, Task: msg.Task, Result: msg.Result, Model: msg.Model}
	index := msg.Proof.Index
	var signed work.SignedReceipt
	var err error
	if len(msg.Receipt) > 0 {
		if signed, x.Unit, err = checkLeaf(ctx, e, msg.Receipt, msg.Proof); err != nil {
			return x, 0, err
		}
		// The gateway committed to it, but a worker answers only for what it signed.
		if err := signed.Verify(); err != nil {
			return x, 0, types.ErrReceipt.Wrap(err.Error())
		}
	} else {
		if uint64(msg.Sample) >= uint64(len(e.Samples)) {
			return x, 0, types.ErrNotFound.Wrapf("no sample %d: the epoch has %d", msg.Sample, len(e.Samples))
		}
		s := e.Samples[msg.Sample]
		x.Receipt, x.Unit, index = s.Receipt, s.Unit, s.Index
		if signed, err = work.DecodeReceipt(s.Receipt); err != nil {
			return x, 0, types.ErrReceipt.Wrap(err.Error())
		}
	}
	r := signed.Receipt
	task := work.Task{Job: r.Job, Seq: r.Seq, Body: msg.Task}
	if task.DigestOf(artifact.Digest(j.SpecDigest)) != r.Task {
		return x, 0, types.ErrReceipt.Wrapf("the task's body of %d bytes is not the one of task %d", len(msg.Task), r.Seq)
	}
	if (work.Result{Body: msg.Result}).Digest() != r.Result {
		return x, 0, types.ErrReceipt.Wrapf("the result's body of %d bytes is not the one that the receipt of task %d signs", len(msg.Result), r.Seq)
	}
	return x, index, nil
}

// disputable checks that a dispute about a receipt could change something, and that there
// are not too many about it. It returns the receipt's worker.
func (m msgServer) disputable(ctx context.Context, j types.Job, e types.Epoch, index uint64, x types.Exhibit, challenger string) (types.Worker, error) {
	signed, err := work.DecodeReceipt(x.Receipt)
	if err != nil {
		return types.Worker{}, types.ErrReceipt.Wrap(err.Error())
	}
	seq, key := signed.Receipt.Seq, signed.Receipt.Worker
	w, err := m.worker(ctx, key[:])
	if err != nil {
		return w, types.ErrReceipt.Wrapf("task %d is receipted by %s, who is not enrolled", seq, key)
	}
	c, err := m.claimOf(ctx, j.Id, w.Key)
	if err != nil {
		return w, err
	}
	i := e.SampleAt(index)
	switch {
	case w.Status == types.Status_STATUS_GONE || w.EnrolledHeight > e.CommitHeight:
		return w, types.ErrReceipt.Wrapf("task %d is receipted by %s, who had no bond when the epoch was committed, or has none any more", seq, key)
	case e.ShownAt(index):
		return w, types.ErrNothing.Wrapf("the receipt of task %d was shown to be a plant", seq)
	case i >= 0 && e.Samples[i].Status == types.SampleStatus_SAMPLE_STATUS_FALSE:
		return w, types.ErrNothing.Wrapf("the receipt of task %d was found false before", seq)
	case i < 0 && c.Forfeited:
		return w, types.ErrNothing.Wrapf("worker %s was proved to have cheated in job %d before, and has no pay to lose", key, j.Id)
	case i < 0 && e.FoundByDispute() >= types.MaxFalse:
		return w, types.ErrState.Wrapf("%d receipts of epoch %d of job %d were found false by disputes, which is as many as it can note", types.MaxFalse, e.Number, j.Id)
	}
	open, err := m.disputesOf(ctx, e.Job, e.Number, index)
	if err != nil {
		return w, err
	}
	others := 0
	for _, id := range open {
		d, err := m.dispute(ctx, id)
		if err != nil {
			return w, err
		}
		if d.Challenger == challenger {
			return w, types.ErrExists.Wrapf("%s disputes the receipt of task %d already: dispute %d", challenger, seq, id)
		}
		if accuser, err := m.accused(ctx, e, i, d.Challenger); err != nil {
			return w, err
		} else if !accuser {
			others++
		}
	}
	if others >= types.MaxDisputes {
		if accuser, err := m.accused(ctx, e, i, challenger); err != nil || !accuser {
			return w, errors.Join(err, types.ErrState.Wrapf("%d disputes about the receipt of task %d are open: wait until one is over", others, seq))
		}
	}
	return w, nil
}

// accused reports whether an auditor of an operator's found a sample false.
func (k *Keeper) accused(ctx context.Context, e types.Epoch, sample int, operator string) (bool, error) {
	if sample < 0 {
		return false, nil
	}
	for _, slot := range e.Samples[sample].Slots {
		if slot.Outcome != types.Outcome_OUTCOME_FAIL {
			continue
		}
		w, err := k.worker(ctx, slot.Auditor)
		if err != nil || w.Operator == operator {
			return err == nil, err
		}
	}
	return false, nil
}

// ongoing returns a dispute that is not over, with a message's bytes added.
func (m msgServer) ongoing(ctx context.Context, id uint64, msg interface{ Size() int }) (types.Dispute, error) {
	d, err := m.dispute(ctx, id)
	if err == nil && d.Over() {
		err = types.ErrState.Wrapf("dispute %d is over: %s, %s", id, d.Status, d.Reason)
	}
	d.Bytes += uint64(msg.Size())
	return d, err
}

// AnswerDispute names the worker's trace. If it is the challenger's too, the two differ
// about the result alone.
func (m msgServer) AnswerDispute(ctx context.Context, msg *types.MsgAnswerDispute) (*types.MsgAnswerDisputeResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	_, sender, err := m.account(msg.Sender)
	if err != nil {
		return nil, err
	}
	d, err := m.ongoing(ctx, msg.Dispute, msg)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.Equal(d.WorkerRoot, msg.Root):
		return &types.MsgAnswerDisputeResponse{}, nil // it was carried twice
	case d.Status != types.DisputeStatus_DISPUTE_STATUS_ASKED:
		return nil, types.ErrState.Wrapf("the worker named another trace in dispute %d", d.Id)
	}
	w, err := m.worker(ctx, d.Worker)
	if err != nil {
		return nil, err
	}
	if len(msg.Signature) > 0 || w.Operator != sender {
		key, err := work.KeyFromBytes(d.Worker)
		if err != nil {
			return nil, types.ErrInvalid.Wrap(err.Error())
		}
		id := work.TraceID{Chain: chainID(ctx), Dispute: d.Id}
		if err := key.VerifyTrace(id, artifact.Digest(msg.Root), msg.Signature); err != nil {
			return nil, types.ErrUnauthorized.Wrapf("dispute %d: %v: worker %s must sign the root of its trace", d.Id, err, key)
		}
	}
	d.WorkerRoot, d.WorkerNode, d.ChallengerNode = msg.Root, msg.Root, d.ChallengerRoot
	switch {
	case bytes.Equal(d.WorkerRoot, d.ChallengerRoot):
		d.Status = types.DisputeStatus_DISPUTE_STATUS_AGREED
	case d.Level == 0:
		d.Status = types.DisputeStatus_DISPUTE_STATUS_DECIDING
	default:
		d.Status = types.DisputeStatus_DISPUTE_STATUS_DESCENDING
	}
	emit(ctx, types.EventDisputeAnswered, types.AttrDispute, d.Id, types.AttrWorker, d.Worker, types.AttrRoot, d.WorkerRoot)
	return &types.MsgAnswerDisputeResponse{}, m.nextMove(ctx, d)
}

// Descend shows the children of the node that a party has. Once both have shown theirs the
// parties are at the first that differs.
func (m msgServer) Descend(ctx context.Context, msg *types.MsgDescend) (*types.MsgDescendResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	if _, _, err := m.account(msg.Sender); err != nil {
		return nil, err
	}
	d, err := m.ongoing(ctx, msg.Dispute, msg)
	if err != nil {
		return nil, err
	}
	if d.Status != types.DisputeStatus_DISPUTE_STATUS_DESCENDING || d.Level != msg.Level || d.Node != msg.Node {
		return nil, types.ErrState.Wrapf("dispute %d is at node %d of level %d, %s, not at node %d of level %d", d.Id, d.Node, d.Level, d.Status, msg.Node, msg.Level)
	}
	if want := d.Children(); len(msg.Children) != want {
		return nil, types.ErrDispute.Wrapf("%d children: node %d of level %d has %d in a trace of %d steps", len(msg.Children), d.Node, d.Level, want, d.Leaves)
	}
	list := make([]merkle.Digest, len(msg.Children))
	for i, c := range msg.Children {
		list[i] = merkle.Digest(c)
	}
	node := merkle.Root(list)
	shown, party := &d.WorkerChildren, "worker"
	switch {
	case bytes.Equal(node[:], d.WorkerNode):
	case bytes.Equal(node[:], d.ChallengerNode):
		shown, party = &d.ChallengerChildren, "challenger"
	default:
		return nil, types.ErrDispute.Wrapf("these children make the node %x: the worker committed to %x, the challenger to %x", node, d.WorkerNode, d.ChallengerNode)
	}
	if len(*shown) > 0 {
		return &types.MsgDescendResponse{}, nil // it was carried twice
	}
	*shown = msg.Children
	emit(ctx, types.EventDisputeShown, types.AttrDispute, d.Id, types.AttrLevel, d.Level, types.AttrNode, d.Node, types.AttrParty, party)
	if len(d.WorkerChildren) == 0 || len(d.ChallengerChildren) == 0 {
		return &types.MsgDescendResponse{}, m.disputes.Set(ctx, d.Id, d)
	}
	// The nodes differ, so some child does.
	for i, c := range d.WorkerChildren {
		if bytes.Equal(c, d.ChallengerChildren[i]) {
			d.Agreed = append(d.Agreed, c...)
			continue
		}
		d.WorkerNode, d.ChallengerNode = c, d.ChallengerChildren[i]
		d.Node = d.Node*types.Ways + uint64(i)
		break
	}
	d.WorkerChildren, d.ChallengerChildren = nil, nil
	d.Rounds++
	if d.Level--; d.Level == 0 {
		d.Status = types.DisputeStatus_DISPUTE_STATUS_DECIDING
	}
	return &types.MsgDescendResponse{}, m.nextMove(ctx, d)
}

// Decide has the ledger compute the step of which the parties have different values.
func (m msgServer) Decide(ctx context.Context, msg *types.MsgDecide) (*types.MsgDecideResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	d, c, err := m.opened(ctx, msg.Sender, msg.Dispute, msg.Opening, msg)
	if err != nil {
		return nil, err
	}
	if d.Status != types.DisputeStatus_DISPUTE_STATUS_DECIDING {
		return nil, types.ErrState.Wrapf("dispute %d is %s, not at a step", d.Id, d.Status)
	}
	agreed, err := d.AgreedByLevel()
	if err != nil {
		return nil, err
	}
	charge(ctx, c.Gas(d.Node))
	ruling, err := c.Decide(d.Node, agreed, merkle.Digest(d.WorkerNode), merkle.Digest(d.ChallengerNode), msg.Opening)
	if err != nil {
		return nil, types.ErrDispute.Wrapf("decide dispute %d: %v", d.Id, err)
	}
	step := c.Describe(d.Node)
	if ruling.Worker {
		return &types.MsgDecideResponse{Status: types.DisputeStatus_DISPUTE_STATUS_LOST},
			m.lost(ctx, d, true, fmt.Sprintf("%s: the worker computed it rightly", step))
	}
	return &types.MsgDecideResponse{Status: types.DisputeStatus_DISPUTE_STATUS_WON},
		m.won(ctx, d, true, fmt.Sprintf("%s: the worker computed it wrongly", step))
}

// Contradict shows that the worker's own trace gives another result than its receipt.
func (m msgServer) Contradict(ctx context.Context, msg *types.MsgContradict) (*types.MsgContradictResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	d, c, err := m.opened(ctx, msg.Sender, msg.Dispute, msg.Opening, msg)
	if err != nil {
		return nil, err
	}
	if !d.Answered() {
		return nil, types.ErrState.Wrapf("the worker has not named its trace in dispute %d yet", d.Id)
	}
	charge(ctx, c.ContradictionGas(msg.Position))
	if err := c.Contradicts(merkle.Digest(d.WorkerRoot), msg.Position, msg.Opening); err != nil {
		return nil, types.ErrDispute.Wrapf("contradict the worker in dispute %d: %v", d.Id, err)
	}
	return &types.MsgContradictResponse{}, m.won(ctx, d, true, fmt.Sprintf("position %d: the result is not what the worker's own trace gives", msg.Position))
}

// opened returns the dispute and the case that a message with an opening is about.
func (m msgServer) opened(ctx context.Context, sender string, id uint64, opening []byte, msg interface{ Size() int }) (types.Dispute, Case, error) {
	if _, _, err := m.account(sender); err != nil {
		return types.Dispute{}, nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return types.Dispute{}, nil, err
	}
	if uint64(len(opening)) > uint64(p.MaxOpeningBytes) {
		return types.Dispute{}, nil, types.ErrInvalid.Wrapf("opening of %d bytes, at most %d", len(opening), p.MaxOpeningBytes)
	}
	d, err := m.ongoing(ctx, id, msg)
	if err != nil {
		return d, nil, err
	}
	x, err := get(ctx, m.exhibits, id, "exhibit of dispute %d", id)
	if err != nil {
		return d, nil, err
	}
	c, err := m.caseOf(d.Kind, x)
	return d, c, err
}

// disputesOf lists the open disputes about a receipt.
func (k *Keeper) disputesOf(ctx context.Context, job, epoch, index uint64) ([]uint64, error) {
	var open []uint64
	err := k.disputed.Walk(ctx, collections.NewSuperPrefixedQuadRange3[uint64, uint64, uint64, uint64](job, epoch, index), func(key disputedKey) (bool, error) {
		open = append(open, key.K4())
		return false, nil
	})
	return open, err
}
