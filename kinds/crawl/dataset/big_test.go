package dataset_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
)

// TestRealPages makes a dataset of the HTML files under CANTUS_PAGES in CANTUS_DATASET,
// where foreign tools can look at it afterwards, and says how fast and in how much memory.
// An index file is asked for many times over if CANTUS_REPEAT says so.
func TestRealPages(t *testing.T) {
	root, dir := os.Getenv("CANTUS_PAGES"), os.Getenv("CANTUS_DATASET")
	if root == "" || dir == "" {
		t.Skip("set CANTUS_PAGES to a directory with HTML files and CANTUS_DATASET to a new one for the dataset")
	}
	repeat := 1
	fmt.Sscan(os.Getenv("CANTUS_REPEAT"), &repeat)
	server := httptest.NewServer(http.FileServer(http.Dir(root)))
	defer server.Close()
	w := newWorld(t)
	spec, err := crawl.NewSpec(server.URL + "/")
	require.NoError(t, err)
	w.open(spec)
	var paths []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".html") && d.Type().IsRegular() {
			paths = append(paths, strings.TrimPrefix(path, strings.TrimSuffix(root, "/")))
		}
		return err
	}))
	start := time.Now()
	for r := range repeat {
		for i, p := range paths {
			u := server.URL + p
			if r > 0 {
				u += fmt.Sprint("?r=", r)
			}
			w.fetch(crawl.Fetch{Mode: crawl.ModePage, URL: u})
			if i%2000 == 1999 {
				w.commit()
			}
		}
	}
	w.settle()
	t.Logf("fetched %d pages in %v", len(w.receipts), time.Since(start))

	var peak atomic.Uint64
	done := make(chan struct{})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	start = time.Now()
	out, err := dataset.Write(context.Background(), dir, w, w.meta(), nil)
	require.NoError(t, err)
	t.Logf("wrote %d bytes in %v, heap %d MB above %d", out.Size, time.Since(start), (max(peak.Load(), before.HeapInuse)-before.HeapInuse)>>20, before.HeapInuse>>20)
	peak.Store(0)
	start = time.Now()
	w.register(out)
	r := verify(t, dir, w)
	close(done)
	t.Logf("verified in %v\n%s", time.Since(start), r)
	require.True(t, r.OK())
}
