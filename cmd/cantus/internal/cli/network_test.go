package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// TestMain lets the networks of these tests start this very binary as their workers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(cli.Main("test"))
	}
	os.Exit(m.Run())
}

// world is a network on this machine with everything that a test asks of it.
type world struct {
	t      *testing.T
	home   home.Dir
	net    *localnet.Network
	client *client.Client
	ring   keys.Ring
	market.View
}

func startWorld(t *testing.T, workers int, set ...func(*localnet.Options)) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a whole network")
	}
	w := &world{t: t, home: home.Dir(filepath.Join(t.TempDir(), "home"))}
	o := localnet.Options{Home: w.home, Workers: workers, Version: "test", Log: slog.New(slog.DiscardHandler)}
	for _, f := range set {
		f(&o)
	}
	var err error
	w.net, err = localnet.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.net.Close()) })
	w.ring, err = keys.OpenUnencrypted(w.home.Keyring())
	require.NoError(t, err)
	w.client, err = client.New(t.Context(), w.net.Info().GRPC, w.ring)
	require.NoError(t, err)
	t.Cleanup(func() { w.client.Close() })
	w.View = market.NewView(w.client.Conn())
	return w
}

// run runs the command in this network's home and returns what it printed.
func (w *world) run(args ...string) []byte {
	w.t.Helper()
	var out bytes.Buffer
	c := cli.Root("test")
	c.SetOut(&out)
	c.SetArgs(append(args, "--home", string(w.home)))
	require.NoError(w.t, c.ExecuteContext(w.t.Context()), "cantus %s\n%s", strings.Join(args, " "), out.String())
	return out.Bytes()
}

// outsider enrols a worker that this test runs itself, with the given view of the web.
func (w *world) outsider(name string, dial work.DialFunc) work.PublicKey {
	key, err := work.GenerateKey(rand.Reader)
	require.NoError(w.t, err)
	w.join(name, key, func(c *worker.Config) { c.Dial = dial })
	return key.Public()
}

// join enrols a worker that crawls under an operator of its own, and runs it in this process.
func (w *world) join(name string, key work.PrivateKey, set func(*worker.Config)) keys.Account {
	operator, _ := w.joinFor(name, key, []work.Name{"crawl/1"}, set)
	return operator
}

// joinFor is join for other kinds. Stop ends the worker before the test does.
func (w *world) joinFor(name string, key work.PrivateKey, does []work.Name, set func(*worker.Config)) (operator keys.Account, stop func()) {
	t, ctx := w.t, w.t.Context()
	operator = w.fund(name, 1000)
	sig, err := key.SignEnrollment(w.client.ChainID(), operator.Address.String())
	require.NoError(t, err)
	p, err := w.Params(ctx)
	require.NoError(t, err)
	_, err = market.Enroll(ctx, w.client, w.View, operator, []market.Enrollment{{
		Key: key.Public(), Signature: sig, Kinds: does, Network: name, Region: "here", Bond: p.MinWorkerBond,
	}})
	require.NoError(t, err)
	c := worker.Config{
		Gateway: w.net.Info().Gateway, Key: key, Dir: filepath.Join(t.TempDir(), name), Kinds: kinds(t, w.home.Models()), Drain: time.Second,
	}
	if set != nil {
		set(&c)
	}
	wk, err := worker.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- wk.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return operator, stop
}

// kinds are all kinds of a machine with this directory of models.
func kinds(t *testing.T, models string) []work.Kind {
	kinds, stop, err := all.Kinds(all.Options{Models: models})
	require.NoError(t, err)
	t.Cleanup(stop)
	return kinds
}

const words = `the network escrows what a buyer pays and lets workers who do not know each other fetch
every page while auditors whom nobody could predict look at some of them again and whoever
altered one loses the bond that was posted before the work began so that an honest answer is
always the cheapest one to give and a false one is paid by its author alone`

