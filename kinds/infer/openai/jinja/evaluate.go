package jinja

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// functions are what every template may call.
func (r *renderer) functions() []*Func {
	return []*Func{
		{"range", r.rangeOf},
		{"namespace", func(args []Value, named map[string]Value) (Value, error) {
			ns := &namespace{}
			d, err := dictFrom(args, named)
			if err == nil {
				ns.Dict = *d
			}
			return ns, err
		}},
		{"dict", func(args []Value, named map[string]Value) (Value, error) { return dictFrom(args, named) }},
		{"raise_exception", func(args []Value, _ map[string]Value) (Value, error) {
			message := "the template refuses these messages"
			if len(args) > 0 {
				if t, err := r.written(args[0]); err == nil {
					message = t.s
				}
			}
			return nil, &Raised{message}
		}},
	}
}

func dictFrom(args []Value, named map[string]Value) (*Dict, error) {
	d := &Dict{}
	for _, a := range args {
		from, ok := a.(*Dict)
		if !ok {
			return nil, fmt.Errorf("a mapping can't be made of a %s", kind(a))
		}
		for _, k := range from.keys {
			d.Set(k, from.values[k.s])
		}
	}
	for _, k := range sortedKeys(named) {
		d.Set(Own(k), named[k])
	}
	return d, nil
}

func (r *renderer) rangeOf(args []Value, _ map[string]Value) (Value, error) {
	var n [3]int64
	for i, a := range args {
		v, _, isInt, ok := numeric(a)
		if !ok || !isInt || i > 2 {
			return nil, errors.New("range wants up to three integers")
		}
		n[i] = v
	}
	from, to, step := n[0], n[1], n[2]
	switch len(args) {
	case 0:
		return nil, errors.New("range wants up to three integers")
	case 1:
		from, to, step = 0, n[0], 1
	case 2:
		step = 1
	}
	if step == 0 {
		return nil, errors.New("range with a step of 0")
	}
	l := &List{}
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		if err := r.step(); err != nil {
			return nil, err
		}
		l.Items = append(l.Items, i)
		next := i + step
		if step > 0 == (next < i) {
			break // beyond the last integer
		}
		i = next
	}
	return l, nil
}

func (r *renderer) eval(x expr, s *scope) (Value, error) {
	if err := r.step(); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case literal:
		return x.v, nil
	case name:
		return s.get(x.n), nil
	case listOf:
		l, err := r.evalAll(x.items, s)
		return &List{l}, err
	case dictOf:
		return r.dict(x, s)
	case negate:
		v, err := r.eval(x.x, s)
		return !truth(v), err
	case sign:
		return r.sign(x, s)
	case binary:
		a, err := r.eval(x.l, s)
		if err != nil {
			return nil, err
		}
		b, err := r.eval(x.r, s)
		if err != nil {
			return nil, err
		}
		return r.binary(x.op, a, b)
	case logic:
		a, err := r.eval(x.l, s)
		if err != nil || truth(a) != x.and {
			return a, err
		}
		return r.eval(x.r, s)
	case choose:
		v, err := r.eval(x.test, s)
		switch {
		case err != nil:
			return nil, err
		case truth(v):
			return r.eval(x.then, s)
		case x.otherwise == nil:
			return undefined{"without else"}, nil
		}
		return r.eval(x.otherwise, s)
	case compare:
		return r.compare(x, s)
	case attribute:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		return r.attribute(v, x.name)
	case index:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		i, err := r.eval(x.i, s)
		if err != nil {
			return nil, err
		}
		return r.index(v, i)
	case part:
		return r.part(x, s)
	case call:
		f, err := r.eval(x.f, s)
		if err != nil {
			return nil, err
		}
		args, named, err := r.args(x.args, x.named, s)
		if err != nil {
			return nil, err
		}
		return r.call(f, args, named)
	case filtered:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		return r.filter(v, x.filterCall, s)
	case tested:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		args, err := r.evalAll(x.args, s)
		if err != nil {
			return nil, err
		}
		ok, err := r.test(x.name, v, args)
		return ok != x.not, err
	}
	return nil, fmt.Errorf("unknown expression %T", x)
}

