// Package netguard dials for kinds that reach out to the public network at a stranger's
// word: it resolves the name itself, refuses every address that is not public, and
// connects to the very address that it checked, so that a name which resolves to another
// address a moment later (DNS rebinding) gains nothing. It holds for redirects as well,
// because each of them dials.
//
// What is refused, and why, is the table in Public. A network whose genesis allows it
// lets AllowLoopback through: 127.0.0.0/8 and ::1, and nothing else.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/cantus-network/cantus/work"
)

// Guard decides what may be dialled. The zero value allows public addresses, resolves
// with the system and dials with sensible timeouts. It is safe for concurrent use.
type Guard struct {
	// AllowLoopback allows 127.0.0.0/8 and ::1 as well.
	AllowLoopback bool
	// Lookup resolves a name; nil for the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// DialAddr connects to a checked address; nil for the system's dialer.
	DialAddr func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
}

// maxAddresses bounds how many of a name's addresses are tried.
const maxAddresses = 8

var dialer = net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}

var _ work.DialFunc = (*Guard)(nil).Dial

// Dial is a work.DialFunc. The address is host:port, the host a name or an IP address in
// its usual spelling; the odd ones that some resolvers take (0x7f.1, 2130706433) are
// refused rather than guessed at. An address that isn't allowed gives
// work.ErrForbiddenAddress. If any address of a name is not allowed, the name is refused:
// an honest site has no reason to mix public and private addresses.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("dial %.200q: %w: network %.20q, only TCP is allowed", address, work.ErrForbiddenAddress, network)
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %.200q: %w", address, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("dial %.200q: port %.20q is not a number from 1 to 65535", address, portText)
	}
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("dial %.200q: %w", address, err)
	}
	var tried error
	for _, a := range addrs {
		if (network == "tcp4" && !a.Is4()) || (network == "tcp6" && !a.Is6()) {
			continue
		}
		conn, err := g.dial(ctx, network, netip.AddrPortFrom(a, uint16(port)))
		if err == nil {
			return conn, nil
		}
		tried = errors.Join(tried, err)
		if ctx.Err() != nil {
			break
		}
	}
	if tried == nil {
		tried = fmt.Errorf("no %s address", network)
	}
	return nil, fmt.Errorf("dial %.200q: %w", address, tried)
}

func (g *Guard) dial(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	if g.DialAddr != nil {
		return g.DialAddr(ctx, network, a)
	}
	return dialer.DialContext(ctx, network, a.String())
}

// Resolve returns the addresses that Dial would connect to.
func (g *Guard) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolve %.200q: %w", host, err)
	}
	return addrs, nil
}

func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "" || len(host) > 253 {
		return nil, fmt.Errorf("%w: a host of %d characters", work.ErrForbiddenAddress, len(host))
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a, err := g.check(a)
		if err != nil {
			return nil, err
		}
		return []netip.Addr{a}, nil
	}
	if looksNumeric(host) {
		return nil, fmt.Errorf("%w: host %q is a number but no IP address in its usual spelling", work.ErrForbiddenAddress, host)
	}
	lookup := g.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	found, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("host %q has no address", host)
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		a, err := g.check(a)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", host, err)
		}
		addrs = append(addrs, a)
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// looksNumeric reports whether a host's last label is a number, decimal or hexadecimal:
// the WHATWG rule for "this is meant as an IPv4 address". No public name ends so.
func looksNumeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if last == "" {
		return true
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// check returns the address as it will be dialled, IPv4-mapped ones as IPv4.
func (g *Guard) check(a netip.Addr) (netip.Addr, error) {
	if a.Zone() != "" {
		return a, fmt.Errorf("%w: %s has a zone", work.ErrForbiddenAddress, a)
	}
	a = a.Unmap()
	if g.AllowLoopback && a.IsLoopback() {
		return a, nil
	}
	if err := Public(a); err != nil {
		return a, err
	}
	return a, nil
}

type block struct {
	prefix netip.Prefix
	what   string
}

func blocks(list ...string) []block {
	var bs []block
	for i := 0; i+1 < len(list); i += 2 {
		bs = append(bs, block{netip.MustParsePrefix(list[i]), list[i+1]})
	}
	return bs
}

// The special-purpose registries of IANA, minus what is globally reachable, plus the
// addresses under which clouds serve their machines' secrets.
var (
	refused4 = blocks(
		"0.0.0.0/8", "unspecified",
		"10.0.0.0/8", "private",
		"100.64.0.0/10", "shared by carriers", // also Alibaba's metadata, 100.100.100.200
		"127.0.0.0/8", "loopback",
		"168.63.129.16/32", "cloud metadata", // Azure's, in public space
		"169.254.0.0/16", "link-local", // also AWS', Azure's and Google's metadata
		"172.16.0.0/12", "private",
		"192.0.0.0/24", "reserved for protocols", // also Oracle's metadata, 192.0.0.192
		"192.0.2.0/24", "for documentation",
		"192.31.196.0/24", "reserved for AS112",
		"192.52.193.0/24", "reserved for AMT",
		"192.88.99.0/24", "a 6to4 relay",
		"192.168.0.0/16", "private",
		"192.175.48.0/24", "reserved for AS112",
		"198.18.0.0/15", "for benchmarks",
		"198.51.100.0/24", "for documentation",
		"203.0.113.0/24", "for documentation",
		"224.0.0.0/4", "multicast",
		"240.0.0.0/4", "reserved", // and broadcast
	)
	// Of IPv6 only 2000::/3 is given out at all; these are its exceptions.
	refused6 = blocks(
		"2001::/23", "reserved for protocols", // Teredo, benchmarks, ORCHID
		"2001:db8::/32", "for documentation",
		"2620:4f:8000::/48", "reserved for AS112",
		"3fff::/20", "for documentation",
	)
	global6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4  = netip.MustParsePrefix("2002::/16")
)

// Public refuses every address that is not a public unicast one, with an error that says
// what it is. An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is judged by
// what it carries.
func Public(a netip.Addr) error {
	a = a.Unmap()
	no := func(what string) error {
		return fmt.Errorf("%w: %s is %s", work.ErrForbiddenAddress, a, what)
	}
	switch {
	case !a.IsValid():
		return fmt.Errorf("%w: no address", work.ErrForbiddenAddress)
	case a.Zone() != "":
		return no("tied to a zone")
	case a.Is4():
		for _, b := range refused4 {
			if b.prefix.Contains(a) {
				return no(b.what)
			}
		}
		return nil
	}
	bytes := a.As16()
	switch {
	case nat64.Contains(a):
		if err := Public(netip.AddrFrom4([4]byte(bytes[12:16]))); err != nil {
			return no("a translated address of a host that isn't public")
		}
		return nil
	case sixTo4.Contains(a):
		if err := Public(netip.AddrFrom4([4]byte(bytes[2:6]))); err != nil {
			return no("a 6to4 address of a host that isn't public")
		}
		return nil
	case a.IsLoopback():
		return no("loopback")
	case a.IsUnspecified():
		return no("unspecified")
	case a.IsPrivate():
		return no("unique-local") // also AWS' metadata, fd00:ec2::254
	case a.IsLinkLocalUnicast():
		return no("link-local")
	case a.IsMulticast():
		return no("multicast")
	case !global6.Contains(a):
		return no("outside the global unicast range")
	}
	for _, b := range refused6 {
		if b.prefix.Contains(a) {
			return no(b.what)
		}
	}
	return nil
}
