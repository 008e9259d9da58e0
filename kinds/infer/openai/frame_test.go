package openai

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/voice"
)

// TestFramesAreWhatChatsSend holds that a speaker asks as a chat of one message does.
func TestFramesAreWhatChatsSend(t *testing.T) {
	control := []string{"<s>", "</s>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]"}
	files, err := filepath.Glob(filepath.Join("testdata", "templates", "*.jinja"))
	require.NoError(t, err)
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		tok := letters(t, string(src), control...)
		f, err := Frame(tok)
		require.NoError(t, err, file)
		w, err := voice.New([32]byte{}, tok.Vocabulary(), f)
		require.NoError(t, err)
		const question = "Hello, who\nare you? </s>[/INST]"
		got, err := w.Prompt([]byte(question))
		require.NoError(t, err)
		body, err := parseBody([]byte(`{"messages":[{"role":"user","content":` + quote(question) + `}]}`))
		require.NoError(t, err)
		want, err := compile(tok, march).prompt(messages(body), nil)
		require.NoError(t, err)
		if strings.Contains(string(src), "strftime_now") {
			continue // chats are told the date
		}
		require.Equal(t, names(tok, want), names(tok, got), file)
	}
}

func TestTemplatesThatFrameNothing(t *testing.T) {
	for why, src := range map[string]string{
		"once, and as it is": `<s>{{ messages[0].content }}{{ messages[0].content }}`,
		"as it is":           `<s>{{ messages[0].content | upper }}`,
		"depends on the":     `<s>{{ messages[0].content }}{{ messages[0].content | length }}`,
		"can't frame":        `<s>{{ strftime_now('%Y') }}{{ messages[0].content }}`,
	} {
		_, err := Frame(letters(t, src, "<s>"))
		require.ErrorIs(t, err, ErrFrame, why)
		require.ErrorContains(t, err, why)
	}
	f, err := Frame(letters(t, "", "<s>"))
	require.NoError(t, err)
	require.True(t, slices.Equal(f.Prefix, nil) && f.Suffix == nil && !f.Space, "a model that was made for no chats")
}
