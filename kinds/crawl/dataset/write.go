package dataset

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

// ErrSource is returned where the receipts that a Source gives are not those that the
// ledger settled.
var ErrSource = errors.New("the receipts are not the settled ones")

// Written is a finished dataset.
type Written struct {
	CID string
	// Envelope is lineage.dsse.json, whose digest is registered with the CID.
	Envelope []byte
	Label    work.Label
	Counts   Counts
	Size     int64 // of all files together
}

// Write makes dir the dataset of a settled job. It can be interrupted at any point: until
// it is complete, dir holds no dataset.json, and the same call starts it over. A directory
// that holds the job's dataset already is left as it is; one that holds something else is
// refused with ErrNotEmpty. Memory is bounded by the largest pages and by the receipts of
// one epoch, not by the size of the crawl.
func Write(ctx context.Context, dir string, src Source, meta Meta, progress func(Progress)) (Written, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	spec, err := checkMeta(meta)
	if err != nil {
		return Written{}, fmt.Errorf("write the dataset of job %d: %w", meta.Job.ID, err)
	}
	plants, err := checkPlants(meta)
	if err != nil {
		return Written{}, fmt.Errorf("write the dataset of job %d: %w", meta.Job.ID, err)
	}
	s, done, err := openStage(dir, mark{Chain: meta.Chain, Job: meta.Job.ID})
	if err != nil {
		return Written{}, full(dir, err)
	}
	if done {
		return readWritten(dir, meta)
	}
	w := writer{ctx: ctx, src: src, meta: meta, spec: spec, plants: plants, dir: s.temp, progress: progress, evidence: map[string]bool{}}
	out, err := w.write()
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		return Written{}, full(dir, fmt.Errorf("write the dataset of job %d to %s: %w", meta.Job.ID, dir, err))
	}
	return out, nil
}

func checkMeta(m Meta) (crawl.Spec, error) {
	var none crawl.Spec
	switch {
	case m.Job.Kind != crawl.Name:
		return none, fmt.Errorf("it is of kind %.40q, and this is for %s", m.Job.Kind, crawl.Name)
	case artifact.Sum(m.Spec) != m.Job.Spec:
		return none, errors.New("the spec at hand is not the one whose digest the ledger has")
	case m.Signer == nil:
		return none, errors.New("nobody to sign its lineage")
	case len(m.Epochs) == 0 || uint64(len(m.Epochs)) != m.Job.Settled:
		return none, fmt.Errorf("%w: %d epochs at hand, and the ledger settled %d", ErrSource, len(m.Epochs), m.Job.Settled)
	case len(m.Epochs) > maxEpochs:
		return none, fmt.Errorf("%d epochs, at most %d", len(m.Epochs), maxEpochs)
	}
	for i, e := range m.Epochs {
		if e.Number != uint64(i)+1 || e.Status != work.EpochSettled {
			return none, fmt.Errorf("epoch %d is %s, in the place of epoch %d: want the settled ones in their order", e.Number, e.Status, i+1)
		}
	}
	spec, err := crawl.DecodeSpec(m.Spec)
	if err != nil {
		return none, err
	}
	return spec, spec.Check()
}

// readWritten returns what a finished directory holds.
func readWritten(dir string, meta Meta) (Written, error) {
	m, encoded, err := readManifest(dir)
	if err != nil {
		return Written{}, err
	}
	p, err := readParameters(m)
	if err != nil {
		return Written{}, err
	}
	if m.Origin.SettledRoot != meta.Job.SettledRoot {
		return Written{}, fmt.Errorf("write the dataset of job %d to %s: %w: a dataset of the same job with the settled root %s, and now it is %s: choose another directory",
			meta.Job.ID, dir, ErrNotEmpty, m.Origin.SettledRoot, meta.Job.SettledRoot)
	}
	envelope, err := readSmall(dir, lineageFile, artifact.MaxEnvelope)
	if err != nil {
		return Written{}, err
	}
	out := Written{CID: artifact.ManifestCID(encoded), Envelope: envelope, Label: work.Label(p.Label), Counts: p.Counts}
	for _, f := range m.Files {
		out.Size += f.Size
	}
	return out, nil
}

// writer is one run of Write. It goes over the receipts twice: to check them and keep
// them, and then, knowing them, to make the pages.
type writer struct {
	ctx      context.Context
	src      Source
	meta     Meta
	spec     crawl.Spec
	plants   planted
	dir      string
	progress func(Progress)

	files    []artifact.File
	survey   survey
	receipts uint64
	workers  int
	excluded []exclusion
	evidence map[string]bool // names of the rejected blobs that are kept
	rows     rowMaker
}

