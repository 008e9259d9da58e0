package jinja_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/infer/openai/jinja"
)

func vars() map[string]jinja.Value {
	return map[string]jinja.Value{
		"s": jinja.Foreign("Hello, Wörld!"), "n": int64(7), "f": 2.5, "t": true, "none": nil,
		"list": jinja.From([]any{"b", "a", "c"}),
		"d":    jinja.From(map[string]any{"x": 1, "y": "why", "items": "mine"}),
		"people": jinja.From([]any{
			map[string]any{"name": "Ann", "age": 40, "tags": []any{"p", "q"}},
			map[string]any{"name": "bob", "age": 30},
			map[string]any{"name": "Cy", "age": 30, "admin": true},
		}),
	}
}

// What Python's jinja2 3.1 gives with trim_blocks and lstrip_blocks.
func TestTemplates(t *testing.T) {
	for src, want := range map[string]string{
		// Data, tags and spaces.
		"a\n":                                 "a",
		"a\n\n":                               "a\n",
		"a\r\nb":                              "a\nb",
		"  {% if t %}\n  x\n  {% endif %}\ny": "  x\ny",
		"  {{ n }}\n":                         "  7",
		"a {%- if t -%} b {%- endif -%} c":    "abc",
		"a {%+ if t +%}\n b{% endif %}":       "a \n b",
		"{# c #}\nx{#- c -#} y":               "xy",
		"x  {#+ c +#}\ny":                     "x  \ny",
		"{% raw %}{{ n }}{% endraw %}":        "{{ n }}",
		"{ {% if t %}{{ '}}' }}{% endif %} }": "{ }} }",
		"{{ {'a': {'b': 1}}['a']['b'] }}":     "1",
		"{{- n -}} ":                          "7",

		// Literals and operators.
		`{{ 'a\n\'b\'\x41\u00e9' "c" }}`:                                   "a\n'b'Aéc",
		"{{ 1_000 + 2 * 3 - 4 }}":                                          "1002",
		"{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ -7 % 3 }} {{ 2 ** 3 }}": "3 -4 3.5 2 8",
		"{{ 1.0 }} {{ 1e20 }} {{ 0.1 + 0.2 }}":                             "1.0 1e+20 0.30000000000000004",
		"{{ 'a' + 'b' ~ 1 ~ none ~ t }}":                                   "ab1NoneTrue",
		"{{ 'ab' * 3 }}":                                                   "ababab",
		"{{ [1] + [2, 'x'] }}":                                             "[1, 2, 'x']",
		"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ not t }}":       "True True True False",
		"{{ 'ell' in s }} {{ 'z' not in s }} {{ 'a' in list }} {{ 'x' in d }} {{ 1 in [2] }}": "True True True True False",
		"{{ t and n }} {{ none or 'x' }} {{ 0 or '' or [] }}":                                 "7 x []",
		"{{ 'a' if n > 9 else 'b' if n > 5 else 'c' }}{{ 'x' if false }}":                     "b",
		"{{ (1, 2)[0] }}{{ () | length }}":                                                    "10",
		"{{ -n|abs }}{{ +n }}":                                                                "77",
		"{{ 'it\\'s' }}|{{ ['it\\'s', none, true, 1.5] }}":                                    `it's|["it's", None, True, 1.5]`,

		// Access.
		"{{ d.x }}{{ d['y'] }}{{ d.missing }}{{ list[0] }}{{ list[-1] }}{{ list[9] }}": "1whybc",
		"{{ d['items'] }} {{ d.items() | length }}":                                    "mine 3",
		"{{ s[1:4] }} {{ s[::-1] }} {{ list[:2] }} {{ list[-2:] }} {{ s[8] }}":         "ell !dlröW ,olleH ['b', 'a'] ['a', 'c'] ö",
		"{{ people[0].tags[1] }}":                                                      "q",
		"{{ d.get('z', 5) }}{{ d.get('z') }}{{ d.keys() | join('-') }}":                "5Noneitems-x-y",

		// Statements.
		"{% for x in list %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}":                               "1b,2a,3c",
		"{% for x in [] %}a{% else %}none{% endfor %}":                                                                   "none",
		"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}":                                                        "items=mine;x=1;y=why;",
		"{% for p in people if p.age == 30 %}{{ loop.length }}{{ p.name }}{% endfor %}":                                  "2bob2Cy",
		"{% for x in range(5) %}{% if x == 1 %}{% continue %}{% elif x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}": "02",
		"{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('o', 'e') }} {% endfor %}":      "<b>ao b<a>ce a<c>o ",
		"{% set x = 1 %}{% for i in list %}{% set x = 2 %}{% endfor %}{{ x }}":                                           "1",
		"{% set ns = namespace(n=0) %}{% for i in list %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}":       "6",
		"{% set a, b = 1, 2 %}{{ a + b }}":                                                                               "3",
		"{% set x %}a{{ n }}{% endset %}{{ x | upper }}":                                                                 "A7",
		"{% set x | trim | upper %} b {% endset %}{{ x }}":                                                               "B",
		"{% if false %}a{% elif t %}b{% else %}c{% endif %}":                                                             "b",
		"{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(3, b=4) }}":                                     "1234",
		"{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}x{% endcall %}":                                      "<x>",
		"{% filter upper %}a{{ s }}{% endfilter %}":                                                                      "AHELLO, WÖRLD!",
		"{% generation %}a{% endgeneration %}":                                                                           "a",
		"{% with y = 2 %}{{ y }}{% endwith %}{{ y is defined }}":                                                         "2False",
		"{% set m = [1, 2] %}{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*m) }}":                                 "12",

		// Methods, filters, tests.
		"{{ s.upper() }} {{ s.lower() }} {{ 'a b'.title() }} {{ 'aB'.capitalize() }}":                                                                          "HELLO, WÖRLD! hello, wörld! A B Ab",
		"{{ ' a '.strip() }}|{{ 'xxa'.lstrip('x') }}|{{ 'axx'.rstrip('x') }}":                                                                                  "a|a|a",
		"{{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1)[1] }} {{ ' a  b '.split() }} {{ 'a,b,c'.rsplit(',', 1) }}":                                          "['a', 'b', 'c'] b,c ['a', 'b'] ['a,b', 'c']",
		"{{ s.startswith('He') }} {{ s.endswith(('a', '!')) }} {{ s.find('W') }} {{ s.replace('l', 'L', 1) }}":                                                 "True True 7 HeLlo, Wörld!",
		"{{ 'a\nb\n'.splitlines() }} {{ '-'.join(list) }} {{ 'abc'.removeprefix('a') }} {{ 'aaa'.count('a') }}":                                                "['a', 'b'] b-a-c bc 3",
		"{{ s | length }} {{ list | first }} {{ list | last }} {{ list | sort | join }} {{ list | reverse | list }}":                                           "13 b c abc ['c', 'a', 'b']",
		"{{ missing | default('x') }} {{ '' | default('y', true) }} {{ none | d('z') }}":                                                                       "x y None",
		"{{ people | map(attribute='name') | join(', ') }} {{ people | selectattr('admin') | map(attribute='name') | list }}":                                  "Ann, bob, Cy ['Cy']",
		"{{ people | selectattr('age', 'equalto', 30) | list | length }} {{ people | rejectattr('age', 'gt', 30) | list | length }}":                           "2 2",
		"{{ [1, 2, 3] | select('odd') | list }} {{ ['a', ''] | select | list }} {{ [1, 2] | reject('eq', 1) | list }} {{ ['a'] | map('upper') | list }}":       "[1, 3] ['a'] [2] ['A']",
		"{{ people | sort(attribute='age') | map(attribute='name') | join(',') }} {{ [3, 1] | max }} {{ [3, 1] | sum }} {{ ['a', 'A', 'b'] | unique | list }}": "bob,Cy,Ann 3 4 ['a', 'b']",
		"{{ '42' | int + 1 }} {{ 'x' | int }} {{ '1.5' | float }} {{ 2.567 | round(1) }} {{ 7 | string ~ 'x' }}":                                               "43 0 1.5 2.6 7x",
		"{{ d | tojson }} {{ [1, 'é\"', none] | tojson }} {{ {'a': [1]} | tojson(indent=2) }}":                                                                 "{\"items\": \"mine\", \"x\": 1, \"y\": \"why\"} [1, \"é\\\"\", null] {\n  \"a\": [\n    1\n  ]\n}",
		"{{ 'a\nb' | indent(2) }} {{ '<a>' | e }} {{ ' a ' | trim }}":                                                                                          "a\n  b &lt;a&gt; a",
		"{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}":                                                                              "a2b1",
		"{{ missing is defined }} {{ n is defined }} {{ none is none }} {{ s is string }} {{ d is mapping }} {{ list is iterable }} {{ n is number }}":         "False True True True True True True",
		"{{ 4 is divisibleby 2 }} {{ 3 is odd }} {{ t is true }} {{ n is not none and n is integer }} {{ 'a' is in ['a'] }}":                                   "True True True True True",
	} {
		tm, err := jinja.Parse(src)
		require.NoError(t, err, src)
		got, err := tm.Render(vars())
		require.NoError(t, err, src)
		require.Equal(t, want, got.String(), src)
	}
}

