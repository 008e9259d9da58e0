package modeldir_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/internal/modeldir"
)

// made is a directory with one model in it.
func made(t testing.TB) (*modeldir.Dir, modeldir.Entry) {
	t.Helper()
	d := modeldir.At(filepath.Join(t.TempDir(), "models"))
	e, err := d.Import(t.Context(), source(t, "tiny", 1, nil), modeldir.Options{})
	require.NoError(t, err)
	return d, e
}

func file(d *modeldir.Dir, e modeldir.Entry) string {
	return filepath.Join(d.Path(), e.Hex()+".cantus")
}

// leftovers are the files that are neither models nor what is known of them.
func leftovers(t testing.TB, d *modeldir.Dir) []string {
	t.Helper()
	var out []string
	files, err := os.ReadDir(d.Path())
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, f := range files {
		if ext := filepath.Ext(f.Name()); ext != ".cantus" && ext != ".json" {
			out = append(out, f.Name())
		}
	}
	return out
}

func TestImportFromSafetensors(t *testing.T) {
	src := source(t, "tiny", 1, nil)
	d := modeldir.At(filepath.Join(t.TempDir(), "not", "there", "yet"))
	list, err := d.List()
	require.NoError(t, err)
	require.Empty(t, list)
	var last modeldir.Progress
	e, err := d.Import(t.Context(), src, modeldir.Options{Progress: func(p modeldir.Progress) { last = p }})
	require.NoError(t, err)
	require.Equal(t, "tiny", e.Name)
	require.Equal(t, "mit", e.Licence)
	require.Equal(t, src, e.Source)
	require.Equal(t, 260, e.Config.Vocab)
	require.Equal(t, modeldir.Progress{Stage: "importing", Done: e.Bytes, Total: e.Bytes}, last)
	// 260·32 for the embedding; 2 layers of 2 norms, 2·32·32 + 2·16·32 and 3·32·64; a norm.
	require.EqualValues(t, 260*32+2*(2*32+2*32*32+2*16*32+3*32*64)+32, e.Parameters)
	require.Empty(t, leftovers(t, d))

	h, err := d.Open("tiny")
	require.NoError(t, err)
	require.Equal(t, "{{ messages[0].content }}", h.Template)
	require.Equal(t, []uint32{257, 'l', 'o'}, h.Tokenizer.Encode("hello", false, false))
	m, err := d.Load(t.Context(), e.Hex()[:6], 0)
	require.NoError(t, err)
	require.Equal(t, e.Root, m.Root)
	_, err = d.Verify(t.Context(), strings.ToUpper(e.Hex()), nil)
	require.NoError(t, err)

	// The same again is the same model, and keeps what is known of it.
	again, err := d.Import(t.Context(), src, modeldir.Options{Licence: "cc0-1.0"})
	require.NoError(t, err)
	require.Equal(t, e.Root, again.Root)
	require.Equal(t, "cc0-1.0", again.Licence)
	list, err = d.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestModelFileOfAnotherMachine(t *testing.T) {
	d, e := made(t)
	other := modeldir.At(t.TempDir())
	got, err := other.Import(t.Context(), file(d, e), modeldir.Options{Name: "mine"})
	require.NoError(t, err)
	require.Equal(t, e.Root, got.Root)
	require.Equal(t, "mine", got.Name)
	b, err := os.ReadFile(file(d, e))
	require.NoError(t, err)
	wrong := modelfile.Digest{1}
	_, err = modeldir.At(t.TempDir()).Add(t.Context(), bytes.NewReader(b), modeldir.Options{Root: &wrong})
	require.ErrorIs(t, err, modeldir.ErrDamaged)
}

func TestNames(t *testing.T) {
	d, e := made(t)
	second := source(t, "tiny", 2, nil)
	_, err := d.Import(t.Context(), second, modeldir.Options{Name: "tiny"})
	require.ErrorIs(t, err, modeldir.ErrName)
	require.ErrorContains(t, err, e.Hex()[:12])
	two, err := d.Import(t.Context(), second, modeldir.Options{})
	require.NoError(t, err)
	require.Equal(t, "tiny-"+two.Hex()[:8], two.Name, "a name of the file's own makes room")
	for _, bad := range []string{"two words", "ünïcode", strings.Repeat("x", 101), strings.Repeat("ab", 32), "a\nb"} {
		_, err := d.Import(t.Context(), second, modeldir.Options{Name: bad})
		require.ErrorIs(t, err, modeldir.ErrName, bad)
	}
	_, err = d.Find("nobody")
	require.ErrorIs(t, err, modeldir.ErrNone)
	require.ErrorContains(t, err, "tiny ("+e.Hex()[:12]+")")
	_, err = d.Find(e.Hex()[:3])
	require.ErrorIs(t, err, modeldir.ErrNone, "three digits are too few")
	_, err = d.Open("../../etc/passwd")
	require.ErrorIs(t, err, modeldir.ErrNone)

	gone, err := d.Remove("tiny")
	require.NoError(t, err)
	require.Equal(t, e.Root, gone.Root)
	_, err = d.Find("tiny")
	require.ErrorIs(t, err, modeldir.ErrNone)
	files, err := os.ReadDir(d.Path())
	require.NoError(t, err)
	require.Len(t, files, 2, "the other one's")
}

func TestWhatCannotBeImported(t *testing.T) {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	edited := func(f func(c map[string]any, w map[string][]float32)) string { return source(t, "bad", 3, f) }
	d, e := made(t)
	whole, err := os.ReadFile(file(d, e))
	require.NoError(t, err)
	cut := edited(nil)
	weights := filepath.Join(cut, "model.safetensors")
	info, err := os.Stat(weights)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(weights, info.Size()-100))
	noTokenizer := edited(nil)
	require.NoError(t, os.Remove(filepath.Join(noTokenizer, "tokenizer.json")))
	for name, tc := range map[string]struct{ path, want string }{
		"nothing there":                    {filepath.Join(t.TempDir(), "none.gguf"), "no such file"},
		"an empty directory":               {t.TempDir(), "0 files *.safetensors"},
		"no model":                         {write("a.txt", "Lorem ipsum dolor sit amet"), "want a GGUF file"},
		"an empty file":                    {write("a.gguf", ""), "first bytes"},
		"only the tensors":                 {filepath.Join(edited(nil), "model.safetensors"), "give the directory"},
		"a GGUF of nothing":                {write("a.gguf", "GGUF\x03\x00\x00\x00"), "GGUF"},
		"a cut model's file":               {write("a.cantus", string(whole[:len(whole)-64])), "ends after"},
		"a long model's file":              {write("a.cantus", string(whole)+strings.Repeat("x", 64)), "goes on after"},
		"only a magic number":              {write("a.cantus", "cantusM1"), "not a model file"},
		"a hostile length":                 {write("a.cantus", "cantusM1"+strings.Repeat("\xff", 16)+strings.Repeat("x", 9000)), "not a model file"},
		"cut tensors":                      {cut, "does not lie in the file"},
		"no tokenizer":                     {noTokenizer, "tokenizer.json"},
		"unknown architecture":             {edited(func(c map[string]any, _ map[string][]float32) { c["model_type"] = "mamba" }), `model type "mamba"`},
		"a shape that is not the matrix's": {edited(func(c map[string]any, _ map[string][]float32) { c["intermediate_size"] = 128 }), "gate"},
		"absurd heads":                     {edited(func(c map[string]any, _ map[string][]float32) { c["num_attention_heads"] = -4 }), "heads"},
		"a huge context":                   {edited(func(c map[string]any, _ map[string][]float32) { c["max_position_embeddings"] = 1 << 40 }), "context"},
		"NaN among the weights": {edited(func(_ map[string]any, w map[string][]float32) {
			w["model.layers.1.mlp.up_proj"][5] = float32(math.NaN())
		}), "up of layer 1"},
		"infinity in a norm": {edited(func(_ map[string]any, w map[string][]float32) { w["model.norm"][0] = float32(math.Inf(1)) }), "output_norm"},
	} {
		t.Run(name, func(t *testing.T) {
			empty := modeldir.At(filepath.Join(t.TempDir(), "models"))
			_, err := empty.Import(t.Context(), tc.path, modeldir.Options{})
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, tc.path)
			list, err := empty.List()
			require.NoError(t, err)
			require.Empty(t, list)
			require.Empty(t, leftovers(t, empty))
		})
	}
}

