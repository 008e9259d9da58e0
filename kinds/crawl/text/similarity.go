package text

import "slices"

// Similarity is the share of shingles that two texts have in common, each counted as
// often as it occurs: 1 for texts of the same words in the same order, 0 for texts with
// nothing in common. It is a quotient of two integers, so every machine gets the same.
func Similarity(a, b string) float64 {
	if a == b {
		return 1
	}
	common, all := overlap(a, b)
	if all == 0 {
		return 1 // neither has a word
	}
	return float64(common) / float64(all)
}

// overlap counts the shingles that both have and those that either has.
func overlap(a, b string) (common, all uint64) {
	x, y := sorted(a), sorted(b)
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case x[i] < y[j]:
			i++
		case x[i] > y[j]:
			j++
		default:
			common++
			i++
			j++
		}
	}
	return common, uint64(len(x)+len(y)) - common
}

func sorted(s string) []uint64 {
	h := make([]uint64, 0, len(s)/6+1)
	shingles(s, func(v uint64) { h = append(h, v) })
	slices.Sort(h)
	return h
}
