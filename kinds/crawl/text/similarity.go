package text

import "slices"

// Similarity is the share of shingles that two texts have in common, each counted as
// often as it occurs: 1 for texts of the same words in the same order, 0 for texts with
// nothing in common. It is a quotient of two integers, so every machine gets the same.
func Similarity(a, b string) float64 {
	if a == b {
		return 1
	}
	shared, all := overlap(a, b)
	if all == 0 {
		return 1 // neither has a word
	}
	return float64(shared) / float64(all)
}

// overlap counts the shingles that both have and those that either has.
func overlap(a, b string) (both, either int) {
	x, y := sorted(a), sorted(b)
	both = len(common(x, y))
	return both, len(x) + len(y) - both
}

func sorted(s string) []uint64 {
	h := make([]uint64, 0, len(s)/6+1)
	shingles(s, func(v uint64) { h = append(h, v) })
	slices.Sort(h)
	return h
}

// Agree reports whether a text that somebody claims to have seen fits two others that
// the reader saw itself, one after the other. What the two share is what the page always
// says; where they differ, it varies. An honest claim has nearly all of the first, and not
// much more of its own than each of the two has. Compared with a threshold on Similarity
// this finds far smaller alterations of pages that hardly vary and forgives pages that
// vary a lot: docs/similarity.md has the rates.
func Agree(claim, first, second string) bool {
	if claim == first || claim == second {
		return true
	}
	x, y, z := sorted(claim), sorted(first), sorted(second)
	steady := common(y, z)
	if len(x) == 0 || len(steady) == 0 {
		return len(x) == 0 && (len(y) == 0 || len(z) == 0)
	}
	varies := max(len(y), len(z)) - len(steady) // of one look
	missing := len(steady) - len(common(steady, x))
	own := len(x) - max(len(common(x, y)), len(common(x, z)))
	// The hour and the day, which both looks share, may differ from the claim's: that
	// is a few shingles, however long the page is. An advertisement that both looks
	// happened to get makes some more, but never a large part of what is steady.
	few := 6
	if varies > 0 {
		few = 12
	}
	few += len(steady) / 100
	return missing <= min(few+varies/4, 3+len(steady)/4) && own <= few+2*varies
}

// common is the part that two sorted lists share, each value as often as both have it.
func common(a, b []uint64) []uint64 {
	var out []uint64
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			out = append(out, a[i])
			i++
			j++
		}
	}
	return out
}
