package dataset

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

// pagesCheck walks receipts, exchanges and rows side by side, as Write made them.
type pagesCheck struct {
	*verifier
	exchanges, excluded, rows, index, counts *Check

	archive  sizedReader
	archives []string // those still to come
	listed   []exclusion
	n        int // exclusions met
	evidence map[string]bool
	maker    rowMaker
	lines    *sorter
	pages    *rowReader
	table    *pagesWriter // the table as it must be
	sum      hash.Hash    // of its bytes
	lost     bool         // the place in the WARC files is lost: say so once
}

func (v *verifier) pages() error {
	temp, err := os.MkdirTemp("", "cantus-verify-")
	if err != nil {
		return fmt.Errorf("sort the index: %w", err)
	}
	defer os.RemoveAll(temp)
	p := &pagesCheck{verifier: v, listed: v.excluded, evidence: map[string]bool{},
		maker: newRowMaker(v.survey.redirects), lines: newSorter(temp, sortMemory)}
	p.exchanges, p.excluded = v.r.check("exchanges"), v.r.check("exclusions")
	p.rows, p.index, p.counts = v.r.check("pages"), v.r.check("index"), v.r.check("counts")
	for _, f := range v.m.Files {
		if strings.HasPrefix(f.Name, warcDir+"/") {
			p.archives = append(p.archives, f.Name)
		}
	}
	defer p.archive.close()
	defer p.lines.close()
	if p.pages, err = openRows(v.dir); err != nil {
		p.rows.must(err)
	} else {
		defer p.pages.close()
	}
	p.sum = sha256.New()
	p.table = newPagesWriter(p.sum)

	o := v.m.Origin
	err = inOrder(v.ctx,
		func(ctx context.Context, emit func(found) error) error {
			// The exchanges are read here, one after the other, and checked by several at once.
			return readEntries(v.dir, o.Chain, work.JobID(o.Job), func(e entry) error {
				f, err := p.find(e)
				if err != nil {
					return err
				}
				return emit(f)
			})
		},
		func(f found) (found, error) {
			if v.plants.has(f.entry) {
				f.derived = derived{entry: f.entry, why: errPlanted}
				return f, nil
			}
			if f.listed != nil && f.listed.Reason == refuted {
				f.derived = derived{entry: f.entry, why: errRefuted}
				return f, nil
			}
			var err error
			f.derived, err = derive(v.spec, f.entry, func(crawl.Fetch, crawl.Record) ([]byte, error) { return f.blob, nil })
			return f, err
		},
		p.take)
	if err != nil {
		return err
	}
	p.finish()
	return p.matchTable()
}

// found is an entry with what the dataset has of it.
type found struct {
	entry
	listed  *exclusion
	blob    []byte
	missing error // why there is no blob
	at      place
	derived derived
}

// find reads an entry's exchange from where it must be.
func (p *pagesCheck) find(e entry) (found, error) {
	f := found{entry: e}
	if len(p.listed) > 0 && p.listed[0].Epoch == e.Epoch && p.listed[0].Index == e.Index {
		f.listed, p.listed = &p.listed[0], p.listed[1:]
		if f.listed.Blob != "" {
			b, err := readSmall(p.dir, f.listed.Blob, maxBlob)
			f.blob, f.missing = b, err
		}
		return f, nil
	}
	fetch, r, err := crawl.Answer(p.spec, e.Task, e.record)
	if err != nil || !archived(fetch, r) || p.plants.has(e) {
		return f, nil
	}
	if p.lost {
		f.missing = errLost
		return f, nil
	}
	if f.at, f.blob, f.missing = p.next(length(r)); f.missing != nil {
		p.lost = true
	}
	return f, nil
}

var errLost = errors.New("not looked for after what was wrong before")

// next reads the next n bytes of the WARC files.
func (p *pagesCheck) next(n int64) (place, []byte, error) {
	a := &p.archive
	if a.f == nil || a.at == a.size {
		if err := p.open(); err != nil {
			return place{}, nil, err
		}
	}
	at := place{file: a.name, offset: a.at}
	b, err := a.take(n)
	return at, b, err
}