func (r *renderer) evalAll(list []expr, s *scope) ([]Value, error) {
	out := make([]Value, len(list))
	for i, x := range list {
		var err error
		if out[i], err = r.eval(x, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *renderer) args(list []expr, named []namedExpr, s *scope) ([]Value, map[string]Value, error) {
	args := make([]Value, 0, len(list))
	var err error
	for _, x := range list {
		all, several := x.(spread)
		if several {
			x = all.x
		}
		v, err := r.eval(x, s)
		if err != nil {
			return nil, nil, err
		}
		if !several {
			args = append(args, v)
			continue
		}
		more, err := items(v)
		if err == nil {
			err = r.made(16 * len(more))
		}
		if err != nil {
			return nil, nil, err
		}
		args = append(args, more...)
	}
	if len(named) == 0 {
		return args, nil, nil
	}
	m := make(map[string]Value, len(named))
	for _, n := range named {
		if m[n.name], err = r.eval(n.x, s); err != nil {
			return nil, nil, err
		}
	}
	return args, m, nil
}

func (r *renderer) call(f Value, args []Value, named map[string]Value) (Value, error) {
	fn, ok := f.(*Func)
	if !ok {
		return nil, fmt.Errorf("a %s can't be called", kind(f))
	}
	return fn.Call(args, named)
}

func (r *renderer) dict(x dictOf, s *scope) (Value, error) {
	d := &Dict{}
	for i := range x.keys {
		k, err := r.eval(x.keys[i], s)
		if err != nil {
			return nil, err
		}
		key, ok := k.(Text)
		if !ok {
			return nil, fmt.Errorf("a %s as a key: want a string", kind(k))
		}
		v, err := r.eval(x.values[i], s)
		if err != nil {
			return nil, err
		}
		d.Set(key, v)
	}
	return d, nil
}

func (r *renderer) sign(x sign, s *scope) (Value, error) {
	v, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	i, f, isInt, ok := numeric(v)
	switch {
	case !ok:
		return nil, fmt.Errorf("a sign before a %s", kind(v))
	case isInt && x.minus:
		return -i, nil
	case isInt:
		return i, nil
	case x.minus:
		return -f, nil
	}
	return f, nil
}

func (r *renderer) compare(x compare, s *scope) (Value, error) {
	a, err := r.eval(x.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		b, err := r.eval(x.rest[i], s)
		if err != nil {
			return nil, err
		}
		ok, err := r.relation(op, a, b)
		if err != nil || !ok {
			return false, err
		}
		a = b
	}
	return true, nil
}

func (r *renderer) relation(op string, a, b Value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		same, err := r.equal(a, b)
		return !same, err
	case "in":
		return r.contains(b, a)
	case "not in":
		ok, err := r.contains(b, a)
		return !ok, err
	}
	c, err := r.order(a, b)
	switch op {
	case "<":
		return c < 0, err
	case "<=":
		return c <= 0, err
	case ">":
		return c > 0, err
	}
	return c >= 0, err
}

func (r *renderer) binary(op string, a, b Value) (Value, error) {
	if op == "~" {
		s, err := r.written(a)
		if err != nil {
			return nil, err
		}
		t, err := r.written(b)
		if err != nil {
			return nil, err
		}
		return concat(s, t), r.made(len(s.s) + len(t.s))
	}
	switch a := a.(type) {
	case Text:
		switch b := b.(type) {
		case Text:
			if op == "+" {
				return concat(a, b), r.made(len(a.s) + len(b.s))
			}
		case int64:
			if op == "*" {
				return r.repeat(a, b)
			}
		}
	case *List:
		if l, ok := b.(*List); ok && op == "+" {
			n := len(a.Items) + len(l.Items)
			if err := r.made(16 * n); err != nil {
				return nil, err
			}
			return &List{append(append(make([]Value, 0, n), a.Items...), l.Items...)}, nil
		}
	case int64:
		if t, ok := b.(Text); ok && op == "*" {
			return r.repeat(t, a)
		}
	}
	ai, af, aInt, aOK := numeric(a)
	bi, bf, bInt, bOK := numeric(b)
	if !aOK || !bOK {
		return nil, fmt.Errorf("%s %s %s makes no sense", kind(a), op, kind(b))
	}
	if aInt && bInt && op != "/" {
		return integers(op, ai, bi)
	}
	switch op {
	case "+":
		return af + bf, nil
	case "-":
		return af - bf, nil
	case "*":
		return af * bf, nil
	case "**":
		return math.Pow(af, bf), nil
	}
	if bf == 0 {
		return nil, errors.New("division by zero")
	}
	switch op {
	case "/":
		return af / bf, nil
	case "//":
		return math.Floor(af / bf), nil
	}
	m := math.Mod(af, bf)
	if m != 0 && (m < 0) != (bf < 0) {
		m += bf
	}
	return m, nil
}

func (r *renderer) repeat(t Text, n int64) (Value, error) {
	if n <= 0 || t.s == "" {
		return Text{}, nil
	}
	if n > maxBytes || int64(len(t.s))*n > maxBytes {
		n = maxBytes/int64(len(t.s)) + 1
	}
	if err := r.made(len(t.s) * int(n)); err != nil {
		return nil, err
	}
	return Text{strings.Repeat(t.s, int(n)), strings.Repeat(t.mark, int(n))}, nil
}

var errRange = errors.New("an integer beyond 63 bits")

func integers(op string, a, b int64) (Value, error) {
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return c, nil
		}
		return nil, errRange
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return c, nil
		}
		return nil, errRange
	case "*":
		c := a * b
		if a != 0 && (c/a != b || a == -1 && b == math.MinInt64) {
			return nil, errRange
		}
		return c, nil
	case "**":
		if b < 0 {
			return math.Pow(float64(a), float64(b)), nil
		}
		f := math.Pow(float64(a), float64(b))
		if math.Abs(f) >= 1<<53 {
			return nil, errRange
		}
		return int64(f), nil
	}
	if b == 0 {
		return nil, errors.New("division by zero")
	}
	if a == math.MinInt64 && b == -1 {
		return nil, errRange
	}
	q, m := a/b, a%b
	if m != 0 && (m < 0) != (b < 0) {
		q, m = q-1, m+b
	}
	if op == "//" {
		return q, nil
	}
	return m, nil
}

