package worker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
)

// Parts of several tasks reach the gateway in order, what nobody waits for ends with a
// result, and the gateway hears what the worker holds.
func TestParts(t *testing.T) {
	g := newGateway(t)
	run(t, g.config(t))
	a, b := g.bundle("live", "stream:a"), g.bundle("live", "stream:b")
	g.offer(a, b)
	g.wait("both are done", func() bool { return len(g.receipts) == 2 })
	for _, x := range []struct {
		seq  uint64
		text string
	}{{a.Tasks[0].Seq, "stream:a"}, {b.Tasks[0].Seq, "stream:b"}} {
		parts := g.parts[x.seq]
		require.GreaterOrEqual(t, len(parts), g.enough)
		for i, p := range parts {
			require.Equal(t, fmt.Sprintf("%s %d", x.text, i), p)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Equal(t, []artifact.Digest{artifact.Sum([]byte("held"))}, g.asked[0].Held)
}

// A task that has nothing to show still shows that it is alive, until its receipt is taken.
func TestSignsOfLife(t *testing.T) {
	g := newGateway(t)
	run(t, g.config(t))
	g.doneDown.Store(true)
	b := g.bundle("live", "blob")
	g.offer(b)
	g.wait("there are signs of life", func() bool { return g.signs >= 2 })
	g.doneDown.Store(false)
	g.wait("it is done", func() bool { return len(g.receipts) == 1 })
}
