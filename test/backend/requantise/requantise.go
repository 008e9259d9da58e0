// Package requantise writes small models of the Llama family as GGUF files in the types that
// a cheating worker might serve instead of the original: F16, Q8_0, Q4_0, or a layer short.
// It is test equipment: it holds a whole model in memory.
//
// A matrix whose rows are no whole number of blocks, which llama.cpp can't hold quantised, is
// rounded as if its last block were shorter and stored as F32: the weights are then those of
// the type, the arithmetic is not.
package requantise

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// Model is a model in floating point.
type Model struct {
	Meta    map[string]any // as gguf.File has it
	Tensors []Tensor
	Layers  int
}

// Tensor is a matrix, or a vector, which has one row and is never quantised.
type Tensor struct {
	Name       string
	Rows, Cols int
	Values     []float32
}

// FromGGUF reads a file.
func FromGGUF(r io.ReaderAt, size int64) (*Model, error) {
	f, err := gguf.Open(r, size)
	if err != nil {
		return nil, err
	}
	m := &Model{Meta: f.Meta}
	for name, t := range f.Tensors { // order-free: they are sorted
		x := Tensor{Name: name, Rows: t.Rows, Cols: t.Cols}
		row := make([]float64, t.Cols)
		for i := range t.Rows {
			if err := t.Row(row, i); err != nil {
				return nil, err
			}
			for _, v := range row {
				x.Values = append(x.Values, float32(v))
			}
		}
		m.Tensors = append(m.Tensors, x)
	}
	layers, ok := f.Meta["llama.block_count"].(uint64)
	if !ok || layers > 1000 {
		return nil, fmt.Errorf("not a model of architecture llama")
	}
	m.Layers = int(layers)
	m.sort()
	return m, nil
}

