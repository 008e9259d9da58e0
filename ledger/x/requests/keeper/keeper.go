// Package keeper keeps what contracts ask models, and which pages of the web they ask for: it
// opens a job of the work market for every request, checks the answer that a gateway delivers against what workers signed and
// the market found, and says who is to be told.
//
//	keeper.go      Keeper: the records and their indexes
//	offers.go      what gateways offer, and which offer a request takes
//	ask.go         Request, Cancel: a request's beginning, and its end at its payer's wish
//	deliver.go     Deliver, Called: an answer, and how the contract that was told took it
//	examine.go     what makes evidence an answer
//	models.go      what is peculiar to requests that ask models
//	pages.go       what is peculiar to requests for pages
//	conclude.go    Conclude: answers that became final or were refuted, requests that failed
//	money.go       what is held of fees and where it goes: the only code that moves coins
//	invariants.go  the books: what is held against what the requests say
//	genesis.go     import and export
//	msg_server.go  the messages
//	query.go       the queries
//
// The keeper calls no contract. Whoever runs the EVM does, between two steps of it: Deliver
// and Conclude say what is Due, after every change that follows from it; Called is told how
// it went. In between the request takes no other step, so a contract that calls back finds
// a closed door.
package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// Key types of the store.
type (
	offerKey  = collections.Pair[[]byte, sdk.AccAddress] // speaker, gateway
	offeredBy = collections.Pair[sdk.AccAddress, []byte] // gateway, speaker
	ownedID   = collections.Pair[sdk.AccAddress, uint64] // payer or gateway, request
)

// Keeper holds what was offered and asked.
type Keeper struct {
	accounts  types.AccountKeeper
	bank      types.BankKeeper
	market    types.Market
	fees      types.FeeMarket
	addresses address.Codec
	authority string

	schema      collections.Schema
	params      collections.Item[types.Params]
	speakers    collections.Map[[]byte, []byte] // encodings, by ID, and readers' of pages; they stay, for requests name them
	offers      collections.Map[offerKey, types.Offer]
	offered     collections.KeySet[offeredBy]
	nextRequest collections.Sequence
	requests    collections.Map[uint64, types.Request]
	ofPayer     collections.KeySet[ownedID] // requests that are not over
	ofGateway   collections.KeySet[ownedID] // the same
	open        collections.Map[sdk.AccAddress, uint64]
	ofJob       collections.Map[uint64, uint64]
	burned      collections.Item[math.Int]
}

// NewKeeper makes the keeper. The application must have an account types.ModuleName that may
// burn. Authority is the address that may change the parameters.
func NewKeeper(
	cdc codec.BinaryCodec, stores store.KVStoreService, accounts types.AccountKeeper, bank types.BankKeeper,
	market types.Market, fees types.FeeMarket, authority string,
) (*Keeper, error) {
	if accounts.GetModuleAddress(types.ModuleName) == nil {
		return nil, fmt.Errorf("make the requests keeper: the application has no module account %s: give it one that may burn", types.ModuleName)
	}
	if _, err := accounts.AddressCodec().StringToBytes(authority); err != nil {
		return nil, fmt.Errorf("make the requests keeper: authority %q: %w", authority, err)
	}
	sb := collections.NewSchemaBuilder(stores)
	owned := collections.PairKeyCodec(sdk.AccAddressKey, collections.Uint64Key)
	k := &Keeper{
		accounts: accounts, bank: bank, market: market, fees: fees, addresses: accounts.AddressCodec(), authority: authority,

		params:      collections.NewItem(sb, types.ParamsPrefix, "params", codec.CollValue[types.Params](cdc)),
		speakers:    collections.NewMap(sb, types.SpeakersPrefix, "speakers", collections.BytesKey, collections.BytesValue),
		offers:      collections.NewMap(sb, types.OffersPrefix, "offers", collections.PairKeyCodec(collections.BytesKey, sdk.AccAddressKey), codec.CollValue[types.Offer](cdc)),
		offered:     collections.NewKeySet(sb, types.OffersByGatewayPrefix, "offers_by_gateway", collections.PairKeyCodec(sdk.AccAddressKey, collections.BytesKey)),
		nextRequest: collections.NewSequence(sb, types.NextRequestPrefix, "next_request"),
		requests:    collections.NewMap(sb, types.RequestsPrefix, "requests", collections.Uint64Key, codec.CollValue[types.Request](cdc)),
		ofPayer:     collections.NewKeySet(sb, types.OpenByPayerPrefix, "open_by_payer", owned),
		ofGateway:   collections.NewKeySet(sb, types.OpenByGatewayPrefix, "open_by_gateway", owned),
		open:        collections.NewMap(sb, types.OpenCountsPrefix, "open_counts", sdk.AccAddressKey, collections.Uint64Value),
		ofJob:       collections.NewMap(sb, types.ByJobPrefix, "by_job", collections.Uint64Key, collections.Uint64Value),
		burned:      collections.NewItem(sb, types.BurnedPrefix, "burned", sdk.IntValue),
	}
	schema, err := sb.Build()
	if err != nil {
		return nil, fmt.Errorf("make the requests keeper's schema: %w", err)
	}
	k.schema = schema
	return k, nil
}

