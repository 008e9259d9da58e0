package crawl_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

func FuzzSpec(f *testing.F) {
	s, err := crawl.NewSpec("http://e.example/")
	require.NoError(f, err)
	f.Add(encode(f, s))
	k := crawl.New()
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := k.Check(b); err != nil {
			require.ErrorIs(t, err, crawl.ErrSpec)
			return
		}
		s, err := crawl.DecodeSpec(b)
		require.NoError(t, err)
		require.Equal(t, b, encode(t, s))
	})
}

// FuzzMeter feeds results of any sort: none may be worth more than a unit, and none that
// is accepted may break what others rely on.
func FuzzMeter(f *testing.F) {
	s, err := crawl.NewSpec("http://e.example/")
	require.NoError(f, err)
	for _, fetch := range []crawl.Fetch{page("http://e.example/"), {Mode: crawl.ModeSitemap, URL: "http://e.example/s.xml"}} {
		task, err := work.Encode(fetch)
		require.NoError(f, err)
		rec, err := work.Encode(crawl.Record{URL: fetch.URL, Time: 1, Status: 200, MediaType: "text/html", Digest: artifact.Sum(nil),
			WARC: artifact.Sum(nil), Members: [3]uint32{1, 1, 1}, Links: []string{"http://e.example/x"}})
		require.NoError(f, err)
		f.Add(task, rec)
	}
	specBytes := encode(f, s)
	k := crawl.New()
	f.Fuzz(func(t *testing.T, task, body []byte) {
		res := work.Result{Body: body}
		if r, err := crawl.DecodeRecord(body); err == nil && !r.WARC.IsZero() {
			res.Blobs = []artifact.Digest{r.WARC}
		}
		units, err := k.Meter(work.Task{Job: 1, Seq: 1, Spec: specBytes, Body: task}, res)
		if err != nil {
			require.Zero(t, units)
			return
		}
		require.LessOrEqual(t, units, uint64(1))
		fetch, r, err := crawl.Answer(s, task, body)
		require.NoError(t, err)
		require.Equal(t, fetch.URL, r.URL)
		require.Equal(t, units == 1, r.Status != 0)
	})
}

func FuzzSitemap(f *testing.F) {
	f.Add([]byte("<urlset><url><loc>http://e.example/</loc></url></urlset>"), "application/xml")
	f.Add([]byte("http://e.example/\nhttp://e.example/2"), "text/plain")
	f.Add([]byte{0x1f, 0x8b, 8, 0}, "application/gzip")
	f.Fuzz(func(t *testing.T, b []byte, mediaType string) {
		root, refs := crawl.ReadSitemap(b, mediaType)
		require.LessOrEqual(t, len(refs), crawl.MaxSitemapLinks)
		if root == "" {
			require.Empty(t, refs)
		}
	})
}

func FuzzUndo(f *testing.F) {
	f.Add([]byte("abc"), "gzip", false)
	f.Add([]byte{0x78, 0x9c, 1, 2}, "deflate", true)
	f.Fuzz(func(t *testing.T, b []byte, codings string, cut bool) {
		out, _, err := crawl.Undo(b, codings, 10_000, cut)
		if err == nil && len(b) <= 10_000 {
			require.LessOrEqual(t, len(out), 10_000)
		}
	})
}