// site serves pages that link to each other, other ones on each host. Those with an odd number say something new at
// each request: a date, a counter, a nonce, an advertisement.
func site(t *testing.T, pages int) *httptest.Server {
	var served atomic.Int64
	vocabulary := strings.Fields(words)
	return httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var n int
		if r.URL.Path != "/" {
			if _, err := fmt.Sscanf(r.URL.Path, "/%d.html", &n); err != nil || n >= pages {
				http.NotFound(rw, r)
				return
			}
		}
		// Slow enough that no worker has all to itself.
		time.Sleep(20 * time.Millisecond)
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(rw, "<!doctype html><html lang=en><title>Page %d</title><body><h1>Page %d of %s</h1>", n, n, r.Host)
		if n%2 == 1 {
			fmt.Fprintf(rw, "<p>Seen %d times; it is %s.</p><p>Sponsored: offer %d</p>", served.Add(1), time.Now().Format(time.RFC3339Nano), served.Add(1))
		}
		for p := range 12 {
			fmt.Fprint(rw, "<p>")
			for i := range 40 {
				fmt.Fprint(rw, vocabulary[(n*31+p*17+i*(n%7+1))%len(vocabulary)], " ")
			}
			fmt.Fprint(rw, "</p>")
		}
		for i := range pages {
			fmt.Fprintf(rw, "<a href=/%d.html>%d</a> ", i, i)
		}
	}))
}

// sites serves the same site on several addresses of this machine, so that several workers
// have something to do at once, and returns where to begin.
func sites(t *testing.T, hosts, pages int) (seeds []string) {
	handler := site(t, pages)
	t.Cleanup(handler.Close)
	for i := range hosts {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.3.%d:0", i+1))
		require.NoError(t, err)
		s := &http.Server{Handler: handler.Config.Handler, ReadHeaderTimeout: time.Minute}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		seeds = append(seeds, "http://"+l.Addr().String()+"/")
	}
	return seeds
}

// liar is the web as a worker shows it that alters what it fetched: a server that passes on
// every request and puts its own words into the answers.
func liar(t *testing.T) work.DialFunc {
	lie := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		resp, err := http.Get("http://" + r.Host + r.URL.RequestURI())
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		s := string(b)
		for _, word := range strings.Fields(words) {
			s = strings.ReplaceAll(s, " "+word+" ", " "+word+"coin ")
		}
		rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		rw.WriteHeader(resp.StatusCode)
		io.WriteString(rw, s)
	}))
	t.Cleanup(lie.Close)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, lie.Listener.Addr().String())
	}
}

