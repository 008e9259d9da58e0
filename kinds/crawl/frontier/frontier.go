package frontier

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Bounds of what is done at a time.
const (
	MaxGroup       = 32 // addresses that one worker is given together
	MaxHosts       = 200_000
	MaxAttempts    = 4
	maxFailures    = 5                // groups in a row that came to nothing, until a host is given up
	maxRobotsTries = 4                // likewise for its robots.txt
	groupTime      = 30 * time.Second // a group with pauses takes no longer than this
	privateOut     = 512              // items of a private host that are out at a time
	maxSkips       = 2000             // addresses that one look at a host may drop
	MaxWait        = time.Hour        // a server that asks for a longer pause gets this one
)

// Modes of items. Others may be added by the plan; only robots.txt is special here.
const ModeRobots uint8 = 2

// Item is an address to ask for.
type Item struct {
	URL     weburl.URL
	Mode    uint8
	Depth   uint32
	Hops    uint8 // redirects that led here
	Attempt uint8 // tries before this one
}

// Given is an item in somebody's hands.
type Given struct {
	Seq  uint64
	Item Item
}

// Group is items for one worker, in order.
type Group struct {
	Items []Given
	Pace  time.Duration
}

// Why an item left without having been asked for.
const (
	Denied  = "robots-denied"      // robots.txt does not allow it
	NoRules = "robots-unreachable" // robots.txt can't be had, and the host is reachable
	// Or End.Host of the trouble that its host was given up for.
)

// Config is what a frontier is told.
type Config struct {
	Now      func() time.Time
	Interval time.Duration          // between two requests to one host
	Private  func(host string) bool // the host is the network's own: no pauses
	// Dropped is told of items that leave without having been asked for.
	Dropped func(it Item, why string)
}

// Frontier is not safe for concurrent use.
type Frontier struct {
	cfg   Config
	state work.State
	meta  metaRecord
	hosts map[string]*host
	ready readyHeap
	lanes map[string]*lane
	swept time.Time
	seen  seen
	retry retries
	out   map[uint64]given
	dirty []*host
	large struct { // the long robots.txt that was used last
		host  *host
		rules *robots.File
	}

	queued uint64 // in all queues
}

