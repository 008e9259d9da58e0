package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// Books is what the market holds against what it owes, in anote.
type Books struct {
	Escrow   math.Int // in jobs' escrows, less Payable
	Payable  math.Int // of settled epochs, to workers who have not claimed it
	Bonds    math.Int // of workers and gateways
	Deposits math.Int // of challengers, of vouchers and of receipts
	Held     math.Int // by the module's accounts
	Burned   math.Int // since genesis
	Broken   []string // what does not hold; empty when the books are right
}

// bookkeeper adds up what the records say.
type bookkeeper struct {
	Books
	jobs       map[uint64]*jobTally
	openJobs   map[string]uint64
	challenged map[string]uint32
	workers    map[string]uint64
	cellJobs   map[cellName]uint64
	charges    map[string]uint32 // by worker
	audits     map[drawnAudit]bool
	disputes   map[epochNumber]uint32
	defended   map[string]uint32 // open disputes by worker
}

type jobTally struct {
	drawn, plants uint64
	challenges    uint32
}

type cellName struct{ gateway, cell string }

func (b *bookkeeper) broken(format string, args ...any) {
	if len(b.Broken) < 100 {
		b.Broken = append(b.Broken, fmt.Sprintf(format, args...))
	}
}

// Invariants checks the books. It reads all of the market's state: for tests, for
// genesis, and for a query to a node that allows it.
func (k *Keeper) Invariants(ctx context.Context) (Books, error) {
	zero := math.ZeroInt()
	b := &bookkeeper{
		Books: Books{Escrow: zero, Payable: zero, Bonds: zero, Deposits: zero},
		jobs:  map[uint64]*jobTally{}, openJobs: map[string]uint64{}, challenged: map[string]uint32{}, workers: map[string]uint64{},
		cellJobs: map[cellName]uint64{}, charges: map[string]uint32{}, audits: map[drawnAudit]bool{},
		disputes: map[epochNumber]uint32{}, defended: map[string]uint32{},
	}
	var err error
	if b.Burned, err = k.burned.Get(ctx); err != nil {
		return b.Books, fmt.Errorf("read what was burned: %w", err)
	}
	for _, check := range []func(context.Context, *bookkeeper) error{
		k.tallyClaims, k.tallyChallenges, k.checkDisputes, k.checkJobs, k.checkAudits, k.checkWorkers, k.checkGateways,
	} {
		if err := check(ctx, b); err != nil {
			return b.Books, err
		}
	}
	escrow, bonds := k.balance(ctx, types.EscrowAccount), k.balance(ctx, types.BondsAccount)
	b.Held = escrow.Add(bonds)
	if owed := b.Escrow.Add(b.Payable); !escrow.Equal(owed) {
		b.broken("the escrow account holds %s, its jobs have %s", escrow, owed)
	}
	if owed := b.Bonds.Add(b.Deposits); !bonds.Equal(owed) {
		b.broken("the bonds account holds %s, bonds and deposits are %s", bonds, owed)
	}
	return b.Books, nil
}

func (k *Keeper) balance(ctx context.Context, account string) math.Int {
	return k.bank.GetBalance(ctx, k.accounts.GetModuleAddress(account), chain.BaseDenom).Amount
}

func (b *bookkeeper) tally(job uint64) *jobTally {
	t := b.jobs[job]
	if t == nil {
		t = &jobTally{}
		b.jobs[job] = t
	}
	return t
}

func (k *Keeper) tallyClaims(ctx context.Context, b *bookkeeper) error {
	return k.claimed.Walk(ctx, nil, func(_ workerOfJob, c types.Claimed) (bool, error) {
		b.tally(c.Job).drawn += c.Drawn
		b.tally(c.Job).plants += c.PlantUnits
		if c.Drawn > c.Units {
			b.broken("job %d: worker %x drew %d units and was paid for %d", c.Job, c.Worker, c.Drawn, c.Units)
		}
		return false, nil
	})
}

func (k *Keeper) tallyChallenges(ctx context.Context, b *bookkeeper) error {
	return k.challenges.Walk(ctx, nil, func(_ uint64, c types.Challenge) (bool, error) {
		b.tally(c.Job).challenges++
		b.Deposits = b.Deposits.Add(c.Deposit)
		return false, nil
	})
}

