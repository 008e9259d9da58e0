package model

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
)

// TestARefereeNeedsOneRow does what a referee does: of a product of a matrix it is shown
// the input and one row, proved against the model's root, and computes one number.
func TestARefereeNeedsOneRow(t *testing.T) {
	for name, edit := range variants {
		b := synthetic(t, edit)
		m := load1(t, b)
		l, err := NewLayout(&m.Config, int64(len(m.Tokenizer)))
		require.NoError(t, err)
		require.EqualValues(t, len(b), l.Size())
		shown := func(s Span) []byte {
			var got []byte
			from, to := s.Pieces()
			for i := from; i < to; i++ {
				p, piece, err := Prove(bytes.NewReader(b), int64(len(b)), i)
				require.NoError(t, err)
				require.NoError(t, p.Check(m.Root, piece))
				got = append(got, piece...)
			}
			return got[s.Offset-int64(from)*PieceSize:][:s.Length]
		}
		last := m.Layers - 1
		for _, part := range []Part{Query, Down} {
			matrix := map[Part]interface {
				Row(int) ([]int8, exact.Scale)
			}{Query: m.layers[last].query, Down: m.layers[last].down}[part]
			for _, row := range []int{0, 5, m.Dim - 1} {
				want, scale := matrix.Row(row)
				w, s, err := l.Row(part, last, row)
				require.NoError(t, err)
				var got []int8
				for _, v := range shown(w) {
					got = append(got, int8(v))
				}
				require.Equal(t, want, got, "%s: %s", name, part)
				require.Equal(t, scale, exact.Scale(binary.LittleEndian.Uint32(shown(s))))
			}
		}
		g, err := l.Gain(OutputNorm, 0)
		require.NoError(t, err)
		require.EqualValues(t, m.norm.M[m.Dim-1], int32(binary.LittleEndian.Uint32(shown(g)[4*m.Dim:])))
		bias, err := l.Bias(Value, last, 1)
		if !m.QKVBias {
			require.ErrorIs(t, err, ErrConfig)
		} else {
			require.NoError(t, err)
			require.EqualValues(t, m.layers[last].valueBias[1], int32(binary.LittleEndian.Uint32(shown(bias))))
		}
		for _, bad := range []struct {
			part       Part
			layer, row int
		}{{Query, m.Layers, 0}, {Query, 0, 1 << 20}, {Query, 0, -1}, {AttnNorm, 0, 0}, {"nothing", 0, 0}} {
			_, _, err := l.Row(bad.part, bad.layer, bad.row)
			require.ErrorIs(t, err, ErrConfig)
		}
	}
}
