package modeldir

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cantus-network/cantus/exact/modelfile"
)

// Options of a model that comes.
type Options struct {
	Name     string            // here; empty for what the file calls itself
	Licence  string            // empty for what the source says
	Source   string            // empty for where it is read from
	Context  int               // of a conversion: the most positions; 0 for what the source says
	Root     *modelfile.Digest // what it must be; nil for anything
	Progress func(Progress)
}

// stale is how long a file that is being written may lie untouched before it counts as left
// behind by a process that died.
const stale = 24 * time.Hour

// Add takes in a model's file.
func (d *Dir) Add(ctx context.Context, r io.Reader, o Options) (Entry, error) {
	var e Entry
	err := d.receive(ctx, &o, "importing", func(w io.Writer) error {
		_, err := io.Copy(w, bufio.NewReaderSize(r, 1<<20))
		return err
	}, &e)
	if err != nil {
		return Entry{}, fmt.Errorf("add a model: %w", err)
	}
	return e, nil
}

// incoming is a model's file that is being written: it takes no more than its own head says
// that there is.
type incoming struct {
	ctx   context.Context
	file  *os.File
	tree  modelfile.Tree
	begun []byte // until the head is whole
	head  *head
	meter *meter
}

const headLength = 64 + modelfile.MaxConfig

// Write implements io.Writer.
func (w *incoming) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	if w.head == nil {
		w.begun = append(w.begun, p[:min(len(p), headLength-len(w.begun))]...)
		if len(w.begun) == headLength {
			if err := w.open(); err != nil {
				return 0, err
			}
		}
	}
	if w.head != nil && w.meter.done+int64(len(p)) > w.meter.total {
		return 0, fmt.Errorf("%w: it goes on after the %d bytes that its configuration makes", ErrDamaged, w.meter.total)
	}
	n, err := w.meter.Write(p)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %d bytes of %d were written; make room in %s and try again, nothing else was changed", err, w.meter.done, w.meter.total, filepath.Dir(w.file.Name()))
	}
	_, _ = w.tree.Write(p[:n]) // never fails
	return n, err
}

func (w *incoming) open() error {
	h, err := parseHead(w.begun, -1)
	if err != nil {
		return err
	}
	w.head, w.meter.total, w.begun = h, h.size(), nil
	return nil
}

// close checks that all came.
func (w *incoming) close() error {
	if w.head == nil { // shorter than the longest head
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.meter.done != w.meter.total {
		return fmt.Errorf("%w: it ends after %d bytes, and its configuration makes %d", ErrDamaged, w.meter.done, w.meter.total)
	}
	_, err := w.head.tokenizer(w.file)
	return err
}

// receive lets write write a model's file, checks it and gives it its place. What fails
// leaves nothing behind.
func (d *Dir) receive(ctx context.Context, o *Options, stage string, write func(io.Writer) error, e *Entry) (err error) {
	if o.Name != "" {
		if err := checkName(o.Name); err != nil {
			return err
		}
	}
	if err := d.prepare(); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, newPrefix)
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := &incoming{ctx: ctx, file: f, meter: &meter{w: f, stage: stage, tell: o.Progress}}
	if err := write(w); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	root := w.tree.Root()
	if o.Root != nil && root != *o.Root {
		return fmt.Errorf("%w: its root is %x, and %x was wanted", ErrDamaged, root, *o.Root)
	}
	return d.settle(f, root, &w.head.Config, o, e)
}

// prepare makes the directory, and removes what processes that died were writing.
func (d *Dir) prepare() error {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("make the directory of models: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(globEscape(d.path), newPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for what was left behind: %w", err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(path)
		}
	}
	return nil
}

func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// settle gives a whole and checked file its name, after what is known of it.
func (d *Dir) settle(f *os.File, root modelfile.Digest, c *modelfile.Config, o *Options, e *Entry) error {
	old, err := d.entry(root)
	have := err == nil
	r := record{Name: o.Name, Source: line(o.Source), Licence: line(o.Licence), Imported: time.Now().UTC().Truncate(time.Second)}
	if have {
		// It is here already: only what was said anew changes.
		if r.Name == "" {
			r.Name = old.Name
		}
		if r.Licence == "" {
			r.Licence = old.Licence
		}
		r.Source, r.Imported = old.Source, old.Imported
	}
	if r.Name == "" {
		r.Name = plainName(c.Name)
	}
	if r.Name == "" {
		r.Name = fmt.Sprintf("%x", root[:6])
	}
	if err := d.freeName(r.Name, root); err != nil {
		if o.Name != "" || have {
			return err
		}
		r.Name = fmt.Sprintf("%.80s-%x", r.Name, root[:4]) // another version of it, perhaps
	}
	if err := f.Chmod(0o444); err != nil {
		return fmt.Errorf("protect the model's file: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the model's file: %w", err)
	}
	if err := d.writeRecord(root, r); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), d.file(root, fileSuffix)); err != nil {
		return fmt.Errorf("name the model's file: %w", err)
	}
	if err := syncDir(d.path); err != nil {
		return err
	}
	*e, err = d.entry(root)
	return err
}

// freeName refuses a name that another model has.
func (d *Dir) freeName(name string, root modelfile.Digest) error {
	list, err := d.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(e Entry) bool { return e.Name == name && e.Root != root })
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%w: %q is the name of %s here: give another with --name, or remove that one", ErrName, name, list[i].Hex()[:12])
}

func (d *Dir) writeRecord(root modelfile.Digest, r record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write what is known of the model: %w", err)
	}
	f, err := os.CreateTemp(d.path, newPrefix)
	if err != nil {
		return fmt.Errorf("write what is known of the model: %w", err)
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), d.file(root, recordSuffix))
	}
	if err != nil {
		return fmt.Errorf("write what is known of the model: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write the directory of models: %w", err)
	}
	defer f.Close()
	// Some file systems can't; the rename is then as lasting as they make it.
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("write the directory of models: %w", err)
	}
	return nil
}
