package modeldir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/cantus-network/cantus/exact/modelfile"
)

// Pull says what to fetch from whom.
type Pull struct {
	From string // URL of the machine; /models is below it
	Ref  string // the model's root, or what the machine calls it, or how its root begins
	Options

	Client *http.Client  // nil for one that trusts the system's authorities
	Most   int64         // bytes that a model may have; 0 for 1 TiB
	Stall  time.Duration // without a byte after which a connection is given up; 0 for 30 s
	Tries  int           // in a row without a byte; 0 for 4
}

// ErrPull says that the other machine did not give what it should.
var ErrPull = errors.New("the other machine did not deliver the model")

const (
	maxOffers  = 8 << 20
	maxPulled  = 1 << 40
	copyBuffer = 256 << 10
)

// Pull fetches a model. A pull that was interrupted goes on where it stopped; what came is
// a model only once its root is the one wanted. So from whom it comes does not matter,
// where the root is given: a name is worth what its machine is.
func (d *Dir) Pull(ctx context.Context, p Pull) (Entry, error) {
	var e Entry
	if err := d.pull(ctx, &p, &e); err != nil {
		return Entry{}, fmt.Errorf("pull model %s: %w", p.Ref, err)
	}
	return e, nil
}

func (d *Dir) pull(ctx context.Context, p *Pull, e *Entry) error {
	base, err := url.Parse(p.From)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("%q is no URL of a machine: want one like https://models.example", p.From)
	}
	if p.Name != "" {
		if err := checkName(p.Name); err != nil {
			return err
		}
	}
	if p.Client == nil {
		p.Client = http.DefaultClient
	}
	p.Most, p.Stall, p.Tries = orElse(p.Most, maxPulled), orElse(p.Stall, 30*time.Second), orElse(p.Tries, 4)
	if p.Source == "" {
		p.Source = base.Redacted()
	}
	root, isRoot := ParseRoot(p.Ref)
	if isRoot {
		if old, err := d.entry(root); err == nil {
			*e = old
			return nil
		}
	}
	// The list also tells name and licence; with a root one can do without it.
	switch o, err := p.ask(ctx, base); {
	case err != nil && !isRoot:
		return err
	case err == nil:
		root, _ = ParseRoot(o.Root)
		p.Licence = orElse(p.Licence, o.Licence)
		if p.Name == "" && checkName(o.Name) == nil {
			if d.freeName(o.Name, root) == nil {
				p.Name = o.Name
			}
		}
	}
	if old, err := d.entry(root); err == nil {
		*e = old
		return nil
	}
	if err := d.prepare(); err != nil {
		return err
	}
	lock := flock.New(d.file(root, partSuffix))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return fmt.Errorf("lock %s: %w", lock.Path(), err)
	case !held:
		return fmt.Errorf("%w: wait for it, or end it", ErrBusy)
	}
	defer lock.Close()
	if old, err := d.entry(root); err == nil { // another process was faster
		os.Remove(lock.Path())
		*e = old
		return nil
	}
	return d.fetch(ctx, p, base.JoinPath("models", fmt.Sprintf("%x", root)).String(), root, e)
}

func orElse[T comparable](v, otherwise T) T {
	var none T
	if v == none {
		return otherwise
	}
	return v
}

// ask finds the model in the list of the other machine.
func (p *Pull) ask(ctx context.Context, base *url.URL) (offer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Stall)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("models").String(), nil)
	if err != nil {
		return offer{}, err
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return offer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return offer{}, fmt.Errorf("%w: %s answered %s", ErrPull, req.URL.Redacted(), resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxOffers+1))
	if err != nil {
		return offer{}, err
	}
	var list offers
	if len(b) > maxOffers || json.Unmarshal(b, &list) != nil {
		return offer{}, fmt.Errorf("%w: %s has no list of models", ErrPull, req.URL.Redacted())
	}
	var entries []Entry
	byRoot := map[modelfile.Digest]offer{}
	for _, o := range list.Models {
		root, ok := ParseRoot(o.Root)
		if _, twice := byRoot[root]; ok && !twice {
			byRoot[root] = o
			entries = append(entries, Entry{Root: root, Name: line(o.Name)})
		}
	}
	e, err := find(entries, p.Ref, p.From)
	return byRoot[e.Root], err
}

