package crawl

import (
	"fmt"
	"strings"
)

// counts are a plan's figures. Every address that was found in scope is counted in found
// and, once it is decided, in exactly one of the figures under it.
type counts struct {
	_     struct{} `cbor:",toarray"`
	Found uint64
	// What becomes of an address. Queued and out ones are in none yet.
	Pages     uint64 // kept: what MaxPages limits; duplicates included
	NoIndex   uint64 // fetched, and they ask to be left out
	Skipped   uint64 // of types that are not kept
	Redirects uint64
	Sitemaps  uint64
	Denied    uint64 // by robots.txt
	Dropped   uint64 // the crawl had enough pages, or its host was given up
	Errors    map[string]uint64
	// Others.
	Tasks      uint64 // that are done, with whatever result
	Failed     uint64 // that nobody could do
	Robots     uint64 // robots.txt exchanges
	Retries    uint64
	Bytes      uint64 // of pages
	Duplicates uint64 // pages whose bytes another page had
	Links      uint64 // on all pages, in scope or not
	Units      uint64
}

func (c *counts) fail(class string) {
	if c.Errors == nil {
		c.Errors = map[string]uint64{}
	}
	if _, known := c.Errors[class]; !known && len(c.Errors) >= 64 {
		class = "other"
	}
	c.Errors[class]++
}

// httpError names the class of a status.
func httpError(status uint16) string {
	switch status {
	case 401, 403, 404, 410, 429, 503:
		return fmt.Sprintf("http-%d", status)
	}
	return fmt.Sprintf("http-%dxx", status/100)
}

// errors is how many addresses came to nothing.
func (c *counts) errors() (n uint64) {
	for _, v := range c.Errors {
		n += v
	}
	return n
}

// figures are the counts as people see them.
func (c *counts) figures() map[string]uint64 {
	m := map[string]uint64{
		"found": c.Found, "pages": c.Pages, "noindex": c.NoIndex, "skipped": c.Skipped, "redirects": c.Redirects,
		"sitemaps": c.Sitemaps, "robots-denied": c.Denied, "dropped": c.Dropped, "errors": c.errors(),
		"robots": c.Robots, "retries": c.Retries, "bytes": c.Bytes, "duplicates": c.Duplicates, "links": c.Links, "units": c.Units,
	}
	for class, n := range c.Errors {
		m["error-"+strings.ToLower(class)] = n
	}
	return m
}
