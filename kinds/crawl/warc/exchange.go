package warc

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// level is the compression of each member. On documentation pages it takes a fifth more
// time than level 4 and a seventh less than level 6, and its files are six percent smaller
// and one percent larger than theirs: run BenchmarkBuild.
const level = 5

// Exchange is one HTTP exchange.
type Exchange struct {
	URL          string
	Time         time.Time // of the request; kept to the millisecond
	IP           string    // the address that answered, or "" if it is not known
	RequestHead  []byte    // with the empty line that ends it
	ResponseHead []byte    // likewise; as PlainHead makes it when it comes from Parse
	Body         []byte    // with transfer and content codings undone
	// Truncated says why the body is not whole: "length", "time", "disconnect" or
	// "unspecified"; "" if it is.
	Truncated string
	Metadata  [][2]string // names and values of the metadata record
}

// Build writes the exchange as three WARC records, each a gzip member of its own:
// request, response and metadata. members are their lengths in blob.
func Build(ex Exchange) (blob []byte, members [3]uint32, err error) {
	head, err := PlainHead(ex.ResponseHead, len(ex.Body))
	if err != nil {
		return nil, members, fmt.Errorf("build the WARC records of %.200q: %w", ex.URL, err)
	}
	ex.ResponseHead = head
	records, err := ex.records()
	if err != nil {
		return nil, members, fmt.Errorf("build the WARC records of %.200q: %w", ex.URL, err)
	}
	out := bytes.NewBuffer(make([]byte, 0, 2048+len(ex.Body)/4))
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	for i, r := range records {
		before := out.Len()
		z.Reset(out)
		if _, err := z.Write(r.Bytes()); err != nil {
			return nil, members, fmt.Errorf("compress the WARC records of %.200q: %w", ex.URL, err)
		}
		if err := z.Close(); err != nil {
			return nil, members, fmt.Errorf("compress the WARC records of %.200q: %w", ex.URL, err)
		}
		members[i] = uint32(out.Len() - before)
	}
	return out.Bytes(), members, nil
}

var gzipWriters = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// records renders the three records of an exchange whose head is plain.
func (ex Exchange) records() (out [3]*bytes.Buffer, err error) {
	if err := errors.Join(checkURL(ex.URL), checkIP(ex.IP), checkHead(ex.RequestHead, false)); err != nil {
		return out, err
	}
	switch ex.Truncated {
	case "", "length", "time", "disconnect", "unspecified":
	default:
		return out, fmt.Errorf("%w: truncated for %.20q, want length, time, disconnect or unspecified", ErrFormat, ex.Truncated)
	}
	if len(ex.Body) > MaxBody {
		return out, fmt.Errorf("%w: body of %d bytes, at most %d", ErrFormat, len(ex.Body), MaxBody)
	}
	date, err := formatDate(ex.Time)
	if err != nil {
		return out, err
	}
	var meta bytes.Buffer
	if len(ex.Metadata) > 256 {
		return out, fmt.Errorf("%w: %d metadata fields, at most 256", ErrFormat, len(ex.Metadata))
	}
	for _, m := range ex.Metadata {
		f := Field{m[0], m[1]}
		if err := f.check(); err != nil {
			return out, err
		}
		appendFields(&meta, []Field{f})
	}
	if meta.Len() > MaxHead {
		return out, fmt.Errorf("%w: metadata of %d bytes, at most %d", ErrFormat, meta.Len(), MaxHead)
	}

	h := sha256.New()
	h.Write(ex.ResponseHead)
	h.Write(ex.Body)
	var block [sha256.Size]byte
	h.Sum(block[:0])
	respID := recordID("response", ex.URL, date, ex.IP, Digest(block))

	base := func(kind string, digest string) []Field {
		f := []Field{
			{"WARC-Type", kind},
			{"WARC-Record-ID", recordID(kind, ex.URL, date, ex.IP, digest)},
			{"WARC-Date", date},
			{"WARC-Target-URI", ex.URL},
		}
		if ex.IP != "" && kind != "metadata" {
			f = append(f, Field{"WARC-IP-Address", ex.IP})
		}
		if kind != "response" {
			f = append(f, Field{"WARC-Concurrent-To", respID})
		}
		return append(f, Field{"WARC-Block-Digest", digest})
	}

	out[0] = new(bytes.Buffer)
	appendRecord(out[0],
		append(base("request", Digest(sha256.Sum256(ex.RequestHead))),
			Field{"Content-Type", "application/http;msgtype=request"}),
		ex.RequestHead)

	resp := append(base("response", Digest(block)),
		Field{"WARC-Payload-Digest", Digest(sha256.Sum256(ex.Body))})
	if ex.Truncated != "" {
		resp = append(resp, Field{"WARC-Truncated", ex.Truncated})
	}
	out[1] = bytes.NewBuffer(make([]byte, 0, len(ex.ResponseHead)+len(ex.Body)+1024))
	appendRecord(out[1], append(resp, Field{"Content-Type", "application/http;msgtype=response"}),
		ex.ResponseHead, ex.Body)

	out[2] = new(bytes.Buffer)
	appendRecord(out[2],
		append(base("metadata", Digest(sha256.Sum256(meta.Bytes()))),
			Field{"Content-Type", "application/warc-fields"}),
		meta.Bytes())
	return out, nil
}

