package jinja

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

func sortedKeys(m map[string]Value) []string { return slices.Sorted(maps.Keys(m)) }

// arguments are those of a call, by place or by name.
type arguments struct {
	what  string
	list  []Value
	named map[string]Value
}

// at is argument i, or the one of that name, or the default.
func (a arguments) at(i int, name string, otherwise Value) Value {
	if i < len(a.list) {
		return a.list[i]
	}
	if v, ok := a.named[name]; ok {
		return v
	}
	return otherwise
}

func (a arguments) text(i int, name string) (Text, error) {
	v := a.at(i, name, undefined{name})
	t, ok := v.(Text)
	if !ok {
		return Text{}, fmt.Errorf("%s: %s is a %s: want a string", a.what, name, kind(v))
	}
	return t, nil
}

func (a arguments) integer(i int, name string, otherwise int64) (int64, error) {
	v := a.at(i, name, otherwise)
	n, _, isInt, ok := numeric(v)
	if !ok || !isInt {
		return 0, fmt.Errorf("%s: %s is a %s: want an integer", a.what, name, kind(v))
	}
	return n, nil
}

// method is a method of a text or a mapping, nil where there is none of that name.
func (r *renderer) method(v Value, n string) *Func {
	var f func(arguments) (Value, error)
	switch v := v.(type) {
	case Text:
		if m := r.methods[n]; m != nil {
			f = func(a arguments) (Value, error) {
				// What comes of a text is counted here: as long as the text, or as the filter says.
				if err := r.made(len(v.s)); err != nil {
					return nil, err
				}
				return m(r, v, a)
			}
		}
	case *Dict:
		switch n {
		case "items":
			f = func(arguments) (Value, error) { return pairs(v), r.made(48 * len(v.keys)) }
		case "keys":
			f = func(arguments) (Value, error) {
				l, err := items(v)
				return &List{l}, err
			}
		case "values":
			f = func(arguments) (Value, error) {
				l := &List{}
				for _, k := range v.keys {
					l.Items = append(l.Items, v.values[k.s])
				}
				return l, nil
			}
		case "get":
			f = func(a arguments) (Value, error) {
				k, ok := a.at(0, "key", nil).(Text)
				if ok {
					if x, found := v.Get(k.s); found {
						return x, nil
					}
				}
				return a.at(1, "default", nil), nil
			}
		}
	}
	if f == nil {
		return nil
	}
	return &Func{n, func(args []Value, named map[string]Value) (Value, error) {
		return f(arguments{n, args, named})
	}}
}

func pairs(d *Dict) *List {
	l := &List{}
	for _, k := range d.keys {
		l.Items = append(l.Items, &List{[]Value{k, d.values[k.s]}})
	}
	return l
}

type (
	textFunc func(*renderer, Text, arguments) (Value, error)
	listFunc func(*renderer, []Value, arguments) (Value, error)
)