func TestErrors(t *testing.T) {
	for src, why := range map[string]string{
		"{{ n":                               "does not end",
		"{% if t %}a":                        "missing",
		"a\n{% endif %}":                     `"endif" ends nothing`,
		"{% for x in list %}{% endif %}":     "missing",
		"{% include 'x' %}":                  "no {% include %}",
		"{% import 'x' as y %}":              "no {% import %}",
		"{{ n ? 1 }}":                        "unexpected",
		"{{ 'a }}":                           "string does not end",
		"{{ (n }}":                           "line 1",
		"{# a":                               "comment does not end",
		"{% raw %}a":                         "does not end",
		"{% break %}":                        "outside",
		"{% set 5 = n %}":                    "can be set",
		"{% set d.x = 1 %}":                  "only a namespace's",
		"\n\n{{ missing.x }}":                "line 3: missing is undefined",
		"{{ n + 'a' }}":                      "makes no sense",
		"{{ n() }}":                          "can't be called",
		"{{ s | nothing }}":                  "no filter nothing",
		"{{ s is nothing }}":                 "no test nothing",
		"{{ 1 // 0 }}":                       "division by zero",
		"{{ 9223372036854775807 + 1 }}":      "63 bits",
		"{{ [1, 'a'] | sort }}":              "no order",
		"{% for a, b in list %}{% endfor %}": "1 values for the 2 variables",
		"{{ s.__class__.__mro__ }}":          "undefined",
		"{{ range(1, 2, 0) }}":               "step of 0",
		"{{ raise_exception('no ' ~ n) }}":   "no 7",
	} {
		tm, err := jinja.Parse(src)
		if err == nil {
			_, err = tm.Render(vars())
		}
		require.ErrorIs(t, err, jinja.ErrTemplate, src)
		require.ErrorContains(t, err, why, src)
	}
}

