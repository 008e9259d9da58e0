package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/kernel"
)

var update = flag.Bool("update", false, "write the golden files")

// logitsOf computes the logits after every token, chunk of them in a pass.
func logitsOf(t testing.TB, m *Model, k *kernel.Kernel, threads, chunk int, tokens []uint32) [][]int32 {
	r := NewRunner(m, k, threads)
	defer r.Close()
	s := NewCache(m, len(tokens)/PageTokens+1).NewSequence(nil)
	require.NoError(t, s.Reserve(len(tokens)))
	out := make([][]int32, len(tokens))
	for from := 0; from < len(tokens); from += chunk {
		var rows []Row
		for i := from; i < min(from+chunk, len(tokens)); i++ {
			out[i] = make([]int32, m.Vocab)
			rows = append(rows, Row{Seq: s, Token: tokens[i], Logits: out[i]})
		}
		require.NoError(t, r.Forward(rows))
	}
	require.Equal(t, tokens, s.Tokens())
	return out
}

func digest(logits [][]int32) string {
	h := sha256.New()
	for _, row := range logits {
		_ = binary.Write(h, binary.LittleEndian, row)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// golden are the hashes of all logits over 1,100 positions, the same on every machine.
var golden = map[string]string{}

func goldenFile(t *testing.T) {
	b, err := os.ReadFile("testdata/logits.json")
	if err == nil {
		require.NoError(t, json.Unmarshal(b, &golden))
	}
}

// TestLogitsOfManyPositions holds the logits to their hashes: with every kernel, on one,
// two and three threads, one token in a pass as in decoding, and many as in prefill.
func TestLogitsOfManyPositions(t *testing.T) {
	goldenFile(t)
	for name, edit := range variants {
		m := load1(t, synthetic(t, edit))
		tokens := randomTokens(m, 1100)
		for _, k := range kernel.Forms() {
			for _, way := range []struct{ threads, chunk int }{{1, MaxRows}, {2, 100}, {3, 1}, {1, 1}} {
				if testing.Short() && way.chunk != 100 {
					continue
				}
				got := digest(logitsOf(t, m, k, way.threads, way.chunk, tokens))
				if *update {
					golden[name] = got
				}
				require.Equal(t, golden[name], got, "%s: %s kernel, %d threads, %d rows in a pass", name, k.Name, way.threads, way.chunk)
			}
		}
	}
	if *update {
		b, err := json.MarshalIndent(golden, "", "\t")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/logits.json", append(b, '\n'), 0o644))
	}
}

// TestBatchesAreNeutral computes sequences of different lengths side by side, each at its
// own pace, and compares with each alone.
func TestBatchesAreNeutral(t *testing.T) {
	m := load1(t, synthetic(t, variants["mistral"]))
	const n = 16
	cache := NewCache(m, n*5)
	r := NewRunner(m, kernel.Best(), 2)
	defer r.Close()
	var seqs [n]*Sequence
	var tokens [n][]uint32
	var got [n][][]int32
	for i := range n {
		tokens[i] = randomTokens(m, 20+7*i)
		seqs[i] = cache.NewSequence(nil)
		require.NoError(t, seqs[i].Reserve(len(tokens[i])))
	}
	for more := true; more; {
		more = false
		var rows []Row
		for i := range n {
			for range 1 + i%3 {
				if at := len(got[i]); at < len(tokens[i]) {
					l := make([]int32, m.Vocab)
					got[i] = append(got[i], l)
					rows = append(rows, Row{Seq: seqs[i], Token: tokens[i][at], Logits: l})
					more = true
				}
			}
		}
		if more {
			require.NoError(t, r.Forward(rows))
		}
	}
	for i := range n {
		require.Equal(t, digest(logitsOf(t, m, kernel.Portable(), 1, 9, tokens[i])), digest(got[i]), "sequence %d", i)
	}
}

// TestPrefixesAreShared computes a prompt again: what the cache has of it is not computed,
// and the logits are the same.
func TestPrefixesAreShared(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	tokens := randomTokens(m, 4*PageTokens)
	want := logitsOf(t, m, kernel.Best(), 1, 64, tokens)
	cache := NewCache(m, 8)
	r := NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	rest := func(s *Sequence, tokens []uint32) []int32 {
		require.NoError(t, s.Reserve(len(tokens)-s.Len()))
		out := make([]int32, m.Vocab)
		var rows []Row
		for _, id := range tokens[s.Len():] {
			rows = append(rows, Row{Seq: s, Token: id})
		}
		rows[len(rows)-1].Logits = out
		require.NoError(t, r.Forward(rows))
		return out
	}
	first := cache.NewSequence(tokens)
	require.Zero(t, first.Len())
	require.Equal(t, want[len(tokens)-1], rest(first, tokens))
	require.Equal(t, 4, cache.Available())

	// While the first is there and after it is gone; the last token is always computed.
	for range 2 {
		s := cache.NewSequence(tokens)
		require.Equal(t, 3*PageTokens, s.Len())
		require.Equal(t, want[len(tokens)-1], rest(s, tokens))
		s.Release()
		first.Release()
		require.Equal(t, 8, cache.Available())
	}
	// Another prompt that begins the same.
	other := append(append([]uint32(nil), tokens[:PageTokens+5]...), 1, 2, 3)
	s := cache.NewSequence(other)
	require.Equal(t, PageTokens, s.Len())
	got := rest(s, other)
	require.Equal(t, logitsOf(t, m, kernel.Portable(), 1, 1, other)[len(other)-1], got)
	s.Release()

	// What is kept gives way to what is needed, and what is used does not.
	big := cache.NewSequence(nil)
	require.NoError(t, big.Reserve(8*PageTokens))
	require.ErrorIs(t, cache.NewSequence(nil).Reserve(1), ErrFull)
	require.Zero(t, cache.NewSequence(tokens).Len())
	big.Release()
	require.Error(t, big.Reserve(m.Context+1))
}

func TestForwardRefuses(t *testing.T) {
	m := load1(t, synthetic(t, nil))
	r := NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	s := NewCache(m, 1).NewSequence(nil)
	require.ErrorContains(t, r.Forward([]Row{{Seq: s}}), "not reserved")
	require.NoError(t, s.Reserve(1))
	require.ErrorContains(t, r.Forward([]Row{{Seq: s, Token: uint32(m.Vocab)}}), "vocabulary")
	require.ErrorContains(t, r.Forward([]Row{{Seq: s, Logits: make([]int32, 3)}}), "vocabulary")
	require.ErrorContains(t, r.Forward(nil), "rows")
	require.ErrorContains(t, r.Forward(make([]Row, MaxRows+1)), "rows")
	require.Zero(t, s.Len())
}

func TestPieces(t *testing.T) {
	b := synthetic(t, nil)
	for _, size := range []int{1, PieceSize, PieceSize + 1, 5 * PieceSize, len(b)} {
		file := b[:size]
		root, err := Root(bytes.NewReader(file))
		require.NoError(t, err)
		for i := 0; i*PieceSize < size; i++ {
			p, piece, err := Prove(bytes.NewReader(file), int64(size), uint64(i))
			require.NoError(t, err)
			require.NoError(t, p.Check(root, piece))
			piece[0] ^= 1
			require.ErrorIs(t, p.Check(root, piece), ErrProof)
			piece[0] ^= 1
			p.Index ^= 1
			require.ErrorIs(t, p.Check(root, piece), ErrProof)
			p.Index ^= 1
			p.Size += PieceSize
			require.ErrorIs(t, p.Check(root, piece), ErrProof)
			p.Size -= PieceSize
			p.Path = append(p.Path, Digest{})
			require.ErrorIs(t, p.Check(root, piece), ErrProof)
		}
		_, _, err = Prove(bytes.NewReader(file), int64(size), 1<<40)
		require.ErrorIs(t, err, ErrProof)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := synthetic(t, nil)
	for name, spoil := range map[string]func(b []byte) []byte{
		"nothing":           func(b []byte) []byte { return nil },
		"another magic":     func(b []byte) []byte { b[0] = 'C'; return b },
		"a short file":      func(b []byte) []byte { return b[:len(b)-64] },
		"a long file":       func(b []byte) []byte { return append(b, make([]byte, 64)...) },
		"a huge head":       func(b []byte) []byte { b[15] = 0x7f; return b },
		"more layers":       func(b []byte) []byte { return bytes.Replace(b, []byte(`"layers":2`), []byte(`"layers":9`), 1) },
		"no heads":          func(b []byte) []byte { return bytes.Replace(b, []byte(`"heads":4`), []byte(`"heads":0`), 1) },
		"uneven heads":      func(b []byte) []byte { return bytes.Replace(b, []byte(`"heads":4`), []byte(`"heads":3`), 1) },
		"an unknown field":  func(b []byte) []byte { return bytes.Replace(b, []byte(`"heads":4`), []byte(`"headz":4`), 1) },
		"two spellings":     func(b []byte) []byte { return bytes.Replace(b, []byte(`"heads":4`), []byte(`"Heads":4`), 1) },
		"a byte in between": func(b []byte) []byte { b[63] = 1; return b },
		"a weight of -128": func(b []byte) []byte {
			i := bytes.Index(b, []byte("none"))
			b[(i/64+2)*64] = 0x80
			return b
		},
	} {
		b := spoil(bytes.Clone(good))
		_, err := Load(bytes.NewReader(b), int64(len(b)))
		require.Error(t, err, name)
	}
}

// TestSecondImplementation has the logits of small models computed by another program,
// written from docs/exact.md.
func TestSecondImplementation(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node: the second implementation is ../testdata/check.mjs")
	}
	dir := t.TempDir()
	args := []string{"../testdata/check.mjs"}
	for name, edit := range variants {
		b := synthetic(t, edit)
		m := load1(t, b)
		file := filepath.Join(dir, name)
		tokens := randomTokens(m, 20)
		j, err := json.Marshal(map[string]any{"tokens": tokens, "logits": logitsOf(t, m, kernel.Best(), 1, 20, tokens)})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, b, 0o644))
		require.NoError(t, os.WriteFile(file+".json", j, 0o644))
		args = append(args, file)
	}
	out, err := exec.Command(node, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

func FuzzLoad(f *testing.F) {
	b := synthetic(f, func(c *Config) { c.Vocab, c.Dim, c.Hidden, c.Layers, c.Tied = 3, 4, 4, 1, true })
	f.Add(b)
	f.Add(b[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		// Whatever loads can be run.
		s := NewCache(m, 1).NewSequence(nil)
		if m.Layers*m.Hidden*m.Dim > 1<<16 || s.Reserve(1) != nil {
			return
		}
		r := NewRunner(m, kernel.Best(), 1)
		defer r.Close()
		require.NoError(t, r.Forward([]Row{{Seq: s, Logits: make([]int32, m.Vocab)}}))
	})
}
