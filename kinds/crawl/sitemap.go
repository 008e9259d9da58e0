package crawl

import (
	"bytes"
	"encoding/xml"
	"strings"

	"golang.org/x/net/html/charset"
)

// Roots of what a sitemap can be.
const (
	sitemapIndex = "sitemapindex" // of other sitemaps
	sitemapURLs  = "urlset"
	sitemapRSS   = "rss"
	sitemapAtom  = "feed"
	sitemapText  = "text" // one address a line
)

// maxSitemap is the most that a packed sitemap unpacks to: the protocol's limit.
const maxSitemap = 50 << 20

// readSitemap returns the name of a sitemap's root element and the addresses in it, in
// order. What can't be read ends it: the addresses before are good.
func readSitemap(body []byte, mediaType string, cut bool) (root string, refs []string) {
	if len(body) > 2 && body[0] == 0x1f && body[1] == 0x8b {
		plain, _, err := ungzip(body, min(maxSitemap, max(freeBytes, uint64(len(body))*maxInflation)), cut)
		if err != nil && len(plain) == 0 {
			return "", nil
		}
		body = plain
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '<' {
		if mediaType != "text/plain" && mediaType != "" && !bytes.HasPrefix(trimmed, []byte("http")) {
			return "", nil
		}
		return sitemapText, sitemapLines(body)
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = false
	d.CharsetReader = charset.NewReaderLabel
	depth := 0
	var at string // the element whose text is an address
	var loc strings.Builder
	for {
		t, err := d.RawToken()
		if err != nil {
			return root, refs // io.EOF, or the end of what makes sense
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > 32 {
				return root, refs
			}
			name := t.Name.Local
			if depth == 1 {
				switch name {
				case sitemapIndex, sitemapURLs, sitemapRSS, sitemapAtom:
					root = name
				default:
					return "", nil
				}
			}
			// Extensions such as image:loc name pictures, not pages.
			plain := t.Name.Space == "" || t.Name.Space == "sm" || t.Name.Space == "sitemap"
			switch {
			case plain && name == "loc" && depth == 3 && (root == sitemapIndex || root == sitemapURLs),
				plain && name == "link" && depth == 4 && root == sitemapRSS:
				at = name
				loc.Reset()
			case plain && name == "link" && depth == 3 && root == sitemapAtom:
				for _, a := range t.Attr {
					if a.Name.Local == "href" {
						refs = append(refs, a.Value)
					}
				}
			}
		case xml.CharData:
			if at != "" && loc.Len() < 4096 {
				loc.Write(t)
			}
		case xml.EndElement:
			if at != "" && t.Name.Local == at {
				if s := strings.TrimSpace(loc.String()); s != "" {
					refs = append(refs, s)
				}
				at = ""
			}
			if depth--; depth <= 0 {
				return root, refs
			}
		}
		if len(refs) >= MaxSitemapLinks {
			return root, refs
		}
	}
}

func sitemapLines(body []byte) (refs []string) {
	for len(body) > 0 && len(refs) < MaxSitemapLinks {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte("http")) {
			refs = append(refs, string(line))
		}
	}
	return refs
}
