package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// reborn exports a market as JSON and imports it into a new one at the same height.
func (w *world) reborn() *world {
	w.t.Helper()
	g, err := w.k.ExportGenesis(w.ctx)
	require.NoError(w.t, err)
	n := emptyWorld(w.t)
	var again types.GenesisState
	require.NoError(w.t, n.cdc.UnmarshalJSON(w.cdc.MustMarshalJSON(g), &again))
	n.supply = w.supply
	n.ctx = n.ctx.WithBlockHeight(w.height())
	n.bank.InitGenesis(n.ctx, w.bank.ExportGenesis(w.ctx))
	require.NoError(w.t, n.k.InitGenesis(n.ctx, &again))
	back, err := n.k.ExportGenesis(n.ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, string(w.cdc.MustMarshalJSON(g)), string(n.cdc.MustMarshalJSON(back)))
	n.begin()
	return n
}

// A market in the midst of everything goes on after an export and an import as if
// nothing had happened.
func TestGenesisRoundTrip(t *testing.T) {
	w := crew(t)
	w.addGateway("leaver")
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.ExpiryBlocks, m.EpochBlocks = 40, 5 })
	closing := w.openJob("buyer", "gate")
	finished := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	g.settle(1)
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	must(w, w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("leaver")})
	must(w, w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("dan"), Keys: [][]byte{pub("dan/1")}})
	must(w, w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("buyer"), Job: closing.job})
	finished.commit(task{"bob/0", 1, 10})
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: finished.job})
	for i := range uint64(4) {
		g.commit(task{"ada/0", 10 + i, 3}, task{"bob/0", 20 + i, 4})
	}
	w.next()
	g.audit(2, honest)
	must(w, w.msg.OpenReceipts, g.openings(3))
	half, _ := g.verdicts(3, honest)
	half.Verdicts = half.Verdicts[:1]
	must(w, w.msg.CommitVerdicts, half)
	must(w, w.msg.ChallengeVoucher, g.challenge("bob/0", 1, 400))
	finished.audit(1, func(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_FAIL })
	g.commit(task{"cyd/0", 50, 3}) // its beacon is still to come
	// Plants that are shown, and plants that keep a bond waiting for them.
	w.addGateway("third")
	must(w, w.msg.SetCells, setCells("third", cell("a", "cell-a")))
	planted := w.openJob("buyer", "third", func(m *types.MsgOpenJob) { m.Cell = "a" })
	for i := range uint64(2) {
		planted.commitPlanted([]uint64{1}, task{"bob/0", 2*i + 1, 1}, task{"cyd/1", 2*i + 2, 1000})
	}
	w.next()
	planted.audit(1, planted.eyes(1, nil))
	planted.audit(2, planted.eyes(2, nil))
	must(w, w.msg.RevealPlants, planted.reveal(1))
	require.Positive(t, w.worker("cyd/1").Charges)

	n := w.reborn()
	for range 200 {
		w.next()
		n.next()
	}
	a, err := w.k.ExportGenesis(w.ctx)
	require.NoError(t, err)
	b, err := n.k.ExportGenesis(n.ctx)
	require.NoError(t, err)
	require.Equal(t, string(w.cdc.MustMarshalJSON(a)), string(n.cdc.MustMarshalJSON(b)))
	require.Equal(t, w.bank.ExportGenesis(w.ctx).Balances, n.bank.ExportGenesis(n.ctx).Balances)
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, n.job(g.job).Status)
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, n.job(closing.job).Status)
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, n.job(finished.job).Status)
	require.Equal(t, types.Status_STATUS_GONE, n.gateway("leaver").Status)
	require.Equal(t, types.Status_STATUS_GONE, n.worker("dan/1").Status)
	fresh := n.openJob("buyer", "gate2", func(m *types.MsgOpenJob) {
		n.addGateway("gate2")
	})
	require.EqualValues(t, 5, fresh.job, "the numbers go on")
	require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, n.job(planted.job).Status, "the second plants were never shown")
	require.EqualValues(t, 1000, n.job(planted.job).PlantUnits)
	require.EqualValues(t, 1, n.worker("cyd/1").AuditsFailed)
}

func TestGenesisRefuses(t *testing.T) {
	w := crew(t)
	w.openJob("buyer", "gate")
	good, err := w.k.ExportGenesis(w.ctx)
	require.NoError(t, err)
	for _, c := range []struct {
		name  string
		edit  func(*types.GenesisState)
		words string
	}{
		{"a bond that nobody holds", func(g *types.GenesisState) { g.Workers[0].Bond = g.Workers[0].Bond.AddRaw(1) }, "the bonds account holds"},
		{"an escrow that nobody holds", func(g *types.GenesisState) { g.Jobs[0].Escrow = g.Jobs[0].Escrow.AddRaw(1) }, "the escrow account holds"},
		{"a worker twice", func(g *types.GenesisState) { g.Workers[1] = g.Workers[0] }, "twice"},
		{"no operator", func(g *types.GenesisState) { g.Operators = g.Operators[1:] }, "no operator"},
		{"no gateway", func(g *types.GenesisState) { g.Gateways = nil }, "no gateway"},
		{"job number", func(g *types.GenesisState) { g.NextJob = 1 }, "the next is to be 1"},
		{"a nil amount", func(g *types.GenesisState) { g.Jobs[0].Refunded = math.Int{} }, "no amount"},
		{"price", func(g *types.GenesisState) { g.Jobs[0].WorkerPrice = math.OneInt() }, "parts of the price"},
		{"params", func(g *types.GenesisState) { g.Params.Auditors = 0 }, "auditors"},
		{"a cell twice", func(g *types.GenesisState) { g.Gateways[0].Cells = []types.Cell{cell("a", "x"), cell("a", "x")} }, "named twice"},
		{"a cell's jobs", func(g *types.GenesisState) {
			g.Gateways[0].Cells = []types.Cell{{Name: "a", Url: "https://x", Address: bech("x"), OpenJobs: 2}}
		}, "counts 2 open jobs"},
		{"charges", func(g *types.GenesisState) { g.Workers[0].Charges = 1 }, "counts 1 charges"},
		{"plants", func(g *types.GenesisState) { g.Jobs[0].PlantUnits = 1 }, "of plants"},
		{"an epoch of no job", func(g *types.GenesisState) { g.Epochs = []types.Epoch{{Job: 5, Number: 1}} }, "of no job"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var g types.GenesisState
			require.NoError(t, w.cdc.UnmarshalJSON(w.cdc.MustMarshalJSON(good), &g))
			c.edit(&g)
			n := emptyWorld(t)
			n.bank.InitGenesis(n.ctx, w.bank.ExportGenesis(w.ctx))
			require.ErrorContains(t, n.k.InitGenesis(n.ctx, &g), c.words)
		})
	}
}

// Coins that reach a module's account from outside would be in no book; the bank must
// block them, and the books say so if it does not.
func TestStrayCoinsAreNoticed(t *testing.T) {
	w := crew(t)
	require.NoError(t, w.bank.SendCoins(w.ctx, addr("buyer"), authtypes.NewModuleAddress(types.EscrowAccount), chain.Coins(math.OneInt())))
	b, err := w.k.Invariants(w.ctx)
	require.NoError(t, err)
	require.Len(t, b.Broken, 1)
	require.Contains(t, b.Broken[0], "the escrow account holds 1")
}
