package worker

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// Config says what a worker does and for whom. Zero limits get the defaults.
type Config struct {
	Gateway    string         // URL of the preferred gateway, "https://gateway.example"
	GatewayKey work.PublicKey // if not zero, the key that the gateway must have
	Fallbacks  []Endpoint     // gateways to work for while Gateway is away, in this order
	// Failover is how long a gateway may be away before the worker goes on with the next,
	// and how long a preferred one must have been back before it is returned to; 30 s.
	Failover time.Duration
	// CellsEvery is how often a gateway's list of cells is read again, jittered; 5 min.
	CellsEvery time.Duration
	Key        work.PrivateKey
	Dir        string // state: journals and blobs; one worker at a time
	Kinds      []work.Kind

	// Ledger is the worker's own eye on the ledger; nil for a worker that takes its
	// gateways' word. LedgerEvery is how often it looks when nothing is due (a minute), and
	// ClaimAfter how long after a job's end it leaves the claim to the gateway (10 min).
	Ledger      *witness.Ledger
	LedgerEvery time.Duration
	ClaimAfter  time.Duration
	// AuditsEvery is how often the worker asks the ledger what it was drawn to audit, at
	// most; 15 s. Where blocks come fast it asks more often.
	AuditsEvery time.Duration

	Capacity int           // bundles side by side; 4 for each processor
	Memory   int64         // bytes; half of it may be results in flight; 512 MiB
	Disk     int64         // bytes of blobs kept in Dir; 4 GiB
	Drain    time.Duration // how long tasks may go on after Run was told to stop; 30 s

	// AllowLoopback lets kinds dial this machine if the network's genesis does. It is
	// implied where the gateway is on this machine: whoever runs both may.
	AllowLoopback bool
	Insecure      bool        // go without TLS to a gateway on another machine
	TLS           *tls.Config // nil for the system's certificates
	Version       string      // told to the gateway

	Log     *slog.Logger          // nil for none
	Metrics prometheus.Registerer // nil for none

	// What the kinds get to see of the world; nil for the real one.
	Now  func() time.Time
	Rand io.Reader
	Dial work.DialFunc
}

const (
	minMemory = 64 << 20
	minDisk   = 16 << 20
	maxSlots  = 1 << 16

	maxGateways = 16
)

// ErrConfig marks a Config that no worker can run with.
var ErrConfig = errors.New("worker: bad configuration")

func (c Config) withDefaults() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if c.Capacity == 0 {
		c.Capacity = 4 * runtime.GOMAXPROCS(0)
	}
	if c.Memory == 0 {
		c.Memory = 512 << 20
	}
	if c.Disk == 0 {
		c.Disk = 4 << 30
	}
	if c.Drain == 0 {
		c.Drain = 30 * time.Second
	}
	if c.Failover == 0 {
		c.Failover = 30 * time.Second
	}
	if c.LedgerEvery == 0 {
		c.LedgerEvery = time.Minute
	}
	if c.ClaimAfter == 0 {
		c.ClaimAfter = 10 * time.Minute
	}
	if c.AuditsEvery == 0 {
		c.AuditsEvery = 15 * time.Second
	}
	if c.CellsEvery == 0 {
		c.CellsEvery = 5 * time.Minute
	}
	switch {
	case c.Key.Public().IsZero():
		return bad("no node key")
	case c.Dir == "":
		return bad("no directory for its state")
	case len(c.Kinds) == 0 || len(c.Kinds) > plane.MaxKinds:
		return bad("%d kinds, want 1 to %d", len(c.Kinds), plane.MaxKinds)
	case c.Capacity < 1 || c.Capacity > maxSlots:
		return bad("capacity %d, want 1 to %d", c.Capacity, maxSlots)
	case c.Memory < minMemory:
		return bad("%d bytes of memory, want at least %d MiB", c.Memory, minMemory>>20)
	case c.Disk < minDisk:
		return bad("%d bytes of disk, want at least %d MiB", c.Disk, minDisk>>20)
	case c.Drain < 0:
		return bad("a negative time to stop")
	case c.Failover < 0 || c.CellsEvery < 0 || c.LedgerEvery < 0 || c.ClaimAfter < 0 || c.AuditsEvery < 0:
		return bad("a negative time to wait")
	case len(c.Fallbacks) >= maxGateways:
		return bad("%d gateways, at most %d", len(c.Fallbacks)+1, maxGateways)
	}
	seen := map[work.Name]bool{}
	for _, k := range c.Kinds {
		if err := k.Name().Check(); err != nil {
			return bad("%v", err)
		}
		if seen[k.Name()] {
			return bad("kind %s twice", k.Name())
		}
		seen[k.Name()] = true
	}
	named := map[string]bool{}
	for _, e := range c.endpoints() {
		if _, err := gatewayURL(e.URL, c.Insecure); err != nil {
			return bad("%v", err)
		}
		if named[e.URL] {
			return bad("gateway %s twice", e.URL)
		}
		named[e.URL] = true
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return c, nil
}

// endpoints are all gateways by preference.
func (c Config) endpoints() []Endpoint {
	return append([]Endpoint{{c.Gateway, c.GatewayKey}}, c.Fallbacks...)
}
