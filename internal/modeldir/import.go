package modeldir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/gguf"
)

// ErrSource says that something is no model that can be imported.
var ErrSource = errors.New("not a model that can be imported")

// Import takes in a model from a GGUF file, a directory with safetensors in Hugging Face's
// layout, or a model's file of another machine. A conversion gives the same file, and so
// the same root, on every machine; Options.Name names it here and is no part of it.
func (d *Dir) Import(ctx context.Context, path string, o Options) (Entry, error) {
	var e Entry
	err := d.importFrom(ctx, path, &o, &e)
	if err != nil {
		return Entry{}, fmt.Errorf("import %s: %w", path, err)
	}
	return e, nil
}

func (d *Dir) importFrom(ctx context.Context, path string, o *Options, e *Entry) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if o.Source == "" {
		if o.Source, err = filepath.Abs(path); err != nil {
			return err
		}
	}
	if info.IsDir() {
		if o.Licence == "" {
			o.Licence = cardLicence(filepath.Join(path, "README.md"))
		}
		return d.receive(ctx, o, "importing", func(w io.Writer) error {
			_, err := convert.FromDir(w, path, convert.Options{Context: o.Context})
			return err
		}, e)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is neither a file nor a directory", ErrSource)
	}
	var magic [8]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return fmt.Errorf("%w: read its first bytes: %w", ErrSource, err)
	}
	switch {
	case string(magic[:4]) == "GGUF":
		if o.Licence == "" {
			if g, err := gguf.Open(f, info.Size()); err == nil {
				o.Licence, _ = g.Meta["general.license"].(string)
			}
		}
		return d.receive(ctx, o, "importing", func(w io.Writer) error {
			_, err := convert.FromGGUF(w, f, info.Size(), convert.Options{Context: o.Context})
			return err
		}, e)
	case string(magic[:7]) == "cantusM":
		if o.Context != 0 {
			return fmt.Errorf("%w: its context is part of it, and of its root: another one can be chosen when it is converted", ErrSource)
		}
		return d.receive(ctx, o, "importing", func(w io.Writer) error {
			_, err := io.Copy(w, bufio.NewReaderSize(f, 1<<20))
			return err
		}, e)
	case strings.HasSuffix(path, ".safetensors"):
		return fmt.Errorf("%w: safetensors are one part of a model: give the directory, with config.json and tokenizer.json in it", ErrSource)
	}
	return fmt.Errorf("%w: it begins with %q: want a GGUF file, a directory with *.safetensors and config.json, or a file *%s", ErrSource, magic[:], fileSuffix)
}

// cardLicence is what the head of a model card says: a line "license: …" between lines of
// "---". Nothing, where there is none.
func cardLicence(path string) string {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<16))
	for first := true; lines.Scan(); first = false {
		text := strings.TrimSpace(lines.Text())
		if (text == "---") != first && (first || text == "---") {
			return ""
		}
		if v, ok := strings.CutPrefix(text, "license:"); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}
