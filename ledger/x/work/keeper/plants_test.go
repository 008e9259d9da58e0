package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// Plants cost nobody anything who looks, nobody is paid for them, and the audits of the
// other receipts have their consequences once the plants are shown.
func TestPlants(t *testing.T) {
	w, g := field(t)
	ada, bob, buyer := w.balance("ada"), w.balance("bob"), w.balance("buyer")
	refused(w, types.ErrState, "AUDITING", w.msg.RevealPlants, g.reveal(1))
	g.decide(1, g.eyes(1, nil))
	require.Zero(t, w.worker("bob/0").AuditsPassed, "not before the plants are shown")
	charges := w.worker("ada/1").Charges
	require.Positive(t, charges)
	w.skip(10)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, w.epoch(g.job, 1).Status, "it waits for them")

	must(w, w.msg.RevealPlants, g.reveal(1))
	refused(w, types.ErrState, "shown before", w.msg.RevealPlants, g.reveal(1))
	w.next()
	e, j := w.epoch(g.job, 1), g.j()
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status, "at once, for the challenge window is over")
	require.Equal(t, []uint64{30, 70, 30}, []uint64{j.PlantUnits, j.UnitsSettled, e.PlantUnits})
	require.Equal(t, "agreed", e.Label, "its plants say nothing about the work")
	require.Equal(t, j.GatewayPrice.MulRaw(70), j.PaidGateway)
	require.Equal(t, j.BurnPrice.MulRaw(70), j.Burned)
	slots := 0
	for _, s := range e.Samples {
		for _, slot := range s.Slots {
			require.True(t, slot.Paid)
			slots++
		}
	}
	require.Equal(t, j.AuditPrice.MulRaw(70).QuoRaw(int64(slots)).MulRaw(int64(slots)), j.PaidAuditors)
	planter := w.worker("ada/1")
	require.Equal(t, types.Status_STATUS_ACTIVE, planter.Status)
	require.Equal(t, notes(100), planter.Bond)
	require.Zero(t, planter.AuditsFailed)
	require.Zero(t, planter.Charges)
	require.Positive(t, w.worker("bob/0").AuditsPassed)
	require.Zero(t, w.gateway("gate").PlantsUpheld)

	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(1, "ada/1"))
	earned := w.balance("bob")
	require.Equal(t, j.WorkerPrice.MulRaw(70), must(w, w.msg.Claim, g.claims(1, "bob/0", "ada/1")).Paid)
	require.Equal(t, j.WorkerPrice.MulRaw(70), w.balance("bob").Sub(earned))
	w.next()
	j = g.j()
	require.True(t, j.Left().IsZero())
	paid := w.balance("ada").Sub(ada).Add(w.balance("bob").Sub(bob))
	require.True(t, paid.GTE(j.PaidWorkers))
	require.Equal(t, j.Refunded, w.balance("buyer").Sub(buyer), "the plants' price among it")
	require.Equal(t, j.Escrow, j.PaidWorkers.Add(j.PaidGateway).Add(j.PaidAuditors).Add(j.Burned).Add(j.Refunded))
}

// A commitment to no plants is shown like any other.
func TestNoPlants(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commitPlanted(nil, task{"ada/0", 1, 10})
	w.next()
	g.audit(1, honest)
	w.skip(6)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, w.epoch(g.job, 1).Status)
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.next()
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status)
	require.Equal(t, "agreed", w.epoch(g.job, 1).Label)

	g.commit(task{"ada/0", 2, 10})
	w.next()
	g.audit(2, honest)
	refused(w, types.ErrState, "no commitment", w.msg.RevealPlants, g.reveal(2))
	// With nothing but plants audited, nobody vouches for the rest.
	g.commitPlanted([]uint64{0}, task{"ada/1", 3, 1000}, task{"bob/0", 4, 1})
	w.next()
	g.audit(3, g.eyes(3, nil))
	must(w, w.msg.RevealPlants, g.reveal(3))
	w.skip(6)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 3).Status)
	require.Equal(t, "asserted", w.epoch(g.job, 3).Label)
}

