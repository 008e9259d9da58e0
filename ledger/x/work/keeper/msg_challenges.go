package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// ChallengeVoucher says that a gateway has not committed what it promised a worker. The
// gateway then shows that it has, and earns the deposit, or pays the worker from its bond.
func (m msgServer) ChallengeVoucher(ctx context.Context, msg *types.MsgChallengeVoucher) (*types.MsgChallengeVoucherResponse, error) {
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
	signed, err := work.DecodeVoucher(msg.Voucher)
	if err != nil {
		return nil, types.ErrVoucher.Wrap(err.Error())
	}
	if err := signed.Verify(); err != nil {
		return nil, types.ErrVoucher.Wrap(err.Error())
	}
	v := signed.Voucher
	if v.Chain != chainID(ctx) {
		return nil, types.ErrVoucher.Wrapf("it is of the chain %q", v.Chain)
	}
	j, err := m.job(ctx, uint64(v.Job))
	if err != nil {
		return nil, err
	}
	g, err := m.gatewayOfJob(ctx, j)
	if err != nil {
		return nil, err
	}
	c, err := m.claimOf(ctx, j.Id, v.Worker[:])
	if err != nil {
		return nil, err
	}
	switch {
	case string(g.Key) != string(v.Gateway[:]):
		return nil, types.ErrVoucher.Wrapf("it is signed by %s, who is not the gateway of job %d", v.Gateway, j.Id)
	case g.Status == types.Status_STATUS_GONE:
		return nil, types.ErrState.Wrapf("gateway %s has left and has no bond", g.Address)
	case v.Epoch > j.Epochs && mayCommit(ctx, j, p):
		return nil, types.ErrState.Wrapf("epoch %d of job %d is not committed yet", v.Epoch, j.Id)
	case v.Units <= c.Units:
		return nil, types.ErrNothing.Wrapf("worker %s was paid for %d units of job %d, the voucher is over %d", v.Worker, c.Units, j.Id, v.Units)
	case c.Forfeited:
		return nil, types.ErrNothing.Wrapf("worker %s was proved to have cheated in job %d", v.Worker, j.Id)
	}
	if _, err := m.worker(ctx, v.Worker[:]); err != nil {
		return nil, err
	}
	target := collections.Join(j.Id, v.Worker[:])
	if id, err := m.targets.Get(ctx, target); err == nil {
		return nil, types.ErrExists.Wrapf("challenge %d for worker %s in job %d is open", id, v.Worker, j.Id)
	} else if !errors.Is(err, collections.ErrNotFound) {
		return nil, fmt.Errorf("look for a challenge of job %d: %w", j.Id, err)
	}
	n, err := m.nextCase.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("number a challenge: %w", err)
	}
	ch := types.Challenge{
		Id: n + 1, Challenger: challenger, Job: j.Id, Worker: v.Worker[:], Units: v.Units,
		// The voucher holds for its epoch and every later one: the newest tree must
		// have the units, so that a gateway can't take back what an earlier one gave.
		Epoch: max(j.Epochs, 1), Deposit: p.ChallengeDeposit, Deadline: height(ctx) + p.AnswerBlocks,
	}
	if err := m.lock(ctx, from, types.BondsAccount, ch.Deposit); err != nil {
		return nil, err
	}
	if err := m.addChallenge(ctx, ch); err != nil {
		return nil, err
	}
	j.OpenChallenges++
	g.OpenChallenges++
	if err := m.setGateway(ctx, g); err != nil {
		return nil, err
	}
	emit(ctx, types.EventChallenge, types.AttrChallenge, ch.Id, types.AttrJob, j.Id, types.AttrGateway, j.Gateway,
		types.AttrWorker, v.Worker, types.AttrEpoch, ch.Epoch, types.AttrUnits, v.Units, types.AttrHeight, ch.Deadline)
	return &types.MsgChallengeVoucherResponse{Challenge: ch.Id}, m.setJob(ctx, j)
}

func (k *Keeper) gatewayOfJob(ctx context.Context, j types.Job) (types.Gateway, error) {
	addr, _, err := k.account(j.Gateway)
	if err != nil {
		return types.Gateway{}, err
	}
	return k.gateway(ctx, addr)
}