func (w *writer) write() (Written, error) {
	if err := w.writeReceipts(); err != nil {
		return Written{}, err
	}
	if err := w.writePages(); err != nil {
		return Written{}, err
	}
	f, err := writeFile(w.dir, specFile, "application/cbor", w.meta.Spec)
	if err != nil {
		return Written{}, err
	}
	w.files = append(w.files, f)
	if len(w.plants) > 0 {
		b, err := encodePlants(w.meta.Epochs, w.plants)
		if err != nil {
			return Written{}, err
		}
		if f, err = writeFile(w.dir, plantsFile, "application/json", b); err != nil {
			return Written{}, err
		}
		w.files = append(w.files, f)
	}
	if len(w.excluded) > 0 {
		b, err := encodeExclusions(w.excluded)
		if err != nil {
			return Written{}, err
		}
		if f, err = writeFile(w.dir, excludedFile, "application/json", b); err != nil {
			return Written{}, err
		}
		w.files = append(w.files, f)
	}
	return w.seal()
}

// seal writes the manifest and its signed statement.
func (w *writer) seal() (Written, error) {
	sortFiles(w.files)
	p := parameters(w.meta, w.spec, w.survey, w.rows.counts)
	m, err := manifest(w.meta, p, w.files)
	if err != nil {
		return Written{}, err
	}
	encoded, err := m.Encode()
	if err != nil {
		return Written{}, err
	}
	if _, err := writeFile(w.dir, manifestFile, "", encoded); err != nil {
		return Written{}, err
	}
	envelope, err := artifact.SignStatement(statement(m, encoded, p), w.meta.Signer)
	if err != nil {
		return Written{}, err
	}
	signed, err := envelope.Encode()
	if err != nil {
		return Written{}, err
	}
	if _, err := writeFile(w.dir, lineageFile, "", signed); err != nil {
		return Written{}, err
	}
	out := Written{CID: artifact.ManifestCID(encoded), Envelope: signed, Label: work.Label(p.Label), Counts: p.Counts}
	for _, f := range w.files {
		out.Size += f.Size
	}
	return out, nil
}

