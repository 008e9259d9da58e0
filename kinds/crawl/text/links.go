package text

import "strings"

// base is an absolute URL cut where references attach to it.
type base struct {
	scheme, origin, dir, file string
	// origin is "http://host", dir "http://host/a/", file "http://host/a/b"
}

func splitBase(u string) (base, bool) {
	u, _, _ = strings.Cut(u, "#")
	scheme := schemeOf(u)
	if scheme != "http" && scheme != "https" || !strings.HasPrefix(u[len(scheme):], "://") {
		return base{}, false
	}
	start := len(scheme) + 3
	end := start
	for end < len(u) && u[end] != '/' && u[end] != '?' && u[end] != '\\' {
		end++
	}
	if end == start {
		return base{}, false
	}
	b := base{scheme: scheme, origin: u[:end]}
	b.file, _, _ = strings.Cut(u, "?")
	if len(b.file) == end {
		b.file += "/"
	}
	b.dir = b.file[:strings.LastIndexAny(b.file, `/\`)+1]
	return b, true
}

// resolve makes references absolute and drops those that are not to the web, those to
// the page itself and repeated ones. It follows the WHATWG's rules for what is left to
// the URL parser of whoever canonicalises the result: dot segments, hosts and escapes
// stay as they are.
func resolve(refs []string, baseHref, page string) []string {
	b, ok := splitBase(page)
	if !ok {
		return nil
	}
	self := page
	self, _, _ = strings.Cut(self, "#")
	if baseHref != "" {
		if u := b.resolve(baseHref); u != "" {
			if nb, ok := splitBase(u); ok {
				b = nb
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	seen := make(map[string]struct{}, len(refs))
	seen[self] = struct{}{}
	var out []string
	for _, ref := range refs {
		u := b.resolve(ref)
		if u == "" {
			continue
		}
		if _, dup := seen[u]; dup {
			continue
		}
		seen[u] = struct{}{}
		out = append(out, u)
	}
	return out
}

// resolve returns the reference made absolute, or "" if it leads nowhere.
func (b base) resolve(ref string) string {
	ref = strings.Trim(ref, " \t\n\r\f\x00")
	if strings.ContainsAny(ref, "\t\n\r") {
		ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	}
	if i := strings.IndexByte(ref, '#'); i >= 0 {
		ref = ref[:i]
	}
	if ref == "" {
		return ""
	}
	if s := schemeOf(ref); s != "" {
		rest := ref[len(s)+1:]
		switch {
		case s != "http" && s != "https":
			return ""
		case strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, `\\`), strings.HasPrefix(rest, `/\`), strings.HasPrefix(rest, `\/`):
			return s + "://" + rest[2:]
		case s != b.scheme:
			return s + "://" + strings.TrimLeft(rest, `/\`)
		}
		ref = rest // "http:page" is relative where the base has the same scheme
		if ref == "" {
			return ""
		}
	}
	switch c := ref[0]; {
	case (c == '/' || c == '\\') && len(ref) > 1 && (ref[1] == '/' || ref[1] == '\\'):
		if len(ref) == 2 {
			return ""
		}
		return b.scheme + "://" + ref[2:]
	case c == '/' || c == '\\':
		return b.origin + "/" + ref[1:]
	case c == '?':
		return b.file + ref
	}
	return b.dir + ref
}

// schemeOf returns the scheme of an absolute URL in lower case, or "".
func schemeOf(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(s[:i])
		default:
			return ""
		}
	}
	return ""
}
