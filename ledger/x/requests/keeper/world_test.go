package keeper_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"cosmossdk.io/log/v2"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/keeper"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	workkeeper "github.com/cantus-network/cantus/ledger/x/work/keeper"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

const (
	testChain = "cantus-test-1"
	faucet    = "faucet"
	gasPrice  = 2_000_000_000
)

// The market is what the keeper needs of it.
var _ types.Market = (*workkeeper.Keeper)(nil)

var authority = authtypes.NewModuleAddress("gov").String

// fees is a fee market with one price.
type fees struct{ price math.LegacyDec }

func (f *fees) GetBaseFee(sdk.Context) math.LegacyDec { return f.price }

// silence is a referee of disputes in which the worker never answers.
type silence struct{}

func (silence) Case(_, _, _ []byte) (workkeeper.Case, error) { return silence{}, nil }
func (silence) Leaves() uint64                               { return 1 }
func (silence) Describe(uint64) string                       { return "the only step" }
func (silence) Gas(uint64) uint64                            { return 1 }
func (silence) ContradictionGas(uint64) uint64               { return 1 }
func (silence) Decide(uint64, [][]merkle.Digest, merkle.Digest, merkle.Digest, []byte) (workkeeper.Ruling, error) {
	return workkeeper.Ruling{}, nil
}
func (silence) Contradicts(merkle.Digest, uint64, []byte) error { return fmt.Errorf("it does not") }

// world is a market and the requests in it, with real accounts and a real bank, in memory,
// block by block. After every block the books of both are checked and the supply is compared
// with what was burned.
type world struct {
	t        testing.TB
	ctx      sdk.Context
	k        *keeper.Keeper
	msg      types.MsgServer
	query    types.QueryServer
	work     *workkeeper.Keeper
	market   worktypes.MsgServer
	bank     bankkeeper.BaseKeeper
	accounts authkeeper.AccountKeeper
	cdc      codec.Codec
	fees     *fees
	supply   math.Int // what was minted
	seq      uint64   // of the last task
}

func emptyWorld(t testing.TB) *world {
	t.Helper()
	chain.Configure()
	keys := storetypes.NewKVStoreKeys(authtypes.StoreKey, banktypes.StoreKey, worktypes.StoreKey, types.StoreKey)
	registry := codectypes.NewInterfaceRegistry()
	authtypes.RegisterInterfaces(registry)
	types.RegisterInterfaces(registry)
	cdc := codec.NewProtoCodec(registry)
	perms := map[string][]string{
		faucet:                  {authtypes.Minter},
		worktypes.EscrowAccount: {authtypes.Burner},
		worktypes.BondsAccount:  {authtypes.Burner},
		types.ModuleName:        {authtypes.Burner},
	}
	blocked := map[string]bool{}
	for name := range perms {
		blocked[authtypes.NewModuleAddress(name).String()] = true
	}
	accounts := authkeeper.NewAccountKeeper(cdc, runtime.NewKVStoreService(keys[authtypes.StoreKey]), authtypes.ProtoBaseAccount,
		perms, address.NewBech32Codec(chain.Bech32Prefix), chain.Bech32Prefix, authority())
	bank := bankkeeper.NewBaseKeeper(cdc, runtime.NewKVStoreService(keys[banktypes.StoreKey]), accounts, blocked, authority(), log.NewNopLogger())
	market, err := workkeeper.NewKeeper(cdc, runtime.NewKVStoreService(keys[worktypes.StoreKey]), accounts, bank, authority())
	require.NoError(t, err)
	market.SetReferee(types.Kind, silence{})
	f := &fees{math.LegacyNewDec(gasPrice)}
	k, err := keeper.NewKeeper(cdc, runtime.NewKVStoreService(keys[types.StoreKey]), accounts, bank, market, f, authority())
	require.NoError(t, err)
	ctx := testutil.DefaultContextWithKeys(keys, nil, nil).WithChainID(testChain).WithBlockHeight(1)
	require.NoError(t, bank.SetParams(ctx, banktypes.DefaultParams()))
	return &world{
		t: t, ctx: ctx, k: k, msg: keeper.NewMsgServer(k), query: keeper.NewQueryServer(k), work: market, market: workkeeper.NewMsgServer(market),
		bank: bank, accounts: accounts, cdc: cdc, fees: f, supply: math.ZeroInt(),
	}
}

// newWorld has a gateway with an offer, a payer, and four operators of two workers each.
func newWorld(t testing.TB, edit ...func(*types.Params)) *world {
	t.Helper()
	w := emptyWorld(t)
	g := worktypes.DefaultGenesis()
	g.Params = worktypes.DevnetParams()
	g.Params.ProbationAudits = 0
	g.Params.DisputeOpenBlocks, g.Params.DisputeMoveBlocks, g.Params.GraceBlocks = 4, 3, 10
	require.NoError(t, w.work.InitGenesis(w.ctx, g))
	r := types.DefaultGenesis()
	r.Params = types.DevnetParams()
	r.Params.DeliverBlocks = 10
	for _, e := range edit {
		e(&r.Params)
	}
	require.NoError(t, w.k.InitGenesis(w.ctx, r))
	w.begin()
	for _, op := range operators {
		w.operator(op)
	}
	w.gateway("gate")
	w.fund("payer", 1000)
	w.fund("anybody", 1000)
	w.next()
	must(w, w.msg.Offer, offer("gate"))
	return w
}

