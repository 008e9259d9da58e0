package warc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/warc"
)

// BenchmarkBuild archives the HTML files under CANTUS_PAGES.
func BenchmarkBuild(b *testing.B) {
	dir := os.Getenv("CANTUS_PAGES")
	if dir == "" {
		b.Skip("set CANTUS_PAGES to a directory with HTML files")
	}
	var pages [][]byte
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".html") || len(pages) == 2000 {
			return err
		}
		p, err := os.ReadFile(path)
		pages = append(pages, p)
		return err
	})
	if err != nil || len(pages) == 0 {
		b.Fatalf("no pages under %s: %v", dir, err)
	}
	ex := exchange()
	ex.Time = time.Unix(1.7e9, 0)
	var in, out int64
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ex.Body = pages[i%len(pages)]
		blob, _, err := warc.Build(ex)
		if err != nil {
			b.Fatal(err)
		}
		in, out = in+int64(len(ex.Body)), out+int64(len(blob))
	}
	b.SetBytes(in / int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
	b.ReportMetric(float64(in)/float64(out), "ratio")
}
