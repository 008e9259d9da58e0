package keeper_test

import (
	"context"
	"errors"
	"testing"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// One job from its opening to its last claim, with every anote accounted for.
func TestLifeOfAJob(t *testing.T) {
	w := crew(t)
	start := w.balance("buyer")
	adaStart, bobStart, gateStart := w.balance("ada"), w.balance("bob"), w.balance("gate")
	auditorsStart := w.balance("cyd").Add(w.balance("dan")).Add(adaStart).Add(bobStart)
	g := w.openJob("buyer", "gate")
	j := g.j()
	require.Equal(t, j.Price, j.WorkerPrice.Add(j.GatewayPrice).Add(j.AuditPrice).Add(j.BurnPrice))
	require.Equal(t, math.NewInt(1_000_003*500/10_000), j.GatewayPrice, "shares are rounded down")
	w.next()

	g.commit(task{"ada/0", 1, 70}, task{"bob/0", 2, 30}, task{"ada/0", 3, 11})
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_COMMITTED, w.epoch(g.job, 1).Status)
	w.next()
	e := w.epoch(g.job, 1)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SAMPLED, e.Status, "the block after the commitment is the beacon")
	require.Equal(t, work.Beacon(testChain, work.JobID(g.job), 1, w.ctx.HeaderHash()), e.BeaconBytes())
	require.Len(t, e.Samples, 1)

	must(w, w.msg.OpenReceipts, g.openings(1))
	e = w.epoch(g.job, 1)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_AUDITING, e.Status)
	require.Len(t, e.Samples[0].Slots, 3, "three auditors, none of them the worker's")
	commits, reveals := g.verdicts(1, honest)
	refused(w, types.ErrState, "others may still commit", w.msg.RevealVerdicts, reveals)
	must(w, w.msg.CommitVerdicts, commits)
	require.Equal(t, types.SampleStatus_SAMPLE_STATUS_REVEALING, w.epoch(g.job, 1).Samples[0].Status, "all committed: no waiting")
	must(w, w.msg.CommitVerdicts, commits) // carried twice
	must(w, w.msg.RevealVerdicts, reveals)
	must(w, w.msg.RevealVerdicts, reveals)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_DECIDED, w.epoch(g.job, 1).Status)
	refused(w, types.ErrState, "not settled", w.msg.Claim, g.claims(1, "ada/0"))
	w.skip(5)
	e = w.epoch(g.job, 1)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
	require.Equal(t, string(work.Agreed), e.Label)
	require.Equal(t, e.CommitHeight+5, e.SettledHeight, "as soon as the challenge window has passed")

	g.commit(task{"bob/0", 4, 20})
	g.settle(2)
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	j = g.j()
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, j.Status)
	first := work.SettledRoot([32]byte{}, work.JobID(g.job), 1, g.epochs[0].tree.Root().Hash)
	second := work.SettledRoot(first, work.JobID(g.job), 2, g.epochs[1].tree.Root().Hash)
	require.Equal(t, second[:], j.SettledRoot)
	buyer, root, label, err := w.k.SettledJob(w.ctx, g.job)
	require.NoError(t, err)
	require.Equal(t, []any{bech("buyer"), j.SettledRoot, "agreed"}, []any{buyer, root, label})

	adaBefore := w.balance("ada")
	require.Equal(t, j.WorkerPrice.MulRaw(81), must(w, w.msg.Claim, g.claims(1, "ada/0")).Paid)
	require.Equal(t, j.WorkerPrice.MulRaw(81), w.balance("ada").Sub(adaBefore))
	must(w, w.msg.Claim, g.claims(2, "ada/0", "bob/0"))
	refused(w, types.ErrNothing, "owes these workers nothing more", w.msg.Claim, g.claims(2, "ada/0", "bob/0"))
	refused(w, types.ErrNothing, "", w.msg.Claim, g.claims(1, "bob/0"))
	w.next()

	j = g.j()
	require.True(t, j.Left().IsZero(), "nothing is left")
	require.Equal(t, j.WorkerPrice.MulRaw(131), j.PaidWorkers)
	require.Equal(t, j.GatewayPrice.MulRaw(131), j.PaidGateway)
	require.Equal(t, j.BurnPrice.MulRaw(131), j.Burned)
	require.Equal(t, j.PaidGateway, w.balance("gate").Sub(gateStart))
	spend := start.Sub(w.balance("buyer"))
	require.Equal(t, j.PaidWorkers.Add(j.PaidGateway).Add(j.PaidAuditors).Add(j.Burned), spend, "what the buyer paid is what others got")
	auditorsGot := w.balance("cyd").Add(w.balance("dan")).Add(w.balance("ada")).Add(w.balance("bob")).Sub(auditorsStart)
	require.Equal(t, j.PaidWorkers.Add(j.PaidAuditors), auditorsGot)
	require.Equal(t, j.Burned, w.check().Burned)
	require.EqualValues(t, 0, w.gateway("gate").OpenJobs)
}

