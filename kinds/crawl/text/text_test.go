package text_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl/text"
)

// Golden files hold the text form: a change of any of them needs a new text.Version.
// CANTUS_REWRITE=1 rewrites them.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.html")
	require.NoError(t, err)
	plain, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	names = append(names, plain...)
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in, err := os.ReadFile(name)
			require.NoError(t, err)
			mediaType := "text/html"
			if strings.HasSuffix(name, ".txt") {
				mediaType = "text/plain"
			}
			p, err := text.Extract(in, mediaType, "", "http://example.org/dir/page.html?q#f")
			require.NoError(t, err)
			got, err := json.MarshalIndent(p, "", "\t")
			require.NoError(t, err)
			golden := name + ".json"
			if os.Getenv("CANTUS_REWRITE") != "" {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a b":                                    "a b",
		" a \n\t b ":                             "a b",
		"a<b>b</b>c":                             "abc",
		"a<p>b</p>c":                             "a\nb\nc",
		"<div><div>a</div></div><p>b":            "a\nb",
		"a<br>b<br><br>c":                        "a\nb\nc",
		"<table><tr><td>a<td>b<tr><th>c</table>": "a\tb\nc",
		"<ul><li>a<li>b</ul>":                    "a\nb",
		"a<script>x<p></script>b":                "ab",
		"a<style>x</style>b":                     "ab",
		"a<!-- x -->b":                           "ab",
		"a<svg><text>x</text><svg>y</svg>z</svg>b": "ab",
		"a<template><p>x</template>b":              "ab",
		"a<noscript>x</noscript>b":                 "ab",
		"a<textarea>x</textarea>b":                 "ab",
		"<title>t</title>a":                        "a",
		"<pre>  a\n    b\n\n\n\nc </pre> d":        "  a\n    b\n\nc\nd",
		"<pre>a</pre><p>b  c":                      "a\nb c",
		"a&nbsp;b&#8195;c":                         "a b c",
		"a<pre>\nb\n\nc</pre>":                     "a\nb\n\nc",
		"so&shy;ft&#8203;ly":                       "softly",
		"&lt;p&gt;":                                "<p>",
		"a\x00b\x01c\x7f":                          "abc",
		"<option>a<option>b":                       "a\nb",
		"a</br>b":                                  "a\nb",
		"a<iframe>x</iframe>b":                     "ab",
		"":                                         "",
		"<p> </p><p>\n</p>":                        "",
		"x<xmp><b>&lt;</xmp>y":                     "x\n<b>&lt;\ny",
		"\xff\xfe":                                 "",
		"caf\xe9":                                  "café",
		"caf\xc3\xa9":                              "café",
		"\xef\xbb\xbfcaf\xc3\xa9\xff":              "café\ufffd",
		"<meta charset=koi8-r>\xd0\xd2\xc9":        "при",
	} {
		p, err := text.Extract([]byte(in), "text/html", "", "http://example.org/")
		require.NoError(t, err)
		require.Equal(t, want, p.Text, "%q", in)
	}
}

func TestCharset(t *testing.T) {
	for _, c := range []struct{ body, label, charset, text string }{
		{"caf\xe9", "iso-8859-1", "windows-1252", "café"},
		{"caf\xe9", "no such thing", "windows-1252", "café"},
		{"\x93\xfa\x96\x7b", "Shift_JIS", "shift_jis", "日本"},
		{"<meta charset=utf-8>caf\xe9", "windows-1252", "windows-1252", "café"},
		{"\xef\xbb\xbfcaf\xc3\xa9", "windows-1252", "utf-8", "café"},
		{"\xff\xfea\x00b\x00", "", "utf-16le", "ab"},
		{"<meta http-equiv=content-type content='text/html; charset=iso-8859-2'>\xb1", "", "iso-8859-2", "ą"},
		{"abc", "iso-2022-kr", "replacement", "\ufffd"},
		{strings.Repeat("ascii ", 1000) + "caf\xc3\xa9", "", "utf-8", strings.Repeat("ascii ", 1000) + "café"},
	} {
		p, err := text.Extract([]byte(c.body), "text/html", c.label, "http://example.org/")
		require.NoError(t, err)
		require.Equal(t, c.charset, p.Charset, "%q", c.body)
		require.Equal(t, c.text, p.Text, "%q", c.body)
	}
	p, err := text.Extract([]byte("<b>caf\xe9</b>\r\n  x\n\n\n<meta charset=utf-8>"), "text/plain", "latin1", "")
	require.NoError(t, err)
	require.Equal(t, "<b>café</b>\n  x\n\n<meta charset=utf-8>", p.Text)
	require.Empty(t, p.Links)
	_, err = text.Extract(nil, "image/png", "", "")
	require.ErrorIs(t, err, text.ErrMediaType)
}

