// Similarity measures how well two fetches of one page are told from fetches of two
// pages, and from a page that somebody altered.
//
//	go run ./bench/similarity DIR [OLDER]
//
// DIR holds HTML files: documentation packages of Debian, unpacked or installed. OLDER
// holds the same packages in an earlier version, under the same names. No site that varies per
// request is needed: template.go makes the pages of DIR vary as such sites do. The
// output is the table of docs/similarity.md; the same files give the same table.
package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/kinds/crawl/text"
)

// page is one document of the corpus.
type page struct {
	path string
	html []byte
	text string
}

const (
	most     = 560 // pages
	fewWords = 30  // shorter pages say too little to compare
	maxBytes = 1 << 20
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "similarity:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("usage: similarity DIR [OLDER]")
	}
	pages, err := load(args[0])
	if err != nil {
		return err
	}
	if len(pages) < 100 {
		return fmt.Errorf("%s has %d pages with text, want at least 100: unpack some documentation packages there", args[0], len(pages))
	}
	fmt.Printf("%d pages, %d words at the median\n\n", len(pages), median(pages))
	m := measure{pages: pages}
	m.header()
	m.same()
	if len(args) == 2 {
		if err := m.versions(args[1]); err != nil {
			return err
		}
	}
	m.different()
	m.altered()
	return nil
}

// load reads a sample of the pages under dir that depends on their names alone.
func load(dir string) ([]page, error) {
	type candidate struct {
		path string
		key  uint64
	}
	var all []candidate
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".html") {
			rel, _ := filepath.Rel(dir, path)
			h := fnv.New64a()
			h.Write([]byte(rel))
			all = append(all, candidate{rel, h.Sum64() * 0x9e3779b97f4a7c15})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for pages: %w", err)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
	var pages []page
	seen := map[string]bool{}
	packages := map[string]int{} // each gives the same share at most
	for _, c := range all {
		packages[first(c.path)] = 0
	}
	share := most / max(1, len(packages))
	for _, c := range all {
		if packages[first(c.path)] == share {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, c.path))
		if err != nil {
			return nil, fmt.Errorf("read a page: %w", err)
		}
		t := extract(b)
		if len(b) > maxBytes || len(strings.Fields(t)) < fewWords || seen[t] {
			continue
		}
		seen[t] = true
		packages[first(c.path)]++
		pages = append(pages, page{c.path, b, t})
	}
	slices.SortFunc(pages, func(a, b page) int { return strings.Compare(a.path, b.path) })
	return pages, nil
}

// first is the first part of a path: the package.
func first(path string) string {
	p, _, _ := strings.Cut(filepath.ToSlash(path), "/")
	return p
}

func extract(html []byte) string {
	p, err := text.Extract(html, "text/html", "utf-8", "http://example.org/")
	if err != nil {
		return ""
	}
	return p.Text
}

func median(pages []page) int {
	n := make([]int, len(pages))
	for i, p := range pages {
		n[i] = len(strings.Fields(p.text))
	}
	slices.Sort(n)
	return n[len(n)/2]
}

// measure tries every case on every page and prints a line for each.
type measure struct{ pages []page }

// A page counts as another, and its worker is punished, if the texts have less than
// clearlyOther in common while the auditor's two looks have at least similarEnough.
const (
	clearlyOther  = 0.25
	similarEnough = 0.70
)

// thresholds are those of the similarity with a single look.
var thresholds = []float64{0.25, 0.50, 0.70, 0.80, 0.90}

func (m measure) header() {
	fmt.Print("| case | pairs | median |")
	for _, t := range thresholds {
		fmt.Printf(" ≥ %.2f |", t)
	}
	fmt.Println(" Agree | fails |\n|" + strings.Repeat("---|", 5+len(thresholds)))
}

// trial gives the texts that a worker and an auditor, who looks twice, saw.
type trial func(p page, r *rand.Rand) (worker, first, second string, ok bool)

