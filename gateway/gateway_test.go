package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// chainOf is a ledger that believes everything and settles at once. The scheduler's own
// tests have one with rules.
type chainOf struct {
	mu      sync.Mutex
	height  int64
	jobs    map[work.JobID]*work.Job
	epochs  map[work.JobID][]work.Epoch
	workers map[work.PublicKey]work.Worker
}

var _ scheduler.Ledger = (*chainOf)(nil)

func (c *chainOf) WaitHeight(ctx context.Context, _ int64) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(5 * time.Millisecond):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.height++
	return c.height, nil
}

func (c *chainOf) Params(context.Context) (scheduler.Params, error) {
	return scheduler.Params{GraceBlocks: 100, MaxWorkersPerTx: 10, AllowLoopback: true}, nil
}

func (c *chainOf) Jobs(context.Context) (live []work.Job, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range c.jobs {
		if j.Status == work.JobOpen {
			live = append(live, *j)
		}
	}
	return live, nil
}

func (c *chainOf) Job(_ context.Context, id work.JobID) (work.Job, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.jobs[id], nil
}

func (c *chainOf) Epoch(_ context.Context, id work.JobID, n uint64) (work.Epoch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epochs[id][n-1], nil
}

func (c *chainOf) Worker(_ context.Context, key work.PublicKey) (work.Worker, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.workers[key]
	if !ok {
		return w, scheduler.ErrNoWorker
	}
	return w, nil
}

func (c *chainOf) CommitEpoch(_ context.Context, x scheduler.Commitment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[x.Job]
	c.epochs[x.Job] = append(c.epochs[x.Job], work.Epoch{Job: x.Job, Number: x.Number, Receipts: x.Receipts, Pay: x.Pay, Status: work.EpochSettled, CommitHeight: c.height, SettledHeight: c.height, Label: work.Asserted})
	j.Epochs, j.Settled = x.Number, x.Number
	if x.Finish {
		j.Finished, j.Status = true, work.JobClosed
	}
	return nil
}

func (c *chainOf) FinishJob(_ context.Context, id work.JobID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs[id].Finished, c.jobs[id].Status = true, work.JobClosed
	return nil
}

func (c *chainOf) Claimed(context.Context, work.JobID, work.PublicKey) (scheduler.Claimed, error) {
	return scheduler.Claimed{}, nil
}
func (c *chainOf) RevealPlants(context.Context, work.JobID, uint64, [work.SaltSize]byte, []scheduler.CommittedReceipt) error {
	return nil
}
func (c *chainOf) Challenges(context.Context) ([]scheduler.Challenge, error) { return nil, nil }
func (c *chainOf) OpenReceipts(context.Context, work.JobID, uint64, []scheduler.Opening) error {
	return errors.New("nothing was drawn")
}
func (c *chainOf) CommitVerdicts(context.Context, work.JobID, uint64, []scheduler.VerdictCommitment) error {
	return errors.New("nothing was drawn")
}
func (c *chainOf) RevealVerdicts(context.Context, work.JobID, uint64, []scheduler.VerdictReveal) error {
	return errors.New("nothing was drawn")
}
func (c *chainOf) Claim(context.Context, work.JobID, uint64, []scheduler.PayProof) error { return nil }
func (c *chainOf) AnswerChallenge(context.Context, uint64, uint64, scheduler.PayProof) error {
	return nil
}

// echo/1 has as many tasks as its spec has bytes; a result repeats the task's byte.
const echoName work.Name = "echo/1"

type echo struct{}

func (echo) Name() work.Name { return echoName }
func (echo) Check(spec []byte) (work.Needs, error) {
	if len(spec) == 0 {
		return work.Needs{}, errors.New("an empty spec: want one byte for each task")
	}
	return work.Needs{UnitsPerTask: 1, TaskTime: time.Minute}, nil
}
func (echo) Meter(t work.Task, r work.Result) (uint64, error) {
	if !bytes.Equal(t.Body, r.Body) {
		return 0, errors.New("no echo")
	}
	return 1, nil
}
func (echo) Execute(_ context.Context, _ work.Env, t work.Task) (work.Result, error) {
	return work.Result{Body: t.Body}, nil
}
func (echo) Verify(context.Context, work.Env, work.Task, work.Result) (work.Verdict, error) {
	return work.Verdict{Outcome: work.Pass, Label: work.Agreed}, nil
}
func (echo) Plan(_ context.Context, job work.JobID, spec []byte, _ work.State, _ work.PlanEnv) (work.Plan, error) {
	return &echoPlan{job: job, spec: spec}, nil
}

