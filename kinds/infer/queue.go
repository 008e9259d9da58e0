package infer

import (
	"container/list"

	"github.com/cantus-network/cantus/kinds/infer/tab"
)

// queue is the requests that wait. Each API key has a lane of its own, and lanes take
// turns: a key with a thousand requests gets no more of the workers than one with three.
// The plan's mutex guards it.
type queue struct {
	lanes map[tab.KeyID]*lane
	turns list.List // of lanes with something in them; the next one first
	n     int
}

type lane struct {
	asks list.List // of *ask
	turn *list.Element
}

func newQueue() *queue { return &queue{lanes: map[tab.KeyID]*lane{}} }

// of says how many requests of a key wait.
func (q *queue) of(id tab.KeyID) int {
	if l := q.lanes[id]; l != nil {
		return l.asks.Len()
	}
	return 0
}

// push adds a request behind the others of its key, or before them.
func (q *queue) push(a *ask, front bool) {
	l := q.lanes[a.key]
	if l == nil {
		l = new(lane)
		q.lanes[a.key] = l
		l.turn = q.turns.PushBack(l)
	}
	if front {
		a.place = l.asks.PushFront(a)
	} else {
		a.place = l.asks.PushBack(a)
	}
	q.n++
}

// pop takes out the request whose turn it is, nil where none waits.
func (q *queue) pop() *ask {
	next := q.turns.Front()
	if next == nil {
		return nil
	}
	l := next.Value.(*lane)
	a := l.asks.Front().Value.(*ask)
	q.turns.MoveToBack(next)
	q.remove(a)
	return a
}

// remove takes a request out, and reports whether it was in.
func (q *queue) remove(a *ask) bool {
	if a.place == nil {
		return false
	}
	l := q.lanes[a.key]
	l.asks.Remove(a.place)
	a.place = nil
	q.n--
	if l.asks.Len() == 0 {
		q.turns.Remove(l.turn)
		delete(q.lanes, a.key)
	}
	return true
}
