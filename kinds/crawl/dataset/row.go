package dataset

import (
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
)

// Row is one row of pages.parquet: one page that was asked for, whatever came of it. The
// rows are in the order of the receipts.
type Row struct {
	URL         string    `parquet:"url,zstd"`
	FinalURL    string    `parquet:"final_url,zstd"` // where redirects led, as far as they were followed
	Time        time.Time `parquet:"time,timestamp(millisecond),zstd"`
	Status      int32     `parquet:"status,zstd"`              // 0: no response, see Error
	Error       string    `parquet:"error,optional,dict,zstd"` // why there was no response
	MediaType   string    `parquet:"media_type,dict,zstd"`
	Charset     string    `parquet:"charset,optional,dict,zstd"`
	Digest      string    `parquet:"digest,optional,zstd"` // SHA-256 of the body, in hexadecimal
	Bytes       int64     `parquet:"bytes,zstd"`
	Truncated   bool      `parquet:"truncated,zstd"`
	Title       string    `parquet:"title,zstd"`
	Language    string    `parquet:"language,optional,dict,zstd"`
	Text        string    `parquet:"text,zstd"`
	TextDigest  string    `parquet:"text_digest,optional,zstd"`
	SimHash     int64     `parquet:"simhash,zstd"`
	Links       []string  `parquet:"links,list,zstd"`
	NoFollow    bool      `parquet:"nofollow,zstd"`
	Depth       int32     `parquet:"depth,zstd"`                 // links from a seed
	DuplicateOf string    `parquet:"duplicate_of,optional,zstd"` // the first URL that had the same body
	IP          string    `parquet:"ip,optional,dict,zstd"`
	Worker      string    `parquet:"worker,dict,zstd"` // its key
	Epoch       int64     `parquet:"epoch,zstd"`
	Index       int64     `parquet:"index,zstd"`   // of the receipt in its epoch
	Receipt     string    `parquet:"receipt,zstd"` // SHA-256 of the signed receipt
	WARC        string    `parquet:"warc,optional,dict,zstd"`
	Offset      int64     `parquet:"warc_offset,zstd"` // of the response record
	Length      int64     `parquet:"warc_length,zstd"`
}

// rowMaker makes rows in the order of the receipts.
type rowMaker struct {
	redirects map[string]string
	first     map[artifact.Digest]string // the first URL with a body
	counts    Counts
}

func newRowMaker(redirects map[string]string) rowMaker {
	return rowMaker{redirects: redirects, first: map[artifact.Digest]string{}}
}

// maxHops bounds how many redirects are followed to a final URL.
const maxHops = 20

func (m *rowMaker) final(u string) string {
	for range maxHops {
		next, ok := m.redirects[u]
		if !ok {
			break
		}
		u = next
	}
	return u
}

// row makes the row of an entry. It has none if the entry is not of a page, or of one
// that asks to be left out.
func (m *rowMaker) row(d derived, at place) (Row, bool) {
	f, r := d.fetch, d.record
	m.count(f, r)
	if f.Mode != crawl.ModePage || r.NoIndex {
		return Row{}, false
	}
	row := Row{
		URL:       r.URL,
		FinalURL:  m.final(r.URL),
		Time:      time.UnixMilli(r.Time).UTC(),
		Status:    int32(r.Status),
		Error:     r.Error,
		MediaType: r.MediaType,
		Charset:   r.Charset,
		Bytes:     int64(r.Size),
		Truncated: r.Truncated,
		Title:     r.Title,
		Language:  r.Language,
		SimHash:   int64(r.SimHash),
		Links:     r.Links,
		NoFollow:  r.NoFollow,
		Depth:     int32(f.Depth),
		IP:        r.IP,
		Worker:    d.signed.Receipt.Worker.String(),
		Epoch:     int64(d.Epoch),
		Index:     int64(d.Index),
		Receipt:   artifact.Sum(d.Signed).String(),
	}
	// What a server says instead of a page is no text of the dataset.
	if crawl.IsPage(f, r) && !r.TextDigest.IsZero() {
		row.Text, row.TextDigest = d.text, r.TextDigest.String()
	}
	if r.Status != 0 {
		row.Digest = r.Digest.String()
		row.WARC, row.Offset, row.Length = at.file, at.offset+int64(r.Members[0]), int64(r.Members[1])
	}
	if crawl.IsPage(f, r) && r.Size > 0 {
		if first, dup := m.first[r.Digest]; !dup {
			m.first[r.Digest] = r.URL
		} else if first != r.URL {
			row.DuplicateOf = first
			m.counts.Duplicates++
		}
	}
	return row, true
}

