// Package tokenizer turns text into tokens and back, by the vocabulary of a model's file:
// SentencePiece with scores, and byte-pair encoding with merges. A vocabulary is part of a
// model and under its root, so it has one encoding and holds no floating point: of scores
// only the order matters, and only that is kept.
//
//	tokenizer.go  Vocabulary: what a model's file says; Tokenizer: its use
//	piece.go      SentencePiece: merge the neighbours whose union scores highest
//	pair.go       byte-pair encoding: merge the pair that is first in the list
//	split.go      how text is cut into words before its pairs are merged
//	stream.go     Decoder: text as tokens arrive, whole characters only
package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is how a vocabulary is applied.
type Kind string

// The kinds.
const (
	SentencePiece Kind = "sentencepiece"
	BytePair      Kind = "bpe"
)

// Class is what a token is for.
type Class byte

// The classes of tokens.
const (
	Normal  Class = 'n'
	Unknown Class = 'u'
	Control Class = 'c' // never made from text, has no text
	User    Class = 'd' // found in text before all else
	Unused  Class = 'x'
	Byte    Class = 'b' // stands for one byte, written <0x0A>
)

// Vocabulary is a tokenizer as a model's file holds it.
type Vocabulary struct {
	Kind    Kind     `json:"kind"`
	Split   Split    `json:"split,omitempty"` // of BytePair
	Tokens  [][]byte `json:"tokens"`
	Classes string   `json:"classes"`          // a Class for each token
	Ranks   []int32  `json:"ranks,omitempty"`  // of SentencePiece: the order of the scores, higher first to merge
	Merges  [][2]int `json:"merges,omitempty"` // of BytePair: which tokens merge, the first ones first

	BOS       int    `json:"bos"` // -1 for none
	AddBOS    bool   `json:"add_bos,omitempty"`
	AddPrefix bool   `json:"add_prefix,omitempty"` // a space before the text
	Collapse  bool   `json:"collapse,omitempty"`   // several spaces are one, and none at the ends
	Stop      []int  `json:"stop"`                 // tokens that end an answer
	Template  string `json:"template,omitempty"`   // of chats
}

// ErrVocabulary says that a vocabulary contradicts itself or is out of bounds.
var ErrVocabulary = errors.New("vocabulary")

const (
	maxTokens = 1 << 18
	maxToken  = 1 << 12
)

// Check refuses what is out of bounds.
func (v *Vocabulary) Check() error {
	n := len(v.Tokens)
	switch {
	case n < 1 || n > maxTokens:
		return fmt.Errorf("%w: %d tokens: must be from 1 to %d", ErrVocabulary, n, maxTokens)
	case len(v.Classes) != n:
		return fmt.Errorf("%w: %d classes for %d tokens", ErrVocabulary, len(v.Classes), n)
	case v.Kind == SentencePiece && (len(v.Ranks) != n || len(v.Merges) != 0):
		return fmt.Errorf("%w: %d ranks for %d tokens", ErrVocabulary, len(v.Ranks), n)
	case v.Kind == BytePair && (len(v.Ranks) != 0 || !v.Split.known() || len(v.Merges) > 2*maxTokens):
		return fmt.Errorf("%w: split %q with %d ranks and %d merges", ErrVocabulary, v.Split, len(v.Ranks), len(v.Merges))
	case v.Kind != SentencePiece && v.Kind != BytePair:
		return fmt.Errorf("%w: kind %q", ErrVocabulary, v.Kind)
	case v.BOS < -1 || v.BOS >= n || v.AddBOS && v.BOS < 0:
		return fmt.Errorf("%w: begin token %d of %d", ErrVocabulary, v.BOS, n)
	case len(v.Stop) > 64:
		return fmt.Errorf("%w: %d stop tokens", ErrVocabulary, len(v.Stop))
	}
	for i, t := range v.Tokens {
		if len(t) > maxToken {
			return fmt.Errorf("%w: token %d has %d bytes: at most %d", ErrVocabulary, i, len(t), maxToken)
		}
	}
	for i, c := range []byte(v.Classes) {
		if !strings.ContainsRune("nucdxb", rune(c)) {
			return fmt.Errorf("%w: class %q", ErrVocabulary, c)
		}
		if Class(c) == Byte {
			if _, ok := byteToken(v.Tokens[i]); !ok {
				return fmt.Errorf("%w: %q is no byte token", ErrVocabulary, v.Tokens[i])
			}
		}
	}
	for _, m := range v.Merges {
		if m[0] < 0 || m[0] >= n || m[1] < 0 || m[1] >= n {
			return fmt.Errorf("%w: merge of tokens %d and %d, of %d", ErrVocabulary, m[0], m[1], n)
		}
	}
	for _, s := range v.Stop {
		if s < 0 || s >= n {
			return fmt.Errorf("%w: stop token %d of %d", ErrVocabulary, s, n)
		}
	}
	return nil
}

// Encode gives the one encoding of a vocabulary.
func (v *Vocabulary) Encode() ([]byte, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode vocabulary: %w", err)
	}
	return b, nil
}

// Parse takes what Encode gives, and nothing else, ready for use.
func Parse(b []byte) (*Tokenizer, error) {
	v := new(Vocabulary)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVocabulary, err)
	}
	again, err := v.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: not in its one encoding", ErrVocabulary)
	}
	return New(v)
}

