package dataset

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// Verify checks everything in dir that an outsider can: that the files are those of the
// manifest, that the receipts are signed and give the epochs' roots, that every record
// follows from its exchange, and index and pages from these, that the lineage is signed,
// and, unless view is nil, that the ledger says the same. What is wrong is in the report;
// the error says that the checking itself could not be done.
func Verify(ctx context.Context, dir string, view LedgerView, progress func(Progress)) (*Report, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("verify a dataset: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, stageDir)); err == nil {
		return nil, fmt.Errorf("verify the dataset in %s: it is unfinished: run the command that writes it once more", dir)
	}
	v := verifier{ctx: ctx, dir: dir, progress: progress, r: &Report{Offline: view == nil}}
	err := v.run(view)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return v.r, fmt.Errorf("verify the dataset in %s: %w", dir, err)
	}
	return v.r, nil
}

// verifier is one run of Verify.
type verifier struct {
	ctx      context.Context
	dir      string
	progress func(Progress)
	r        *Report

	m        artifact.Manifest
	encoded  []byte
	p        Parameters
	envelope []byte
	specRaw  []byte
	spec     crawl.Spec
	excluded []exclusion
	plants   planted
	chain    *chain
	survey   survey
	planted  uint64 // units of plants
	met      int    // plants among the receipts
}

func (v *verifier) run(view LedgerView) error {
	if !v.manifest() {
		return nil
	}
	if err := v.files(); err != nil {
		return err
	}
	v.lineage()
	if !v.small() {
		return nil
	}
	v.receipts()
	if v.chain != nil {
		if err := v.pages(); err != nil {
			return err
		}
	}
	if view == nil {
		v.r.check("ledger").Skipped = "not asked"
		return nil
	}
	return v.ledger(view)
}

// manifest reads dataset.json; without it there is nothing else to check.
func (v *verifier) manifest() bool {
	c := v.r.check("manifest")
	var err error
	v.m, v.encoded, err = readManifest(v.dir)
	if !c.must(err) {
		return false
	}
	v.p, err = readParameters(v.m)
	if !c.must(err) {
		return false
	}
	v.r.CID = artifact.ManifestCID(v.encoded)
	v.r.Chain, v.r.Job, v.r.Label, v.r.Counts = v.m.Origin.Chain, v.m.Origin.Job, v.p.Label, v.p.Counts
	if uint64(len(v.m.Origin.Epochs)) > maxEpochs {
		c.must(fmt.Errorf("%d epochs, at most %d", len(v.m.Origin.Epochs), maxEpochs))
		return false
	}
	return true
}

// files holds every file against the manifest, and finds those that it does not name.
func (v *verifier) files() error {
	c := v.r.check("files")
	named := map[string]bool{manifestFile: true, lineageFile: true}
	var total, done uint64
	for _, f := range v.m.Files {
		named[f.Name] = true
		total += uint64(f.Size)
	}
	for _, f := range v.m.Files {
		got, err := artifact.Describe(v.ctx, v.dir, f.Name, f.MediaType)
		if v.ctx.Err() != nil {
			return v.ctx.Err()
		}
		if err == nil && got != f {
			err = fmt.Errorf("%s has %d bytes and the digest %s, the manifest says %d and %s", f.Name, got.Size, got.SHA256, f.Size, f.SHA256)
		}
		c.must(err)
		done += uint64(f.Size)
		v.progress(Progress{Stage: "files", Done: done, Total: total})
	}
	stray := v.r.check("no other files")
	return filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		name, err := filepath.Rel(v.dir, path)
		if err != nil {
			return err
		}
		if stray.Checked++; !named[filepath.ToSlash(name)] {
			stray.fail("%s is not in the manifest", printable(name))
		}
		return nil
	})
}

// lineage checks the signed statement. Whose key it must be, only the ledger knows.
func (v *verifier) lineage() {
	c := v.r.check("lineage")
	raw, err := readSmall(v.dir, lineageFile, artifact.MaxEnvelope)
	if !c.must(err) {
		return
	}
	v.envelope = raw
	e, err := artifact.DecodeEnvelope(raw)
	if !c.must(err) {
		return
	}
	if again, err := e.Encode(); err != nil || !bytes.Equal(again, raw) {
		c.must(fmt.Errorf("%s is not in canonical form", lineageFile))
		return
	}
	want, err := statement(v.m, v.encoded, v.p).Encode()
	if !c.must(err) {
		return
	}
	if !bytes.Equal(e.Payload, want) {
		c.must(fmt.Errorf("%s speaks of something else than %s", lineageFile, manifestFile))
	}
	if len(e.Signatures) != 1 {
		c.must(fmt.Errorf("%s has %d signatures, want one", lineageFile, len(e.Signatures)))
		return
	}
	v.r.Signer = printable(e.Signatures[0].KeyID)
	key, err := keyFromID(e.Signatures[0].KeyID)
	switch {
	case errors.Is(err, errOtherKey):
		if v.r.Offline {
			c.Skipped = "the signature is an account's: only the ledger knows its key"
		}
	case c.must(err):
		_, err := e.Verify(artifact.PayloadType, 1, key)
		c.must(err)
	}
}

