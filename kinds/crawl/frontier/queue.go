package frontier

import "github.com/cantus-network/cantus/work"

// Memory holds at most maxWindow addresses of one queue, and fewer where there are many
// queues: about allWindows of all.
const (
	maxWindow  = 128
	minWindow  = 4
	allWindows = 200_000
)

// queue is a host's addresses in the order in which they were found. They are in the
// state under consecutive numbers; memory holds the first few.
type queue struct {
	id         uint64
	head, tail uint64 // the numbers from head up to tail are queued
	front      []Item // those from head on
}

func (q *queue) len() uint64 { return q.tail - q.head }

func (q *queue) push(b work.Batch, it Item, window int) {
	b.Set(key2(keyQueue, q.id, q.tail), encodeItem(it))
	// What follows directly on what memory holds needs no reading later.
	if uint64(len(q.front)) == q.len() && len(q.front) < window {
		q.front = append(q.front, it)
	}
	q.tail++
}

// pop takes the first. It says false where there is none, or none that is committed yet.
func (q *queue) pop(state work.State, b work.Batch, window int) (Item, bool, error) {
	if len(q.front) == 0 {
		if q.len() == 0 {
			return Item{}, false, nil
		}
		if err := q.fill(state, window); err != nil || len(q.front) == 0 {
			return Item{}, false, err
		}
	}
	it := q.front[0]
	q.front = q.front[1:]
	b.Delete(key2(keyQueue, q.id, q.head))
	q.head++
	return it, true, nil
}

func (q *queue) fill(state work.State, window int) error {
	want := min(q.len(), uint64(window))
	q.front = make([]Item, 0, want)
	return scan(state, key2(keyQueue, q.id, q.head), key2(keyQueue, q.id, q.tail), func(key, value []byte) (bool, error) {
		n, err := number(key)
		if err != nil {
			return false, err
		}
		if n != q.head+uint64(len(q.front)) {
			return false, nil // the next one is written and not yet committed
		}
		it, err := decodeItem(value)
		if err != nil {
			return false, err
		}
		q.front = append(q.front, it)
		return uint64(len(q.front)) < want, nil
	})
}

// drop forgets all that is queued and says how many there were. The state keeps them:
// nobody reads behind the tail.
func (q *queue) drop() uint64 {
	n := q.len()
	q.head, q.front = q.tail, nil
	return n
}
