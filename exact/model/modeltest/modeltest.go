// Package modeltest makes small models of noise for the tests of whatever runs models: the
// same for a seed, with a vocabulary that can spell every text.
package modeltest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// Vocabulary is the one that models of this package have: a token for each byte, a few
// words, and control tokens 0 to 2. Token 2 ends an answer.
func Vocabulary() *tokenizer.Vocabulary {
	v := &tokenizer.Vocabulary{Kind: tokenizer.SentencePiece, BOS: 1, AddBOS: true, Stop: []int{2},
		Template: "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"}
	add := func(text string, c tokenizer.Class) {
		v.Tokens = append(v.Tokens, []byte(text))
		v.Classes += string(rune(c))
		v.Ranks = append(v.Ranks, int32(len(v.Ranks)))
	}
	add("<unk>", tokenizer.Unknown)
	add("<s>", tokenizer.Control)
	add("</s>", tokenizer.Control)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), tokenizer.Byte)
	}
	for _, w := range strings.Fields("once upon a time there was little model of noise that knew no words but these") {
		add("▁"+w, tokenizer.Normal)
	}
	return v
}

// Config is the shape of a model that is small and fast.
func Config() *model.Config {
	return &model.Config{Name: "noise", Vocab: len(Vocabulary().Tokens), Dim: 48, Hidden: 72, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 12,
		Context: 512, RotaryPairs: 6, Eps: 42950, Score: 0x3ed53cbb}
}

// File is the file of a model. Its weights follow from the seed.
func File(t testing.TB, seed byte, edit func(*model.Config)) []byte {
	c := Config()
	if edit != nil {
		edit(c)
	}
	freq := make([]uint64, c.RotaryPairs)
	for i := range freq {
		freq[i] = 0x28be60db9391054a >> (2 * i)
	}
	words, err := Vocabulary().Encode()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = model.Write(&b, c, freq, words, &noise{rand.New(rand.NewChaCha8([32]byte{seed})), c})
	require.NoError(t, err)
	return b.Bytes()
}

// Load reads a model's file.
func Load(t testing.TB, file []byte) *model.Model {
	m, err := model.Load(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return m
}

// noise makes weights that are large enough for every part of a layer to matter.
type noise struct {
	rng *rand.Rand
	c   *model.Config
}

func (s *noise) shape(p model.Part) (rows, cols int) {
	c := s.c
	switch p {
	case model.Embedding, model.Output:
		return c.Vocab, c.Dim
	case model.Query:
		return c.Heads * c.HeadDim, c.Dim
	case model.Key, model.Value:
		return c.KVHeads * c.HeadDim, c.Dim
	case model.AttnOut:
		return c.Dim, c.Heads * c.HeadDim
	case model.Gate, model.Up:
		return c.Hidden, c.Dim
	case model.Down:
		return c.Dim, c.Hidden
	}
	return 0, 0
}

// Matrix implements model.Source.
func (s *noise) Matrix(p model.Part, _ int) (model.Tensor, error) {
	rows, cols := s.shape(p)
	t := model.Tensor{W: make([]int8, rows*cols), Scales: make([]exact.Scale, rows)}
	for i := range t.W {
		t.W[i] = int8(s.rng.IntN(255) - 127)
	}
	by := uint64(127 * 150)
	if p != model.Embedding {
		by = 127 * 50 * uint64(exact.Sqrt(uint64(cols)))
	}
	var err error
	for i := range t.Scales {
		if t.Scales[i], err = exact.NewScale(100+s.rng.Uint64N(100), by, 0); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Gain implements model.Source.
func (s *noise) Gain(p model.Part, _ int) (exact.Gain, error) {
	n := s.c.Dim
	if p == model.QueryNorm || p == model.KeyNorm {
		n = s.c.HeadDim
	}
	g := exact.Gain{M: make([]int32, n), Exp: -23}
	for i := range g.M {
		g.M[i] = 1<<22 + s.rng.Int32N(1<<23)
	}
	return g, nil
}

// Bias implements model.Source.
func (s *noise) Bias(p model.Part, _ int) ([]int32, error) {
	rows, _ := s.shape(p)
	b := make([]int32, rows)
	for i := range b {
		b[i] = s.rng.Int32N(1<<17) - 1<<16
	}
	return b, nil
}
