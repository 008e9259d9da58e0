package plane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// ErrInsecure is returned for an address that isn't loopback and would go without TLS.
var ErrInsecure = errors.New("refused without TLS")

// isLoopback reports whether a host, as a listener or a URL has it, is this machine alone.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// certificate serves a certificate from files and reads them again after they changed, so
// that a renewal needs no restart.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

const certificateRecheck = time.Second

// ServerTLS serves the certificate in two PEM files, and the new one once they changed.
func ServerTLS(certFile, keyFile string) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(time.Now()), nil
		},
	}, nil
}

func (c *certificate) stamps() ([2]time.Time, error) {
	var s [2]time.Time
	for i, f := range []string{c.certFile, c.keyFile} {
		st, err := os.Stat(f)
		if err != nil {
			return s, fmt.Errorf("read the certificate: %w", err)
		}
		s[i] = st.ModTime()
	}
	return s, nil
}

func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.cert, c.stamp = &cert, stamp
	return nil
}

// current keeps serving the old certificate when the new files can't be read: a renewal
// half done must not cut off the workers.
func (c *certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.checked) >= certificateRecheck {
		c.checked = now
		if s, err := c.stamps(); err == nil && s != c.stamp {
			_ = c.load()
		}
	}
	return c.cert
}

// CheckURL reads a plane's URL as a worker may dial it: nats, tls, ws or wss, a host and a
// port, nothing else, and TLS unless the host is loopback or insecure is set.
func CheckURL(raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("plane URL %.80q: %w", raw, err)
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return nil, fmt.Errorf("plane URL %.80q: scheme %.20q, want nats, tls, ws or wss", raw, u.Scheme)
	}
	path := strings.TrimSuffix(u.Path, "/")
	ws := u.Scheme == "ws" || u.Scheme == "wss"
	if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (path != "" && !ws) {
		return nil, fmt.Errorf("plane URL %.80q: want %s://host:port and nothing else", raw, u.Scheme)
	}
	if (u.Scheme == "nats" || u.Scheme == "ws") && !insecure && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("plane URL %.80q: %w: only loopback addresses may go without; use tls:// or wss://", raw, ErrInsecure)
	}
	return u, nil
}
