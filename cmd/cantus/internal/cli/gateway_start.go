package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/s3store"
	"github.com/cantus-network/cantus/cmd/cantus/internal/desk"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/docs"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/gateway/certs"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// gatewayFlags are those of gateway start.
type gatewayFlags struct {
	from, cell                          string
	listen, plane, websocket, advertise string
	tls                                 tlsFlags
	claim                               bool
	artifacts, networks, models         string
	quota                               size
	drain                               time.Duration
	decoys                              []string
	plants                              int
	limits                              gateway.Limits
}

// tlsFlags say where a certificate comes from.
type tlsFlags struct {
	cert, key                          string
	domains                            []string
	email, directory, roots, challenge string
}

func (f *gatewayFlags) add(s *pflag.FlagSet) {
	s.StringVar(&f.from, "from", "gateway", "the account that transactions are sent by: the gateway's, or the cell's")
	s.StringVar(&f.cell, "cell", "", "run this `cell` of the gateway")
	s.StringVar(&f.listen, "listen", "127.0.0.1:7600", "`address` of the HTTP door")
	s.StringVar(&f.plane, "plane", "127.0.0.1:7601", "`address` that workers connect to over TCP")
	s.StringVar(&f.websocket, "websocket", "127.0.0.1:7602", "`address` that workers connect to over WebSocket")
	s.StringVar(&f.advertise, "advertise", "", "`host` name that workers reach it by (default: the first of --acme-domain)")
	s.StringVar(&f.tls.cert, "tls-cert", "", "certificate `file`, PEM; read again when it changes")
	s.StringVar(&f.tls.key, "tls-key", "", "its key `file`, PEM")
	s.StringSliceVar(&f.tls.domains, "acme-domain", nil, "get a certificate for this `host` name by ACME, accepting the authority's terms (repeatable)")
	s.StringVar(&f.tls.email, "acme-email", "", "where the authority may write to")
	s.StringVar(&f.tls.directory, "acme-directory", "", "`URL` of another authority than Let's Encrypt")
	s.StringVar(&f.tls.roots, "acme-roots", "", "PEM `file` of certificate authorities to trust when talking to it")
	s.StringVar(&f.tls.challenge, "acme-http", "", "`address` to answer the authority over plain HTTP, like :80; without it the HTTP door must be reachable at port 443")
	s.BoolVar(&f.claim, "claim", true, "send the workers' claims for them once a job is settled")
	s.StringVar(&f.artifacts, "artifacts", "", artifactsHelp)
	s.StringVar(&f.models, "models", "", "`directory` of the models that tabs here may use (default: models in --home)")
	s.Var(&f.quota, "quota", "`size` of artifacts that are kept at most, like 500GiB (default: as much as the disk takes)")
	s.DurationVar(&f.drain, "drain", 30*time.Second, "how long tasks that are out may take to come in when the gateway is told to stop; 0 to stop at once")
	s.StringArrayVar(&f.decoys, "decoy-key", nil, "key `file` of an enrolled worker in the gateway's own hands that plants receipts for auditors to find (repeatable)")
	s.IntVar(&f.plants, "plants", 0, "plants in `basis points` of all receipts (default 50 where there are decoys, -1 for none)")
	s.StringVar(&f.networks, "networks", "", "table of which network an address is in, to hold workers to the one that they declare: a `file` of lines like 203.0.113.0/24 AS64500")
	l := &f.limits
	s.Float64Var(&l.Requests, "limit-requests", 500, "requests a second from one address; below 0 for no limit, as for all limits")
	s.Float64Var(&l.Proofs, "limit-proofs", 50, "pages of receipts and proofs of pay a second to one address")
	s.Float64Var(&l.Specs, "limit-specs", 1, "specs a second from one address")
	s.Var((*size)(&l.SpecBytes), "limit-spec-bytes", "`size` of specs an hour from one address")
	s.Var((*size)(&l.Uploads), "limit-uploads", "`size` of artifacts a second from one worker")
	s.IntVar(&l.Jobs, "limit-jobs", 256, "open jobs of one buyer that are worked on at a time")
	s.IntVar(&l.Streams, "limit-streams", 4096, "event streams open at a time")
}

const artifactsHelp = "where blobs are kept: a `directory` (default: gateway/artifacts in --home) or s3://bucket/prefix?endpoint=URL&region=NAME"

