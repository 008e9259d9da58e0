package node_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/node"
)

// childHome, when set, makes the test binary a node of that home that prints every
// height and runs until it is killed.
const childHome = "CANTUS_TEST_NODE_HOME"

func TestMain(m *testing.M) {
	if home := os.Getenv(childHome); home != "" {
		if err := child(home); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(home string) error {
	ctx := context.Background()
	n, err := node.Start(ctx, home, node.Options{})
	if err != nil {
		return err
	}
	for h := n.Height() + 1; ; h++ {
		if err := n.WaitHeight(ctx, h); err != nil {
			return err
		}
		fmt.Println(h)
	}
}

// A node that is killed at any moment comes back with every block it had made,
// and with every transaction that it had confirmed.
func TestKill(t *testing.T) {
	home, ring := devnet(t)
	alice, err := keys.Find(ring, "alice")
	require.NoError(t, err)
	var reached int64
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childHome+"="+home)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		lines := bufio.NewScanner(out)
		// The rounds differ in when, within a block, the end comes.
		for seen := 0; seen < 3+round && lines.Scan(); seen++ {
			h, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64)
			require.NoError(t, err)
			require.Greater(t, h, reached, "round %d begins where the one before ended", round)
			reached = h
		}
		time.Sleep(time.Duration(round) * 70 * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
	n := start(t, home)
	require.GreaterOrEqual(t, n.Height(), reached)
	waitHeight(t, n, reached+3)
	c, err := client.New(t.Context(), n.Addrs().GRPC, ring)
	require.NoError(t, err)
	defer c.Close()
	balance, err := c.Balance(t.Context(), alice.Address)
	require.NoError(t, err)
	require.Equal(t, testAmount.String(), balance.String())
}
