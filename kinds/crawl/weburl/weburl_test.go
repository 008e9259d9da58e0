package weburl

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("a", MaxLength)
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{in: "http://Example.COM", want: "http://example.com/"},
		{in: " https://example.com:443/a/./b/../c?x=1#frag ", want: "https://example.com/a/c?x=1"},
		{in: "http://example.com:80/", want: "http://example.com/"},
		{in: "http://example.com:8080/", want: "http://example.com:8080/"},
		{in: "http://example.com/%2e%2e/x", want: "http://example.com/x"},
		{in: "http://bücher.example/ä?ö#ü", want: "http://xn--bcher-kva.example/%C3%A4?%C3%B6"},
		{in: "http://0x7f.1/", want: "http://127.0.0.1/"},
		{in: "http://[::1]:8080/x", want: "http://[::1]:8080/x"},
		{in: "http:\\\\example.com\\a", want: "http://example.com/a"},
		{in: "http://example.com/?", want: "http://example.com/?"},
		{in: "ht\ntp://exa\tmple.com/", want: "http://example.com/"},
		{in: "ftp://example.com/", err: ErrScheme},
		{in: "mailto:me@example.com", err: ErrScheme},
		{in: "javascript:alert(1)", err: ErrScheme},
		{in: "http://me:secret@example.com/", err: ErrUserinfo},
		{in: "http://me@example.com/", err: ErrUserinfo},
		{in: "http://", err: ErrSyntax},
		{in: "/relative", err: ErrSyntax},
		{in: "", err: ErrSyntax},
		{in: "http://example.com:99999/", err: ErrSyntax},
		{in: "http://exa mple.com/", err: ErrSyntax},
		{in: "http://-0/", err: ErrSyntax},
		{in: "http://0x-7f/", err: ErrSyntax},
		{in: "http://1.%2D0.0.1/", err: ErrSyntax},
		{in: "http://a.-1/", err: ErrSyntax},
		{in: "http://-a.b-1.example/", want: "http://-a.b-1.example/"},
		{in: "http://example.com/" + long, err: ErrTooLong},
		{in: "http://" + strings.Repeat(long, 5), err: ErrTooLong},
		{in: "http://a..b/", err: ErrHost},
		{in: "http://example.com./", err: ErrHost},
		{in: "http://" + strings.Repeat("a", 64) + ".example/", err: ErrHost},
		{in: "http://" + strings.Repeat("abcdefgh.", 30) + "example/", err: ErrHost},
	} {
		u, err := Parse(c.in)
		if c.err != nil {
			require.ErrorIs(t, err, c.err, "%.60q", c.in)
			continue
		}
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, u.String(), c.in)
	}
}

func TestParts(t *testing.T) {
	u, err := Parse("https://www.example.co.uk:8443/a/b/c.html?q=/x/")
	require.NoError(t, err)
	require.Equal(t, "https", u.Scheme())
	require.Equal(t, "www.example.co.uk", u.Host())
	require.Equal(t, "8443", u.Port())
	require.Equal(t, "www.example.co.uk:8443", u.Authority())
	require.Equal(t, "https://www.example.co.uk:8443", u.Origin())
	require.Equal(t, "/a/b/c.html?q=/x/", u.Target())
	require.Equal(t, "https://www.example.co.uk:8443/a/b/", u.Dir())
	require.Equal(t, "example.co.uk", Domain(u.Host()))
	require.Equal(t, "127.0.0.1", Domain("127.0.0.1"))
	require.Equal(t, "[::1]", Domain("[::1]"))
	require.Equal(t, "localhost", Domain("localhost"))
	require.Equal(t, "me.github.io", Domain("x.me.github.io"))

	u, err = Parse("http://[2001:db8::1]/")
	require.NoError(t, err)
	require.Equal(t, "[2001:db8::1]", u.Host())
	require.Equal(t, "80", u.Port())
	u, err = Parse("https://example.com")
	require.NoError(t, err)
	require.Equal(t, "443", u.Port())
}

// agree fails where the fast path and the library differ.
func agree(t *testing.T, base, ref string) {
	t.Helper()
	var b URL
	if base != "" {
		var err error
		if b, err = slow("", base); err != nil {
			return
		}
	}
	got, ok := fast(b, ref)
	if !ok {
		return
	}
	want, err := slow(b.text, ref)
	if cerr := got.check(); cerr != nil {
		require.Error(t, err, "base %q ref %q: fast path gave %q", base, ref, got.text)
		return
	}
	require.NoError(t, err, "base %q ref %q: fast path gave %q", base, ref, got.text)
	require.Equal(t, want, got, "base %q ref %q", base, ref)
}

