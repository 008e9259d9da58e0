package keeper_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cosmos/cosmos-sdk/codec"
	codectestutil "github.com/cosmos/cosmos-sdk/codec/testutil"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/lineage/keeper"
	"github.com/cantus-network/cantus/ledger/x/lineage/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// The market takes royalties from this keeper.
var _ worktypes.Lineage = (*keeper.Keeper)(nil)

// world is a register with a market of its own, entered through the module's servers.
type world struct {
	t      testing.TB
	ctx    sdk.Context
	keeper *keeper.Keeper
	msg    types.MsgServer
	query  types.QueryServer
	jobs   market
}

// market is the settled jobs by their IDs.
type market map[uint64]settled

type settled struct {
	buyer, label string
	root         []byte
}

func (m market) SettledJob(_ context.Context, id uint64) (string, []byte, string, error) {
	j, ok := m[id]
	if !ok {
		return "", nil, "", errors.New("job is still running")
	}
	return j.buyer, j.root, j.label, nil
}

// bank refuses to pay one account.
type bank struct{ blocked sdk.AccAddress }

func (b bank) BlockedAddr(addr sdk.AccAddress) bool { return addr.Equals(b.blocked) }

func address(name string) string {
	h := sha256.Sum256([]byte(name))
	return sdk.MustBech32ifyAddressBytes(chain.Bech32Prefix, h[:20])
}

var gov = address("gov")

func newWorld(t testing.TB) *world {
	t.Helper()
	w := emptyWorld(t)
	require.NoError(t, w.keeper.InitGenesis(w.ctx, types.DefaultGenesis()))
	return w
}

// emptyWorld has no genesis yet.
func emptyWorld(t testing.TB) *world {
	t.Helper()
	chain.Configure()
	registry := codectestutil.CodecOptions{AccAddressPrefix: chain.Bech32Prefix}.NewInterfaceRegistry()
	types.RegisterInterfaces(registry)
	key := storetypes.NewKVStoreKey(types.StoreKey)
	ctx := testutil.DefaultContext(key, storetypes.NewTransientStoreKey("transient"))
	ctx = ctx.WithBlockHeader(cmtproto.Header{Height: 1})
	k, err := keeper.NewKeeper(codec.NewProtoCodec(registry), runtime.NewKVStoreService(key), gov)
	require.NoError(t, err)
	w := &world{t: t, ctx: ctx, keeper: k, msg: keeper.NewMsgServer(k), query: keeper.NewQueryServer(k), jobs: market{}}
	k.SetJobs(w.jobs)
	blocked, err := sdk.GetFromBech32(address("module"), chain.Bech32Prefix)
	require.NoError(t, err)
	k.SetBank(bank{blocked})
	return w
}

func (w *world) setParams(change func(*types.Params)) {
	w.t.Helper()
	p, err := w.keeper.Params(w.ctx)
	require.NoError(w.t, err)
	change(&p)
	_, err = w.msg.UpdateParams(w.ctx, &types.MsgUpdateParams{Authority: gov, Params: p})
	require.NoError(w.t, err)
}

// cid names an artifact.
func cid(name string) string { return artifact.CID(artifact.JSON, artifact.Sum([]byte(name))) }

// registration is a good one, by alice.
func registration(name string, parents ...types.Parent) *types.MsgRegister {
	digest := sha256.Sum256([]byte("statement of " + name))
	return &types.MsgRegister{
		Owner: address("alice"), Cid: cid(name), Type: "dataset", StatementDigest: digest[:],
		Parents: parents, License: "CC-BY-4.0",
	}
}

func parent(name string, bps uint32) types.Parent {
	return types.Parent{Cid: cid(name), Role: "seeds", RoyaltyBps: bps}
}

func (w *world) register(m *types.MsgRegister) {
	w.t.Helper()
	_, err := w.msg.Register(w.ctx, m)
	require.NoError(w.t, err)
}

// add registers artifacts from their parents' names, all of alice's.
func (w *world) add(name string, parents ...string) {
	w.t.Helper()
	m := registration(name)
	for i, p := range parents {
		m.Parents = append(m.Parents, types.Parent{Cid: cid(p), Role: fmt.Sprintf("part-%d", i)})
	}
	w.register(m)
}

func (w *world) revoke(name string) {
	w.t.Helper()
	a := w.get(name).Artifact
	_, err := w.msg.Revoke(w.ctx, &types.MsgRevoke{Owner: a.Owner, Cid: a.Cid, Reason: "holds personal data"})
	require.NoError(w.t, err)
}

func (w *world) get(name string) *types.QueryArtifactResponse {
	w.t.Helper()
	r, err := w.query.Artifact(w.ctx, &types.QueryArtifactRequest{Cid: cid(name)})
	require.NoError(w.t, err)
	return r
}

// check holds the invariants.
func (w *world) check() {
	w.t.Helper()
	broken, err := w.keeper.Invariants(w.ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, broken)
}
