package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/keeper"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func liar(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL }

// deposit and its parts, on a one-machine network.
var (
	deposit      = notes(1)
	compensation = types.Share(deposit, 5_000)
)

// accuser is the operator of an auditor of the first sample of an epoch.
func (a *arena) accuser(number uint64) string {
	name := nameOf(work.PublicKey(a.epoch(number).Samples[0].Slots[0].Auditor))
	return name[:len(name)-2]
}

// A worker that computed one step wrongly is found out by whoever computes it rightly, at
// that very step, and pays.
func TestDisputeConvicts(t *testing.T) {
	for _, wrong := range []int{0, 1, 15, 16, 300, 4095, 4096, 4500} {
		a := newArena(t, 4500)
		a.traces[1] = toyRun(1, 4500, wrong)
		var passed string
		n := a.decided(func(_ int, k work.PublicKey) types.Outcome {
			if passed == "" {
				passed = nameOf(k)
				return types.Outcome_OUTCOME_PASS
			}
			return types.Outcome_OUTCOME_FAIL
		}, task{"ada/0", 1, 10})
		require.Equal(t, types.SampleStatus_SAMPLE_STATUS_ACCUSED, a.epoch(n).Samples[0].Status)
		require.Equal(t, notes(100), a.worker("ada/0").Bond, "votes alone cost nothing")

		name := nameOf(work.PublicKey(a.epoch(n).Samples[0].Slots[1].Auditor))
		who := name[:len(name)-2]
		before := a.balance(who)
		m := a.dispute(who, n, 0, a.honest(1))
		m.Receipt, m.Proof = nil, types.Proof{} // by the sample's number
		meter := storetypes.NewInfiniteGasMeter()
		a.ctx = a.ctx.WithGasMeter(meter)
		id := must(a.world, a.msg.OpenDispute, m).Dispute
		require.Equal(t, deposit, before.Sub(a.balance(who)))
		require.EqualValues(t, 1, a.epoch(n).OpenDisputes)
		a.next()
		must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.trace(1)))
		d := a.down(id, a.trace(1), a.honest(1))
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_DECIDING, d.Status)
		require.EqualValues(t, wrong, d.Node)
		require.EqualValues(t, 4, d.Rounds)
		r := must(a.world, a.msg.Decide, a.deciding(id, a.honest(1)))
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, r.Status)
		d = a.world.dispute(id)
		t.Logf("wrong at step %d of 4501: %d rounds, %d bytes, %d gas; %s", wrong, d.Rounds, d.Bytes, meter.GasConsumed(), d.Reason)
		require.True(t, d.Proved)
		a.next()

		e := a.epoch(n)
		require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, e.Samples[0].Status)
		require.True(t, e.Samples[0].Proved)
		cheat := a.worker("ada/0")
		require.Equal(t, types.Status_STATUS_JAILED, cheat.Status)
		require.Equal(t, notes(50), cheat.Bond)
		require.EqualValues(t, 1, cheat.AuditsFailed)
		reward := types.Share(notes(50), 2_500)
		require.Equal(t, reward, a.balance(who).Sub(before), "the deposit is back, with a share of the slash")
		require.Equal(t, cut(notes(100), 500, 1), a.worker(passed).Bond, "who passed it is fined like one who passed a plant")
		require.Equal(t, notes(100), a.worker(name).Bond)
		a.skip(20)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(n).Status)
		require.Equal(t, "asserted", a.epoch(n).Label)
		for _, s := range a.epoch(n).Samples[0].Slots {
			require.Equal(t, nameOf(work.PublicKey(s.Auditor)) != passed, s.Paid)
		}
		buyer := a.balance("buyer")
		must(a.world, a.msg.Claim, a.claims(n, "ada/0"))
		require.Equal(t, a.j().WorkerPrice.MulRaw(10), a.balance("buyer").Sub(buyer), "the buyer has the pay back")
	}
}

