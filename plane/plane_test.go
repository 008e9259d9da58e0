package plane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
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

func TestRoundTrip(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	for _, scheme := range []string{"nats", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			c, err := plane.Dial(t.Context(), w.url(scheme), key, w.opts())
			require.NoError(t, err)
			defer c.Close()
			h, err := c.Hello(t.Context(), hello)
			require.NoError(t, err)
			require.Equal(t, "test-1", h.Chain)
			l, err := c.Lease(t.Context(), lease)
			require.NoError(t, err)
			require.Equal(t, uint32(7), l.Wait)
			_, err = c.Done(t.Context(), plane.DoneRequest{Failures: []plane.Failure{{Lease: plane.LeaseID{Job: 1, Seq: 2, Attempt: 3}, Reason: "r", Untried: true}}})
			require.NoError(t, err)
			w.handler.mu.Lock()
			got := w.handler.dones[len(w.handler.dones)-1]
			w.handler.mu.Unlock()
			require.Equal(t, "r", got.Failures[0].Reason)
			require.Equal(t, []work.PublicKey{key.Public()}, w.Connected())
			w.Nudge(key.Public())
			<-c.Nudges()
		})
	}
	require.Equal(t, []work.PublicKey{key.Public(), key.Public()}, w.handler.hellos)
}

func TestLogin(t *testing.T) {
	w := start(t)
	enrolled, stranger := newKey(t), newKey(t)
	w.enrol(enrolled.Public())
	dial := func(o ...nats.Option) error {
		c, err := nats.Connect(w.url("nats"), append(o, nats.NoReconnect())...)
		if err == nil {
			c.Close()
		}
		return err
	}
	require.NoError(t, dial(loginAs(enrolled, w.gateway.Public())))

	var captured struct{ nonce, sig []byte }
	tests := map[string][]nats.Option{
		"no credentials":     {},
		"password":           {nats.UserInfo("gateway", "guess")},
		"token":              {nats.Token("guess")},
		"not enrolled":       {loginAs(stranger, w.gateway.Public())},
		"another gateway":    {loginAs(enrolled, newKey(t).Public())},
		"plain nonce signed": {nats.Nkey(nkeyOf(enrolled.Public()), func(n []byte) ([]byte, error) { return enrolled.SignNonce(n), nil })},
		"another's signature": {nats.Nkey(nkeyOf(enrolled.Public()), func(n []byte) ([]byte, error) {
			return stranger.SignNonce(plane.Challenge(w.gateway.Public(), n)), nil
		})},
		"no signature": {nats.Nkey(nkeyOf(enrolled.Public()), func(n []byte) ([]byte, error) { return nil, nil })},
		"capture": {nats.Nkey(nkeyOf(enrolled.Public()), func(n []byte) ([]byte, error) {
			captured.nonce = n
			captured.sig = enrolled.SignNonce(plane.Challenge(w.gateway.Public(), n))
			return nil, nil // a login that breaks off: the answer has never been used
		})},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, dial(opts...), nats.ErrAuthorization) })
	}
	t.Run("replayed answer", func(t *testing.T) {
		require.NotEmpty(t, captured.sig)
		err := dial(nats.Nkey(nkeyOf(enrolled.Public()), func(n []byte) ([]byte, error) {
			require.NotEqual(t, captured.nonce, n)
			return captured.sig, nil
		}))
		require.ErrorIs(t, err, nats.ErrAuthorization)
	})
	t.Run("client's error", func(t *testing.T) {
		_, err := plane.Dial(t.Context(), w.url("nats"), stranger, w.opts())
		require.ErrorIs(t, err, plane.ErrLogin)
		require.ErrorContains(t, err, stranger.Public().String())
		require.ErrorContains(t, err, "enrol")
	})
	t.Run("second introduction", func(t *testing.T) {
		// The wire by hand: NATS' client introduces itself once only.
		conn, nonce := w.bare(t)
		buf := make([]byte, 4096)
		other := newKey(t)
		w.enrol(other.Public())
		say := func(s string) string {
			_, err := conn.Write([]byte(s))
			require.NoError(t, err)
			n, _ := conn.Read(buf)
			return string(buf[:n])
		}
		require.Contains(t, say(w.login(enrolled, nonce)), "PONG")
		require.Contains(t, say(w.login(other, nonce)), "Authorization Violation")
	})
}

