package keeper_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// owns registers an artifact with its owner, its royalty and what it owes its parents.
func (w *world) owns(owner, name string, royalty uint32, parents ...types.Parent) {
	w.t.Helper()
	m := registration(name, parents...)
	m.Owner, m.RoyaltyBps = address(owner), royalty
	w.register(m)
}

// royalties are what jobs pay, written "owner:artifact:bps".
func (w *world) royalties(uses ...string) []string {
	w.t.Helper()
	cids := make([]string, len(uses))
	for i, u := range uses {
		cids[i] = cid(u)
	}
	list, err := w.keeper.Royalties(w.ctx, cids)
	require.NoError(w.t, err)
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%s:%s:%d", s.Owner, s.Artifact, s.Bps))
	}
	return out
}

func share(owner, name string, bps int) string {
	return fmt.Sprintf("%s:%s:%d", address(owner), cid(name), bps)
}

func TestRoyalties(t *testing.T) {
	w := newWorld(t)
	w.owns("ada", "seeds", 100)
	w.owns("bob", "pages", 500, parent("seeds", 1000))
	w.owns("carol", "images", 0, parent("seeds", 5000))
	w.owns("dan", "model", 1000, parent("pages", 2000), parent("images", 1000))
	w.owns("bob", "free", 0)

	require.Empty(t, w.royalties())
	require.Empty(t, w.royalties("free"))
	require.Equal(t, []string{share("ada", "seeds", 100)}, w.royalties("seeds"))
	// 500 for pages, of which 10% are the seeds'.
	require.Equal(t, []string{share("bob", "pages", 450), share("ada", "seeds", 50)}, w.royalties("pages"))
	// 1000 for the model: 200 to pages (20 of it to the seeds), 100 to images (50 of it).
	require.Equal(t, []string{share("dan", "model", 700), share("carol", "images", 50), share("bob", "pages", 180), share("ada", "seeds", 70)}, w.royalties("model"))
	// What is used twice over, by itself and as an ancestor, earns both ways.
	require.Equal(t, []string{share("dan", "model", 700), share("carol", "images", 50), share("bob", "pages", 630), share("ada", "seeds", 220)}, w.royalties("model", "seeds", "pages"))
	require.Equal(t, w.royalties("model", "seeds", "pages"), w.royalties("pages", "model", "seeds"), "the order of the uses must not matter")

	// An owner's artifacts are summed.
	w.owns("bob", "tiles", 300, parent("pages", 5000))
	require.Equal(t, []string{share("bob", "tiles", 285), share("ada", "seeds", 15)}, w.royalties("tiles"))
}

func TestRoyaltiesRefuse(t *testing.T) {
	w := newWorld(t)
	w.setParams(func(p *types.Params) { p.MaxRoyaltyBps = 6000 })
	w.owns("ada", "a", 6000)
	w.owns("bob", "b", 4001)
	w.owns("bob", "bad", 100)
	w.revoke("bad")
	for name, c := range map[string]struct {
		uses []string
		want error
	}{
		"unknown":           {[]string{cid("nothing")}, types.ErrNotFound},
		"no CID":            {[]string{"x"}, types.ErrInvalid},
		"twice":             {[]string{cid("b"), cid("b")}, types.ErrInvalid},
		"revoked":           {[]string{cid("b"), cid("bad")}, types.ErrRevoked},
		"more than a price": {[]string{cid("a"), cid("b")}, types.ErrRoyalties},
		"very many":         {make([]string, 65), types.ErrRoyalties},
	} {
		list, err := w.keeper.Royalties(w.ctx, c.uses)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, list, name)
	}
}

func TestRoyaltiesOfARevokedParentStayWithTheChild(t *testing.T) {
	w := newWorld(t)
	w.owns("ada", "seeds", 0)
	w.owns("bob", "pages", 0, parent("seeds", 5000))
	w.owns("carol", "model", 1000, parent("pages", 5000))
	require.Equal(t, []string{share("carol", "model", 500), share("bob", "pages", 250), share("ada", "seeds", 250)}, w.royalties("model"))
	w.revoke("seeds")
	require.Equal(t, []string{share("carol", "model", 500), share("bob", "pages", 500)}, w.royalties("model"))
	w.revoke("pages")
	require.Equal(t, []string{share("carol", "model", 1000)}, w.royalties("model"))
}

func TestRoyaltiesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.setParams(func(p *types.Params) { p.MaxDepth = 3 })
	w.owns("o0", "0", 0)
	for i := 1; i <= 8; i++ {
		w.owns(fmt.Sprintf("o%d", i), fmt.Sprint(i), 1600, parent(fmt.Sprint(i-1), 5000))
	}
	require.Equal(t, []string{share("o8", "8", 800), share("o7", "7", 400), share("o6", "6", 200), share("o5", "5", 200)}, w.royalties("8"))

	// Wider than what is walked: 64 artifacts earn, and the sum stays the same.
	w.setParams(func(p *types.Params) { p.MaxParents = 200 })
	var wide []types.Parent
	for i := range 200 {
		name := fmt.Sprintf("leaf %d", i)
		w.owns(name, name, 0)
		wide = append(wide, parent(name, 25))
	}
	w.owns("root", "root", 2000, wide...)
	list, err := w.keeper.Royalties(w.ctx, []string{cid("root")})
	require.NoError(t, err)
	require.Len(t, list, 64)
	sum := uint32(0)
	for _, s := range list {
		sum += s.Bps
	}
	require.Equal(t, uint32(2000), sum)
}

// Shares below a basis point must neither vanish nor appear.
func TestRoyaltiesRound(t *testing.T) {
	w := newWorld(t)
	w.owns("ada", "a", 0)
	w.owns("bob", "b", 0)
	w.owns("carol", "c", 1, parent("a", 3000), parent("b", 2000))
	require.Equal(t, []string{share("carol", "c", 1)}, w.royalties("c"))
	w.owns("dan", "d", 10, parent("a", 3333), parent("b", 1666)) // 5.001, 3.333, 1.666
	require.Equal(t, []string{share("dan", "d", 5), share("bob", "b", 2), share("ada", "a", 3)}, w.royalties("d"))
}
