package keeper_test

import (
	"fmt"
	"testing"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/keeper"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func cell(name, account string) types.Cell {
	return types.Cell{Name: name, Url: "https://" + name + ".example", Address: bech(account)}
}

func setCells(gateway string, cells ...types.Cell) *types.MsgSetCells {
	return &types.MsgSetCells{Address: bech(gateway), Cells: cells}
}

func TestCells(t *testing.T) {
	w := crew(t)
	whole := w.openJob("buyer", "gate")
	must(w, w.msg.SetCells, setCells("gate", cell("a", "cell-a"), cell("b", "cell-b")))
	m := jobTerms("buyer", "gate")
	refused(w, types.ErrInvalid, "name one of them, such as a", w.msg.OpenJob, m)
	m.Cell = "c"
	refused(w, types.ErrNotFound, "no cell c", w.msg.OpenJob, m)
	m.Cell = "A!"
	refused(w, types.ErrInvalid, "a to z", w.msg.OpenJob, m)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Cell = "a" })
	other := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Cell = "b" })
	require.Equal(t, "a", g.j().Cell)
	require.EqualValues(t, 1, w.gateway("gate").Cells[0].OpenJobs)
	require.EqualValues(t, 3, w.gateway("gate").OpenJobs)

	jobs := func(q types.QueryJobsRequest) (ids []uint64) {
		r, err := w.query.Jobs(w.ctx, &q)
		require.NoError(t, err)
		for _, j := range r.Jobs {
			ids = append(ids, j.Id)
		}
		return ids
	}
	require.Equal(t, []uint64{g.job}, jobs(types.QueryJobsRequest{Gateway: bech("gate"), Cell: "a", Live: true}))
	require.Equal(t, []uint64{other.job}, jobs(types.QueryJobsRequest{Gateway: bech("gate"), Cell: "b"}))
	require.Equal(t, []uint64{other.job}, jobs(types.QueryJobsRequest{Cell: "b"}))

	// The cell's account does all that the gateway may, in its own jobs alone.
	commit, b := g.plan(task{"ada/0", 1, 10})
	for _, stranger := range []string{"cell-b", "anybody"} {
		commit.Gateway = bech(stranger)
		refused(w, types.ErrUnauthorized, "is gateway", w.msg.CommitEpoch, commit)
	}
	commit.Gateway = bech("cell-a")
	d, err := work.Plants{Chain: testChain, Job: work.JobID(g.job), Epoch: 1}.Commitment()
	require.NoError(t, err)
	commit.Plants = d[:]
	must(w, w.msg.CommitEpoch, commit)
	g.epochs = append(g.epochs, b)
	w.next()
	open := g.openings(1)
	open.Gateway = bech("cell-b")
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.OpenReceipts, open)
	open.Gateway = bech("cell-a")
	must(w, w.msg.OpenReceipts, open)
	g.decide(1, honest)
	id := must(w, w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 10)).Challenge
	gate := w.balance("gate")
	answer := &types.MsgAnswerChallenge{Gateway: bech("cell-b"), Challenge: id, Epoch: 1, Pay: g.payProof(1, "ada/0")}
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.AnswerChallenge, answer)
	answer.Gateway = bech("cell-a")
	must(w, w.msg.AnswerChallenge, answer)
	require.Equal(t, notes(1), w.balance("gate").Sub(gate), "the deposit is the gateway's")
	show := &types.MsgRevealPlants{Gateway: bech("cell-b"), Job: g.job, Epoch: 1, Salt: make([]byte, 32)}
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.RevealPlants, show)
	show.Gateway = bech("cell-a")
	must(w, w.msg.RevealPlants, show)
	w.skip(6)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status)
	finish := &types.MsgFinishJob{Gateway: bech("cell-a"), Job: whole.job}
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.FinishJob, finish)

	// A cell with open jobs stays; its account may change.
	refused(w, types.ErrState, "cell a has 1 jobs", w.msg.SetCells, setCells("gate", cell("b", "cell-b")))
	must(w, w.msg.SetCells, setCells("gate", cell("b", "cell-b"), cell("a", "cell-c")))
	finish.Job = g.job
	refused(w, types.ErrUnauthorized, "is gateway", w.msg.FinishJob, finish)
	finish.Gateway = bech("cell-c")
	must(w, w.msg.FinishJob, finish)
	w.next()
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
	must(w, w.msg.SetCells, setCells("gate", cell("b", "cell-b")))
	finish.Job, finish.Gateway = other.job, bech("gate")
	must(w, w.msg.FinishJob, finish)
	finish.Job = whole.job
	must(w, w.msg.FinishJob, finish)
	w.next()
	must(w, w.msg.SetCells, setCells("gate"))
	require.Empty(t, w.gateway("gate").Cells)
	w.reborn()
}

