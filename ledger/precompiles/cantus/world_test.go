package cantus_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	ethtypes "github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"
	"cosmossdk.io/math"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	sdk "github.com/cosmos/cosmos-sdk/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/contracts"
	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/precompiles/cantus"
	lineagekeeper "github.com/cantus-network/cantus/ledger/x/lineage/keeper"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

const (
	testChain = "cantus-test-1"
	gasPrice  = 2_000_000_000
	plenty    = 5_000_000 // gas
)

var (
	precompile = common.HexToAddress(cantus.Address)
	model      = [32]byte{1, 2, 3}
)

// account is an ordinary account.
type account struct {
	key   *ecdsa.PrivateKey
	nonce uint64
}

func (a *account) addr() common.Address { return crypto.PubkeyToAddress(a.key.PublicKey) }

// world is a whole ledger in memory, block by block, with a desk (desk_test.go) or x/requests
// itself for requests. After every block the books are checked.
type world struct {
	t      testing.TB
	app    *ledger.App
	enc    encoding.Config
	time   time.Time
	height int64

	desk     *desk // nil where x/requests is at work
	requests cantus.Requests
	model    [32]byte // that somebody speaks
	icantus  abi.ABI
	accounts []*account
}

// newWorld starts a ledger where accounts 0 to 2 have money, and a desk answers.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := startWorld(t)
	w.desk = &desk{key: w.app.EVM.KVStoreKeys()["lineage"], bank: w.app.Bank}
	w.requests, w.model = w.desk, model
	p, err := cantus.New(w.desk, lineagekeeper.NewQueryServer(w.app.Lineage), w.app.Bank)
	require.NoError(t, err)
	w.app.EVM.RegisterStaticPrecompile(precompile, p)
	return w
}

// startWorld starts a ledger as every network has it.
func startWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, enc: encoding.New(chain.DefaultEVMChainID), time: time.Unix(1_800_000_000, 0).UTC()}
	ring, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	_, err = keys.Create(ring, "ada")
	require.NoError(t, err)
	ada, err := keys.Find(ring, "ada")
	require.NoError(t, err)
	first := []genesis.Account{{Address: ada.Address, Amount: chain.Notes(100)}}
	for i := range 3 {
		key, err := crypto.ToECDSA(bytes.Repeat([]byte{byte(i + 1)}, 32))
		require.NoError(t, err)
		a := &account{key: key}
		w.accounts = append(w.accounts, a)
		first = append(first, genesis.Account{Address: a.addr().Bytes(), Amount: chain.Notes(3000)})
	}
	g, err := genesis.New(genesis.Network{ChainID: testChain, Time: w.time, Accounts: first, Devnet: true})
	require.NoError(t, err)
	stake, err := genesis.SignStake(t.Context(), g, ring, genesis.Stake{
		Operator: "ada", ConsensusKey: cmted25519.GenPrivKey().PubKey().(cmted25519.PubKey), Amount: chain.Notes(50),
	})
	require.NoError(t, err)
	require.NoError(t, genesis.AddStake(g, stake))

	w.app, err = ledger.New(log.NewNopLogger(), dbm.NewMemDB(), ledger.Options{Home: t.TempDir()}, baseapp.SetChainID(testChain))
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.app.Close() })
	w.requests = w.app.Requests
	w.icantus, err = abi.JSON(bytes.NewReader(contracts.ICantus()))
	require.NoError(t, err)

	params := g.Consensus.Params.ToProto()
	_, err = w.app.InitChain(&abci.RequestInitChain{
		ChainId: testChain, Time: w.time, AppStateBytes: g.AppState, ConsensusParams: &params, InitialHeight: 1,
	})
	require.NoError(t, err)
	w.block()
	return w
}

// block runs a block of transactions and checks the books.
func (w *world) block(txs ...[]byte) []*abci.ExecTxResult {
	w.t.Helper()
	w.height++
	w.time = w.time.Add(2 * time.Second)
	r, err := w.app.FinalizeBlock(&abci.RequestFinalizeBlock{Height: w.height, Time: w.time, Txs: txs})
	require.NoError(w.t, err)
	_, err = w.app.Commit()
	require.NoError(w.t, err)
	w.check()
	ctx := w.ctx()
	for _, a := range w.accounts {
		a.nonce = w.app.EVM.GetNonce(ctx, a.addr())
	}
	return r.TxResults
}

