package openai

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

// Bounds of requests.
const (
	maxChoices = 8
	maxStops   = 4
	maxStop    = 256 // bytes of a stop string
)

// common is what chat and completions have in common.
type common struct {
	model *Model

	n           int
	temperature uint32 // millionths, as topP
	topP, topK  uint32
	seed        *int64
	stop        []string
	maxTokens   int // 0 where the client says nothing
	stream      bool
	usage       bool // a last chunk with it
	logProbs    bool
	top         int
	ignored     []string
}

// neutral are parameters that change how tokens are drawn in ways that exact sampling does
// not have, with the values by which they change nothing. Those of vLLM and llama.cpp are
// here because to ignore them would give another answer than was asked for.
var neutral = []struct {
	name   string
	values []string
}{
	{"frequency_penalty", []string{"0"}}, {"presence_penalty", []string{"0"}}, {"logit_bias", []string{"{}", "[]"}},
	{"repetition_penalty", []string{"1"}}, {"repeat_penalty", []string{"1"}}, {"length_penalty", []string{"1"}},
	{"min_p", []string{"0"}}, {"typical_p", []string{"1"}}, {"top_n_sigma", []string{"-1"}}, {"mirostat", []string{"0"}}, {"dynatemp_range", []string{"0"}},
	{"xtc_probability", []string{"0"}}, {"dry_multiplier", []string{"0"}}, {"min_tokens", []string{"0"}},
	{"ignore_eos", []string{"false"}}, {"use_beam_search", []string{"false"}}, {"stop_token_ids", []string{"[]"}},
	{"bad_words", []string{"[]"}}, {"allowed_token_ids", []string{"[]"}}, {"prompt_logprobs", []string{"0"}},
	{"grammar", []string{`""`}}, {"json_schema", nil}, {"structured_outputs", nil}, {"guided_json", nil}, {"guided_regex", nil},
	{"guided_choice", nil}, {"guided_grammar", nil}, {"lora", []string{"[]"}}, {"chat_template", nil},
}