// writeReceipts copies the receipts and their records and checks that they are those of
// the ledger.
func (w *writer) writeReceipts() error {
	out, err := newEntryWriter(w.dir, w.meta.Chain, w.meta.Job.ID)
	if err != nil {
		return err
	}
	c := newChain(w.meta.Chain, w.meta.Job.ID, w.meta.Spec, uint64(len(w.meta.Epochs)))
	var total uint64
	for _, e := range w.meta.Epochs {
		total += e.Receipts.Leaves
	}
	err = inOrder(w.ctx,
		func(ctx context.Context, emit func(Receipt) error) error { return w.src.Receipts(ctx, emit) },
		func(r Receipt) (entry, error) { return w.load(c, r) },
		func(e entry) error {
			if err := c.add(e); err != nil {
				return err
			}
			if f, r, err := crawl.Answer(w.spec, e.Task, e.record); err == nil && !w.plants.has(e) {
				w.survey.add(f, r)
			}
			w.receipts++
			if w.receipts%256 == 0 {
				w.progress(Progress{Stage: "receipts", Done: w.receipts, Total: total})
			}
			return out.append(e.Receipt, e.record)
		})
	if err != nil {
		out.abort()
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	for i, e := range c.epochs {
		if want := w.meta.Epochs[i].Receipts; e.receipts != want {
			return fmt.Errorf("%w: epoch %d gives the root %x over %d receipts and %d units, the ledger has %x over %d and %d", ErrSource,
				e.number, e.receipts.Hash[:8], e.receipts.Leaves, e.receipts.Sum, want.Hash[:8], want.Leaves, want.Sum)
		}
	}
	if artifact.Digest(c.settled) != w.meta.Job.SettledRoot {
		return fmt.Errorf("%w: the epochs give the settled root %x, the ledger has %s", ErrSource, c.settled, w.meta.Job.SettledRoot)
	}
	if w.receipts == 0 {
		return fmt.Errorf("%w: the job has none", ErrSource)
	}
	w.workers = len(c.units)
	w.files = append(w.files, out.receipts.file(receiptsFile, "application/cbor-seq"), out.records.file(recordsFile, "application/zstd"))
	w.progress(Progress{Stage: "receipts", Done: w.receipts, Total: total})
	return nil
}

// load gets an entry's record from the source and checks the entry by itself.
func (w *writer) load(c *chain, r Receipt) (entry, error) {
	s, err := work.DecodeReceipt(r.Signed)
	if err != nil {
		return entry{}, fmt.Errorf("receipt %d of epoch %d: %w", r.Index, r.Epoch, err)
	}
	e := entry{Receipt: r, signed: s}
	if e.record, err = w.src.Blob(w.ctx, s.Receipt.Result, work.MaxResult); err != nil {
		return e, fmt.Errorf("get the result of task %d: %w", s.Receipt.Seq, err)
	}
	return e, c.bind(e)
}

// writePages makes what follows from the exchanges: the WARC files, their index and the
// pages.
func (w *writer) writePages() error {
	archive, err := warc.NewWriter(filepath.Join(w.dir, warcDir), warcPrefix(w.meta.Job.ID), w.meta.MaxWARC,
		time.UnixMilli(w.survey.from), warcInfo(w.meta.Chain, w.meta.Job.ID, w.meta.Tool))
	if err != nil {
		return err
	}
	defer archive.Abort()
	table, err := create(filepath.Join(w.dir, pagesFile))
	if err != nil {
		return err
	}
	defer table.abort()
	pages := newPagesWriter(table)
	index := newSorter(w.dir, sortMemory)
	defer index.close()

	w.rows = newRowMaker(w.survey.redirects)
	refutedBy := refutations(w.meta.Epochs)
	n := uint64(0)
	err = inOrder(w.ctx,
		func(ctx context.Context, emit func(entry) error) error {
			return readEntries(w.dir, w.meta.Chain, w.meta.Job.ID, func(e entry) error { return emit(e) })
		},
		func(e entry) (derived, error) {
			if w.plants.has(e) {
				return derived{entry: e, why: errPlanted}, nil
			}
			if refutedBy[string(e.Signed)] {
				return derived{entry: e, why: errRefuted}, nil
			}
			return derive(w.spec, e, func(f crawl.Fetch, r crawl.Record) ([]byte, error) {
				b, err := w.src.Blob(w.ctx, r.WARC, maxBlob)
				if err != nil {
					return nil, fmt.Errorf("get the exchange with %s: %w", r.URL, err)
				}
				return b, nil
			})
		},
		func(d derived) error {
			if n++; n%256 == 0 || n == w.receipts {
				w.progress(Progress{Stage: "pages", Done: n, Total: w.receipts})
			}
			return w.page(d, archive, index, pages)
		})
	if err != nil {
		return err
	}
	w.rows.counts.Receipts, w.rows.counts.Workers = w.receipts, uint64(w.workers)

	files, err := archive.Close()
	if err != nil {
		return err
	}
	for _, f := range files {
		w.files = append(w.files, artifact.File{Name: warcDir + "/" + f.Name, Size: f.Size, SHA256: artifact.Digest(f.SHA256), MediaType: "application/warc"})
	}
	if err := pages.close(); err != nil {
		return err
	}
	if err := table.close(); err != nil {
		return err
	}
	w.files = append(w.files, table.file(pagesFile, "application/vnd.apache.parquet"))
	return w.writeIndex(index)
}

// page takes one entry to where it belongs.
func (w *writer) page(d derived, archive *warc.Writer, index *sorter, pages *pagesWriter) error {
	if d.why != nil {
		return w.exclude(d)
	}
	var at place
	if archived(d.fetch, d.record) {
		file, offset, err := archive.Append(d.blob)
		if err != nil {
			return err
		}
		at = place{file: warcDir + "/" + file, offset: offset}
		line, err := cdxLine(d, at)
		if err != nil {
			return err
		}
		if err := index.add(line); err != nil {
			return err
		}
	}
	if row, ok := w.rows.row(d, at); ok {
		return pages.append(row)
	}
	return nil
}

// exclude keeps the evidence of an entry that is not what it says.
func (w *writer) exclude(d derived) error {
	x := excludedBy(d, len(w.excluded))
	w.excluded = append(w.excluded, x)
	w.rows.counts.Excluded++
	if x.Blob == "" || w.evidence[x.Blob] {
		return nil
	}
	w.evidence[x.Blob] = true
	f, err := writeFile(w.dir, x.Blob, "application/octet-stream", d.blob)
	if err != nil {
		return err
	}
	w.files = append(w.files, f)
	return nil
}

func (w *writer) writeIndex(index *sorter) error {
	out, err := create(filepath.Join(w.dir, indexFile))
	if err != nil {
		return err
	}
	err = index.each(func(line []byte) error {
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		out.abort()
		return fmt.Errorf("write %s: %w", indexFile, err)
	}
	if err := out.close(); err != nil {
		return err
	}
	w.files = append(w.files, out.file(indexFile, "text/x-cdxj"))
	return index.close()
}

func warcPrefix(job work.JobID) string { return fmt.Sprintf("cantus-%d", job) }

func warcInfo(chain string, job work.JobID, tool string) []warc.Field {
	info := []warc.Field{
		{Name: "format", Value: "WARC File Format 1.1"},
		{Name: "conformsTo", Value: "https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"},
		{Name: "isPartOf", Value: fmt.Sprintf("job %d of chain %s", job, chain)},
		{Name: "robots", Value: "RFC 9309"},
		{Name: "http-header-user-agent", Value: crawl.UserAgent},
	}
	if tool != "" {
		info = append([]warc.Field{{Name: "software", Value: tool}}, info...)
	}
	return info
}
