package keeper

import (
	"context"
	"slices"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

const (
	// maxTaintedBy bounds how many revoked ancestors are named.
	maxTaintedBy = 16
	// maxTaintReads bounds how many artifacts one query looks at for taint.
	maxTaintReads = 20_000
)

// taint says which revoked artifacts something was made from.
type taint struct {
	by      []uint64 // their numbers, ascending: the oldest ones, at most maxTaintedBy
	unknown bool     // not everything was looked at
}

// tainter finds taint, remembering what it saw for the rest of one query.
type tainter struct {
	k       *Keeper
	records map[uint64]types.Artifact
	taints  map[uint64]taint
}

func newTainter(k *Keeper) *tainter {
	return &tainter{k: k, records: map[uint64]types.Artifact{}, taints: map[uint64]taint{}}
}

// of returns the taint of an artifact: of what it was made from, not of itself. Each
// artifact is looked at once, its parents before it, on a stack of its own: a chain of
// artifacts can be as long as its owner had money.
func (t *tainter) of(ctx context.Context, a types.Artifact) (taint, error) {
	t.records[a.Number] = a
	stack := []uint64{a.Number}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if _, done := t.taints[n]; done {
			stack = stack[:len(stack)-1]
			continue
		}
		parents, err := t.k.parentsOf(ctx, t.records[n])
		if err != nil {
			return taint{}, err
		}
		waits := false
		for _, p := range parents {
			if _, done := t.taints[p.number]; done || !t.read(ctx, p.number, &err) {
				continue
			}
			stack, waits = append(stack, p.number), true
		}
		if err != nil {
			return taint{}, err
		}
		if !waits {
			t.taints[n] = t.join(parents)
			stack = stack[:len(stack)-1]
		}
	}
	return t.taints[a.Number], nil
}

// read fetches a record unless too many were; it reports whether the record is there.
func (t *tainter) read(ctx context.Context, n uint64, errp *error) bool {
	if _, ok := t.records[n]; ok {
		return true
	}
	if len(t.records) >= maxTaintReads || *errp != nil {
		return false
	}
	a, err := t.k.artifact(ctx, n)
	if err != nil {
		*errp = err
		return false
	}
	t.records[n] = a
	return true
}

// join is the taint of something with these parents, whose own taint is known where it
// will ever be.
func (t *tainter) join(parents []neighbour) taint {
	var sum taint
	for _, p := range parents {
		of, done := t.taints[p.number]
		if !done {
			sum.unknown = true
			continue
		}
		sum.unknown = sum.unknown || of.unknown
		sum.by = append(sum.by, of.by...)
		if t.records[p.number].Revoked() {
			sum.by = append(sum.by, p.number)
		}
	}
	// The least of each part hold the least of the whole.
	slices.Sort(sum.by)
	sum.by = slices.Compact(sum.by)
	sum.by = sum.by[:min(len(sum.by), maxTaintedBy)]
	return sum
}

// names are the CIDs behind a taint.
func (t *tainter) names(of taint) []string {
	var cids []string
	for _, n := range of.by {
		cids = append(cids, t.records[n].Cid)
	}
	return cids
}