// known are parameters without effect here, which need no mention in Cantus-Ignored.
var known = []string{"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}

// shared reads the parameters that chat and completions share.
func shared(f *fields, tab Tab) (*common, error) {
	c := &common{}
	id, given := f.text("model")
	switch {
	case f.err != nil:
	case !given || id == "":
		f.fail("model", codeMissing, "Missing required parameter: 'model'.")
	default:
		var err error
		if c.model, err = find(tab, id); err != nil {
			return nil, err
		}
	}
	n, _ := f.integer("n", 1, maxChoices, 1)
	c.n = int(n)
	t, _ := f.decimal("temperature", 0, 2, 1)
	if c.temperature = millionths(t); c.temperature < exact.MinTemperature {
		c.temperature = 0 // that cold, only the likeliest token is ever drawn
	}
	if p, given := f.decimal("top_p", 0, 1, 1); given && p < 1 {
		c.topP = max(1, millionths(p))
		if c.topP == exact.Million {
			c.topP = 0
		}
	}
	if k, _ := f.integer("top_k", -1, math.MaxInt32, 0); k > 0 {
		c.topK = uint32(k)
	}
	if seed, given := f.integer("seed", math.MinInt64, math.MaxInt64, 0); given {
		c.seed = &seed
	}
	c.stream = f.flag("stream")
	if o, given := f.child("stream_options"); given {
		if !c.stream {
			f.fail("stream_options", codeValue, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
		}
		c.usage = o.flag("include_usage")
		if f.err == nil {
			f.err = o.err
		}
	}
	c.stops(f)
	for _, p := range neutral {
		if !f.same(p.name, p.values...) {
			what := "the exact sampler, whose answers anybody can recompute, does not have it."
			if len(p.values) > 0 && f.err == nil {
				what += " Only " + strings.ReplaceAll(p.values[0], `""`, "an empty string") + " is accepted."
			}
			if f.err == nil {
				f.err = unsupported(p.name, what)
			}
		}
	}
	if r, given := f.child("response_format"); given {
		if kind, _ := r.text("type"); kind != "text" && f.err == nil {
			f.err = invalid("response_format", "unsupported_value", "Unsupported value: 'response_format.type' is %.40q: only \"text\" is supported.", kind)
		}
	}
	for _, k := range known {
		f.used[k] = true
	}
	return c, f.err
}

func millionths(v float64) uint32 { return uint32(math.Round(v * exact.Million)) }

func (c *common) stops(f *fields) {
	raw, given := f.raw("stop")
	if !given {
		return
	}
	if raw[0] == '"' {
		s, _ := f.text("stop")
		c.stop = []string{s}
	} else {
		list, _ := f.list("stop", 0, maxStops)
		for i, e := range list {
			var s string
			if json.Unmarshal(e, &s) != nil || e[0] != '"' {
				f.fail(fmt.Sprintf("stop[%d]", i), codeType, "Invalid type for 'stop[%d]': expected a string, but got %s instead.", i, describe(e))
				return
			}
			c.stop = append(c.stop, s)
		}
	}
	for _, s := range c.stop {
		switch {
		case s == "":
			f.fail("stop", codeValue, "Invalid 'stop': a stop sequence can't be empty.")
		case len(s) > maxStop:
			f.fail("stop", "string_above_max_length", "Invalid 'stop': a stop sequence has at most %d bytes.", maxStop)
		}
	}
	slices.Sort(c.stop)
	c.stop = slices.Compact(c.stop)
}

// seedFor is the seed of a choice: of the client's seed, or random where it has none.
//
//	SHA-256("cantus/openai-seed/1" ‖ 0 ‖ seed ‖ choice)
//
// with the seed as 8 bytes and the choice's index as 4, both big-endian.
func (c *common) seedFor(choice int, random io.Reader) (seed [32]byte, err error) {
	if c.temperature == 0 {
		return seed, nil // nothing is drawn
	}
	if c.seed == nil {
		if _, err = io.ReadFull(random, seed[:]); err != nil {
			return seed, fmt.Errorf("draw a seed: %w", err)
		}
		return seed, nil
	}
	return seedOf(*c.seed, uint32(choice)), nil
}

func seedOf(seed int64, choice uint32) [32]byte {
	b := append([]byte("cantus/openai-seed/1"), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(seed))
	b = binary.BigEndian.AppendUint32(b, choice)
	return sha256.Sum256(b)
}

// task asks for one choice.
func (c *common) task(prompt []uint32, choice, otherwise int, random io.Reader) (claim.Task, error) {
	seed, err := c.seedFor(choice, random)
	if err != nil {
		return claim.Task{}, err
	}
	t := claim.Task{
		Model: c.model.Root, Prompt: prompt,
		Sampling: exact.Sampling{Seed: seed, Temperature: c.temperature, TopK: c.topK, TopP: c.topP},
		LogProbs: c.logProbs, Top: uint8(min(c.top, c.model.Vocab)),
	}
	if t.Sampling.Temperature == 0 {
		t.Sampling.TopK, t.Sampling.TopP = 0, 0 // one spelling for one meaning
	}
	for _, id := range c.model.Tokenizer.Vocabulary().Stop {
		if len(t.Stop) < claim.MaxStop {
			t.Stop = append(t.Stop, uint32(id))
		}
	}
	slices.Sort(t.Stop)
	t.Stop = slices.Compact(t.Stop)
	room := c.model.Context - len(prompt)
	if len(prompt) == 0 {
		return t, invalid("prompt", codeValue, "The prompt is empty: it has no token.")
	}
	if room < max(1, c.maxTokens) {
		return t, &failure{status: 400, kind: invalidRequest, code: codeTooLong, message: fmt.Sprintf(
			"This model's maximum context length is %d tokens. However, you requested %d tokens (%d in the prompt, %d in the completion). Please reduce the length of either.",
			c.model.Context, len(prompt)+max(1, c.maxTokens), len(prompt), max(1, c.maxTokens))}
	}
	t.MaxTokens = uint32(c.maxTokens)
	if c.maxTokens == 0 {
		t.MaxTokens = uint32(min(room, otherwise, c.affordable(len(prompt)), c.fitting()))
	}
	// What only the two together exceed, such as the bytes that a task may have.
	if _, err := t.Encode(); err != nil {
		return t, invalid("", codeTooLong, "%s", err)
	}
	return t, nil
}

// affordable is how many tokens of an answer a request may have by what it may cost. It is
// at least 1: whether even that is too much is the tab's to say.
func (c *common) affordable(prompt int) int {
	m := c.model
	if m.MaxUnits == 0 || m.OutputUnits == 0 {
		return math.MaxInt32
	}
	spent := uint64(prompt) * m.PromptUnits
	if spent >= m.MaxUnits {
		return 1
	}
	return int(min(math.MaxInt32, max(1, (m.MaxUnits-spent)/m.OutputUnits)))
}

// fitting is how many tokens fit a result with all that is to be told of each.
func (c *common) fitting() int {
	if !c.logProbs {
		return math.MaxInt32
	}
	return (claim.MaxResultBytes - 64) / (8 + 8*(c.top+1))
}