// textMethods, textFilters and listFilters are functions because some of them lead back to
// these very tables.
func textMethods() map[string]textFunc {
	return map[string]textFunc{
		"strip":      func(_ *renderer, t Text, a arguments) (Value, error) { return strip(t, a, true, true) },
		"lstrip":     func(_ *renderer, t Text, a arguments) (Value, error) { return strip(t, a, true, false) },
		"rstrip":     func(_ *renderer, t Text, a arguments) (Value, error) { return strip(t, a, false, true) },
		"upper":      func(r *renderer, t Text, _ arguments) (Value, error) { return r.upper(t) },
		"lower":      func(r *renderer, t Text, _ arguments) (Value, error) { return r.lower(t) },
		"title":      func(r *renderer, t Text, _ arguments) (Value, error) { return r.title(t) },
		"capitalize": func(r *renderer, t Text, _ arguments) (Value, error) { return r.capitalize(t) },
		"startswith": func(_ *renderer, t Text, a arguments) (Value, error) { return affix(t, a, strings.HasPrefix) },
		"endswith":   func(_ *renderer, t Text, a arguments) (Value, error) { return affix(t, a, strings.HasSuffix) },
		"split":      func(r *renderer, t Text, a arguments) (Value, error) { return split(r, t, a, false) },
		"rsplit":     func(r *renderer, t Text, a arguments) (Value, error) { return split(r, t, a, true) },
		"splitlines": func(_ *renderer, t Text, _ arguments) (Value, error) { return lines(t), nil },
		"replace":    func(r *renderer, t Text, a arguments) (Value, error) { return replace(r, t, a) },
		"join": func(r *renderer, t Text, a arguments) (Value, error) {
			return joined(r, a.at(0, "iterable", nil), t, nil)
		},
		"removeprefix": func(_ *renderer, t Text, a arguments) (Value, error) {
			p, err := a.text(0, "prefix")
			if strings.HasPrefix(t.s, p.s) {
				t = t.slice(len(p.s), len(t.s))
			}
			return t, err
		},
		"removesuffix": func(_ *renderer, t Text, a arguments) (Value, error) {
			p, err := a.text(0, "suffix")
			if strings.HasSuffix(t.s, p.s) {
				t = t.slice(0, len(t.s)-len(p.s))
			}
			return t, err
		},
		"find":    func(_ *renderer, t Text, a arguments) (Value, error) { return place(t, a, strings.Index) },
		"rfind":   func(_ *renderer, t Text, a arguments) (Value, error) { return place(t, a, strings.LastIndex) },
		"count":   func(_ *renderer, t Text, a arguments) (Value, error) { return count(t, a) },
		"isdigit": func(_ *renderer, t Text, _ arguments) (Value, error) { return all(t, unicode.IsDigit), nil },
		"isalpha": func(_ *renderer, t Text, _ arguments) (Value, error) { return all(t, unicode.IsLetter), nil },
		"isspace": func(_ *renderer, t Text, _ arguments) (Value, error) { return all(t, unicode.IsSpace), nil },
		"isupper": func(_ *renderer, t Text, _ arguments) (Value, error) { return cased(t, true), nil },
		"islower": func(_ *renderer, t Text, _ arguments) (Value, error) { return cased(t, false), nil },
	}
}

func all(t Text, f func(rune) bool) bool {
	return t.s != "" && strings.IndexFunc(t.s, func(r rune) bool { return !f(r) }) < 0
}

func cased(t Text, up bool) bool {
	want, other := unicode.IsUpper, unicode.IsLower
	if !up {
		want, other = other, want
	}
	return strings.IndexFunc(t.s, want) >= 0 && strings.IndexFunc(t.s, other) < 0
}

func strip(t Text, a arguments, left, right bool) (Value, error) {
	cut := unicode.IsSpace
	if v := a.at(0, "chars", nil); v != nil {
		set, ok := v.(Text)
		if !ok {
			return nil, fmt.Errorf("%s wants a string, not a %s", a.what, kind(v))
		}
		cut = func(r rune) bool { return strings.ContainsRune(set.s, r) }
	}
	return t.trim(left, right, cut), nil
}

// change counts what it costs to look at each character of a text.
func (r *renderer) change(t Text) error { return r.spend(len(t.s) / 4) }

func (r *renderer) upper(t Text) (Text, error) {
	if err := r.change(t); err != nil {
		return t, err
	}
	return t.each(func(_ int, c rune) string { return strings.ToUpper(string(c)) }), nil
}

func (r *renderer) lower(t Text) (Text, error) {
	if err := r.change(t); err != nil {
		return t, err
	}
	return t.each(func(_ int, c rune) string { return strings.ToLower(string(c)) }), nil
}

func (r *renderer) title(t Text) (Text, error) {
	if err := r.change(t); err != nil {
		return t, err
	}
	within := false
	return t.each(func(_ int, c rune) string {
		up := !within
		within = unicode.IsLetter(c)
		if up {
			return strings.ToTitle(string(c))
		}
		return strings.ToLower(string(c))
	}), nil
}

func (r *renderer) capitalize(t Text) (Text, error) {
	if err := r.change(t); err != nil {
		return t, err
	}
	return t.each(func(i int, c rune) string {
		if i == 0 {
			return strings.ToTitle(string(c))
		}
		return strings.ToLower(string(c))
	}), nil
}

