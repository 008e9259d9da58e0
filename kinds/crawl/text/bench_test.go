package text_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cantus-network/cantus/kinds/crawl/text"
)

// BenchmarkExtract reads the HTML files under CANTUS_PAGES, a directory such as
// /usr/share/doc with a few documentation packages installed.
func BenchmarkExtract(b *testing.B) {
	dir := os.Getenv("CANTUS_PAGES")
	if dir == "" {
		b.Skip("set CANTUS_PAGES to a directory with HTML files")
	}
	var pages [][]byte
	var size int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".html") || len(pages) == 3000 {
			return err
		}
		p, err := os.ReadFile(path)
		pages, size = append(pages, p), size+int64(len(p))
		return err
	})
	if err != nil || len(pages) == 0 {
		b.Fatalf("no pages under %s: %v", dir, err)
	}
	b.SetBytes(size / int64(len(pages)))
	for i := 0; b.Loop(); i++ {
		p, err := text.Extract(pages[i%len(pages)], "text/html", "", "http://example.org/a/b.html")
		if err != nil {
			b.Fatal(err)
		}
		_ = p
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
}