func gatewayStart(g *globals) *cobra.Command {
	f := gatewayFlags{limits: gateway.Limits{SpecBytes: 64 << 20, Uploads: 64 << 20}}
	c := &cobra.Command{
		Use:   "start",
		Short: "Run a gateway until Ctrl-C",
		Long: `Runs the gateway that "cantus gateway register" has bonded. It listens on loopback unless
told otherwise; on any other address it wants a certificate, from files or by ACME.

It answers OpenAI's routes under /v1 for whoever has an API key of a tab ("cantus tab open"),
with the models in --models, which it hands to workers and verifiers under /models.

At SIGTERM, Ctrl-C or "cantus gateway drain" it takes on nothing more, waits up to --drain
for the tasks that are out, commits what was done and ends; a second signal ends it at
once. Nothing that it acknowledged is lost either way.

` + settingsHelp("gateway"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := g.settings(cmd, "gateway"); err != nil {
				return err
			}
			return g.runGateway(cmd, f)
		},
	}
	f.add(c.Flags())
	return c
}

func (g *globals) runGateway(cmd *cobra.Command, f gatewayFlags) error {
	ctx := cmd.Context()
	log, err := g.logger(os.Stderr)
	if err != nil {
		return err
	}
	log = log.With("part", "gateway")
	release, err := g.home().Lock()
	if err != nil {
		return err
	}
	defer release()
	if err := refuseMoved(g.home()); err != nil {
		return err
	}
	s, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	a, err := s.account(f.from)
	if err != nil {
		return err
	}
	key, err := market.NodeKey(keyFile(g.home()))
	if err != nil {
		return err
	}
	me, ledger, err := s.identity(ctx, a, key, f.cell)
	if err != nil {
		return err
	}
	params, err := s.Params(ctx)
	if err != nil {
		return err
	}
	registry := gateway.NewRegistry()
	if f.models == "" {
		f.models = g.home().Models()
	}
	kinds, stopKinds, err := all.Kinds(all.Options{Models: f.models, Metrics: registry, Log: log})
	if err != nil {
		return err
	}
	defer stopKinds()
	cfg := gateway.Config{
		Chain: s.net.ChainID, Address: me.Address, Key: key, FeeBps: me.FeeBps,
		Dir: g.home().Gateway(), Kinds: kinds, Ledger: ledger, Models: modeldir.At(f.models).Handler(),
		Listen: f.listen, PlaneListen: f.plane, PlaneWebSocket: f.websocket, Advertise: f.advertise,
		AllowLoopback: params.AllowLoopback, ClaimForWorkers: f.claim,
		Docs: docs.Handler(), Version: g.version, Limits: f.limits, Drain: f.drain,
		Cells: s.cells(me.Address), Cell: f.cell, PlantBps: f.plants,
		Log: log, Metrics: registry,
	}
	for _, path := range f.decoys {
		k, err := worker.LoadKey(path)
		if err != nil {
			return fmt.Errorf("--decoy-key: %w", err)
		}
		cfg.Decoys = append(cfg.Decoys, k)
	}
	if f.networks != "" {
		if cfg.Networks, err = gateway.LoadNetworks(f.networks); err != nil {
			return fmt.Errorf("--networks: %w", err)
		}
	}
	var closer io.Closer
	if cfg.Artifacts, closer, err = openArtifacts(ctx, f.artifacts, int64(f.quota)); err != nil {
		return err
	}
	if closer != nil {
		defer closer.Close()
	}
	if cfg.Artifacts == nil {
		cfg.Quota = int64(f.quota)
	}
	var stop func()
	if cfg.TLS, stop, err = f.tls.open(g.home(), log); err != nil {
		return err
	}
	defer stop()
	if cfg.Advertise == "" && len(f.tls.domains) > 0 {
		cfg.Advertise = f.tls.domains[0]
	}
	gw, err := gateway.New(cfg)
	if err != nil {
		return err
	}
	if g.json {
		err = printJSON(cmd.OutOrStdout(), map[string]string{"chain_id": cfg.Chain, "gateway": gw.URL(), "address": me.Address, "cell": f.cell})
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "gateway %s serves %s at %s\n", me.Address, cfg.Chain, gw.URL())
	}
	if err != nil {
		gw.Close()
		return err
	}
	counter, err := desk.Beside(ctx, s.ledger, a.Name, gw, cfg)
	if err != nil {
		gw.Close()
		return err
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	if counter != nil {
		beside.Go(func() { counter.Run(ctx) })
	}
	return gw.Run(ctx)
}

func keyFile(h home.Dir) string { return filepath.Join(h.Gateway(), "gateway.key") }

