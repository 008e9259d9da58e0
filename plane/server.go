package plane

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/work"
)

// Handler answers workers. Calls come from many goroutines; those of one worker overlap
// too, up to Limits.PerWorker. An error that is an *Error travels to the worker as it is.
// Remote finds in ctx where the worker connected from.
type Handler interface {
	Hello(ctx context.Context, worker work.PublicKey, r HelloRequest) (HelloReply, error)
	Lease(ctx context.Context, worker work.PublicKey, r LeaseRequest) (LeaseReply, error)
	Done(ctx context.Context, worker work.PublicKey, r DoneRequest) (DoneReply, error)
	Part(ctx context.Context, worker work.PublicKey, r PartRequest) (PartReply, error)
}

// Limits bound what the server holds and does at once. Zero fields get the defaults.
type Limits struct {
	Connections int           // 50,000: one cell's worth
	PerWorker   int           // 4: requests of one worker in flight
	Concurrent  int           // 1,024: requests in flight altogether
	Bytes       int64         // 64 MiB: of requests in flight altogether
	Rate        float64       // 100: requests a second of one worker, in the long run
	Burst       int           // 200: requests of one worker at once
	Pending     int64         // 16 MiB: replies waiting for one slow worker
	Time        time.Duration // 30 s: how long the Handler may take
	Ban         time.Duration // 30 s: how long a worker that floods is kept out
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Connections, 50_000)
	setDefault(&l.PerWorker, 4)
	setDefault(&l.Concurrent, 1024)
	setDefault(&l.Bytes, 64<<20)
	setDefault(&l.Rate, 100)
	setDefault(&l.Burst, 200)
	setDefault(&l.Pending, 16<<20)
	setDefault(&l.Time, 30*time.Second)
	setDefault(&l.Ban, 30*time.Second)
	return l
}

func setDefault[T int | int64 | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Config is what a Server needs.
type Config struct {
	Listen    string // TCP address, "127.0.0.1:0" for any free port; empty for none
	WebSocket string // likewise for WebSocket; one of the two must be given
	// Advertise is the host name that workers reach the server by; empty for the
	// listeners' own addresses.
	Advertise         string
	CertFile, KeyFile string         // PEM; a certificate is needed unless every listener is loopback
	TLS               *tls.Config    // instead of the files
	Gateway           work.PublicKey // the gateway's key, which logins are bound to
	// Authorize says whether a key may connect: nil if it is enrolled and bonded. It is
	// asked at each login, after the signature was found true.
	Authorize func(ctx context.Context, worker work.PublicKey) error
	Handler   Handler
	Limits    Limits
	Log       *slog.Logger          // nil for none
	Metrics   prometheus.Registerer // nil for none
}

// secure reports whether the listeners go by TLS.
func (c Config) secure() bool { return c.CertFile != "" || c.TLS != nil }

func (c Config) check() error {
	switch {
	case c.Handler == nil:
		return errors.New("plane: no Handler")
	case c.Authorize == nil:
		return errors.New("plane: no Authorize: who may connect must be decided")
	case c.Gateway.IsZero():
		return errors.New("plane: no gateway key")
	case c.Listen == "" && c.WebSocket == "":
		return errors.New("plane: no address to listen on")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("plane: a certificate needs its key, and a key its certificate")
	}
	return nil
}

// authorizeTime bounds one question to the ledger, authorizeConcurrent how many are asked
// at once, so that a flood of logins can't take all of the gateway's time.
const (
	authorizeTime       = 5 * time.Second
	authorizeConcurrent = 64
	internalUser        = "gateway"
)

// Server is the gateway's end of the plane. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	limits   Limits
	log      *slog.Logger
	nats     *server.Server
	conn     *nats.Conn // the gateway's own, in process
	secret   string     // of the gateway's own connection
	sessions *sessions
	metrics  *metrics
	asking   chan struct{}

	ctx      context.Context
	cancel   context.CancelFunc
	handlers sync.WaitGroup
	slots    chan struct{}
	bytes    byteBudget
	closing  sync.Once
	stopped  sync.RWMutex // held for reading while a handler is being started
	down     bool
}

