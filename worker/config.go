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
)

// Config says what a worker does and for whom. Zero limits get the defaults.
type Config struct {
	Gateway    string         // URL, "https://gateway.example"
	GatewayKey work.PublicKey // if not zero, the key that the gateway must have
	Key        work.PrivateKey
	Dir        string // state: journals and blobs; one worker at a time
	Kinds      []work.Kind

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
	if _, err := gatewayURL(c.Gateway, c.Insecure); err != nil {
		return bad("%v", err)
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
