package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

func files(t *testing.T, dir string) []string {
	t.Helper()
	var l []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			l = append(l, path)
		}
		return err
	}))
	return l
}

// broken verifies a directory that somebody tampered with; any finding will do.
func broken(t *testing.T, dir string, view dataset.LedgerView) bool {
	t.Helper()
	r, err := dataset.Verify(context.Background(), dir, view, nil)
	return err != nil || !r.OK()
}

// A single flipped bit anywhere is found, with and without the ledger.
func TestEveryFlippedBitIsFound(t *testing.T) {
	w := usual(t)
	lie(t, w)
	dir, _ := w.write()
	require.True(t, verify(t, dir, w).OK())
	random := rand.New(rand.NewPCG(1, 2))
	for _, path := range files(t, dir) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		at := map[int]bool{0: true, len(b) - 1: true}
		for len(at) < min(12, len(b)) {
			at[random.IntN(len(b))] = true
		}
		for i := range at {
			c := bytes.Clone(b)
			c[i] ^= 1 << random.IntN(8)
			require.NoError(t, os.WriteFile(path, c, 0o644))
			require.True(t, broken(t, dir, nil), "%s: bit %d flipped, and offline nobody saw", path, i)
			require.True(t, broken(t, dir, w), "%s: bit %d flipped, and nobody saw", path, i)
		}
		for _, c := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 0), append(bytes.Clone(b), b...)} {
			require.NoError(t, os.WriteFile(path, c, 0o644))
			require.True(t, broken(t, dir, nil), "%s: %d bytes of %d", path, len(c), len(b))
		}
		require.NoError(t, os.Remove(path))
		require.True(t, broken(t, dir, nil), "%s removed", path)
		require.NoError(t, os.WriteFile(path, b, 0o644))
	}
	require.True(t, verify(t, dir, w).OK())
}

// forge changes the files of a dataset and then makes manifest and signature fit again, as
// a dishonest publisher with the gateway's key would.
func forge(t *testing.T, w *world, dir string, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, change(b), 0o644))

	old, err := os.ReadFile(filepath.Join(dir, "dataset.json"))
	require.NoError(t, err)
	m, err := artifact.DecodeManifest(old)
	require.NoError(t, err)
	for i, f := range m.Files {
		m.Files[i], err = artifact.Describe(context.Background(), dir, f.Name, f.MediaType)
		require.NoError(t, err)
	}
	encoded, err := m.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dataset.json"), encoded, 0o644))
	env, err := os.ReadFile(filepath.Join(dir, "lineage.dsse.json"))
	require.NoError(t, err)
	e, err := artifact.DecodeEnvelope(env)
	require.NoError(t, err)
	s, err := artifact.DecodeStatement(e.Payload)
	require.NoError(t, err)
	s.Subjects[0].SHA256, s.Lineage.CID = artifact.Sum(encoded), artifact.ManifestCID(encoded)
	e, err = artifact.SignStatement(s, w.signer)
	require.NoError(t, err)
	signed, err := e.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lineage.dsse.json"), signed, 0o644))
	w.register(dataset.Written{CID: s.Lineage.CID, Envelope: signed, Label: work.Label(s.Lineage.Label)})
}

// Even who can sign the manifest cannot change what the receipts signed.
func TestForgedFilesAreFound(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	for name, change := range map[string]func([]byte) []byte{
		"index.cdxj":                  replace(`"status":"200"`, `"status":"203"`),
		"receipts":                    func(b []byte) []byte { b[len(b)-100] ^= 1; return b },
		"spec.cbor":                   replace("host", "hosu"),
		"records.zst":                 func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"pages.parquet":               func(b []byte) []byte { b[len(b)/3] ^= 1; return b },
		"warc/cantus-7-00000.warc.gz": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			w := usual(t)
			dir, _ := w.write()
			forge(t, w, dir, name, func(b []byte) []byte { return b })
			require.True(t, verify(t, dir, w).OK(), "the forger's own tools broke it")
			forge(t, w, dir, name, change)
			require.True(t, broken(t, dir, nil))
		})
	}
}

// Rows that another job's pages would have are found although the file is well formed.
func TestForeignRowsAreFound(t *testing.T) {
	w, other := usual(t), crawlSite(t, "/robots.txt", "/", "/a", "/copy", "/b?x=2&a=1", "/old", "/older", "/plain", "/image", "/empty", "/long", "/n/1", "nowhere")
	dir, _ := w.write()
	otherDir, _ := other.write()
	b, err := os.ReadFile(filepath.Join(otherDir, "pages.parquet"))
	require.NoError(t, err)
	forge(t, w, dir, "pages.parquet", func([]byte) []byte { return b })
	r := verify(t, dir, w)
	require.False(t, r.OK())
	for _, c := range r.Checks {
		require.Equal(t, c.Name != "pages", c.OK(), "%s: %v", c.Name, c.Failures)
	}
}

