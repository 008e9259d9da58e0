package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/cantus-network/cantus/work"
)

// receipts and, inside its Zstandard stream, records.zst are CBOR sequences (RFC 8742) of
// byte strings. Each string holds the canonical CBOR of one value: first a fileHead, then
// one receiptFrame or one record for each receipt, in the order of epochs and indexes.
// The outer strings let a reader know a value's size before it reads the value.

const (
	receiptsFile   = "receipts"
	recordsFile    = "records.zst"
	receiptsFormat = "cantus/receipts/1"
	recordsFormat  = "cantus/records/1"

	maxFrame = work.MaxReceipt + work.MaxTask + 64
	// A decoder of ours never needs more for streams that an encoder of ours wrote.
	maxWindow = 8 << 20
)

// ErrFormat marks a file of a dataset that is not in the form that Write writes.
var ErrFormat = errors.New("not in the dataset's form")

type fileHead struct {
	_      struct{} `cbor:",toarray"`
	Format string
	Chain  string
	Job    work.JobID
}

type receiptFrame struct {
	_      struct{} `cbor:",toarray"`
	Epoch  uint64
	Index  uint64
	Signed []byte
	Task   []byte
}

// writeFrame writes b as a CBOR byte string.
func writeFrame(w io.Writer, b []byte) error {
	var head [5]byte
	n := len(b)
	var h []byte
	switch {
	case n < 24:
		h = append(head[:0], 0x40|byte(n))
	case n < 1<<8:
		h = append(head[:0], 0x58, byte(n))
	case n < 1<<16:
		h = binary.BigEndian.AppendUint16(append(head[:0], 0x59), uint16(n))
	default:
		h = binary.BigEndian.AppendUint32(append(head[:0], 0x5a), uint32(n))
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// readFrame reads the next byte string, of at most limit bytes, into buf. It returns
// io.EOF only where the sequence ends.
func readFrame(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	c, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n, extra := uint64(c&0x1f), 0
	switch {
	case c>>5 != 2 || n > 26:
		return nil, fmt.Errorf("%w: 0x%02x does not begin a byte string", ErrFormat, c)
	case n >= 24:
		extra = 1 << (n - 24)
		n = 0
	}
	for range extra {
		b, err := r.ReadByte()
		if err != nil {
			return nil, noEOF(err)
		}
		n = n<<8 | uint64(b)
	}
	if extra == 1 && n < 24 || extra == 2 && n < 1<<8 || extra == 4 && n < 1<<16 {
		return nil, fmt.Errorf("%w: a length of %d in a longer spelling than needed", ErrFormat, n)
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("%w: a value of %d bytes, at most %d", ErrFormat, n, limit)
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, noEOF(err)
	}
	return buf, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// entryWriter writes both files.
type entryWriter struct {
	receipts, records *outFile
	z                 *zstd.Encoder
}

func newEntryWriter(dir, chain string, job work.JobID) (*entryWriter, error) {
	w := new(entryWriter)
	var err error
	if w.receipts, err = create(filepath.Join(dir, receiptsFile)); err != nil {
		return nil, err
	}
	if w.records, err = create(filepath.Join(dir, recordsFile)); err != nil {
		w.receipts.abort()
		return nil, err
	}
	w.z, err = zstd.NewWriter(w.records, zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		w.abort()
		return nil, fmt.Errorf("write %s: %w", recordsFile, err)
	}
	for _, f := range []struct {
		w      io.Writer
		format string
	}{{w.receipts, receiptsFormat}, {w.z, recordsFormat}} {
		head, err := work.Encode(fileHead{Format: f.format, Chain: chain, Job: job})
		if err == nil {
			err = writeFrame(f.w, head)
		}
		if err != nil {
			w.abort()
			return nil, fmt.Errorf("write %s and %s: %w", receiptsFile, recordsFile, err)
		}
	}
	return w, nil
}

func (w *entryWriter) append(r Receipt, record []byte) error {
	b, err := work.Encode(receiptFrame{Epoch: r.Epoch, Index: r.Index, Signed: r.Signed, Task: r.Task})
	if err != nil {
		return fmt.Errorf("write %s: %w", receiptsFile, err)
	}
	if err := writeFrame(w.receipts, b); err != nil {
		return err
	}
	if err := writeFrame(w.z, record); err != nil {
		return fmt.Errorf("write %s: %w", recordsFile, err)
	}
	return nil
}

func (w *entryWriter) close() error {
	if err := w.z.Close(); err != nil {
		w.receipts.abort()
		w.records.abort()
		return fmt.Errorf("write %s: %w", recordsFile, err)
	}
	return errors.Join(w.receipts.close(), w.records.close())
}

func (w *entryWriter) abort() {
	if w.z != nil {
		w.z.Close()
	}
	w.receipts.abort()
	w.records.abort()
}

// entry is one receipt with what it signs, read back.
type entry struct {
	Receipt
	signed work.SignedReceipt
	record []byte
}

// readEntries calls f with every entry of dir. The entry is f's to keep. Whatever is read
// is bounded, and whether it is canonical is checked; signatures are not.
func readEntries(dir, chain string, job work.JobID, f func(entry) error) error {
	receipts, err := openRegular(dir, receiptsFile)
	if err != nil {
		return err
	}
	defer receipts.Close()
	records, err := openRegular(dir, recordsFile)
	if err != nil {
		return err
	}
	defer records.Close()
	return readEntriesFrom(receipts, records, chain, job, f)
}

func readEntriesFrom(receipts, records io.Reader, chain string, job work.JobID, f func(entry) error) error {
	z, err := zstd.NewReader(bufio.NewReaderSize(records, 256<<10), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return fmt.Errorf("read %s: %w", recordsFile, err)
	}
	defer z.Close()
	a, b := bufio.NewReaderSize(receipts, 256<<10), bufio.NewReaderSize(z, 256<<10)
	for _, s := range []struct {
		r            *bufio.Reader
		name, format string
	}{{a, receiptsFile, receiptsFormat}, {b, recordsFile, recordsFormat}} {
		raw, err := readFrame(s.r, nil, 256)
		if err != nil {
			return fmt.Errorf("read the head of %s: %w", s.name, noEOF(err))
		}
		head, err := work.Decode[fileHead](raw, 256)
		if err != nil {
			return fmt.Errorf("read the head of %s: %w", s.name, err)
		}
		if want := (fileHead{Format: s.format, Chain: chain, Job: job}); head != want {
			return fmt.Errorf("%w: %s is %q of job %d of chain %q, want %q of job %d of chain %q", ErrFormat,
				s.name, head.Format, head.Job, head.Chain, want.Format, want.Job, want.Chain)
		}
	}
	for n := uint64(0); ; n++ {
		raw, err := readFrame(a, nil, maxFrame)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read entry %d of %s: %w", n, receiptsFile, err)
		}
		e, err := decodeEntry(raw)
		if err != nil {
			return fmt.Errorf("read entry %d of %s: %w", n, receiptsFile, err)
		}
		if e.record, err = readFrame(b, nil, work.MaxResult); err != nil {
			return fmt.Errorf("read entry %d of %s: %w", n, recordsFile, noEOF(err))
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if _, err := b.ReadByte(); !errors.Is(err, io.EOF) {
		if err != nil {
			return fmt.Errorf("read %s: %w", recordsFile, err)
		}
		return fmt.Errorf("%w: %s has more entries than %s", ErrFormat, recordsFile, receiptsFile)
	}
	return nil
}

func decodeEntry(raw []byte) (entry, error) {
	f, err := work.Decode[receiptFrame](raw, maxFrame)
	if err != nil {
		return entry{}, err
	}
	s, err := work.DecodeReceipt(f.Signed)
	if err != nil {
		return entry{}, err
	}
	return entry{Receipt: Receipt{Epoch: f.Epoch, Index: f.Index, Signed: f.Signed, Task: f.Task}, signed: s}, nil
}
