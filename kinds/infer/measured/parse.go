package measured

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

// logs is what servers say about tokens. The first three fields are how OpenAI's completions
// do it: tokens by their text, which vLLM and others give as "token_id:17" when they are asked
// to; Content is how its chat does it, and llama.cpp's server everywhere, with a field id.
type logs struct {
	Tokens []string          `json:"tokens"`
	Logs   []*float64        `json:"token_logprobs"`
	Top    []json.RawMessage `json:"top_logprobs"`

	Content []logEntry `json:"content"`
}

type logEntry struct {
	ID    *int64     `json:"id"`
	Token string     `json:"token"`
	Log   *float64   `json:"logprob"`
	Top   []logEntry `json:"top_logprobs"`
}

// told is a place and the token that stands there.
type told struct {
	token uint32
	top   Place
}

// find is the place of a token among the alternatives, or -1.
func (p Place) find(id uint32) int {
	return slices.IndexFunc(p, func(a claim.Alternative) bool { return a.ID == id })
}

// places reads all places that one answer, or one event, tells. The first place of a prompt
// has no alternatives.
func (h *HTTP) places(c *choice) ([]told, error) {
	l := c.Logs
	if l == nil {
		return nil, nil
	}
	if l.Content != nil {
		return h.content(l.Content)
	}
	if len(l.Top) != len(l.Tokens) {
		return nil, fmt.Errorf("%w: %d tokens with %d lists of alternatives", ErrBackend, len(l.Tokens), len(l.Top))
	}
	list := make([]told, len(l.Tokens))
	for i, name := range l.Tokens {
		id, err := h.token(name)
		if err != nil {
			return nil, err
		}
		list[i].token = id
		if list[i].top, err = h.alternatives(l.Top[i]); err != nil {
			return nil, fmt.Errorf("place %d: %w", i, err)
		}
	}
	return list, nil
}

// content reads the form with a field id.
func (h *HTTP) content(entries []logEntry) ([]told, error) {
	list := make([]told, len(entries))
	for i, e := range entries {
		id, err := h.entry(&e)
		if err != nil {
			return nil, err
		}
		list[i].token = id
		p := make(Place, 0, len(e.Top))
		if len(e.Top) > maxTop {
			return nil, fmt.Errorf("%w: %d alternatives at a place", ErrBackend, len(e.Top))
		}
		for _, a := range e.Top {
			id, err := h.entry(&a)
			if err == nil && a.Log == nil {
				err = fmt.Errorf("%w: token %d has no logarithm of its probability", ErrBackend, id)
			}
			if err != nil {
				return nil, err
			}
			v, err := wide(*a.Log)
			if err != nil {
				return nil, err
			}
			p = append(p, claim.Alternative{ID: id, LogProb: v})
		}
		if list[i].top, err = sorted(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (h *HTTP) entry(e *logEntry) (uint32, error) {
	if e.ID == nil {
		return h.token(e.Token)
	}
	if *e.ID < 0 || *e.ID >= int64(h.o.Vocab) {
		return 0, fmt.Errorf("%w: token %d, and the vocabulary has %d: it serves another model", ErrBackend, *e.ID, h.o.Vocab)
	}
	return uint32(*e.ID), nil
}

// token reads "token_id:17".
func (h *HTTP) token(name string) (uint32, error) {
	digits, ok := strings.CutPrefix(name, "token_id:")
	if !ok {
		return 0, fmt.Errorf("%w: it names tokens by their text (%.20q), which two of them can share: it must tell their numbers (return_tokens_as_token_ids, or a field id)", ErrBackend, name)
	}
	id, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || id >= uint64(h.o.Vocab) {
		return 0, fmt.Errorf("%w: token %.20q, and the vocabulary has %d: it serves another model", ErrBackend, digits, h.o.Vocab)
	}
	return uint32(id), nil
}

// alternatives reads {"token_id:17": -0.5, …}; null for none.
func (h *HTTP) alternatives(raw json.RawMessage) (Place, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil
	}
	var m map[string]float64
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackend, err)
	}
	if len(m) > maxTop {
		return nil, fmt.Errorf("%w: %d alternatives at a place", ErrBackend, len(m))
	}
	p := make(Place, 0, len(m))
	for name, v := range m { // order-free: they are sorted
		id, err := h.token(name)
		if err != nil {
			return nil, err
		}
		w, err := wide(v)
		if err != nil {
			return nil, err
		}
		p = append(p, claim.Alternative{ID: id, LogProb: w})
	}
	return sorted(p)
}

// wide is a logarithm of a probability with 16 fraction bits. A server's rounding may bring
// it a little above 0; what it can't be is a number that is not one. -100 is as good as never.
func wide(v float64) (int32, error) {
	if math.IsNaN(v) || v > 0.01 {
		return 0, fmt.Errorf("%w: %v as the logarithm of a probability", ErrBackend, v)
	}
	return int32(math.Round(max(min(v, 0), -100) * (1 << exact.WideBits))), nil
}

// sorted brings alternatives in their order, and refuses some that can't be of one place.
func sorted(p Place) (Place, error) {
	slices.SortFunc(p, func(a, b claim.Alternative) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.ID, b.ID))
	})
	return p, p.check()
}

// slack is how much more than 1 the probabilities of a place may add up to.
const slack = 0.01

// check refuses alternatives in a wrong order, twice, or with more probability than there is.
func (p Place) check() error {
	sum := 0.0
	seen := make(map[uint32]bool, len(p))
	for i, a := range p {
		if i > 0 && (a.LogProb > p[i-1].LogProb || a.LogProb == p[i-1].LogProb && a.ID < p[i-1].ID) {
			return fmt.Errorf("%w: alternatives out of order", ErrBackend)
		}
		if seen[a.ID] {
			return fmt.Errorf("%w: token %d twice among the alternatives", ErrBackend, a.ID)
		}
		if a.LogProb > 0 {
			return fmt.Errorf("%w: a probability above 1", ErrBackend)
		}
		seen[a.ID] = true
		sum += nats(a.LogProb, true)
	}
	if sum > 1+slack {
		return fmt.Errorf("%w: probabilities that add up to %.3f", ErrBackend, sum)
	}
	return nil
}

// nats is a wide logarithm as a float, or what it is the logarithm of.
func nats(wide int32, power bool) float64 {
	v := float64(wide) / (1 << exact.WideBits)
	if power {
		return math.Exp(v)
	}
	return v
}
