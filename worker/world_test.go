package worker_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore/httpstoretest"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

const chain = "test-1"

// echo is a kind whose result is its task's text, in a blob if the text says so. A line
// for each execution is appended to the file that the spec names.
type echo struct{}

type echoResult struct {
	_    struct{} `cbor:",toarray"`
	Text string
	Blob artifact.Digest
}

var _ work.Kind = echo{}

func (echo) Name() work.Name { return "echo/1" }

func (echo) Check(spec []byte) (work.Needs, error) {
	if strings.HasPrefix(string(spec), "bad") {
		return work.Needs{}, errors.New("a bad spec")
	}
	n := work.Needs{UnitsPerTask: 1000, TaskTime: time.Minute}
	if strings.HasPrefix(string(spec), "live") {
		n.Silence = 5 * time.Second
	}
	return n, nil
}

func (echo) Meter(t work.Task, r work.Result) (uint64, error) {
	e, err := work.Decode[echoResult](r.Body, work.MaxResult)
	if err != nil {
		return 0, err
	}
	if e.Text != string(t.Body) {
		return 0, errors.New("another task's result")
	}
	return uint64(len(e.Text)), nil
}

func (echo) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	if log := string(t.Spec); strings.HasPrefix(log, "/") {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return work.Result{}, err
		}
		fmt.Fprintln(f, t.Seq)
		f.Close()
	}
	text, _, _ := strings.Cut(string(t.Body), ":")
	switch text {
	case "panic":
		panic("as asked")
	case "error":
		return work.Result{}, errors.New("cannot do it")
	case "wait":
		<-ctx.Done()
		return work.Result{}, ctx.Err()
	case "slow":
		time.Sleep(200 * time.Millisecond)
	case "loopback":
		c, err := env.Dial(ctx, "tcp", "127.0.0.1:1")
		if errors.Is(err, work.ErrForbiddenAddress) {
			return work.Result{}, err
		}
		if err == nil {
			c.Close()
		}
	case "private":
		if _, err := env.Dial(ctx, "tcp", "10.0.0.1:80"); err != nil {
			return work.Result{}, err
		}
	case "stream": // says one thing after another until nobody listens
		for i := 0; ; i++ {
			env.Stream.Send(fmt.Appendf(nil, "%s %d", t.Body, i))
			select {
			case <-env.Stream.Stopped():
				b, err := work.Encode(echoResult{Text: string(t.Body)})
				return work.Result{Body: b}, err
			case <-ctx.Done():
				return work.Result{}, ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	case "unput":
		b, _ := work.Encode(echoResult{Text: string(t.Body), Blob: artifact.Sum([]byte("nowhere"))})
		return work.Result{Body: b, Blobs: []artifact.Digest{artifact.Sum([]byte("nowhere"))}}, nil
	case "huge":
		return work.Result{Body: make([]byte, work.MaxResult+1)}, nil
	case "lie":
		b, _ := work.Encode(echoResult{Text: "something else"})
		return work.Result{Body: b}, nil
	}
	r := echoResult{Text: string(t.Body)}
	var blobs []artifact.Digest
	if text == "blob" || text == "bigblob" {
		b := []byte("blob of " + string(t.Body))
		if text == "bigblob" {
			b = append(b, make([]byte, 3<<20)...)
		}
		if _, err := env.Blobs.Put(ctx, append(b, "and one that isn't named"...)); err != nil {
			return work.Result{}, err
		}
		d, err := env.Blobs.Put(ctx, b)
		if err != nil {
			return work.Result{}, err
		}
		if got, err := env.Blobs.Get(ctx, d, 0); err != nil || len(got) != len(b) {
			return work.Result{}, fmt.Errorf("my own blob: %d bytes, %w", len(got), err)
		}
		r.Blob, blobs = d, []artifact.Digest{d}
	}
	b, err := work.Encode(r)
	return work.Result{Body: b, Blobs: blobs}, err
}

// Holds implements work.Holder.
func (echo) Holds() []artifact.Digest { return []artifact.Digest{artifact.Sum([]byte("held"))} }

func (echo) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	text, _, _ := strings.Cut(string(t.Body), ":")
	switch text {
	case "panic":
		panic("as asked")
	case "error":
		return work.Verdict{}, errors.New("cannot find out")
	case "scored":
		return work.Verdict{Outcome: work.Fail, Label: work.Measured, Score: 40}, nil
	case "forged":
		d, err := env.Blobs.Put(ctx, []byte("what the auditor saw"))
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed, Evidence: d}, err
	}
	return work.Verdict{Outcome: work.Pass, Label: work.Replayed}, nil
}

