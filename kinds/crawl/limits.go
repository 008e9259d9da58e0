package crawl

import "time"

// UserAgent names the network and where its operators can be reached.
const UserAgent = "Mozilla/5.0 (compatible; CantusBot/1.0; +https://cantus.network/bot)"

// Agent is the product token that robots.txt and X-Robots-Tag may name.
const Agent = "CantusBot"

// Bounds of a spec.
const (
	MaxSeeds     = 10_000
	MinBytes     = 1 << 10
	MaxBytes     = 32 << 20
	MaxDepth     = 1000
	MaxPages     = 1 << 40
	MaxRate      = 100_000 // thousandths of a request a second
	DefaultRate  = 2_000
	DefaultBytes = 4 << 20
)

// Bounds of a record.
const (
	MaxLinks        = 5000    // of a page
	MaxSitemapLinks = 50_000  // of a sitemap: the most that the protocol lets one have
	maxLinkBytes    = 3 << 20 // of all links together, so that a record stays below work.MaxResult
	maxTitle        = 512
	maxLanguage     = 35
	maxMediaType    = 127
	maxCharset      = 40
	maxRetryAfter   = 7 * 24 * 60 * 60 // seconds
	maxMember       = MaxBytes + 1<<20 // bytes of one gzip member
)

// Bounds of an exchange.
const (
	maxHead      = 64 << 10 // bytes of a response's head
	maxInterim   = 5        // 1xx responses before the real one
	maxInflation = 200      // a body may unpack to so many times its size
	freeBytes    = 1 << 20  // and to this many bytes in any case
	maxDrain     = 64 << 10 // bytes of an unwanted body that are read to keep the connection
	maxRobots    = 500 << 10
)

// timeouts are the phases of an exchange. Socket deadlines are by the machine's clock.
type timeouts struct {
	dial  time.Duration // name, connection
	tls   time.Duration
	head  time.Duration // from the request to the end of the response's head
	idle  time.Duration // between two pieces of the body
	total time.Duration
}

var usual = timeouts{dial: 10 * time.Second, tls: 10 * time.Second, head: 20 * time.Second, idle: 15 * time.Second, total: 60 * time.Second}

// taskTime is usual.total with room for storing the result.
const taskTime = 90 * time.Second

// Bounds of a plan.
const (
	maxHops         = 10     // redirects in a row
	maxRobotsHops   = 5      // of a robots.txt: RFC 9309 asks for five
	maxSitemapDepth = 3      // indexes of indexes
	maxSitemaps     = 10_000 // of a job
)
