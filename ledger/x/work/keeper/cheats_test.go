package keeper_test

import (
	"fmt"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// A gateway that hides a sampled receipt loses a part of its bond and the job.
func TestHiddenSample(t *testing.T) {
	w := crew(t)
	start := w.balance("buyer")
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	g.commit(task{"ada/0", 1, 10})
	g.settle(1)
	g.commit(task{"ada/0", 2, 5}, task{"bob/0", 3, 5})
	g.commit(task{"bob/0", 4, 5}) // pending behind it
	w.next()
	m := g.openings(2)
	m.Openings = m.Openings[:1]
	must(w, w.msg.OpenReceipts, m) // one of two
	deadline := w.epoch(g.job, 2).Deadline
	w.skip(deadline - w.height())
	require.Equal(t, types.JobStatus_JOB_STATUS_OPEN, g.j().Status, "the window is not over")
	w.next()

	j := g.j()
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, j.Status)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status, "what was settled stays")
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.job, 2).Status)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.job, 3).Status)
	gw := w.gateway("gate")
	require.Equal(t, notes(900), gw.Bond)
	require.Equal(t, types.Status_STATUS_PAUSED, gw.Status)
	require.EqualValues(t, 1, gw.Faults)
	require.EqualValues(t, 0, gw.OpenJobs)
	require.Equal(t, notes(100), w.check().Burned.Sub(j.Burned))
	spent := j.PaidGateway.Add(j.PaidAuditors).Add(j.Burned).Add(j.WorkerPrice.MulRaw(10))
	require.Equal(t, spent, start.Sub(w.balance("buyer")), "the buyer paid for the settled epoch alone")

	refused(w, types.ErrState, "no samples", w.msg.OpenReceipts, g.openings(2))
	refused(w, types.ErrState, "not settled", w.msg.Claim, g.claims(2, "ada/0"))
	next, _ := g.plan(task{"ada/0", 9, 1})
	refused(w, types.ErrState, "takes no more epochs", w.msg.CommitEpoch, next)
	refused(w, types.ErrState, "takes no jobs", w.msg.OpenJob, jobTerms("buyer", "gate"))
	refused(w, types.ErrBond, "add to it", w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("gate"), Status: types.Status_STATUS_ACTIVE})
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	w.next()
	require.True(t, g.j().Left().IsZero())
}

func TestOpenReceiptsRefuses(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	other := w.openJob("buyer", "gate")
	// The stranger is enrolled only after the commitment.
	g.commit(task{"ada/0", 1, 1000}, task{"ada/1", 2, 1000}, task{"bob/0", 3, 1000})
	other.commit(task{"ada/0", 1, 10})
	stranger := w.openJob("buyer", "gate")
	stranger.commit(task{"eve/0", 1, 10})
	w.next()
	w.operator("eve", 1)
	good := g.openings(1)
	covered := g.epochs[0].tree
	at := int(good.Openings[0].Proof.Index)
	wrong := (at + 1) % 3
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgOpenReceipts)
		err   error
		words string
	}{
		{"another's job", func(m *types.MsgOpenReceipts) { m.Gateway = bech("ada") }, types.ErrUnauthorized, "is gateway"},
		{"no such epoch", func(m *types.MsgOpenReceipts) { m.Epoch = 2 }, types.ErrNotFound, "no epoch 2"},
		{"no such sample", func(m *types.MsgOpenReceipts) { m.Openings[0].Sample = 1 }, types.ErrNotFound, "the epoch has 1"},
		{"nothing", func(m *types.MsgOpenReceipts) { m.Openings = nil }, types.ErrInvalid, "0 openings"},
		{"another receipt than was drawn", func(m *types.MsgOpenReceipts) {
			m.Openings[0] = types.Opening{Receipt: g.epochs[0].receipts[wrong], Proof: g.proof(covered, wrong)}
		}, types.ErrReceipt, "is unit"},
		{"another receipt at its place", func(m *types.MsgOpenReceipts) { m.Openings[0].Receipt = g.epochs[0].receipts[wrong] }, types.ErrProof, "does not verify"},
		{"an altered proof", func(m *types.MsgOpenReceipts) { m.Openings[0].Proof.Siblings[0].Hash[3] ^= 1 }, types.ErrProof, "does not verify"},
		{"altered sums", func(m *types.MsgOpenReceipts) { m.Openings[0].Proof.Siblings[0].Sum++ }, types.ErrProof, "does not verify"},
		{"a short proof", func(m *types.MsgOpenReceipts) { m.Openings[0].Proof.Siblings = nil }, types.ErrProof, "too short"},
		{"a huge proof", func(m *types.MsgOpenReceipts) { m.Openings[0].Proof.Siblings = make([]types.Node, 65) }, types.ErrInvalid, "at most 64"},
		{"a malformed proof", func(m *types.MsgOpenReceipts) { m.Openings[0].Proof.Siblings[0].Hash = []byte{1} }, types.ErrInvalid, "1 bytes"},
		{"an altered receipt", func(m *types.MsgOpenReceipts) { m.Openings[0].Receipt[40] ^= 1 }, nil, ""},
		{"garbage", func(m *types.MsgOpenReceipts) { m.Openings[0].Receipt = []byte{0xff} }, types.ErrReceipt, "canonical"},
		{"of another job", func(m *types.MsgOpenReceipts) { m.Openings[0] = other.opening(1, 0) }, types.ErrReceipt, "it is of job 2"},
		{"twice in one message", func(m *types.MsgOpenReceipts) { m.Openings = append(m.Openings, m.Openings[0]) }, types.ErrState, "opened before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := g.openings(1)
			m.Openings[0].Receipt = append([]byte(nil), m.Openings[0].Receipt...)
			c.edit(m)
			_, err := send(w, w.msg.OpenReceipts, m)
			require.ErrorContains(t, err, c.words)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
			require.Equal(t, types.SampleStatus_SAMPLE_STATUS_DRAWN, w.epoch(g.job, 1).Samples[0].Status)
		})
	}
	refused(w, types.ErrReceipt, "had no bond when the epoch was committed", w.msg.OpenReceipts, stranger.openings(1))
	must(w, w.msg.OpenReceipts, good)
	refused(w, types.ErrState, "no samples to open", w.msg.OpenReceipts, good)
}