// Authority is the address that may change the parameters.
func (k *Keeper) Authority() string { return k.authority }

// Schema describes the module's store.
func (k *Keeper) Schema() collections.Schema { return k.schema }

// Params returns the rules.
func (k *Keeper) Params(ctx context.Context) (types.Params, error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return p, fmt.Errorf("read the parameters of requests: %w", err)
	}
	return p, nil
}

// Lookup returns a request.
func (k *Keeper) Lookup(ctx context.Context, id uint64) (types.Request, error) {
	return get(ctx, k.requests, id, "request %d", id)
}

func get[K, V any](ctx context.Context, m collections.Map[K, V], key K, what string, args ...any) (V, error) {
	v, err := m.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return v, types.ErrNotFound.Wrapf("no "+what, args...)
	}
	if err != nil {
		return v, fmt.Errorf("read "+what+": %w", append(args, err)...)
	}
	return v, nil
}

// account reads an address in whatever form the application accepts; its canonical form is
// what records hold.
func (k *Keeper) account(s string) (sdk.AccAddress, string, error) {
	b, err := k.addresses.StringToBytes(s)
	if err != nil {
		return nil, "", types.ErrInvalid.Wrapf("address %.100q: %v", s, err)
	}
	text, err := k.addresses.BytesToString(b)
	if err != nil {
		return nil, "", types.ErrInvalid.Wrapf("address %.100q: %v", s, err)
	}
	return b, text, nil
}

// payee is the canonical form of an account that may be owed money.
func (k *Keeper) payee(addr sdk.AccAddress) (string, error) {
	text, err := k.addresses.BytesToString(addr)
	if err != nil || len(addr) == 0 {
		return "", types.ErrInvalid.Wrapf("address %x: %v", []byte(addr), err)
	}
	if k.bank.BlockedAddr(addr) {
		return "", types.ErrUnauthorized.Wrapf("%s is a module's account or a precompiled contract and can't be paid", text)
	}
	return text, nil
}

// set stores a request.
func (k *Keeper) set(ctx context.Context, r types.Request) error {
	return k.requests.Set(ctx, r.Id, r)
}

// list enters a request where it is looked for.
func (k *Keeper) list(ctx context.Context, r types.Request) error {
	if err := k.ofJob.Set(ctx, r.Job, r.Id); err != nil || r.Over() {
		return err
	}
	payer, gateway, err := k.parties(r)
	if err != nil {
		return err
	}
	if err := k.ofPayer.Set(ctx, collections.Join(payer, r.Id)); err != nil {
		return err
	}
	if err := k.ofGateway.Set(ctx, collections.Join(gateway, r.Id)); err != nil {
		return err
	}
	n, err := k.openOf(ctx, payer)
	if err != nil {
		return err
	}
	return k.open.Set(ctx, payer, n+1)
}

// unlist takes a request that is over out of the lists of those that are not.
func (k *Keeper) unlist(ctx context.Context, r types.Request) error {
	payer, gateway, err := k.parties(r)
	if err != nil {
		return err
	}
	if err := k.ofPayer.Remove(ctx, collections.Join(payer, r.Id)); err != nil {
		return err
	}
	if err := k.ofGateway.Remove(ctx, collections.Join(gateway, r.Id)); err != nil {
		return err
	}
	n, err := k.openOf(ctx, payer)
	if err != nil {
		return err
	}
	if n <= 1 {
		return k.open.Remove(ctx, payer)
	}
	return k.open.Set(ctx, payer, n-1)
}

func (k *Keeper) parties(r types.Request) (payer, gateway sdk.AccAddress, err error) {
	if payer, _, err = k.account(r.Payer); err != nil {
		return nil, nil, err
	}
	gateway, _, err = k.account(r.Gateway)
	return payer, gateway, err
}

// openOf is how many requests of a payer are not over.
func (k *Keeper) openOf(ctx context.Context, payer sdk.AccAddress) (uint64, error) {
	n, err := k.open.Get(ctx, payer)
	if errors.Is(err, collections.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

func height(ctx context.Context) int64 { return sdk.UnwrapSDKContext(ctx).BlockHeight() }

// charge takes gas for what is computed besides reading and writing the store.
func charge(ctx context.Context, gas uint64, what string) {
	sdk.UnwrapSDKContext(ctx).GasMeter().ConsumeGas(gas, what)
}

// emit records an event with attributes as key, value, key, value, ….
func emit(ctx context.Context, name string, attrs ...any) {
	e := sdk.NewEvent(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		var v string
		switch a := attrs[i+1].(type) {
		case string:
			v = a
		case []byte:
			v = fmt.Sprintf("%x", a)
		default:
			v = fmt.Sprint(a)
		}
		e = e.AppendAttributes(sdk.NewAttribute(fmt.Sprint(attrs[i]), v))
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(e)
}