func TestSetCellsRefuses(t *testing.T) {
	w := crew(t)
	many := func(n int) (cells []types.Cell) {
		for i := range n {
			cells = append(cells, cell(fmt.Sprintf("c%d", i), "cell"))
		}
		return cells
	}
	for _, c := range []struct {
		name  string
		cells []types.Cell
		err   error
		words string
	}{
		{"too many", many(257), types.ErrInvalid, "at most 256"},
		{"twice", []types.Cell{cell("a", "x"), cell("a", "y")}, types.ErrInvalid, "named twice"},
		{"no name", []types.Cell{cell("", "x")}, types.ErrInvalid, "a to z"},
		{"a long name", []types.Cell{cell("a23456789012345678901234567890123", "x")}, types.ErrInvalid, "a to z"},
		{"capitals", []types.Cell{cell("Ab", "x")}, types.ErrInvalid, "a to z"},
		{"a bad url", []types.Cell{{Name: "a", Url: "ftp://x", Address: bech("x")}}, types.ErrInvalid, "http"},
		{"no address", []types.Cell{{Name: "a", Url: "https://x"}}, types.ErrInvalid, "address"},
		{"a module's account", []types.Cell{{Name: "a", Url: "https://x", Address: sdk.AccAddress(modAddr(types.BondsAccount)).String()}}, types.ErrUnauthorized, "module"},
		{"counted jobs", []types.Cell{{Name: "a", Url: "https://x", Address: bech("x"), OpenJobs: 1}}, types.ErrInvalid, "the ledger counts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(w, c.err, c.words, w.msg.SetCells, setCells("gate", c.cells...))
		})
	}
	refused(w, types.ErrNotFound, "no gateway", w.msg.SetCells, setCells("ada"))
	must(w, w.msg.SetCells, setCells("gate", many(256)...))
	must(w, w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("gate")})
	refused(w, types.ErrState, "UNBONDING", w.msg.SetCells, setCells("gate"))
	w.skip(102)
	must(w, w.msg.RegisterGateway, registration("gate"))
	require.Empty(t, w.gateway("gate").Cells, "who comes again begins anew")
}

// An operator whose account is a cell's does not audit the gateway's jobs.
func TestCellsDoNotAudit(t *testing.T) {
	w := crew(t)
	must(w, w.msg.SetCells, setCells("gate", cell("a", "bob"), cell("b", "cyd")))
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Cell = "a" })
	g.commit(task{"ada/0", 1, 10})
	w.next()
	must(w, w.msg.OpenReceipts, g.openings(1))
	slots := w.epoch(g.job, 1).Samples[0].Slots
	require.Len(t, slots, 1)
	require.Contains(t, nameOf(work.PublicKey(slots[0].Auditor)), "dan/")
}

// Workers on probation are audited at their own rate, until enough of their receipts were
// upheld.
func TestProbation(t *testing.T) {
	w := crew(t, func(p *types.Params) { p.ProbationAudits, p.ProbationAuditBps = 2, 5000 })
	g := w.openJob("buyer", "gate")
	for i := range uint64(2) {
		require.True(t, w.onProbation("ada/0"))
		g.commit(task{"ada/0", i + 1, 10})
		g.settle(i + 1)
	}
	require.False(t, w.onProbation("ada/0"))
	var tasks []task
	for i := range uint64(20) {
		tasks = append(tasks, task{[]string{"ada/0", "bob/0"}[i%2], 100 + i, 10})
	}
	m, _ := g.plan(tasks...)
	require.EqualValues(t, []uint64{10, 100}, []uint64{m.ProbationReceipts, m.ProbationUnits})
	for _, x := range tasks {
		g.total[x.worker] -= x.units
	}
	g.commit(tasks...)
	w.next()
	first, rest := 0, 0
	for _, s := range w.epoch(g.job, 3).Samples {
		if s.Unit < 100 {
			first++
		} else {
			rest++
		}
	}
	require.Equal(t, []int{5, 1}, []int{first, rest}, "half of ten, and a tenth of ten")
	must(w, w.msg.OpenReceipts, g.openings(3))
}