func TestLinks(t *testing.T) {
	for in, want := range map[string]string{
		"<a href=b>":                       "http://h/d/b",
		"<a href='/b#x'>":                  "http://h/b",
		"<a href='?b'>":                    "http://h/d/p?b",
		"<a href='//o/b'>":                 "http://o/b",
		"<a href='https://o/b'>":           "https://o/b",
		"<a href='HTTP://O/b'>":            "http://O/b",
		"<a href='http:b'>":                "http://h/d/b",
		`<a href='\b'>`:                    "http://h/b",
		"<a href=' \nb\tc\n '>":            "http://h/d/bc",
		"<a href='../x/./y'>":              "http://h/d/../x/./y",
		"<a href=b><a href=b#1><a href=c>": "http://h/d/b http://h/d/c",
		"<a href='#x'><a href=''><a>":      "",
		"<a href='mailto:a@b'><a href=javascript:x><a href=data:,>": "",
		"<a href='p?q'>":                           "",
		"<a href=b rel='x NoFollow'>":              "",
		"<a href=b rel=nofollowing>":               "http://h/d/b",
		"<area href=a><frame src=f><iframe src=i>": "http://h/d/a http://h/d/f http://h/d/i",
		"<link rel=next href=n><link rel=stylesheet href=s><link rel='alternate stylesheet' href=t>": "http://h/d/n",
		"<base href='/other/'><a href=b>":                  "http://h/other/b",
		"<a href=b><base href='//o/'><base href=/x/>":      "http://o/b",
		"<base href='ftp://x/'><a href=b>":                 "http://h/d/b",
		"<meta http-equiv=refresh content=\"0; URL='n'\">": "http://h/d/n",
		"<meta http-equiv=refresh content=5>":              "",
		"<A HREF=b>":                                       "http://h/d/b",
		"<a href=b href=c>":                                "http://h/d/b",
		"<svg><a href=b></a></svg>":                        "http://h/d/b",
		"<script><a href=b></script>":                      "",
		"<a href='b?x=1&amp;y=2'>":                         "http://h/d/b?x=1&y=2",
	} {
		p, err := text.Extract([]byte(in), "text/html", "", "http://h/d/p?q#f")
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(p.Links, " "), "%q", in)
	}
}

func TestDirectives(t *testing.T) {
	for in, want := range map[string][2]bool{
		"<meta name=robots content=noindex>":              {true, false},
		"<meta name=ROBOTS content='NOFOLLOW , NOINDEX'>": {true, true},
		"<meta name=robots content=none>":                 {true, true},
		"<meta name=robots content='index, follow'>":      {false, false},
		"<meta name=robot content=noindex>":               {false, false},
		"<meta content=nofollow name=robots>":             {false, true},
		"<meta name=robots content=noindexing>":           {false, false},
	} {
		p, err := text.Extract([]byte(in), "text/html", "", "http://h/")
		require.NoError(t, err)
		require.Equal(t, want, [2]bool{p.NoIndex, p.NoFollow}, in)
	}
}

