package jinja

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// toJSON writes a value as Python's json.dumps does, non-ASCII characters as they are.
func (r *renderer) toJSON(v Value, a arguments) (Text, error) {
	w := &jsonWriter{r: r, item: ", ", key: ": "}
	switch n := a.named["indent"].(type) {
	case int64:
		w.indent, w.item = strings.Repeat(" ", int(min(max(n, 0), 32))), ","
		w.pretty = true
	case Text:
		w.indent, w.item, w.pretty = n.s, ",", true
	}
	if len(a.list) > 0 {
		if n, ok := a.list[0].(int64); ok && a.named["indent"] == nil {
			w.indent, w.item, w.pretty = strings.Repeat(" ", int(min(max(n, 0), 32))), ",", true
		}
	}
	if l, ok := a.named["separators"].(*List); ok {
		if len(l.Items) != 2 {
			return Text{}, errors.New("filter tojson: there are two separators")
		}
		item, ok1 := l.Items[0].(Text)
		key, ok2 := l.Items[1].(Text)
		if !ok1 || !ok2 {
			return Text{}, errors.New("filter tojson: separators are strings")
		}
		w.item, w.key = item.s, key.s
	}
	w.sorted, w.ascii = truth(a.named["sort_keys"]), truth(a.named["ensure_ascii"])
	err := w.value(v, 0)
	return w.b.text(), err
}

type jsonWriter struct {
	r      *renderer
	b      builder
	item   string // between elements
	key    string // between key and value
	indent string
	pretty bool
	sorted bool
	ascii  bool
}

func (w *jsonWriter) line(depth int) {
	if w.pretty {
		w.b.own("\n" + strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) value(v Value, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("filter tojson: values lie more than %d deep within each other", maxDepth)
	}
	if len(w.b.s) > maxBytes {
		return w.r.made(len(w.b.s))
	}
	if err := w.r.step(); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		w.b.own("null")
	case bool:
		w.b.own(strconv.FormatBool(v))
	case int64:
		w.b.own(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("filter tojson: a number that is none")
		}
		w.b.own(float(v))
	case Text:
		w.text(v)
		return w.r.change(v)
	case *List:
		return w.group("[", "]", len(v.Items), depth, func(i int) error { return w.value(v.Items[i], depth+1) })
	case *Dict:
		keys := v.keys
		if w.sorted {
			keys = slices.Clone(keys)
			slices.SortFunc(keys, func(a, b Text) int { return strings.Compare(a.s, b.s) })
		}
		return w.group("{", "}", len(keys), depth, func(i int) error {
			w.text(keys[i])
			w.b.own(w.key)
			return w.value(v.values[keys[i].s], depth+1)
		})
	default:
		return fmt.Errorf("filter tojson: a %s can't be written", kind(v))
	}
	return nil
}

func (w *jsonWriter) group(open, shut string, n, depth int, each func(int) error) error {
	w.b.own(open)
	for i := range n {
		if i > 0 {
			w.b.own(w.item)
		}
		w.line(depth + 1)
		if err := each(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.b.own(shut)
	return nil
}

func (w *jsonWriter) text(t Text) {
	w.b.own(`"`)
	w.b.add(t.each(func(_ int, r rune) string {
		switch r {
		case '"':
			return `\"`
		case '\\':
			return `\\`
		case '\n':
			return `\n`
		case '\r':
			return `\r`
		case '\t':
			return `\t`
		case '\b':
			return `\b`
		case '\f':
			return `\f`
		}
		if r < ' ' {
			return fmt.Sprintf(`\u%04x`, r)
		}
		if w.ascii && r > '~' {
			if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
				return fmt.Sprintf(`\u%04x\u%04x`, r1, r2)
			}
			return fmt.Sprintf(`\u%04x`, r)
		}
		if r == utf8.RuneError {
			return "\ufffd"
		}
		return string(r)
	}))
	w.b.own(`"`)
}