// Open reads a frontier from the state, which may be empty.
func Open(state work.State, cfg Config) (*Frontier, error) {
	f := &Frontier{cfg: cfg, state: state, hosts: map[string]*host{}, lanes: map[string]*lane{}, out: map[uint64]given{}}
	var err error
	if f.meta, err = getRecord[metaRecord](state, []byte{keyMeta}); err != nil {
		return nil, err
	}
	f.retry.last = f.meta.Retries
	byID := map[uint64]*host{}
	err = scan(state, []byte{keyHost}, []byte{keyHost + 1}, func(key, value []byte) (bool, error) {
		r, err := work.Decode[hostRecord](value, 1<<16)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrState, err)
		}
		h, err := f.newHost(string(key[1:]))
		if err != nil {
			return false, err
		}
		if r.Tail < r.Head {
			return false, fmt.Errorf("%w: the queue of %s", ErrState, h.origin)
		}
		h.restore(r)
		f.queued += h.queue.len()
		byID[r.ID] = h
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	err = scan(state, []byte{keyOut}, []byte{keyOut + 1}, func(key, value []byte) (bool, error) {
		seq, err := number(key)
		if err != nil {
			return false, err
		}
		if len(value) < 8 {
			return false, fmt.Errorf("%w: what is out", ErrState)
		}
		it, err := decodeItem(value[8:])
		if err != nil {
			return false, err
		}
		h := byID[binary.BigEndian.Uint64(value)]
		if h == nil {
			return false, fmt.Errorf("%w: %s is out, its host is unknown", ErrState, it.URL)
		}
		f.out[seq] = given{it, h}
		h.out++
		h.robotsOut = h.robotsOut || it.Mode == ModeRobots
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if f.meta.Stopped {
		return f, nil
	}
	err = scan(state, []byte{keyRetry}, []byte{keyRetry + 1}, func(key, _ []byte) (bool, error) {
		if len(key) != 17 {
			return false, fmt.Errorf("%w: a retry's key", ErrState)
		}
		if due, _ := number(key[:9]); f.retry.n == 0 {
			f.retry.next = int64(due)
		}
		f.retry.n++
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	// In a fixed order, so that the same state gives the same plan.
	ids := slices.Sorted(maps.Keys(byID))
	for _, id := range ids {
		if h := byID[id]; h.out > 0 && !h.private {
			name := f.laneOf(h)
			if f.lanes[name] == nil {
				f.lanes[name] = &lane{}
			}
			if f.lanes[name].busy == nil {
				f.lanes[name].busy, h.lane = h, name
			}
		}
	}
	for _, id := range ids {
		f.schedule(byID[id])
	}
	return f, nil
}

func (f *Frontier) newHost(origin string) (*host, error) {
	u, err := weburl.Parse(origin + "/")
	if err != nil {
		return nil, fmt.Errorf("%w: host %.80q", ErrState, origin)
	}
	h := &host{origin: origin, name: u.Host(), private: f.cfg.Private(u.Host())}
	f.hosts[origin] = h
	return h, nil
}

// given is an item that is out, with the host whose turn it was. A robots.txt may have
// been redirected to another one.
type given struct {
	item Item
	host *host
}

// schedule puts a host where it belongs after something changed.
func (f *Frontier) schedule(h *host) {
	if h.where != nowhere {
		return
	}
	switch {
	case h.queue.len() == 0:
	case h.robotsOut:
	case h.out > 0 && !h.private:
	case h.out >= privateOut:
	default:
		f.ready.push(h)
	}
}

func (f *Frontier) touch(h *host) {
	if !h.dirty {
		h.dirty = true
		f.dirty = append(f.dirty, h)
	}
}

// Flush writes what changed since it was called last. It ends every batch.
func (f *Frontier) Flush(b work.Batch) error {
	for _, h := range f.dirty {
		h.dirty = false
		if err := setRecord(b, append([]byte{keyHost}, h.origin...), h.record()); err != nil {
			return err
		}
	}
	f.dirty = f.dirty[:0]
	f.meta.Retries = f.retry.last
	return setRecord(b, []byte{keyMeta}, f.meta)
}

// Add queues an address unless it is known already. It also says false where the crawl
// has as many hosts as it can.
func (f *Frontier) Add(b work.Batch, it Item) (bool, error) {
	h := f.hosts[it.URL.Origin()]
	if h == nil && len(f.hosts) >= MaxHosts {
		return false, nil
	}
	fresh, err := f.seen.add(f.state, b, it.Mode, it.URL.String())
	if err != nil || !fresh {
		return false, err
	}
	if h == nil {
		if h, err = f.newHost(it.URL.Origin()); err != nil {
			return false, err
		}
		f.meta.Hosts++
		h.queue.id = f.meta.Hosts
	}
	f.enqueue(b, h, it)
	return true, nil
}

func (f *Frontier) window() int {
	return max(minWindow, min(maxWindow, allWindows/max(1, len(f.hosts))))
}

func (f *Frontier) enqueue(b work.Batch, h *host, it Item) {
	h.queue.push(b, it, f.window())
	f.queued++
	f.touch(h)
	f.schedule(h)
}

// Next gives out at most max items, of which at most quota are not robots.txt files.
func (f *Frontier) Next(b work.Batch, max, quota int) ([]Group, error) {
	now := f.cfg.Now()
	f.sweep(now)
	due, err := f.retry.pop(f.state, b, now, 10_000)
	if err != nil {
		return nil, err
	}
	for _, it := range due {
		if h := f.hosts[it.URL.Origin()]; h != nil {
			f.enqueue(b, h, it)
		}
	}
	var groups []Group
	var again []*host // looked at and still ready; not twice in one call
	for max > 0 && f.ready.Len() > 0 && !f.ready.hosts[0].next.After(now) {
		h := f.ready.pop()
		if h.queue.len() == 0 {
			continue
		}
		if !h.private && h.dead == "" && !f.enter(h, now) {
			continue
		}
		g, err := f.take(b, h, now, max, quota)
		if err != nil {
			return nil, err
		}
		if len(g.Items) == 0 {
			if h.lane != "" {
				f.leave(h, now)
			}
			if h.where == nowhere && h.queue.len() > 0 {
				again = append(again, h)
			}
			continue
		}
		groups = append(groups, g)
		max -= len(g.Items)
		for _, it := range g.Items {
			if it.Item.Mode != ModeRobots {
				quota--
			}
		}
		f.schedule(h)
	}
	for _, h := range again {
		f.schedule(h)
	}
	return groups, nil
}

// take gives out what a host may be asked for now.
func (f *Frontier) take(b work.Batch, h *host, now time.Time, max, quota int) (Group, error) {
	f.touch(h)
	if h.dead == "" && !h.knowsRobots(now) {
		u, err := f.robotsURL(h)
		if err != nil {
			return Group{}, err
		}
		h.robotsOut = true
		return Group{Items: []Given{f.give(b, h, Item{URL: u, Mode: ModeRobots, Depth: h.robotsHops})}}, nil
	}
	var rules *robots.File
	if h.dead == "" {
		var err error
		if rules, err = f.rulesOf(h); err != nil || rules == nil {
			return Group{}, err
		}
	}
	n := f.groupSize(h, min(max, quota))
	var g Group
	for skips := 0; len(g.Items) < n || (h.dead != "" && skips < maxSkips); {
		it, ok, err := h.queue.pop(f.state, b, f.window())
		if err != nil {
			return Group{}, err
		}
		if !ok {
			break
		}
		f.queued--
		why := ""
		if h.dead != "" {
			why = h.dead
		} else if !rules.Allowed(it.URL.Target()) {
			why = Denied
		}
		if why != "" {
			f.cfg.Dropped(it, why)
			if skips++; skips >= maxSkips {
				break
			}
			continue
		}
		g.Items = append(g.Items, f.give(b, h, it))
	}
	g.Pace = f.interval(h)
	return g, nil
}

func (f *Frontier) robotsURL(h *host) (weburl.URL, error) {
	to := h.robotsURL
	if to == "" {
		to = h.origin + "/robots.txt"
	}
	u, err := weburl.Parse(to)
	if err != nil {
		return u, fmt.Errorf("%w: robots.txt of %s: %w", ErrState, h.origin, err)
	}
	return u, nil
}

func (f *Frontier) groupSize(h *host, most int) int {
	n := MaxGroup
	switch pace := f.interval(h); {
	case h.failures > 0:
		n = 1 // try whether it is back
	case h.private:
		// Small groups while there is little, so that everybody gets some.
		n = int(min(MaxGroup, max(1, h.queue.len()/8)))
		n = min(n, privateOut-h.out)
	case pace > 0:
		n = int(min(MaxGroup, max(1, int64(groupTime/pace))))
	}
	return min(n, most)
}

func (f *Frontier) give(b work.Batch, h *host, it Item) Given {
	f.meta.Seq++
	h.out++
	f.out[f.meta.Seq] = given{it, h}
	b.Set(key1(keyOut, f.meta.Seq), append(binary.BigEndian.AppendUint64(nil, h.queue.id), encodeItem(it)...))
	return Given{Seq: f.meta.Seq, Item: it}
}

// Out says what was given out under a number.
func (f *Frontier) Out(seq uint64) (Item, bool) {
	g, ok := f.out[seq]
	return g.item, ok
}

// End is how asking for an item ended.
type End struct {
	IP    string        // the address that answered, where one did
	Retry bool          // it should be asked for again
	After time.Duration // the server asks to be left alone for so long
	Host  string        // why the trouble is the host's, as when nobody listens; "" where it isn't
	// Of a robots.txt: what it says, or where it is, or neither where it can't be had.
	Robots   *robots.File
	Redirect weburl.URL
}

// Finish takes an item back. It says true where Retry was asked for and the item will
// not be tried again, because it was often enough.
func (f *Frontier) Finish(b work.Batch, seq uint64, e End) (gaveUp bool, err error) {
	g, ok := f.out[seq]
	if !ok {
		return false, fmt.Errorf("%w: nothing with number %d is out", ErrState, seq)
	}
	h, now := g.host, f.cfg.Now()
	delete(f.out, seq)
	b.Delete(key1(keyOut, seq))
	h.out--
	f.touch(h)
	if e.IP != "" && g.item.URL.Origin() == h.origin {
		h.ip = e.IP
	}
	if g.item.Mode == ModeRobots {
		f.finishRobots(b, h, e, now)
	} else {
		gaveUp = f.finishItem(b, h, g.item, e, now)
	}
	if e.After > 0 {
		h.next = later(h.next, now.Add(min(e.After, MaxWait)))
	}
	if h.out == 0 {
		f.endGroup(h, now)
	}
	f.schedule(h)
	return gaveUp, nil
}

func (f *Frontier) finishItem(b work.Batch, h *host, it Item, e End, now time.Time) (gaveUp bool) {
	if e.Host != "" {
		h.group.bad = e.Host
	} else {
		h.group.good = true
	}
	if !e.Retry {
		return false
	}
	if it.Attempt++; it.Attempt >= MaxAttempts || h.dead != "" || f.meta.Stopped {
		return true
	}
	f.retry.push(b, now, max(f.backoff(h, uint32(it.Attempt)), min(e.After, MaxWait)), it)
	return false
}

func (f *Frontier) finishRobots(b work.Batch, h *host, e End, now time.Time) {
	h.robotsOut = false
	switch {
	case e.Robots != nil:
		h.failures = 0
		f.setRules(b, h, *e.Robots, now)
	case !e.Redirect.IsZero():
		h.robotsURL = e.Redirect.String()
		h.robotsHops++
	default:
		h.robotsURL, h.robotsHops = "", 0
		h.robotsTries++
		h.next = now.Add(f.backoff(h, h.robotsTries))
		if h.robotsTries < maxRobotsTries {
			return
		}
		if !h.robotsAt.IsZero() { // old rules are better than none
			h.robotsAt, h.robotsTries = now, 0
			return
		}
		h.dead, h.next = NoRules, now
		if e.Host != "" {
			h.dead = e.Host
		}
	}
}

// endGroup is called when nothing of a host is out any more.
func (f *Frontier) endGroup(h *host, now time.Time) {
	next := now.Add(f.interval(h))
	switch {
	case h.group.good:
		h.failures = 0
	case h.group.bad != "":
		h.failures++
		next = now.Add(f.backoff(h, h.failures))
		if h.failures >= maxFailures {
			h.dead, next = h.group.bad, now
		}
	}
	h.group.good, h.group.bad = false, ""
	if h.queue.len() == 0 {
		h.rules = nil
	}
	h.next = later(h.next, next)
	if h.lane != "" {
		f.leave(h, now.Add(f.interval(h)))
	}
}

// backoff is how long to wait after the n-th failure.
func (f *Frontier) backoff(h *host, n uint32) time.Duration {
	base := 5 * time.Second
	if h.private {
		base = 200 * time.Millisecond
	}
	return min(MaxWait, base<<(2*min(n-1, 10)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Stop forgets everything that is not out, for good, and says how much that was. What is
// out can still be finished; nothing is tried again.
func (f *Frontier) Stop() uint64 {
	n := f.queued + f.retry.n
	f.meta.Stopped = true
	for _, h := range f.hosts {
		if h.queue.drop() > 0 {
			f.touch(h)
		}
	}
	f.queued, f.retry.n = 0, 0
	return n
}

// Stats are a frontier's figures.
type Stats struct {
	Queued uint64 // known, not out
	Out    uint64
	Hosts  uint64
	Wait   time.Duration // until Next may give something; meaningless where nothing is queued
}

// Stats says how the frontier stands.
func (f *Frontier) Stats() Stats {
	s := Stats{Queued: f.queued + f.retry.n, Out: uint64(len(f.out)), Hosts: uint64(len(f.hosts))}
	wait := int64(math.MaxInt64)
	now := f.cfg.Now()
	if f.ready.Len() > 0 {
		wait = f.ready.hosts[0].next.Sub(now).Milliseconds() + 1
	}
	if f.retry.n > 0 {
		wait = min(wait, f.retry.next-now.UnixMilli())
	}
	if wait == math.MaxInt64 {
		wait = 1000 // everything waits for what is out
	}
	s.Wait = max(time.Millisecond, time.Duration(wait)*time.Millisecond)
	return s
}

// OutOf is how many items of a mode are out.
func (f *Frontier) OutOf(mode uint8) (n uint64) {
	for _, g := range f.out {
		if g.item.Mode == mode {
			n++
		}
	}
	return n
}
