package crawl

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Verify finds out whether a worker saw what it says.
//
// First the record must follow from the bytes that the worker stored, which anybody can
// check: one claim that doesn't is a lie, whatever the web says. Then the auditor asks for
// the address itself, where robots.txt allows it, and compares: see compare. What it saw
// is kept as evidence.
func (k *Kind) Verify(ctx context.Context, env work.Env, t work.Task, result work.Result) (work.Verdict, error) {
	spec, f, err := k.task(t)
	if err != nil {
		return work.Verdict{}, err
	}
	finding := func(o work.AuditOutcome, l work.Label, format string, a ...any) work.Verdict {
		return work.Verdict{Outcome: o, Label: l, Reason: fmt.Sprintf(format, a...)}
	}
	rec, err := k.record(t, result)
	if err != nil {
		return finding(work.Fail, work.Replayed, "%v", err), nil
	}
	var worker sight
	if rec.Status != 0 {
		size := int64(rec.Members[0]) + int64(rec.Members[1]) + int64(rec.Members[2])
		blob, err := env.Blobs.Get(ctx, rec.WARC, size)
		switch {
		case errors.Is(err, artifact.ErrTooLarge):
			return finding(work.Fail, work.Replayed, "the exchange is longer than its record says"), nil
		case err != nil: // whoever lost it, it can't be checked
			return work.Verdict{}, fmt.Errorf("read the exchange with %s: %w", f.URL, err)
		}
		ex, page, err := Recheck(spec, f, rec, blob)
		if err != nil {
			return finding(work.Fail, work.Replayed, "%v", err), nil
		}
		if worker, err = sightOf(spec, f, rec, page, ex); err != nil {
			return work.Verdict{}, fmt.Errorf("read the exchange with %s: %w", f.URL, err)
		}
	}

	if f.Mode != ModeRobots {
		allowed, err := k.allowed(ctx, env, spec, f)
		if err != nil {
			return work.Verdict{}, err
		}
		if !allowed {
			return finding(work.Unsure, work.Asserted, "robots.txt does not allow the auditor to look"), nil
		}
	}
	auditor, evidence, err := k.look(ctx, env, spec, f)
	if err != nil {
		return work.Verdict{}, err
	}
	var v work.Verdict
	switch a := auditor.rec; {
	case a.Status == 0 && rec.Status == 0 && a.Error == rec.Error:
		v = finding(work.Pass, work.Agreed, "the same error: %s", a.Error)
	case a.Status == 0:
		v = finding(work.Unsure, work.Asserted, "the auditor got no response: %s", a.Error)
	case rec.Status == 0:
		v = finding(work.Unsure, work.Asserted, "no response was claimed (%s), there is one of status %d now", rec.Error, a.Status)
	default:
		var failed error
		outcome, why := compare(worker, auditor, func() (sight, bool) {
			s, _, err := k.look(ctx, env, spec, f)
			failed = err
			return s, err == nil && s.rec.Status != 0
		})
		if failed != nil && ctx.Err() != nil {
			return work.Verdict{}, failed
		}
		v = finding(outcome, work.Agreed, "%s", why)
		if outcome == work.Unsure {
			v.Label = work.Asserted
		}
	}
	v.Evidence = evidence
	return v, nil
}

// look fetches the address for the auditor and stores what it saw.
func (k *Kind) look(ctx context.Context, env work.Env, spec Spec, f Fetch) (sight, artifact.Digest, error) {
	rec, page, blob, err := k.fetch(ctx, env, spec, f)
	if err != nil {
		return sight{}, artifact.Digest{}, err
	}
	if blob != nil {
		rec.WARC = artifact.Sum(blob)
	}
	body, err := work.Encode(rec)
	if err != nil {
		return sight{}, artifact.Digest{}, fmt.Errorf("encode the evidence on %s: %w", f.URL, err)
	}
	blobs := [][]byte{body}
	if blob != nil {
		blobs = append(blobs, blob)
	}
	ds, err := env.Blobs.PutAll(ctx, blobs)
	if err != nil {
		return sight{}, artifact.Digest{}, fmt.Errorf("store the evidence on %s: %w", f.URL, err)
	}
	if blob == nil {
		return sight{rec: rec}, ds[0], nil
	}
	ex, err := warc.ParseLimit(blob, rec.Members, int64(limitOf(f, spec)))
	if err != nil {
		return sight{}, artifact.Digest{}, fmt.Errorf("read the evidence on %s: %w", f.URL, err)
	}
	s, err := sightOf(spec, f, rec, page, ex)
	return s, ds[0], err
}

// allowed reports whether robots.txt lets the auditor ask for the address.
func (k *Kind) allowed(ctx context.Context, env work.Env, spec Spec, f Fetch) (bool, error) {
	u, err := weburl.Parse(f.URL)
	if err != nil {
		return false, fmt.Errorf("crawl task: %w", err)
	}
	file, ok := k.robots.get(u.Origin(), env.Now())
	if !ok {
		var final bool
		if file, final, err = k.fetchRobots(ctx, env, spec, u); err != nil {
			return false, err
		}
		if final {
			k.robots.put(u.Origin(), file, env.Now())
		}
	}
	return file.Allowed(u.Target()), nil
}

// fetchRobots asks for a host's robots.txt and follows its redirects.
func (k *Kind) fetchRobots(ctx context.Context, env work.Env, spec Spec, u weburl.URL) (file robots.File, final bool, err error) {
	next := u.Origin() + "/robots.txt"
	for hop := uint32(0); ; hop++ {
		f := Fetch{Mode: ModeRobots, URL: next, Depth: hop}
		rec, _, blob, err := k.fetch(ctx, env, spec, f)
		if err != nil {
			return robots.File{}, false, err
		}
		switch {
		case rec.Status >= 200 && rec.Status < 300:
			ex, err := warc.ParseLimit(blob, rec.Members, maxRobots)
			if err != nil {
				return robots.File{}, false, fmt.Errorf("read robots.txt of %s: %w", u.Authority(), err)
			}
			return robots.Parse(ex.Body, Agent), true, nil
		case rec.Location != "" && hop < maxRobotsHops:
			next = rec.Location
		default:
			file, final := robots.OfStatus(int(rec.Status))
			return file, final, nil
		}
	}
}

// robotsCache keeps an auditor's robots.txt files.
type robotsCache struct {
	mu    sync.Mutex
	files map[string]cachedRobots
}

type cachedRobots struct {
	file robots.File
	at   time.Time
}

func (c *robotsCache) get(origin string, now time.Time) (robots.File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.files[origin]
	if !ok || now.Sub(e.at) >= robots.MaxAge {
		return robots.File{}, false
	}
	return e.file, true
}

func (c *robotsCache) put(origin string, file robots.File, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil || len(c.files) >= 1000 {
		c.files = map[string]cachedRobots{}
	}
	c.files[origin] = cachedRobots{file, now}
}
