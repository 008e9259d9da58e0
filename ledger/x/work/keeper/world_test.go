package keeper_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
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

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/work/keeper"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

const (
	testChain = "cantus-test-1"
	kindName  = "crawl/1"
	faucet    = "faucet"
)

var authority = authtypes.NewModuleAddress("gov").String

// world is a market with real accounts and a real bank, in memory, block by block. After
// every block the books are checked and the supply is compared with what was burned.
type world struct {
	t      testing.TB
	ctx    sdk.Context
	k      *keeper.Keeper
	msg    types.MsgServer
	query  types.QueryServer
	bank   bankkeeper.BaseKeeper
	cdc    codec.Codec
	supply math.Int // what was minted
}

// newWorld starts a market in its first block.
func newWorld(t testing.TB, edit ...func(*types.Params)) *world {
	t.Helper()
	g := types.DefaultGenesis()
	g.Params = types.DevnetParams()
	g.Params.ProbationAudits = 0 // but where a test is about it
	for _, e := range edit {
		e(&g.Params)
	}
	w := emptyWorld(t)
	require.NoError(t, w.k.InitGenesis(w.ctx, g))
	w.begin()
	return w
}

func emptyWorld(t testing.TB) *world {
	t.Helper()
	chain.Configure()
	keys := storetypes.NewKVStoreKeys(authtypes.StoreKey, banktypes.StoreKey, types.StoreKey)
	registry := codectypes.NewInterfaceRegistry()
	authtypes.RegisterInterfaces(registry)
	types.RegisterInterfaces(registry)
	cdc := codec.NewProtoCodec(registry)
	perms := map[string][]string{
		faucet:              {authtypes.Minter},
		types.EscrowAccount: {authtypes.Burner},
		types.BondsAccount:  {authtypes.Burner},
	}
	blocked := map[string]bool{}
	for name := range perms {
		blocked[authtypes.NewModuleAddress(name).String()] = true
	}
	accounts := authkeeper.NewAccountKeeper(cdc, runtime.NewKVStoreService(keys[authtypes.StoreKey]), authtypes.ProtoBaseAccount,
		perms, address.NewBech32Codec(chain.Bech32Prefix), chain.Bech32Prefix, authority())
	bank := bankkeeper.NewBaseKeeper(cdc, runtime.NewKVStoreService(keys[banktypes.StoreKey]), accounts, blocked, authority(), log.NewNopLogger())
	k, err := keeper.NewKeeper(cdc, runtime.NewKVStoreService(keys[types.StoreKey]), accounts, bank, authority())
	require.NoError(t, err)
	k.SetReferee(kindName, toyReferee{})
	k.SetReferee(toyKind, toyReferee{})
	ctx := testutil.DefaultContextWithKeys(keys, nil, nil).WithChainID(testChain).WithBlockHeight(1)
	require.NoError(t, bank.SetParams(ctx, banktypes.DefaultParams()))
	return &world{t: t, ctx: ctx, k: k, msg: keeper.NewMsgServer(k), query: keeper.NewQueryServer(k), bank: bank, cdc: cdc, supply: math.ZeroInt()}
}

func (w *world) height() int64 { return w.ctx.BlockHeight() }

func (w *world) begin() {
	w.t.Helper()
	hash := sha256.Sum256(fmt.Appendf(nil, "block %d", w.height()))
	w.ctx = w.ctx.WithHeaderHash(hash[:]).WithEventManager(sdk.NewEventManager())
	require.NoError(w.t, w.k.BeginBlock(w.ctx))
}