// edit changes the state between blocks, as transactions of a kind that is tested elsewhere
// would.
func (w *world) edit(change func(ctx sdk.Context) error) {
	w.t.Helper()
	ctx := w.app.NewUncachedContext(false, cmtproto.Header{ChainID: testChain, Height: w.height, Time: w.time})
	require.NoError(w.t, change(ctx))
	w.block()
}

// last is the newest request's number.
func (w *world) last() uint64 {
	ctx := w.ctx()
	for n := uint64(1); ; n++ {
		if _, err := w.requests.Lookup(ctx, n); err != nil {
			require.ErrorIs(w.t, err, types.ErrNotFound)
			return n - 1
		}
	}
}

// ctx reads the state after the last block.
func (w *world) ctx() sdk.Context {
	w.t.Helper()
	ctx, err := w.app.CreateQueryContext(w.height, false)
	require.NoError(w.t, err)
	return ctx
}

// check compares what accounts hold with what there is, and what the desk holds with what it
// owes.
func (w *world) check() {
	w.t.Helper()
	ctx := w.ctx()
	sum := math.ZeroInt()
	w.app.Bank.IterateAllBalances(ctx, func(_ sdk.AccAddress, c sdk.Coin) bool {
		sum = sum.Add(c.Amount)
		return false
	})
	require.Equal(w.t, w.app.Bank.GetSupply(ctx, chain.BaseDenom).Amount.String(), sum.String(), "balances do not add up after block %d", w.height)
	if w.desk != nil {
		w.desk.check(w.t, ctx)
	}
	market, err := w.app.Work.Invariants(ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, market.Broken)
	requests, err := w.app.Requests.Invariants(ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, requests.Broken)
}

func (w *world) balance(a common.Address) *big.Int {
	return w.app.Bank.GetBalance(w.ctx(), a.Bytes(), chain.BaseDenom).Amount.BigInt()
}

// outcome is what became of a transaction.
type outcome struct {
	w    *world
	ok   bool
	err  string
	ret  []byte
	logs []*evmtypes.Log
	fee  *big.Int // of the transaction
	used uint64   // gas, without what is charged for a limit that is too high
}

// sign makes an Ethereum transaction.
func (w *world) sign(a *account, to *common.Address, value *big.Int, gas uint64, data []byte) []byte {
	w.t.Helper()
	signer := ethtypes.LatestSignerForChainID(new(big.Int).SetUint64(chain.DefaultEVMChainID))
	tx, err := ethtypes.SignNewTx(a.key, signer, &ethtypes.LegacyTx{
		Nonce: a.nonce, To: to, Value: value, Gas: gas, GasPrice: big.NewInt(gasPrice), Data: data,
	})
	require.NoError(w.t, err)
	a.nonce++
	var msg evmtypes.MsgEthereumTx
	require.NoError(w.t, msg.FromSignedEthereumTx(tx, signer))
	built, err := msg.BuildTx(w.enc.Tx.NewTxBuilder(), chain.BaseDenom)
	require.NoError(w.t, err)
	raw, err := w.enc.Tx.TxEncoder()(built)
	require.NoError(w.t, err)
	return raw
}

// read makes an outcome of a block's result.
func (w *world) read(r *abci.ExecTxResult) outcome {
	w.t.Helper()
	o := outcome{w: w, err: r.Log, fee: new(big.Int).Mul(big.NewInt(r.GasUsed), big.NewInt(gasPrice))}
	if r.Code != 0 {
		return o
	}
	res, err := evmtypes.DecodeTxResponse(r.Data)
	require.NoError(w.t, err)
	o.ok, o.err, o.ret, o.logs = !res.Failed(), res.VmError, res.Ret, res.Logs
	if !o.ok {
		if reason, err := abi.UnpackRevert(res.Ret); err == nil {
			o.err += ": " + reason
		}
	}
	o.used = res.MaxUsedGas
	o.fee = new(big.Int).Mul(new(big.Int).SetUint64(res.GasUsed), big.NewInt(gasPrice))
	return o
}

