package types_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func TestParams(t *testing.T) {
	require.NoError(t, types.DefaultParams().Validate())
	require.NoError(t, types.DevnetParams().Validate())
	require.False(t, types.DefaultParams().AllowLoopback, "a public network's workers keep out of loopback")
	for words, edit := range map[string]func(*types.Params){
		"min_worker_bond":            func(p *types.Params) { p.MinWorkerBond = math.ZeroInt() },
		"min_gateway_bond":           func(p *types.Params) { p.MinGatewayBond = math.Int{} },
		"challenge_deposit":          func(p *types.Params) { p.ChallengeDeposit = math.NewInt(-1) },
		"open_blocks":                func(p *types.Params) { p.OpenBlocks = -1 },
		"max_job_blocks":             func(p *types.Params) { p.MaxJobBlocks = 1 << 62 },
		"that an audit may take":     func(p *types.Params) { p.UnbondingBlocks = 70 },
		"false_receipt_slash_bps":    func(p *types.Params) { p.FalseReceiptSlashBps = 10_001 },
		"leaves the workers":         func(p *types.Params) { p.MaxRoyaltyBps = 7_500 },
		"passed_plant_slash_bps":     func(p *types.Params) { p.PassedPlantSlashBps = 10_001 },
		"outvoted_auditor_slash_bps": func(p *types.Params) { p.OutvotedAuditorSlashBps = 10_001 },
		"probation_audit_bps":        func(p *types.Params) { p.ProbationAuditBps = 10_001 },
		"probation_audits":           func(p *types.Params) { p.ProbationAudits = 10_001 },
		"max_samples":                func(p *types.Params) { p.MaxSamples = 257 },
		"auditors":                   func(p *types.Params) { p.Auditors = 0 },
		"max_workers_per_tx":         func(p *types.Params) { p.MaxWorkersPerTx = 0 },
	} {
		p := types.DevnetParams()
		edit(&p)
		require.ErrorContains(t, p.Validate(), words)
	}
}

func TestShareRoundsDown(t *testing.T) {
	require.Equal(t, "0", types.Share(math.NewInt(49), 200).String())
	require.Equal(t, "1", types.Share(math.NewInt(50), 200).String())
	require.Equal(t, chain.Notes(5).String(), types.Share(chain.Notes(10), 5000).String())
}

// Every place of a roster is as likely to be asked as any other, and none is asked twice.
func TestProbe(t *testing.T) {
	require.Empty(t, types.Probe([32]byte{}, 0, 0))
	require.Equal(t, []uint64{0, 1, 2}, types.Probe([32]byte{1}, 0, 3))
	require.Len(t, types.Probe([32]byte{1}, 0, types.ProbeSize), types.ProbeSize)
	const size, rounds = 1_000, 2_000
	hits := make([]int, size)
	for i := range rounds {
		beacon := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		places := types.Probe(beacon, uint32(i%3), size)
		require.Len(t, places, types.ProbeSize)
		require.Equal(t, places, types.Probe(beacon, uint32(i%3), size))
		slices.Sort(places)
		require.Len(t, slices.Compact(places), types.ProbeSize)
		for _, p := range places {
			hits[p]++
		}
	}
	// 256 expected, with a standard deviation of 15: six of them are never left.
	require.Greater(t, slices.Min(hits), 256-90)
	require.Less(t, slices.Max(hits), 256+90)
	require.NotEqual(t, types.Probe([32]byte{1}, 0, size), types.Probe([32]byte{1}, 1, size))
	require.Len(t, types.Probe([32]byte{1}, 0, 1<<62), types.ProbeSize)
}

func TestProofsSurviveTheWire(t *testing.T) {
	var leaves []work.Node
	for i := range 7 {
		leaves = append(leaves, work.LeafNode([]byte{byte(i)}, uint64(i)))
	}
	tree, err := work.NewTree(leaves)
	require.NoError(t, err)
	for i := range leaves {
		p, err := tree.Prove(i)
		require.NoError(t, err)
		wire := types.ProofOf(p)
		raw, err := wire.Marshal()
		require.NoError(t, err)
		var back types.Proof
		require.NoError(t, back.Unmarshal(raw))
		got, err := back.Plain()
		require.NoError(t, err)
		_, err = got.Verify(tree.Root(), leaves[i])
		require.NoError(t, err)
	}
}
