package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func (g *gate) challenge(worker string, epoch, units uint64) *types.MsgChallengeVoucher {
	return &types.MsgChallengeVoucher{Challenger: bech("anybody"), Voucher: g.voucher(worker, epoch, units)}
}

// A voucher above what was committed is paid from the gateway's bond.
func TestVoucherAboveTheCommitment(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 60}, task{"bob/0", 2, 40})
	g.settle(1)
	wp := g.j().WorkerPrice
	anybody, ada, gate := w.balance("anybody"), w.balance("ada"), w.balance("gate")
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 100)).Challenge
	require.Equal(t, notes(1), anybody.Sub(w.balance("anybody")))
	refused(w, types.ErrExists, "is open", w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 90))
	answer := &types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/0")}
	refused(w, types.ErrProof, "is about 100 units", w.msg.AnswerChallenge, answer)
	lie := *answer
	lie.Pay.Units = 100
	refused(w, types.ErrProof, "does not verify", w.msg.AnswerChallenge, &lie)
	lie.Pay = g.payProof(1, "bob/0")
	refused(w, types.ErrProof, "is about worker", w.msg.AnswerChallenge, &lie)

	// While it is open nothing settles.
	g.commit(task{"bob/0", 3, 5})
	w.next()
	g.audit(2, honest)
	w.skip(10)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, w.epoch(g.job, 2).Status)
	w.skip(15)
	j := g.j()
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, j.Status)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.job, 2).Status)
	require.Equal(t, anybody, w.balance("anybody"), "the deposit is back")
	require.Equal(t, wp.MulRaw(100), w.balance("ada").Sub(ada), "the worker has all that it was promised")
	require.Equal(t, notes(900).Sub(wp.MulRaw(100)), w.gateway("gate").Bond)

	// The 60 units that were settled pay the gateway back, and nobody twice.
	ada = w.balance("ada")
	must(w, w.msg.Claim, g.claims(1, "ada/0", "bob/0"))
	require.Equal(t, ada, w.balance("ada"))
	require.Equal(t, wp.MulRaw(60), w.balance("gate").Sub(gate))
	refused(w, types.ErrNothing, "was paid for 100", w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 100))
	refused(w, types.ErrNotFound, "no open challenge", w.msg.AnswerChallenge, answer)
	c, err := w.query.Claimed(w.ctx, &types.QueryClaimedRequest{Job: g.job, Worker: nodeKey("ada/0").Public().String()})
	require.NoError(t, err)
	require.Equal(t, types.Claimed{Job: g.job, Worker: pub("ada/0"), Units: 100, Drawn: 60}, c.Claimed)

	// Another worker's voucher is honoured too, without a second slash.
	must(w, w.msg.ChallengeVoucher, g.challenge("bob/0", 2, 45))
	bond := w.gateway("gate").Bond
	w.skip(26)
	require.Equal(t, wp.MulRaw(5), bond.Sub(w.gateway("gate").Bond))
	require.EqualValues(t, 1, w.gateway("gate").Faults)
	require.True(t, g.j().Left().IsZero())
}

// An honest gateway answers, and the deposit is its reward.
func TestAnsweredChallenge(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 60})
	g.commit(task{"ada/0", 2, 40})
	w.next()
	gate := w.balance("gate")
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 60)).Challenge
	list, err := w.query.Challenges(w.ctx, &types.QueryChallengesRequest{Job: g.job})
	require.NoError(t, err)
	require.Len(t, list.Challenges, 1)
	early := &types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/0")}
	refused(w, types.ErrEpoch, "epoch 2 or later", w.msg.AnswerChallenge, early)
	answer := &types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 2, Pay: g.payProof(2, "ada/0")}
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.AnswerChallenge, &types.MsgAnswerChallenge{Gateway: bech("ada"), Challenge: id, Epoch: 2, Pay: answer.Pay})
	must(w, w.msg.AnswerChallenge, answer)
	require.Equal(t, notes(1), w.balance("gate").Sub(gate))
	g.audit(1, honest)
	g.audit(2, honest)
	w.skip(30)
	require.Equal(t, types.JobStatus_JOB_STATUS_OPEN, g.j().Status)
	require.EqualValues(t, 2, g.j().EpochsSettled, "it settles once the challenge is gone")
}

// A gateway that takes back in a later tree what an earlier one gave can't answer.
func TestPayTakenBack(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 100})
	g.settle(1)
	delete(g.total, "ada/0")
	g.total["bob/0"] = 100
	g.commit(task{"bob/0", 2, 100}) // bob/0 has 200 of 200
	g.settle(2)
	must(w, w.msg.Claim, g.claims(2, "bob/0"))
	require.EqualValues(t, 200, g.j().UnitsClaimed)
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 100)).Challenge
	refused(w, types.ErrEpoch, "epoch 2 or later", w.msg.AnswerChallenge,
		&types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/0")})
	ada := w.balance("ada")
	w.skip(26)
	require.Equal(t, g.j().WorkerPrice.MulRaw(100), w.balance("ada").Sub(ada), "its bond pays instead")
}

