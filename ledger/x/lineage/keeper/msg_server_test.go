package keeper_test

import (
	"bytes"
	"strings"
	"testing"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

func TestRegister(t *testing.T) {
	w := newWorld(t)
	w.ctx = w.ctx.WithBlockHeight(41)
	w.register(registration("pages"))
	m := registration("model", parent("pages", 1000))
	m.Type, m.RoyaltyBps = "model", 500
	m.Owner = strings.ToUpper(m.Owner) // bech32 has two spellings; records have one
	r, err := w.msg.Register(w.ctx.WithBlockHeight(42), m)
	require.NoError(t, err)
	require.Equal(t, "asserted", r.Label)

	require.Equal(t, types.Artifact{
		Cid: cid("model"), Type: "model", Owner: address("alice"), StatementDigest: m.StatementDigest,
		Parents: []types.Parent{parent("pages", 1000)}, Label: "asserted", License: "CC-BY-4.0",
		Status: types.Status_STATUS_ACTIVE, RegisteredHeight: 42, RoyaltyBps: 500, Number: 2,
	}, w.get("model").Artifact)
	e := lastEvent(w.ctx, types.EventRegistered)
	require.Equal(t, map[string]string{"cid": cid("model"), "type": "model", "owner": address("alice"), "label": "asserted", "job": "0", "parents": "1"}, e)
	w.check()
}

// lastEvent is the attributes of the newest event of a type.
func lastEvent(ctx sdk.Context, name string) map[string]string {
	attrs := map[string]string{}
	for _, e := range ctx.EventManager().Events() {
		if e.Type != name {
			continue
		}
		for _, a := range e.Attributes {
			attrs[a.Key] = a.Value
		}
	}
	return attrs
}

func TestRegisterRefuses(t *testing.T) {
	many := make([]types.Parent, 65)
	for i := range many {
		many[i] = parent(strings.Repeat("x", i+1), 0)
	}
	for name, c := range map[string]struct {
		change func(*types.MsgRegister)
		want   error
	}{
		"twice":                    {func(m *types.MsgRegister) { m.Cid = cid("pages") }, types.ErrExists},
		"another's, twice":         {func(m *types.MsgRegister) { m.Cid, m.Owner = cid("pages"), address("bob") }, types.ErrExists},
		"no owner":                 {func(m *types.MsgRegister) { m.Owner = "" }, types.ErrInvalid},
		"an owner of another net":  {func(m *types.MsgRegister) { m.Owner = sdk.MustBech32ifyAddressBytes("cosmos", make([]byte, 20)) }, types.ErrInvalid},
		"a module as its owner":    {func(m *types.MsgRegister) { m.Owner = address("module") }, types.ErrUnauthorized},
		"no CID":                   {func(m *types.MsgRegister) { m.Cid = "" }, types.ErrInvalid},
		"an upper-case CID":        {func(m *types.MsgRegister) { m.Cid = strings.ToUpper(m.Cid) }, types.ErrInvalid},
		"a CID of version 0":       {func(m *types.MsgRegister) { m.Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n" }, types.ErrInvalid},
		"a long CID":               {func(m *types.MsgRegister) { m.Cid = "b" + strings.Repeat("a", 1<<16) }, types.ErrInvalid},
		"no type":                  {func(m *types.MsgRegister) { m.Type = "" }, types.ErrInvalid},
		"an odd type":              {func(m *types.MsgRegister) { m.Type = "Data Set" }, types.ErrInvalid},
		"no statement":             {func(m *types.MsgRegister) { m.StatementDigest = nil }, types.ErrInvalid},
		"a short digest":           {func(m *types.MsgRegister) { m.StatementDigest = m.StatementDigest[:31] }, types.ErrInvalid},
		"a zero digest":            {func(m *types.MsgRegister) { m.StatementDigest = make([]byte, 32) }, types.ErrInvalid},
		"no licence":               {func(m *types.MsgRegister) { m.License = "" }, types.ErrInvalid},
		"an unknown licence":       {func(m *types.MsgRegister) { m.License = "Beerware-9" }, types.ErrInvalid},
		"itself as its parent":     {func(m *types.MsgRegister) { m.Parents = []types.Parent{{Cid: m.Cid, Role: "seeds"}} }, types.ErrInvalid},
		"a parent nobody knows":    {func(m *types.MsgRegister) { m.Parents = []types.Parent{parent("nothing", 0)} }, types.ErrNotFound},
		"a parent twice":           {func(m *types.MsgRegister) { m.Parents = []types.Parent{parent("pages", 1), parent("pages", 2)} }, types.ErrInvalid},
		"a malformed parent":       {func(m *types.MsgRegister) { m.Parents = []types.Parent{{Cid: "bafk", Role: "seeds"}} }, types.ErrInvalid},
		"a parent without a role":  {func(m *types.MsgRegister) { m.Parents = []types.Parent{{Cid: cid("pages")}} }, types.ErrInvalid},
		"too many parents":         {func(m *types.MsgRegister) { m.Parents = many }, types.ErrInvalid},
		"parents owed too much":    {func(m *types.MsgRegister) { m.Parents = []types.Parent{parent("pages", 3000), parent("images", 2001)} }, types.ErrRoyalties},
		"parents owed beyond sums": {func(m *types.MsgRegister) { m.Parents = []types.Parent{parent("pages", 1<<32-1), parent("images", 2)} }, types.ErrInvalid},
		"a great royalty":          {func(m *types.MsgRegister) { m.RoyaltyBps = 2001 }, types.ErrRoyalties},
		"an impossible royalty":    {func(m *types.MsgRegister) { m.RoyaltyBps = 10_001 }, types.ErrInvalid},
		"a job that still runs":    {func(m *types.MsgRegister) { m.Job = 9 }, types.ErrJob},
		"another buyer's job":      {func(m *types.MsgRegister) { m.Job = 1 }, types.ErrUnauthorized},
		"a job without a root":     {func(m *types.MsgRegister) { m.Job = 2 }, types.ErrJob},
		"a job without a label":    {func(m *types.MsgRegister) { m.Job = 3 }, types.ErrJob},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add("pages")
			w.add("images")
			root := bytes.Repeat([]byte{7}, 32)
			w.jobs[1] = settled{address("bob"), "agreed", root}
			w.jobs[2] = settled{address("alice"), "agreed", nil}
			w.jobs[3] = settled{address("alice"), "", root}
			before, err := w.keeper.ExportGenesis(w.ctx)
			require.NoError(t, err)

			m := registration("model")
			c.change(m)
			_, err = w.msg.Register(w.ctx, m)
			require.ErrorIs(t, err, c.want)
			require.Less(t, len(err.Error()), 1000)

			after, err := w.keeper.ExportGenesis(w.ctx)
			require.NoError(t, err)
			require.Equal(t, before, after)
			w.check()
		})
	}
}

func TestRegisterWithJob(t *testing.T) {
	w := newWorld(t)
	root := bytes.Repeat([]byte{7}, 32)
	w.jobs[5] = settled{address("alice"), "replayed", root}
	m := registration("pages")
	m.Job = 5
	r, err := w.msg.Register(w.ctx, m)
	require.NoError(t, err)
	require.Equal(t, "replayed", r.Label)
	a := w.get("pages").Artifact
	require.Equal(t, uint64(5), a.Job)
	require.Equal(t, root, a.SettledRoot)
	require.Equal(t, "replayed", a.Label)
	w.check()

	w.keeper.SetJobs(nil)
	m = registration("more")
	m.Job = 5
	_, err = w.msg.Register(w.ctx, m)
	require.ErrorIs(t, err, types.ErrJob)
}

func TestTransfer(t *testing.T) {
	w := newWorld(t)
	w.add("pages")
	transfer := func(from, to, name string) error {
		_, err := w.msg.Transfer(w.ctx, &types.MsgTransfer{Owner: address(from), NewOwner: address(to), Cid: cid(name)})
		return err
	}
	require.ErrorIs(t, transfer("bob", "carol", "pages"), types.ErrUnauthorized)
	require.ErrorIs(t, transfer("gov", "carol", "pages"), types.ErrUnauthorized)
	require.ErrorIs(t, transfer("alice", "alice", "pages"), types.ErrInvalid)
	require.ErrorIs(t, transfer("alice", "module", "pages"), types.ErrUnauthorized)
	require.ErrorIs(t, transfer("alice", "bob", "nothing"), types.ErrNotFound)
	_, err := w.msg.Transfer(w.ctx, &types.MsgTransfer{Owner: address("alice"), NewOwner: "bob", Cid: cid("pages")})
	require.ErrorIs(t, err, types.ErrInvalid)

	require.NoError(t, transfer("alice", "bob", "pages"))
	require.Equal(t, address("bob"), w.get("pages").Artifact.Owner)
	require.Equal(t, map[string]string{"cid": cid("pages"), "owner": address("bob"), "from": address("alice")}, lastEvent(w.ctx, types.EventTransferred))
	require.ErrorIs(t, transfer("alice", "bob", "pages"), types.ErrUnauthorized)
	require.Empty(t, w.list("alice"))
	require.Equal(t, []string{cid("pages")}, w.list("bob"))
	w.check()
	w.revoke("pages")
	require.ErrorIs(t, transfer("bob", "alice", "pages"), types.ErrRevoked)
}

func (w *world) list(owner string) []string {
	w.t.Helper()
	r, err := w.query.Artifacts(w.ctx, &types.QueryArtifactsRequest{Owner: address(owner)})
	require.NoError(w.t, err)
	var cids []string
	for _, a := range r.Artifacts {
		cids = append(cids, a.Cid)
	}
	return cids
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	w.add("pages")
	w.add("images")
	revoke := func(by, name, reason string) error {
		_, err := w.msg.Revoke(w.ctx, &types.MsgRevoke{Owner: address(by), Cid: cid(name), Reason: reason})
		return err
	}
	require.ErrorIs(t, revoke("bob", "pages", "x"), types.ErrUnauthorized)
	require.ErrorIs(t, revoke("alice", "nothing", "x"), types.ErrNotFound)
	for _, reason := range []string{"", strings.Repeat("x", 513), "two\nlines", "\xff", "\u202e"} {
		require.ErrorIs(t, revoke("alice", "pages", reason), types.ErrInvalid, "%q", reason)
	}
	w.ctx = w.ctx.WithBlockHeight(77)
	require.NoError(t, revoke("alice", "pages", "enthält Persönliches"))
	a := w.get("pages").Artifact
	require.Equal(t, types.Status_STATUS_REVOKED, a.Status)
	require.Equal(t, "enthält Persönliches", a.RevokeReason)
	require.Equal(t, int64(77), a.RevokedHeight)
	require.Equal(t, map[string]string{"cid": cid("pages"), "owner": address("alice"), "by": address("alice"), "reason": "enthält Persönliches"}, lastEvent(w.ctx, types.EventRevoked))
	require.ErrorIs(t, revoke("alice", "pages", "again"), types.ErrRevoked)
	require.NoError(t, revoke("gov", "images", "a court said so"), "governance may revoke what isn't its")
	require.Equal(t, address("alice"), w.get("images").Artifact.Owner)
	w.add("model", "pages") // what is honest about its parents may be registered, and is tainted
	require.Equal(t, []string{cid("pages")}, w.get("model").TaintedBy)
	w.check()
}

func TestUpdateParams(t *testing.T) {
	w := newWorld(t)
	want := types.Params{MaxParents: 2, MaxDepth: 3, MaxParentsBps: 4, MaxRoyaltyBps: 5}
	_, err := w.msg.UpdateParams(w.ctx, &types.MsgUpdateParams{Authority: address("alice"), Params: want})
	require.ErrorIs(t, err, types.ErrUnauthorized)
	for _, bad := range []types.Params{
		{}, {MaxParents: 1}, {MaxDepth: 1}, {MaxParents: 1001, MaxDepth: 1}, {MaxParents: 1, MaxDepth: 1001},
		{MaxParents: 1, MaxDepth: 1, MaxParentsBps: 10_001}, {MaxParents: 1, MaxDepth: 1, MaxRoyaltyBps: 10_001},
	} {
		_, err = w.msg.UpdateParams(w.ctx, &types.MsgUpdateParams{Authority: gov, Params: bad})
		require.ErrorIs(t, err, types.ErrInvalid, "%+v", bad)
	}
	_, err = w.msg.UpdateParams(w.ctx, &types.MsgUpdateParams{Authority: gov, Params: want})
	require.NoError(t, err)
	r, err := w.query.Params(w.ctx, &types.QueryParamsRequest{})
	require.NoError(t, err)
	require.Equal(t, want, r.Params)

	w.add("a")
	w.add("b")
	w.add("c")
	_, err = w.msg.Register(w.ctx, registration("d", parent("a", 0), parent("b", 0), parent("c", 0)))
	require.ErrorIs(t, err, types.ErrInvalid)
	_, err = w.msg.Register(w.ctx, registration("d", parent("a", 5)))
	require.ErrorIs(t, err, types.ErrRoyalties)
}

func TestArtifactsPages(t *testing.T) {
	w := newWorld(t)
	var alices, all []string
	for i, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		m := registration(name)
		if i%2 == 1 {
			m.Owner = address("bob")
		} else {
			alices = append(alices, cid(name))
		}
		all = append(all, cid(name))
		w.register(m)
	}
	pages := func(owner string, reverse bool) (cids []string) {
		r := &types.QueryArtifactsRequest{Pagination: &query.PageRequest{Limit: 3, Reverse: reverse}}
		if owner != "" {
			r.Owner = address(owner)
		}
		for {
			page, err := w.query.Artifacts(w.ctx, r)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Artifacts), 3)
			for _, a := range page.Artifacts {
				cids = append(cids, a.Cid)
			}
			if page.Pagination.NextKey == nil {
				return cids
			}
			r.Pagination.Key = page.Pagination.NextKey
		}
	}
	require.Equal(t, all, pages("", false))
	require.Equal(t, alices, pages("alice", false))
	require.Equal(t, []string{cid("g"), cid("e"), cid("c"), cid("a")}, pages("alice", true))
	require.Empty(t, pages("carol", false))
	_, err := w.query.Artifacts(w.ctx, &types.QueryArtifactsRequest{Owner: "carol"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	huge, err := w.query.Artifacts(w.ctx, &types.QueryArtifactsRequest{Pagination: &query.PageRequest{Limit: 1<<64 - 1}})
	require.NoError(t, err)
	require.Len(t, huge.Artifacts, 7)
}

func TestQueryErrors(t *testing.T) {
	w := newWorld(t)
	for bad, code := range map[string]codes.Code{
		cid("nothing"):                        codes.NotFound,
		"":                                    codes.InvalidArgument,
		"../../x":                             codes.InvalidArgument,
		artifact.CID(0x99, artifact.Sum(nil)): codes.InvalidArgument,
	} {
		_, err := w.query.Artifact(w.ctx, &types.QueryArtifactRequest{Cid: bad})
		require.Equal(t, code, status.Code(err), bad)
		_, err = w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: bad})
		require.Equal(t, code, status.Code(err), bad)
		_, err = w.query.Descendants(w.ctx, &types.QueryDescendantsRequest{Cid: bad})
		require.Equal(t, code, status.Code(err), bad)
	}
	w.add("a")
	for _, page := range []*query.PageRequest{{Reverse: true}, {Key: []byte("x")}, {Key: make([]byte, 8), Offset: 1}} {
		_, err := w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: cid("a"), Pagination: page})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%+v", page)
	}
	r, err := w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: cid("a"), Pagination: &query.PageRequest{Key: bytes.Repeat([]byte{0xff}, 8), Limit: 1<<64 - 1}})
	require.NoError(t, err)
	require.Empty(t, r.Artifacts)
	require.Empty(t, r.Pagination.NextKey)
}
