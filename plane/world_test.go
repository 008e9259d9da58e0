package plane_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// handler answers with what its fields say.
type handler struct {
	gateway work.PublicKey
	lease   leaseFunc

	mu     sync.Mutex
	hellos []work.PublicKey
	dones  []plane.DoneRequest
}

func (h *handler) Hello(_ context.Context, w work.PublicKey, r plane.HelloRequest) (plane.HelloReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hellos = append(h.hellos, w)
	return plane.HelloReply{Chain: "test-1", Gateway: h.gateway, Artifacts: "http://127.0.0.1:1", Token: "t", Now: 1}, nil
}

func (h *handler) Lease(ctx context.Context, w work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
	h.mu.Lock()
	f := h.lease
	h.mu.Unlock()
	if f == nil {
		return plane.LeaseReply{Wait: 7}, nil
	}
	return f(ctx, w, r)
}

type leaseFunc = func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error)

func (h *handler) onLease(f leaseFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = f
}

func (h *handler) Part(_ context.Context, w work.PublicKey, r plane.PartRequest) (plane.PartReply, error) {
	var reply plane.PartReply
	for _, p := range r.Parts {
		if string(p.Body) == "stop" {
			reply.Stop = append(reply.Stop, p.Lease)
		}
	}
	return reply, nil
}

func (h *handler) Done(_ context.Context, w work.PublicKey, r plane.DoneRequest) (plane.DoneReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dones = append(h.dones, r)
	return plane.DoneReply{}, nil
}

func newKey(t testing.TB) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

type world struct {
	*plane.Server
	gateway  work.PrivateKey
	handler  *handler
	mu       sync.Mutex
	enrolled []work.PublicKey
}

func (w *world) enrol(keys ...work.PublicKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enrolled = append(w.enrolled, keys...)
}

func (w *world) expel(key work.PublicKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enrolled = slices.DeleteFunc(w.enrolled, func(k work.PublicKey) bool { return k == key })
}

func start(t testing.TB, change ...func(*plane.Config)) *world {
	t.Helper()
	w := &world{gateway: newKey(t)}
	w.handler = &handler{gateway: w.gateway.Public()}
	cfg := plane.Config{
		Listen: "127.0.0.1:0", WebSocket: "127.0.0.1:0",
		Gateway: w.gateway.Public(), Handler: w.handler,
		Authorize: func(_ context.Context, k work.PublicKey) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !slices.Contains(w.enrolled, k) {
				return errors.New("not enrolled")
			}
			return nil
		},
		Metrics: prometheus.NewRegistry(),
	}
	if os.Getenv("CANTUS_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := plane.Listen(cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	w.Server = s
	return w
}

func (w *world) url(scheme string) string {
	for _, u := range w.URLs() {
		if strings.HasPrefix(u, scheme+"://") {
			return u
		}
	}
	return ""
}

func (w *world) opts() plane.Options {
	return plane.Options{Gateway: w.gateway.Public(), ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond, RequestTime: 20 * time.Second}
}

func (w *world) dial(t testing.TB, key work.PrivateKey) *plane.Client {
	t.Helper()
	c, err := plane.Dial(t.Context(), w.url("nats"), key, w.opts())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// bare is a socket to the server and the nonce that it presented.
func (w *world) bare(t testing.TB) (conn net.Conn, nonce string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url("nats"), "nats://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(buf[:n]), `"nonce":"`)
	require.True(t, ok)
	nonce, _, _ = strings.Cut(rest, `"`)
	return conn, nonce
}

func (w *world) login(k work.PrivateKey, nonce string) string {
	sig := k.SignNonce(plane.Challenge(w.gateway.Public(), []byte(nonce)))
	return `CONNECT {"protocol":1,"verbose":false,"pedantic":false,"nkey":"` + nkeyOf(k.Public()) + `","sig":"` + base64.RawURLEncoding.EncodeToString(sig) + "\"}\r\nPING\r\n"
}

// raw is a connection of somebody who logs in properly and then does as he likes.
func (w *world) raw(t testing.TB, key work.PrivateKey, opts ...nats.Option) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(w.url("nats"), append([]nats.Option{loginAs(key, w.gateway.Public()), nats.NoReconnect()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func nkeyOf(k work.PublicKey) string {
	b, err := nkeys.Encode(nkeys.PrefixByteUser, k[:])
	if err != nil {
		panic(err)
	}
	return string(b)
}

func loginAs(key work.PrivateKey, gateway work.PublicKey) nats.Option {
	return nats.Nkey(nkeyOf(key.Public()), func(nonce []byte) ([]byte, error) {
		return key.SignNonce(plane.Challenge(gateway, nonce)), nil
	})
}

var hello = plane.HelloRequest{Version: "test", Kinds: []work.Name{"test/1"}, Capacity: 1}
var lease = plane.LeaseRequest{Max: 1, Kinds: []work.Name{"test/1"}}
