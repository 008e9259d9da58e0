package openai_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/openai/openaitest"
)

// TestOpenAIClient runs OpenAI's own client, unchanged, against the routes.
func TestOpenAIClient(t *testing.T) {
	dir, err := filepath.Abs("../../../test/openai")
	require.NoError(t, err)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai")); err != nil {
		t.Skip("OpenAI's client is not there: run npm ci in test/openai")
	}
	n := openaitest.New()
	n.Delay = time.Millisecond
	s := serve(t, n, openai.Options{})
	c := exec.CommandContext(t.Context(), node, "all.mjs")
	c.Dir = dir
	c.Env = append(os.Environ(), "OPENAI_BASE_URL="+s.URL+"/v1", "OPENAI_API_KEY="+openaitest.Key, "CANTUS_PARROT=1")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}