// A worker that is accused falsely wins wherever the accuser's trace departs from the right
// one, and the accuser pays it.
func TestDisputeAcquits(t *testing.T) {
	for _, wrong := range []int{0, 16, 255, 299, 300} {
		a := newArena(t, 300)
		accuser := ""
		n := a.decided(func(_ int, k work.PublicKey) types.Outcome {
			if accuser == "" {
				accuser = nameOf(k)
				return types.Outcome_OUTCOME_FAIL
			}
			return types.Outcome_OUTCOME_PASS
		}, task{"ada/0", 1, 10})
		who := accuser[:len(accuser)-2]
		lie := toyRun(1, 300, wrong)
		id := must(a.world, a.msg.OpenDispute, a.dispute(who, n, 0, lie)).Dispute
		before, ada, burned := a.balance(who), a.balance("ada"), a.check().Burned
		must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
		a.down(id, a.honest(1), lie)
		r := must(a.world, a.msg.Decide, a.deciding(id, a.honest(1)))
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_LOST, r.Status)
		require.Equal(t, before, a.balance(who), "the deposit is lost")
		require.Equal(t, compensation, a.balance("ada").Sub(ada))
		require.Equal(t, deposit.Sub(compensation), a.check().Burned.Sub(burned))
		require.EqualValues(t, 0, a.worker("ada/0").Disputes)

		a.skip(21)
		e := a.epoch(n)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
		require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UPHELD, e.Samples[0].Status)
		require.Equal(t, "replayed", e.Label)
		require.Equal(t, notes(100), a.worker("ada/0").Bond)
		require.EqualValues(t, 1, a.worker("ada/0").AuditsPassed)
		require.Equal(t, cut(notes(100), 10, 1), a.worker(accuser).Bond, "and it is fined as an auditor")
	}
}

// Who is silent loses, at every stage; where both are, the one who claims something does.
func TestSilenceLoses(t *testing.T) {
	const (
		won  = types.DisputeStatus_DISPUTE_STATUS_WON
		lost = types.DisputeStatus_DISPUTE_STATUS_LOST
	)
	for _, c := range []struct {
		name   string
		play   func(a *arena, id uint64)
		want   types.DisputeStatus
		reason string
	}{
		{"no answer", func(*arena, uint64) {}, won, "did not answer"},
		{"both at the top", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
		}, lost, "challenger did not show"},
		{"the worker at the top", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
			must(a.world, a.msg.Descend, a.descend(id, toyRun(1, 300, 20)))
		}, won, "worker did not show"},
		{"the challenger at the top", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
			must(a.world, a.msg.Descend, a.descend(id, a.honest(1)))
		}, lost, "challenger did not show"},
		{"the worker further down", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
			must(a.world, a.msg.Descend, a.descend(id, a.honest(1)))
			must(a.world, a.msg.Descend, a.descend(id, toyRun(1, 300, 20)))
			must(a.world, a.msg.Descend, a.descend(id, toyRun(1, 300, 20)))
		}, won, "worker did not show"},
		{"nobody opens the step", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
			a.down(id, a.honest(1), toyRun(1, 300, 20))
		}, lost, "nobody opened"},
		{"nobody contradicts", func(a *arena, id uint64) {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", toyRun(1, 300, 20)))
		}, lost, "contradicts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, 300)
			n := a.decided(honest, task{"ada/0", 1, 10})
			id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, toyRun(1, 300, 20))).Dispute
			a.skip(3)
			c.play(a, id)
			require.False(t, a.world.dispute(id).Over())
			due := a.world.dispute(id).Deadline
			require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, a.epoch(n).Status)
			a.skip(due - a.height())
			require.False(t, a.world.dispute(id).Over(), "the time is not over")
			require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, a.epoch(n).Status, "the epoch waits")
			a.next()
			d := a.world.dispute(id)
			require.Equal(t, c.want, d.Status)
			require.Contains(t, d.Reason, c.reason)
			require.False(t, d.Proved)
			require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(n).Status, "the block that ends it settles the epoch")
			w := a.worker("ada/0")
			s := a.epoch(n).Samples[0]
			if c.want == lost {
				require.Equal(t, notes(100), w.Bond)
				require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UPHELD, s.Status)
				return
			}
			require.Equal(t, notes(50), w.Bond)
			require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, s.Status)
			for _, slot := range s.Slots { // the worker's silence shows no auditor to be wrong
				require.Equal(t, notes(100), a.worker(nameOf(work.PublicKey(slot.Auditor))).Bond)
			}
		})
	}
}

