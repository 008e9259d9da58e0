package types_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// Contracts and gateways write these IDs down: they never change.
func TestReaders(t *testing.T) {
	for form, want := range map[types.Form]struct{ name, id string }{
		types.Body: {"page/body", "8b934502c9d9bc48bc8c52c7db3ac1ffdd9a4b254c37146d13cc46314bb7ced7"},
		types.Text: {"page/text", "a30ecf6a8bae21a3a486b61437a080c83416c895e300c7a41c194c273bccc6d1"},
	} {
		encoded, err := work.Encode(want.name)
		require.NoError(t, err)
		require.Equal(t, encoded, form.Encoded())
		id := form.ID()
		require.Equal(t, want.id, hex.EncodeToString(id[:]))
		got, ok := types.FormOf(encoded)
		require.True(t, ok)
		require.Equal(t, form, got)
		got, ok = types.FormByID(id[:])
		require.True(t, ok)
		require.Equal(t, form, got)
		require.Equal(t, "crawl/1", types.KindOf(id[:]))
		_, err = speaker.Decode(encoded)
		require.Error(t, err, "a speaker and a reader are never the same")
	}
	for _, other := range [][]byte{nil, {}, make([]byte, 32), []byte("page/body"), []byte("\x69page/Body"), append(types.Body.Encoded(), 0)} {
		_, ok := types.FormOf(other)
		require.False(t, ok)
		_, ok = types.FormByID(other)
		require.False(t, ok)
	}
	require.Equal(t, "infer/1", types.KindOf(make([]byte, 32)))
}

func TestCheckURL(t *testing.T) {
	for _, good := range []string{
		"http://example.com/", "https://example.com/a/b?c=d&e='f'", "https://xn--bcher-kva.example:8443/%C3%A4/..a/.b", "http://192.0.2.1/",
		"http://[2001:db8::80]/", "https://a_b.example/?q=/../", "http://a:8080/", "http://a:443/", "https://a.example/" + strings.Repeat("a", 2030),
	} {
		require.NoError(t, types.CheckURL(good), good)
	}
	for bad, words := range map[string]string{
		"":                                               "want http:// or https://",
		"example.com/":                                   "want http:// or https://",
		"HTTP://example.com/":                            "in small letters",
		"ftp://example.com/":                             "want http:// or https://",
		"https:/example.com/":                            "want http:// or https://",
		"https://example.com":                            "want a / after the host: https://example.com/",
		"https://example.com?a":                          "want a / after the host: https://example.com/?a",
		"https:///a":                                     "host",
		"https://Example.com/":                           "small letters",
		"https://me@example.com/":                        "without a user's name",
		"https://me:pass@example.com/":                   "without a user's name",
		"https://:80/":                                   "host",
		"https://a%41/":                                  "host",
		"https://example.com:443/":                       "leave :443 out",
		"http://example.com:80/":                         "leave :80 out",
		"https://example.com/#a":                         "leave a fragment out",
		"https://example.com/a b":                        "%XX",
		"https://example.com/\x00":                       "at byte 20",
		"https://example.com/ä":                          "%XX",
		"https://bücher.example/":                        "Punycode",
		"https://example.com/<a>":                        "%XX",
		`https://example.com/"`:                          "%XX",
		`https://example.com\a/`:                         "%XX",
		"https://example.com/a/../b":                     `goes through ".."`,
		"https://example.com/./b":                        `goes through "."`,
		"https://example.com/..":                         `goes through ".."`,
		"https://example.com/." + "?a":                   `goes through "."`,
		"https://a.example/" + strings.Repeat("a", 2031): "2049 bytes",
		"\xff\xfe":                                       "at byte 0",
	} {
		err := types.CheckURL(bad)
		require.ErrorIs(t, err, types.ErrInvalid, bad)
		require.ErrorContains(t, err, words, bad)
	}
}

// words cuts an encoding into its words of 32 bytes.
func words(b []byte) []string {
	var out []string
	for w := range slices.Chunk(b, 32) {
		out = append(out, hex.EncodeToString(w))
	}
	return out
}

