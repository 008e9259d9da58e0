package model

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/kernel"
)

// PageTokens is how many positions share a page.
const PageTokens = kernel.Page

// ErrFull says that a cache has no page left: wait until a sequence is released.
var ErrFull = errors.New("key-value cache is full")

// Cache holds the keys and values of sequences in pages. Sequences that begin with the
// same tokens share the pages that these fill; a page that nobody uses is kept until its
// room is needed, so that a prompt seen before costs nothing. Not for concurrent use.
type Cache struct {
	c      *Config
	head   int // padded length of a head
	pages  []*page
	free   []int // never filled, or emptied
	byKey  map[Digest]int
	unused []int // full and unreferenced, the longest unused first
}

// page has, for each layer and key head, keys and values in the kernel's layout, and their
// exponents.
type page struct {
	keys, values       []int16
	keyExps, valueExps []int8
	refs               int
	key                Digest // of the tokens up to its end, once it is full
	full               bool
}

// NewCache makes a cache of up to pages pages; they take memory when they are first used.
func NewCache(m *Model, pages int) *Cache {
	c := &Cache{c: &m.Config, head: kernel.Padded(m.HeadDim), pages: make([]*page, pages), byKey: map[Digest]int{}}
	for i := pages - 1; i >= 0; i-- {
		c.free = append(c.free, i)
	}
	return c
}

// PageBytes is the memory of one page.
func PageBytes(c *Config) int {
	return c.Layers * c.KVHeads * PageTokens * (4*kernel.Padded(c.HeadDim) + 2)
}

// Available is how many pages could be taken now.
func (c *Cache) Available() int { return len(c.free) + len(c.unused) }

// take finds a page for new positions.
func (c *Cache) take() (int, error) {
	var i int
	switch {
	case len(c.free) > 0:
		i = c.free[len(c.free)-1]
		c.free = c.free[:len(c.free)-1]
	case len(c.unused) > 0:
		i = c.unused[0]
		c.unused = c.unused[1:]
		delete(c.byKey, c.pages[i].key)
	default:
		return 0, ErrFull
	}
	if c.pages[i] == nil {
		n := c.c.Layers * c.c.KVHeads * PageTokens
		c.pages[i] = &page{keys: make([]int16, n*c.head), values: make([]int16, n*c.head), keyExps: make([]int8, n), valueExps: make([]int8, n)}
	}
	p := c.pages[i]
	p.refs, p.full = 1, false
	return i, nil
}

func (c *Cache) drop(i int) {
	p := c.pages[i]
	if p.refs--; p.refs > 0 {
		return
	}
	if p.full {
		c.unused = append(c.unused, i)
	} else {
		c.free = append(c.free, i)
	}
}

// Sequence is the tokens of one conversation that a Runner has seen, and their keys and
// values.
type Sequence struct {
	cache  *Cache
	pages  []int
	keys   []Digest // of the full pages
	tokens []uint32
}

// NewSequence begins a sequence. As many of the prompt's tokens as the cache already knows
// in whole pages are in it; Len says how many. At least one of the prompt is left to
// compute, since its logits are what is wanted.
func (c *Cache) NewSequence(prompt []uint32) *Sequence {
	s := &Sequence{cache: c}
	var key Digest
	for n := PageTokens; n < len(prompt); n += PageTokens {
		key = pageKey(key, prompt[n-PageTokens:n])
		i, ok := c.byKey[key]
		if !ok {
			break
		}
		if p := c.pages[i]; p.refs == 0 {
			for j, u := range c.unused {
				if u == i {
					c.unused = append(c.unused[:j:j], c.unused[j+1:]...)
					break
				}
			}
		}
		c.pages[i].refs++
		s.pages = append(s.pages, i)
		s.keys = append(s.keys, key)
		s.tokens = append(s.tokens, prompt[n-PageTokens:n]...)
	}
	return s
}

// pageKey names the tokens of a page and all before them.
func pageKey(before Digest, tokens []uint32) Digest {
	b := before[:]
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b[:len(b):len(b)], t)
	}
	return sha256.Sum256(b)
}

// Len is how many positions are computed.
func (s *Sequence) Len() int { return len(s.tokens) }

// Tokens are those of the computed positions; not to be changed.
func (s *Sequence) Tokens() []uint32 { return s.tokens }

// Reserve makes room for n more positions, or for none.
func (s *Sequence) Reserve(n int) error {
	if most := s.cache.c.Context; len(s.tokens)+n > most {
		return fmt.Errorf("%d more tokens after %d: the model has a context of %d", n, len(s.tokens), most)
	}
	had := len(s.pages)
	for len(s.pages)*PageTokens < len(s.tokens)+n {
		i, err := s.cache.take()
		if err != nil {
			for _, i := range s.pages[had:] {
				s.cache.drop(i)
			}
			s.pages = s.pages[:had]
			return err
		}
		s.pages = append(s.pages, i)
	}
	return nil
}

// commit makes a token part of the sequence after a Runner has computed it.
func (s *Sequence) commit(token uint32) {
	s.tokens = append(s.tokens, token)
	n := len(s.tokens)
	if n%PageTokens != 0 {
		return
	}
	var before Digest
	if len(s.keys) > 0 {
		before = s.keys[len(s.keys)-1]
	}
	key := pageKey(before, s.tokens[n-PageTokens:])
	s.keys = append(s.keys, key)
	i := s.pages[n/PageTokens-1]
	if _, known := s.cache.byKey[key]; !known {
		s.cache.byKey[key] = i
		p := s.cache.pages[i]
		p.key, p.full = key, true
	}
}

// Release gives the pages back. The sequence is empty then.
func (s *Sequence) Release() {
	for _, i := range s.pages {
		s.cache.drop(i)
	}
	*s = Sequence{cache: s.cache}
}

// at is where the keys and values of a layer and head begin in a page, in positions.
func (c *Cache) at(layer, head int) int { return (layer*c.c.KVHeads + head) * PageTokens }
