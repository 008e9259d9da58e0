package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/exact/tokenizer"
)

// classes are those of GGUF and of SentencePiece, by their numbers.
var classes = map[int64]tokenizer.Class{
	1: tokenizer.Normal, 2: tokenizer.Unknown, 3: tokenizer.Control, 4: tokenizer.User, 5: tokenizer.Unused, 6: tokenizer.Byte,
}

// splits are the names that GGUF has for the ways to cut text into words.
var splits = map[string]tokenizer.Split{
	"": tokenizer.GPT2, "default": tokenizer.GPT2, "gpt-2": tokenizer.GPT2, "llama-bpe": tokenizer.Llama3, "llama3": tokenizer.Llama3,
	"llama-v3": tokenizer.Llama3, "qwen2": tokenizer.Qwen2, "smollm": tokenizer.SmolLM,
}

// ranks are the places of scores in their order, equal ones sharing theirs.
func ranks(scores []float64) ([]int32, error) {
	order := make([]int, len(scores))
	for i, s := range scores {
		if s != s {
			return nil, fmt.Errorf("%w: score of token %d is not a number", ErrSource, i)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	out := make([]int32, len(scores))
	for i := 1; i < len(order); i++ {
		out[order[i]] = out[order[i-1]]
		if scores[order[i]] != scores[order[i-1]] {
			out[order[i]]++
		}
	}
	return out, nil
}

// ender finds, besides the declared one, tokens by which chat models end their turn.
func enders(v *tokenizer.Vocabulary, declared ...int) {
	for _, id := range declared {
		if id >= 0 && id < len(v.Tokens) && !slices.Contains(v.Stop, id) {
			v.Stop = append(v.Stop, id)
		}
	}
	for i, t := range v.Tokens {
		switch string(t) {
		case "<|eot_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>":
			if v.Classes[i] == byte(tokenizer.Control) && !slices.Contains(v.Stop, i) && len(v.Stop) < 64 {
				v.Stop = append(v.Stop, i)
			}
		}
	}
	slices.Sort(v.Stop)
}

// merges finds the tokens of "left right" pairs.
func merges(v *tokenizer.Vocabulary, pairs [][2]string) error {
	ids := make(map[string]int, len(v.Tokens))
	for i, t := range v.Tokens {
		if _, twice := ids[string(t)]; !twice {
			ids[string(t)] = i
		}
	}
	for i, p := range pairs {
		l, okl := ids[p[0]]
		r, okr := ids[p[1]]
		if !okl || !okr {
			return fmt.Errorf("%w: merge %d of %q and %q, which are no tokens", ErrSource, i, p[0], p[1])
		}
		v.Merges = append(v.Merges, [2]int{l, r})
	}
	return nil
}

func (g *ggufSource) vocabulary() (*tokenizer.Vocabulary, error) {
	meta := func(key string) any { return g.f.Meta["tokenizer.ggml."+key] }
	id := func(key string) int {
		if v, ok := meta(key).(uint64); ok && v < 1<<30 {
			return int(v)
		}
		return -1
	}
	tokens, _ := meta("tokens").([]string)
	v := &tokenizer.Vocabulary{BOS: id("bos_token_id"), Stop: []int{}}
	v.Template, _ = g.f.Meta["tokenizer.chat_template"].(string)
	var kinds []int64
	switch k := meta("token_type").(type) {
	case []int64:
		kinds = k
	case []uint64:
		for _, x := range k {
			kinds = append(kinds, int64(min(x, 1<<30)))
		}
	}
	if len(kinds) != len(tokens) {
		return nil, fmt.Errorf("%w: %d tokens have %d types", ErrSource, len(tokens), len(kinds))
	}
	var b strings.Builder
	for i, t := range tokens {
		v.Tokens = append(v.Tokens, []byte(t))
		class, ok := classes[kinds[i]]
		if !ok {
			return nil, fmt.Errorf("%w: token %d has type %d", ErrSource, i, kinds[i])
		}
		b.WriteByte(byte(class))
	}
	v.Classes = b.String()
	flag := func(key string, otherwise bool) bool {
		if x, ok := meta(key).(bool); ok {
			return x
		}
		return otherwise
	}
	switch kind, _ := meta("model").(string); kind {
	case "llama":
		v.Kind = tokenizer.SentencePiece
		v.AddBOS, v.AddPrefix = flag("add_bos_token", true), flag("add_space_prefix", true)
		v.Collapse = flag("remove_extra_whitespaces", false)
		scores, _ := meta("scores").([]float64)
		if len(scores) != len(tokens) {
			return nil, fmt.Errorf("%w: %d tokens have %d scores", ErrSource, len(tokens), len(scores))
		}
		var err error
		if v.Ranks, err = ranks(scores); err != nil {
			return nil, err
		}
	case "gpt2":
		v.Kind = tokenizer.BytePair
		pre, _ := meta("pre").(string)
		split, ok := splits[pre]
		if !ok {
			return nil, fmt.Errorf("%w: words are split as %q", ErrSource, pre)
		}
		v.Split, v.AddBOS = split, flag("add_bos_token", split == tokenizer.Llama3)
		list, _ := meta("merges").([]string)
		pairs := make([][2]string, len(list))
		for i, m := range list {
			// The space is between the two; a token may begin with none.
			l, r, ok := strings.Cut(m, " ")
			if !ok {
				return nil, fmt.Errorf("%w: merge %q", ErrSource, m)
			}
			pairs[i] = [2]string{l, r}
		}
		if err := merges(v, pairs); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: tokenizer %q: llama and gpt2 can be converted", ErrSource, kind)
	}
	v.AddBOS = v.AddBOS && v.BOS >= 0
	enders(v, id("eos_token_id"), id("eot_token_id"))
	return v, nil
}
