// Package robots says what a host's robots.txt allows, by RFC 9309.
//
// # Map
//
//	Parse       a robots.txt as one robot reads it
//	OfStatus    what an answer without a usable body means
//	File        the rules: Allowed, Delay, Sitemaps, and Text to keep them
//	Restore     the rules that Text kept
//
// The lines are read by Google's own parser in its Go port, which forgives what site
// owners get wrong. The matching is ours: it takes time linear in the rule where the
// usual one is quadratic, which a hostile file could use, and it compares percent-escapes
// as the RFC's section 2.2.2 asks.
package robots

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jimsmart/grobotstxt"
)

// Limits of what is read of a file.
const (
	MaxSize     = 500 << 10 // bytes; the RFC asks for at least as many
	MaxSitemaps = 100
	MaxDelay    = time.Hour // a longer Crawl-delay counts as this
	MaxAge      = 24 * time.Hour
)

// File is what a robots.txt tells one robot. The zero value allows everything.
type File struct {
	DenyAll  bool          // nothing may be fetched: the file could not be had
	Delay    time.Duration // between two requests; 0 where the file asks for none
	Sitemaps []string      // as written
	rules    []rule        // the longest first, at equal length what allows first
}

type rule struct {
	pattern string
	allow   bool
}

// OfStatus is what the status of a robots.txt without a usable body means: final says
// that it may be kept, else it should be asked for again soon.
func OfStatus(status int) (f File, final bool) {
	switch {
	case status >= 300 && status < 500 && status != 429:
		return File{}, true // unavailable: no rules
	default:
		return File{DenyAll: true}, false // unreachable: nothing is allowed
	}
}

// Parse reads a robots.txt for the robot whose product token is agent. Any bytes are a
// valid file: what makes no sense is skipped.
func Parse(body []byte, agent string) File {
	return parse(body[:min(len(body), MaxSize)], agent)
}

// Restore reads what Text wrote, which can be longer than the file that it came from.
func Restore(text []byte) File { return parse(text, "") }

func parse(body []byte, agent string) File {
	r := reader{agent: agent}
	grobotstxt.Parse(escape(body), &r)
	g := r.global
	if r.everSpecific {
		g = r.specific
	}
	slices.SortStableFunc(g.rules, func(a, b rule) int {
		if c := cmp.Compare(len(b.pattern), len(a.pattern)); c != 0 {
			return c
		}
		if a.allow != b.allow {
			if a.allow {
				return -1
			}
			return 1
		}
		return 0
	})
	return File{Delay: g.delay, Sitemaps: r.sitemaps, rules: g.rules}
}

// Allowed reports whether the robot may fetch a target: the path with its query.
func (f File) Allowed(target string) bool {
	if f.DenyAll {
		return target == "/robots.txt"
	}
	if len(f.rules) == 0 || target == "/robots.txt" {
		return true
	}
	target = normalize(target)
	for _, r := range f.rules {
		if matches(target, r.pattern) {
			return r.allow
		}
	}
	return true
}

// Text is a short robots.txt that tells every robot what f says, without its sitemaps.
func (f File) Text() []byte {
	b := []byte("User-agent: *\n")
	if f.DenyAll {
		return append(b, "Disallow: /\n"...)
	}
	for _, r := range f.rules {
		if r.allow {
			b = append(b, "Allow: "...)
		} else {
			b = append(b, "Disallow: "...)
		}
		b = append(b, r.pattern...)
		b = append(b, '\n')
	}
	if f.Delay > 0 {
		b = append(b, "Crawl-delay: "...)
		b = strconv.AppendFloat(b, f.Delay.Seconds(), 'f', -1, 64)
		b = append(b, '\n')
	}
	return b
}

