// Package page is what tasks of the kind crawl/1 and their results say: one exchange with
// a web server. It stands apart from the kind so that a ledger, which judges answers to
// contracts that ask for pages, can read them without linking a crawler.
//
//	Fetch    a task's body: what to ask for
//	Record   a result's body: everything that the network knows about the exchange
//
// Both travel as canonical CBOR, as in package work. Reading one checks its form only:
// whether a record can answer its task is for kinds/crawl to say.
package page

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Mode says what a task fetches.
type Mode uint8

const (
	ModePage    Mode = 1
	ModeRobots  Mode = 2
	ModeSitemap Mode = 3
)

// String is the mode as people read it.
func (m Mode) String() string {
	switch m {
	case ModePage:
		return "page"
	case ModeRobots:
		return "robots"
	case ModeSitemap:
		return "sitemap"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// Fetch is a task's body: one HTTP exchange. A redirect is a result, not followed: its
// target is another task, so that scope, robots.txt and pace hold for it too.
type Fetch struct {
	_     struct{} `cbor:",toarray"`
	Mode  Mode
	URL   string // canonical
	Depth uint32 // links from a seed; of a sitemap how deep in indexes; of a robots.txt redirects
}

// Record is a result's body: everything that the network knows about one exchange. The
// bytes themselves are in the blob that WARC names.
//
// Either Error is set, and then nothing else is but URL and Time; or there was a response,
// and then Status and WARC are set. Everything but URL, Time, IP, WARC and Members is
// a function of the response that WARC holds: see kinds/crawl.
type Record struct {
	_     struct{} `cbor:",toarray"`
	URL   string
	Time  int64  // Unix milliseconds of the request
	Error string // why there was no response: one of the classes that kinds/crawl names; else empty
	// What the server said.
	Status     uint16 // 200 to 599
	IP         string // the address that answered
	Location   string // canonical target of a redirect; "" where it is none that is fetched
	MediaType  string // lower-case, without parameters; sniffed where the server named none
	Charset    string // the encoding that the text was decoded from, else what the server named
	RetryAfter uint32 // seconds, of a 429 or 503
	// Truncated says that the body as stored is not all of it: it was longer than the spec
	// allows, or is of a type that is not kept and left out altogether.
	Truncated bool
	// What it sent. Digest is of the body as stored, with its codings undone.
	Digest artifact.Digest
	Size   uint64
	// What an HTML page or plain text says. TextDigest is of the text that the crawler
	// extracts, zero where it extracts none.
	Title      string // of a sitemap its root element's name: urlset, sitemapindex, rss, feed or text
	Language   string
	TextDigest artifact.Digest
	SimHash    uint64
	NoIndex    bool     // by its meta tags or X-Robots-Tag: not for the dataset
	NoFollow   bool     // likewise: its links are not followed
	Links      []string // canonical, unique, in the order of the page; of a sitemap its URLs; only of status 2xx
	// The exchange as WARC records, each a gzip member: request, response, metadata.
	WARC    artifact.Digest
	Members [3]uint32 // their lengths
}

// DecodeFetch reads a task's body.
func DecodeFetch(b []byte) (Fetch, error) {
	f, err := work.Decode[Fetch](b, work.MaxTask)
	if err != nil {
		return f, fmt.Errorf("crawl task: %w", err)
	}
	return f, nil
}

// DecodeRecord reads a result's body.
func DecodeRecord(b []byte) (Record, error) {
	r, err := work.Decode[Record](b, work.MaxResult)
	if err != nil {
		return r, fmt.Errorf("crawl result: %w", err)
	}
	return r, nil
}