// gateway is an in-process gateway: a plane, an artifact store, and a queue.
type gateway struct {
	t     testing.TB
	key   work.PrivateKey
	store *artifact.Memory
	plane *plane.Server
	http  *httptest.Server
	url   string

	storeDown   atomic.Bool
	doneDown    atomic.Bool
	refuseLease atomic.Bool
	tokens      atomic.Int64 // the token of now
	uploads     atomic.Int64
	ahead       atomic.Int64 // of its clock, in nanoseconds
	account     string
	cells       atomic.Pointer[string] // what it answers; nil for 404
	pay         atomic.Pointer[string]

	mu       sync.Mutex
	parts    map[uint64][]string // by task
	signs    int                 // of life
	enough   int                 // parts of a task after which nobody listens any more
	seq      uint64
	bundles  []plane.Bundle
	audits   []plane.Audit
	reveals  []plane.Reveal
	receipts map[plane.LeaseID]work.SignedReceipt
	twice    int // receipts that came again
	units    map[work.JobID]uint64
	failures map[plane.LeaseID]plane.Failure
	commits  []plane.VerdictCommit
	revealed []plane.VerdictReveal
	asked    []plane.LeaseRequest
	hellos   int
	voucher  func(work.Voucher) *work.Voucher // changes vouchers; nil for honest ones
	refuse   func(work.Receipt) string
	loopback bool
	changed  chan struct{}
}

func newGateway(t testing.TB) *gateway { return newGatewayOf(t, newKey(t)) }

