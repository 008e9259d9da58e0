// Package weburl gives every web address one spelling, so that a crawl can tell whether
// it has been somewhere.
//
// # Map
//
//	Parse          an address as a person or a sitemap writes it
//	URL.Resolve    a link as a page writes it
//	URL            the canonical address and its parts
//	Domain         the registrable domain of a host
//
// The spelling is the WHATWG URL Standard's, as browsers have it, without the fragment.
// github.com/nlnwa/whatwg-url knows all of its rules; fast.go knows the plain case, which
// is nearly every link on the web, at a tenth of the cost, and the tests hold the two equal.
package weburl

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/publicsuffix"
)

// MaxLength is the most bytes that a canonical address has.
const MaxLength = 2048

// What an address can be refused for.
var (
	ErrSyntax   = errors.New("not a web address")
	ErrScheme   = errors.New("only http and https addresses are fetched")
	ErrUserinfo = errors.New("an address with a user name or password is not fetched")
	ErrTooLong  = errors.New("address is too long")
	ErrHost     = errors.New("no host can have this name")
)

// URL is a canonical http or https address without fragment. The zero value is none.
// URLs are equal exactly when their strings are.
type URL struct {
	text string
	host uint16 // where the host begins
	port uint16 // where the host ends: at the colon of a port or at the path
	path uint16 // where the path begins
}

var parser = whatwg.NewParser(whatwg.WithPreParseHostFunc(func(_ *whatwg.Url, host string) string {
	if signed(host) {
		return " " // no host can hold a space, so the parser refuses it
	}
	return host
}))

// signed reports whether a host looks like an address of signed numbers. The library reads
// "-0" as 0 and "0x-7f" as -127, so that one spelling would have two meanings; the standard
// knows no signs there, and no name's last label begins with a digit or a dash.
func signed(host string) bool {
	if decoded, err := url.PathUnescape(host); err == nil {
		host = decoded
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return last != "" && last[0] != '[' && strings.ContainsRune("+-0123456789", rune(last[0])) && strings.ContainsAny(host, "+-")
}

// Parse reads an absolute address.
func Parse(raw string) (URL, error) { return URL{}.Resolve(raw) }

// Resolve reads an address as it is written on the page at u. It need not be absolute.
func (u URL) Resolve(ref string) (URL, error) {
	if len(ref) > 4*MaxLength { // a long fragment may go away yet
		return URL{}, fmt.Errorf("%w: %d bytes, at most %d (%.40q…)", ErrTooLong, len(ref), MaxLength, ref)
	}
	if v, ok := fast(u, ref); ok {
		return v, v.check()
	}
	return slow(u.text, ref)
}

// slow leaves it to the library.
func slow(base, ref string) (URL, error) {
	p, err := parser.ParseRef(base, ref)
	if err != nil {
		return URL{}, fmt.Errorf("%w: %.80q", ErrSyntax, ref)
	}
	switch {
	case p.Scheme() != "http" && p.Scheme() != "https":
		return URL{}, fmt.Errorf("%w: %.80q", ErrScheme, ref)
	case p.Username() != "" || p.Password() != "":
		return URL{}, fmt.Errorf("%w: host %.80q", ErrUserinfo, p.Host())
	}
	v, ok := split(p.Href(true))
	if !ok {
		return URL{}, fmt.Errorf("%w: %.80q", ErrSyntax, ref)
	}
	if err := v.check(); err != nil {
		return URL{}, err
	}
	// What is once canonical must stay so, or one page would have two names.
	if w, ok := fast(URL{}, v.text); ok && w == v {
		return v, nil
	}
	again, err := parser.Parse(v.text)
	if err != nil || again.Href(true) != v.text {
		return URL{}, fmt.Errorf("%w: %.80q has no stable spelling", ErrSyntax, ref)
	}
	return v, nil
}

// split finds the parts of a canonical address.
func split(text string) (URL, bool) {
	u := URL{text: text}
	switch {
	case len(text) > 4*MaxLength:
		return URL{}, false
	case strings.HasPrefix(text, "http://"):
		u.host = 7
	case strings.HasPrefix(text, "https://"):
		u.host = 8
	default:
		return URL{}, false
	}
	slash := strings.IndexByte(text[u.host:], '/')
	if slash <= 0 {
		return URL{}, false
	}
	u.path = u.host + uint16(slash)
	u.port = u.path
	if c := strings.LastIndexByte(text[u.host:u.path], ':'); c >= 0 && text[u.path-1] != ']' {
		u.port = u.host + uint16(c)
	}
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return URL{}, false
		}
	}
	return u, u.port > u.host
}

// check holds what the standard allows and the network does not.
func (u URL) check() error {
	if len(u.text) > MaxLength {
		return fmt.Errorf("%w: %d bytes, at most %d (%.40q…)", ErrTooLong, len(u.text), MaxLength, u.text)
	}
	h := u.Host()
	if h[0] == '[' {
		return nil
	}
	if len(h) > 253 {
		return fmt.Errorf("%w: %d characters, at most 253", ErrHost, len(h))
	}
	label := 0
	for i := 0; i <= len(h); i++ {
		if i < len(h) && h[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > 63 {
			return fmt.Errorf("%w: %.80q has a part of %d characters, want 1 to 63", ErrHost, h, label)
		}
		label = 0
	}
	return nil
}

// IsZero reports whether u is no address.
func (u URL) IsZero() bool { return u.text == "" }

// String is the canonical spelling.
func (u URL) String() string { return u.text }

// Scheme is "http" or "https".
func (u URL) Scheme() string {
	if u.host == 8 {
		return "https"
	}
	return "http"
}

// Host is the host's name or address without the port; IPv6 addresses stand in brackets.
func (u URL) Host() string { return u.text[u.host:u.port] }

// Port is the port, also where it is the scheme's own.
func (u URL) Port() string {
	switch {
	case u.port+1 < u.path:
		return u.text[u.port+1 : u.path]
	case u.host == 8:
		return "443"
	}
	return "80"
}

// Authority is the host, with the port where it is not the scheme's own: what a request's
// Host field says.
func (u URL) Authority() string { return u.text[u.host:u.path] }

// Origin is everything before the path.
func (u URL) Origin() string { return u.text[:u.path] }

// Target is the path and the query: what a request asks for.
func (u URL) Target() string { return u.text[u.path:] }

// Dir is the address up to its path's last slash.
func (u URL) Dir() string {
	end := len(u.text)
	if q := strings.IndexByte(u.text, '?'); q >= 0 {
		end = q
	}
	return u.text[:strings.LastIndexByte(u.text[:end], '/')+1]
}

// Domain is the registrable domain of a host as URL.Host has it: example.co.uk of
// www.example.co.uk. A host that has none, such as an address, is its own.
func Domain(host string) string {
	if strings.HasPrefix(host, "[") {
		return host
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return d
}