// A worker whose trace is right, and whose result is another, is contradicted by it.
func TestContradiction(t *testing.T) {
	for _, root := range []toyTrace{toyRun(1, 300), toyRun(1, 300, 7)} { // the challenger's
		a := newArena(t, 300)
		a.result[1] = []byte{1, 2, 3, 4}
		n := a.decided(liar, task{"ada/0", 1, 10})
		who := a.accuser(n)
		id := must(a.world, a.msg.OpenDispute, a.dispute(who, n, 0, root)).Dispute
		m := &types.MsgContradict{Sender: bech("anybody"), Dispute: id, Opening: a.honest(1).bytes()}
		refused(a.world, types.ErrState, "not named its trace", a.msg.Contradict, m)
		must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
		lie := *m
		lie.Opening = toyRun(1, 300, 3).bytes()
		refused(a.world, types.ErrDispute, "not this trace", a.msg.Contradict, &lie)
		lie.Opening, lie.Position = m.Opening, 2
		refused(a.world, types.ErrDispute, "not this trace", a.msg.Contradict, &lie)
		if string(root.root()) == string(a.honest(1).root()) {
			require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_AGREED, a.world.dispute(id).Status)
			refused(a.world, types.ErrState, "not at a step", a.msg.Decide, &types.MsgDecide{Sender: bech("anybody"), Dispute: id, Opening: []byte{1}})
		}
		must(a.world, a.msg.Contradict, m)
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, a.world.dispute(id).Status)
		require.Equal(t, notes(50), a.worker("ada/0").Bond)
		refused(a.world, types.ErrState, "is over", a.msg.Contradict, m)
		a.next()
	}
	// Of a true result nobody shows that it is false.
	a := newArena(t, 300)
	n := a.decided(honest, task{"ada/0", 1, 10})
	id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1))).Dispute
	must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))
	refused(a.world, types.ErrDispute, "gives this result", a.msg.Contradict, &types.MsgContradict{Sender: bech("anybody"), Dispute: id, Opening: a.honest(1).bytes()})
	a.next()
}

// A result that no computation could give is false at sight.
func TestFalseAtSight(t *testing.T) {
	a := newArena(t, 300)
	a.result[1] = []byte("nonsense")
	n := a.decided(honest, task{"ada/0", 1, 10})
	before := a.balance("anybody")
	id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1))).Dispute
	require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, a.world.dispute(id).Status)
	require.Equal(t, types.Share(notes(50), 2_500), a.balance("anybody").Sub(before))
	a.next()
}

