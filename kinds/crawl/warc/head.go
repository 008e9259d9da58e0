package warc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// kept is put before the names of fields that no longer hold for the body as stored.
const kept = "X-Crawler-"

// PlainHead returns a response's head for a body of n bytes that is stored with its
// codings undone: Content-Encoding, Transfer-Encoding and a Content-Length that is not n
// are kept under names with the prefix X-Crawler-, and Content-Length says n. Everything
// else stays as the server sent it, byte for byte. It changes nothing the second time.
func PlainHead(head []byte, n int) ([]byte, error) {
	if err := checkHead(head, true); err != nil {
		return nil, err
	}
	length := strconv.Itoa(n)
	out := make([]byte, 0, len(head)+64)
	lines := head[:len(head)-2]
	said := false
	for first := true; len(lines) > 0; first = false {
		var line []byte
		if i := bytes.Index(lines, []byte("\r\n")); i >= 0 {
			line, lines = lines[:i+2], lines[i+2:]
		} else {
			line, lines = lines, nil
		}
		name, value, ok := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case first || !ok:
		case strings.EqualFold(name, "Content-Encoding") && !strings.EqualFold(value, "identity"),
			strings.EqualFold(name, "Transfer-Encoding"):
			out = append(out, kept...)
		case strings.EqualFold(name, "Content-Length"):
			if value == length && !said {
				said = true
			} else {
				out = append(out, kept...)
			}
		}
		out = append(out, line...)
	}
	if !said {
		out = append(out, "Content-Length: "+length+"\r\n"...)
	}
	return append(out, "\r\n"...), nil
}

// checkHead refuses what is no single HTTP head: a first line, fields, an empty line.
func checkHead(head []byte, response bool) error {
	what := "request"
	if response {
		what = "response"
	}
	if len(head) > MaxHead {
		return fmt.Errorf("%w: %s head of %d bytes, at most %d", ErrFormat, what, len(head), MaxHead)
	}
	if i := bytes.Index(head, []byte("\r\n\r\n")); i < 0 || i != len(head)-4 {
		return fmt.Errorf("%w: %s head does not end with its only empty line", ErrFormat, what)
	}
	first, _, _ := bytes.Cut(head, []byte("\r\n"))
	if bytes.ContainsAny(first, "\n\x00") {
		return fmt.Errorf("%w: %s head begins %.40q", ErrFormat, what, first)
	}
	if response {
		// HTTP/1.1 200 OK
		if len(first) < 12 || !bytes.HasPrefix(first, []byte("HTTP/")) || first[8] != ' ' ||
			!digits(first[9:12]) || len(first) > 12 && first[12] != ' ' {
			return fmt.Errorf("%w: status line %.40q, want one like HTTP/1.1 200 OK", ErrFormat, first)
		}
		return nil
	}
	// GET /path HTTP/1.1
	if parts := bytes.Split(first, []byte(" ")); len(parts) != 3 || len(parts[0]) == 0 || len(parts[1]) == 0 ||
		!bytes.HasPrefix(parts[2], []byte("HTTP/")) {
		return fmt.Errorf("%w: request line %.40q, want one like GET / HTTP/1.1", ErrFormat, first)
	}
	return nil
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Status is the status code of a head that Build or Parse accepted, 0 of any other.
func Status(head []byte) int {
	if len(head) < 12 || !digits(head[9:12]) {
		return 0
	}
	n, _ := strconv.Atoi(string(head[9:12]))
	return n
}

// HeadField returns the first value of a field of an HTTP head, or "".
func HeadField(head []byte, name string) string {
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		n, v, ok := bytes.Cut(line, []byte(":"))
		if ok && len(n) == len(name) && strings.EqualFold(string(n), name) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}
