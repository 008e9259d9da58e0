package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

func modAddr(name string) sdk.AccAddress { return authtypes.NewModuleAddress(name) }

func TestEnrollWorkersRefuses(t *testing.T) {
	w := crew(t, func(p *types.Params) { p.MaxWorkersPerTx = 3 })
	w.fund("ada", 1000)
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgEnrollWorkers)
		err   error
		words string
	}{
		{"nobody", func(m *types.MsgEnrollWorkers) { m.Workers = nil }, types.ErrInvalid, "0 workers"},
		{"too many", func(m *types.MsgEnrollWorkers) {
			m.Workers = nil
			for _, n := range []string{"ada/10", "ada/11", "ada/12", "ada/13"} {
				m.Workers = append(m.Workers, enrollment(n, "ada"))
			}
		}, types.ErrInvalid, "at most 3"},
		{"not an operator", func(m *types.MsgEnrollWorkers) { m.Operator = bech("anybody") }, types.ErrNotFound, "register it first"},
		{"a key stolen", func(m *types.MsgEnrollWorkers) { m.Workers[0].Signature = enrollment("ada/10", "bob").Signature }, types.ErrUnauthorized, "must sign"},
		{"enrolled", func(m *types.MsgEnrollWorkers) { m.Workers[0] = enrollment("ada/0", "ada") }, types.ErrExists, "is enrolled"},
		{"twice", func(m *types.MsgEnrollWorkers) { m.Workers = append(m.Workers, m.Workers[0]) }, types.ErrExists, "is enrolled"},
		{"small bond", func(m *types.MsgEnrollWorkers) { m.Workers[0].Bond = notes(99) }, types.ErrBond, "at least"},
		{"no bond", func(m *types.MsgEnrollWorkers) { m.Workers[0].Bond = math.Int{} }, types.ErrInvalid, "no amount"},
		{"no kinds", func(m *types.MsgEnrollWorkers) { m.Workers[0].Kinds = nil }, types.ErrInvalid, "0 kinds"},
		{"a bad kind", func(m *types.MsgEnrollWorkers) { m.Workers[0].Kinds = []string{"crawl"} }, types.ErrInvalid, "crawl/1"},
		{"a kind twice", func(m *types.MsgEnrollWorkers) { m.Workers[0].Kinds = []string{kindName, kindName} }, types.ErrInvalid, "twice"},
		{"a short key", func(m *types.MsgEnrollWorkers) { m.Workers[0].Key = m.Workers[0].Key[:31] }, types.ErrInvalid, "31 bytes"},
		{"nobody's key", func(m *types.MsgEnrollWorkers) { m.Workers[0].Key = make([]byte, 32) }, types.ErrInvalid, "nobody's"},
		{"bad text", func(m *types.MsgEnrollWorkers) { m.Workers[0].Network = "AS1\x1b[2J" }, types.ErrInvalid, "unprintable"},
		{"no money", func(m *types.MsgEnrollWorkers) { m.Workers[0].Bond = notes(5000) }, nil, "insufficient funds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &types.MsgEnrollWorkers{Operator: bech("ada"), Workers: []types.Enrollment{enrollment("ada/10", "ada")}}
			c.edit(m)
			_, err := send(w, w.msg.EnrollWorkers, m)
			require.ErrorContains(t, err, c.words)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
		})
	}
}

