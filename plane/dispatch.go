package plane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cantus-network/cantus/work"
)

// busyWait is what a worker is told to wait when it or everybody asks too much at once.
const busyWait = 500 * time.Millisecond

// receive takes every request. It runs in the goroutine that reads the gateway's own
// connection, so it must not wait for anything.
func (s *Server) receive(m *nats.Msg) {
	worker, method, ok := parseRequest(m.Subject)
	if !ok {
		return
	}
	p := s.sessions.get(worker)
	if p == nil {
		return // it was kicked while the message was on its way
	}
	if !ownInbox(worker, m.Reply) {
		s.strike(p, method, "reply_subject")
		return
	}
	if !p.limiter.Allow() {
		if s.strike(p, method, "rate") {
			s.refuse(m, method, Busy(busyWait, "more than %g requests a second", s.limits.Rate))
		}
		return
	}
	if len(m.Data) > MaxMessage {
		s.refuse(m, method, Errorf(CodeInvalid, "%s: a request of %d bytes, at most %d", method, len(m.Data), MaxMessage))
		return
	}
	if int(p.inFlight.Add(1)) > s.limits.PerWorker {
		p.inFlight.Add(-1)
		if s.strike(p, method, "per_worker") {
			s.refuse(m, method, Busy(busyWait, "more than %d requests at once", s.limits.PerWorker))
		}
		return
	}
	if !s.admit(p, m, method) {
		p.inFlight.Add(-1)
	}
}

// admit starts a request if the server as a whole has room.
func (s *Server) admit(p *peer, m *nats.Msg, method string) bool {
	s.stopped.RLock()
	defer s.stopped.RUnlock()
	if s.down {
		return false
	}
	size := int64(len(m.Data))
	if !s.bytes.take(size) {
		s.refuse(m, method, Busy(busyWait, "the gateway has too many bytes of requests at once"))
		return false
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.bytes.give(size)
		s.refuse(m, method, Busy(busyWait, "the gateway has too many requests at once"))
		return false
	}
	s.handlers.Add(1)
	go s.serve(p, m, method, size)
	return true
}

// strike counts a request beyond the limits. Whoever collects too many is cut off for a
// while; strike then returns false.
func (s *Server) strike(p *peer, method, why string) bool {
	s.metrics.requests.WithLabelValues(method, why).Inc()
	if p.strikes.Allow() {
		return true
	}
	s.log.Warn("worker cut off: it floods the plane", "worker", p.key.Short(), "limit", why, "for", s.limits.Ban)
	s.metrics.cut.Inc()
	s.sessions.ban(p.key, time.Now().Add(s.limits.Ban))
	// Ending a connection may wait for locks of NATS'; receive must not.
	go s.Kick(p.key)
	return false
}

func (s *Server) serve(p *peer, m *nats.Msg, method string, size int64) {
	defer func() {
		<-s.slots
		s.bytes.give(size)
		p.inFlight.Add(-1)
		s.handlers.Done()
	}()
	start := time.Now()
	reply, err := s.handle(p, method, m.Data)
	s.metrics.seconds.WithLabelValues(method).Observe(time.Since(start).Seconds())
	if err != nil {
		s.refuse(m, method, s.wireError(p.key, method, err))
		return
	}
	b, err := encodeReply(reply, nil)
	if err != nil {
		s.refuse(m, method, s.wireError(p.key, method, err))
		return
	}
	s.metrics.requests.WithLabelValues(method, "ok").Inc()
	s.send(m, b)
}

// wireError is what the worker gets to see of an error.
func (s *Server) wireError(worker work.PublicKey, method string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, work.ErrEncoding) || errors.As(err, new(invalid)) {
		return Errorf(CodeInvalid, "%s: %v", method, err)
	}
	if s.ctx.Err() != nil {
		return Busy(time.Second, "the gateway is stopping")
	}
	s.log.Error("request failed", "worker", worker.Short(), "method", method, "err", err)
	e = Errorf(CodeInternal, "%s: the gateway failed; try again later", method)
	e.Retry = 1000
	return e
}

type remoteKey struct{}

// WithRemote returns a context that says where a worker connected from.
func WithRemote(ctx context.Context, a netip.Addr) context.Context {
	return context.WithValue(ctx, remoteKey{}, a)
}

// Remote is the address that the worker whose request is being answered connected from, as
// the server sees it: behind a proxy, the proxy's. It is not valid where nobody can tell.
func Remote(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(remoteKey{}).(netip.Addr)
	return a
}

// invalid marks an error that is the request's own.
type invalid struct{ error }

func (s *Server) handle(p *peer, method string, data []byte) (reply any, err error) {
	worker, ctx := p.key, s.ctx
	if from := p.remote.Load(); from != nil {
		ctx = WithRemote(ctx, *from)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Time)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	h := s.cfg.Handler
	switch method {
	case methodHello:
		return answer(ctx, worker, data, h.Hello)
	case methodLease:
		return answer(ctx, worker, data, h.Lease)
	case methodDone:
		return answer(ctx, worker, data, h.Done)
	case methodPart:
		return answer(ctx, worker, data, h.Part)
	}
	return nil, Errorf(CodeInvalid, "unknown request %.20q", method)
}

func answer[Req, Rep checker](ctx context.Context, worker work.PublicKey, data []byte, f func(context.Context, work.PublicKey, Req) (Rep, error)) (any, error) {
	req, err := decode[Req](data)
	if err != nil {
		return nil, invalid{err}
	}
	rep, err := f(ctx, worker, req)
	if err != nil {
		return nil, err
	}
	if err := rep.Check(); err != nil {
		return nil, fmt.Errorf("the handler's reply: %w", err)
	}
	return rep, nil
}

// refuse answers with an error.
func (s *Server) refuse(m *nats.Msg, method string, e *Error) {
	s.metrics.requests.WithLabelValues(method, e.Code.String()).Inc()
	b, err := encodeReply(nil, e)
	if err != nil {
		s.log.Error("encode an error for a worker", "err", err)
		return
	}
	s.send(m, b)
}

func (s *Server) send(m *nats.Msg, b []byte) {
	if err := s.conn.Publish(m.Reply, b); err != nil {
		s.log.Debug("send a reply", "err", err) // the worker will ask again
	}
}

// byteBudget is a counter that never goes above its limit, except that one request fits
// however small the limit is.
type byteBudget struct {
	limit int64
	used  atomic.Int64
}

func (b *byteBudget) take(n int64) bool {
	if used := b.used.Add(n); used > b.limit && used > n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *byteBudget) give(n int64) { b.used.Add(-n) }

// cutScheme splits "scheme://rest".
func cutScheme(u string) (scheme, rest string, ok bool) { return strings.Cut(u, "://") }
