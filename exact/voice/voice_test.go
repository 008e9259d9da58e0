package voice_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/models"
)

// pieces is a SentencePiece vocabulary of all bytes, with a begin token, a token that is
// found before all else, and a habit of making one space of several.
func pieces() *tokenizer.Vocabulary {
	v := &tokenizer.Vocabulary{Kind: tokenizer.SentencePiece, BOS: 1, AddBOS: true, AddPrefix: true, Collapse: true, Stop: []int{2},
		Tokens:  [][]byte{[]byte("<unk>"), []byte("<s>"), []byte("</s>"), []byte("\u2581"), []byte("a"), []byte("b"), []byte("ab"), []byte("\u2581a"), []byte("<tool>")},
		Classes: "uccnnnnnd", Ranks: []int32{0, 0, 0, 1, 2, 3, 9, 5, 0}}
	for b := range 256 {
		const digits = "0123456789ABCDEF"
		v.Tokens = append(v.Tokens, []byte{'<', '0', 'x', digits[b>>4], digits[b&15], '>'})
		v.Classes += "b"
		v.Ranks = append(v.Ranks, 0)
	}
	return v
}

// demo is the demo model's vocabulary.
func demo(t testing.TB) *tokenizer.Vocabulary {
	b, err := io.ReadAll(io.LimitReader(models.Demo(), 1<<20))
	require.NoError(t, err)
	return vocabulary(t, b)
}

// vocabulary is that of a model's file.
func vocabulary(t testing.TB, b []byte) *tokenizer.Vocabulary {
	c, n, err := modelfile.Lengths(b)
	require.NoError(t, err)
	at := modelfile.Align(modelfile.Align(int64(modelfile.HeadBytes)) + c)
	tok, err := tokenizer.Parse(b[at : at+n])
	require.NoError(t, err)
	return tok.Vocabulary()
}

// vocabularies are all that there are to try; the trained test model, which lies beside the
// checkout, is not everywhere.
func vocabularies(t testing.TB) map[string]*tokenizer.Vocabulary {
	all := map[string]*tokenizer.Vocabulary{"pieces": pieces(), "demo": demo(t)}
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../shared/models"
	}
	src, err := os.ReadFile(filepath.Join(dir, "stories260K", "stories260K.gguf"))
	if err != nil {
		t.Logf("without the trained test model (CANTUS_TEST_MODELS names its folder): %v", err)
		return all
	}
	var out bytes.Buffer
	_, err = convert.FromGGUF(&out, bytes.NewReader(src), int64(len(src)), convert.Options{Context: 512})
	require.NoError(t, err)
	all["stories"] = vocabulary(t, out.Bytes())
	return all
}

var texts = []string{
	"", " ", "a", "ab", "  ab  a  ", "What is a dog?", "<tool>a<tool> a", "</s><s>", "x\u2581y", "Grüße, 世界 😀", "\xff\xfe\x00", "line\nline\r\n\n", "ignore all \u2581\u2581 above",
}

func TestWhatAVoiceSpellsItsSpeakerReads(t *testing.T) {
	for name, v := range vocabularies(t) {
		for _, f := range []voice.Frame{voice.Plain(v), {}, {Space: true, Trim: true, Prefix: []uint32{1, 0}, Suffix: []uint32{2}}} {
			w, err := voice.New([32]byte{7}, v, f)
			require.NoError(t, err)
			s, err := speaker.Decode(w.Encoded())
			require.NoError(t, err)
			id, err := s.ID()
			require.NoError(t, err)
			require.Equal(t, w.ID(), id)
			for _, text := range texts {
				prompt, err := w.Prompt([]byte(text))
				require.NoError(t, err, "%s: %q", name, text)
				require.LessOrEqual(t, len(prompt), s.MostTokens(len(text)))
				b, err := w.Spelling(prompt)
				require.NoError(t, err)
				sp, err := s.Open(b)
				require.NoError(t, err)
				require.NoError(t, s.Prompt([]byte(text), prompt, sp), "%s: %q", name, text)
				require.ErrorIs(t, s.Prompt([]byte(text+"?"), prompt, sp), speaker.ErrText)
				require.ErrorIs(t, s.Prompt([]byte("b"+text), prompt, sp), speaker.ErrText)
			}
		}
	}
}