// A receipt whose worker did not sign it can be committed but not opened: the gateway is
// slashed as if it hid it.
func TestForgedReceipt(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	s, err := work.DecodeReceipt(g.receipt(task{"ada/0", 1, 10}))
	require.NoError(t, err)
	s.Signature[5] ^= 1
	forged, err := s.Encode()
	require.NoError(t, err)
	m, b := g.plan(task{"ada/0", 1, 10})
	b.receipts[0] = forged
	b.tree, err = work.NewTree([]work.Node{work.ReceiptLeaf(forged, 10)})
	require.NoError(t, err)
	root := b.tree.Root()
	m.ReceiptsRoot = root.Hash[:]
	must(w, w.msg.CommitEpoch, m)
	g.epochs = append(g.epochs, b)
	w.next()
	refused(w, types.ErrReceipt, "signature", w.msg.OpenReceipts, g.openings(1))
	w.skip(26)
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
}

// A worker whose receipt two of three auditors find false is slashed, jailed and unpaid.
func TestFalseReceipt(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	w.next()
	dissenter := ""
	g.audit(1, func(_ int, a work.PublicKey) types.Outcome {
		if dissenter == "" {
			dissenter = nameOf(a)
			return types.Outcome_OUTCOME_PASS
		}
		return types.Outcome_OUTCOME_FAIL
	})
	g.commit(task{"ada/0", 2, 5}, task{"bob/0", 3, 5})
	e := w.epoch(g.job, 1)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, e.Samples[0].Status)
	cheat := w.worker("ada/0")
	require.Equal(t, types.Status_STATUS_JAILED, cheat.Status)
	require.Equal(t, notes(50), cheat.Bond)
	require.EqualValues(t, 1, cheat.AuditsFailed)
	w.next()
	g.audit(2, honest)
	w.skip(7)
	require.EqualValues(t, 2, g.j().EpochsSettled, "the others are paid all the same")
	for _, s := range w.epoch(g.job, 1).Samples[0].Slots {
		require.Equal(t, nameOf(work.PublicKey(s.Auditor)) != dissenter, s.Paid, "only the majority earned its share")
	}
	require.Equal(t, "asserted", g.j().Label, "the weakest of its epochs")

	refused(w, types.ErrState, "JAILED", w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("ada"), Key: pub("ada/0"), Status: types.Status_STATUS_ACTIVE})
	refused(w, types.ErrNothing, "cheated", w.msg.ChallengeVoucher, &types.MsgChallengeVoucher{Challenger: bech("anybody"), Voucher: g.voucher("ada/0", 1, 99)})
	ada, buyer := w.balance("ada"), w.balance("buyer")
	must(w, w.msg.Claim, g.claims(2, "ada/0", "bob/0"))
	require.Equal(t, ada, w.balance("ada"))
	require.Equal(t, g.j().WorkerPrice.MulRaw(15), w.balance("buyer").Sub(buyer), "the buyer has the cheat's pay back")
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(2, "ada/0"))
	w.skip(cheat.ReleaseHeight - w.height() + 1)
	require.Equal(t, types.Status_STATUS_GONE, w.worker("ada/0").Status)
	require.Equal(t, notes(50), w.balance("ada").Sub(ada), "what was left of the bond")
}

