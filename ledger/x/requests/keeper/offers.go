package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Offer says what a gateway asks for answers of a speaker. The market must take jobs on
// these terms now; whether it still does is looked at for every request.
func (m msgServer) Offer(ctx context.Context, msg *types.MsgOffer) (*types.MsgOfferResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	addr, gateway, err := m.account(msg.Gateway)
	if err != nil {
		return nil, err
	}
	o := types.Offer{Speaker: idOf(msg.Speaker), Gateway: gateway, Terms: msg.Terms, Height: height(ctx)}
	if err := m.takesJobs(ctx, o); err != nil {
		return nil, err
	}
	known, err := m.speakers.Has(ctx, o.Speaker)
	if err != nil {
		return nil, err
	}
	if !known {
		if err := m.speakers.Set(ctx, o.Speaker, msg.Speaker); err != nil {
			return nil, err
		}
	}
	if err := m.makeRoom(ctx, o, p); err != nil {
		return nil, err
	}
	emit(ctx, types.EventOffered, types.AttrSpeaker, o.Speaker, types.AttrGateway, gateway)
	return &types.MsgOfferResponse{Id: o.Speaker}, m.setOffer(ctx, addr, o)
}

// WithdrawOffer ends an offer. Requests that took it are still answered.
func (m msgServer) WithdrawOffer(ctx context.Context, msg *types.MsgWithdrawOffer) (*types.MsgWithdrawOfferResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	addr, gateway, err := m.account(msg.Gateway)
	if err != nil {
		return nil, err
	}
	if _, err := get(ctx, m.offers, collections.Join(msg.Speaker, addr), "offer of %s for speaker %x", gateway, msg.Speaker); err != nil {
		return nil, err
	}
	emit(ctx, types.EventWithdrawn, types.AttrSpeaker, msg.Speaker, types.AttrGateway, gateway)
	return &types.MsgWithdrawOfferResponse{}, m.removeOffer(ctx, addr, msg.Speaker)
}

func idOf(encoded []byte) []byte {
	id := speaker.IDOf(encoded)
	return id[:]
}

func (k *Keeper) setOffer(ctx context.Context, gateway sdk.AccAddress, o types.Offer) error {
	if err := k.offers.Set(ctx, collections.Join(o.Speaker, gateway), o); err != nil {
		return err
	}
	return k.offered.Set(ctx, collections.Join(gateway, o.Speaker))
}

func (k *Keeper) removeOffer(ctx context.Context, gateway sdk.AccAddress, speaker []byte) error {
	if err := k.offers.Remove(ctx, collections.Join(speaker, gateway)); err != nil {
		return err
	}
	return k.offered.Remove(ctx, collections.Join(gateway, speaker))
}

// makeRoom sees to it that a speaker has not too many offers with a new one. Where it has,
// those of gateways that take no such jobs any more go.
func (k *Keeper) makeRoom(ctx context.Context, o types.Offer, p types.Params) error {
	list, err := k.offersFor(ctx, o.Speaker)
	if err != nil {
		return err
	}
	n := len(list)
	if n < int(p.MaxOffers) || slices.ContainsFunc(list, func(other types.Offer) bool { return other.Gateway == o.Gateway }) {
		return nil
	}
	for _, old := range list {
		if k.takesJobs(ctx, old) == nil {
			continue
		}
		addr, _, err := k.account(old.Gateway)
		if err != nil {
			return err
		}
		if err := k.removeOffer(ctx, addr, old.Speaker); err != nil {
			return err
		}
		emit(ctx, types.EventWithdrawn, types.AttrSpeaker, old.Speaker, types.AttrGateway, old.Gateway)
		n--
	}
	if n >= int(p.MaxOffers) {
		return types.ErrLimit.Wrapf("speaker %x has %d offers: wait until one is withdrawn", o.Speaker, n)
	}
	return nil
}

