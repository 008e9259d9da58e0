package openai

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/openai/jinja"
)

// chatML is the template of a model that has none, but the tokens of this one.
const chatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// dialogue is the template of a model that was not made for chats at all.
const dialogue = `{{ bos_token }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content | trim }}

{% endfor %}Assistant:`

// dialogueStop ends an answer of such a model, which would go on with the user's part.
const dialogueStop = "\nUser:"

// template turns messages into a model's prompt.
type template struct {
	tokenizer *tokenizer.Tokenizer
	compiled  *jinja.Template
	err       error // why there is none
	plain     bool  // the model has no template: the dialogue
	bos, eos  string
	control   [256][]controlToken // by first byte, the longest first
	now       func() time.Time
}

type controlToken struct {
	text string
	id   uint32
}

// templates keeps those that were compiled.
type templates struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[artifact.Digest]*template
}

// maxTemplates bounds how many are kept.
const maxTemplates = 256

// of is a model's template.
func (t *templates) of(m *Model) *template {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.m[m.Root]; c != nil {
		return c
	}
	if len(t.m) >= maxTemplates || t.m == nil {
		t.m = map[artifact.Digest]*template{}
	}
	c := compile(m.Tokenizer, t.now)
	t.m[m.Root] = c
	return c
}

func compile(tok *tokenizer.Tokenizer, now func() time.Time) *template {
	v := tok.Vocabulary()
	c := &template{tokenizer: tok, now: now}
	names := map[string]bool{}
	for i, text := range v.Tokens {
		if tokenizer.Class(v.Classes[i]) != tokenizer.Control || len(text) == 0 || names[string(text)] {
			continue
		}
		names[string(text)] = true
		c.control[text[0]] = append(c.control[text[0]], controlToken{string(text), uint32(i)})
	}
	for _, list := range c.control {
		slices.SortStableFunc(list, func(a, b controlToken) int { return len(b.text) - len(a.text) })
	}
	if v.BOS >= 0 {
		c.bos = string(v.Tokens[v.BOS])
	}
	c.eos = endOf(v)
	src := v.Template
	switch {
	case src != "":
	case names["<|im_start|>"] && names["<|im_end|>"]:
		src = chatML
	default:
		src, c.plain = dialogue, true
		if !v.AddBOS {
			c.bos = ""
		}
	}
	c.compiled, c.err = jinja.Parse(src)
	return c
}

// endOf is what templates call eos_token. A vocabulary says which tokens end an answer; of
// several it is the one by which a turn ends.
func endOf(v *tokenizer.Vocabulary) string {
	var first string
	for _, id := range v.Stop {
		text := string(v.Tokens[id])
		switch text {
		case "</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>":
			return text
		}
		if first == "" {
			first = text
		}
	}
	return first
}

// prompt renders messages and turns them into tokens. What the template wrote becomes
// control tokens where it is the name of one; what came with the messages never does.
func (c *template) prompt(list []message, kwargs map[string]any) ([]uint32, error) {
	if c.err != nil {
		return nil, invalid("model", codeValue, "The model's chat template can't be used: %v. Use /v1/completions with a prompt of your own.", c.err)
	}
	values := &jinja.List{}
	for i := range list {
		values.Items = append(values.Items, list[i].value())
	}
	vars := map[string]jinja.Value{}
	for _, k := range slices.Sorted(maps.Keys(kwargs)) {
		vars[k] = jinja.From(kwargs[k])
	}
	vars["messages"] = values
	vars["bos_token"], vars["eos_token"] = jinja.Own(c.bos), jinja.Own(c.eos)
	vars["add_generation_prompt"] = true
	vars["tools"], vars["documents"] = nil, nil
	vars["strftime_now"] = &jinja.Func{Name: "strftime_now", Call: c.strftime}
	text, err := c.compiled.Render(vars)
	var raised *jinja.Raised
	switch {
	case errors.As(err, &raised):
		return nil, invalid("messages", codeValue, "The model's chat template refuses these messages: %.400s", raised.Message)
	case err != nil:
		return nil, invalid("messages", codeValue, "The model's chat template can't render these messages: %.400s", err)
	}
	return c.encode(text), nil
}

func (c *template) encode(t jinja.Text) []uint32 {
	s := t.String()
	var out []uint32
	from := 0
	for i := 0; i < len(s); {
		token, ok := c.at(t, i)
		if !ok {
			i++
			continue
		}
		out = append(out, c.tokenizer.Encode(s[from:i], false, false)...)
		out = append(out, token.id)
		i += len(token.text)
		from = i
	}
	return append(out, c.tokenizer.Encode(s[from:], false, false)...)
}

// at is the control token that the template wrote at byte i.
func (c *template) at(t jinja.Text, i int) (controlToken, bool) {
	s := t.String()
	for _, k := range c.control[s[i]] {
		if strings.HasPrefix(s[i:], k.text) && t.Clean(i, i+len(k.text)) {
			return k, true
		}
	}
	return controlToken{}, false
}

// formats are those of strftime that templates use, in Go's words.
var formats = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon", 'y': "06",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700", 'j': "002", 'e': "_2",
	'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04",
}

func (c *template) strftime(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if len(args) != 1 {
		return nil, errors.New("strftime_now wants a format")
	}
	format, ok := args[0].(jinja.Text)
	if !ok {
		return nil, errors.New("strftime_now wants a format")
	}
	f := format.String()
	if len(f) > 256 {
		return nil, errors.New("strftime_now: the format is too long")
	}
	now := c.now().UTC()
	var b strings.Builder
	for i := 0; i < len(f); i++ {
		if f[i] != '%' || i+1 == len(f) {
			b.WriteByte(f[i])
			continue
		}
		i++
		pad := true
		if f[i] == '-' && i+1 < len(f) { // no zero before it
			i, pad = i+1, false
		}
		layout, ok := formats[f[i]]
		switch {
		case f[i] == '%':
			b.WriteByte('%')
		case !ok:
			return nil, fmt.Errorf("strftime_now: %%%c is not known here", f[i])
		case pad:
			b.WriteString(now.Format(layout))
		default:
			s := strings.TrimLeft(now.Format(layout), "0 ")
			if s == "" {
				s = "0"
			}
			b.WriteString(s)
		}
	}
	return jinja.Own(b.String()), nil
}