// An auditor that says yes to everything loses a twentieth of its bond for every plant,
// and earns nothing by it.
func TestAuditorAlwaysSaysYes(t *testing.T) {
	w, g := field(t)
	g.decide(1, g.eyes(1, map[string]types.Outcome{"cyd/0": types.Outcome_OUTCOME_PASS, "cyd/1": types.Outcome_OUTCOME_PASS}))
	require.Equal(t, notes(100), w.worker("cyd/0").Bond)
	burned := w.check().Burned
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.skip(6)
	lost, passed := math.ZeroInt(), 0
	for _, name := range []string{"cyd/0", "cyd/1"} {
		n := g.tally(1, name, true, types.Outcome_OUTCOME_PASS)
		a := w.worker(name)
		require.Equal(t, cut(notes(100), 500, n), a.Bond, name)
		require.EqualValues(t, n, a.PlantsPassed)
		lost, passed = lost.Add(notes(100).Sub(a.Bond)), passed+n
	}
	require.Positive(t, passed)
	require.Equal(t, lost.Add(g.j().Burned), w.check().Burned.Sub(burned), "it is burned")
	for _, name := range []string{"bob/0", "bob/1", "dan/0", "dan/1"} {
		require.Equal(t, notes(100), w.worker(name).Bond, name)
	}
	e := w.epoch(g.job, 1)
	require.Equal(t, "agreed", e.Label)
	for i, s := range e.Samples {
		for _, slot := range s.Slots {
			require.Equal(t, !s.Plant || slot.Outcome == types.Outcome_OUTCOME_FAIL, slot.Paid, "sample %d", i)
		}
	}
}

// An auditor that says no to everything is outvoted on every true receipt.
func TestAuditorAlwaysSaysNo(t *testing.T) {
	for _, planted := range []bool{false, true} {
		w, g := crew(t), (*gate)(nil)
		if planted {
			w, g = field(t)
		} else {
			g = w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
			g.commit(task{"bob/0", 1, 10}, task{"bob/0", 2, 10}, task{"bob/1", 3, 10})
			w.next()
			must(w, w.msg.OpenReceipts, g.openings(1))
		}
		g.decide(1, g.eyes(1, map[string]types.Outcome{"cyd/0": types.Outcome_OUTCOME_FAIL, "cyd/1": types.Outcome_OUTCOME_FAIL}))
		if planted {
			require.Equal(t, notes(100), w.worker("cyd/0").Bond, "not before the plants are shown")
			must(w, w.msg.RevealPlants, g.reveal(1))
		}
		w.skip(6)
		outvoted := 0
		for _, name := range []string{"cyd/0", "cyd/1"} {
			n := g.tally(1, name, false, types.Outcome_OUTCOME_FAIL)
			require.Equal(t, cut(notes(100), 10, n), w.worker(name).Bond, name)
			outvoted += n
		}
		require.Positive(t, outvoted)
		for _, s := range w.epoch(g.job, 1).Samples {
			for _, slot := range s.Slots {
				require.Equal(t, s.Plant || slot.Outcome == types.Outcome_OUTCOME_PASS, slot.Paid)
			}
		}
		require.Equal(t, "agreed", w.epoch(g.job, 1).Label)
	}
}

// A gateway that calls true receipts plants robs nobody: its auditors keep their bonds, and
// the worker is paid what it was promised, from the gateway's bond.
func TestTrueReceiptCalledPlant(t *testing.T) {
	w, g := field(t)
	wp := g.j().WorkerPrice
	g.decide(1, honest) // they all look, and the receipts are true
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.skip(6)
	upheld := uint64(0)
	for _, s := range w.epoch(g.job, 1).Samples {
		for _, slot := range s.Slots {
			name := nameOf(work.PublicKey(slot.Auditor))
			require.Equal(t, notes(100), w.worker(name).Bond)
			require.Equal(t, !s.Plant, slot.Paid, "who passed a plant earns nothing by it")
		}
		if s.Plant && s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD {
			upheld++
		}
	}
	require.Positive(t, upheld)
	require.Equal(t, upheld, w.gateway("gate").PlantsUpheld)
	require.Zero(t, w.worker("ada/1").AuditsPassed, "nor does it count for the worker")

	// ada/1 has the gateway's voucher over its 30 units.
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(1, "ada/1"))
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/1", 1, 30)).Challenge
	refused(w, types.ErrProof, "30 of plants", w.msg.AnswerChallenge,
		&types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/1")})
	ada := w.balance("ada")
	w.skip(26)
	require.Equal(t, wp.MulRaw(30), w.balance("ada").Sub(ada))
	require.Equal(t, notes(900).Sub(wp.MulRaw(30)), w.gateway("gate").Bond)
	must(w, w.msg.Claim, g.claims(1, "bob/0"))
	w.next()
	require.True(t, g.j().Left().IsZero())
}