// open goes to the next WARC file and reads the record that it begins with.
func (p *pagesCheck) open() error {
	if len(p.archives) == 0 {
		return errors.New("the WARC files end before the receipts do")
	}
	p.archive.close()
	p.archive = sizedReader{name: p.archives[0]}
	p.archives = p.archives[1:]
	a := &p.archive
	var err error
	if a.f, err = openRegular(p.dir, a.name); err != nil {
		return err
	}
	info, err := a.f.Stat()
	if err != nil {
		return err
	}
	a.size = info.Size()
	first, err := warc.NewReader(io.LimitReader(a.f, 1<<20), 1<<20).Next()
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	var want bytes.Buffer
	for _, f := range warcInfo(p.m.Origin.Chain, work.JobID(p.m.Origin.Job), p.p.Tool) {
		fmt.Fprintf(&want, "%s: %s\r\n", f.Name, f.Value)
	}
	if first.Type() != "warcinfo" || first.Get("WARC-Filename") != strings.TrimPrefix(a.name, warcDir+"/") || !bytes.Equal(first.Block, want.Bytes()) {
		return fmt.Errorf("%s does not begin with its warcinfo record", a.name)
	}
	if _, err := a.f.Seek(first.Length, io.SeekStart); err != nil {
		return err
	}
	a.at, a.buf = first.Length, bufio.NewReaderSize(a.f, 256<<10)
	return nil
}

// take holds an entry against what there is of it.
func (p *pagesCheck) take(f found) error {
	d := f.derived
	who := fmt.Sprintf("receipt %d of epoch %d", f.Index, f.Epoch)
	if f.listed != nil {
		p.take1(f, who)
		return nil
	}
	switch {
	case f.missing != nil:
		p.exchanges.must(fmt.Errorf("%s: %w", who, f.missing))
		if !errors.Is(f.missing, errLost) {
			p.exchanges.fail("what follows in the WARC files was not checked")
		}
	case d.why != nil:
		p.exchanges.must(fmt.Errorf("%s: %s", who, printable(d.why.Error())))
	default:
		p.exchanges.Checked++
	}
	if d.why != nil {
		return nil
	}
	if archived(d.fetch, d.record) && f.missing == nil {
		line, err := cdxLine(d, f.at)
		if err != nil {
			return err
		}
		if err := p.lines.add(line); err != nil {
			return err
		}
	}
	want, ok := p.maker.row(d, f.at)
	if ok && p.pages != nil && f.missing == nil {
		p.rows.must(p.pages.match(want))
		if err := p.table.append(want); err != nil {
			return err
		}
	}
	if n := p.exchanges.Checked; n%256 == 0 {
		p.progress(Progress{Stage: "pages", Done: n, Total: p.chain.receipts})
	}
	return nil
}

// take1 checks that an entry is excluded for the reason that is given.
func (p *pagesCheck) take1(f found, who string) {
	want := excludedBy(f.derived0(), p.n)
	p.n++
	p.maker.counts.Excluded++
	switch {
	case f.missing != nil:
		p.excluded.must(fmt.Errorf("%s: %w", who, f.missing))
	case f.derived.why == nil && f.listed.Blob == "" && p.n > maxEvidence:
		p.excluded.Checked++ // its blob was not kept, as those of so many others
	case f.derived.why == nil:
		p.excluded.must(fmt.Errorf("%s is said to be rejected, and nothing is wrong with it", who))
	case want.Reason != f.listed.Reason || want.Blob != f.listed.Blob || want.Detail != f.listed.Detail:
		p.excluded.must(fmt.Errorf("%s is excluded as %s (%s), and should be as %s (%s)", who,
			f.listed.Reason, printable(f.listed.Detail), want.Reason, want.Detail))
	default:
		p.excluded.Checked++
	}
}

// derived0 is the derived entry, with a reason even where none was found.
func (f found) derived0() derived {
	d := f.derived
	if d.why == nil {
		d.why = errors.New("nothing is wrong")
	}
	return d
}

// matchTable checks that the table has no byte, of its statistics for example, that its
// rows don't give.
func (p *pagesCheck) matchTable() error {
	c := p.r.check("pages byte for byte")
	switch {
	case p.pages == nil || !p.rows.OK() || p.lost:
		c.Skipped = "the rows are not those of the exchanges"
		return nil
	case p.pages.createdBy != createdBy:
		c.Skipped = "written by another version (" + printable(p.pages.createdBy) + "): its statistics may be wrong"
		return nil
	}
	if err := p.table.close(); err != nil {
		return err
	}
	var err error
	for _, f := range p.m.Files {
		if f.Name == pagesFile && f.SHA256 != artifact.Digest(p.sum.Sum(nil)) {
			err = fmt.Errorf("the rows of %s are right, and something around them is not", pagesFile)
		}
	}
	c.must(err)
	return nil
}

