package openai_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/openai/openaitest"
	"github.com/cantus-network/cantus/work"
)

var update = flag.Bool("update", false, "write the golden files anew")

func serve(t *testing.T, n *openaitest.Network, o openai.Options) *httptest.Server {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return time.Unix(1_770_000_000, 0) }
	}
	o.Log = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	openai.Mount(mux.Handle, n, o)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

type response struct {
	*http.Response
	body []byte
}

func (r response) json(t *testing.T, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, v), "%s", r.body)
}

func send(t *testing.T, s *httptest.Server, method, path, key, body string) response {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if key != "" {
		q.Header.Set("Authorization", "Bearer "+key)
	}
	r, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return response{r, b}
}

func post(t *testing.T, s *httptest.Server, path, body string) response {
	t.Helper()
	return send(t, s, http.MethodPost, path, openaitest.Key, body)
}

var (
	changing = regexp.MustCompile(`"(chatcmpl|cmpl)-[0-9a-f]{24}"`)
	encoded  = regexp.MustCompile(`"(receipt|task|result)":( ?)"[^"]+"`) // TestProofs looks at them
)

// golden compares a reply with a file; what differs from one run to the next is named.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	got = changing.ReplaceAll(got, []byte(`"$1-ID"`))
	got = encoded.ReplaceAll(got, []byte(`"$1":$2"…"`))
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, b, "", "  "))
	return out.Bytes()
}

// lines gives the data of a stream's events.
func events(t *testing.T, b []byte) []string {
	t.Helper()
	var list []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if line, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			list = append(list, line)
		}
	}
	return list
}

const hello = `"model":"parrot","messages":[{"role":"user","content":"Hello"}]`

// short makes every answer these words.
func short(n *openaitest.Network, words string) {
	tok := n.Models[0].Tokenizer
	n.Script = func(t claim.Task) []uint32 {
		return append(tok.Encode(words, false, false), t.Stop[0])
	}
}

