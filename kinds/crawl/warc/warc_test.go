package warc_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl/warc"
)

func exchange() warc.Exchange {
	return warc.Exchange{
		URL:          "http://example.org/a?b=c",
		Time:         time.Date(2026, 11, 22, 14, 9, 19, 123456789, time.UTC),
		IP:           "192.0.2.7",
		RequestHead:  []byte("GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n\r\n"),
		ResponseHead: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
		Body:         []byte("<html>\r\n\r\nhello</html>"),
		Metadata:     [][2]string{{"fetchTimeMs", "12"}, {"worker", "cantus"}},
	}
}

func TestBuildAndParse(t *testing.T) {
	for name, change := range map[string]func(*warc.Exchange){
		"usual":         func(*warc.Exchange) {},
		"empty body":    func(ex *warc.Exchange) { ex.Body = nil },
		"no metadata":   func(ex *warc.Exchange) { ex.Metadata = nil },
		"no address":    func(ex *warc.Exchange) { ex.IP = "" },
		"IPv6":          func(ex *warc.Exchange) { ex.IP = "2001:db8::1" },
		"truncated":     func(ex *warc.Exchange) { ex.Truncated = "length" },
		"no reason":     func(ex *warc.Exchange) { ex.ResponseHead = []byte("HTTP/1.0 404\r\n\r\n") },
		"binary":        func(ex *warc.Exchange) { ex.Body = bytes.Repeat([]byte{0, 1, 0xff, '\r', '\n'}, 10_000) },
		"blank in body": func(ex *warc.Exchange) { ex.Body = []byte("\r\n\r\n\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			ex := exchange()
			change(&ex)
			blob, members, err := warc.Build(ex)
			require.NoError(t, err)
			got, err := warc.Parse(blob, members)
			require.NoError(t, err)
			require.Equal(t, ex.URL, got.URL)
			require.Equal(t, ex.Time.Truncate(time.Millisecond), got.Time)
			require.Equal(t, ex.IP, got.IP)
			require.Equal(t, string(ex.RequestHead), string(got.RequestHead))
			require.Equal(t, string(ex.Body), string(got.Body))
			require.Equal(t, ex.Truncated, got.Truncated)
			require.Equal(t, ex.Metadata, got.Metadata)
			head, err := warc.PlainHead(ex.ResponseHead, len(ex.Body))
			require.NoError(t, err)
			require.Equal(t, string(head), string(got.ResponseHead))

			again, againMembers, err := warc.Build(got)
			require.NoError(t, err)
			require.Equal(t, blob, again)
			require.Equal(t, members, againMembers)
		})
	}
}

