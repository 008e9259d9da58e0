package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// Config is what a gateway is made of. The first group must be set.
type Config struct {
	Chain   string // the ledger's chain ID
	Address string // the gateway's account
	Key     work.PrivateKey
	FeeBps  uint32
	Dir     string // state: the scheduler's database and the artifacts
	Kinds   []work.Kind
	Ledger  scheduler.Ledger

	// Addresses to listen on. Empty: a free loopback port, the same at each start if it is
	// still free. Others than loopback want a certificate.
	Listen         string // HTTP
	PlaneListen    string // workers over TCP
	PlaneWebSocket string // workers over WebSocket
	// Advertise is the host name that others reach the gateway by; empty for the listeners'
	// own addresses.
	Advertise string
	TLS       *tls.Config // of both doors; nil for none

	AllowLoopback   bool         // the network's genesis allows crawling loopback addresses
	ClaimForWorkers bool         // send the workers' claims for them
	Docs            http.Handler // served under /docs/; nil for none
	Models          http.Handler // files of models, served under /models; nil for none
	Version         string
	Quota           int64 // bytes of artifacts; 0 for as many as the disk takes

	// Artifacts keeps the blobs; nil for files in Dir.
	Artifacts artifact.Store
	// Cells reads the gateway's cells from the ledger; nil where it has none.
	Cells  func(context.Context) ([]work.Cell, error)
	Cell   string // the one that this is; empty where the gateway has none
	Limits Limits
	// Decoys, PlantBps and Networks are the scheduler's: see scheduler.Config.
	Decoys   []work.PrivateKey
	PlantBps int
	Networks func(netip.Addr) string
	// Drain is how long tasks that are out may take to come in when Run's context ends or
	// the operator asks for a stop; 0 to stop at once.
	Drain time.Duration

	Log     *slog.Logger
	Metrics *prometheus.Registry
}

// NewRegistry is a registry with the process's own figures: memory, goroutines, descriptors.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gateway is a running one.
type Gateway struct {
	cfg       Config
	log       *slog.Logger
	artifacts artifact.Store
	files     *artifact.FS // the artifacts, where they are files of the gateway's own
	scheduler *scheduler.Scheduler
	plane     atomic.Pointer[plane.Server] // nil until it listens; the scheduler starts before
	tokens    tokens
	uploads   uploads
	clients   *limiter
	requests  *prometheus.HistogramVec
	guard     *guard
	cells     cells
	database  *probe
	store     *probe
	draining  atomic.Bool
	leave     func()        // asks Run to drain and end
	leaving   chan struct{} // closed by leave
	admin     *http.Server
	listener  net.Listener
	server    *http.Server
	url       string
	streams   atomic.Int64
	trees     chan struct{} // one token for whoever builds a tree
	closing   chan struct{} // closed when Close begins
	once      sync.Once
	closeErr  error
}