// Before they are settled a job's plants count against an answer too.
func TestAnswerWithUnsettledPlants(t *testing.T) {
	w, g := field(t)
	g.decide(1, honest)
	must(w, w.msg.RevealPlants, g.reveal(1))
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/1", 1, 30)).Challenge
	refused(w, types.ErrProof, "30 of plants", w.msg.AnswerChallenge,
		&types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/1")})
	other := must(w, w.msg.ChallengeVoucher, g.challenge("bob/0", 1, 70)).Challenge
	must(w, w.msg.AnswerChallenge, &types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: other, Epoch: 1, Pay: g.payProof(1, "bob/0")})
	w.next()
}

// A gateway that does not show its plants is at fault, and what the auditors found has its
// consequences, as if none were plants.
func TestPlantsNotRevealed(t *testing.T) {
	w, g := field(t)
	start := w.balance("buyer")
	// The planter leaves in time, it hopes.
	must(w, w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/1")}})
	release := w.worker("ada/1").ReleaseHeight
	w.skip(24)
	g.decide(1, g.eyes(1, map[string]types.Outcome{"cyd/0": types.Outcome_OUTCOME_PASS, "cyd/1": types.Outcome_OUTCOME_FAIL}))
	found := int(w.worker("ada/1").Charges)
	deadline := w.epoch(g.job, 1).Deadline
	require.Equal(t, w.height()+25, deadline)
	w.skip(deadline - w.height())
	require.Equal(t, types.JobStatus_JOB_STATUS_OPEN, g.j().Status)
	burned := w.check().Burned
	w.next()
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.job, 1).Status)
	refused(w, types.ErrState, "VOID", w.msg.RevealPlants, g.reveal(1))
	require.Equal(t, notes(900), w.gateway("gate").Bond)
	require.Equal(t, g.j().Escrow, w.balance("buyer").Sub(start), "the buyer has everything back")

	planter := w.worker("ada/1")
	require.Equal(t, types.Status_STATUS_JAILED, planter.Status)
	require.Equal(t, cut(notes(100), 5000, found), planter.Bond, "for each receipt that was found false")
	require.EqualValues(t, found, planter.AuditsFailed)
	require.Zero(t, planter.Charges)
	require.Greater(t, planter.ReleaseHeight, release)
	yes := w.worker("cyd/0")
	require.Equal(t, cut(notes(100), 10, g.tally(1, "cyd/0", true, types.Outcome_OUTCOME_PASS)), yes.Bond, "outvoted, no more")
	require.Equal(t, notes(100), w.worker("cyd/1").Bond, "who was outvoted in finding false may have found a plant")
	lost := notes(100).Add(notes(100).Sub(planter.Bond)).Add(notes(100).Sub(yes.Bond))
	require.Equal(t, lost, w.check().Burned.Sub(burned))
}

// A bond does not slip away between a verdict and the plants.
func TestChargedBondWaits(t *testing.T) {
	w, g := field(t, func(p *types.Params) { p.UnbondingBlocks, p.OpenBlocks, p.DisputeOpenBlocks = 70, 15, 4 })
	must(w, w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/1")}})
	must(w, w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: func() types.Params {
		p, err := w.k.Params(w.ctx)
		require.NoError(t, err)
		p.OpenBlocks, p.UnbondingBlocks = 200, 1000
		return p
	}()})
	c, r := g.verdicts(1, g.eyes(1, nil))
	must(w, w.msg.CommitVerdicts, c)
	must(w, w.msg.RevealVerdicts, r)
	w.skip(100) // past its release
	held := w.worker("ada/1")
	require.Equal(t, types.Status_STATUS_UNBONDING, held.Status)
	require.Equal(t, notes(100), held.Bond)
	require.Greater(t, held.ReleaseHeight, w.height())
	must(w, w.msg.RevealPlants, g.reveal(1))
	w.skip(held.ReleaseHeight - w.height() + 1)
	require.Equal(t, types.Status_STATUS_GONE, w.worker("ada/1").Status, "it was a plant: the bond goes back")
}

