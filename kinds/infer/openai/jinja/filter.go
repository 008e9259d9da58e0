package jinja

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// filter applies a filter to a value.
func (r *renderer) filter(v Value, f filterCall, s *scope) (Value, error) {
	args, named, err := r.args(f.args, f.named, s)
	if err != nil {
		return nil, err
	}
	return r.apply(v, arguments{f.name, args, named})
}

func (r *renderer) apply(v Value, a arguments) (Value, error) {
	if err := r.step(); err != nil {
		return nil, err
	}
	if f := r.texts[a.what]; f != nil {
		t, err := r.written(v)
		if err == nil {
			err = r.made(len(t.s))
		}
		if err != nil {
			return nil, err
		}
		return f(r, t, a)
	}
	if f := r.lists[a.what]; f != nil {
		list, err := items(v)
		if err == nil {
			err = r.made(16 * len(list))
		}
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", a.what, err)
		}
		return f(r, list, a)
	}
	switch a.what {
	case "length", "count":
		n, err := length(v)
		return int64(n), err
	case "default", "d":
		otherwise := a.at(0, "default_value", Text{})
		if _, ok := v.(undefined); ok || truth(a.at(1, "boolean", false)) && !truth(v) {
			return otherwise, nil
		}
		return v, nil
	case "tojson":
		t, err := r.toJSON(v, a)
		if err != nil {
			return nil, err
		}
		return t, r.made(len(t.s))
	case "items":
		switch d := v.(type) {
		case *Dict:
			return pairs(d), nil
		case undefined:
			return &List{}, nil
		}
		return nil, fmt.Errorf("filter items: a %s has none", kind(v))
	case "dictsort":
		d, ok := v.(*Dict)
		if !ok {
			return nil, fmt.Errorf("filter dictsort: a %s is no mapping", kind(v))
		}
		by, _ := a.at(1, "by", Own("key")).(Text)
		attr := "0"
		if by.s == "value" {
			attr = "1"
		}
		return sorted(r, pairs(d).Items, arguments{what: a.what, named: map[string]Value{
			"reverse": a.at(2, "reverse", false), "case_sensitive": a.at(0, "case_sensitive", false), "attribute": Own(attr),
		}})
	case "int", "float", "abs", "round":
		return toNumber(v, a)
	case "reverse":
		list, err := items(v)
		if err != nil {
			return nil, err
		}
		list = slices.Clone(list)
		slices.Reverse(list)
		if _, ok := v.(Text); ok {
			return joined(r, &List{list}, Text{}, nil)
		}
		return &List{list}, nil
	case "attr":
		n, err := a.text(0, "name")
		if err != nil {
			return nil, err
		}
		return r.attribute(v, n.s)
	}
	return nil, fmt.Errorf("there is no filter %s in chat templates", a.what)
}

func textFilters() map[string]textFunc {
	return map[string]textFunc{
		"string":      func(_ *renderer, t Text, _ arguments) (Value, error) { return t, nil },
		"safe":        func(_ *renderer, t Text, _ arguments) (Value, error) { return t, nil },
		"trim":        func(_ *renderer, t Text, a arguments) (Value, error) { return strip(t, a, true, true) },
		"upper":       func(r *renderer, t Text, _ arguments) (Value, error) { return r.upper(t) },
		"lower":       func(r *renderer, t Text, _ arguments) (Value, error) { return r.lower(t) },
		"title":       func(r *renderer, t Text, _ arguments) (Value, error) { return r.title(t) },
		"capitalize":  func(r *renderer, t Text, _ arguments) (Value, error) { return r.capitalize(t) },
		"replace":     replace,
		"indent":      indent,
		"escape":      escape,
		"e":           escape,
		"forceescape": escape,
		"wordcount": func(_ *renderer, t Text, _ arguments) (Value, error) {
			return int64(len(strings.Fields(t.s))), nil
		},
	}
}

func escape(r *renderer, t Text, _ arguments) (Value, error) {
	if err := r.change(t); err != nil {
		return nil, err
	}
	out := t.each(func(_ int, c rune) string {
		switch c {
		case '&':
			return "&amp;"
		case '<':
			return "&lt;"
		case '>':
			return "&gt;"
		case '"':
			return "&#34;"
		case '\'':
			return "&#39;"
		}
		return string(c)
	})
	return out, r.made(len(out.s))
}

