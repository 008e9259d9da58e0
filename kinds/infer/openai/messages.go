package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cantus-network/cantus/kinds/infer/openai/jinja"
)

// Bounds of a chat.
const (
	maxMessages = 4096
	maxPrompt   = 1 << 20 // bytes of text; what is longer fits no task
)

// tooLong says that a text of so many bytes can't be a prompt, without counting its tokens.
func tooLong(param string, n int) error {
	return invalid(param, codeTooLong, "The prompt has %d bytes of text: at most %d. Please reduce its length.", n, maxPrompt)
}

// message is one of a chat.
type message struct {
	role, content string
	more          map[string]any // name, tool_calls, tool_call_id, for templates that know them
}

// value is a message as templates see it. What a client wrote is foreign, but for the role,
// which is one of a few.
func (m *message) value() *jinja.Dict {
	d := &jinja.Dict{}
	d.Set(jinja.Own("role"), jinja.Own(m.role))
	d.Set(jinja.Own("content"), jinja.Foreign(m.content))
	for _, k := range []string{"name", "tool_calls", "tool_call_id"} {
		if v, ok := m.more[k]; ok {
			d.Set(jinja.Own(k), jinja.From(v))
		}
	}
	return d
}

func messages(f *fields) []message {
	if _, given := f.raw("messages"); !given {
		f.fail("messages", codeMissing, "Missing required parameter: 'messages'.")
		return nil
	}
	list, _ := f.list("messages", 1, maxMessages)
	var out []message
	bytes := 0
	for i, raw := range list {
		o, err := f.objectAt(fmt.Sprintf("messages[%d]", i), raw)
		if err != nil {
			if f.err == nil {
				f.err = err
			}
			return nil
		}
		m := readMessage(o)
		if o.err != nil {
			if f.err == nil {
				f.err = o.err
			}
			return nil
		}
		if bytes += len(m.content); bytes > maxPrompt {
			if f.err == nil {
				f.err = tooLong("messages", bytes)
			}
			return nil
		}
		out = append(out, m)
	}
	return out
}

func readMessage(o *fields) message {
	m := message{more: map[string]any{}}
	role, given := o.text("role")
	switch role {
	case "system", "user", "assistant", "tool":
	case "developer":
		role = "system" // what it was called before
	default:
		switch {
		case o.err != nil:
		case !given:
			o.fail("role", codeMissing, "Missing required parameter: '%srole'.", o.path)
		default:
			o.fail("role", codeValue, "Invalid value: %.40q. Supported values are: 'system', 'developer', 'user', 'assistant', and 'tool'.", role)
		}
		return m
	}
	m.role = role
	for _, k := range []string{"name", "tool_call_id"} {
		if s, given := o.text(k); given {
			m.more[k] = s
		}
	}
	if !o.same("function_call") || !o.same("audio") {
		o.fail("", codeUnsupported, "Unsupported parameter: '%s': audio and function_call are not supported in messages.", strings.TrimSuffix(o.path, "."))
	}
	calls, _ := o.list("tool_calls", 0, 128)
	if len(calls) > 0 {
		if role != "assistant" {
			o.fail("tool_calls", codeValue, "Invalid '%stool_calls': only messages of the assistant have them.", o.path)
		}
		var v []any
		for _, c := range calls {
			var x map[string]any
			if json.Unmarshal(c, &x) != nil {
				o.fail("tool_calls", codeType, "Invalid type for '%stool_calls': expected objects.", o.path)
			}
			v = append(v, x)
		}
		m.more["tool_calls"] = v
	}
	raw, given := o.raw("content")
	switch {
	case !given && role == "assistant" && (len(calls) > 0 || !o.same("refusal")):
		if s, ok := o.text("refusal"); ok {
			m.content = s
		}
	case !given:
		o.fail("content", codeMissing, "Missing required parameter: '%scontent'.", o.path)
	case raw[0] == '"':
		m.content, _ = o.text("content")
	case raw[0] == '[':
		m.content = parts(o)
	default:
		o.fail("content", codeType, "Invalid type for '%scontent': expected one of a string or array of objects, but got %s instead.", o.path, describe(raw))
	}
	return m
}

// parts puts a content's parts together, one a line.
func parts(o *fields) string {
	list, _ := o.list("content", 1, maxMessages)
	var texts []string
	for i, raw := range list {
		p, err := o.objectAt(fmt.Sprintf("content[%d]", i), raw)
		if err != nil {
			if o.err == nil {
				o.err = err
			}
			return ""
		}
		kind, _ := p.text("type")
		switch kind {
		case "text", "refusal":
			s, given := p.text(kind)
			if !given {
				p.fail(kind, codeMissing, "Missing required parameter: '%s%s'.", p.path, kind)
			}
			texts = append(texts, s)
		default:
			p.fail("type", "unsupported_value", "Unsupported value: '%stype' is %.40q: the models here take text only.", p.path, kind)
		}
		if p.err != nil {
			if o.err == nil {
				o.err = p.err
			}
			return ""
		}
	}
	return strings.Join(texts, "\n")
}
