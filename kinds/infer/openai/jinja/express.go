package jinja

import (
	"strconv"
	"strings"
)

// expr is an expression: one of the types below.
type expr any

type (
	literal struct{ v Value }
	name    struct{ n string }
	listOf  struct{ items []expr }
	dictOf  struct{ keys, values []expr }
	negate  struct{ x expr } // not
	sign    struct {
		minus bool
		x     expr
	}
	binary struct {
		op   string
		l, r expr
	}
	logic struct {
		and  bool
		l, r expr
	}
	choose  struct{ test, then, otherwise expr } // otherwise may be nil
	compare struct {
		first expr
		ops   []string
		rest  []expr
	}
	attribute struct {
		x    expr
		name string
	}
	index struct{ x, i expr }
	part  struct{ x, from, to, step expr } // x[from:to:step]
	call  struct {
		f     expr
		args  []expr
		named []namedExpr
	}
	namedExpr struct {
		name string
		x    expr
	}
	spread     struct{ x expr } // *x among arguments
	filterCall struct {
		name  string
		args  []expr
		named []namedExpr
	}
	filtered struct {
		x expr
		filterCall
	}
	tested struct {
		x    expr
		not  bool
		name string
		args []expr
	}
)

// tuple is an expression, or several with commas between them, which are a list.
func (p *parser) tuple() (expr, error) { return p.tupleOf(p.expr) }

func (p *parser) tupleOf(one func() (expr, error)) (expr, error) {
	x, err := one()
	if err != nil || !p.is(tokOp, ",") {
		return x, err
	}
	l := listOf{[]expr{x}}
	for p.take(tokOp, ",") {
		if t := p.peek(); t.kind == tokClose || t.kind == tokOp && (t.text == ")" || t.text == "=") {
			break
		}
		if x, err = one(); err != nil {
			return nil, err
		}
		l.items = append(l.items, x)
	}
	return l, nil
}

func (p *parser) expr() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.either()
	if err != nil || !p.take(tokName, "if") {
		return x, err
	}
	c := choose{then: x}
	if c.test, err = p.either(); err != nil {
		return nil, err
	}
	if p.take(tokName, "else") {
		c.otherwise, err = p.expr()
	}
	return c, err
}

// chain reads operands of one rank; the tree leans left, and is as deep as they are many.
func (p *parser) chain(one func() (expr, error), op func() (string, bool), join func(op string, l, r expr) expr) (expr, error) {
	x, err := one()
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		o, ok := op()
		if !ok {
			return x, nil
		}
		if n > 10*maxNested {
			return nil, p.errorf("more than %d operators in a row", n)
		}
		r, err := one()
		if err != nil {
			return nil, err
		}
		x = join(o, x, r)
	}
}

func (p *parser) word(w string) func() (string, bool) {
	return func() (string, bool) { return w, p.take(tokName, w) }
}

func (p *parser) oneOf(ops ...string) func() (string, bool) {
	return func() (string, bool) {
		for _, o := range ops {
			if p.take(tokOp, o) {
				return o, true
			}
		}
		return "", false
	}
}

func (p *parser) either() (expr, error) {
	return p.chain(p.both, p.word("or"), func(_ string, l, r expr) expr { return logic{false, l, r} })
}

func (p *parser) both() (expr, error) {
	return p.chain(p.not, p.word("and"), func(_ string, l, r expr) expr { return logic{true, l, r} })
}

func (p *parser) not() (expr, error) {
	if !p.take(tokName, "not") {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.not()
	return negate{x}, err
}

func (p *parser) comparison() (expr, error) {
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := compare{first: x}
	for {
		op, ok := p.oneOf("==", "!=", "<=", ">=", "<", ">")()
		if !ok {
			switch {
			case p.take(tokName, "in"):
				op = "in"
			case p.is(tokName, "not") && p.tokens[p.pos+1].kind == tokName && p.tokens[p.pos+1].text == "in":
				p.pos += 2
				op = "not in"
			case len(c.ops) == 0:
				return x, nil
			default:
				return c, nil
			}
		}
		r, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, r)
	}
}

func join(op string, l, r expr) expr { return binary{op, l, r} }

func (p *parser) sum() (expr, error)    { return p.chain(p.tilde, p.oneOf("+", "-"), join) }
func (p *parser) tilde() (expr, error)  { return p.chain(p.factor, p.oneOf("~"), join) }
func (p *parser) factor() (expr, error) { return p.chain(p.unary, p.oneOf("*", "//", "/", "%"), join) }

func (p *parser) unary() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if op, ok := p.oneOf("-", "+")(); ok {
		x, err := p.bare()
		if err != nil {
			return nil, err
		}
		return p.filters(sign{op == "-", x})
	}
	x, err := p.bare()
	if err != nil {
		return nil, err
	}
	return p.filters(x)
}

// bare is an operand without filters and tests, and what ** makes of it.
func (p *parser) bare() (expr, error) {
	x, err := p.primary()
	if err == nil {
		x, err = p.access(x)
	}
	if err != nil {
		return nil, err
	}
	if p.take(tokOp, "**") {
		r, err := p.unary()
		return binary{"**", x, r}, err
	}
	return x, nil
}

// postfix is an operand with what follows it: attributes, calls, filters.
func (p *parser) postfix() (expr, error) {
	x, err := p.primary()
	if err == nil {
		x, err = p.access(x)
	}
	if err != nil {
		return nil, err
	}
	return p.filters(x)
}

