package crawl

import (
	"fmt"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// Scope says which of the links found on a page belong to the crawl.
type Scope string

const (
	ScopeHost   Scope = "host"   // the seeds' hosts
	ScopeDomain Scope = "domain" // the seeds' registrable domains
	ScopePrefix Scope = "prefix" // URLs that begin with a seed's, up to its last slash
	// ScopeLive is of jobs without seeds: their gateway asks for page after page, by Own.
	ScopeLive Scope = "live"
)

// Spec is what a buyer asks for. Its canonical CBOR is a job's spec.
type Spec struct {
	_        struct{} `cbor:",toarray"`
	Seeds    []string // canonical URLs; none of ScopeLive
	Scope    Scope
	MaxPages uint64 // 0: as many as the budget pays for
	MaxDepth uint32 // links from a seed; 0: only the seeds
	MaxBytes uint64 // of one response's body, before and after decompression
	// Rate is the most requests a second to one host, in thousandths. It is lowered to
	// what a host's robots.txt asks for, never raised.
	Rate     uint32
	Sitemaps bool // follow the sitemaps that robots.txt names
}

// What travels is told in package page, which a ledger links too.
type (
	Mode   = page.Mode
	Fetch  = page.Fetch
	Record = page.Record
)

const (
	ModePage    = page.ModePage
	ModeRobots  = page.ModeRobots
	ModeSitemap = page.ModeSitemap
)

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
func DecodeFetch(b []byte) (Fetch, error) { return page.DecodeFetch(b) }

// DecodeRecord reads a result's body.
func DecodeRecord(b []byte) (Record, error) { return page.DecodeRecord(b) }

// IsPage reports whether the record is of a page for the dataset: asked for as a page,
// answered with a status 2xx, of a type that is kept, and not asking to be left out.
func IsPage(f Fetch, r Record) bool {
	return f.Mode == ModePage && r.Status >= 200 && r.Status < 300 && !r.NoIndex && Keeps(r.MediaType)
}
