package requantise_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/test/backend/requantise"
)

// TestWeightsComeBack writes a model in each type and reads it again: as exactly as the type
// can be.
func TestWeightsComeBack(t *testing.T) {
	m, err := requantise.FromFile(modeltest.File(t, 1, func(c *model.Config) { c.HeadNorm, c.QKVBias, c.Window = false, false, 0 }))
	require.NoError(t, err)
	for as, most := range map[gguf.Type]float64{gguf.F32: 0, gguf.F16: 1. / 1024, gguf.Q8_0: 1. / 120, gguf.Q4_0: 1. / 7} {
		again := written(t, m, as)
		require.Equal(t, len(m.Tensors), len(again.Tensors))
		for i, want := range m.Tensors {
			got := again.Tensors[i]
			require.Equal(t, want.Name, got.Name)
			var top, off float64
			for k, v := range want.Values {
				top, off = max(top, math.Abs(float64(v))), max(off, math.Abs(float64(v-got.Values[k])))
			}
			require.LessOrEqual(t, off, most*top, "%s in type %d", want.Name, as)
		}
	}
}

func written(t *testing.T, m *requantise.Model, as gguf.Type) *requantise.Model {
	path := filepath.Join(t.TempDir(), "m.gguf")
	require.NoError(t, m.Write(path, as))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	again, err := requantise.FromGGUF(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	return again
}

// TestShort leaves out a layer, and what is left is a model that can be converted.
func TestShort(t *testing.T) {
	m, err := requantise.FromFile(modeltest.File(t, 1, func(c *model.Config) { c.HeadNorm, c.QKVBias, c.Window = false, false, 0 }))
	require.NoError(t, err)
	s := m.Short(0)
	require.Equal(t, m.Layers-1, s.Layers)
	for _, x := range s.Tensors {
		require.False(t, strings.HasPrefix(x.Name, "blk."+string(rune('0'+s.Layers))+"."), x.Name)
	}
	path := filepath.Join(t.TempDir(), "short.gguf")
	require.NoError(t, s.Write(path, gguf.F32))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = convert.FromGGUF(new(bytes.Buffer), bytes.NewReader(b), int64(len(b)), convert.Options{})
	require.NoError(t, err)
}
