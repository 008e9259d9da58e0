package keeper

import (
	"cmp"
	"context"
	"slices"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

const (
	// maxEarners bounds how many artifacts earn from one job. What would go to more
	// stays with those that were made from them.
	maxEarners = 64
	// fine is how many parts a basis point is divided in while shares are passed on.
	fine = 1_000_000_000
)

// earner is an artifact on its way to its share.
type earner struct {
	artifact types.Artifact
	depth    uint32
	amount   uint64 // in fine parts of a basis point of the job's price
}

// Royalties divides what the artifacts that a job uses ask for among their owners and the
// owners of what they were made from. An artifact asks for its royalty, passes each parent
// the share of it that it owes, and they do likewise. A revoked ancestor, one beyond the
// greatest depth, and one after the first maxEarners get nothing: the child keeps it. So
// the sum is what the used artifacts ask for, whatever lies behind them.
//
// It fails for an artifact that is not registered or was revoked. The order is the same on
// every node: by the owners' latest artifacts, newest first.
func (k *Keeper) Royalties(ctx context.Context, uses []string) ([]types.Share, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return nil, err
	}
	waiting, err := k.used(ctx, uses)
	if err != nil {
		return nil, err
	}
	total := uint64(0)
	for _, e := range waiting {
		total += uint64(e.artifact.RoyaltyBps)
	}
	if total > types.BasisPoints {
		return nil, types.ErrRoyalties.Wrapf("the artifacts ask for %d bps, more than the whole price", total)
	}

	var done []earner
	for len(waiting) > 0 {
		// The newest first: nothing made from it is left that could add to it.
		i := newest(waiting)
		e := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		if e.depth < p.MaxDepth {
			if waiting, err = k.passOn(ctx, &e, waiting, len(done)+1); err != nil {
				return nil, err
			}
		}
		done = append(done, e)
	}
	return shares(done, total), nil
}

// used are the artifacts that a job reads, with what they ask for.
func (k *Keeper) used(ctx context.Context, uses []string) ([]earner, error) {
	if len(uses) > maxEarners {
		return nil, types.ErrRoyalties.Wrapf("%d artifacts, at most %d can be used at once", len(uses), maxEarners)
	}
	var list []earner
	for i, cid := range uses {
		if slices.Contains(uses[:i], cid) {
			return nil, types.ErrInvalid.Wrapf("%s is used twice", cid)
		}
		a, err := k.Artifact(ctx, cid)
		if err != nil {
			return nil, err
		}
		if a.Revoked() {
			return nil, types.ErrRevoked.Wrapf("%s, since height %d: %s", cid, a.RevokedHeight, a.RevokeReason)
		}
		list = append(list, earner{artifact: a, amount: uint64(a.RoyaltyBps) * fine})
	}
	return list, nil
}

func newest(list []earner) int {
	best := 0
	for i := range list {
		if list[i].artifact.Number > list[best].artifact.Number {
			best = i
		}
	}
	return best
}

// passOn moves what e owes to its parents, who wait for their turn. So many others, e
// included, are done.
func (k *Keeper) passOn(ctx context.Context, e *earner, waiting []earner, done int) ([]earner, error) {
	whole := e.amount
	for _, p := range e.artifact.Parents {
		part := whole * uint64(p.RoyaltyBps) / types.BasisPoints // at most 10⁴·10⁹·10⁴: no overflow
		if part == 0 {
			continue
		}
		i := slices.IndexFunc(waiting, func(w earner) bool { return w.artifact.Cid == p.Cid })
		if i < 0 {
			if done+len(waiting) >= maxEarners {
				continue
			}
			a, err := k.Artifact(ctx, p.Cid)
			if err != nil {
				return nil, err
			}
			if a.Revoked() {
				continue
			}
			waiting = append(waiting, earner{artifact: a, depth: e.depth + 1})
			i = len(waiting) - 1
		}
		waiting[i].amount += part
		waiting[i].depth = min(waiting[i].depth, e.depth+1)
		e.amount -= part
	}
	return waiting, nil
}

// shares sums what the artifacts earn by their owners and rounds it to basis points that
// add up to total: down, and then up for those who lost most, in their order.
func shares(done []earner, total uint64) []types.Share {
	type part struct {
		share  types.Share
		amount uint64
	}
	var parts []part
	for _, e := range done {
		if e.amount == 0 {
			continue
		}
		i := slices.IndexFunc(parts, func(p part) bool { return p.share.Owner == e.artifact.Owner })
		if i < 0 {
			parts = append(parts, part{share: types.Share{Artifact: e.artifact.Cid, Owner: e.artifact.Owner}})
			i = len(parts) - 1
		}
		parts[i].amount += e.amount
	}
	byLoss := make([]int, len(parts))
	left := total
	for i := range parts {
		byLoss[i] = i
		parts[i].share.Bps = uint32(parts[i].amount / fine)
		left -= uint64(parts[i].share.Bps)
	}
	slices.SortStableFunc(byLoss, func(a, b int) int { return cmp.Compare(parts[b].amount%fine, parts[a].amount%fine) })
	for _, i := range byLoss[:left] {
		parts[i].share.Bps++
	}
	var list []types.Share
	for _, p := range parts {
		if p.share.Bps > 0 {
			list = append(list, p.share)
		}
	}
	return list
}