// echoPlan forgets what it did: no test here restarts within a job.
type echoPlan struct {
	job         work.JobID
	spec        []byte
	given, done int
}

func (p *echoPlan) Next(_ work.Batch, limit int) ([]work.Bundle, error) {
	var b work.Bundle
	for ; p.given < len(p.spec) && len(b.Tasks) < min(limit, 25); p.given++ {
		b.Tasks = append(b.Tasks, work.Task{Job: p.job, Seq: uint64(p.given + 1), Body: p.spec[p.given : p.given+1]})
	}
	if len(b.Tasks) == 0 {
		return nil, nil
	}
	return []work.Bundle{b}, nil
}
func (p *echoPlan) Done(_ work.Batch, o []work.Outcome) error { p.done += len(o); return nil }
func (p *echoPlan) Status() work.PlanStatus {
	return work.PlanStatus{Queued: uint64(len(p.spec) - p.given), Finished: p.done == len(p.spec), Counts: map[string]uint64{"echoes": uint64(p.done)}}
}
func (p *echoPlan) Close() error { return nil }

type fixture struct {
	t     *testing.T
	chain *chainOf
	key   work.PrivateKey
	cfg   gateway.Config
	g     *gateway.Gateway
	c     *api.Client
	stop  func()
}

func newKey(t testing.TB) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

func start(t *testing.T) *fixture {
	f := &fixture{t: t, key: newKey(t), chain: &chainOf{height: 1, jobs: map[work.JobID]*work.Job{}, epochs: map[work.JobID][]work.Epoch{}, workers: map[work.PublicKey]work.Worker{}}}
	f.cfg = gateway.Config{
		Chain: "test-1", Address: "cantus1gateway", Key: f.key, FeeBps: 250, Dir: t.TempDir(), Kinds: []work.Kind{echo{}},
		Ledger: f.chain, AllowLoopback: true, ClaimForWorkers: true,
		Docs: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "docs of %s", r.URL.Path) }),
	}
	f.run()
	t.Cleanup(func() { f.stop() })
	return f
}

func (f *fixture) run() {
	f.cfg.Metrics = prometheus.NewRegistry()
	var err error
	f.g, err = gateway.New(f.cfg)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.g.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("run: %v", err)
		}
	})
	f.c, err = api.New(f.g.URL())
	require.NoError(f.t, err)
}

func (f *fixture) enroll() work.PrivateKey {
	k := newKey(f.t)
	f.chain.mu.Lock()
	defer f.chain.mu.Unlock()
	f.chain.workers[k.Public()] = work.Worker{Key: k.Public(), Operator: "op", Kinds: []work.Name{echoName}, Active: true}
	return k
}

func (f *fixture) open(spec []byte) work.JobID {
	r, err := f.c.SubmitSpec(f.t.Context(), echoName, spec)
	require.NoError(f.t, err)
	require.Equal(f.t, artifact.Sum(spec), r.Digest)
	f.chain.mu.Lock()
	defer f.chain.mu.Unlock()
	id := work.JobID(len(f.chain.jobs) + 1)
	f.chain.jobs[id] = &work.Job{ID: id, Buyer: "buyer", Kind: echoName, Spec: r.Digest, Escrow: big.NewInt(1 << 40), Price: big.NewInt(10), EpochBlocks: 3, Status: work.JobOpen}
	return id
}

