package text

// shingle is how many words in a row are compared as one.
const shingle = 3

// words calls f with a hash of each word of s in turn. A word is a run of letters and
// digits; in scripts that put no spaces between words each character is one. Letters of
// ASCII count as lower-case. Like the text form it knows nothing of package unicode, whose
// tables change.
func words(s string, f func(uint64)) {
	const offset, prime = 14695981039346656037, 1099511628211
	h, in := uint64(offset), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c < 0x80:
			if in {
				f(mix(h))
				h, in = offset, false
			}
			continue
		case c >= 0xe0:
			// The first byte of a character of three or four: perhaps one without spaces.
			n, sep, alone := wideRune(s[i:])
			if sep || alone {
				if in {
					f(mix(h))
					h, in = offset, false
				}
				if alone {
					a := uint64(offset)
					for k := range n {
						a = (a ^ uint64(s[i+k])) * prime
					}
					f(mix(a))
				}
				i += n - 1
				continue
			}
		}
		h = (h ^ uint64(c)) * prime
		in = true
	}
	if in {
		f(mix(h))
	}
}

// wideRune looks at a character of at least three bytes in UTF-8: its length, and
// whether it separates words or is one by itself.
func wideRune(s string) (n int, separates, alone bool) {
	n = 3
	if s[0] >= 0xf0 {
		n = 4
	}
	if len(s) < n {
		return len(s), false, false
	}
	if n == 4 {
		r := rune(s[0]&7)<<18 | rune(s[1]&0x3f)<<12 | rune(s[2]&0x3f)<<6 | rune(s[3]&0x3f)
		return n, false, r >= 0x20000 && r < 0x40000
	}
	r := rune(s[0]&0xf)<<12 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f)
	switch {
	case r >= 0x2000 && r < 0x2070, r >= 0x3000 && r < 0x3040, r >= 0xff00 && r < 0xff10:
		return n, true, false // punctuation, of general use and of East Asia
	case r >= 0x0e00 && r < 0x0f00, r >= 0x1000 && r < 0x10a0, r >= 0x1780 && r < 0x1800,
		r >= 0x2e80 && r < 0xa000, r >= 0xf900 && r < 0xfb00:
		return n, false, true // Thai, Lao, Burmese, Khmer, kana and Han
	}
	return n, false, false
}

// mix spreads a hash over all its bits.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// shingles calls f with a hash of every run of three words, and once with all there is
// of a shorter text. An empty text has none.
func shingles(s string, f func(uint64)) {
	var a, b uint64 // the two words before
	n := 0
	words(s, func(w uint64) {
		if n++; n >= shingle {
			f(mix(mix(a)*3 + mix(b)*5 + w))
		}
		a, b = b, w
	})
	if n > 0 && n < shingle {
		f(mix(mix(a)*3 + b))
	}
}

// SimHash is Charikar's fingerprint over the text's shingles: texts that share most of
// them differ in few bits. An empty text has 0.
func SimHash(s string) uint64 {
	// Sixty-four counters, eight to a word with eight bits each, so that a shingle costs
	// eight additions; they are emptied into wide ones before they can overflow.
	var narrow [8]uint64
	var wide [64]uint32
	n, total := 0, uint32(0)
	empty := func() {
		for i := range narrow {
			for k := range 8 {
				wide[i*8+k] += uint32(narrow[i] >> (8 * k) & 0xff)
			}
			narrow[i] = 0
		}
		n = 0
	}
	shingles(s, func(h uint64) {
		for i := range narrow {
			narrow[i] += h >> i & 0x0101010101010101
		}
		total++
		if n++; n == 255 {
			empty()
		}
	})
	empty()
	var out uint64
	for i := range 8 {
		for k := range 8 {
			// narrow[i] counted bit i of each byte k.
			if 2*uint64(wide[i*8+k]) > uint64(total) {
				out |= 1 << (8*k + i)
			}
		}
	}
	return out
}
