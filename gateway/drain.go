package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/plane"
)

// sealTime is what sealing and committing may take at least, when the workers took all of
// the time that a drain has.
const sealTime = 10 * time.Second

// errDraining is what a worker hears that says hello to a gateway about to stop.
func errDraining() error {
	return &plane.Error{Code: plane.CodeBusy, Text: "the gateway is about to stop: go to another one", Retry: 30_000}
}

// Draining reports whether the gateway is about to stop.
func (g *Gateway) Draining() bool { return g.draining.Load() }

// Drain prepares for a stop: no job is taken up and no task leased any more, workers hear
// of it, those that hold leases have until ctx ends to report, and what was reported is
// sealed and committed. Audits go on. There is no way back but a start anew.
func (g *Gateway) Drain(ctx context.Context) error {
	if g.draining.Swap(true) {
		return errors.New("the gateway is draining already")
	}
	g.guard.drain()
	g.log.Info("the gateway drains: nothing new is taken on", "tasks_out", g.out())
	if p := g.plane.Load(); p != nil {
		for _, w := range p.Connected() {
			p.Nudge(w)
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for out := g.out(); out > 0; out = g.out() {
		select {
		case <-tick.C:
			continue
		case <-g.closing:
			return errors.New("drain the gateway: it was closed meanwhile")
		case <-ctx.Done():
		}
		g.log.Warn("the time to drain is over: tasks that are out are reported after the next start, or leased again", "tasks_out", out)
		break
	}
	seal, cancel := context.WithTimeout(context.WithoutCancel(ctx), sealTime)
	defer cancel()
	if until, ok := ctx.Deadline(); ok && time.Until(until) > sealTime {
		seal = ctx
	}
	if err := g.scheduler.Seal(seal); err != nil {
		return fmt.Errorf("drain the gateway: %w; nothing is lost: the next start goes on with it", err)
	}
	g.log.Info("the gateway is drained: all that was reported is on the ledger")
	return nil
}

// out counts the tasks in workers' hands.
func (g *Gateway) out() (n uint64) {
	for _, p := range g.scheduler.Jobs() {
		n += p.Out
	}
	return n
}

// stop drains, where the configuration gives time for it, and closes.
func (g *Gateway) stop() {
	if g.cfg.Drain > 0 && !g.draining.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Drain)
		if err := g.Drain(ctx); err != nil {
			g.log.Warn("stopping", "err", err)
		}
		cancel()
	}
	g.Close()
}
