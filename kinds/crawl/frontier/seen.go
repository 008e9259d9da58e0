package frontier

import (
	"crypto/sha256"
	"fmt"

	"github.com/cantus-network/cantus/work"
)

// A generation of the memory of addresses: with the one before it, between one and two
// times as many of the addresses seen last are remembered exactly.
const generation = 200_000

type hash [16]byte

// seen says which addresses are known. Pages of one site repeat the same links, so that
// nearly every question is answered from memory; the rest costs a look-up each.
type seen struct {
	young, old map[hash]struct{}
}

// add reports whether the address is new, and remembers it.
func (s *seen) add(state work.State, b work.Batch, mode uint8, url string) (bool, error) {
	var buf [2100]byte
	msg := append(append(buf[:0], mode), url...)
	sum := sha256.Sum256(msg)
	h := hash(sum[:16])
	if _, ok := s.young[h]; ok {
		return false, nil
	}
	if _, ok := s.old[h]; ok {
		s.remember(h)
		return false, nil
	}
	key := append([]byte{keySeen}, h[:]...)
	v, err := state.Get(key)
	if err != nil {
		return false, fmt.Errorf("look up an address: %w", err)
	}
	s.remember(h)
	if v != nil {
		return false, nil
	}
	b.Set(key, []byte{1})
	return true, nil
}

func (s *seen) remember(h hash) {
	if s.young == nil || len(s.young) >= generation {
		s.old, s.young = s.young, make(map[hash]struct{})
	}
	s.young[h] = struct{}{}
}