func TestRaised(t *testing.T) {
	tm, err := jinja.Parse("{% if n == 7 %}{{ raise_exception('roles must alternate') }}{% endif %}")
	require.NoError(t, err)
	_, err = tm.Render(vars())
	var raised *jinja.Raised
	require.ErrorAs(t, err, &raised)
	require.Equal(t, "roles must alternate", raised.Message)
}

// TestBudget holds that a hostile template ends soon, with an error, and takes no memory to
// speak of.
func TestBudget(t *testing.T) {
	for name, src := range map[string]string{
		"long loop":        "{% for i in range(100000000000) %}{% endfor %}",
		"loops":            "{% for i in range(2000) %}{% for j in range(2000) %}{{ i }}{% endfor %}{% endfor %}",
		"doubling":         "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"repeating":        "{{ 'a' * 1000000000000 }}",
		"lists":            "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
		"lists in lists":   "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
		"the same as JSON": "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
		"comparing":        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
		"searching":        "{% set a = 'a' * 1000000 %}{% for i in range(100000) %}{{ 'b' in a }}{% endfor %}",
		"recursion":        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"replace":          "{% set a = 'a' * 100000 %}{{ a.replace('a', a) }}",
		"join":             "{% set a = 'a' * 100000 %}{{ (a | list) | join(a) }}",
		"indent":           "{% set a = '\\n' * 1000000 %}{{ a | indent(1000) }}",
		"deep source":      "{{ " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + " }}",
		"deep lists":       "{{ " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + " }}",
		"deep blocks":      strings.Repeat("{% if t %}", 5000) + strings.Repeat("{% endif %}", 5000),
		"many elifs":       "{% if f %}" + strings.Repeat("{% elif f %}", 5000) + "{% endif %}",
		"many nots":        "{{ " + strings.Repeat("not ", 5000) + "t }}",
		"many filters":     "{{ 1" + strings.Repeat("|string", 5000) + " }}",
		"long sum":         "{{ 1" + strings.Repeat("+1", 5000) + " }}",
		"long source":      strings.Repeat("a", 1<<20),
	} {
		tm, err := jinja.Parse(src)
		if err == nil {
			_, err = tm.Render(vars())
		}
		require.ErrorIs(t, err, jinja.ErrTemplate, name)
	}
}

