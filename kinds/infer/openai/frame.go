package openai

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer/openai/jinja"
)

// ErrFrame says that a model's chat template is not a text before and a text after the one
// message of a conversation.
var ErrFrame = errors.New("the model's chat template can't frame a question")

// Frame is what stands around one user's message in a conversation that consists of it: by
// the chat template of the model, or, where it was made for no chats, its begin token.
// It is the same whenever it is asked: templates that tell the date get none.
func Frame(tok *tokenizer.Tokenizer) (voice.Frame, error) {
	c := compile(tok, nil)
	if c.plain {
		return voice.Plain(tok.Vocabulary()), nil
	}
	if c.err != nil {
		return voice.Frame{}, fmt.Errorf("%w: %w", ErrFrame, c.err)
	}
	text, from, to, err := c.around("What is it?")
	if err != nil {
		return voice.Frame{}, err
	}
	before, after := text.String()[:from], text.String()[to:]
	if other, f, t, err := c.around("no\nlonger \xf0\x9f\x98\x80 the same"); err != nil || other.String()[:f] != before || other.String()[t:] != after {
		return voice.Frame{}, fmt.Errorf("%w: what it writes around a message depends on the message", ErrFrame)
	}
	v := tok.Vocabulary()
	var f voice.Frame
	f.Trim = v.Kind == tokenizer.SentencePiece && v.AddPrefix
	// A space before the text is spelt with it, as it is where all is one text.
	if cut, ok := strings.CutSuffix(before, " "); ok {
		before, f.Space = cut, true
	} else if v.AddPrefix && v.Kind == tokenizer.SentencePiece {
		f.Space = c.endsInControl(before) || before == ""
	}
	f.Prefix = c.encode(jinja.Own(before))
	// What follows the text goes on with it: no space is put before it.
	bare := *v
	bare.AddPrefix = false
	plain, err := tokenizer.New(&bare)
	if err != nil {
		return voice.Frame{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	n := c.firstControl(after)
	f.Suffix = append(plain.Encode(after[:n], false, false), c.encode(jinja.Own(after[n:]))...)
	return f, nil
}

// around renders a conversation of one message, and says where in it the message lies.
func (c *template) around(content string) (text jinja.Text, from, to int, err error) {
	vars := map[string]jinja.Value{
		"messages":  jinja.From([]any{map[string]any{"role": "user", "content": content}}),
		"bos_token": jinja.Own(c.bos), "eos_token": jinja.Own(c.eos),
		"add_generation_prompt": true, "tools": nil, "documents": nil,
	}
	if text, err = c.compiled.Render(vars); err != nil {
		return text, 0, 0, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	s := text.String()
	// The role is foreign too, but not as long: the message is where it stands literally.
	from = strings.Index(s, content)
	if from < 0 || strings.Contains(s[from+1:], content) || text.Clean(from, from+1) {
		return text, 0, 0, fmt.Errorf("%w: it does not write a message once, and as it is", ErrFrame)
	}
	return text, from, from + len(content), nil
}

// firstControl is where the first name of a control token begins in a template's text.
func (c *template) firstControl(s string) int {
	for i := range len(s) {
		if _, ok := c.at(jinja.Own(s), i); ok {
			return i
		}
	}
	return len(s)
}

// endsInControl reports whether a template's text ends with a control token.
func (c *template) endsInControl(s string) bool {
	for i := 0; i < len(s); {
		k, ok := c.at(jinja.Own(s), i)
		if !ok {
			i++
			continue
		}
		if i += len(k.text); i == len(s) {
			return true
		}
	}
	return false
}