// The three members are WARC 1.1 records to anybody who can gunzip.
func TestRecordsAsWritten(t *testing.T) {
	blob, members, err := warc.Build(exchange())
	require.NoError(t, err)
	var got strings.Builder
	for _, n := range members {
		z, err := gzip.NewReader(bytes.NewReader(blob[:n]))
		require.NoError(t, err)
		z.Multistream(false)
		_, err = io.Copy(&got, z)
		require.NoError(t, err)
		blob = blob[n:]
	}
	want, err := os.ReadFile("testdata/exchange.warc") // made by another program
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func TestPlainHead(t *testing.T) {
	for _, c := range []struct {
		head string
		n    int
		want string
	}{
		{"HTTP/1.1 200 OK\n\n", 3, "HTTP/1.1 200 OK\nContent-Length: 3\n\n"},
		{"HTTP/1.1 200 OK\nContent-Length: 3\n\n", 3, "HTTP/1.1 200 OK\nContent-Length: 3\n\n"},
		{"HTTP/1.1 200 OK\ncontent-length: 9\nX: y\n\n", 3, "HTTP/1.1 200 OK\nX-Crawler-content-length: 9\nX: y\nContent-Length: 3\n\n"},
		{"HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 3\n\n", 3, "HTTP/1.1 200 OK\nContent-Length: 3\nX-Crawler-Content-Length: 3\n\n"},
		{"HTTP/1.1 200 OK\nContent-Encoding: br\nTransfer-Encoding: chunked\n\n", 0, "HTTP/1.1 200 OK\nX-Crawler-Content-Encoding: br\nX-Crawler-Transfer-Encoding: chunked\nContent-Length: 0\n\n"},
		{"HTTP/1.1 200 OK\nContent-Encoding: identity\n\n", 0, "HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Length: 0\n\n"},
		{"HTTP/1.1 200 OK\nno colon here\n\n", 0, "HTTP/1.1 200 OK\nno colon here\nContent-Length: 0\n\n"},
	} {
		crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
		got, err := warc.PlainHead([]byte(crlf(c.head)), c.n)
		require.NoError(t, err)
		require.Equal(t, crlf(c.want), string(got))
		again, err := warc.PlainHead(got, c.n)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, change := range map[string]func(*warc.Exchange){
		"no URL":               func(ex *warc.Exchange) { ex.URL = "" },
		"line break in URL":    func(ex *warc.Exchange) { ex.URL = "http://a/\r\nWARC-Type: x" },
		"long URL":             func(ex *warc.Exchange) { ex.URL = "http://a/" + strings.Repeat("x", 1<<15) },
		"no address":           func(ex *warc.Exchange) { ex.IP = "example.org" },
		"address with a zone":  func(ex *warc.Exchange) { ex.IP = "fe80::1%eth0" },
		"unclosed request":     func(ex *warc.Exchange) { ex.RequestHead = []byte("GET / HTTP/1.1\r\n") },
		"no request":           func(ex *warc.Exchange) { ex.RequestHead = nil },
		"body in request head": func(ex *warc.Exchange) { ex.RequestHead = []byte("GET / HTTP/1.1\r\n\r\nx\r\n\r\n") },
		"two response heads":   func(ex *warc.Exchange) { ex.ResponseHead = []byte("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\n") },
		"no status":            func(ex *warc.Exchange) { ex.ResponseHead = []byte("HTTP/1.1 OK\r\n\r\n") },
		"long head":            func(ex *warc.Exchange) { ex.ResponseHead = append(bytes.Repeat([]byte("a"), 1<<20), "\r\n\r\n"...) },
		"truncated why":        func(ex *warc.Exchange) { ex.Truncated = "tired" },
		"metadata name":        func(ex *warc.Exchange) { ex.Metadata = [][2]string{{"a b", "c"}} },
		"metadata value":       func(ex *warc.Exchange) { ex.Metadata = [][2]string{{"a", "b\r\nc: d"}} },
		"long ago":             func(ex *warc.Exchange) { ex.Time = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			ex := exchange()
			change(&ex)
			_, _, err := warc.Build(ex)
			require.ErrorIs(t, err, warc.ErrFormat)
		})
	}
}

// Whatever was changed in what the members hold, Parse sees it.
func TestParseRefusesOtherRecords(t *testing.T) {
	blob, members, err := warc.Build(exchange())
	require.NoError(t, err)
	plain := unpack(t, blob, members)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		i := random.IntN(3)
		changed := plain
		b := bytes.Clone(plain[i])
		at := random.IntN(len(b))
		switch random.IntN(3) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b = append(b[:at], b[at+1:]...)
		default:
			b = append(b[:at:at], append([]byte{byte(random.IntN(256))}, b[at:]...)...)
		}
		if bytes.Equal(b, plain[i]) {
			continue
		}
		changed[i] = b
		blob, members := pack(t, changed)
		_, err := warc.Parse(blob, members)
		require.ErrorIs(t, err, warc.ErrFormat, "%q", b)
	}
	for _, m := range [][3]uint32{{}, {members[1], members[0], members[2]}, {members[0], members[1], members[2] + 1}, {members[0] + members[1], 0, members[2]}} {
		_, err := warc.Parse(blob, m)
		require.ErrorIs(t, err, warc.ErrFormat)
	}
}

func unpack(t *testing.T, blob []byte, members [3]uint32) (out [3][]byte) {
	t.Helper()
	for i, n := range members {
		z, err := gzip.NewReader(bytes.NewReader(blob[:n]))
		require.NoError(t, err)
		out[i], err = io.ReadAll(z)
		require.NoError(t, err)
		blob = blob[n:]
	}
	return out
}

func pack(t *testing.T, plain [3][]byte) (blob []byte, members [3]uint32) {
	t.Helper()
	var out bytes.Buffer
	for i, p := range plain {
		before := out.Len()
		z := gzip.NewWriter(&out)
		_, err := z.Write(p)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		members[i] = uint32(out.Len() - before)
	}
	return out.Bytes(), members
}

