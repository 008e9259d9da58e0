package jinja

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Value is what templates compute with: nil (none), bool, int64, float64, Text, *List,
// *Dict, *Func or an undefined.
type Value any

// undefined is what a name stands for that nobody gave a value.
type undefined struct{ what string }

// List is a list; a template cannot change it.
type List struct{ Items []Value }

// Dict is a mapping of texts, in the order in which its keys came.
type Dict struct {
	keys   []Text
	values map[string]Value
}

// Set puts a value under a key.
func (d *Dict) Set(key Text, v Value) {
	if d.values == nil {
		d.values = map[string]Value{}
	}
	if _, ok := d.values[key.s]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key.s] = v
}

// Get is the value under a key.
func (d *Dict) Get(key string) (Value, bool) {
	v, ok := d.values[key]
	return v, ok
}

// Func is what a template can call.
type Func struct {
	Name string
	Call func(args []Value, named map[string]Value) (Value, error)
}

// namespace is the one value whose attributes a template can set.
type namespace struct{ Dict }

// kind names a value's type for messages and tests.
func kind(v Value) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case bool:
		return "boolean"
	case int64, int:
		return "integer"
	case float64:
		return "float"
	case Text:
		return "string"
	case *List:
		return "list"
	case *Dict:
		return "mapping"
	case *namespace:
		return "namespace"
	case *Func:
		return "function"
	case undefined:
		return "undefined " + v.what
	}
	return fmt.Sprintf("%T", v)
}

func truth(v Value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.s != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// numeric is a value as a number; true is 1.
func numeric(v Value) (i int64, f float64, isInt, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int64:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	}
	return 0, 0, false, false
}

// maxDepth is how deep values may lie within each other that are compared or written.
const maxDepth = 64

func (r *renderer) equal(a, b Value) (bool, error) { return r.equalTo(a, b, maxDepth) }

