package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

const (
	// maxDue bounds what one block takes from each queue; the rest waits for the next.
	maxDue = 2_000
	// retryBlocks is how long a step that failed waits for the next try.
	retryBlocks = 100
)

// BeginBlock draws the samples of the epochs that earlier blocks committed. Their beacon
// is this block's hash, which FinalizeBlock gives to every validator alike.
func (k *Keeper) BeginBlock(ctx context.Context) error {
	hash := headerHash(ctx)
	if len(hash) == 0 {
		return nil // without a hash there is no beacon: the epochs wait
	}
	due, err := takeDue(ctx, k.beacons, collections.NewPrefixUntilTripleRange[int64, uint64, uint64](height(ctx)-1))
	if err != nil {
		return fmt.Errorf("read the epochs that wait for a beacon: %w", err)
	}
	for _, d := range due {
		if err := k.step(ctx, d.K2(), func(ctx context.Context) error {
			return k.drawSamples(ctx, hash, d.K2(), d.K3())
		}, func(at int64) error {
			return k.beacons.Set(ctx, collections.Join3(at, d.K2(), d.K3()))
		}); err != nil {
			return err
		}
	}
	return nil
}

// EndBlock does what is due at this height: challenges and disputes in which somebody was
// silent, audits whose time is over, settlements, expiries, and bonds on their way back.
func (k *Keeper) EndBlock(ctx context.Context) error {
	h := height(ctx)
	cases, err := takeDue(ctx, k.caseQueue, collections.NewPrefixUntilPairRange[int64, uint64](h))
	if err != nil {
		return fmt.Errorf("read the challenges that are due: %w", err)
	}
	for _, d := range cases {
		if err := k.step(ctx, 0, func(ctx context.Context) error { return k.wakeChallenge(ctx, d.K2()) },
			func(at int64) error { return k.caseQueue.Set(ctx, collections.Join(at, d.K2())) }); err != nil {
			return err
		}
	}
	disputes, err := takeDue(ctx, k.disputeQueue, collections.NewPrefixUntilPairRange[int64, uint64](h))
	if err != nil {
		return fmt.Errorf("read the disputes that are due: %w", err)
	}
	for _, d := range disputes {
		if err := k.step(ctx, 0, func(ctx context.Context) error { return k.wakeDispute(ctx, d.K2()) },
			func(at int64) error { return k.disputeQueue.Set(ctx, collections.Join(at, d.K2())) }); err != nil {
			return err
		}
	}
	epochs, err := takeDue(ctx, k.epochQueue, collections.NewPrefixUntilTripleRange[int64, uint64, uint64](h))
	if err != nil {
		return fmt.Errorf("read the epochs that are due: %w", err)
	}
	for _, d := range epochs {
		if err := k.step(ctx, d.K2(), func(ctx context.Context) error { return k.wakeEpoch(ctx, d.K2(), d.K3()) },
			func(at int64) error { return k.epochQueue.Set(ctx, collections.Join3(at, d.K2(), d.K3())) }); err != nil {
			return err
		}
	}
	jobs, err := takeDue(ctx, k.jobQueue, collections.NewPrefixUntilPairRange[int64, uint64](h))
	if err != nil {
		return fmt.Errorf("read the jobs that are due: %w", err)
	}
	for _, d := range jobs {
		if err := k.step(ctx, d.K2(), func(ctx context.Context) error {
			j, err := k.job(ctx, d.K2())
			if err != nil {
				return err
			}
			return k.wakeJob(ctx, j)
		}, func(at int64) error { return k.jobQueue.Set(ctx, collections.Join(at, d.K2())) }); err != nil {
			return err
		}
	}
	bonds, err := takeDue(ctx, k.releaseQueue, collections.NewPrefixUntilPairRange[int64, []byte](h))
	if err != nil {
		return fmt.Errorf("read the bonds that are due: %w", err)
	}
	for _, d := range bonds {
		if err := k.step(ctx, 0, func(ctx context.Context) error { return k.wakeBond(ctx, d.K2()) },
			func(at int64) error { return k.releaseQueue.Set(ctx, collections.Join(at, d.K2())) }); err != nil {
			return err
		}
	}
	return nil
}

// step runs one due step by itself: one that fails leaves no trace but an event and is
// tried again later, so that no job can stop the chain.
func (k *Keeper) step(ctx context.Context, job uint64, do func(context.Context) error, again func(at int64) error) error {
	sc := sdk.UnwrapSDKContext(ctx)
	cached, write := sc.CacheContext()
	err := do(cached)
	if err == nil {
		write()
		return nil
	}
	sc.Logger().Error("a step of the work market failed and will be tried again", "job", job, "in_blocks", retryBlocks, "err", err)
	emit(ctx, types.EventStuck, types.AttrJob, job, types.AttrReason, err)
	return again(height(ctx) + retryBlocks)
}

// takeDue removes and returns the first entries of a queue within a range.
func takeDue[K any](ctx context.Context, q collections.KeySet[K], r collections.Ranger[K]) ([]K, error) {
	var due []K
	err := q.Walk(ctx, r, func(key K) (bool, error) {
		due = append(due, key)
		return len(due) == maxDue, nil
	})
	if err != nil {
		return nil, err
	}
	for _, key := range due {
		if err := q.Remove(ctx, key); err != nil {
			return nil, err
		}
	}
	return due, nil
}
