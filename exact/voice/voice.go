// Package voice is a speaker with its whole vocabulary, as a gateway has it: it makes what
// package speaker checks. It stands apart so that a ledger needs no tokenizer.
package voice

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// Frame is what stands around the text of a prompt.
type Frame struct {
	Prefix, Suffix []uint32
	Space, Trim    bool // as a speaker has them
}

// Plain is the frame of a model that was made for no chats: the begin token, if it has one,
// and the text that it goes on with.
func Plain(v *tokenizer.Vocabulary) Frame {
	f := Frame{Space: v.Kind == tokenizer.SentencePiece && v.AddPrefix}
	if v.AddBOS {
		f.Prefix = []uint32{uint32(v.BOS)}
	}
	return f
}

// Voice is a speaker with its whole vocabulary: it makes what a speaker checks. It does not
// change: any number of goroutines may use it.
type Voice struct {
	speaker speaker.Speaker
	id      speaker.ID
	encoded []byte
	bare    *tokenizer.Tokenizer // without what it does to a text's ends
	pieces  [][]byte
	leaves  []speaker.Digest
	longest map[string]uint32 // a token for each piece
	most    int               // bytes of the longest
}

// New is the voice of the model with this root and vocabulary.
func New(model speaker.Digest, v *tokenizer.Vocabulary, f Frame) (*Voice, error) {
	bare := *v
	bare.AddBOS, bare.AddPrefix, bare.Collapse = false, false, false
	t, err := tokenizer.New(&bare)
	if err != nil {
		return nil, fmt.Errorf("make a speaker of model %x: %w", model[:6], err)
	}
	n := len(v.Tokens)
	w := &Voice{bare: t, pieces: make([][]byte, n), leaves: make([]speaker.Digest, n), longest: make(map[string]uint32, n)}
	for i := range n {
		piece := t.Bytes(uint32(i))
		w.pieces[i], w.leaves[i] = piece, speaker.Leaf(piece)
		if _, twice := w.longest[string(piece)]; len(piece) > 0 && !twice {
			w.longest[string(piece)] = uint32(i)
			w.most = max(w.most, len(piece))
		}
	}
	w.speaker = speaker.Speaker{
		Model: model, Vocabulary: merkle.Root(w.leaves), Size: uint32(n),
		Prefix: slices.Clone(f.Prefix), Suffix: slices.Clone(f.Suffix), Space: f.Space, Trim: f.Trim,
	}
	// The same ones, of more than a task can have, that the routes in OpenAI's shape take.
	for _, id := range v.Stop[:min(len(v.Stop), claim.MaxStop)] {
		w.speaker.Stop = append(w.speaker.Stop, uint32(id))
	}
	slices.Sort(w.speaker.Stop)
	w.speaker.Stop = slices.Compact(w.speaker.Stop)
	if w.encoded, err = w.speaker.Encode(); err != nil {
		return nil, fmt.Errorf("make a speaker of model %x: %w", model[:6], err)
	}
	w.id = speaker.IDOf(w.encoded)
	return w, nil
}

// Speaker is what the ledger has of it; not to be changed.
func (w *Voice) Speaker() *speaker.Speaker { return &w.speaker }

// Encoded is the speaker's encoding; not to be changed.
func (w *Voice) Encoded() []byte { return w.encoded }

// ID is what contracts call it by.
func (w *Voice) ID() speaker.ID { return w.id }

// Prompt makes the tokens that ask a text, for Speaker.Prompt: as the model's tokenizer
// spells it, or, where that would lose something of it, in the longest pieces from its
// beginning on.
func (w *Voice) Prompt(text []byte) ([]uint32, error) {
	whole := text
	if w.speaker.Space {
		whole = append([]byte{' '}, text...)
	}
	spelt := w.bare.Encode(string(whole), false, false)
	var got []byte
	for _, id := range spelt {
		got = append(got, w.pieces[id]...)
	}
	if !bytes.Equal(got, whole) || slices.ContainsFunc(spelt, func(id uint32) bool { return len(w.pieces[id]) == 0 }) {
		var err error
		if spelt, err = w.greedy(whole); err != nil {
			return nil, err
		}
	}
	return slices.Concat(w.speaker.Prefix, spelt, w.speaker.Suffix), nil
}

func (w *Voice) greedy(text []byte) ([]uint32, error) {
	var out []uint32
next:
	for len(text) > 0 {
		for n := min(w.most, len(text)); n > 0; n-- {
			if id, ok := w.longest[string(text[:n])]; ok {
				out, text = append(out, id), text[n:]
				continue next
			}
		}
		return nil, fmt.Errorf("%w: the model has no token for %q", speaker.ErrText, text[:1])
	}
	return out, nil
}

// Spelling shows what the tokens of a prompt and of answers spell, for Speaker.Open.
func (w *Voice) Spelling(prompt []uint32, outputs ...[]uint32) ([]byte, error) {
	var list []uint64
	add := func(ids []uint32) {
		for _, id := range ids {
			list = append(list, uint64(id))
		}
	}
	if f := w.speaker.Frame(); len(prompt) >= f { // what stands around the text need not be shown
		add(prompt[len(w.speaker.Prefix) : len(prompt)-len(w.speaker.Suffix)])
	}
	for _, o := range outputs {
		add(w.speaker.Said(o))
	}
	slices.Sort(list)
	list = slices.Compact(list)
	b := binary.AppendUvarint(nil, uint64(len(list)))
	next := uint64(0)
	for _, id := range list {
		if id >= uint64(w.speaker.Size) {
			return nil, fmt.Errorf("%w: token %d of a vocabulary of %d", speaker.ErrSpelling, id, w.speaker.Size)
		}
		b = binary.AppendUvarint(b, id-next)
		b = binary.AppendUvarint(b, uint64(len(w.pieces[id])))
		b = append(b, w.pieces[id]...)
		next = id + 1
	}
	merkle.Missing(0, uint64(w.speaker.Size), list, func(from, to uint64) {
		node := merkle.Root(w.leaves[from:to])
		b = append(b, node[:]...)
	})
	if len(b) > speaker.MaxSpelling {
		return nil, fmt.Errorf("%w: %d different tokens take %d bytes to show, at most %d", speaker.ErrSpelling, len(list), len(b), speaker.MaxSpelling)
	}
	return b, nil
}
