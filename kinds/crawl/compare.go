package crawl

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/text"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

// When two texts that text.Agree does not let pass are of different pages: the claim has
// less than clearlyOther in common with what the auditor saw, who saw nearly the same
// twice. What lies between is left open, because pages are edited. docs/similarity.md has
// the rates of false findings on real pages.
const (
	clearlyOther = 0.25
	steadyEnough = 0.70
)

// sight is what a fetch of an address saw.
type sight struct {
	mode Mode
	rec  Record
	text string
	body []byte
	head http.Header
	at   time.Time
}

func sightOf(s Spec, f Fetch, r Record, page string, ex warc.Exchange) (sight, error) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(ex.ResponseHead)), nil)
	if err != nil {
		return sight{}, fmt.Errorf("%w: %w", errProtocol, err)
	}
	if s.Scope == ScopeLive { // its record has no links, but a page with others is another page
		full, _, err := derive(Spec{}, f, ex)
		if err != nil {
			return sight{}, err
		}
		r.Links = full.Links
	}
	return sight{mode: f.Mode, rec: r, text: page, body: ex.Body, head: resp.Header, at: ex.Time}, nil
}

// leadsTo reports whether two sights of an address make a crawl do the same: whatever their
// texts say, or where there is no text, they have the same rules, links and directives.
func (s sight) leadsTo(o sight) bool {
	if s.mode == ModeRobots {
		a, b := robots.Parse(s.body, Agent), robots.Parse(o.body, Agent)
		return bytes.Equal(a.Text(), b.Text()) && slices.Equal(a.Sitemaps, b.Sitemaps)
	}
	a, b := s.rec, o.rec
	return a.Title == b.Title && a.NoIndex == b.NoIndex && a.NoFollow == b.NoFollow && slices.Equal(a.Links, b.Links)
}

// compare finds whether what a worker claims to have seen is what the auditor saw. again
// fetches once more; it is called only where that can decide.
//
//	worker  auditor                      finding
//	2xx     2xx, same bytes              pass
//	2xx     2xx, same text and links     pass
//	2xx     2xx, other bytes             compareBodies
//	2xx     anything else                unsure: the page is gone, or hidden from one of the two
//	3xx     the same target              pass
//	3xx     2xx, and 301 or 308 claimed  fail: a permanent redirect does not come and go
//	3xx     anything else                unsure: redirects depend on who asks, and from where
//	4xx     the same status              pass
//	4xx     2xx, and 400 404 410 claimed fail: missing pages are the cheapest forgery
//	other   the same status              pass
//	other   another                      unsure: trouble comes and goes
func compare(worker, auditor sight, again func() (sight, bool)) (work.AuditOutcome, string) {
	w, a := worker.rec, auditor.rec
	ok := a.Status >= 200 && a.Status < 300
	switch {
	case w.Status < 300 && ok:
		return compareBodies(worker, auditor, again)
	case w.Status >= 300 && w.Status < 400 && a.Status >= 300 && a.Status < 400:
		if w.Location == a.Location {
			return work.Pass, "the same redirect"
		}
		return work.Unsure, "a redirect elsewhere"
	case w.Status == a.Status:
		return work.Pass, fmt.Sprintf("the same status %d", a.Status)
	case ok && (w.Status == 301 || w.Status == 308), ok && (w.Status == 400 || w.Status == 404 || w.Status == 410):
		if second, had := again(); had && second.rec.Status == a.Status {
			return work.Fail, fmt.Sprintf("status %d was claimed, it is %d", w.Status, a.Status)
		}
	}
	return work.Unsure, fmt.Sprintf("status %d was claimed, it is %d now", w.Status, a.Status)
}

func compareBodies(worker, auditor sight, again func() (sight, bool)) (work.AuditOutcome, string) {
	w, a := worker.rec, auditor.rec
	if w.Digest == a.Digest && w.MediaType == a.MediaType {
		return work.Pass, "the same bytes"
	}
	if !w.TextDigest.IsZero() && w.TextDigest == a.TextDigest && auditor.text != "" && worker.leadsTo(auditor) {
		return work.Pass, "the same text"
	}
	second, had := again()
	if !had || second.rec.Status != a.Status {
		return work.Unsure, "other bytes, and no second look was possible"
	}
	steady := second.rec.Digest == a.Digest
	if second.rec.Digest == w.Digest && second.rec.MediaType == w.MediaType {
		return work.Pass, "the same bytes at the second look"
	}
	// A page that does not vary, and of which the server says that it has not changed
	// since, can't have been seen otherwise.
	if steady && unchanged(worker, auditor) {
		return work.Fail, "other bytes than the server has had all the time"
	}
	if worker.mode != ModePage {
		return compareBare(worker, auditor, second, steady)
	}
	if !text.Supports(w.MediaType) || !text.Supports(a.MediaType) {
		if w.MediaType != a.MediaType && steady {
			return work.Fail, fmt.Sprintf("type %s was claimed, it is %s", w.MediaType, a.MediaType)
		}
		return work.Unsure, "other bytes of a type that can't be compared"
	}
	if text.Agree(worker.text, auditor.text, second.text) {
		// Who keeps the text can still invent links, or keep a page from the dataset. Where
		// there is no text at all nothing else speaks for the claim.
		same := worker.text == auditor.text || worker.text == second.text
		settled := auditor.leadsTo(second) || worker.text == ""
		if same && settled && !worker.leadsTo(auditor) && !worker.leadsTo(second) {
			return work.Unsure, "the same text with another title, other links or other directives"
		}
		return work.Pass, "the text agrees with two looks at it"
	}
	s := max(text.Similarity(worker.text, auditor.text), text.Similarity(worker.text, second.text))
	why := fmt.Sprintf("%.0f%% of the text is the same", 100*s)
	if s < clearlyOther && text.Similarity(auditor.text, second.text) >= steadyEnough {
		return work.Fail, why
	}
	return work.Unsure, why
}

// compareBare compares answers that no text is extracted from: rules for robots, and
// sitemaps. Nothing in them is decoration, so that there is no small difference to forgive;
// but they are edited like pages, so only what is clearly another is false.
func compareBare(worker, auditor, second sight, steady bool) (work.AuditOutcome, string) {
	if worker.leadsTo(auditor) || worker.leadsTo(second) {
		return work.Pass, "other bytes that come to the same"
	}
	s := max(text.Similarity(string(worker.body), string(auditor.body)), text.Similarity(string(worker.body), string(second.body)))
	why := fmt.Sprintf("other bytes, %.0f%% of them the same", 100*s)
	if s < clearlyOther && steady {
		return work.Fail, why
	}
	return work.Unsure, why
}

// unchanged reports whether the server vouches that what the auditor got is what it had
// when the worker asked: by the same strong entity tag, or by a date of last change that
// lies before the worker's request.
func unchanged(worker, auditor sight) bool {
	if tag := auditor.head.Get("ETag"); len(tag) > 2 && tag[0] == '"' && tag == worker.head.Get("ETag") {
		return true
	}
	changed, err := http.ParseTime(auditor.head.Get("Last-Modified"))
	// The worker's clock may be wrong, so what changed shortly before does not count.
	return err == nil && changed.Add(15*time.Minute).Before(worker.at)
}