func (r *renderer) equalTo(a, b Value, depth int) (bool, error) {
	if err := r.step(); err != nil || depth == 0 {
		return false, err
	}
	if ai, af, aInt, ok := numeric(a); ok {
		bi, bf, bInt, ok := numeric(b)
		if aInt && bInt {
			return ok && ai == bi, nil
		}
		return ok && af == bf, nil
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case Text:
		t, ok := b.(Text)
		if !ok || len(a.s) != len(t.s) {
			return false, nil
		}
		return a.s == t.s, r.scan(len(a.s))
	case *List:
		l, ok := b.(*List)
		if !ok || len(a.Items) != len(l.Items) {
			return false, nil
		}
		for i, x := range a.Items {
			if same, err := r.equalTo(x, l.Items[i], depth-1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false, nil
		}
		for _, k := range a.keys {
			v, ok := d.values[k.s]
			if !ok {
				return false, nil
			}
			if same, err := r.equalTo(a.values[k.s], v, depth-1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	}
	return a == b, nil
}

// order compares numbers with numbers and texts with texts.
func (r *renderer) order(a, b Value) (int, error) {
	if err := r.step(); err != nil {
		return 0, err
	}
	if ai, af, aInt, ok := numeric(a); ok {
		if bi, bf, bInt, ok := numeric(b); ok {
			if aInt && bInt {
				return cmp.Compare(ai, bi), nil
			}
			return cmp.Compare(af, bf), nil
		}
	}
	if s, ok := a.(Text); ok {
		if t, ok := b.(Text); ok {
			return strings.Compare(s.s, t.s), r.scan(min(len(s.s), len(t.s)))
		}
	}
	return 0, fmt.Errorf("%s and %s have no order", kind(a), kind(b))
}

// written is a value as Python prints it.
func (r *renderer) written(v Value) (Text, error) {
	switch v := v.(type) {
	case Text:
		return v, nil
	case undefined:
		return Text{}, nil
	}
	var b builder
	err := r.repr(&b, v, maxDepth)
	return b.text(), err
}

func (r *renderer) repr(b *builder, v Value, depth int) error {
	if depth == 0 {
		return fmt.Errorf("values lie more than %d deep within each other", maxDepth)
	}
	if err := r.step(); err != nil {
		return err
	}
	if len(b.s) > maxBytes {
		return r.made(len(b.s))
	}
	switch v := v.(type) {
	case nil:
		b.own("None")
	case bool:
		if v {
			b.own("True")
		} else {
			b.own("False")
		}
	case int64:
		b.own(strconv.FormatInt(v, 10))
	case float64:
		b.own(float(v))
	case Text:
		quoted(b, v)
		return r.change(v)
	case *List:
		b.own("[")
		for i, x := range v.Items {
			if i > 0 {
				b.own(", ")
			}
			if err := r.repr(b, x, depth-1); err != nil {
				return err
			}
		}
		b.own("]")
	case *Dict:
		b.own("{")
		for i, k := range v.keys {
			if i > 0 {
				b.own(", ")
			}
			quoted(b, k)
			b.own(": ")
			if err := r.repr(b, v.values[k.s], depth-1); err != nil {
				return err
			}
		}
		b.own("}")
	case undefined:
		b.own("Undefined")
	default:
		return fmt.Errorf("a %s can't be written", kind(v))
	}
	return nil
}

func quoted(b *builder, t Text) {
	quote := "'"
	if strings.Contains(t.s, "'") && !strings.Contains(t.s, `"`) {
		quote = `"`
	}
	b.own(quote)
	b.add(t.each(func(_ int, r rune) string {
		switch {
		case r == '\\':
			return `\\`
		case r == '\n':
			return `\n`
		case r == '\r':
			return `\r`
		case r == '\t':
			return `\t`
		case string(r) == quote:
			return `\` + quote
		case r < ' ' || r == 0x7f:
			return fmt.Sprintf(`\x%02x`, r)
		case !unicode.IsPrint(r) && r <= 0xff:
			return fmt.Sprintf(`\x%02x`, r)
		case !unicode.IsPrint(r) && r <= 0xffff:
			return fmt.Sprintf(`\u%04x`, r)
		case !unicode.IsPrint(r):
			return fmt.Sprintf(`\U%08x`, r)
		}
		return string(r)
	}))
	b.own(quote)
}

// float is a number as Python writes it.
func float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// length counts a text's characters, a list's or mapping's elements.
func length(v Value) (int, error) {
	switch v := v.(type) {
	case Text:
		return utf8.RuneCountInString(v.s), nil
	case *List:
		return len(v.Items), nil
	case *Dict:
		return len(v.keys), nil
	case undefined:
		return 0, nil
	}
	return 0, fmt.Errorf("a %s has no length", kind(v))
}

// items are what a loop over a value goes through.
func items(v Value) ([]Value, error) {
	switch v := v.(type) {
	case *List:
		return v.Items, nil
	case *Dict:
		out := make([]Value, len(v.keys))
		for i, k := range v.keys {
			out[i] = k
		}
		return out, nil
	case Text:
		var out []Value
		for i, r := range v.s {
			n := utf8.RuneLen(r)
			if n < 0 || r == utf8.RuneError {
				_, n = utf8.DecodeRuneInString(v.s[i:])
			}
			out = append(out, v.slice(i, i+n))
		}
		return out, nil
	case undefined:
		return nil, nil
	}
	return nil, fmt.Errorf("a %s is no list", kind(v))
}

func (r *renderer) contains(in, v Value) (bool, error) {
	switch in := in.(type) {
	case Text:
		t, ok := v.(Text)
		if !ok {
			return false, fmt.Errorf("a %s can't be in a string", kind(v))
		}
		return strings.Contains(in.s, t.s), r.scan(len(in.s))
	case *List:
		for _, x := range in.Items {
			if same, err := r.equal(x, v); err != nil || same {
				return same, err
			}
		}
		return false, nil
	case *Dict:
		t, ok := v.(Text)
		if !ok {
			return false, nil
		}
		_, found := in.values[t.s]
		return found, r.scan(len(t.s))
	case undefined:
		return false, nil
	}
	return false, fmt.Errorf("nothing can be in a %s", kind(in))
}

// From makes a value of what encoding/json decodes, and of this package's own values.
// Texts in it are foreign.
func From(v any) Value {
	switch v := v.(type) {
	case string:
		return Foreign(v)
	case int:
		return int64(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case []any:
		l := &List{Items: make([]Value, len(v))}
		for i, x := range v {
			l.Items[i] = From(x)
		}
		return l
	case map[string]any:
		d := &Dict{}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			d.Set(Foreign(k), From(v[k]))
		}
		return d
	}
	return v
}