// escape percent-encodes bytes outside ASCII and writes escapes in upper case. The parser
// would do both itself; but it first strips what Unicode calls space, which cuts
// characters in half, and it breaks the digits of lower-case escapes.
func escape(body []byte) string {
	for i := 0; i < 3 && len(body) > 0 && body[0] == "\xef\xbb\xbf"[i]; i++ {
		body = body[1:]
	}
	out := make([]byte, 0, len(body)+len(body)/8)
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c >= 0x80:
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		case c == '%' && i+2 < len(body) && unhex(body[i+1]) >= 0 && unhex(body[i+2]) >= 0:
			out = append(out, '%', upperHex[unhex(body[i+1])], upperHex[unhex(body[i+2])])
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

const upperHex = "0123456789ABCDEF"

// normalize writes percent-escapes in one way: upper-case, and none where the character
// needs none.
func normalize(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			out = append(out, s[i])
			continue
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			out = append(out, s[i])
			continue
		}
		i += 2
		if c := byte(hi<<4 | lo); unreserved(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[hi], upperHex[lo])
		}
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// matches reports whether pattern matches a beginning of target: '*' stands for any
// characters, '$' at the end for the target's end. Taking each piece where it first
// occurs is right because a later occurrence leaves less for the rest.
func matches(target, pattern string) bool {
	anchored := strings.HasSuffix(pattern, "$")
	if anchored {
		pattern = pattern[:len(pattern)-1]
	}
	star := strings.IndexByte(pattern, '*')
	if star < 0 {
		if anchored {
			return target == pattern
		}
		return strings.HasPrefix(target, pattern)
	}
	if !strings.HasPrefix(target, pattern[:star]) {
		return false
	}
	target, pattern = target[star:], pattern[star+1:]
	for {
		star = strings.IndexByte(pattern, '*')
		if star < 0 {
			if anchored {
				return strings.HasSuffix(target, pattern)
			}
			return strings.Contains(target, pattern)
		}
		i := strings.Index(target, pattern[:star])
		if i < 0 {
			return false
		}
		target, pattern = target[i+star:], pattern[star+1:]
	}
}

// reader collects the groups that concern one robot. It is told of lines in order.
type reader struct {
	agent            string
	specific, global group
	sitemaps         []string
	everSpecific     bool // a group names the robot, so the general ones don't count
	inSpecific       bool
	inGlobal         bool
	ruleSeen         bool // the group's agents are all named
}

type group struct {
	rules []rule
	delay time.Duration
}

func (r *reader) current() *group {
	switch {
	case r.inSpecific:
		return &r.specific
	case r.inGlobal:
		return &r.global
	}
	return nil
}

func (r *reader) HandleRobotsStart() {}
func (r *reader) HandleRobotsEnd()   {}

func (r *reader) HandleUserAgent(_ int, value string) {
	if r.ruleSeen {
		r.inSpecific, r.inGlobal, r.ruleSeen = false, false, false
	}
	if value == "*" || strings.HasPrefix(value, "* ") || strings.HasPrefix(value, "*\t") {
		r.inGlobal = true
		return
	}
	end := 0
	for end < len(value) && (value[end] >= 'a' && value[end] <= 'z' || value[end] >= 'A' && value[end] <= 'Z' || value[end] == '-' || value[end] == '_') {
		end++
	}
	if end > 0 && strings.EqualFold(value[:end], r.agent) {
		r.inSpecific, r.everSpecific = true, true
	}
}

func (r *reader) HandleAllow(_ int, value string) {
	r.add(value, true)
	// What allows the index page allows its directory: Google's reading, which site
	// owners rely on.
	if i := strings.LastIndexByte(value, '/'); i >= 0 && strings.HasPrefix(value[i:], "/index.htm") {
		r.add(value[:i+1]+"$", true)
	}
}

func (r *reader) HandleDisallow(_ int, value string) { r.add(value, false) }

func (r *reader) add(pattern string, allow bool) {
	g := r.current()
	if g == nil {
		return
	}
	r.ruleSeen = true
	if pattern != "" {
		g.rules = append(g.rules, rule{pattern: normalize(pattern), allow: allow})
	}
}

func (r *reader) HandleSitemap(_ int, value string) {
	if value != "" && len(r.sitemaps) < MaxSitemaps {
		r.sitemaps = append(r.sitemaps, value)
	}
}

func (r *reader) HandleUnknownAction(_ int, action, value string) {
	g := r.current()
	if g == nil || !strings.EqualFold(action, "crawl-delay") {
		return
	}
	s, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(s) || s <= 0 {
		return
	}
	d := MaxDelay
	if s < MaxDelay.Seconds() {
		d = time.Duration(s * float64(time.Second)).Round(time.Millisecond)
	}
	g.delay = max(g.delay, d)
}
