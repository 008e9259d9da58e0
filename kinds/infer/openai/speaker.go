package openai

import (
	"slices"
	"strings"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// said is text with the tokens that it came from.
type said struct {
	text   string
	tokens []tokenSaid
}

// tokenSaid is a token as it is told with its probability.
type tokenSaid struct {
	text   string
	bytes  []byte
	log    float64
	top    []tokenSaid
	offset int // characters before it
}

// speaker turns an answer's tokens into text: whole characters only, and nothing from a
// stop string on. What might be the beginning of one is held back until that is decided.
type speaker struct {
	tokenizer *tokenizer.Tokenizer
	decoder   *tokenizer.Decoder
	ends      []uint32 // tokens that end the answer and are not said
	stops     []string
	tell      bool // tokens too

	held    string // text that was not said yet
	said    int    // bytes that were
	offset  int    // and characters
	waiting []waitingToken
	n       int  // tokens that came
	stopped bool // a stop string came
	ended   bool // a stop token came
}

// waitingToken is one whose text was not all said yet; it begins at byte from.
type waitingToken struct {
	tokenSaid
	from int
}

// newSpeaker begins an answer, or, after, goes on with the text of the prompt.
func newSpeaker(t *tokenizer.Tokenizer, after bool, ends []uint32, stops []string, tell bool) *speaker {
	return &speaker{tokenizer: t, decoder: t.NewDecoder(after), ends: ends, stops: stops, tell: tell}
}

// add takes a step and gives what can be said now.
func (s *speaker) add(step answer.Step) said {
	if s.stopped || s.ended {
		return said{}
	}
	s.n++
	if slices.Contains(s.ends, step.Token) {
		s.ended = true
		return said{}
	}
	if s.tell {
		t := s.token(step.Token, step.LogProb)
		for _, a := range step.Top {
			t.top = append(t.top, s.token(a.ID, a.LogProb))
		}
		s.waiting = append(s.waiting, waitingToken{t, s.said + len(s.held)})
	}
	s.held += valid(s.decoder.Add(step.Token))
	// Of several stop strings the one that was whole first, so that it doesn't matter how the
	// text came in tokens; of those the longest.
	begin, end := 0, len(s.held)+1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (i+len(stop) < end || i+len(stop) == end && i < begin) {
			begin, end = i, i+len(stop)
			s.stopped = true
		}
	}
	if s.stopped {
		s.held = s.held[:begin]
	}
	if s.stopped {
		return s.say(len(s.held))
	}
	return s.say(len(s.held) - s.undecided())
}

// end gives what is left when the answer is over.
func (s *speaker) end() said {
	if !s.stopped {
		s.held += valid(s.decoder.End())
	}
	out := s.say(len(s.held))
	if !s.stopped {
		for _, w := range s.waiting { // tokens without text
			out.tokens = append(out.tokens, w.tokenSaid)
		}
		s.waiting = nil
	}
	return out
}

// undecided is how many bytes at the end may be the beginning of a stop string.
func (s *speaker) undecided() int {
	most := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > most; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				most = n
			}
		}
	}
	return most
}

// say says n bytes of what is held, with the tokens that began before their end.
func (s *speaker) say(n int) said {
	out := said{text: s.held[:n]}
	s.held = s.held[n:]
	end := s.said + n
	for len(s.waiting) > 0 && s.waiting[0].from < end {
		t := s.waiting[0].tokenSaid
		begin := max(0, s.waiting[0].from-s.said)
		t.offset = s.offset + len([]rune(out.text[:begin]))
		out.tokens = append(out.tokens, t)
		s.waiting = s.waiting[1:]
	}
	s.said = end
	s.offset += len([]rune(out.text))
	return out
}

func (s *speaker) token(id uint32, log int32) tokenSaid {
	b := s.tokenizer.Bytes(id)
	if b == nil {
		// Control tokens have no text; as alternatives they have their name.
		if v := s.tokenizer.Vocabulary(); int(id) < len(v.Tokens) && slices.Contains(v.Stop, int(id)) {
			b = v.Tokens[id]
		}
	}
	return tokenSaid{text: valid(string(b)), bytes: b, log: float64(log) / (1 << exact.WideBits)}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
