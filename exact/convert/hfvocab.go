package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cantus-network/cantus/exact/tokenizer"
)

// hfTokenizer is what is used of tokenizer.json.
type hfTokenizer struct {
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer   *struct{ Type string } `json:"normalizer"`
	PreTokenizer *preTokenizer          `json:"pre_tokenizer"`
	Model        struct {
		Type     string            `json:"type"`
		Vocab    map[string]int    `json:"vocab"`
		Merges   []json.RawMessage `json:"merges"`
		Fallback bool              `json:"byte_fallback"`
	} `json:"model"`
}

type preTokenizer struct {
	Type     string         `json:"type"`
	Parts    []preTokenizer `json:"pretokenizers"`
	Single   bool           `json:"individual_digits"`
	UseRegex *bool          `json:"use_regex"`
	Pattern  struct {
		Regex string
	} `json:"pattern"`
}

// patterns are the regular expressions of the known ways to split.
var patterns = map[string]tokenizer.Split{
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: tokenizer.Llama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      tokenizer.Qwen2,
}

// split recognises a way to split, or gives none.
func (p *preTokenizer) split() tokenizer.Split {
	if p == nil {
		return ""
	}
	parts := p.Parts
	if p.Type != "Sequence" {
		parts = []preTokenizer{*p}
	}
	regex := func(b preTokenizer) bool { return b.UseRegex == nil || *b.UseRegex }
	switch {
	case len(parts) == 1 && parts[0].Type == "ByteLevel" && regex(parts[0]):
		return tokenizer.GPT2
	case len(parts) == 2 && parts[0].Type == "Digits" && parts[0].Single && parts[1].Type == "ByteLevel" && regex(parts[1]):
		return tokenizer.SmolLM
	case len(parts) == 2 && parts[0].Type == "Split" && parts[1].Type == "ByteLevel" && !regex(parts[1]):
		return patterns[parts[0].Pattern.Regex]
	}
	return ""
}

func (d *directory) vocabulary(h *hfConfig) (*tokenizer.Vocabulary, error) {
	v := &tokenizer.Vocabulary{BOS: -1, Stop: []int{}}
	if h.BOS != nil {
		v.BOS = *h.BOS
	}
	var extra struct {
		Template json.RawMessage `json:"chat_template"`
		AddBOS   *bool           `json:"add_bos_token"`
	}
	if err := d.json("tokenizer_config.json", &extra); err != nil && !missing(err) {
		return nil, err
	}
	// Some files have a list of named templates instead; the chat's own is a text.
	_ = json.Unmarshal(extra.Template, &v.Template)
	stops := h.EOS
	var gen struct {
		EOS idList `json:"eos_token_id"`
	}
	if err := d.json("generation_config.json", &gen); err != nil && !missing(err) {
		return nil, err
	}
	stops = append(stops, gen.EOS...)
	if pieces, err := d.read("tokenizer.model"); err == nil {
		if err := sentencePieces(v, pieces); err != nil {
			return nil, err
		}
	} else if !missing(err) {
		return nil, err
	}
	var t hfTokenizer
	err := d.json("tokenizer.json", &t)
	switch {
	case v.Kind == "" && err != nil:
		return nil, err
	case v.Kind == "":
		if err := pairs(v, &t); err != nil {
			return nil, err
		}
	}
	if extra.AddBOS != nil {
		v.AddBOS = *extra.AddBOS
	}
	v.AddBOS = v.AddBOS && v.BOS >= 0
	enders(v, stops...)
	return v, nil
}