func affix(t Text, a arguments, has func(s, x string) bool) (Value, error) {
	if l, ok := a.at(0, "prefix", nil).(*List); ok { // any of several
		for _, v := range l.Items {
			if x, ok := v.(Text); ok && has(t.s, x.s) {
				return true, nil
			}
		}
		return false, nil
	}
	x, err := a.text(0, "prefix")
	return has(t.s, x.s), err
}

func place(t Text, a arguments, find func(s, x string) int) (Value, error) {
	x, err := a.text(0, "sub")
	i := find(t.s, x.s)
	if i > 0 {
		i = utf8.RuneCountInString(t.s[:i])
	}
	return int64(i), err
}

func count(t Text, a arguments) (Value, error) {
	x, err := a.text(0, "sub")
	return int64(strings.Count(t.s, x.s)), err
}

func texts(list []Text) *List {
	l := &List{}
	for _, t := range list {
		l.Items = append(l.Items, t)
	}
	return l
}

// split cuts at a separator, or, without one, at spaces.
func split(r *renderer, t Text, a arguments, right bool) (Value, error) {
	most, err := a.integer(1, "maxsplit", -1)
	if err != nil {
		return nil, err
	}
	if err := r.made(16 * len(t.s)); err != nil {
		return nil, err
	}
	var at [][2]int
	if v := a.at(0, "sep", nil); v != nil {
		sep, ok := v.(Text)
		if !ok || sep.s == "" {
			return nil, fmt.Errorf("%s wants a string that is not empty", a.what)
		}
		at = t.find(sep.s, -1)
	} else {
		// What is not split keeps the spaces at its far end.
		t = t.trim(!right || most < 0, right || most < 0, unicode.IsSpace)
		if t.s == "" {
			return &List{}, nil
		}
		for i := 0; i < len(t.s); {
			n := strings.IndexFunc(t.s[i:], unicode.IsSpace)
			if n < 0 {
				break
			}
			word := strings.IndexFunc(t.s[i+n:], func(r rune) bool { return !unicode.IsSpace(r) })
			if word < 0 {
				break
			}
			at = append(at, [2]int{i + n, i + n + word})
			i += n + word
		}
	}
	if n := int(min(most, int64(len(at)))); most >= 0 && n < len(at) {
		if right {
			at = at[len(at)-n:]
		} else {
			at = at[:n]
		}
	}
	return texts(t.cut(at)), nil
}

func lines(t Text) *List {
	var at [][2]int
	for i := 0; i < len(t.s); i++ {
		switch {
		case strings.HasPrefix(t.s[i:], "\r\n"):
			at = append(at, [2]int{i, i + 2})
			i++
		case t.s[i] == '\n' || t.s[i] == '\r':
			at = append(at, [2]int{i, i + 1})
		}
	}
	l := t.cut(at)
	if last := l[len(l)-1]; last.s == "" {
		l = l[:len(l)-1]
	}
	return texts(l)
}

func replace(r *renderer, t Text, a arguments) (Value, error) {
	from, err := a.text(0, "old")
	if err != nil {
		return nil, err
	}
	to, err := a.text(1, "new")
	if err != nil {
		return nil, err
	}
	most, err := a.integer(2, "count", -1)
	if err != nil {
		return nil, err
	}
	if from.s == "" {
		return nil, errors.New("replace wants a string that is not empty")
	}
	at := t.find(from.s, int(min(most, int64(len(t.s)))))
	if err := r.made(len(t.s)); err != nil {
		return nil, err
	}
	if len(to.s) > 0 && len(at) > maxBytes/len(to.s) {
		return nil, r.made(maxBytes + 1)
	}
	if err := r.made(len(at) * len(to.s)); err != nil {
		return nil, err
	}
	return glue(t.cut(at), to), nil
}

func glue(parts []Text, with Text) Text {
	var b builder
	for i, p := range parts {
		if i > 0 {
			b.add(with)
		}
		b.add(p)
	}
	return b.text()
}