// Parse reads what Build wrote. It refuses everything else: a record that another
// program wrote, a digest that does not match, a byte more or less.
func Parse(blob []byte, members [3]uint32) (Exchange, error) {
	return ParseLimit(blob, members, MaxBody)
}

// ParseLimit is Parse for a caller who knows that the body has at most maxBody bytes: a
// blob that unpacks to more is refused before it takes the memory.
func ParseLimit(blob []byte, members [3]uint32, maxBody int64) (Exchange, error) {
	ex, err := parse(blob, members, min(maxBody, MaxBody))
	if err != nil {
		return Exchange{}, fmt.Errorf("read the WARC records of an exchange: %w", err)
	}
	return ex, nil
}

func parse(blob []byte, members [3]uint32, maxBody int64) (ex Exchange, err error) {
	total := uint64(members[0]) + uint64(members[1]) + uint64(members[2])
	if total != uint64(len(blob)) {
		return ex, fmt.Errorf("%w: members of %d bytes together in a blob of %d", ErrFormat, total, len(blob))
	}
	limits := [3]int64{2*MaxHead + 16, maxBody + 2*MaxHead + 16, 2*MaxHead + 16}
	var plain [3][]byte
	var rec [3]*Record
	rest := blob
	for i, n := range members {
		if plain[i], err = gunzip(rest[:n], limits[i]); err != nil {
			return ex, fmt.Errorf("member %d: %w", i+1, err)
		}
		if rec[i], err = parseRecord(plain[i]); err != nil {
			return ex, fmt.Errorf("member %d: %w", i+1, err)
		}
		rest = rest[n:]
	}

	response := rec[1]
	ex.URL = response.Get("WARC-Target-URI")
	ex.IP = response.Get("WARC-IP-Address")
	ex.Truncated = response.Get("WARC-Truncated")
	if ex.Time, err = time.Parse(dateLayout, response.Get("WARC-Date")); err != nil {
		return ex, fmt.Errorf("%w: WARC-Date %.40q", ErrFormat, response.Get("WARC-Date"))
	}
	ex.RequestHead = rec[0].Block
	end := bytes.Index(response.Block[:min(len(response.Block), MaxHead)], []byte("\r\n\r\n"))
	if end < 0 {
		return ex, fmt.Errorf("%w: the response has no end of its head", ErrFormat)
	}
	ex.ResponseHead = response.Block[: end+4 : end+4]
	ex.Body = response.Block[end+4:]
	fields, err := parseFields(string(rec[2].Block))
	if err != nil {
		return ex, err
	}
	for _, f := range fields {
		ex.Metadata = append(ex.Metadata, [2]string{f.Name, f.Value})
	}

	// Whatever is not exactly what Build writes for this exchange is refused here: other
	// identifiers, digests, orders of fields, spellings.
	head, err := PlainHead(ex.ResponseHead, len(ex.Body))
	if err != nil {
		return ex, err
	}
	if !bytes.Equal(head, ex.ResponseHead) {
		return ex, fmt.Errorf("%w: the response's head speaks of codings that its body does not have", ErrFormat)
	}
	want, err := ex.records()
	if err != nil {
		return ex, err
	}
	for i := range want {
		if !bytes.Equal(want[i].Bytes(), plain[i]) {
			return ex, fmt.Errorf("%w: member %d is not what its exchange gives", ErrFormat, i+1)
		}
	}
	return ex, nil
}

// gunzip unpacks one member that must be all of b, to at most limit bytes.
func gunzip(b []byte, limit int64) ([]byte, error) {
	src := bytes.NewReader(b)
	z, _ := gzipReaders.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer gzipReaders.Put(z)
	if err := z.Reset(src); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	z.Multistream(false)
	var out bytes.Buffer
	out.Grow(int(min(limit, 4*int64(len(b))+512)))
	n, err := out.ReadFrom(io.LimitReader(z, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case n > limit:
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrFormat, limit)
	case src.Len() != 0:
		return nil, fmt.Errorf("%w: %d bytes follow the member", ErrFormat, src.Len())
	}
	return out.Bytes(), nil
}

var gzipReaders sync.Pool