func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"a bit in the weights":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a bit in the head":     func(b []byte) []byte { b[70] ^= 1; return b },
		"cut":                   func(b []byte) []byte { return b[:len(b)-1] },
		"longer":                func(b []byte) []byte { return append(b, 0) },
		"empty":                 func([]byte) []byte { return nil },
		"of another":            func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) },
		"a bit in the tokens":   func(b []byte) []byte { b[1000] ^= 1; return b },
		"a scale below nothing": func(b []byte) []byte { copy(b[len(b)-400:], bytes.Repeat([]byte{0xff}, 8)); return b },
	} {
		t.Run(name, func(t *testing.T) {
			d, e := made(t)
			b, err := os.ReadFile(file(d, e))
			require.NoError(t, err)
			require.NoError(t, os.Chmod(file(d, e), 0o644))
			require.NoError(t, os.WriteFile(file(d, e), damage(b), 0o644))
			_, err = d.Load(t.Context(), "tiny", 0)
			require.ErrorIs(t, err, modeldir.ErrDamaged)
			require.ErrorContains(t, err, "remove it")
			_, err = d.Verify(t.Context(), "tiny", nil)
			require.ErrorIs(t, err, modeldir.ErrDamaged)
			list, err := d.List()
			require.NoError(t, err)
			require.Len(t, list, 1, "it is still shown, to be removed")
			_, err = d.Remove("tiny")
			require.NoError(t, err)
		})
	}
}