// Counts sums the receipts up; every receipt is in exactly one of the first eight.
type Counts struct {
	Pages     uint64 `json:"pages"`     // answered with a status 2xx and a kept body
	Redirects uint64 `json:"redirects"` // page requests answered with 3xx
	Refusals  uint64 `json:"refusals"`  // page requests answered with 4xx or 5xx, or with a type that is not kept
	Errors    uint64 `json:"errors"`    // page requests without a response
	NoIndex   uint64 `json:"noindex"`   // pages that ask not to be indexed
	Robots    uint64 `json:"robots"`    // robots.txt
	Sitemaps  uint64 `json:"sitemaps"`
	Excluded  uint64 `json:"excluded"` // see excluded.json

	Receipts   uint64 `json:"receipts"`
	Duplicates uint64 `json:"duplicates"` // pages with a body that an earlier page had
	Bytes      uint64 `json:"bytes"`      // of all bodies
	Workers    uint64 `json:"workers"`
}

func (m *rowMaker) count(f crawl.Fetch, r crawl.Record) {
	c := &m.counts
	c.Bytes += r.Size
	switch {
	case f.Mode == crawl.ModeRobots:
		c.Robots++
	case f.Mode == crawl.ModeSitemap:
		c.Sitemaps++
	case r.Status == 0:
		c.Errors++
	case r.NoIndex:
		c.NoIndex++
	case crawl.IsPage(f, r):
		c.Pages++
	case r.Status >= 300 && r.Status < 400:
		c.Redirects++
	default:
		c.Refusals++
	}
}

// place is where an exchange is.
type place struct {
	file   string // "warc/…"
	offset int64  // of its first member
}

// differs names the first field in which two rows differ, or "".
func (r Row) differs(o Row) string {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"url", r.URL == o.URL}, {"final_url", r.FinalURL == o.FinalURL}, {"time", r.Time.Equal(o.Time)},
		{"status", r.Status == o.Status}, {"error", r.Error == o.Error}, {"media_type", r.MediaType == o.MediaType},
		{"charset", r.Charset == o.Charset}, {"digest", r.Digest == o.Digest}, {"bytes", r.Bytes == o.Bytes},
		{"truncated", r.Truncated == o.Truncated}, {"title", r.Title == o.Title}, {"language", r.Language == o.Language},
		{"text", r.Text == o.Text}, {"text_digest", r.TextDigest == o.TextDigest}, {"simhash", r.SimHash == o.SimHash},
		{"links", slices.Equal(r.Links, o.Links)}, {"nofollow", r.NoFollow == o.NoFollow}, {"depth", r.Depth == o.Depth},
		{"duplicate_of", r.DuplicateOf == o.DuplicateOf}, {"ip", r.IP == o.IP}, {"worker", r.Worker == o.Worker},
		{"epoch", r.Epoch == o.Epoch}, {"index", r.Index == o.Index}, {"receipt", r.Receipt == o.Receipt},
		{"warc", r.WARC == o.WARC}, {"warc_offset", r.Offset == o.Offset}, {"warc_length", r.Length == o.Length},
	} {
		if !c.same {
			return c.name
		}
	}
	return ""
}
