package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/safetensors"
)

// maxJSON bounds the files beside the tensors.
const maxJSON = 64 << 20

// hfConfig is what is used of config.json.
type hfConfig struct {
	Type       string   `json:"model_type"`
	Dim        int      `json:"hidden_size"`
	Hidden     int      `json:"intermediate_size"`
	Layers     int      `json:"num_hidden_layers"`
	Heads      int      `json:"num_attention_heads"`
	KVHeads    int      `json:"num_key_value_heads"`
	HeadDim    int      `json:"head_dim"`
	Context    int      `json:"max_position_embeddings"`
	Eps        *float64 `json:"rms_norm_eps"`
	Theta      *float64 `json:"rope_theta"`
	Activation string   `json:"hidden_act"`
	Tied       bool     `json:"tie_word_embeddings"`
	Window     *int     `json:"sliding_window"`
	UseWindow  *bool    `json:"use_sliding_window"`
	Attention  bool     `json:"attention_bias"`
	MLPBias    bool     `json:"mlp_bias"`
	Scaling    *scaling `json:"rope_scaling"`
	BOS        *int     `json:"bos_token_id"`
	EOS        idList   `json:"eos_token_id"`
}

type scaling struct {
	Type    string  `json:"rope_type"`
	OldType string  `json:"type"`
	Factor  float64 `json:"factor"`
	Low     float64 `json:"low_freq_factor"`
	High    float64 `json:"high_freq_factor"`
	Context float64 `json:"original_max_position_embeddings"`
}

// idList is a token or a list of them.
type idList []int

// UnmarshalJSON implements json.Unmarshaler.
func (l *idList) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]int)(l))
	}
	var one *int
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	if one != nil {
		*l = idList{*one}
	}
	return nil
}

// directory is an open directory of a model.
type directory struct {
	path    string
	files   []*os.File
	tensors map[string]*safetensors.Tensor
}

func (d *directory) close() {
	for _, f := range d.files {
		f.Close()
	}
}

// json reads a file beside the tensors into v; fs.ErrNotExist where there is none.
func (d *directory) json(name string, v any) error {
	b, err := d.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSource, name, err)
	}
	return nil
}

func (d *directory) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.path, name))
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(b) > maxJSON {
		err = fmt.Errorf("%w: %s is larger than %d bytes", ErrSource, name, maxJSON)
	}
	return b, err
}

func openDirectory(path string) (*directory, error) {
	d := &directory{path: path, tensors: map[string]*safetensors.Tensor{}}
	names, err := filepath.Glob(filepath.Join(path, "*.safetensors"))
	if err != nil || len(names) == 0 || len(names) > 1000 {
		return nil, fmt.Errorf("%w: %s has %d files *.safetensors", ErrSource, path, len(names))
	}
	for _, name := range names {
		if err := d.open(name); err != nil {
			d.close()
			return nil, fmt.Errorf("convert: %s: %w", filepath.Base(name), err)
		}
	}
	return d, nil
}