func TestVerdictCounts(t *testing.T) {
	const (
		silent = types.Outcome_OUTCOME_UNSPECIFIED
		pass   = types.Outcome_OUTCOME_PASS
		fail   = types.Outcome_OUTCOME_FAIL
		unsure = types.Outcome_OUTCOME_UNSURE
	)
	for i, c := range []struct {
		found [3]types.Outcome
		want  types.SampleStatus
	}{
		{[3]types.Outcome{pass, pass, pass}, types.SampleStatus_SAMPLE_STATUS_UPHELD},
		{[3]types.Outcome{pass, pass, fail}, types.SampleStatus_SAMPLE_STATUS_UPHELD},
		{[3]types.Outcome{pass, unsure, unsure}, types.SampleStatus_SAMPLE_STATUS_UPHELD},
		{[3]types.Outcome{pass, silent, silent}, types.SampleStatus_SAMPLE_STATUS_UPHELD},
		{[3]types.Outcome{fail, fail, pass}, types.SampleStatus_SAMPLE_STATUS_FALSE},
		{[3]types.Outcome{fail, fail, silent}, types.SampleStatus_SAMPLE_STATUS_FALSE},
		{[3]types.Outcome{fail, unsure, silent}, types.SampleStatus_SAMPLE_STATUS_UNDECIDED},
		{[3]types.Outcome{fail, silent, silent}, types.SampleStatus_SAMPLE_STATUS_UNDECIDED},
		{[3]types.Outcome{fail, pass, unsure}, types.SampleStatus_SAMPLE_STATUS_UNDECIDED},
		{[3]types.Outcome{unsure, unsure, unsure}, types.SampleStatus_SAMPLE_STATUS_UNDECIDED},
		{[3]types.Outcome{silent, silent, silent}, types.SampleStatus_SAMPLE_STATUS_UNDECIDED},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := crew(t)
			g := w.openJob("buyer", "gate")
			g.commit(task{"ada/0", 1, 10})
			w.next()
			n := 0
			g.audit(1, func(int, work.PublicKey) types.Outcome { n++; return c.found[n-1] })
			w.skip(52) // past the windows to commit and to reveal
			e := w.epoch(g.job, 1)
			require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
			s := e.Samples[0]
			require.Equal(t, c.want, s.Status)
			for k, slot := range s.Slots {
				a := w.worker(nameOf(work.PublicKey(slot.Auditor)))
				if c.found[k] == silent {
					require.EqualValues(t, 1, a.VerdictsMissed)
					require.Equal(t, notes(100).Sub(types.Share(notes(100), 10)), a.Bond)
				} else {
					require.EqualValues(t, 1, a.Verdicts)
					lost := math.ZeroInt()
					if c.found[k] == fail && c.want == types.SampleStatus_SAMPLE_STATUS_UPHELD ||
						c.found[k] == pass && c.want == types.SampleStatus_SAMPLE_STATUS_FALSE {
						lost = types.Share(notes(100), 10) // outvoted
					}
					require.Equal(t, notes(100).Sub(lost), a.Bond)
				}
			}
		})
	}
}

func TestVerdictsRefused(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	c := &types.MsgCommitVerdicts{Sender: bech("anybody"), Job: g.job, Epoch: 1}
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	commits, reveals := g.verdicts(1, honest)
	first := work.PublicKey(commits.Verdicts[0].Auditor)

	// Not an auditor; another's signature; another's commitment under one's own name.
	v, _ := g.verdict(1, 0, nodeKey("ada/1").Public(), types.Outcome_OUTCOME_PASS)
	c.Verdicts = []types.VerdictCommitment{v}
	refused(w, types.ErrUnauthorized, "not drawn", w.msg.CommitVerdicts, c)
	v = commits.Verdicts[0]
	v.Signature = commits.Verdicts[1].Signature
	c.Verdicts[0] = v
	refused(w, types.ErrVerdict, "signature", w.msg.CommitVerdicts, c)
	v = commits.Verdicts[0]
	v.Commitment = commits.Verdicts[1].Commitment
	c.Verdicts[0] = v
	refused(w, types.ErrVerdict, "signature", w.msg.CommitVerdicts, c)
	v = commits.Verdicts[0]
	v.Sample = 7
	c.Verdicts[0] = v
	refused(w, types.ErrNotFound, "no sample 7", w.msg.CommitVerdicts, c)

	c.Verdicts = commits.Verdicts[:1]
	must(w, w.msg.CommitVerdicts, c)
	other, _ := g.verdict(1, 0, first, types.Outcome_OUTCOME_FAIL)
	c.Verdicts = []types.VerdictCommitment{other}
	refused(w, types.ErrVerdict, "committed another", w.msg.CommitVerdicts, c)
	c.Verdicts = commits.Verdicts[1:2]
	must(w, w.msg.CommitVerdicts, c)

	w.skip(26) // the third is late
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_REVEALING, w.epoch(g.job, 1).Samples[0].Status)
	c.Verdicts = commits.Verdicts[2:]
	refused(w, types.ErrDeadline, "no more commitments", w.msg.CommitVerdicts, c)
	r := *reveals
	r.Verdicts = reveals.Verdicts[2:]
	refused(w, types.ErrVerdict, "committed nothing", w.msg.RevealVerdicts, &r)
	r.Verdicts = []types.VerdictReveal{reveals.Verdicts[0]}
	r.Verdicts[0].Outcome = types.Outcome_OUTCOME_FAIL
	refused(w, types.ErrVerdict, "not the committed one", w.msg.RevealVerdicts, &r)
	r.Verdicts = reveals.Verdicts[:1]
	must(w, w.msg.RevealVerdicts, &r)
	w.skip(26)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UPHELD, w.epoch(g.job, 1).Samples[0].Status)
	require.EqualValues(t, 1, w.worker(nameOf(work.PublicKey(commits.Verdicts[1].Auditor))).VerdictsMissed, "committed and never revealed")
}