// A worker's friend who disputes first, to lose on purpose, clears nothing: others dispute
// at the same time, the first who proves it wins, and what is still open is moot.
func TestManyChallengers(t *testing.T) {
	a := newArena(t, 300)
	a.traces[1] = toyRun(1, 300, 40)
	n := a.decided(liar, task{"ada/0", 1, 10})
	who := a.accuser(n)
	friends := []string{"friend", "buyer", "gate", "pal"}
	for _, f := range friends {
		a.fund(f, 10)
		must(a.world, a.msg.OpenDispute, a.dispute(f, n, 0, toyRun(1, 300, 11)))
	}
	refused(a.world, types.ErrState, "4 disputes", a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1)))
	before := a.balance(who)
	mine := must(a.world, a.msg.OpenDispute, a.dispute(who, n, 0, a.honest(1))).Dispute // its auditor's place is kept
	require.EqualValues(t, 5, mine)
	require.EqualValues(t, 5, a.worker("ada/0").Disputes)
	list, err := a.query.Disputes(a.ctx, &types.QueryDisputesRequest{Worker: nodeKey("ada/0").Public().String()})
	require.NoError(t, err)
	require.Len(t, list.Disputes, 5)
	list, err = a.query.Disputes(a.ctx, &types.QueryDisputesRequest{Job: a.gate.job, Challenger: bech(who)})
	require.NoError(t, err)
	require.Len(t, list.Disputes, 1)
	list, err = a.query.Disputes(a.ctx, &types.QueryDisputesRequest{Job: a.gate.job + 1})
	require.NoError(t, err)
	require.Empty(t, list.Disputes)

	// The friend's trace is wrong before the worker's is: it loses, and nothing is cleared.
	for id := range uint64(5) {
		must(a.world, a.msg.AnswerDispute, a.answer(id+1, "ada/0", a.trace(1)))
	}
	a.down(1, a.trace(1), toyRun(1, 300, 11))
	must(a.world, a.msg.Decide, a.deciding(1, a.honest(1)))
	require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_LOST, a.world.dispute(1).Status)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_ACCUSED, a.epoch(n).Samples[0].Status)
	a.down(mine, a.trace(1), a.honest(1))
	must(a.world, a.msg.Decide, a.deciding(mine, a.honest(1)))
	require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, a.world.dispute(mine).Status)
	for id := uint64(2); id <= 4; id++ {
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_MOOT, a.world.dispute(id).Status)
	}
	require.Equal(t, types.Share(notes(50), 2_500), a.balance(who).Sub(before))
	require.Equal(t, notes(10), a.balance("pal"), "a moot dispute's deposit is back")
	require.Equal(t, notes(9), a.balance("friend"))
	require.EqualValues(t, 0, a.worker("ada/0").Disputes)
	require.EqualValues(t, 0, a.epoch(n).OpenDisputes)
	refused(a.world, types.ErrNothing, "found false before", a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1)))
	list, err = a.query.Disputes(a.ctx, &types.QueryDisputesRequest{Open: true})
	require.NoError(t, err)
	require.Empty(t, list.Disputes)
	list, err = a.query.Disputes(a.ctx, &types.QueryDisputesRequest{})
	require.NoError(t, err)
	require.Len(t, list.Disputes, 5)
	a.next()
}

// Anybody may dispute a receipt that was not drawn; once it is shown to be false it is like
// a sample that was. A worker that has lost its pay in the job once is left in peace.
func TestUnsampledReceipt(t *testing.T) {
	a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 100 })
	a.traces[2], a.traces[3] = toyRun(2, 300, 4), toyRun(3, 300, 5)
	n := a.decided(honest, task{"ada/0", 1, 10_000}, task{"bob/0", 2, 3}, task{"bob/0", 3, 3})
	require.Len(t, a.epoch(n).Samples, 1)
	id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 1, a.honest(2))).Dispute
	must(a.world, a.msg.AnswerDispute, a.answer(id, "bob/0", a.trace(2)))
	a.down(id, a.trace(2), a.honest(2))
	must(a.world, a.msg.Decide, a.deciding(id, a.honest(2)))
	e := a.epoch(n)
	require.Len(t, e.Samples, 2)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, e.Samples[1].Status)
	require.EqualValues(t, 1, e.Samples[1].Index)
	require.EqualValues(t, 10_000, e.Samples[1].Unit)
	require.Equal(t, notes(50), a.worker("bob/0").Bond)
	refused(a.world, types.ErrNothing, "no pay to lose", a.msg.OpenDispute, a.dispute("anybody", n, 2, a.honest(3)))
	a.skip(21)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(n).Status)
	require.Equal(t, "asserted", a.epoch(n).Label)
}