var operators = []string{"ada", "bob", "cyd", "dan"}

func (w *world) height() int64 { return w.ctx.BlockHeight() }

func (w *world) begin() {
	w.t.Helper()
	hash := sha256.Sum256(fmt.Appendf(nil, "block %d", w.height()))
	w.ctx = w.ctx.WithHeaderHash(hash[:]).WithEventManager(sdk.NewEventManager())
	require.NoError(w.t, w.work.BeginBlock(w.ctx))
}

// next ends the block, checks the books, and begins the next.
func (w *world) next() {
	w.t.Helper()
	require.NoError(w.t, w.work.EndBlock(w.ctx))
	w.check()
	w.ctx = w.ctx.WithBlockHeight(w.height() + 1)
	w.begin()
}

func (w *world) skip(n int64) {
	w.t.Helper()
	for range n {
		w.next()
	}
}

func (w *world) check() {
	w.t.Helper()
	b, err := w.k.Invariants(w.ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, b.Broken, "the books of requests after block %d", w.height())
	m, err := w.work.Invariants(w.ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, m.Broken, "the books of the market after block %d", w.height())
	require.Equal(w.t, w.supply.Sub(b.Burned).Sub(m.Burned).String(), w.bank.GetSupply(w.ctx, chain.BaseDenom).Amount.String(), "supply changes by the burn alone")
	for _, e := range w.ctx.EventManager().Events() {
		require.NotEqual(w.t, worktypes.EventStuck, e.Type, "%v", e)
	}
}

// send runs a message as a transaction: all or nothing.
func send[M, R any](w *world, handle func(context.Context, M) (R, error), msg M) (R, error) {
	w.t.Helper()
	ctx, write := w.ctx.CacheContext()
	r, err := handle(ctx, msg)
	if err == nil {
		write()
	}
	return r, err
}

// must is send for a message that must pass.
func must[M, R any](w *world, handle func(context.Context, M) (R, error), msg M) R {
	w.t.Helper()
	r, err := send(w, handle, msg)
	require.NoError(w.t, err)
	return r
}

// refused is send for a message that must fail, with this error and these words.
func refused[M, R any](w *world, want error, words string, handle func(context.Context, M) (R, error), msg M) {
	w.t.Helper()
	_, err := send(w, handle, msg)
	require.ErrorIs(w.t, err, want)
	require.ErrorContains(w.t, err, words)
}

func addr(name string) sdk.AccAddress {
	h := sha256.Sum256([]byte("account " + name))
	return h[:20]
}

func bech(name string) string { return addr(name).String() }

func nodeKey(name string) work.PrivateKey {
	h := sha256.Sum256([]byte("node " + name))
	k, err := work.PrivateKeyFromSeed(h[:])
	if err != nil {
		panic(err)
	}
	return k
}

func pub(name string) []byte {
	k := nodeKey(name).Public()
	return k[:]
}

func notes(n int64) math.Int { return chain.Notes(n) }

func (w *world) fund(name string, n int64) {
	w.t.Helper()
	require.NoError(w.t, w.bank.MintCoins(w.ctx, faucet, chain.Coins(notes(n))))
	require.NoError(w.t, w.bank.SendCoinsFromModuleToAccount(w.ctx, faucet, addr(name), chain.Coins(notes(n))))
	w.supply = w.supply.Add(notes(n))
}

func (w *world) balance(name string) math.Int {
	return w.bank.GetBalance(w.ctx, addr(name), chain.BaseDenom).Amount
}

// operator has workers "name/0" and "name/1".
func (w *world) operator(name string) {
	w.t.Helper()
	w.fund(name, 1000)
	must(w, w.market.RegisterOperator, &worktypes.MsgRegisterOperator{Operator: bech(name), Moniker: name})
	m := &worktypes.MsgEnrollWorkers{Operator: bech(name)}
	for i := range 2 {
		m.Workers = append(m.Workers, w.enrollment(fmt.Sprintf("%s/%d", name, i), name))
	}
	must(w, w.market.EnrollWorkers, m)
}

func (w *world) enrollment(worker, operator string) worktypes.Enrollment {
	sig, err := nodeKey(worker).SignEnrollment(testChain, bech(operator))
	require.NoError(w.t, err)
	return worktypes.Enrollment{Key: pub(worker), Kinds: []string{types.PageKind, types.Kind}, Bond: notes(100), Signature: sig, Network: "net-" + operator}
}

func (w *world) gateway(name string) {
	w.t.Helper()
	w.fund(name, 1100)
	sig, err := nodeKey(name).SignEnrollment(testChain, bech(name))
	require.NoError(w.t, err)
	must(w, w.market.RegisterGateway, &worktypes.MsgRegisterGateway{
		Address: bech(name), Key: pub(name), Url: "https://gate.example:8443", Bond: notes(1000), FeeBps: 500, Signature: sig,
	})
}

