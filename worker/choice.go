package worker

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cantus-network/cantus/work"
)

// Endpoint is where a gateway is.
type Endpoint struct {
	URL string
	Key work.PublicKey // if not zero, the key that the gateway must have
}

// place is one of the gateways that the worker's owner named.
type place struct {
	Endpoint
	cells cellCache

	// Of choice, under its mutex:
	link     *link     // while there is a session
	up       time.Time // since when it answers; zero while it doesn't
	down     time.Time // since when it doesn't
	refusing bool      // it answers, and gives no work
	tried    bool      // it failed to answer at least once
}

func (p *place) healthy() bool { return !p.up.IsZero() && !p.refusing && !p.link.unpaid.Load() }

// choice says which place the worker leases from: the first that answers, as its owner
// listed them. One that went away gets its time to come back; one that is preferred and
// came back is returned to when it has been there for as long.
type choice struct {
	mu       sync.Mutex
	places   []*place
	current  *place
	failover time.Duration
	begun    time.Time
	switched func()
	log      *slog.Logger
}

func newChoice(at []Endpoint, failover time.Duration, log *slog.Logger) *choice {
	c := &choice{failover: failover, log: log, begun: time.Now(), switched: func() {}}
	for _, e := range at {
		c.places = append(c.places, &place{Endpoint: e, down: time.Now()})
	}
	return c
}

// answered says that a place answered a request for work; refused that it will give none.
func (c *choice) answered(p *place, l *link, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.link, p.refusing = l, refused
	if p.up.IsZero() {
		p.up = time.Now()
		// When it has been there long enough to be returned to.
		time.AfterFunc(c.failover, c.decide)
	}
	c.decideLocked()
}

// lost says that a place doesn't answer. final means that waiting for it is no use.
func (c *choice) lost(p *place, final bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.tried = true
	if !p.up.IsZero() {
		p.up, p.down = time.Time{}, time.Now()
		time.AfterFunc(c.failover, c.decide)
	}
	if final {
		p.refusing = true
	}
	c.decideLocked()
}

func (c *choice) decide() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decideLocked()
}

func (c *choice) decideLocked() {
	was := c.current
	for i, p := range c.places {
		if p == c.current && p.healthy() {
			break // and nothing before it is ready
		}
		if c.current == nil && !p.tried && p.up.IsZero() && time.Since(c.begun) < c.failover {
			break // at the start, a preferred one gets its chance to answer
		}
		if !p.healthy() {
			continue
		}
		preferred := c.current != nil && c.index(c.current) > i
		switch {
		case c.current == nil:
		case preferred && c.current.healthy() && time.Since(p.up) < c.failover:
			continue
		case !preferred && !c.current.refusing && c.current.link != nil && !c.current.link.unpaid.Load() && time.Since(c.current.down) < c.failover:
			continue
		}
		c.current = p
		break
	}
	if c.current == was {
		return
	}
	if was != nil {
		c.switched()
		c.log.Info("working for another gateway", "was", was.URL, "is", c.current.URL)
	}
	for _, p := range []*place{was, c.current} {
		if p != nil && p.link != nil {
			wake(p.link.turn)
		}
	}
}

func (c *choice) index(p *place) int {
	for i, q := range c.places {
		if p == q {
			return i
		}
	}
	return len(c.places)
}

// turn reports whether work may be leased from a place now. nil is a place that the
// worker has left.
func (c *choice) turn(p *place) bool {
	if p == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current == p
}