func TestReplies(t *testing.T) {
	n := openaitest.New()
	short(n, "the naïve wren")
	s := serve(t, n, openai.Options{})
	for name, q := range map[string][2]string{
		"chat.json":              {"/v1/chat/completions", `{` + hello + `,"temperature":0}`},
		"chat-logprobs.json":     {"/v1/chat/completions", `{` + hello + `,"temperature":0,"max_completion_tokens":6,"logprobs":true,"top_logprobs":2}`},
		"chat.sse":               {"/v1/chat/completions", `{` + hello + `,"temperature":0,"stream":true}`},
		"chat-usage.sse":         {"/v1/chat/completions", `{` + hello + `,"temperature":0,"stream":true,"n":2,"stream_options":{"include_usage":true},"max_tokens":1}`},
		"completion.json":        {"/v1/completions", `{"model":"parrot","prompt":"Once","temperature":0,"logprobs":1,"max_tokens":3}`},
		"completion-echo.json":   {"/v1/completions", `{"model":"parrot","prompt":["Once","Twice"],"temperature":0,"echo":true}`},
		"completion.sse":         {"/v1/completions", `{"model":"parrot","prompt":"Once","temperature":0,"stream":true,"echo":true,"stream_options":{"include_usage":true}}`},
		"embeddings.json":        {"/v1/embeddings", `{"model":"parrot","input":"Hello"}`},
		"embeddings-base64.json": {"/v1/embeddings", `{"model":"parrot","input":["Hello",  "there"],"encoding_format":"base64"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, s, q[0], q[1])
			require.Equal(t, 200, r.StatusCode, "%s", r.body)
			if strings.HasSuffix(name, ".json") {
				golden(t, name, indented(t, r.body))
				return
			}
			require.Equal(t, "text/event-stream; charset=utf-8", r.Header.Get("Content-Type"))
			if strings.HasSuffix(name, "usage.sse") {
				return // two choices come in any order: see TestChoicesSideBySide
			}
			golden(t, name, r.body)
		})
	}
	t.Run("models.json", func(t *testing.T) {
		golden(t, "models.json", indented(t, send(t, s, "GET", "/v1/models", openaitest.Key, "").body))
	})
}

func TestModelsByNameAndRoot(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	for _, id := range []string{"acme/parrot-base", "acme%2Fparrot-base", n.Models[1].Root.String(), strings.ToUpper(n.Models[1].Root.String())} {
		r := send(t, s, "GET", "/v1/models/"+id, openaitest.Key, "")
		require.Equal(t, 200, r.StatusCode, id)
		var m struct{ ID, Object, Root string }
		r.json(t, &m)
		require.Equal(t, "acme/parrot-base", m.ID)
		require.Equal(t, "model", m.Object)
		require.Equal(t, n.Models[1].Root.String(), m.Root)
	}
	r := post(t, s, "/v1/completions", fmt.Sprintf(`{"model":%q,"prompt":"a"}`, n.Models[1].Root))
	require.Equal(t, 200, r.StatusCode)
}

// TestProofs holds that the field, and the header, prove the answer.
func TestProofs(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	var one struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct{ Prompt, Completion int }
		Cantus  json.RawMessage
	}
	r := post(t, s, "/v1/chat/completions", `{`+hello+`,"seed":1,"max_tokens":9}`)
	r.json(t, &one)
	p, err := answer.Parse(one.Cantus)
	require.NoError(t, err)
	require.NoError(t, p.Check())
	task, result, err := p.Claim()
	require.NoError(t, err)
	require.Equal(t, *task, n.Asked()[0])
	require.Len(t, result.Output, 9)
	require.Equal(t, strings.ToValidUTF8(n.Models[0].Tokenizer.Decode(result.Output), "\ufffd"), one.Choices[0].Message.Content)

	header, err := base64.RawURLEncoding.DecodeString(r.Header.Get("Cantus-Receipt"))
	require.NoError(t, err)
	require.Equal(t, p.Receipt, header)
	signed, err := work.DecodeReceipt(header)
	require.NoError(t, err)
	require.NoError(t, signed.Verify())

	var several struct{ Cantus []json.RawMessage }
	r = post(t, s, "/v1/chat/completions", `{`+hello+`,"seed":1,"n":3,"max_tokens":4}`)
	r.json(t, &several)
	require.Len(t, several.Cantus, 3)
	require.Len(t, r.Header.Values("Cantus-Receipt"), 3)
	for _, raw := range several.Cantus {
		p, err := answer.Parse(raw)
		require.NoError(t, err)
		require.NoError(t, p.Check())
	}
}

func TestChoicesSideBySide(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	type chunk struct {
		Choices []struct {
			Index  int
			Delta  struct{ Role, Content string }
			Finish *string `json:"finish_reason"`
		}
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
			Total      int `json:"total_tokens"`
		}
		Cantus json.RawMessage
	}
	r := post(t, s, "/v1/chat/completions", `{`+hello+`,"n":3,"seed":5,"max_tokens":12,"stream":true,"stream_options":{"include_usage":true}}`)
	list := events(t, r.body)
	require.Equal(t, "[DONE]", list[len(list)-1])
	var texts [3]string
	var ends, roles int
	for i, e := range list[:len(list)-1] {
		var c chunk
		require.NoError(t, json.Unmarshal([]byte(e), &c))
		if len(c.Choices) == 0 {
			require.Equal(t, len(list)-2, i, "usage is last")
			require.Equal(t, 36, c.Usage.Completion)
			require.Equal(t, c.Usage.Prompt+36, c.Usage.Total)
			continue
		}
		require.Nil(t, c.Usage)
		require.Contains(t, e, `"usage":null`)
		ch := c.Choices[0]
		if i < 3 {
			require.Equal(t, "assistant", ch.Delta.Role)
			roles++
		}
		texts[ch.Index] += ch.Delta.Content
		if ch.Finish != nil {
			require.Equal(t, "length", *ch.Finish)
			p, err := answer.Parse(c.Cantus)
			require.NoError(t, err)
			_, result, err := p.Claim()
			require.NoError(t, err)
			require.Equal(t, strings.ToValidUTF8(n.Models[0].Tokenizer.Decode(result.Output), "\ufffd"), texts[ch.Index])
			ends++
		}
	}
	require.Equal(t, 3, ends)
	require.Equal(t, 3, roles)
	require.NotEqual(t, texts[0], texts[1])
	// The same seed gives the same answers, whole or streamed.
	var whole struct {
		Choices []struct{ Message struct{ Content string } }
	}
	post(t, s, "/v1/chat/completions", `{`+hello+`,"n":3,"seed":5,"max_tokens":12}`).json(t, &whole)
	for i, c := range whole.Choices {
		require.Equal(t, texts[i], c.Message.Content)
	}
}

func TestSeedsAndSampling(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	ask := func(params string) claim.Task {
		r := post(t, s, "/v1/chat/completions", `{`+hello+`,"max_tokens":1`+params+`}`)
		require.Equal(t, 200, r.StatusCode, "%s", r.body)
		all := n.Asked()
		return all[len(all)-1]
	}
	plain := ask("")
	require.EqualValues(t, 1_000_000, plain.Sampling.Temperature)
	require.NotEqual(t, [32]byte{}, plain.Sampling.Seed)
	require.NotEqual(t, plain.Sampling.Seed, ask("").Sampling.Seed, "seeds of requests without one are random")
	require.Equal(t, ask(`,"seed":7`), ask(`,"seed":7`))
	require.NotEqual(t, ask(`,"seed":7`), ask(`,"seed":-7`))
	// SHA-256 of "cantus/openai-seed/1", a zero byte, 7 in 8 bytes, 0 in 4.
	require.Equal(t, "abbdb931837ed0919bd63ee87862af7c8cd896a169ff75d0f793d9cf30b0a7f2", fmt.Sprintf("%x", ask(`,"seed":7`).Sampling.Seed))
	require.EqualValues(t, 700_000, ask(`,"temperature":0.7`).Sampling.Temperature)
	require.EqualValues(t, 333_333, ask(`,"temperature":0.3333333`).Sampling.Temperature)
	cold := ask(`,"temperature":0.001,"top_p":0.5,"seed":3`)
	require.Zero(t, cold.Sampling, "that cold, nothing is drawn")
	require.EqualValues(t, 900_000, ask(`,"top_p":0.9`).Sampling.TopP)
	require.EqualValues(t, 1, ask(`,"top_p":0`).Sampling.TopP)
	require.Zero(t, ask(`,"top_p":1`).Sampling.TopP)
	require.EqualValues(t, 40, ask(`,"top_k":40`).Sampling.TopK)
	require.Zero(t, ask(`,"top_k":-1`).Sampling.TopK)
	require.Len(t, plain.Stop, 3)
}

func TestWhatIsAcceptedWithoutEffect(t *testing.T) {
	s := serve(t, openaitest.New(), openai.Options{})
	for _, params := range []string{
		`"frequency_penalty":0,"presence_penalty":0.0,"logit_bias":{},"logit_bias_2":1`,
		`"tools":[],"tool_choice":"auto"`,
		`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none"`,
		`"response_format":{"type":"text"},"modalities":["text"],"functions":[]`,
		`"user":"u","metadata":{"a":"b"},"store":false,"service_tier":"auto"`,
		`"stop":null,"seed":null,"n":null,"temperature":null,"max_tokens":null,"stream":null,"stream_options":null,"logprobs":null,"tools":null`,
		`"min_p":0,"repetition_penalty":1.0,"stop":[],"n":1.0,"max_tokens":5,"max_completion_tokens":5`,
	} {
		r := post(t, s, "/v1/chat/completions", `{`+hello+`,"max_completion_tokens":5,`+strings.Replace(params, `,"max_completion_tokens":5`, "", 1)+`}`)
		require.Equal(t, 200, r.StatusCode, "%s: %s", params, r.body)
	}
	r := post(t, s, "/v1/chat/completions", `{`+hello+`,"max_tokens":1,"reasoning_effort":"low","user":"x","x\ny":1}`)
	require.Equal(t, "reasoning_effort", r.Header.Get("Cantus-Ignored"))
}

func TestErrors(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	chat := func(params string) string { return `{` + hello + `,` + params + `}` }
	long := strings.Repeat("a ", 3000)
	for _, tc := range []struct {
		name, path, body string
		status           int
		param, code      string
	}{
		{"no JSON", "/v1/chat/completions", `hello`, 400, "", ""},
		{"cut JSON", "/v1/chat/completions", `{"model":`, 400, "", ""},
		{"a list", "/v1/chat/completions", `[]`, 400, "", ""},
		{"nothing", "/v1/chat/completions", ``, 400, "", ""},
		{"more after it", "/v1/chat/completions", `{"model":"parrot"} {}`, 400, "", ""},
		{"twice", "/v1/chat/completions", `{"model":"parrot","model":"parrot"}`, 400, "", ""},
		{"too deep", "/v1/chat/completions", `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, "", ""},
		{"no UTF-8", "/v1/chat/completions", "{\"model\":\"\xff\"}", 400, "", ""},
		{"no model", "/v1/chat/completions", `{"messages":[]}`, 400, "model", "missing_required_parameter"},
		{"model of another type", "/v1/chat/completions", `{"model":5}`, 400, "model", "invalid_type"},
		{"unknown model", "/v1/chat/completions", `{"model":"gpt-5","messages":[{"role":"user","content":"a"}]}`, 404, "model", "model_not_found"},
		{"no messages", "/v1/chat/completions", `{"model":"parrot"}`, 400, "messages", "missing_required_parameter"},
		{"empty messages", "/v1/chat/completions", `{"model":"parrot","messages":[]}`, 400, "messages", "empty_array"},
		{"messages of another type", "/v1/chat/completions", `{"model":"parrot","messages":"hi"}`, 400, "messages", "invalid_type"},
		{"message of another type", "/v1/chat/completions", `{"model":"parrot","messages":["hi"]}`, 400, "messages[0]", "invalid_type"},
		{"unknown role", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"king","content":"a"}]}`, 400, "messages[0].role", "invalid_value"},
		{"no role", "/v1/chat/completions", `{"model":"parrot","messages":[{"content":"a"}]}`, 400, "messages[0].role", "missing_required_parameter"},
		{"no content", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"user"}]}`, 400, "messages[0].content", "missing_required_parameter"},
		{"content of another type", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"user","content":7}]}`, 400, "messages[0].content", "invalid_type"},
		{"picture", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, 400, "messages[0].content[0].type", "unsupported_value"},
		{"part without text", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"user","content":[{"type":"text"}]}]}`, 400, "messages[0].content[0].text", "missing_required_parameter"},
		{"hot", "/v1/chat/completions", chat(`"temperature":2.1`), 400, "temperature", "decimal_above_max_value"},
		{"negative temperature", "/v1/chat/completions", chat(`"temperature":-0.1`), 400, "temperature", "decimal_below_min_value"},
		{"temperature beyond floats", "/v1/chat/completions", chat(`"temperature":1e999`), 400, "temperature", "decimal_above_max_value"},
		{"temperature as text", "/v1/chat/completions", chat(`"temperature":"hot"`), 400, "temperature", "invalid_type"},
		{"top_p", "/v1/chat/completions", chat(`"top_p":1.01`), 400, "top_p", "decimal_above_max_value"},
		{"top_k", "/v1/chat/completions", chat(`"top_k":-2`), 400, "top_k", "integer_below_min_value"},
		{"n of 0", "/v1/chat/completions", chat(`"n":0`), 400, "n", "integer_below_min_value"},
		{"n of 9", "/v1/chat/completions", chat(`"n":9`), 400, "n", "integer_above_max_value"},
		{"n of a half", "/v1/chat/completions", chat(`"n":1.5`), 400, "n", "invalid_type"},
		{"no tokens", "/v1/chat/completions", chat(`"max_tokens":0`), 400, "max_tokens", "integer_below_min_value"},
		{"negative tokens", "/v1/chat/completions", chat(`"max_completion_tokens":-5`), 400, "max_completion_tokens", "integer_below_min_value"},
		{"absurdly many tokens", "/v1/chat/completions", chat(`"max_tokens":99999999999999999999999`), 400, "max_tokens", "integer_above_max_value"},
		{"more tokens than context", "/v1/chat/completions", chat(`"max_tokens":2048`), 400, "", "context_length_exceeded"},
		{"two bounds", "/v1/chat/completions", chat(`"max_tokens":5,"max_completion_tokens":6`), 400, "max_tokens", "invalid_value"},
		{"long prompt", "/v1/completions", `{"model":"parrot","prompt":"` + long + `"}`, 400, "", "context_length_exceeded"},
		{"seed beyond 64 bits", "/v1/chat/completions", chat(`"seed":9223372036854775808`), 400, "seed", "invalid_value"},
		{"seed as text", "/v1/chat/completions", chat(`"seed":"7"`), 400, "seed", "invalid_type"},
		{"five stops", "/v1/chat/completions", chat(`"stop":["a","b","c","d","e"]`), 400, "stop", "array_above_max_length"},
		{"empty stop", "/v1/chat/completions", chat(`"stop":""`), 400, "stop", "invalid_value"},
		{"stop of another type", "/v1/chat/completions", chat(`"stop":[5]`), 400, "stop[0]", "invalid_type"},
		{"top_logprobs alone", "/v1/chat/completions", chat(`"top_logprobs":2`), 400, "top_logprobs", "invalid_value"},
		{"21 top_logprobs", "/v1/chat/completions", chat(`"logprobs":true,"top_logprobs":21`), 400, "top_logprobs", "integer_above_max_value"},
		{"logprobs as a number", "/v1/chat/completions", chat(`"logprobs":5`), 400, "logprobs", "invalid_type"},
		{"stream_options alone", "/v1/chat/completions", chat(`"stream_options":{"include_usage":true}`), 400, "stream_options", "invalid_value"},
		{"include_usage of another type", "/v1/chat/completions", chat(`"stream":true,"stream_options":{"include_usage":1}`), 400, "stream_options.include_usage", "invalid_type"},
		{"JSON mode", "/v1/chat/completions", chat(`"response_format":{"type":"json_object"}`), 400, "response_format", "unsupported_value"},
		{"tools", "/v1/chat/completions", chat(`"tools":[{"type":"function","function":{"name":"f"}}]`), 400, "tools", "unsupported_parameter"},
		{"tool choice", "/v1/chat/completions", chat(`"tool_choice":"required"`), 400, "tool_choice", "unsupported_parameter"},
		{"functions", "/v1/chat/completions", chat(`"functions":[{"name":"f"}]`), 400, "functions", "unsupported_parameter"},
		{"frequency penalty", "/v1/chat/completions", chat(`"frequency_penalty":0.5`), 400, "frequency_penalty", "unsupported_parameter"},
		{"logit bias", "/v1/chat/completions", chat(`"logit_bias":{"5":1}`), 400, "logit_bias", "unsupported_parameter"},
		{"min_p", "/v1/chat/completions", chat(`"min_p":0.1`), 400, "min_p", "unsupported_parameter"},
		{"grammar", "/v1/chat/completions", chat(`"guided_json":{}`), 400, "guided_json", "unsupported_parameter"},
		{"no prompt", "/v1/completions", `{"model":"parrot"}`, 400, "prompt", "missing_required_parameter"},
		{"prompt of another type", "/v1/completions", `{"model":"parrot","prompt":{}}`, 400, "prompt", "invalid_type"},
		{"prompts of two types", "/v1/completions", `{"model":"parrot","prompt":["a",[1]]}`, 400, "prompt", "invalid_type"},
		{"no token", "/v1/completions", `{"model":"parrot","prompt":[]}`, 400, "prompt", "empty_array"},
		{"unknown token", "/v1/completions", `{"model":"parrot","prompt":[1,99999]}`, 400, "prompt", "invalid_value"},
		{"negative token", "/v1/completions", `{"model":"parrot","prompt":[-1]}`, 400, "prompt", "invalid_type"},
		{"a text that is no prompt", "/v1/completions", `{"model":"parrot","prompt":"` + strings.Repeat("a", 1<<20+1) + `"}`, 400, "prompt", "context_length_exceeded"},
		{"messages that are no prompt", "/v1/chat/completions", `{"model":"parrot","messages":[{"role":"user","content":"` + strings.Repeat("a", 1<<20+1) + `"}]}`, 400, "messages", "context_length_exceeded"},
		{"suffix", "/v1/completions", `{"model":"parrot","prompt":"a","suffix":"b"}`, 400, "suffix", "unsupported_parameter"},
		{"best_of", "/v1/completions", `{"model":"parrot","prompt":"a","best_of":3}`, 400, "best_of", "unsupported_parameter"},
		{"echo with logprobs", "/v1/completions", `{"model":"parrot","prompt":"a","echo":true,"logprobs":1}`, 400, "echo", "unsupported_parameter"},
		{"too many answers", "/v1/completions", `{"model":"parrot","prompt":["a","b","c"],"n":8}`, 400, "n", "invalid_value"},
		{"no input", "/v1/embeddings", `{"model":"parrot"}`, 400, "input", "missing_required_parameter"},
		{"empty input", "/v1/embeddings", `{"model":"parrot","input":["a",""]}`, 400, "input", "invalid_value"},
		{"dimensions", "/v1/embeddings", `{"model":"parrot","input":"a","dimensions":8}`, 400, "dimensions", "unsupported_parameter"},
		{"encoding", "/v1/embeddings", `{"model":"parrot","input":"a","encoding_format":"int8"}`, 400, "encoding_format", "invalid_value"},
		{"long input", "/v1/embeddings", `{"model":"parrot","input":"` + long + `"}`, 400, "input", "context_length_exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := post(t, s, tc.path, tc.body)
			requireError(t, r, tc.status, "invalid_request_error", tc.param, tc.code)
		})
	}
	require.Empty(t, n.Asked(), "nothing wrong reaches the network")
}

func requireError(t *testing.T, r response, status int, kind, param, code string) {
	t.Helper()
	var v struct {
		Error struct {
			Message, Type string
			Param, Code   *string
		}
	}
	require.Equal(t, status, r.StatusCode, "%s", r.body)
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	r.json(t, &v)
	require.NotEmpty(t, v.Error.Message)
	require.Equal(t, kind, v.Error.Type)
	is := func(want string, got *string) {
		t.Helper()
		if want == "" {
			require.Nil(t, got, "%s", r.body)
			return
		}
		require.NotNil(t, got, "%s", r.body)
		require.Equal(t, want, *got)
	}
	is(param, v.Error.Param)
	is(code, v.Error.Code)
}

func TestRefusals(t *testing.T) {
	s := serve(t, openaitest.New(), openai.Options{})
	ask := func(key string) response {
		return send(t, s, "POST", "/v1/chat/completions", key, `{`+hello+`}`)
	}
	requireError(t, ask(""), 401, "invalid_request_error", "", "invalid_api_key")
	requireError(t, ask("ck-nobody"), 401, "invalid_request_error", "", "invalid_api_key")
	requireError(t, ask(strings.Repeat("k", 5000)), 401, "invalid_request_error", "", "invalid_api_key")
	requireError(t, ask(openaitest.Void), 404, "invalid_request_error", "model", "model_not_found")
	r := ask(openaitest.Poor)
	requireError(t, r, 429, "insufficient_quota", "", "insufficient_quota")
	require.Equal(t, "false", r.Header.Get("X-Should-Retry"))
	require.Empty(t, r.Header.Get("Retry-After"))
	r = ask(openaitest.Hasty)
	requireError(t, r, 429, "rate_limit_error", "", "rate_limit_exceeded")
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	require.Equal(t, 200, ask(openaitest.Hasty).StatusCode)
	r = ask(openaitest.Alone)
	requireError(t, r, 503, "server_error", "", "no_worker")
	require.Equal(t, "10", r.Header.Get("Retry-After"))
	requireError(t, ask(openaitest.Cut), 502, "server_error", "", "broken_off")

	requireError(t, send(t, s, "GET", "/v1/chat/completions", openaitest.Key, ""), 405, "invalid_request_error", "", "method_not_supported")
	requireError(t, send(t, s, "DELETE", "/v1/models/parrot", openaitest.Key, ""), 405, "invalid_request_error", "", "method_not_supported")
	requireError(t, post(t, s, "/v1/chat/completions", strings.Repeat(" ", 5<<20)), 413, "invalid_request_error", "", "request_too_large")
}

func TestManyEmbeddings(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	var v struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
		Cantus []json.RawMessage
	}
	list := strings.TrimSuffix(strings.Repeat(`"word",`, 100), ",")
	post(t, s, "/v1/embeddings", `{"model":"parrot","input":[`+list+`]}`).json(t, &v)
	require.Len(t, v.Data, 100)
	require.Len(t, v.Cantus, 100)
	require.Equal(t, 99, v.Data[99].Index)
	r := send(t, s, "POST", "/v1/embeddings", openaitest.Poor, `{"model":"parrot","input":[`+list+`]}`)
	requireError(t, r, 429, "insufficient_quota", "", "insufficient_quota")
}

// TestErrorsInTheMiddle holds that a stream that has begun says what ended it.
func TestErrorsInTheMiddle(t *testing.T) {
	s := serve(t, openaitest.New(), openai.Options{})
	r := send(t, s, "POST", "/v1/chat/completions", openaitest.Cut, `{`+hello+`,"stream":true}`)
	require.Equal(t, 200, r.StatusCode)
	list := events(t, r.body)
	require.Equal(t, "[DONE]", list[len(list)-1])
	var v struct {
		Error struct{ Message, Type, Code string }
	}
	require.NoError(t, json.Unmarshal([]byte(list[len(list)-2]), &v))
	require.Equal(t, "broken_off", v.Error.Code)
}

func TestPagesMayAskFromAnywhere(t *testing.T) {
	s := serve(t, openaitest.New(), openai.Options{})
	q, err := http.NewRequest(http.MethodOptions, s.URL+"/v1/chat/completions", nil)
	require.NoError(t, err)
	q.Header.Set("Origin", "https://example.org")
	q.Header.Set("Access-Control-Request-Method", "POST")
	q.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-stainless-lang")
	r, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, 204, r.StatusCode)
	require.Equal(t, "*", r.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "POST, OPTIONS", r.Header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "authorization,content-type,x-stainless-lang", r.Header.Get("Access-Control-Allow-Headers"))
	a := post(t, s, "/v1/chat/completions", `{`+hello+`,"max_tokens":1}`)
	require.Equal(t, "*", a.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, a.Header.Get("Access-Control-Expose-Headers"), "Cantus-Receipt")
	require.NotEmpty(t, a.Header.Get("X-Request-Id"))
}

// TestHangingUp holds that who goes away ends the work, whole or streamed.
func TestHangingUp(t *testing.T) {
	for _, stream := range []string{"false", "true"} {
		t.Run("stream "+stream, func(t *testing.T) {
			n := openaitest.New()
			n.Delay = 5 * time.Millisecond
			n.Script = func(t claim.Task) []uint32 { return bytesOf(strings.Repeat("a", 2000)) }
			s := serve(t, n, openai.Options{})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			q, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/chat/completions", strings.NewReader(`{`+hello+`,"stream":`+stream+`}`))
			require.NoError(t, err)
			q.Header.Set("Authorization", "Bearer "+openaitest.Key)
			go func() {
				if r, err := http.DefaultClient.Do(q); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
			}()
			require.Eventually(t, func() bool { return len(n.Asked()) == 1 }, time.Minute, time.Millisecond)
			leave()
			require.Eventually(t, func() bool { return len(n.Ended()) == 1 }, time.Minute, time.Millisecond)
			require.Equal(t, claim.Cancelled, n.Ended()[0])
		})
	}
}

// bytesOf are tokens of letters: in the test's vocabulary a byte is its own token.
func bytesOf(s string) []uint32 {
	var list []uint32
	for i := range len(s) {
		list = append(list, uint32(s[i]))
	}
	return list
}

func TestHeartbeats(t *testing.T) {
	n := openaitest.New()
	n.Delay = 50 * time.Millisecond
	s := serve(t, n, openai.Options{Heartbeat: time.Millisecond})
	r := post(t, s, "/v1/chat/completions", `{`+hello+`,"stream":true,"max_tokens":2}`)
	require.Contains(t, string(r.body), "\n: waiting\n\n")
	require.True(t, strings.HasSuffix(string(r.body), "data: [DONE]\n\n"))
}

func TestAnswersThatTakeTooLong(t *testing.T) {
	n := openaitest.New()
	n.Delay = time.Minute
	s := serve(t, n, openai.Options{Answer: 20 * time.Millisecond})
	requireError(t, post(t, s, "/v1/chat/completions", `{`+hello+`}`), 504, "timeout", "", "timeout")
	r := post(t, s, "/v1/chat/completions", `{`+hello+`,"stream":true}`)
	require.Contains(t, string(r.body), `"code":"timeout"`)
}

// TestStopStrings holds that nothing from a stop string on is shown, wherever tokens end,
// and that the work ends there.
func TestStopStrings(t *testing.T) {
	n := openaitest.New()
	n.Script = func(claim.Task) []uint32 { return bytesOf("one two STOP three") }
	s := serve(t, n, openai.Options{})
	for stop, want := range map[string]string{
		`"STOP"`: "one two ", `["x","two"]`: "one ", `"STOPPED"`: "one two STOP three", `[" three","e t"]`: "on", `"three"`: "one two STOP ", `"o"`: "",
	} {
		var v struct {
			Choices []struct {
				Message struct{ Content string }
				Finish  string `json:"finish_reason"`
			}
			Usage struct {
				Completion int `json:"completion_tokens"`
			}
			Cantus json.RawMessage
		}
		post(t, s, "/v1/chat/completions", `{`+hello+`,"max_tokens":18,"stop":`+stop+`}`).json(t, &v)
		require.Equal(t, want, v.Choices[0].Message.Content, stop)
		p, err := answer.Parse(v.Cantus)
		require.NoError(t, err)
		_, result, err := p.Claim()
		require.NoError(t, err)
		require.Equal(t, len(result.Output), v.Usage.Completion, "usage is what was done and paid")
		if want == "one two STOP three" {
			require.Equal(t, "length", v.Choices[0].Finish)
			continue
		}
		require.Equal(t, "stop", v.Choices[0].Finish)
		r := post(t, s, "/v1/chat/completions", `{`+hello+`,"max_tokens":18,"stream":true,"stop":`+stop+`}`)
		text := ""
		for _, e := range events(t, r.body) {
			var c struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			if json.Unmarshal([]byte(e), &c) == nil && len(c.Choices) > 0 {
				text += c.Choices[0].Delta.Content
			}
		}
		require.Equal(t, want, text, stop)
	}
}

// TestCompletionsFromTokens holds that prompts of tokens are used as they are, and that a
// completion's writer may write control tokens where a chat's user may not.
func TestCompletionsFromTokens(t *testing.T) {
	n := openaitest.New()
	s := serve(t, n, openai.Options{})
	last := func() []uint32 { a := n.Asked(); return a[len(a)-1].Prompt }
	for body, want := range map[string][]uint32{
		`[65,66]`:                   {65, 66},
		`[[67]]`:                    {67},
		`"AB"`:                      {65, 66},
		`"<|im_start|>A<|im_end|>"`: append(append([]uint32{n.Models[0].Tokenizer.Encode("<|im_start|>", true, false)[0]}, 65), n.Models[0].Tokenizer.Encode("<|im_end|>", true, false)...),
	} {
		r := post(t, s, "/v1/completions", `{"model":"parrot","max_tokens":1,"prompt":`+body+`}`)
		require.Equal(t, 200, r.StatusCode, "%s", r.body)
		require.Equal(t, want, last(), body)
	}
}