// Listen starts a server. Close ends it.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	limits := cfg.Limits.withDefaults()
	opts, err := natsOptions(cfg, limits)
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	rand.Read(secret[:])
	s := &Server{
		cfg: cfg, limits: limits, log: cfg.Log,
		secret: hex.EncodeToString(secret[:]),
		asking: make(chan struct{}, authorizeConcurrent),
		slots:  make(chan struct{}, limits.Concurrent),
		bytes:  byteBudget{limit: limits.Bytes},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	opts.CustomClientAuthentication = authenticator{s}
	if s.nats, err = server.NewServer(opts); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start the plane: %w", err)
	}
	s.nats.SetLoggerV2(natsLogger{s.log}, false, false, false)
	s.sessions = newSessions(limits,
		func(conn uint64) bool { return s.nats.GetClient(conn) != nil },
		func(conn uint64) { _ = s.nats.DisconnectClientByID(conn) }) // it may be gone already
	if s.metrics, err = newMetrics(cfg.Metrics, s); err != nil {
		s.cancel()
		return nil, err
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start() error {
	if err := s.probe(); err != nil {
		return err
	}
	s.nats.Start()
	if !s.nats.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("start the plane on %s %s: not ready after 10 s", s.cfg.Listen, s.cfg.WebSocket)
	}
	conn, err := nats.Connect("", nats.InProcessServer(s.nats), nats.UserInfo(internalUser, s.secret),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.NoEcho(),
		nats.Name("gateway"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.log.Warn("the gateway's own connection to the plane", "err", err)
		}))
	if err != nil {
		return fmt.Errorf("connect the gateway to its own plane: %w", err)
	}
	s.conn = conn
	for _, m := range methods {
		sub, err := conn.Subscribe(subjectRoot+"*."+m, s.receive)
		if err == nil {
			err = sub.SetPendingLimits(1<<17, 256<<20)
		}
		if err != nil {
			return fmt.Errorf("listen for requests: %w", err)
		}
	}
	if err := conn.FlushTimeout(10 * time.Second); err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	go s.sweep()
	return nil
}

// probe finds out whether the addresses are free before NATS does, which would only log
// why it never gets ready.
func (s *Server) probe() error {
	for _, a := range []string{s.cfg.Listen, s.cfg.WebSocket} {
		if a == "" {
			continue
		}
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("start the plane: %w: stop what uses that port, or choose another", err)
		}
		_ = l.Close()
	}
	return nil
}

func (s *Server) sweep() {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-t.C:
			s.sessions.sweep(now)
		}
	}
}

func natsOptions(cfg Config, l Limits) (*server.Options, error) {
	o := &server.Options{
		ServerName:      "cantus-plane",
		DontListen:      cfg.Listen == "",
		NoLog:           true,
		NoSigs:          true,
		NoHeaderSupport: true, // nothing here uses headers, and what isn't there can't be abused
		NoSystemAccount: true,
		MaxConn:         l.Connections + 1, // and the gateway's own
		MaxSubs:         8,
		MaxSubTokens:    16,
		MaxPayload:      MaxMessage + 64<<10, // so that a request just too big gets a clear error
		MaxPending:      l.Pending,
		// A worker that reads slowly would otherwise stall the gateway's one connection
		// and with it all others: drop what is meant for it instead.
		NoFastProducerStall:        true,
		AlwaysEnableNonce:          true,
		AuthTimeout:                10,
		WriteDeadline:              10 * time.Second,
		PingInterval:               time.Minute,
		MaxPingsOut:                2,
		MaxClosedClients:           64,
		CustomClientAuthentication: nil, // set by the caller
	}
	var loopback = true
	if cfg.Listen != "" {
		host, port, err := splitAddress(cfg.Listen)
		if err != nil {
			return nil, err
		}
		o.Host, o.Port = host, port
		loopback = loopback && isLoopback(host)
	}
	if cfg.WebSocket != "" {
		host, port, err := splitAddress(cfg.WebSocket)
		if err != nil {
			return nil, err
		}
		o.Websocket = server.WebsocketOpts{Host: host, Port: port, NoTLS: !cfg.secure(), HandshakeTimeout: 10 * time.Second}
		loopback = loopback && isLoopback(host)
	}
	if !cfg.secure() {
		if !loopback {
			return nil, fmt.Errorf("plane on %s %s: %w: give a certificate and its key, or listen on 127.0.0.1", cfg.Listen, cfg.WebSocket, ErrInsecure)
		}
		return o, nil
	}
	t := cfg.TLS.Clone()
	if t == nil {
		var err error
		if t, err = ServerTLS(cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, err
		}
	}
	t.NextProtos = nil // what NATS speaks has no name there
	o.TLS, o.TLSConfig, o.TLSTimeout, o.TLSHandshakeFirst = true, t, 10, true
	o.Websocket.TLSConfig = t
	return o, nil
}

