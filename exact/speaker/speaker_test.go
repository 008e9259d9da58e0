package speaker_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/speaker"
)

// pieces are what the tokens of a small vocabulary spell.
var pieces = [][]byte{nil, nil, []byte("a"), []byte("b"), []byte("ab"), []byte(" "), []byte("yes"), nil, []byte("\xc3"), []byte("\xa9"), []byte(" a")}

func small() *speaker.Speaker {
	var leaves []speaker.Digest
	for _, p := range pieces {
		leaves = append(leaves, speaker.Leaf(p))
	}
	return &speaker.Speaker{Model: speaker.Digest{1}, Vocabulary: merkle.Root(leaves), Size: uint32(len(pieces)), Prefix: []uint32{0, 2}, Suffix: []uint32{7}, Stop: []uint32{1, 7}}
}

// spelling shows tokens, ascending, against the small vocabulary.
func spelling(ids ...uint64) []byte {
	b := binary.AppendUvarint(nil, uint64(len(ids)))
	next := uint64(0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, id-next)
		b = binary.AppendUvarint(b, uint64(len(pieces[id])))
		b = append(b, pieces[id]...)
		next = id + 1
	}
	merkle.Missing(0, uint64(len(pieces)), ids, func(from, to uint64) {
		var leaves []speaker.Digest
		for _, p := range pieces[from:to] {
			leaves = append(leaves, speaker.Leaf(p))
		}
		root := merkle.Root(leaves)
		b = append(b, root[:]...)
	})
	return b
}

func TestSpeakersComeBackAsTheyWere(t *testing.T) {
	full := small()
	full.Space, full.Trim = true, true
	for _, want := range []*speaker.Speaker{small(), full, {Size: 1}} {
		b, err := want.Encode()
		require.NoError(t, err)
		got, err := speaker.Decode(b)
		require.NoError(t, err)
		require.Equal(t, want, got)
		id, err := want.ID()
		require.NoError(t, err)
		require.Equal(t, id, speaker.IDOf(b))
		again, err := speaker.ParseID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
	}
	// An ID once told is written into contracts: it may never change.
	id, err := small().ID()
	require.NoError(t, err)
	require.Equal(t, "0xa4654bb3dd471c1428d1ad54645a47314ea26e0b7c0d2046cbb2d5fa7fec7be8", id.String())
}

func TestBadSpeakersAreRefused(t *testing.T) {
	for why, edit := range map[string]func(*speaker.Speaker){
		"vocabulary of 0":      func(s *speaker.Speaker) { s.Size = 0 },
		"vocabulary of 262145": func(s *speaker.Speaker) { s.Size = claim.MaxVocab + 1 },
		"token 11":             func(s *speaker.Speaker) { s.Suffix = []uint32{11} },
		"1025 tokens around":   func(s *speaker.Speaker) { s.Prefix, s.Suffix = make([]uint32, 1000), make([]uint32, 25) },
		"17 stop tokens":       func(s *speaker.Speaker) { s.Stop = make([]uint32, 17) },
		"they ascend":          func(s *speaker.Speaker) { s.Stop = []uint32{3, 3} },
	} {
		s := small()
		edit(s)
		_, err := s.Encode()
		require.ErrorIs(t, err, speaker.ErrSpeaker, why)
		require.ErrorContains(t, err, why)
	}
	long := &speaker.Speaker{Size: claim.MaxVocab, Prefix: slices.Repeat([]uint32{claim.MaxVocab - 1}, speaker.MaxFrame), Stop: []uint32{1}}
	b, err := long.Encode()
	require.NoError(t, err, "the longest frame fits")
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(slices.Clone(b), 0), make([]byte, speaker.MaxBytes+1)} {
		_, err := speaker.Decode(bad)
		require.ErrorIs(t, err, speaker.ErrSpeaker)
	}
	for _, bad := range []string{"", "0x", "0x12", "1" + speaker.ID{}.String()[1:], speaker.ID{}.String() + "0"} {
		_, err := speaker.ParseID(bad)
		require.Error(t, err, bad)
	}
}