// TestWhereTextComesFrom holds that a text's bytes from outside are known through whatever
// a template does with it.
func TestWhereTextComesFrom(t *testing.T) {
	const mine = "<>"
	for _, src := range []string{
		"{{ x }}", "{{ 'a' + x + 'b' }}", "{{ 'a' ~ x ~ 1 }}", "{{ x | trim }}", "{{ x.strip().upper().lower() }}", "{{ x | title | capitalize }}",
		"{{ x[1:] }}", "{{ x[::-1] }}", "{{ x.split('q')[0] }}", "{{ [x, x] | join('a') }}", "{{ x | list | join }}", "{{ x.replace('q', 'r') }}",
		"{{ x | tojson }}", "{{ {'k': x} }}", "{{ [x] | map('upper') | first }}", "{{ x | indent }}", "{{ x | string | safe }}", "{{ x * 2 }}",
		"{% set y %}{{ x }}{% endset %}{{ y }}", "{% for c in x %}{{ c }}{% endfor %}", "{{ x | default('a') }}", "{{ x.splitlines() | last }}",
		"{{ {'k': x} | dictsort }}", "{{ x | e }}", "{{ x.removeprefix('q') }}", "{{ ['b', x] | sort | first }}", "{{ x.title() }}", "{{ 'a'.join([x, x]) }}",
	} {
		tm, err := jinja.Parse(src)
		require.NoError(t, err, src)
		got, err := tm.Render(map[string]jinja.Value{"x": jinja.Foreign("  ĄĄ" + mine + "ĄĄ  ")})
		require.NoError(t, err, src)
		s := got.String()
		found := false
		for i, r := range s {
			if r == 'Ą' || r == 'ą' || r == '<' || r == '>' {
				found = true
				require.False(t, got.Clean(i, i+1), "%s: byte %d of %q", src, i, s)
			}
		}
		require.True(t, found, src)
	}
	tm, err := jinja.Parse("{{ x }}-{{ x.replace('a', 'bb') }}")
	require.NoError(t, err)
	got, err := tm.Render(map[string]jinja.Value{"x": jinja.Foreign("cac")})
	require.NoError(t, err)
	var clean strings.Builder
	for i := range got.String() {
		if got.Clean(i, i+1) {
			clean.WriteByte(got.String()[i])
		}
	}
	require.Equal(t, "-bb", clean.String(), "what the template puts in a text is the template's")
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"{% for m in messages %}{{ m.role | upper ~ m['content'][1:] }}{% else %}x{% endfor %}", "{% set a, b = 1, [2] %}{{ a in b and not a is none }}",
		"{% macro f(a, b=1) %}{{ caller() }}{% endmacro %}{% call f(1) %}{% endcall %}", "{{ '\\u00e9' * 3 | tojson }}{# x #}{%- raw -%} a {%- endraw -%}",
		"{{ range(3) | list | sum }}{{ 'a,b'.split(',', 1) | join(attribute=0) }}", "{{ 1 if 2 else 3 }}{{ x[::-2] }}{{ -1 ** 2 }}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tm, err := jinja.Parse(src)
		if err != nil {
			require.ErrorIs(t, err, jinja.ErrTemplate)
			return
		}
		v := vars()
		v["messages"] = jinja.From([]any{map[string]any{"role": "user", "content": "hi"}})
		out, err := tm.Render(v)
		if err != nil {
			require.ErrorIs(t, err, jinja.ErrTemplate)
			return
		}
		out.Clean(0, len(out.String()))
	})
}