// newGatewayOf makes a gateway, or one cell of it, with a key.
func newGatewayOf(t testing.TB, key work.PrivateKey) *gateway {
	t.Helper()
	store, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	g := &gateway{
		t: t, key: key, store: store,
		receipts: map[plane.LeaseID]work.SignedReceipt{}, units: map[work.JobID]uint64{},
		failures: map[plane.LeaseID]plane.Failure{}, changed: make(chan struct{}),
		parts: map[uint64][]string{}, enough: 10,
	}
	g.listen("127.0.0.1:0")
	t.Cleanup(func() { g.plane.Close() })
	api := httpstoretest.Handler(store, func(token string) bool { return token == fmt.Sprint(g.tokens.Load()) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/info", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(worker.Info{Chain: chain, Account: g.account, Gateway: g.key.Public(), Plane: g.planeURLs(), Artifacts: g.url})
	})
	mux.HandleFunc("GET /v1/cells", func(w http.ResponseWriter, r *http.Request) {
		if cells := g.cells.Load(); cells != nil {
			fmt.Fprint(w, *cells)
		} else {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("GET /v1/jobs/{job}/epochs/{epoch}/pay/{worker}", func(w http.ResponseWriter, r *http.Request) {
		if pay := g.pay.Load(); pay != nil {
			fmt.Fprint(w, *pay)
		} else {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("/v1/artifacts", func(w http.ResponseWriter, r *http.Request) {
		if g.storeDown.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		g.uploads.Add(1)
		api.ServeHTTP(w, r)
	})
	mux.Handle("/v1/artifacts/", api)
	g.http = httptest.NewUnstartedServer(mux)
	g.url = "http://" + g.http.Listener.Addr().String()
	g.http.Start()
	t.Cleanup(func() { g.http.Close() })
	return g
}

func (g *gateway) planeURLs() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.plane.URLs()
}

func (g *gateway) listen(address string) {
	s, err := plane.Listen(plane.Config{
		Listen: address, Gateway: g.key.Public(), Handler: g,
		Authorize: func(context.Context, work.PublicKey) error { return nil },
	})
	require.NoError(g.t, err)
	g.mu.Lock()
	g.plane = s
	g.mu.Unlock()
}

// away stops the gateway; calling what it returns brings it back where it was.
func (g *gateway) away() (back func()) {
	u, err := url.Parse(g.plane.URLs()[0])
	require.NoError(g.t, err)
	g.plane.Close()
	handler, at := g.http.Config.Handler, g.http.Listener.Addr().String()
	g.http.CloseClientConnections()
	g.http.Close()
	return func() {
		g.listen(u.Host)
		l, err := net.Listen("tcp", at)
		require.NoError(g.t, err)
		s := httptest.NewUnstartedServer(handler)
		s.Listener.Close()
		s.Listener = l
		s.Start()
		g.http = s
	}
}

func (g *gateway) now() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }

func newKey(t testing.TB) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

func (g *gateway) lock() func() {
	g.mu.Lock()
	return func() {
		close(g.changed)
		g.changed = make(chan struct{})
		g.mu.Unlock()
	}
}

func (g *gateway) Hello(context.Context, work.PublicKey, plane.HelloRequest) (plane.HelloReply, error) {
	defer g.lock()()
	g.hellos++
	return plane.HelloReply{Chain: chain, Gateway: g.key.Public(), Artifacts: g.url, Token: fmt.Sprint(g.tokens.Load()),
		AllowLoopback: g.loopback, Now: g.now().UnixMilli()}, nil
}

func (g *gateway) Lease(_ context.Context, _ work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
	defer g.lock()()
	if g.refuseLease.Load() {
		return plane.LeaseReply{}, plane.Errorf(plane.CodeDenied, "not here")
	}
	g.asked = append(g.asked, r)
	n := min(int(r.Max), len(g.bundles))
	reply := plane.LeaseReply{Bundles: slices.Clone(g.bundles[:n]), Audits: g.audits, Reveals: g.reveals, Wait: 20}
	g.bundles, g.audits, g.reveals = g.bundles[n:], nil, nil
	return reply, nil
}

func (g *gateway) Part(_ context.Context, w work.PublicKey, r plane.PartRequest) (plane.PartReply, error) {
	defer g.lock()()
	var reply plane.PartReply
	for _, p := range r.Parts {
		if len(p.Body) == 0 {
			g.signs++
		} else {
			g.parts[p.Lease.Seq] = append(g.parts[p.Lease.Seq], string(p.Body))
		}
		if len(g.parts[p.Lease.Seq]) >= g.enough {
			reply.Stop = append(reply.Stop, p.Lease)
		}
	}
	return reply, nil
}

func (g *gateway) Done(_ context.Context, w work.PublicKey, r plane.DoneRequest) (plane.DoneReply, error) {
	if g.doneDown.Load() {
		return plane.DoneReply{}, plane.Busy(10*time.Millisecond, "down")
	}
	defer g.lock()()
	var reply plane.DoneReply
	jobs := map[work.JobID]bool{}
	for _, s := range r.Receipts {
		c := s.Receipt
		if err := s.Verify(); err != nil || c.Worker != w {
			return reply, plane.Errorf(plane.CodeInvalid, "receipt: %v", err)
		}
		if g.refuse != nil {
			if why := g.refuse(c); why != "" {
				reply.Refused = append(reply.Refused, plane.Refusal{Job: c.Job, Seq: c.Seq, Reason: why})
				continue
			}
		}
		id := plane.LeaseID{Job: c.Job, Seq: c.Seq, Attempt: c.Attempt}
		if _, ok := g.receipts[id]; ok {
			g.twice++
		} else {
			// Whatever is reported must be in the store already.
			if _, err := g.store.Get(context.Background(), c.Result, 0); err != nil {
				g.t.Errorf("receipt of task %d came before its result: %v", c.Seq, err)
			}
			g.receipts[id] = s
			g.units[c.Job] += c.Units
		}
		jobs[c.Job] = true
	}
	for job := range jobs {
		v := &work.Voucher{Chain: chain, Job: job, Worker: w, Epoch: 1, Units: g.units[job]}
		if g.voucher != nil {
			v = g.voucher(*v)
		}
		if v == nil {
			continue
		}
		s, err := work.SignVoucher(g.key, *v)
		if err != nil {
			return reply, err
		}
		reply.Vouchers = append(reply.Vouchers, s)
	}
	for _, f := range r.Failures {
		g.failures[f.Lease] = f
	}
	g.commits = append(g.commits, r.Verdicts...)
	g.revealed = append(g.revealed, r.Reveals...)
	return reply, nil
}

// spec stores a spec.
func (g *gateway) spec(text string) artifact.Digest {
	d, err := g.store.Put(context.Background(), []byte(text))
	require.NoError(g.t, err)
	return d
}

// bundle makes a bundle of tasks of job 1; offer gives it out.
func (g *gateway) bundle(spec string, bodies ...string) plane.Bundle {
	defer g.lock()()
	b := plane.Bundle{Job: 1, Kind: "echo/1", Spec: g.spec(spec), Deadline: g.now().Add(time.Hour).UnixMilli()}
	for _, body := range bodies {
		g.seq++
		b.Tasks = append(b.Tasks, plane.Lease{Seq: g.seq, Attempt: 1, Body: []byte(body)})
	}
	return b
}

func (g *gateway) offer(bs ...plane.Bundle) {
	unlock := g.lock()
	g.bundles = append(g.bundles, bs...)
	unlock()
	for _, k := range g.plane.Connected() {
		g.plane.Nudge(k)
	}
}

// wait waits until what the gateway knows fulfils a condition.
func (g *gateway) wait(what string, ok func() bool) {
	g.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		g.mu.Lock()
		done, changed := ok(), g.changed
		g.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			g.t.Fatalf("waited in vain until %s: %d receipts, %d failures, %d commits", what, len(g.receipts), len(g.failures), len(g.commits))
		}
	}
}

func (g *gateway) failure(b plane.Bundle, i int) plane.Failure {
	id := plane.LeaseID{Job: b.Job, Seq: b.Tasks[i].Seq, Attempt: b.Tasks[i].Attempt}
	var f plane.Failure
	g.wait(fmt.Sprintf("task %d fails", id.Seq), func() bool { var ok bool; f, ok = g.failures[id]; return ok })
	return f
}

type running struct {
	cfg    worker.Config
	worker *worker.Worker
	cancel context.CancelFunc
	done   chan error
	reg    *prometheus.Registry
}

func (g *gateway) config(t testing.TB) worker.Config { return configFor(t, g.http.URL) }

func configFor(t testing.TB, url string) worker.Config {
	cfg := worker.Config{
		Gateway: url, Key: newKey(t), Dir: t.TempDir(), Kinds: []work.Kind{echo{}}, Capacity: 4, Drain: 20 * time.Second,
		Version: "test",
	}
	if os.Getenv("CANTUS_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return cfg
}

func run(t testing.TB, cfg worker.Config) *running {
	t.Helper()
	r := &running{cfg: cfg, done: make(chan error, 1), reg: prometheus.NewRegistry()}
	cfg.Metrics = r.reg
	w, err := worker.New(cfg)
	require.NoError(t, err)
	r.worker = w
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); r.wait(t) })
	return r
}

func (r *running) stop(t testing.TB) error {
	r.cancel()
	return r.wait(t)
}

func (r *running) wait(t testing.TB) error {
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(60 * time.Second):
		t.Error("the worker doesn't stop")
		return nil
	}
}
