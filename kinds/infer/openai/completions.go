package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"unicode/utf8"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// maxAnswers bounds how many answers one request has made, prompts times choices.
const maxAnswers = 16

type completionReply struct {
	ID          string             `json:"id"`
	Object      string             `json:"object"`
	Created     int64              `json:"created"`
	Model       string             `json:"model"`
	Fingerprint string             `json:"system_fingerprint"`
	Choices     []completionChoice `json:"choices"`
	Usage       any                `json:"usage,omitempty"`
	Cantus      any                `json:"cantus,omitempty"`
}

type completionChoice struct {
	Text     string          `json:"text"`
	Index    int             `json:"index"`
	LogProbs *completionLogs `json:"logprobs"`
	Finish   *string         `json:"finish_reason"`
}

type completionLogs struct {
	Tokens []string             `json:"tokens"`
	Logs   []float64            `json:"token_logprobs"`
	Top    []map[string]float64 `json:"top_logprobs"`
	Offset []int                `json:"text_offset"`
}

func completionLogsOf(c *common, tokens []tokenSaid, offset int) *completionLogs {
	if !c.logProbs {
		return nil
	}
	l := &completionLogs{Tokens: []string{}, Logs: []float64{}, Offset: []int{}}
	for _, t := range tokens {
		l.Tokens, l.Logs = append(l.Tokens, t.text), append(l.Logs, t.log)
		l.Offset = append(l.Offset, offset+t.offset)
		if c.top > 0 {
			m := map[string]float64{}
			for _, a := range t.top {
				if _, ok := m[a.text]; !ok { // the likeliest of those that read the same
					m[a.text] = a.log
				}
			}
			if _, ok := m[t.text]; !ok {
				m[t.text] = t.log
			}
			l.Top = append(l.Top, m)
		}
	}
	return l
}

// prompt is one of a request's.
type prompt struct {
	tokens []uint32
	text   string // as echo repeats it
}

// texts reads a field that is a text, a list of texts, a list of tokens, or a list of lists
// of tokens, in OpenAI's way.
func (f *fields) texts(name string, most int, vocab int) (texts []string, tokens [][]uint32) {
	raw, given := f.raw(name)
	if !given {
		f.fail(name, codeMissing, "Missing required parameter: '%s'.", name)
		return nil, nil
	}
	bad := func(at string, raw json.RawMessage) {
		f.fail(name, codeType, "Invalid type for '%s': expected a string, an array of strings, an array of tokens or an array of those, but got %s instead.", name+at, describe(raw))
	}
	ids := func(at string, raw json.RawMessage) []uint32 {
		var list []uint32
		if err := json.Unmarshal(raw, &list); err != nil || raw[0] != '[' {
			bad(at, raw)
			return nil
		}
		for i, id := range list {
			if int64(id) >= int64(vocab) {
				f.fail(name, codeValue, "Invalid '%s[%d]': token %d: the model's vocabulary has %d.", name+at, i, id, vocab)
				return nil
			}
		}
		if len(list) == 0 {
			f.fail(name, codeValue, "Invalid '%s': it has no token.", name+at)
		}
		return list
	}
	if raw[0] == '"' {
		var s string
		f.typed(name, "a string", &s)
		return []string{s}, nil
	}
	if raw[0] != '[' {
		bad("", raw)
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		f.fail(name, "empty_array", "Invalid '%s': empty array. Expected an array with minimum length 1.", name)
		return nil, nil
	}
	if c := list[0][0]; c != '"' && c != '[' {
		return nil, [][]uint32{ids("", raw)}
	}
	if len(list) > most {
		f.fail(name, "array_above_max_length", "Invalid '%s': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", name, most, len(list))
		return nil, nil
	}
	for i, e := range list {
		at := fmt.Sprintf("[%d]", i)
		switch {
		case e[0] != list[0][0]:
			bad(at, e)
		case e[0] == '"':
			var s string
			if json.Unmarshal(e, &s) != nil {
				bad(at, e)
			}
			texts = append(texts, s)
		default:
			tokens = append(tokens, ids(at, e))
		}
		if f.err != nil {
			return nil, nil
		}
	}
	return texts, tokens
}

// prompts reads the prompts of a completion. Their writer has all of the prompt in hand, so
// names of control tokens in it are these tokens.
func (f *fields) prompts(m *Model) []prompt {
	texts, tokens := f.texts("prompt", maxAnswers, m.Vocab)
	if f.err != nil {
		return nil
	}
	var list []prompt
	for _, t := range texts {
		if len(t) > maxPrompt {
			f.err = tooLong("prompt", len(t))
			return nil
		}
		list = append(list, prompt{encode(m, t, true), t})
	}
	for _, t := range tokens {
		list = append(list, prompt{t, valid(m.Tokenizer.Decode(t))})
	}
	return list
}

