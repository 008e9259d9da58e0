package robots

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jimsmart/grobotstxt"
	"github.com/stretchr/testify/require"
)

func TestAllowed(t *testing.T) {
	for _, c := range []struct{ name, body, yes, no string }{
		{"empty", "", "/ /a", ""},
		{"all", "User-agent: *\nDisallow: /", "/robots.txt", "/ /a /?x"},
		{"empty rule", "User-agent: *\nDisallow:", "/", ""},
		{"longest wins", "User-agent: *\nDisallow: /a\nAllow: /a/b", "/ /a/b /a/bc", "/a /a/c /ab"},
		{"allow wins ties", "User-agent: *\nDisallow: /a\nAllow: /a", "/a", ""},
		{"star and end", "User-agent: *\nDisallow: /*.gif$\nDisallow: /x*y*z", "/a.gif?x /xy", "/a.gif /b/c.gif /xyz /x1y2z3"},
		{"own group alone counts", "User-agent: *\nDisallow: /\nUser-agent: cantusbot\nDisallow: /p", "/ /q", "/p"},
		{"own group may be empty", "User-agent: *\nDisallow: /\n\nUser-agent: CantusBot\n", "/", ""},
		{"groups of one robot merge", "User-agent: CantusBot\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: CantusBot/2.0\nDisallow: /b", "/c", "/a /b"},
		{"other robot", "User-agent: Other\nDisallow: /", "/", ""},
		{"several agents", "User-agent: Other\nUser-agent: CantusBot\nDisallow: /a", "/", "/a"},
		{"index page", "User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/ /d/index.html", "/d/x /"},
		{"typo and case", "uSeR-aGeNt: *\ndissallow: /a", "/", "/a"},
		{"comments", "User-agent: * # all\nDisallow: /a # not here", "/", "/a"},
		{"bom and crlf", "\xef\xbb\xbfUser-agent: *\r\nDisallow: /a\r\n", "/", "/a"},
		{"raw non-ASCII", "User-agent: *\nDisallow: /ä\nDisallow: /\u00a0", "/a", "/%C3%A4 /%c3%a4 /%C2%A0"},
		{"escapes", "User-agent: *\nDisallow: /%7Ejoe\nDisallow: /a%3cd", "/", "/~joe /%7ejoe /a%3Cd"},
		{"rules before any agent", "Disallow: /", "/", ""},
		{"binary", "\x00\xff\x01garbage\n:::\n\n  :", "/", ""},
	} {
		f := Parse([]byte(c.body), "CantusBot")
		again := Restore(f.Text())
		for _, p := range strings.Fields(c.yes) {
			require.True(t, f.Allowed(p), "%s: %s", c.name, p)
			require.True(t, again.Allowed(p), "%s kept: %s", c.name, p)
		}
		for _, p := range strings.Fields(c.no) {
			require.False(t, f.Allowed(p), "%s: %s", c.name, p)
			require.False(t, again.Allowed(p), "%s kept: %s", c.name, p)
		}
	}
}

func TestDelayAndSitemaps(t *testing.T) {
	f := Parse([]byte("Sitemap: https://e.example/s.xml\nUser-agent: *\nCrawl-delay: 1.5\nDisallow: /x\nSitemap: /rel\nUser-agent: Other\nCrawl-delay: 90"), "CantusBot")
	require.Equal(t, 1500*time.Millisecond, f.Delay)
	require.Equal(t, []string{"https://e.example/s.xml", "/rel"}, f.Sitemaps)
	require.Equal(t, f.Delay, Restore(f.Text()).Delay)
	for _, bad := range []string{"-1", "x", "NaN", "", "0"} {
		require.Zero(t, Parse([]byte("User-agent: *\nCrawl-delay: "+bad), "CantusBot").Delay, bad)
	}
	for _, long := range []string{"1e300", "Inf", "999999999"} {
		require.Equal(t, MaxDelay, Parse([]byte("User-agent: *\nCrawl-delay: "+long), "CantusBot").Delay, long)
	}
	require.Len(t, Parse([]byte(strings.Repeat("Sitemap: https://e.example/\n", 1000)), "CantusBot").Sitemaps, MaxSitemaps)
}

