package jinja

import (
	"errors"
	"fmt"
	"slices"
)

// ErrTemplate marks a template that cannot be understood, or not be rendered.
var ErrTemplate = errors.New("chat template")

const (
	maxSource = 256 << 10 // bytes of a template
	maxNested = 100       // statements or expressions within each other
)

// Statements.
type (
	data   struct{ t Text }
	print  struct{ x expr }
	setVar struct {
		to    []expr // name or attribute; several take a list apart
		x     expr
		body  []node // instead of x
		apply []filterCall
	}
	ifElse struct {
		test            expr
		then, otherwise []node
	}
	forLoop struct {
		vars            []string
		in, only        expr
		body, otherwise []node
		recursive       bool
	}
	macroDef struct {
		name     string
		params   []string
		defaults []expr // of the last ones
		body     []node
	}
	callBlock struct {
		macro *macroDef // what caller() is
		call  expr
	}
	filterBlock struct {
		apply []filterCall
		body  []node
	}
	group    struct{ body []node } // such as {% generation %}
	withVars struct {
		names  []string
		values []expr
		body   []node
	}
	jump struct{ next bool } // continue, or break
)

// node is a statement with its line.
type node struct {
	line int
	stmt any
}

type parser struct {
	tokens []token
	pos    int
	depth  int
	loops  int
}

// parse reads a template.
func parse(src string) ([]node, error) {
	if len(src) > maxSource {
		return nil, fmt.Errorf("%w: %d bytes: at most %d", ErrTemplate, len(src), maxSource)
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	nodes, end, err := p.nodes()
	if err != nil {
		return nil, err
	}
	if end != "" {
		return nil, p.errorf("%q ends nothing", end)
	}
	return nodes, nil
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

func (p *parser) errorf(format string, a ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrTemplate, p.peek().line, fmt.Sprintf(format, a...))
}

func (p *parser) is(k tokenKind, text string) bool {
	t := p.peek()
	return t.kind == k && t.text == text
}

// take goes past a token if it is this one.
func (p *parser) take(k tokenKind, text string) bool {
	if p.is(k, text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) want(k tokenKind, text string) error {
	if !p.take(k, text) {
		return p.errorf("%s: want %q", p.peek(), text)
	}
	return nil
}

func (p *parser) name() (string, error) {
	if t := p.peek(); t.kind == tokName {
		p.pos++
		return t.text, nil
	}
	return "", p.errorf("%s: want a name", p.peek())
}

func (p *parser) close() error {
	if p.peek().kind != tokClose {
		return p.errorf("%s: want the end of the tag", p.peek())
	}
	p.pos++
	return nil
}

// enter counts nesting; leave ends it.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxNested {
		return p.errorf("nested more than %d deep", maxNested)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

var enders = []string{"endif", "else", "elif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endgeneration", "endwith"}

// nodes reads statements up to a tag that ends them or the end of the template. The tag's
// name is read, what follows it is not.
func (p *parser) nodes() (list []node, end string, err error) {
	if err := p.enter(); err != nil {
		return nil, "", err
	}
	defer p.leave()
	for {
		t := p.next()
		switch t.kind {
		case tokEnd:
			return list, "", nil
		case tokData:
			list = append(list, node{t.line, data{Own(t.text)}})
		case tokPrint:
			x, err := p.tuple()
			if err == nil {
				err = p.close()
			}
			if err != nil {
				return nil, "", err
			}
			list = append(list, node{t.line, print{x}})
		case tokBlock:
			word, err := p.name()
			if err != nil {
				return nil, "", err
			}
			if slices.Contains(enders, word) {
				return list, word, nil
			}
			s, err := p.statement(word)
			if err != nil {
				return nil, "", err
			}
			list = append(list, node{t.line, s})
		default:
			return nil, "", p.errorf("unexpected %s", t)
		}
	}
}

// body reads statements up to the tag with the name given and past it.
func (p *parser) body(end string) ([]node, error) {
	list, got, err := p.nodes()
	switch {
	case err != nil:
		return nil, err
	case got != end:
		return nil, p.errorf("%q where %q is missing", got, end)
	}
	if p.peek().kind == tokName && end == "endmacro" {
		p.pos++ // its name once more
	}
	return list, p.close()
}

func (p *parser) statement(word string) (any, error) {
	switch word {
	case "if":
		return p.ifElse()
	case "for":
		return p.forLoop()
	case "set":
		return p.set()
	case "macro":
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		return p.macro(name, "endmacro")
	case "call":
		return p.call()
	case "filter":
		var f filterBlock
		for {
			name, err := p.name()
			if err != nil {
				return nil, err
			}
			c := filterCall{name: name}
			if p.take(tokOp, "(") {
				if c.args, c.named, err = p.args(); err != nil {
					return nil, err
				}
			}
			f.apply = append(f.apply, c)
			if !p.take(tokOp, "|") {
				break
			}
		}
		if err := p.close(); err != nil {
			return nil, err
		}
		var err error
		f.body, err = p.body("endfilter")
		return f, err
	case "generation":
		if err := p.close(); err != nil {
			return nil, err
		}
		body, err := p.body("endgeneration")
		return group{body}, err
	case "with":
		return p.with()
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.errorf("%s outside of a loop", word)
		}
		return jump{word == "continue"}, p.close()
	case "do":
		x, err := p.tuple()
		if err != nil {
			return nil, err
		}
		return setVar{x: x}, p.close()
	}
	return nil, p.errorf("there is no {%% %s %%} in chat templates", word)
}

func (p *parser) ifElse() (any, error) {
	test, err := p.tuple()
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, err
	}
	s := ifElse{test: test}
	var end string
	if s.then, end, err = p.nodes(); err != nil {
		return nil, err
	}
	switch end {
	case "endif":
		return s, p.close()
	case "elif":
		line := p.peek().line
		// A chain of these nests in the tree, so it counts as nesting.
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		rest, err := p.ifElse()
		s.otherwise = []node{{line, rest}}
		return s, err
	case "else":
		if err := p.close(); err != nil {
			return nil, err
		}
		s.otherwise, err = p.body("endif")
		return s, err
	}
	return nil, p.errorf("%q where \"endif\" is missing", end)
}

