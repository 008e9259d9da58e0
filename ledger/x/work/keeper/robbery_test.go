package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// purses are what everybody holds, with the bonds, in anote.
type purses map[string]math.Int

func (w *world) purses(who ...string) purses {
	w.t.Helper()
	p := purses{}
	for _, n := range who {
		p[n] = w.balance(n)
	}
	workers, err := w.query.Workers(w.ctx, &types.QueryWorkersRequest{})
	require.NoError(w.t, err)
	for _, x := range workers.Workers {
		p["bond of "+nameOf(work.PublicKey(x.Key))] = x.Bond
	}
	p["bond of gate"] = w.gateway("gate").Bond
	return p
}

var everybody = []string{"ada", "bob", "cyd", "dan", "gate", "buyer", "anybody"}

// gained checks who has how much more or less than before; who is not named has as much.
func (w *world) gained(before purses, want purses) {
	w.t.Helper()
	for n, now := range w.purses(everybody...) {
		change := math.ZeroInt()
		if v, ok := want[n]; ok {
			change = v
		}
		require.Equal(w.t, change.String(), now.Sub(before[n]).String(), n)
	}
}

// A gateway that commits another job's receipt can't open it: it loses a tenth of its
// bond, and the buyer has everything back.
func TestReceiptReplayed(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	g.settle(1)
	before := w.purses(everybody...)
	other := w.openJob("buyer", "gate")
	m, b := other.plan(task{"ada/0", 1, 10})
	b.receipts = g.epochs[0].receipts
	b.tree = g.epochs[0].tree
	root := b.tree.Root()
	m.ReceiptsRoot = root.Hash[:]
	must(w, w.msg.CommitEpoch, m)
	other.epochs = append(other.epochs, b)
	w.next()
	refused(w, types.ErrReceipt, "it is of job 1", w.msg.OpenReceipts, other.openings(1))
	w.skip(26)
	w.gained(before, purses{"bond of gate": notes(-100)})
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, other.j().Status)
}

// The same receipts in another epoch: whoever shows both places gets half of what the
// gateway loses.
func TestEpochCommittedTwice(t *testing.T) {
	w := crew(t)
	before := w.purses(everybody...)
	g := w.openJob("buyer", "gate")
	first, b := g.plan(task{"ada/0", 1, 10}, task{"bob/0", 2, 5})
	must(w, w.msg.CommitEpoch, first)
	g.epochs = append(g.epochs, b)
	refused(w, types.ErrEpoch, "the next is 2", w.msg.CommitEpoch, first)
	second, b := g.plan(task{"ada/0", 1, 10}, task{"bob/0", 2, 5})
	must(w, w.msg.CommitEpoch, second) // under the next number
	g.epochs = append(g.epochs, b)
	must(w, w.msg.ChallengeDuplicate, &types.MsgChallengeDuplicate{Challenger: bech("anybody"), Job: g.job, First: g.committed(1, 1), Second: g.committed(2, 1)})
	w.next()
	w.gained(before, purses{"bond of gate": notes(-100), "anybody": notes(50)})
	require.Equal(t, notes(50), w.check().Burned)
}

// A voucher that the gateway did not sign, or not like this, costs nobody anything.
func TestVoucherForged(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	g.settle(1)
	before := w.purses(everybody...)
	for _, key := range []string{"ada/0", "bob/0"} {
		s, err := work.SignVoucher(nodeKey(key), work.Voucher{Chain: testChain, Job: work.JobID(g.job), Worker: nodeKey("ada/0").Public(), Epoch: 1, Units: 500})
		require.NoError(t, err)
		s.Voucher.Gateway = nodeKey("gate").Public()
		forged, err := s.Encode()
		require.NoError(t, err)
		refused(w, types.ErrVoucher, "signature", w.msg.ChallengeVoucher, &types.MsgChallengeVoucher{Challenger: bech("ada"), Voucher: forged})
	}
	raised, err := work.DecodeVoucher(g.voucher("ada/0", 1, 10))
	require.NoError(t, err)
	raised.Voucher.Units = 500
	altered, err := raised.Encode()
	require.NoError(t, err)
	refused(w, types.ErrVoucher, "signature", w.msg.ChallengeVoucher, &types.MsgChallengeVoucher{Challenger: bech("ada"), Voucher: altered})
	w.skip(30)
	w.gained(before, nil)
}

