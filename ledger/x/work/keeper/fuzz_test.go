package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// What strangers send as receipts, vouchers and proofs is refused with an error, whatever
// it is, unless it is the one opening that the sample asks for.
func FuzzHostileBytes(f *testing.F) {
	w := crew(f)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10}, task{"bob/0", 2, 20}, task{"bob/1", 3, 0})
	w.next()
	good, rest := g.opening(1, 0), []types.Node{}
	rest = append(rest, good.Proof.Siblings[1:]...)
	voucher, second := g.voucher("ada/0", 1, 99), g.committed(1, 0)
	f.Add(good.Receipt, voucher[:60], good.Proof.Index, good.Proof.Siblings[0].Hash, good.Proof.Siblings[0].Sum)
	f.Add(good.Receipt[:40], []byte{0x82}, uint64(1)<<63, []byte{}, uint64(1)<<63)
	f.Add([]byte{0x9f, 0xff}, []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint64(2), make([]byte, 32), uint64(0))
	f.Fuzz(func(t *testing.T, receipt, signed []byte, index uint64, hash []byte, sum uint64) {
		ctx, _ := w.ctx.CacheContext() // never written
		proof := types.Proof{Index: index, Siblings: append([]types.Node{{Hash: hash, Sum: sum}}, rest...)}
		_, err := w.msg.OpenReceipts(ctx, &types.MsgOpenReceipts{Gateway: bech("gate"), Job: g.job, Epoch: 1,
			Openings: []types.Opening{{Receipt: receipt, Proof: proof}}})
		if err == nil {
			require.Equal(t, good, types.Opening{Receipt: receipt, Proof: proof})
		}
		_, err = w.msg.ChallengeVoucher(ctx, &types.MsgChallengeVoucher{Challenger: bech("anybody"), Voucher: signed})
		require.Error(t, err)
		_, err = w.msg.ChallengeDuplicate(ctx, &types.MsgChallengeDuplicate{Challenger: bech("anybody"), Job: g.job,
			First: types.CommittedReceipt{Epoch: 1, Receipt: receipt, Proof: proof}, Second: second})
		require.Error(t, err)
		_, err = w.msg.Claim(ctx, &types.MsgClaim{Sender: bech("anybody"), Job: g.job, Epoch: 1,
			Claims: []types.PayProof{{Worker: hash, Units: sum, Proof: proof}}})
		require.Error(t, err)
	})
}

// A genesis file of any content is refused or imported, never a panic.
func FuzzGenesis(f *testing.F) {
	w := crew(f)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10})
	state, err := w.k.ExportGenesis(w.ctx)
	require.NoError(f, err)
	f.Add(w.cdc.MustMarshalJSON(state))
	f.Add(w.cdc.MustMarshalJSON(types.DefaultGenesis()))
	f.Add([]byte(`{"jobs":[{"id":"1","units_claimed":"5"}],"next_job":"2"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var g types.GenesisState
		if w.cdc.UnmarshalJSON(raw, &g) != nil {
			return
		}
		n := emptyWorld(t)
		if err := n.k.InitGenesis(n.ctx, &g); err == nil {
			require.Equal(t, math.ZeroInt(), n.balance("buyer"))
		}
	})
}
