package page_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// TestWire pins the encodings: tasks and results that lie in datasets and on ledgers must
// stay readable, and their digests the same.
func TestWire(t *testing.T) {
	f := page.Fetch{Mode: page.ModePage, URL: "http://e.example/", Depth: 3}
	b, err := work.Encode(f)
	require.NoError(t, err)
	require.Equal(t, "830171687474703a2f2f652e6578616d706c652f03", hex.EncodeToString(b))
	back, err := page.DecodeFetch(b)
	require.NoError(t, err)
	require.Equal(t, f, back)

	r := page.Record{URL: f.URL, Time: 1, Status: 200, IP: "192.0.2.1", MediaType: "text/plain", Digest: artifact.Sum([]byte("hi")),
		Size: 2, TextDigest: artifact.Sum([]byte("hi")), Links: []string{"http://e.example/x"}, WARC: artifact.Sum(nil), Members: [3]uint32{1, 2, 3}}
	b, err = work.Encode(r)
	require.NoError(t, err)
	require.Equal(t, "95", hex.EncodeToString(b[:1]), "an array of 21 fields")
	require.Equal(t, "bbcf7391798040b9be4ce4aa8e8f9d5a33a3a6a0acfc97640cafa4ae9242e3f2", artifact.Sum(b).String())
	again, err := page.DecodeRecord(b)
	require.NoError(t, err)
	require.Equal(t, r, again)

	_, err = page.DecodeRecord(append(b, 0))
	require.ErrorIs(t, err, work.ErrEncoding)
	_, err = page.DecodeFetch(b)
	require.ErrorIs(t, err, work.ErrEncoding)
	require.Equal(t, "mode 9", page.Mode(9).String())
}

func FuzzRecord(f *testing.F) {
	b, err := work.Encode(page.Record{URL: "http://e.example/", Time: 1, Error: "dns"})
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := page.DecodeRecord(b)
		if err != nil {
			require.ErrorIs(t, err, work.ErrEncoding)
			return
		}
		again, err := work.Encode(r)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