// pairs takes a byte-pair vocabulary from tokenizer.json.
func pairs(v *tokenizer.Vocabulary, t *hfTokenizer) error {
	split := t.PreTokenizer.split()
	if t.Model.Type != "BPE" || t.Model.Fallback || split == "" {
		return fmt.Errorf("%w: tokenizer.json has a model %q whose words are split in an unknown way", ErrSource, t.Model.Type)
	}
	if t.Normalizer != nil && t.Normalizer.Type != "NFC" {
		return fmt.Errorf("%w: tokenizer.json normalises text by %q", ErrSource, t.Normalizer.Type)
	}
	v.Kind, v.Split, v.AddBOS = tokenizer.BytePair, split, split == tokenizer.Llama3
	n := 0
	for _, id := range t.Model.Vocab {
		n = max(n, id+1)
	}
	for _, a := range t.Added {
		n = max(n, a.ID+1)
	}
	if n > 1<<18 {
		return fmt.Errorf("%w: tokenizer.json has tokens up to %d", ErrSource, n)
	}
	v.Tokens = make([][]byte, n)
	class := []byte(strings.Repeat(string(rune(tokenizer.Unused)), n))
	set := func(id int, text string, c tokenizer.Class) error {
		if id < 0 || v.Tokens[id] != nil && string(v.Tokens[id]) != text {
			return fmt.Errorf("%w: tokenizer.json has token %d twice", ErrSource, id)
		}
		v.Tokens[id], class[id] = []byte(text), byte(c)
		return nil
	}
	for text, id := range t.Model.Vocab {
		if err := set(id, text, tokenizer.Normal); err != nil {
			return err
		}
	}
	for _, a := range t.Added {
		c := tokenizer.User
		if a.Special {
			c = tokenizer.Control
		}
		if err := set(a.ID, a.Content, c); err != nil {
			return err
		}
	}
	v.Classes = string(class)
	list := make([][2]string, len(t.Model.Merges))
	for i, raw := range t.Model.Merges {
		if json.Unmarshal(raw, &list[i]) == nil {
			continue
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%w: merge %d of tokenizer.json: %w", ErrSource, i, err)
		}
		var ok bool
		if list[i][0], list[i][1], ok = strings.Cut(s, " "); !ok {
			return fmt.Errorf("%w: merge %q", ErrSource, s)
		}
	}
	return merges(v, list)
}

// sentencePieces takes a vocabulary from tokenizer.model: a protocol buffer whose field 1
// are pieces of text (1), score (2) and type (3).
func sentencePieces(v *tokenizer.Vocabulary, b []byte) error {
	v.Kind, v.AddBOS, v.AddPrefix = tokenizer.SentencePiece, true, true
	var scores []float64
	var class []byte
	bad := func(err error) error { return fmt.Errorf("%w: tokenizer.model: %w", ErrSource, err) }
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return bad(protowire.ParseError(n))
		}
		b = b[n:]
		if field == 3 && kind == protowire.BytesType {
			spec, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return bad(protowire.ParseError(n))
			}
			if err := normalizer(v, spec); err != nil {
				return err
			}
		}
		if field != 1 || kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return bad(protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		piece, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return bad(protowire.ParseError(n))
		}
		b = b[n:]
		text, score, c := []byte{}, float64(0), tokenizer.Normal
		for len(piece) > 0 {
			field, kind, n := protowire.ConsumeTag(piece)
			if n < 0 {
				return bad(protowire.ParseError(n))
			}
			value := piece[n:]
			if n = protowire.ConsumeFieldValue(field, kind, value); n < 0 {
				return bad(protowire.ParseError(n))
			}
			piece = value[n:]
			switch {
			case field == 1 && kind == protowire.BytesType:
				x, _ := protowire.ConsumeBytes(value)
				text = append(text, x...)
			case field == 2 && kind == protowire.Fixed32Type:
				x, _ := protowire.ConsumeFixed32(value)
				score = float64(math.Float32frombits(x))
			case field == 3 && kind == protowire.VarintType:
				x, _ := protowire.ConsumeVarint(value)
				var ok bool
				if c, ok = classes[int64(min(x, 99))]; !ok {
					return fmt.Errorf("%w: tokenizer.model has a piece of type %d", ErrSource, x)
				}
			}
		}
		v.Tokens, scores, class = append(v.Tokens, text), append(scores, score), append(class, byte(c))
		if len(v.Tokens) > 1<<18 {
			return fmt.Errorf("%w: tokenizer.model has more than %d pieces", ErrSource, 1<<18)
		}
	}
	v.Classes = string(class)
	var err error
	v.Ranks, err = ranks(scores)
	return err
}

// normalizer reads what is done to a text first: a table of characters (2), which must be
// empty, a space before it (3), and whether spaces are collapsed (4).
func normalizer(v *tokenizer.Vocabulary, b []byte) error {
	v.Collapse = true // unless it says otherwise
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: tokenizer.model: %w", ErrSource, protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return fmt.Errorf("%w: tokenizer.model: %w", ErrSource, protowire.ParseError(n))
		}
		switch x, _ := protowire.ConsumeVarint(b); {
		case field == 2 && n > 1:
			return fmt.Errorf("%w: tokenizer.model replaces characters by a table", ErrSource)
		case field == 3 && kind == protowire.VarintType:
			v.AddPrefix = x != 0
		case field == 4 && kind == protowire.VarintType:
			v.Collapse = x != 0
		}
		b = b[n:]
	}
	return nil
}