// fetch brings the part file to its whole length, in as many connections as it takes.
func (d *Dir) fetch(ctx context.Context, p *Pull, from string, root modelfile.Digest, e *Entry) error {
	f, err := os.OpenFile(d.file(root, partSuffix), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open what came so far: %w", err)
	}
	defer f.Close()
	w := &incoming{ctx: ctx, file: f, meter: &meter{w: f, stage: "pulling", tell: p.Progress}}
	if err := w.resume(); err != nil {
		return err
	}
	for failed := 0; w.head == nil || w.meter.done < w.meter.total; {
		before := w.meter.done
		err := p.connect(ctx, from, w)
		if w.meter.done > before {
			failed = 0
		}
		var end *final
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w; what came is kept: pull again to go on", context.Cause(ctx))
		case errors.As(err, &end):
			return end.discard(f)
		case err != nil:
			if failed++; failed >= p.Tries {
				return fmt.Errorf("%w: %w; %d bytes are kept: pull again to go on", ErrPull, err, w.meter.done)
			}
			select {
			case <-ctx.Done():
			case <-time.After(min(time.Duration(failed*failed)*200*time.Millisecond, p.Stall)):
			}
		}
		if err == nil && w.head == nil { // a file that is shorter than the longest head
			if err := w.open(); err != nil {
				return (&final{fmt.Errorf("%w: %w", ErrPull, err), true}).discard(f)
			}
		}
	}
	if got := w.tree.Root(); got != root {
		return (&final{fmt.Errorf("%w: what it sent has the root %x; all of it was thrown away", ErrPull, got), true}).discard(f)
	}
	if err := w.close(); err != nil {
		return (&final{err, true}).discard(f)
	}
	return d.settle(f, root, &w.head.Config, &p.Options, e)
}

// final is an error that no other try mends. A part that can't become the model goes.
type final struct {
	error
	useless bool
}

func (e *final) Unwrap() error { return e.error }

func (e *final) discard(f *os.File) error {
	if e.useless {
		os.Remove(f.Name())
	}
	return e.error
}

// resume reads what came before, so that the root can be computed over all of it.
func (w *incoming) resume() error {
	tell := w.meter.tell
	w.meter.w, w.meter.tell = io.Discard, nil
	_, err := io.Copy(w, io.NewSectionReader(w.file, 0, 1<<62))
	w.meter.w, w.meter.tell = w.file, tell
	if errors.Is(err, ErrDamaged) {
		return w.restart()
	}
	if err != nil {
		return fmt.Errorf("read what came so far: %w", err)
	}
	if _, err := w.file.Seek(w.meter.done, io.SeekStart); err != nil {
		return fmt.Errorf("read what came so far: %w", err)
	}
	return nil
}

// restart forgets what came.
func (w *incoming) restart() error {
	if err := w.file.Truncate(0); err != nil {
		return fmt.Errorf("begin again: %w", err)
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("begin again: %w", err)
	}
	w.tree, w.begun, w.head, w.meter.done, w.meter.total = modelfile.Tree{}, nil, nil, 0, 0
	return nil
}

// connect asks for the rest and writes what comes.
func (p *Pull) connect(ctx context.Context, from string, w *incoming) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(p.Stall, func() { cancel(fmt.Errorf("no byte came for %v", p.Stall)) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return &final{err, false}
	}
	req.Header.Set("Accept-Encoding", "identity")
	if w.meter.done > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(w.meter.done, 10)+"-")
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	if err := p.accept(resp, w); err != nil {
		return err
	}
	buf := make([]byte, copyBuffer)
	for {
		n, err := resp.Body.Read(buf)
		stall.Reset(p.Stall)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return &final{err, errors.Is(err, ErrDamaged)}
			}
		}
		switch {
		case w.head != nil && w.meter.total > p.Most:
			return &final{fmt.Errorf("%w: it has %d bytes, and at most %d are taken", ErrPull, w.meter.total, p.Most), true}
		case errors.Is(err, io.EOF) && (w.head == nil || w.meter.done == w.meter.total):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the connection ended after %d bytes of %d", w.meter.done, w.meter.total)
		case err != nil:
			return stalled(ctx, err)
		}
	}
}

func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// accept looks at the answer's head: whether what follows goes on where the part ends.
func (p *Pull) accept(resp *http.Response, w *incoming) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent && w.meter.done > 0:
		var from, to, size int64
		if n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); n != 3 || from != w.meter.done {
			return &final{fmt.Errorf("%w: it answered with the range %q when asked for what follows byte %d", ErrPull, resp.Header.Get("Content-Range"), w.meter.done), false}
		}
		return nil
	case resp.StatusCode == http.StatusOK:
		// It knows no ranges: from the beginning.
		if w.meter.done > 0 {
			return w.restart()
		}
		return nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(fmt.Errorf("it has fewer bytes than came so far: beginning again"), w.restart())
	case resp.StatusCode == http.StatusNotFound:
		return &final{fmt.Errorf("%w: it does not have it (any more)", ErrPull), false}
	case resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return &final{fmt.Errorf("%w: it answered %s%s", ErrPull, resp.Status, excerpt(resp.Body)), false}
	}
	return fmt.Errorf("it answered %s%s", resp.Status, excerpt(resp.Body))
}

// excerpt is the beginning of what a machine says about an error.
func excerpt(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, 300))
	if s := line(strings.ToValidUTF8(string(b), "")); s != "" {
		return ": " + s
	}
	return ""
}
