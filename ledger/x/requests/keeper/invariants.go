package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// Books is what the module holds against what its requests say, in anote.
type Books struct {
	Held   math.Int // by the module's account
	Burned math.Int // since genesis
	Broken []string // what does not hold; empty when the books are right
}

// bookkeeper adds up what the records say.
type bookkeeper struct {
	Books
	owed, burned math.Int
	alive        int               // requests that are not over
	open         map[string]uint64 // those, by payer
}

func (b *bookkeeper) broken(format string, args ...any) {
	if len(b.Broken) < 100 {
		b.Broken = append(b.Broken, fmt.Sprintf(format, args...))
	}
}

// Invariants checks the books. It reads all of the module's state: for tests, for genesis,
// and for a query to a node that allows it.
func (k *Keeper) Invariants(ctx context.Context) (Books, error) {
	b := &bookkeeper{owed: math.ZeroInt(), burned: math.ZeroInt(), open: map[string]uint64{}}
	var err error
	if b.Burned, err = k.burned.Get(ctx); err != nil {
		return b.Books, fmt.Errorf("read what was burned: %w", err)
	}
	for _, check := range []func(context.Context, *bookkeeper) error{k.checkRequests, k.checkLists, k.checkOffers} {
		if err := check(ctx, b); err != nil {
			return b.Books, err
		}
	}
	b.Held = k.bank.GetBalance(ctx, k.accounts.GetModuleAddress(types.ModuleName), chain.BaseDenom).Amount
	if !b.Held.Equal(b.owed) {
		b.broken("the account holds %s, its requests have %s", b.Held, b.owed)
	}
	if b.burned.GT(b.Burned) {
		b.broken("requests burned %s, in all only %s was burned", b.burned, b.Burned)
	}
	return b.Books, nil
}

func (k *Keeper) checkRequests(ctx context.Context, b *bookkeeper) error {
	return k.requests.Walk(ctx, nil, func(id uint64, r types.Request) (bool, error) {
		b.owed, b.burned = b.owed.Add(r.Held), b.burned.Add(r.Burned)
		b.checkRequest(r)
		if !r.Over() {
			b.open[r.Payer]++
			b.alive++
		}
		of, err := get(ctx, k.ofJob, r.Job, "request of job %d", r.Job)
		if err != nil || of != id {
			b.broken("request %d has job %d, which is listed as request %d's", id, r.Job, of)
		}
		return false, nil
	})
}

// checkRequest checks one request's sums to the last anote.
func (b *bookkeeper) checkRequest(r types.Request) {
	if sum := r.Spent().Add(r.Held); !sum.Equal(r.Fee) {
		b.broken("request %d: the parts of its fee sum to %s, not %s", r.Id, sum, r.Fee)
	}
	if r.Held.IsNegative() || r.Returned.IsNegative() {
		b.broken("request %d: %s held, %s returned", r.Id, r.Held, r.Returned)
	}
	if r.Calling {
		b.broken("request %d: its callback is under way", r.Id)
	}
	want := math.ZeroInt()
	switch r.Status {
	case types.Status_STATUS_OPEN:
		want = r.CallPrice().MulRaw(types.Calls(r.Policy)).Add(r.Terms.DeliveryFee).Add(r.BytePrice.MulRaw(int64(types.LongestAnswer(r.Speaker, r.Terms))))
	case types.Status_STATUS_ANSWERED:
		want = r.CallPrice()
	}
	if !r.Held.Equal(want) {
		b.broken("request %d: %s, with %s held, not %s", r.Id, r.Status, r.Held, want)
	}
	if most := r.CallPrice().MulRaw(types.Calls(r.Policy)); r.GasPaid.GT(most) || r.Calls > uint32(types.Calls(r.Policy)) {
		b.broken("request %d: %s paid for %d callbacks, at most %s for %d", r.Id, r.GasPaid, r.Calls, most, types.Calls(r.Policy))
	}
}

func (k *Keeper) checkLists(ctx context.Context, b *bookkeeper) error {
	byPayer, byGateway, byJob, all := 0, 0, 0, 0
	err := k.ofPayer.Walk(ctx, nil, func(key ownedID) (bool, error) {
		byPayer++
		return false, b.checkListed(ctx, k, key, func(r types.Request) string { return r.Payer })
	})
	if err != nil {
		return err
	}
	err = k.ofGateway.Walk(ctx, nil, func(key ownedID) (bool, error) {
		byGateway++
		return false, b.checkListed(ctx, k, key, func(r types.Request) string { return r.Gateway })
	})
	if err != nil {
		return err
	}
	if byPayer != b.alive || byGateway != b.alive {
		b.broken("%d requests are not over, %d are listed by payer and %d by gateway", b.alive, byPayer, byGateway)
	}
	payers := 0
	err = k.open.Walk(ctx, nil, func(addr sdk.AccAddress, n uint64) (bool, error) {
		payers++
		text, err := k.addresses.BytesToString(addr)
		if err != nil {
			return true, err
		}
		if n != b.open[text] {
			b.broken("%s counts %d requests that are not over, and has %d", text, n, b.open[text])
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if payers != len(b.open) {
		b.broken("%d payers are counted, and there are %d", payers, len(b.open))
	}
	if err := k.ofJob.Walk(ctx, nil, func(uint64, uint64) (bool, error) { byJob++; return false, nil }); err != nil {
		return err
	}
	if err := k.requests.Walk(ctx, nil, func(uint64, types.Request) (bool, error) { all++; return false, nil }); err != nil {
		return err
	}
	if byJob != all {
		b.broken("%d requests, %d are listed by job", all, byJob)
	}
	return nil
}

func (b *bookkeeper) checkListed(ctx context.Context, k *Keeper, key ownedID, owner func(types.Request) string) error {
	text, err := k.addresses.BytesToString(key.K1())
	if err != nil {
		return err
	}
	r, err := k.Lookup(ctx, key.K2())
	if err != nil || r.Over() || owner(r) != text {
		b.broken("request %d is listed under %s as not over, and it is %s of %s", key.K2(), text, r.Status, owner(r))
	}
	return nil
}

func (k *Keeper) checkOffers(ctx context.Context, b *bookkeeper) error {
	offers, listed := 0, 0
	err := k.offers.Walk(ctx, nil, func(key offerKey, o types.Offer) (bool, error) {
		offers++
		encoded, err := get(ctx, k.speakers, key.K1(), "speaker %x", key.K1())
		if err != nil || !sameSpeaker(key.K1(), encoded) {
			b.broken("offer of %s is for speaker %x, which is not there", o.Gateway, key.K1())
		}
		on, err := k.offered.Has(ctx, offered(key))
		if err == nil && !on {
			b.broken("offer of %s for speaker %x is not listed", o.Gateway, key.K1())
		}
		return false, err
	})
	if err != nil {
		return err
	}
	if err := k.offered.Walk(ctx, nil, func(offeredBy) (bool, error) { listed++; return false, nil }); err != nil {
		return err
	}
	if offers != listed {
		b.broken("%d offers, %d are listed by gateway", offers, listed)
	}
	return nil
}
