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
	Depth uint32
}

// Record is a result's body: everything that the network knows about one exchange. The
// bytes themselves are in the blob that WARC names.
type Record struct {
	_     struct{} `cbor:",toarray"`
	URL   string
	Time  int64  // Unix milliseconds of the request
	Error string // why there was no response: one of the classes in errors.go; else empty
	// What the server said.
	Status     uint16
	IP         string // the address that answered
	Location   string // canonical target of a redirect
	MediaType  string // lower-case, without parameters
	Charset    string
	RetryAfter uint32 // seconds, of a 429 or 503
	Truncated  bool   // the body was longer than the spec allows
	// What it sent. Digest is of the body with its content coding undone.
	Digest artifact.Digest
	Size   uint64
	// What an HTML page or plain text says. TextDigest is of the text that package
	// text extracts.
	Title      string
	Language   string
	TextDigest artifact.Digest
	SimHash    uint64
	NoIndex    bool
	NoFollow   bool
	Links      []string // canonical, unique, in the order of the page; of a sitemap its URLs
	// The exchange as WARC records, each a gzip member: request, response, metadata.
	WARC    artifact.Digest
	Members [3]uint32 // their lengths
}

// MaxLinks bounds the links that a record keeps.
const MaxLinks = 5000

// EncodeSpec and its fellows are the kind's wire forms: canonical CBOR as in package work.
func EncodeSpec(s Spec) ([]byte, error) { return work.Encode(s) }

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