// identity finds out on the ledger whose gateway, or which cell of it, the key and the
// account make, and how to speak for it.
func (s *session) identity(ctx context.Context, a keys.Account, key work.PrivateKey, cell string) (work.Gateway, *market.Ledger, error) {
	sender := a.Address.String()
	fail := func(err error) (work.Gateway, *market.Ledger, error) { return work.Gateway{}, nil, err }
	chain := market.NewChain(s.ledger, a.Name)
	if cell == "" {
		rec, err := s.GatewayRecord(ctx, sender)
		if err != nil {
			return fail(fmt.Errorf("%w; bond it first with `cantus gateway register`", err))
		}
		me, err := market.PlainGateway(rec)
		if err != nil {
			return fail(err)
		}
		if me.Key != key.Public() {
			return fail(fmt.Errorf("the ledger knows the gateway %s by another key than the one in %s", sender, s.g.home().Gateway()))
		}
		return me, market.NewLedger(s.View, chain, sender), nil
	}
	records, err := s.GatewayRecords(ctx)
	if err != nil {
		return fail(err)
	}
	for _, rec := range records {
		me, err := market.PlainGateway(rec)
		if err != nil || me.Key != key.Public() {
			continue
		}
		i := slices.IndexFunc(me.Cells, func(c work.Cell) bool { return c.Name == cell })
		switch {
		case i < 0:
			return fail(fmt.Errorf("the gateway %s has no cell %q on the ledger: `cantus gateway cells` shows and sets them", me.Address, cell))
		case me.Cells[i].Address != sender && me.Address != sender:
			return fail(fmt.Errorf("the cell %q of gateway %s commits by the account %s, --from names %s", cell, me.Address, me.Cells[i].Address, sender))
		}
		return me, market.NewCellLedger(s.View, chain, me.Address, cell, sender), nil
	}
	return fail(fmt.Errorf("no gateway on the ledger has the key in %s: a cell needs a copy of its gateway's gateway.key", s.g.home().Gateway()))
}

// cells reads a gateway's cells anew each time.
func (s *session) cells(address string) func(context.Context) ([]work.Cell, error) {
	return func(ctx context.Context) ([]work.Cell, error) {
		rec, err := s.GatewayRecord(ctx, address)
		if err != nil {
			return nil, err
		}
		g, err := market.PlainGateway(rec)
		return g.Cells, err
	}
}

// openArtifacts opens the store that --artifacts names; nil for the gateway's own files.
func openArtifacts(ctx context.Context, address string, quota int64) (artifact.Store, io.Closer, error) {
	switch {
	case address == "":
		return nil, nil, nil
	case strings.HasPrefix(address, s3store.Scheme):
		o, err := s3store.Parse(address)
		if err != nil {
			return nil, nil, fmt.Errorf("--artifacts: %w", err)
		}
		o.Quota = quota
		st, err := s3store.Open(ctx, o)
		if err != nil {
			return nil, nil, fmt.Errorf("--artifacts: %w", err)
		}
		return st, nil, nil
	case strings.Contains(address, "://"):
		return nil, nil, usagef("--artifacts %q: want a directory or s3://bucket/prefix", address)
	}
	st, err := artifact.OpenFS(address, artifact.Options{Quota: quota})
	if err != nil {
		return nil, nil, fmt.Errorf("--artifacts: %w", err)
	}
	return st, st, nil
}

// open gets a certificate from where the flags say; nil where they say nothing.
func (f tlsFlags) open(h home.Dir, log *slog.Logger) (c *tls.Config, stop func(), err error) {
	stop = func() {}
	switch {
	case len(f.domains) > 0 && (f.cert != "" || f.key != ""):
		return nil, stop, usagef("--acme-domain and --tls-cert: a certificate comes from one of them")
	case f.cert != "" || f.key != "":
		c, err = certs.Files(f.cert, f.key)
		return c, stop, err
	case len(f.domains) == 0:
		return nil, stop, nil
	}
	a := certs.ACME{Domains: f.domains, Dir: h.Path("acme"), Email: f.email, Directory: f.directory}
	if f.roots != "" {
		b, err := os.ReadFile(f.roots)
		if err != nil {
			return nil, stop, fmt.Errorf("--acme-roots: %w", err)
		}
		a.Roots = x509.NewCertPool()
		if !a.Roots.AppendCertsFromPEM(b) {
			return nil, stop, fmt.Errorf("--acme-roots %s: no certificate in PEM form in it", f.roots)
		}
	}
	c, answer, err := a.Open()
	if err != nil || f.challenge == "" {
		return c, stop, err
	}
	l, err := listenTCP("--acme-http", f.challenge)
	if err != nil {
		return nil, stop, err
	}
	srv := &http.Server{
		Handler: answer, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go srv.Serve(l) // until Close
	return c, func() { srv.Close() }, nil
}