// The ledger's word is the last: a dataset of made-up receipts is whole in itself.
func TestMadeUpJobIsFoundOnTheLedger(t *testing.T) {
	w := usual(t)
	forged := crawlSite(t, "/a")
	dir, out := forged.write()
	require.True(t, verify(t, dir, nil).OK())
	w.register(out)
	r := verify(t, dir, w)
	require.False(t, r.OK())
	require.Contains(t, r.String(), "settled root")

	unregistered := t.TempDir()
	_, err := dataset.Write(context.Background(), unregistered, w, w.meta(), nil)
	require.NoError(t, err)
	r = verify(t, unregistered, w)
	require.Contains(t, r.String(), "does not have")

	another, err := artifact.NewEd25519Signer(bytes.Repeat([]byte{9}, 32))
	require.NoError(t, err)
	w.signer = another
	dir, _ = w.write()
	w.signer, err = artifact.NewEd25519Signer(bytes.Repeat([]byte{8}, 32))
	require.NoError(t, err)
	require.Contains(t, verify(t, dir, w).String(), "neither the job's buyer nor its gateway")
}

func TestStrayAndRevoked(t *testing.T) {
	w := usual(t)
	dir, out := w.write()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "warc", "extra.warc.gz"), nil, 0o644))
	require.Contains(t, verify(t, dir, w).String(), "extra.warc.gz is not in the manifest")
	require.NoError(t, os.Remove(filepath.Join(dir, "warc", "extra.warc.gz")))
	r := w.registered[out.CID]
	r.Revoked, r.RevokeReason = true, "withdrawn"
	w.registered[out.CID] = r
	require.Contains(t, verify(t, dir, w).String(), "withdrawn")
}

