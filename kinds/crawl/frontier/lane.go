package frontier

import "time"

// lane is a server: the hosts that have the same address, or the same name under several
// origins. One of them is asked at a time.
type lane struct {
	busy    *host
	next    time.Time // before which none of them is asked
	waiting []*host
}

func (f *Frontier) laneOf(h *host) string {
	if h.ip != "" {
		return h.ip
	}
	return h.name
}

// enter reserves the server for h. It says false, and remembers h, where another host has
// it, or pauses h where it was asked just now.
func (f *Frontier) enter(h *host, now time.Time) bool {
	name := f.laneOf(h)
	l := f.lanes[name]
	if l == nil {
		l = &lane{}
		f.lanes[name] = l
	}
	if l.busy != nil {
		l.waiting = append(l.waiting, h)
		h.where = inLane
		return false
	}
	if l.next.After(now) {
		h.next = l.next
		f.ready.push(h)
		return false
	}
	l.busy, h.lane = h, name
	return true
}

// leave gives the server to the others after a pause.
func (f *Frontier) leave(h *host, next time.Time) {
	l := f.lanes[h.lane]
	h.lane = ""
	if l == nil || l.busy != h {
		return
	}
	l.busy = nil
	l.next = next
	for _, w := range l.waiting {
		w.where = nowhere
		f.schedule(w)
	}
	l.waiting = nil
}

// sweep forgets servers that nobody waits for.
func (f *Frontier) sweep(now time.Time) {
	if len(f.lanes) < 1024 || now.Sub(f.swept) < time.Minute {
		return
	}
	f.swept = now
	for name, l := range f.lanes {
		if l.busy == nil && len(l.waiting) == 0 && l.next.Before(now) {
			delete(f.lanes, name)
		}
	}
}
