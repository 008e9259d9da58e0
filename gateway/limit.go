package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How much one client address may ask. Loopback is not limited: whoever is on this machine
// has other ways to keep it busy.
const (
	clientRate  = 500 // requests a second, in the long run
	clientBurst = 2000
	specRate    = 1 // specs stored a second: each takes disk and no money
	specBurst   = 20
	maxClients  = 100_000 // remembered; past that the oldest are forgotten
)

type client struct {
	all, specs *rate.Limiter
	seen       time.Time
}

// maxStreams is how many event streams are open at a time.
const maxStreams = 4096

// limiter counts requests by client address.
type limiter struct {
	mu      sync.Mutex
	clients map[string]*client
}

func newLimiter() *limiter { return &limiter{clients: map[string]*client{}} }

// allow reports whether a request may go on; spec marks one that stores a spec.
func (l *limiter) allow(r *http.Request, spec bool) bool {
	ip := clientIP(r)
	if ip == nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	host := ip.String()
	if ip.To4() == nil {
		// One home has a whole /64.
		host = ip.Mask(net.CIDRMask(64, 128)).String()
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[host]
	if c == nil {
		if len(l.clients) >= maxClients {
			l.forget(now)
		}
		c = &client{all: rate.NewLimiter(clientRate, clientBurst), specs: rate.NewLimiter(specRate, specBurst)}
		l.clients[host] = c
	}
	c.seen = now
	return c.all.AllowN(now, 1) && (!spec || c.specs.AllowN(now, 1))
}

// clientIP is the address that a request comes from. A proxy on this machine is believed
// in what it says of its own client, which is the last entry of the header; what other
// clients write there is not looked at.
func clientIP(r *http.Request) net.IP {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() {
		return ip
	}
	via := r.Header.Values("X-Forwarded-For")
	if len(via) == 0 {
		return ip
	}
	entries := strings.Split(via[len(via)-1], ",")
	if theirs := net.ParseIP(strings.TrimSpace(entries[len(entries)-1])); theirs != nil {
		return theirs
	}
	return ip
}

// forget drops clients whose buckets have filled up again, and, if that is too few, all.
func (l *limiter) forget(now time.Time) {
	for k, c := range l.clients {
		if now.Sub(c.seen) > specBurst/specRate*time.Second {
			delete(l.clients, k)
		}
	}
	if len(l.clients) >= maxClients {
		clear(l.clients)
	}
}
