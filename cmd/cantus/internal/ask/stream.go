package ask

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// pieces are the chunks of a stream, on their way to one reply.
type pieces struct {
	said   func(string)
	head   map[string]json.RawMessage // of the first chunk
	chat   bool
	text   strings.Builder
	finish string
	usage  json.RawMessage
	proof  json.RawMessage
	done   bool
}

type chunk struct {
	Choices []struct {
		Text  string `json:"text"`
		Delta *struct {
			Content string `json:"content"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage  json.RawMessage `json:"usage"`
	Cantus json.RawMessage `json:"cantus"`
	Error  json.RawMessage `json:"error"`
}

var errBrokenOff = errors.New("it broke off: the gateway or the connection ended in the middle of it")

// read reads a stream to its end.
func (p *pieces) read(r io.Reader) error {
	lines := bufio.NewReaderSize(io.LimitReader(r, maxReply), 64<<10)
	for !p.done {
		line, err := lines.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && err == nil {
			if err := p.add(bytes.TrimSpace(data)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && !p.done:
			return errBrokenOff
		case err != nil:
			return err
		}
	}
	return nil
}

func (p *pieces) add(data []byte) error {
	if string(data) == "[DONE]" {
		p.done = true
		return nil
	}
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("a chunk of it: %w", err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		e := failure(data)
		if e.Message == "" {
			e.Message = "the answer failed"
		}
		return e
	}
	if p.head == nil {
		if err := json.Unmarshal(data, &p.head); err != nil {
			return fmt.Errorf("a chunk of it: %w", err)
		}
	}
	if len(c.Usage) > 0 && string(c.Usage) != "null" {
		p.usage = c.Usage
	}
	if len(c.Cantus) > 0 && string(c.Cantus) != "null" {
		p.proof = c.Cantus
	}
	for _, ch := range c.Choices {
		text := ch.Text
		if ch.Delta != nil {
			p.chat, text = true, ch.Delta.Content
		}
		if text != "" {
			p.text.WriteString(text)
			p.said(text)
		}
		if ch.Finish != "" {
			p.finish = ch.Finish
		}
	}
	return nil
}

// reply is the reply that this would have been without a stream.
func (p *pieces) reply() (json.RawMessage, error) {
	if p.head == nil {
		return nil, errBrokenOff
	}
	choice := map[string]any{"index": 0, "finish_reason": p.finish, "logprobs": nil}
	object := "text_completion"
	if p.chat {
		object = "chat.completion"
		choice["message"] = map[string]any{"role": "assistant", "content": p.text.String(), "refusal": nil}
	} else {
		choice["text"] = p.text.String()
	}
	out := map[string]any{"object": object, "choices": []any{choice}}
	for _, name := range []string{"id", "created", "model", "system_fingerprint"} {
		out[name] = p.head[name]
	}
	if p.usage != nil {
		out["usage"] = p.usage
	}
	if p.proof != nil {
		out["cantus"] = p.proof
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