// New opens the gateway's state and its listeners. Workers can connect from then on; Run
// serves HTTP.
func New(cfg Config) (_ *Gateway, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	switch {
	case cfg.Chain == "" || cfg.Address == "" || cfg.Dir == "" || cfg.Ledger == nil || len(cfg.Kinds) == 0:
		return nil, errors.New("gateway: Config lacks chain, address, directory, ledger or kinds")
	case cfg.Artifacts != nil && cfg.Quota != 0:
		return nil, errors.New("gateway: a quota is for artifacts in files: give the store of Config.Artifacts its own")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Log, clients: newLimiter(cfg.Limits), closing: make(chan struct{}), leaving: make(chan struct{}), trees: make(chan struct{}, 2),
		tokens: newTokens(cfg.Key), uploads: newUploads(), cells: cells{read: cfg.Cells},
	}
	g.leave = sync.OnceFunc(func() { close(g.leaving) })
	g.guard = newGuard(cfg.Ledger, g.clients)
	g.newProbes()
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	g.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cantus_gateway_request_seconds", Help: "HTTP requests by route and status.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
	}, []string{"route", "status"})
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cantus_gateway_streams", Help: "Event streams that are open."}, func() float64 { return float64(g.streams.Load()) })
	draining := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cantus_gateway_draining", Help: "1 while the gateway is about to stop."}, func() float64 {
		if g.Draining() {
			return 1
		}
		return 0
	})
	for _, c := range []prometheus.Collector{g.requests, g.clients.refused, streams, draining} {
		if err := cfg.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("gateway: register metrics: %w", err)
		}
	}
	if g.artifacts = cfg.Artifacts; g.artifacts == nil {
		if g.files, err = artifact.OpenFS(filepath.Join(cfg.Dir, "artifacts"), artifact.Options{Quota: cfg.Quota}); err != nil {
			return nil, err
		}
		g.artifacts = g.files
	}
	ports, err := readPorts(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := g.listen(ports); err != nil {
		return nil, err
	}
	g.scheduler, err = scheduler.Open(scheduler.Config{
		Chain: cfg.Chain, Key: cfg.Key, Ledger: g.guard, Kinds: cfg.Kinds, Artifacts: g.artifacts,
		Dir: filepath.Join(cfg.Dir, "scheduler"),
		Nudge: func(k work.PublicKey) {
			if p := g.plane.Load(); p != nil {
				p.Nudge(k)
			}
		},
		AllowPrivate:    allowLoopback(cfg.AllowLoopback),
		ClaimForWorkers: cfg.ClaimForWorkers,
		Decoys:          cfg.Decoys, PlantBps: cfg.PlantBps, Networks: cfg.Networks,
		Log: cfg.Log, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	g.guard.serve(g.scheduler)
	if err := g.listenPlane(ports); err != nil {
		return nil, err
	}
	if err := ports.write(cfg.Dir); err != nil {
		return nil, err
	}
	if err := g.openAdmin(); err != nil {
		return nil, err
	}
	g.server = &http.Server{
		TLSConfig:         cfg.TLS,
		Handler:           g.routes(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{})),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return g, nil
}

// listen opens the HTTP listener.
func (g *Gateway) listen(p *ports) error {
	addr := g.cfg.Listen
	if addr == "" {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.HTTP))
	}
	if !loopback(addr) && g.cfg.TLS == nil {
		return fmt.Errorf("gateway: %s can be reached from other machines: give a certificate, or listen on loopback behind a proxy that has one", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && g.cfg.Listen == "" {
		l, err = net.Listen("tcp", "127.0.0.1:0") // somebody took the port meanwhile
	}
	if err != nil {
		return fmt.Errorf("gateway: listen on %s: %w; choose another address with --listen", addr, err)
	}
	g.listener = l
	g.url = g.publicURL(l.Addr())
	p.HTTP = port(l.Addr())
	return nil
}

func (g *Gateway) publicURL(addr net.Addr) string {
	scheme := "http"
	if g.cfg.TLS != nil {
		scheme = "https"
	}
	host := addr.String()
	if g.cfg.Advertise != "" {
		host = net.JoinHostPort(g.cfg.Advertise, strconv.Itoa(port(addr)))
	}
	return scheme + "://" + host
}

func (g *Gateway) listenPlane(p *ports) error {
	tcp, ws := g.cfg.PlaneListen, g.cfg.PlaneWebSocket
	remembered := tcp == "" && ws == ""
	if remembered {
		tcp = net.JoinHostPort("127.0.0.1", strconv.Itoa(free(p.Plane)))
		ws = net.JoinHostPort("127.0.0.1", strconv.Itoa(free(p.WebSocket)))
	}
	s, err := plane.Listen(plane.Config{
		Listen: tcp, WebSocket: ws, Advertise: g.cfg.Advertise, TLS: g.cfg.TLS,
		Gateway: g.cfg.Key.Public(), Authorize: g.authorize, Handler: handler{g},
		Log: g.cfg.Log, Metrics: g.cfg.Metrics,
	})
	if err != nil {
		return err
	}
	g.plane.Store(s)
	if remembered {
		p.remember(s.URLs())
	}
	return nil
}

// URL is where buyers and workers reach the gateway.
func (g *Gateway) URL() string { return g.url }

// Scheduler is the gateway's own, for tests and tools in the same process.
func (g *Gateway) Scheduler() *scheduler.Scheduler { return g.scheduler }

// Artifacts is the gateway's store, for what else runs in its process.
func (g *Gateway) Artifacts() artifact.Store { return g.artifacts }

// shutdownGrace is how long requests may take to end.
const shutdownGrace = 5 * time.Second

// Run serves until ctx ends or the operator asks for a stop, when it drains, or until Close
// is called.
func (g *Gateway) Run(ctx context.Context) error {
	served := make(chan struct{})
	defer close(served)
	go func() {
		select {
		case <-ctx.Done():
		case <-g.leaving:
		case <-served:
			return
		}
		g.stop()
	}()
	g.log.Info("gateway serves", "url", g.url, "plane", g.plane.Load().URLs(), "address", g.cfg.Address)
	var err error
	if g.cfg.TLS != nil {
		err = g.server.ServeTLS(g.listener, "", "")
	} else {
		err = g.server.Serve(g.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return g.Close() // waits for the one that is under way
	}
	return errors.Join(fmt.Errorf("gateway: serve %s: %w", g.url, err), g.Close())
}

// Close ends requests, then the plane, then the scheduler. Nothing that was acknowledged
// is lost without it.
func (g *Gateway) Close() error {
	g.once.Do(func() {
		var errs []error
		if g.server != nil {
			close(g.closing) // ends the event streams
			ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
			if err := g.server.Shutdown(ctx); err != nil {
				g.server.Close()
			}
			cancel()
		}
		if g.listener != nil {
			g.listener.Close()
		}
		g.closeAdmin()
		if p := g.plane.Load(); p != nil {
			p.Close()
		}
		if g.scheduler != nil {
			errs = append(errs, g.scheduler.Close())
		}
		if g.files != nil {
			errs = append(errs, g.files.Close())
		}
		g.closeErr = errors.Join(errs...)
	})
	return g.closeErr
}