// offersFor lists a speaker's offers by their gateways' addresses.
func (k *Keeper) offersFor(ctx context.Context, speaker []byte) ([]types.Offer, error) {
	var list []types.Offer
	err := k.offers.Walk(ctx, collections.NewPrefixedPairRange[[]byte, sdk.AccAddress](speaker), func(_ offerKey, o types.Offer) (bool, error) {
		list = append(list, o)
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the offers for speaker %x: %w", speaker, err)
	}
	return list, nil
}

// order is the job of an offer for a buyer with an escrow.
func order(o types.Offer, buyer string, escrow math.Int) *worktypes.MsgOpenJob {
	t := o.Terms
	return &worktypes.MsgOpenJob{
		Buyer: buyer, Gateway: o.Gateway, Cell: t.Cell, Kind: types.KindOf(o.Speaker), SpecDigest: t.SpecDigest, Escrow: escrow, Price: t.Price,
		AuditBps: t.AuditBps, EpochBlocks: t.EpochBlocks, ExpiryBlocks: t.ExpiryBlocks, Uses: t.Uses,
		MaxGatewayFeeBps: worktypes.BasisPoints, // the fee is part of the price, which the offer names
	}
}

// takesJobs refuses an offer whose jobs the market would refuse now.
func (k *Keeper) takesJobs(ctx context.Context, o types.Offer) error {
	if err := k.market.CheckJob(ctx, order(o, o.Gateway, o.Terms.Price)); err != nil {
		return types.ErrOffer.Wrapf("the market takes no jobs on the terms of %s: %s", o.Gateway, err.Error())
	}
	return nil
}

// hasRoom refuses a gateway that has more jobs than it can commit in time. It has no say in
// who asks it, and what it does not commit costs its bond: else a storm of requests, cancelled
// or not, would rob it for the price of their gas.
func (k *Keeper) hasRoom(ctx context.Context, o types.Offer, p types.Params) error {
	n, err := k.market.OpenJobs(ctx, o.Gateway)
	if err != nil {
		return err
	}
	if n >= uint64(p.MaxOpenPerGateway) {
		return types.ErrLimit.Wrapf("%s has %d jobs that are not over: wait until one is", o.Gateway, n)
	}
	return nil
}

// Quote is the least fee of a request of this size, and the offer that it would take.
func (k *Keeper) Quote(ctx context.Context, s types.Size) (types.Quote, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return types.Quote{}, err
	}
	if err := s.Check(p); err != nil {
		return types.Quote{}, err
	}
	return k.quote(ctx, s, p)
}

// quote takes the cheapest of the offers that a request fits and whose gateway takes jobs; of
// several the one with the lowest address.
func (k *Keeper) quote(ctx context.Context, s types.Size, p types.Params) (types.Quote, error) {
	who, err := k.subject(ctx, s.Speaker[:])
	if errors.Is(err, types.ErrNotFound) {
		return types.Quote{}, types.ErrOffer.Wrapf("no gateway answers for speaker %x", s.Speaker)
	}
	if err != nil {
		return types.Quote{}, err
	}
	list, err := k.offersFor(ctx, s.Speaker[:])
	if err != nil {
		return types.Quote{}, err
	}
	price := k.callbackPrice(ctx, p)
	type fitting struct {
		types.Quote
		most math.Int // that the work of such a request can cost, and its delivery
	}
	var fits []fitting
	why := types.ErrOffer.Wrap("none was made")
	for _, o := range list {
		if err := o.Terms.Takes(s); err != nil {
			why = err
			continue
		}
		most := o.Terms.Price.Mul(math.NewIntFromUint64(who.units(o.Terms, s))).Add(o.Terms.DeliveryFee)
		fits = append(fits, fitting{quoteOf(o, who, s, price, p), most})
	}
	slices.SortStableFunc(fits, func(a, b fitting) int { return a.most.BigIntMut().Cmp(b.most.BigIntMut()) })
	for _, q := range fits {
		if why = k.hasRoom(ctx, q.Offer, p); why == nil {
			why = k.takesJobs(ctx, q.Offer)
		}
		if why == nil {
			return q.Quote, nil
		}
	}
	return types.Quote{}, types.ErrOffer.Wrapf("speaker %x has %d offers, and none takes this request; the last one: %s", s.Speaker, len(list), why.Error())
}

// quoteOf is what a request must be able to pay by an offer. What its own work does not take
// of the escrow comes back.
func quoteOf(o types.Offer, who subject, s types.Size, price math.Int, p types.Params) types.Quote {
	q := types.Quote{
		Offer: o, Price: price, Delivery: o.Terms.DeliveryFee,
		Escrow:   o.Terms.Price.Mul(math.NewIntFromUint64(who.reserve(o.Terms, s.Policy))),
		Callback: price.Mul(math.NewIntFromUint64(s.CallbackGas)).MulRaw(types.Calls(uint32(s.Policy))),
		Bytes:    p.BytePrice.MulRaw(int64(s.PromptBytes) + int64(types.LongestAnswer(o.Speaker, o.Terms))),
	}
	q.Fee = q.Escrow.Add(q.Callback).Add(q.Delivery).Add(q.Bytes)
	return q
}

// sameSpeaker reports whether two encodings are of one speaker.
func sameSpeaker(id, encoded []byte) bool { return bytes.Equal(id, idOf(encoded)) }