func (d *directory) open(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	d.files = append(d.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	ts, err := safetensors.Open(f, info.Size())
	if err != nil {
		return err
	}
	for name, t := range ts {
		if d.tensors[name] != nil {
			return fmt.Errorf("%w: tensor %s is in another file as well", ErrSource, name)
		}
		d.tensors[name] = t
	}
	return nil
}

// FromDir converts a directory with config.json, *.safetensors and tokenizer.json or
// tokenizer.model, and gives the root of what it writes to dst.
func FromDir(dst io.Writer, path string, o Options) (model.Digest, error) {
	d, err := openDirectory(path)
	if err != nil {
		return model.Digest{}, err
	}
	defer d.close()
	var h hfConfig
	if err := d.json("config.json", &h); err != nil {
		return model.Digest{}, err
	}
	c, rot, err := d.config(&h, o)
	if err != nil {
		return model.Digest{}, err
	}
	v, err := d.vocabulary(&h)
	if err != nil {
		return model.Digest{}, err
	}
	return write(dst, c, rot, v, d.tensor)
}

var hfNames = map[model.Part]string{
	model.AttnNorm: "input_layernorm", model.Query: "self_attn.q_proj", model.Key: "self_attn.k_proj", model.Value: "self_attn.v_proj",
	model.QueryNorm: "self_attn.q_norm", model.KeyNorm: "self_attn.k_norm", model.AttnOut: "self_attn.o_proj",
	model.FFNNorm: "post_attention_layernorm", model.Gate: "mlp.gate_proj", model.Up: "mlp.up_proj", model.Down: "mlp.down_proj",
	model.Embedding: "model.embed_tokens", model.OutputNorm: "model.norm", model.Output: "lm_head",
}

func (d *directory) tensor(part model.Part, layer int, bias bool) (rows, error) {
	name := hfNames[part]
	if part != model.Embedding && part != model.OutputNorm && part != model.Output {
		name = fmt.Sprintf("model.layers.%d.%s", layer, name)
	}
	if bias {
		name += ".bias"
	} else {
		name += ".weight"
	}
	t := d.tensors[name]
	if t == nil {
		return nil, fmt.Errorf("%w: no tensor %s of F32, F16 or BF16", ErrSource, name)
	}
	return t, nil
}

func (d *directory) config(h *hfConfig, o Options) (*model.Config, rotary, error) {
	var rot rotary
	switch h.Type {
	case "llama", "mistral", "qwen2", "qwen3":
	default:
		return nil, rot, fmt.Errorf("%w: model type %q: llama (and SmolLM, which calls itself that), mistral, qwen2 and qwen3 can be converted", ErrSource, h.Type)
	}
	embed := d.tensors["model.embed_tokens.weight"]
	switch {
	case embed == nil:
		return nil, rot, fmt.Errorf("%w: no tensor model.embed_tokens.weight", ErrSource)
	case h.Activation != "" && h.Activation != "silu":
		return nil, rot, fmt.Errorf("%w: activation %q: silu can be converted", ErrSource, h.Activation)
	case h.MLPBias || d.tensors["model.layers.0.self_attn.o_proj.bias"] != nil:
		return nil, rot, fmt.Errorf("%w: biases other than of queries, keys and values", ErrSource)
	case h.Eps == nil:
		return nil, rot, fmt.Errorf("%w: config.json has no rms_norm_eps", ErrSource)
	}
	c := &model.Config{
		Name: o.Name, Vocab: embed.Rows, Dim: h.Dim, Hidden: h.Hidden, Layers: h.Layers,
		Heads: h.Heads, KVHeads: h.KVHeads, HeadDim: h.HeadDim, Context: h.Context, Halves: true,
		Tied:     h.Tied || d.tensors["lm_head.weight"] == nil,
		QKVBias:  d.tensors["model.layers.0.self_attn.q_proj.bias"] != nil,
		HeadNorm: d.tensors["model.layers.0.self_attn.q_norm.weight"] != nil,
	}
	if c.Name == "" {
		c.Name = strings.ToValidUTF8(filepath.Base(filepath.Clean(d.path)), "")
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
	// Qwen names a window and does not use it unless it says so.
	if h.Window != nil && (h.UseWindow == nil && h.Type == "mistral" || h.UseWindow != nil && *h.UseWindow) {
		if h.Type != "mistral" {
			return nil, rot, fmt.Errorf("%w: a window in some of the layers", ErrSource)
		}
		c.Window = *h.Window
	}
	var err error
	if c.Eps, err = epsilon(*h.Eps); err != nil {
		return nil, rot, err
	}
	c.RotaryPairs = c.HeadDim / 2
	rot = rotary{base: 10000, pairs: c.RotaryPairs}
	if h.Theta != nil {
		rot.base = *h.Theta
	}
	return c, rot, rot.scaled(h.Scaling)
}

// scaled takes what config.json says of longer contexts.
func (r *rotary) scaled(s *scaling) error {
	if s == nil {
		return nil
	}
	kind := s.Type
	if kind == "" {
		kind = s.OldType
	}
	switch kind {
	case "default":
		return nil
	case "linear":
		if !(s.Factor >= 1 && s.Factor < 1e6) {
			return fmt.Errorf("%w: rotary scaling by %v", ErrSource, s.Factor)
		}
		r.linear = s.Factor
		return nil
	case "llama3":
		r.llama3 = &llama3Scaling{factor: s.Factor, low: s.Low, high: s.High, context: s.Context}
		return r.llama3.check()
	}
	return fmt.Errorf("%w: rotary scaling %q: default, linear and llama3 can be converted", ErrSource, kind)
}

// missing says whether a file is not there, which is no mistake of those that may be
// missing.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
