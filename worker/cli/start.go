package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

type startFlags struct {
	home, config, gateway, gatewayKey, ca *string
	kinds                                 *[]string
	capacity, cpus                        *int
	memory, disk                          *size
	drain                                 *time.Duration
	allowLoopback, insecure               *bool
	metrics, pprof, logLevel, logFormat   *string
}

func startCommand(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "start --gateway URL",
		Short: "Work for a gateway until told to stop",
		Long: `Work for a gateway until told to stop. On SIGINT or SIGTERM the worker leases nothing
more, lets what it does come to an end, reports it and exits; a second signal ends it at
once. What it signed and got no voucher for is in its state and reported at the next start.

Every flag can also be set in the environment (--gateway as ` + envPrefix + `GATEWAY) or in
worker.toml in --home (gateway = "https://…"). Flags win over the environment, and that
over the file.`,
		Example: `  cantus-worker start --gateway https://gw.example
  cantus-worker start --gateway https://gw.example --kinds crawl/1 --capacity 8 --memory 1GiB --disk 10GiB`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	memory, disk := size(512<<20), size(4<<30)
	f.Var(&memory, "memory", "memory to stay within, as far as the kinds allow; half of it may be results in flight")
	f.Var(&disk, "disk", "disk to use for results that wait for their upload")
	flags := startFlags{
		home:          homeFlag(f, p),
		config:        f.String("config", "", "configuration file (default worker.toml in --home, if there is one)"),
		gateway:       f.String("gateway", "", "URL of the gateway to work for"),
		gatewayKey:    f.String("gateway-key", "", "public key that the gateway must have (default: what it says)"),
		ca:            f.String("ca", "", "PEM file of certificate authorities to trust instead of the system's"),
		kinds:         f.StringSlice("kinds", nil, "kinds of work to do (default all: "+strings.Join(kindNames(p), ", ")+")"),
		capacity:      f.Int("capacity", 0, "bundles of tasks to do side by side (default 4 for each processor)"),
		cpus:          f.Int("cpus", 0, "processors to use (default all)"),
		memory:        &memory,
		disk:          &disk,
		drain:         f.Duration("drain", 30*time.Second, "how long tasks may go on after the worker was told to stop"),
		allowLoopback: f.Bool("allow-loopback", false, "let tasks reach this machine, if the network allows it too"),
		insecure:      f.Bool("insecure", false, "go without TLS to a gateway on another machine; for closed test networks only"),
		metrics:       f.String("metrics", "", "address to serve Prometheus metrics on, like 127.0.0.1:9464"),
		pprof:         f.String("pprof", "", "loopback address to serve Go profiles on, like 127.0.0.1:6060"),
		logLevel:      f.String("log-level", "info", "debug, info, warn or error"),
		logFormat:     f.String("log-format", "text", "text or json"),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := settings(c); err != nil {
			return err
		}
		return start(c, p, flags)
	}
	return c
}

func start(c *cobra.Command, p Program, f startFlags) error {
	log, err := newLog(c, *f.logLevel, *f.logFormat)
	if err != nil {
		return err
	}
	if *f.gateway == "" {
		return errors.New("no gateway to work for: give --gateway URL")
	}
	if *f.cpus < 0 {
		return fmt.Errorf("--cpus %d: want a positive number", *f.cpus)
	}
	cfg := worker.Config{
		Gateway: *f.gateway, Dir: stateDir(*f.home), Capacity: *f.capacity, Memory: int64(*f.memory), Disk: int64(*f.disk),
		Drain: *f.drain, AllowLoopback: *f.allowLoopback, Insecure: *f.insecure, Version: p.Version, Log: log,
	}
	if *f.drain == 0 {
		cfg.Drain = time.Millisecond
	}
	if cfg.Key, err = worker.LoadKey(keyPath(*f.home)); err != nil {
		return err
	}
	if *f.gatewayKey != "" {
		if cfg.GatewayKey, err = work.ParseKey(*f.gatewayKey); err != nil {
			return fmt.Errorf("--gateway-key: %w", err)
		}
	}
	if cfg.Kinds, err = pickKinds(p, *f.kinds); err != nil {
		return err
	}
	if cfg.TLS, err = trust(*f.ca); err != nil {
		return err
	}
	if *f.cpus > 0 {
		runtime.GOMAXPROCS(*f.cpus)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(*f.memory))
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Metrics = reg
	w, err := worker.New(cfg)
	if err != nil {
		return err
	}
	stopServing, err := serve(log, *f.metrics, *f.pprof, reg)
	if err != nil {
		return err
	}
	defer stopServing()
	ctx, cancel := untilSignal(c.Context(), log)
	defer cancel()
	return w.Run(ctx)
}

func kindNames(p Program) []string {
	var names []string
	for _, k := range p.Kinds() {
		names = append(names, string(k.Name()))
	}
	return names
}

func pickKinds(p Program, names []string) ([]work.Kind, error) {
	all := p.Kinds()
	if len(names) == 0 {
		return all, nil
	}
	var picked []work.Kind
	for _, n := range names {
		i := slices.IndexFunc(all, func(k work.Kind) bool { return string(k.Name()) == n })
		if i < 0 {
			return nil, fmt.Errorf("--kinds: this program doesn't know %q; it knows %s", n, strings.Join(kindNames(p), ", "))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

func trust(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("--ca %s: no certificate in PEM form in it", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func newLog(c *cobra.Command, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", format)
}

// untilSignal ends its context at the first signal and the process at the second.
func untilSignal(parent context.Context, log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			log.Info("stopping; once more to stop at once", "signal", s.String())
			cancel()
		case <-ctx.Done():
			signal.Stop(signals)
			return
		}
		<-signals
		os.Exit(1) // the journal is good at any moment
	}()
	return ctx, cancel
}

// serve starts the listeners for metrics and profiles that were asked for.
func serve(log *slog.Logger, metrics, profiles string, reg *prometheus.Registry) (stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Close() // scrapes that are cut off lose nothing
		}
	}
	add := func(what, address string, h http.Handler) error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("serve %s: %w", what, err)
		}
		s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, s)
		go func() { _ = s.Serve(l) }() // until Close
		log.Info("serving "+what, "address", l.Addr().String())
		return nil
	}
	if metrics != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
		if err := add("metrics", metrics, mux); err != nil {
			return stop, err
		}
	}
	if profiles == "" {
		return stop, nil
	}
	host, _, err := net.SplitHostPort(profiles)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		stop()
		return stop, fmt.Errorf("--pprof %q: profiles show what the worker does: want a loopback address like 127.0.0.1:6060", profiles)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if err := add("profiles", profiles, mux); err != nil {
		stop()
		return stop, err
	}
	return stop, nil
}
