package merkle

import "sort"

// Missing calls need for every largest node over leaves [from, to) of a tree that has none
// of the given leaves under it, from left to right: what a proof of them consists of. The
// range is one node of the tree; leaves ascend, and those outside the range are ignored.
func Missing(from, to uint64, leaves []uint64, need func(from, to uint64)) {
	leaves = within(leaves, from, to)
	switch {
	case len(leaves) == 0:
		need(from, to)
	case to-from > 1:
		mid := from + Split(to-from)
		Missing(from, mid, leaves, need)
		Missing(mid, to, leaves, need)
	}
}

// Join is the node over leaves [from, to): leaf gives the hashes of the given ones, missing
// those that Missing calls for, both from left to right.
func Join(from, to uint64, leaves []uint64, leaf func(i uint64) Digest, missing func() Digest) Digest {
	leaves = within(leaves, from, to)
	switch {
	case len(leaves) == 0:
		return missing()
	case to-from == 1:
		return leaf(from)
	}
	mid := from + Split(to-from)
	left := Join(from, mid, leaves, leaf, missing)
	return Node(left, Join(mid, to, leaves, leaf, missing))
}

// within are those of ascending leaves that lie in [from, to).
func within(leaves []uint64, from, to uint64) []uint64 {
	a := sort.Search(len(leaves), func(i int) bool { return leaves[i] >= from })
	b := sort.Search(len(leaves), func(i int) bool { return leaves[i] >= to })
	return leaves[a:b]
}
