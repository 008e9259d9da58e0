package crawl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// keptApplications are the types outside text/ whose bodies are kept.
var keptApplications = map[string]bool{
	"application/xhtml+xml": true, "application/xml": true, "application/json": true, "application/pdf": true,
	"application/javascript": true, "application/ecmascript": true, "application/rtf": true, "application/msword": true,
	"application/epub+zip": true, "application/x-tex": true, "application/postscript": true, "application/yaml": true,
	"application/vnd.oasis.opendocument.text":                                 true,
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": true,
}

// Keeps reports whether bodies of a media type are kept: text of any kind and documents.
// Images, audio, video, archives and programs are not.
func Keeps(mediaType string) bool {
	return mediaType == "" || strings.HasPrefix(mediaType, "text/") || keptApplications[mediaType] ||
		strings.HasPrefix(mediaType, "application/") && (strings.HasSuffix(mediaType, "+xml") || strings.HasSuffix(mediaType, "+json"))
}

// readBody reads at most limit bytes. whole says that there were no more.
func readBody(r io.Reader, limit uint64, length int64) (b []byte, whole bool, err error) {
	var out bytes.Buffer
	if length > 0 {
		out.Grow(int(min(uint64(length), limit, 1<<20)) + bytes.MinRead)
	}
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, false, err
	}
	if uint64(n) > limit {
		return out.Bytes()[:limit], false, nil
	}
	return out.Bytes(), true, nil
}

// errCoding marks a content coding that can't be undone.
var errCoding = errors.New("the content coding can't be undone")

// undo removes the content codings that a Content-Encoding field lists, up to limit
// bytes. whole says that nothing is missing; b may itself be only the beginning.
func undo(b []byte, codings string, limit uint64, cut bool) (out []byte, whole bool, err error) {
	list := strings.Split(codings, ",")
	if len(list) > 3 {
		return nil, false, fmt.Errorf("%w: %d of them", errCoding, len(list))
	}
	whole = !cut
	for i := len(list) - 1; i >= 0; i-- {
		name := strings.ToLower(strings.TrimSpace(list[i]))
		if name == "" || name == "identity" || len(b) == 0 {
			continue
		}
		inner := min(limit, max(freeBytes, uint64(len(b))*maxInflation))
		var ok bool
		switch name {
		case "gzip", "x-gzip":
			b, ok, err = ungzip(b, inner, !whole)
		case "deflate":
			b, ok, err = inflate(b, inner, !whole)
		default:
			return nil, false, fmt.Errorf("%w: %.40q, which was not asked for", errCoding, name)
		}
		if err != nil {
			return nil, false, err
		}
		whole = whole && ok
	}
	return b, whole, nil
}

var gzipReaders sync.Pool

func ungzip(b []byte, limit uint64, cut bool) ([]byte, bool, error) {
	z, _ := gzipReaders.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer gzipReaders.Put(z)
	if err := z.Reset(bytes.NewReader(b)); err != nil {
		// Some servers say gzip and send plain text.
		if len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b && !cut {
			return nil, false, fmt.Errorf("%w: %w", errCoding, err)
		}
		if cut && len(b) < 18 {
			return nil, false, nil
		}
		return b, true, nil
	}
	out, whole, err := readDecoded(z, limit, len(b), cut)
	if errors.Is(err, gzip.ErrHeader) && len(out) > 0 {
		return out, true, nil // bytes behind the end, which browsers ignore too
	}
	return out, whole, err
}

// inflate undoes "deflate", by which some servers mean zlib and some the bare stream.
func inflate(b []byte, limit uint64, cut bool) ([]byte, bool, error) {
	var z io.ReadCloser
	var err error
	if len(b) >= 2 && b[0]&0x0f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0 {
		if z, err = zlib.NewReader(bytes.NewReader(b)); err != nil {
			return nil, false, fmt.Errorf("%w: %w", errCoding, err)
		}
	} else {
		z = flate.NewReader(bytes.NewReader(b))
	}
	defer z.Close()
	return readDecoded(z, limit, len(b), cut)
}

// readDecoded reads what a decoder gives. Of an input that was cut the error at its end
// is none.
func readDecoded(z io.Reader, limit uint64, size int, cut bool) ([]byte, bool, error) {
	var out bytes.Buffer
	out.Grow(int(min(limit, 4*uint64(size)+512)))
	n, err := out.ReadFrom(io.LimitReader(z, int64(limit)+1))
	switch {
	case uint64(n) > limit:
		return out.Bytes()[:limit], false, nil
	case err != nil && cut:
		return out.Bytes(), false, nil
	case err != nil:
		return out.Bytes(), false, fmt.Errorf("%w: %w", errCoding, err)
	}
	return out.Bytes(), true, nil
}
