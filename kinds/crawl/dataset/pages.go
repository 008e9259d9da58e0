package dataset

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// The table is written in one way only, so that Verify can demand it byte for byte: its
// statistics, by which readers skip what they need not see, are then as true as its rows.
// Another release of a library may write other bytes for the same rows. tableVersion
// changes with them; TestTableBytes sees it.
const (
	tableApp     = "cantus"
	tableVersion = "1"
	tableBuild   = "dataset"
)

// createdBy is how the table says who wrote it.
var createdBy = fmt.Sprintf("%s version %s(build %s)", tableApp, tableVersion, tableBuild)

// pagesWriter writes pages.parquet in row groups of bounded size.
type pagesWriter struct {
	w    *parquet.GenericWriter[Row]
	rows int
	size int
}

const (
	groupRows = 20_000
	groupSize = 48 << 20 // bytes of text, titles and links
)

func newPagesWriter(out io.Writer) *pagesWriter {
	return &pagesWriter{w: parquet.NewGenericWriter[Row](out,
		parquet.CreatedBy(tableApp, tableVersion, tableBuild), parquet.PageBufferSize(1<<20),
		parquet.SkipPageBounds("text"), parquet.SkipPageBounds("title"), parquet.SkipPageBounds("links", "list", "element"))}
}

func (p *pagesWriter) append(r Row) error {
	if _, err := p.w.Write([]Row{r}); err != nil {
		return fmt.Errorf("write %s: %w", pagesFile, err)
	}
	p.rows++
	p.size += len(r.Text) + len(r.Title) + 512
	for _, l := range r.Links {
		p.size += len(l)
	}
	if p.rows < groupRows && p.size < groupSize {
		return nil
	}
	p.rows, p.size = 0, 0
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", pagesFile, err)
	}
	return nil
}

func (p *pagesWriter) close() error {
	if err := p.w.Close(); err != nil {
		return fmt.Errorf("write %s: %w", pagesFile, err)
	}
	return nil
}