// The encoding is Solidity's: the words that its specification gives.
func TestPagesAsContractsReadThem(t *testing.T) {
	p := types.Page{Status: 301, Time: 0x68000001, MediaType: "text/html", Location: "http://a/" + strings.Repeat("b", 30), Cut: true, Digest: [32]byte{0xab}, Content: []byte("hi")}
	b, err := p.Encode()
	require.NoError(t, err)
	number := func(s string) string { return strings.Repeat("0", 64-len(s)) + s }
	text := func(s string) string { return hex.EncodeToString([]byte(s)) + strings.Repeat("0", 64-2*len(s)) }
	require.Equal(t, []string{
		number("20"),       // where the struct begins
		number("12d"),      // status
		number("68000001"), // time
		number("e0"), number("120"),
		number("1"),                    // cut
		"ab" + strings.Repeat("0", 62), // digest
		number("180"),                  // where the content begins
		number("9"), text("text/html"), // media type
		number("27"), // location
		text("http://a/" + strings.Repeat("b", 23)), text(strings.Repeat("b", 7)),
		number("2"), text("hi"),
	}, words(b))
	again, err := types.DecodePage(b)
	require.NoError(t, err)
	require.Equal(t, p, again)
	for name, bad := range map[string][]byte{
		"nothing": {}, "cut": b[:len(b)-1], "more": append(slices.Clone(b), make([]byte, 32)...), "too long": make([]byte, 1<<20),
		"padded with something": append(slices.Clone(b[:len(b)-1]), 1),
	} {
		_, err := types.DecodePage(bad)
		require.ErrorIs(t, err, types.ErrInvalid, name)
	}
	empty, err := types.Page{Content: []byte{}}.Encode()
	require.NoError(t, err)
	require.Len(t, empty, 32*11)
}

func record() page.Record {
	return page.Record{URL: "http://a/", Time: 1999, Status: 200, Digest: artifact.Sum([]byte("body")), Size: 4, TextDigest: artifact.Sum([]byte("text"))}
}

func TestWhatOfAPageMustBeShown(t *testing.T) {
	for form, content := range map[types.Form]string{types.Body: "body", types.Text: "text"} {
		r := record()
		require.NoError(t, form.Check(r, "http://a/"))
		require.True(t, form.MustShow(r))
		require.NoError(t, form.Shows(r, []byte(content)))
		require.ErrorContains(t, form.Shows(r, nil), "is missing")
		require.ErrorContains(t, form.Shows(r, []byte("else")), "has digest")
		r.Size = map[types.Form]uint64{types.Body: 4096, types.Text: 64 << 10}[form]
		require.True(t, form.MustShow(r))
		r.Size++
		require.False(t, form.MustShow(r))
		require.NoError(t, form.Shows(r, nil))
		require.ErrorContains(t, form.Shows(r, []byte("else")), "has digest")
	}
	r := record()
	r.TextDigest = artifact.Digest{}
	require.False(t, types.Text.MustShow(r))
	require.NoError(t, types.Text.Shows(r, nil))
	require.Error(t, types.Text.Shows(r, []byte("text")))
	require.NotEqual(t, types.Text.Key(record()), types.Text.Key(r))
	require.Equal(t, types.Body.Key(record()), types.Body.Key(r))
	later := record()
	later.Time, later.IP, later.Title = 5000, "203.0.113.1", "Other"
	require.Equal(t, types.Body.Key(record()), types.Body.Key(later))
}

// Whatever bytes are read as a page are the one encoding of it.
func FuzzDecodePage(f *testing.F) {
	for _, p := range []types.Page{{}, {Status: 200, Time: 1, MediaType: "text/plain", Location: "http://a/", Cut: true, Digest: [32]byte{1}, Content: []byte("hi")}} {
		b, err := p.Encode()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := types.DecodePage(b)
		if err != nil {
			return
		}
		again, err := p.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// An address that is let through has a host and a path, in printable ASCII.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"http://example.com/", "https://me@example.com:443/../a b#c", "https://[::1]:8080/?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if types.CheckURL(s) != nil {
			return
		}
		_, rest, ok := strings.Cut(s, "://")
		require.True(t, ok)
		host, _, ok := strings.Cut(rest, "/")
		require.True(t, ok)
		require.NotEmpty(t, host)
		require.Equal(t, strings.ToLower(host), host)
		require.NotContains(t, s, "@"+host)
		for _, c := range []byte(s) {
			require.True(t, c > ' ' && c <= '~')
		}
	})
}
