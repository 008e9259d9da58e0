package crawl

import (
	"fmt"
	"sync"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

const (
	maxSilent  = 4                // tries for a page, or at a host, in a row without a response
	silentFor  = 10 * time.Minute // a host is given up
	firstPause = 4 * time.Second  // after the first of them; it doubles
	robotsWait = 30 * time.Second // another job's task is waited for before this one asks itself
	maxHosts   = 10_000           // of which something is remembered
	maxRules   = 32 << 20         // bytes of robots.txt files
)

// live is what the live jobs of a Kind share: who is open, and how hosts may be treated. All
// but the plans is a cache.
type live struct {
	mu      sync.Mutex
	plans   map[work.JobID]*livePlan
	origins map[string]*liveOrigin
	sites   map[string]*liveSite
	rules   int // bytes of robots.txt files in origins
	now     func() time.Time
}

// liveOrigin is scheme, name and port: what has a robots.txt.
type liveOrigin struct {
	rules robots.File
	at    time.Time // zero while it is not known
	size  int

	url  string // where it is to be had next, after a redirect
	hops uint32
	// Whose task asks for it, and since when; nil for none.
	asking *livePlan
	since  time.Time
}

// liveSite is a host: what has a pace.
type liveSite struct {
	next   time.Time // when it may be asked again
	silent int       // tries in a row that say that nobody is there
}

func (l *live) open(p *livePlan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plans == nil {
		l.plans, l.origins, l.sites = map[work.JobID]*livePlan{}, map[string]*liveOrigin{}, map[string]*liveSite{}
	}
	if was := l.plans[p.job]; was != nil {
		l.leave(was) // the scheduler has left it
	}
	l.plans[p.job], l.now = p, p.env.Now
	for _, o := range p.out { // order-free: each of an origin of its own, or alike
		if o.Mode == ModeRobots {
			e := l.origin(o.Origin)
			e.asking, e.since = p, p.env.Now()
		}
	}
}

func (l *live) close(p *livePlan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plans[p.job] == p {
		delete(l.plans, p.job)
	}
	l.leave(p)
}

// leave has others ask for what p asked for them too.
func (l *live) leave(p *livePlan) {
	for name, e := range l.origins { // order-free: each is looked at alone
		if e.asking == p {
			e.asking = nil
			l.tellOthers(name)
		}
	}
}

// tellOthers wakes the jobs that wait for a robots.txt.
func (l *live) tellOthers(origin string) {
	for _, p := range l.plans { // order-free: each is woken alone
		for _, u := range p.asks {
			if u.Origin() == origin {
				p.wake()
				break
			}
		}
	}
}

func (l *live) origin(name string) *liveOrigin {
	e := l.origins[name]
	if e == nil {
		if len(l.origins) >= maxHosts {
			l.forget("")
		}
		e = new(liveOrigin)
		l.origins[name] = e
	}
	return e
}

func (l *live) site(u weburl.URL) *liveSite {
	name := site(u)
	s := l.sites[name]
	if s == nil {
		if len(l.sites) >= maxHosts {
			l.forget("")
		}
		s = new(liveSite)
		l.sites[name] = s
	}
	return s
}

// forget makes room: of robots.txt files until half of the room is free, but for keep, and of
// hosts that may be asked now as far as anybody remembers.
func (l *live) forget(keep string) {
	for name, e := range l.origins { // order-free: any will do
		if e.asking == nil && name != keep && (len(l.origins) > maxHosts/2 || l.rules > maxRules/2) {
			l.rules -= e.size
			delete(l.origins, name)
		}
	}
	now := l.now()
	for name, s := range l.sites { // order-free: each is looked at alone
		if s.silent == 0 && !now.Before(s.next) || now.Sub(s.next) > silentFor {
			delete(l.sites, name)
		}
	}
}

// gone reports whether a host is given up.
func (s *liveSite) gone(now time.Time) bool {
	if s.silent >= maxSilent && !now.Before(s.next) {
		s.silent = 0 // it is tried anew
	}
	return s.silent >= maxSilent
}

// refusal says why a page is not to be had, as far as is known.
func (l *live) refusal(p *livePlan, u weburl.URL, now time.Time) error {
	if p.silent[u.String()] >= maxSilent || l.site(u).gone(now) {
		return fmt.Errorf("%s: %w", u, ErrSilent)
	}
	if e := l.origin(u.Origin()); e.knows(now) && !e.rules.Allowed(u.Target()) {
		return fmt.Errorf("%s: %w", u, ErrDenied)
	}
	return nil
}

// knows reports whether a robots.txt is known and young enough.
func (e *liveOrigin) knows(now time.Time) bool {
	return !e.at.IsZero() && now.Sub(e.at) < robots.MaxAge
}

// ahead is what must be asked for next so that a page may be: the page, or its robots.txt.
// until says when; busy that another task is waited for until then.
func (l *live) ahead(p *livePlan, u weburl.URL, now time.Time) (o liveOut, until time.Time, busy bool) {
	e := l.origin(u.Origin())
	if e.knows(now) {
		return liveOut{Mode: ModePage, URL: u.String()}, l.site(u).next, false
	}
	if e.asking != nil && now.Sub(e.since) < robotsWait {
		return liveOut{}, e.since.Add(robotsWait), true
	}
	at := u
	if to, err := weburl.Parse(e.url); err == nil {
		at = to
	} else {
		e.url = u.Origin() + "/robots.txt"
	}
	return liveOut{Mode: ModeRobots, URL: e.url, Origin: u.Origin()}, l.site(at).next, false
}

// turn is what may be asked for now on behalf of a page, whose turn it then is.
func (l *live) turn(p *livePlan, u weburl.URL, now time.Time) (liveOut, bool) {
	o, until, busy := l.ahead(p, u, now)
	if busy || now.Before(until) {
		return liveOut{}, false
	}
	to, err := weburl.Parse(o.URL)
	if err != nil { // both are canonical
		return liveOut{}, false
	}
	e := l.origin(u.Origin())
	l.site(to).next = now.Add(p.pause(to, e))
	if o.Mode == ModeRobots {
		e.asking, e.since = p, now
	}
	return o, true
}

// pause is the time from one request to the next one.
func (p *livePlan) pause(u weburl.URL, e *liveOrigin) time.Duration {
	if p.env.AllowPrivate(u.Host()) {
		return 0
	}
	return max(p.interval, e.rules.Delay)
}

// hops is how many redirects lead to what is asked for.
func (l *live) hops(o liveOut) uint32 {
	if o.Mode != ModeRobots {
		return 0
	}
	return l.origin(o.Origin).hops
}

// heard notes how a host took an exchange.
func (l *live) heard(url string, rec Record, now time.Time) {
	u, err := weburl.Parse(url)
	if err != nil {
		return
	}
	s := l.site(u)
	switch {
	case rec.Status != 0:
		s.silent = 0
		s.after(now, rec.RetryAfter)
	case hostTrouble(rec.Error):
		l.trouble(s, now)
	}
}

// after has a host wait for so many seconds.
func (s *liveSite) after(now time.Time, seconds uint32) {
	if at := now.Add(time.Duration(seconds) * time.Second); at.After(s.next) {
		s.next = at
	}
}

// trouble notes that nobody seems to be there.
func (l *live) trouble(s *liveSite, now time.Time) {
	pause := firstPause << min(s.silent, maxSilent)
	if s.silent++; s.silent >= maxSilent {
		pause = silentFor
	}
	if at := now.Add(pause); at.After(s.next) {
		s.next = at
	}
}

// learn takes what came of asking for a robots.txt. One that can't be had now is as good as
// a host that is silent: RFC 9309 has nothing fetched from it.
func (l *live) learn(p *livePlan, out liveOut, r reading, now time.Time) {
	e := l.origin(out.Origin)
	if e.asking == p {
		e.asking = nil
	}
	e.url, e.hops = "", 0
	status := r.rec.Status
	file, final := robots.OfStatus(int(status))
	if status >= 200 && status <= 299 && r.rules != nil {
		file, final = *r.rules, true
	}
	switch {
	case status >= 300 && status < 400 && r.rec.Location != "" && r.fetch.Depth < maxRobotsHops:
		e.url, e.hops = r.rec.Location, r.fetch.Depth+1
		l.heard(out.URL, r.rec, now)
	case final:
		l.heard(out.URL, r.rec, now)
		l.rules -= e.size
		e.rules, e.at, e.size = file, now, len(file.Text())
		e.rules.Sitemaps = nil
		if l.rules += e.size; l.rules > maxRules {
			l.forget(out.Origin)
		}
	default:
		if u, err := weburl.Parse(out.Origin + "/"); err == nil {
			l.trouble(l.site(u), now)
			l.site(u).after(now, r.rec.RetryAfter)
		}
	}
	l.tellOthers(out.Origin)
}

// wait is how long Next need not be asked.
func (l *live) wait(p *livePlan, now time.Time) time.Duration {
	wait := idleWait
	for _, u := range p.asks {
		if l.refusal(p, u, now) != nil {
			return 0
		}
		_, until, _ := l.ahead(p, u, now)
		wait = min(wait, max(0, until.Sub(now)))
	}
	return wait
}
