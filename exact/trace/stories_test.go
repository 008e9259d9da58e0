package trace

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/referee"
)

// TestDisputesOfATrainedModel plays a dispute about each stage of an answer of a trained
// model, and tells what it took.
func TestDisputesOfATrainedModel(t *testing.T) {
	if testing.Short() {
		t.Skip("two disputes about every stage take seconds")
	}
	m := stories(t)
	task := &claim.Task{Model: m.Root, Prompt: m.prompt(90), MaxTokens: 40, LogProbs: true, Top: 5,
		Sampling: exact.Sampling{Seed: [32]byte{1}, Temperature: 800_000, TopK: 100, TopP: 900_000}}
	result := m.answer(t, task)
	honest := m.tracer(t, task, result)
	c := honest.Case()
	last := len(c.Positions()) - 2
	table := fmt.Sprintf("%d positions, %d tiles, %d rounds of at most %d bytes from each party\n", last+1, c.Leaves(), c.Levels(), 32*referee.Ways)
	for s := range referee.Stages {
		n := c.Tiles(last, s)
		if n == 0 {
			continue
		}
		lie := referee.Place{Position: last, Layer: m.Layers, Stage: s, Tile: n - 1}
		if s < referee.Final {
			lie.Layer = m.Layers / 2
		}
		liar := m.tracer(t, task, result)
		liar.change = func(l referee.Place, tile []byte) []byte {
			if l == lie {
				return append(tile, 0)
			}
			return tile
		}
		g := play(t, task, result, liar, honest, honest)
		require.Equal(t, lie, g.place)
		require.False(t, g.ruling.Worker)
		require.True(t, g.ruling.Challenger)
		g = play(t, task, result, honest, liar, honest)
		require.True(t, g.ruling.Worker)
		require.False(t, g.ruling.Challenger)
		table += fmt.Sprintf("%-10s %6d bytes opened, %5d blocks hashed, %7d multiplications\n", s, g.cost.Bytes, g.cost.Hashes, g.cost.Ops)
	}
	t.Log(table)
}
