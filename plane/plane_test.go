package plane_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

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

func TestDialGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never speaks
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = plane.Dial(ctx, "nats://"+l.Addr().String(), newKey(t), plane.Options{Gateway: newKey(t).Public(), ConnectTime: 300 * time.Millisecond})
	require.Error(t, err)
}