// A worker reaches its own subjects and nothing else, whatever it tries.
func TestIsolation(t *testing.T) {
	w := start(t)
	a, b := newKey(t), newKey(t)
	w.enrol(a.Public(), b.Public())
	victim := w.dial(t, b)
	_, err := victim.Hello(t.Context(), hello)
	require.NoError(t, err)

	refused := make(chan error, 16)
	evil := w.raw(t, a, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	own, other := "cantus.1."+a.Public().String(), "cantus.1."+b.Public().String()

	for _, s := range []string{
		">", "*", "cantus.>", "cantus.1.>", "cantus.1.*.in.>", "cantus.1.*.nudge", "cantus.1.*.*",
		other + ".in.>", other + ".nudge", other + ".lease", own + ".>", own + ".*", own + ".lease", own + ".in", "_INBOX.>", "$SYS.>",
	} {
		t.Run("subscribe "+s, func(t *testing.T) {
			sub, err := evil.SubscribeSync(s)
			require.NoError(t, err)
			require.NoError(t, evil.Flush())
			require.ErrorIs(t, <-refused, nats.ErrPermissionViolation)
			_ = sub.Unsubscribe()
		})
	}
	body, err := work.Encode(hello)
	require.NoError(t, err)
	for _, s := range []string{
		other + ".hello", other + ".lease", other + ".done", other + ".nudge", other + ".in.x.y",
		own + ".nudge", own + ".in.x", own + ".other", "cantus.1.x", "$SYS.REQ.SERVER.PING",
	} {
		t.Run("publish "+s, func(t *testing.T) {
			require.NoError(t, evil.Publish(s, body))
			require.NoError(t, evil.Flush())
			require.ErrorIs(t, <-refused, nats.ErrPermissionViolation)
		})
	}
	// The server answers where it is asked to: not in somebody else's subjects.
	for _, reply := range []string{other + ".nudge", other + ".in.x", other + ".lease", own + ".nudge", own + ".hello", own + ".in.*", own + ".in"} {
		t.Run("reply to "+reply, func(t *testing.T) {
			require.NoError(t, evil.PublishRequest(own+".hello", reply, body))
			require.NoError(t, evil.Flush())
		})
	}
	// A request of the victim's comes after all of the above was handled.
	_, err = victim.Hello(t.Context(), hello)
	require.NoError(t, err)
	select {
	case <-victim.Nudges():
		t.Fatal("one worker nudged another")
	default:
	}
	for _, k := range w.handler.hellos {
		require.Equal(t, b.Public(), k, "a request in the victim's name, or with a reply elsewhere, was handled")
	}
}

func TestHostilePayloads(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	prefix := "cantus.1." + key.Public().String()
	conn := w.raw(t, key, nats.CustomInboxPrefix(prefix+".in"))
	ask := func(method string, b []byte) error {
		m, err := conn.RequestWithContext(t.Context(), prefix+"."+method, b)
		require.NoError(t, err)
		_, err = plane.DecodeLeaseReply(m.Data)
		return err
	}
	good, err := work.Encode(lease)
	require.NoError(t, err)
	encode := func(v any) []byte {
		b, err := work.Encode(v)
		require.NoError(t, err)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "truncated": good[:len(good)-1], "trailing": append(slices.Clone(good), 0),
		"deep":       []byte(strings.Repeat("\x81", 5000)),
		"too big":    make([]byte, plane.MaxMessage+1),
		"huge array": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"bundles":    encode(plane.LeaseRequest{Max: plane.MaxBundles + 1, Kinds: lease.Kinds}),
		"no kinds":   encode(plane.LeaseRequest{Max: 1}),
		"bad kind":   encode(plane.LeaseRequest{Max: 1, Kinds: []work.Name{"../etc"}}),
		"held":       encode(plane.LeaseRequest{Max: 1, Kinds: lease.Kinds, Holding: make([]plane.LeaseID, plane.MaxHolding+1)}),
	} {
		t.Run(name, func(t *testing.T) {
			err := ask("lease", b)
			require.ErrorIs(t, err, plane.ErrInvalid)
			require.NotEmpty(t, err.Error())
		})
	}
	require.NoError(t, ask("lease", good), "the server lives")

	t.Run("beyond the connection's limit", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url("nats"), "nats://"))
		require.NoError(t, err)
		defer conn.Close()
		buf := make([]byte, 4096)
		_, err = conn.Read(buf)
		require.NoError(t, err)
		_, err = conn.Write([]byte("PUB " + prefix + ".lease 999999999\r\n"))
		require.NoError(t, err)
		n, _ := conn.Read(buf)
		require.Contains(t, string(buf[:n]), "-ERR")
	})
	require.NoError(t, ask("lease", good), "the server still lives")

	t.Run("client refuses its own", func(t *testing.T) {
		c := w.dial(t, key)
		_, err := c.Lease(t.Context(), plane.LeaseRequest{Max: 1})
		require.ErrorIs(t, err, plane.ErrInvalid)
		_, err = c.Lease(t.Context(), lease)
		require.NoError(t, err)
	})
}

