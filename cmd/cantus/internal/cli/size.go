package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// size is a flag for a number of bytes, like 500GiB.
type size int64

var units = []struct {
	name string
	n    int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// Set reads a number and a unit.
func (s *size) Set(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n > (1<<62)/u.n || n < -1 {
			break
		}
		*s = size(n * u.n)
		return nil
	}
	return fmt.Errorf("%.40q: want a size like 512MiB or 20GiB", text)
}

// String writes what Set reads.
func (s *size) String() string {
	for _, u := range units {
		if n := int64(*s); n != 0 && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return "0"
}

// Type is the flag's kind in the help.
func (s *size) Type() string { return "size" }

func listenTCP(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}
