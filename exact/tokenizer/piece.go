package tokenizer

import (
	"container/heap"
	"strings"
	"unicode/utf8"
)

// underline stands for a space in SentencePiece's tokens.
const underline = "\u2581"

// symbol is a part of the text that may still be merged; they are a list.
type symbol struct {
	from, n    int
	prev, next int
}

// bigram is two neighbours whose union is a token.
type bigram struct {
	left, right int
	n           int // length when it was found; another now means that it is gone
	rank        int32
}

type bigrams []bigram

func (b bigrams) Len() int { return len(b) }
func (b bigrams) Less(i, j int) bool {
	if b[i].rank != b[j].rank {
		return b[i].rank > b[j].rank
	}
	return b[i].left < b[j].left
}
func (b bigrams) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b *bigrams) Push(x any)   { *b = append(*b, x.(bigram)) }
func (b *bigrams) Pop() any {
	old := *b
	x := old[len(old)-1]
	*b = old[:len(old)-1]
	return x
}

// encodePieces merges, of all neighbours whose union is a token, the pair with the highest
// score, the leftmost of several, until there is none. What is no token then is written
// as its bytes.
func (t *Tokenizer) encodePieces(out []uint32, text string, prefix bool) []uint32 {
	if t.v.Collapse {
		if text = oneSpace(text); text == "" {
			return out
		}
	}
	if prefix {
		text = " " + text
	}
	text = strings.ReplaceAll(text, " ", underline)
	for t.v.Collapse && strings.HasSuffix(text, underline) {
		text = strings.TrimSuffix(text, underline) // one that the text itself had as well
	}
	var list []symbol
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		list = append(list, symbol{from: i, n: n, prev: len(list) - 1, next: len(list) + 1})
		i += n
	}
	if len(list) == 0 {
		return out
	}
	list[len(list)-1].next = -1
	var queue bigrams
	try := func(l, r int) {
		if l < 0 || r < 0 {
			return
		}
		n := list[l].n + list[r].n
		if id, ok := t.ids[text[list[l].from:list[l].from+n]]; ok {
			heap.Push(&queue, bigram{l, r, n, t.v.Ranks[id]})
		}
	}
	for i := range len(list) - 1 {
		try(i, i+1)
	}
	for len(queue) > 0 {
		b := heap.Pop(&queue).(bigram)
		l, r := &list[b.left], &list[b.right]
		if l.n == 0 || r.n == 0 || l.n+r.n != b.n {
			continue
		}
		l.n, r.n = b.n, 0
		l.next = r.next
		if r.next >= 0 {
			list[r.next].prev = b.left
		}
		try(l.prev, b.left)
		try(b.left, l.next)
	}
	for i := 0; i >= 0; i = list[i].next {
		out = t.piece(out, text[list[i].from:list[i].from+list[i].n])
	}
	return out
}

// oneSpace makes one of several spaces, and none of those before the text.
func oneSpace(s string) string {
	var b strings.Builder
	space := true
	for _, part := range strings.SplitAfter(s, " ") {
		if part != " " || !space {
			b.WriteString(part)
		}
		space = strings.HasSuffix(part, " ")
	}
	return b.String()
}

// piece writes a token, or else its bytes, or else the unknown token.
func (t *Tokenizer) piece(out []uint32, s string) []uint32 {
	if id, ok := t.ids[s]; ok {
		return append(out, uint32(id))
	}
	for i := range len(s) {
		switch {
		case t.bytes[s[i]] >= 0:
			out = append(out, uint32(t.bytes[s[i]]))
		case t.unknown >= 0:
			return append(out, uint32(t.unknown)) // once for all of it
		}
	}
	return out
}
