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
	e, err := types.DecodeEvidence(b, limit, nil)
	require.NoError(t, err)
	require.Equal(t, evidence(), e)
	_, err = types.DecodeEvidence(b, len(b)-1, nil)
	require.ErrorContains(t, err, "at most")
	for name, bad := range map[string][]byte{
		"nothing":            {},
		"cut":                b[:len(b)-1],
		"a field twice":      append(append([]byte{}, b...), 0x12, 1, 1),
		"an unknown field":   append(append([]byte{}, b...), 0x30, 1),
		"fields in disorder": append([]byte{0x22, 1, 3}, b[:len(b)-3]...),
		"a long varint":      append([]byte{0x8a, 0x00}, b[1:]...),
	} {
		_, err := types.DecodeEvidence(bad, limit, nil)
		require.ErrorIs(t, err, types.ErrEvidence, name)
	}
	long := evidence()
	long.Testimonies[0].Receipt = make([]byte, work.MaxReceipt+1)
	b, err = long.Marshal()
	require.NoError(t, err)
	_, err = types.DecodeEvidence(b, limit, nil)
	require.ErrorContains(t, err, "a receipt of 513 bytes")
}

// pageEvidence is of two workers who saw a page that has no content.
func pageEvidence() *types.Evidence {
	e := evidence()
	e.Testimonies, e.Spelling, e.Results = append(e.Testimonies, e.Testimonies[0]), nil, [][]byte{{4, 5}}
	return e
}

func TestEvidenceOfPages(t *testing.T) {
	id := types.Text.ID()
	b, err := pageEvidence().Marshal()
	require.NoError(t, err)
	e, err := types.DecodeEvidence(b, limit, id[:])
	require.NoError(t, err)
	require.Equal(t, pageEvidence(), e)
	_, err = types.DecodeEvidence(b, limit, nil)
	require.ErrorContains(t, err, "1 more results")
	for words, edit := range map[string]func(*types.Evidence){
		"0 more results, want 1": func(e *types.Evidence) { e.Results = nil },
		"2 more results, want 1": func(e *types.Evidence) { e.Results = append(e.Results, []byte{1}) },
		"a result of 0 bytes":    func(e *types.Evidence) { e.Results[0] = nil },
		"a task of 0 bytes":      func(e *types.Evidence) { e.Task = nil },
		"a task of 65537 bytes":  func(e *types.Evidence) { e.Task = make([]byte, work.MaxTask+1) },
	} {
		e := pageEvidence()
		edit(e)
		b, err := e.Marshal()
		require.NoError(t, err)
		_, err = types.DecodeEvidence(b, limit, id[:])
		require.ErrorIs(t, err, types.ErrEvidence)
		require.ErrorContains(t, err, words)
	}
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
	two, page := evidence(), pageEvidence()
	two.Testimonies = append(two.Testimonies, two.Testimonies[0])
	for _, e := range []*types.Evidence{evidence(), two, page, {Testimonies: page.Testimonies[:1], Task: page.Task, Result: page.Result}} {
		b, err := e.Marshal()
		require.NoError(f, err)
		f.Add(b, false)
		f.Add(b, true)
	}
	body := types.Body.ID()
	f.Fuzz(func(t *testing.T, b []byte, page bool) {
		var of []byte
		if page {
			of = body[:]
		}
		e, err := types.DecodeEvidence(b, limit, of)
		if err != nil {
			return
		}
		again, err := e.Marshal()
		require.NoError(t, err)
		require.Equal(t, b, again)
		if page {
			require.Len(t, e.Results, len(e.Testimonies)-1)
		} else {
			require.Empty(t, e.Results)
		}
	})
}
