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
	"path/filepath"
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
	"github.com/cantus-network/cantus/worker/witness"
)

type startFlags struct {
	home, config, ca                      *string
	gateways, gatewayKeys, ledgers, kinds *[]string
	failover, ledgerEvery, claimAfter     *time.Duration
	auditsEvery                           *time.Duration
	capacity, cpus                        *int
	memory, disk, modelMemory             *size
	models, backend, backendKey           *string
	backendModels                         *[]string
	threads                               *int
	drain                                 *time.Duration
	allowLoopback, insecure               *bool
	metrics, pprof, logLevel, logFormat   *string
}

func startCommand(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "start --gateway URL",
		Short: "Work for a gateway, or the first of several that answers, until told to stop",
		Long: `Work for a gateway until told to stop. Where several are given, the worker works for the
first that answers, goes on with the next when one is away for --failover, and returns when
the one before has been back for as long. What it did for one of them stays in that one's
journal and is reported to it; audits are answered at all of them.

It answers prompts with the models in --models ("cantus model" puts them there); one that
is added while it runs is used from then on. Without models it does the other kinds of work.

With --infer-backend it also answers by a foreign inference server, whose answers are measured
instead of replayed; it must be enrolled for that (--kinds infer-measured/1).

With --ledger the worker looks after its own: it checks that what was promised to it is
committed, and challenges the gateway if it isn't; it brings its verdicts and claims to the
ledger if the gateway doesn't. It sends as the account in account.key, which holds no money:
its operator pays the fees ("cantus worker enroll" grants that).

On SIGINT or SIGTERM the worker leases nothing
more, lets what it does come to an end, reports it and exits; a second signal ends it at
once. What it signed and got no voucher for is in its state and reported at the next start.

Every flag can also be set in the environment (--gateway as ` + envPrefix + `GATEWAY) or in
worker.toml in --home (gateway = "https://…"). Flags win over the environment, and that
over the file.`,
		Example: `  cantus-worker start --gateway https://gw.example
  cantus-worker start --gateway https://gw.example --gateway https://other.example --ledger https://node.example:1317
  cantus-worker start --gateway https://gw.example --kinds crawl/1 --capacity 8 --memory 1GiB --disk 10GiB
  cantus-worker start --gateway https://gw.example --models /srv/models --model-memory 24GiB`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	memory, disk, modelMemory := size(512<<20), size(4<<30), size(4<<30)
	f.Var(&modelMemory, "model-memory", "memory for models and their answers, besides --memory")
	f.Var(&memory, "memory", "memory to stay within, as far as the kinds allow; half of it may be results in flight")
	f.Var(&disk, "disk", "disk to use for results that wait for their upload")
	flags := startFlags{
		home:          homeFlag(f, p),
		config:        f.String("config", "", "configuration file (default worker.toml in --home, if there is one)"),
		gateways:      f.StringSlice("gateway", nil, "URL of a gateway to work for; several by preference"),
		gatewayKeys:   f.StringSlice("gateway-key", nil, "public key that the gateway must have, one for each (default: what they say)"),
		failover:      f.Duration("failover", 30*time.Second, "how long a gateway may be away before the worker goes on with the next"),
		ledgers:       f.StringSlice("ledger", nil, "URL of a ledger node's REST interface to look after the pay at; several by preference"),
		ledgerEvery:   f.Duration("ledger-every", time.Minute, "how often to look at the ledger when nothing is due"),
		auditsEvery:   f.Duration("audits-every", 15*time.Second, "how often at most to ask the ledger what to audit; oftener where blocks come fast"),
		claimAfter:    f.Duration("claim-after", 10*time.Minute, "how long after a job's end to leave the claim to its gateway"),
		ca:            f.String("ca", "", "PEM file of certificate authorities to trust instead of the system's"),
		kinds:         f.StringSlice("kinds", nil, "kinds of work to do (default all: "+kindNames(p)+")"),
		capacity:      f.Int("capacity", 0, "bundles of tasks to do side by side (default 4 for each processor)"),
		cpus:          f.Int("cpus", 0, "processors to use (default all)"),
		models:        f.String("models", p.Models, "directory of the models to answer with (default models in --home)"),
		modelMemory:   &modelMemory,
		backend:       f.String("infer-backend", "", "`URL` of an OpenAI-compatible inference server to answer with, such as vLLM's"),
		backendModels: f.StringArray("infer-backend-model", nil, "`NAME=BACKENDNAME`: a measured model, and what the server calls it (repeatable; default: the only one)"),
		backendKey:    f.String("infer-backend-key-file", "", "`file` whose first line is the server's key"),
		threads:       f.Int("threads", 0, "threads that one model is computed with (default all processors)"),
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
		if err := configure(c); err != nil {
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
	endpoints, err := f.endpoints()
	if err != nil {
		return err
	}
	if *f.cpus < 0 || *f.threads < 0 {
		return fmt.Errorf("--cpus %d, --threads %d: want positive numbers", *f.cpus, *f.threads)
	}
	cfg := worker.Config{
		Gateway: endpoints[0].URL, GatewayKey: endpoints[0].Key, Fallbacks: endpoints[1:], Failover: *f.failover,
		LedgerEvery: *f.ledgerEvery, ClaimAfter: *f.claimAfter, AuditsEvery: *f.auditsEvery, Dir: stateDir(*f.home), Capacity: *f.capacity, Memory: int64(*f.memory), Disk: int64(*f.disk),
		Drain: *f.drain, AllowLoopback: *f.allowLoopback, Insecure: *f.insecure, Version: p.Version, Log: log,
	}
	if *f.drain == 0 {
		cfg.Drain = time.Millisecond
	}
	if cfg.Key, err = worker.LoadKey(keyPath(*f.home)); err != nil {
		return err
	}
	if cfg.TLS, err = trust(*f.ca); err != nil {
		return err
	}
	if cfg.Ledger, err = f.openLedger(cfg); err != nil {
		return err
	}
	if *f.cpus > 0 {
		runtime.GOMAXPROCS(*f.cpus)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(*f.memory) + int64(*f.modelMemory))
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Metrics = reg
	kinds, stopKinds, err := f.openKinds(p, reg, log)
	if err != nil {
		return err
	}
	defer stopKinds()
	cfg.Kinds = kinds
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

// endpoints are the gateways with the keys that they must have.
func (f startFlags) endpoints() ([]worker.Endpoint, error) {
	urls, keys := *f.gateways, *f.gatewayKeys
	if len(urls) == 0 {
		return nil, errors.New("no gateway to work for: give --gateway URL")
	}
	if len(keys) > 0 && len(keys) != len(urls) {
		return nil, fmt.Errorf("--gateway-key: %d keys for %d gateways: give one for each, in the same order", len(keys), len(urls))
	}
	all := make([]worker.Endpoint, len(urls))
	for i, u := range urls {
		all[i].URL = u
		if len(keys) == 0 {
			continue
		}
		var err error
		if all[i].Key, err = work.ParseKey(keys[i]); err != nil {
			return nil, fmt.Errorf("--gateway-key: %w", err)
		}
	}
	return all, nil
}

// openLedger makes the worker's eye on the ledger, or nil where none was asked for.
func (f startFlags) openLedger(cfg worker.Config) (*witness.Ledger, error) {
	if len(*f.ledgers) == 0 {
		return nil, nil
	}
	account, err := witness.LoadAccount(accountPath(*f.home))
	if errors.Is(err, witness.ErrNoAccount) {
		cfg.Log.Warn("the worker only looks at the ledger and can't send anything", "err", err)
		account, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := witness.New(witness.Options{URLs: *f.ledgers, Account: account, Insecure: cfg.Insecure, TLS: cfg.TLS, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("--ledger: %w", err)
	}
	return l, nil
}

func kindNames(p Program) string {
	names := make([]string, 0, len(p.Names))
	for _, n := range p.Names {
		names = append(names, string(n))
	}
	return strings.Join(names, ", ")
}

// openKinds makes the kinds that --kinds names, or all.
func (f startFlags) openKinds(p Program, reg prometheus.Registerer, log *slog.Logger) ([]work.Kind, func(), error) {
	for _, n := range *f.kinds {
		if !slices.Contains(p.Names, work.Name(n)) {
			return nil, nil, fmt.Errorf("--kinds: this program doesn't know %q; it knows %s", n, kindNames(p))
		}
	}
	m := Machine{Models: *f.models, Memory: int64(*f.modelMemory), Threads: *f.threads, Metrics: reg, Log: log,
		Backend: *f.backend, BackendModels: *f.backendModels, BackendKeyFile: *f.backendKey}
	if m.Models == "" {
		m.Models = filepath.Join(*f.home, "models")
	}
	all, stop, err := p.Kinds(m)
	if err != nil || len(*f.kinds) == 0 {
		return all, stop, err
	}
	return slices.DeleteFunc(all, func(k work.Kind) bool { return !slices.Contains(*f.kinds, string(k.Name())) }), stop, nil
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
