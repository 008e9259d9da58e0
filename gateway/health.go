package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/gateway/api"
)

const (
	ledgerSilence = 30 * time.Second // how long the ledger may fail before the gateway counts as not ready
	probeEvery    = 2 * time.Second  // how often the stores are tried, however often somebody asks
	probeTime     = 5 * time.Second  // how long they have to answer
)

// probe tries something now and then and remembers how it went.
type probe struct {
	try func(context.Context) error

	mu   sync.Mutex
	busy chan struct{} // closed when the try under way ends; nil where none is
	at   time.Time
	err  error
}

// result is how the last try went. A try that hangs counts as failed after probeTime, and
// no second one is begun beside it.
func (p *probe) result(what string) error {
	p.mu.Lock()
	if p.busy == nil && time.Since(p.at) >= probeEvery {
		done := make(chan struct{})
		p.busy = done
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), probeTime)
			err := p.try(ctx)
			cancel()
			p.mu.Lock()
			p.err, p.at, p.busy = err, time.Now(), nil
			p.mu.Unlock()
			close(done)
		}()
	}
	busy := p.busy
	p.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-time.After(probeTime):
			return fmt.Errorf("%s does not answer within %v", what, probeTime)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (g *Gateway) newProbes() {
	g.database = &probe{try: func(context.Context) error { return g.scheduler.Probe() }}
	g.store = &probe{try: func(ctx context.Context) error {
		_, err := g.artifacts.Has(ctx, artifact.Sum(nil))
		return err
	}}
}

// getHealth says that the process lives and answers.
func (g *Gateway) getHealth(http.ResponseWriter, *http.Request) (any, error) {
	return map[string]string{"status": "ok"}, nil
}

// getReady says whether the gateway can do its work now, and what of it it can't.
func (g *Gateway) getReady(w http.ResponseWriter, _ *http.Request) (any, error) {
	h := g.scheduler.Health()
	reply := api.Ready{Ready: true, Height: h.Height, Workers: h.Workers, Idle: h.Idle}
	check := func(name string, err error) {
		c := api.Check{Name: name, OK: err == nil}
		if err != nil {
			c.Reason, reply.Ready = err.Error(), false
		}
		reply.Checks = append(reply.Checks, c)
	}
	var ledger error
	switch {
	case h.Height == 0:
		ledger = fmt.Errorf("the ledger has not answered yet")
	case h.Ledger != nil && time.Since(h.Heard) > ledgerSilence:
		ledger = fmt.Errorf("the ledger does not answer since %s: %w", h.Heard.UTC().Format(time.RFC3339), h.Ledger)
	}
	check("ledger", ledger)
	check("disk", h.Disk)
	check("database", g.database.result("the database"))
	check("artifacts", g.store.result("the artifact store"))
	var plane error
	if p := g.plane.Load(); p == nil || len(p.URLs()) == 0 {
		plane = fmt.Errorf("the plane does not listen: no worker can connect")
	}
	check("plane", plane)
	var draining error
	if g.Draining() {
		draining = fmt.Errorf("the gateway is about to stop")
	}
	check("open", draining)
	if reply.Ready {
		return reply, nil
	}
	w.Header().Set("Retry-After", "1")
	writeJSON(w, http.StatusServiceUnavailable, reply)
	return nil, nil
}
