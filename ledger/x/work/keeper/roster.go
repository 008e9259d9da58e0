package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cosmossdk.io/collections"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// The roster of a kind numbers its active workers 0, 1, 2, … without gaps: whoever leaves
// is replaced by the last. So a number drawn below the size is a worker drawn fairly, at
// the cost of one read.

func (k *Keeper) rosterLen(ctx context.Context, kind string) (uint64, error) {
	n, err := k.rosterSize.Get(ctx, kind)
	if err != nil && !errors.Is(err, collections.ErrNotFound) {
		return 0, fmt.Errorf("read the roster of %s: %w", kind, err)
	}
	return n, nil
}

func (k *Keeper) joinRoster(ctx context.Context, w types.Worker) error {
	for _, kind := range w.Kinds {
		n, err := k.rosterLen(ctx, kind)
		if err != nil {
			return err
		}
		if err := k.roster.Set(ctx, collections.Join(kind, n), w.Key); err != nil {
			return err
		}
		if err := k.rosterAt.Set(ctx, collections.Join(kind, w.Key), n); err != nil {
			return err
		}
		if err := k.rosterSize.Set(ctx, kind, n+1); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) leaveRoster(ctx context.Context, w types.Worker) error {
	for _, kind := range w.Kinds {
		at, err := k.rosterAt.Get(ctx, collections.Join(kind, w.Key))
		if err != nil {
			return fmt.Errorf("find worker %x in the roster of %s: %w", w.Key, kind, err)
		}
		n, err := k.rosterLen(ctx, kind)
		if err != nil {
			return err
		}
		last, err := k.roster.Get(ctx, collections.Join(kind, n-1))
		if err != nil {
			return fmt.Errorf("read place %d of the roster of %s: %w", n-1, kind, err)
		}
		if err := k.roster.Set(ctx, collections.Join(kind, at), last); err != nil {
			return err
		}
		if err := k.rosterAt.Set(ctx, collections.Join(kind, last), at); err != nil {
			return err
		}
		if err := k.roster.Remove(ctx, collections.Join(kind, n-1)); err != nil {
			return err
		}
		if err := k.rosterAt.Remove(ctx, collections.Join(kind, w.Key)); err != nil {
			return err
		}
		if err := k.rosterSize.Set(ctx, kind, n-1); err != nil {
			return err
		}
	}
	return nil
}

// setWorkerStatus changes a worker's status in w, not in the store, and keeps the roster
// in step: it lists exactly those that are active.
func (k *Keeper) setWorkerStatus(ctx context.Context, w *types.Worker, s types.Status) error {
	was := w.Status
	if was == s {
		return nil
	}
	w.Status = s
	emit(ctx, types.EventWorkerUpdated, types.AttrWorker, w.Key, types.AttrOperator, w.Operator, types.AttrStatus, s)
	switch {
	case s == types.Status_STATUS_ACTIVE:
		w.ActiveHeight = height(ctx)
		return k.joinRoster(ctx, *w)
	case was == types.Status_STATUS_ACTIVE:
		return k.leaveRoster(ctx, *w)
	}
	return nil
}

// auditorPool reads the roster for the samples that one message opens; what two samples
// share is read once.
type auditorPool struct {
	k     *Keeper
	job   types.Job
	epoch types.Epoch
	size  uint64
	known map[uint64]*work.Candidate // nil for one that may not audit this epoch
	// The buyer's account, the gateway's, and those of its cells.
	parties []string
}

func (k *Keeper) newAuditorPool(ctx context.Context, j types.Job, e types.Epoch) (*auditorPool, error) {
	n, err := k.rosterLen(ctx, j.Kind)
	if err != nil {
		return nil, err
	}
	g, err := k.gatewayOfJob(ctx, j)
	if err != nil {
		return nil, err
	}
	parties := []string{j.Buyer, j.Gateway}
	for _, c := range g.Cells {
		parties = append(parties, c.Address)
	}
	return &auditorPool{k: k, job: j, epoch: e, size: n, known: map[uint64]*work.Candidate{}, parties: parties}, nil
}

// draw picks a sample's auditors. Nobody who gains by the verdict is a candidate: neither
// the worker's own operator nor the job's buyer or gateway.
func (p *auditorPool) draw(ctx context.Context, sample uint32, audited types.Worker, n uint32) ([]work.PublicKey, error) {
	key, err := work.KeyFromBytes(audited.Key)
	if err != nil {
		return nil, err
	}
	beacon := p.epoch.BeaconBytes()
	var candidates []work.Candidate
	for _, place := range types.Probe(beacon, sample, p.size) {
		c, seen := p.known[place]
		if !seen {
			if c, err = p.candidate(ctx, place); err != nil {
				return nil, err
			}
			p.known[place] = c
		}
		if c != nil {
			candidates = append(candidates, *c)
		}
	}
	who := work.Candidate{Key: key, Operator: audited.Operator, Network: audited.Network}
	return work.Auditors(beacon, sample, who, candidates, int(n)), nil
}

func (p *auditorPool) candidate(ctx context.Context, place uint64) (*work.Candidate, error) {
	b, err := p.k.roster.Get(ctx, collections.Join(p.job.Kind, place))
	if err != nil {
		return nil, fmt.Errorf("read place %d of the roster of %s: %w", place, p.job.Kind, err)
	}
	w, err := p.k.worker(ctx, b)
	if err != nil {
		return nil, err
	}
	if w.ActiveHeight >= p.epoch.CommitHeight || slices.Contains(p.parties, w.Operator) {
		return nil, nil
	}
	key, err := work.KeyFromBytes(w.Key)
	if err != nil {
		return nil, err
	}
	return &work.Candidate{Key: key, Operator: w.Operator, Network: w.Network}, nil
}
