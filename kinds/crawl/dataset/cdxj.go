package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cdxFields are the fields of a CDXJ line in the order of other tools. All are strings.
type cdxFields struct {
	URL      string `json:"url"`
	MIME     string `json:"mime"`
	Status   string `json:"status"`
	Digest   string `json:"digest"`
	Length   string `json:"length"`
	Offset   string `json:"offset"`
	Filename string `json:"filename"`
}

// cdxLine is the line of a response, without its line break.
func cdxLine(d derived, at place) ([]byte, error) {
	r := d.record
	mime := r.MediaType
	if mime == "" {
		mime = "unk"
	}
	var b bytes.Buffer
	b.WriteString(Key(r.URL))
	b.WriteByte(' ')
	b.WriteString(time.UnixMilli(r.Time).UTC().Format("20060102150405"))
	b.WriteByte(' ')
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(cdxFields{
		URL:      r.URL,
		MIME:     mime,
		Status:   strconv.Itoa(int(r.Status)),
		Digest:   r.Digest.String(), // without its algorithm, as other tools write it
		Length:   strconv.FormatUint(uint64(r.Members[1]), 10),
		Offset:   strconv.FormatInt(at.offset+int64(r.Members[0]), 10),
		Filename: at.file,
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", indexFile, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Key is the sort-friendly form of a URL that web archives are indexed by: the host's
// labels in reverse, the path, the query's parts in order, all lower-case, without scheme
// and www. It spells what it cannot take apart as it is.
func Key(u string) string {
	p, err := url.Parse(strings.ToLower(u))
	if err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
		return u
	}
	host := p.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	} else {
		labels := strings.Split(stripWWW(host), ".")
		slices.Reverse(labels)
		host = strings.Join(labels, ",")
	}
	if port := p.Port(); port != "" && !(p.Scheme == "http" && port == "80") && !(p.Scheme == "https" && port == "443") {
		host += ":" + port
	}
	path := p.EscapedPath()
	if path == "" {
		path = "/"
	}
	key := host + ")" + path
	if p.RawQuery != "" {
		args := strings.Split(p.RawQuery, "&")
		slices.Sort(args)
		key += "?" + strings.Join(args, "&")
	}
	return key
}

// stripWWW removes a first label www, www1, www23.
func stripWWW(host string) string {
	rest, ok := strings.CutPrefix(host, "www")
	if !ok {
		return host
	}
	rest = strings.TrimLeft(rest, "0123456789")
	if after, ok := strings.CutPrefix(rest, "."); ok && after != "" {
		return after
	}
	return host
}