// An auditor that hands in another's commitment as its own can't open it: it is silent in
// the end, and loses as much.
func TestAuditorCopies(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	before := w.purses(everybody...)
	c, r := g.verdicts(1, honest)
	copycat := work.PublicKey(c.Verdicts[1].Auditor)
	name := nameOf(copycat)
	id := work.VerdictID{Chain: testChain, Job: work.JobID(g.job), Epoch: 1, Auditor: copycat}
	copied := work.Hash(c.Verdicts[0].Commitment)
	sig, err := nodeKey(name).SignCommitment(id, [32]byte(copied))
	require.NoError(t, err)
	c.Verdicts[1].Commitment, c.Verdicts[1].Signature = copied[:], sig
	must(w, w.msg.CommitVerdicts, c)
	reveal := *r
	reveal.Verdicts = []types.VerdictReveal{r.Verdicts[0], r.Verdicts[2]}
	must(w, w.msg.RevealVerdicts, &reveal)
	stolen := r.Verdicts[0] // it has seen what the other revealed
	stolen.Auditor = copycat[:]
	refused(w, types.ErrVerdict, "not the committed one", w.msg.RevealVerdicts,
		&types.MsgRevealVerdicts{Sender: bech("anybody"), Job: g.job, Epoch: 1, Verdicts: []types.VerdictReveal{stolen}})
	w.skip(30)
	j := g.j()
	share := j.AuditPrice.MulRaw(10).QuoRaw(2)
	want := purses{"bond of " + name: types.Share(notes(100), 10).Neg(), "gate": j.PaidGateway}
	for _, i := range []int{0, 2} {
		op := w.worker(nameOf(work.PublicKey(c.Verdicts[i].Auditor))).Operator
		for _, n := range everybody {
			if bech(n) == op {
				want[n] = share
			}
		}
	}
	w.gained(before, want)
	require.EqualValues(t, 1, w.worker(name).VerdictsMissed)
}

// A buyer that closes its job early keeps what was not done, and pays what was.
func TestBuyerClosesToKeepTheMoney(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Escrow = m.Price.MulRaw(100) })
	before := w.purses(everybody...)
	must(w, w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("buyer"), Job: g.job})
	w.next()
	g.commit(task{"ada/0", 1, 40}, task{"bob/0", 2, 20}) // done before
	g.settle(1)
	w.skip(100)
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
	must(w, w.msg.Claim, g.claims(1, "ada/0", "bob/0"))
	j := g.j()
	want := purses{
		"ada": j.WorkerPrice.MulRaw(40), "bob": j.WorkerPrice.MulRaw(20), "gate": j.GatewayPrice.MulRaw(60),
		"buyer": j.Price.MulRaw(40),
	}
	for _, slot := range w.epoch(g.job, 1).Samples[0].Slots {
		for _, n := range everybody {
			if bech(n) == w.worker(nameOf(work.PublicKey(slot.Auditor))).Operator {
				if want[n].IsNil() {
					want[n] = math.ZeroInt()
				}
				want[n] = want[n].Add(j.AuditPrice.MulRaw(60).QuoRaw(3))
			}
		}
	}
	w.gained(before, want)
	refused(w, types.ErrState, "no longer open", w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("buyer"), Job: g.job})
}

// However often a worker claims, with old proofs and new ones, it is paid once.
func TestWorkerClaimsTwice(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 40}, task{"bob/0", 2, 20})
	g.settle(1)
	g.commit(task{"ada/0", 3, 5})
	g.settle(2)
	before := w.purses(everybody...)
	must(w, w.msg.Claim, g.claims(2, "ada/0", "ada/0"))
	for _, epoch := range []uint64{2, 1} {
		refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(epoch, "ada/0"))
		refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(epoch, "ada/0", "ada/0"))
	}
	must(w, w.msg.Claim, g.claims(1, "bob/0", "ada/0", "bob/0"))
	w.next()
	wp := g.j().WorkerPrice
	w.gained(before, purses{"ada": wp.MulRaw(45), "bob": wp.MulRaw(20)})
}

// A gateway cuts a worker's cumulative pay in a later tree in favour of a friend. The
// worker's own older proof shows it: the bond pays what the escrow no longer can.
func TestCumulativePayCut(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 100})
	g.settle(1)
	delete(g.total, "ada/0")
	g.total["bob/0"] = 100
	g.commit(task{"bob/0", 2, 100}) // bob/0 has 200 of 200
	g.settle(2)
	g.commit(task{"bob/0", 3, 1}) // pending
	before := w.purses(everybody...)
	wp := g.j().WorkerPrice
	must(w, w.msg.Claim, g.claims(2, "bob/0"))
	require.Equal(t, wp.MulRaw(100), must(w, w.msg.Claim, g.claims(1, "ada/0")).Paid)
	w.next()
	w.gained(before, purses{
		"bob": wp.MulRaw(200), "ada": wp.MulRaw(100), "bond of gate": notes(-100).Sub(wp.MulRaw(100)),
		"buyer": g.j().Refunded,
	})
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.job, 3).Status)
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(1, "ada/0"))
	require.True(t, g.j().Left().IsZero())
}

