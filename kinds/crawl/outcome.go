package crawl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/frontier"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// outcome takes one task's end into the plan.
func (p *plan) outcome(b work.Batch, o work.Outcome) error {
	it, ok := p.f.Out(o.Task.Seq)
	if !ok {
		return nil // told twice: the first time counted
	}
	c := &p.rec.Counts
	if Mode(it.Mode) == ModePage {
		p.pagesOut--
	}
	if o.Failed {
		c.Failed++
		return p.end(b, o.Task.Seq, it, frontier.End{}, "no-worker")
	}
	c.Tasks++
	c.Units += o.Units
	o.Task.Spec = p.specRaw
	rec, err := p.kind.record(o.Task, o.Result)
	if err != nil {
		// The scheduler has metered the result, so this cannot be; if it is, the address
		// came to nothing and the plan goes on.
		return p.end(b, o.Task.Seq, it, frontier.End{}, "bad-result")
	}
	if Mode(it.Mode) == ModeRobots {
		c.Robots++
		return p.robots(b, o.Task.Seq, it, rec)
	}
	end := frontier.End{IP: rec.IP, After: time.Duration(rec.RetryAfter) * time.Second}
	switch s := rec.Status; {
	case s == 0:
		if hostTrouble(rec.Error) {
			end.Host = rec.Error
		}
		end.Retry = rec.Error != ErrForbidden && rec.Error != ErrTooLarge && rec.Error != ErrProtocol
		return p.end(b, o.Task.Seq, it, end, rec.Error)
	case s == 408, s == 425, s == 429, s >= 500:
		end.Retry = s != 501 && s != 505
		return p.end(b, o.Task.Seq, it, end, httpError(s))
	case s >= 300 && s < 400:
		return p.redirect(b, o.Task.Seq, it, rec, end)
	case s >= 400:
		return p.end(b, o.Task.Seq, it, end, httpError(s))
	case Mode(it.Mode) == ModeSitemap:
		c.Sitemaps++
		if err := p.sitemap(b, it, rec); err != nil {
			return err
		}
		return p.end(b, o.Task.Seq, it, end, "")
	}
	if err := p.page(b, it, rec); err != nil {
		return err
	}
	return p.end(b, o.Task.Seq, it, end, "")
}

// end takes an item back into the frontier. class is what it is counted as if that was
// its last try; "" where it is counted already.
func (p *plan) end(b work.Batch, seq uint64, it frontier.Item, e frontier.End, class string) error {
	gaveUp, err := p.f.Finish(b, seq, e)
	switch {
	case err != nil || class == "" || Mode(it.Mode) == ModeRobots:
	case e.Retry && !gaveUp:
		p.rec.Counts.Retries++
	default:
		p.rec.Counts.fail(class)
	}
	return err
}

func (p *plan) redirect(b work.Batch, seq uint64, it frontier.Item, rec Record, end frontier.End) error {
	if rec.Location == "" {
		return p.end(b, seq, it, end, httpError(rec.Status))
	}
	if it.Hops >= maxHops {
		return p.end(b, seq, it, end, "redirect-loop")
	}
	p.rec.Counts.Redirects++
	to, err := weburl.Parse(rec.Location)
	if err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	next := frontier.Item{URL: to, Mode: it.Mode, Depth: it.Depth, Hops: it.Hops + 1}
	inScope := p.scope.has(to)
	if Mode(it.Mode) == ModePage && !inScope {
		p.extend(b, it, to)
		inScope = p.scope.has(to)
	} else if Mode(it.Mode) == ModeSitemap {
		inScope = p.scope.sameDomain(to)
	}
	if inScope {
		if err := p.add(b, next); err != nil {
			return err
		}
	}
	return p.end(b, seq, it, end, "")
}

// page counts a page and queues its links.
func (p *plan) page(b work.Batch, it frontier.Item, rec Record) error {
	c := &p.rec.Counts
	switch {
	case !Keeps(rec.MediaType):
		c.Skipped++
		return nil
	case rec.NoIndex:
		c.NoIndex++
	default:
		c.Pages++
		c.Bytes += rec.Size
	}
	c.Links += uint64(len(rec.Links))
	again, err := p.again(b, rec.Digest)
	if err != nil {
		return err
	}
	if again {
		if !rec.NoIndex {
			c.Duplicates++
		}
		return nil // the same bytes have the same links; following them again feeds traps
	}
	if rec.NoFollow || it.Depth >= p.spec.MaxDepth {
		return nil
	}
	for _, l := range rec.Links {
		u, err := weburl.Parse(l)
		if err != nil || !p.scope.has(u) {
			continue
		}
		if err := p.add(b, frontier.Item{URL: u, Mode: uint8(ModePage), Depth: it.Depth + 1}); err != nil {
			return err
		}
	}
	return nil
}