// A gateway that miscounts the receipts of workers on probation can't open what is drawn.
func TestProbationMiscounted(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgCommitEpoch)
		words string
	}{
		{"hidden in the second part", func(m *types.MsgCommitEpoch) { m.ProbationReceipts, m.ProbationUnits = 0, 0 }, "is on probation"},
		// One sample would do for nearly all of the units.
		{"few receipts of many units", func(m *types.MsgCommitEpoch) { m.ProbationReceipts, m.ProbationUnits = 1, m.Units-1 }, "the first 1 receipts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := crew(t, func(p *types.Params) { p.ProbationAudits = 2 })
			start := w.balance("buyer")
			g := w.openJob("buyer", "gate")
			m, b := g.plan(task{"ada/0", 1, 10}, task{"ada/0", 2, 10}, task{"ada/0", 3, 10}, task{"ada/0", 4, 1000})
			c.edit(m)
			must(w, w.msg.CommitEpoch, m)
			g.epochs = append(g.epochs, b)
			w.next()
			refused(w, types.ErrReceipt, c.words, w.msg.OpenReceipts, g.openings(1))
			w.skip(26)
			require.Equal(t, types.JobStatus_JOB_STATUS_FAULTED, g.j().Status)
			require.Equal(t, notes(900), w.gateway("gate").Bond)
			require.Equal(t, start, w.balance("buyer"))
		})
	}
	w := crew(t)
	g := w.openJob("buyer", "gate")
	m, _ := g.plan(task{"ada/0", 1, 10})
	for _, x := range [][2]uint64{{1, 0}, {0, 1}, {2, 10}, {1, 11}} {
		m.ProbationReceipts, m.ProbationUnits = x[0], x[1]
		refused(w, types.ErrInvalid, "on probation", w.msg.CommitEpoch, m)
	}
}

// An operator enrols a whole fleet in one transaction.
func TestEnrolFleet(t *testing.T) {
	require.EqualValues(t, 100, types.DefaultParams().MaxWorkersPerTx)
	w := newWorld(t)
	w.operator("ada", 100)
	r, err := w.query.Operator(w.ctx, &types.QueryOperatorRequest{Address: bech("ada")})
	require.NoError(t, err)
	require.EqualValues(t, 100, r.Operator.Workers)
	m := &types.MsgEnrollWorkers{Operator: bech("ada")}
	for i := range 101 {
		m.Workers = append(m.Workers, enrollment(fmt.Sprintf("ada/%d", 100+i), "ada"))
	}
	refused(w, types.ErrInvalid, "101 workers in one message, at most 100", w.msg.EnrollWorkers, m)
	w.next()
}

// A market of version 1 goes on under version 2: what was committed before it is opened
// and settles as before.
func TestMigrate1to2(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	p, err := w.k.Params(w.ctx)
	require.NoError(t, err)
	old := p
	p.PassedPlantSlashBps, p.OutvotedAuditorSlashBps, p.ProbationAudits, p.ProbationAuditBps = 0, 0, 0, 0
	must(w, w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	w.next()
	require.NoError(t, keeper.NewMigrator(w.k).Migrate1to2(w.ctx))
	got, err := w.k.Params(w.ctx)
	require.NoError(t, err)
	old.ProbationAudits = types.DevnetParams().ProbationAudits
	require.Equal(t, old, got)
	g.audit(1, honest)
	w.skip(6)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(g.job, 1).Status)

	p.AllowLoopback = false
	must(w, w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	require.NoError(t, keeper.NewMigrator(w.k).Migrate1to2(w.ctx))
	got, err = w.k.Params(w.ctx)
	require.NoError(t, err)
	require.EqualValues(t, 20, got.ProbationAudits)
	require.EqualValues(t, 2000, got.ProbationAuditBps)
	require.Equal(t, math.NewInt(500), math.NewIntFromUint64(uint64(got.PassedPlantSlashBps)))
}
