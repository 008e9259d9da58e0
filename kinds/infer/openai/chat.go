package openai

import (
	"context"
	"encoding/json"
	"math"
	"net/http"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// chatReply is a chat completion, or, with deltas for messages, a chunk of one.
type chatReply struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"`
	Model       string       `json:"model"`
	Fingerprint string       `json:"system_fingerprint"`
	Choices     []chatChoice `json:"choices"`
	Usage       any          `json:"usage,omitempty"`
	Cantus      any          `json:"cantus,omitempty"`
}

type chatChoice struct {
	Index    int          `json:"index"`
	Message  *chatMessage `json:"message,omitempty"`
	Delta    *chatDelta   `json:"delta,omitempty"`
	LogProbs *chatLogs    `json:"logprobs"`
	Finish   *string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatLogs struct {
	Content []chatLog `json:"content"`
	Refusal []chatLog `json:"refusal"`
}

type chatLog struct {
	Token string    `json:"token"`
	Log   float64   `json:"logprob"`
	Bytes []int     `json:"bytes"`
	Top   []chatLog `json:"top_logprobs,omitzero"`
}

func logOf(t tokenSaid) chatLog {
	l := chatLog{Token: t.text, Log: t.log}
	for _, b := range t.bytes {
		l.Bytes = append(l.Bytes, int(b))
	}
	return l
}

func chatLogsOf(c *common, tokens []tokenSaid) *chatLogs {
	if !c.logProbs {
		return nil
	}
	l := &chatLogs{Content: []chatLog{}}
	for _, t := range tokens {
		e := logOf(t)
		e.Top = []chatLog{}
		for _, a := range t.top {
			e.Top = append(e.Top, logOf(a))
		}
		l.Content = append(l.Content, e)
	}
	return l
}

// chatRequest reads a request's body.
func chatRequest(b []byte, tab Tab) (c *common, list []message, kwargs map[string]any, err error) {
	f, err := parseBody(b)
	if err != nil {
		return nil, nil, nil, err
	}
	if c, err = shared(f, tab); err != nil {
		return nil, nil, nil, err
	}
	list = messages(f)
	old, givenOld := f.integer("max_tokens", 1, math.MaxInt32, 0)
	most, given := f.integer("max_completion_tokens", 1, math.MaxInt32, 0)
	if given && givenOld && old != most {
		f.fail("max_tokens", codeValue, "Setting 'max_tokens' and 'max_completion_tokens' to different values is not supported; 'max_tokens' is the older name of the same.")
	}
	c.maxTokens = int(max(old, most))
	c.logProbs = f.flag("logprobs")
	top, given := f.integer("top_logprobs", 0, claim.MaxTop, 0)
	if given && !c.logProbs {
		f.fail("top_logprobs", codeValue, "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
	}
	c.top = int(top)
	f.noTools("tools", "tool_choice")
	f.noTools("functions", "function_call")
	if !f.same("modalities", `["text"]`) || !f.same("audio") {
		f.fail("modalities", codeUnsupported, "Unsupported parameter: 'modalities': the models here write text only.")
	}
	if !f.same("web_search_options") {
		f.fail("web_search_options", codeUnsupported, "Unsupported parameter: 'web_search_options'.")
	}
	if o, given := f.child("chat_template_kwargs"); given {
		kwargs = map[string]any{}
		for _, k := range o.keys {
			var v any
			if json.Unmarshal(o.m[k], &v) == nil {
				kwargs[k] = v
			}
		}
	}
	c.ignored = f.ignored()
	return c, list, kwargs, f.err
}

// noTools refuses tools unless the client says that none is to be called.
func (f *fields) noTools(tools, choice string) {
	const why = "the models here call no tools. Leave it away, or send '%s': 'none' with it."
	f.used[tools] = true
	switch none := f.same(choice, `"none"`); {
	case none && !f.same(choice): // said, and so meant
	case !f.same(tools, "[]"):
		f.fail(tools, codeUnsupported, "Unsupported parameter: '%s': "+why, tools, choice)
	case !f.same(choice, `"auto"`):
		f.fail(choice, codeUnsupported, "Unsupported parameter: '%s': "+why, choice, choice)
	}
}

func (s *server) chat(w http.ResponseWriter, r *http.Request, tab Tab) error {
	b, err := s.body(w, r)
	if err != nil {
		return err
	}
	c, list, kwargs, err := chatRequest(b, tab)
	if err != nil {
		return err
	}
	t := s.templates.of(c.model)
	prompt, err := t.prompt(list, kwargs)
	if err != nil {
		return err
	}
	stops := c.stop
	if t.plain {
		stops = append(append([]string(nil), stops...), dialogueStop)
	}
	var tasks []claim.Task
	for i := range c.n {
		task, err := c.task(prompt, i, s.opts.MaxTokens, s.opts.Rand)
		if err != nil {
			return err
		}
		tasks = append(tasks, task)
	}
	ctx, hangUp := context.WithCancel(r.Context())
	defer hangUp()
	events, err := generate(ctx, tab, c, tasks, false, stops)
	if err != nil {
		return err
	}
	tellIgnored(w, c.ignored)
	reply := chatReply{
		ID: "chatcmpl-" + s.id(), Object: "chat.completion", Created: s.opts.Now().Unix(), Model: c.model.ID, Fingerprint: fingerprint(c.model),
	}
	if c.stream {
		reply.Object = "chat.completion.chunk"
		s.chatStream(w, r, c, reply, events, len(prompt))
		return nil
	}
	all, err := collect(ctx, events, c.n)
	if err != nil {
		return err
	}
	var u usage
	u.add(len(prompt), 0)
	var shown []*answer.Proof
	for i, a := range all {
		reply.Choices = append(reply.Choices, chatChoice{
			Index: i, Message: &chatMessage{Role: "assistant", Content: a.text}, LogProbs: chatLogsOf(c, a.tokens), Finish: &a.finish,
		})
		u.add(0, a.count)
		shown = append(shown, a.proof)
	}
	reply.Usage, reply.Cantus = u, proofs(shown)
	receipts(w, shown)
	s.reply(w, http.StatusOK, reply)
	return nil
}

// chatStream writes chunks. Each choice begins with its role, and its last chunk has the
// reason of its end and its proof.
func (s *server) chatStream(w http.ResponseWriter, r *http.Request, c *common, reply chatReply, events <-chan event, prompt int) {
	out := s.stream(w)
	if c.usage {
		reply.Usage = json.RawMessage("null") // until the last chunk
	}
	chunk := func(ch chatChoice, cantus any) {
		v := reply
		v.Choices, v.Cantus = []chatChoice{ch}, cantus
		out.data(v)
	}
	empty := ""
	for i := range c.n {
		chunk(chatChoice{Index: i, Delta: &chatDelta{Role: "assistant", Content: &empty}}, nil)
	}
	var u usage
	u.add(prompt, 0)
	out.events(r, events, func(e event) {
		if e.last != nil {
			u.add(0, e.last.count)
			chunk(chatChoice{Index: e.choice, Delta: &chatDelta{}, Finish: &e.last.finish}, e.last.proof)
			return
		}
		chunk(chatChoice{Index: e.choice, Delta: &chatDelta{Content: &e.said.text}, LogProbs: chatLogsOf(c, e.said.tokens)}, nil)
	}, func() {
		if c.usage {
			v := reply
			v.Choices, v.Usage = []chatChoice{}, u
			out.data(v)
		}
	})
}
