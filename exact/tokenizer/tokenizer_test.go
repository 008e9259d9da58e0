package tokenizer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pieces is a small SentencePiece vocabulary.
func pieces() *Vocabulary {
	return &Vocabulary{Kind: SentencePiece, BOS: 1, AddBOS: true, AddPrefix: true, Stop: []int{2},
		Tokens: [][]byte{[]byte("<unk>"), []byte("<s>"), []byte("</s>"), []byte("<0xC3>"), []byte("<0xA9>"), []byte("\u2581"), []byte("a"),
			[]byte("b"), []byte("ab"), []byte("\u2581a"), []byte("<tool>"), []byte("<tool>>"), []byte("aa")},
		Classes: "uccbbnnnnnddn", Ranks: []int32{0, 0, 0, 0, 0, 1, 2, 3, 9, 5, 0, 0, 7}}
}

// letterPairs is a byte-pair vocabulary of all bytes and one merge.
func letterPairs() *Vocabulary {
	v := &Vocabulary{Kind: BytePair, Split: GPT2, BOS: -1, Stop: []int{}, Merges: [][2]int{{'l', 'l'}}}
	for b := range 256 {
		v.Tokens = append(v.Tokens, []byte(letters[b]))
	}
	v.Tokens = append(v.Tokens, []byte("ll"), []byte("<|im_end|>"))
	v.Classes = strings.Repeat("n", 257) + "c"
	return v
}

func TestPieces(t *testing.T) {
	tok, err := New(pieces())
	require.NoError(t, err)
	for text, want := range map[string][]uint32{
		"a":          {1, 9},
		"ab":         {1, 5, 8}, // ab scores higher than ▁a
		"aab":        {1, 9, 8},
		"aaa":        {1, 5, 12, 6}, // of two equal unions the leftmost
		"é":          {1, 5, 3, 4},
		"z":          {1, 5, 0},
		"a<tool>>b":  {1, 9, 11, 5, 7}, // the longest
		"<s>":        {1, 1},
		"a</s><tool": {1, 9, 2, 5, 0, 0, 0, 0, 0},
	} {
		require.Equal(t, want, tok.Encode(text, true, true), text)
	}
	require.Equal(t, "ab é", tok.Decode([]uint32{1, 5, 8, 5, 3, 4, 2}))
	require.NotContains(t, tok.Encode("</s>", false, false), uint32(2), "a user's text is text")
	require.True(t, tok.Stops(2))
	require.False(t, tok.Stops(1))
	require.Nil(t, tok.Bytes(1000))
}

func TestStreamsHaveWholeCharacters(t *testing.T) {
	tok, err := New(letterPairs())
	require.NoError(t, err)
	const text = "é€😀!"
	d := tok.NewDecoder(false)
	var parts []string
	for _, id := range tok.Encode(text, false, false) {
		if s := d.Add(id); s != "" {
			parts = append(parts, s)
		}
	}
	require.Equal(t, []string{"é", "€", "😀", "!"}, parts)
	require.Empty(t, d.Add(0xf0))
	require.Equal(t, "\xf0", d.End(), "what never came whole is not lost")
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(v *Vocabulary){
		"no tokens":           func(v *Vocabulary) { v.Tokens, v.Classes, v.Ranks = nil, "", nil },
		"too few classes":     func(v *Vocabulary) { v.Classes = v.Classes[1:] },
		"too few ranks":       func(v *Vocabulary) { v.Ranks = v.Ranks[1:] },
		"unknown class":       func(v *Vocabulary) { v.Classes = "z" + v.Classes[1:] },
		"a byte of two bytes": func(v *Vocabulary) { v.Tokens[3] = []byte("<0xC31>") },
		"a byte in lowercase": func(v *Vocabulary) { v.Tokens[3] = []byte("<0xc3>") },
		"another kind":        func(v *Vocabulary) { v.Kind = "words" },
		"no split":            func(v *Vocabulary) { v.Kind, v.Ranks = BytePair, nil },
		"no begin token":      func(v *Vocabulary) { v.BOS = -1 },
		"begin out of range":  func(v *Vocabulary) { v.BOS = 99 },
		"stop out of range":   func(v *Vocabulary) { v.Stop = []int{99} },
		"a huge token":        func(v *Vocabulary) { v.Tokens[6] = make([]byte, maxToken+1) },
		"merge out of range":  func(v *Vocabulary) { v.Kind, v.Split, v.Ranks, v.Merges = BytePair, GPT2, nil, [][2]int{{0, 99}} },
		"merge of no token":   func(v *Vocabulary) { v.Kind, v.Split, v.Ranks, v.Merges = BytePair, GPT2, nil, [][2]int{{7, 7}} },
	} {
		v := pieces()
		spoil(v)
		_, err := New(v)
		require.ErrorIs(t, err, ErrVocabulary, name)
	}
	b, err := pieces().Encode()
	require.NoError(t, err)
	_, err = Parse(append(b, ' '))
	require.ErrorIs(t, err, ErrVocabulary)
}

// FuzzEncode holds that bytes are never lost by a vocabulary that has all of them, whatever
// the split.
func FuzzEncode(f *testing.F) {
	f.Add("Hello, it's 123 worlds\n\n  <|im_end|>")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range []Split{GPT2, Llama3, Qwen2, SmolLM} {
			v := letterPairs()
			v.Split = s
			tok, err := New(v)
			require.NoError(t, err)
			require.Equal(t, text, tok.Decode(tok.Encode(text, false, true)))
		}
		tok, err := New(pieces())
		require.NoError(t, err)
		tok.Encode(text, true, true)
	})
}

func FuzzParse(f *testing.F) {
	for _, v := range []*Vocabulary{pieces(), letterPairs()} {
		b, err := v.Encode()
		require.NoError(f, err)
		f.Add(b, "ab é <tool>")
	}
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		tok, err := Parse(b)
		if err != nil {
			return
		}
		for _, id := range tok.Encode(text, true, true) {
			require.Less(t, int(id), len(tok.Vocabulary().Tokens))
		}
	})
}
