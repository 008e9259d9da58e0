package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
)

// maxNetworks bounds a table of networks: the whole internet has about a million routes.
const maxNetworks = 4_000_000

// LoadNetworks reads a table of which network an address is in, for Config.Networks: lines of
// a prefix and a name, "203.0.113.0/24 AS64500". What follows the name is passed over, and so
// are lines that begin with '#'. The longest prefix that holds an address decides.
func LoadNetworks(path string) (func(netip.Addr) string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the table of networks: %w", err)
	}
	defer f.Close()
	t, err := readNetworks(f)
	if err != nil {
		return nil, fmt.Errorf("read the table of networks %s: %w", path, err)
	}
	return t.name, nil
}

type networks struct {
	names map[netip.Prefix]string
	bits  [2][129]bool // which lengths of prefix there are, for IPv4 and IPv6
}

func readNetworks(r io.Reader) (*networks, error) {
	t := &networks{names: map[netip.Prefix]string{}}
	same := map[string]string{} // names repeat: hold each once
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		p, err := netip.ParsePrefix(fields[0])
		if err != nil || len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %.80q: want a prefix and a name, like 203.0.113.0/24 AS64500", n, lines.Text())
		}
		if len(t.names) == maxNetworks {
			return nil, fmt.Errorf("line %d: more than %d prefixes", n, maxNetworks)
		}
		name, ok := same[fields[1]]
		if !ok {
			name = strings.Clone(fields[1])
			same[name] = name
		}
		p = p.Masked()
		t.names[p] = name
		t.bits[family(p.Addr())][p.Bits()] = true
	}
	return t, lines.Err()
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// name is the network that an address is in; "" where the table has none.
func (t *networks) name(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for bits := a.BitLen(); bits >= 0; bits-- {
		if !t.bits[family(a)][bits] {
			continue
		}
		if p, err := a.Prefix(bits); err == nil {
			if name, ok := t.names[p]; ok {
				return name
			}
		}
	}
	return ""
}
