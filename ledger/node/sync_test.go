package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/node"
)

func edit(t *testing.T, path, old, new string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(raw), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), old, new, 1)), 0o644))
}

// blockHash asks a node for a block's hash, as an operator would.
func blockHash(t *testing.T, rpc string, height int64) string {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/commit?height=%d", rpc, height))
	require.NoError(t, err)
	defer resp.Body.Close()
	var out struct {
		Result struct {
			SignedHeader struct {
				Commit struct {
					BlockID struct{ Hash string } `json:"block_id"`
				} `json:"commit"`
			} `json:"signed_header"`
		}
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
	require.NotEmpty(t, out.Result.SignedHeader.Commit.BlockID.Hash)
	return out.Result.SignedHeader.Commit.BlockID.Hash
}

// A node that joins with state sync starts from a snapshot, not from block 1.
func TestStateSync(t *testing.T) {
	if testing.Short() {
		t.Skip("discovering snapshots takes seconds")
	}
	home, _ := devnet(t)
	edit(t, filepath.Join(home, "config/app.toml"), "snapshot_interval = 1000", "snapshot_interval = 20")
	first := start(t, home)
	waitHeight(t, first, 45)

	g, err := genesis.Read(node.GenesisPath(home))
	require.NoError(t, err)
	id, err := node.LoadIdentity(home)
	require.NoError(t, err)
	joined := filepath.Join(t.TempDir(), "joined")
	require.NoError(t, node.Init(joined, node.Setup{
		Devnet: true, Genesis: g,
		Peers: []string{id.NodeID + "@" + first.Addrs().P2P},
		StateSync: &node.StateSync{
			Height: 5, Hash: blockHash(t, first.Addrs().RPC, 5),
			RPC: []string{"http://" + first.Addrs().RPC, "http://" + first.Addrs().RPC},
		},
	}))
	edit(t, filepath.Join(joined, "config/config.toml"), `discovery_time = "15s"`, `discovery_time = "5s"`)
	second, err := node.Start(t.Context(), joined, node.Options{Logger: testLog(t)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = second.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, second.WaitHeight(ctx, first.Height()+2))

	resp, err := http.Get("http://" + second.Addrs().RPC + "/status")
	require.NoError(t, err)
	defer resp.Body.Close()
	var status struct {
		Result struct {
			SyncInfo struct {
				Earliest string `json:"earliest_block_height"`
			} `json:"sync_info"`
		}
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&status))
	require.NotEqual(t, "1", status.Result.SyncInfo.Earliest, "it has not replayed the first block")

	for name, s := range map[string]*node.StateSync{
		"no hash":    {Height: 5, RPC: []string{"a", "b"}},
		"no height":  {Hash: strings.Repeat("ab", 32), RPC: []string{"a", "b"}},
		"one server": {Height: 5, Hash: strings.Repeat("ab", 32), RPC: []string{"a"}},
	} {
		require.Error(t, node.Init(filepath.Join(t.TempDir(), "bad"), node.Setup{Genesis: g, StateSync: s}), name)
	}
}

// A node may be stopped while it takes a snapshot, which reads the state beside all else.
func TestCloseWaitsForTheSnapshot(t *testing.T) {
	home, _ := devnet(t)
	edit(t, filepath.Join(home, "config/app.toml"), "snapshot_interval = 1000", "snapshot_interval = 1")
	for range 5 {
		n := start(t, home)
		waitHeight(t, n, n.Height()+2)
		require.NoError(t, n.Close())
	}
}
