package speaker

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

// ErrText says that tokens are not the text that they should be.
var ErrText = errors.New("the tokens do not spell the text")

// Prompt checks that a prompt's tokens are the speaker's way to ask this text: its prefix,
// tokens that spell the text, its suffix. Tokens without text, such as those that end a
// turn of a conversation, are refused within it.
func (s *Speaker) Prompt(text []byte, prompt []uint32, sp *Spelling) error {
	if err := sp.of(s); err != nil {
		return err
	}
	n := len(prompt) - len(s.Suffix)
	if n < len(s.Prefix) || !slices.Equal(prompt[:len(s.Prefix)], s.Prefix) || !slices.Equal(prompt[n:], s.Suffix) {
		return fmt.Errorf("%w: %d tokens that are not the speaker's %d before and %d after a text", ErrText, len(prompt), len(s.Prefix), len(s.Suffix))
	}
	rest := text
	if s.Space {
		rest = append([]byte{' '}, text...)
	}
	for i, id := range prompt[len(s.Prefix):n] {
		piece, err := sp.piece(id)
		switch {
		case err != nil:
			return err
		case len(piece) == 0:
			return fmt.Errorf("%w: token %d of it is %d, which has no text", ErrText, i, id)
		case !bytes.HasPrefix(rest, piece):
			return fmt.Errorf("%w: token %d of it is %q, and the text goes on with %q", ErrText, i, piece, rest[:min(len(rest), len(piece))])
		}
		rest = rest[len(piece):]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: its last %d bytes are missing", ErrText, len(rest))
	}
	return nil
}

// Answer is the text of an answer's tokens. Tokens without text give none, nor does a stop
// token at the end. It is bytes: an answer may end within a character.
func (s *Speaker) Answer(output []uint32, sp *Spelling) ([]byte, error) {
	if err := sp.of(s); err != nil {
		return nil, err
	}
	text := []byte{}
	for _, id := range s.Said(output) {
		piece, err := sp.piece(id)
		if err != nil {
			return nil, err
		}
		text = append(text, piece...)
	}
	if s.Trim {
		text = bytes.TrimPrefix(text, []byte{' '})
	}
	return text, nil
}

// Said is an answer without the token that ends it and those that lie past the vocabulary,
// which some models' matrices have rows for.
func (s *Speaker) Said(output []uint32) []uint32 {
	if n := len(output); n > 0 && slices.Contains(s.Stop, output[n-1]) {
		output = output[:n-1]
	}
	if !slices.ContainsFunc(output, s.beyond) {
		return output
	}
	return slices.DeleteFunc(slices.Clone(output), s.beyond)
}

func (s *Speaker) beyond(id uint32) bool { return id >= s.Size }

// Params are what a request says of how its answer is made.
type Params struct {
	MaxTokens   uint32
	Temperature uint32 // millionths; 0 takes the likeliest token
	TopK        uint32
	TopP        uint32 // millionths
	Seed        uint64
}

// Task is the one task that answers a request with these parameters, for a prompt that
// Prompt accepts.
func (s *Speaker) Task(prompt []uint32, request uint64, p Params) *claim.Task {
	t := &claim.Task{
		Model: s.Model, Prompt: prompt, MaxTokens: p.MaxTokens, Stop: slices.Clone(s.Stop),
		Sampling: exact.Sampling{Seed: Seed(request, p.Seed), Temperature: p.Temperature, TopK: p.TopK, TopP: p.TopP},
	}
	if p.Temperature == 0 {
		t.Sampling = exact.Sampling{} // nothing is drawn: one spelling for one meaning
	}
	return t
}

// Seed is what a request's tokens are drawn with:
// SHA-256("cantus request seed 1\x00" ‖ request ‖ seed), both as 8 bytes, big-endian. So
// two requests with one seed draw differently, and nobody chooses it knowing the other.
func Seed(request, seed uint64) [32]byte {
	b := []byte("cantus request seed 1\x00")
	b = binary.BigEndian.AppendUint64(b, request)
	b = binary.BigEndian.AppendUint64(b, seed)
	return sha256.Sum256(b)
}
