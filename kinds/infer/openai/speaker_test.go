package openai

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// say runs tokens of single bytes through a speaker.
func say(sp *speaker, text string) (parts []string, tokens []tokenSaid) {
	take := func(s said) {
		if s.text != "" {
			parts = append(parts, s.text)
		}
		tokens = append(tokens, s.tokens...)
	}
	for i := range len(text) {
		take(sp.add(answer.Step{Token: uint32(text[i]), LogProb: -1 << 16}))
		if sp.stopped {
			break
		}
	}
	take(sp.end())
	return parts, tokens
}

func TestCharactersAreWhole(t *testing.T) {
	sp := newSpeaker(letters(t, ""), true, nil, nil, true)
	parts, tokens := say(sp, "aé🦜z")
	require.Equal(t, []string{"a", "é", "🦜", "z"}, parts)
	require.Len(t, tokens, 8)
	require.Equal(t, 0xf0, int(tokens[3].bytes[0]))
	require.InDelta(t, -1, tokens[0].log, 0)
	require.Equal(t, []int{0, 1, 1, 2, 2, 2, 2, 3}, offsets(tokens))
}

func offsets(tokens []tokenSaid) (list []int) {
	for _, t := range tokens {
		list = append(list, t.offset)
	}
	return list
}

func TestBrokenCharactersAreReplaced(t *testing.T) {
	for text, want := range map[string]string{"a\xff": "a\uFFFD", "a\xf0\x9f": "a\uFFFD", "\x80b": "\uFFFDb", "\xc3a": "\uFFFDa"} {
		parts, _ := say(newSpeaker(letters(t, ""), true, nil, nil, false), text)
		require.Equal(t, want, strings.Join(parts, ""), "%q", text)
	}
}

func TestNothingIsSaidTooEarly(t *testing.T) {
	sp := newSpeaker(letters(t, ""), true, nil, []string{"abcd", "bd"}, true)
	parts, _ := say(sp, "xababcxabd!")
	require.Equal(t, "xababcxa", strings.Join(parts, ""))
	require.True(t, sp.stopped)
	sp = newSpeaker(letters(t, ""), true, nil, []string{"abcd"}, true)
	parts, tokens := say(sp, "xabc")
	require.Equal(t, []string{"x", "abc"}, parts, "what is left when the answer ends is said")
	require.Len(t, tokens, 4)
	require.False(t, sp.stopped)
}

func TestStopTokensAreNotSaid(t *testing.T) {
	sp := newSpeaker(letters(t, "", "</s>"), true, []uint32{256, 'z'}, nil, true)
	parts, tokens := say(sp, "abz")
	require.Equal(t, "ab", strings.Join(parts, ""))
	require.Len(t, tokens, 2)
	require.True(t, sp.ended)
	require.Equal(t, 3, sp.n)
	require.Equal(t, "</s>", sp.token(256, 0).text, "as an alternative it has its name")
}

func TestAlternatives(t *testing.T) {
	sp := newSpeaker(letters(t, ""), true, nil, nil, true)
	out := sp.add(answer.Step{Token: 'a', LogProb: -1 << 15, Top: []claim.Alternative{{ID: 'a', LogProb: -1 << 15}, {ID: 'b', LogProb: -1 << 17}}})
	require.Len(t, out.tokens, 1)
	require.Equal(t, "b", out.tokens[0].top[1].text)
	require.InDelta(t, -2, out.tokens[0].top[1].log, 0)
}

// TestHoweverTokensFall holds, for random texts and stop strings, that the text is what it
// would be if it had come at once.
func TestHoweverTokensFall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteString([]string{"a", "b", "é", "🦜"}[r.IntN(4)])
		}
		return b.String()
	}
	tok := letters(t, "")
	for range 5000 {
		text, stops := word(12), []string{word(3), word(3)}[:r.IntN(3)]
		want := len(text)
		at := -1
		// By the byte at which the first stop string is whole, then by the earliest of those.
		for end := 0; end <= len(text) && at < 0; end++ {
			for _, s := range stops {
				if strings.HasSuffix(text[:end], s) && (at < 0 || end-len(s) < at) {
					at = end - len(s)
				}
			}
		}
		if at >= 0 {
			want = at
		}
		parts, tokens := say(newSpeaker(tok, true, nil, stops, true), text)
		require.Equal(t, text[:want], strings.Join(parts, ""), "%q with %q", text, stops)
		var b []byte
		for _, s := range tokens {
			b = append(b, s.bytes...)
		}
		require.Equal(t, text[:want], string(b), "%q with %q", text, stops)
	}
}
