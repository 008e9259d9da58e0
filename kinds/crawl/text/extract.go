package text

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// Bounds of what a Page holds, whatever the page is.
const (
	MaxText  = 8 << 20 // bytes; longer text ends there
	MaxTitle = 512     // bytes
	maxLinks = 20_000
	maxRef   = 8 << 10 // bytes of one reference
)

// ErrMediaType is returned for bytes that are neither HTML nor plain text.
var ErrMediaType = errors.New("not a media type with text")

// Page is what a document says.
type Page struct {
	Title    string
	Text     string // in the form that Version names
	Language string // a BCP 47 tag like "pt-BR", or "" where nobody can tell
	Charset  string // the encoding's name in the WHATWG's standard, lower-case
	// Links are the references of a, area, frame, iframe, link and refresh in the order of
	// the page, unique, without fragments, made absolute and otherwise as the page
	// spells them. Those marked nofollow are left out.
	Links []string
	// NoIndex and NoFollow are the page's own robots directives. Links are there all the same.
	NoIndex, NoFollow bool
	SimHash           uint64
}

// Supports reports whether Extract reads documents of this media type, which is
// lower-case and without parameters.
func Supports(mediaType string) bool {
	switch mediaType {
	case "text/html", "application/xhtml+xml", "text/plain":
		return true
	}
	return false
}

// Extract reads a document. charset is what its Content-Type says, or ""; base is the
// absolute URL that it came from. It fails only with ErrMediaType: whatever the bytes
// are, some text follows from them, and the same on every machine.
func Extract(body []byte, mediaType, charset, base string) (Page, error) {
	switch mediaType {
	case "text/html", "application/xhtml+xml":
		return extractHTML(body, mediaType, charset, base), nil
	case "text/plain":
		return extractPlain(body, charset), nil
	}
	return Page{}, fmt.Errorf("%w: %.80q", ErrMediaType, mediaType)
}

func extractPlain(body []byte, charset string) Page {
	plain, name := decode(body, charset, false)
	w := writer{pre: 1}
	w.text(plain)
	return w.page(Page{Charset: name})
}

// extractor is the state of one pass over an HTML document.
type extractor struct {
	w        writer
	page     Page
	title    writer
	hasTitle bool
	lang     string
	refs     []string
	base     string // the first <base href>
	// hidden is the element whose content is not shown, deep the number of open ones.
	hidden string
	deep   int
	// raw is the element whose content the tokenizer gives as one text, until it did.
	raw  string
	name [24]byte // of the tag at hand; no element that we know has a longer one
}

func extractHTML(body []byte, mediaType, charset, base string) Page {
	doc, name := decode(body, charset, true)
	x := extractor{page: Page{Charset: name}}
	z := html.NewTokenizer(bytes.NewReader(doc))
	for {
		switch z.Next() {
		case html.ErrorToken:
			// io.EOF, always: the reader cannot fail and the buffer has no limit but the body.
			x.page.Links = resolve(x.refs, x.base, base)
			x.page.Title = x.title.String(MaxTitle)
			x.page.Language = x.lang
			return x.w.page(x.page)
		case html.TextToken:
			x.onText(z)
		case html.StartTagToken:
			x.start(z, false)
		case html.SelfClosingTagToken:
			if mediaType == "application/xhtml+xml" {
				z.NextIsNotRawText()
				x.start(z, true)
				x.raw = ""
				continue
			}
			x.start(z, true)
		case html.EndTagToken:
			x.raw = ""
			x.end(x.tagName(z))
		}
	}
}

