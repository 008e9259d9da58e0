package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ports are the free ports that were found at the first start. Remembering them lets
// workers, and what people wrote down, find the gateway after a restart.
type ports struct {
	HTTP      int `json:"http"`
	Plane     int `json:"plane"`
	WebSocket int `json:"websocket"`
}

const portsFile = "ports.json"

func readPorts(dir string) (*ports, error) {
	b, err := os.ReadFile(filepath.Join(dir, portsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &ports{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var p ports
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("gateway: read %s: %w; delete it to have new ports chosen", filepath.Join(dir, portsFile), err)
	}
	return &p, nil
}

func (p *ports) write(dir string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, portsFile), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// remember takes the ports out of the plane's URLs.
func (p *ports) remember(urls []string) {
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(u.Port())
		if err != nil {
			continue
		}
		if u.Scheme == "ws" || u.Scheme == "wss" {
			p.WebSocket = n
		} else {
			p.Plane = n
		}
	}
}

// free is a port that was used before if it is free now, else 0.
func free(port int) int {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0
	}
	l.Close()
	return port
}

func port(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}

// loopback reports whether only this machine reaches an address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// allowLoopback is the plan's question which hosts it may crawl although they are not
// public: on a network whose genesis allows it, this machine, and names that can be no
// others (RFC 6761). Whatever a name resolves to is checked again where it is dialled.
func allowLoopback(allowed bool) func(string) bool {
	return func(host string) bool {
		if !allowed {
			return false
		}
		ip := net.ParseIP(host)
		return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".test") || ip != nil && ip.IsLoopback()
	}
}