// The gateway's own worker draws what an early tree gives it, and a second one of its
// draws the same units by a later tree. The honest worker finds the escrow short although
// the newest tree names its units, and is paid the rest from the gateway's bond.
func TestGatewayDrainsByTwoTrees(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 60}, task{"bob/0", 2, 90}) // ada's workers are the gateway's
	g.settle(1)
	before := w.purses(everybody...)
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	g.total["ada/1"] = g.total["ada/0"]
	delete(g.total, "ada/0")
	g.commit(task{"ada/1", 3, 1})
	g.settle(2)
	must(w, w.msg.Claim, g.claims(2, "ada/1"))
	auditors := g.j().PaidAuditors
	j := g.j()
	paid := must(w, w.msg.Claim, g.claims(2, "bob/0")).Paid
	require.Equal(t, j.WorkerPrice.MulRaw(90), paid, "all that the tree names")
	require.Equal(t, auditors, g.j().PaidAuditors)
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
	after := w.purses(everybody...)
	require.Equal(t, notes(-100).Sub(j.WorkerPrice.MulRaw(60)), after["bond of gate"].Sub(before["bond of gate"]))
	require.True(t, g.j().Left().IsZero())
	w.next()
}

// A gateway forges receipts with its own workers. What is drawn is found false: the worker
// is jailed, and its pay goes back to the buyer with all that it was to get.
func TestGatewayForgesWithItsOwnWorkers(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Escrow = m.Price.MulRaw(1000) })
	before := w.purses(everybody...)
	before["buyer"] = before["buyer"].Add(g.j().Escrow)
	g.commit(task{"ada/0", 1, 500}, task{"ada/0", 2, 500})
	w.next()
	g.audit(1, func(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL })
	w.skip(6)
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.skip(2)
	j := g.j()
	samples := 0
	for _, s := range w.epoch(g.job, 1).Samples {
		if s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE {
			samples++
		}
	}
	after := w.purses(everybody...)
	require.Equal(t, cut(notes(100), 5000, samples), after["bond of ada/0"])
	require.Equal(t, j.GatewayPrice.MulRaw(1000), after["gate"].Sub(before["gate"]), "only its fee")
	require.Equal(t, before["ada"], after["ada"])
	require.Equal(t, j.PaidGateway.Add(j.PaidAuditors).Add(j.Burned), before["buyer"].Sub(after["buyer"]))
	loss := notes(100).Sub(after["bond of ada/0"]).Sub(j.PaidGateway)
	require.True(t, loss.IsPositive(), "forging does not pay")
}

// It calls all of them plants, so that nobody is punished when they are found false: then
// it earns nothing by them, and the buyer has everything back.
func TestPlantsAreNoInsurance(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	before := w.purses(everybody...)
	before["buyer"] = before["buyer"].Add(g.j().Escrow)
	g.commitPlanted([]uint64{0, 1}, task{"ada/0", 1, 500}, task{"ada/0", 2, 500})
	w.next()
	g.audit(1, g.eyes(1, nil))
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.skip(6)
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(1, "ada/0"))
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.skip(2)
	w.gained(before, nil)
	require.Equal(t, g.j().Escrow, g.j().Refunded)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status)
}

// It gives the units of its plants to a friend in the pay tree. The friend draws them from
// what was settled for others; whoever comes too late is paid from the gateway's bond.
func TestPlantsPaidToAFriend(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	m, b := g.plan(task{"ada/0", 1, 30}, task{"bob/0", 2, 70})
	g.total = map[string]uint64{"ada/1": 30, "bob/0": 70}
	b.workers, b.units, b.pay = payTree(t, g.total)
	pay := b.pay.Root()
	b.plants = work.Plants{Chain: testChain, Job: work.JobID(g.job), Epoch: 1, Indices: []uint64{0}}
	d, err := b.plants.Commitment()
	require.NoError(t, err)
	m.PayRoot, m.Workers, m.Plants = pay.Hash[:], pay.Leaves, d[:]
	must(w, w.msg.CommitEpoch, m)
	g.epochs = append(g.epochs, b)
	w.next()
	g.audit(1, g.eyes(1, nil))
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.skip(6)
	require.EqualValues(t, 70, g.j().UnitsSettled)
	before := w.purses(everybody...)
	wp := g.j().WorkerPrice
	must(w, w.msg.Claim, g.claims(1, "ada/1"))
	must(w, w.msg.Claim, g.claims(1, "bob/0"))
	w.next()
	w.gained(before, purses{
		"ada": wp.MulRaw(30), "bob": wp.MulRaw(70), "bond of gate": notes(-100).Sub(wp.MulRaw(30)),
		"buyer": g.j().Refunded,
	})
}