// A worker that alters pages is caught by the sampled audit, is not paid, and loses half of
// its bond; workers that are honest lose nothing, also where pages vary at each request.
func TestAlteredPagesAreCaught(t *testing.T) {
	w := startWorld(t, 4)
	seeds := sites(t, 12, 12)
	cheat := w.outsider("cheat", liar(t))
	operator, err := keys.Find(w.ring, "cheat")
	require.NoError(t, err)

	// Which worker gets which task, and which receipts are drawn, is chance: a job may pass
	// without a lie, or with one that nobody looked at. Soon there is one that does not.
	type result struct {
		Job     uint64
		Pages   uint64
		Account struct {
			Balanced                                                        bool
			False                                                           int `json:"samples_false"`
			Escrow, Workers, Gateway, Auditors, Royalties, Burned, Refunded string
		}
	}
	var last result
	var out string
	var record types.Worker
	var earned math.Int
	for job := 1; record.Status != types.Status_STATUS_JAILED; job++ {
		require.LessOrEqual(t, job, 10, "ten jobs, and the cheat goes on: %v", record)
		before, err := w.client.Balance(t.Context(), operator.Address)
		require.NoError(t, err)
		out = filepath.Join(t.TempDir(), "dataset")
		last = result{}
		printed := w.run(append([]string{"crawl", "--out", out, "--audit", "100", "--epoch", "10", "--json"}, seeds...)...)
		require.NoError(t, json.Unmarshal(printed, &last))
		record, err = w.WorkerRecord(t.Context(), cheat)
		require.NoError(t, err)
		after, err := w.client.Balance(t.Context(), operator.Address)
		require.NoError(t, err)
		earned = after.Sub(before)
	}
	require.NotZero(t, record.AuditsFailed)
	params, err := w.Params(t.Context())
	require.NoError(t, err)
	lost := params.MinWorkerBond.MulRaw(int64(params.FalseReceiptSlashBps)).QuoRaw(10_000)
	require.True(t, record.Bond.LTE(params.MinWorkerBond.Sub(lost)), "its bond is %s of %s", record.Bond, params.MinWorkerBond)
	claimed, err := w.Claimed(t.Context(), work.JobID(last.Job), cheat)
	require.NoError(t, err)
	require.True(t, claimed.Forfeited)
	// Verdicts that it gave as an auditor may have been paid; what it fetched was not.
	require.True(t, earned.LT(chain.Notes(1).QuoRaw(100)), "its operator earned %s", earned)
	require.NotZero(t, last.Account.False)

	honest, err := w.WorkerRecords(t.Context(), "", "crawl/1")
	require.NoError(t, err)
	require.Len(t, honest, 4, "the active ones")
	for _, h := range honest {
		require.Equal(t, types.Status_STATUS_ACTIVE, h.Status)
		require.Zero(t, h.AuditsFailed)
		// On a machine that is busy verdicts may come too late, each for a thousandth; what is
		// found false would cost half.
		require.True(t, h.Bond.GTE(params.MinWorkerBond.MulRaw(6).QuoRaw(10)), "an honest worker's bond is %s", h.Bond)
	}

	// The money adds up, and the books balance.
	require.True(t, last.Account.Balanced)
	sum := new(big.Int)
	for _, part := range []string{last.Account.Workers, last.Account.Gateway, last.Account.Auditors, last.Account.Royalties, last.Account.Burned, last.Account.Refunded} {
		n, ok := new(big.Int).SetString(part, 10)
		require.True(t, ok)
		sum.Add(sum, n)
	}
	require.Equal(t, last.Account.Escrow, sum.String())
	books, err := w.Books(t.Context())
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)

	w.run("verify", out)
}

// What an interrupted network had done is not done again, and nothing that was
// acknowledged is lost.
func TestRestartGoesOn(t *testing.T) {
	w := startWorld(t, 4)
	s := site(t, 40)
	defer s.Close()
	var fetched atomic.Int64
	counted := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		s.Config.Handler.ServeHTTP(rw, r)
	}))
	defer counted.Close()
	ctx, stop := context.WithCancel(t.Context())
	c := cli.Root("test")
	out := filepath.Join(t.TempDir(), "dataset")
	c.SetOut(io.Discard)
	c.SetArgs([]string{"crawl", counted.URL + "/", "--out", out, "--home", string(w.home), "--json"})
	go func() {
		for fetched.Load() < 10 {
			time.Sleep(5 * time.Millisecond)
		}
		stop()
	}()
	require.Error(t, c.ExecuteContext(ctx))
	jobs, err := w.JobRecords(t.Context(), "", "", false)
	require.NoError(t, err)
	require.Len(t, jobs, 1)

	// The whole network stops and comes back.
	w.client.Close()
	require.NoError(t, w.net.Close())
	again, err := localnet.Start(t.Context(), localnet.Options{Home: w.home, Workers: 4, Version: "test"})
	require.NoError(t, err)
	w.net = again
	w.run("crawl", "--resume", fmt.Sprint(jobs[0].Id), "--out", out)
	w.run("verify", out)
	// 40 pages and a robots.txt; a task that was under way when the network stopped may
	// have been given back, but one that was receipted is not fetched again.
	require.LessOrEqual(t, fetched.Load(), int64(41+16+32), "audits fetch up to 16 more")
	require.GreaterOrEqual(t, fetched.Load(), int64(41))
}