// tagName is the lower-case name of the tag at hand, valid until the next one. The
// tokenizer's own method would allocate it.
func (x *extractor) tagName(z *html.Tokenizer) []byte {
	raw := z.Raw()
	for i := 0; i < 2 && len(raw) > 0 && (raw[0] == '<' || raw[0] == '/'); i++ {
		raw = raw[1:]
	}
	n := x.name[:0]
	for _, c := range raw {
		if c <= ' ' || c == '/' || c == '>' || len(n) == len(x.name) {
			break
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		n = append(n, c)
	}
	return n
}

func (x *extractor) onText(z *html.Tokenizer) {
	raw := x.raw
	x.raw = ""
	switch {
	case raw == "title":
		if !x.hasTitle && x.hidden == "" {
			x.hasTitle = true
			x.title.text(z.Text())
		}
	case raw != "" && raw != "xmp" && raw != "plaintext":
	case x.hidden != "":
	default:
		x.w.text(z.Text())
	}
}

func (x *extractor) start(z *html.Tokenizer, selfClosing bool) {
	x.raw = ""
	tag := x.tagName(z)
	e := elements[string(tag)]
	if e&isRaw != 0 {
		x.raw = string(tag)
	}
	if e&hasRefs != 0 {
		x.attributes(z, string(tag))
	}
	if x.hidden != "" {
		if string(tag) == x.hidden && !selfClosing {
			x.deep++
		}
		return
	}
	switch {
	case e&isHidden != 0:
		if !selfClosing {
			x.hidden, x.deep = string(tag), 1
		}
	case e&isBreak != 0:
		x.w.lineBreak()
	case e&isCell != 0:
		x.w.cell()
	case e&isBlock != 0:
		x.w.block()
		if e&isPre != 0 && !selfClosing {
			x.w.startPre()
		}
	}
}

func (x *extractor) end(tag []byte) {
	if x.hidden != "" {
		if string(tag) == x.hidden {
			if x.deep--; x.deep == 0 {
				x.hidden = ""
			}
		}
		return
	}
	switch e := elements[string(tag)]; {
	case e&isBreak != 0: // </br> is a line break to a browser
		x.w.lineBreak()
	case e&isBlock != 0:
		x.w.block()
		if e&isPre != 0 {
			x.w.endPre()
		}
	}
}

// attributes reads those of a tag that may refer to other pages or direct a robot.
func (x *extractor) attributes(z *html.Tokenizer, tag string) {
	var href, rel, name, content, equiv, lang string
	for more := true; more; {
		var k, v []byte
		k, v, more = z.TagAttr()
		if len(k) == 0 || len(v) > maxRef {
			continue
		}
		switch string(k) {
		case "href", "src":
			if href == "" && (tag == "frame" || tag == "iframe") == (k[0] == 's') {
				href = string(v)
			}
		case "rel":
			rel = strings.ToLower(string(v))
		case "name":
			name = string(v)
		case "content":
			content = string(v)
		case "http-equiv":
			equiv = string(v)
		case "lang":
			lang = string(v)
		case "xml:lang":
			if lang == "" {
				lang = string(v)
			}
		}
	}
	switch tag {
	case "html", "body":
		if x.lang == "" {
			x.lang = canonicalTag(lang)
		}
	case "base":
		if x.base == "" {
			x.base = href
		}
	case "meta":
		x.meta(name, equiv, content)
	case "link":
		if hasToken(rel, "next") || hasToken(rel, "prev") || hasToken(rel, "canonical") ||
			hasToken(rel, "alternate") && !hasToken(rel, "stylesheet") {
			x.ref(href)
		}
	default:
		if !hasToken(rel, "nofollow") {
			x.ref(href)
		}
	}
}

func (x *extractor) meta(name, equiv, content string) {
	switch {
	case strings.EqualFold(name, "robots"):
		for _, d := range strings.FieldsFunc(strings.ToLower(content), func(r rune) bool {
			return r == ',' || r == ';' || r <= ' '
		}) {
			switch d {
			case "noindex":
				x.page.NoIndex = true
			case "nofollow":
				x.page.NoFollow = true
			case "none":
				x.page.NoIndex, x.page.NoFollow = true, true
			}
		}
	case strings.EqualFold(equiv, "refresh"):
		// "5; url='next.html'"
		_, rest, ok := strings.Cut(content, ";")
		if !ok {
			_, rest, ok = strings.Cut(content, ",")
		}
		rest = strings.TrimSpace(rest)
		if ok && len(rest) > 4 && strings.EqualFold(rest[:3], "url") {
			if after, ok := strings.CutPrefix(strings.TrimSpace(rest[3:]), "="); ok {
				x.ref(strings.Trim(strings.TrimSpace(after), `'"`))
			}
		}
	}
}

func (x *extractor) ref(href string) {
	if href != "" && len(x.refs) < maxLinks {
		x.refs = append(x.refs, href)
	}
}

func hasToken(list, token string) bool {
	for list != "" {
		i := strings.Index(list, token)
		if i < 0 {
			return false
		}
		end := i + len(token)
		if (i == 0 || list[i-1] <= ' ' || list[i-1] == ',') && (end == len(list) || list[end] <= ' ' || list[end] == ',') {
			return true
		}
		list = list[end:]
	}
	return false
}

// writer builds the text form. White space is not written when it is met but when the
// next visible character is, so that none ends up at the end of a line or of the text.
type writer struct {
	out   []byte
	lines int    // line breaks to write before the next character
	space []byte // and then this
	pre   int    // open preformatted elements
	first bool   // in one that has nothing in it yet: a line break right there does not count
	full  bool
}

func (w *writer) block() {
	w.lines, w.space = max(w.lines, 1), w.space[:0]
}

func (w *writer) lineBreak() {
	w.lines, w.space = max(w.lines, 1), w.space[:0]
}

// cell separates the cells of a table's row.
func (w *writer) cell() {
	if w.lines == 0 {
		w.space = append(w.space[:0], '\t')
	}
}

// maxPre keeps forged markup from nesting without end; nothing real comes near.
const maxPre = 1000

func (w *writer) startPre() {
	if w.pre < maxPre {
		w.pre++
	}
	w.first = true
}

func (w *writer) endPre() {
	if w.pre > 0 {
		w.pre--
	}
}

func (w *writer) text(b []byte) {
	for len(b) > 0 && !w.full {
		if c := b[0]; c < utf8.RuneSelf {
			if c <= ' ' || c == 0x7f {
				w.white(c)
				b = b[1:]
				continue
			}
			n := 1
			for n < len(b) && b[n] > ' ' && b[n] < 0x7f {
				n++
			}
			w.visible(b[:n])
			b = b[n:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		switch classOf(r) {
		case runeSpace:
			w.white(' ')
		case runeNothing:
		default:
			if r == utf8.RuneError && n == 1 {
				w.visible([]byte("\uFFFD"))
			} else {
				w.visible(b[:n])
			}
		}
		b = b[n:]
	}
}

// white takes an ASCII control character or space.
func (w *writer) white(c byte) {
	switch {
	case c == '\n' || c == '\r' || c == '\t' || c == ' ' || c == '\f':
	default:
		return // the other control characters are nothing to a reader
	}
	if w.pre == 0 {
		if w.lines == 0 && len(w.space) == 0 {
			w.space = append(w.space, ' ')
		}
		return
	}
	first := w.first
	w.first = false
	switch c {
	case '\n':
		if first {
			return
		}
		// Two breaks are one empty line, the most that is kept.
		w.lines, w.space = min(w.lines+1, 2), w.space[:0]
	case ' ', '\t':
		w.space = append(w.space, c)
	}
}

func (w *writer) visible(b []byte) {
	w.first = false
	if w.lines > 0 || len(w.space) > 0 {
		if len(w.out) > 0 {
			w.out = append(w.out, "\n\n"[:w.lines]...)
		}
		if len(w.out) > 0 || w.pre > 0 {
			w.out = append(w.out, w.space...)
		}
		w.lines, w.space = 0, w.space[:0]
	}
	w.out = append(w.out, b...)
	if len(w.out) >= MaxText {
		w.full = true
	}
}

// String is the text, cut at a character's end if it is longer than limit.
func (w *writer) String(limit int) string {
	b := w.out
	if len(b) > limit {
		n := limit
		for n > 0 && !utf8.RuneStart(b[n]) {
			n--
		}
		b = bytes.TrimRight(b[:n], " \t\n")
	}
	return string(b)
}

// page completes p with the text and what follows from it.
func (w *writer) page(p Page) Page {
	p.Text = w.String(MaxText)
	p.SimHash = SimHash(p.Text)
	if p.Language == "" {
		p.Language = DetectLanguage(p.Text)
	}
	return p
}