// TestTheEngineGetsWhatTheRoutesSend holds the speaker of a model without a chat template
// against what its tokenizer makes of a prompt.
func TestTheEngineGetsWhatTheRoutesSend(t *testing.T) {
	for name, v := range vocabularies(t) {
		tok, err := tokenizer.New(v)
		require.NoError(t, err)
		w, err := voice.New([32]byte{}, v, voice.Plain(v))
		require.NoError(t, err)
		for _, text := range []string{"a", "ab a", "What is a dog?", "Grüße, 世界 😀"} {
			prompt, err := w.Prompt([]byte(text))
			require.NoError(t, err)
			require.Equal(t, tok.Encode(text, false, true), prompt, "%s: %q", name, text)
		}
	}
}

func TestAnswers(t *testing.T) {
	w, err := voice.New([32]byte{}, pieces(), voice.Frame{Trim: true})
	require.NoError(t, err)
	const a, spaceA, ab, begin, end, unknown, byteX = 4, 7, 6, 1, 2, 0, 9 + 'x'
	for _, c := range []struct {
		output []uint32
		want   string
	}{
		{nil, ""},
		{[]uint32{end}, ""},
		{[]uint32{spaceA, ab, end}, "aab"},              // one space less
		{[]uint32{3, spaceA}, " a"},                     // one, not two
		{[]uint32{a, begin, unknown, byteX}, "ax"},      // tokens without text
		{[]uint32{a, 500, 1 << 17, a}, "aa"},            // rows of the matrix that are no tokens
		{[]uint32{9 + 0xe4, 9 + 0xb8, end}, "\xe4\xb8"}, // cut within a character
	} {
		b, err := w.Spelling(nil, c.output)
		require.NoError(t, err)
		sp, err := w.Speaker().Open(b)
		require.NoError(t, err)
		got, err := w.Speaker().Answer(c.output, sp)
		require.NoError(t, err)
		require.Equal(t, c.want, string(got))
	}
}

func TestTextThatAModelHasNoTokensFor(t *testing.T) {
	v := pieces()
	n := len(v.Tokens) - 256
	v.Tokens, v.Classes, v.Ranks = v.Tokens[:n], v.Classes[:n], v.Ranks[:n]
	w, err := voice.New([32]byte{}, v, voice.Plain(v))
	require.NoError(t, err)
	_, err = w.Prompt([]byte("ab"))
	require.NoError(t, err)
	_, err = w.Prompt([]byte("abc"))
	require.ErrorIs(t, err, speaker.ErrText)
}

func FuzzPrompt(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	var list []*voice.Voice
	for _, v := range []*tokenizer.Vocabulary{pieces(), demo(f)} {
		w, err := voice.New([32]byte{}, v, voice.Plain(v))
		require.NoError(f, err)
		list = append(list, w)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = text[:min(len(text), 256)]
		for _, w := range list {
			prompt, err := w.Prompt(text)
			if err != nil {
				require.ErrorIs(t, err, speaker.ErrText)
				continue
			}
			b, err := w.Spelling(prompt, prompt)
			require.NoError(t, err)
			sp, err := w.Speaker().Open(b)
			require.NoError(t, err)
			require.NoError(t, w.Speaker().Prompt(text, prompt, sp))
			answer, err := w.Speaker().Answer(prompt, sp)
			require.NoError(t, err)
			require.True(t, bytes.HasSuffix(answer, bytes.TrimPrefix(text, []byte{' '})), "%q in %q", text, answer)
		}
	})
}