// byteToken is the byte that a token like <0x0A> stands for.
func byteToken(t []byte) (byte, bool) {
	var b byte
	if len(t) != 6 || string(t[:3]) != "<0x" || t[5] != '>' {
		return 0, false
	}
	for _, c := range t[3:5] {
		i := strings.IndexByte("0123456789ABCDEF", c)
		if i < 0 {
			return 0, false
		}
		b = b<<4 | byte(i)
	}
	return b, true
}

// Tokenizer applies a vocabulary. It does not change: any number of goroutines may use it.
type Tokenizer struct {
	v       *Vocabulary
	ids     map[string]int    // of tokens that text can become
	bytes   [256]int          // byte tokens, or -1
	unknown int               // or -1
	special [256][]string     // texts of user and control tokens by their first byte, the longest first
	kinds   map[string]int    // and their ids
	merges  map[[2]int][2]int // a pair's place in the list, and what it becomes
}

// New prepares a vocabulary for use.
func New(v *Vocabulary) (*Tokenizer, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	t := &Tokenizer{v: v, ids: make(map[string]int, len(v.Tokens)), unknown: -1, kinds: map[string]int{}}
	for i := range t.bytes {
		t.bytes[i] = -1
	}
	for i, text := range v.Tokens {
		switch Class(v.Classes[i]) {
		case Byte:
			b, _ := byteToken(text)
			t.bytes[b] = i
		case Unknown:
			t.unknown = i
		case Control, User:
			if _, twice := t.kinds[string(text)]; !twice && len(text) > 0 {
				t.kinds[string(text)] = i
				t.special[text[0]] = append(t.special[text[0]], string(text))
			}
		case Normal:
			if _, twice := t.ids[string(text)]; !twice {
				t.ids[string(text)] = i
			}
		}
	}
	for _, list := range t.special {
		slices.SortFunc(list, func(a, b string) int {
			if len(a) != len(b) {
				return len(b) - len(a)
			}
			return strings.Compare(a, b)
		})
	}
	if v.Kind == BytePair {
		return t, t.prepareMerges()
	}
	return t, nil
}

// Vocabulary is what the tokenizer applies; not to be changed.
func (t *Tokenizer) Vocabulary() *Vocabulary { return t.v }

// Stops reports whether a token ends an answer.
func (t *Tokenizer) Stops(token int) bool { return slices.Contains(t.v.Stop, token) }

// Encode turns text into tokens. With special the names of control tokens in the text,
// such as a chat template writes, become these tokens; without, they are text, so that
// what a user writes cannot pretend to be more. bos puts the begin token first, where the
// vocabulary has one that belongs there.
func (t *Tokenizer) Encode(text string, special, bos bool) []uint32 {
	var out []uint32
	if bos && t.v.AddBOS {
		out = append(out, uint32(t.v.BOS))
	}
	prefix := t.v.AddPrefix
	for text != "" {
		at, token, n := t.findSpecial(text, special)
		if at > 0 {
			out = t.encodePlain(out, text[:at], prefix)
		}
		if token < 0 {
			break
		}
		out = append(out, uint32(token))
		text = text[at+n:]
		prefix = t.v.AddPrefix // after a special token as at the beginning
	}
	return out
}

// findSpecial finds the first token that is taken before all else, the longest of several
// at one place: where it begins, which one and how long. Without any at is the whole
// length. It looks at each byte once, however many such tokens there are.
func (t *Tokenizer) findSpecial(text string, control bool) (at, token, n int) {
	for at := range len(text) {
		for _, s := range t.special[text[at]] {
			id := t.kinds[s]
			if (control || Class(t.v.Classes[id]) != Control) && strings.HasPrefix(text[at:], s) {
				return at, id, len(s)
			}
		}
	}
	return len(text), -1, 0
}

func (t *Tokenizer) encodePlain(out []uint32, text string, prefix bool) []uint32 {
	if t.v.Kind == SentencePiece {
		return t.encodePieces(out, text, prefix)
	}
	return t.encodePairs(out, text)
}

// Bytes is what a token stands for: nothing for control tokens. A SentencePiece text
// begins with the space that was put before it; Decode takes it away.
func (t *Tokenizer) Bytes(token uint32) []byte {
	if int(token) >= len(t.v.Tokens) {
		return nil
	}
	text := t.v.Tokens[token]
	switch Class(t.v.Classes[token]) {
	case Control, Unused, Unknown:
		return nil
	case Byte:
		b, _ := byteToken(text)
		return []byte{b}
	case User:
		return text
	}
	if t.v.Kind == SentencePiece {
		return bytes.ReplaceAll(text, []byte(underline), []byte{' '})
	}
	return fromLetters(text)
}

// Decode turns tokens into text; what is no UTF-8 stays as it is.
func (t *Tokenizer) Decode(tokens []uint32) string {
	var b []byte
	for _, id := range tokens {
		b = append(b, t.Bytes(id)...)
	}
	if t.v.Kind == SentencePiece && t.v.AddPrefix {
		b = bytes.TrimPrefix(b, []byte{' '})
	}
	return string(b)
}