func (m measure) line(name string, t trial) {
	var s []float64
	agree, fails := 0, 0
	for i, p := range m.pages {
		w, a, b, ok := t(p, rand.New(rand.NewPCG(uint64(i), 1)))
		if !ok {
			continue
		}
		s = append(s, text.Similarity(w, a))
		if text.Agree(w, a, b) {
			agree++
		}
		if max(text.Similarity(w, a), text.Similarity(w, b)) < clearlyOther && (a == b || text.Similarity(a, b) >= similarEnough) {
			fails++
		}
	}
	if len(s) == 0 {
		return
	}
	slices.Sort(s)
	fmt.Printf("| %s | %d | %.3f |", name, len(s), s[len(s)/2])
	for _, t := range thresholds {
		i, _ := slices.BinarySearch(s, t)
		fmt.Printf(" %s |", percent(len(s)-i, len(s)))
	}
	fmt.Printf(" %s | %s |\n", percent(agree, len(s)), percent(fails, len(s)))
}

func percent(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }

// same tries pages that vary per request: the worker is to be believed.
func (m measure) same() {
	for _, v := range variations {
		m.line("same page, "+v.name, func(p page, r *rand.Rand) (string, string, string, bool) {
			draw := func(hour int) string {
				return extract(v.vary(bytes.Clone(p.html), m.pages, request{r, hour}))
			}
			return draw(0), draw(1), draw(1), true
		})
	}
}

// versions tries pages that were changed between the two fetches.
func (m measure) versions(dir string) error {
	old := map[string]string{}
	for _, p := range m.pages {
		b, err := os.ReadFile(filepath.Join(dir, p.path))
		if err != nil {
			continue // not in that version
		}
		old[p.path] = extract(b)
	}
	if len(old) == 0 {
		return fmt.Errorf("%s has none of the pages", dir)
	}
	m.line("same page, an update of the package later", func(p page, _ *rand.Rand) (string, string, string, bool) {
		o, ok := old[p.path]
		return o, p.text, p.text, ok && o != p.text
	})
	return nil
}

// different tries other pages: the worker is not to be believed.
func (m measure) different() {
	m.line("another page of the corpus", func(p page, r *rand.Rand) (string, string, string, bool) {
		o := m.pages[r.IntN(len(m.pages))]
		return o.text, p.text, p.text, o.path != p.path
	})
	m.line("another page of the same directory", func(p page, r *rand.Rand) (string, string, string, bool) {
		i, _ := slices.BinarySearchFunc(m.pages, p, func(a, b page) int { return strings.Compare(a.path, b.path) })
		o := m.pages[(i+1)%len(m.pages)]
		return o.text, p.text, p.text, filepath.Dir(o.path) == filepath.Dir(p.path)
	})
	v := variations[len(variations)-1]
	m.line("the same, and both vary in every way", func(p page, r *rand.Rand) (string, string, string, bool) {
		i, _ := slices.BinarySearchFunc(m.pages, p, func(a, b page) int { return strings.Compare(a.path, b.path) })
		o := m.pages[(i+1)%len(m.pages)]
		draw := func(p page, hour int) string {
			return extract(v.vary(bytes.Clone(p.html), m.pages, request{r, hour}))
		}
		return draw(o, 0), draw(p, 1), draw(p, 1), filepath.Dir(o.path) == filepath.Dir(p.path)
	})
}

// altered tries pages that vary and that the worker put something into besides.
func (m measure) altered() {
	for _, varies := range []bool{false, true} {
		for _, share := range []int{2, 5, 10, 20, 50} {
			name := fmt.Sprintf("%d %% of its words replaced", share)
			v := variation{"", func(h []byte, _ []page, _ request) []byte { return h }}
			if varies {
				name += ", and it varies in every way"
				v = variations[len(variations)-1]
			}
			m.line(name, func(p page, r *rand.Rand) (string, string, string, bool) {
				draw := func(hour int) string {
					return extract(v.vary(bytes.Clone(p.html), m.pages, request{r, hour}))
				}
				o := m.pages[r.IntN(len(m.pages))]
				return alter(draw(0), o.text, share, r), draw(1), draw(1), o.path != p.path
			})
		}
	}
}

// alter replaces a run of so many percent of a text's words by those of another.
func alter(s, other string, share int, r *rand.Rand) string {
	w, o := strings.Fields(s), strings.Fields(other)
	n := max(1, len(w)*share/100)
	at := r.IntN(len(w) - n + 1)
	for i := range n {
		w[at+i] = o[i%len(o)]
	}
	return strings.Join(w, " ")
}
