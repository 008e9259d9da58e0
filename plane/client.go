package plane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cantus-network/cantus/work"
)

// Options say how a worker connects. The zero value but for Gateway is fine.
type Options struct {
	// Gateway is the key of the gateway that the worker means to reach: what it signs to
	// log in is void anywhere else.
	Gateway work.PublicKey
	// Insecure allows going without TLS to an address that isn't loopback.
	Insecure bool
	// TLS is what tls:// and wss:// use; nil for the system's certificates.
	TLS *tls.Config
	// Dial makes the connections, after it has judged the address; nil for a net.Dialer.
	Dial work.DialFunc
	// ConnectTime bounds one attempt to connect, RequestTime one request that has no
	// earlier deadline; 10 and 30 seconds if zero. A connection on which a request was not
	// answered in its time and nothing came for another ConnectTime is given up.
	ConnectTime, RequestTime time.Duration
	// ReconnectMin and ReconnectMax bound the wait between attempts to reconnect, which
	// doubles from one to the next and is jittered; 250 ms and 30 s if zero.
	ReconnectMin, ReconnectMax time.Duration
	Log                        *slog.Logger // nil for none
}

func (o Options) withDefaults() Options {
	setDefault(&o.ConnectTime, 10*time.Second)
	setDefault(&o.RequestTime, 30*time.Second)
	setDefault(&o.ReconnectMin, 250*time.Millisecond)
	setDefault(&o.ReconnectMax, 30*time.Second)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Client is a worker's end of the plane. It reconnects by itself until it is closed. Its
// methods are safe for concurrent use.
type Client struct {
	worker work.PublicKey
	opts   Options
	conn   *nats.Conn
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	nudges     chan struct{}
	reconnects chan struct{}

	mu     sync.Mutex
	link   context.Context // ends when the present connection is lost
	unlink context.CancelFunc
	socket *watched // under the present connection
}

// Dial connects a worker to the plane at url, which CheckURL describes.
func Dial(ctx context.Context, url string, key work.PrivateKey, opts Options) (*Client, error) {
	u, err := CheckURL(url, opts.Insecure)
	if err != nil {
		return nil, err
	}
	if opts.Gateway.IsZero() {
		return nil, errors.New("connect to the plane: no gateway key: a login must say where it is meant for")
	}
	nkey, err := formatNkey(key.Public())
	if err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	c := &Client{
		worker: key.Public(), opts: opts,
		nudges: make(chan struct{}, 1), reconnects: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.relink()
	o := []nats.Option{
		nats.Name("cantus-worker"),
		nats.Nkey(nkey, func(nonce []byte) ([]byte, error) { return signLogin(key, opts.Gateway, nonce) }),
		nats.CustomInboxPrefix(inboxPrefix(c.worker)),
		nats.SetCustomDialer(dialer{c}),
		nats.SkipHostLookup(), // the dialer resolves the name, so that what it judged is what it connects to
		nats.Timeout(opts.ConnectTime),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),    // it may be enrolled, or bonded again, later
		nats.IgnoreDiscoveredServers(), // no server sends a worker elsewhere
		nats.ReconnectBufSize(-1),      // a request fails at once while there is no connection
		nats.CustomReconnectDelay(c.backoff),
		nats.PingInterval(30 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(c.disconnected),
		nats.ReconnectHandler(c.reconnected),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { opts.Log.Debug("reconnect to the gateway", "err", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { opts.Log.Warn("plane", "err", err) }),
	}
	if u.Scheme == "tls" || u.Scheme == "wss" {
		t := &tls.Config{}
		if opts.TLS != nil {
			t = opts.TLS.Clone()
		}
		t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
		o = append(o, nats.Secure(t))
		if u.Scheme == "tls" {
			o = append(o, nats.TLSHandshakeFirst())
		}
	}
	// The dialer knows the client's life only; let the caller's context end it meanwhile.
	stop := context.AfterFunc(ctx, c.cancel)
	conn, err := nats.Connect(u.String(), o...)
	if !stop() && err == nil {
		conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		c.cancel()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("connect to the plane at %s: %w", u.Redacted(), c.loginError(err))
	}
	c.conn = conn
	if _, err := conn.Subscribe(nudgeSubject(c.worker), func(*nats.Msg) { signal(c.nudges) }); err != nil {
		c.Close()
		return nil, fmt.Errorf("listen for nudges at %s: %w", u.Redacted(), err)
	}
	return c, nil
}

func (c *Client) loginError(err error) error {
	var bad x509.CertificateInvalidError
	if errors.As(err, &bad) && bad.Reason == x509.Expired {
		return fmt.Errorf("%w: see whether this machine's clock is right; if it is, the gateway needs a new certificate", err)
	}
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return fmt.Errorf("%w: key %s: enrol it on the ledger, see that its operator's bond is there, and that the gateway's key is right", ErrLogin, c.worker)
	}
	return err
}

// Worker is the key that the client logs in with.
func (c *Client) Worker() work.PublicKey { return c.worker }

// Hello opens the session. Say it first, and after each reconnection.
func (c *Client) Hello(ctx context.Context, r HelloRequest) (HelloReply, error) {
	reply, err := call[HelloReply](ctx, c, methodHello, r)
	if err == nil && reply.Gateway != c.opts.Gateway {
		return HelloReply{}, fmt.Errorf("hello: the gateway says its key is %s, but it should be %s", reply.Gateway, c.opts.Gateway)
	}
	return reply, err
}

// Lease asks for work.
func (c *Client) Lease(ctx context.Context, r LeaseRequest) (LeaseReply, error) {
	return call[LeaseReply](ctx, c, methodLease, r)
}

// Done reports. It may be sent again after any error.
func (c *Client) Done(ctx context.Context, r DoneRequest) (DoneReply, error) {
	return call[DoneReply](ctx, c, methodDone, r)
}

// Part shows what tasks have come to.
func (c *Client) Part(ctx context.Context, r PartRequest) (PartReply, error) {
	return call[PartReply](ctx, c, methodPart, r)
}

// Nudges gets a value when there is work to ask for. Several nudges may become one.
func (c *Client) Nudges() <-chan struct{} { return c.nudges }

// Reconnects gets a value after the connection was lost and made again.
func (c *Client) Reconnects() <-chan struct{} { return c.reconnects }

// Connected reports whether there is a connection now.
func (c *Client) Connected() bool { return c.conn.IsConnected() }

// Close ends the connection; requests under way fail with ErrClosed.
func (c *Client) Close() {
	c.cancel()
	if c.conn != nil {
		c.conn.Close()
	}
}

func call[Rep, Req checker](ctx context.Context, c *Client, method string, r Req) (Rep, error) {
	var zero Rep
	if err := r.Check(); err != nil {
		return zero, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b, err := work.Encode(r)
	if err != nil {
		return zero, fmt.Errorf("%s: encode the request: %w", method, err)
	}
	if len(b) > MaxMessage {
		return zero, fmt.Errorf("%w: %s: a request of %d bytes, at most %d: send less at once", ErrInvalid, method, len(b), MaxMessage)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.RequestTime, fmt.Errorf("no reply within %v: %w", c.opts.RequestTime, context.DeadlineExceeded))
	defer cancel()
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	defer context.AfterFunc(c.present(), func() { lose(ErrDisconnected) })()
	m, err := c.conn.RequestWithContext(ctx, requestSubject(c.worker, method), b)
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			go c.probe()
		}
		return zero, fmt.Errorf("%s: %w", method, c.requestError(ctx, err))
	}
	reply, err := decodeReply[Rep](m.Data)
	if err != nil {
		return zero, fmt.Errorf("%s: the gateway's reply: %w", method, err)
	}
	return reply, nil
}

func (c *Client) requestError(ctx context.Context, err error) error {
	switch {
	case c.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting):
		return ErrDisconnected
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// present is a context that ends when the connection of now is lost.
func (c *Client) present() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

func (c *Client) relink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unlink != nil {
		c.unlink()
	}
	c.link, c.unlink = context.WithCancel(c.ctx)
}

func (c *Client) disconnected(_ *nats.Conn, err error) {
	if c.ctx.Err() == nil {
		c.opts.Log.Warn("connection to the gateway lost; reconnecting", "err", err)
	}
	c.relink()
}

func (c *Client) reconnected(n *nats.Conn) {
	c.opts.Log.Info("connected to the gateway again", "url", n.ConnectedUrlRedacted())
	signal(c.reconnects)
	signal(c.nudges) // there may have been one while it was away
}

func (c *Client) backoff(attempts int) time.Duration {
	d := c.opts.ReconnectMax
	if shift := attempts - 1; shift < 16 {
		d = min(d, c.opts.ReconnectMin<<max(shift, 0))
	}
	return d/2 + rand.N(d/2+1) // half of it jitter, so that workers don't come back together
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// probe ends a connection on which nothing comes any more. A link can die without a word,
// when a machine or a router on the way vanishes; the system would notice after many
// minutes. The gateway's end answers a ping at once, however busy the gateway is, and on a
// slow link something else of what it sends arrives.
func (c *Client) probe() {
	c.mu.Lock()
	s := c.socket
	c.mu.Unlock()
	if s == nil || !s.probing.CompareAndSwap(false, true) {
		return
	}
	defer s.probing.Store(false)
	before := s.reads.Load()
	if err := c.conn.FlushTimeout(c.opts.ConnectTime); err == nil || s.reads.Load() != before || c.ctx.Err() != nil {
		return
	}
	c.opts.Log.Warn("nothing comes from the gateway any more: the connection is given up", "after", c.opts.RequestTime+c.opts.ConnectTime)
	_ = s.Close() // the client reconnects
}

// watched is a socket that counts when something comes.
type watched struct {
	net.Conn
	reads   atomic.Int64
	probing atomic.Bool
}

// Read counts.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.reads.Add(1)
	}
	return n, err
}

// dialer makes connections that can be given up.
type dialer struct{ c *Client }

// Dial is what NATS calls.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.c.ctx, d.c.opts.ConnectTime)
	defer cancel()
	conn, err := d.c.opts.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: conn}
	d.c.mu.Lock()
	d.c.socket = w
	d.c.mu.Unlock()
	return w, nil
}