// lie adds receipts whose records do not follow from their exchanges.
func lie(t *testing.T, w *world) {
	t.Helper()
	ctx := context.Background()
	base, err := crawl.DecodeRecord(firstPage(t, w))
	require.NoError(t, err)
	for i, change := range []func(*crawl.Record){
		func(r *crawl.Record) { r.Title = "Another title" },
		func(r *crawl.Record) {
			b, err := w.blobs.Put(ctx, []byte("no WARC at all"))
			require.NoError(t, err)
			r.WARC = b
		},
		func(r *crawl.Record) {
			ex := warc.Exchange{URL: r.URL, Time: w.now, RequestHead: []byte("GET / HTTP/1.1\r\n\r\n"),
				ResponseHead: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"), Body: []byte("<p>another page")}
			blob, members, err := warc.Build(ex)
			require.NoError(t, err)
			r.WARC, err = w.blobs.Put(ctx, blob)
			require.NoError(t, err)
			r.Members = members
		},
		func(r *crawl.Record) { r.Status = 999 },
	} {
		r := base
		change(&r)
		body, err := work.Encode(r)
		require.NoError(t, err)
		fetch, err := work.Encode(crawl.Fetch{Mode: crawl.ModePage, URL: r.URL, Depth: uint32(i)})
		require.NoError(t, err)
		w.receipt(work.Task{Job: w.job.ID, Seq: w.seq + 1, Spec: w.spec, Body: fetch}, body)
	}
	w.settle()
}

// firstPage is the body of the result of the first page with text.
func firstPage(t *testing.T, w *world) []byte {
	t.Helper()
	for _, r := range w.receipts {
		s, err := work.DecodeReceipt(r.Signed)
		require.NoError(t, err)
		b, err := w.blobs.Get(context.Background(), s.Receipt.Result, 0)
		require.NoError(t, err)
		if rec, err := crawl.DecodeRecord(b); err == nil && rec.Title != "" {
			return b
		}
	}
	t.Fatal("no page")
	return nil
}

// A worker's lie that no audit met does not keep the buyer from the dataset: it is left
// out of it, with the evidence.
func TestLiesAreLeftOutWithEvidence(t *testing.T) {
	w := usual(t)
	lie(t, w)
	dir, out := w.write()
	require.EqualValues(t, 4, out.Counts.Excluded)
	require.EqualValues(t, 18, out.Counts.Receipts)
	r := verify(t, dir, w)
	require.True(t, r.OK(), r.String())
	names, err := os.ReadDir(filepath.Join(dir, "rejected"))
	require.NoError(t, err)
	require.Len(t, names, 3)

	// An honest receipt can't be hidden that way.
	forge(t, w, dir, "excluded.json", func(b []byte) []byte {
		return bytes.Replace(b, []byte(`[{"blob"`), []byte(`[{"epoch":1,"index":1,"reason":"rejected"},{"blob"`), 1)
	})
	require.Contains(t, verify(t, dir, w).String(), "nothing is wrong with it")
}

// What an audit proved false is left out, and a dataset that keeps it is found.
func TestRefutedReceiptsAreLeftOut(t *testing.T) {
	w := usual(t)
	kept, _ := w.write()
	w.epochs[0].Samples = []work.Sample{{Status: work.SampleFalse, Receipt: w.receipts[1].Signed}}
	dir, out := w.write()
	require.EqualValues(t, 1, out.Counts.Excluded)
	require.True(t, verify(t, dir, w).OK())
	require.Contains(t, verify(t, kept, w).String(), "audits proved 1 receipts false")
}

func TestWriteRefusesWhatIsNotSettled(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		break_ func(w *world, m *dataset.Meta)
		want   error
	}{
		"a receipt is missing": {func(w *world, _ *dataset.Meta) { w.receipts = w.receipts[:len(w.receipts)-1] }, dataset.ErrSource},
		"another root":         {func(_ *world, m *dataset.Meta) { m.Epochs[1].Receipts.Hash[0] ^= 1 }, dataset.ErrSource},
		"another settled root": {func(_ *world, m *dataset.Meta) { m.Job.SettledRoot[0] ^= 1 }, dataset.ErrSource},
		"an epoch is missing":  {func(_ *world, m *dataset.Meta) { m.Epochs = m.Epochs[:2] }, dataset.ErrSource},
		"a forged signature":   {func(w *world, _ *dataset.Meta) { w.receipts[0].Signed[len(w.receipts[0].Signed)-1] ^= 1 }, work.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			w := usual(t)
			m := w.meta()
			c.break_(w, &m)
			dir := t.TempDir()
			_, err := dataset.Write(ctx, dir, w, m, nil)
			require.ErrorIs(t, err, c.want)
			_, err = os.Stat(filepath.Join(dir, "dataset.json"))
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// failing is a source that breaks off.
type failing struct {
	*world
	after atomic.Int64
}

// breaking fails once it has given so many blobs.
func breaking(w *world, after int64) *failing {
	f := &failing{world: w}
	f.after.Store(after)
	return f
}

var errBroken = errors.New("the store went away")

func (f *failing) Blob(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	if f.after.Add(-1) < 0 {
		return nil, errBroken
	}
	return f.world.Blob(ctx, d, max)
}

// A write that breaks off anywhere leaves something that the next one completes.
func TestInterruptedWriteIsStartedOver(t *testing.T) {
	ctx := context.Background()
	w := usual(t)
	want, _ := w.write()
	dir := filepath.Join(t.TempDir(), "new", "dir")
	for after := int64(0); ; after++ {
		_, err := dataset.Write(ctx, dir, breaking(w, after), w.meta(), nil)
		if err == nil {
			break
		}
		require.ErrorIs(t, err, errBroken)
		_, err = dataset.Verify(ctx, dir, nil, nil)
		require.ErrorContains(t, err, "unfinished")
	}
	require.Equal(t, tree(t, want), tree(t, dir))

	// Broken off while the files were moved to their places.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".unfinished"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".unfinished", "job.json"), []byte(`{"chain":"cantus-test-1","job":7}`), 0o644))
	require.NoError(t, os.Rename(filepath.Join(dir, "dataset.json"), filepath.Join(dir, ".unfinished", "dataset.json")))
	_, err := dataset.Write(ctx, dir, w, w.meta(), nil)
	require.NoError(t, err)
	require.Equal(t, tree(t, want), tree(t, dir))

	// Already there: left as it is.
	out, err := dataset.Write(ctx, dir, breaking(w, 0), w.meta(), nil)
	require.NoError(t, err)
	require.NotEmpty(t, out.CID)
}

func TestWriteKeepsOffOtherPeoplesFiles(t *testing.T) {
	ctx := context.Background()
	w := usual(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o644))
	_, err := dataset.Write(ctx, dir, w, w.meta(), nil)
	require.ErrorIs(t, err, dataset.ErrNotEmpty)
	require.ErrorContains(t, err, "letter.txt")
	b, err := os.ReadFile(filepath.Join(dir, "letter.txt"))
	require.NoError(t, err)
	require.Equal(t, "dear", string(b))

	// Another job's dataset, finished or not.
	dir, _ = w.write()
	other := usual(t)
	other.job.ID = 8
	m := other.meta()
	_, err = dataset.Write(ctx, dir, other, m, nil)
	require.ErrorIs(t, err, dataset.ErrNotEmpty)
	fresh := t.TempDir()
	_, err = dataset.Write(ctx, fresh, breaking(w, 3), w.meta(), nil)
	require.Error(t, err)
	_, err = dataset.Write(ctx, fresh, other, m, nil)
	require.ErrorIs(t, err, dataset.ErrNotEmpty)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = dataset.Write(ctx, file, w, w.meta(), nil)
	require.Error(t, err)
}
