package convert

import (
	"fmt"
	"io"

	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// Options of a conversion.
type Options struct {
	Name    string // of the model; empty for what the file says
	Context int    // the most positions; 0 for what the file says
}

// FromGGUF converts a file of size bytes and gives the root of what it writes to dst.
func FromGGUF(dst io.Writer, r io.ReaderAt, size int64, o Options) (model.Digest, error) {
	f, err := gguf.Open(r, size)
	if err != nil {
		return model.Digest{}, fmt.Errorf("convert: %w", err)
	}
	g := &ggufSource{f: f}
	c, rot, err := g.config(o)
	if err != nil {
		return model.Digest{}, err
	}
	v, err := g.vocabulary()
	if err != nil {
		return model.Digest{}, err
	}
	return write(dst, c, rot, v, g.tensor)
}

// write is what every source ends with.
func write(dst io.Writer, c *model.Config, rot rotary, v *tokenizer.Vocabulary, tensor func(model.Part, int, bool) (rows, error)) (model.Digest, error) {
	var err error
	if c.Score, err = scoreScale(c.HeadDim); err != nil {
		return model.Digest{}, err
	}
	if err := c.Check(); err != nil {
		return model.Digest{}, fmt.Errorf("convert: %w", err)
	}
	if len(v.Tokens) > c.Vocab {
		return model.Digest{}, fmt.Errorf("%w: %d tokens for an embedding of %d", ErrSource, len(v.Tokens), c.Vocab)
	}
	// An embedding may have rows to spare.
	for len(v.Tokens) < c.Vocab {
		v.Tokens = append(v.Tokens, nil)
		v.Classes += string(rune(tokenizer.Unused))
		if v.Kind == tokenizer.SentencePiece {
			v.Ranks = append(v.Ranks, 0)
		}
	}
	tok, err := v.Encode()
	if err != nil {
		return model.Digest{}, fmt.Errorf("convert: %w", err)
	}
	if _, err := tokenizer.Parse(tok); err != nil {
		return model.Digest{}, fmt.Errorf("convert: %w", err)
	}
	freq, err := rot.frequencies()
	if err != nil {
		return model.Digest{}, err
	}
	return model.Write(dst, c, freq, tok, &source{c: c, tensor: tensor})
}

type ggufSource struct {
	f    *gguf.File
	arch string
}

// ggufTensor adapts a tensor to rows.
type ggufTensor struct{ *gguf.Tensor }

func (t ggufTensor) Shape() (int, int) { return t.Rows, t.Cols }

var ggufNames = map[model.Part]string{
	model.AttnNorm: "attn_norm", model.Query: "attn_q", model.Key: "attn_k", model.Value: "attn_v",
	model.QueryNorm: "attn_q_norm", model.KeyNorm: "attn_k_norm", model.AttnOut: "attn_output",
	model.FFNNorm: "ffn_norm", model.Gate: "ffn_gate", model.Up: "ffn_up", model.Down: "ffn_down",
	model.Embedding: "token_embd", model.OutputNorm: "output_norm", model.Output: "output",
}

func (g *ggufSource) tensor(part model.Part, layer int, bias bool) (rows, error) {
	name := ggufNames[part]
	if part != model.Embedding && part != model.OutputNorm && part != model.Output {
		name = fmt.Sprintf("blk.%d.%s", layer, name)
	}
	if bias {
		name += ".bias"
	} else {
		name += ".weight"
	}
	t := g.f.Tensors[name]
	if t == nil {
		return nil, fmt.Errorf("%w: no tensor %s", ErrSource, name)
	}
	return ggufTensor{t}, nil
}

// count is a number of the architecture; 0 where the file has none.
func (g *ggufSource) count(key string) int {
	switch v := g.f.Meta[g.arch+"."+key].(type) {
	case uint64:
		return int(min(v, 1<<30))
	case int64:
		return int(min(max(v, -1), 1<<30))
	}
	return 0
}

func (g *ggufSource) float(key string, otherwise float64) float64 {
	if v, ok := g.f.Meta[g.arch+"."+key].(float64); ok {
		return v
	}
	return otherwise
}

func (g *ggufSource) config(o Options) (*model.Config, rotary, error) {
	var rot rotary
	g.arch, _ = g.f.Meta["general.architecture"].(string)
	switch g.arch {
	case "llama", "qwen2", "qwen3":
	default:
		return nil, rot, fmt.Errorf("%w: architecture %q: llama (and Mistral and SmolLM, which GGUF calls that), qwen2 and qwen3 can be converted", ErrSource, g.arch)
	}
	if g.count("expert_count") > 0 {
		return nil, rot, fmt.Errorf("%w: it is a mixture of experts", ErrSource)
	}
	embed := g.f.Tensors["token_embd.weight"]
	if embed == nil {
		return nil, rot, fmt.Errorf("%w: no tensor token_embd.weight", ErrSource)
	}
	c := &model.Config{
		Name: o.Name, Vocab: embed.Rows,
		Dim: g.count("embedding_length"), Hidden: g.count("feed_forward_length"), Layers: g.count("block_count"),
		Heads: g.count("attention.head_count"), KVHeads: g.count("attention.head_count_kv"),
		HeadDim: g.count("attention.key_length"), Context: g.count("context_length"), Window: g.count("attention.sliding_window"),
		// Converters turn the heads of llama so that pairs lie side by side, of others not.
		Halves:   g.arch != "llama",
		Tied:     g.f.Tensors["output.weight"] == nil,
		QKVBias:  g.f.Tensors["blk.0.attn_q.bias"] != nil,
		HeadNorm: g.f.Tensors["blk.0.attn_q_norm.weight"] != nil,
	}
	if c.Name == "" {
		c.Name, _ = g.f.Meta["general.name"].(string)
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Dim / c.Heads
	}
	if o.Context != 0 {
		c.Context = o.Context
	}
	var err error
	if c.Eps, err = epsilon(g.float("attention.layer_norm_rms_epsilon", -1)); err != nil {
		return nil, rot, err
	}
	c.RotaryPairs = c.HeadDim / 2
	if n := g.count("rope.dimension_count"); n > 0 {
		c.RotaryPairs = n / 2
	}
	rot = rotary{base: g.float("rope.freq_base", 10000), pairs: c.RotaryPairs}
	switch kind, _ := g.f.Meta[g.arch+".rope.scaling.type"].(string); kind {
	case "", "none":
		rot.linear = g.float("rope.scale_linear", 0)
	case "linear":
		rot.linear = g.float("rope.scaling.factor", 1)
	default:
		return nil, rot, fmt.Errorf("%w: rotary scaling %q", ErrSource, kind)
	}
	if rot.linear < 0 || rot.linear > 1e6 || rot.linear != rot.linear {
		return nil, rot, fmt.Errorf("%w: rotary scaling by %v", ErrSource, rot.linear)
	}
	if t := g.f.Tensors["rope_freqs.weight"]; t != nil {
		if t.Rows != 1 || t.Cols != c.RotaryPairs {
			return nil, rot, fmt.Errorf("%w: rope_freqs has %d × %d elements for %d pairs", ErrSource, t.Rows, t.Cols, c.RotaryPairs)
		}
		rot.each = make([]float64, t.Cols)
		if err := t.Row(rot.each, 0); err != nil {
			return nil, rot, err
		}
	}
	return c, rot, nil
}
