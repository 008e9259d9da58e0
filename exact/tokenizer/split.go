package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Split is how text is cut into words, each of which is encoded alone.
type Split string

// The ways to split, named after the models that brought them. In the notation of regular
// expressions, alternatives tried in order:
//
//	gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//	llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//	qwen2   as llama3, but \p{N} alone
//	smollm  each \p{N} alone first, the rest as gpt2
const (
	GPT2   Split = "gpt2"
	Llama3 Split = "llama3"
	Qwen2  Split = "qwen2"
	SmolLM Split = "smollm"
)

func (s Split) known() bool { return s == GPT2 || s == Llama3 || s == Qwen2 || s == SmolLM }

// whole says whether a word that is a token is taken as it is, whatever the merges say.
func (s Split) whole() bool { return s == Llama3 }

func at(s string) (rune, int) {
	if s == "" {
		return -1, 0
	}
	return utf8.DecodeRuneInString(s)
}

func isLetter(r rune) bool { return unicode.IsLetter(r) }
func isNumber(r rune) bool { return unicode.IsNumber(r) }
func isSpace(r rune) bool  { return unicode.IsSpace(r) }
func isOther(r rune) bool  { return r >= 0 && !isLetter(r) && !isNumber(r) && !isSpace(r) }

// run is how many bytes of s, up to most characters, are of a class.
func run(s string, of func(rune) bool, most int) int {
	n := 0
	for ; most > 0; most-- {
		r, k := at(s[n:])
		if k == 0 || !of(r) {
			break
		}
		n += k
	}
	return n
}

const all = 1 << 30

// word is the length of the first word of s, which is not empty.
func (s Split) word(text string) int {
	if s == SmolLM {
		return smolWord(text)
	}
	if n := contraction(text, s != GPT2); n > 0 {
		return n
	}
	if s == GPT2 {
		return gpt2Word(text)
	}
	r, k := at(text)
	switch {
	case isLetter(r):
		return run(text, isLetter, all)
	case r != '\r' && r != '\n' && !isNumber(r):
		if n := run(text[k:], isLetter, all); n > 0 {
			return k + n
		}
	}
	if isNumber(r) {
		if s == Llama3 {
			return run(text, isNumber, 3)
		}
		return k
	}
	space := 0
	if r == ' ' {
		space = 1
	}
	if n := run(text[space:], isOther, all); n > 0 {
		n += space
		return n + run(text[n:], isBreak, all)
	}
	// Spaces from here on: up to the last line break, if there is one.
	n := run(text, isSpace, all)
	if i := strings.LastIndexAny(text[:n], "\r\n"); i >= 0 {
		return i + 1
	}
	return spaces(text, n)
}

func isBreak(r rune) bool { return r == '\r' || r == '\n' }

// spaces leaves the last of n bytes of space to the word that follows, if one does.
func spaces(text string, n int) int {
	if n < len(text) {
		if _, last := utf8.DecodeLastRuneInString(text[:n]); n > last {
			return n - last
		}
	}
	return n
}

func gpt2Word(text string) int {
	r, _ := at(text)
	space := 0
	if r == ' ' {
		space = 1
	}
	for _, of := range []func(rune) bool{isLetter, isNumber, isOther} {
		if n := run(text[space:], of, all); n > 0 {
			return space + n
		}
	}
	return spaces(text, run(text, isSpace, all))
}

// smolWord cuts at every number before anything else, so that what gpt2 would see ends
// there.
func smolWord(text string) int {
	if n := run(text, isNumber, 1); n > 0 {
		return n
	}
	if i := strings.IndexFunc(text, isNumber); i >= 0 {
		text = text[:i]
	}
	return GPT2.word(text)
}

func contraction(text string, fold bool) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, c) || fold && foldPrefix(text, c) {
			return foldLen(text, c)
		}
	}
	return 0
}

// foldPrefix compares without regard to case, as Unicode folds it: ſ is an s.
func foldPrefix(text, c string) bool { return foldLen(text, c) > 0 }

func foldLen(text, c string) int {
	n := 0
	for _, want := range c {
		r, k := at(text[n:])
		if k == 0 || r != want && !strings.EqualFold(string(r), string(want)) {
			return 0
		}
		n += k
	}
	return n
}
