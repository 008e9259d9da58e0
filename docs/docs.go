package docs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"path"
	"strings"
	"time"
)

// Handler serves the documentation: its pages, their style sheet and picture, sitemap.xml
// and robots.txt. It may be mounted anywhere with http.StripPrefix; the pages link to each
// other relatively, and the sitemap works out from the request where it is mounted.
func Handler() http.Handler {
	site, err := Build()
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	return &handler{site}
}

type handler struct{ site *Site }

// assets are served as they lie beside this file.
var assets = map[string]string{
	"style.css":        "text/css; charset=utf-8",
	"architecture.svg": "image/svg+xml",
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "documentation is read only", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'")
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" || strings.HasSuffix(r.URL.Path, "/") {
		name = path.Join(name, "index.html")
	}
	switch {
	case name == "robots.txt":
		send(w, r, "text/plain; charset=utf-8", []byte(robots(r)))
	case name == "sitemap.xml":
		send(w, r, "application/xml; charset=utf-8", h.sitemap(r))
	case assets[name] != "":
		b, err := files.ReadFile(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, r, assets[name], b)
	case h.site.byPath[name] != nil:
		send(w, r, "text/html; charset=utf-8", h.site.byPath[name].HTML)
	default:
		http.Error(w, "There is no such page. The first one is "+base(r)+"index.html", http.StatusNotFound)
	}
}

func send(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	sum := sha256.Sum256(body)
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// base is the URL at which the handler is mounted, with a slash at its end. The scheme
// and the host are the request's; the path is what http.StripPrefix took away.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	prefix := strings.TrimSuffix(asked, strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
		prefix = "/"
	}
	return scheme + "://" + r.Host + prefix
}

func robots(r *http.Request) string {
	return "User-agent: *\nAllow: /\nSitemap: " + base(r) + "sitemap.xml\n"
}

func (h *handler) sitemap(r *http.Request) []byte {
	type entry struct {
		Loc string `xml:"loc"`
	}
	type urlset struct {
		XMLName xml.Name `xml:"http://www.sitemaps.org/schemas/sitemap/0.9 urlset"`
		URLs    []entry  `xml:"url"`
	}
	var set urlset
	root := base(r)
	for _, p := range h.site.Pages {
		set.URLs = append(set.URLs, entry{root + p.Path})
	}
	b, err := xml.MarshalIndent(set, "", "  ")
	if err != nil {
		return nil // strings always encode
	}
	return append([]byte(xml.Header), b...)
}