func TestPrompts(t *testing.T) {
	s := small()
	sp, err := s.Open(spelling(1, 2, 3, 4, 5, 6, 10))
	require.NoError(t, err)
	ask := func(inner ...uint32) []uint32 { return slices.Concat(s.Prefix, inner, s.Suffix) }
	for _, inner := range [][]uint32{{4, 5, 4}, {2, 3, 5, 4}, {4, 10, 3}} {
		require.NoError(t, s.Prompt([]byte("ab ab"), ask(inner...), sp), "any spelling will do")
	}
	require.NoError(t, s.Prompt(nil, ask(), sp))
	for why, prompt := range map[string][]uint32{
		"has no text":       ask(4, 1, 5, 4),
		"goes on with":      ask(4, 4),
		"1 bytes are":       ask(4, 5, 2),
		"does not show":     ask(4, 5, 2, 9),
		"speaker's 2 befor": {0, 4, 5, 4, 7},
		"and 1 after":       {0, 2, 4, 5, 4},
	} {
		require.ErrorContains(t, s.Prompt([]byte("ab ab"), prompt, sp), why)
	}
	require.Error(t, s.Prompt([]byte("ab"), []uint32{0, 2}, sp), "shorter than its frame")
	s.Space = true
	require.NoError(t, s.Prompt([]byte("ab"), ask(10, 3), sp))
	require.ErrorIs(t, s.Prompt([]byte("ab"), ask(4), sp), speaker.ErrText)
}

func TestSpellings(t *testing.T) {
	s := small()
	for _, ids := range [][]uint64{{}, {0}, {10}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {3, 7}} {
		_, err := s.Open(spelling(ids...))
		require.NoError(t, err)
	}
	good := spelling(3, 6)
	lie := slices.Clone(good)
	copy(lie[len(lie)-5*32-3:], "no!") // where it says what 6 spells
	for why, bad := range map[string][]byte{
		"another text":  lie,
		"a byte less":   good[:len(good)-1],
		"a byte more":   append(slices.Clone(good), 0),
		"a long number": append([]byte{0x82, 0x00}, good[1:]...),
		"nothing":       nil,
		"too long":      make([]byte, speaker.MaxSpelling+1),
		"other order":   {2, 5, 1, ' ', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 'a'},
	} {
		_, err := s.Open(bad)
		require.ErrorIs(t, err, speaker.ErrSpelling, why)
	}
	sp, err := s.Open(good)
	require.NoError(t, err)
	other := small()
	other.Vocabulary[0] ^= 1
	_, err = other.Answer([]uint32{6}, sp)
	require.ErrorIs(t, err, speaker.ErrSpelling)
	_, err = s.Answer([]uint32{2}, sp)
	require.ErrorIs(t, err, speaker.ErrUnshown)
	_, err = s.Answer(nil, nil)
	require.ErrorIs(t, err, speaker.ErrSpelling)
}

func TestTasks(t *testing.T) {
	s := small()
	prompt := []uint32{0, 2, 4, 7}
	p := speaker.Params{MaxTokens: 5, Temperature: 700_000, TopK: 3, TopP: 900_000, Seed: 4}
	task := s.Task(prompt, 9, p)
	require.NoError(t, task.Check())
	require.Equal(t, s.Stop, task.Stop)
	require.NotEqual(t, task.Sampling.Seed, s.Task(prompt, 10, p).Sampling.Seed)
	p.Seed++
	require.NotEqual(t, task.Sampling.Seed, s.Task(prompt, 9, p).Sampling.Seed)
	p.Temperature = 0
	require.Zero(t, s.Task(prompt, 9, p).Sampling, "nothing is drawn, so all that says how is 0")
}

func FuzzSpeaker(f *testing.F) {
	b, err := small().Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := speaker.Decode(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// FuzzSpelling has bytes opened that differ from true ones: whatever is accepted says of
// every token what the vocabulary says.
func FuzzSpelling(f *testing.F) {
	f.Add(spelling(3, 6), uint32(6))
	f.Add(spelling(0, 10), uint32(0))
	s := small()
	f.Fuzz(func(t *testing.T, b []byte, id uint32) {
		sp, err := s.Open(b)
		if err != nil {
			return
		}
		got, err := s.Answer([]uint32{id, 2}, sp)
		if err != nil {
			return
		}
		want := []byte{}
		if int(id) < len(pieces) {
			want = append(want, pieces[id]...)
		}
		require.Equal(t, append(want, 'a'), got)
	})
}