// What auditors found false and nobody proves counts against them alone.
func TestAccusedWithoutProof(t *testing.T) {
	for passes, want := range []types.SampleStatus{types.SampleStatus_SAMPLE_STATUS_UNDECIDED, types.SampleStatus_SAMPLE_STATUS_UPHELD, types.SampleStatus_SAMPLE_STATUS_UPHELD} {
		a := newArena(t, 300)
		said := 0
		n := a.decided(func(int, work.PublicKey) types.Outcome {
			said++
			if said <= passes {
				return types.Outcome_OUTCOME_PASS
			}
			return types.Outcome_OUTCOME_FAIL
		}, task{"ada/0", 1, 10})
		a.skip(21)
		e := a.epoch(n)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
		require.Equal(t, want, e.Samples[0].Status)
		require.Equal(t, notes(100), a.worker("ada/0").Bond)
		for _, s := range e.Samples[0].Slots {
			b := notes(100)
			if s.Outcome == types.Outcome_OUTCOME_FAIL {
				b = cut(b, 10, 1)
			}
			require.Equal(t, b, a.worker(nameOf(work.PublicKey(s.Auditor))).Bond)
		}
		must(a.world, a.msg.Claim, a.claims(n, "ada/0"))
	}
}

// Who lies more often than there is time for disputes harms nobody by what was not disputed.
func TestAccusedWithoutProofButConvicted(t *testing.T) {
	a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	var lies []task
	for i := range uint64(6) {
		a.traces[i+1] = toyRun(uint32(i+1), 300, 40)
		lies = append(lies, task{"ada/0", i + 1, 10_000})
	}
	asked := map[int]int{}
	n := a.decided(func(sample int, _ work.PublicKey) types.Outcome {
		if asked[sample]++; sample > 0 && asked[sample] == 1 {
			return types.Outcome_OUTCOME_PASS
		}
		return types.Outcome_OUTCOME_FAIL
	}, lies...)
	must(a.world, a.msg.OpenDispute, a.dispute(a.accuser(n), n, int(a.epoch(n).Samples[0].Index), a.honest(a.epoch(n).Samples[0].Index+1)))
	a.skip(60) // the worker does not answer
	e := a.epoch(n)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
	others := 0
	for i, s := range e.Samples {
		switch {
		case i == 0:
			require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, s.Status)
		case s.Status != types.SampleStatus_SAMPLE_STATUS_MERGED:
			others++
			require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UNDECIDED, s.Status)
		}
		for _, slot := range s.Slots {
			require.Equal(t, notes(100), a.worker(nameOf(work.PublicKey(slot.Auditor))).Bond)
		}
	}
	require.NotZero(t, others)
	require.Equal(t, notes(50), a.worker("ada/0").Bond)
	buyer := a.balance("buyer")
	must(a.world, a.msg.Claim, a.claims(n, "ada/0"))
	require.Equal(t, a.j().WorkerPrice.MulRaw(60_000), a.balance("buyer").Sub(buyer), "the buyer has the pay of all back")
}

