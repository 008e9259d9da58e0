package warc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// Reader reads the records of a file whose every record is a gzip member of its own, as
// the WARC standard advises. It holds one record at a time.
type Reader struct {
	src   counter
	buf   *bufio.Reader
	z     *gzip.Reader
	limit int64
	plain bytes.Buffer
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// NewReader reads records of at most limit bytes each, fields included; limit <= 0 stands
// for the most that Build writes.
func NewReader(r io.Reader, limit int64) *Reader {
	if limit <= 0 || limit > maxBlock+MaxHead {
		limit = maxBlock + MaxHead
	}
	w := &Reader{src: counter{r: r}, z: new(gzip.Reader), limit: limit}
	w.buf = bufio.NewReaderSize(&w.src, 64<<10)
	return w
}

// Offset is where the next record begins.
func (r *Reader) Offset() int64 { return r.src.n - int64(r.buf.Buffered()) }

// Next returns the next record, or io.EOF after the last. The record is valid until the
// next call. A record's block digest is checked where it is a SHA-256.
func (r *Reader) Next() (*Record, error) {
	at := r.Offset()
	if _, err := r.buf.Peek(1); errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	rec, err := r.next()
	if err != nil {
		return nil, fmt.Errorf("read the WARC record at byte %d: %w", at, err)
	}
	rec.Offset, rec.Length = at, r.Offset()-at
	return rec, nil
}

func (r *Reader) next() (*Record, error) {
	if err := r.z.Reset(r.buf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, noEOF(err))
	}
	r.z.Multistream(false)
	r.plain.Reset()
	n, err := r.plain.ReadFrom(io.LimitReader(r.z, r.limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, noEOF(err))
	}
	if n > r.limit {
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrFormat, r.limit)
	}
	rec, err := parseRecord(r.plain.Bytes())
	if err != nil {
		return nil, err
	}
	if d := rec.Get("WARC-Block-Digest"); len(d) > 7 && d[:7] == "sha256:" && d != Digest(sha256.Sum256(rec.Block)) {
		return nil, fmt.Errorf("%w: its block does not have the digest %s", ErrFormat, d)
	}
	return rec, nil
}

// noEOF makes an end inside a record an error that nobody takes for the end of the file.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