// sitemap queues what a sitemap lists: pages one link from a seed, or other sitemaps.
func (p *plan) sitemap(b work.Batch, it frontier.Item, rec Record) error {
	next := frontier.Item{Mode: uint8(ModePage), Depth: 1}
	has := p.scope.has
	if rec.Title == sitemapIndex {
		if it.Depth >= maxSitemapDepth {
			return nil
		}
		next = frontier.Item{Mode: uint8(ModeSitemap), Depth: it.Depth + 1}
		has = p.scope.sameDomain
	}
	for _, l := range rec.Links {
		u, err := weburl.Parse(l)
		if err != nil || !has(u) {
			continue
		}
		if next.Mode == uint8(ModeSitemap) && p.rec.Sitemaps >= maxSitemaps {
			return nil
		}
		next.URL = u
		if next.Mode == uint8(ModeSitemap) {
			p.rec.Sitemaps++
		}
		if err := p.add(b, next); err != nil {
			return err
		}
	}
	return nil
}

// robots takes a host's robots.txt into the frontier. Its bytes are in the WARC records.
func (p *plan) robots(b work.Batch, seq uint64, it frontier.Item, rec Record) error {
	end := frontier.End{IP: rec.IP, After: time.Duration(rec.RetryAfter) * time.Second}
	switch s := rec.Status; {
	case s == 0:
		if hostTrouble(rec.Error) {
			end.Host = rec.Error
		}
	case s >= 200 && s < 300:
		body, err := storedBody(p.ctx, p.env.Blobs, rec)
		if err != nil {
			return err
		}
		if body != nil {
			end.Robots = readRobots(*body)
		}
	case s >= 300 && s < 400 && rec.Location != "" && it.Depth < maxRobotsHops:
		to, err := weburl.Parse(rec.Location)
		if err != nil {
			return fmt.Errorf("robots.txt: %w", err)
		}
		end.Redirect = to
	default:
		if file, final := robots.OfStatus(int(s)); final {
			end.Robots = &file
		}
	}
	if end.Robots != nil {
		if err := p.robotsSitemaps(b, it, end.Robots.Sitemaps); err != nil {
			return err
		}
	}
	return p.end(b, seq, it, end, "")
}

// storedBody reads what was stored of a robots.txt; nil where it can't be had or is not what the record says.
// Then the robots.txt counts as unreachable and is asked for again.
func storedBody(ctx context.Context, blobs artifact.Store, rec Record) (*[]byte, error) {
	blob, err := blobs.Get(ctx, rec.WARC, 4*maxRobots)
	switch {
	case errors.Is(err, artifact.ErrNotFound), errors.Is(err, artifact.ErrTooLarge):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the exchange with %s: %w", rec.URL, err)
	}
	ex, err := warc.ParseLimit(blob, rec.Members, maxRobots)
	if err != nil || artifact.Sum(ex.Body) != rec.Digest {
		return nil, nil
	}
	return &ex.Body, nil
}

func (p *plan) robotsSitemaps(b work.Batch, it frontier.Item, list []string) error {
	if !p.spec.Sitemaps || p.spec.MaxDepth == 0 {
		return nil
	}
	for _, s := range list {
		u, err := it.URL.Resolve(s)
		if err != nil || !p.scope.sameDomain(u) || p.rec.Sitemaps >= maxSitemaps {
			continue
		}
		p.rec.Sitemaps++
		if err := p.add(b, frontier.Item{URL: u, Mode: uint8(ModeSitemap)}); err != nil {
			return err
		}
	}
	return nil
}

// again reports whether a page with these bytes was seen, and remembers them.
func (p *plan) again(b work.Batch, d artifact.Digest) (bool, error) {
	if p.bodies.has(d) {
		return true, nil
	}
	key := append([]byte{keyDigest}, d[:16]...)
	v, err := p.state.Get(key)
	if err != nil {
		return false, fmt.Errorf("look up a page's digest: %w", err)
	}
	p.bodies.add(d)
	if v != nil {
		return true, nil
	}
	b.Set(key, []byte{1})
	return false, nil
}

// recent remembers the digests added last: what may not be committed yet.
type recent struct{ young, old map[artifact.Digest]struct{} }

func (r *recent) has(d artifact.Digest) bool {
	if _, ok := r.young[d]; ok {
		return true
	}
	_, ok := r.old[d]
	return ok
}

func (r *recent) add(d artifact.Digest) {
	if r.young == nil || len(r.young) >= 20_000 {
		r.old, r.young = r.young, map[artifact.Digest]struct{}{}
	}
	r.young[d] = struct{}{}
}