// Whoever was found false and is no plant is punished when the plants are shown, once.
func TestFalseReceiptAmongPlants(t *testing.T) {
	w, g := field(t)
	g.decide(1, func(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL })
	found := int(w.worker("bob/0").Charges)
	require.Positive(t, found)
	require.Equal(t, types.Status_STATUS_ACTIVE, w.worker("bob/0").Status)
	must(w, w.msg.RevealPlants, g.reveal(1))
	cheat := w.worker("bob/0")
	require.Equal(t, types.Status_STATUS_JAILED, cheat.Status)
	require.Equal(t, cut(notes(100), 5000, found), cheat.Bond)
	require.Equal(t, notes(100), w.worker("ada/1").Bond)
	w.skip(6)
	require.Equal(t, cheat.Bond, w.worker("bob/0").Bond)
	require.Equal(t, "asserted", w.epoch(g.job, 1).Label)
	// The job is faulted later: nobody is judged twice.
	must(w, w.msg.ChallengeVoucher, g.challenge("dan/0", 1, 1))
	w.skip(26)
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
	require.Equal(t, cheat.Bond, w.worker("bob/0").Bond)
}

func TestPlantsListForged(t *testing.T) {
	w, g := field(t)
	g.decide(1, g.eyes(1, nil))
	b := g.epochs[0]
	receipt := func(i int) types.PlantedReceipt {
		return types.PlantedReceipt{Receipt: b.receipts[i], Proof: g.proof(b.tree, i)}
	}
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgRevealPlants)
		err   error
		words string
	}{
		{"one less", func(m *types.MsgRevealPlants) { m.Plants = m.Plants[:2] }, types.ErrProof, "not the committed"},
		{"one more", func(m *types.MsgRevealPlants) { m.Plants = append(m.Plants, receipt(8)) }, types.ErrProof, "not the committed"},
		{"another", func(m *types.MsgRevealPlants) { m.Plants[2] = receipt(8) }, types.ErrProof, "not the committed"},
		{"none", func(m *types.MsgRevealPlants) { m.Plants = nil }, types.ErrProof, "not the committed"},
		{"another salt", func(m *types.MsgRevealPlants) { m.Salt = make([]byte, 32) }, types.ErrProof, "not the committed"},
		{"a short salt", func(m *types.MsgRevealPlants) { m.Salt = m.Salt[:31] }, types.ErrInvalid, "31 bytes"},
		{"another receipt at its place", func(m *types.MsgRevealPlants) { m.Plants[0].Receipt = b.receipts[2] }, types.ErrProof, "does not verify"},
		{"out of order", func(m *types.MsgRevealPlants) { m.Plants[0], m.Plants[1] = m.Plants[1], m.Plants[0] }, types.ErrInvalid, "ascending"},
		{"too many", func(m *types.MsgRevealPlants) { m.Plants = make([]types.PlantedReceipt, 17) }, types.ErrInvalid, "at most 16"},
		{"garbage", func(m *types.MsgRevealPlants) { m.Plants[0].Receipt = []byte{0xff} }, types.ErrReceipt, "canonical"},
		{"a stranger", func(m *types.MsgRevealPlants) { m.Gateway = bech("ada") }, types.ErrUnauthorized, "is gateway"},
		{"no such epoch", func(m *types.MsgRevealPlants) { m.Epoch = 2 }, types.ErrNotFound, "no epoch 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := g.reveal(1)
			c.edit(m)
			refused(w, c.err, c.words, w.msg.RevealPlants, m)
		})
	}
	must(w, w.msg.RevealPlants, g.reveal(1))
}

// A receipt that its worker did not sign can't be shown as a plant of its.
func TestUnsignedPlant(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	s, err := work.DecodeReceipt(g.receipt(task{"ada/0", 1, 10}))
	require.NoError(t, err)
	s.Signature[5] ^= 1
	forged, err := s.Encode()
	require.NoError(t, err)
	m, b := g.plan(task{"ada/0", 1, 10}, task{"bob/0", 2, 1000})
	b.receipts[0] = forged
	b.tree, err = work.NewTree([]work.Node{work.ReceiptLeaf(forged, 10), work.ReceiptLeaf(b.receipts[1], 1000)})
	require.NoError(t, err)
	b.plants = work.Plants{Chain: testChain, Job: work.JobID(g.job), Epoch: 1, Indices: []uint64{0}}
	d, err := b.plants.Commitment()
	require.NoError(t, err)
	root := b.tree.Root()
	m.ReceiptsRoot, m.Plants = root.Hash[:], d[:]
	must(w, w.msg.CommitEpoch, m)
	g.epochs = append(g.epochs, b)
	w.next()
	g.audit(1, honest)
	refused(w, types.ErrReceipt, "signature", w.msg.RevealPlants, g.reveal(1))
}
