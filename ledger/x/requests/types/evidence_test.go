package types_test

import (
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

const limit = 128 << 10

func evidence() *types.Evidence {
	return &types.Evidence{
		Testimonies: []types.Testimony{{Epoch: 3, Receipt: []byte{1, 2}, Proof: worktypes.Proof{Index: 2, Siblings: []worktypes.Node{{Hash: make([]byte, 32), Sum: 7}}}}},
		Task:        []byte{1}, Result: []byte{2}, Spelling: []byte{3},
	}
}

func TestEvidenceComesBackAsItWas(t *testing.T) {
	b, err := evidence().Marshal()
	require.NoError(t, err)
	e, err := types.DecodeEvidence(b, limit)
	require.NoError(t, err)
	require.Equal(t, evidence(), e)
	_, err = types.DecodeEvidence(b, len(b)-1)
	require.ErrorContains(t, err, "at most")
	for name, bad := range map[string][]byte{
		"nothing":            {},
		"cut":                b[:len(b)-1],
		"a field twice":      append(append([]byte{}, b...), 0x12, 1, 1),
		"an unknown field":   append(append([]byte{}, b...), 0x28, 1),
		"fields in disorder": append([]byte{0x22, 1, 3}, b[:len(b)-3]...),
		"a long varint":      append([]byte{0x8a, 0x00}, b[1:]...),
	} {
		_, err := types.DecodeEvidence(bad, limit)
		require.ErrorIs(t, err, types.ErrEvidence, name)
	}
	long := evidence()
	long.Testimonies[0].Receipt = make([]byte, work.MaxReceipt+1)
	b, err = long.Marshal()
	require.NoError(t, err)
	_, err = types.DecodeEvidence(b, limit)
	require.ErrorContains(t, err, "a receipt of 513 bytes")
}

func TestParams(t *testing.T) {
	require.NoError(t, types.DefaultParams().Validate())
	for words, edit := range map[string]func(*types.Params){
		"max_callback_gas":     func(p *types.Params) { p.MaxCallbackGas = 1 << 40 },
		"min_callback_price":   func(p *types.Params) { p.MinCallbackPrice = math.NewInt(-1) },
		"byte_price":           func(p *types.Params) { p.BytePrice = math.Int{} },
		"max_open_per_account": func(p *types.Params) { p.MaxOpenPerAccount = 0 },
		"max_open_per_gateway": func(p *types.Params) { p.MaxOpenPerGateway = 0 },
		"max_offers":           func(p *types.Params) { p.MaxOffers = 1000 },
		"max_evidence_bytes":   func(p *types.Params) { p.MaxEvidenceBytes = 1 << 30 },
		"deliver_blocks":       func(p *types.Params) { p.DeliverBlocks = -5 },
	} {
		p := types.DefaultParams()
		edit(&p)
		require.ErrorContains(t, p.Validate(), words)
	}
	free := types.DefaultParams()
	free.BytePrice, free.MinCallbackPrice = math.ZeroInt(), math.ZeroInt()
	require.NoError(t, free.Validate())
}

// The numbers that contracts see never change.
func TestCodes(t *testing.T) {
	for want, l := range []work.Label{"", work.Asserted, work.Measured, work.Agreed, work.Attested, work.Replayed, work.Proved} {
		require.Equal(t, uint8(want), types.LabelCode(l))
	}
	require.Equal(t, uint8(0x82), types.Request{Status: types.Status_STATUS_ANSWERED, Digested: true}.StatusCode())
	require.Equal(t, uint8(6), types.Call{Status: types.Status_STATUS_CANCELLED}.StatusCode())
}

func FuzzEvidence(f *testing.F) {
	b, err := evidence().Marshal()
	require.NoError(f, err)
	f.Add(b)
	two := evidence()
	two.Testimonies = append(two.Testimonies, two.Testimonies[0])
	b, err = two.Marshal()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := types.DecodeEvidence(b, limit)
		if err != nil {
			return
		}
		again, err := e.Marshal()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
