package netguard_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/netguard"
)

var refused = []string{
	// IPv4
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
	"127.0.0.1", "127.1.2.3", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
	"192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
	"198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
	// IPv4 in IPv6
	"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:169.254.169.254", "::127.0.0.1", "::7f00:1",
	"64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1",
	"2002:c0a8:101::1", "2002:a9fe:a9fe::",
	// IPv6
	"::", "::1", "::2", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456:789a::1",
	"ff02::1", "ff0e::1", "2001::1", "2001:0:5ef5:79fd::1", "2001:db8::1", "2001:2::1", "2001:20::1", "3fff::1", "100::1",
	"5f00::1", "4000::1", "2620:4f:8000::1",
}

var allowed = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
	"169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.255.255", "192.169.0.1",
	"198.17.255.255", "198.20.0.1", "223.255.255.255", "168.63.129.17",
	"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2606:4700:4700::1111", "2a00:1450::1", "2001:200::1", "2001:4860:4860::8888", "2620:0:860::1",
}

var loopback = []string{"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"}

var errDialled = errors.New("dialled")

// guard never dials: it fails with errDialled and what it would have dialled.
func guard(allowLoopback bool, names map[string][]string) (*netguard.Guard, *[]netip.AddrPort) {
	var got []netip.AddrPort
	return &netguard.Guard{
		AllowLoopback: allowLoopback,
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			var as []netip.Addr
			for _, a := range names[host] {
				as = append(as, netip.MustParseAddr(a))
			}
			return as, nil
		},
		DialAddr: func(_ context.Context, _ string, a netip.AddrPort) (net.Conn, error) {
			got = append(got, a)
			return nil, errDialled
		},
	}, &got
}

func TestAddresses(t *testing.T) {
	for _, viaName := range []bool{false, true} {
		check := func(g *netguard.Guard, host string) error {
			if viaName {
				host = "site.example"
			}
			_, err := g.Dial(t.Context(), "tcp", net.JoinHostPort(host, "80"))
			return err
		}
		for _, a := range refused {
			g, dialled := guard(false, map[string][]string{"site.example": {a}})
			require.ErrorIs(t, check(g, a), work.ErrForbiddenAddress, "%s, by name: %t", a, viaName)
			require.Empty(t, *dialled)
		}
		for _, a := range allowed {
			g, dialled := guard(false, map[string][]string{"site.example": {a}})
			require.ErrorIs(t, check(g, a), errDialled, "%s, by name: %t", a, viaName)
			require.Equal(t, netip.MustParseAddr(a).Unmap(), (*dialled)[0].Addr(), "the address that was checked is the one dialled")
		}
		for _, a := range refused {
			g, _ := guard(true, map[string][]string{"site.example": {a}})
			if netip.MustParseAddr(a).Unmap().IsLoopback() {
				require.ErrorIs(t, check(g, a), errDialled, a)
			} else {
				require.ErrorIs(t, check(g, a), work.ErrForbiddenAddress, a)
			}
		}
	}
	for _, a := range loopback {
		g, _ := guard(true, nil)
		_, err := g.Dial(t.Context(), "tcp", net.JoinHostPort(a, "80"))
		require.ErrorIs(t, err, errDialled, a)
	}
}

// Spellings that some libraries read as addresses are never resolved, not even where
// loopback is allowed.
func TestOddLiterals(t *testing.T) {
	for _, host := range []string{
		"0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0x0.0x0.0x1", "1", "0", "127.0.0.1.",
		"127.0.0.01", "256.256.256.256", "1.2.3.4.5", "a.b.0x10", "999999999999", "0X7F.1", "127.0.0.1..", ".", "...", "127.0.0.0x1", "0x",
	} {
		for _, allow := range []bool{false, true} {
			g := &netguard.Guard{AllowLoopback: allow, Lookup: func(context.Context, string) ([]netip.Addr, error) {
				t.Errorf("%q was resolved", host)
				return nil, nil
			}}
			_, err := g.Dial(t.Context(), "tcp", host+":80")
			require.ErrorIs(t, err, work.ErrForbiddenAddress, host)
		}
	}
	for _, host := range []string{"1.example", "0x7f.example", "127.0.0.1.example", "x1", "example.c0"} {
		g, _ := guard(false, map[string][]string{host: {"8.8.8.8"}})
		_, err := g.Dial(t.Context(), "tcp", host+":80")
		require.ErrorIs(t, err, errDialled, host)
	}
}

