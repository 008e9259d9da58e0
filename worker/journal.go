package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
)

// journal is a file of checksummed records that is only ever appended to, and now and
// then replaced by a shorter one that says the same.
//
//	file    "cantus worker 1\n" record…
//	record  length (4 bytes) crc32c(type ‖ payload) (4 bytes) type (1 byte) payload
//	batch   a record of type B whose payload is: (length (4 bytes) type (1 byte) payload)…
//
// Numbers are big-endian; a length counts the type and the payload. Records that are
// appended together are one batch, so that a crash leaves all of them or none. What a
// crash tore is at the end, since each append is one write and the next waits for its
// sync: reading stops there and the rest is cut off. Where something whole follows, no
// crash did it, but a bad disk or a hand, and the journal is refused: to go on without
// what is missing in its middle could make the worker say something wrong.
type journal struct {
	path string
	file *os.File
	size int64
	err  error // sticky: the file's end is unknown
}

const (
	journalMagic = "cantus worker 1\n"
	recordHead   = 9
	maxRecord    = 1 << 20
	recordBatch  = 'B'
	maxBatch     = 16 << 20
)

// ErrJournal marks a journal that can't be read or written.
var ErrJournal = errors.New("the worker's journal")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type record struct {
	kind    byte
	payload []byte
}

func appendRecord(b []byte, r record) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(r.payload)))
	sum := crc32.Update(crc32.Checksum([]byte{r.kind}, castagnoli), castagnoli, r.payload)
	b = binary.BigEndian.AppendUint32(b, sum)
	b = append(b, r.kind)
	return append(b, r.payload...)
}

// batch joins records into one.
func batch(rs []record) record {
	if len(rs) == 1 {
		return rs[0]
	}
	var b []byte
	for _, r := range rs {
		b = binary.BigEndian.AppendUint32(b, uint32(1+len(r.payload)))
		b = append(append(b, r.kind), r.payload...)
	}
	return record{recordBatch, b}
}

// each gives f a record, or those of a batch.
func (r record) each(f func(record) error) error {
	if r.kind != recordBatch {
		return f(r)
	}
	for b := r.payload; len(b) > 0; {
		if len(b) < 5 {
			return errors.New("a batch that ends in the middle of a record")
		}
		n := binary.BigEndian.Uint32(b)
		if n < 1 || n > maxRecord || int64(len(b)-4) < int64(n) || b[4] == recordBatch {
			return errors.New("a batch with something in it that is no record")
		}
		if err := f(record{b[4], b[5 : 4+n]}); err != nil {
			return err
		}
		b = b[4+n:]
	}
	return nil
}

// wholeAfter reports whether a whole record begins anywhere after the first byte of b.
func wholeAfter(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if _, n := nextRecord(b[i:]); n > 0 {
			return true
		}
	}
	return false
}

// nextRecord reads the first record of b. It returns 0 for a torn or damaged one.
func nextRecord(b []byte) (record, int) {
	if len(b) < recordHead {
		return record{}, 0
	}
	n := binary.BigEndian.Uint32(b)
	if n < 1 || n > maxBatch || int64(len(b)-8) < int64(n) {
		return record{}, 0
	}
	body := b[8 : 8+n]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return record{}, 0
	}
	return record{body[0], body[1:]}, 8 + int(n)
}

// openJournal opens or makes the journal at path and gives each record to apply. The
// number of bytes that were cut off the end comes back; more than nothing means that a
// crash tore the last append.
func openJournal(path string, apply func(record) error) (j *journal, cut int64, err error) {
	fail := func(err error) (*journal, int64, error) {
		return nil, 0, fmt.Errorf("%w %s: %w", ErrJournal, path, room(err))
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist) || (err == nil && len(b) < len(journalMagic)):
		if err := replaceFile(path, []byte(journalMagic)); err != nil {
			return fail(err)
		}
		b = []byte(journalMagic)
	case err != nil:
		return fail(err)
	}
	if string(b[:len(journalMagic)]) != journalMagic {
		return fail(errors.New("it is not a journal of this version: move it away to start anew, or use the program that wrote it"))
	}
	good := int64(len(journalMagic))
	for {
		r, n := nextRecord(b[good:])
		if n == 0 {
			break
		}
		if err := r.each(apply); err != nil {
			return fail(fmt.Errorf("record at byte %d: %w", good, err))
		}
		good += int64(n)
	}
	cut = int64(len(b)) - good
	if wholeAfter(b[good:]) {
		return fail(fmt.Errorf("byte %d and some after it are damaged, and what follows is whole, so no crash did this: see that the disk is good; "+
			"bring the file back from a copy, or move it away to start anew without the receipts and vouchers in it", good))
	}
	if cut > 0 {
		// For whoever wants to know what was in it; the journal itself goes on without.
		_ = os.WriteFile(path+".torn", b[good:], 0o600)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	j = &journal{path: path, file: f, size: good}
	if cut > 0 {
		if err := errors.Join(f.Truncate(good), f.Sync()); err != nil {
			return fail(errors.Join(err, f.Close()))
		}
	}
	return j, cut, nil
}

// append writes records durably, all or none.
func (j *journal) append(rs ...record) error {
	if j.err != nil {
		return j.err
	}
	for _, r := range rs {
		if len(r.payload) >= maxRecord {
			return fmt.Errorf("%w: a record of %d bytes", ErrJournal, len(r.payload))
		}
	}
	b := appendRecord(nil, batch(rs))
	if len(b) > maxBatch {
		return fmt.Errorf("%w: %d records of %d bytes at once", ErrJournal, len(rs), len(b))
	}
	_, err := j.file.WriteAt(b, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("%w %s: %w", ErrJournal, j.path, room(err))
		// After a failed sync nobody knows what is on the disk. Cut the attempt off; if
		// that fails too, the checksums will show at the next start how far it is good.
		if cutErr := errors.Join(j.file.Truncate(j.size), j.file.Sync()); cutErr != nil {
			j.err = err
		}
		return err
	}
	j.size += int64(len(b))
	return nil
}

// rewrite replaces the journal by one that holds only rs.
func (j *journal) rewrite(rs []record) error {
	b := []byte(journalMagic)
	for _, r := range rs {
		b = appendRecord(b, r)
	}
	if err := replaceFile(j.path, b); err != nil {
		return fmt.Errorf("%w: shorten %s: %w", ErrJournal, j.path, room(err))
	}
	f, err := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if err != nil {
		j.err = fmt.Errorf("%w: open %s again: %w", ErrJournal, j.path, err)
		return j.err
	}
	old := j.file
	j.file, j.size, j.err = f, int64(len(b)), nil
	_ = old.Close() // it is the old file, of which nothing is needed any more
	return nil
}

func (j *journal) close() error { return j.file.Close() }

// room adds to an error of a full disk what to do about it.
func room(err error) error {
	if full(err) {
		return fmt.Errorf("%w: make room on the disk and start the worker again", err)
	}
	return err
}

// full reports whether an error says that the disk has no room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// replaceFile writes a file so that after a crash either the old or the new one is there.
func replaceFile(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	return err
}
