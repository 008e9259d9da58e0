package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Inputs and outputs of github.com/cyberphone/json-canonicalization, the implementation
// that RFC 8785 was published with, as far as they have whole numbers only.
var canonicalVectors = []struct{ name, in, out string }{
	{
		"structures",
		`{"1": {"f": {"f": "hi","F": 5} ,"\n": 56}, "10": { }, "": "empty", "a": { }, "111": [ { } ], "A": { }}`,
		`{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}`,
	}, {
		"weird",
		`{"\u20ac":"Euro Sign","1":"One","\u0080":"Control\u007f","\ud83d\ude02":"Smiley","\u00f6":"Latin Small Letter O With Diaeresis","\ufb33":"Hebrew Letter Dalet With Dagesh","</script>":"Browser Challenge"}`,
		"{\"1\":\"One\",\"</script>\":\"Browser Challenge\",\"\u0080\":\"Control\u007f\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😂\":\"Smiley\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
	}, {
		"unicode", `{"Unnormalized Unicode":"\u1e0d\u0307"}`, "{\"Unnormalized Unicode\":\"\u1e0d\u0307\"}",
	}, {
		// RFC 8785, section 3.2.2, its string and literals.
		"escapes",
		`{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null, true, false]}`,
		`{"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
	},
}

func TestCanonicalVectors(t *testing.T) {
	for _, v := range canonicalVectors {
		tree, err := parseJSON([]byte(v.in))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if got := string(appendJSON(nil, tree)); got != v.out {
			t.Errorf("%s:\n got %q\nwant %q", v.name, got, v.out)
		}
		if got, err := Canonical(json.RawMessage(v.in)); err != nil || string(got) != v.out {
			t.Errorf("%s: Canonical gave %q, %v", v.name, got, err)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":             ``,
		"a fraction":          `1.5`,
		"a whole fraction":    `56.0`,
		"an exponent":         `1e3`,
		"minus zero":          `-0`,
		"2^53":                `9007199254740992`,
		"more than 64 bits":   `99999999999999999999`,
		"a key twice":         `{"a":1,"a":1}`,
		"a key twice, hidden": `{"a":1,"\u0061":2}`,
		"two values":          `1 2`,
		"an open array":       `[1`,
		"an open object":      `{"a":`,
		"a closed nothing":    `]`,
		"a trailing comma":    `[1,]`,
		"a number as a key":   `{1:2}`,
		"not UTF-8":           "\"\xff\"",
		"too deep":            strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		if v, err := parseJSON([]byte(s)); !errors.Is(err, ErrCanonical) {
			t.Errorf("%s: %q was read as %v, %v", name, s, v, err)
		}
	}
}

func TestDecodeCanonicalIsStrict(t *testing.T) {
	type thing struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}
	if v, err := decodeCanonical[thing]([]byte(`{"a":1,"b":"x"}`), 100); err != nil || v != (thing{1, "x"}) {
		t.Fatalf("the canonical form was read as %+v, %v", v, err)
	}
	for name, s := range map[string]string{
		"white space":        `{"a":1, "b":"x"}`,
		"another order":      `{"b":"x","a":1}`,
		"an unknown field":   `{"a":1,"c":2}`,
		"another case":       `{"A":1}`,
		"an empty field":     `{"a":1,"b":""}`,
		"a missing field":    `{"b":"x"}`,
		"a needless escape":  `{"a":1,"b":"\u0041"}`,
		"half a surrogate":   `{"a":1,"b":"\ud800"}`,
		"another type":       `{"a":"1"}`,
		"null for nothing":   `{"a":1,"b":null}`,
		"something after it": `{"a":1} `,
		"too long":           `{"a":1,"b":"` + strings.Repeat("x", 100) + `"}`,
	} {
		if v, err := decodeCanonical[thing]([]byte(s), 100); !errors.Is(err, ErrCanonical) {
			t.Errorf("%s: %s was read as %+v, %v", name, s, v, err)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, v := range canonicalVectors {
		f.Add([]byte(v.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := parseJSON(b)
		if err != nil {
			return
		}
		once := appendJSON(nil, tree)
		if !json.Valid(once) {
			t.Fatalf("%q became %q, which is no JSON", b, once)
		}
		again, err := parseJSON(once)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", b, once, err)
		}
		if twice := appendJSON(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q and then %q", b, once, twice)
		}
	})
}