// addChallenge stores a challenge where it is looked for.
func (k *Keeper) addChallenge(ctx context.Context, c types.Challenge) error {
	if err := k.challenges.Set(ctx, c.Id, c); err != nil {
		return err
	}
	if err := k.targets.Set(ctx, collections.Join(c.Job, c.Worker), c.Id); err != nil {
		return err
	}
	return k.caseQueue.Set(ctx, collections.Join(c.Deadline, c.Id))
}

// endChallenge removes a challenge and counts it off its job and gateway. It changes j
// but does not store it.
func (k *Keeper) endChallenge(ctx context.Context, c types.Challenge, j *types.Job) error {
	if err := k.challenges.Remove(ctx, c.Id); err != nil {
		return err
	}
	if err := k.targets.Remove(ctx, collections.Join(c.Job, c.Worker)); err != nil {
		return err
	}
	g, err := k.gatewayOfJob(ctx, *j)
	if err != nil {
		return err
	}
	j.OpenChallenges--
	g.OpenChallenges--
	return k.setGateway(ctx, g)
}

// AnswerChallenge shows that the promised units are committed: in the newest tree, or,
// where the job was faulted, in any that was settled.
func (m msgServer) AnswerChallenge(ctx context.Context, msg *types.MsgAnswerChallenge) (*types.MsgAnswerChallengeResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	ch, err := get(ctx, m.challenges, msg.Challenge, "open challenge %d", msg.Challenge)
	if err != nil {
		return nil, err
	}
	j, err := m.servedJob(ctx, msg.Gateway, ch.Job)
	if err != nil {
		return nil, err
	}
	e, err := m.epoch(ctx, ch.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	plants, err := m.plantUnits(ctx, j, e.Number, ch.Worker)
	if err != nil {
		return nil, err
	}
	faulted := j.Status == types.JobStatus_JOB_STATUS_FAULTED
	switch {
	case e.Status == types.EpochStatus_EPOCH_STATUS_VOID:
		return nil, types.ErrState.Wrapf("epoch %d of job %d is void", e.Number, j.Id)
	case e.Number < ch.Epoch && !(faulted && e.Status == types.EpochStatus_EPOCH_STATUS_SETTLED):
		return nil, types.ErrEpoch.Wrapf("challenge %d asks for epoch %d or later", ch.Id, ch.Epoch)
	case string(msg.Pay.Worker) != string(ch.Worker):
		return nil, types.ErrProof.Wrapf("challenge %d is about worker %x", ch.Id, ch.Worker)
	case msg.Pay.Units < ch.Units:
		return nil, types.ErrProof.Wrapf("challenge %d is about %d units, the proof is of %d", ch.Id, ch.Units, msg.Pay.Units)
	case msg.Pay.Units-ch.Units < plants:
		return nil, types.ErrProof.Wrapf("challenge %d is about %d units, the proof is of %d less %d of plants", ch.Id, ch.Units, msg.Pay.Units, plants)
	}
	if err := checkPay(e, msg.Pay); err != nil {
		return nil, err
	}
	if err := m.endChallenge(ctx, ch, &j); err != nil {
		return nil, err
	}
	gateway, _, err := m.account(j.Gateway)
	if err != nil {
		return nil, err
	}
	if err := m.release(ctx, types.BondsAccount, gateway, ch.Deposit); err != nil {
		return nil, err
	}
	if err := m.jobQueue.Set(ctx, collections.Join(height(ctx), j.Id)); err != nil {
		return nil, err
	}
	emit(ctx, types.EventAnswered, types.AttrChallenge, ch.Id, types.AttrJob, j.Id, types.AttrWorker, ch.Worker)
	return &types.MsgAnswerChallengeResponse{}, m.setJob(ctx, j)
}

// wakeChallenge ends a challenge that nobody answered in time: the gateway is at fault,
// and the worker gets from its bond what the voucher promised.
func (k *Keeper) wakeChallenge(ctx context.Context, id uint64) error {
	ch, err := k.challenges.Get(ctx, id)
	if errors.Is(err, collections.ErrNotFound) {
		return nil // answered
	}
	if err != nil {
		return fmt.Errorf("read challenge %d: %w", id, err)
	}
	j, err := k.job(ctx, ch.Job)
	if err != nil {
		return err
	}
	if err := k.endChallenge(ctx, ch, &j); err != nil {
		return err
	}
	challenger, _, err := k.account(ch.Challenger)
	if err != nil {
		return err
	}
	if err := k.release(ctx, types.BondsAccount, challenger, ch.Deposit); err != nil {
		return err
	}
	c, err := k.claimOf(ctx, ch.Job, ch.Worker)
	if err != nil {
		return err
	}
	paid := math.ZeroInt()
	if !c.Forfeited && ch.Units > c.Units {
		// The slash comes first, so that a gateway can't rescue its bond from it by
		// signing a voucher to a friend.
		if paid, err = k.faultAndPay(ctx, &j, ch.Worker, ch.Units, fmt.Sprintf("challenge %d: a voucher was not honoured", ch.Id)); err != nil {
			return err
		}
	}
	emit(ctx, types.EventUpheld, types.AttrChallenge, ch.Id, types.AttrJob, j.Id, types.AttrWorker, ch.Worker, types.AttrAmount, paid)
	return k.wakeJob(ctx, j)
}

// faultAndPay has a gateway at fault pay a worker from its bond, up to that many units of
// the job in all. It changes j but does not store it.
func (k *Keeper) faultAndPay(ctx context.Context, j *types.Job, worker []byte, units uint64, reason string) (math.Int, error) {
	if _, err := k.fault(ctx, j, nil, reason); err != nil {
		return math.Int{}, err
	}
	// Read only now: the fault may have judged the worker for what it did itself.
	c, err := k.claimOf(ctx, j.Id, worker)
	if err != nil {
		return math.Int{}, err
	}
	if c.Forfeited || units <= c.Units {
		return math.ZeroInt(), nil
	}
	return k.payFromBond(ctx, *j, &c, units-c.Units)
}

// payFromBond pays a worker's operator for units that the gateway promised, as far as
// its bond goes.
func (k *Keeper) payFromBond(ctx context.Context, j types.Job, c *types.Claimed, units uint64) (math.Int, error) {
	g, err := k.gatewayOfJob(ctx, j)
	if err != nil {
		return math.Int{}, err
	}
	if afford := g.Bond.Quo(j.WorkerPrice); afford.LT(math.NewIntFromUint64(units)) {
		units = afford.Uint64()
	}
	w, err := k.worker(ctx, c.Worker)
	if err != nil {
		return math.Int{}, err
	}
	operator, _, err := k.account(w.Operator)
	if err != nil {
		return math.Int{}, err
	}
	amount := j.WorkerPrice.Mul(math.NewIntFromUint64(units))
	if err := k.release(ctx, types.BondsAccount, operator, amount); err != nil {
		return amount, fmt.Errorf("pay worker %x from the bond of gateway %s: %w", c.Worker, g.Address, err)
	}
	g.Bond = g.Bond.Sub(amount)
	c.Units += units
	if err := k.setGateway(ctx, g); err != nil {
		return amount, err
	}
	return amount, k.setClaim(ctx, *c)
}

// ChallengeDuplicate proves that a gateway committed one task twice, which nobody needs
// to answer: the two places speak for themselves.
func (m msgServer) ChallengeDuplicate(ctx context.Context, msg *types.MsgChallengeDuplicate) (*types.MsgChallengeDuplicateResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
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
	g, err := m.gatewayOfJob(ctx, j)
	if err != nil {
		return nil, err
	}
	switch {
	case j.Status == types.JobStatus_JOB_STATUS_FAULTED:
		return nil, types.ErrState.Wrapf("the gateway of job %d was proved at fault before", j.Id)
	case g.Status == types.Status_STATUS_GONE:
		return nil, types.ErrState.Wrapf("gateway %s has left and has no bond", g.Address)
	}
	var seqs [2]uint64
	for i, r := range []types.CommittedReceipt{msg.First, msg.Second} {
		e, err := m.epoch(ctx, msg.Job, r.Epoch)
		if err != nil {
			return nil, err
		}
		signed, _, err := checkLeaf(ctx, e, r.Receipt, r.Proof)
		if err != nil {
			return nil, err
		}
		seqs[i] = signed.Receipt.Seq
	}
	if seqs[0] != seqs[1] {
		return nil, types.ErrProof.Wrapf("they are receipts of two tasks, %d and %d", seqs[0], seqs[1])
	}
	reward, err := m.fault(ctx, &j, from, fmt.Sprintf("task %d was committed twice", seqs[0]))
	if err != nil {
		return nil, err
	}
	emit(ctx, types.EventDuplicate, types.AttrJob, j.Id, types.AttrTask, seqs[0], types.AttrChallenger, challenger, types.AttrAmount, reward)
	return &types.MsgChallengeDuplicateResponse{}, m.setJob(ctx, j)
}