// encode makes tokens of a text that is not a chat's: with the begin token where the
// vocabulary wants it, but not twice.
func encode(m *Model, text string, special bool) []uint32 {
	v := m.Tokenizer.Vocabulary()
	tokens := m.Tokenizer.Encode(text, special, true)
	if v.AddBOS && len(tokens) > 1 && tokens[0] == tokens[1] && int(tokens[0]) == v.BOS {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 && v.BOS >= 0 {
		tokens = []uint32{uint32(v.BOS)} // an answer begins somewhere
	}
	return tokens
}

func completionRequest(b []byte, tab Tab) (c *common, list []prompt, echo bool, err error) {
	f, err := parseBody(b)
	if err != nil {
		return nil, nil, false, err
	}
	if c, err = shared(f, tab); err != nil {
		return nil, nil, false, err
	}
	list = f.prompts(c.model)
	most, _ := f.integer("max_tokens", 1, math.MaxInt32, 16)
	c.maxTokens = int(most)
	if top, given := f.integer("logprobs", 0, claim.MaxTop, 0); given {
		c.logProbs, c.top = true, int(top)
	}
	if echo = f.flag("echo"); echo && c.logProbs {
		f.fail("echo", codeUnsupported, "Unsupported parameter: 'echo' with 'logprobs': log probabilities of the prompt are not computed.")
	}
	if !f.same("suffix", `""`) {
		f.fail("suffix", codeUnsupported, "Unsupported parameter: 'suffix': the models here don't fill in.")
	}
	if best, given := f.integer("best_of", 1, 20, 1); given && best != int64(c.n) {
		f.fail("best_of", codeUnsupported, "Unsupported parameter: 'best_of': all that is made is answered; use 'n'.")
	}
	if len(list)*c.n > maxAnswers {
		f.fail("n", codeValue, "Invalid 'n': %d prompts with %d choices each are more than %d answers in a request.", len(list), c.n, maxAnswers)
	}
	c.ignored = f.ignored()
	return c, list, echo, f.err
}

func (s *server) completions(w http.ResponseWriter, r *http.Request, tab Tab) error {
	b, err := s.body(w, r)
	if err != nil {
		return err
	}
	c, list, echo, err := completionRequest(b, tab)
	if err != nil {
		return err
	}
	var tasks []claim.Task
	var u usage
	var before []string // of each choice, the prompt's text
	for _, p := range list {
		u.add(len(p.tokens), 0)
		for i := range c.n {
			t, err := c.task(p.tokens, i, s.opts.MaxTokens, s.opts.Rand)
			if err != nil {
				return err
			}
			tasks, before = append(tasks, t), append(before, p.text)
		}
	}
	ctx, hangUp := context.WithCancel(r.Context())
	defer hangUp()
	events, err := generate(ctx, tab, c, tasks, true, c.stop)
	if err != nil {
		return err
	}
	tellIgnored(w, c.ignored)
	reply := completionReply{
		ID: "cmpl-" + s.id(), Object: "text_completion", Created: s.opts.Now().Unix(), Model: c.model.ID, Fingerprint: fingerprint(c.model),
	}
	if !echo {
		clear(before)
	}
	if c.stream {
		s.completionStream(w, r, c, reply, events, u, before)
		return nil
	}
	all, err := collect(ctx, events, len(tasks))
	if err != nil {
		return err
	}
	var shown []*answer.Proof
	for i, a := range all {
		reply.Choices = append(reply.Choices, completionChoice{
			Index: i, Text: before[i] + a.text, LogProbs: completionLogsOf(c, a.tokens, utf8.RuneCountInString(before[i])), Finish: &a.finish,
		})
		u.add(0, a.count)
		shown = append(shown, a.proof)
	}
	reply.Usage, reply.Cantus = u, proofs(shown)
	receipts(w, shown)
	s.reply(w, http.StatusOK, reply)
	return nil
}

func (s *server) completionStream(w http.ResponseWriter, r *http.Request, c *common, reply completionReply, events <-chan event, u usage, before []string) {
	out := s.stream(w)
	if c.usage {
		reply.Usage = json.RawMessage("null")
	}
	chunk := func(ch completionChoice, cantus any) {
		v := reply
		v.Choices, v.Cantus = []completionChoice{ch}, cantus
		out.data(v)
	}
	for i, text := range before {
		if text != "" {
			chunk(completionChoice{Index: i, Text: text}, nil)
		}
	}
	out.events(r, events, func(e event) {
		if e.last != nil {
			u.add(0, e.last.count)
			chunk(completionChoice{Index: e.choice, Finish: &e.last.finish}, e.last.proof)
			return
		}
		chunk(completionChoice{Index: e.choice, Text: e.said.text, LogProbs: completionLogsOf(c, e.said.tokens, 0)}, nil)
	}, func() {
		if c.usage {
			v := reply
			v.Choices, v.Usage = []completionChoice{}, u
			out.data(v)
		}
	})
}