// A member that unpacks to far more than it should is refused before it fills the memory.
func TestBombs(t *testing.T) {
	ex := exchange()
	ex.Body = make([]byte, 1<<20)
	blob, members, err := warc.Build(ex)
	require.NoError(t, err)
	_, err = warc.ParseLimit(blob, members, 1<<20)
	require.NoError(t, err)
	_, err = warc.ParseLimit(blob, members, 1<<10)
	require.ErrorIs(t, err, warc.ErrFormat)
	_, err = warc.NewReader(bytes.NewReader(blob), 1<<10).Next()
	require.NoError(t, err)
	r := warc.NewReader(bytes.NewReader(blob[members[0]:]), 1<<10)
	_, err = r.Next()
	require.ErrorIs(t, err, warc.ErrFormat)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	blob, members, err := warc.Build(exchange())
	require.NoError(t, err)
	w, err := warc.NewWriter(dir, "test", int64(5*len(blob)), time.Unix(1.6e9, 0), []warc.Field{{Name: "software", Value: "test"}})
	require.NoError(t, err)
	type place struct {
		file   string
		offset int64
	}
	var places []place
	for range 12 {
		file, offset, err := w.Append(blob)
		require.NoError(t, err)
		places = append(places, place{file, offset})
	}
	files, err := w.Close()
	require.NoError(t, err)
	require.Len(t, files, 3)

	n := 0
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name))
		require.NoError(t, err)
		require.EqualValues(t, f.Size, len(b))
		r := warc.NewReader(bytes.NewReader(b), 0)
		info, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, "warcinfo", info.Type())
		require.Equal(t, f.Name, info.Get("warc-filename"))
		require.Equal(t, "software: test\r\n", string(info.Block))
		for n < len(places) && places[n].file == f.Name {
			for i, kind := range []string{"request", "response", "metadata"} {
				rec, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, kind, rec.Type())
				require.EqualValues(t, members[i], rec.Length)
				if i == 0 {
					require.Equal(t, places[n].offset, rec.Offset)
				}
			}
			n++
		}
		_, err = r.Next()
		require.ErrorIs(t, err, io.EOF)

		// A file that ends in the middle of a record is not taken for a whole one.
		r = warc.NewReader(bytes.NewReader(b[:len(b)-3]), 0)
		for err = nil; err == nil; {
			_, err = r.Next()
		}
		require.False(t, errors.Is(err, io.EOF), "%v", err)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	require.Equal(t, len(places), n)

	_, err = warc.NewWriter(dir, "test", 0, time.Unix(1.6e9, 0), []warc.Field{{Name: "a", Value: "b\nc"}})
	require.ErrorIs(t, err, warc.ErrFormat)
}

func FuzzReader(f *testing.F) {
	blob, _, err := warc.Build(exchange())
	require.NoError(f, err)
	f.Add(blob)
	f.Add([]byte("WARC/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := warc.NewReader(bytes.NewReader(b), 1<<20)
		at := int64(0)
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			if rec.Offset != at || rec.Length <= 0 {
				t.Fatalf("record at %d with %d bytes, expected at %d", rec.Offset, rec.Length, at)
			}
			at += rec.Length
		}
	})
}

// FuzzParse changes the records before they are compressed, where the fuzzer gets further.
func FuzzParse(f *testing.F) {
	blob, members, err := warc.Build(exchange())
	require.NoError(f, err)
	z := func(b []byte) []byte {
		r, err := gzip.NewReader(bytes.NewReader(b))
		require.NoError(f, err)
		p, err := io.ReadAll(r)
		require.NoError(f, err)
		return p
	}
	f.Add(z(blob[:members[0]]), z(blob[members[0]:members[0]+members[1]]), z(blob[members[0]+members[1]:]))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		blob, members := pack(t, [3][]byte{a, b, c})
		ex, err := warc.Parse(blob, members)
		if err != nil {
			return
		}
		again, againMembers, err := warc.Build(ex)
		if err != nil {
			t.Fatalf("what was parsed can't be built: %v", err)
		}
		if got, want := unpack(t, again, againMembers), [3][]byte{a, b, c}; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("parsed %q, built %q", want, got)
		}
	})
}
