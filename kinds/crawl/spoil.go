package crawl

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/text"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

var _ work.Spoiler = (*Kind)(nil)

// surelyOther is how little of its text a spoiled page may keep where nothing but the text
// tells it from the right one: well below what an audit calls clearly another.
const surelyOther = 0.15

// Spoil makes of an exchange with status 2xx one that the server never had, everything
// about it in order: its digests, its record, its one unit. Of the ways that there are it
// takes the first that an auditor who sees the right page is bound to find false:
//
//	some phrases in each other's places, other figures   where the server vouches that its page is as it was
//	all phrases in each other's places                   where the page has text enough
//	some letters and digits changed                      of other types, where the server vouches
//	"404 Not Found"                                      else
//
// Redirects, errors and missing pages come and go, so no audit finds a claim about them
// surely false: these are work.ErrUnspoilable.
func (k *Kind) Spoil(ctx context.Context, env work.Env, t work.Task, right work.Result) (work.Result, error) {
	spec, f, err := k.task(t)
	if err != nil {
		return work.Result{}, err
	}
	rec, err := k.record(t, right)
	if err != nil {
		return work.Result{}, err
	}
	if rec.Status < 200 || rec.Status > 299 {
		return work.Result{}, fmt.Errorf("%s answered with status %d: %w", f.URL, rec.Status, work.ErrUnspoilable)
	}
	blob, err := env.Blobs.Get(ctx, rec.WARC, int64(rec.Members[0])+int64(rec.Members[1])+int64(rec.Members[2]))
	if err != nil {
		return work.Result{}, fmt.Errorf("read the exchange with %s: %w", f.URL, err)
	}
	ex, page, err := Recheck(spec, f, rec, blob)
	if err != nil {
		return work.Result{}, err
	}
	seen, err := sightOf(spec, f, rec, page, ex)
	if err != nil {
		return work.Result{}, err
	}
	rng, err := newRand(env.Rand)
	if err != nil {
		return work.Result{}, err
	}
	for _, way := range ways(rec, seen) {
		wrong, ok := way(rng, ex, rec)
		if !ok {
			continue
		}
		wrong.Time = env.Now().UTC().Truncate(time.Millisecond)
		out, made, ok, err := spoiled(spec, f, wrong, seen)
		if err != nil {
			return work.Result{}, err
		}
		if !ok {
			continue
		}
		out.WARC = artifact.Sum(made)
		if checkRecord(out, spec, f, nil) != nil {
			continue
		}
		if _, err = env.Blobs.Put(ctx, made); err != nil {
			return work.Result{}, fmt.Errorf("store an exchange with %s: %w", f.URL, err)
		}
		body, err := work.Encode(out)
		if err != nil {
			return work.Result{}, fmt.Errorf("encode a record of %s: %w", f.URL, err)
		}
		return work.Result{Body: body, Blobs: []artifact.Digest{out.WARC}}, nil
	}
	return work.Result{}, fmt.Errorf("%s: %w", f.URL, work.ErrUnspoilable)
}

// way makes a wrong exchange of a right one.
type way func(rng *rand.Rand, ex warc.Exchange, rec Record) (warc.Exchange, bool)

// ways lists what may be done to a page, the first thing first.
func ways(rec Record, seen sight) []way {
	vouched := unchanged(seen, seen)
	// A digest of the body in the head would give away any other body.
	if seen.head.Get("Content-MD5")+seen.head.Get("Digest")+seen.head.Get("Content-Digest")+seen.head.Get("Repr-Digest") != "" {
		return []way{missing}
	}
	var list []way
	hasText := seen.text != "" && text.Supports(rec.MediaType)
	if hasText && vouched {
		list = append(list, rephrase(false))
	}
	if hasText {
		list = append(list, rephrase(true))
	}
	if !hasText && vouched && rec.Size > 0 {
		list = append(list, retype, retype, retype) // by chance little may change
	}
	return append(list, missing)
}

// spoiled makes the record and the WARC records of a wrong exchange. ok says that an auditor
// who sees the right one is bound to find it false.
func spoiled(s Spec, f Fetch, wrong warc.Exchange, seen sight) (rec Record, blob []byte, ok bool, err error) {
	if wrong.ResponseHead, err = warc.PlainHead(wrong.ResponseHead, len(wrong.Body)); err != nil {
		return rec, nil, false, fmt.Errorf("spoil the exchange with %s: %w", f.URL, err)
	}
	rec, page, err := derive(s, f, wrong)
	if err != nil {
		return rec, nil, false, err
	}
	claim, err := sightOf(s, f, rec, page, wrong)
	if err != nil {
		return rec, nil, false, err
	}
	outcome, _ := compare(claim, seen, func() (sight, bool) { return seen, true })
	if outcome != work.Fail {
		return rec, nil, false, nil
	}
	if rec.Status < 300 && !unchanged(claim, seen) && text.Similarity(page, seen.text) >= surelyOther {
		return rec, nil, false, nil
	}
	if blob, rec.Members, err = warc.Build(wrong); err != nil {
		return rec, nil, false, err
	}
	return rec, blob, true, nil
}

