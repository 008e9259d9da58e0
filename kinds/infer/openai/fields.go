package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds how deep a body's values may lie within each other.
const maxNesting = 32

// fields are those of a JSON object. What is wrong with one of them is kept, the first one
// only, until Err is asked.
type fields struct {
	path string // before the names of parameters: "messages[0]."
	m    map[string]json.RawMessage
	keys []string
	used map[string]bool
	err  error
}

// parseBody takes a request's body apart. Objects with a name twice are refused, as are
// texts that are not UTF-8: two readers could understand them in two ways.
func parseBody(b []byte) (*fields, error) {
	bad := func(why string) error {
		return &failure{status: 400, kind: invalidRequest, message: "We could not parse the JSON body of your request: " + why + "."}
	}
	if !utf8.Valid(b) {
		return nil, bad("it is not UTF-8")
	}
	if depth(b) > maxNesting {
		return nil, bad("its values are nested more than " + strconv.Itoa(maxNesting) + " deep")
	}
	f, err := object(b)
	if err != nil {
		return nil, bad(err.Error())
	}
	return f, nil
}

// depth is how deep values lie within each other; of what is no JSON, any number.
func depth(b []byte) int {
	most, now := 0, 0
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

func object(b []byte) (*fields, error) {
	f := &fields{m: map[string]json.RawMessage{}, used: map[string]bool{}}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		if err != nil {
			return nil, plain(err)
		}
		return nil, errors.New("it is not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, plain(err)
		}
		k := t.(string) // the decoder takes nothing else here
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, plain(err)
		}
		if _, twice := f.m[k]; twice {
			return nil, fmt.Errorf("the name %.60q is there twice", k)
		}
		f.m[k], f.keys = v, append(f.keys, k)
	}
	if _, err := d.Token(); err != nil {
		return nil, plain(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	return f, nil
}

// plain says what is wrong with JSON without Go's words.
func plain(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it breaks off")
	case errors.As(err, &syntax):
		return fmt.Errorf("at byte %d: %s", syntax.Offset, strings.TrimPrefix(syntax.Error(), "json: "))
	}
	return errors.New("it is not JSON")
}

func (f *fields) fail(name, code, format string, a ...any) {
	if f.err == nil {
		f.err = invalid(f.path+name, code, format, a...)
	}
}

// raw is a field that is there and not null.
func (f *fields) raw(name string) (json.RawMessage, bool) {
	f.used[name] = true
	v, ok := f.m[name]
	if !ok || string(v) == "null" {
		return nil, false
	}
	return v, true
}

// typed reads a field that must be of a type. Where it is absent, v stays.
func (f *fields) typed(name, want string, v any) bool {
	raw, ok := f.raw(name)
	if !ok {
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		f.fail(name, codeType, "Invalid type for '%s': expected %s, but got %s instead.", f.path+name, want, describe(raw))
		return false
	}
	return true
}

// describe names the type of a JSON value.
func describe(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return fmt.Sprintf("the number %.24s", raw)
}

func (f *fields) text(name string) (s string, given bool) {
	given = f.typed(name, "a string", &s)
	return s, given
}

func (f *fields) flag(name string) (v bool) {
	f.typed(name, "a boolean", &v)
	return v
}

// integer reads a whole number between bounds.
func (f *fields) integer(name string, least, most int64, otherwise int64) (v int64, given bool) {
	raw, ok := f.raw(name)
	if !ok {
		return otherwise, false
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		// 1e3 and 5.0 are whole numbers too.
		x, ferr := strconv.ParseFloat(string(raw), 64)
		switch {
		case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') || ferr != nil && !errors.Is(ferr, strconv.ErrRange):
			f.fail(name, codeType, "Invalid type for '%s': expected an integer, but got %s instead.", f.path+name, describe(raw))
			return otherwise, false
		case x >= 1<<53:
			v = math.MaxInt64
		case x <= -1<<53:
			v = math.MinInt64
		case x != math.Trunc(x):
			f.fail(name, codeType, "Invalid type for '%s': expected an integer, but got %s instead.", f.path+name, describe(raw))
			return otherwise, false
		default:
			v = int64(x)
		}
		if v == math.MaxInt64 || v == math.MinInt64 {
			if least == math.MinInt64 {
				f.fail(name, codeValue, "Invalid '%s': integer out of range: %.40s does not fit 64 bits.", f.path+name, raw)
				return otherwise, false
			}
		}
	}
	switch {
	case v < least:
		f.fail(name, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= %d, but got %.40s instead.", f.path+name, least, raw)
	case v > most:
		f.fail(name, "integer_above_max_value", "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %.40s instead.", f.path+name, most, raw)
	default:
		return v, true
	}
	return otherwise, false
}

// decimal reads a number between bounds.
func (f *fields) decimal(name string, least, most, otherwise float64) (v float64, given bool) {
	v = otherwise
	raw, ok := f.raw(name)
	if !ok {
		return v, false
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') || err != nil && !errors.Is(err, strconv.ErrRange):
		f.fail(name, codeType, "Invalid type for '%s': expected a decimal, but got %s instead.", f.path+name, describe(raw))
	case x < least:
		f.fail(name, "decimal_below_min_value", "Invalid '%s': decimal below minimum value. Expected a value >= %v, but got %.40s instead.", f.path+name, least, raw)
	case x > most:
		f.fail(name, "decimal_above_max_value", "Invalid '%s': decimal above maximum value. Expected a value <= %v, but got %.40s instead.", f.path+name, most, raw)
	default:
		return x, true
	}
	return v, false
}

// child reads a field that must be an object.
func (f *fields) child(name string) (*fields, bool) {
	raw, ok := f.raw(name)
	if !ok {
		return nil, false
	}
	c, err := f.objectAt(name, raw)
	if err != nil && f.err == nil {
		f.err = err
	}
	return c, err == nil
}

func (f *fields) objectAt(name string, raw json.RawMessage) (*fields, error) {
	if raw[0] != '{' {
		return nil, invalid(f.path+name, codeType, "Invalid type for '%s': expected an object, but got %s instead.", f.path+name, describe(raw))
	}
	c, err := object(raw)
	if err != nil {
		return nil, invalid(f.path+name, codeValue, "Invalid '%s': %s.", f.path+name, err)
	}
	c.path = f.path + name + "."
	return c, nil
}

// list reads a field that must be an array of least to most elements.
func (f *fields) list(name string, least, most int) (list []json.RawMessage, given bool) {
	if !f.typed(name, "an array", &list) {
		return nil, false
	}
	switch {
	case len(list) < least:
		f.fail(name, "empty_array", "Invalid '%s': empty array. Expected an array with minimum length %d, but got an array with length %d instead.", f.path+name, least, len(list))
	case len(list) > most:
		f.fail(name, "array_above_max_length", "Invalid '%s': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", f.path+name, most, len(list))
	default:
		return list, true
	}
	return nil, false
}

// same reports whether a field is absent or one of the values given, as JSON.
func (f *fields) same(name string, values ...string) bool {
	raw, ok := f.raw(name)
	if !ok {
		return true
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return false
	}
	got := b.String()
	if slices.Contains(values, got) {
		return true
	}
	x, err := strconv.ParseFloat(got, 64)
	if err != nil {
		return false
	}
	for _, v := range values {
		if y, err := strconv.ParseFloat(v, 64); err == nil && x == y {
			return true
		}
	}
	return false
}

// ignored are the names of fields that nobody looked at.
func (f *fields) ignored() []string {
	var list []string
	for _, k := range f.keys {
		if !f.used[k] {
			list = append(list, k)
		}
	}
	return list
}