func TestWorkerLife(t *testing.T) {
	w := crew(t)
	w.fund("ada", 100)
	update := func(status types.Status) *types.MsgUpdateWorker {
		return &types.MsgUpdateWorker{Operator: bech("ada"), Key: pub("ada/0"), Status: status}
	}
	active := func(kind string) int {
		r, err := w.query.Workers(w.ctx, &types.QueryWorkersRequest{Kind: kind})
		require.NoError(t, err)
		return len(r.Workers)
	}
	require.Equal(t, 8, active(kindName))
	enrolled := w.worker("ada/0").ActiveHeight

	must(w, w.msg.UpdateWorker, update(types.Status_STATUS_PAUSED))
	require.Equal(t, 7, active(kindName))
	must(w, w.msg.UpdateWorker, update(types.Status_STATUS_PAUSED)) // again
	w.next()
	must(w, w.msg.UpdateWorker, update(types.Status_STATUS_ACTIVE))
	require.Equal(t, 8, active(kindName))
	require.Greater(t, w.worker("ada/0").ActiveHeight, enrolled)
	require.Equal(t, "net-ada", w.worker("ada/0").Network, "what is not named stays")

	m := update(types.Status_STATUS_UNSPECIFIED)
	m.Kinds, m.Region = []string{"infer/1", "crawl/2"}, "eu"
	must(w, w.msg.UpdateWorker, m)
	require.Equal(t, []int{7, 1, 1}, []int{active(kindName), active("infer/1"), active("crawl/2")})
	require.Equal(t, "eu", w.worker("ada/0").Region)

	m.Operator = bech("bob")
	refused(w, types.ErrUnauthorized, "belongs to", w.msg.UpdateWorker, m)
	refused(w, types.ErrInvalid, "want active or paused", w.msg.UpdateWorker, update(types.Status_STATUS_JAILED))
	refused(w, types.ErrNotFound, "no worker", w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("ada"), Key: pub("nobody")})
	must(w, w.msg.TopUpBond, &types.MsgTopUpBond{Sender: bech("ada"), Worker: pub("ada/0"), Amount: notes(7)})
	refused(w, types.ErrUnauthorized, "", w.msg.TopUpBond, &types.MsgTopUpBond{Sender: bech("bob"), Worker: pub("ada/0"), Amount: notes(1)})

	before := w.balance("ada")
	refused(w, types.ErrUnauthorized, "", w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("bob"), Keys: [][]byte{pub("ada/0")}})
	at := must(w, w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/0")}}).ReleaseHeight
	refused(w, types.ErrState, "UNBONDING", w.msg.UpdateWorker, update(types.Status_STATUS_ACTIVE))
	refused(w, types.ErrState, "UNBONDING", w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/0")}})
	refused(w, types.ErrExists, "", w.msg.EnrollWorkers, &types.MsgEnrollWorkers{Operator: bech("ada"), Workers: []types.Enrollment{enrollment("ada/0", "ada")}})
	w.skip(at - w.height())
	require.Equal(t, before, w.balance("ada"))
	w.next()
	require.Equal(t, notes(107), w.balance("ada").Sub(before))
	require.Equal(t, types.Status_STATUS_GONE, w.worker("ada/0").Status)
	must(w, w.msg.EnrollWorkers, &types.MsgEnrollWorkers{Operator: bech("ada"), Workers: []types.Enrollment{enrollment("ada/0", "ada")}})
	require.Equal(t, types.Status_STATUS_ACTIVE, w.worker("ada/0").Status)
	w.next()
}

func TestGatewayLife(t *testing.T) {
	w := crew(t)
	w.fund("new", 3000)
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgRegisterGateway)
		err   error
		words string
	}{
		{"fee", func(m *types.MsgRegisterGateway) { m.FeeBps = 2001 }, types.ErrFee, "at most 2000"},
		{"bond", func(m *types.MsgRegisterGateway) { m.Bond = notes(999) }, types.ErrBond, "at least"},
		{"url", func(m *types.MsgRegisterGateway) { m.Url = "javascript:alert(1)" }, types.ErrInvalid, "http"},
		{"url with a password", func(m *types.MsgRegisterGateway) { m.Url = "https://a:b@example.org" }, types.ErrInvalid, "host"},
		{"a key stolen", func(m *types.MsgRegisterGateway) { m.Key = pub("gate") }, types.ErrUnauthorized, "must sign"},
		{"there", func(m *types.MsgRegisterGateway) { *m = *registration("gate") }, types.ErrExists, "is a gateway"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := registration("new")
			c.edit(m)
			refused(w, c.err, c.words, w.msg.RegisterGateway, m)
		})
	}
	must(w, w.msg.RegisterGateway, registration("new"))
	// The same key for another account, although its holder agreed.
	sig, err := nodeKey("new").SignEnrollment(testChain, bech("anybody"))
	require.NoError(t, err)
	taken := registration("new")
	taken.Address, taken.Signature = bech("anybody"), sig
	refused(w, types.ErrExists, "another gateway's", w.msg.RegisterGateway, taken)

	must(w, w.msg.TopUpBond, &types.MsgTopUpBond{Sender: bech("new"), Amount: notes(5)})
	refused(w, types.ErrNotFound, "", w.msg.TopUpBond, &types.MsgTopUpBond{Sender: bech("ada"), Amount: notes(5)})
	refused(w, types.ErrFee, "", w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("new"), FeeBps: 2001})
	must(w, w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("new"), FeeBps: 100, Url: "http://127.0.0.1:8080/x"})
	require.Equal(t, "http://127.0.0.1:8080/x", w.gateway("new").Url)

	g := w.openJob("buyer", "new")
	refused(w, types.ErrState, "1 jobs that are not closed", w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("new")})
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("new"), Job: g.job})
	w.next()
	before := w.balance("new")
	at := must(w, w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("new")}).ReleaseHeight
	refused(w, types.ErrState, "UNBONDING", w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("new"), Status: types.Status_STATUS_ACTIVE})
	refused(w, types.ErrState, "takes no jobs", w.msg.OpenJob, jobTerms("buyer", "new"))
	w.skip(at - w.height() + 1)
	require.Equal(t, notes(1005), w.balance("new").Sub(before))
	require.Equal(t, types.Status_STATUS_GONE, w.gateway("new").Status)
	must(w, w.msg.RegisterGateway, registration("new"))
	w.next()
}