func TestHandlersErrors(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	c := w.dial(t, key)
	failWith := func(err error) {
		w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
			return plane.LeaseReply{}, err
		})
	}
	for _, tt := range []struct {
		fail error
		is   error
		text string
	}{
		{plane.Busy(3*time.Second, "the ledger is behind"), plane.ErrBusy, "the ledger is behind"},
		{plane.Errorf(plane.CodeNoSession, "who are you"), plane.ErrNoSession, "who are you"},
		{errors.New("secret path /etc"), plane.ErrInternal, "try again"},
	} {
		failWith(tt.fail)
		_, err := c.Lease(t.Context(), lease)
		require.ErrorIs(t, err, tt.is)
		require.ErrorContains(t, err, tt.text)
		require.NotContains(t, err.Error(), "secret")
	}
	var busy *plane.Error
	failWith(plane.Busy(3*time.Second, "x"))
	_, err := c.Lease(t.Context(), lease)
	require.ErrorAs(t, err, &busy)
	require.Equal(t, 3*time.Second, busy.After())

	w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) { panic("boom") })
	_, err = c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrInternal)
	w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
		return plane.LeaseReply{Bundles: make([]plane.Bundle, plane.MaxBundles+1)}, nil
	})
	_, err = c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrInternal, "a reply beyond the limits is the gateway's fault")
	w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
		b := plane.Bundle{Job: 1, Kind: "test/1", Deadline: 1}
		for i := range uint64(30) {
			b.Tasks = append(b.Tasks, plane.Lease{Seq: i + 1, Attempt: 1, Body: make([]byte, work.MaxTask)})
		}
		return plane.LeaseReply{Bundles: []plane.Bundle{b}}, nil
	})
	_, err = c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrInternal, "so is one too big to send")
	w.handler.onLease(nil)
	_, err = c.Lease(t.Context(), lease)
	require.NoError(t, err)
}

