package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/netguard"
)

// Info is what a gateway says of itself at {gateway}/v1/info.
type Info struct {
	Chain     string         `json:"chain"`
	Account   string         `json:"gateway,omitempty"` // on the ledger
	Gateway   work.PublicKey `json:"gateway_key"`
	Plane     []string       `json:"plane"`
	Artifacts string         `json:"artifacts"`
}

func gatewayURL(raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("gateway %.80q: %w", raw, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway %.80q: want a URL like https://gateway.example", raw)
	}
	if u.Scheme == "http" && !insecure && !onThisMachine(u.Hostname()) {
		return nil, fmt.Errorf("gateway %.80q: %w: only a gateway on this machine may go without; use https://", raw, plane.ErrInsecure)
	}
	return u, nil
}

func onThisMachine(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// session is a worker's relation to a gateway that it found.
type session struct {
	info   Info
	here   bool // the gateway is on this machine
	client *plane.Client
	store  *httpstore.Store
	hello  plane.HelloRequest

	mu       sync.Mutex
	token    string
	loopback bool
	greeted  time.Time // when the gateway last answered a hello, with the time since the machine started
	told     int64     // what the gateway's clock showed then
}

// connect finds a gateway, logs in and says hello.
func (w *Worker) connect(ctx context.Context, at target) (*session, error) {
	u, err := gatewayURL(at.url, w.cfg.Insecure)
	if err != nil {
		return nil, err
	}
	info, err := w.fetchInfo(ctx, u, at)
	if err != nil {
		return nil, err
	}
	s := &session{info: info, here: onThisMachine(u.Hostname()), hello: plane.HelloRequest{
		Version: plane.Clip(w.cfg.Version, 64), Kinds: w.names, Capacity: uint32(w.cfg.Capacity),
	}}
	if s.client, err = w.dialPlane(ctx, info, at); err != nil {
		return nil, err
	}
	reply, err := s.greet(ctx)
	if err != nil {
		s.client.Close()
		return nil, err
	}
	if reply.Chain != info.Chain {
		s.client.Close()
		return nil, fmt.Errorf("gateway %s is of chain %q by its plane and %q by its information", at.url, reply.Chain, info.Chain)
	}
	if s.store, err = w.openStore(u, reply.Artifacts, at, s); err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// fetchInfo asks a gateway, which is at u, about itself.
func (w *Worker) fetchInfo(ctx context.Context, u *url.URL, at target) (Info, error) {
	fail := func(err error) (Info, error) {
		return Info{}, fmt.Errorf("ask the gateway at %s about itself: %w", u, err)
	}
	b, err := w.get(ctx, w.dialTo(at), u.JoinPath("/v1/info"), 64<<10)
	if err != nil {
		return fail(err)
	}
	var info Info
	if err := json.Unmarshal(b, &info); err != nil {
		return fail(fmt.Errorf("%w: is this the URL of a gateway?", err))
	}
	switch {
	case info.Chain == "" || len(info.Chain) > 64 || info.Gateway.IsZero() || len(info.Plane) == 0:
		return fail(errors.New("chain, key or plane is missing: is this the URL of a gateway?"))
	case !at.key.IsZero() && info.Gateway != at.key:
		return fail(fmt.Errorf("its key is %s, but it should be %s", info.Gateway, at.key))
	}
	return info, nil
}

// dialPlane tries the gateway's addresses in turn.
func (w *Worker) dialPlane(ctx context.Context, info Info, at target) (*plane.Client, error) {
	var tried error
	for _, address := range info.Plane[:min(len(info.Plane), 8)] {
		c, err := plane.Dial(ctx, address, w.cfg.Key, plane.Options{
			Gateway: info.Gateway, Insecure: w.cfg.Insecure, TLS: w.cfg.TLS, Dial: w.dialTo(at), Log: w.log,
		})
		if err == nil {
			return c, nil
		}
		tried = errors.Join(tried, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, tried
}

// openStore opens the gateway's artifact store. It may be on the gateway's own host or on
// a public one: a gateway can't make a worker talk to other machines near it.
func (w *Worker) openStore(gateway *url.URL, address string, at target, s *session) (*httpstore.Store, error) {
	u, err := gatewayURL(address, w.cfg.Insecure)
	if err != nil {
		return nil, fmt.Errorf("the gateway's artifact store: %w", err)
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: w.cfg.TLS.Clone(), MaxIdleConnsPerHost: 8,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	if !strings.EqualFold(u.Hostname(), gateway.Hostname()) && (!onThisMachine(u.Hostname()) || !onThisMachine(gateway.Hostname())) {
		t.Proxy, t.DialContext = nil, new(netguard.Guard).Dial
	}
	if dial := w.dialTo(at); dial != nil {
		t.Proxy, t.DialContext = nil, dial
	}
	return httpstore.New(address, httpstore.Options{Token: s.bearer, Transport: t})
}

// greet says hello, for the first time, after a reconnection, or for a new token.
func (s *session) greet(ctx context.Context) (plane.HelloReply, error) {
	reply, err := s.client.Hello(ctx, s.hello)
	if err != nil {
		return reply, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeted = time.Now()
	s.token, s.loopback = reply.Token, reply.AllowLoopback
	s.told = reply.Now
	return reply, nil
}

// greetAgain is greet unless that was only just done, so that many requests which fail
// for want of a session or a token don't make many hellos.
func (s *session) greetAgain(ctx context.Context) error {
	s.mu.Lock()
	fresh := time.Since(s.greeted) < time.Second
	s.mu.Unlock()
	if fresh {
		return nil
	}
	_, err := s.greet(ctx)
	return err
}

// renew gets a new token if err says that the old one is no good.
func (s *session) renew(ctx context.Context, err error) {
	if errors.Is(err, httpstore.ErrUnauthorized) {
		_ = s.greetAgain(ctx) // the next attempt shows whether it helped
	}
}

func (s *session) bearer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (s *session) allowsLoopback() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loopback
}

// local turns a time of the gateway's clock into one of this machine's. It goes by the
// time that passed since the hello, so that neither a wrong clock here nor one that is set
// meanwhile makes a lease longer or shorter.
func (s *session) local(ms int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.greeted.Add(plane.Deadline(ms).Sub(time.UnixMilli(s.told)))
}

func (s *session) creditor() creditor {
	return creditor{chain: s.info.Chain, gateway: s.info.Gateway, worker: s.client.Worker()}
}

func (s *session) close() {
	s.client.Close()
	s.store.Close()
}

// pause is a wait that grows from attempt to attempt, half of it jitter.
type pause struct {
	min, max time.Duration
	next     time.Duration
}

func (p *pause) reset() { p.next = 0 }

func (p *pause) step() time.Duration {
	p.next = min(max(2*p.next, p.min), p.max)
	return p.next/2 + rand.N(p.next/2+1)
}

// jitter is a time between half of d and one and a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

// sleep waits, and reports false when the context ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