// A plant's worker may lose a dispute by being silent, and is not punished once the plant is
// shown; a gateway can even prove its own plant, so that auditors who all passed it pay.
func TestDisputedPlants(t *testing.T) {
	for _, proved := range []bool{false, true} {
		a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
		a.result[2] = []byte{9, 9, 9, 9}
		n := a.commitPlanted([]uint64{1}, task{"bob/0", 1, 1}, task{"ada/1", 2, 1000})
		a.next()
		a.audit(n, honest) // nobody looks
		before := a.balance("anybody")
		id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 1, a.honest(2))).Dispute
		if proved {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/1", a.honest(2)))
			must(a.world, a.msg.Contradict, &types.MsgContradict{Sender: bech("gate"), Dispute: id, Opening: a.honest(2).bytes()})
		} else {
			due := a.epoch(n).Deadline
			must(a.world, a.msg.RevealPlants, a.reveal(n))
			refused(a.world, types.ErrNothing, "shown to be a plant", a.msg.OpenDispute, a.dispute("buyer", n, 1, a.honest(2)))
			a.skip(due + 60 - a.height())
		}
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, a.world.dispute(id).Status)
		require.Equal(t, before, a.balance("anybody"), "the deposit, and no reward")
		if proved {
			require.Positive(t, a.worker("ada/1").Charges)
			a.next()
			must(a.world, a.msg.RevealPlants, a.reveal(n))
		}
		a.skip(21)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(n).Status)
		require.Equal(t, notes(100), a.worker("ada/1").Bond, "it is a plant")
		require.Zero(t, a.worker("ada/1").Charges)
		s := a.epoch(n).Samples[a.epoch(n).SampleAt(1)]
		for _, slot := range s.Slots {
			b := a.worker(nameOf(work.PublicKey(slot.Auditor))).Bond
			require.Equal(t, proved, b.LT(notes(100)), "%s", b)
		}
	}
}

// A plant that was not drawn, and is shown while a dispute about it is open, costs its worker
// nothing either.
func TestDisputedUnsampledPlant(t *testing.T) {
	for _, shownFirst := range []bool{false, true} {
		a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 100 })
		a.result[2] = []byte{9, 9, 9, 9}
		n := a.commitPlanted([]uint64{1}, task{"bob/0", 1, 100_000}, task{"ada/1", 2, 1})
		a.next()
		a.audit(n, honest)
		require.Len(t, a.epoch(n).Samples, 1)
		before := a.balance("anybody")
		id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 1, a.honest(2))).Dispute
		must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/1", a.honest(2)))
		contradict := func() {
			must(a.world, a.msg.Contradict, &types.MsgContradict{Sender: bech("anybody"), Dispute: id, Opening: a.honest(2).bytes()})
		}
		if !shownFirst {
			contradict()
			require.EqualValues(t, 1, a.worker("ada/1").Charges)
		}
		a.next()
		must(a.world, a.msg.RevealPlants, a.reveal(n))
		if shownFirst {
			contradict()
		}
		require.True(t, a.epoch(n).Samples[1].Plant)
		require.Zero(t, a.worker("ada/1").Charges)
		require.Equal(t, notes(100), a.worker("ada/1").Bond)
		require.Equal(t, before, a.balance("anybody"))
		a.skip(21)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(n).Status)
		require.Equal(t, "replayed", a.epoch(n).Label, "plants say nothing about the work")
	}
}

// A dispute goes on though the gateway was at fault meanwhile, and the worker's bond waits
// for it.
func TestDisputeOutlivesItsEpoch(t *testing.T) {
	a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	a.traces[1] = toyRun(1, 300, 40)
	n := a.commitPlanted(nil, task{"ada/0", 1, 10})
	a.next()
	a.audit(n, honest)
	must(a.world, a.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/0")}})
	id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1))).Dispute
	a.skip(26) // the plants are not shown in time
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, a.epoch(n).Status)
	must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.trace(1)))
	a.skip(49)
	for _, t := range []toyTrace{a.trace(1), a.honest(1)} {
		must(a.world, a.msg.Descend, a.descend(id, t))
	}
	a.skip(49)
	require.Equal(t, types.Status_STATUS_UNBONDING, a.worker("ada/0").Status, "its bond waits for the dispute")
	a.down(id, a.trace(1), a.honest(1))
	must(a.world, a.msg.Decide, a.deciding(id, a.honest(1)))
	require.Equal(t, notes(50), a.worker("ada/0").Bond)
	require.Equal(t, types.Status_STATUS_JAILED, a.worker("ada/0").Status)
	require.Zero(t, a.worker("ada/0").Charges)
	a.skip(200)
	require.Equal(t, types.Status_STATUS_GONE, a.worker("ada/0").Status)
}

