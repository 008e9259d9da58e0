package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
)

// shape is a synthetic model of the Llama family.
type shape struct {
	name                                                  string
	vocab, dim, hidden, layers, heads, kvHeads, headWidth int
}

// The models that are measured: as large as two that people run.
var shapes = []shape{
	{"110M", 32000, 768, 2048, 12, 12, 12, 64},
	{"1.1B", 32000, 2048, 5632, 22, 32, 4, 64},
}

func (s shape) tensors() []tensor {
	kv := s.kvHeads * s.headWidth
	ts := []tensor{{"token_embd.weight", s.vocab, s.dim, false}, {"output_norm.weight", 1, s.dim, true}, {"output.weight", s.vocab, s.dim, false}}
	for l := range s.layers {
		add := func(name string, rows, cols int, norm bool) {
			ts = append(ts, tensor{fmt.Sprintf("blk.%d.%s.weight", l, name), rows, cols, norm})
		}
		add("attn_norm", 1, s.dim, true)
		add("attn_q", s.heads*s.headWidth, s.dim, false)
		add("attn_k", kv, s.dim, false)
		add("attn_v", kv, s.dim, false)
		add("attn_output", s.dim, s.heads*s.headWidth, false)
		add("ffn_norm", 1, s.dim, true)
		add("ffn_gate", s.hidden, s.dim, false)
		add("ffn_up", s.hidden, s.dim, false)
		add("ffn_down", s.dim, s.hidden, false)
	}
	return ts
}

func (s shape) parameters() int64 {
	n := int64(0)
	for _, t := range s.tensors() {
		n += int64(t.rows) * int64(t.cols)
	}
	return n
}

// active is how many bytes of int8 weights one token reads: all but the embedding, of
// which it reads a row.
func (s shape) active() int64 { return s.parameters() - int64(s.vocab)*int64(s.dim) }

type tensor struct {
	name       string
	rows, cols int
	norm       bool // float32 ones; the others are Q8_0
}

const (
	typeF32  = 0
	typeQ8_0 = 8

	block      = 32 // weights of a Q8_0 block, which is a float16 scale and as many int8
	blockBytes = 2 + block
	alignment  = 32
)

func (t tensor) kind() (id uint32, bytes int64) {
	n := int64(t.rows) * int64(t.cols)
	if t.norm {
		return typeF32, 4 * n
	}
	return typeQ8_0, n / block * blockBytes
}

func aligned(n int64) int64 { return (n + alignment - 1) / alignment * alignment }

// ggufWriter writes little-endian and keeps the first error.
type ggufWriter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (g *ggufWriter) Write(p []byte) (int, error) {
	if g.err == nil {
		_, g.err = g.w.Write(p)
	}
	g.n += int64(len(p))
	return len(p), g.err
}

func (g *ggufWriter) put(v any) {
	if err := binary.Write(g, binary.LittleEndian, v); err != nil && g.err == nil {
		g.err = err
	}
}

func (g *ggufWriter) text(s string) {
	g.put(uint64(len(s)))
	_, _ = io.WriteString(g, s)
}

// The types of metadata.
const (
	metaUint32, metaInt32, metaFloat32, metaString, metaArray = 4, 5, 6, 8, 9
)

func (g *ggufWriter) meta(key string, v any) {
	g.text(key)
	switch v := v.(type) {
	case uint32:
		g.put(uint32(metaUint32))
		g.put(v)
	case float32:
		g.put(uint32(metaFloat32))
		g.put(v)
	case string:
		g.put(uint32(metaString))
		g.text(v)
	case []string:
		g.put(uint32(metaArray))
		g.put(uint32(metaString))
		g.put(uint64(len(v)))
		for _, s := range v {
			g.text(s)
		}
	case []float32:
		g.put(uint32(metaArray))
		g.put(uint32(metaFloat32))
		g.put(uint64(len(v)))
		g.put(v)
	case []int32:
		g.put(uint32(metaArray))
		g.put(uint32(metaInt32))
		g.put(uint64(len(v)))
		g.put(v)
	default:
		panic(fmt.Sprintf("metadata of type %T", v))
	}
}

