package keeper_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// onProbation reports whether a worker's receipts belong into the first part of an epoch.
func (w *world) onProbation(worker string) bool {
	p, err := w.k.Params(w.ctx)
	require.NoError(w.t, err)
	r, err := w.query.Worker(w.ctx, &types.QueryWorkerRequest{Key: nodeKey(worker).Public().String()})
	return p.ProbationAudits > 0 && (err != nil || r.Worker.AuditsPassed < uint64(p.ProbationAudits))
}

// probationFirst puts the tasks of workers on probation first and counts them.
func (w *world) probationFirst(tasks []task) (receipts, units uint64) {
	rank := func(x task) int {
		if w.onProbation(x.worker) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return rank(a) - rank(b) })
	for _, x := range tasks {
		if rank(x) == 0 {
			receipts++
			units += x.units
		}
	}
	if units == 0 {
		return 0, 0
	}
	return receipts, units
}

// commitPlanted commits an epoch of which the tasks at these places are plants.
func (g *gate) commitPlanted(plants []uint64, tasks ...task) uint64 {
	g.w.t.Helper()
	m, b := g.plan(tasks...)
	b.plants = work.Plants{Chain: testChain, Job: work.JobID(g.job), Epoch: m.Number, Indices: plants,
		Salt: sha256.Sum256([]byte("salt"))}
	d, err := b.plants.Commitment()
	require.NoError(g.w.t, err)
	m.Plants = d[:]
	must(g.w, g.w.msg.CommitEpoch, m)
	g.epochs = append(g.epochs, b)
	return m.Number
}

// reveal shows an epoch's plants.
func (g *gate) reveal(number uint64) *types.MsgRevealPlants {
	g.w.t.Helper()
	b := g.epochs[number-1]
	m := &types.MsgRevealPlants{Gateway: bech(g.name), Job: g.job, Epoch: number, Salt: b.plants.Salt[:]}
	for _, i := range b.plants.Indices {
		m.Plants = append(m.Plants, types.PlantedReceipt{Receipt: b.receipts[i], Proof: g.proof(b.tree, int(i))})
	}
	return m
}

// planted reports whether a sample of an epoch is one of its plants.
func (g *gate) planted(number uint64, sample int) bool {
	return g.epochs[number-1].plants.Has(g.w.epoch(g.job, number).Samples[sample].Index)
}

// eyes find plants false and everything else true, but for auditors who always say the
// same.
func (g *gate) eyes(number uint64, always map[string]types.Outcome) finding {
	return func(sample int, auditor work.PublicKey) types.Outcome {
		if o, ok := always[nameOf(auditor)]; ok {
			return o
		}
		if g.planted(number, sample) {
			return types.Outcome_OUTCOME_FAIL
		}
		return types.Outcome_OUTCOME_PASS
	}
}

// tally counts the slots with these outcomes of an auditor's, in samples of plants or not.
func (g *gate) tally(number uint64, auditor string, plant bool, o types.Outcome) (n int) {
	for i, s := range g.w.epoch(g.job, number).Samples {
		for _, slot := range s.Slots {
			if nameOf(work.PublicKey(slot.Auditor)) == auditor && slot.Outcome == o && g.planted(number, i) == plant {
				n++
			}
		}
	}
	return n
}

// cut takes a share off an amount so many times.
func cut(amount math.Int, bps uint32, times int) math.Int {
	for range times {
		amount = amount.Sub(types.Share(amount, bps))
	}
	return amount
}

// field is an epoch of ten receipts of ten units, of which three are plants by ada/1.
func field(t testing.TB, edit ...func(*types.Params)) (*world, *gate) {
	w := crew(t, edit...)
	w.next() // after this block the beacon draws both plants and other receipts
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.AuditBps = 10_000 })
	var tasks []task
	for i := range uint64(10) {
		x := task{"bob/0", i + 1, 10}
		if i%3 == 1 {
			x.worker = "ada/1"
		}
		tasks = append(tasks, x)
	}
	g.commitPlanted([]uint64{1, 4, 7}, tasks...)
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	var plants, others int
	for i, s := range w.epoch(g.job, 1).Samples {
		switch {
		case s.Status == types.SampleStatus_SAMPLE_STATUS_MERGED:
		case g.planted(1, i):
			plants++
		default:
			others++
		}
	}
	require.Positive(t, plants, "the beacon draws some plants")
	require.Positive(t, others, "and some other receipts")
	return w, g
}

// decide has the auditors of an epoch that was opened say what they find.
func (g *gate) decide(number uint64, find finding) {
	g.w.t.Helper()
	c, r := g.verdicts(number, find)
	must(g.w, g.w.msg.CommitVerdicts, c)
	must(g.w, g.w.msg.RevealVerdicts, r)
	require.Equal(g.w.t, types.EpochStatus_EPOCH_STATUS_DECIDED, g.w.epoch(g.job, number).Status)
}