// labour works for the gateway over the plane until ctx ends, as a worker does.
func (f *fixture) labour(ctx context.Context, key work.PrivateKey) error {
	info, err := f.c.Info(ctx)
	if err != nil {
		return err
	}
	c, err := plane.Dial(ctx, info.Plane[0], key, plane.Options{Gateway: info.GatewayKey})
	if err != nil {
		return err
	}
	defer c.Close()
	hello, err := c.Hello(ctx, plane.HelloRequest{Kinds: []work.Name{echoName}, Capacity: 2})
	if err != nil {
		return err
	}
	store, err := httpstore.New(hello.Artifacts, httpstore.Options{Token: func() string { return hello.Token }})
	if err != nil {
		return err
	}
	defer store.Close()
	for ctx.Err() == nil {
		r, err := c.Lease(ctx, plane.LeaseRequest{Max: 2, Kinds: []work.Name{echoName}})
		if err != nil {
			return err
		}
		var done plane.DoneRequest
		for _, b := range r.Bundles {
			spec, err := store.Get(ctx, b.Spec, work.MaxSpec)
			if err != nil {
				return err
			}
			for _, l := range b.Tasks {
				t := work.Task{Job: b.Job, Seq: l.Seq, Spec: spec, Body: l.Body}
				d, err := store.Put(ctx, l.Body)
				if err != nil {
					return err
				}
				s, err := work.SignReceipt(key, work.Receipt{Chain: hello.Chain, Job: b.Job, Seq: l.Seq, Attempt: l.Attempt, Task: t.Digest(), Result: d, Units: 1})
				if err != nil {
					return err
				}
				done.Receipts = append(done.Receipts, s)
			}
		}
		if len(done.Receipts) == 0 {
			select {
			case <-ctx.Done():
			case <-c.Nudges():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		reply, err := c.Done(ctx, done)
		for busy := new(plane.Error); errors.As(err, &busy) && busy.Code == plane.CodeBusy; {
			time.Sleep(busy.After())
			reply, err = c.Done(ctx, done)
		}
		if err != nil {
			return err
		}
		if len(reply.Refused) > 0 {
			return fmt.Errorf("refused: %v", reply.Refused)
		}
	}
	return nil
}

// TestJob takes a job through every door: spec, plane, artifacts, progress, receipts, pay.
func TestJob(t *testing.T) {
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	spec := bytes.Repeat([]byte("abc"), 900)
	id := f.open(spec)
	working, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	keys := []work.PrivateKey{f.enroll(), f.enroll()}
	for _, k := range keys {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f.labour(working, k); err != nil && working.Err() == nil {
				t.Errorf("worker: %v", err)
			}
		}()
	}
	var last api.Job
	for { // until the gateway took the job up
		if _, err := f.c.Job(ctx, id); err == nil {
			break
		} else if !api.NotFound(err) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.NoError(t, f.c.Follow(ctx, id, func(j api.Job) error { last = j; return nil }))
	stop()
	wg.Wait()
	require.Equal(t, "done", last.Phase, last.Reason)
	require.EqualValues(t, len(spec), last.Receipts)
	require.EqualValues(t, len(spec), last.Counts["echoes"])
	require.Equal(t, fmt.Sprint(10*len(spec)), last.Spent)

	// What came out rebuilds what was committed, read in pages and from the middle.
	leaves := map[uint64][]work.Node{}
	n := 0
	var middle api.Cursor
	require.NoError(t, f.c.Receipts(ctx, id, api.Cursor{}, func(r api.Receipt) error {
		s, err := work.DecodeReceipt(r.Receipt)
		if err != nil {
			return err
		}
		task := work.Task{Job: id, Seq: s.Receipt.Seq, Spec: spec, Body: r.Task}
		if s.Receipt.Task != task.Digest() {
			return fmt.Errorf("receipt %d is not of its task", n)
		}
		if n++; n == 1500 {
			middle = api.Cursor{Epoch: r.Epoch, Index: r.Index}
		}
		leaves[r.Epoch] = append(leaves[r.Epoch], work.ReceiptLeaf(r.Receipt, s.Receipt.Units))
		return nil
	}))
	require.Equal(t, len(spec), n)
	rest := 0
	require.NoError(t, f.c.Receipts(ctx, id, middle, func(api.Receipt) error { rest++; return nil }))
	require.Equal(t, n-1499, rest)
	epochs := f.chain.epochs[id]
	for _, e := range epochs {
		tree, err := work.NewTree(leaves[e.Number])
		require.NoError(t, err)
		require.Equal(t, e.Receipts, tree.Root())
	}
	total := uint64(0)
	for _, k := range keys {
		p, err := f.c.Owed(ctx, id, k.Public())
		if api.NotFound(err) {
			continue // it came too late for any task
		}
		require.NoError(t, err)
		require.NoError(t, p.Check(epochs[len(epochs)-1].Pay))
		total += p.Units
		again, err := f.c.Pay(ctx, id, p.Epoch, k.Public())
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
	require.EqualValues(t, len(spec), total)
	jobs, err := f.c.Jobs(ctx)
	require.NoError(t, err)
	require.Len(t, jobs, 1)

	// All of it is there after a restart, on the same ports.
	url := f.g.URL()
	f.stop()
	f.run()
	require.Equal(t, url, f.g.URL())
	again, err := f.c.Job(ctx, id)
	require.NoError(t, err)
	require.Equal(t, last.Receipts, again.Receipts)
	require.Equal(t, last.Epochs, again.Epochs)
}

func (f *fixture) do(method, path, token string, body []byte) (int, string) {
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.g.URL()+path, bytes.NewReader(body))
	require.NoError(f.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	return resp.StatusCode, string(b)
}

func TestRefusals(t *testing.T) {
	f := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/nothing", "", 404, "not_found"},
		{"DELETE", "/v1/info", "", 404, "not_found"},
		{"POST", "/v1/specs?kind=other/1", "x", 404, "unknown_kind"},
		{"POST", "/v1/specs?kind=..%2f", "x", 400, "invalid"},
		{"POST", "/v1/specs?kind=echo/1", "", 400, "empty spec"},
		{"POST", "/v1/specs?kind=echo/1", strings.Repeat("x", work.MaxSpec+1), 413, "too_large"},
		{"GET", "/v1/jobs/0", "", 400, "count from 1"},
		{"GET", "/v1/jobs/-1", "", 400, "invalid"},
		{"GET", "/v1/jobs/99999999999999999999", "", 400, "invalid"},
		{"GET", "/v1/jobs/7", "", 404, "not_found"},
		{"GET", "/v1/jobs/7/events", "", 404, "not_found"},
		{"GET", "/v1/jobs/7/receipts", "", 404, "not_found"},
		{"GET", "/v1/jobs/7/receipts?epoch=x", "", 400, "invalid"},
		{"GET", "/v1/jobs/7/epochs/1/pay", "", 404, "not_found"},
		{"GET", "/v1/jobs/7/pay/xyz", "", 400, "invalid"},
		{"GET", "/v1/artifacts/abc", "", 400, "invalid"},
		{"GET", "/v1/artifacts/" + strings.Repeat("AB", 32), "", 400, "upper-case"},
		{"GET", "/v1/artifacts/" + strings.Repeat("ab", 32), "", 404, "not_found"},
		{"POST", "/v1/artifacts", "\x81\x41x", 401, "token"},
		{"POST", "/v1/artifacts/has", `{"digests":[],"more":1}`, 400, "invalid"},
		{"POST", "/v1/artifacts/has", `{"digests":[]}{}`, 400, "invalid"},
		{"POST", "/v1/artifacts/has", `{"digests":["00"]}`, 400, "invalid"},
	} {
		status, body := f.do(c.method, c.path, "", []byte(c.body))
		require.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, body)
		require.Contains(t, body, c.says, "%s %s", c.method, c.path)
		require.Contains(t, body, `{"error":{"code":`, "%s %s", c.method, c.path)
	}
}

// TestUpload: only an enrolled worker's token stores artifacts, and only well-formed ones.
func TestUpload(t *testing.T) {
	f := start(t)
	key := f.enroll()
	info, err := f.c.Info(t.Context())
	require.NoError(t, err)
	c, err := plane.Dial(t.Context(), info.Plane[0], key, plane.Options{Gateway: info.GatewayKey})
	require.NoError(t, err)
	defer c.Close()
	hello, err := c.Hello(t.Context(), plane.HelloRequest{Kinds: []work.Name{echoName}, Capacity: 1})
	require.NoError(t, err)
	require.True(t, hello.AllowLoopback)
	two := []byte("\x82\x41x\x42yz")
	status, body := f.do("POST", "/v1/artifacts", hello.Token, two)
	require.Equal(t, 200, status, body)
	require.JSONEq(t, fmt.Sprintf(`{"digests":["%s","%s"]}`, artifact.Sum([]byte("x")), artifact.Sum([]byte("yz"))), body)
	status, body = f.do("GET", "/v1/artifacts/"+artifact.Sum([]byte("yz")).String(), "", nil)
	require.Equal(t, 200, status)
	require.Equal(t, "yz", body)
	status, body = f.do("POST", "/v1/artifacts/has", "", []byte(fmt.Sprintf(`{"digests":["%s","%s"]}`, artifact.Sum([]byte("x")), artifact.Sum([]byte("other")))))
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"has":[true,false]}`, body)

	for name, bad := range map[string]string{
		"empty": "", "no array": "\x41x", "no blobs": "\x80", "text": "\x81\x61x", "long form": "\x81\x58\x01x",
		"indefinite": "\x9f\x41x\xff", "cut off": "\x82\x41x", "more": "\x81\x41xx", "tag": "\xc1\x81\x41x", "lying size": "\x81\x5a\x7f\xff\xff\xffx",
	} {
		status, _ := f.do("POST", "/v1/artifacts", hello.Token, []byte(bad))
		require.Equal(t, 400, status, name)
	}
	forged := []byte(hello.Token)
	forged[3] ^= 1
	for _, token := range []string{string(forged), "x", hello.Token[:len(hello.Token)-2]} {
		status, _ := f.do("POST", "/v1/artifacts", token, two)
		require.Equal(t, 401, status)
	}
	// A token is good across a restart, but not for a worker that may no longer work.
	f.stop()
	f.chain.mu.Lock()
	w := f.chain.workers[key.Public()]
	f.chain.mu.Unlock()
	f.run()
	status, _ = f.do("POST", "/v1/artifacts", hello.Token, two)
	require.Equal(t, 200, status)
	f.stop()
	w.Active = false
	f.chain.mu.Lock()
	f.chain.workers[key.Public()] = w
	f.chain.mu.Unlock()
	f.run()
	status, _ = f.do("POST", "/v1/artifacts", hello.Token, two)
	require.Equal(t, 403, status)
}

func TestDoors(t *testing.T) {
	f := start(t)
	info, err := f.c.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "test-1", info.Chain)
	require.Equal(t, "cantus1gateway", info.Gateway)
	require.Equal(t, f.key.Public(), info.GatewayKey)
	require.EqualValues(t, 250, info.FeeBps)
	require.Equal(t, []work.Name{echoName}, info.Kinds)
	require.Len(t, info.Plane, 2)
	status, _ := f.do("GET", "/healthz", "", nil)
	require.Equal(t, 200, status)
	for { // ready once the ledger has answered
		if status, _ = f.do("GET", "/readyz", "", nil); status == 200 {
			break
		}
		require.Equal(t, 503, status)
		time.Sleep(5 * time.Millisecond)
	}
	status, body := f.do("GET", "/metrics", "", nil)
	require.Equal(t, 200, status)
	require.Contains(t, body, "cantus_scheduler_leased_tasks_total")
	require.Contains(t, body, "cantus_gateway_request_seconds")
	status, body = f.do("GET", "/docs/page", "", nil)
	require.Equal(t, 200, status)
	require.Equal(t, "docs of /page", body)

	// A proxy on this machine speaks for others: those see no metrics and have limits.
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.g.URL()+"/metrics", nil)
	require.NoError(t, err)
	req.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.9")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 403, resp.StatusCode)
	limited := false
	for range 40 {
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.g.URL()+"/v1/specs?kind=echo/1", strings.NewReader("x"))
		require.NoError(t, err)
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		limited = limited || resp.StatusCode == 429
	}
	require.True(t, limited)
}

func TestConfig(t *testing.T) {
	f := start(t)
	bad := f.cfg
	bad.Dir, bad.Metrics = t.TempDir(), prometheus.NewRegistry()
	bad.Listen = "0.0.0.0:0"
	_, err := gateway.New(bad)
	require.ErrorContains(t, err, "certificate")
	bad.Listen, bad.Metrics = strings.TrimPrefix(f.g.URL(), "http://"), prometheus.NewRegistry()
	_, err = gateway.New(bad)
	require.ErrorContains(t, err, "--listen")
	bad.Listen, bad.Dir, bad.Metrics = "", f.cfg.Dir, prometheus.NewRegistry()
	_, err = gateway.New(bad)
	require.Error(t, err, "a directory that another gateway uses")
}
