package weburl

import "strings"

// Bytes that the standard leaves as they are in each part. Everything else is rare and
// left to the library.
const (
	inHost  = 1 << iota // lower-case letters, digits, dash, underscore, dot
	inPath              // not: space " # < > ? ^ ` { | } \ and everything outside ASCII
	inQuery             // not: space " # ' < > and everything outside ASCII
	inFragment
)

var class = func() (t [256]uint8) {
	for c := '!'; c <= '~'; c++ {
		t[c] |= inFragment
	}
	const alnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	set := func(s string, bit uint8) {
		for i := 0; i < len(s); i++ {
			t[s[i]] |= bit
		}
	}
	set(alnum+"-_.", inHost)
	set(alnum+strings.ToUpper(alnum)+"-._~!$&'()*+,;=:@%/", inPath)
	set(alnum+strings.ToUpper(alnum)+"-._~!$&()*+,;=:@%/?[]", inQuery)
	return t
}()

func all(s string, bit uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&bit == 0 {
			return false
		}
	}
	return true
}

// fast resolves ref against base where both are plain. It says false where it does not
// know, never a wrong answer.
func fast(base URL, ref string) (URL, bool) {
	for len(ref) > 0 && ref[0] <= ' ' {
		ref = ref[1:]
	}
	for len(ref) > 0 && ref[len(ref)-1] <= ' ' {
		ref = ref[:len(ref)-1]
	}
	if i := strings.IndexByte(ref, '#'); i >= 0 {
		if !all(ref[i:], inFragment) {
			return URL{}, false
		}
		ref = ref[:i]
	}
	if strings.HasPrefix(ref, "http://") || strings.HasPrefix(ref, "https://") {
		return fastAbsolute(ref)
	}
	if base.text == "" {
		return URL{}, false
	}
	if ref == "" {
		return base, true
	}
	if strings.HasPrefix(ref, "//") {
		return fastAbsolute(base.text[:base.host-2] + ref)
	}
	path, query := ref, ""
	if i := strings.IndexByte(ref, '?'); i >= 0 {
		path, query = ref[:i], ref[i:]
	}
	if !all(query, inQuery) || !all(path, inPath) {
		return URL{}, false
	}
	switch {
	case path == "":
		text := base.text
		if i := strings.IndexByte(text, '?'); i >= 0 {
			text = text[:i]
		}
		return URL{text: text + query, host: base.host, port: base.port, path: base.path}, true
	case path[0] == '/':
	default:
		if colon := strings.IndexByte(path, ':'); colon >= 0 {
			if slash := strings.IndexByte(path, '/'); slash < 0 || colon < slash {
				return URL{}, false // "mailto:me"
			}
		}
		path = base.Dir()[base.path:] + path
	}
	return assemble(base.text[:base.path], path, query, base)
}

// assemble joins an origin with a plain path, whose dot segments it resolves.
func assemble(origin, path, query string, at URL) (URL, bool) {
	if hasEscapedDot(path) {
		return URL{}, false
	}
	if len(origin)+len(path)+len(query) > 4*MaxLength {
		return URL{}, false
	}
	at.text = origin + removeDots(path) + query
	return at, true
}

func hasEscapedDot(path string) bool {
	for {
		i := strings.Index(path, "%2")
		if i < 0 {
			return false
		}
		path = path[i+2:]
		if path != "" && (path[0] == 'e' || path[0] == 'E') {
			return true
		}
	}
}

// removeDots resolves "." and ".." in a path that begins with a slash.
func removeDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	out := make([]byte, 0, len(path))
	for rest := path; rest != ""; {
		// rest begins with a slash: take it and the segment behind it.
		end := strings.IndexByte(rest[1:], '/') + 1
		if end == 0 {
			end = len(rest)
		}
		segment, last := rest[:end], end == len(rest)
		rest = rest[end:]
		switch segment {
		case "/..":
			if i := strings.LastIndexByte(string(out), '/'); i >= 0 {
				out = out[:i]
			}
			fallthrough
		case "/.":
			if last {
				out = append(out, '/')
			}
		default:
			out = append(out, segment...)
		}
	}
	return string(out)
}

// fastAbsolute reads an address that begins with http:// or https://.
func fastAbsolute(ref string) (URL, bool) {
	u := URL{host: 7}
	if ref[4] == 's' {
		u.host = 8
	}
	rest := ref[u.host:]
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if len(authority) > MaxLength {
		return URL{}, false
	}
	host, port := authority, ""
	if c := strings.IndexByte(authority, ':'); c >= 0 {
		host, port = authority[:c], authority[c+1:]
		if port == "" || port[0] == '0' || len(port) > 5 || (len(port) == 5 && port > "65535") {
			return URL{}, false
		}
		for i := 0; i < len(port); i++ {
			if port[i] < '0' || port[i] > '9' {
				return URL{}, false
			}
		}
		if u.host == 7 && port == "80" || u.host == 8 && port == "443" {
			port = ""
		}
	}
	if !fastHost(host) {
		return URL{}, false
	}
	path, query := tail, ""
	if i := strings.IndexByte(tail, '?'); i >= 0 {
		path, query = tail[:i], tail[i:]
	}
	if !all(path, inPath) || !all(query, inQuery) {
		return URL{}, false
	}
	if path == "" {
		path = "/"
	}
	u.port = u.host + uint16(len(host))
	u.path = u.port
	if port != "" {
		u.path += uint16(1 + len(port))
	}
	// The usual case costs no memory: the address is canonical already.
	if int(u.path) == len(ref)-len(tail) && tail != "" && tail[0] == '/' && !strings.Contains(path, "/.") && !hasEscapedDot(path) {
		if len(ref) > 4*MaxLength {
			return URL{}, false
		}
		u.text = ref
		return u, true
	}
	origin := ref[:int(u.host)+len(host)]
	if port != "" {
		origin += ":" + port
	}
	return assemble(origin, path, query, u)
}

// fastHost accepts names of plain labels and dotted decimal addresses.
func fastHost(host string) bool {
	if host == "" || !all(host, inHost) {
		return false
	}
	last := host
	for rest := host; ; {
		dot := strings.IndexByte(rest, '.')
		label := rest
		if dot >= 0 {
			label = rest[:dot]
		}
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "xn--") {
			return false
		}
		last = label
		if dot < 0 {
			break
		}
		rest = rest[dot+1:]
	}
	if last[0] == '-' {
		return false // the library refuses it
	}
	if last[0] < '0' || last[0] > '9' {
		return true
	}
	return dottedDecimal(host)
}

// dottedDecimal reports whether host is an IPv4 address in its canonical form.
func dottedDecimal(host string) bool {
	parts, n, digits := 1, 0, 0
	for i := 0; i < len(host); i++ {
		c := host[i]
		switch {
		case c == '.':
			if digits == 0 {
				return false
			}
			parts, n, digits = parts+1, 0, 0
		case c < '0' || c > '9' || (digits > 0 && n == 0):
			return false
		default:
			n, digits = n*10+int(c-'0'), digits+1
			if n > 255 {
				return false
			}
		}
	}
	return parts == 4 && digits > 0
}
