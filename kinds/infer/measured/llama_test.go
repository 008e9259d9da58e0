package measured_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/test/backend/requantise"
)

// llama starts llama.cpp with a model.
func llama(t *testing.T, path string, size int, args ...string) *measured.HTTP {
	dir := os.Getenv("CANTUS_TEST_BACKEND")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "node", append([]string{filepath.Join(dir, "server.mjs"), path}, args...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, line)
	h, err := measured.Connect(t.Context(), measured.HTTPOptions{URL: url, Vocab: size})
	require.NoError(t, err)
	return h
}

// TestLlamaCpp has llama.cpp answer and audit: the demo model as it is, and rounded to 4 bits.
// Of a server that can't repeat prompts scores come token by token, and are the same but for
// noise.
func TestLlamaCpp(t *testing.T) {
	if os.Getenv("CANTUS_TEST_BACKEND") == "" {
		t.Skip("needs llama.cpp from npm: run test/backend.sh")
	}
	file, err := os.ReadFile("../../../models/demo/demo.cantus")
	require.NoError(t, err)
	original, err := requantise.FromFile(file)
	require.NoError(t, err)
	size := len(original.Meta["tokenizer.ggml.tokens"].([]string))
	dir := t.TempDir()
	right, worse := filepath.Join(dir, "right.gguf"), filepath.Join(dir, "worse.gguf")
	require.NoError(t, original.Write(right, gguf.F32))
	require.NoError(t, original.Write(worse, gguf.Q4_0))

	honest := llama(t, right, size, "--batch", "16")
	auditor := llama(t, right, size)
	steps := llama(t, right, size, "--no-echo", "--flash")
	cheat := llama(t, worse, size)
	require.Equal(t, measured.Echo, auditor.Scoring())
	require.Equal(t, measured.Steps, steps.Scoring())

	distance := func(b, by measured.Backend, q *claim.Task) *measured.Measurement {
		m, _, err := measured.Audit(t.Context(), by, q, said(t, b, q))
		require.NoError(t, err)
		return m
	}
	for n := range 6 {
		q := measured.Question([]uint32{uint32(300 + n), 40, uint32(500 + 3*n)}, 24, nil, uint32(n))
		near := distance(honest, auditor, q)
		require.Less(t, near.Near, -5.0, "honest: e^-5 nats at most")
		require.Less(t, distance(honest, steps, q).Near, -5.0)
		far := distance(cheat, auditor, q)
		require.Greater(t, far.Near, near.Near+1.5, "int4")
	}

	// Hanging up ends the server's work: it answers the next one at once.
	ctx, cancel := context.WithCancelCause(t.Context())
	q := measured.Question([]uint32{300}, 400, nil, 0)
	gone, n := errors.New("gone"), 0
	r, err := measured.Generate(ctx, honest, q, func(answer.Step) bool {
		if n++; n == 3 {
			cancel(gone)
		}
		return true
	})
	require.ErrorIs(t, err, gone)
	require.Less(t, len(r.Output), 400)
	said(t, honest, measured.Question([]uint32{300}, 4, nil, 1))
}