func TestBadAddresses(t *testing.T) {
	g, dialled := guard(true, nil)
	for _, a := range []string{"", "x", "x:", "x:http", "x:0", "x:65536", "x:-1", ":80", "[::1]", "[::1%lo]:80", strings.Repeat("a", 300) + ":80", "none.example:80"} {
		_, err := g.Dial(t.Context(), "tcp", a)
		require.Error(t, err, a)
	}
	for _, n := range []string{"udp", "unix", "ip", "", "tcp5"} {
		_, err := g.Dial(t.Context(), n, "127.0.0.1:80")
		require.ErrorIs(t, err, work.ErrForbiddenAddress, n)
	}
	require.Empty(t, *dialled)
}

// A name with a public and a private address is refused whole, in whatever order.
func TestMixedName(t *testing.T) {
	for _, as := range [][]string{{"8.8.8.8", "10.0.0.1"}, {"10.0.0.1", "8.8.8.8"}, {"2606:4700::1", "::1"}} {
		g, dialled := guard(false, map[string][]string{"mixed.example": as})
		_, err := g.Dial(t.Context(), "tcp", "mixed.example:80")
		require.ErrorIs(t, err, work.ErrForbiddenAddress)
		require.Empty(t, *dialled)
	}
}

func TestNetworkAndFallback(t *testing.T) {
	g, dialled := guard(false, map[string][]string{"both.example": {"2606:4700::1", "8.8.8.8", "9.9.9.9"}})
	_, err := g.Dial(t.Context(), "tcp4", "both.example:80")
	require.ErrorIs(t, err, errDialled)
	require.Len(t, *dialled, 2, "the next address is tried when one fails")
	_, err = g.Dial(t.Context(), "tcp6", "both.example:80")
	require.ErrorIs(t, err, errDialled)
	require.Len(t, *dialled, 3)
	_, err = g.Dial(t.Context(), "tcp6", "8.8.8.8:80")
	require.Error(t, err)
	require.Len(t, *dialled, 3)
}

// A name that changes its address between two questions, and a redirect to a private one.
func TestRebindingAndRedirect(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusOK)
		}
	}))
	defer site.Close()
	asked := 0
	g := &netguard.Guard{AllowLoopback: true, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		asked++
		if asked > 1 {
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}
	c := http.Client{Transport: &http.Transport{DialContext: g.Dial, DisableKeepAlives: true}}
	_, port, _ := net.SplitHostPort(site.Listener.Addr().String())
	resp, err := c.Get("http://rebinding.example:" + port + "/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 1, asked, "the name is resolved once for each connection")
	_, err = c.Get("http://rebinding.example:" + port + "/")
	require.ErrorIs(t, err, work.ErrForbiddenAddress)
	_, err = c.Get(site.URL + "/redirect")
	require.ErrorIs(t, err, work.ErrForbiddenAddress)
}

func FuzzDial(f *testing.F) {
	for _, a := range append(append([]string{}, refused...), allowed...) {
		f.Add(net.JoinHostPort(a, "80"))
	}
	f.Add("0x7f.1:80")
	f.Fuzz(func(t *testing.T, address string) {
		g, dialled := guard(false, map[string][]string{})
		_, err := g.Dial(context.Background(), "tcp", address)
		if err == nil {
			t.Fatal("connected")
		}
		for _, a := range *dialled {
			ip := net.IP(a.Addr().AsSlice())
			if ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
				t.Fatalf("%q would have dialled %s", address, a)
			}
		}
	})
}
