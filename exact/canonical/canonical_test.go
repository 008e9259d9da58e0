package canonical_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/canonical"
)

type pair struct {
	_     struct{} `cbor:",toarray"`
	Bytes []byte
	Count uint32
}

func TestAValueHasOneEncoding(t *testing.T) {
	b, err := canonical.Encode(&pair{Bytes: []byte{7}, Count: 23})
	require.NoError(t, err)
	require.Equal(t, []byte{0x82, 0x41, 7, 23}, b)
	var got pair
	require.NoError(t, canonical.Decode(b, 4, &got))
	require.Equal(t, pair{Bytes: []byte{7}, Count: 23}, got)
	require.NoError(t, canonical.Same(b, &got))

	require.ErrorIs(t, canonical.Decode(b, 3, &got), canonical.ErrEncoding)
	for name, bad := range map[string][]byte{
		"nothing":           nil,
		"a byte after it":   {0x82, 0x41, 7, 23, 0},
		"cut":               {0x82, 0x41, 7},
		"indefinite length": {0x9f, 0x41, 7, 23, 0xff},
		"a tag":             {0xc0, 0x82, 0x41, 7, 23},
		"a long number":     {0x82, 0x41, 7, 0x18, 23},
	} {
		var v pair
		err := canonical.Decode(bad, 100, &v)
		if err == nil {
			err = canonical.Same(bad, &v)
		}
		require.ErrorIs(t, err, canonical.ErrEncoding, name)
	}
	empty, err := canonical.Encode(&pair{})
	require.NoError(t, err)
	require.Equal(t, []byte{0x82, 0x40, 0}, empty, "nil is an empty byte string")
}

func TestTokensComeBack(t *testing.T) {
	list := []uint32{0, 127, 128, 1<<32 - 1}
	got, err := canonical.Tokens(canonical.PutTokens(list), 1<<40)
	require.NoError(t, err)
	require.Equal(t, list, got)
	none, err := canonical.Tokens(canonical.PutTokens(nil), 1)
	require.NoError(t, err)
	require.Nil(t, none)
	for name, bad := range map[string][]byte{
		"cut":          {0x80},
		"at the bound": {0x10},
		"too many":     {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
	} {
		_, err := canonical.Tokens(bad, 16)
		require.ErrorIs(t, err, canonical.ErrEncoding, name)
	}
	_, err = canonical.Tokens([]byte{0x80, 0x80, 0x80, 0x80, 0x10}, 1<<40) // 2³²
	require.ErrorIs(t, err, canonical.ErrEncoding)
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte{1, 0xac, 2}, uint64(300))
	f.Fuzz(func(t *testing.T, b []byte, below uint64) {
		list, err := canonical.Tokens(b, below)
		if err != nil {
			return
		}
		for _, id := range list {
			require.Less(t, uint64(id), below)
		}
		again, err := canonical.Tokens(canonical.PutTokens(list), below)
		require.NoError(t, err)
		require.Equal(t, list, again)
	})
}