func indent(r *renderer, t Text, a arguments) (Value, error) {
	by := Text{}
	switch w := a.at(0, "width", int64(4)).(type) {
	case int64:
		by = Own(strings.Repeat(" ", int(min(max(w, 0), 1024))))
	case Text:
		by = w
	}
	first, blank := truth(a.at(1, "first", false)), truth(a.at(2, "blank", false))
	at := t.find("\n", -1)
	if len(by.s) > 0 && len(at) > maxBytes/len(by.s) {
		return nil, r.made(maxBytes + 1)
	}
	if err := r.made(len(by.s) * len(at)); err != nil {
		return nil, err
	}
	var b builder
	for i, line := range t.cut(at) {
		if i > 0 {
			b.add(t.slice(at[i-1][0], at[i-1][1]))
		}
		if i == 0 && first || i > 0 && (blank || line.s != "") {
			b.add(by)
		}
		b.add(line)
	}
	return b.text(), nil
}

func listFilters() map[string]listFunc {
	return map[string]listFunc{
		"list":   func(_ *renderer, l []Value, _ arguments) (Value, error) { return &List{l}, nil },
		"first":  func(_ *renderer, l []Value, _ arguments) (Value, error) { return end(l, 0), nil },
		"last":   func(_ *renderer, l []Value, _ arguments) (Value, error) { return end(l, len(l)-1), nil },
		"join":   joinFilter,
		"sort":   sorted,
		"unique": unique,
		"min":    func(r *renderer, l []Value, _ arguments) (Value, error) { return extreme(r, l, -1) },
		"max":    func(r *renderer, l []Value, _ arguments) (Value, error) { return extreme(r, l, 1) },
		"sum":    sum,
		"map":    mapped,
		"select": func(r *renderer, l []Value, a arguments) (Value, error) {
			return r.selected(l, a, "", 0, true)
		},
		"reject": func(r *renderer, l []Value, a arguments) (Value, error) {
			return r.selected(l, a, "", 0, false)
		},
		"selectattr": func(r *renderer, l []Value, a arguments) (Value, error) {
			n, err := a.text(0, "attribute")
			if err != nil {
				return nil, err
			}
			return r.selected(l, a, n.s, 1, true)
		},
		"rejectattr": func(r *renderer, l []Value, a arguments) (Value, error) {
			n, err := a.text(0, "attribute")
			if err != nil {
				return nil, err
			}
			return r.selected(l, a, n.s, 1, false)
		},
	}
}

func end(l []Value, i int) Value {
	if len(l) == 0 {
		return undefined{"element of nothing"}
	}
	return l[i]
}

func joinFilter(r *renderer, l []Value, a arguments) (Value, error) {
	d, err := r.written(a.at(0, "d", Text{}))
	if err != nil {
		return nil, err
	}
	return joined(r, &List{l}, d, a.at(1, "attribute", nil))
}

func joined(r *renderer, v Value, with Text, attr Value) (Value, error) {
	list, err := items(v)
	if err != nil {
		return nil, err
	}
	var parts []Text
	for _, x := range list {
		if n, ok := attr.(Text); ok {
			if x, err = r.path(x, n.s); err != nil {
				return nil, err
			}
		}
		t, err := r.written(x)
		if err == nil {
			err = r.made(len(t.s) + len(with.s) + 32)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, t)
	}
	return glue(parts, with), nil
}

