package keeper

import (
	"testing"

	"cosmossdk.io/collections"
	"github.com/cosmos/cosmos-sdk/codec"
	codectestutil "github.com/cosmos/cosmos-sdk/codec/testutil"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// Each kind of damage must be noticed.
func TestInvariantsNotice(t *testing.T) {
	chain.Configure()
	someone, another := sdk.AccAddress(make([]byte, 20)), sdk.AccAddress([]byte("another.account.here"))
	cid := func(s string) string { return artifact.CID(artifact.Raw, artifact.Sum([]byte(s))) }
	for name, damage := range map[string]func(sdk.Context, *Keeper) error{
		"nothing":        nil,
		"a lost CID":     func(c sdk.Context, k *Keeper) error { return k.numbers.Remove(c, cid("1")) },
		"a crossed CID":  func(c sdk.Context, k *Keeper) error { return k.numbers.Set(c, cid("1"), 2) },
		"a stray CID":    func(c sdk.Context, k *Keeper) error { return k.numbers.Set(c, cid("x"), 2) },
		"a lost owner":   func(c sdk.Context, k *Keeper) error { return k.byOwner.Remove(c, collections.Join(someone, uint64(1))) },
		"a second owner": func(c sdk.Context, k *Keeper) error { return k.byOwner.Set(c, collections.Join(another, uint64(1))) },
		"a lost child": func(c sdk.Context, k *Keeper) error {
			return k.children.Remove(c, collections.Join(uint64(1), uint64(2)))
		},
		"a stray child":   func(c sdk.Context, k *Keeper) error { return k.children.Set(c, collections.Join(uint64(2), uint64(1))) },
		"a lost artifact": func(c sdk.Context, k *Keeper) error { return k.artifacts.Remove(c, 1) },
		"a wrong count":   func(c sdk.Context, k *Keeper) error { return k.next.Set(c, 7) },
		"an impossible label": func(c sdk.Context, k *Keeper) error {
			return change(c, k, func(a *types.Artifact) { a.Label = "proved" })
		},
		"another owner": func(c sdk.Context, k *Keeper) error {
			return change(c, k, func(a *types.Artifact) { a.Owner = another.String() })
		},
		"no address":    func(c sdk.Context, k *Keeper) error { return change(c, k, func(a *types.Artifact) { a.Owner = "x" }) },
		"a parent less": func(c sdk.Context, k *Keeper) error { return change(c, k, func(a *types.Artifact) { a.Parents = nil }) },
		"another parent": func(c sdk.Context, k *Keeper) error {
			return change(c, k, func(a *types.Artifact) { a.Parents[0].Cid = cid("x") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := codectestutil.CodecOptions{AccAddressPrefix: chain.Bech32Prefix}.NewInterfaceRegistry()
			key := storetypes.NewKVStoreKey(types.StoreKey)
			ctx := testutil.DefaultContext(key, storetypes.NewTransientStoreKey("transient"))
			k, err := NewKeeper(codec.NewProtoCodec(registry), runtime.NewKVStoreService(key), someone.String())
			require.NoError(t, err)
			a := types.Artifact{
				Cid: cid("1"), Type: "dataset", Owner: someone.String(), StatementDigest: []byte("0123456789abcdef0123456789abcdef"),
				Label: "asserted", License: "MIT", Status: types.Status_STATUS_ACTIVE, Number: 1,
			}
			b := a
			b.Cid, b.Number, b.Parents = cid("2"), 2, []types.Parent{{Cid: cid("1"), Role: "seeds"}}
			require.NoError(t, k.InitGenesis(ctx, &types.GenesisState{Params: types.DefaultParams(), Artifacts: []types.Artifact{a, b}}))
			if damage != nil {
				require.NoError(t, damage(ctx, k))
			}
			broken, err := k.Invariants(ctx)
			require.NoError(t, err)
			if damage == nil {
				require.Empty(t, broken)
			} else {
				require.NotEmpty(t, broken)
			}
		})
	}
}

func change(ctx sdk.Context, k *Keeper, f func(*types.Artifact)) error {
	a, err := k.artifacts.Get(ctx, 2)
	if err != nil {
		return err
	}
	f(&a)
	return k.artifacts.Set(ctx, 2, a)
}
