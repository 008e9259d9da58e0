package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

func startWith(t *testing.T, change func(*gateway.Config)) *fixture {
	f := start(t)
	f.stop()
	change(&f.cfg)
	f.run()
	return f
}

// via asks as a client at another address does, through a proxy on this machine.
func (f *fixture) via(address, method, path, token string, body []byte) (*http.Response, api.ErrorBody) {
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.g.URL()+path, bytes.NewReader(body))
	require.NoError(f.t, err)
	req.Header.Set("X-Forwarded-For", address)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	var e api.ErrorReply
	if resp.StatusCode >= 300 {
		require.NoError(f.t, json.Unmarshal(b, &e), string(b))
	}
	return resp, e.Error
}

func (f *fixture) until(what string, ok func() bool) {
	for !ok() {
		select {
		case <-f.t.Context().Done():
			f.t.Fatal(what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// session connects a worker and says hello.
func (f *fixture) session(key work.PrivateKey) (*plane.Client, plane.HelloReply, error) {
	info, err := f.c.Info(f.t.Context())
	require.NoError(f.t, err)
	c, err := plane.Dial(f.t.Context(), info.Plane[0], key, plane.Options{Gateway: info.GatewayKey})
	if err != nil {
		return nil, plane.HelloReply{}, err
	}
	f.t.Cleanup(c.Close)
	h, err := c.Hello(f.t.Context(), plane.HelloRequest{Kinds: []work.Name{echoName}, Capacity: 4})
	return c, h, err
}

func (f *fixture) taken(id work.JobID) {
	f.until("the job is taken up", func() bool { _, err := f.c.Job(f.t.Context(), id); return err == nil })
}

func TestCells(t *testing.T) {
	f := start(t)
	cells, err := f.c.Cells(t.Context())
	require.NoError(t, err)
	require.Empty(t, cells)
	_, body := f.do("GET", "/v1/cells", "", nil)
	require.Equal(t, "[]\n", body)
	var failing bool
	f.stop()
	f.cfg.Cells = func(context.Context) ([]work.Cell, error) {
		if failing {
			return nil, errors.New("no ledger")
		}
		return []work.Cell{{Name: "north", URL: "https://n.example", Address: "cantus1n"}}, nil
	}
	f.run()
	_, body = f.do("GET", "/v1/cells", "", nil)
	require.JSONEq(t, `[{"name":"north","url":"https://n.example"}]`, body)
	f.stop()
	failing = true
	f.run()
	status, _ := f.do("GET", "/v1/cells", "", nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// TestLimits: each limit turns away who goes beyond it with a time to come back at, and
// nobody else; this machine has none.
func TestLimits(t *testing.T) {
	f := startWith(t, func(c *gateway.Config) {
		c.Limits = gateway.Limits{Requests: 5, Proofs: 1, Specs: 1, SpecBytes: 100, Uploads: 100}
	})
	limited := func(address, method, path, token string, body []byte) int {
		for n := range 100 {
			resp, e := f.via(address, method, path, token, body)
			if resp.StatusCode == http.StatusTooManyRequests {
				require.Equal(t, "too_many_requests", e.Code)
				require.Positive(t, e.RetryAfter)
				require.Equal(t, fmt.Sprint(e.RetryAfter), resp.Header.Get("Retry-After"))
				return n
			}
		}
		return -1
	}
	n := limited("203.0.113.1", "GET", "/v1/info", "", nil)
	require.GreaterOrEqual(t, n, 20)
	require.Less(t, n, 100)
	resp, _ := f.via("203.0.113.2", "GET", "/v1/info", "", nil)
	require.Equal(t, 200, resp.StatusCode, "another address has its own")
	require.GreaterOrEqual(t, limited("2001:db8:1:1::1", "GET", "/v1/info", "", nil), 20)
	require.Equal(t, 0, limited("2001:db8:1:1:ffff::2", "GET", "/v1/info", "", nil), "one /64 is one client")
	resp, _ = f.via("2001:db8:1:2::1", "GET", "/v1/info", "", nil)
	require.Equal(t, 200, resp.StatusCode)
	n = limited("203.0.113.3", "GET", "/v1/jobs/1/pay/"+f.key.Public().String(), "", nil)
	require.GreaterOrEqual(t, n, 10)
	require.Less(t, n, 20)
	require.Equal(t, 2, limited("203.0.113.4", "POST", "/v1/specs?kind=echo/1", "", make([]byte, 50)))
	require.Equal(t, -1, limited("127.0.0.1", "GET", "/v1/info", "", nil), "this machine has no limits")

	key := f.enroll()
	_, hello, err := f.session(key)
	require.NoError(t, err)
	blob := append([]byte("\x81\x58\xc8"), bytes.Repeat([]byte("x"), 200)...)
	require.Equal(t, 1, limited("203.0.113.5", "POST", "/v1/artifacts", hello.Token, blob), "one upload of half its bucket")
	require.Equal(t, 0, limited("203.0.113.6", "POST", "/v1/artifacts", hello.Token, blob), "its token is known at other addresses too")
	require.Equal(t, -1, limited("127.0.0.1", "POST", "/v1/artifacts", hello.Token, blob))
	_, metrics := f.do("GET", "/metrics", "", nil)
	for _, what := range []string{"requests", "proofs", "spec_bytes", "uploads"} {
		require.Contains(t, metrics, fmt.Sprintf(`cantus_gateway_limited_total{what=%q}`, what))
	}
}

// TestOpenJobs: of a buyer's jobs only so many are worked on at a time; the next begins when
// one ends.
func TestOpenJobs(t *testing.T) {
	f := startWith(t, func(c *gateway.Config) { c.Limits.Jobs = 2 })
	var ids []work.JobID
	for i := range 3 {
		ids = append(ids, f.open(bytes.Repeat([]byte{'a' + byte(i)}, 30)))
	}
	f.taken(ids[0])
	f.taken(ids[1])
	f.until("the third waits", func() bool {
		resp, e := f.via("203.0.113.7", "GET", fmt.Sprintf("/v1/jobs/%d", ids[2]), "", nil)
		if resp.StatusCode == http.StatusTooManyRequests {
			require.Equal(t, "job_waits", e.Code)
			require.Contains(t, e.Message, "2 open jobs")
			return true
		}
		return false
	})
	working, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f.labour(working, f.enroll()) }()
	for _, id := range ids {
		f.until("all end", func() bool { j, err := f.c.Job(t.Context(), id); return err == nil && j.Phase == "done" })
	}
	stop()
	<-ended
}

func (f *fixture) ready() api.Ready {
	r, err := f.c.Ready(f.t.Context())
	require.NoError(f.t, err)
	return r
}

func failing(r api.Ready) (names []string) {
	for _, c := range r.Checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

// badStore is an artifact store that fails, or hangs.
type badStore struct {
	artifact.Store
	err error
}

func (b *badStore) Has(ctx context.Context, ds ...artifact.Digest) ([]bool, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.Store.Has(ctx, ds...)
}

func TestReady(t *testing.T) {
	f := start(t)
	f.until("ready", func() bool { return f.ready().Ready })
	require.Len(t, f.ready().Checks, 6)
	f.stop()
	memory, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	store := &badStore{Store: memory, err: errors.New("the bucket is gone")}
	f.cfg.Artifacts = store
	f.run()
	f.until("the ledger answers", func() bool { return f.ready().Height > 0 })
	r := f.ready()
	require.False(t, r.Ready)
	require.Equal(t, []string{"artifacts"}, failing(r))
	status, body := f.do("GET", "/readyz", "", nil)
	require.Equal(t, 503, status)
	require.Contains(t, body, "the bucket is gone")
	status, _ = f.do("GET", "/healthz", "", nil)
	require.Equal(t, 200, status, "the process is well")
}

// TestDrain: a gateway that was told to stop gives nothing out, takes what comes in, commits
// it and ends; what it holds is on the ledger then.
func TestDrain(t *testing.T) {
	f := startWith(t, func(c *gateway.Config) { c.Drain = time.Minute })
	spec := bytes.Repeat([]byte("abc"), 40)
	id := f.open(spec)
	f.chain.mu.Lock()
	f.chain.jobs[id].EpochBlocks = 1 << 40 // no epoch ends by itself
	f.chain.mu.Unlock()
	f.taken(id)
	key := f.enroll()
	c, hello, err := f.session(key)
	require.NoError(t, err)
	var lease plane.LeaseReply
	f.until("there is work", func() bool {
		lease, err = c.Lease(t.Context(), plane.LeaseRequest{Max: 1, Kinds: []work.Name{echoName}})
		require.NoError(t, err)
		return len(lease.Bundles) > 0
	})
	require.ErrorContains(t, gateway.Call(t.Context(), t.TempDir(), "/drain", struct{}{}, nil), "no gateway runs")
	var reply struct {
		Out uint64 `json:"tasks_out"`
	}
	require.NoError(t, gateway.Call(t.Context(), f.cfg.Dir, "/drain", struct{}{}, &reply))
	require.EqualValues(t, len(lease.Bundles[0].Tasks), reply.Out)
	f.until("it drains", f.g.Draining)
	require.Contains(t, failing(f.ready()), "open")
	require.Error(t, gateway.Call(t.Context(), f.cfg.Dir, "/drain", struct{}{}, nil), "a second time")

	// Nothing new: no lease, no session, no spec, no job.
	more, err := c.Lease(t.Context(), plane.LeaseRequest{Max: 4, Kinds: []work.Name{echoName}, Holding: holding(lease)})
	require.NoError(t, err)
	require.Empty(t, more.Bundles)
	_, _, err = f.session(f.enroll())
	require.ErrorIs(t, err, plane.ErrBusy)
	resp, e := f.via("127.0.0.1", "POST", "/v1/specs?kind=echo/1", "", []byte("x"))
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "draining", e.Code)

	// What is out comes in, is acknowledged and committed.
	var done plane.DoneRequest
	for _, l := range lease.Bundles[0].Tasks {
		task := work.Task{Job: id, Seq: l.Seq, Spec: spec, Body: l.Body}
		status, _ := f.do("POST", "/v1/artifacts", hello.Token, append([]byte{0x81, 0x40 | byte(len(l.Body))}, l.Body...))
		require.Equal(t, 200, status)
		s, err := work.SignReceipt(key, work.Receipt{Chain: hello.Chain, Job: id, Seq: l.Seq, Attempt: l.Attempt, Task: task.Digest(), Result: artifact.Sum(l.Body), Units: 1})
		require.NoError(t, err)
		done.Receipts = append(done.Receipts, s)
	}
	ack, err := c.Done(t.Context(), done)
	require.NoError(t, err)
	require.Len(t, ack.Vouchers, 1)
	f.until("the gateway ends", func() bool {
		f.chain.mu.Lock()
		defer f.chain.mu.Unlock()
		return len(f.chain.epochs[id]) == 1
	})
	f.until("its door is gone", func() bool {
		_, err := os.Stat(filepath.Join(f.cfg.Dir, "admin.json"))
		return err != nil
	})
	f.stop()
	require.EqualValues(t, len(done.Receipts), f.chain.epochs[id][0].Receipts.Leaves)
	require.Equal(t, ack.Vouchers[0].Voucher.Units, f.chain.epochs[id][0].Pay.Sum)

	// And the next start has it all.
	f.run()
	f.until("the job goes on", func() bool { j, err := f.c.Job(t.Context(), id); return err == nil && j.Phase == "running" })
	j, err := f.c.Job(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, len(done.Receipts), j.Receipts)
	require.EqualValues(t, 1, j.EpochCount)
}

func holding(r plane.LeaseReply) (ids []plane.LeaseID) {
	for _, b := range r.Bundles {
		for _, l := range b.Tasks {
			ids = append(ids, plane.LeaseID{Job: b.Job, Seq: l.Seq, Attempt: l.Attempt})
		}
	}
	return ids
}

// TestOperatorsDoor: who has no token gets nothing from it, and the file with the token is
// its owner's alone.
func TestOperatorsDoor(t *testing.T) {
	f := start(t)
	path := filepath.Join(f.cfg.Dir, "admin.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var a struct{ URL, Token string }
	require.NoError(t, json.Unmarshal(b, &a))
	for _, token := range []string{"", "x", a.Token[:len(a.Token)-1], strings.ToUpper(a.Token)} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", a.URL+"/drain", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 401, resp.StatusCode)
	}
	require.False(t, f.g.Draining())
	require.ErrorContains(t, gateway.Call(t.Context(), f.cfg.Dir, "/checkpoint", map[string]string{"dir": "relative"}, nil), "dir")
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, gateway.Call(t.Context(), f.cfg.Dir, "/checkpoint", map[string]string{"dir": dir}, nil))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	require.Error(t, gateway.Call(t.Context(), f.cfg.Dir, "/checkpoint", map[string]string{"dir": dir}, nil), "it is there already")
	f.stop()
	require.ErrorIs(t, gateway.Call(t.Context(), f.cfg.Dir, "/drain", struct{}{}, nil), gateway.ErrNotRunning)
	// One that was killed leaves its file behind.
	require.NoError(t, os.WriteFile(path, b, 0o600))
	require.ErrorIs(t, gateway.Call(t.Context(), f.cfg.Dir, "/drain", struct{}{}, nil), gateway.ErrNotRunning)
}

func TestArtifactsElsewhere(t *testing.T) {
	store, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	f := startWith(t, func(c *gateway.Config) { c.Artifacts = store })
	r, err := f.c.SubmitSpec(t.Context(), echoName, []byte("spec"))
	require.NoError(t, err)
	b, err := store.Get(t.Context(), r.Digest, 0)
	require.NoError(t, err)
	require.Equal(t, "spec", string(b))
	_, err = os.Stat(filepath.Join(f.cfg.Dir, "artifacts"))
	require.NoError(t, err, "the first start made it")
	bad := f.cfg
	bad.Quota, bad.Metrics = 1, prometheus.NewRegistry()
	_, err = gateway.New(bad)
	require.ErrorContains(t, err, "quota")
}
