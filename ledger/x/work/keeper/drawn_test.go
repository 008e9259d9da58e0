package keeper_test

import (
	"slices"
	"testing"

	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/keeper"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// audits is what the ledger answers a worker that asks what it was drawn for.
func (w *world) audits(worker string) []types.Audit {
	w.t.Helper()
	r, err := w.query.Audits(w.ctx, &types.QueryAuditsRequest{Worker: nodeKey(worker).Public().String()})
	require.NoError(w.t, err)
	return r.Audits
}

var crewWorkers = []string{"ada/0", "ada/1", "bob/0", "bob/1", "cyd/0", "cyd/1", "dan/0", "dan/1"}

// listed is how many audits are listed in all.
func (w *world) listed() (n int) {
	w.t.Helper()
	for _, name := range crewWorkers {
		n += len(w.audits(name))
	}
	return n
}

// slots is how many auditors an epoch's samples have.
func (g *gate) slots(number uint64) (n int) {
	for _, s := range g.w.epoch(g.job, number).Samples {
		n += len(s.Slots)
	}
	return n
}

// An auditor finds what it was drawn for, and where, from the opening of the sample until it
// is decided.
func TestAuditsOfAWorker(t *testing.T) {
	w := crew(t)
	w.addGateway("split")
	must(w, w.msg.SetCells, setCells("split", cell("a", "cell-a"), cell("b", "cell-b")))
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	inCell := w.openJob("buyer", "split", func(m *types.MsgOpenJob) { m.AuditBps, m.Cell = 10_000, "b" })
	g.commit(task{"ada/0", 1, 5}, task{"bob/0", 2, 5})
	inCell.commit(task{"ada/0", 1, 5})
	require.Zero(t, w.listed())
	w.next()
	require.Zero(t, w.listed(), "samples are drawn, but who audits them is not")

	must(w, w.msg.OpenReceipts, g.openings(1))
	must(w, w.msg.OpenReceipts, inCell.openings(1))
	require.Positive(t, g.slots(1))
	require.Equal(t, g.slots(1)+inCell.slots(1), w.listed())
	gates := map[uint64]*gate{g.job: g, inCell.job: inCell}
	for _, name := range crewWorkers {
		for _, a := range w.audits(name) {
			s := w.epoch(a.Job, a.Epoch).Samples[a.Sample]
			require.True(t, slices.ContainsFunc(s.Slots, func(x types.AuditorSlot) bool { return string(x.Auditor) == string(pub(name)) }))
			require.Equal(t, s.Status, a.Status)
			require.Equal(t, s.Deadline, a.Deadline)
			require.False(t, a.Committed || a.Revealed)
			at := w.gateway(gates[a.Job].name)
			want, url := "", at.Url
			if a.Job == inCell.job {
				want, url = "b", at.Cells[1].Url
			}
			require.Equal(t, []any{at.Address, at.Key, want, url}, []any{a.Gateway, a.GatewayKey, a.Cell, a.Url})
		}
	}

	// One of the first sample's auditors stays silent; the list says who did what.
	silent := work.PublicKey(w.epoch(g.job, 1).Samples[0].Slots[0].Auditor)
	c, r := g.verdicts(1, func(sample int, a work.PublicKey) types.Outcome {
		if sample == 0 && a == silent {
			return types.Outcome_OUTCOME_UNSPECIFIED
		}
		return types.Outcome_OUTCOME_PASS
	})
	must(w, w.msg.CommitVerdicts, c)
	first := func(name string) types.Audit {
		list := w.audits(name)
		i := slices.IndexFunc(list, func(a types.Audit) bool { return a.Job == g.job && a.Sample == 0 })
		require.GreaterOrEqual(t, i, 0, name)
		return list[i]
	}
	spoke := nameOf(work.PublicKey(w.epoch(g.job, 1).Samples[0].Slots[1].Auditor))
	require.False(t, first(nameOf(silent)).Committed)
	require.True(t, first(spoke).Committed)
	for w.epoch(g.job, 1).Samples[0].Status == types.SampleStatus_SAMPLE_STATUS_OPENED {
		w.next()
	}
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_REVEALING, first(nameOf(silent)).Status)
	one := *r
	one.Verdicts = slices.DeleteFunc(slices.Clone(r.Verdicts), func(v types.VerdictReveal) bool {
		return v.Sample != 0 || string(v.Auditor) != string(pub(spoke))
	})
	if g.slots(1) > 4 { // else this reveal is the last, and decides
		must(w, w.msg.RevealVerdicts, &one)
		require.True(t, first(spoke).Revealed)
	}
	w.skip(60)
	require.Zero(t, w.listed())
}