func TestOfStatus(t *testing.T) {
	for status, want := range map[int][2]bool{ // allowed, final
		302: {true, true}, 404: {true, true}, 403: {true, true}, 410: {true, true},
		429: {false, false}, 500: {false, false}, 503: {false, false}, 0: {false, false},
	} {
		f, final := OfStatus(status)
		require.Equal(t, want, [2]bool{f.Allowed("/x"), final}, "status %d", status)
	}
}

func TestSizeLimit(t *testing.T) {
	body := "User-agent: *\nDisallow: /a\n" + strings.Repeat("#"+strings.Repeat("x", 98)+"\n", MaxSize/100) + "\nDisallow: /b\n"
	f := Parse([]byte(body), "CantusBot")
	require.False(t, f.Allowed("/a"))
	require.True(t, f.Allowed("/b"), "what lies behind the limit does not count")

	f = Parse([]byte("User-agent: *\nCrawl-delay: 9\nDisallow: /x\n"+strings.Repeat("Disallow: /äöüäöüäöüäöü\n", MaxSize/35)), "CantusBot")
	require.Greater(t, len(f.Text()), MaxSize)
	kept := Restore(f.Text())
	require.Equal(t, 9*time.Second, kept.Delay)
	require.False(t, kept.Allowed("/x"), "nothing is lost when the rules are kept")
}

// agree fails where our reading differs from Google's, which is the reference for
// everything but escapes.
func agree(t *testing.T, body, target string) {
	t.Helper()
	if strings.ContainsAny(body+target, "%#") || target == "/robots.txt" || !strings.HasPrefix(target, "/") {
		return
	}
	for i := 0; i < len(body+target); i++ {
		if (body + target)[i] >= 0x80 {
			return
		}
	}
	if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.ContainsAny(target, "\"<>\\^`{|}") {
		return // in no canonical address; the reference escapes more than these once it meets one
	}
	want := grobotstxt.AgentAllowed(body, "CantusBot", "http://e.example"+target)
	require.Equal(t, want, Parse([]byte(body), "CantusBot").Allowed(target), "target %q of\n%s", target, body)
}

func TestAgreesWithGoogle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	lines := []string{"User-agent: *", "User-agent: CantusBot", "User-agent: Cantus", "User-agent: cantusbot/1.0 x", "user agent: *", "", "Crawl-delay: 3", "Sitemap: /s", "nonsense", "Disallow", "Allow /a"}
	path := func() string {
		var sb strings.Builder
		for range 1 + r.IntN(5) {
			sb.WriteString([]string{"/", "a", "b", "*", "$", "index.html", "?", "aa"}[r.IntN(8)])
		}
		return sb.String()
	}
	for range 20_000 {
		var sb strings.Builder
		for range r.IntN(8) {
			switch r.IntN(3) {
			case 0:
				sb.WriteString(lines[r.IntN(len(lines))])
			case 1:
				sb.WriteString("Disallow: /" + path())
			default:
				sb.WriteString("Allow: /" + path())
			}
			sb.WriteByte('\n')
		}
		agree(t, sb.String(), "/"+strings.NewReplacer("*", "a", "$", "b").Replace(path()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("User-agent: *\nDisallow: /*a$\nCrawl-delay: 2"), "/xa")
	f.Add([]byte("User-agent: *\nDisallow: *1"), "/!\"")
	f.Add([]byte("\xef\xbb\xbfUser-agent:CantusBot\nAllow:/ä"), "/%C3%A4")
	f.Fuzz(func(t *testing.T, body []byte, target string) {
		agree(t, string(body), target)
		a := Parse(body, "CantusBot")
		b := Restore(a.Text())
		require.Equal(t, a.Allowed(target), b.Allowed(target))
		require.Equal(t, a.Delay, b.Delay)
		require.Equal(t, string(a.Text()), string(b.Text()))
	})
}
