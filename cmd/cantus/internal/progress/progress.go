// Package progress shows long work: one line that rewrites itself on a terminal, a plain
// line every few seconds when the output is piped, one JSON object a line for scripts.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
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
	width int
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

func (p *Printer) rewrite(line string) {
	n := len([]rune(line))
	fmt.Fprintf(p.w, "\r%s%s\r%s", line, strings.Repeat(" ", max(0, p.width-n)), line)
	p.width = n
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
