package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/cli"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// machine is one participant: a home with its keys, and the command over it.
type machine struct {
	t    *testing.T
	home string
	ring keys.Ring
}

func newMachine(t *testing.T, account string) *machine {
	home := t.TempDir()
	ring, err := keys.OpenUnencrypted(filepath.Join(home, "accounts"))
	require.NoError(t, err)
	_, err = keys.Create(ring, account)
	require.NoError(t, err)
	return &machine{t, filepath.Join(home, "ledger"), ring}
}

func (m *machine) try(args ...string) (string, error) {
	m.t.Helper()
	cmd := cli.Command(cli.Options{
		Home: func() string { return m.home },
		Keys: func() (keys.Ring, error) { return m.ring, nil },
	})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(m.t.Context())
	return out.String(), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	require.NoError(m.t, err, "ledger %v printed %s", args, out)
	return out
}

func (m *machine) address(name string) string {
	a, err := keys.Find(m.ring, name)
	require.NoError(m.t, err)
	return a.Address.String()
}

func (m *machine) start(listen node.Listen) *node.Node {
	m.t.Helper()
	n, err := node.Start(m.t.Context(), m.home, node.Options{Listen: listen})
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = n.Close() })
	return n
}

var anyPort = []string{"--rpc", "127.0.0.1:0", "--p2p", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--json-rpc", "127.0.0.1:0"}

// Two validators found a network with the commands and make blocks that neither
// could make alone; then its modules are asked and sent to.
func TestTwoValidators(t *testing.T) {
	ada, ben := newMachine(t, "ada"), newMachine(t, "ben")
	ada.run(append([]string{
		"init", "--chain-id", "cantus-two", "--account", ada.address("ada") + "=2000note",
		"--account", ben.address("ben") + "=2000note",
		"--from", "ada", "--stake", "1000note", "--moniker", "ada",
	}, anyPort...)...)

	signed := ben.run("stake", "--genesis", node.GenesisPath(ada.home), "--from", "ben", "--stake", "1000note", "--moniker", "ben")
	stake := filepath.Join(t.TempDir(), "ben.json")
	require.NoError(t, os.WriteFile(stake, []byte(signed), 0o600))
	ada.run("collect", stake)
	_, err := ada.try("collect", stake)
	require.ErrorContains(t, err, "already in the genesis file")

	one := ada.start(node.Listen{})
	id, err := node.LoadIdentity(ada.home)
	require.NoError(t, err)
	ben.run(append([]string{"join", "--genesis", node.GenesisPath(ada.home), "--peer", id.NodeID + "@" + one.Addrs().P2P}, anyPort...)...)
	two := ben.start(node.Listen{})

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, one.WaitHeight(ctx, 3))
	require.NoError(t, two.WaitHeight(ctx, 3))

	require.Contains(t, ben.run("status"), "cantus-two")
	var vals struct{ Validators []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(ben.run("query", "staking", "validators", "--output", "json")), &vals))
	require.Len(t, vals.Validators, 2)

	out := ada.run("tx", "bank", "send", "ada", ben.address("ben"), "1000anote", "--from", "ada", "--yes", "--output", "json")
	var sent struct {
		Code   int
		Raw    string `json:"raw_log"`
		TxHash string
	}
	require.NoError(t, json.Unmarshal([]byte(out[bytes.IndexByte([]byte(out), '{'):]), &sent), out)
	require.Zero(t, sent.Code, sent.Raw)
	require.NotEmpty(t, sent.TxHash)

	require.NoError(t, two.Close())
	require.NoError(t, one.Close())
	exported := filepath.Join(t.TempDir(), "export.json")
	ada.run("export", "--out", exported)
	raw, err := os.ReadFile(exported)
	require.NoError(t, err)
	require.Contains(t, string(raw), "cantus-two")
}

func TestMistakes(t *testing.T) {
	m := newMachine(t, "ada")
	for name, args := range map[string][]string{
		"no chain":          {"init"},
		"bad chain":         {"init", "--chain-id", "../x"},
		"bad account":       {"init", "--chain-id", "cantus-x", "--account", "ada"},
		"bad amount":        {"init", "--chain-id", "cantus-x", "--account", "ada=-5note"},
		"no unit":           {"init", "--chain-id", "cantus-x", "--account", "ada=5"},
		"stake without key": {"init", "--chain-id", "cantus-x", "--stake", "5note"},
		"stake too large":   {"init", "--chain-id", "cantus-x", "--account", "ada=5note", "--from", "ada", "--stake", "6note"},
		"unknown account":   {"init", "--chain-id", "cantus-x", "--account", "eve=5note"},
		"no home":           {"start"},
		"status of nothing": {"status"},
		"no genesis":        {"join", "--genesis", "/nowhere/genesis.json"},
		"query of nothing":  {"query", "bank", "total-supply"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.try(args...)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "goroutine")
			require.False(t, node.Prepared(m.home), "a command that failed must not leave a home")
		})
	}
}