func TestJobWithoutAnyWork(t *testing.T) {
	w := crew(t)
	start := w.balance("buyer")
	g := w.openJob("buyer", "gate")
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
	require.Equal(t, start, w.balance("buyer"), "all of it is back")
	_, _, _, err := w.k.SettledJob(w.ctx, g.job)
	require.ErrorIs(t, err, types.ErrState)
}

func TestBuyerClosesJob(t *testing.T) {
	w := crew(t)
	start := w.balance("buyer")
	g := w.openJob("buyer", "gate")
	refused(w, types.ErrUnauthorized, "", w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("anybody"), Job: g.job})
	must(w, w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("buyer"), Job: g.job})
	refused(w, types.ErrState, "no longer open", w.msg.TopUpJob, &types.MsgTopUpJob{Buyer: bech("buyer"), Job: g.job, Amount: notes(1)})
	w.next()
	g.commit(task{"ada/0", 1, 5}) // what was done is still committed
	g.settle(1)
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSING, g.j().Status, "the gateway may still commit")
	w.skip(100)
	m, _ := g.plan(task{"ada/0", 2, 5})
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
	refused(w, types.ErrState, "takes no more epochs", w.msg.CommitEpoch, m)
	must(w, w.msg.Claim, g.claims(1, "ada/0"))
	require.Equal(t, start.Sub(g.j().Spent().Sub(g.j().Refunded)), w.balance("buyer"))
}

func TestJobExpires(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.ExpiryBlocks, m.EpochBlocks = 20, 5 })
	w.skip(20)
	require.Equal(t, types.JobStatus_JOB_STATUS_OPEN, g.j().Status)
	w.next()
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSING, g.j().Status)
	g.commit(task{"ada/0", 1, 5})
	w.next()
	g.audit(1, honest)
	w.skip(100)
	require.Equal(t, types.JobStatus_JOB_STATUS_CLOSED, g.j().Status)
	require.EqualValues(t, 5, g.j().UnitsSettled)
}

