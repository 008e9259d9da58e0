package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// maxWalk bounds how many artifacts one query walks over.
const maxWalk = 10_000

// neighbour is an artifact one step away from another.
type neighbour struct {
	number uint64
	role   string // of the step: what the parent was to the child
}

// parentsOf and childrenOf are the two directions of a walk. Their order is that of the
// record, or of registration.
func (k *Keeper) parentsOf(ctx context.Context, a types.Artifact) ([]neighbour, error) {
	steps := make([]neighbour, 0, len(a.Parents))
	for _, p := range a.Parents {
		n, err := k.numbers.Get(ctx, p.Cid)
		if err != nil {
			return nil, fmt.Errorf("look for parent %s of %s: %w", p.Cid, a.Cid, err)
		}
		steps = append(steps, neighbour{n, p.Role})
	}
	return steps, nil
}

func (k *Keeper) childrenOf(ctx context.Context, a types.Artifact) ([]neighbour, error) {
	var steps []neighbour
	err := k.children.Walk(ctx, collections.NewPrefixedPairRange[uint64, uint64](a.Number), func(e edge) (bool, error) {
		steps = append(steps, neighbour{number: e.K2()})
		return len(steps) > maxWalk, nil // one more than the walk takes
	})
	if err != nil {
		return nil, fmt.Errorf("list what was made from %s: %w", a.Cid, err)
	}
	return steps, nil
}

// roleIn is the role in which parent went into child.
func roleIn(child types.Artifact, parent string) string {
	for _, p := range child.Parents {
		if p.Cid == parent {
			return p.Role
		}
	}
	return ""
}

// walk is a breadth-first walk over the register.
type walk struct {
	k        *Keeper
	down     bool // to what was made from the start, not to what it was made from
	maxDepth uint32
	// Of what the walk finds, the first skip are passed over and the next limit
	// returned. It goes on to the end only if it is to count.
	skip, limit uint64
	count       bool
}

// found is what a walk came back with.
type found struct {
	page      []types.Traced
	total     uint64 // of everything, if it was to count
	more      bool   // something follows the page
	truncated bool   // something lies beyond the bounds
}

type visit struct {
	artifact types.Artifact
	depth    uint32
}

func (w walk) from(ctx context.Context, start types.Artifact) (found, error) {
	var f found
	seen := map[uint64]bool{start.Number: true}
	for queue := []visit{{start, 0}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		steps, err := w.steps(ctx, at.artifact)
		if err != nil {
			return f, err
		}
		for _, s := range steps {
			if seen[s.number] {
				continue
			}
			if at.depth == w.maxDepth {
				f.truncated = true
				break
			}
			if len(seen) > maxWalk {
				f.truncated = true
				return f, nil
			}
			seen[s.number] = true
			a, err := w.k.artifact(ctx, s.number)
			if err != nil {
				return f, err
			}
			queue = append(queue, visit{a, at.depth + 1})
			if f.add(w, a, at, s); f.more && !w.count {
				return f, nil
			}
		}
	}
	return f, nil
}

func (w walk) steps(ctx context.Context, a types.Artifact) ([]neighbour, error) {
	if w.down {
		return w.k.childrenOf(ctx, a)
	}
	return w.k.parentsOf(ctx, a)
}

// add counts an artifact and, if it is on the page, puts it there.
func (f *found) add(w walk, a types.Artifact, from visit, s neighbour) {
	f.total++
	switch {
	case f.total <= w.skip:
	case f.total > w.skip+w.limit:
		f.more = true
	default:
		t := types.Traced{Artifact: a, Depth: from.depth + 1, Via: from.artifact.Cid, Role: s.role}
		if w.down {
			t.Role = roleIn(a, from.artifact.Cid)
		}
		f.page = append(f.page, t)
	}
}
