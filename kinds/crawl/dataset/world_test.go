package dataset_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
	"github.com/cantus-network/cantus/work"
)

const chainID = "cantus-test-1"

// world is a settled job: real exchanges with a server of the test, receipts of several
// workers, epochs, and the ledger's view of it all.
type world struct {
	t        *testing.T
	blobs    *artifact.Memory
	kind     *crawl.Kind
	spec     []byte
	job      work.Job
	epochs   []work.Epoch
	receipts []dataset.Receipt
	workers  []work.PrivateKey
	signer   artifact.Ed25519Signer
	now      time.Time

	pending []signed
	units   map[work.PublicKey]uint64
	seq     uint64

	plants []work.Plants

	// What the ledger says of the dataset, once it is registered.
	registered map[string]dataset.Registration
}

type signed struct {
	receipt dataset.Receipt
	s       work.SignedReceipt
}

// site answers by path with pages of every sort.
func site(w http.ResponseWriter, r *http.Request) {
	page := func(title, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>%s</title><body><h1>%s</h1>%s</body></html>", title, title, body)
	}
	switch r.URL.Path {
	case "/":
		page("Home", `<p>Welcome.</p><a href="/a">A</a> <a href="/old">old</a> <a href="/private">p</a> <a href="b?x=2&amp;a=1">B</a>`)
	case "/a", "/copy":
		page("A & Ω", "<p>Some text that two addresses have.</p>")
	case "/b":
		page("B", "<pre>  two\n  lines</pre>")
	case "/old":
		http.Redirect(w, r, "/older", http.StatusMovedPermanently)
	case "/older":
		http.Redirect(w, r, "/a", http.StatusFound)
	case "/private":
		w.Header().Set("X-Robots-Tag", "noindex")
		page("Private", "<p>Nobody should keep this sentence.</p>")
	case "/plain":
		w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
		w.Write([]byte("caf\xe9 und Stra\xdfe\n"))
	case "/image":
		w.Header().Set("Content-Type", "image/png")
		w.Write([]byte("\x89PNG\r\n\x1a\n0000"))
	case "/empty":
		w.Header().Set("Content-Type", "text/html")
	case "/long":
		page("Long", strings.Repeat("<p>All work and no play makes a long page.</p>\n", 2000))
	case "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "User-agent: *\nAllow: /\n")
	default:
		if n, ok := strings.CutPrefix(r.URL.Path, "/n/"); ok {
			page("Page "+n, "<p>This is page number "+n+".</p>"+strings.Repeat("<p>A paragraph about "+n+".</p>", 20))
			return
		}
		http.NotFound(w, r)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	seed := bytes.Repeat([]byte{7}, 32)
	signer, err := artifact.NewEd25519Signer(seed)
	require.NoError(t, err)
	blobs, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	w := &world{t: t, blobs: blobs, kind: crawl.New(), signer: signer,
		now: time.Date(2026, 11, 22, 10, 0, 0, 123e6, time.UTC), units: map[work.PublicKey]uint64{},
		registered: map[string]dataset.Registration{}}
	t.Cleanup(w.kind.Close)
	for i := range 3 {
		k, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		require.NoError(t, err)
		w.workers = append(w.workers, k)
	}
	return w
}

// crawlSite serves the site and makes a job of the paths: an epoch ends at every "".
func crawlSite(t *testing.T, paths ...string) *world {
	t.Helper()
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(site))
	defer server.Close()
	spec, err := crawl.NewSpec(server.URL + "/")
	require.NoError(t, err)
	w.open(spec)
	for _, p := range paths {
		switch {
		case p == "":
			w.commit()
		case p == "/robots.txt":
			w.fetch(crawl.Fetch{Mode: crawl.ModeRobots, URL: server.URL + p})
		case p == "nowhere":
			w.fetch(crawl.Fetch{Mode: crawl.ModePage, URL: "http://nowhere.invalid/", Depth: 1})
		default:
			w.fetch(crawl.Fetch{Mode: crawl.ModePage, URL: server.URL + p, Depth: 1})
		}
	}
	w.settle()
	return w
}

// usual is a job with everything in it.
func usual(t *testing.T) *world {
	return crawlSite(t, "/robots.txt", "/", "/a", "/copy", "", "/b?x=2&a=1", "/old", "/older", "/private", "/plain", "",
		"", "/image", "/empty", "/long", "/missing", "nowhere", "")
}

func (w *world) open(s crawl.Spec) {
	w.t.Helper()
	b, err := crawl.EncodeSpec(s)
	require.NoError(w.t, err)
	w.spec = b
	w.job = work.Job{ID: 7, Buyer: "cantus1buyer", Gateway: "cantus1gateway", Kind: crawl.Name, Spec: artifact.Sum(b)}
}

