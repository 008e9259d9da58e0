package types_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

func cid(name string) string { return artifact.CID(artifact.JSON, artifact.Sum([]byte(name))) }

func register() types.GenesisState {
	digest := artifact.Sum([]byte("statement"))
	made := types.Artifact{
		Cid: cid("a"), Type: "dataset", Owner: "someone", StatementDigest: digest[:], Job: 4, SettledRoot: digest[:],
		Label: "agreed", License: "MIT", Status: types.Status_STATUS_ACTIVE, RegisteredHeight: 5, Number: 1,
	}
	claimed := types.Artifact{
		Cid: cid("b"), Type: "model", Owner: "someone", StatementDigest: digest[:],
		Parents: []types.Parent{{Cid: cid("a"), Role: "dataset", RoyaltyBps: 100}},
		Label:   "asserted", License: "MIT", Status: types.Status_STATUS_REVOKED, RevokeReason: "wrong", RegisteredHeight: 6, RevokedHeight: 7, Number: 2,
	}
	return types.GenesisState{Params: types.DefaultParams(), Artifacts: []types.Artifact{made, claimed}}
}

func TestGenesisValidate(t *testing.T) {
	good := register()
	require.NoError(t, good.Validate())
	require.NoError(t, types.DefaultGenesis().Validate())
	for name, change := range map[string]func(*types.GenesisState){
		"no parameters":     func(g *types.GenesisState) { g.Params = types.Params{} },
		"a number twice":    func(g *types.GenesisState) { g.Artifacts[1].Number = 1 },
		"a number left out": func(g *types.GenesisState) { g.Artifacts[1].Number = 3 },
		"a child before its parent": func(g *types.GenesisState) {
			a := g.Artifacts
			a[0], a[1] = a[1], a[0]
			a[0].Number, a[1].Number = 1, 2
		},
		"a cycle":                     func(g *types.GenesisState) { g.Artifacts[0].Parents = []types.Parent{{Cid: cid("b"), Role: "x"}} },
		"an artifact twice":           func(g *types.GenesisState) { g.Artifacts[1].Cid, g.Artifacts[1].Parents = cid("a"), nil },
		"an unknown parent":           func(g *types.GenesisState) { g.Artifacts[1].Parents[0].Cid = cid("x") },
		"a label that no job gave":    func(g *types.GenesisState) { g.Artifacts[1].Label = "agreed" },
		"a root that no job gave":     func(g *types.GenesisState) { g.Artifacts[1].SettledRoot = g.Artifacts[0].SettledRoot },
		"a job without its root":      func(g *types.GenesisState) { g.Artifacts[0].SettledRoot = nil },
		"an unknown label":            func(g *types.GenesisState) { g.Artifacts[0].Label = "certified" },
		"no status":                   func(g *types.GenesisState) { g.Artifacts[0].Status = 0 },
		"an unknown status":           func(g *types.GenesisState) { g.Artifacts[0].Status = 9 },
		"active with a reason":        func(g *types.GenesisState) { g.Artifacts[0].RevokeReason = "x" },
		"revoked without a reason":    func(g *types.GenesisState) { g.Artifacts[1].RevokeReason = "" },
		"revoked before it was there": func(g *types.GenesisState) { g.Artifacts[1].RevokedHeight = 5 },
		"before the first block":      func(g *types.GenesisState) { g.Artifacts[0].RegisteredHeight = -1 },
		"a bad CID":                   func(g *types.GenesisState) { g.Artifacts[0].Cid = "x" },
		"a bad type":                  func(g *types.GenesisState) { g.Artifacts[0].Type = "X" },
		"a bad digest":                func(g *types.GenesisState) { g.Artifacts[0].StatementDigest = nil },
		"a bad licence":               func(g *types.GenesisState) { g.Artifacts[0].License = "X" },
		"a bad royalty":               func(g *types.GenesisState) { g.Artifacts[0].RoyaltyBps = 10_001 },
		"parents owed too much":       func(g *types.GenesisState) { g.Artifacts[1].Parents[0].RoyaltyBps = 10_001 },
		"too many parents":            func(g *types.GenesisState) { g.Artifacts[1].Parents = make([]types.Parent, types.MaxParents+1) },
	} {
		g := register()
		change(&g)
		require.Error(t, g.Validate(), name)
	}
}

func TestCheckReason(t *testing.T) {
	for _, good := range []string{"x", "Persönliches", "an odd “quote”", strings.Repeat("x", types.MaxReason)} {
		require.NoError(t, types.CheckReason(good))
	}
	for _, bad := range []string{"", strings.Repeat("x", types.MaxReason+1), "a\nb", "a\x00", "\x1b[2J", "\u202etxt", "\xff"} {
		require.Error(t, types.CheckReason(bad), "%q", bad)
	}
}

// What a stranger sends is decoded and checked without a panic, whatever it is, and what
// passes the checks is small.
func FuzzMsgRegister(f *testing.F) {
	digest := artifact.Sum([]byte("x"))
	good := types.MsgRegister{
		Owner: "cantus1x", Cid: cid("a"), Type: "dataset", StatementDigest: digest[:], Job: 7, License: "MIT OR NONE", RoyaltyBps: 3,
		Parents: []types.Parent{{Cid: cid("b"), Role: "seeds", RoyaltyBps: 5}},
	}
	for _, license := range []string{"MIT OR NONE", "(MIT OR Apache-2.0+) AND LicenseRef-x"} {
		good.License = license
		b, err := good.Marshal()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m types.MsgRegister
		if m.Unmarshal(b) != nil || m.ValidateBasic() != nil {
			return
		}
		if len(m.Cid) > 80 || len(m.Type) > 32 || len(m.License) > 256 || len(m.StatementDigest) != 32 || len(m.Parents) > types.MaxParents {
			t.Fatalf("%+v is taken", m)
		}
		again, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var back types.MsgRegister
		if err := back.Unmarshal(again); err != nil || back.String() != m.String() {
			t.Fatalf("%v became %v, %v", &m, &back, err)
		}
	})
}

func FuzzGenesis(f *testing.F) {
	g := register()
	b, err := g.Marshal()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var g types.GenesisState
		if g.Unmarshal(b) != nil || g.Validate() != nil {
			return
		}
		seen := map[string]bool{}
		for _, a := range g.Artifacts {
			for _, p := range a.Parents {
				if !seen[p.Cid] {
					t.Fatalf("%s was made from what is not there yet", a.Cid)
				}
			}
			seen[a.Cid] = true
		}
	})
}