func (p *parser) forLoop() (any, error) {
	var f forLoop
	paren := p.take(tokOp, "(")
	for {
		n, err := p.name()
		if err != nil {
			return nil, err
		}
		f.vars = append(f.vars, n)
		if !p.take(tokOp, ",") {
			break
		}
	}
	if paren {
		if err := p.want(tokOp, ")"); err != nil {
			return nil, err
		}
	}
	if err := p.want(tokName, "in"); err != nil {
		return nil, err
	}
	var err error
	if f.in, err = p.tupleOf(p.either); err != nil {
		return nil, err
	}
	if p.take(tokName, "if") {
		if f.only, err = p.expr(); err != nil {
			return nil, err
		}
	}
	f.recursive = p.take(tokName, "recursive")
	if err := p.close(); err != nil {
		return nil, err
	}
	if f.recursive {
		return nil, p.errorf("recursive loops are not in chat templates")
	}
	p.loops++
	var end string
	f.body, end, err = p.nodes()
	p.loops--
	switch {
	case err != nil:
		return nil, err
	case end == "endfor":
		return f, p.close()
	case end != "else":
		return nil, p.errorf("%q where \"endfor\" is missing", end)
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	f.otherwise, err = p.body("endfor")
	return f, err
}

func (p *parser) set() (any, error) {
	var s setVar
	for {
		x, err := p.postfix()
		if err != nil {
			return nil, err
		}
		switch v := x.(type) {
		case filtered: // {% set x | upper %}…{% endset %}
			for {
				s.apply = append(s.apply, v.filterCall)
				inner, ok := v.x.(filtered)
				if !ok {
					break
				}
				v = inner
			}
			slices.Reverse(s.apply)
			x = v.x
		case attribute:
			if _, ok := v.x.(name); !ok {
				return nil, p.errorf("only names and their attributes can be set")
			}
		}
		switch x.(type) {
		case name, attribute:
		default:
			return nil, p.errorf("only names and their attributes can be set")
		}
		s.to = append(s.to, x)
		if !p.take(tokOp, ",") {
			break
		}
	}
	if p.take(tokOp, "=") {
		var err error
		if s.x, err = p.tuple(); err != nil {
			return nil, err
		}
		return s, p.close()
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	if len(s.to) != 1 {
		return nil, p.errorf("a block can be set as one variable only")
	}
	body, err := p.body("endset")
	s.body = body
	if s.body == nil {
		s.body = []node{}
	}
	return s, err
}

// macro reads parameters and body.
func (p *parser) macro(name, end string) (*macroDef, error) {
	m := &macroDef{name: name}
	if err := p.want(tokOp, "("); err != nil {
		return nil, err
	}
	if err := p.params(m); err != nil {
		return nil, err
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	var err error
	m.body, err = p.body(end)
	return m, err
}

func (p *parser) params(m *macroDef) error {
	for !p.take(tokOp, ")") {
		if len(m.params) > 0 {
			if err := p.want(tokOp, ","); err != nil {
				return err
			}
		}
		n, err := p.name()
		if err != nil {
			return err
		}
		m.params = append(m.params, n)
		switch {
		case p.take(tokOp, "="):
			x, err := p.expr()
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, x)
		case len(m.defaults) > 0:
			return p.errorf("parameter %s has no default although the one before it has", n)
		}
	}
	return nil
}

func (p *parser) call() (any, error) {
	m := &macroDef{name: "caller"}
	if p.take(tokOp, "(") {
		if err := p.params(m); err != nil {
			return nil, err
		}
	}
	x, err := p.postfix()
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, err
	}
	if _, ok := x.(call); !ok {
		return nil, p.errorf("{%% call %%} wants a call")
	}
	m.body, err = p.body("endcall")
	return callBlock{m, x}, err
}

func (p *parser) with() (any, error) {
	var w withVars
	for p.peek().kind != tokClose {
		if len(w.names) > 0 {
			if err := p.want(tokOp, ","); err != nil {
				return nil, err
			}
		}
		n, err := p.name()
		if err == nil {
			err = p.want(tokOp, "=")
		}
		if err != nil {
			return nil, err
		}
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		w.names, w.values = append(w.names, n), append(w.values, x)
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	var err error
	w.body, err = p.body("endwith")
	return w, err
}
