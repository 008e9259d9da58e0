package gateway_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/gateway"
)

func TestNetworks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks")
	write := func(s string) { require.NoError(t, os.WriteFile(path, []byte(s), 0o600)) }
	write("# prefix name\n203.0.113.0/24 AS64500 Example Ltd\n\n203.0.113.128/25\tAS64501\n2001:db8::/32 AS64502\n0.0.0.0/0 rest\n")
	name, err := gateway.LoadNetworks(path)
	require.NoError(t, err)
	for a, want := range map[string]string{
		"203.0.113.7": "AS64500", "203.0.113.200": "AS64501", "::ffff:203.0.113.200": "AS64501",
		"2001:db8:1::1": "AS64502", "2001:db9::1": "", "198.51.100.1": "rest", "fe80::1%eth0": "",
	} {
		require.Equal(t, want, name(netip.MustParseAddr(a)), a)
	}
	require.Empty(t, name(netip.Addr{}))
	for _, bad := range []string{"203.0.113.0/24", "AS1 203.0.113.0/24", "203.0.113.0 AS1", "203.0.113.0/33 x"} {
		write(bad + "\n")
		_, err := gateway.LoadNetworks(path)
		require.ErrorContains(t, err, "line 1", bad)
	}
	_, err = gateway.LoadNetworks(path + "-none")
	require.ErrorIs(t, err, os.ErrNotExist)
}