func TestLostRecord(t *testing.T) {
	d, e := made(t)
	record := filepath.Join(d.Path(), e.Hex()+".json")
	for _, text := range []string{"", "null", "{", `{"name":"\u0000"}`, strings.Repeat("[", 100000)} {
		require.NoError(t, os.WriteFile(record, []byte(text), 0o644))
		got, err := d.Find("tiny")
		require.NoError(t, err, "the file tells its own name")
		require.Equal(t, e.Config, got.Config)
	}
	require.NoError(t, os.Remove(record))
	got, err := d.Find(e.Hex())
	require.NoError(t, err)
	require.Equal(t, "tiny", got.Name)
	b, err := json.Marshal(got)
	require.NoError(t, err)
	require.Contains(t, string(b), `"root":"`+e.Hex()+`"`)
}

func TestMemoryAndInterruption(t *testing.T) {
	d, e := made(t)
	_, err := d.Load(t.Context(), "tiny", e.Bytes-1)
	require.ErrorIs(t, err, modeldir.ErrMemory)
	_, err = d.Load(t.Context(), "tiny", e.Bytes)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Load(ctx, "tiny", 0)
	require.ErrorIs(t, err, context.Canceled)
	other := modeldir.At(t.TempDir())
	_, err = other.Import(ctx, source(t, "x", 4, nil), modeldir.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, leftovers(t, other))
}

func TestManyAtOnce(t *testing.T) {
	d := modeldir.At(t.TempDir())
	src := []string{source(t, "one", 1, nil), source(t, "two", 2, nil)}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := d.Import(context.Background(), src[i%2], modeldir.Options{})
			if err != nil {
				t.Error(err)
			}
			_, err = modeldir.At(d.Path()).List()
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	list, err := d.List()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, []string{"one", "two"}, []string{list[0].Name, list[1].Name})
	require.Empty(t, leftovers(t, d))
}

// TestTrainedModel imports the trained test model, from GGUF.
func TestTrainedModel(t *testing.T) {
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../shared/models"
	}
	path := filepath.Join(dir, "stories260K", "stories260K.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the trained test model is not here (CANTUS_TEST_MODELS names its folder): %v", err)
	}
	d := modeldir.At(t.TempDir())
	e, err := d.Import(t.Context(), path, modeldir.Options{Name: "stories", Context: 512})
	require.NoError(t, err)
	require.Equal(t, 512, e.Config.Context)
	h, err := d.Open("stories")
	require.NoError(t, err)
	require.Len(t, h.Tokenizer.Vocabulary().Tokens, 512)
}

func FuzzAdd(f *testing.F) {
	d, e := made(f)
	b, err := os.ReadFile(file(d, e))
	require.NoError(f, err)
	f.Add(b[:5000])
	f.Add(b[:100])
	f.Add([]byte("cantusM1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := modeldir.At(t.TempDir())
		got, err := d.Add(t.Context(), bytes.NewReader(b), modeldir.Options{})
		if err == nil {
			_, err = d.Open(got.Hex())
			require.NoError(t, err)
		}
	})
}
