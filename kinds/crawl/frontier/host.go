package frontier

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/work"
)

// Where a host is: in one place at most.
type place uint8

const (
	nowhere place = iota // nothing to do, or all that can be is out
	inReady
	inLane
)

// host is one origin: scheme, name and port.
type host struct {
	origin  string
	name    string
	private bool // on the network's own machine: no pauses, several groups at a time

	queue queue
	out   int // items given out, its robots.txt included

	ip       string
	next     time.Time
	failures uint32
	dead     string

	robotsAt    time.Time
	robotsOut   bool
	robotsTries uint32
	robotsURL   string
	robotsHops  uint32
	delay       time.Duration
	rules       *robots.File // nil: not in memory, or long

	group struct { // how the items that were out together ended
		good bool
		bad  string // the host's trouble
	}
	lane string // the one that it is in

	where place
	index int    // in the heap
	turn  uint64 // among those with the same time
	dirty bool
}

func (h *host) record() hostRecord {
	r := hostRecord{
		ID: h.queue.id, Head: h.queue.head, Tail: h.queue.tail, IP: h.ip,
		Failures: h.failures, Dead: h.dead,
		RobotsTries: h.robotsTries, RobotsURL: h.robotsURL, RobotsHops: h.robotsHops,
		Delay: h.delay.Milliseconds(),
	}
	if !h.next.IsZero() {
		r.Next = h.next.UnixMilli()
	}
	if !h.robotsAt.IsZero() {
		r.RobotsAt = h.robotsAt.UnixMilli()
	}
	return r
}

func (h *host) restore(r hostRecord) {
	h.queue.id, h.queue.head, h.queue.tail = r.ID, r.Head, r.Tail
	h.ip, h.failures, h.dead = r.IP, r.Failures, r.Dead
	h.robotsTries, h.robotsURL, h.robotsHops = r.RobotsTries, r.RobotsURL, r.RobotsHops
	h.delay = time.Duration(r.Delay) * time.Millisecond
	if r.Next != 0 {
		h.next = time.UnixMilli(r.Next)
	}
	if r.RobotsAt != 0 {
		h.robotsAt = time.UnixMilli(r.RobotsAt)
	}
}

// knowsRobots reports whether its robots.txt is known and young enough.
func (h *host) knowsRobots(now time.Time) bool {
	return !h.robotsAt.IsZero() && now.Sub(h.robotsAt) < robots.MaxAge
}

// rulesOf reads a host's rules into memory where they are not. Long ones stay there for
// one host at a time. It returns nil where they can't be had yet.
func (f *Frontier) rulesOf(h *host) (*robots.File, error) {
	switch {
	case h.rules != nil:
		return h.rules, nil
	case f.large.host == h:
		return f.large.rules, nil
	}
	b, err := f.state.Get(key1(keyRules, h.queue.id))
	if err != nil {
		return nil, fmt.Errorf("read the rules of %s: %w", h.origin, err)
	}
	if b == nil {
		return nil, nil // written and not committed yet
	}
	return f.keepRules(h, b), nil
}

const longRules = 16 << 10

func (f *Frontier) keepRules(h *host, text []byte) *robots.File {
	file := robots.Restore(text)
	if len(text) > longRules {
		h.rules, f.large.host, f.large.rules = nil, h, &file
	} else {
		h.rules = &file
	}
	return &file
}

// setRules keeps what a robots.txt says.
func (f *Frontier) setRules(b work.Batch, h *host, file robots.File, now time.Time) {
	h.robotsAt, h.robotsTries, h.robotsURL, h.robotsHops = now, 0, "", 0
	h.delay = file.Delay
	text := file.Text()
	f.keepRules(h, text)
	b.Set(key1(keyRules, h.queue.id), text)
}

// interval is the pause between two requests to the host.
func (f *Frontier) interval(h *host) time.Duration {
	if h.private {
		return 0
	}
	return max(f.cfg.Interval, h.delay)
}

// readyHeap orders hosts by the time when they may be asked.
type readyHeap struct {
	hosts []*host
	turns uint64
}

func (r *readyHeap) Len() int { return len(r.hosts) }
func (r *readyHeap) Less(i, j int) bool {
	a, b := r.hosts[i], r.hosts[j]
	if !a.next.Equal(b.next) {
		return a.next.Before(b.next)
	}
	return a.turn < b.turn
}
func (r *readyHeap) Swap(i, j int) {
	r.hosts[i], r.hosts[j] = r.hosts[j], r.hosts[i]
	r.hosts[i].index, r.hosts[j].index = i, j
}
func (r *readyHeap) Push(x any) {
	h := x.(*host)
	h.index = len(r.hosts)
	r.hosts = append(r.hosts, h)
}
func (r *readyHeap) Pop() any {
	h := r.hosts[len(r.hosts)-1]
	r.hosts[len(r.hosts)-1] = nil
	r.hosts = r.hosts[:len(r.hosts)-1]
	return h
}

func (r *readyHeap) push(h *host) {
	r.turns++
	h.turn, h.where = r.turns, inReady
	heap.Push(r, h)
}

func (r *readyHeap) pop() *host {
	h := heap.Pop(r).(*host)
	h.where = nowhere
	return h
}
