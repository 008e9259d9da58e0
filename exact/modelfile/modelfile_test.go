package modelfile_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/modelfile"
)

func file(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestPiecesAreShownTogether(t *testing.T) {
	for _, size := range []int{1, modelfile.PieceSize, modelfile.PieceSize + 1, 700*modelfile.PieceSize + 5, 1024 * modelfile.PieceSize} {
		b := file(size)
		root, err := modelfile.Root(bytes.NewReader(b))
		require.NoError(t, err)
		p, err := modelfile.NewProver(bytes.NewReader(b), int64(size))
		require.NoError(t, err)
		require.Equal(t, root, p.Root())
		n := uint64(size+modelfile.PieceSize-1) / modelfile.PieceSize
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		for range 20 {
			var list []uint64
			for range 1 + rng.IntN(9) {
				list = append(list, rng.Uint64N(n))
			}
			slices.Sort(list)
			list = slices.Compact(list)
			data, nodes, err := p.Prove(list)
			require.NoError(t, err)
			require.NoError(t, modelfile.Check(root, int64(size), list, data, nodes))
			bad := bytes.Clone(data)
			bad[rng.IntN(len(bad))] ^= 1
			require.ErrorIs(t, modelfile.Check(root, int64(size), list, bad, nodes), modelfile.ErrProof)
			require.ErrorIs(t, modelfile.Check(root, int64(size)+1, list, data, nodes), modelfile.ErrProof)
			require.ErrorIs(t, modelfile.Check(root, int64(size), nil, nil, nil), modelfile.ErrProof)
			if len(nodes) > 0 {
				require.ErrorIs(t, modelfile.Check(root, int64(size), list, data, nodes[1:]), modelfile.ErrProof)
			}
		}
		proof, piece, err := modelfile.Prove(bytes.NewReader(b), int64(size), n/3)
		require.NoError(t, err)
		require.NoError(t, proof.Check(root, piece))
		_, _, err = p.Prove([]uint64{n})
		require.ErrorIs(t, err, modelfile.ErrProof)
	}
	_, err := modelfile.NewProver(bytes.NewReader(nil), 0)
	require.ErrorIs(t, err, modelfile.ErrProof)
}

func TestSpansAreCutOut(t *testing.T) {
	b := file(20*modelfile.PieceSize + 77)
	spans := []modelfile.Span{{Offset: 4090, Length: 20}, {Offset: 8192, Length: 4096}, {Offset: int64(len(b)) - 5, Length: 5}, {Offset: 4095, Length: 1}}
	list := modelfile.Pieces(spans)
	require.Equal(t, []uint64{0, 1, 2, 20}, list)
	p, err := modelfile.NewProver(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	data, _, err := p.Prove(list)
	require.NoError(t, err)
	for i, got := range modelfile.Cut(list, data, spans) {
		require.Equal(t, b[spans[i].Offset:][:spans[i].Length], got)
	}
}

func config() *modelfile.Config {
	return &modelfile.Config{Name: "x", Vocab: 9, Dim: 8, Hidden: 8, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 4, Context: 16,
		RotaryPairs: 2, Eps: 1, Score: 0x3f000000}
}

// model is the file of a model whose weights are all 0.
func model(t testing.TB, c *modelfile.Config) []byte {
	conf, err := c.Encode()
	require.NoError(t, err)
	l, err := modelfile.NewLayout(c, 3)
	require.NoError(t, err)
	b := make([]byte, l.Size())
	copy(b, modelfile.Magic)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(conf)))
	binary.LittleEndian.PutUint64(b[16:], 3)
	copy(b[64:], conf)
	return b
}

func TestHeadsAreShown(t *testing.T) {
	for _, dim := range []int{8, 64} { // of one piece, and of many
		c := config()
		c.Dim = dim
		b := model(t, c)
		root, err := modelfile.Root(bytes.NewReader(b))
		require.NoError(t, err)
		shown, err := modelfile.ProveHead(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		require.LessOrEqual(t, len(shown), modelfile.MaxHeadBytes)
		h, err := modelfile.OpenHead(root, shown)
		require.NoError(t, err)
		require.Equal(t, &modelfile.Head{Config: *c, Tokenizer: 3}, h)
		for _, bad := range [][]byte{nil, shown[1:], shown[:len(shown)-1], make([]byte, 1<<20)} {
			_, err := modelfile.OpenHead(root, bad)
			require.ErrorIs(t, err, modelfile.ErrProof)
		}
		for i := 0; i < len(shown); i += 37 {
			bad := bytes.Clone(shown)
			bad[i] ^= 0x40
			_, err := modelfile.OpenHead(root, bad)
			require.ErrorIs(t, err, modelfile.ErrProof)
		}
		// A file that is not as long as its configuration says.
		longer := append(bytes.Clone(b), make([]byte, 64)...)
		shown, err = modelfile.ProveHead(bytes.NewReader(longer), int64(len(longer)))
		require.NoError(t, err)
		root, err = modelfile.Root(bytes.NewReader(longer))
		require.NoError(t, err)
		_, err = modelfile.OpenHead(root, shown)
		require.ErrorIs(t, err, modelfile.ErrFile)
	}
}

func TestFilesThatAreNoModels(t *testing.T) {
	good := model(t, config())
	for name, edit := range map[string]func(b []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"magic":        func(b []byte) []byte { b[0] = 'x'; return b },
		"length":       func(b []byte) []byte { b[15] = 1; return b },
		"cut":          func(b []byte) []byte { return b[:70] },
		"not zero":     func(b []byte) []byte { b[30] = 1; return b },
		"other JSON":   func(b []byte) []byte { b[65] = ' '; return b },
		"out of range": func(b []byte) []byte { return bytes.Replace(b, []byte(`"vocab":9`), []byte(`"vocab":0`), 1) },
	} {
		_, err := modelfile.DecodeHead(edit(bytes.Clone(good)))
		require.Error(t, err, name)
	}
	_, err := modelfile.DecodeHead(good)
	require.NoError(t, err)
}

// TestTokensOfTasksAreThoseOfModels: the bound is written down in both packages, so that
// neither needs the other.
func TestTokensOfTasksAreThoseOfModels(t *testing.T) {
	require.Equal(t, modelfile.MaxVocab, claim.MaxVocab)
}

func FuzzOpenHead(f *testing.F) {
	b := model(f, config())
	root, err := modelfile.Root(bytes.NewReader(b))
	require.NoError(f, err)
	shown, err := modelfile.ProveHead(bytes.NewReader(b), int64(len(b)))
	require.NoError(f, err)
	f.Add(shown)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := modelfile.OpenHead(root, b)
		if err == nil {
			require.Equal(t, &modelfile.Head{Config: *config(), Tokenizer: 3}, h)
			require.Equal(t, shown, b)
		}
		_, _ = modelfile.DecodeHead(b)
	})
}