// Auditors are never the worker's operator's, the buyer's or the gateway's, and nobody
// who joined or changed after the commitment.
func TestWhoAudits(t *testing.T) {
	w := newWorld(t)
	w.operator("ada", 2)
	w.addGateway("gate")
	w.fund("buyer", 100)
	g := w.openJob("buyer", "gate")
	w.next()
	g.commit(task{"ada/0", 1, 10})
	w.operator("bob", 3) // too late
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_UNAUDITED, w.epoch(g.job, 1).Samples[0].Status)
	w.skip(6)
	require.Equal(t, "asserted", w.epoch(g.job, 1).Label)

	// The gateway and the buyer turn operators.
	w.operator("gate", 1)
	w.operator("buyer", 1)
	w.next()
	must(w, w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("bob"), Key: pub("bob/0"), Status: types.Status_STATUS_PAUSED})
	w.next()
	g.commit(task{"ada/0", 2, 10})
	must(w, w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("bob"), Key: pub("bob/0"), Status: types.Status_STATUS_ACTIVE})
	must(w, w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("bob"), Key: pub("bob/1"), Network: "moved"})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(2))
	slots := w.epoch(g.job, 2).Samples[0].Slots
	require.Len(t, slots, 1)
	require.Equal(t, "bob/2", nameOf(work.PublicKey(slots[0].Auditor)))
	// One auditor alone decides where only one was asked.
	c, r := g.verdicts(2, func(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL })
	must(w, w.msg.CommitVerdicts, c)
	must(w, w.msg.RevealVerdicts, r)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, w.epoch(g.job, 2).Samples[0].Status)
	w.next()
}

// With a large roster auditors are drawn from a bounded part of it.
func TestLargeRoster(t *testing.T) {
	w := newWorld(t)
	for _, op := range []string{"ada", "bob", "cyd", "dan"} {
		w.operator(op, 100)
	}
	w.addGateway("gate")
	w.fund("buyer", 100)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	w.next()
	var tasks []task
	for i := range uint64(40) {
		tasks = append(tasks, task{fmt.Sprintf("ada/%d", i), i + 1, 100})
	}
	g.commit(tasks...)
	w.next()
	require.Len(t, w.epoch(g.job, 1).Samples, 32)
	drawn := map[string]bool{}
	must(w, w.msg.OpenReceipts, g.openings(1))
	merged, slots := 0, 0
	for _, s := range w.epoch(g.job, 1).Samples {
		if s.Status == types.SampleStatus_SAMPLE_STATUS_MERGED {
			merged++
			require.Empty(t, s.Slots)
			continue
		}
		require.Len(t, s.Slots, 3)
		for _, slot := range s.Slots {
			n := nameOf(work.PublicKey(slot.Auditor))
			require.NotContains(t, n, "ada/")
			drawn[n] = true
			slots++
		}
	}
	require.Positive(t, merged, "32 draws of 40 receipts fall on some twice")
	require.Greater(t, len(drawn), slots/2, "the load is spread")
	w.next()
	c, r := g.verdicts(1, honest)
	must(w, w.msg.CommitVerdicts, c)
	must(w, w.msg.RevealVerdicts, r)
	w.skip(6)
	require.Equal(t, "agreed", w.epoch(g.job, 1).Label)
}

// Workers that are paused, unbonding or changed their kinds since can still be opened
// against, for they still can be slashed.
func TestWorkerLeavesAfterItsWork(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	must(w, w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/0")}})
	w.next()
	g.audit(1, func(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL })
	a := w.worker("ada/0")
	require.Equal(t, types.Status_STATUS_JAILED, a.Status)
	require.Equal(t, notes(50), a.Bond)
	w.next()
}