// Disputes at every stage go on after an export and an import.
func TestDisputesInGenesis(t *testing.T) {
	a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 100 })
	var tasks []task
	for i := range uint64(6) {
		a.traces[i+1] = toyRun(uint32(i)+1, 300, 40)
		tasks = append(tasks, task{"ada/0", i + 1, 10})
	}
	a.result[6] = []byte{1, 2, 3, 4}
	a.traces[6] = a.honest(6)
	n := a.decided(honest, tasks...)
	for i := range 6 {
		seq := uint64(i) + 1
		id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, i, a.honest(seq))).Dispute
		if i > 0 {
			must(a.world, a.msg.AnswerDispute, a.answer(id, "ada/0", a.trace(seq)))
		}
		if i == 2 {
			must(a.world, a.msg.Descend, a.descend(id, a.honest(seq)))
		}
		if i == 3 || i == 4 {
			a.down(id, a.trace(seq), a.honest(seq))
		}
		if i == 4 {
			must(a.world, a.msg.Decide, a.deciding(id, a.honest(seq)))
		}
	}
	require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_AGREED, a.world.dispute(6).Status)
	b := a.reborn()
	open, err := a.k.ExportGenesis(a.ctx)
	require.NoError(t, err)
	for _, w := range []*world{a.world, b} {
		must(w, w.msg.Decide, w.deciding(4, a.honest(4)))
		w.skip(60)
		require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(a.gate.job, n).Status)
	}
	one, err := a.k.ExportGenesis(a.ctx)
	require.NoError(t, err)
	two, err := b.k.ExportGenesis(b.ctx)
	require.NoError(t, err)
	require.Equal(t, string(a.cdc.MustMarshalJSON(one)), string(b.cdc.MustMarshalJSON(two)))

	open.Exhibits = open.Exhibits[1:]
	require.ErrorContains(t, open.Validate(), "without an exhibit")
	for name, edit := range map[string]func(*types.GenesisState){
		"with a deposit of":  func(g *types.GenesisState) { g.Disputes[0].Deposit = math.OneInt() },
		"which is not there": func(g *types.GenesisState) { g.Disputes[0].Epoch = 77 },
		"next is to be 1":    func(g *types.GenesisState) { g.NextDispute = 1 },
		"node 9 of level":    func(g *types.GenesisState) { g.Disputes[0].Node = 9 },
		"not open":           func(g *types.GenesisState) { g.Exhibits = []types.Exhibit{{Dispute: 1, Receipt: []byte{1}}} },
	} {
		var g types.GenesisState
		require.NoError(t, a.cdc.UnmarshalJSON(a.cdc.MustMarshalJSON(one), &g))
		edit(&g)
		require.ErrorContains(t, g.Validate(), name)
	}
}

// A market of version 2 goes on under version 3.
func TestMigrate2to3(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	p, err := w.k.Params(w.ctx)
	require.NoError(t, err)
	want := p
	old := p
	old.RefereedKinds, old.DisputeOpenBlocks, old.DisputeMoveBlocks, old.DisputeDeposit = nil, 0, 0, math.Int{}
	old.DisputeCompensationBps, old.DisputeRewardBps, old.MaxOpeningBytes = 0, 0, 0
	old.MeasuredKinds, old.MeasuredThreshold, old.MeasuredClip = nil, 0, 0
	old.UnbondingBlocks = 90 // less than an audit may take now
	require.NoError(t, w.k.ForceParams(w.ctx, old))
	require.NoError(t, keeper.NewMigrator(w.k).Migrate2to3(w.ctx))
	got, err := w.k.Params(w.ctx)
	require.NoError(t, err)
	want.UnbondingBlocks = want.AuditBlocks()
	require.Equal(t, want, got)
	w.next()
	g.audit(1, honest)
	w.skip(6)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status)
	require.Equal(t, "agreed", w.epoch(g.job, 1).Label)
}
