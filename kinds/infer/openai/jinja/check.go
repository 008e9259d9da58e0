package jinja

import (
	"fmt"
	"strings"
)

// test is what follows "is".
func (r *renderer) test(what string, v Value, args []Value) (bool, error) {
	a := arguments{what, args, nil}
	with := func() (Value, error) {
		if len(args) != 1 {
			return nil, fmt.Errorf("test %s wants one argument", what)
		}
		return args[0], nil
	}
	switch what {
	case "defined":
		_, ok := v.(undefined)
		return !ok, nil
	case "undefined":
		_, ok := v.(undefined)
		return ok, nil
	case "none":
		return v == nil, nil
	case "true":
		return v == true, nil
	case "false":
		return v == false, nil
	case "boolean":
		_, ok := v.(bool)
		return ok, nil
	case "string":
		_, ok := v.(Text)
		return ok, nil
	case "integer":
		_, ok := v.(int64)
		return ok, nil
	case "float":
		_, ok := v.(float64)
		return ok, nil
	case "number":
		_, _, _, ok := numeric(v)
		return ok, nil
	case "mapping":
		_, ok := v.(*Dict)
		return ok, nil
	case "sequence", "iterable":
		_, err := items(v)
		return err == nil, nil
	case "callable":
		_, ok := v.(*Func)
		return ok, nil
	case "odd", "even":
		i, _, isInt, ok := numeric(v)
		if !ok || !isInt {
			return false, fmt.Errorf("test %s: a %s is no integer", what, kind(v))
		}
		return (i%2 != 0) == (what == "odd"), nil
	case "divisibleby":
		i, _, isInt, ok := numeric(v)
		n, err := a.integer(0, "num", 0)
		if err != nil || !ok || !isInt || n == 0 {
			return false, fmt.Errorf("test divisibleby wants integers, and not 0")
		}
		return i%n == 0, nil
	case "lower", "upper":
		t, err := r.written(v)
		return cased(t, what == "upper"), err
	case "startswith", "endswith":
		t, ok := v.(Text)
		x, err := a.text(0, "prefix")
		if what == "startswith" {
			return ok && strings.HasPrefix(t.s, x.s), err
		}
		return ok && strings.HasSuffix(t.s, x.s), err
	}
	ops := map[string]string{
		"eq": "==", "equalto": "==", "sameas": "==", "ne": "!=", "lt": "<", "lessthan": "<", "le": "<=",
		"gt": ">", "greaterthan": ">", "ge": ">=", "in": "in",
	}
	op, ok := ops[what]
	if !ok {
		return false, fmt.Errorf("there is no test %s in chat templates", what)
	}
	x, err := with()
	if err != nil {
		return false, err
	}
	return r.relation(op, v, x)
}
