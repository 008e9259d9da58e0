package tokenizer

import (
	"container/heap"
	"fmt"
	"unicode/utf8"
)

// Byte-pair vocabularies are written with a letter for each byte: printable ones of
// Latin-1 stand for themselves, the other bytes for the letters from U+0100 on.
func letter(b byte) rune {
	if printable(b) {
		return rune(b)
	}
	n := rune(0x100)
	for c := range int(b) {
		if !printable(byte(c)) {
			n++
		}
	}
	return n
}

func printable(b byte) bool {
	return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae
}

var letters, byteOf = func() (l [256]string, of map[rune]byte) {
	of = map[rune]byte{}
	for b := range 256 {
		r := letter(byte(b))
		l[b] = string(r)
		of[r] = byte(b)
	}
	return l, of
}()

// fromLetters gives the bytes of a token; what is no letter of a byte stays.
func fromLetters(token []byte) []byte {
	var out []byte
	for len(token) > 0 {
		r, n := utf8.DecodeRune(token)
		if b, ok := byteOf[r]; ok {
			out = append(out, b)
		} else {
			out = append(out, token[:n]...)
		}
		token = token[n:]
	}
	return out
}

func (t *Tokenizer) prepareMerges() error {
	t.merges = make(map[[2]int][2]int, len(t.v.Merges))
	for i, m := range t.v.Merges {
		union := string(t.v.Tokens[m[0]]) + string(t.v.Tokens[m[1]])
		id, ok := t.ids[union]
		if !ok {
			return fmt.Errorf("%w: merge %d gives %q, which is no token", ErrVocabulary, i, union)
		}
		if _, twice := t.merges[m]; !twice {
			t.merges[m] = [2]int{i, id}
		}
	}
	for b := range t.bytes {
		t.bytes[b] = -1
		if id, ok := t.ids[letters[b]]; ok {
			t.bytes[b] = id
		}
	}
	return nil
}

func (t *Tokenizer) encodePairs(out []uint32, text string) []uint32 {
	for len(text) > 0 {
		n := t.v.Split.word(text)
		out = t.word(out, text[:n])
		text = text[n:]
	}
	return out
}

// word merges the pairs of a word: the one that is first in the list of merges, the
// leftmost of several, until there is none.
func (t *Tokenizer) word(out []uint32, w string) []uint32 {
	if t.v.Split.whole() {
		var b []byte
		for i := range len(w) {
			b = append(b, letters[w[i]]...)
		}
		if id, ok := t.ids[string(b)]; ok {
			return append(out, uint32(id))
		}
	}
	type part struct{ id, prev, next int }
	var list []part
	for i := range len(w) {
		id := t.bytes[w[i]]
		if id < 0 {
			if id = t.unknown; id < 0 {
				continue
			}
		}
		list = append(list, part{id, len(list) - 1, len(list) + 1})
	}
	if len(list) == 0 {
		return out
	}
	list[len(list)-1].next = -1
	var queue bigrams
	// n is the pair's place; a pair is gone when it is another one now.
	try := func(l, r int) {
		if l < 0 || r < 0 {
			return
		}
		if m, ok := t.merges[[2]int{list[l].id, list[r].id}]; ok {
			heap.Push(&queue, bigram{left: l, right: r, n: m[0], rank: -int32(m[0])})
		}
	}
	for i := range len(list) - 1 {
		try(i, i+1)
	}
	for len(queue) > 0 {
		b := heap.Pop(&queue).(bigram)
		l, r := &list[b.left], &list[b.right]
		if l.id < 0 || r.id < 0 || l.next != b.right {
			continue
		}
		m, ok := t.merges[[2]int{l.id, r.id}]
		if !ok || m[0] != b.n {
			continue
		}
		l.id, r.id = m[1], -1
		l.next = r.next
		if r.next >= 0 {
			list[r.next].prev = b.left
		}
		try(l.prev, b.left)
		try(b.left, l.next)
	}
	for i := 0; i >= 0; i = list[i].next {
		out = append(out, uint32(list[i].id))
	}
	return out
}
