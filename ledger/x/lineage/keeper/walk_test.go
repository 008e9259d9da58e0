package keeper_test

import (
	"fmt"
	"testing"

	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// step is what a test looks at of a types.Traced.
type step struct {
	cid, via, role string
	depth          uint32
}

func steps(list []types.Traced) []step {
	var out []step
	for _, t := range list {
		out = append(out, step{t.Artifact.Cid, t.Via, t.Role, t.Depth})
	}
	return out
}

// ancestry and descendants read a whole trace in pages of the given size.
func (w *world) ancestry(name string, limit uint64) ([]types.Traced, bool) {
	return w.pages(limit, func(p *query.PageRequest) ([]types.Traced, *query.PageResponse, bool) {
		r, err := w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: cid(name), Pagination: p})
		require.NoError(w.t, err)
		return r.Artifacts, r.Pagination, r.Truncated
	})
}

func (w *world) descendants(name string, limit uint64) ([]types.Traced, bool) {
	return w.pages(limit, func(p *query.PageRequest) ([]types.Traced, *query.PageResponse, bool) {
		r, err := w.query.Descendants(w.ctx, &types.QueryDescendantsRequest{Cid: cid(name), Pagination: p})
		require.NoError(w.t, err)
		return r.Artifacts, r.Pagination, r.Truncated
	})
}

func (w *world) pages(limit uint64, read func(*query.PageRequest) ([]types.Traced, *query.PageResponse, bool)) (all []types.Traced, truncated bool) {
	w.t.Helper()
	p := &query.PageRequest{Limit: limit}
	for {
		list, next, cut := read(p)
		if limit > 0 {
			require.LessOrEqual(w.t, uint64(len(list)), limit)
		}
		all = append(all, list...)
		if next.NextKey == nil {
			return all, cut
		}
		require.NotEmpty(w.t, list)
		p = &query.PageRequest{Limit: limit, Key: next.NextKey}
	}
}

// diamond is two crawls of one list of seeds, a model of both, and an answer.
func diamond(w *world) {
	w.add("seeds")
	w.add("pages", "seeds")
	w.add("images", "seeds")
	w.add("model", "pages", "images")
	w.add("answer", "model", "seeds")
}

func TestAncestryAndDescendants(t *testing.T) {
	w := newWorld(t)
	diamond(w)
	for _, limit := range []uint64{0, 1, 2, 3, 100} {
		got, truncated := w.ancestry("answer", limit)
		require.Equal(t, []step{
			{cid("model"), cid("answer"), "part-0", 1},
			{cid("seeds"), cid("answer"), "part-1", 1},
			{cid("pages"), cid("model"), "part-0", 2},
			{cid("images"), cid("model"), "part-1", 2},
		}, steps(got), "in pages of %d", limit)
		require.False(t, truncated)

		got, truncated = w.descendants("seeds", limit)
		require.Equal(t, []step{
			{cid("pages"), cid("seeds"), "part-0", 1},
			{cid("images"), cid("seeds"), "part-0", 1},
			{cid("answer"), cid("seeds"), "part-1", 1},
			{cid("model"), cid("pages"), "part-0", 2},
		}, steps(got), "in pages of %d", limit)
		require.False(t, truncated)
	}
	got, _ := w.ancestry("seeds", 0)
	require.Empty(t, got)
	got, _ = w.descendants("answer", 0)
	require.Empty(t, got)

	r, err := w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: cid("answer"), Pagination: &query.PageRequest{Limit: 1, CountTotal: true}})
	require.NoError(t, err)
	require.Len(t, r.Artifacts, 1)
	require.Equal(t, uint64(4), r.Pagination.Total)
	r, err = w.query.Ancestry(w.ctx, &types.QueryAncestryRequest{Cid: cid("answer"), Pagination: &query.PageRequest{Offset: 3}})
	require.NoError(t, err)
	require.Equal(t, []step{{cid("images"), cid("model"), "part-1", 2}}, steps(r.Artifacts))
}

func TestDepthIsBounded(t *testing.T) {
	w := newWorld(t)
	w.add("0")
	for i := 1; i <= 10; i++ {
		w.add(fmt.Sprint(i), fmt.Sprint(i-1))
	}
	w.setParams(func(p *types.Params) { p.MaxDepth = 4 })
	for _, limit := range []uint64{0, 2} {
		got, truncated := w.ancestry("10", limit)
		require.Len(t, got, 4)
		require.True(t, truncated)
		got, truncated = w.descendants("0", limit)
		require.Len(t, got, 4)
		require.True(t, truncated)
		got, truncated = w.ancestry("4", limit)
		require.Len(t, got, 4)
		require.False(t, truncated)
	}
}

func TestTaint(t *testing.T) {
	w := newWorld(t)
	diamond(w)
	taints := func() map[string][]string {
		out := map[string][]string{}
		for _, name := range []string{"seeds", "pages", "images", "model", "answer"} {
			r := w.get(name)
			require.Equal(t, r.Tainted, len(r.TaintedBy) > 0)
			require.False(t, r.TaintUnknown)
			if r.Tainted {
				out[name] = r.TaintedBy
			}
		}
		return out
	}
	require.Empty(t, taints())
	w.revoke("images")
	require.Equal(t, map[string][]string{"model": {cid("images")}, "answer": {cid("images")}}, taints())
	w.revoke("model")
	require.Equal(t, map[string][]string{"model": {cid("images")}, "answer": {cid("images"), cid("model")}}, taints())

	got, _ := w.descendants("seeds", 0)
	for _, d := range got {
		r := w.get(nameOf(d.Artifact.Cid))
		require.Equal(t, r.TaintedBy, d.TaintedBy)
		require.Equal(t, r.Tainted, d.Tainted)
	}
}

func nameOf(c string) string {
	for _, name := range []string{"seeds", "pages", "images", "model", "answer"} {
		if cid(name) == c {
			return name
		}
	}
	return ""
}

// Where very many are revoked, the oldest are named.
func TestTaintNamesTheOldest(t *testing.T) {
	w := newWorld(t)
	var names, want []string
	for i := range 40 {
		name := fmt.Sprint(i)
		w.add(name)
		names = append(names, name)
	}
	w.add("all", names...)
	w.add("child", "all")
	for i := len(names) - 1; i >= 0; i-- {
		w.revoke(names[i])
	}
	for _, name := range names[:16] {
		want = append(want, cid(name))
	}
	require.Equal(t, want, w.get("child").TaintedBy)
}

// A chain far longer than a query goes must neither overflow nor pass for clean.
func TestTaintOfAVeryLongChain(t *testing.T) {
	const n = 20_100
	g := types.DefaultGenesis()
	for i := range n {
		m := registration(fmt.Sprint(i))
		a := types.Artifact{
			Cid: m.Cid, Type: m.Type, Owner: m.Owner, StatementDigest: m.StatementDigest, License: m.License,
			Label: "asserted", Status: types.Status_STATUS_ACTIVE, Number: uint64(i) + 1,
		}
		if i > 0 {
			a.Parents = []types.Parent{parent(fmt.Sprint(i-1), 0)}
		}
		g.Artifacts = append(g.Artifacts, a)
	}
	w := emptyWorld(t)
	require.NoError(t, w.keeper.InitGenesis(w.ctx, g))
	w.revoke("0")
	r := w.get(fmt.Sprint(n - 1))
	require.True(t, r.TaintUnknown)
	require.False(t, r.Tainted)
	r = w.get("15000")
	require.Equal(t, []string{cid("0")}, r.TaintedBy)
	require.False(t, r.TaintUnknown)
}