func newRand(r io.Reader) (*rand.Rand, error) {
	var seed [32]byte
	if _, err := io.ReadFull(r, seed[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return rand.New(rand.NewChaCha8(seed)), nil
}

// retype changes a few letters and digits of a body to others.
func retype(rng *rand.Rand, ex warc.Exchange, _ Record) (warc.Exchange, bool) {
	body := bytes.Clone(ex.Body)
	changed := false
	digitsOnly := bytes.ContainsAny(body, "0123456789")
	for i, c := range body {
		switch {
		case c >= '0' && c <= '9' && rng.IntN(4) == 0:
			body[i] = '0' + (c-'0'+1+byte(rng.IntN(9)))%10
		case !digitsOnly && c >= 'a' && c <= 'z' && rng.IntN(50) == 0:
			body[i] = 'a' + (c-'a'+1+byte(rng.IntN(25)))%26
		}
		changed = changed || body[i] != c
	}
	ex.Body = body
	return ex, changed
}

// missing claims that there is no such page, in the words of the server at hand.
func missing(_ *rand.Rand, ex warc.Exchange, _ Record) (warc.Exchange, bool) {
	server := strings.ToLower(warc.HeadField(ex.ResponseHead, "Server"))
	body := "404 page not found\n"
	contentType := "text/plain; charset=utf-8"
	switch {
	case strings.HasPrefix(server, "nginx"), strings.HasPrefix(server, "openresty"):
		name, _, _ := strings.Cut(server, "/")
		body = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>" + name + "</center>\r\n</body>\r\n</html>\r\n"
		contentType = "text/html"
	case strings.HasPrefix(server, "apache"):
		body = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>404 Not Found</title>\n</head><body>\n<h1>Not Found</h1>\n<p>The requested URL was not found on this server.</p>\n</body></html>\n"
		contentType = "text/html; charset=iso-8859-1"
	}
	var head bytes.Buffer
	proto, _, _ := strings.Cut(string(ex.ResponseHead[:min(len(ex.ResponseHead), 16)]), " ")
	fmt.Fprintf(&head, "%s %d %s\r\n", proto, http.StatusNotFound, http.StatusText(http.StatusNotFound))
	for _, name := range []string{"Date", "Server", "Connection"} {
		if v := warc.HeadField(ex.ResponseHead, name); v != "" {
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	fmt.Fprintf(&head, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, len(body))
	ex.ResponseHead, ex.Body, ex.Truncated = head.Bytes(), []byte(body), ""
	return ex, true
}

// rephrase puts phrases of a page in each other's places: all of them, or some.
func rephrase(all bool) way {
	return func(rng *rand.Rand, ex warc.Exchange, rec Record) (warc.Exchange, bool) {
		doc, back, ok := recode(ex.Body, rec.Charset)
		if !ok {
			return ex, false
		}
		words := 2 // no three words in a row survive
		if !all {
			words = 5
		}
		pieces, phrases := phrasesOf(doc, rec.MediaType != "text/plain", words)
		if !all {
			// Some of them, and figures here and there.
			phrases = pick(rng, phrases, 3)
		}
		if len(phrases) < 4 {
			return ex, false
		}
		moved := rng.Perm(len(phrases))
		out := make([][]byte, len(phrases))
		for i, to := range moved {
			out[to] = pieces[phrases[i]]
		}
		for i, at := range phrases {
			pieces[at] = out[i]
			if rng.IntN(2) == 0 {
				pieces[at] = otherFigures(rng, out[i])
			}
		}
		// The length stays, as the head says how long the body was.
		ex.Body, ok = back(bytes.Join(pieces, nil))
		return ex, ok && uint64(len(ex.Body)) == rec.Size
	}
}

// pick keeps every nth of a list, by chance, but four at least where there are.
func pick(rng *rand.Rand, list []int, n int) []int {
	var out []int
	for i, x := range list {
		if rng.IntN(n) == 0 || len(list)-i <= 4-len(out) {
			out = append(out, x)
		}
	}
	return out
}

func otherFigures(rng *rand.Rand, b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if c >= '0' && c <= '9' {
			out[i] = '0' + (c-'0'+1+byte(rng.IntN(9)))%10
		}
	}
	return out
}
