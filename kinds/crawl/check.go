package crawl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// ErrSpec marks a spec that no job can have, ErrResult a result that does not answer its
// task.
var (
	ErrSpec   = errors.New("not a valid crawl")
	ErrResult = errors.New("not a valid result of the task")
)

// Check says what would be right where a field is wrong.
func (s Spec) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrSpec, fmt.Sprintf(format, a...))
	}
	switch {
	case s.Scope == ScopeLive && (len(s.Seeds) > 0 || s.MaxPages > 0 || s.MaxDepth > 0 || s.Sitemaps):
		return bad("scope live with addresses to begin with, pages, depth or sitemaps: want none of them, as its gateway asks for each page")
	case len(s.Seeds) == 0 && s.Scope != ScopeLive:
		return bad("no address to begin with: want 1 to %d", MaxSeeds)
	case len(s.Seeds) > MaxSeeds:
		return bad("%d addresses to begin with, at most %d: split the crawl into several jobs", len(s.Seeds), MaxSeeds)
	case s.Scope != ScopeHost && s.Scope != ScopeDomain && s.Scope != ScopePrefix && s.Scope != ScopeLive:
		return bad("unknown scope %.20q: want host, domain or prefix", string(s.Scope))
	case s.MaxPages > MaxPages:
		return bad("at most %d pages: want 0 for as many as the budget pays for, or up to %d", s.MaxPages, uint64(MaxPages))
	case s.MaxDepth > MaxDepth:
		return bad("depth %d: want 0 to %d", s.MaxDepth, MaxDepth)
	case s.MaxBytes < MinBytes || s.MaxBytes > MaxBytes:
		return bad("at most %d bytes of each page: want %d to %d", s.MaxBytes, MinBytes, MaxBytes)
	case s.Rate == 0 || s.Rate > MaxRate:
		return bad("rate of %d thousandths of a request a second: want 1 to %d", s.Rate, MaxRate)
	}
	seen := make(map[string]struct{}, len(s.Seeds))
	for _, seed := range s.Seeds {
		u, err := weburl.Parse(seed)
		if err != nil {
			return bad("address to begin with: %v", err)
		}
		if u.String() != seed {
			return bad("address to begin with: %.80q is spelled %.80q", seed, u)
		}
		if _, dup := seen[seed]; dup {
			return bad("%.80q is given twice", seed)
		}
		seen[seed] = struct{}{}
	}
	return nil
}

// NewSpec makes the spec of a usual crawl from addresses as people write them.
func NewSpec(seeds ...string) (Spec, error) {
	s := Spec{Scope: ScopeHost, MaxDepth: MaxDepth, MaxBytes: DefaultBytes, Rate: DefaultRate}
	for _, seed := range seeds {
		u, err := weburl.Parse(seed)
		if err != nil {
			return Spec{}, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		if !slices.Contains(s.Seeds, u.String()) {
			s.Seeds = append(s.Seeds, u.String())
		}
	}
	return s, s.Check()
}

// NewLiveSpec makes the spec of a job whose gateway asks for page after page.
func NewLiveSpec() Spec {
	return Spec{Scope: ScopeLive, MaxBytes: DefaultBytes, Rate: DefaultRate}
}

// checkFetch says whether a task is one that this crawler makes.
func checkFetch(f Fetch) error {
	if f.Mode < ModePage || f.Mode > ModeSitemap {
		return fmt.Errorf("crawl task: unknown %v", f.Mode)
	}
	if f.Depth > MaxDepth {
		return fmt.Errorf("crawl task: depth %d, at most %d", f.Depth, MaxDepth)
	}
	u, err := weburl.Parse(f.URL)
	if err != nil {
		return fmt.Errorf("crawl task: %w", err)
	}
	if u.String() != f.URL {
		return fmt.Errorf("crawl task: %.80q is spelled %.80q", f.URL, u)
	}
	return nil
}

// checkRecord holds a record against its task: what no honest worker can have sent.
func checkRecord(r Record, s Spec, f Fetch, blobs []artifact.Digest) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrResult, f.URL, fmt.Sprintf(format, a...))
	}
	if r.URL != f.URL {
		return bad("it is of %.80q", r.URL)
	}
	if r.Time <= 0 {
		return bad("time %d", r.Time)
	}
	if r.Status == 0 {
		if !slices.Contains(classes, r.Error) {
			return bad("no status, and %.20q is no class of errors", r.Error)
		}
		if empty := (Record{URL: r.URL, Time: r.Time, Error: r.Error}); len(r.Links) > 0 || len(blobs) > 0 || !equal(r, empty) {
			return bad("no response, yet more than its time and error")
		}
		return nil
	}
	limit, links := limitOf(f, s), MaxLinks
	switch {
	case s.Scope == ScopeLive:
		links = 0
	case f.Mode == ModeSitemap:
		links = MaxSitemapLinks
	}
	switch {
	case r.Error != "":
		return bad("status %d, yet error %.20q", r.Status, r.Error)
	case r.Status < 200 || r.Status > 599:
		return bad("status %d", r.Status)
	case r.IP != "" && !canonicalIP(r.IP):
		return bad("address %.60q", r.IP)
	case r.Location != "" && (r.Status < 300 || r.Status > 399 || !canonical(r.Location)):
		return bad("status %d with location %.80q", r.Status, r.Location)
	case len(r.MediaType) > maxMediaType || !isToken(r.MediaType):
		return bad("media type %.80q", r.MediaType)
	case len(r.Charset) > maxCharset || !isToken(r.Charset):
		return bad("charset %.60q", r.Charset)
	case r.RetryAfter > maxRetryAfter || r.RetryAfter != 0 && r.Status != 429 && r.Status != 503:
		return bad("status %d with %d seconds to wait", r.Status, r.RetryAfter)
	case r.Size > limit:
		return bad("%d bytes, at most %d", r.Size, limit)
	case r.Digest.IsZero() || r.WARC.IsZero():
		return bad("no digest of its body or its WARC records")
	case len(r.Title) > maxTitle || !utf8.ValidString(r.Title):
		return bad("title of %d bytes", len(r.Title))
	case len(r.Language) > maxLanguage:
		return bad("language %.60q", r.Language)
	case len(r.Links) > links:
		return bad("%d links, at most %d", len(r.Links), links)
	case len(r.Links) > 0 && (f.Mode == ModeRobots || r.Status > 299):
		return bad("links in a %v with status %d", f.Mode, r.Status)
	case len(blobs) > 0 && (len(blobs) != 1 || blobs[0] != r.WARC): // a gateway has the body alone
		return bad("the receipt's blobs are not its WARC records")
	}
	for _, m := range r.Members {
		if m == 0 || m > maxMember {
			return bad("a WARC record of %d bytes", m)
		}
	}
	size := 0
	seen := make(map[string]struct{}, len(r.Links))
	for _, l := range r.Links {
		if !canonical(l) {
			return bad("link %.80q", l)
		}
		if _, dup := seen[l]; dup {
			return bad("link %.80q twice", l)
		}
		seen[l] = struct{}{}
		size += len(l) + 3
	}
	if size > maxLinkBytes {
		return bad("links of %d bytes, at most %d", size, maxLinkBytes)
	}
	return nil
}

func canonical(s string) bool {
	u, err := weburl.Parse(s)
	return err == nil && u.String() == s
}

func canonicalIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.String() == s && a.Zone() == "" && !a.Is4In6()
}

// equal compares records by their encoding, in which equal values have equal bytes.
func equal(a, b Record) bool {
	x, err := work.Encode(a)
	y, err2 := work.Encode(b)
	return err == nil && err2 == nil && slices.Equal(x, y)
}