func (k *Keeper) checkJobs(ctx context.Context, b *bookkeeper) error {
	burned := math.ZeroInt()
	err := k.jobs.Walk(ctx, nil, func(id uint64, j types.Job) (bool, error) {
		t := b.tally(id)
		burned = burned.Add(j.Burned)
		b.challenged[j.Gateway] += t.challenges
		live, err := k.live.Has(ctx, id)
		if err != nil {
			return true, err
		}
		if live != j.Live() {
			b.broken("job %d: %s, but listed as live: %t", id, j.Status, live)
		}
		if j.Live() {
			b.openJobs[j.Gateway]++
			b.cellJobs[cellName{j.Gateway, j.Cell}]++
		}
		b.checkJob(j, *t)
		return false, k.checkEpochs(ctx, b, j)
	})
	if burned.GT(b.Burned) {
		b.broken("jobs burned %s, in all only %s was burned", burned, b.Burned)
	}
	return err
}

// checkJob checks one job's sums to the last anote.
func (b *bookkeeper) checkJob(j types.Job, t jobTally) {
	id := j.Id
	price := j.WorkerPrice.Add(j.GatewayPrice).Add(j.AuditPrice).Add(j.BurnPrice)
	for _, r := range j.Royalties {
		price = price.Add(r.Price)
	}
	if !price.Equal(j.Price) {
		b.broken("job %d: the parts of the price sum to %s, not %s", id, price, j.Price)
	}
	if j.UnitsClaimed > j.UnitsSettled || j.UnitsSettled > j.Units || j.PlantUnits > j.Units-j.UnitsSettled || j.EpochsSettled > j.Epochs {
		b.broken("job %d: %d units claimed, %d settled, %d of plants, %d committed", id, j.UnitsClaimed, j.UnitsSettled, j.PlantUnits, j.Units)
		return
	}
	if t.plants != j.PlantUnits {
		b.broken("job %d: workers have plants of %d units, the job counts %d", id, t.plants, j.PlantUnits)
	}
	if t.drawn != j.UnitsClaimed {
		b.broken("job %d: workers drew %d units, the job counts %d", id, t.drawn, j.UnitsClaimed)
	}
	if t.challenges != j.OpenChallenges {
		b.broken("job %d: %d open challenges, the job counts %d", id, t.challenges, j.OpenChallenges)
	}
	left, payable := j.Left(), j.Payable()
	b.Payable = b.Payable.Add(payable)
	b.Escrow = b.Escrow.Add(left.Sub(payable))
	settled := math.NewIntFromUint64(j.UnitsSettled)
	if want := j.GatewayPrice.Mul(settled); !j.PaidGateway.Equal(want) {
		b.broken("job %d: the gateway got %s, not %s", id, j.PaidGateway, want)
	}
	if want := j.BurnPrice.Mul(settled); !j.Burned.Equal(want) {
		b.broken("job %d: %s was burned, not %s", id, j.Burned, want)
	}
	if most := j.AuditPrice.Mul(settled); j.PaidAuditors.GT(most) {
		b.broken("job %d: auditors got %s, more than %s", id, j.PaidAuditors, most)
	}
	if most := j.WorkerPrice.Mul(math.NewIntFromUint64(j.UnitsClaimed)); j.PaidWorkers.GT(most) {
		b.broken("job %d: workers got %s, more than %s", id, j.PaidWorkers, most)
	}
	if j.Live() {
		reserve := j.Price.Mul(math.NewIntFromUint64(j.Units - j.UnitsSettled - j.PlantUnits))
		if left.LT(payable.Add(reserve)) {
			b.broken("job %d: %s left, %s payable and %s committed", id, left, payable, reserve)
		}
	} else if !left.Equal(payable) {
		b.broken("job %d: over, with %s left and %s payable", id, left, payable)
	}
}

func (k *Keeper) checkEpochs(ctx context.Context, b *bookkeeper, j types.Job) error {
	var n, units, settled, plants uint64
	err := k.epochs.Walk(ctx, collections.NewPrefixedPairRange[uint64, uint64](j.Id), func(id epochID, e types.Epoch) (bool, error) {
		n++
		units += e.Units
		if id.K2() != n || e.TotalUnits != units {
			b.broken("job %d: epoch %d is the %d. and counts %d units, want %d", j.Id, id.K2(), n, e.TotalUnits, units)
		}
		if e.Status == types.EpochStatus_EPOCH_STATUS_SETTLED {
			settled += e.PayableUnits()
			plants += e.PlantUnits
		}
		b.checkPlants(e)
		b.checkDisputed(e)
		b.tallyAudits(e)
		if done := id.K2() <= j.EpochsSettled; done != (e.Status == types.EpochStatus_EPOCH_STATUS_SETTLED) {
			b.broken("job %d: %d epochs settled, but epoch %d is %s", j.Id, j.EpochsSettled, id.K2(), e.Status)
		}
		return false, nil
	})
	if n != j.Epochs || units != j.Units || settled != j.UnitsSettled || plants != j.PlantUnits {
		b.broken("job %d: %d epochs of %d units, %d settled, %d of plants; the job counts %d, %d, %d and %d",
			j.Id, n, units, settled, plants, j.Epochs, j.Units, j.UnitsSettled, j.PlantUnits)
	}
	return err
}

