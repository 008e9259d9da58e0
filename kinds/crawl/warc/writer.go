package warc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
)

// MaxFile is the size that the standard recommends for a file: 1 GB in its words, here a
// full GiB.
const MaxFile = 1 << 30

// Writer writes whole files of exchanges that Build made. Each file begins with a
// warcinfo record. A file that is not closed yet is not durable yet.
type Writer struct {
	dir, prefix string
	max         int64
	info        []Field
	date        time.Time

	files []File
	f     *os.File
	buf   *bufio.Writer
	sum   hash.Hash
	n     int64
}

// File is a finished file.
type File struct {
	Name   string
	Size   int64
	SHA256 [sha256.Size]byte
}

// NewWriter writes files named prefix-00000.warc.gz and so on into dir, which must exist.
// None grows beyond max bytes (0: MaxFile) except for a single larger exchange. Info
// becomes the block of every file's warcinfo record, date its date.
func NewWriter(dir, prefix string, max int64, date time.Time, info []Field) (*Writer, error) {
	if max <= 0 {
		max = MaxFile
	}
	for _, f := range info {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("write WARC files: the warcinfo record: %w", err)
		}
	}
	if _, err := formatDate(date); err != nil {
		return nil, fmt.Errorf("write WARC files: the warcinfo record: %w", err)
	}
	return &Writer{dir: dir, prefix: prefix, max: max, info: info, date: date, sum: sha256.New()}, nil
}

// Append adds an exchange's members and says where the first of them begins.
func (w *Writer) Append(blob []byte) (file string, offset int64, err error) {
	if w.f != nil && w.n+int64(len(blob)) > w.max {
		if err := w.finish(); err != nil {
			return "", 0, err
		}
	}
	if w.f == nil {
		if err := w.begin(); err != nil {
			return "", 0, err
		}
	}
	offset = w.n
	if err := w.write(blob); err != nil {
		return "", 0, err
	}
	return filepath.Base(w.f.Name()), offset, nil
}

func (w *Writer) begin() error {
	name := fmt.Sprintf("%s-%05d.warc.gz", w.prefix, len(w.files))
	info, err := warcinfo(name, w.date, w.info)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write WARC files: %w", err)
	}
	w.f, w.buf, w.n = f, bufio.NewWriterSize(f, 256<<10), 0
	w.sum.Reset()
	return w.write(info)
}

func (w *Writer) write(b []byte) error {
	if _, err := w.buf.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", w.f.Name(), err)
	}
	w.sum.Write(b)
	w.n += int64(len(b))
	return nil
}

// finish makes the current file durable.
func (w *Writer) finish() error {
	f := w.f
	w.f = nil
	if err := w.buf.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	done := File{Name: filepath.Base(f.Name()), Size: w.n}
	w.sum.Sum(done.SHA256[:0])
	w.files = append(w.files, done)
	return nil
}

// Close makes the last file durable and returns all of them. A writer that appended
// nothing has written none.
func (w *Writer) Close() ([]File, error) {
	if w.f != nil {
		if err := w.finish(); err != nil {
			return nil, err
		}
	}
	return w.files, nil
}

// Abort closes the current file without making it durable.
func (w *Writer) Abort() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

// warcinfo is the gzip member of a file's first record.
func warcinfo(name string, date time.Time, info []Field) ([]byte, error) {
	var block, plain, out bytes.Buffer
	appendFields(&block, info)
	when, err := formatDate(date)
	if err != nil {
		return nil, err
	}
	digest := Digest(sha256.Sum256(block.Bytes()))
	appendRecord(&plain, []Field{
		{"WARC-Type", "warcinfo"},
		{"WARC-Record-ID", recordID("warcinfo", name, when, "", digest)},
		{"WARC-Date", when},
		{"WARC-Filename", name},
		{"WARC-Block-Digest", digest},
		{"Content-Type", "application/warc-fields"},
	}, block.Bytes())
	z, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(z, &plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
