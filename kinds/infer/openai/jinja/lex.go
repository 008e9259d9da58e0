package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind byte

const (
	tokData   tokenKind = iota
	tokBlock            // {%
	tokPrint            // {{
	tokClose            // %} or }}
	tokName             // and keywords
	tokString           // value: what it means
	tokNumber
	tokOp
	tokEnd
)

type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end"
	case tokData:
		return "text"
	}
	return strconv.Quote(t.text)
}

// lexer cuts a template into tokens.
type lexer struct {
	src  string
	pos  int
	line int
	out  []token
}

func (l *lexer) errorf(format string, a ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrTemplate, l.line, fmt.Sprintf(format, a...))
}

func (l *lexer) add(k tokenKind, text string) { l.out = append(l.out, token{k, text, l.line}) }

// advance goes on by n bytes.
func (l *lexer) advance(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n"), line: 1}
	// fresh: what comes next is at the beginning of a line.
	for fresh := true; l.pos < len(l.src); {
		rest := l.src[l.pos:]
		open := nextTag(rest)
		if open < 0 {
			l.add(tokData, rest)
			break
		}
		kind := rest[open+1]
		data, sign := rest[:open], byte(0)
		if open+2 < len(rest) {
			sign = rest[open+2]
		}
		switch {
		case sign == '-':
			data = strings.TrimRightFunc(data, unicode.IsSpace)
		case sign == '+' || kind == '{':
		default: // spaces before a block that is the first on its line
			if i := strings.LastIndexByte(data, '\n') + 1; i > 0 || fresh {
				if strings.TrimSpace(data[i:]) == "" {
					data = data[:i]
				}
			}
		}
		if data != "" {
			l.add(tokData, data)
		}
		l.advance(open + 2)
		if sign == '-' || sign == '+' {
			l.advance(1)
		}
		var err error
		switch kind {
		case '#':
			n := strings.Index(l.src[l.pos:], "#}")
			if n < 0 {
				return nil, l.errorf("a comment does not end")
			}
			minus := n > 0 && l.src[l.pos+n-1] == '-'
			plus := n > 0 && l.src[l.pos+n-1] == '+'
			l.advance(n + 2)
			fresh = l.after(minus, !plus)
		case '{':
			fresh, err = l.tag(tokPrint, "}}")
		default:
			fresh, err = l.tag(tokBlock, "%}")
			if n := len(l.out); err == nil && n >= 3 && l.out[n-2] == (token{tokName, "raw", l.out[n-2].line}) && l.out[n-3].kind == tokBlock {
				l.out = l.out[:n-3]
				fresh, err = l.raw()
			}
		}
		if err != nil {
			return nil, err
		}
	}
	l.add(tokEnd, "")
	return l.out, nil
}

// nextTag is where the next tag begins, or -1.
func nextTag(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '{')
		if i < 0 || from+i+1 >= len(s) {
			return -1
		}
		from += i
		if strings.IndexByte("{%#", s[from+1]) >= 0 {
			return from
		}
		from++
	}
}

// after skips the spaces that a tag's end takes with it and reports whether a line begins.
func (l *lexer) after(minus, trim bool) bool {
	rest := l.src[l.pos:]
	n := 0
	switch {
	case minus:
		n = len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
	case trim && strings.HasPrefix(rest, "\n"):
		n = 1
	}
	l.advance(n)
	return n > 0 && rest[n-1] == '\n'
}

// raw takes text up to {% endraw %} as it is.
func (l *lexer) raw() (bool, error) {
	for i := l.pos; ; {
		n := strings.Index(l.src[i:], "{%")
		if n < 0 {
			return false, l.errorf("{%% raw %%} does not end")
		}
		i += n
		inner, rest, ok := strings.Cut(l.src[i+2:], "%}")
		minus := strings.HasPrefix(inner, "-")
		if ok && strings.Trim(inner, "-+ \t\n") == "endraw" {
			data := l.src[l.pos:i]
			if minus {
				data = strings.TrimRightFunc(data, unicode.IsSpace)
			}
			l.add(tokData, data)
			l.advance(len(l.src) - len(rest) - l.pos)
			return l.after(strings.HasSuffix(inner, "-"), !strings.HasSuffix(inner, "+")), nil
		}
		i += 2
	}
}

var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";"}

// tag reads the tokens of a tag up to its end.
func (l *lexer) tag(kind tokenKind, end string) (fresh bool, err error) {
	l.add(kind, "")
	var nesting []byte
	for {
		rest := l.src[l.pos:]
		n := len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
		l.advance(n)
		rest = rest[n:]
		if rest == "" {
			return false, l.errorf("a tag does not end: %q is missing", end)
		}
		if len(nesting) == 0 {
			for _, sign := range []string{"", "-", "+"} {
				if strings.HasPrefix(rest, sign+end) {
					l.add(tokClose, sign+end)
					l.advance(len(sign) + 2)
					return l.after(sign == "-", kind == tokBlock && sign != "+"), nil
				}
			}
		}
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == '_' || unicode.IsLetter(r):
			n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(rest)
			}
			l.add(tokName, rest[:n])
			l.advance(n)
		case r >= '0' && r <= '9':
			n := number(rest)
			l.add(tokNumber, strings.ReplaceAll(rest[:n], "_", ""))
			l.advance(n)
		case r == '"' || r == '\'':
			s, n, ok := unquote(rest)
			if !ok {
				return false, l.errorf("a string does not end")
			}
			l.add(tokString, s)
			l.advance(n)
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(rest, o) {
					op = o
					break
				}
			}
			switch op {
			case "":
				return false, l.errorf("unexpected %q", rest[:size])
			case "(", "[", "{":
				nesting = append(nesting, op[0])
			case ")", "]", "}":
				if len(nesting) == 0 || strings.IndexByte("([{", nesting[len(nesting)-1]) != strings.IndexByte(")]}", op[0]) {
					return false, l.errorf("%q closes nothing", op)
				}
				nesting = nesting[:len(nesting)-1]
			}
			l.add(tokOp, op)
			l.advance(len(op))
		}
	}
}

// number is how long the number is that s begins with.
func number(s string) int {
	digits := func(i int) int {
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
			i++
		}
		return i
	}
	n := digits(0)
	if n+1 < len(s) && s[n] == '.' && s[n+1] >= '0' && s[n+1] <= '9' {
		n = digits(n + 1)
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		i := n + 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			n = digits(i)
		}
	}
	return n
}

// unquote reads the string that s begins with as Python would, and says how long it is.
func unquote(s string) (value string, n int, ok bool) {
	var b strings.Builder
	quote := s[0]
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == quote {
			return b.String(), i + 1, true
		}
		if c != '\\' || i+1 >= len(s) {
			b.WriteByte(c)
			continue
		}
		i++
		width := 0
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'v':
			b.WriteByte('\v')
		case 'a':
			b.WriteByte('\a')
		case '0':
			b.WriteByte(0)
		case '\\', '\'', '"':
			b.WriteByte(s[i])
		case '\n':
		case 'x':
			width = 2
		case 'u':
			width = 4
		case 'U':
			width = 8
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
		if width > 0 {
			if i+width >= len(s) {
				return "", 0, false
			}
			v, err := strconv.ParseUint(s[i+1:i+1+width], 16, 32)
			if err != nil || v > unicode.MaxRune {
				return "", 0, false
			}
			b.WriteRune(rune(v))
			i += width
		}
	}
	return "", 0, false
}