// checkPlants checks that what an epoch shows as plants adds up, and counts the charges
// that wait for it.
func (b *bookkeeper) checkPlants(e types.Epoch) {
	var units uint64
	for _, p := range e.Shown {
		units += p.Units
	}
	if units != e.PlantUnits || units > e.Units {
		b.broken("job %d: the plants of epoch %d have %d units, the epoch counts %d of %d", e.Job, e.Number, units, e.PlantUnits, e.Units)
	}
	if e.Status == types.EpochStatus_EPOCH_STATUS_SETTLED && e.OwesPlants() {
		b.broken("job %d: epoch %d settled without its plants shown", e.Job, e.Number)
	}
	if !e.OwesPlants() || e.Final() {
		return
	}
	for _, s := range e.Samples {
		if s.Status != types.SampleStatus_SAMPLE_STATUS_FALSE {
			continue
		}
		if r, err := work.DecodeReceipt(s.Receipt); err == nil {
			b.charges[string(r.Receipt.Worker[:])]++
		}
	}
}

func (k *Keeper) checkWorkers(ctx context.Context, b *bookkeeper) error {
	listed := map[string]uint64{}
	err := k.workers.Walk(ctx, nil, func(_ []byte, w types.Worker) (bool, error) {
		b.Bonds = b.Bonds.Add(w.Bond)
		if n := b.defended[string(w.Key)]; n != w.Disputes {
			b.broken("worker %x counts %d open disputes and has %d", w.Key, w.Disputes, n)
		}
		if n := b.charges[string(w.Key)]; n != w.Charges {
			b.broken("worker %x counts %d charges and has %d", w.Key, w.Charges, n)
		}
		if w.Status == types.Status_STATUS_GONE {
			if !w.Bond.IsZero() {
				b.broken("worker %x is gone with a bond of %s", w.Key, w.Bond)
			}
			return false, nil
		}
		b.workers[w.Operator]++
		for _, kind := range w.Kinds {
			on, err := k.rosterAt.Has(ctx, collections.Join(kind, w.Key))
			if err != nil {
				return true, err
			}
			if on != (w.Status == types.Status_STATUS_ACTIVE) {
				b.broken("worker %x is %s, but on the roster of %s: %t", w.Key, w.Status, kind, on)
			}
			if on {
				listed[kind]++
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := k.rosterSize.Walk(ctx, nil, func(kind string, n uint64) (bool, error) {
		if n != listed[kind] {
			b.broken("the roster of %s has %d places for %d workers", kind, n, listed[kind])
		}
		for i := range n {
			key, err := k.roster.Get(ctx, collections.Join(kind, i))
			if err != nil {
				return true, err
			}
			if at, err := k.rosterAt.Get(ctx, collections.Join(kind, key)); err != nil || at != i {
				b.broken("the roster of %s has worker %x at %d and at %d", kind, key, i, at)
			}
		}
		return false, nil
	}); err != nil {
		return err
	}
	return k.operators.Walk(ctx, nil, func(_ sdk.AccAddress, op types.Operator) (bool, error) {
		if op.Workers != b.workers[op.Address] {
			b.broken("operator %s counts %d workers and has %d", op.Address, op.Workers, b.workers[op.Address])
		}
		return false, nil
	})
}

func (k *Keeper) checkGateways(ctx context.Context, b *bookkeeper) error {
	return k.gateways.Walk(ctx, nil, func(_ sdk.AccAddress, g types.Gateway) (bool, error) {
		b.Bonds = b.Bonds.Add(g.Bond)
		if g.OpenJobs != b.openJobs[g.Address] {
			b.broken("gateway %s counts %d open jobs and has %d", g.Address, g.OpenJobs, b.openJobs[g.Address])
		}
		for _, c := range g.Cells {
			if n := b.cellJobs[cellName{g.Address, c.Name}]; n != c.OpenJobs {
				b.broken("cell %s of gateway %s counts %d open jobs and has %d", c.Name, g.Address, c.OpenJobs, n)
			}
		}
		if g.OpenChallenges != b.challenged[g.Address] {
			b.broken("gateway %s counts %d open challenges and has %d", g.Address, g.OpenChallenges, b.challenged[g.Address])
		}
		if g.Status == types.Status_STATUS_GONE && !g.Bond.IsZero() {
			b.broken("gateway %s is gone with a bond of %s", g.Address, g.Bond)
		}
		return false, nil
	})
}