// path follows attributes with dots between them.
func (r *renderer) path(v Value, names string) (Value, error) {
	for n := range strings.SplitSeq(names, ".") {
		if err := r.step(); err != nil {
			return nil, err
		}
		i, err := strconv.ParseInt(n, 10, 32)
		if err == nil {
			v, err = r.index(v, i)
		} else {
			v, err = r.index(v, Own(n))
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

func sorted(r *renderer, l []Value, a arguments) (Value, error) {
	type keyed struct{ key, v Value }
	reverse := truth(a.at(0, "reverse", false))
	sensitive := truth(a.at(1, "case_sensitive", false))
	attr, byAttr := a.at(2, "attribute", nil).(Text)
	list := make([]keyed, len(l))
	for i, v := range l {
		list[i] = keyed{v, v}
		if byAttr {
			var err error
			if list[i].key, err = r.path(v, attr.s); err != nil {
				return nil, err
			}
		}
		if t, ok := list[i].key.(Text); ok && !sensitive {
			var err error
			if list[i].key, err = r.lower(t); err != nil {
				return nil, err
			}
		}
	}
	var bad error
	slices.SortStableFunc(list, func(x, y keyed) int {
		c, err := r.order(x.key, y.key)
		if bad == nil {
			bad = err
		}
		if bad != nil {
			return 0
		}
		if reverse {
			return -c
		}
		return c
	})
	out := &List{}
	for _, k := range list {
		out.Items = append(out.Items, k.v)
	}
	return out, bad
}

func unique(r *renderer, l []Value, _ arguments) (Value, error) {
	fold := func(v Value) (Value, error) {
		t, ok := v.(Text)
		if !ok {
			return v, nil
		}
		return r.lower(t)
	}
	out := &List{}
	var seen []Value
	for _, v := range l {
		k, err := fold(v)
		if err != nil {
			return nil, err
		}
		twice, err := r.contains(&List{seen}, k)
		if err != nil {
			return nil, err
		}
		if !twice {
			out.Items, seen = append(out.Items, v), append(seen, k)
		}
	}
	return out, nil
}

func extreme(r *renderer, l []Value, sign int) (Value, error) {
	best := end(l, 0)
	for _, v := range l[min(1, len(l)):] {
		c, err := r.order(v, best)
		if err != nil {
			return nil, err
		}
		if c*sign > 0 {
			best = v
		}
	}
	return best, nil
}

func sum(r *renderer, l []Value, a arguments) (Value, error) {
	total := a.at(1, "start", int64(0))
	attr, byAttr := a.at(0, "attribute", nil).(Text)
	for _, v := range l {
		var err error
		if byAttr {
			if v, err = r.path(v, attr.s); err != nil {
				return nil, err
			}
		}
		if total, err = r.binary("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// mapped takes an attribute of each element, or applies a filter to it.
func mapped(r *renderer, l []Value, a arguments) (Value, error) {
	out := &List{}
	attr, byAttr := a.named["attribute"].(Text)
	for _, v := range l {
		var err error
		switch {
		case byAttr:
			v, err = r.path(v, attr.s)
			if _, missing := v.(undefined); missing && err == nil {
				v = a.at(len(a.list), "default", v)
			}
		case len(a.list) > 0:
			f, ok := a.list[0].(Text)
			if !ok || f.s == "map" {
				return nil, errors.New("filter map wants the name of a filter")
			}
			v, err = r.apply(v, arguments{f.s, a.list[1:], a.named})
		default:
			err = errors.New("filter map wants an attribute or a filter")
		}
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// selected are the elements that, or whose attribute, pass a test; without one, that are
// true.
func (r *renderer) selected(l []Value, a arguments, attr string, from int, want bool) (Value, error) {
	out := &List{}
	for _, v := range l {
		if err := r.step(); err != nil {
			return nil, err
		}
		x := v
		if attr != "" {
			var err error
			if x, err = r.path(v, attr); err != nil {
				return nil, err
			}
		}
		ok := truth(x)
		if len(a.list) > from {
			n, isText := a.list[from].(Text)
			if !isText {
				return nil, fmt.Errorf("filter %s wants the name of a test", a.what)
			}
			var err error
			if ok, err = r.test(n.s, x, a.list[from+1:]); err != nil {
				return nil, err
			}
		}
		if ok == want {
			out.Items = append(out.Items, v)
		}
	}
	return out, nil
}

func toNumber(v Value, a arguments) (Value, error) {
	i, f, isInt, ok := numeric(v)
	if t, isText := v.(Text); isText && (a.what == "int" || a.what == "float") {
		s := strings.TrimSpace(t.s)
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			i, f, isInt, ok = n, float64(n), true, true
		} else if x, err := strconv.ParseFloat(s, 64); err == nil {
			f, ok = x, true
		}
	}
	switch a.what {
	case "int":
		switch {
		case ok && isInt:
			return i, nil
		case ok && math.Abs(f) < 1<<62:
			return int64(f), nil
		}
		return a.at(0, "default", int64(0)), nil
	case "float":
		if ok {
			return f, nil
		}
		return a.at(0, "default", 0.0), nil
	}
	if !ok {
		return nil, fmt.Errorf("filter %s: a %s is no number", a.what, kind(v))
	}
	if a.what == "abs" {
		if isInt {
			return max(i, -i), nil
		}
		return math.Abs(f), nil
	}
	digits, err := a.integer(0, "precision", 0)
	if err != nil {
		return nil, err
	}
	p := math.Pow(10, float64(min(max(digits, -15), 15)))
	method, _ := a.at(1, "method", Text{}).(Text)
	switch method.s {
	case "ceil":
		return math.Ceil(f*p) / p, nil
	case "floor":
		return math.Floor(f*p) / p, nil
	}
	return math.RoundToEven(f*p) / p, nil
}