// The vocabulary: a token that begins, one that ends, one without text, every byte, and a
// few words.
const (
	tokenBegin = 0
	tokenEnd   = 1
	tokenMute  = 2
)

var pieces = func() [][]byte {
	list := [][]byte{nil, nil, nil}
	for b := range 256 {
		list = append(list, []byte{byte(b)})
	}
	for _, s := range []string{"yes", "no", " the", "what", " is", "answer", "ab"} {
		list = append(list, []byte(s))
	}
	return list
}()

func vocabularyNode(from, to uint64) speaker.Digest {
	var leaves []speaker.Digest
	for _, p := range pieces[from:to] {
		leaves = append(leaves, speaker.Leaf(p))
	}
	return merkle.Root(leaves)
}

func voice() *speaker.Speaker {
	return &speaker.Speaker{
		Model: speaker.Digest{7}, Vocabulary: vocabularyNode(0, uint64(len(pieces))), Size: uint32(len(pieces)),
		Prefix: []uint32{tokenBegin}, Stop: []uint32{tokenEnd}, Space: true,
	}
}

func encoded(s *speaker.Speaker) []byte {
	b, err := s.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func speakerID() [32]byte { return speaker.IDOf(encoded(voice())) }

// spelling shows tokens against the vocabulary.
func spelling(tokens ...[]uint32) []byte {
	var ids []uint64
	for _, list := range tokens {
		for _, id := range list {
			if int(id) < len(pieces) {
				ids = append(ids, uint64(id))
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	b, next := binary.AppendUvarint(nil, uint64(len(ids))), uint64(0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, id-next)
		b = binary.AppendUvarint(b, uint64(len(pieces[id])))
		b = append(b, pieces[id]...)
		next = id + 1
	}
	merkle.Missing(0, uint64(len(pieces)), ids, func(from, to uint64) {
		d := vocabularyNode(from, to)
		b = append(b, d[:]...)
	})
	return b
}

// tokensOf spells a text with the longest tokens there are.
func tokensOf(text string) []uint32 {
	var out []uint32
	for rest := []byte(text); len(rest) > 0; {
		best := -1
		for id, p := range pieces {
			if len(p) > 0 && bytes.HasPrefix(rest, p) && (best < 0 || len(p) > len(pieces[best])) {
				best = id
			}
		}
		out, rest = append(out, uint32(best)), rest[len(pieces[best]):]
	}
	return out
}

func terms() types.Terms {
	spec := sha256.Sum256([]byte("spec"))
	return types.Terms{
		SpecDigest: spec[:], Price: math.NewInt(1_000_003), PromptUnits: 1, OutputUnits: 3, DeliveryFee: math.NewInt(5_000_000_000_007),
		MaxPromptBytes: 200, MaxAnswerBytes: 40, MaxTokens: 64, AuditBps: 10_000, EpochBlocks: 5, ExpiryBlocks: 60,
	}
}

func offer(gateway string, edit ...func(*types.Terms)) *types.MsgOffer {
	t := terms()
	for _, e := range edit {
		e(&t)
	}
	return &types.MsgOffer{Gateway: bech(gateway), Speaker: encoded(voice()), Terms: t}
}

var contract = [20]byte{0xc0, 0xff, 0xee}

func ask(policy uint8) types.Ask {
	return types.Ask{
		From: addr("payer"), Payer: addr("payer"), Fee: notes(1), Callback: contract, CallbackGas: 100_000, Speaker: speakerID(),
		Prompt: []byte("what is the ab?"), Sampling: types.Sampling{MaxTokens: 20, Temperature: 500_000, Seed: 9}, Policy: policy,
	}
}

func (w *world) request(a types.Ask) types.Request {
	w.t.Helper()
	return must(w, w.k.Request, a)
}

func (w *world) lookup(id uint64) types.Request {
	w.t.Helper()
	r, err := w.k.Lookup(w.ctx, id)
	require.NoError(w.t, err)
	return r
}

func (w *world) job(id uint64) worktypes.Job {
	w.t.Helper()
	j, err := w.work.Job(w.ctx, id)
	require.NoError(w.t, err)
	return j
}

func (w *world) epoch(job, number uint64) worktypes.Epoch {
	w.t.Helper()
	e, err := w.work.Epoch(w.ctx, job, number)
	require.NoError(w.t, err)
	return e
}

type delivery struct {
	id       uint64
	evidence []byte
	by       string
}

func (w *world) deliver(ctx context.Context, d delivery) (types.Call, error) {
	return w.k.Deliver(ctx, d.id, d.evidence, addr(d.by))
}

func (w *world) conclude(ctx context.Context, id uint64) (types.Call, error) {
	return w.k.Conclude(ctx, id)
}

type cancellation struct {
	id uint64
	by string
}

func (w *world) cancel(ctx context.Context, c cancellation) (types.Call, error) {
	return w.k.Cancel(ctx, c.id, addr(c.by))
}

type report struct {
	id  uint64
	how types.Called
	by  string
}

func (w *world) called(ctx context.Context, r report) (struct{}, error) {
	return struct{}{}, w.k.Called(ctx, r.id, r.how, addr(r.by))
}
