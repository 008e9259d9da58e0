package crawl

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Scope says which of the links found on a page belong to the crawl.
type Scope string

const (
	ScopeHost   Scope = "host"   // the seeds' hosts
	ScopeDomain Scope = "domain" // the seeds' registrable domains
	ScopePrefix Scope = "prefix" // URLs that begin with a seed's, up to its last slash
)

// Spec is what a buyer asks for. Its canonical CBOR is a job's spec.
type Spec struct {
	_        struct{} `cbor:",toarray"`
	Seeds    []string // canonical URLs
	Scope    Scope
	MaxPages uint64 // 0: as many as the budget pays for
	MaxDepth uint32 // links from a seed; 0: only the seeds
	MaxBytes uint64 // of one response's body, before and after decompression
	// Rate is the most requests a second to one host, in thousandths. It is lowered to
	// what a host's robots.txt asks for, never raised.
	Rate     uint32
	Sitemaps bool // follow the sitemaps that robots.txt names
}

// Mode says what a task fetches.
type Mode uint8

const (
	ModePage    Mode = 1
	ModeRobots  Mode = 2
	ModeSitemap Mode = 3
)

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
// a function of the response that WARC holds: see derive.go.
type Record struct {
	_     struct{} `cbor:",toarray"`
	URL   string
	Time  int64  // Unix milliseconds of the request
	Error string // why there was no response: one of the classes in errors.go; else empty
	// What the server said.
	Status     uint16 // 200 to 599
	IP         string // the address that answered
	Location   string // canonical target of a redirect; "" where it is none that is fetched
	MediaType  string // lower-case, without parameters; sniffed where the server named none
	Charset    string // the encoding that the text was decoded from, else what the server named
	RetryAfter uint32 // seconds, of a 429 or 503
	// Truncated says that the body as stored is not all of it: it was longer than the spec
	// allows, or is of a type that is not kept (see Keeps) and left out altogether.
	Truncated bool
	// What it sent. Digest is of the body as stored, with its codings undone.
	Digest artifact.Digest
	Size   uint64
	// What an HTML page or plain text says. TextDigest is of the text that package
	// text extracts, zero where it extracts none.
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

// EncodeSpec and its fellows are the kind's wire forms: canonical CBOR as in package work.
func EncodeSpec(s Spec) ([]byte, error) { return work.Encode(s) }

// DecodeSpec reads a job's spec. It does not check it: Kind.Check does.
func DecodeSpec(b []byte) (Spec, error) {
	s, err := work.Decode[Spec](b, work.MaxSpec)
	if err != nil {
		return s, fmt.Errorf("crawl spec: %w", err)
	}
	return s, nil
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

// IsPage reports whether the record is of a page for the dataset: asked for as a page,
// answered with a status 2xx, of a type that is kept, and not asking to be left out.
func (f Fetch) IsPage(r Record) bool {
	return f.Mode == ModePage && r.Status >= 200 && r.Status < 300 && !r.NoIndex && Keeps(r.MediaType)
}