// next ends the block, checks the books, and begins the next.
func (w *world) next() {
	w.t.Helper()
	require.NoError(w.t, w.k.EndBlock(w.ctx))
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

func (w *world) check() keeper.Books {
	w.t.Helper()
	b, err := w.k.Invariants(w.ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, b.Broken, "the books after block %d", w.height())
	require.Equal(w.t, b.Held, b.Escrow.Add(b.Payable).Add(b.Bonds).Add(b.Deposits))
	require.Equal(w.t, w.supply.Sub(b.Burned).String(), w.bank.GetSupply(w.ctx, chain.BaseDenom).Amount.String(), "supply changes by the burn alone")
	for _, e := range w.ctx.EventManager().Events() {
		require.NotEqual(w.t, types.EventStuck, e.Type, "%v", e)
	}
	return b
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

// enrollment signs a worker's enrollment.
func enrollment(worker, operator string, kinds ...string) types.Enrollment {
	sig, err := nodeKey(worker).SignEnrollment(testChain, bech(operator))
	if err != nil {
		panic(err)
	}
	if len(kinds) == 0 {
		kinds = []string{kindName}
	}
	return types.Enrollment{Key: pub(worker), Kinds: kinds, Bond: notes(100), Signature: sig, Network: "net-" + operator}
}

// operator funds and registers an operator with workers "name/0", "name/1", ….
func (w *world) operator(name string, workers int) {
	w.t.Helper()
	w.fund(name, int64(100*workers)+50)
	must(w, w.msg.RegisterOperator, &types.MsgRegisterOperator{Operator: bech(name), Moniker: name})
	m := &types.MsgEnrollWorkers{Operator: bech(name)}
	for i := range workers {
		m.Workers = append(m.Workers, enrollment(fmt.Sprintf("%s/%d", name, i), name))
	}
	must(w, w.msg.EnrollWorkers, m)
}

func registration(name string) *types.MsgRegisterGateway {
	sig, err := nodeKey(name).SignEnrollment(testChain, bech(name))
	if err != nil {
		panic(err)
	}
	return &types.MsgRegisterGateway{Address: bech(name), Key: pub(name), Url: "https://gate.example:8443", Bond: notes(1000), FeeBps: 500, Signature: sig}
}

func (w *world) addGateway(name string) {
	w.t.Helper()
	w.fund(name, 1100)
	must(w, w.msg.RegisterGateway, registration(name))
}

func jobTerms(buyer, gateway string) *types.MsgOpenJob {
	spec := sha256.Sum256([]byte("spec"))
	return &types.MsgOpenJob{
		Buyer: bech(buyer), Gateway: bech(gateway), Kind: kindName, SpecDigest: spec[:],
		Escrow: notes(50), Price: math.NewInt(1_000_003), AuditBps: 1000, EpochBlocks: 10, ExpiryBlocks: 5000, MaxGatewayFeeBps: 2000,
	}
}

func (w *world) worker(name string) types.Worker {
	w.t.Helper()
	r, err := w.query.Worker(w.ctx, &types.QueryWorkerRequest{Key: nodeKey(name).Public().String()})
	require.NoError(w.t, err)
	return r.Worker
}

func (w *world) gateway(name string) types.Gateway {
	w.t.Helper()
	r, err := w.query.Gateway(w.ctx, &types.QueryGatewayRequest{Address: bech(name)})
	require.NoError(w.t, err)
	return r.Gateway
}

func (w *world) job(id uint64) types.Job {
	w.t.Helper()
	r, err := w.query.Job(w.ctx, &types.QueryJobRequest{Id: id})
	require.NoError(w.t, err)
	return r.Job
}

func (w *world) epoch(job, number uint64) types.Epoch {
	w.t.Helper()
	r, err := w.query.Epoch(w.ctx, &types.QueryEpochRequest{Job: job, Number: number})
	require.NoError(w.t, err)
	return r.Epoch
}

// task is one receipt that a gateway collects.
type task struct {
	worker string
	seq    uint64
	units  uint64
}

// batch is an epoch as its gateway keeps it.
type batch struct {
	receipts [][]byte
	tree     *work.Tree
	pay      *work.Tree
	workers  []string // in the pay tree's order
	units    []uint64 // cumulative
	plants   work.Plants
}

// gate plays the gateway of one job: it keeps what the gateway must be able to show.
type gate struct {
	w       *world
	name    string
	buyer   string
	job     uint64
	cell    string
	epochs  []batch
	total   map[string]uint64
	nextSeq uint64
	bodies  func(seq uint64) (task, result []byte) // of its tasks; nil where nobody looks at them
	scores  []int32                                // of auditors' verdicts, by the number of their slots; none where there are none
}

// openJob opens a job of buyer's with a gateway and plays that gateway.
func (w *world) openJob(buyer, gateway string, edit ...func(*types.MsgOpenJob)) *gate {
	w.t.Helper()
	m := jobTerms(buyer, gateway)
	for _, e := range edit {
		e(m)
	}
	return &gate{w: w, name: gateway, buyer: buyer, cell: m.Cell, job: must(w, w.msg.OpenJob, m).Job, total: map[string]uint64{}}
}

func (g *gate) receipt(x task) []byte {
	body, result := fmt.Append(nil, "task", x.seq), fmt.Append(nil, "result", x.seq)
	if g.bodies != nil {
		body, result = g.bodies(x.seq)
	}
	t := work.Task{Job: work.JobID(g.job), Seq: x.seq, Spec: []byte("spec"), Body: body}
	s, err := work.SignReceipt(nodeKey(x.worker), work.Receipt{
		Chain: testChain, Job: t.Job, Seq: x.seq, Attempt: 1, Task: t.Digest(), Result: work.Result{Body: result}.Digest(),
		Units: x.units, Started: 1000, Finished: 2000,
	})
	if err != nil {
		panic(err)
	}
	b, err := s.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// plan makes the trees of the next epoch and adds its units to the workers' totals.
func (g *gate) plan(tasks ...task) (*types.MsgCommitEpoch, batch) {
	g.w.t.Helper()
	var b batch
	var leaves []work.Node
	first, firstUnits := g.w.probationFirst(tasks)
	for _, x := range tasks {
		r := g.receipt(x)
		b.receipts = append(b.receipts, r)
		leaves = append(leaves, work.ReceiptLeaf(r, x.units))
		g.total[x.worker] += x.units
	}
	var err error
	b.tree, err = work.NewTree(leaves)
	require.NoError(g.w.t, err)
	b.workers, b.units, b.pay = payTree(g.w.t, g.total)
	root, pay := b.tree.Root(), b.pay.Root()
	return &types.MsgCommitEpoch{
		Gateway: bech(g.name), Job: g.job, Number: uint64(len(g.epochs)) + 1,
		ReceiptsRoot: root.Hash[:], Receipts: root.Leaves, Units: root.Sum,
		PayRoot: pay.Hash[:], Workers: pay.Leaves, TotalUnits: pay.Sum,
		ProbationReceipts: first, ProbationUnits: firstUnits,
	}, b
}

func payTree(t testing.TB, total map[string]uint64) (names []string, units []uint64, tree *work.Tree) {
	t.Helper()
	for n := range total {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return nodeKey(a).Public().Compare(nodeKey(b).Public()) })
	var leaves []work.Node
	for _, n := range names {
		units = append(units, total[n])
		leaves = append(leaves, work.PayLeaf(nodeKey(n).Public(), total[n]))
	}
	tree, err := work.NewTree(leaves)
	require.NoError(t, err)
	return names, units, tree
}

// commit commits an epoch of these tasks.
func (g *gate) commit(tasks ...task) uint64 {
	g.w.t.Helper()
	m, b := g.plan(tasks...)
	must(g.w, g.w.msg.CommitEpoch, m)
	g.epochs = append(g.epochs, b)
	return m.Number
}

func (g *gate) opening(number uint64, sample int) types.Opening {
	g.w.t.Helper()
	b := g.epochs[number-1]
	i, err := b.tree.Find(g.w.epoch(g.job, number).Samples[sample].Unit)
	require.NoError(g.w.t, err)
	return types.Opening{Sample: uint32(sample), Receipt: b.receipts[i], Proof: g.proof(b.tree, i)}
}

func (g *gate) proof(t *work.Tree, i int) types.Proof {
	g.w.t.Helper()
	p, err := t.Prove(i)
	require.NoError(g.w.t, err)
	return types.ProofOf(p)
}

func (g *gate) openings(number uint64) *types.MsgOpenReceipts {
	g.w.t.Helper()
	m := &types.MsgOpenReceipts{Gateway: bech(g.name), Job: g.job, Epoch: number}
	for i := range g.w.epoch(g.job, number).Samples {
		m.Openings = append(m.Openings, g.opening(number, i))
	}
	return m
}

// finding is what an auditor of a sample finds; zero is silence.
type finding func(sample int, auditor work.PublicKey) types.Outcome

func honest(int, work.PublicKey) types.Outcome { return types.Outcome_OUTCOME_PASS }

var nodeNames = map[work.PublicKey]string{}

func nameOf(k work.PublicKey) string { return nodeNames[k] }

func (g *gate) verdicts(number uint64, find finding) (*types.MsgCommitVerdicts, *types.MsgRevealVerdicts) {
	g.w.t.Helper()
	c := &types.MsgCommitVerdicts{Sender: bech("anybody"), Job: g.job, Epoch: number}
	r := &types.MsgRevealVerdicts{Sender: bech("anybody"), Job: g.job, Epoch: number}
	for i, s := range g.w.epoch(g.job, number).Samples {
		for _, slot := range s.Slots {
			key := work.PublicKey(slot.Auditor)
			o := find(i, key)
			if o == types.Outcome_OUTCOME_UNSPECIFIED {
				continue
			}
			commitment, reveal := g.verdict(number, i, key, o)
			c.Verdicts = append(c.Verdicts, commitment)
			r.Verdicts = append(r.Verdicts, reveal)
		}
	}
	return c, r
}

func (g *gate) verdict(number uint64, sample int, auditor work.PublicKey, o types.Outcome) (types.VerdictCommitment, types.VerdictReveal) {
	g.w.t.Helper()
	id := work.VerdictID{Chain: testChain, Job: work.JobID(g.job), Epoch: number, Sample: uint32(sample), Auditor: auditor}
	v := work.Verdict{Outcome: work.AuditOutcome(o), Evidence: sha256.Sum256([]byte("evidence"))}
	if len(g.scores) > 0 {
		slots := g.w.epoch(g.job, number).Samples[sample].Slots
		v.Score = g.scores[slices.IndexFunc(slots, func(s types.AuditorSlot) bool { return work.PublicKey(s.Auditor) == auditor })]
	}
	salt := sha256.Sum256(auditor[:])
	digest, err := v.Commitment(id, salt)
	require.NoError(g.w.t, err)
	require.NotEmpty(g.w.t, nameOf(auditor), "auditor %s", auditor)
	sig, err := nodeKey(nameOf(auditor)).SignCommitment(id, digest)
	require.NoError(g.w.t, err)
	return types.VerdictCommitment{Sample: uint32(sample), Auditor: auditor[:], Commitment: digest[:], Signature: sig},
		types.VerdictReveal{Sample: uint32(sample), Auditor: auditor[:], Outcome: o, Evidence: v.Evidence[:], Salt: salt[:], Score: v.Score}
}

// audit opens an epoch's samples and has its auditors say what they find.
func (g *gate) audit(number uint64, find finding) {
	g.w.t.Helper()
	must(g.w, g.w.msg.OpenReceipts, g.openings(number))
	c, r := g.verdicts(number, find)
	if len(c.Verdicts) == 0 {
		return
	}
	must(g.w, g.w.msg.CommitVerdicts, c)
	waiting := func() bool {
		return slices.ContainsFunc(g.w.epoch(g.job, number).Samples, func(s types.Sample) bool {
			return s.Status == types.SampleStatus_SAMPLE_STATUS_OPENED
		})
	}
	for waiting() { // where some are silent, until their time is over
		g.w.next()
	}
	must(g.w, g.w.msg.RevealVerdicts, r)
}

// settle takes a committed epoch to its settlement with honest auditors.
func (g *gate) settle(number uint64) {
	g.w.t.Helper()
	g.w.next()
	g.audit(number, honest)
	for range 50 {
		if g.w.epoch(g.job, number).Status == types.EpochStatus_EPOCH_STATUS_SETTLED {
			return
		}
		g.w.next()
	}
	g.w.t.Fatalf("epoch %d of job %d did not settle: %s", number, g.job, g.w.epoch(g.job, number).Status)
}

func (g *gate) payProof(number uint64, worker string) types.PayProof {
	g.w.t.Helper()
	b := g.epochs[number-1]
	i := slices.Index(b.workers, worker)
	require.GreaterOrEqual(g.w.t, i, 0, "%s is not in the pay tree of epoch %d", worker, number)
	return types.PayProof{Worker: pub(worker), Units: b.units[i], Proof: g.proof(b.pay, i)}
}

func (g *gate) claims(number uint64, workers ...string) *types.MsgClaim {
	g.w.t.Helper()
	m := &types.MsgClaim{Sender: bech("anybody"), Job: g.job, Epoch: number}
	for _, n := range workers {
		m.Claims = append(m.Claims, g.payProof(number, n))
	}
	return m
}

func (g *gate) voucher(worker string, epoch, units uint64) []byte {
	g.w.t.Helper()
	s, err := work.SignVoucher(nodeKey(g.name), work.Voucher{Chain: testChain, Job: work.JobID(g.job), Worker: nodeKey(worker).Public(), Epoch: epoch, Units: units})
	require.NoError(g.w.t, err)
	b, err := s.Encode()
	require.NoError(g.w.t, err)
	return b
}

func (g *gate) j() types.Job { return g.w.job(g.job) }

// crew is a market with a gateway, a funded buyer and four operators of two workers each.
func crew(t testing.TB, edit ...func(*types.Params)) *world {
	w := newWorld(t, edit...)
	for _, op := range []string{"ada", "bob", "cyd", "dan"} {
		w.operator(op, 2)
	}
	w.addGateway("gate")
	w.fund("buyer", 1000)
	w.fund("anybody", 1000)
	w.next()
	return w
}

func TestMain(m *testing.M) {
	for _, op := range strings.Fields("ada bob cyd dan eve fay gus hal") {
		for i := range 200 {
			n := fmt.Sprintf("%s/%d", op, i)
			nodeNames[nodeKey(n).Public()] = n
		}
	}
	m.Run()
}
