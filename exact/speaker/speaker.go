package speaker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact/canonical"
	"github.com/cantus-network/cantus/exact/claim"
)

// Bounds of a Speaker.
const (
	MaxBytes = 4 << 10 // encoded
	MaxFrame = 1 << 10 // tokens before and after the text, together
)

// domain makes an ID of a speaker no hash of anything else.
const domain = "cantus speaker 1\x00"

// Digest is a SHA-256 hash.
type Digest = [sha256.Size]byte

// ErrSpeaker marks a speaker that no model has, or bytes that are not its one encoding.
var ErrSpeaker = errors.New("not a speaker")

// Speaker is a model as contracts talk to it: one question, one answer.
type Speaker struct {
	Model      Digest   // root of the model's file
	Vocabulary Digest   // root over what its tokens spell
	Size       uint32   // how many tokens those are
	Prefix     []uint32 // tokens before the text
	Suffix     []uint32 // and after it
	Stop       []uint32 // tokens that end an answer; ascending
	Space      bool     // the text is spelt with a space before it
	Trim       bool     // a space at the beginning of an answer does not belong to it
}

// ID is what contracts call a speaker by.
type ID Digest

// String is the ID as contracts write it.
func (id ID) String() string { return "0x" + hex.EncodeToString(id[:]) }

// ParseID reads what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2+2*len(id) || s[:2] != "0x" {
		return id, fmt.Errorf("speaker %.80q: want 0x and %d hexadecimal digits", s, 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s[2:])); err != nil {
		return id, fmt.Errorf("speaker %.80q: want 0x and %d hexadecimal digits", s, 2*len(id))
	}
	return id, nil
}

// Check refuses what is out of bounds.
func (s *Speaker) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrSpeaker, fmt.Sprintf(format, a...))
	}
	switch {
	case s.Size < 1 || s.Size > claim.MaxVocab:
		return bad("a vocabulary of %d tokens: must be from 1 to %d", s.Size, claim.MaxVocab)
	case len(s.Prefix)+len(s.Suffix) > MaxFrame:
		return bad("%d tokens around the text: at most %d", len(s.Prefix)+len(s.Suffix), MaxFrame)
	case len(s.Stop) > claim.MaxStop:
		return bad("%d stop tokens: at most %d", len(s.Stop), claim.MaxStop)
	}
	for _, list := range [][]uint32{s.Prefix, s.Suffix, s.Stop} {
		for _, id := range list {
			if id >= s.Size {
				return bad("token %d of a vocabulary of %d", id, s.Size)
			}
		}
	}
	for i := 1; i < len(s.Stop); i++ {
		if s.Stop[i] <= s.Stop[i-1] {
			return bad("stop token %d after %d: they ascend", s.Stop[i], s.Stop[i-1])
		}
	}
	return nil
}

// Frame is how many tokens there are around a text.
func (s *Speaker) Frame() int { return len(s.Prefix) + len(s.Suffix) }

// MostTokens is the most tokens that a prompt can have for a text of so many bytes: each
// token of the text spells a byte of it at least.
func (s *Speaker) MostTokens(text int) int {
	if s.Space {
		text++
	}
	return s.Frame() + text
}

// wire is the encoded form: an array, tokens as byte strings of varints.
type wire struct {
	_          struct{} `cbor:",toarray"`
	Model      []byte
	Vocabulary []byte
	Size       uint32
	Prefix     []byte
	Suffix     []byte
	Stop       []byte
	Space      bool
	Trim       bool
}

// Encode is the one encoding of a speaker that Check accepts.
func (s *Speaker) Encode() ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	b, err := canonical.Encode(&wire{
		Model: s.Model[:], Vocabulary: s.Vocabulary[:], Size: s.Size,
		Prefix: canonical.PutTokens(s.Prefix), Suffix: canonical.PutTokens(s.Suffix), Stop: canonical.PutTokens(s.Stop), Space: s.Space, Trim: s.Trim,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a speaker: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d", ErrSpeaker, len(b), MaxBytes)
	}
	return b, nil
}

// Decode takes what Encode gives and nothing else.
func Decode(b []byte) (*Speaker, error) {
	bad := func(what string) error { return fmt.Errorf("decode a speaker: %w: %s", ErrSpeaker, what) }
	var w wire
	err := canonical.Decode(b, MaxBytes, &w)
	if err != nil {
		return nil, bad(err.Error())
	}
	s := &Speaker{Size: w.Size, Space: w.Space, Trim: w.Trim}
	if len(w.Model) != len(s.Model) || len(w.Vocabulary) != len(s.Vocabulary) {
		return nil, bad("a root that has not 32 bytes")
	}
	copy(s.Model[:], w.Model)
	copy(s.Vocabulary[:], w.Vocabulary)
	for _, list := range []struct {
		from []byte
		to   *[]uint32
	}{{w.Prefix, &s.Prefix}, {w.Suffix, &s.Suffix}, {w.Stop, &s.Stop}} {
		if *list.to, err = canonical.Tokens(list.from, claim.MaxVocab); err != nil {
			return nil, bad(err.Error())
		}
	}
	again, err := s.Encode()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if !bytes.Equal(again, b) {
		return nil, bad("another encoding of the same")
	}
	return s, nil
}

// ID of a speaker that Check accepts: SHA-256("cantus speaker 1\x00" ‖ encoding).
func (s *Speaker) ID() (ID, error) {
	b, err := s.Encode()
	if err != nil {
		return ID{}, err
	}
	return IDOf(b), nil
}

// IDOf is the ID of an encoded speaker.
func IDOf(encoded []byte) ID {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(encoded)
	return ID(h.Sum(nil))
}
