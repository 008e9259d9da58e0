package dataset

import (
	"bufio"
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sorter puts lines in the order of their bytes. It holds at most limit bytes of them;
// sorted runs of the rest wait in temporary files of dir.
type sorter struct {
	dir   string
	limit int
	lines [][]byte
	size  int
	runs  []*os.File
}

const sortMemory = 32 << 20

func newSorter(dir string, limit int) *sorter { return &sorter{dir: dir, limit: limit} }

// add takes a line without its line break; the bytes become the sorter's.
func (s *sorter) add(line []byte) error {
	s.lines = append(s.lines, line)
	if s.size += len(line) + 24; s.size >= s.limit {
		return s.spill()
	}
	return nil
}

func (s *sorter) spill() error {
	f, err := os.CreateTemp(s.dir, "sort-*")
	if err != nil {
		return fmt.Errorf("sort the index: %w", err)
	}
	s.runs = append(s.runs, f)
	slices.SortFunc(s.lines, bytes.Compare)
	w := bufio.NewWriterSize(f, 256<<10)
	for _, l := range s.lines {
		w.Write(l)
		w.WriteByte('\n') // the writer keeps its first error for Flush
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort the index: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("sort the index: %w", err)
	}
	s.lines, s.size = nil, 0
	return nil
}

// each calls f with every line in order, its line break included.
func (s *sorter) each(f func(line []byte) error) error {
	slices.SortFunc(s.lines, bytes.Compare)
	var h runHeap
	for i, run := range s.runs {
		c := &cursor{order: i, r: bufio.NewReaderSize(run, 64<<10)}
		if ok, err := c.next(); err != nil {
			return err
		} else if ok {
			h = append(h, c)
		}
	}
	c := &cursor{order: len(s.runs), lines: s.lines}
	if ok, err := c.next(); err != nil {
		return err
	} else if ok {
		h = append(h, c)
	}
	heap.Init(&h)
	for len(h) > 0 {
		if err := f(h[0].line); err != nil {
			return err
		}
		ok, err := h[0].next()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// close removes the temporary files.
func (s *sorter) close() error {
	var errs []error
	for _, f := range s.runs {
		errs = append(errs, f.Close(), os.Remove(f.Name()))
	}
	s.runs, s.lines = nil, nil
	return errors.Join(errs...)
}

// cursor walks one sorted run, in a file or in memory.
type cursor struct {
	order int
	r     *bufio.Reader
	lines [][]byte
	line  []byte
}

func (c *cursor) next() (bool, error) {
	if c.r == nil {
		if len(c.lines) == 0 {
			return false, nil
		}
		c.line, c.lines = append(c.lines[0], '\n'), c.lines[1:]
		return true, nil
	}
	line, err := c.r.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sort the index: %w", err)
	}
	c.line = line
	return true, nil
}

type runHeap []*cursor

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	if c := bytes.Compare(h[i].line, h[j].line); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*cursor)) }
func (h *runHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
