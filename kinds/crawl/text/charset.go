package text

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// decode turns a document into UTF-8. The encoding is what, in this order, a byte order
// mark, the server, the document's first kilobyte, the bytes themselves (if they are
// UTF-8 throughout) or custom (windows-1252) say. The result may be body itself; what is
// invalid in UTF-8 is left for the reader to replace.
func decode(body []byte, label string, isHTML bool) (doc []byte, name string) {
	if b, ok := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); ok {
		return b, "utf-8"
	}
	contentType := "text/plain"
	if _, known := charset.Lookup(label); known != "" {
		contentType = "text/plain; charset=" + known
	}
	head := body
	if !isHTML {
		head = body[:min(len(body), 2)] // only a byte order mark may speak
	}
	enc, name, certain := charset.DetermineEncoding(head, contentType)
	if !certain && utf8.Valid(body) {
		return body, "utf-8"
	}
	if name == "utf-8" {
		return body, name
	}
	if name == "replacement" {
		return []byte("\uFFFD"), name
	}
	out, err := enc.NewDecoder().Bytes(body)
	if err != nil {
		// The decoders of the standard replace what they cannot read; none fails.
		return body, "utf-8"
	}
	return out, name
}