// send runs a transaction in a block of its own.
func (w *world) send(a *account, to common.Address, value *big.Int, gas uint64, data []byte) outcome {
	w.t.Helper()
	return w.read(w.block(w.sign(a, &to, value, gas, data))[0])
}

// event unpacks the first event of a name.
func (o outcome) event(name string) map[string]any {
	o.w.t.Helper()
	id := o.w.icantus.Events[name].ID
	for _, l := range o.logs {
		if l.Address == precompile.Hex() && l.Topics[0] == id.Hex() {
			values := map[string]any{}
			require.NoError(o.w.t, o.w.icantus.UnpackIntoMap(values, name, l.Data))
			for i, in := range o.w.icantus.Events[name].Inputs {
				if in.Indexed && i == 0 {
					values[in.Name] = common.HexToHash(l.Topics[1]).Big()
				}
			}
			return values
		}
	}
	return nil
}

func (o outcome) count(name string) int {
	n := 0
	for _, l := range o.logs {
		if l.Topics[0] == o.w.icantus.Events[name].ID.Hex() {
			n++
		}
	}
	return n
}

// deployed is a contract on the ledger.
type deployed struct {
	w    *world
	abi  abi.ABI
	addr common.Address
}

// deploy puts a contract of testdata on the ledger, with money.
func (w *world) deploy(name string, value *big.Int, args ...any) *deployed {
	w.t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	require.NoError(w.t, err)
	var file struct {
		ABI  json.RawMessage
		Code string
	}
	require.NoError(w.t, json.Unmarshal(raw, &file))
	parsed, err := abi.JSON(bytes.NewReader(file.ABI))
	require.NoError(w.t, err)
	code, err := hex.DecodeString(file.Code)
	require.NoError(w.t, err)
	packed, err := parsed.Pack("", args...)
	require.NoError(w.t, err)
	by := w.accounts[0]
	at := crypto.CreateAddress(by.addr(), by.nonce)
	o := w.read(w.block(w.sign(by, nil, value, plenty, append(code, packed...)))[0])
	require.True(w.t, o.ok, o.err)
	return &deployed{w: w, abi: parsed, addr: at}
}

func (d *deployed) pack(method string, args ...any) []byte {
	d.w.t.Helper()
	data, err := d.abi.Pack(method, args...)
	require.NoError(d.w.t, err)
	return data
}

// send calls a method by a transaction of account 1.
func (d *deployed) send(method string, args ...any) outcome {
	d.w.t.Helper()
	return d.w.send(d.w.accounts[1], d.addr, new(big.Int), 2*plenty, d.pack(method, args...))
}

// must is send, for what cannot fail.
func (d *deployed) must(method string, args ...any) outcome {
	d.w.t.Helper()
	o := d.send(method, args...)
	require.True(d.w.t, o.ok, "%s: %s", method, o.err)
	return o
}

// cantus is the precompile itself.
func (w *world) cantus() *deployed { return &deployed{w: w, abi: w.icantus, addr: precompile} }

// view reads without a transaction.
func (d *deployed) view(method string, args ...any) ([]any, error) {
	d.w.t.Helper()
	data, err := json.Marshal(map[string]any{
		"from": d.w.accounts[2].addr().Hex(), "to": d.addr.Hex(), "input": "0x" + hex.EncodeToString(d.pack(method, args...)),
	})
	require.NoError(d.w.t, err)
	res, err := d.w.app.EVM.EthCall(d.w.ctx(), &evmtypes.EthCallRequest{Args: data, GasCap: 2 * plenty, ChainId: int64(chain.DefaultEVMChainID)})
	if err != nil {
		return nil, err
	}
	if res.Failed() {
		reason, _ := abi.UnpackRevert(res.Ret)
		return nil, &reverted{res.VmError + ": " + reason}
	}
	return d.abi.Unpack(method, res.Ret)
}

type reverted struct{ why string }

func (r *reverted) Error() string { return r.why }

func coins(n math.Int) sdk.Coins { return sdk.NewCoins(sdk.NewCoin(chain.BaseDenom, n)) }
