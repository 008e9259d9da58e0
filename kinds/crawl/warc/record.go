package warc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Limits of what is written and read.
const (
	MaxHead  = 256 << 10 // bytes of an HTTP head, of a record's fields, of the metadata
	MaxBody  = 64 << 20  // bytes of a body
	maxBlock = MaxBody + MaxHead
	maxURL   = 16 << 10
)

// ErrFormat marks bytes that are no records, or not in the form that this package writes.
var ErrFormat = errors.New("not a WARC record")

// dateLayout has the precision of a receipt's times.
const dateLayout = "2006-01-02T15:04:05.000Z"

const version = "WARC/1.1"

// Field is one named value of a record's head or of a block of fields.
type Field struct{ Name, Value string }

// Record is one record of any type.
type Record struct {
	// Offset and Length say which bytes of the file the record's gzip member is.
	Offset, Length int64
	Fields         []Field
	Block          []byte
}

// Get returns the first field of that name, in any case of letters, or "".
func (r *Record) Get(name string) string {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Type is the record's WARC-Type.
func (r *Record) Type() string { return r.Get("WARC-Type") }

// Digest spells a SHA-256 as the digest fields hold it.
func Digest(sum [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

// recordID derives the identifier from what the record says: the same record has the
// same name wherever it is written. It is a version 8 UUID, the one whose bits are the
// application's own.
func recordID(kind, url, date, ip, blockDigest string) string {
	h := sha256.New()
	for _, s := range []string{"cantus/warc-record-id/1", kind, url, date, ip, blockDigest} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("<urn:uuid:%x-%x-%x-%x-%x>", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// appendRecord writes a record to dst. The block is given in parts to spare a copy.
func appendRecord(dst *bytes.Buffer, fields []Field, block ...[]byte) {
	n := 0
	for _, b := range block {
		n += len(b)
	}
	dst.WriteString(version + "\r\n")
	appendFields(dst, fields)
	dst.WriteString("Content-Length: ")
	dst.WriteString(strconv.Itoa(n))
	dst.WriteString("\r\n\r\n")
	for _, b := range block {
		dst.Write(b)
	}
	dst.WriteString("\r\n\r\n")
}

func appendFields(dst *bytes.Buffer, fields []Field) {
	for _, f := range fields {
		dst.WriteString(f.Name)
		dst.WriteString(": ")
		dst.WriteString(f.Value)
		dst.WriteString("\r\n")
	}
}

// parseRecord reads one whole record, which must be all of b. The block is a part of b.
func parseRecord(b []byte) (*Record, error) {
	end := bytes.Index(b[:min(len(b), MaxHead)], []byte("\r\n\r\n"))
	if end < 0 {
		return nil, fmt.Errorf("%w: no end of its fields in the first %d bytes", ErrFormat, MaxHead)
	}
	head, rest := string(b[:end]), b[end+4:]
	first, lines, _ := strings.Cut(head, "\r\n")
	if first != version && first != "WARC/1.0" {
		return nil, fmt.Errorf("%w: it begins %.20q, want %q", ErrFormat, first, version)
	}
	fields, err := parseFields(lines)
	if err != nil {
		return nil, err
	}
	r := &Record{Fields: fields}
	length := r.Get("Content-Length")
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil || n > maxBlock || strconv.FormatUint(n, 10) != length {
		return nil, fmt.Errorf("%w: Content-Length %.20q, want a number up to %d", ErrFormat, length, maxBlock)
	}
	if uint64(len(rest)) != n+4 || string(rest[n:]) != "\r\n\r\n" {
		return nil, fmt.Errorf("%w: Content-Length %d, but %d bytes follow the fields, want 4 more and these CR LF CR LF", ErrFormat, n, len(rest))
	}
	r.Block = rest[:n:n]
	return r, nil
}

// parseFields reads lines "Name: value" that CR LF separates.
func parseFields(lines string) ([]Field, error) {
	var fields []Field
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		f := Field{name, strings.TrimPrefix(value, " ")}
		if !ok {
			return nil, fmt.Errorf("%w: the line %.40q has no colon", ErrFormat, line)
		}
		if err := f.check(); err != nil {
			return nil, err
		}
		if len(fields) == 256 {
			return nil, fmt.Errorf("%w: more than 256 fields", ErrFormat)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// check refuses what could not be read back as the same field.
func (f Field) check() error {
	if f.Name == "" || strings.ContainsFunc(f.Name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) {
		return fmt.Errorf("%w: field name %.40q", ErrFormat, f.Name)
	}
	if f.Value != strings.Trim(f.Value, " \t") || strings.ContainsAny(f.Value, "\r\n\x00") {
		return fmt.Errorf("%w: field %s has a line break, a zero or outer spaces in its value", ErrFormat, f.Name)
	}
	return nil
}

func checkURL(u string) error {
	if u == "" || len(u) > maxURL {
		return fmt.Errorf("%w: URL of %d bytes, want 1 to %d", ErrFormat, len(u), maxURL)
	}
	for i := range len(u) {
		if u[i] <= ' ' || u[i] == 0x7f {
			return fmt.Errorf("%w: URL %.60q has a space or control character", ErrFormat, u)
		}
	}
	return nil
}

func checkIP(ip string) error {
	if ip == "" {
		return nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Zone() != "" || a.String() != ip {
		return fmt.Errorf("%w: address %.60q, want an IP address in its usual form", ErrFormat, ip)
	}
	return nil
}

func formatDate(t time.Time) (string, error) {
	t = t.UTC()
	if y := t.Year(); y < 1990 || y > 9999 {
		return "", fmt.Errorf("%w: a date in the year %d", ErrFormat, y)
	}
	return t.Format(dateLayout), nil
}