func TestOpenJobRefuses(t *testing.T) {
	w := crew(t)
	w.fund("poor", 1)
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgOpenJob)
		err   error
		words string
	}{
		{"kind", func(m *types.MsgOpenJob) { m.Kind = "Crawl" }, types.ErrInvalid, "crawl/1"},
		{"digest", func(m *types.MsgOpenJob) { m.SpecDigest = m.SpecDigest[:31] }, types.ErrInvalid, "31 bytes"},
		{"zero price", func(m *types.MsgOpenJob) { m.Price = math.ZeroInt() }, types.ErrInvalid, "positive"},
		{"no price", func(m *types.MsgOpenJob) { m.Price = math.Int{} }, types.ErrInvalid, "no amount"},
		{"negative escrow", func(m *types.MsgOpenJob) { m.Escrow = math.NewInt(-5) }, types.ErrInvalid, "positive"},
		{"escrow below price", func(m *types.MsgOpenJob) { m.Escrow = m.Price.SubRaw(1) }, types.ErrInvalid, "does not pay one unit"},
		{"absurd escrow", func(m *types.MsgOpenJob) { m.Escrow = math.NewInt(2).Mul(notes(1).Mul(notes(1)).Mul(notes(1))) }, types.ErrInvalid, "128 bits"},
		{"audit rate too low", func(m *types.MsgOpenJob) { m.AuditBps = 99 }, types.ErrInvalid, "at least 100"},
		{"audit rate too high", func(m *types.MsgOpenJob) { m.AuditBps = 10_001 }, types.ErrInvalid, "at most 10000"},
		{"expiry", func(m *types.MsgOpenJob) { m.ExpiryBlocks = 1_000_001 }, types.ErrInvalid, "at most 1000000"},
		{"no expiry", func(m *types.MsgOpenJob) { m.ExpiryBlocks = 0 }, types.ErrInvalid, "at least 1"},
		{"fee", func(m *types.MsgOpenJob) { m.MaxGatewayFeeBps = 499 }, types.ErrFee, "asks for 500"},
		{"no gateway", func(m *types.MsgOpenJob) { m.Gateway = bech("nobody") }, types.ErrNotFound, "no gateway"},
		{"not an address", func(m *types.MsgOpenJob) { m.Gateway = "cosmos1xyz" }, types.ErrInvalid, "address"},
		{"above the balance", func(m *types.MsgOpenJob) { m.Buyer = bech("poor") }, nil, "insufficient funds"},
		{"uses without a register", func(m *types.MsgOpenJob) { m.Uses = []string{"bafy"} }, types.ErrRoyalties, "no register"},
		{"uses twice", func(m *types.MsgOpenJob) { m.Uses = []string{"bafy", "bafy"} }, types.ErrInvalid, "twice"},
		{"a module's account", func(m *types.MsgOpenJob) { m.Buyer = sdk.AccAddress(modAddr(types.EscrowAccount)).String() }, types.ErrUnauthorized, "module"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := jobTerms("buyer", "gate")
			c.edit(m)
			_, err := send(w, w.msg.OpenJob, m)
			require.ErrorContains(t, err, c.words)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
		})
	}
	must(w, w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("gate"), FeeBps: 500, Status: types.Status_STATUS_PAUSED})
	refused(w, types.ErrState, "takes no jobs", w.msg.OpenJob, jobTerms("buyer", "gate"))
}

// owners is a register of artifacts with fixed shares.
type owners []types.RoyaltyShare

func (o owners) Royalties(_ context.Context, uses []string) ([]types.RoyaltyShare, error) {
	if uses[0] == "revoked" {
		return nil, errors.New("artifact revoked was revoked")
	}
	return o, nil
}

func TestRoyalties(t *testing.T) {
	w := crew(t)
	blocked := sdk.AccAddress(modAddr(types.BondsAccount)).String()
	w.k.SetLineage(owners{
		{Artifact: "bafy-a", Owner: bech("owner"), Bps: 1000},
		{Artifact: "bafy-b", Owner: blocked, Bps: 500},
		{Artifact: "bafy-c", Owner: bech("owner"), Bps: 0},
	})
	use := func(m *types.MsgOpenJob) { m.Uses = []string{"bafy-a"} }
	g := w.openJob("buyer", "gate", use)
	j := g.j()
	require.Len(t, j.Royalties, 2)
	require.Equal(t, math.NewInt(100_000), j.Royalties[0].Price)
	g.commit(task{"ada/0", 1, 10})
	g.settle(1)
	require.Equal(t, math.NewInt(1_000_000), w.balance("owner"))
	require.Equal(t, math.NewInt(1_000_000), g.j().PaidRoyalties, "who can't be paid is passed over")

	w.k.SetLineage(owners{{Artifact: "bafy-a", Owner: bech("owner"), Bps: 3001}})
	m := jobTerms("buyer", "gate")
	use(m)
	refused(w, types.ErrRoyalties, "more than 3000", w.msg.OpenJob, m)
	m.Uses = []string{"revoked"}
	refused(w, types.ErrRoyalties, "was revoked", w.msg.OpenJob, m)
}

