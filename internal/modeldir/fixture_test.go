package modeldir_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tiny is the shape of the model that the tests make.
var tiny = struct{ vocab, dim, hidden, layers, heads, kv int }{260, 32, 64, 2, 4, 2}

// source writes a model of random weights in Hugging Face's layout; another seed makes
// another model. Edit, where it is not nil, changes config.json and the weights first.
func source(t testing.TB, name string, seed uint64, edit func(config map[string]any, weights map[string][]float32)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	c := tiny
	head := c.dim / c.heads
	shapes := map[string][]int{"model.embed_tokens": {c.vocab, c.dim}, "model.norm": {c.dim}}
	order := []string{"model.embed_tokens"}
	for l := range c.layers {
		p := fmt.Sprintf("model.layers.%d.", l)
		for _, part := range []struct {
			name  string
			shape []int
		}{
			{"input_layernorm", []int{c.dim}}, {"self_attn.q_proj", []int{c.dim, c.dim}}, {"self_attn.k_proj", []int{c.kv * head, c.dim}},
			{"self_attn.v_proj", []int{c.kv * head, c.dim}}, {"self_attn.o_proj", []int{c.dim, c.dim}}, {"post_attention_layernorm", []int{c.dim}},
			{"mlp.gate_proj", []int{c.hidden, c.dim}}, {"mlp.up_proj", []int{c.hidden, c.dim}}, {"mlp.down_proj", []int{c.dim, c.hidden}},
		} {
			shapes[p+part.name] = part.shape
			order = append(order, p+part.name)
		}
	}
	order = append(order, "model.norm")
	r := rand.New(rand.NewPCG(seed, 1))
	weights := map[string][]float32{}
	for _, n := range order {
		size := 1
		for _, s := range shapes[n] {
			size *= s
		}
		w := make([]float32, size)
		for i := range w {
			if w[i] = float32(r.NormFloat64()) / 6; len(shapes[n]) == 1 {
				w[i]++
			}
		}
		weights[n] = w
	}
	config := map[string]any{
		"model_type": "llama", "vocab_size": c.vocab, "hidden_size": c.dim, "intermediate_size": c.hidden, "num_hidden_layers": c.layers,
		"num_attention_heads": c.heads, "num_key_value_heads": c.kv, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
		"tie_word_embeddings": true, "eos_token_id": 258,
	}
	if edit != nil {
		edit(config, weights)
	}
	write := func(name string, v any) {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	write("config.json", config)
	entries := map[string]any{}
	var data bytes.Buffer
	for _, n := range order {
		from := data.Len()
		for _, v := range weights[n] {
			require.NoError(t, binary.Write(&data, binary.LittleEndian, math.Float32bits(v)))
		}
		entries[n+".weight"] = map[string]any{"dtype": "F32", "shape": shapes[n], "data_offsets": []int{from, data.Len()}}
	}
	h, err := json.Marshal(entries)
	require.NoError(t, err)
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	file = append(append(file, h...), data.Bytes()...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), file, 0o644))

	vocab := map[string]int{}
	letter := 256
	for b := range 256 {
		text := string(rune(b))
		if b < 33 || b > 126 && b < 161 || b == 173 {
			text = string(rune(letter))
			letter++
		}
		vocab[text] = b
	}
	vocab["he"] = 256
	vocab["hel"] = 257
	write("tokenizer.json", map[string]any{
		"added_tokens": []map[string]any{
			{"id": 258, "content": "<|im_end|>", "special": true}, {"id": 259, "content": "<|im_start|>", "special": true},
		},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "use_regex": true},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{"h e", "he l"}},
	})
	write("tokenizer_config.json", map[string]any{"chat_template": "{{ messages[0].content }}"})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("---\nlicense: mit\n---\n# Tiny\n"), 0o644))
	return dir
}