// finish checks what only shows at the end.
func (p *pagesCheck) finish() {
	if !p.lost && (len(p.archives) > 0 || p.archive.at != p.archive.size) {
		p.exchanges.must(errors.New("the WARC files hold more than the receipts name"))
	}
	for _, x := range p.listed {
		p.excluded.must(fmt.Errorf("receipt %d of epoch %d is excluded, and there is none", x.Index, x.Epoch))
	}
	if p.pages != nil {
		if err := p.pages.end(); err != nil {
			p.rows.fail("%v", err)
		}
	}
	p.matchIndex()
	c := p.maker.counts
	c.Receipts, c.Workers = p.chain.receipts, uint64(len(p.chain.units))
	var err error
	if c != p.p.Counts {
		err = fmt.Errorf("%s has %+v, and it is %+v", manifestFile, p.p.Counts, c)
	}
	p.counts.must(err)
	if p.survey.from != p.p.From || p.survey.to != p.p.To {
		p.counts.must(fmt.Errorf("%s says that it was crawled from %d to %d, and it was from %d to %d", manifestFile, p.p.From, p.p.To, p.survey.from, p.survey.to))
	}
	if a := asked(p.spec); !slices.Equal(a.Seeds, p.p.Crawl.Seeds) || a.withoutSeeds() != p.p.Crawl.withoutSeeds() {
		p.counts.must(fmt.Errorf("%s says that something else was asked for than %s", manifestFile, specFile))
	}
}

type askedPlain struct {
	n            int
	scope        string
	pages, bytes uint64
	depth, rate  uint32
	sitemaps     bool
}

func (a Asked) withoutSeeds() askedPlain {
	return askedPlain{a.SeedCount, a.Scope, a.MaxPages, a.MaxBytes, a.MaxDepth, a.Rate, a.Sitemaps}
}

// matchIndex holds index.cdxj against the lines that it must have.
func (p *pagesCheck) matchIndex() {
	if p.lost {
		p.index.Skipped = "not every exchange was found"
		return
	}
	f, err := openRegular(p.dir, indexFile)
	if err != nil {
		p.index.must(err)
		return
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	var buf []byte
	err = p.lines.each(func(line []byte) error {
		if cap(buf) < len(line) {
			buf = make([]byte, len(line))
		}
		got := buf[:len(line)]
		if _, err := io.ReadFull(r, got); err != nil {
			return fmt.Errorf("%s ends before its line %d", indexFile, p.index.Checked+1)
		}
		if p.index.Checked++; !bytes.Equal(got, line) {
			return fmt.Errorf("line %d of %s should be %s", p.index.Checked, indexFile, printable(string(line)))
		}
		return nil
	})
	if err != nil {
		p.index.fail("%v", err)
		return
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		p.index.fail("%s has more lines than there are exchanges", indexFile)
	}
}

// rowReader reads pages.parquet. Whatever a hostile file makes of the Parquet library is
// an error here.
type rowReader struct {
	f    *os.File
	r    *parquet.GenericReader[Row]
	buf  []Row
	have []Row
	n    uint64
	dead error

	createdBy string
}

func openRows(dir string) (r *rowReader, err error) {
	f, err := openRegular(dir, pagesFile)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s: %v", ErrFormat, pagesFile, p)
		}
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, pagesFile, err)
	}
	if want := parquet.SchemaOf(Row{}).String(); file.Schema().String() != want {
		return nil, fmt.Errorf("%w: %s has other columns", ErrFormat, pagesFile)
	}
	return &rowReader{f: f, r: parquet.NewGenericReader[Row](file), buf: make([]Row, 32),
		createdBy: file.Metadata().CreatedBy}, nil
}

func (r *rowReader) close() { r.f.Close() }

// next reads the next row, or io.EOF.
func (r *rowReader) next() (row Row, err error) {
	if r.dead != nil {
		return Row{}, r.dead
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s: %v", ErrFormat, pagesFile, p)
		}
		r.dead = err
	}()
	if len(r.have) == 0 {
		clear(r.buf)
		n, err := r.r.Read(r.buf)
		if n == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return Row{}, err
		}
		r.have = r.buf[:n]
	}
	row, r.have = r.have[0], r.have[1:]
	r.n++
	return row, nil
}

// match checks that the next row is want.
func (r *rowReader) match(want Row) error {
	got, err := r.next()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s has no row for %s", pagesFile, printable(want.URL))
	}
	if err != nil {
		return err
	}
	if field := want.differs(got); field != "" {
		return fmt.Errorf("%s: row %d (%s): %s is not what the exchange gives", pagesFile, r.n, printable(want.URL), field)
	}
	return nil
}

func (r *rowReader) end() error {
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s has more rows than there are pages", pagesFile)
	}
	return nil
}
