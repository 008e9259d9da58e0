package jinja

import (
	"errors"
	"fmt"
)

// Limits of one rendering.
const (
	maxSteps = 500_000
	maxBytes = 16 << 20 // of all texts that are made on the way, the result included
	maxCalls = 64       // macros within each other
)

// Template is one that was read. It does not change: any number of goroutines may use it.
type Template struct{ body []node }

// Parse reads a template.
func Parse(src string) (*Template, error) {
	body, err := parse(src)
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Raised is what a template says with raise_exception: its author's words about what was
// given to it.
type Raised struct{ Message string }

func (r *Raised) Error() string { return r.Message }

// Render renders the template with these variables. Errors wrap ErrTemplate; one that the
// template itself raised is a *Raised besides.
func (t *Template) Render(vars map[string]Value) (Text, error) {
	global := &scope{vars: make(map[string]Value, len(vars)+4)}
	for k, v := range vars { // order-free: into a map
		global.vars[k] = v
	}
	r := &renderer{methods: textMethods(), texts: textFilters(), lists: listFilters()}
	for _, f := range r.functions() {
		global.vars[f.Name] = f
	}
	top := &scope{vars: map[string]Value{}, up: global}
	var out builder
	if err := r.nodes(&out, t.body, top); err != nil {
		if errors.Is(err, ErrTemplate) {
			return Text{}, err
		}
		return Text{}, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	return out.text(), nil
}

// scope holds the variables of a template, a loop's turn or a macro.
type scope struct {
	vars map[string]Value
	up   *scope

	all []Value // of a loop, and which turn this is
	i   int
}

func (s *scope) get(n string) Value {
	for ; s != nil; s = s.up {
		if s.all != nil && n == "loop" {
			return loopVar(s.all, s.i)
		}
		if v, ok := s.vars[n]; ok {
			return v
		}
	}
	return undefined{n}
}

func (s *scope) inner() *scope { return &scope{vars: map[string]Value{}, up: s} }

// renderer is one rendering: what it has used of its budget, and what it finds by name.
type renderer struct {
	steps, bytes, calls int

	methods, texts map[string]textFunc
	lists          map[string]listFunc
}

// step counts what is done.
func (r *renderer) step() error {
	if r.steps++; r.steps > maxSteps {
		return fmt.Errorf("more than %d steps", maxSteps)
	}
	return nil
}

// spend counts many steps at once.
func (r *renderer) spend(n int) error {
	if r.steps += n; r.steps > maxSteps {
		return fmt.Errorf("more than %d steps", maxSteps)
	}
	return nil
}

// scan counts what it costs to go through bytes.
func (r *renderer) scan(n int) error { return r.spend(n / 256) }

// made counts the bytes of texts that are made.
func (r *renderer) made(n int) error {
	if n < 0 || n > maxBytes || r.bytes+n > maxBytes {
		return fmt.Errorf("more than %d bytes of text", maxBytes)
	}
	r.bytes += n
	return nil
}

// loop control, which travels as an error.
var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)

func (r *renderer) nodes(out *builder, list []node, s *scope) error {
	for _, n := range list {
		if err := r.step(); err != nil {
			return err
		}
		if err := r.node(out, n, s); err != nil {
			if err == errBreak || err == errContinue || errors.Is(err, ErrTemplate) {
				return err
			}
			return fmt.Errorf("%w: line %d: %w", ErrTemplate, n.line, err)
		}
	}
	return nil
}

func (r *renderer) write(out *builder, t Text) error {
	if err := r.made(len(t.s)); err != nil {
		return err
	}
	out.add(t)
	return nil
}

func (r *renderer) node(out *builder, n node, s *scope) error {
	switch n := n.stmt.(type) {
	case data:
		return r.write(out, n.t)
	case print:
		v, err := r.eval(n.x, s)
		if err != nil {
			return err
		}
		t, err := r.written(v)
		if err != nil {
			return err
		}
		return r.write(out, t)
	case setVar:
		return r.set(n, s)
	case ifElse:
		v, err := r.eval(n.test, s)
		if err != nil {
			return err
		}
		if truth(v) {
			return r.nodes(out, n.then, s)
		}
		return r.nodes(out, n.otherwise, s)
	case forLoop:
		return r.loop(out, n, s)
	case *macroDef:
		s.vars[n.name] = r.macro(n, s)
		return nil
	case callBlock:
		in := s.inner()
		c := n.call.(call)
		args, named, err := r.args(c.args, c.named, s)
		if err != nil {
			return err
		}
		f, err := r.eval(c.f, s)
		if err != nil {
			return err
		}
		if named == nil {
			named = map[string]Value{}
		}
		named["caller"] = r.macro(n.macro, in)
		v, err := r.call(f, args, named)
		if err != nil {
			return err
		}
		t, err := r.written(v)
		if err != nil {
			return err
		}
		return r.write(out, t)
	case filterBlock:
		v, err := r.block(n.body, n.apply, s.inner())
		if err != nil {
			return err
		}
		t, err := r.written(v)
		if err != nil {
			return err
		}
		return r.write(out, t)
	case group:
		return r.nodes(out, n.body, s)
	case withVars:
		in := s.inner()
		for i, name := range n.names {
			v, err := r.eval(n.values[i], s)
			if err != nil {
				return err
			}
			in.vars[name] = v
		}
		return r.nodes(out, n.body, in)
	case jump:
		if n.next {
			return errContinue
		}
		return errBreak
	}
	return fmt.Errorf("unknown statement %T", n.stmt)
}

// block renders statements into a value and applies filters to it.
func (r *renderer) block(body []node, apply []filterCall, s *scope) (Value, error) {
	var b builder
	if err := r.nodes(&b, body, s); err != nil {
		return nil, err
	}
	var v Value = b.text()
	for _, f := range apply {
		var err error
		if v, err = r.filter(v, f, s); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (r *renderer) set(n setVar, s *scope) error {
	var v Value
	var err error
	if n.body != nil {
		v, err = r.block(n.body, n.apply, s.inner())
	} else {
		v, err = r.eval(n.x, s)
	}
	if err != nil || len(n.to) == 0 {
		return err
	}
	if len(n.to) == 1 {
		return r.assign(n.to[0], v, s)
	}
	list, err := items(v)
	if err != nil {
		return err
	}
	if len(list) != len(n.to) {
		return fmt.Errorf("%d values for %d variables", len(list), len(n.to))
	}
	for i, to := range n.to {
		if err := r.assign(to, list[i], s); err != nil {
			return err
		}
	}
	return nil
}

func (r *renderer) assign(to expr, v Value, s *scope) error {
	switch to := to.(type) {
	case name:
		s.vars[to.n] = v
		return nil
	case attribute:
		of := s.get(to.x.(name).n)
		ns, ok := of.(*namespace)
		if !ok {
			return fmt.Errorf("attribute %s of a %s can't be set: only a namespace's can", to.name, kind(of))
		}
		ns.Set(Own(to.name), v)
		return nil
	}
	return fmt.Errorf("%T can't be set", to)
}

func (r *renderer) loop(out *builder, n forLoop, s *scope) error {
	over, err := r.eval(n.in, s)
	if err != nil {
		return err
	}
	all, err := items(over)
	if err != nil {
		return err
	}
	bind := func(v Value) (*scope, error) {
		in := s.inner()
		if len(n.vars) == 1 {
			in.vars[n.vars[0]] = v
			return in, nil
		}
		parts, err := items(v)
		if err != nil {
			return nil, err
		}
		if len(parts) != len(n.vars) {
			return nil, fmt.Errorf("%d values for the %d variables of a loop", len(parts), len(n.vars))
		}
		for i, name := range n.vars {
			in.vars[name] = parts[i]
		}
		return in, nil
	}
	if n.only != nil {
		var kept []Value
		for _, v := range all {
			if err := r.step(); err != nil {
				return err
			}
			in, err := bind(v)
			if err != nil {
				return err
			}
			ok, err := r.eval(n.only, in)
			if err != nil {
				return err
			}
			if truth(ok) {
				kept = append(kept, v)
			}
		}
		all = kept
	}
	if len(all) == 0 {
		return r.nodes(out, n.otherwise, s.inner())
	}
	for i, v := range all {
		if err := r.step(); err != nil {
			return err
		}
		in, err := bind(v)
		if err != nil {
			return err
		}
		in.all, in.i = all, i
		switch err := r.nodes(out, n.body, in); err {
		case nil, errContinue:
		case errBreak:
			return nil
		default:
			return err
		}
	}
	return nil
}

func loopVar(all []Value, i int) *Dict {
	d := &Dict{}
	set := func(k string, v Value) { d.Set(Own(k), v) }
	set("index", int64(i+1))
	set("index0", int64(i))
	set("revindex", int64(len(all)-i))
	set("revindex0", int64(len(all)-i-1))
	set("first", i == 0)
	set("last", i == len(all)-1)
	set("length", int64(len(all)))
	set("depth", int64(1))
	set("depth0", int64(0))
	if i > 0 {
		set("previtem", all[i-1])
	}
	if i < len(all)-1 {
		set("nextitem", all[i+1])
	}
	set("cycle", &Func{"cycle", func(args []Value, _ map[string]Value) (Value, error) {
		if len(args) == 0 {
			return nil, errors.New("cycle wants values")
		}
		return args[i%len(args)], nil
	}})
	return d
}

// macro makes a function of a macro.
func (r *renderer) macro(m *macroDef, s *scope) *Func {
	return &Func{m.name, func(args []Value, named map[string]Value) (Value, error) {
		if r.calls++; r.calls > maxCalls {
			return nil, fmt.Errorf("macros call each other more than %d deep", maxCalls)
		}
		defer func() { r.calls-- }()
		in := s.inner()
		if len(args) > len(m.params) {
			return nil, fmt.Errorf("macro %s takes %d arguments, not %d", m.name, len(m.params), len(args))
		}
		for i, p := range m.params {
			v, given := named[p]
			switch d := i - (len(m.params) - len(m.defaults)); {
			case i < len(args):
				v = args[i]
			case given:
			case d >= 0:
				var err error
				if v, err = r.eval(m.defaults[d], in); err != nil {
					return nil, err
				}
			default:
				v = undefined{p}
			}
			in.vars[p] = v
		}
		if c, ok := named["caller"]; ok {
			in.vars["caller"] = c
		}
		var b builder
		if err := r.nodes(&b, m.body, in); err != nil {
			return nil, err
		}
		return b.text(), nil
	}}
}
