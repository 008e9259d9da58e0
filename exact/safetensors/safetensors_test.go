package safetensors

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func file(head string, data ...byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), data...)
}

func open(b []byte) (map[string]*Tensor, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestRows(t *testing.T) {
	ts, err := open(file(`{"__metadata__":{"a":"b"},"m":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},
		"v":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},"f":{"dtype":"F32","shape":[1,1],"data_offsets":[10,14]},
		"other":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 0x80, 0x3f, 0, 0xc0, 0, 0, 0x80, 0xbf, 0, 0x3c, 0, 0, 0xc0, 0x3f))
	require.NoError(t, err)
	require.Len(t, ts, 3)
	row := make([]float64, 2)
	require.NoError(t, ts["m"].Row(row, 0))
	require.Equal(t, []float64{1, -2}, row)
	require.NoError(t, ts["m"].Row(row, 1))
	require.Equal(t, []float64{0, -1}, row)
	require.NoError(t, ts["v"].Row(row[:1], 0))
	require.Equal(t, 1.0, row[0])
	require.NoError(t, ts["f"].Row(row[:1], 0))
	require.Equal(t, 1.5, row[0])
	require.ErrorIs(t, ts["m"].Row(row, 2), ErrFile)
	require.ErrorIs(t, ts["m"].Row(row[:1], 0), ErrFile)
}

func TestOpenRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"a huge header":   {255, 255, 255, 255, 255, 255, 255, 127, '{'},
		"no JSON":         file(`{`),
		"unknown field":   file(`{"m":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 0, 0, 0, 0),
		"past the end":    file(`{"m":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 0, 0, 0),
		"backwards":       file(`{"m":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 0, 0, 0, 0),
		"before the data": file(`{"m":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 0, 0, 0, 0),
		"another size":    file(`{"m":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 0, 0, 0, 0),
		"overflow":        file(`{"m":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`),
		"no rows":         file(`{"m":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}}`),
	} {
		_, err := open(b)
		require.ErrorIs(t, err, ErrFile, name)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(file(`{"m":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}`, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		ts, err := open(b)
		if err != nil {
			return
		}
		for _, x := range ts {
			require.NoError(t, x.Row(make([]float64, x.Cols), x.Rows-1))
		}
	})
}
