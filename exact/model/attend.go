package model

import (
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

// attention is what one worker needs for one row and one key head.
type attention struct {
	scores   []int32
	weights  []int16
	exps     []int8
	total    []int64
	products [PageTokens]int32
	seen     Attended // if somebody observes
}

// grow makes room for n pages.
func (a *attention) grow(n, head int) {
	if n *= PageTokens; len(a.scores) < n {
		n += n / 2
		a.scores, a.weights, a.exps = make([]int32, n), make([]int16, n), make([]int8, n)
	}
	if len(a.total) < head {
		a.total = make([]int64, head)
	}
}

// attend writes what one query sees at a position: the weighted mean of the values from
// position first to pos, as wide values. seen, unless nil, gets to know how.
func (a *attention) attend(k *kernel.Kernel, s *Sequence, layer, kvHead int, q []int16, qExp int, first, pos int, dst []int32, seen *Attended) {
	c := s.cache
	head := c.head
	a.grow(pos/PageTokens+1, head)
	at := c.at(layer, kvHead)
	from := first / PageTokens
	for p := from; p <= pos/PageTokens; p++ {
		pg := c.pages[s.pages[p]]
		k.Keys(a.products[:], q, pg.keys[at*head:(at+PageTokens)*head])
		for i := range min(PageTokens, pos+1-p*PageTokens) {
			t := p*PageTokens + i
			a.scores[t] = exact.Score(a.products[i], c.c.Score, qExp+int(pg.keyExps[at+i]))
			a.exps[t] = pg.valueExps[at+i]
		}
	}
	if seen != nil {
		seen.First, seen.Exps = first, append(seen.Exps[:0], a.exps[first:pos+1]...)
		seen.Scores = append(seen.Scores, a.scores[first:pos+1]...)
	}
	sum, exp := exact.Weights(a.weights[first:pos+1], a.scores[first:pos+1], a.exps[first:pos+1])
	// Positions of the first and last page that are not seen weigh nothing.
	clear(a.weights[from*PageTokens : first])
	clear(a.weights[pos+1 : (pos/PageTokens+1)*PageTokens])
	total := a.total[:head]
	clear(total)
	for p := from; p <= pos/PageTokens; p++ {
		pg := c.pages[s.pages[p]]
		k.Values(total, a.weights[p*PageTokens:], pg.values[at*head:(at+PageTokens)*head])
		if seen != nil {
			seen.Totals = append(seen.Totals, total[:len(dst)]...)
		}
	}
	for j := range dst {
		dst[j] = exact.Mix(total[j], sum, exp)
	}
}

// store puts a key and a value in their place and quantises them there.
func (s *Sequence) store(layer, kvHead, pos int, key, value []int32, scratch []int16) {
	c := s.cache
	pg := c.pages[s.pages[pos/PageTokens]]
	at, i := c.at(layer, kvHead), pos%PageTokens
	pg.keyExps[at+i] = int8(exact.Quantise(pg.keys[(at+i)*c.head:], key, -exact.WideBits, exact.HeadBits))
	pg.valueExps[at+i] = int8(exact.Quantise(scratch, value, -exact.WideBits, exact.HeadBits))
	page := pg.values[at*c.head : (at+PageTokens)*c.head]
	for j := range value {
		page[kernel.ValueIndex(i, j, c.head)] = scratch[j]
	}
}
