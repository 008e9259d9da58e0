// Package keeper runs the register of artifacts: what exists, whose it is, what it was made
// from and by which job.
//
//	keeper.go      Keeper: the records and their indexes
//	msg_server.go  register, transfer, revoke
//	walk.go        ancestry and descendants, breadth first
//	taint.go       which revoked artifacts something was made from
//	royalties.go   what the owners earn of a job that reads artifacts
//	query.go       the queries
//	genesis.go     import and export
//	invariants.go  that records and indexes agree
//
// Artifacts are numbered in the order of registration and are never removed. A parent must
// be registered before its child, so every parent's number is below its child's: there are
// no cycles, and the numbers are a topological order that the walks rely on.
//
// What a transaction costs does not grow with the register: it reads the parents of one
// artifact, or for royalties at most maxEarners artifacts. Taint is found by queries.
package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// Keeper holds the register's state.
type Keeper struct {
	addresses address.Codec
	authority string
	jobs      types.JobKeeper
	bank      types.BankKeeper

	schema    collections.Schema
	params    collections.Item[types.Params]
	artifacts collections.Map[uint64, types.Artifact]
	numbers   collections.Map[string, uint64] // by CID
	next      collections.Sequence            // the last number that was given
	byOwner   collections.KeySet[owned]
	children  collections.KeySet[edge]
}

type (
	owned = collections.Pair[sdk.AccAddress, uint64]
	edge  = collections.Pair[uint64, uint64] // a parent's number, its child's
)

// NewKeeper makes the register's keeper. Authority is the address that may change the
// parameters and revoke. Until SetJobs was called no artifact can name a job.
func NewKeeper(cdc codec.Codec, stores store.KVStoreService, authority string) (*Keeper, error) {
	addresses := cdc.InterfaceRegistry().SigningContext().AddressCodec()
	if _, err := addresses.StringToBytes(authority); err != nil {
		return nil, fmt.Errorf("make the lineage keeper: authority %q: %w", authority, err)
	}
	sb := collections.NewSchemaBuilder(stores)
	k := &Keeper{
		addresses: addresses,
		authority: authority,
		params:    collections.NewItem(sb, types.ParamsPrefix, "params", codec.CollValue[types.Params](cdc)),
		artifacts: collections.NewMap(sb, types.ArtifactsPrefix, "artifacts", collections.Uint64Key, codec.CollValue[types.Artifact](cdc)),
		numbers:   collections.NewMap(sb, types.NumbersPrefix, "numbers", collections.StringKey, collections.Uint64Value),
		next:      collections.NewSequence(sb, types.NextPrefix, "next"),
		byOwner:   collections.NewKeySet(sb, types.ByOwnerPrefix, "by_owner", collections.PairKeyCodec(sdk.AccAddressKey, collections.Uint64Key)),
		children:  collections.NewKeySet(sb, types.ChildrenPrefix, "children", collections.PairKeyCodec(collections.Uint64Key, collections.Uint64Key)),
	}
	schema, err := sb.Build()
	if err != nil {
		return nil, fmt.Errorf("make the lineage keeper's schema: %w", err)
	}
	k.schema = schema
	return k, nil
}

// SetJobs gives the keeper the market, which itself reads royalties from this keeper and so
// can't be there when it is made.
func (k *Keeper) SetJobs(jobs types.JobKeeper) { k.jobs = jobs }

// SetBank gives the keeper the bank, so that no artifact is given to an account that could
// not be paid its royalties.
func (k *Keeper) SetBank(bank types.BankKeeper) { k.bank = bank }

// Authority is the address that may change the parameters and revoke.
func (k *Keeper) Authority() string { return k.authority }

// Schema describes the module's store.
func (k *Keeper) Schema() collections.Schema { return k.schema }

// Params returns the register's rules.
func (k *Keeper) Params(ctx context.Context) (types.Params, error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return p, fmt.Errorf("read the lineage parameters: %w", err)
	}
	return p, nil
}

// Artifact returns the record of a registered artifact.
func (k *Keeper) Artifact(ctx context.Context, cid string) (types.Artifact, error) {
	if err := types.CheckCID(cid); err != nil {
		return types.Artifact{}, err
	}
	n, err := k.numbers.Get(ctx, cid)
	if errors.Is(err, collections.ErrNotFound) {
		return types.Artifact{}, types.ErrNotFound.Wrap(cid)
	}
	if err != nil {
		return types.Artifact{}, fmt.Errorf("look for artifact %s: %w", cid, err)
	}
	return k.artifact(ctx, n)
}

func (k *Keeper) artifact(ctx context.Context, number uint64) (types.Artifact, error) {
	a, err := k.artifacts.Get(ctx, number)
	if err != nil {
		return a, fmt.Errorf("read artifact %d: %w", number, err)
	}
	return a, nil
}

// insert adds a checked record with its indexes. The parents are given in the record's
// order.
func (k *Keeper) insert(ctx context.Context, a types.Artifact, owner sdk.AccAddress, parents []types.Artifact) error {
	if err := k.artifacts.Set(ctx, a.Number, a); err != nil {
		return err
	}
	if err := k.numbers.Set(ctx, a.Cid, a.Number); err != nil {
		return err
	}
	if err := k.byOwner.Set(ctx, collections.Join(owner, a.Number)); err != nil {
		return err
	}
	for _, p := range parents {
		if err := k.children.Set(ctx, collections.Join(p.Number, a.Number)); err != nil {
			return err
		}
	}
	return nil
}

// account reads an address in whatever form the application accepts; its canonical form
// is what records hold.
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

// owner is an account that may own artifacts: one that the bank pays.
func (k *Keeper) owner(s string) (sdk.AccAddress, string, error) {
	addr, text, err := k.account(s)
	if err == nil && k.bank != nil && k.bank.BlockedAddr(addr) {
		return nil, "", types.ErrUnauthorized.Wrapf("%s is a module's account: it can't be paid royalties, so it can't own artifacts", text)
	}
	return addr, text, err
}

func (k *Keeper) isAuthority(addr sdk.AccAddress) bool {
	b, err := k.addresses.StringToBytes(k.authority)
	return err == nil && addr.Equals(sdk.AccAddress(b))
}

func height(ctx context.Context) int64 { return sdk.UnwrapSDKContext(ctx).BlockHeight() }

// emit records an event with attributes as key, value, key, value, ….
func emit(ctx context.Context, name string, attrs ...any) {
	e := sdk.NewEvent(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		e = e.AppendAttributes(sdk.NewAttribute(fmt.Sprint(attrs[i]), fmt.Sprint(attrs[i+1])))
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(e)
}
