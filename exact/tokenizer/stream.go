package tokenizer

import "unicode/utf8"

// Decoder gives the text of tokens as they come, only whole characters: what a character's
// first bytes begin is held back until its last ones come.
type Decoder struct {
	t     *Tokenizer
	held  []byte
	begun bool
}

// NewDecoder begins a text. After other text the space before the first word is kept.
func (t *Tokenizer) NewDecoder(after bool) *Decoder { return &Decoder{t: t, begun: after} }

// Add gives what is whole now.
func (d *Decoder) Add(token uint32) string {
	b := d.t.Bytes(token)
	if !d.begun && len(b) > 0 {
		d.begun = true
		if d.t.v.Kind == SentencePiece && d.t.v.AddPrefix && b[0] == ' ' {
			b = b[1:]
		}
	}
	d.held = append(d.held, b...)
	n := len(d.held)
	// An unfinished character has at most three bytes.
	for i := 1; i <= 3 && i <= n; i++ {
		if c := d.held[n-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(d.held[n-i:]) {
				n -= i
			}
			break
		}
	}
	out := string(d.held[:n])
	d.held = append(d.held[:0], d.held[n:]...)
	return out
}

// End gives what is left, the beginning of a character that never came whole.
func (d *Decoder) End() string {
	out := string(d.held)
	d.held = nil
	return out
}