// attribute is what x.name stands for: a method, or else an element of a mapping.
func (r *renderer) attribute(v Value, n string) (Value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, fmt.Errorf("%s is undefined, so it has no %s", v.what, n)
	case *Dict:
		if m := r.method(v, n); m != nil {
			return m, nil
		}
		if x, ok := v.Get(n); ok {
			return x, nil
		}
	case *namespace:
		if x, ok := v.Get(n); ok {
			return x, nil
		}
	default:
		if m := r.method(v, n); m != nil {
			return m, nil
		}
	}
	return undefined{n}, nil
}

func (r *renderer) index(v, i Value) (Value, error) {
	switch x := v.(type) {
	case undefined:
		return nil, fmt.Errorf("%s is undefined, so it has no elements", x.what)
	case *Dict:
		k, ok := i.(Text)
		if !ok {
			return undefined{"element"}, nil
		}
		if e, ok := x.Get(k.s); ok {
			return e, nil
		}
		if m := r.method(x, k.s); m != nil {
			return m, nil
		}
		return undefined{k.s}, nil
	}
	if k, ok := i.(Text); ok {
		return r.attribute(v, k.s)
	}
	n, _, isInt, ok := numeric(i)
	if !ok || !isInt {
		return undefined{"element"}, nil
	}
	list, err := items(v)
	if err != nil {
		return undefined{"element"}, nil
	}
	if err := r.made(len(list)); err != nil {
		return nil, err
	}
	if n < 0 {
		n += int64(len(list))
	}
	if n < 0 || n >= int64(len(list)) {
		return undefined{"element"}, nil
	}
	return list[n], nil
}

// part is a slice, by Python's rules.
func (r *renderer) part(x part, s *scope) (Value, error) {
	v, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	list, err := items(v)
	if err != nil {
		return nil, err
	}
	if err := r.made(len(list)); err != nil {
		return nil, err
	}
	n := int64(len(list))
	bound := func(e expr, otherwise, least, most int64) (int64, error) {
		if e == nil {
			return otherwise, nil
		}
		b, err := r.eval(e, s)
		if err != nil || b == nil {
			return otherwise, err
		}
		i, _, isInt, ok := numeric(b)
		if !ok || !isInt {
			return 0, fmt.Errorf("a %s as the bound of a slice", kind(b))
		}
		if i < 0 {
			i = max(i+n, least)
		}
		return min(max(i, least), most), nil
	}
	step := int64(1)
	if x.step != nil {
		sv, err := r.eval(x.step, s)
		if err != nil {
			return nil, err
		}
		if sv != nil {
			i, _, isInt, ok := numeric(sv)
			if !ok || !isInt || i == 0 {
				return nil, errors.New("the step of a slice must be an integer and not 0")
			}
			step = min(max(i, -1<<32), 1<<32)
		}
	}
	first, last, least, most := int64(0), n, int64(0), n
	if step < 0 {
		first, last, least, most = n-1, -1, -1, n-1
	}
	from, err := bound(x.from, first, least, most)
	if err != nil {
		return nil, err
	}
	to, err := bound(x.to, last, least, most)
	if err != nil {
		return nil, err
	}
	var out []Value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, list[i])
	}
	if _, ok := v.(Text); ok {
		var b builder
		for _, c := range out {
			b.add(c.(Text))
		}
		return b.text(), nil
	}
	return &List{out}, nil
}