// writeGGUF writes a model of this shape with noise for weights, of a size that keeps
// activations within bounds; the noise is the same each time. Both engines read this file.
func writeGGUF(path string, s shape) (err error) {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Rename(path+".part", path)
		}
	}()
	tokens, scores, kinds := vocabulary(s.vocab)
	meta := []struct {
		key string
		v   any
	}{
		{"general.architecture", "llama"}, {"general.name", "synthetic " + s.name}, {"general.alignment", uint32(alignment)},
		{"llama.context_length", uint32(2048)}, {"llama.embedding_length", uint32(s.dim)}, {"llama.block_count", uint32(s.layers)},
		{"llama.feed_forward_length", uint32(s.hidden)}, {"llama.attention.head_count", uint32(s.heads)},
		{"llama.attention.head_count_kv", uint32(s.kvHeads)}, {"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(s.headWidth)}, {"llama.rope.freq_base", float32(10000)}, {"llama.vocab_size", uint32(s.vocab)},
		{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.scores", scores}, {"tokenizer.ggml.token_type", kinds},
		{"tokenizer.ggml.bos_token_id", uint32(1)}, {"tokenizer.ggml.eos_token_id", uint32(2)}, {"tokenizer.ggml.unknown_token_id", uint32(0)},
	}
	g := &ggufWriter{w: bufio.NewWriterSize(f, 1<<20)}
	ts := s.tensors()
	_, _ = io.WriteString(g, "GGUF")
	g.put(uint32(3))
	g.put(uint64(len(ts)))
	g.put(uint64(len(meta)))
	for _, m := range meta {
		g.meta(m.key, m.v)
	}
	var offset int64
	for _, t := range ts {
		kind, bytes := t.kind()
		g.text(t.name)
		if t.norm {
			g.put(uint32(1))
			g.put(uint64(t.cols))
		} else {
			g.put(uint32(2))
			g.put([]uint64{uint64(t.cols), uint64(t.rows)})
		}
		g.put(kind)
		g.put(uint64(offset))
		offset = aligned(offset + bytes)
	}
	x := uint64(0x9e3779b97f4a7c15)
	for _, t := range ts {
		_, _ = g.Write(make([]byte, aligned(g.n)-g.n))
		if t.norm {
			ones := make([]float32, t.cols)
			for i := range ones {
				ones[i] = 1
			}
			g.put(ones)
			continue
		}
		scale := half(1 / math.Sqrt(float64(t.cols)) / 73) // int8 noise has a deviation of 73
		row := make([]byte, t.cols/block*blockBytes)
		for range t.rows {
			for b := 0; b < len(row); b += blockBytes {
				binary.LittleEndian.PutUint16(row[b:], scale)
				for k := 2; k < blockBytes; k += 8 {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
					binary.LittleEndian.PutUint64(row[b+k:], x)
				}
				for k := 2; k < blockBytes; k++ {
					if row[b+k] == 0x80 { // −128 is no weight of a Q8_0
						row[b+k] = 0x81
					}
				}
			}
			_, _ = g.Write(row)
		}
	}
	if g.err == nil {
		g.err = g.w.Flush()
	}
	return g.err
}

// half is the float16 nearest to a small normal number.
func half(f float64) uint16 {
	frac, exp := math.Frexp(f) // f = frac·2^exp, ½ ≤ frac < 1
	return uint16(exp-1+15)<<10 + uint16(math.Round((frac*2-1)*1024))
}

// vocabulary is one that SentencePiece could have made: special tokens, bytes, words.
func vocabulary(n int) (tokens []string, scores []float32, kinds []int32) {
	add := func(t string, score float32, kind int32) {
		tokens, scores, kinds = append(tokens, t), append(scores, score), append(kinds, kind)
	}
	add("<unk>", 0, 2)
	add("<s>", 0, 3)
	add("</s>", 0, 3)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, 6)
	}
	for i := len(tokens); i < n; i++ {
		add(fmt.Sprintf("▁w%d", i), float32(-i), 1)
	}
	return tokens, scores, kinds
}
