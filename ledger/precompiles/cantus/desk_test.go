package cantus_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// desk stands in for x/requests where no network is there to answer: whatever is delivered is
// the answer. It moves money as x/requests does, through accounts that nobody else uses here.
type desk struct {
	key  storetypes.StoreKey
	bank bankkeeper.Keeper
}

const (
	held    = "feemarket" // what the desk keeps
	escrow  = "erc20"     // and what stands for the market's escrow
	price   = 1_000_000_000
	work1   = 12_000_000_000_007 // what a request's work costs at most; half of it is used
	carry   = 3_000_000_000_001  // what delivering an answer is paid with
	tooLate = "!"                // evidence that is refused
)

func (d *desk) store(ctx context.Context) storetypes.KVStore {
	return sdk.UnwrapSDKContext(ctx).KVStore(d.key)
}

func place(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0xf0}, id) }

func (d *desk) put(ctx context.Context, r types.Request) error {
	b, err := r.Marshal()
	d.store(ctx).Set(place(r.Id), b)
	return err
}

func (d *desk) Lookup(ctx context.Context, id uint64) (r types.Request, err error) {
	b := d.store(ctx).Get(place(id))
	if b == nil {
		return r, types.ErrNotFound.Wrapf("request %d", id)
	}
	return r, r.Unmarshal(b)
}

func callsOf(policy uint8) int64 {
	if policy == types.Optimistic {
		return 2
	}
	return 1
}

func (d *desk) Quote(_ context.Context, s types.Size) (types.Quote, error) {
	if _, page := types.FormByID(s.Speaker[:]); !page && s.Speaker != model {
		return types.Quote{}, types.ErrOffer.Wrap("nobody speaks it")
	}
	call := math.NewIntFromUint64(s.CallbackGas).MulRaw(price * callsOf(s.Policy))
	return types.Quote{Fee: call.AddRaw(work1 + carry), Escrow: math.NewInt(work1), Callback: call, Price: math.NewInt(price)}, nil
}

func (d *desk) Request(ctx context.Context, a types.Ask) (types.Request, error) {
	q, err := d.Quote(ctx, a.Size())
	if err != nil {
		return types.Request{}, err
	}
	if a.Fee.LT(q.Fee) {
		return types.Request{}, types.ErrFee.Wrapf("%s is too little: at least %s", a.Fee, q.Fee)
	}
	if err := d.bank.SendCoinsFromAccountToModule(ctx, a.From, held, coins(a.Fee)); err != nil {
		return types.Request{}, err
	}
	keep := q.Callback.AddRaw(carry)
	if err := d.bank.SendCoinsFromModuleToAccount(ctx, held, a.Payer, coins(a.Fee.Sub(keep))); err != nil {
		return types.Request{}, err
	}
	if err := d.bank.SendCoinsFromAccountToModule(ctx, a.Payer, escrow, coins(a.Fee.Sub(keep))); err != nil {
		return types.Request{}, err
	}
	id, err := d.last(ctx)
	if err != nil {
		return types.Request{}, err
	}
	id++
	d.store(ctx).Set([]byte{0xf1}, binary.BigEndian.AppendUint64(nil, id))
	zero := math.ZeroInt()
	r := types.Request{
		Id: id, Payer: a.Payer.String(), Callback: a.Callback[:], CallbackGas: a.CallbackGas, CallbackPrice: math.NewInt(price),
		BytePrice: zero, Policy: uint32(a.Policy), Speaker: a.Speaker[:], Prompt: a.Prompt, Sampling: a.Sampling,
		Gateway: a.Payer.String(), Terms: types.Terms{Price: zero, DeliveryFee: math.NewInt(carry)}, Job: 1000 + id,
		Status: types.Status_STATUS_OPEN, Fee: a.Fee, Escrow: a.Fee.Sub(keep), Held: keep, Burned: zero, Delivered: zero, GasPaid: zero, Returned: zero,
	}
	return r, d.put(ctx, r)
}