var errOtherKey = errors.New("not a node key")

// keyFromID reads the key in the key ID of a node's signature.
func keyFromID(id string) (artifact.Ed25519Verifier, error) {
	var v artifact.Ed25519Verifier
	hex, ok := strings.CutPrefix(id, "ed25519:")
	if !ok {
		return v, errOtherKey
	}
	k, err := work.ParseKey(hex)
	if err != nil {
		return v, fmt.Errorf("the key ID of the signature: %w", err)
	}
	return artifact.Ed25519Verifier(k), nil
}

// small reads the files that everything else needs.
func (v *verifier) small() bool {
	c := v.r.check("spec and exclusions")
	var err error
	if v.specRaw, err = readSmall(v.dir, specFile, work.MaxSpec); !c.must(err) {
		return false
	}
	if v.spec, err = crawl.DecodeSpec(v.specRaw); !c.must(err) {
		return false
	}
	if !c.must(v.spec.Check()) {
		return false
	}
	raw, err := readSmall(v.dir, plantsFile, maxPlants)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case !c.must(err):
		return false
	default:
		if v.plants, err = decodePlants(raw, v.m.Origin.Chain, work.JobID(v.m.Origin.Job)); !c.must(err) {
			return false
		}
	}
	raw, err = readSmall(v.dir, excludedFile, maxExclusions)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case !c.must(err):
		return false
	}
	v.excluded, err = decodeExclusions(raw)
	return c.must(err)
}

// receipts checks signatures, tasks and results, and rebuilds the epochs' trees.
func (v *verifier) receipts() {
	c, roots := v.r.check("receipts"), v.r.check("epochs")
	o := v.m.Origin
	ch := newChain(o.Chain, work.JobID(o.Job), v.specRaw, uint64(len(o.Epochs)))
	var total uint64
	for _, e := range o.Epochs {
		total += e.Receipts
	}
	type bound struct {
		entry
		err error
	}
	err := inOrder(v.ctx,
		func(ctx context.Context, emit func(entry) error) error {
			return readEntries(v.dir, o.Chain, work.JobID(o.Job), func(e entry) error { return emit(e) })
		},
		func(e entry) (bound, error) { return bound{e, ch.bind(e)}, nil },
		func(b bound) error {
			c.must(b.err)
			if v.plants.has(b.entry) {
				v.planted += b.signed.Receipt.Units
				v.met++
			} else if f, r, err := crawl.Answer(v.spec, b.Task, b.record); err == nil {
				v.survey.add(f, r)
			}
			if c.Checked%1024 == 0 {
				v.progress(Progress{Stage: "receipts", Done: c.Checked, Total: total})
			}
			return ch.add(b.entry)
		})
	if err == nil {
		err = ch.end()
	}
	if err != nil {
		c.must(err)
		roots.Skipped = "the receipts cannot be read"
		return
	}
	v.chain = ch
	if n := v.plants.count(); n != v.met {
		roots.must(fmt.Errorf("%s names %d plants, and %d are among the receipts", plantsFile, n, v.met))
	}
	for n := range v.plants { // order-free: each is reported by its number
		if n == 0 || n > uint64(len(o.Epochs)) {
			roots.must(fmt.Errorf("%s speaks of epoch %d, and the job has %d", plantsFile, n, len(o.Epochs)))
		}
	}
	for i, e := range ch.epochs {
		want := o.Epochs[i]
		var err error
		if got := e.receipts; want.Number != e.number || artifact.Digest(got.Hash) != want.Root || got.Leaves != want.Receipts || got.Sum != want.Units {
			err = fmt.Errorf("epoch %d: %d receipts of %d units give the root %x, %s has %d of %d and %s",
				e.number, got.Leaves, got.Sum, got.Hash, manifestFile, want.Receipts, want.Units, want.Root)
		}
		roots.must(err)
	}
	if artifact.Digest(ch.settled) != o.SettledRoot {
		roots.must(fmt.Errorf("the epochs give the settled root %x, %s has %s", ch.settled, manifestFile, o.SettledRoot))
	}
}

// sizedReader reads the WARC files one after the other.
type sizedReader struct {
	f    *os.File
	buf  *bufio.Reader
	name string // in DIR
	at   int64
	size int64
}

func (r *sizedReader) close() {
	if r.f != nil {
		r.f.Close()
	}
}

// take reads the next n bytes.
func (r *sizedReader) take(n int64) ([]byte, error) {
	if n > r.size-r.at {
		return nil, fmt.Errorf("%s ends %d bytes short of the next exchange", r.name, n-(r.size-r.at))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.buf, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	r.at += n
	return b, nil
}
