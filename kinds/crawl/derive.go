package crawl

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/text"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
)

// derive says what a stored exchange amounts to. It is a pure function of the spec, the task
// and the bytes: the worker that fetched them, an auditor and whoever holds the dataset get
// the same record from the same WARC. The text comes along for comparisons.
//
// WARC and Members are left to the caller, who knows the blob. Of a live job's pages the
// links are left out: nobody follows them, and ledgers are shown these records.
func derive(s Spec, f Fetch, ex warc.Exchange) (Record, string, error) {
	u, err := weburl.Parse(f.URL)
	if err != nil {
		return Record{}, "", fmt.Errorf("crawl task: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(ex.ResponseHead)), &http.Request{Method: http.MethodGet})
	if err != nil {
		return Record{}, "", fmt.Errorf("%w: %w", errProtocol, err)
	}
	mediaType, charset := contentType(resp.Header, ex.Body)
	r := Record{
		URL:       f.URL,
		Time:      ex.Time.UnixMilli(),
		Status:    uint16(resp.StatusCode),
		IP:        ex.IP,
		MediaType: mediaType,
		Charset:   charset,
		Truncated: ex.Truncated != "",
		Digest:    artifact.Sum(ex.Body),
		Size:      uint64(len(ex.Body)),
	}
	if r.Status >= 300 && r.Status < 400 {
		if to := resp.Header.Get("Location"); to != "" {
			if target, err := u.Resolve(to); err == nil {
				r.Location = target.String()
			}
		}
	}
	if r.Status == 429 || r.Status == 503 {
		r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), ex.Time)
	}
	ok := r.Status >= 200 && r.Status < 300
	switch {
	case f.Mode == ModeSitemap && ok:
		var refs []string
		r.Title, refs = readSitemap(ex.Body, mediaType, ex.Truncated != "")
		if s.Scope != ScopeLive {
			r.Links = canonicalLinks(u, refs, MaxSitemapLinks)
		}
	case f.Mode == ModePage && text.Supports(mediaType) && len(ex.Body) > 0:
		p, err := text.Extract(ex.Body, mediaType, charset, f.URL)
		if err != nil {
			return Record{}, "", fmt.Errorf("extract the text of %s: %w", f.URL, err)
		}
		r.Title, r.Language, r.SimHash = clip(p.Title, maxTitle), clip(p.Language, maxLanguage), p.SimHash
		r.TextDigest = artifact.Sum([]byte(p.Text))
		r.NoIndex, r.NoFollow = p.NoIndex, p.NoFollow
		if p.Charset != "" {
			r.Charset = token(p.Charset, maxCharset)
		}
		if ok && s.Scope != ScopeLive {
			r.Links = canonicalLinks(u, p.Links, MaxLinks)
		}
		robotsTag(resp.Header, &r)
		return r, p.Text, nil
	}
	if f.Mode == ModePage {
		robotsTag(resp.Header, &r)
	}
	return r, "", nil
}

// contentType reads a response's media type and charset. Where there is none it looks at
// the body.
func contentType(h http.Header, body []byte) (mediaType, charset string) {
	field := h.Get("Content-Type")
	if field == "" {
		if len(body) == 0 {
			return "", ""
		}
		field = http.DetectContentType(body[:min(len(body), 512)])
		if i := strings.IndexByte(field, ';'); i >= 0 {
			field = field[:i] // the text's encoding is better guessed by package text
		}
	}
	mediaType, rest, _ := strings.Cut(field, ";")
	mediaType = token(strings.ToLower(strings.TrimSpace(mediaType)), maxMediaType)
	for rest != "" {
		var param string
		param, rest, _ = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			charset = token(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"'`)), maxCharset)
			break
		}
	}
	return mediaType, charset
}

// token is s if it consists of at most limit characters of the sort that names have.
func token(s string, limit int) string {
	if len(s) > limit || !isToken(s) {
		return ""
	}
	return s
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("/+-._:", rune(c)) {
			return false
		}
	}
	return true
}

// clip cuts s at a character's end.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// retryAfter reads a Retry-After field as seconds from when the answer came.
func retryAfter(field string, at time.Time) uint32 {
	field = strings.TrimSpace(field)
	if s, err := strconv.ParseUint(field, 10, 63); err == nil {
		return uint32(min(s, maxRetryAfter))
	}
	t, err := http.ParseTime(field)
	if err != nil || !t.After(at) {
		return 0
	}
	if d := t.Sub(at); d < maxRetryAfter*time.Second {
		return uint32((d + time.Second - 1) / time.Second)
	}
	return maxRetryAfter
}

// robotsTag applies X-Robots-Tag fields: those for every robot and those that name ours.
func robotsTag(h http.Header, r *Record) {
	for _, field := range h.Values("X-Robots-Tag") {
		ours := true
		for _, d := range strings.Split(field, ",") {
			d = strings.TrimSpace(d)
			if name, rest, ok := strings.Cut(d, ":"); ok {
				switch strings.ToLower(strings.TrimSpace(name)) {
				case "unavailable_after", "max-snippet", "max-image-preview", "max-video-preview":
					continue
				}
				// A robot's name holds for the rest of the field.
				ours = strings.EqualFold(strings.TrimSpace(name), Agent)
				d = strings.TrimSpace(rest)
			}
			if !ours {
				continue
			}
			switch strings.ToLower(d) {
			case "noindex":
				r.NoIndex = true
			case "nofollow":
				r.NoFollow = true
			case "none":
				r.NoIndex, r.NoFollow = true, true
			}
		}
	}
}

// canonicalLinks gives the links one spelling, once each, and drops what is never fetched.
func canonicalLinks(base weburl.URL, refs []string, most int) []string {
	if len(refs) == 0 {
		return nil
	}
	out := make([]string, 0, min(len(refs), most))
	seen := make(map[string]struct{}, len(refs))
	size := 0
	for _, ref := range refs {
		u, err := base.Resolve(ref)
		if err != nil {
			continue
		}
		s := u.String()
		if _, dup := seen[s]; dup {
			continue
		}
		if size += len(s) + 3; len(out) == most || size > maxLinkBytes {
			break
		}
		seen[s] = struct{}{}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
