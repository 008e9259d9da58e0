// Package progress shows long work: one line that rewrites itself on a terminal, a plain
// line every few seconds when the output is piped, one JSON object a line for scripts.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Mode is how progress is shown.
type Mode int

const (
	Plain Mode = iota
	Terminal
	JSON
)

// Detect chooses the mode for f.
func Detect(f *os.File, asJSON bool) Mode {
	if asJSON {
		return JSON
	}
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" {
		return Terminal
	}
	return Plain
}

// Printer shows updates. It is safe for concurrent use.
type Printer struct {
	mu    sync.Mutex
	w     io.Writer
	mode  Mode
	every time.Duration
	last  time.Time
}

// New returns a printer on w.
func New(w io.Writer, mode Mode) *Printer {
	every := 200 * time.Millisecond
	if mode != Terminal {
		every = 2 * time.Second
	}
	return &Printer{w: w, mode: mode, every: every}
}

// Update shows the state of the work; too frequent ones are dropped. V is what scripts get.
func (p *Printer) Update(line string, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last) < p.every {
		return
	}
	p.last = time.Now()
	switch p.mode {
	case Terminal:
		p.rewrite(line)
	case Plain:
		fmt.Fprintln(p.w, line)
	case JSON:
		p.json(v)
	}
}

// Step says that something happened once. It is never dropped.
func (p *Printer) Step(line string, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.mode {
	case Terminal:
		p.rewrite("")
		fmt.Fprintln(p.w, line)
	case Plain:
		fmt.Fprintln(p.w, line)
	case JSON:
		p.json(v)
	}
}

// Clear removes the line that rewrites itself.
func (p *Printer) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == Terminal {
		p.rewrite("")
	}
}

// rewrite puts line in the place of the one before. One that is wider than the terminal is
// cut, as the rest would wrap into a line that can't be taken back.
func (p *Printer) rewrite(line string) {
	if r, wide := []rune(line), columns(p.w)-1; len(r) > wide {
		line = string(r[:wide])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
}

// columns is the terminal's width, 80 where it does not say.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 1 {
			return n
		}
	}
	return 80
}

func (p *Printer) json(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	fmt.Fprintf(p.w, "%s\n", b)
}

// Bytes writes a size for people.
func Bytes(n uint64) string {
	const unit = "KMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1000, 0
	for f >= 1000 && i < len(unit)-1 {
		f /= 1000
		i++
	}
	return fmt.Sprintf("%.1f %cB", f, unit[i])
}