func (w *world) env() work.Env {
	return work.Env{
		Now:   func() time.Time { w.now = w.now.Add(50 * time.Millisecond); return w.now },
		Rand:  rand.Reader,
		Blobs: w.blobs,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "nowhere.") {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// fetch does a task and puts its receipt into the current epoch.
func (w *world) fetch(f crawl.Fetch) {
	w.t.Helper()
	body, err := work.Encode(f)
	require.NoError(w.t, err)
	task := work.Task{Job: w.job.ID, Seq: w.seq + 1, Spec: w.spec, Body: body}
	result, err := w.kind.Execute(context.Background(), w.env(), task)
	require.NoError(w.t, err)
	w.receipt(task, result.Body)
}

// receipt signs a result, honest or not.
func (w *world) receipt(task work.Task, result []byte) {
	w.t.Helper()
	ctx := context.Background()
	d, err := w.blobs.Put(ctx, result)
	require.NoError(w.t, err)
	w.seq++
	key := w.workers[int(w.seq)%len(w.workers)]
	units := uint64(1)
	if r, err := crawl.DecodeRecord(result); err == nil && r.Status == 0 {
		units = 0
	}
	s, err := work.SignReceipt(key, work.Receipt{Chain: chainID, Job: w.job.ID, Seq: task.Seq, Attempt: 1,
		Task: task.Digest(), Result: d, Units: units, Started: w.now.UnixMilli(), Finished: w.now.UnixMilli() + 5})
	require.NoError(w.t, err)
	raw, err := s.Encode()
	require.NoError(w.t, err)
	w.pending = append(w.pending, signed{dataset.Receipt{Signed: raw, Task: task.Body}, s})
}

// commit ends the epoch, which may be empty.
func (w *world) commit() {
	w.t.Helper()
	n := uint64(len(w.epochs)) + 1
	var leaves []work.Node
	for i, p := range w.pending {
		p.receipt.Epoch, p.receipt.Index = n, uint64(i)
		w.receipts = append(w.receipts, p.receipt)
		leaves = append(leaves, work.ReceiptLeaf(p.receipt.Signed, p.s.Receipt.Units))
		w.units[p.s.Receipt.Worker] += p.s.Receipt.Units
	}
	w.pending = nil
	tree, err := work.NewTree(leaves)
	require.NoError(w.t, err)
	var keys []work.PublicKey
	for k := range w.units {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, work.PublicKey.Compare)
	var pay []work.Node
	for _, k := range keys {
		pay = append(pay, work.PayLeaf(k, w.units[k]))
	}
	payTree, err := work.NewTree(pay)
	require.NoError(w.t, err)
	w.epochs = append(w.epochs, work.Epoch{Job: w.job.ID, Number: n, Receipts: tree.Root(), Pay: payTree.Root(),
		Status: work.EpochSettled, CommitHeight: int64(100 * n), Label: work.Agreed})
}

func (w *world) settle() {
	if len(w.pending) > 0 {
		w.commit()
	}
	var root [32]byte
	var units uint64
	for _, e := range w.epochs {
		root = work.SettledRoot(root, w.job.ID, e.Number, e.Receipts.Hash)
		units += e.Receipts.Sum
	}
	w.job.SettledRoot, w.job.Settled, w.job.UnitsSettled = root, uint64(len(w.epochs)), units
}

func (w *world) meta() dataset.Meta {
	return dataset.Meta{Chain: chainID, Job: w.job, Spec: w.spec, Epochs: w.epochs, License: "CC0-1.0",
		Tool: "cantus test", Signer: w.signer, Plants: w.plants}
}

// Receipts and Blob make the world a dataset.Source.
func (w *world) Receipts(ctx context.Context, f func(dataset.Receipt) error) error {
	for _, r := range w.receipts {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Blob(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	return w.blobs.Get(ctx, d, max)
}

// write makes the dataset in a new directory and registers it.
func (w *world) write() (string, dataset.Written) {
	w.t.Helper()
	dir := w.t.TempDir()
	out, err := dataset.Write(context.Background(), dir, w, w.meta(), nil)
	require.NoError(w.t, err)
	w.register(out)
	return dir, out
}

func (w *world) register(out dataset.Written) {
	w.registered[out.CID] = dataset.Registration{Type: "dataset", Owner: w.job.Buyer, StatementDigest: artifact.Sum(out.Envelope),
		Job: w.job.ID, SettledRoot: w.job.SettledRoot, Label: string(out.Label), License: "CC0-1.0"}
}

// The world is the ledger, too.
func (w *world) Chain(context.Context) (string, error) { return chainID, nil }

func (w *world) Job(_ context.Context, id work.JobID) (work.Job, error) {
	if id != w.job.ID {
		return work.Job{}, errors.New("no such job")
	}
	return w.job, nil
}

func (w *world) Epoch(_ context.Context, id work.JobID, n uint64) (work.Epoch, error) {
	if id != w.job.ID || n == 0 || n > uint64(len(w.epochs)) {
		return work.Epoch{}, errors.New("no such epoch")
	}
	return w.epochs[n-1], nil
}

func (w *world) Signers(context.Context, work.Job) ([]artifact.Verifier, error) {
	return []artifact.Verifier{w.signer.Verifier()}, nil
}

func (w *world) Registration(_ context.Context, cid string) (dataset.Registration, error) {
	r, ok := w.registered[cid]
	if !ok {
		return r, dataset.ErrUnregistered
	}
	return r, nil
}
