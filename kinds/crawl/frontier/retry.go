package frontier

import (
	"time"

	"github.com/cantus-network/cantus/work"
)

// retries are addresses that wait for another try, in the state in the order of the times
// when they are due.
type retries struct {
	n     uint64 // how many
	next  int64  // Unix milliseconds when the first may be due; meaningless where n is 0
	last  uint64 // number given last
	taken [2]uint64
}

func (r *retries) push(b work.Batch, now time.Time, wait time.Duration, it Item) {
	due := now.Add(wait).UnixMilli()
	// Nothing is put before what was taken, or it would be missed.
	due = max(due, int64(r.taken[0])+1)
	r.last++
	b.Set(key2(keyRetry, uint64(due), r.last), encodeItem(it))
	if r.n == 0 || due < r.next {
		r.next = due
	}
	r.n++
}

// pop takes at most max that are due.
func (r *retries) pop(state work.State, b work.Batch, now time.Time, max int) ([]Item, error) {
	ms := now.UnixMilli()
	if r.n == 0 || r.next > ms {
		return nil, nil
	}
	var out []Item
	start := key2(keyRetry, r.taken[0], r.taken[1]+1)
	next := ms + 20 // those that are not committed yet are there soon
	err := scan(state, start, []byte{keyRetry + 1}, func(key, value []byte) (bool, error) {
		n, err := number(key)
		if err != nil {
			return false, err
		}
		due, err := number(key[:9])
		if err != nil {
			return false, err
		}
		if int64(due) > ms || len(out) == max {
			next = int64(due)
			return false, nil
		}
		it, err := decodeItem(value)
		if err != nil {
			return false, err
		}
		out = append(out, it)
		r.taken = [2]uint64{due, n}
		b.Delete(key2(keyRetry, due, n))
		return true, nil
	})
	r.n -= uint64(len(out))
	r.next = next
	return out, err
}