func TestChallengeVoucherRefuses(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 60})
	g.settle(1)
	refused(w, types.ErrState, "not committed yet", w.msg.ChallengeVoucher, g.challenge("ada/0", 2, 70))
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	refused(w, types.ErrNothing, "was paid for 60", w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 60))
	refused(w, types.ErrNotFound, "no worker", w.msg.ChallengeVoucher, g.challenge("nobody", 1, 60))
	m := g.challenge("ada/0", 1, 70)
	m.Voucher[len(m.Voucher)-1] ^= 1
	refused(w, types.ErrVoucher, "signature", w.msg.ChallengeVoucher, m)
	m.Voucher = m.Voucher[:20]
	refused(w, types.ErrVoucher, "canonical", w.msg.ChallengeVoucher, m)
	sign := func(key string, v work.Voucher) *types.MsgChallengeVoucher {
		v.Worker, v.Units = nodeKey("ada/0").Public(), 70
		s, err := work.SignVoucher(nodeKey(key), v)
		require.NoError(t, err)
		b, err := s.Encode()
		require.NoError(t, err)
		return &types.MsgChallengeVoucher{Challenger: bech("anybody"), Voucher: b}
	}
	refused(w, types.ErrVoucher, "not the gateway", w.msg.ChallengeVoucher, sign("ada/0", work.Voucher{Chain: testChain, Job: 1, Epoch: 1}))
	refused(w, types.ErrVoucher, "other-chain", w.msg.ChallengeVoucher, sign("gate", work.Voucher{Chain: "other-chain", Job: 1, Epoch: 1}))
	refused(w, types.ErrNotFound, "no job 9", w.msg.ChallengeVoucher, sign("gate", work.Voucher{Chain: testChain, Job: 9, Epoch: 1}))
	m = g.challenge("ada/0", 1, 70)
	m.Challenger = bech("pauper")
	_, err := send(w, w.msg.ChallengeVoucher, m)
	require.ErrorContains(t, err, "insufficient funds")
}

// After a job's end a voucher for an epoch that never came is still good, and the
// gateway's bond waits for the challenge.
func TestVoucherAfterTheEnd(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	must(w, w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("gate")})
	w.skip(90)
	must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 30))
	w.skip(12)
	require.Equal(t, types.Status_STATUS_UNBONDING, w.gateway("gate").Status, "a challenge is open")
	ada := w.balance("ada")
	w.skip(15)
	require.Equal(t, g.j().WorkerPrice.MulRaw(30), w.balance("ada").Sub(ada))
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
	w.skip(30)
	require.Equal(t, types.Status_STATUS_GONE, w.gateway("gate").Status)
	refused(w, types.ErrState, "has left", w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 40))
}

// The bond pays whole units as far as it goes, and what it can't pay can be asked for again.
func TestBondTooSmall(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Price, m.Escrow = notes(10), notes(100) })
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	ada := w.balance("ada")
	must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 1<<63))
	w.skip(26)
	left := w.gateway("gate").Bond
	require.True(t, left.LT(g.j().WorkerPrice), "%s", left)
	require.Equal(t, notes(900).Sub(left), w.balance("ada").Sub(ada))
}

func (g *gate) committed(epoch uint64, i int) types.CommittedReceipt {
	b := g.epochs[epoch-1]
	return types.CommittedReceipt{Epoch: epoch, Receipt: b.receipts[i], Proof: g.proof(b.tree, i)}
}

func TestDuplicate(t *testing.T) {
	for _, closed := range []bool{false, true} {
		w := crew(t)
		g := w.openJob("buyer", "gate")
		g.commit(task{"ada/0", 1, 10}, task{"bob/0", 2, 10})
		g.settle(1)
		g.commit(task{"bob/0", 3, 10}, task{"bob/0", 1, 10}) // task 1 again
		if closed {
			g.settle(2)
			must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
			w.next()
			require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
		}
		m := &types.MsgChallengeDuplicate{Challenger: bech("anybody"), Job: g.job, First: g.committed(1, 0), Second: g.committed(2, 0)}
		refused(w, types.ErrProof, "two tasks, 1 and 3", w.msg.ChallengeDuplicate, m)
		m.Second = g.committed(1, 0)
		refused(w, types.ErrInvalid, "no duplicate", w.msg.ChallengeDuplicate, m)
		m.Second = g.committed(2, 1)
		m.Second.Proof.Index = 0
		refused(w, types.ErrProof, "does not verify", w.msg.ChallengeDuplicate, m)
		m.Second = g.committed(2, 1)
		before := w.balance("anybody")
		must(w, w.msg.ChallengeDuplicate, m)
		require.Equal(t, notes(50), w.balance("anybody").Sub(before), "half of the slash")
		require.Equal(t, notes(900), w.gateway("gate").Bond)
		require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
		refused(w, types.ErrState, "at fault before", w.msg.ChallengeDuplicate, m)
		w.next()
		must(w, w.msg.Claim, g.claims(1, "ada/0", "bob/0"))
		w.next()
	}
}