func (m *Model) sort() {
	slices.SortFunc(m.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
}

var names = map[modelfile.Part]string{
	modelfile.Embedding: "token_embd", modelfile.OutputNorm: "output_norm", modelfile.Output: "output",
	modelfile.AttnNorm: "attn_norm", modelfile.Query: "attn_q", modelfile.Key: "attn_k", modelfile.Value: "attn_v",
	modelfile.AttnOut: "attn_output", modelfile.FFNNorm: "ffn_norm", modelfile.Gate: "ffn_gate", modelfile.Up: "ffn_up", modelfile.Down: "ffn_down",
}

// FromFile takes the weights of one of this project's own model files for the original: what
// they are multiplied with is then int8 in its own engine and floating point elsewhere. Rotary
// frequencies are taken to be those of base 10000.
func FromFile(file []byte) (*Model, error) {
	loaded, err := model.Load(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	c := &loaded.Config
	if c.QKVBias || c.HeadNorm || c.Window != 0 {
		return nil, fmt.Errorf("model %s has biases, norms of heads or a window, which architecture llama has not", c.Name)
	}
	l, err := modelfile.NewLayout(c, int64(binary.LittleEndian.Uint64(file[16:])))
	if err != nil {
		return nil, err
	}
	m := &Model{Layers: c.Layers}
	for _, s := range modelfile.Slots(c) {
		name := names[s.Part]
		if strings.HasPrefix(name, "attn") || strings.HasPrefix(name, "ffn") {
			name = fmt.Sprintf("blk.%d.%s", s.Layer, name)
		}
		x := Tensor{Name: name + ".weight", Rows: s.Rows, Cols: s.Cols}
		switch s.Kind {
		case modelfile.Matrix:
			for r := range s.Rows {
				w, scale, err := l.Row(s.Part, s.Layer, from(c, s.Part, r))
				if err != nil {
					return nil, err
				}
				f := math.Float32frombits(binary.LittleEndian.Uint32(file[scale.Offset:]))
				for _, b := range file[w.Offset : w.Offset+w.Length] {
					x.Values = append(x.Values, float32(int8(b))*f)
				}
			}
		case modelfile.Gain:
			g, err := l.Gain(s.Part, s.Layer)
			if err != nil {
				return nil, err
			}
			exp := int(int32(binary.LittleEndian.Uint32(file[g.Offset:])))
			x.Rows = 1
			for i := range s.Cols {
				v := int32(binary.LittleEndian.Uint32(file[g.Offset+4+4*int64(i):]))
				x.Values = append(x.Values, float32(math.Ldexp(float64(v), exp)))
			}
		default:
			return nil, fmt.Errorf("tensor %s", name)
		}
		m.Tensors = append(m.Tensors, x)
	}
	m.sort()
	t, err := tokenizer.Parse(loaded.Tokenizer)
	if err != nil {
		return nil, err
	}
	m.Meta = meta(c, t)
	return m, nil
}

// from is the row of the original that becomes row r: llama.cpp wants the two numbers of a
// rotary pair side by side.
func from(c *modelfile.Config, p modelfile.Part, r int) int {
	if !c.Halves || p != modelfile.Query && p != modelfile.Key {
		return r
	}
	head, i := r/c.HeadDim, r%c.HeadDim
	if i >= 2*c.RotaryPairs {
		return r
	}
	return head*c.HeadDim + i/2 + i%2*c.RotaryPairs
}

// meta describes a model with a vocabulary that llama.cpp can load; texts are not made of it,
// for servers are asked with tokens.
func meta(c *modelfile.Config, t *tokenizer.Tokenizer) map[string]any {
	tokens, kinds, scores := make([]string, c.Vocab), make([]int64, c.Vocab), make([]float64, c.Vocab)
	for i := range tokens {
		tokens[i], kinds[i], scores[i] = fmt.Sprintf("▁t%d", i), 1, -float64(i)
		if i < 3 {
			kinds[i] = 3
		}
		if i >= 3 && i < 259 {
			tokens[i], kinds[i] = fmt.Sprintf("<0x%02X>", i-3), 6
		}
	}
	stop := c.Vocab - 1
	if s := t.Vocabulary().Stop; len(s) > 0 {
		stop = s[len(s)-1]
	}
	return map[string]any{
		"general.architecture": "llama", "general.name": c.Name, "llama.context_length": uint64(c.Context), "llama.embedding_length": uint64(c.Dim),
		"llama.block_count": uint64(c.Layers), "llama.feed_forward_length": uint64(c.Hidden), "llama.attention.head_count": uint64(c.Heads),
		"llama.attention.head_count_kv": uint64(c.KVHeads), "llama.attention.layer_norm_rms_epsilon": float64(c.Eps) / (1 << 32),
		"llama.rope.dimension_count": uint64(2 * c.RotaryPairs), "llama.rope.freq_base": 10000.0, "llama.vocab_size": uint64(c.Vocab),
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": kinds,
		"tokenizer.ggml.bos_token_id": uint64(1), "tokenizer.ggml.eos_token_id": uint64(stop), "tokenizer.ggml.unknown_token_id": uint64(0),
	}
}

// Short is a model without one of its layers.
func (m *Model) Short(layer int) *Model {
	s := &Model{Meta: map[string]any{}, Layers: m.Layers - 1}
	for k, v := range m.Meta { // order-free: a copy
		s.Meta[k] = v
	}
	s.Meta["llama.block_count"] = uint64(s.Layers)
	for _, t := range m.Tensors {
		var l int
		var rest string
		if n, _ := fmt.Sscanf(t.Name, "blk.%d.%s", &l, &rest); n == 2 {
			if l == layer {
				continue
			}
			if l > layer {
				t.Name = fmt.Sprintf("blk.%d.%s", l-1, rest)
			}
		}
		s.Tensors = append(s.Tensors, t)
	}
	return s
}

const (
	block     = 32
	alignment = 32
)

// quantise rounds a block as llama.cpp's reference does, and gives its bytes and its values.
func quantise(t gguf.Type, v []float32) (b []byte, is []float32) {
	is = make([]float32, len(v))
	var top float32
	for _, x := range v {
		if abs(x) > abs(top) {
			top = x
		}
	}
	switch t {
	case gguf.Q8_0:
		d := abs(top) / 127
		h := half(d)
		b = binary.LittleEndian.AppendUint16(b, h)
		for i, x := range v {
			q := 0.0
			if d > 0 {
				q = math.Round(float64(x / d))
			}
			b = append(b, byte(int8(q)))
			is[i] = float32(q * gguf.Half(h))
		}
	case gguf.Q4_0:
		d := top / -8
		h := half(d)
		b = binary.LittleEndian.AppendUint16(b, h)
		low := make([]byte, block/2)
		for i, x := range v {
			q := 8.0
			if d != 0 {
				q = min(math.Floor(float64(x/d)+8.5), 15)
			}
			is[i] = float32((q - 8) * gguf.Half(h))
			low[i%(block/2)] |= byte(q) << (i / (block / 2) * 4)
		}
		b = append(b, low...)
	}
	return b, is
}

func abs(v float32) float32 { return float32(math.Abs(float64(v))) }

// half is the nearest float16.
func half(f float32) uint16 {
	v := float64(f)
	sign := uint16(0)
	if math.Signbit(v) {
		sign, v = 1<<15, -v
	}
	switch {
	case v == 0:
		return sign
	case v < 0x1p-14:
		return sign | uint16(math.RoundToEven(v*0x1p24))
	}
	frac, exp := math.Frexp(v)
	return sign | (uint16(exp-1+15)<<10 + uint16(math.RoundToEven((frac*2-1)*1024)))
}

// encode is a tensor's bytes in a type, or in F32 where it can't be had in it.
func (t *Tensor) encode(as gguf.Type) (gguf.Type, []byte) {
	values := t.Values
	if t.Rows == 1 {
		as = gguf.F32
	}
	var b []byte
	switch as {
	case gguf.F16:
		for _, v := range values {
			b = binary.LittleEndian.AppendUint16(b, half(v))
		}
		return as, b
	case gguf.Q8_0, gguf.Q4_0:
		var rounded []float32
		for r := range t.Rows {
			for row := values[r*t.Cols : (r+1)*t.Cols]; len(row) > 0; row = row[min(block, len(row)):] {
				enc, is := quantise(as, row[:min(block, len(row))])
				b, rounded = append(b, enc...), append(rounded, is...)
			}
		}
		if t.Cols%block == 0 {
			return as, b
		}
		values, b = rounded, nil
	}
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return gguf.F32, b
}

// Write writes a model with its matrices in a type.
func (m *Model) Write(path string, as gguf.Type) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // to memory: it can't fail
	text := func(s string) {
		put(uint64(len(s)))
		b.WriteString(s)
	}
	b.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(m.Tensors)))
	keys := make([]string, 0, len(m.Meta))
	for k := range m.Meta { // order-free: they are sorted
		if k != "general.alignment" && k != "general.file_type" && k != "general.quantization_version" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	put(uint64(len(keys)))
	for _, k := range keys {
		text(k)
		if err := value(put, text, m.Meta[k]); err != nil {
			return fmt.Errorf("metadata %s: %w", k, err)
		}
	}
	var data bytes.Buffer
	for i := range m.Tensors {
		t := &m.Tensors[i]
		kind, enc := t.encode(as)
		text(t.Name)
		if t.Rows == 1 {
			put(uint32(1))
			put(uint64(t.Cols))
		} else {
			put(uint32(2))
			put([]uint64{uint64(t.Cols), uint64(t.Rows)})
		}
		put(uint32(kind))
		put(uint64(data.Len()))
		data.Write(enc)
		data.Write(make([]byte, -data.Len()&(alignment-1)))
	}
	b.Write(make([]byte, -b.Len()&(alignment-1)))
	w := bufio.NewWriter(f)
	_, _ = b.WriteTo(w) // w keeps the error
	_, _ = data.WriteTo(w)
	return w.Flush()
}

// value writes one value with its type.
func value(put func(any), text func(string), v any) error {
	switch v := v.(type) {
	case uint64:
		put(uint32(4))
		put(uint32(v))
	case int64:
		put(uint32(5))
		put(int32(v))
	case float64:
		put(uint32(6))
		put(float32(v))
	case bool:
		put(uint32(7))
		put(v)
	case string:
		put(uint32(8))
		text(v)
	case []string:
		put([]uint32{9, 8})
		put(uint64(len(v)))
		for _, s := range v {
			text(s)
		}
	case []float64:
		put([]uint32{9, 6})
		put(uint64(len(v)))
		for _, x := range v {
			put(float32(x))
		}
	case []int64:
		put([]uint32{9, 5})
		put(uint64(len(v)))
		for _, x := range v {
			put(int32(x))
		}
	case []uint64:
		put([]uint32{9, 4})
		put(uint64(len(v)))
		for _, x := range v {
			put(uint32(x))
		}
	default:
		return fmt.Errorf("a value of type %T", v)
	}
	return nil
}
