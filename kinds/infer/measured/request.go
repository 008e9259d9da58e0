package measured

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// dialect is what a family of servers calls things.
type dialect int

const (
	plainDialect dialect = iota
	vllmDialect
	llamaDialect
)

func dialectOf(owner string) dialect {
	switch strings.ToLower(owner) {
	case "vllm":
		return vllmDialect
	case "llamacpp", "llama.cpp":
		return llamaDialect
	}
	return plainDialect
}

// question is a request for a greedy continuation. Servers leave out fields that they don't
// know.
func (h *HTTP) question(tokens []uint32, limit, top int) map[string]any {
	q := map[string]any{
		"model": h.o.Model, "prompt": tokens, "max_tokens": limit, "temperature": 0, "logprobs": top,
		"return_tokens_as_token_ids": true,
	}
	switch h.dialect {
	case vllmDialect:
		q["ignore_eos"] = true // it ends answers itself, by the tokens that the task says
		q["add_special_tokens"] = false
		q["skip_special_tokens"] = false
	case llamaDialect:
		q["n_probs"] = top
		q["cache_prompt"] = true
		q["repeat_penalty"] = 1
		q["samplers"] = []string{}
	}
	return q
}

type listedModel struct {
	ID    string `json:"id"`
	Owner string `json:"owned_by"`
}

func (h *HTTP) models(ctx context.Context) ([]listedModel, error) {
	ctx, cancel := context.WithTimeout(ctx, min(h.o.Silence, 30*time.Second))
	defer cancel()
	resp, err := h.send(ctx, http.MethodGet, "models", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct {
		Data []listedModel `json:"data"`
	}
	if err := decodeBounded(resp.Body, 1<<20, &list); err != nil {
		return nil, fmt.Errorf("list its models: %w", err)
	}
	return list.Data, nil
}

// send makes a request, and an error of every answer but 200.
func (h *HTTP) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.base.JoinPath(path).String(), r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if h.o.Key != "" {
		req.Header.Set("Authorization", "Bearer "+h.o.Key)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, h.unavailable(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxComplain))
		kind := ErrBackend
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			kind = ErrUnavailable
		}
		return nil, fmt.Errorf("%w: /%s answers %s: %s", kind, path, resp.Status, complaint(b))
	}
	return resp, nil
}

// unavailable tells what ended a request: whoever asked, the server's silence, or an error.
func (h *HTTP) unavailable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// complaint is what an error says, in OpenAI's shape or plain, for people: one short line.
func complaint(b []byte) string {
	var said struct {
		Error json.RawMessage `json:"error"`
	}
	text := string(b)
	if json.Unmarshal(b, &said) == nil && len(said.Error) > 0 {
		var inner struct {
			Message string `json:"message"`
		}
		var plain string
		switch {
		case json.Unmarshal(said.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case json.Unmarshal(said.Error, &plain) == nil:
			text = plain
		}
	}
	return fmt.Sprintf("%.300q", strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " "))
}

// watch gives a context that ends when nothing happens for too long. heard says that
// something did.
func (h *HTTP) watch(ctx context.Context) (_ context.Context, heard func(), done func()) {
	run, cancel := context.WithCancelCause(ctx)
	silent := fmt.Errorf("%w: it said nothing for %v", ErrUnavailable, h.o.Silence)
	t := time.AfterFunc(h.o.Silence, func() { cancel(silent) })
	return run, func() { t.Reset(h.o.Silence) }, func() { t.Stop(); cancel(nil) }
}

// completion is what a server answers, or one event of it.
type completion struct {
	Choices []choice        `json:"choices"`
	Error   json.RawMessage `json:"error"`
}

type choice struct {
	Index  int     `json:"index"`
	Finish *string `json:"finish_reason"`
	Logs   *logs   `json:"logprobs"`
}

// only is an answer's one choice; nil for none, as the event at a stream's end has it.
func (c *completion) only() (*choice, error) {
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, complaint([]byte(`{"error":`+string(c.Error)+`}`)))
	}
	switch {
	case len(c.Choices) == 0:
		return nil, nil
	case len(c.Choices) > 1 || c.Choices[0].Index != 0:
		return nil, fmt.Errorf("%w: %d choices where one was asked for", ErrBackend, len(c.Choices))
	}
	return &c.Choices[0], nil
}

// ask asks for an answer in one piece.
func (h *HTTP) ask(ctx context.Context, path string, body any) (*choice, error) {
	ctx, _, done := h.watch(ctx)
	defer done()
	resp, err := h.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var c completion
	if err := decodeBounded(resp.Body, maxList, &c); err != nil {
		if ctx.Err() != nil {
			return nil, h.unavailable(ctx, err)
		}
		return nil, err
	}
	one, err := c.only()
	if err == nil && one == nil {
		err = fmt.Errorf("%w: no choice", ErrBackend)
	}
	return one, err
}

// events asks for a stream and calls f for each event with a choice in it, until it returns
// false. It tells why the answer ended, as far as the server said.
func (h *HTTP) events(ctx context.Context, path string, body any, f func(*choice) (bool, error)) (finish string, err error) {
	ctx, heard, done := h.watch(ctx)
	defer done()
	resp, err := h.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() // which hangs up where something would still come
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	for lines.Scan() {
		heard()
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue // a comment, or an empty line between events
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			return finish, nil
		}
		var c completion
		if err := json.Unmarshal(data, &c); err != nil {
			return "", fmt.Errorf("%w: an event of its stream: %w", ErrBackend, err)
		}
		one, err := c.only()
		if err != nil {
			return "", err
		}
		if one == nil {
			continue
		}
		if one.Finish != nil {
			finish = *one.Finish
		}
		if more, err := f(one); err != nil || !more {
			return finish, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return "", fmt.Errorf("%w: an event of more than %d bytes", ErrBackend, maxLine)
	case err != nil:
		return "", h.unavailable(ctx, err)
	}
	return finish, nil
}

// decodeBounded reads one JSON value of at most limit bytes.
func decodeBounded(r io.Reader, limit int64, into any) error {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%w: more than %d bytes", ErrBackend, limit)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %w", ErrBackend, err)
	}
	return nil
}

// shorten lists names for people.
func shorten(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	more := ""
	if len(names) > 8 {
		more = fmt.Sprintf(" and %d more", len(names)-8)
		names = names[:8]
	}
	return fmt.Sprintf("%.60q%s", names, more)
}
