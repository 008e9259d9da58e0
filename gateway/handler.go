package gateway

import (
	"context"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// authorize lets a worker connect that the ledger has as enrolled, active and bonded.
func (g *Gateway) authorize(ctx context.Context, key work.PublicKey) error {
	w, err := g.scheduler.Worker(ctx, key)
	if err != nil {
		return err
	}
	if !w.Active {
		return plane.Errorf(plane.CodeDenied, "worker %s is paused, unbonding or jailed: see `cantus worker list`", key)
	}
	return nil
}

// handler is the scheduler with what it does not know: where the artifact store is.
type handler struct{ g *Gateway }

var _ plane.Handler = handler{}

func (h handler) Hello(ctx context.Context, key work.PublicKey, r plane.HelloRequest) (plane.HelloReply, error) {
	if h.g.Draining() {
		return plane.HelloReply{}, errDraining()
	}
	reply, err := h.g.scheduler.Hello(ctx, key, r)
	if err != nil {
		return reply, err
	}
	reply.Artifacts = h.g.url
	reply.Token = h.g.tokens.issue(key)
	reply.AllowLoopback = reply.AllowLoopback || h.g.cfg.AllowLoopback
	return reply, nil
}

func (h handler) Lease(ctx context.Context, key work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
	if h.g.Draining() {
		// Audits and reveals have deadlines on the ledger and go on.
		r.Max, r.Kinds = 0, nil
	}
	return h.g.scheduler.Lease(ctx, key, r)
}

func (h handler) Part(ctx context.Context, key work.PublicKey, r plane.PartRequest) (plane.PartReply, error) {
	return h.g.scheduler.Part(ctx, key, r)
}

func (h handler) Done(ctx context.Context, key work.PublicKey, r plane.DoneRequest) (plane.DoneReply, error) {
	return h.g.scheduler.Done(ctx, key, r)
}
