package ask

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const stream = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"demo","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"a wren"},"finish_reason":null}]}

: still there
data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-1","choices":[],"usage":{"total_tokens":9},"cantus":{"receipt":"AA"}}

data: [DONE]

`

func TestStreamBecomesReply(t *testing.T) {
	said := ""
	p := pieces{said: func(s string) { said += s }}
	require.NoError(t, p.read(bytes.NewReader([]byte(stream))))
	b, err := p.reply()
	require.NoError(t, err)
	var r Reply
	require.NoError(t, json.Unmarshal(b, &r))
	require.Equal(t, "a wren", r.Choices[0].Said())
	require.Equal(t, said, r.Choices[0].Said())
	require.Equal(t, "stop", r.Choices[0].Finish)
	require.JSONEq(t, `{"receipt":"AA"}`, string(r.Cantus))

	p = pieces{said: func(string) {}}
	require.ErrorIs(t, p.read(bytes.NewReader([]byte(stream[:200]))), errBrokenOff)
	p = pieces{said: func(string) {}}
	var e *Error
	require.ErrorAs(t, p.read(bytes.NewReader([]byte("data: {\"error\":{\"message\":\"no\"}}\n\n"))), &e)
}

// Whatever a gateway streams, it becomes a reply that says what was shown, or an error.
func FuzzStream(f *testing.F) {
	f.Add([]byte(stream))
	f.Add([]byte("data: {\"error\":{\"message\":\"no\"}}\n\n"))
	f.Add([]byte("data: null\n\ndata: [DONE]\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var said bytes.Buffer
		p := pieces{said: func(s string) { said.WriteString(s) }}
		if p.read(bytes.NewReader(b)) != nil {
			return
		}
		reply, err := p.reply()
		if err != nil {
			return
		}
		var r Reply
		require.NoError(t, json.Unmarshal(reply, &r))
		require.Len(t, r.Choices, 1)
		if r.Choices[0].Said() != said.String() {
			t.Fatalf("said %q, and the reply is %q", said.String(), r.Choices[0].Said())
		}
		a := Answer{Reply: reply}
		_ = a.open()
		_, _, _ = ParseReply(reply)
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"object":"chat.completion","choices":[{"message":{"content":"x"}}],"cantus":{"receipt":"AA"}}`))
	f.Add([]byte(`{"choices":[{},{}],"cantus":[{},{}]}`))
	f.Add([]byte(`{"receipt":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, proofs, err := ParseReply(b)
		if err == nil && (r == nil || len(proofs) == 0) {
			t.Fatal("an answer without a receipt")
		}
	})
}