// One worker has few requests in flight; another isn't kept waiting by it.
func TestConcurrencyPerWorker(t *testing.T) {
	w := start(t, func(c *plane.Config) { c.Limits = plane.Limits{PerWorker: 2} })
	a, b := newKey(t), newKey(t)
	w.enrol(a.Public(), b.Public())
	ca, cb := w.dial(t, a), w.dial(t, b)
	release, entered := make(chan struct{}), make(chan struct{}, 16)
	w.handler.onLease(func(_ context.Context, k work.PublicKey, _ plane.LeaseRequest) (plane.LeaseReply, error) {
		if k == a.Public() {
			entered <- struct{}{}
			<-release
		}
		return plane.LeaseReply{}, nil
	})
	results := make(chan error, 16)
	for range 2 {
		go func() { _, err := ca.Lease(t.Context(), lease); results <- err }()
	}
	<-entered
	<-entered
	_, err := ca.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrBusy)
	_, err = cb.Lease(t.Context(), lease)
	require.NoError(t, err)
	close(release)
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	require.Eventually(t, func() bool { _, err := ca.Lease(t.Context(), lease); return err == nil }, 10*time.Second, time.Millisecond)
}

// Whoever floods is told, then cut off for a while; the others go on.
func TestFlood(t *testing.T) {
	w := start(t, func(c *plane.Config) { c.Limits = plane.Limits{Rate: 5, Burst: 10, Ban: time.Hour} })
	a, b := newKey(t), newKey(t)
	w.enrol(a.Public(), b.Public())
	cb := w.dial(t, b)
	prefix := "cantus.1." + a.Public().String()
	closed := make(chan struct{})
	evil := w.raw(t, a, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	body, err := work.Encode(lease)
	require.NoError(t, err)
	go func() {
		for evil.PublishRequest(prefix+".lease", prefix+".in.x", body) == nil {
		}
	}()
	<-closed
	_, err = cb.Lease(t.Context(), lease)
	require.NoError(t, err)
	_, err = plane.Dial(t.Context(), w.url("nats"), a, w.opts())
	require.ErrorIs(t, err, plane.ErrLogin, "it stays out for a while")
}

func TestKickAndReconnect(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	c := w.dial(t, key)
	_, err := c.Hello(t.Context(), hello)
	require.NoError(t, err)

	w.Kick(key.Public())
	<-c.Reconnects()
	_, err = c.Hello(t.Context(), hello)
	require.NoError(t, err)
	w.Nudge(key.Public())
	<-c.Nudges()

	w.expel(key.Public())
	w.Kick(key.Public())
	require.Eventually(t, func() bool { _, err = c.Hello(t.Context(), hello); return err != nil }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, err, plane.ErrDisconnected)
	require.Empty(t, w.Connected())
	w.enrol(key.Public())
	<-c.Reconnects()
	_, err = c.Hello(t.Context(), hello)
	require.NoError(t, err)
}

// A request that waits for its reply when the connection breaks doesn't wait on.
func TestDisconnectedMeanwhile(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	c := w.dial(t, key)
	w.handler.onLease(func(ctx context.Context, k work.PublicKey, _ plane.LeaseRequest) (plane.LeaseReply, error) {
		w.Kick(k)
		return plane.LeaseReply{}, nil
	})
	_, err := c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrDisconnected)
	c.Close()
	_, err = c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, plane.ErrClosed)
}

// The gateway stops and comes back on the same port; its workers find it again.
func TestServerRestart(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	c := w.dial(t, key)
	address := strings.TrimPrefix(w.url("nats"), "nats://")
	w.Close()
	again, err := plane.Listen(plane.Config{
		Listen: address, Gateway: w.gateway.Public(), Handler: w.handler,
		Authorize: func(context.Context, work.PublicKey) error { return nil },
	})
	require.NoError(t, err)
	defer again.Close()
	<-c.Reconnects()
	_, err = c.Hello(t.Context(), hello)
	require.NoError(t, err)
}

