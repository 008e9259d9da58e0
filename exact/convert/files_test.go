package convert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
)

// matrix is a tensor of a test's model.
type matrix struct {
	rows, cols int
	v          []float32
}

// randomModel makes the tensors of a small model by their names in safetensors.
func randomModel(h *hfConfig, headNorm, bias bool) map[string]matrix {
	rng := rand.New(rand.NewPCG(11, 12))
	all := map[string]matrix{}
	add := func(name string, rows, cols int, spread, middle float64) {
		m := matrix{rows, cols, make([]float32, rows*cols)}
		for i := range m.v {
			m.v[i] = float32(middle + spread*rng.NormFloat64())
		}
		all[name] = m
	}
	// Matrices whose rows are integers up to 127 times a factor lose nothing by conversion,
	// so that nothing hides a mistake elsewhere.
	whole := func(name string, rows, cols int, spread float64) {
		add(name, rows, cols, 1, 0)
		m := all[name]
		for i := range m.v {
			m.v[i] = float32(spread / 40 * max(-127, min(127, math.Round(40*float64(m.v[i])))))
			if i%cols == 0 {
				m.v[i] = float32(spread / 40 * 127)
			}
		}
	}
	linear := func(name string, rows, cols int) { whole(name+".weight", rows, cols, 1.5/math.Sqrt(float64(cols))) }
	norm := func(name string, n int) { add(name+".weight", 1, n, 0.2, 1) }
	whole("model.embed_tokens.weight", 50, h.Dim, 0.5)
	for l := range h.Layers {
		p := fmt.Sprintf("model.layers.%d.", l)
		norm(p+"input_layernorm", h.Dim)
		norm(p+"post_attention_layernorm", h.Dim)
		linear(p+"self_attn.q_proj", h.Heads*h.HeadDim, h.Dim)
		linear(p+"self_attn.k_proj", h.KVHeads*h.HeadDim, h.Dim)
		linear(p+"self_attn.v_proj", h.KVHeads*h.HeadDim, h.Dim)
		linear(p+"self_attn.o_proj", h.Dim, h.Heads*h.HeadDim)
		linear(p+"mlp.gate_proj", h.Hidden, h.Dim)
		linear(p+"mlp.up_proj", h.Hidden, h.Dim)
		linear(p+"mlp.down_proj", h.Dim, h.Hidden)
		if bias {
			add(p+"self_attn.q_proj.bias", 1, h.Heads*h.HeadDim, 1, 0)
			add(p+"self_attn.k_proj.bias", 1, h.KVHeads*h.HeadDim, 1, 0)
			add(p+"self_attn.v_proj.bias", 1, h.KVHeads*h.HeadDim, 1, 0)
		}
		if headNorm {
			norm(p+"self_attn.q_norm", h.HeadDim)
			norm(p+"self_attn.k_norm", h.HeadDim)
		}
	}
	norm("model.norm", h.Dim)
	if !h.Tied {
		linear("lm_head", 50, h.Dim)
	}
	return all
}

