package convert

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

type tokens struct {
	Text string   `json:"text"`
	IDs  []uint32 `json:"ids"`
}

func tokenVectors(t *testing.T, name string) (out []tokens) {
	b, err := os.ReadFile("testdata/tokenizers/" + name + ".vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &out))
	require.NotEmpty(t, out)
	return out
}

// same holds a tokenizer to vectors, and its decoding, whole and token by token, to the text.
func same(t *testing.T, tok *tokenizer.Tokenizer, vs []tokens, special bool, text func(string) string) {
	t.Helper()
	for _, v := range vs {
		got := tok.Encode(v.Text, special, false)
		if len(got)+len(v.IDs) > 0 {
			require.Equal(t, v.IDs, got, "%q", v.Text)
		}
		d := tok.NewDecoder(false)
		var streamed strings.Builder
		for _, id := range got {
			part := d.Add(id)
			require.True(t, utf8.ValidString(part), "%q of %q", part, v.Text)
			streamed.WriteString(part)
		}
		streamed.WriteString(d.End())
		require.Equal(t, text(v.Text), tok.Decode(got))
		require.Equal(t, text(v.Text), streamed.String())
	}
}

// TestBytePairsAsOthersDo compares with what the npm package @huggingface/tokenizers makes
// of the same files; testdata/tokenizers/make.mjs wrote both.
func TestBytePairsAsOthersDo(t *testing.T) {
	for _, name := range []string{"gpt2", "smollm", "llama3", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := os.ReadFile("testdata/tokenizers/" + name + ".json")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), b, 0o644))
			d := &directory{path: dir}
			v, err := d.vocabulary(&hfConfig{EOS: idList{3}})
			require.NoError(t, err)
			require.Equal(t, tokenizer.Split(name), v.Split)
			encoded, err := v.Encode()
			require.NoError(t, err)
			tok, err := tokenizer.Parse(encoded)
			require.NoError(t, err)
			require.True(t, tok.Stops(3))
			same(t, tok, tokenVectors(t, name), true, func(s string) string { return strings.ReplaceAll(s, "<|end|>", "") })

			// What a user writes is text, even where it names a control token.
			require.NotContains(t, tok.Encode("<|end|>", false, false), tok.Encode("<|end|>", true, false)[0])
			require.Equal(t, "<|end|>", tok.Decode(tok.Encode("<|end|>", false, false)))
		})
	}
}

// TestPiecesAsOthersDo compares with what SentencePiece itself makes of a trained model's
// vocabulary, read from tokenizer.model and from the GGUF file.
func TestPiecesAsOthersDo(t *testing.T) {
	vs := tokenVectors(t, "tok512")
	v := &tokenizer.Vocabulary{BOS: 1, Stop: []int{2}}
	require.NoError(t, sentencePieces(v, stories(t, "tok512.model")))
	src := stories(t, "stories260K.gguf")
	f, err := gguf.Open(bytes.NewReader(src), int64(len(src)))
	require.NoError(t, err)
	w, err := (&ggufSource{f: f, arch: "llama"}).vocabulary()
	require.NoError(t, err)
	require.True(t, v.Collapse)
	require.False(t, w.Collapse, "the file does not say so")
	w.Collapse = true
	for _, v := range []*tokenizer.Vocabulary{v, w} {
		tok, err := tokenizer.New(v)
		require.NoError(t, err)
		same(t, tok, vs, false, func(s string) string {
			if strings.Contains(s, "\u2581") {
				return " under" // the letter that stands for a space comes back as one
			}
			return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
		})
	}
}

func newPieces() *tokenizer.Vocabulary { return &tokenizer.Vocabulary{BOS: -1, Stop: []int{}} }

// encodeDecode holds what is true of every vocabulary: it has one encoding, and tokens of a
// text are in range.
func encodeDecode(t *testing.T, v *tokenizer.Vocabulary, text string) {
	b, err := v.Encode()
	if err != nil {
		return
	}
	tok, err := tokenizer.Parse(b)
	if err != nil {
		return
	}
	for _, id := range tok.Encode(text, true, true) {
		require.Less(t, int(id), len(v.Tokens))
	}
	tok.Decode(tok.Encode(text, false, true))
}
