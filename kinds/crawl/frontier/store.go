package frontier

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Keys are a letter and what follows it. The plan that a frontier belongs to may use all
// other letters.
//
//	h origin         host: hostRecord
//	b id             the rules of a host's robots.txt
//	q id number      queue: Item
//	r due number     retry: Item
//	o seq            given out: Item
//	s hash           seen: nothing
//	f                meta: metaRecord
const (
	keyHost  = 'h'
	keyRules = 'b'
	keyQueue = 'q'
	keyRetry = 'r'
	keyOut   = 'o'
	keySeen  = 's'
	keyMeta  = 'f'
)

// ErrState marks a state that no frontier wrote.
var ErrState = errors.New("the crawl's state is damaged")

func key1(letter byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{letter}, n)
}

func key2(letter byte, x, y uint64) []byte {
	b := make([]byte, 1, 17)
	b[0] = letter
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, x), y)
}

// metaRecord numbers things.
type metaRecord struct {
	_       struct{} `cbor:",toarray"`
	Hosts   uint64   // the last host's ID
	Seq     uint64   // the last one given out
	Retries uint64   // the last retry's number
	Stopped bool
}

// hostRecord is what is kept of a host.
type hostRecord struct {
	_           struct{} `cbor:",toarray"`
	ID          uint64
	Head, Tail  uint64 // its queue has the numbers from Head up to Tail
	IP          string
	Next        int64 // Unix milliseconds before which it is left alone
	Failures    uint32
	Dead        string // why it was given up
	RobotsAt    int64  // Unix milliseconds; 0: not known
	RobotsTries uint32
	RobotsURL   string // where a redirect led
	RobotsHops  uint32
	Delay       int64 // milliseconds that robots.txt asks for
}

// encodeItem writes what the queues hold: a byte each for mode, attempt and hops, the
// depth, the address.
func encodeItem(it Item) []byte {
	b := make([]byte, 0, 8+len(it.URL.String()))
	b = append(b, it.Mode, it.Attempt, it.Hops)
	b = binary.AppendUvarint(b, uint64(it.Depth))
	return append(b, it.URL.String()...)
}

func decodeItem(b []byte) (Item, error) {
	if len(b) < 5 {
		return Item{}, fmt.Errorf("%w: an item of %d bytes", ErrState, len(b))
	}
	it := Item{Mode: b[0], Attempt: b[1], Hops: b[2]}
	depth, n := binary.Uvarint(b[3:])
	if n <= 0 || depth > 1<<32-1 {
		return Item{}, fmt.Errorf("%w: an item's depth", ErrState)
	}
	it.Depth = uint32(depth)
	u, err := weburl.Parse(string(b[3+n:]))
	if err != nil {
		return Item{}, fmt.Errorf("%w: an item's address: %w", ErrState, err)
	}
	it.URL = u
	return it, nil
}

func number(key []byte) (uint64, error) {
	if len(key) < 9 {
		return 0, fmt.Errorf("%w: a key of %d bytes", ErrState, len(key))
	}
	return binary.BigEndian.Uint64(key[len(key)-8:]), nil
}

func setRecord(b work.Batch, key []byte, v any) error {
	enc, err := work.Encode(v)
	if err != nil {
		return fmt.Errorf("encode the crawl's state: %w", err)
	}
	b.Set(key, enc)
	return nil
}

func getRecord[T any](state work.State, key []byte) (T, error) {
	var zero T
	b, err := state.Get(key)
	if err != nil {
		return zero, fmt.Errorf("read the crawl's state: %w", err)
	}
	if b == nil {
		return zero, nil
	}
	v, err := work.Decode[T](b, 1<<16)
	if err != nil {
		return zero, fmt.Errorf("%w: %w", ErrState, err)
	}
	return v, nil
}

// scan is State.Scan with an error that f may give.
func scan(state work.State, start, end []byte, f func(key, value []byte) (bool, error)) error {
	var inner error
	err := state.Scan(start, end, func(key, value []byte) bool {
		var more bool
		more, inner = f(key, value)
		return more && inner == nil
	})
	if inner != nil {
		return inner
	}
	if err != nil {
		return fmt.Errorf("read the crawl's state: %w", err)
	}
	return nil
}