// writeDir writes a model as a directory, its tensors in two files.
func writeDir(t *testing.T, config map[string]any, tensors map[string]matrix) string {
	t.Helper()
	dir := t.TempDir()
	names := slices.Sorted(maps.Keys(tensors))
	for i, part := range [][]string{names[:len(names)/2], names[len(names)/2:]} {
		head := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
		var data []byte
		for _, name := range part {
			m := tensors[name]
			from := len(data)
			for _, v := range m.v {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
			}
			shape := []int{m.rows, m.cols}
			if m.rows == 1 {
				shape = shape[1:]
			}
			head[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{from, len(data)}}
		}
		b, err := json.Marshal(head)
		require.NoError(t, err)
		file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(b))), b...)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("part%d.safetensors", i)), append(file, data...), 0o644))
	}
	b, err := json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644))
	b, err = json.Marshal(map[string]any{
		"pre_tokenizer": map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": map[string]int{"a": 0, "b": 1, "ab": 2}, "merges": []string{"a b"}},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), b, 0o644))
	return dir
}

func configOf(kind string, edit map[string]any) map[string]any {
	c := map[string]any{
		"model_type": kind, "hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 4,
		"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
		"hidden_act": "silu", "bos_token_id": nil, "eos_token_id": []int{1, 2}, "torch_dtype": "float32",
	}
	maps.Copy(c, edit)
	return c
}

func parsed(t *testing.T, c map[string]any) *hfConfig {
	b, err := json.Marshal(c)
	require.NoError(t, err)
	h := new(hfConfig)
	require.NoError(t, json.Unmarshal(b, h))
	return h
}

// run gives the logits after each of some tokens.
func run(t *testing.T, m *model.Model, tokens []uint32) [][]int32 {
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	s := model.NewCache(m, 8).NewSequence(nil)
	require.NoError(t, s.Reserve(len(tokens)))
	rows := make([]model.Row, len(tokens))
	for i, id := range tokens {
		rows[i] = model.Row{Seq: s, Token: id, Logits: make([]int32, m.Vocab)}
	}
	require.NoError(t, r.Forward(rows))
	out := make([][]int32, len(rows))
	for i := range rows {
		out[i] = rows[i].Logits
	}
	return out
}

func converted(t *testing.T, dir string) *model.Model {
	t.Helper()
	var b bytes.Buffer
	_, err := FromDir(&b, dir, Options{Name: "test"})
	require.NoError(t, err)
	m, err := model.Load(&b, int64(b.Len()))
	require.NoError(t, err)
	return m
}

var someTokens = func() (ids []uint32) {
	for i := range 60 {
		ids = append(ids, uint32(i*i*7%50))
	}
	return ids
}()

// TestTheWholeFamilyIsNearToFloats compares small random models of every sort with the
// reference in floating point.
func TestTheWholeFamilyIsNearToFloats(t *testing.T) {
	for _, tc := range []struct {
		name           string
		config         map[string]any
		headNorm, bias bool
	}{
		{"llama", configOf("llama", nil), false, false},
		{"llama3", configOf("llama", map[string]any{"rope_theta": 500000.0, "rope_scaling": map[string]any{"rope_type": "llama3",
			"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}), false, false},
		{"linear", configOf("llama", map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 4.0}, "tie_word_embeddings": true}), false, false},
		{"mistral", configOf("mistral", map[string]any{"sliding_window": 9}), false, false},
		{"qwen2", configOf("qwen2", map[string]any{"tie_word_embeddings": true, "sliding_window": 9, "use_sliding_window": false}), false, true},
		{"qwen3", configOf("qwen3", nil), true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := parsed(t, tc.config)
			dir := writeDir(t, tc.config, randomModel(h, tc.headNorm, tc.bias))
			m := converted(t, dir)
			require.Equal(t, tc.headNorm, m.HeadNorm)
			require.Equal(t, tc.bias, m.QKVBias)
			d, err := openDirectory(dir)
			require.NoError(t, err)
			defer d.close()
			c, rot, err := d.config(h, Options{})
			require.NoError(t, err)
			freq, err := rot.frequencies()
			require.NoError(t, err)
			ref := newReference(t, c, freq, d.tensor)
			var diff, size float64
			for i, row := range run(t, m, someTokens) {
				for j, want := range ref.next(int(someTokens[i])) {
					got := float64(row[j]) / 65536
					diff += (got - want) * (got - want)
					size += want * want
				}
			}
			t.Logf("logits are off by %.3f %% of their size", 100*math.Sqrt(diff/size))
			require.Less(t, math.Sqrt(diff/size), 0.004)
		})
	}
}

// ggufFile writes the same tensors as GGUF would have them: heads turned so that pairs lie
// side by side.
func ggufFile(h *hfConfig, tensors map[string]matrix) []byte {
	var meta, infos, data []byte
	le := binary.LittleEndian
	str := func(b []byte, s string) []byte { return append(le.AppendUint64(b, uint64(len(s))), s...) }
	keys := 0
	key := func(name string, kind uint32) {
		meta = le.AppendUint32(str(meta, name), kind)
		keys++
	}
	number := func(name string, v int) { key("llama."+name, 4); meta = le.AppendUint32(meta, uint32(v)) }
	key("general.architecture", 8)
	meta = str(meta, "llama")
	number("embedding_length", h.Dim)
	number("feed_forward_length", h.Hidden)
	number("block_count", h.Layers)
	number("attention.head_count", h.Heads)
	number("attention.head_count_kv", h.KVHeads)
	number("attention.key_length", h.HeadDim)
	number("context_length", h.Context)
	key("llama.attention.layer_norm_rms_epsilon", 12)
	meta = le.AppendUint64(meta, math.Float64bits(*h.Eps))
	key("tokenizer.ggml.model", 8)
	meta = str(meta, "gpt2")
	key("tokenizer.ggml.tokens", 9)
	meta = le.AppendUint64(le.AppendUint32(meta, 8), 3)
	for _, s := range []string{"a", "b", "ab"} {
		meta = str(meta, s)
	}
	key("tokenizer.ggml.token_type", 9)
	meta = le.AppendUint64(le.AppendUint32(meta, 5), 3)
	meta = append(meta, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
	key("tokenizer.ggml.merges", 9)
	meta = str(le.AppendUint64(le.AppendUint32(meta, 8), 1), "a b")

	n := 0
	for part, name := range hfNames {
		for l := range h.Layers {
			from, to := name+".weight", ggufNames[part]+".weight"
			if part != model.Embedding && part != model.OutputNorm && part != model.Output {
				from, to = fmt.Sprintf("model.layers.%d.%s", l, from), fmt.Sprintf("blk.%d.%s", l, to)
			} else if l > 0 {
				continue
			}
			m, ok := tensors[from]
			if !ok {
				continue
			}
			infos = str(infos, to)
			if m.rows == 1 {
				infos = le.AppendUint64(le.AppendUint32(infos, 1), uint64(m.cols))
			} else {
				infos = le.AppendUint64(le.AppendUint64(le.AppendUint32(infos, 2), uint64(m.cols)), uint64(m.rows))
			}
			infos = le.AppendUint64(le.AppendUint32(infos, 0), uint64(len(data)))
			for r := range m.rows {
				if part == model.Query || part == model.Key {
					head, i := r/h.HeadDim, r%h.HeadDim
					r = head*h.HeadDim + i/2 + i%2*h.HeadDim/2
				}
				for _, v := range m.v[r*m.cols : (r+1)*m.cols] {
					data = le.AppendUint32(data, math.Float32bits(v))
				}
			}
			data = append(data, make([]byte, (32-len(data)%32)%32)...)
			n++
		}
	}
	b := le.AppendUint32([]byte("GGUF"), 3)
	b = le.AppendUint64(le.AppendUint64(b, uint64(n)), uint64(keys))
	b = append(append(b, meta...), infos...)
	b = append(b, make([]byte, (32-len(b)%32)%32)...)
	return append(b, data...)
}

// TestBothFormatsGiveOneModel writes the same weights both ways.
func TestBothFormatsGiveOneModel(t *testing.T) {
	config := configOf("llama", nil)
	h := parsed(t, config)
	tensors := randomModel(h, false, false)
	one := converted(t, writeDir(t, config, tensors))
	src := ggufFile(h, tensors)
	var b bytes.Buffer
	_, err := FromGGUF(&b, bytes.NewReader(src), int64(len(src)), Options{Name: "test"})
	require.NoError(t, err)
	two, err := model.Load(&b, int64(b.Len()))
	require.NoError(t, err)
	require.NotEqual(t, one.Root, two.Root, "their heads are turned differently")
	require.Equal(t, run(t, one, someTokens), run(t, two, someTokens))
}

func TestConversionRefuses(t *testing.T) {
	for want, edit := range map[string]map[string]any{
		"model type":           {"model_type": "gpt_neox"},
		"activation":           {"hidden_act": "gelu"},
		"rotary scaling":       {"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 4.0}},
		"heads":                {"num_key_value_heads": 3},
		"rms_norm_eps":         {"rms_norm_eps": nil},
		"weights and":          {"intermediate_size": 99},
		"no tensor":            {"num_hidden_layers": 3},
		"rotary base":          {"rope_theta": -1.0},
		"hidden is 0":          {"intermediate_size": 0},
		"some of the layers":   {"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 5},
		"json: cannot":         {"hidden_size": "many"},
		"must be from 1 to 16": {"hidden_size": 1 << 20},
	} {
		good := configOf("llama", nil)
		dir := writeDir(t, configOf("llama", edit), randomModel(parsed(t, good), false, false))
		_, err := FromDir(&bytes.Buffer{}, dir, Options{})
		require.ErrorContains(t, err, want)
	}
	bad := configOf("llama", nil)
	tensors := randomModel(parsed(t, bad), false, false)
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		tensors["model.layers.1.mlp.up_proj.weight"].v[77] = float32(v)
		_, err := FromDir(&bytes.Buffer{}, writeDir(t, bad, tensors), Options{})
		require.ErrorContains(t, err, "not finite")
	}
	_, err := FromDir(&bytes.Buffer{}, t.TempDir(), Options{})
	require.ErrorIs(t, err, ErrSource)
}

func TestQuantisedRowsAreNearest(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for range 500 {
		row := make([]float64, 1+rng.IntN(50))
		var top float64
		for i := range row {
			row[i] = rng.NormFloat64() * math.Exp2(float64(rng.IntN(60)-40))
			top = max(top, math.Abs(row[i]))
		}
		q := make([]int8, len(row))
		s, err := quantiseRow(q, row)
		require.NoError(t, err)
		m, e := s.Split()
		scale := math.Ldexp(float64(m), e)
		require.InEpsilon(t, top/127, scale, 1e-7)
		for i, v := range row {
			require.InDelta(t, v/scale, float64(q[i]), 0.5001)
		}
	}
	for _, v := range []float64{0, 5e-324, 1e-310, -1e-45, math.MaxFloat32} {
		q := make([]int8, 2)
		_, err := quantiseRow(q, []float64{0, v})
		require.NoError(t, err, v)
		require.GreaterOrEqual(t, q[0]|q[1], int8(-127))
	}
}

// TestConstantsAreNearToFloats compares the 256-bit arithmetic with the library's.
func TestConstantsAreNearToFloats(t *testing.T) {
	for _, v := range []float64{1e-9, 0.3, 1, 2, 10000, 1e6} {
		got, _ := logarithm(number(v)).Float64()
		require.InDelta(t, math.Log(v), got, 1e-13)
	}
	for _, v := range []float64{-30, -1, 0, 0.5, 20} {
		got, _ := exponential(number(v)).Float64()
		require.InEpsilon(t, math.Exp(v), got, 1e-13)
	}
	got, _ := pi().Float64()
	require.Equal(t, math.Pi, got)
	freq, err := rotary{base: 10000, pairs: 32}.frequencies()
	require.NoError(t, err)
	for i, f := range freq {
		require.InEpsilon(t, math.Pow(10000, -float64(i)/32)/(2*math.Pi), float64(f)/(1<<63)/2, 1e-13)
	}
	s, err := scoreScale(64)
	require.NoError(t, err)
	m, e := s.Split()
	require.InEpsilon(t, math.Log2E/8, math.Ldexp(float64(m), e), 1e-7)
	eps, err := epsilon(1e-5)
	require.NoError(t, err)
	require.EqualValues(t, 42950, eps)
	require.EqualValues(t, exact.WideBits, 16)
}

func FuzzGGUF(f *testing.F) {
	h := new(hfConfig)
	_ = json.Unmarshal([]byte(`{"hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,"num_attention_heads":1,"num_key_value_heads":1,"head_dim":4,"max_position_embeddings":8,"rms_norm_eps":1e-5}`), h)
	f.Add(ggufFile(h, randomModel(h, false, false)))
	f.Add([]byte("GGUF\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, ts := range file.Tensors {
			require.NoError(t, ts.Row(make([]float64, ts.Cols), ts.Rows-1))
		}
		var out bytes.Buffer
		if _, err := FromGGUF(&out, bytes.NewReader(b), int64(len(b)), Options{}); err == nil {
			_, err = model.Load(&out, int64(out.Len()))
			require.NoError(t, err)
		}
	})
}

func FuzzTokenizerModel(f *testing.F) {
	f.Add([]byte("\x0a\x0a\x0a\x01a\x15\x00\x00\x80\x3f\x18\x01"), "a text")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		v := newPieces()
		if sentencePieces(v, b) != nil {
			return
		}
		encodeDecode(t, v, text)
	})
}

func FuzzTokenizerJSON(f *testing.F) {
	f.Add([]byte(`{"pre_tokenizer":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`), "abba")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		var h hfTokenizer
		v := newPieces()
		if json.Unmarshal(b, &h) != nil || pairs(v, &h) != nil {
			return
		}
		encodeDecode(t, v, strings.ToValidUTF8(text, "?"))
	})
}
