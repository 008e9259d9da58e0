package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// What strangers send as receipts, vouchers and proofs is refused with an error, whatever
// it is, and moves nothing.
func FuzzHostileBytes(f *testing.F) {
	w := crew(f)
	g := w.openJob("buyer", "gate")
	g.commit(task{"ada/0", 1, 10}, task{"bob/0", 2, 20}, task{"bob/1", 3, 0})
	w.next()
	good := g.opening(1, 0)
	voucher := g.voucher("ada/0", 1, 99)
	f.Add(good.Receipt, voucher[:60], good.Proof.Index, good.Proof.Siblings[0].Hash, good.Proof.Siblings[0].Sum)
	f.Add(good.Receipt[:40], []byte{0x82}, uint64(1)<<63, []byte{}, uint64(1)<<63)
	f.Add([]byte{0x9f, 0xff}, []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint64(2), make([]byte, 32), uint64(0))
	before, err := w.k.ExportGenesis(w.ctx)
	require.NoError(f, err)
	want := string(w.cdc.MustMarshalJSON(before))
	f.Fuzz(func(t *testing.T, receipt, signed []byte, index uint64, hash []byte, sum uint64) {
		w.t = t
		proof := types.Proof{Index: index, Siblings: []types.Node{{Hash: hash, Sum: sum}, good.Proof.Siblings[len(good.Proof.Siblings)-1]}}
		committed := types.CommittedReceipt{Epoch: 1, Receipt: receipt, Proof: proof}
		other := g.committed(1, 0)
		for _, err := range []error{
			failed(send(w, w.msg.OpenReceipts, &types.MsgOpenReceipts{Gateway: bech("gate"), Job: g.job, Epoch: 1,
				Openings: []types.Opening{{Receipt: receipt, Proof: types.Proof{Index: index ^ 1, Siblings: proof.Siblings}}}})),
			failed(send(w, w.msg.ChallengeVoucher, &types.MsgChallengeVoucher{Challenger: bech("anybody"), Voucher: signed})),
			failed(send(w, w.msg.ChallengeDuplicate, &types.MsgChallengeDuplicate{Challenger: bech("anybody"), Job: g.job, First: committed, Second: other})),
			failed(send(w, w.msg.Claim, &types.MsgClaim{Sender: bech("anybody"), Job: g.job, Epoch: 1, Claims: []types.PayProof{{Worker: hash, Units: sum, Proof: proof}}})),
		} {
			require.Error(t, err)
		}
		after, err := w.k.ExportGenesis(w.ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(w.cdc.MustMarshalJSON(after)))
	})
}

func failed[R any](_ R, err error) error { return err }

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