// What becomes void is nobody's to audit any more.
func TestAuditsOfAVoidEpoch(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	g.commit(task{"ada/0", 2, 5}, task{"bob/0", 3, 5})
	w.next()
	m := g.openings(1)
	m.Openings = m.Openings[:1]
	deadline := w.epoch(g.job, 1).Deadline
	w.skip(deadline - 1 - w.height()) // late, so that the audit is under way when the other is missed
	must(w, w.msg.OpenReceipts, m)
	require.Positive(t, w.listed())
	for w.epoch(g.job, 1).Status != types.EpochStatus_EPOCH_STATUS_VOID {
		w.next()
	}
	require.True(t, w.epoch(g.job, 1).Samples[m.Openings[0].Sample].InAudit(), "it was never decided")
	require.Zero(t, w.listed())
}

// The list follows from the records: an import makes it, and the migration to version 2.
func TestAuditsAreRelisted(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	g.commit(task{"ada/0", 1, 5}, task{"bob/0", 2, 5})
	g.commit(task{"ada/0", 3, 5})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	must(w, w.msg.OpenReceipts, g.openings(2))
	was := map[string][]types.Audit{}
	for _, name := range crewWorkers {
		was[name] = w.audits(name)
	}
	same := func(w *world) {
		t.Helper()
		for _, name := range crewWorkers {
			require.Equal(t, was[name], w.audits(name), name)
		}
	}
	same(w.reborn())

	require.NoError(t, w.k.ForgetAudits(w.ctx))
	require.Zero(t, w.listed())
	books, err := w.k.Invariants(w.ctx)
	require.NoError(t, err)
	require.Len(t, books.Broken, 1)
	require.Contains(t, books.Broken[0], "audits are listed")
	require.NoError(t, keeper.NewMigrator(w.k).Migrate1to2(w.ctx))
	same(w)
	w.next() // and the books are right
}

func TestAuditsQuery(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	for i := range uint64(4) {
		g.commit(task{"ada/0", 2*i + 1, 5}, task{"bob/0", 2*i + 2, 5})
	}
	w.next()
	for i := range uint64(4) {
		must(w, w.msg.OpenReceipts, g.openings(i+1))
	}
	name := "cyd/0"
	for _, n := range crewWorkers {
		if len(w.audits(n)) > len(w.audits(name)) {
			name = n
		}
	}
	all := w.audits(name)
	require.Greater(t, len(all), 1)
	r, err := w.query.Audits(w.ctx, &types.QueryAuditsRequest{Worker: nodeKey(name).Public().String(), Pagination: &query.PageRequest{Limit: 1}})
	require.NoError(t, err)
	require.Equal(t, all[:1], r.Audits)
	r, err = w.query.Audits(w.ctx, &types.QueryAuditsRequest{Worker: nodeKey(name).Public().String(), Pagination: &query.PageRequest{Key: r.Pagination.NextKey}})
	require.NoError(t, err)
	require.Equal(t, all[1:], r.Audits)
	_, err = w.query.Audits(w.ctx, &types.QueryAuditsRequest{Worker: "zz"})
	require.ErrorContains(t, err, "InvalidArgument")
	r, err = w.query.Audits(w.ctx, &types.QueryAuditsRequest{Worker: nodeKey("eve/0").Public().String()})
	require.NoError(t, err)
	require.Empty(t, r.Audits, "whoever is not enrolled audits nothing")
}
