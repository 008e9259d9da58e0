package jinja

import "strings"

// Text is a string that remembers which of its bytes came from outside.
type Text struct {
	s string
	// mark has a byte for each of s: 1 for one from outside; it is empty where none is.
	mark string
}

// Own is text of the template or of whoever renders it.
func Own(s string) Text { return Text{s: s} }

// Foreign is text from outside.
func Foreign(s string) Text { return Text{s, strings.Repeat("\x01", len(s))} }

// String is the text alone.
func (t Text) String() string { return t.s }

// Clean reports whether none of the bytes from a to before b came from outside.
func (t Text) Clean(a, b int) bool {
	return t.mark == "" || strings.IndexByte(t.mark[a:b], 1) < 0
}

// slice is the part from byte a to before byte b.
func (t Text) slice(a, b int) Text {
	if t.mark == "" {
		return Text{s: t.s[a:b]}
	}
	return Text{t.s[a:b], t.mark[a:b]}
}

// builder puts texts together.
type builder struct{ s, mark []byte }

func (b *builder) add(t Text) {
	b.s = append(b.s, t.s...)
	if t.mark == "" && len(b.mark) == 0 {
		return // marks begin with the first byte that needs one
	}
	for len(b.mark) < len(b.s)-len(t.s) {
		b.mark = append(b.mark, 0)
	}
	if t.mark == "" {
		b.mark = append(b.mark, make([]byte, len(t.s))...)
	} else {
		b.mark = append(b.mark, t.mark...)
	}
}

func (b *builder) own(s string) { b.add(Text{s: s}) }

func (b *builder) text() Text { return Text{string(b.s), string(b.mark)} }

func concat(list ...Text) Text {
	var b builder
	for _, t := range list {
		b.add(t)
	}
	return b.text()
}

// cut is the parts of t between the ranges given, which are in order.
func (t Text) cut(at [][2]int) []Text {
	out := make([]Text, 0, len(at)+1)
	from := 0
	for _, r := range at {
		out = append(out, t.slice(from, r[0]))
		from = r[1]
	}
	return append(out, t.slice(from, len(t.s)))
}

// find gives where sep is in t, at most n times; n below 0 is all.
func (t Text) find(sep string, n int) [][2]int {
	var at [][2]int
	for i := 0; n != 0; n-- {
		j := strings.Index(t.s[i:], sep)
		if j < 0 {
			break
		}
		at = append(at, [2]int{i + j, i + j + len(sep)})
		i += j + len(sep)
	}
	return at
}

// trim takes away what cut says from the left and from the right.
func (t Text) trim(left, right bool, cut func(rune) bool) Text {
	a, b := 0, len(t.s)
	if left {
		a = len(t.s) - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		b = max(a, len(strings.TrimRightFunc(t.s, cut)))
	}
	return t.slice(a, b)
}

// each replaces every character by what f gives; the new ones come from where theirs did.
func (t Text) each(f func(i int, r rune) string) Text {
	var b builder
	for i, r := range t.s {
		n := f(i, r)
		if t.Clean(i, i+1) {
			b.own(n)
		} else {
			b.add(Foreign(n))
		}
	}
	return b.text()
}
