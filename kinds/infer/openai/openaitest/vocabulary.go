package openaitest

import (
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// ChatML is a template as many models have it.
const ChatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

var lexicon = []string{
	"the", "brown", "wren", "sang", "of", "rain", "and", "old", "stone", "walls", "while", "river", "light", "fell", "on", "a", "quiet", "town,",
	"naïve", "čtyři", "日本", "🦜",
}

// merges are the pairs of letters that the vocabulary joins, first ones first.
var merges = [][2]string{{"t", "h"}, {"th", "e"}, {"a", "n"}, {"an", "d"}, {"Ġ", "the"}, {"i", "n"}, {"o", "n"}, {"Ġ", "a"}, {"r", "e"}}

// Tokenizer is a byte-pair tokenizer with a token for each byte, a few for words, and the
// control tokens of ChatML and Llama.
func Tokenizer(template string) *tokenizer.Tokenizer {
	return build(template, []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]",
		"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"})
}

// Plain is one without control tokens but an end, and without a template.
func Plain() *tokenizer.Tokenizer { return build("", []string{"<|endoftext|>"}) }

func build(template string, control []string) *tokenizer.Tokenizer {
	v := &tokenizer.Vocabulary{Kind: tokenizer.BytePair, Split: tokenizer.GPT2, BOS: -1, Template: template, Stop: []int{}}
	add := func(text string, c tokenizer.Class) int {
		v.Tokens = append(v.Tokens, []byte(text))
		v.Classes += string(rune(c))
		return len(v.Tokens) - 1
	}
	ids := map[string]int{}
	n := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			r = n
			n++
		}
		ids[string(r)] = add(string(r), tokenizer.Normal)
	}
	for _, m := range merges {
		ids[m[0]+m[1]] = add(m[0]+m[1], tokenizer.Normal)
		v.Merges = append(v.Merges, [2]int{ids[m[0]], ids[m[1]]})
	}
	for _, c := range control {
		id := add(c, tokenizer.Control)
		switch c {
		case "<|im_end|>", "<|eot_id|>", "</s>":
			v.Stop = append(v.Stop, id)
		case "<|endoftext|>":
			if template == "" {
				v.Stop = append(v.Stop, id)
			}
		}
	}
	t, err := tokenizer.New(v)
	if err != nil {
		panic(err) // the vocabulary above is a constant
	}
	return t
}