func TestCommitEpochRefuses(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate", func(m *types.MsgOpenJob) { m.Escrow = m.Price.MulRaw(100) })
	good, b := g.plan(task{"ada/0", 1, 60})
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgCommitEpoch)
		err   error
		words string
	}{
		{"another's job", func(m *types.MsgCommitEpoch) { m.Gateway = bech("anybody") }, types.ErrUnauthorized, "gateway"},
		{"no such job", func(m *types.MsgCommitEpoch) { m.Job = 99 }, types.ErrNotFound, "no job 99"},
		{"a gap", func(m *types.MsgCommitEpoch) { m.Number = 2 }, types.ErrEpoch, "the next is 1"},
		{"no receipts", func(m *types.MsgCommitEpoch) { m.Receipts = 0 }, types.ErrInvalid, "without receipts"},
		{"no workers", func(m *types.MsgCommitEpoch) { m.Workers = 0 }, types.ErrInvalid, "without workers"},
		{"short root", func(m *types.MsgCommitEpoch) { m.ReceiptsRoot = []byte{1} }, types.ErrInvalid, "1 bytes"},
		{"zero root", func(m *types.MsgCommitEpoch) { m.PayRoot = make([]byte, 32) }, types.ErrInvalid, "all zero"},
		{"total too high", func(m *types.MsgCommitEpoch) { m.TotalUnits++ }, types.ErrEpoch, "units in all"},
		{"total too low", func(m *types.MsgCommitEpoch) { m.TotalUnits-- }, types.ErrInvalid, "fewer"},
		{"above the escrow", func(m *types.MsgCommitEpoch) { m.Units, m.TotalUnits = 101, 101 }, types.ErrEscrow, "add to it"},
		{"overflow", func(m *types.MsgCommitEpoch) { m.Units, m.TotalUnits = 1<<64-1, 1<<64-1 }, types.ErrEscrow, "add to it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := *good
			c.edit(&m)
			refused(w, c.err, c.words, w.msg.CommitEpoch, &m)
		})
	}
	must(w, w.msg.CommitEpoch, good)
	g.epochs = append(g.epochs, b)
	refused(w, types.ErrEpoch, "the next is 2", w.msg.CommitEpoch, good) // the same number twice
	more, _ := g.plan(task{"ada/0", 2, 41})
	refused(w, types.ErrEscrow, "101 units", w.msg.CommitEpoch, more)
	must(w, w.msg.TopUpJob, &types.MsgTopUpJob{Buyer: bech("buyer"), Job: g.job, Amount: math.NewInt(1_000_003)})
	more.Finish = true
	must(w, w.msg.CommitEpoch, more)
	more.Number = 3
	refused(w, types.ErrState, "finished", w.msg.CommitEpoch, more)
}

func TestManyEpochsPending(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	for i := range uint64(types.MaxPending) {
		g.commit(task{"ada/0", i + 1, 1})
	}
	m, _ := g.plan(task{"ada/0", 1000, 1})
	refused(w, types.ErrState, "wait until one settled", w.msg.CommitEpoch, m)
	w.next()
	// Decided from the last to the first, they still settle in order.
	for n := types.MaxPending; n >= 1; n-- {
		g.audit(uint64(n), honest)
		if n == 2 {
			w.skip(10)
			require.Zero(t, g.j().EpochsSettled)
		}
	}
	w.skip(2)
	require.EqualValues(t, types.MaxPending, g.j().EpochsSettled)
	require.EqualValues(t, types.MaxPending, g.j().UnitsSettled)
}

// An epoch whose results earned nothing settles all the same.
func TestEpochWithoutUnits(t *testing.T) {
	w := crew(t)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 0})
	w.skip(6)
	e := w.epoch(g.job, 1)
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, e.Status)
	require.Equal(t, "asserted", e.Label)
	require.Equal(t, "asserted", g.j().Label)
}