// stable fails where a canonical address is not its own canonical form.
func stable(t *testing.T, base, ref string) {
	t.Helper()
	var b URL
	if base != "" {
		var err error
		if b, err = Parse(base); err != nil {
			return
		}
	}
	u, err := b.Resolve(ref)
	if err != nil {
		for _, known := range []error{ErrSyntax, ErrScheme, ErrUserinfo, ErrTooLong, ErrHost} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Fatalf("resolve %q against %q: unnamed error %v", ref, base, err)
	}
	again, err := Parse(u.String())
	require.NoError(t, err, "%q", u.String())
	require.Equal(t, u, again)
	require.Equal(t, u.String(), u.Origin()+u.Target())
	require.LessOrEqual(t, len(u.String()), MaxLength)
}

var pieces = []string{
	"http://", "https://", "//", "/", "/", "/", ".", "..", "./", "../", "?", "#", ":", "%2e", "%2E", "%41", "%",
	"example.com", "EXAMPLE.com", "a", "b.c", "x-y_z", "127.0.0.1", "0x7f", "1", "256", "xn--bcher-kva", "[::1]",
	":80", ":443", ":8080", ":0", ":080", "@", "\\", " ", "\t", "é", "|", "^", "'", "\"", "{", "~", "index.html", "q=1&r=2", ";p", ",", "!", "http:", "mailto:",
}

func TestFastPathAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	bases := []string{"", "http://example.com/", "https://example.com:8443/a/b/c?d=e", "http://127.0.0.1:8080/x/", "http://example.com/a/../b/./c"}
	n, hits := 60_000, 0
	for range n {
		var sb strings.Builder
		if r.IntN(3) == 0 {
			sb.WriteString([]string{"http://", "https://"}[r.IntN(2)] + pieces[17+r.IntN(6)])
		}
		for range r.IntN(7) {
			sb.WriteString(pieces[r.IntN(len(pieces))])
		}
		base := bases[r.IntN(len(bases))]
		agree(t, base, sb.String())
		stable(t, base, sb.String())
		if b, err := Parse(base); err == nil {
			if _, ok := fast(b, sb.String()); ok {
				hits++
			}
		}
	}
	require.Greater(t, hits, n/20, "the random addresses hardly ever take the fast path")
}

// TestStandard runs the web platform's own cases, which the library's module carries.
func TestStandard(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nlnwa/whatwg-url").Output()
	if err != nil {
		t.Skipf("the go command can't find the library's sources: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "urltestdata.json"))
	if err != nil {
		t.Skipf("the library's test data is absent: %v", err)
	}
	var rows []json.RawMessage
	require.NoError(t, json.Unmarshal(b, &rows))
	checked := 0
	for _, row := range rows {
		var c struct {
			Input, Href, Hash, Username, Password, Protocol string
			Base                                            *string
			Failure                                         bool
		}
		if json.Unmarshal(row, &c) != nil {
			continue // a comment
		}
		base := ""
		if c.Base != nil {
			base = *c.Base
		}
		agree(t, base, c.Input)
		stable(t, base, c.Input)
		if c.Failure || c.Username != "" || c.Password != "" || (c.Protocol != "http:" && c.Protocol != "https:") {
			continue
		}
		var u URL
		if base == "" || base == "about:blank" {
			u, err = Parse(c.Input)
		} else {
			var bu URL
			if bu, err = Parse(base); err != nil {
				continue // a base of another scheme
			}
			u, err = bu.Resolve(c.Input)
		}
		if errors.Is(err, ErrHost) {
			continue // stricter on purpose
		}
		require.NoError(t, err, c.Input)
		require.Equal(t, strings.TrimSuffix(strings.TrimSuffix(c.Href, c.Hash), "#"), u.String(), "%q against %q", c.Input, base)
		checked++
	}
	require.Greater(t, checked, 150)
}

func FuzzResolve(f *testing.F) {
	f.Add("http://example.com/a/b", "../c?d#e")
	f.Add("", "https://example.com:443/%2e/x")
	f.Add("http://[::1]/", "//127.0.0.1:80")
	f.Add("http:[::]", "//-0")
	f.Fuzz(func(t *testing.T, base, ref string) {
		if len(base) > 3*MaxLength || len(ref) > 3*MaxLength {
			return
		}
		agree(t, base, ref)
		stable(t, base, ref)
	})
}

func BenchmarkResolve(b *testing.B) {
	base, _ := Parse("https://example.com/docs/a/b.html")
	for b.Loop() {
		_, _ = base.Resolve("../c/d.html#anchor")
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		_, _ = Parse("https://example.com/docs/c/d.html")
	}
}
