package types

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/work/page"
)

// PageKind is the kind of the jobs that answer requests for pages.
const PageKind = "crawl/1"

// Limits on requests for pages.
const (
	MaxURL = 2 << 10 // bytes
	// PageHead is the most bytes that a page's answer has besides its content.
	PageHead = 3 << 10
	// RobotsUnits is what a request may cost besides the page: a worker reads the site's
	// robots.txt first, which may redirect five times.
	RobotsUnits = 6
	// PageUnits is what one exchange with a web server costs, whatever the terms.
	PageUnits = 1

	maxTextBody = 64 << 10 // bytes of a page whose text must be shown
)

// Form is what of a page a contract asks for. It stands for a reader of pages: what a speaker
// is to requests that ask a model. Every ledger has these two readers.
type Form uint8

const (
	Body Form = iota + 1 // what the server sent
	Text                 // what a reader sees of it, where it is HTML or plain text
)

var forms = []Form{Body, Text}

// String is the form as people write it.
func (f Form) String() string {
	if f == Text {
		return "text"
	}
	return "body"
}

// Encoded is the reader's encoding: "page/body" or "page/text" as canonical CBOR. A speaker's
// is an array, so no speaker's ID is a reader's.
func (f Form) Encoded() []byte {
	name := "page/" + f.String()
	return append([]byte{3<<5 | byte(len(name))}, name...)
}

// ID is what requests and offers call the reader by.
func (f Form) ID() speaker.ID { return speaker.IDOf(f.Encoded()) }

// FormOf finds the form that an encoding is of.
func FormOf(encoded []byte) (Form, bool) {
	return find(func(f Form) bool { return string(f.Encoded()) == string(encoded) })
}

// FormByID finds the form that an ID is of.
func FormByID(id []byte) (Form, bool) {
	return find(func(f Form) bool { return string(readerIDs[f]) == string(id) })
}

// readerIDs are looked up with every step of every request, so they are not hashed each time.
var readerIDs = [Text + 1]string{Body: idText(Body), Text: idText(Text)}

func idText(f Form) string { id := f.ID(); return string(id[:]) }

func find(is func(Form) bool) (Form, bool) {
	if i := slices.IndexFunc(forms, is); i >= 0 {
		return forms[i], true
	}
	return 0, false
}

// CheckURL refuses what is no page's address as the crawler spells them. It does not find
// every other spelling of an address: one that it lets pass though the crawler spells it in
// another way is never answered.
func CheckURL(url string) error {
	bad := func(format string, a ...any) error {
		return ErrInvalid.Wrapf("address %.100q: %s", url, fmt.Sprintf(format, a...))
	}
	if len(url) > MaxURL {
		return bad("%d bytes, at most %d", len(url), MaxURL)
	}
	if i := strings.IndexFunc(url, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"<>\#`, c) }); i >= 0 {
		return bad("at byte %d is what no address has: write it as %%XX, a host's letters in Punycode, and leave a fragment out", i)
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return bad("want http:// or https:// at its beginning, in small letters")
	}
	host, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, tail = rest[:i], rest[i:]
	}
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") != "" || host[0] == ':' {
		return bad("host %.100q: want a name or an address in small letters, without a user's name", host)
	}
	if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; strings.HasSuffix(host, port) && !strings.HasSuffix(host, ":"+port) {
		return bad("leave %s out: it is %s's own", port, scheme)
	}
	if !strings.HasPrefix(tail, "/") {
		return bad("want a / after the host: %s://%s/%s", scheme, host, tail)
	}
	path, _, _ := strings.Cut(tail, "?")
	for _, part := range strings.Split(path, "/") {
		if part == "." || part == ".." {
			return bad("the path goes through %q: write where it leads", part)
		}
	}
	return nil
}

// Check refuses a record that is no response from this address.
func (f Form) Check(r page.Record, url string) error {
	switch {
	case r.URL != url:
		return ErrEvidence.Wrapf("the record is of %.100q, asked for was %.100q", r.URL, url)
	case r.Status == 0:
		return ErrEvidence.Wrapf("the record is of no response: %.40q", r.Error)
	case r.Status < 200 || r.Status > 599 || r.Error != "" || r.Time <= 0:
		return ErrEvidence.Wrapf("a record with status %d, error %.40q and time %d", r.Status, r.Error, r.Time)
	}
	return nil
}

// Digest is the SHA-256 of the content that a record tells of. It is zero where a page has no
// text.
func (f Form) Digest(r page.Record) artifact.Digest {
	if f == Text {
		return r.TextDigest
	}
	return r.Digest
}

// Key is what records must share to be the same page: all that a contract is told but when
// it was seen.
func (f Form) Key(r page.Record) string {
	return fmt.Sprintf("%d %s %t %q %q", r.Status, f.Digest(r), r.Truncated, r.MediaType, r.Location)
}

// MustShow reports whether evidence must hold the page's content: where it may be short
// enough for the ledger, which a text is only known to be when it is there.
func (f Form) MustShow(r page.Record) bool {
	switch d := f.Digest(r); {
	case d.IsZero() || d == artifact.Sum(nil):
		return false
	case f == Text:
		return r.Size <= maxTextBody
	}
	return r.Size <= MaxAnswer
}

// Shows refuses a content that is not the one that a record tells of, or that is missing
// though it must be there. None at all is nil.
func (f Form) Shows(r page.Record, content []byte) error {
	if len(content) == 0 {
		if f.MustShow(r) {
			return ErrEvidence.Wrapf("the page's %s is missing: a page of %d bytes is so short that it must be there", f, r.Size)
		}
		return nil
	}
	if d := artifact.Sum(content); d != f.Digest(r) {
		return ErrEvidence.Wrapf("the page's %s has digest %s, the record says %s", f, d, f.Digest(r))
	}
	if f == Body && uint64(len(content)) != r.Size {
		return ErrEvidence.Wrapf("the page has %d bytes, the record says %d", len(content), r.Size)
	}
	return nil
}

// KindOf is the kind of the jobs that answer requests to a speaker.
func KindOf(speaker []byte) string {
	if _, ok := FormByID(speaker); ok {
		return PageKind
	}
	return Kind
}

// CheckSpeaker refuses what is neither a speaker's encoding nor a reader's.
func CheckSpeaker(encoded []byte) error {
	if _, ok := FormOf(encoded); ok {
		return nil
	}
	if _, err := speaker.Decode(encoded); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	return nil
}
