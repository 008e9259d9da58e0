package gateway

import (
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/cantus-network/cantus/work"
)

// Limits bound what one client address, one worker and one buyer may ask of a gateway. A
// field that is zero gets its default, one below zero means no limit. Addresses of this
// machine have none: whoever is on it has other ways to keep it busy.
type Limits struct {
	Requests  float64 // requests a second from one address, in the long run; 500
	Proofs    float64 // pages of receipts and proofs of pay a second to one address; 50
	Specs     float64 // specs a second from one address: each takes disk and no money; 1
	SpecBytes int64   // bytes of specs an hour from one address; 64 MiB
	Uploads   int64   // bytes of artifacts a second from one worker, and four times that from one address; 64 MiB
	Jobs      int     // open jobs of one buyer that are worked on at a time; 256
	Streams   int     // event streams open at a time, of all clients; 4096
}

func (l Limits) withDefaults() Limits {
	limit(&l.Requests, 500)
	limit(&l.Proofs, 50)
	limit(&l.Specs, 1)
	limit(&l.SpecBytes, 64<<20)
	limit(&l.Uploads, 64<<20)
	limit(&l.Jobs, 256)
	limit(&l.Streams, 4096)
	return l
}

func limit[T int | int64 | float64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// A class is what is counted together.
type class string

const (
	classRequest   class = "requests"
	classProof     class = "proofs"
	classSpec      class = "specs"
	classSpecBytes class = "spec_bytes"
	classUpload    class = "uploads"
	classStream    class = "streams"
	classJob       class = "jobs"
)

// bucketSeconds is how many seconds' worth of each class a client may take at once.
var bucketSeconds = map[class]float64{
	classRequest: 4, classProof: 10, classSpec: 20, classSpecBytes: 3600, classUpload: 4,
}

const (
	maxClients   = 100_000 // remembered; past that those that rest are forgotten, or all
	clientMemory = time.Hour
)

// client is one address or one worker.
type client struct {
	buckets map[class]*rate.Limiter
	seen    time.Time
}

// limiter counts by client.
type limiter struct {
	limits  Limits
	refused *prometheus.CounterVec

	mu      sync.Mutex
	clients map[string]*client
}

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l.withDefaults(), clients: map[string]*client{}, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cantus_gateway_limited_total", Help: "Requests that a rate limit or a quota turned away.",
	}, []string{"what"})}
}

// perSecond is a class's rate for one client; four workers may share an address.
func (l *limiter) perSecond(c class, worker bool) float64 {
	switch c {
	case classRequest:
		return l.limits.Requests
	case classProof:
		return l.limits.Proofs
	case classSpec:
		return l.limits.Specs
	case classSpecBytes:
		return float64(l.limits.SpecBytes) / 3600
	case classUpload:
		if !worker {
			return 4 * float64(l.limits.Uploads)
		}
		return float64(l.limits.Uploads)
	}
	return -1
}

// address is what stands for a client's address: one home has a whole /64 of IPv6. It is
// empty for this machine, and false for an address that can't be read.
func address(r *http.Request) (string, bool) {
	ip := clientIP(r)
	switch {
	case ip == nil:
		return "", false
	case ip.IsLoopback():
		return "", true
	case ip.To4() == nil:
		return ip.Mask(net.CIDRMask(64, 128)).String() + "/64", true
	}
	return ip.String(), true
}

// fromAddress takes n of a class for a request's address, or says when to ask again.
func (l *limiter) fromAddress(r *http.Request, c class, n int64) error {
	a, ok := address(r)
	if !ok {
		return failf(http.StatusBadRequest, "invalid", "the request comes from no address that can be read")
	}
	if a == "" {
		return nil
	}
	return l.take("a "+a, a, c, n, false)
}

// fromWorker takes n of a class for a worker's token.
func (l *limiter) fromWorker(r *http.Request, key work.PublicKey, c class, n int64) error {
	if a, ok := address(r); ok && a == "" {
		return nil
	}
	return l.take("w "+string(key[:]), "worker "+key.Short(), c, n, true)
}

func (l *limiter) take(key, who string, c class, n int64, worker bool) error {
	perSecond := l.perSecond(c, worker)
	if perSecond < 0 {
		return nil
	}
	now := time.Now()
	l.mu.Lock()
	x := l.clients[key]
	if x == nil {
		if len(l.clients) >= maxClients {
			l.forget(now)
		}
		x = &client{buckets: map[class]*rate.Limiter{}}
		l.clients[key] = x
	}
	x.seen = now
	b := x.buckets[c]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(perSecond), int(max(1, perSecond*bucketSeconds[c])))
		x.buckets[c] = b
	}
	l.mu.Unlock()
	// What is larger than the bucket takes all of it.
	r := b.ReserveN(now, int(min(n, int64(b.Burst()))))
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	r.CancelAt(now)
	return l.refuse(c, wait, "%s from %s: more than this gateway takes at a time; ask again in %.0f s", strings.ReplaceAll(string(c), "_", " "), who, math.Ceil(wait.Seconds()))
}

// refuse counts a refusal and makes the answer.
func (l *limiter) refuse(c class, wait time.Duration, format string, a ...any) error {
	l.refused.WithLabelValues(string(c)).Inc()
	err := failf(http.StatusTooManyRequests, "too_many_requests", format, a...).(*failure)
	err.retry = wait
	return err
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
// The caller holds l.mu.
func (l *limiter) forget(now time.Time) {
	for k, c := range l.clients {
		if now.Sub(c.seen) > clientMemory {
			delete(l.clients, k)
		}
	}
	if len(l.clients) >= maxClients {
		clear(l.clients)
	}
}