func TestUpdateParams(t *testing.T) {
	w := crew(t)
	p := types.DevnetParams()
	p.OpenBlocks, p.UnbondingBlocks = 30, 101
	refused(w, types.ErrUnauthorized, "may not change", w.msg.UpdateParams, &types.MsgUpdateParams{Authority: bech("ada"), Params: p})
	must(w, w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	got, err := w.k.Params(w.ctx)
	require.NoError(t, err)
	require.EqualValues(t, 30, got.OpenBlocks)
	p.UnbondingBlocks = 100
	refused(w, types.ErrInvalid, "can't be disputed any more", w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	p.OpenBlocks = 0
	refused(w, types.ErrInvalid, "open_blocks", w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
}

func TestQueries(t *testing.T) {
	w := crew(t)
	w.addGateway("other")
	g := w.openJob("buyer", "gate")
	w.openJob("buyer", "other")
	w.openJob("anybody", "gate")
	must(w, w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("gate"), Job: g.job})
	w.next()
	ids := func(r types.QueryJobsRequest) (ids []uint64) {
		got, err := w.query.Jobs(w.ctx, &r)
		require.NoError(t, err)
		for _, j := range got.Jobs {
			ids = append(ids, j.Id)
		}
		return ids
	}
	require.Equal(t, []uint64{1, 2, 3}, ids(types.QueryJobsRequest{}))
	require.Equal(t, []uint64{3, 2}, ids(types.QueryJobsRequest{Pagination: &query.PageRequest{Reverse: true, Limit: 2}}))
	require.Equal(t, []uint64{1, 2}, ids(types.QueryJobsRequest{Buyer: bech("buyer")}))
	require.Equal(t, []uint64{2}, ids(types.QueryJobsRequest{Buyer: bech("buyer"), Live: true}))
	require.Equal(t, []uint64{1}, ids(types.QueryJobsRequest{Buyer: bech("buyer"), Gateway: bech("gate")}))
	require.Equal(t, []uint64{1, 3}, ids(types.QueryJobsRequest{Gateway: bech("gate")}))
	require.Equal(t, []uint64{3}, ids(types.QueryJobsRequest{Gateway: bech("gate"), Live: true}))
	require.Equal(t, []uint64{2, 3}, ids(types.QueryJobsRequest{Live: true}))

	ws, err := w.query.Workers(w.ctx, &types.QueryWorkersRequest{Operator: bech("ada"), Kind: kindName})
	require.NoError(t, err)
	require.Len(t, ws.Workers, 2)
	ws, err = w.query.Workers(w.ctx, &types.QueryWorkersRequest{Pagination: &query.PageRequest{Limit: 3}})
	require.NoError(t, err)
	require.Len(t, ws.Workers, 3)
	more, err := w.query.Workers(w.ctx, &types.QueryWorkersRequest{Pagination: &query.PageRequest{Key: ws.Pagination.NextKey}})
	require.NoError(t, err)
	require.Len(t, more.Workers, 5)
	_, err = w.query.Worker(w.ctx, &types.QueryWorkerRequest{Key: "zz"})
	require.ErrorContains(t, err, "InvalidArgument")
	_, err = w.query.Job(w.ctx, &types.QueryJobRequest{Id: 77})
	require.ErrorContains(t, err, "NotFound")
	_, err = w.query.Gateway(w.ctx, &types.QueryGatewayRequest{Address: bech("ada")})
	require.ErrorContains(t, err, "NotFound")
	inv, err := w.query.Invariants(w.ctx, &types.QueryInvariantsRequest{})
	require.NoError(t, err)
	require.True(t, inv.Ok)
	require.Equal(t, notes(2800), inv.Bonds)
	require.Equal(t, notes(100), inv.Escrow)
	g2 := &gate{w: w, name: "gate", buyer: "anybody", job: 3, total: map[string]uint64{}}
	g2.commit(task{"ada/0", 1, 5}, task{"bob/0", 2, 5})
	g2.settle(1)
	must(w, w.msg.Claim, g2.claims(1, "ada/0", "bob/0"))
	claims, err := w.query.Claims(w.ctx, &types.QueryClaimsRequest{Job: 3})
	require.NoError(t, err)
	require.Len(t, claims.Claims, 2)
	epochs, err := w.query.Epochs(w.ctx, &types.QueryEpochsRequest{Job: 3})
	require.NoError(t, err)
	require.Len(t, epochs.Epochs, 1)
	op, err := w.query.Operator(w.ctx, &types.QueryOperatorRequest{Address: bech("ada")})
	require.NoError(t, err)
	require.EqualValues(t, 2, op.Operator.Workers)
	ops, err := w.query.Operators(w.ctx, &types.QueryOperatorsRequest{})
	require.NoError(t, err)
	require.Len(t, ops.Operators, 4)
	gs, err := w.query.Gateways(w.ctx, &types.QueryGatewaysRequest{})
	require.NoError(t, err)
	require.Len(t, gs.Gateways, 2)
}
