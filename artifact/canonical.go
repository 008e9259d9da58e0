package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrCanonical marks JSON that is not in the form that Canonical writes.
var ErrCanonical = errors.New("not canonical JSON")

const (
	maxJSONDepth = 32
	maxJSONInt   = 1<<53 - 1 // what every JSON reader holds exactly
)

// Canonical writes v, as encoding/json sees it, in the one form that RFC 8785 gives it:
// keys sorted by their UTF-16 code units, no white space, the shortest escapes. Of that
// RFC's numbers it takes only the whole ones up to 2⁵³−1 in size; there is no second way
// to write those.
func Canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	tree, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, tree), nil
}

// decodeCanonical reads a T from the form that Canonical writes it in and refuses every
// other: unknown fields, fields twice or in another case, zero values written out that T
// leaves out, more than limit bytes.
func decodeCanonical[T any](b []byte, limit int) (T, error) {
	var v, zero T
	if len(b) > limit {
		return zero, fmt.Errorf("%w: %d bytes, at most %d", ErrCanonical, len(b), limit)
	}
	tree, err := parseJSON(b)
	if err != nil {
		return zero, err
	}
	if !bytes.Equal(appendJSON(nil, tree), b) {
		return zero, fmt.Errorf("%w: another form of the same value", ErrCanonical)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return zero, fmt.Errorf("%w: %w", ErrCanonical, err)
	}
	again, err := Canonical(v)
	if err != nil || !bytes.Equal(again, b) {
		return zero, fmt.Errorf("%w: another form of the same value", ErrCanonical)
	}
	return v, nil
}

// object is a JSON object in any order.
type object map[string]any

// parseJSON reads one JSON value as nil, bool, string, int64, []any or object. It refuses
// a key that an object has twice, about which readers differ.
func parseJSON(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrCanonical)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: at byte %d: %w", ErrCanonical, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the value at byte %d", ErrCanonical, d.InputOffset())
	}
	return v, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, noEOF(err)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return parseArray(d, depth)
		}
		return parseObject(d, depth)
	case json.Number:
		n, err := strconv.ParseInt(token.String(), 10, 64)
		if err != nil || n > maxJSONInt || n < -maxJSONInt || strconv.FormatInt(n, 10) != token.String() {
			return nil, fmt.Errorf("the number %.40s: want a whole one of at most 2^53-1", token)
		}
		return n, nil
	default:
		return token, nil // nil, bool or string
	}
}

func parseArray(d *json.Decoder, depth int) (any, error) {
	values := []any{}
	for d.More() {
		v, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	_, err := d.Token()
	return values, noEOF(err)
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, noEOF(err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("a key that is no string")
		}
		if _, ok := o[key]; ok {
			return nil, fmt.Errorf("the key %.40q twice", key)
		}
		if o[key], err = parseValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return o, noEOF(err)
}

// noEOF keeps a value that breaks off from looking like the end of a stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case object:
		b = append(b, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, key)
			b = append(b, ':')
			b = appendJSON(b, v[key])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("parseJSON made a %T", v)) // it makes no other types
}

func sortedKeys(o object) []string {
	type key struct {
		text  string
		units []uint16
	}
	keys := make([]key, 0, len(o))
	for k := range o {
		keys = append(keys, key{k, utf16.Encode([]rune(k))})
	}
	slices.SortFunc(keys, func(a, b key) int { return slices.Compare(a.units, b.units) })
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k.text
	}
	return texts
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\f':
			b = append(b, `\f`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
