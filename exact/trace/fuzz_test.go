package trace

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/referee"
)

// FuzzOpening holds that no opening makes the referee compute anything but the true tile.
func FuzzOpening(f *testing.F) {
	m := synthetic(f, func(c *model.Config) { c.Layers = 1 })
	task := tasks(m, 5, 2)["k and p"]
	x := m.tracer(f, task, m.answer(f, task))
	c := x.Case()
	last := len(c.Positions()) - 2
	type leaf struct {
		agreed [][]referee.Digest
		hash   referee.Digest
	}
	leaves := map[uint64]leaf{}
	for s := range referee.Stages {
		if n := c.Tiles(last, s); n > 0 {
			l := referee.Place{Position: last, Layer: m.Layers, Stage: s, Tile: n - 1}
			if s < referee.Final {
				l.Layer--
			}
			agreed, d := way(f, x, c.At(l))
			leaves[c.At(l)] = leaf{agreed, d}
			opening, err := x.Open(f.Context(), c.At(l))
			require.NoError(f, err)
			f.Add(uint8(s), opening)
		}
	}
	f.Fuzz(func(t *testing.T, s uint8, opening []byte) {
		n := c.Tiles(last, referee.Stage(s))
		if n == 0 {
			return
		}
		l := referee.Place{Position: last, Layer: m.Layers, Stage: referee.Stage(s), Tile: n - 1}
		if l.Stage < referee.Final {
			l.Layer--
		}
		want := leaves[c.At(l)]
		r, err := c.Decide(c.At(l), want.agreed, want.hash, referee.Digest{}, opening)
		if err != nil {
			require.ErrorIs(t, err, referee.ErrOpening)
			return
		}
		require.Equal(t, referee.Ruling{True: want.hash, Worker: true}, r)
	})
}