// A worker that comes back while its old connection hangs gets in; old ones are ended.
func TestManyConnectionsOfOneKey(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	closed := make(chan struct{})
	w.raw(t, key, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	w.raw(t, key)
	c := w.dial(t, key)
	<-closed
	_, err := c.Hello(t.Context(), hello)
	require.NoError(t, err)
	require.Len(t, w.Connected(), 1)
}

func TestWrongGatewayInHello(t *testing.T) {
	w := start(t)
	key := newKey(t)
	w.enrol(key.Public())
	w.handler.mu.Lock()
	w.handler.gateway = newKey(t).Public()
	w.handler.mu.Unlock()
	_, err := w.dial(t, key).Hello(t.Context(), hello)
	require.ErrorContains(t, err, "should be "+w.gateway.Public().String())
}

func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

func TestTLS(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	w := start(t, func(c *plane.Config) { c.CertFile, c.KeyFile = certFile, keyFile })
	key := newKey(t)
	w.enrol(key.Public())
	for _, scheme := range []string{"tls", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			opts := w.opts()
			_, err := plane.Dial(t.Context(), w.url(scheme), key, opts)
			require.Error(t, err, "the certificate isn't one the system knows")
			opts.TLS = &tls.Config{RootCAs: pool}
			c, err := plane.Dial(t.Context(), w.url(scheme), key, opts)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Hello(t.Context(), hello)
			require.NoError(t, err)
		})
	}
}

func TestRefusedConfigurations(t *testing.T) {
	authorize := func(context.Context, work.PublicKey) error { return nil }
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	good := plane.Config{Listen: "127.0.0.1:0", Gateway: newKey(t).Public(), Handler: &handler{}, Authorize: authorize}
	for name, tt := range map[string]struct {
		change func(*plane.Config)
		want   string
	}{
		"no handler":       {func(c *plane.Config) { c.Handler = nil }, "Handler"},
		"no authorize":     {func(c *plane.Config) { c.Authorize = nil }, "Authorize"},
		"no key":           {func(c *plane.Config) { c.Gateway = work.PublicKey{} }, "key"},
		"no address":       {func(c *plane.Config) { c.Listen = "" }, "address"},
		"everywhere":       {func(c *plane.Config) { c.Listen = ":0" }, "TLS"},
		"ws everywhere":    {func(c *plane.Config) { c.WebSocket = "0.0.0.0:0" }, "TLS"},
		"bad port":         {func(c *plane.Config) { c.Listen = "127.0.0.1:99999" }, "port"},
		"no port":          {func(c *plane.Config) { c.Listen = "127.0.0.1" }, "host:port"},
		"half certificate": {func(c *plane.Config) { c.CertFile = "x" }, "certificate"},
		"lost certificate": {func(c *plane.Config) { c.CertFile, c.KeyFile = "/nonexistent/c", "/nonexistent/k" }, "/nonexistent/c"},
		"port in use":      {func(c *plane.Config) { c.Listen = busy.Addr().String() }, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			s, err := plane.Listen(c)
			if err == nil {
				s.Close()
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestCheckURL(t *testing.T) {
	for _, u := range []string{"nats://127.0.0.1:1", "ws://localhost:2", "tls://gw.example:4222", "wss://gw.example", "wss://gw.example/plane", "nats://[::1]:3"} {
		_, err := plane.CheckURL(u, false)
		require.NoError(t, err, u)
	}
	for _, u := range []string{"", "http://x", "nats://10.0.0.1:1", "ws://gw.example", "nats://u:p@127.0.0.1:1", "tls://x/y", "tls://x?y", "tls://", "://", "nats://127.0.0.1.evil.example:1"} {
		_, err := plane.CheckURL(u, false)
		require.Error(t, err, u)
	}
	_, err := plane.CheckURL("nats://10.0.0.1:1", false)
	require.ErrorIs(t, err, plane.ErrInsecure)
	_, err = plane.CheckURL("nats://10.0.0.1:1", true)
	require.NoError(t, err)
}

func TestDialGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never speaks
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = plane.Dial(ctx, "nats://"+l.Addr().String(), newKey(t), plane.Options{Gateway: newKey(t).Public(), ConnectTime: 300 * time.Millisecond})
	require.Error(t, err)
}