func (p *parser) access(x expr) (expr, error) {
	for n := 0; ; n++ {
		var err error
		switch {
		case n > 10*maxNested:
			return nil, p.errorf("more than %d attributes and calls in a row", n)
		case p.take(tokOp, "."):
			t := p.next()
			switch t.kind {
			case tokName:
				x = attribute{x, t.text}
			case tokNumber:
				for n := range strings.SplitSeq(t.text, ".") { // x.0.1 has one number
					i, err := strconv.ParseInt(n, 10, 32)
					if err != nil {
						return nil, p.errorf("index %s", t)
					}
					x = index{x, literal{i}}
				}
			default:
				return nil, p.errorf("%s: want a name", t)
			}
		case p.take(tokOp, "["):
			x, err = p.subscript(x)
		case p.take(tokOp, "("):
			c := call{f: x}
			c.args, c.named, err = p.args()
			x = c
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) filters(x expr) (expr, error) {
	for n := 0; ; n++ {
		var err error
		switch {
		case n > 10*maxNested:
			return nil, p.errorf("more than %d filters in a row", n)
		case p.take(tokOp, "|"):
			f := filtered{x: x}
			if f.name, err = p.name(); err != nil {
				return nil, err
			}
			if p.take(tokOp, "(") {
				f.args, f.named, err = p.args()
			}
			x = f
		case p.take(tokName, "is"):
			x, err = p.test(x)
		case p.is(tokOp, "(") || p.is(tokOp, "[") || p.is(tokOp, "."):
			x, err = p.access(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) test(x expr) (expr, error) {
	t := tested{x: x, not: p.take(tokName, "not")}
	var err error
	if t.name, err = p.name(); err != nil {
		return nil, err
	}
	if p.take(tokOp, "(") {
		var named []namedExpr
		if t.args, named, err = p.args(); err == nil && len(named) > 0 {
			err = p.errorf("test %s takes no named arguments", t.name)
		}
		return t, err
	}
	// An argument may follow without parentheses.
	switch n := p.peek(); {
	case n.kind == tokString || n.kind == tokNumber ||
		n.kind == tokOp && (n.text == "[" || n.text == "{") ||
		n.kind == tokName && !strings.Contains(" and or not in is if else elif recursive ", " "+n.text+" "):
		arg, err := p.primary()
		if err == nil {
			arg, err = p.access(arg)
		}
		t.args = []expr{arg}
		return t, err
	}
	return t, nil
}

func (p *parser) subscript(x expr) (expr, error) {
	var bounds [3]expr
	colons := 0
	for !p.take(tokOp, "]") {
		if p.take(tokOp, ":") {
			if colons++; colons > 2 {
				return nil, p.errorf("a slice has at most three parts")
			}
			continue
		}
		if bounds[colons] != nil {
			return nil, p.errorf("%s: want \"]\"", p.peek())
		}
		var err error
		if bounds[colons], err = p.tuple(); err != nil {
			return nil, err
		}
	}
	switch {
	case colons > 0:
		return part{x, bounds[0], bounds[1], bounds[2]}, nil
	case bounds[0] == nil:
		return nil, p.errorf("an index is missing")
	}
	return index{x, bounds[0]}, nil
}

// args reads arguments up to the closing parenthesis and past it.
func (p *parser) args() (list []expr, named []namedExpr, err error) {
	for first := true; !p.take(tokOp, ")"); first = false {
		if !first {
			if err := p.want(tokOp, ","); err != nil {
				return nil, nil, err
			}
			if p.take(tokOp, ")") {
				break
			}
		}
		if t := p.peek(); t.kind == tokName && p.tokens[p.pos+1] == (token{tokOp, "=", p.tokens[p.pos+1].line}) {
			p.pos += 2
			x, err := p.expr()
			if err != nil {
				return nil, nil, err
			}
			named = append(named, namedExpr{t.text, x})
			continue
		}
		if len(named) > 0 {
			return nil, nil, p.errorf("an argument without a name follows one with a name")
		}
		all := p.take(tokOp, "*")
		x, err := p.expr()
		if err != nil {
			return nil, nil, err
		}
		if all {
			x = spread{x}
		}
		list = append(list, x)
	}
	return list, named, nil
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch t.kind {
	case tokString:
		s := t.text
		for p.peek().kind == tokString { // neighbours are one
			s += p.next().text
		}
		return literal{Own(s)}, nil
	case tokNumber:
		if i, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return literal{i}, nil
		}
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, p.errorf("number %s", t)
		}
		return literal{f}, nil
	case tokName:
		switch t.text {
		case "true", "True":
			return literal{true}, nil
		case "false", "False":
			return literal{false}, nil
		case "none", "None":
			return literal{nil}, nil
		}
		return name{t.text}, nil
	case tokOp:
		switch t.text {
		case "(":
			if p.take(tokOp, ")") {
				return listOf{}, nil
			}
			x, err := p.tuple()
			if err != nil {
				return nil, err
			}
			return x, p.want(tokOp, ")")
		case "[":
			return p.list()
		case "{":
			return p.dict()
		}
	}
	return nil, p.errorf("unexpected %s", t)
}

func (p *parser) list() (expr, error) {
	var l listOf
	for !p.take(tokOp, "]") {
		if len(l.items) > 0 {
			if err := p.want(tokOp, ","); err != nil {
				return nil, err
			}
			if p.take(tokOp, "]") {
				break
			}
		}
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, x)
	}
	return l, nil
}

func (p *parser) dict() (expr, error) {
	var d dictOf
	for !p.take(tokOp, "}") {
		if len(d.keys) > 0 {
			if err := p.want(tokOp, ","); err != nil {
				return nil, err
			}
			if p.take(tokOp, "}") {
				break
			}
		}
		k, err := p.expr()
		if err == nil {
			err = p.want(tokOp, ":")
		}
		if err != nil {
			return nil, err
		}
		v, err := p.expr()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
	}
	return d, nil
}
