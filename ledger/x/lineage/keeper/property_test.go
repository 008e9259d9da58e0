package keeper_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// model is the register as a test can compute it: by names, without any index.
type model struct {
	names   []string
	name    map[string]string // by CID
	parents map[string][]types.Parent
	revoked map[string]bool
	owner   map[string]string
	royalty map[string]uint32
}

func (m *model) ancestors(name string, into map[string]bool) {
	for _, p := range m.parents[name] {
		if n := m.name[p.Cid]; !into[n] {
			into[n] = true
			m.ancestors(n, into)
		}
	}
}

// TestRandomRegisters grows random registers with random transfers, revocations and
// refused messages, and holds every query against the model.
func TestRandomRegisters(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 17))
			w := newWorld(t)
			m := grow(w, r, 60)
			w.check()
			checkTraces(t, w, m)
			checkRoyalties(t, w, m, r)
			checkGenesis(t, w)
		})
	}
}

func grow(w *world, r *rand.Rand, n int) *model {
	m := &model{name: map[string]string{}, parents: map[string][]types.Parent{}, revoked: map[string]bool{}, owner: map[string]string{}, royalty: map[string]uint32{}}
	owners := []string{"ada", "bob", "carol", "dan"}
	for len(m.names) < n {
		w.ctx = w.ctx.WithBlockHeight(w.ctx.BlockHeight() + int64(r.IntN(2)))
		any := func() string { return m.names[r.IntN(len(m.names))] }
		switch op := r.IntN(10); {
		case op == 0 && len(m.names) > 0:
			name, to := any(), owners[r.IntN(len(owners))]
			_, err := w.msg.Transfer(w.ctx, &types.MsgTransfer{Owner: address(m.owner[name]), NewOwner: address(to), Cid: cid(name)})
			if m.revoked[name] || m.owner[name] == to {
				require.Error(w.t, err)
				continue
			}
			require.NoError(w.t, err)
			m.owner[name] = to
		case op == 1 && len(m.names) > 0:
			name := any()
			_, err := w.msg.Revoke(w.ctx, &types.MsgRevoke{Owner: address(m.owner[name]), Cid: cid(name), Reason: "random"})
			if m.revoked[name] {
				require.ErrorIs(w.t, err, types.ErrRevoked)
				continue
			}
			require.NoError(w.t, err)
			m.revoked[name] = true
		default:
			name := fmt.Sprintf("artifact %d", len(m.names))
			msg := registration(name)
			msg.Owner = address(owners[r.IntN(len(owners))])
			msg.RoyaltyBps = uint32(r.IntN(2001))
			left := 5000
			for range min(r.IntN(5), len(m.names)) {
				p := parent(any(), uint32(r.IntN(left+1)))
				if slices.ContainsFunc(msg.Parents, func(o types.Parent) bool { return o.Cid == p.Cid }) {
					continue
				}
				left -= int(p.RoyaltyBps)
				msg.Parents = append(msg.Parents, p)
			}
			w.register(msg)
			m.names, m.name[msg.Cid] = append(m.names, name), name
			m.parents[name], m.royalty[name] = msg.Parents, msg.RoyaltyBps
			for _, o := range owners {
				if address(o) == msg.Owner {
					m.owner[name] = o
				}
			}
		}
	}
	return m
}

// checkTraces: a is an ancestor of b if and only if b is a descendant of a, both as the
// model says; depths are the shortest; taint is the revoked ancestors.
func checkTraces(t *testing.T, w *world, m *model) {
	up, down := map[[2]string]uint32{}, map[[2]string]uint32{}
	for i, name := range m.names {
		limit := uint64(1 + i%7)
		ancestors, cut := w.ancestry(name, limit)
		require.False(t, cut)
		last := uint32(0)
		for _, a := range ancestors {
			_, twice := up[[2]string{cid(name), a.Artifact.Cid}]
			require.False(t, twice, "listed twice")
			up[[2]string{cid(name), a.Artifact.Cid}] = a.Depth
			require.GreaterOrEqual(t, a.Depth, last, "not breadth first")
			last = a.Depth
		}
		descendants, cut := w.descendants(name, limit)
		require.False(t, cut)
		for _, d := range descendants {
			down[[2]string{d.Artifact.Cid, cid(name)}] = d.Depth
		}
		all, _ := w.ancestry(name, 0)
		require.Equal(t, all, ancestors, "pages of %d differ from one page", limit)

		want := map[string]bool{}
		m.ancestors(name, want)
		require.Len(t, ancestors, len(want))
		var tainted []string
		for _, n := range m.names { // in the order of registration
			if !want[n] {
				continue
			}
			require.Contains(t, up, [2]string{cid(name), cid(n)})
			if m.revoked[n] {
				tainted = append(tainted, cid(n))
			}
		}
		got := w.get(name)
		require.Equal(t, tainted[:min(len(tainted), 16)], got.TaintedBy[:len(got.TaintedBy):len(got.TaintedBy)])
		require.Equal(t, len(tainted) > 0, got.Tainted)
		require.Equal(t, m.revoked[name], got.Artifact.Revoked())
		require.Equal(t, address(m.owner[name]), got.Artifact.Owner)
	}
	require.Equal(t, up, down, "ancestry and descendants are not inverse")
}

// checkRoyalties: the sum is what the used artifacts ask for; no owner is there twice, and
// each owns something that was used or went into it.
func checkRoyalties(t *testing.T, w *world, m *model, r *rand.Rand) {
	for range 50 {
		uses, total, behind := []string{}, uint32(0), map[string]bool{}
		for range 1 + r.IntN(4) {
			name := m.names[r.IntN(len(m.names))]
			if m.revoked[name] || slices.Contains(uses, cid(name)) {
				continue
			}
			uses = append(uses, cid(name))
			total += m.royalty[name]
			behind[name] = true
			m.ancestors(name, behind)
		}
		owners := map[string]bool{}
		for name := range behind {
			if !m.revoked[name] {
				owners[address(m.owner[name])] = true
			}
		}
		list, err := w.keeper.Royalties(w.ctx, uses)
		require.NoError(t, err)
		sum, seen := uint32(0), map[string]bool{}
		for _, s := range list {
			require.Positive(t, s.Bps)
			require.True(t, owners[s.Owner])
			require.False(t, seen[s.Owner])
			seen[s.Owner] = true
			sum += s.Bps
		}
		require.Equal(t, total, sum)
	}
}

// checkGenesis: what is exported and imported is the same register, and works on.
func checkGenesis(t *testing.T, w *world) {
	g, err := w.keeper.ExportGenesis(w.ctx)
	require.NoError(t, err)
	require.NoError(t, g.Validate())
	other := emptyWorld(t)
	require.NoError(t, other.keeper.InitGenesis(other.ctx, g))
	other.check()
	again, err := other.keeper.ExportGenesis(other.ctx)
	require.NoError(t, err)
	require.Equal(t, g, again)
	other.add("the next")
	require.Equal(t, uint64(len(g.Artifacts)+1), other.get("the next").Artifact.Number)
	other.check()
}