func TestLanguage(t *testing.T) {
	for attr, want := range map[string]string{
		"en": "en", "EN-us": "en-US", "pt_BR": "pt-BR", "zh-hans-cn": "zh-Hans-CN", "es-419": "es-419",
		"de-DE-1996": "de-DE", "": "", "x": "", "english": "", "und": "", "e1": "", "en--us": "",
	} {
		p, err := text.Extract([]byte("<html lang='"+attr+"'>1"), "text/html", "", "http://h/")
		require.NoError(t, err)
		require.Equal(t, want, p.Language, attr)
	}
	for want, s := range map[string]string{
		"en": "The quick brown fox jumps over the lazy dog and this is what it was for",
		"de": "Der schnelle Fuchs springt über den faulen Hund, und das ist nicht für alle",
		"fr": "Le renard rapide saute par-dessus le chien paresseux et ce n'est pas pour vous",
		"es": "El zorro rápido salta sobre el perro perezoso y esto no es para los que están",
		"ru": "Быстрая лиса прыгает через ленивую собаку, и это не для всех, кто так может",
		"uk": "Швидка лисиця стрибає через ледачого пса, і це не для всіх, хто може бути",
		"ja": "素早い茶色の狐がのろまな犬を飛び越えます。これはテストの文章です。",
		"zh": "敏捷的棕色狐狸跳过懒狗。这是一个测试句子,用来检查语言检测。",
		"ko": "빠른 갈색 여우가 게으른 개를 뛰어넘습니다. 이것은 시험 문장입니다.",
		"ar": "الثعلب البني السريع يقفز فوق الكلب الكسول وهذا ليس لكل الناس",
		"el": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί και αυτό είναι",
		"":   "x = y + 1; return foo(bar, baz, qux)",
	} {
		require.Equal(t, want, text.DetectLanguage(s), s)
	}
}

// What a page holds is bounded, whatever the page is.
func TestBounds(t *testing.T) {
	for name, in := range map[string]string{
		"long text":       strings.Repeat("wörd ", 2<<20),
		"one word":        strings.Repeat("é", 6<<20),
		"long title":      "<title>" + strings.Repeat("tïtle ", 1000) + "</title>",
		"many links":      strings.Repeat("<a href=x>", 1<<18),
		"nesting":         strings.Repeat("<pre>", 1<<18) + " x",
		"hidden":          strings.Repeat("<svg>", 1<<18) + " x",
		"long link":       "<a href='" + strings.Repeat("x", 1<<20) + "'>",
		"unclosed":        "<a href='" + strings.Repeat("x", 1<<20),
		"many attributes": "<a " + strings.Repeat("a=b ", 1<<19) + "href=x>",
		"spaces in pre":   "<pre>" + strings.Repeat(" ", 4<<20) + "x",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := text.Extract([]byte(in), "text/html", "", "http://h/")
			require.NoError(t, err)
			require.LessOrEqual(t, len(p.Text), text.MaxText)
			require.LessOrEqual(t, len(p.Title), text.MaxTitle)
			require.LessOrEqual(t, len(p.Links), 20_000)
			require.True(t, utf8.ValidString(p.Text) && utf8.ValidString(p.Title))
		})
	}
}

func TestSimilarity(t *testing.T) {
	a := "one two three four five six seven eight nine ten"
	require.Equal(t, 1.0, text.Similarity(a, a))
	require.Equal(t, 1.0, text.Similarity(a, strings.ToUpper(a)+"!"))
	require.Equal(t, 1.0, text.Similarity("", " "))
	require.Equal(t, 0.0, text.Similarity(a, ""))
	require.Equal(t, 0.0, text.Similarity(a, "nothing like it at all"))
	// Eight shingles against nine, seven of them shared.
	require.Equal(t, 0.7, text.Similarity(a, "one two three four five six seven eight nine zehn elf")+0.0)
	require.Equal(t, text.Similarity(a, a+" "+a), text.Similarity(a+" "+a, a))
	require.Less(t, text.Similarity(a, a+" "+a), 0.5, "repetition counts")
	require.Greater(t, text.Similarity("素早い茶色の狐がのろまな犬を飛び越えます", "素早い茶色の狐がのろまな犬を飛び越えました"), 0.7)

	require.Zero(t, text.SimHash(""))
	long := strings.Repeat(a+" eleven twelve ", 1) + strings.Join(strings.Split("abcdefghijklmnopqrstuvwxyz", ""), " ")
	require.Less(t, distance(text.SimHash(long), text.SimHash(long+" more")), 10)
	require.Greater(t, distance(text.SimHash(long), text.SimHash("entirely other words that have nothing to do with it")), 15)
}