// splitAddress reads host:port as NATS wants it, for which -1 is "any free port".
func splitAddress(a string) (string, int, error) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return "", 0, fmt.Errorf("plane address %.80q: %w: want host:port", a, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("plane address %.80q: port %.20q is not a number from 0 to 65535", a, port)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if n == 0 {
		return host, -1, nil
	}
	return host, int(n), nil
}

// URLs are where workers reach the server, TCP first.
func (s *Server) URLs() []string {
	var urls []string
	schemes := [2]string{"nats", "ws"}
	if s.cfg.secure() {
		schemes = [2]string{"tls", "wss"}
	}
	add := func(scheme, address string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return
		}
		if s.cfg.Advertise != "" {
			host = s.cfg.Advertise
		}
		urls = append(urls, scheme+"://"+net.JoinHostPort(host, port))
	}
	if a, ok := s.nats.Addr().(*net.TCPAddr); ok && s.cfg.Listen != "" {
		add(schemes[0], a.String())
	}
	if s.cfg.WebSocket != "" {
		if _, hostPort, ok := cutScheme(s.nats.WebsocketURL()); ok {
			add(schemes[1], hostPort)
		}
	}
	return urls
}

// Nudge tells a worker to ask for work now. It never blocks, and a worker that is not
// connected misses nothing: it asks as soon as it is.
func (s *Server) Nudge(worker work.PublicKey) {
	if s.conn == nil || s.sessions.get(worker) == nil {
		return
	}
	_ = s.conn.Publish(nudgeSubject(worker), nudgeMessage) // fails only while closing
}

// nudgeMessage is the encoding of Nudge{}: an empty array.
var nudgeMessage = []byte{0x80}

// Connected lists the workers that have a connection, in no order.
func (s *Server) Connected() []work.PublicKey { return s.sessions.connected() }

// Kick ends a worker's connections, for instance because it is unbonded. Authorize
// decides whether it may come back.
func (s *Server) Kick(worker work.PublicKey) {
	for _, c := range s.sessions.remove(worker) {
		_ = s.nats.DisconnectClientByID(c) // it may have left by itself
	}
}

// Close stops taking requests, waits for those under way, and ends all connections.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.stopped.Lock()
		s.down = true
		s.stopped.Unlock()
		s.cancel()
		s.handlers.Wait()
		if s.conn != nil {
			_ = s.conn.FlushTimeout(time.Second) // the last replies; best effort
			s.conn.Close()
		}
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		s.metrics.unregister()
	})
}

// authenticator decides about logins, in the goroutine of each connection.
type authenticator struct{ s *Server }

// Check is called by NATS when a connection introduces itself.
func (a authenticator) Check(c server.ClientAuthentication) bool {
	s, o := a.s, c.GetOpts()
	if o.Nkey == "" {
		own := o.Username == internalUser && subtle.ConstantTimeCompare([]byte(o.Password), []byte(s.secret)) == 1
		if !own {
			s.metrics.logins.WithLabelValues("no_key").Inc()
		}
		return own
	}
	remote := ""
	var from netip.Addr
	if r := c.RemoteAddress(); r != nil {
		remote = r.String()
		if ap, err := netip.ParseAddrPort(remote); err == nil {
			from = ap.Addr().Unmap().WithZone("")
		}
	}
	worker, err := checkLogin(s.cfg.Gateway, c.GetNonce(), o.Nkey, o.Sig)
	if err != nil {
		s.metrics.logins.WithLabelValues("bad_signature").Inc()
		s.log.Info("login refused", "remote", remote, "err", err)
		return false
	}
	// One connection is one worker: a second introduction could change its permissions.
	if s.sessions.known(c.GetID()) {
		s.metrics.logins.WithLabelValues("twice").Inc()
		return false
	}
	if until := s.sessions.bannedUntil(worker); time.Now().Before(until) {
		s.metrics.logins.WithLabelValues("banned").Inc()
		return false
	}
	if err := s.authorize(worker); err != nil {
		s.metrics.logins.WithLabelValues("unauthorized").Inc()
		s.log.Info("login refused", "worker", worker.Short(), "remote", remote, "err", err)
		return false
	}
	c.RegisterUser(&server.User{Username: worker.Short(), Permissions: permissions(worker)})
	s.sessions.add(worker, c.GetID(), from)
	s.metrics.logins.WithLabelValues("ok").Inc()
	s.log.Debug("worker connected", "worker", worker.Short(), "remote", remote)
	return true
}

func (s *Server) authorize(worker work.PublicKey) error {
	ctx, cancel := context.WithTimeout(s.ctx, authorizeTime)
	defer cancel()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return fmt.Errorf("wait to ask about the worker: %w", ctx.Err())
	}
	return s.cfg.Authorize(ctx, worker)
}
