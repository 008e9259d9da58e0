package crawl

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
)

// recode turns a body into UTF-8 and says how to turn one back. It refuses a body that
// would not come back as it was.
func recode(body []byte, label string) (doc []byte, back func([]byte) ([]byte, bool), ok bool) {
	if label == "" || label == "utf-8" || utf8.Valid(body) {
		return body, func(b []byte) ([]byte, bool) { return b, true }, true
	}
	enc, name := charset.Lookup(label)
	if enc == nil || name == "replacement" {
		return nil, nil, false
	}
	back = func(b []byte) ([]byte, bool) {
		out, err := enc.NewEncoder().Bytes(b)
		return out, err == nil
	}
	doc, err := enc.NewDecoder().Bytes(body)
	if err != nil {
		return nil, nil, false
	}
	again, ok := back(doc)
	return doc, back, ok && bytes.Equal(again, body)
}

// phrasesOf cuts a document into pieces, which are it when put together, and lists those
// that are phrases: up to so many words of the running text in a row.
func phrasesOf(doc []byte, isHTML bool, words int) (pieces [][]byte, phrases []int) {
	if !isHTML {
		return cutText(nil, nil, doc, words)
	}
	z := html.NewTokenizer(bytes.NewReader(doc))
	raw := false // in an element whose content is no text to read
	for {
		kind := z.Next()
		token := bytes.Clone(z.Raw())
		switch {
		case kind == html.ErrorToken:
			return append(pieces, token), phrases
		case kind == html.TextToken && !raw:
			pieces, phrases = cutText(pieces, phrases, token, words)
			continue
		case kind == html.StartTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "script", "style", "title", "textarea", "template", "noscript", "iframe", "xmp", "noembed", "noframes":
				raw = true
			}
		case kind == html.EndTagToken:
			raw = false
		}
		pieces = append(pieces, token)
	}
}

// cutText cuts running text. References like &amp; and punctuation stay where they are.
func cutText(pieces [][]byte, phrases []int, s []byte, words int) ([][]byte, []int) {
	from := 0   // of what is not yet a piece
	start := -1 // of the phrase at hand
	end, n := 0, 0
	flush := func() {
		if start < 0 {
			return
		}
		if start > from {
			pieces = append(pieces, s[from:start])
		}
		phrases = append(phrases, len(pieces))
		pieces = append(pieces, s[start:end])
		from, start, n = end, -1, 0
	}
	for i := 0; i < len(s); {
		size := wordAt(s[i:])
		if size == 0 {
			if s[i] == '&' { // to the end of the reference
				flush()
				for i++; i < len(s) && s[i] != ';' && s[i] > ' '; i++ {
				}
				continue
			}
			if s[i] > ' ' {
				flush()
			}
			_, size := utf8.DecodeRune(s[i:])
			i += size
			continue
		}
		if start < 0 {
			start = i
		}
		i += size
		end = i
		if n++; n == words {
			flush()
		}
	}
	flush()
	if from < len(s) {
		pieces = append(pieces, s[from:])
	}
	return pieces, phrases
}

// wordAt is the length of the word that s begins with: letters and digits, or one
// character of a script without spaces; 0 for anything else.
func wordAt(s []byte) int {
	n := 0
	for n < len(s) {
		c := s[n]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[n:])
			switch {
			case separates(r):
				return n
			case alone(r) && n == 0:
				return size
			case alone(r):
				return n
			}
			n += size
			continue
		}
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return n
		}
		n++
	}
	return n
}

func separates(r rune) bool {
	return r == 0xa0 || r >= 0x2000 && r < 0x2070 || r >= 0x3000 && r < 0x3040 || r >= 0xff00 && r < 0xff10
}

func alone(r rune) bool {
	switch {
	case r >= 0x0e00 && r < 0x0f00, r >= 0x1000 && r < 0x10a0, r >= 0x1780 && r < 0x1800,
		r >= 0x2e80 && r < 0xa000, r >= 0xf900 && r < 0xfb00, r >= 0x20000 && r < 0x40000:
		return true
	}
	return false
}