// last is the newest request's number.
func (d *desk) last(ctx context.Context) (uint64, error) {
	if b := d.store(ctx).Get([]byte{0xf1}); b != nil {
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, nil
}

// end closes the market's side: half of the work was done.
func (d *desk) end(ctx context.Context, r *types.Request) error {
	left := r.Escrow.SubRaw(work1 / 2)
	payer, err := sdk.AccAddressFromBech32(r.Payer)
	if err != nil {
		return err
	}
	return d.bank.SendCoinsFromModuleToAccount(ctx, escrow, payer, coins(left))
}

// pay pays out of what a request holds.
func (d *desk) pay(ctx context.Context, r *types.Request, to sdk.AccAddress, n math.Int) error {
	r.Held = r.Held.Sub(n)
	if !n.IsPositive() {
		return nil
	}
	return d.bank.SendCoinsFromModuleToAccount(ctx, held, to, coins(n))
}

func (d *desk) give(ctx context.Context, r *types.Request, keep math.Int) error {
	payer, err := sdk.AccAddressFromBech32(r.Payer)
	if err != nil {
		return err
	}
	back := r.Held.Sub(keep)
	r.Returned = r.Returned.Add(back)
	return d.pay(ctx, r, payer, back)
}

func (d *desk) open(ctx context.Context, id uint64, want ...types.Status) (types.Request, error) {
	r, err := d.Lookup(ctx, id)
	if err != nil {
		return r, err
	}
	for _, s := range want {
		if r.Status == s && !r.Calling {
			return r, nil
		}
	}
	return r, types.ErrState.Wrapf("request %d is %s", id, r.Status)
}

// tell readies the call of whom a request concerns; keep is what it may hold on to afterwards.
func (d *desk) tell(ctx context.Context, r types.Request, again bool) (types.Call, error) {
	call := types.Call{ID: r.Id, Status: r.Status, Answer: r.Answer, Label: work.Label(r.Label), To: [20]byte(r.Callback), Gas: r.CallbackGas, Due: r.CallbackGas > 0}
	copy(call.Receipt[:], r.Receipt)
	keep := math.ZeroInt()
	if r.Calling = call.Due; r.Calling {
		keep = r.CallbackPrice.Mul(math.NewIntFromUint64(r.CallbackGas))
		if again {
			keep = keep.MulRaw(2)
		}
	}
	if err := d.give(ctx, &r, keep); err != nil {
		return call, err
	}
	return call, d.put(ctx, r)
}

func (d *desk) Deliver(ctx context.Context, id uint64, evidence []byte, deliverer sdk.AccAddress) (types.Call, error) {
	r, err := d.open(ctx, id, types.Status_STATUS_OPEN)
	if err != nil {
		return types.Call{}, err
	}
	if string(evidence) == tooLate {
		return types.Call{}, types.ErrEvidence.Wrap("it is nothing")
	}
	r.Status, r.Answer, r.Label, r.Receipt = types.Status_STATUS_FINAL, evidence, string(work.Replayed), make([]byte, 32)
	if r.Receipt[31] = 7; r.Policy == types.Optimistic {
		r.Status, r.Label = types.Status_STATUS_ANSWERED, string(work.Asserted)
	}
	if err := d.end(ctx, &r); err != nil {
		return types.Call{}, err
	}
	if err := d.pay(ctx, &r, deliverer, math.NewInt(carry)); err != nil {
		return types.Call{}, err
	}
	return d.tell(ctx, r, r.Policy == types.Optimistic)
}

// Conclude fails open requests and refutes told ones.
func (d *desk) Conclude(ctx context.Context, id uint64) (types.Call, error) {
	r, err := d.open(ctx, id, types.Status_STATUS_OPEN, types.Status_STATUS_ANSWERED)
	if err != nil {
		return types.Call{}, err
	}
	if r.Status == types.Status_STATUS_OPEN {
		if err := d.end(ctx, &r); err != nil {
			return types.Call{}, err
		}
		r.Status = types.Status_STATUS_FAILED
	} else {
		r.Status, r.Answer, r.Label, r.Receipt = types.Status_STATUS_REFUTED, nil, "", nil
	}
	return d.tell(ctx, r, false)
}

func (d *desk) Cancel(ctx context.Context, id uint64, payer sdk.AccAddress) (types.Call, error) {
	r, err := d.open(ctx, id, types.Status_STATUS_OPEN)
	if err != nil {
		return types.Call{}, err
	}
	if r.Payer != payer.String() {
		return types.Call{}, types.ErrUnauthorized.Wrap("somebody else paid for it")
	}
	if err := d.end(ctx, &r); err != nil {
		return types.Call{}, err
	}
	r.Status = types.Status_STATUS_CANCELLED
	if err := d.give(ctx, &r, math.ZeroInt()); err != nil {
		return types.Call{}, err
	}
	return types.Call{ID: id, Status: r.Status}, d.put(ctx, r)
}

func (d *desk) Called(ctx context.Context, id uint64, how types.Called, caller sdk.AccAddress) error {
	r, err := d.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if !r.Calling {
		return types.ErrState.Wrap("nobody is being called")
	}
	r.Calling, r.Calls, r.CallFailed = false, r.Calls+1, !how.OK
	used := r.CallbackPrice.Mul(math.NewIntFromUint64(how.GasUsed))
	r.GasPaid = r.GasPaid.Add(used)
	all := r.CallbackPrice.Mul(math.NewIntFromUint64(r.CallbackGas))
	if err := d.pay(ctx, &r, caller, used); err != nil {
		return err
	}
	keep := math.ZeroInt()
	if r.Status == types.Status_STATUS_ANSWERED {
		keep = all
	}
	if err := d.give(ctx, &r, keep); err != nil {
		return err
	}
	return d.put(ctx, r)
}

// check compares what the desk has with what its requests hold.
func (d *desk) check(t testing.TB, ctx sdk.Context) {
	t.Helper()
	has := d.bank.GetBalance(ctx, authtypes.NewModuleAddress(held), chain.BaseDenom).Amount
	owes := math.ZeroInt()
	for it := storetypes.KVStorePrefixIterator(ctx.KVStore(d.key), []byte{0xf0}); it.Valid(); it.Next() {
		var r types.Request
		require.NoError(t, r.Unmarshal(it.Value()))
		require.False(t, r.Calling, "request %d: its callback was never settled", r.Id)
		require.False(t, r.Held.IsNegative())
		owes = owes.Add(r.Held)
	}
	require.Equal(t, owes.String(), has.String(), "the desk's books")
}
