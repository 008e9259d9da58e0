package crawl_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/worktest"
)

// TestSuite holds the kind to what the network expects of every kind.
func TestSuite(t *testing.T) {
	text := "<title>Page</title><p>" + prose(1, 300) + "<a href=/other>more</a>"
	changed := time.Now().Add(-24 * time.Hour).UTC().Format(http.TimeFormat)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Last-Modified", changed)
		switch r.URL.Path {
		case "/robots.txt":
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "User-agent: *\nDisallow: /private")
		case "/map.xml":
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, "<urlset><url><loc>/page</loc></url></urlset>")
		case "/moved":
			http.Redirect(w, r, "/page", http.StatusMovedPermanently)
		case "/missing":
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, text)
		}
	}))
	sp := spec(t, s.URL, nil)
	good := encode(t, sp)
	bad := map[string][]byte{"nothing": nil, "text": []byte("http://e.example/")}
	for name, change := range map[string]func(*crawl.Spec){
		"no seeds": func(s *crawl.Spec) { s.Seeds = nil }, "no rate": func(s *crawl.Spec) { s.Rate = 0 },
		"scope": func(s *crawl.Spec) { s.Scope = "all" }, "spelling": func(s *crawl.Spec) { s.Seeds[0] += "/../" },
	} {
		b := spec(t, s.URL, nil)
		change(&b)
		bad[name] = encode(t, b)
	}
	worktest.Specs(t, crawl.New(), [][]byte{good}, bad)

	// A forger with a server of its own serves what it likes and records it faithfully.
	forged := func(f crawl.Fetch, response string) func(work.Env, work.Result) (work.Result, error) {
		return func(e work.Env, _ work.Result) (work.Result, error) {
			url := says(t, response)
			dial := e.Dial
			e.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial(ctx, network, strings.Trim(strings.TrimPrefix(url, "http://"), "/"))
			}
			k := crawl.New()
			defer k.Close()
			return k.Execute(t.Context(), e, taskOf(t, sp, f))
		}
	}
	edited := func(change func(*crawl.Record)) func(work.Env, work.Result) (work.Result, error) {
		return func(_ work.Env, r work.Result) (work.Result, error) {
			rec, err := crawl.DecodeRecord(r.Body)
			if err != nil {
				return r, err
			}
			change(&rec)
			r.Body, err = work.Encode(rec)
			return r, err
		}
	}
	type forge = map[string]func(work.Env, work.Result) (work.Result, error)
	var cases []worktest.Case
	for _, c := range []struct {
		path  string
		mode  crawl.Mode
		forge forge
	}{
		{"/page", crawl.ModePage, forge{
			"other title":      edited(func(r *crawl.Record) { r.Title = "Buy" }),
			"other link":       edited(func(r *crawl.Record) { r.Links = []string{"http://spam.example/"} }),
			"other blob":       edited(func(r *crawl.Record) { r.Digest[3] ^= 1 }),
			"a sentence more":  forged(page(s.URL+"/page"), okHead+"\r\n"+text+" Buy now."),
			"another page":     forged(page(s.URL+"/page"), okHead+"\r\n"+prose(9, 300)),
			"said to be gone":  forged(page(s.URL+"/page"), "HTTP/1.1 404 Not Found\r\n\r\n"),
			"said to be moved": forged(page(s.URL+"/page"), "HTTP/1.1 301 Moved\r\nLocation: http://spam.example/\r\n\r\n"),
		}},
		{"/robots.txt", crawl.ModeRobots, forge{
			"all forbidden": forged(crawl.Fetch{Mode: crawl.ModeRobots, URL: s.URL + "/robots.txt"}, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nUser-agent: *\nDisallow: /"),
		}},
		{"/map.xml", crawl.ModeSitemap, forge{
			"other pages": edited(func(r *crawl.Record) { r.Links = append(r.Links, "http://spam.example/") }),
		}},
		{"/moved", crawl.ModePage, forge{
			"elsewhere": edited(func(r *crawl.Record) { r.Location = "http://spam.example/" }),
		}},
		{"/missing", crawl.ModePage, forge{
			"other status": edited(func(r *crawl.Record) { r.Status = 410 }),
		}},
	} {
		cases = append(cases, worktest.Case{
			Name:  c.mode.String() + c.path,
			Task:  taskOf(t, sp, crawl.Fetch{Mode: c.mode, URL: s.URL + c.path}),
			Env:   func() work.Env { return work.Env{Rand: rand.Reader, Dial: new(net.Dialer).DialContext} },
			Forge: c.forge,
		})
	}
	k := crawl.New()
	defer k.Close()
	worktest.Run(t, k, cases)
	require.Zero(t, s.times("/private"))
}
