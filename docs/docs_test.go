package docs

import (
	"encoding/xml"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

func TestEveryMarkdownFileIsInTheMenuOnce(t *testing.T) {
	var listed, lying []string
	for _, s := range nav {
		listed = append(listed, s.Files...)
	}
	require.NoError(t, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			lying = append(lying, name)
		}
		return err
	}))
	slices.Sort(listed)
	require.Equal(t, lying, listed)
}

// server serves the site below a prefix, as a gateway does.
func server(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/docs/", http.StripPrefix("/docs/", Handler()))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func get(t *testing.T, u string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(u)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(b)
}

// page is what a visitor's browser finds in a document.
type page struct {
	links, resources []string
	ids              []string
	headings         int
}

// void elements have no end tag; svg and path come from nowhere here.
var void = []string{"meta", "link", "img", "br", "hr", "input"}

func parse(t *testing.T, where, body string) page {
	t.Helper()
	require.True(t, strings.HasPrefix(body, "<!DOCTYPE html>"), "%s has no doctype", where)
	var p page
	var open []string
	for z := html.NewTokenizer(strings.NewReader(body)); ; {
		switch z.Next() {
		case html.ErrorToken:
			require.Equal(t, io.EOF, z.Err(), where)
			require.Empty(t, open, "%s: elements are left open", where)
			return p
		case html.StartTagToken:
			token := z.Token()
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
			if token.Data == "h1" {
				p.headings++
			}
			for _, a := range token.Attr {
				switch {
				case a.Key == "id":
					require.NotContains(t, p.ids, a.Val, "%s: an id is used twice", where)
					p.ids = append(p.ids, a.Val)
				case a.Key == "href" && token.Data == "a":
					p.links = append(p.links, a.Val)
				case a.Key == "href" || a.Key == "src":
					p.resources = append(p.resources, a.Val)
				}
			}
		case html.EndTagToken:
			token := z.Token()
			require.NotEmpty(t, open, "%s: stray </%s>", where, token.Data)
			require.Equal(t, open[len(open)-1], token.Data, "%s: elements overlap", where)
			open = open[:len(open)-1]
		}
	}
}

// TestEveryLinkLeadsSomewhere walks the site as a crawler does.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	srv := server(t)
	base, err := url.Parse(srv.URL + "/docs/")
	require.NoError(t, err)
	seen := map[string]page{}
	type fragment struct{ from, page, id string }
	var fragments []fragment
	for queue := []string{base.String() + "index.html"}; len(queue) > 0; queue = queue[1:] {
		here := queue[0]
		if _, done := seen[here]; done {
			continue
		}
		resp, body := get(t, here)
		require.Equal(t, http.StatusOK, resp.StatusCode, here)
		require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"), here)
		p := parse(t, here, body)
		require.Equal(t, 1, p.headings, "%s: headings of the first level", here)
		seen[here] = p
		at, err := url.Parse(here)
		require.NoError(t, err)
		for _, r := range p.resources {
			to, err := at.Parse(r)
			require.NoError(t, err)
			require.Equal(t, base.Host, to.Host, "%s needs %s from elsewhere", here, r)
			resp, _ := get(t, to.String())
			require.Equal(t, http.StatusOK, resp.StatusCode, "%s needs %s", here, r)
		}
		for _, l := range p.links {
			to, err := at.Parse(l)
			require.NoError(t, err)
			require.Equal(t, base.Host, to.Host, "%s links elsewhere: %s", here, l)
			require.True(t, strings.HasPrefix(to.Path, base.Path), "%s links out of the site: %s", here, l)
			id := to.Fragment
			to.Fragment = ""
			if id != "" {
				fragments = append(fragments, fragment{here, to.String(), id})
			}
			queue = append(queue, to.String())
		}
	}
	for _, f := range fragments {
		require.Contains(t, seen[f.page].ids, f.id, "%s links to a place that %s has not", f.from, f.page)
	}
	site, err := Build()
	require.NoError(t, err)
	require.Len(t, seen, len(site.Pages), "pages that a crawler finds")
	require.GreaterOrEqual(t, len(seen), 15)
}

func TestSitemapListsThePagesWhereTheyAreMounted(t *testing.T) {
	srv := server(t)
	resp, body := get(t, srv.URL+"/docs/sitemap.xml")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var set struct {
		URLs []struct {
			Loc string `xml:"loc"`
		} `xml:"url"`
	}
	require.NoError(t, xml.Unmarshal([]byte(body), &set))
	site, err := Build()
	require.NoError(t, err)
	require.Len(t, set.URLs, len(site.Pages))
	for _, u := range set.URLs {
		require.True(t, strings.HasPrefix(u.Loc, srv.URL+"/docs/"), u.Loc)
		resp, _ := get(t, u.Loc)
		require.Equal(t, http.StatusOK, resp.StatusCode, u.Loc)
	}
	_, robots := get(t, srv.URL+"/docs/robots.txt")
	require.Contains(t, robots, "Sitemap: "+srv.URL+"/docs/sitemap.xml\n")
}

func TestMountedAtTheRoot(t *testing.T) {
	srv := httptest.NewServer(Handler())
	defer srv.Close()
	_, robots := get(t, srv.URL+"/robots.txt")
	require.Contains(t, robots, "Sitemap: "+srv.URL+"/sitemap.xml\n")
	resp, body := get(t, srv.URL+"/")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, body, "<h1")
}

func TestAnswers(t *testing.T) {
	srv := server(t)
	ask := func(method, path string, header ...string) *http.Response {
		req, err := http.NewRequest(method, srv.URL+"/docs/"+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		return resp
	}
	require.Equal(t, http.StatusNotFound, ask("GET", "nothing.html").StatusCode)
	require.Equal(t, http.StatusNotFound, ask("GET", "site.go").StatusCode)
	require.Equal(t, http.StatusNotFound, ask("GET", "page.html").StatusCode, "the template is no page")
	require.Equal(t, http.StatusNotFound, ask("GET", "..%2f..%2fetc%2fpasswd").StatusCode)
	require.Equal(t, http.StatusMethodNotAllowed, ask("POST", "").StatusCode)
	require.Equal(t, http.StatusOK, ask("GET", "adr/").StatusCode)
	first := ask("GET", "flow.html")
	require.Equal(t, http.StatusOK, first.StatusCode)
	require.Equal(t, http.StatusNotModified, ask("GET", "flow.html", "If-None-Match", first.Header.Get("ETag")).StatusCode)
	require.Equal(t, http.StatusOK, ask("HEAD", "flow.html").StatusCode)
}

func TestPagesSayWhatTheyAreAbout(t *testing.T) {
	site, err := Build()
	require.NoError(t, err)
	titles := map[string]string{}
	for _, p := range site.Pages {
		require.NotEmpty(t, p.Description, p.File)
		require.Empty(t, titles[p.Title], "%s and %s have one title", p.File, titles[p.Title])
		titles[p.Title] = p.File
	}
}