func distance(a, b uint64) (n int) {
	for x := a ^ b; x != 0; x &= x - 1 {
		n++
	}
	return n
}

func TestAgree(t *testing.T) {
	words := strings.Repeat("lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor ", 1)
	for i := range 40 {
		words += strings.Repeat(string(rune('a'+i%26)), 1+i%7) + " "
	}
	require.True(t, text.Agree(words, words, words))
	require.True(t, text.Agree(words+"at 9 o'clock", words+"at 10 o'clock", words+"at 10 o'clock"))
	require.False(t, text.Agree("another page altogether, with other words on it", words, words))
	require.False(t, text.Agree("", words, words))
	require.False(t, text.Agree(words+strings.Repeat(" buy this now or never ", 20), words+"at 9", words+"at 10"))
	require.True(t, text.Agree("", "", "x"))
}

// CANTUS_PAGES names HTML files whose lang attribute is to be believed.
func TestLanguageOfRealPages(t *testing.T) {
	root := os.Getenv("CANTUS_PAGES")
	if root == "" {
		t.Skip("set CANTUS_PAGES to a directory with HTML files that say their language")
	}
	type score struct{ right, none, wrong int }
	scores := map[string]*score{}
	mistakes := map[string]int{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.Contains(filepath.Base(path), ".html") || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p, err := text.Extract(b, "text/html", "", "http://h/")
		if err != nil {
			return err
		}
		lang, _, _ := strings.Cut(p.Language, "-")
		if lang == "" || len(p.Text) < 500 {
			return nil
		}
		if scores[lang] == nil {
			scores[lang] = new(score)
		}
		switch got := text.DetectLanguage(p.Text); got {
		case lang:
			scores[lang].right++
		case "":
			scores[lang].none++
		default:
			scores[lang].wrong++
			mistakes[lang+" as "+got]++
		}
		return nil
	}))
	for l, s := range scores {
		t.Logf("%s: %d right, %d undecided, %d wrong", l, s.right, s.none, s.wrong)
	}
	t.Log(mistakes)
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("<html lang=en><title>x</title><p>a<pre> b\n\n c</pre><a href='//x/y#z'>"), "utf-8", "http://h/d/p?q")
	f.Add([]byte("\xff\xfea\x00"), "", "https://[::1]:8/")
	f.Add([]byte("<meta charset=gb18030><svg><base href='\\\\a'><meta name=robots content=none>"), "big5", "x")
	f.Fuzz(func(t *testing.T, body []byte, charset, base string) {
		for _, mt := range []string{"text/html", "application/xhtml+xml", "text/plain"} {
			p, err := text.Extract(body, mt, charset, base)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := text.Extract(body, mt, charset, base)
			if again.Text != p.Text || again.SimHash != p.SimHash {
				t.Fatal("two texts of the same bytes")
			}
			if !utf8.ValidString(p.Text) || !utf8.ValidString(p.Title) || strings.ContainsAny(p.Text, "\r\x00\x7f") {
				t.Fatalf("text %q, title %q", p.Text, p.Title)
			}
			if strings.TrimRight(p.Text, " \t\n") != p.Text || strings.Contains(p.Text, "\n\n\n") || strings.Contains(p.Text, " \n") {
				t.Fatalf("white space in %q", p.Text)
			}
			for _, l := range p.Links {
				if !strings.HasPrefix(l, "http://") && !strings.HasPrefix(l, "https://") || strings.ContainsAny(l, "#\n\t") {
					t.Fatalf("link %q", l)
				}
			}
		}
	})
}
