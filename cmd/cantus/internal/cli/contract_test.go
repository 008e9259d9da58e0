package cli_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	ethtypes "github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/ledger/chain"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
)

// asker is a contract on the network that asks the demo model or for pages, and who owns it.
type asker struct {
	w       *world
	eth     *ethclient.Client
	key     *ecdsa.PrivateKey
	abi     abi.ABI
	address common.Address
	speaker speaker.ID
	nonce   uint64
}

// told is what the contract remembers of a request.
type told struct {
	Calls                     uint64
	Answered, Refuted, Failed bool
	Answer                    []byte
	Label                     uint8
	Receipt                   [32]byte
}

const (
	question   = "What is a violin?"
	maxTokens  = 40
	callGas    = 500_000
	pageGas    = 1_000_000
	askGas     = 3_000_000
	receiptMax = 30 * time.Second
)

func (w *world) asker() *asker {
	t := w.t
	var o struct{ Speaker string }
	require.NoError(t, json.Unmarshal(w.run("gateway", "offer", "--model", models.DemoName, "--json"), &o))
	a := w.deploy()
	var err error
	a.speaker, err = speaker.ParseID(o.Speaker)
	require.NoError(t, err)
	return a
}

// deploy puts the contract on the ledger.
func (w *world) deploy() *asker {
	t := w.t
	a := &asker{w: w}
	var err error
	a.eth, err = ethclient.Dial(w.net.Info().JSONRPC)
	require.NoError(t, err)
	t.Cleanup(a.eth.Close)
	a.key, err = crypto.GenerateKey()
	require.NoError(t, err)
	me := crypto.PubkeyToAddress(a.key.PublicKey)
	rich := w.fund("patron", 1000)
	_, err = w.client.Send(t.Context(), rich.Name, banktypes.NewMsgSend(rich.Address, sdk.AccAddress(me[:]), chain.Coins(chain.Notes(500))))
	require.NoError(t, err)

	b, err := os.ReadFile(filepath.Join("testdata", "Asker.json"))
	require.NoError(t, err)
	var compiled struct {
		ABI  json.RawMessage
		Code string
	}
	require.NoError(t, json.Unmarshal(b, &compiled))
	a.abi, err = abi.JSON(strings.NewReader(string(compiled.ABI)))
	require.NoError(t, err)
	a.address = a.send(nil, new(big.Int), common.FromHex(compiled.Code)).ContractAddress
	return a
}

// send has a transaction made and waits for its block.
func (a *asker) send(to *common.Address, value *big.Int, data []byte) *ethtypes.Receipt {
	t, ctx := a.w.t, a.w.t.Context()
	id, err := a.eth.ChainID(ctx)
	require.NoError(t, err)
	tx, err := ethtypes.SignNewTx(a.key, ethtypes.LatestSignerForChainID(id), &ethtypes.DynamicFeeTx{
		ChainID: id, Nonce: a.nonce, GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: new(big.Int), Gas: askGas, To: to, Value: value, Data: data,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(ctx, receiptMax)
	defer cancel()
	for { // the pool sees a block, say the one with the account's money, a moment after it
		err := a.eth.SendTransaction(ctx, tx)
		if err == nil {
			break
		}
		require.NoError(t, ctx.Err(), "%v", err)
		time.Sleep(50 * time.Millisecond)
	}
	a.nonce++
	for {
		if r, err := a.eth.TransactionReceipt(ctx, tx.Hash()); err == nil {
			if r.Status != ethtypes.ReceiptStatusSuccessful {
				_, why := a.eth.CallContract(ctx, ethereum.CallMsg{From: crypto.PubkeyToAddress(a.key.PublicKey), To: to, Value: value, Data: data, Gas: askGas}, r.BlockNumber)
				t.Fatalf("transaction %s failed in block %s with %d gas: %v", tx.Hash(), r.BlockNumber, r.GasUsed, why)
			}
			return r
		}
		require.NoError(t, ctx.Err(), "transaction %s is in no block", tx.Hash())
		time.Sleep(50 * time.Millisecond)
	}
}

// ask has the contract ask the question, and says the request's number.
func (a *asker) ask(policy uint8) uint64 {
	t := a.w.t
	params := struct {
		MaxTokens, Temperature, TopK, TopP uint32
		Seed                               uint64
	}{MaxTokens: maxTokens}
	data, err := a.abi.Pack("ask", [32]byte(a.speaker), []byte(question), params, uint64(callGas), policy)
	require.NoError(t, err)
	return a.asked(data)
}

// fetch has the contract ask for the body of a page, and says the request's number.
func (a *asker) fetch(url string, policy uint8) uint64 {
	data, err := a.abi.Pack("fetchPage", url, false, uint64(pageGas), policy)
	require.NoError(a.w.t, err)
	return a.asked(data)
}

func (a *asker) asked(data []byte) uint64 {
	t := a.w.t
	r := a.send(&a.address, chain.Notes(1).BigInt(), data)
	for _, l := range r.Logs {
		if l.Address == a.address && l.Topics[0] == a.abi.Events["Asked"].ID {
			return l.Topics[1].Big().Uint64()
		}
	}
	t.Fatal("the contract did not say what it asked")
	return 0
}

// told is what the contract was told by now.
func (a *asker) told(id uint64) told {
	t := a.w.t
	data, err := a.abi.Pack("told", new(big.Int).SetUint64(id))
	require.NoError(t, err)
	out, err := a.eth.CallContract(t.Context(), ethereum.CallMsg{To: &a.address, Data: data}, nil)
	require.NoError(t, err)
	list, err := a.abi.Unpack("told", out)
	require.NoError(t, err)
	return *abi.ConvertType(list[0], new(told)).(*told)
}

func (a *asker) record(id uint64) requeststypes.Request {
	r, err := requeststypes.NewQueryClient(a.w.client.Conn()).Request(a.w.t.Context(), &requeststypes.QueryRequestRequest{Id: id})
	require.NoError(a.w.t, err)
	return r.Request
}

// ended waits until a request is over.
func (a *asker) ended(id uint64) requeststypes.Request {
	for {
		require.NoError(a.w.t, a.w.t.Context().Err())
		if r := a.record(id); r.Over() {
			return r
		}
		if deadline, ok := a.w.t.Deadline(); ok && time.Until(deadline) < time.Minute {
			a.w.t.Fatalf("request %d does not end: %+v", id, a.record(id))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// truth is what the model answers to the question, by the engine alone.
func (a *asker) truth() string {
	t := a.w.t
	m, err := modeldir.At(a.w.home.Models()).Open(models.DemoName)
	require.NoError(t, err)
	v, err := infer.Voice(artifact.Digest(m.Root), &infer.Card{Config: m.Config, Tokenizer: m.Tokenizer})
	require.NoError(t, err)
	require.Equal(t, a.speaker, v.ID())
	prompt, err := v.Prompt([]byte(question))
	require.NoError(t, err)
	body, err := v.Speaker().Task(prompt, 1, speaker.Params{MaxTokens: maxTokens}).Encode()
	require.NoError(t, err)
	key, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	spec := tab.Spec{Version: tab.Version, Key: key.Public(), MaxUnits: 1000, Models: []tab.Model{{Root: artifact.Digest(m.Root), Name: "m", PromptUnits: 1, OutputUnits: 1}}}
	raw, err := spec.Encode()
	require.NoError(t, err)
	r, err := a.w.infer().Execute(t.Context(), work.Env{}, work.Task{Job: 1, Seq: 1, Spec: raw, Body: body})
	require.NoError(t, err)
	result, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	b, err := v.Spelling(prompt, result.Output)
	require.NoError(t, err)
	sp, err := v.Speaker().Open(b)
	require.NoError(t, err)
	text, err := v.Speaker().Answer(result.Output, sp)
	require.NoError(t, err)
	return string(text)
}

// found reports whether a receipt of the job was found false.
func (w *world) found(job uint64) bool {
	a, err := w.AccountOf(w.t.Context(), work.JobID(job))
	require.NoError(w.t, err)
	return a.False > 0
}

// forsaken reports whether nobody stands for an answer though nobody found it false: on a busy
// machine the gateway was too late to show it, or its auditors to say what they found.
func (w *world) forsaken(r requeststypes.Request) bool {
	if r.Status != requeststypes.Status_STATUS_REFUTED {
		return false
	}
	res, err := w.Work.Epoch(w.t.Context(), &types.QueryEpochRequest{Job: r.Job, Number: r.Epoch})
	require.NoError(w.t, err)
	e := res.Epoch
	if e.Status == types.EpochStatus_EPOCH_STATUS_VOID {
		return true
	}
	if e.StatusAt(r.Index) != types.SampleStatus_SAMPLE_STATUS_UNDECIDED {
		return false
	}
	_, fails := e.Samples[e.SampleAt(r.Index)].Count()
	return fails == 0
}

// Under the safe policy a contract never sees a lie, and is answered all the same where
// there is somebody honest. Under the optimistic one it is told of each lie that it was told.
func TestContractsAndLyingWorkers(t *testing.T) {
	w := inferWorld(t, 3)
	a := w.asker()
	truth := a.truth()

	t.Run("safe", func(t *testing.T) {
		w.litigant("quiet-liar", fraud{Kind: w.infer(), lie: oneToken})
		var ids []uint64
		lied := 0
		for round := 0; lied == 0; round++ {
			require.Less(t, round, 30, "the liar was never asked")
			ids = ids[:0]
			for range 6 {
				ids = append(ids, a.ask(requeststypes.Safe))
			}
			for _, id := range ids {
				r, v := a.ended(id), a.told(id)
				require.False(t, v.Refuted)
				if w.found(r.Job) {
					lied++
					t.Logf("request %d: a lie was found in job %d; it is %s after %d blocks", id, r.Job, r.Status, r.EndedHeight-r.OpenedHeight)
				}
				if r.Status == requeststypes.Status_STATUS_FINAL {
					require.Equal(t, truth, string(v.Answer), "request %d", id)
					require.Equal(t, string(work.Replayed), r.Label)
					continue
				}
				require.Equal(t, requeststypes.Status_STATUS_FAILED, r.Status)
				require.True(t, v.Failed && !v.Answered && len(v.Answer) == 0)
			}
		}
	})

	t.Run("optimistic", func(t *testing.T) {
		w.litigant("bold-liar", fraud{Kind: w.infer(), lie: oneToken})
		refuted := 0
		for round := 0; refuted == 0; round++ {
			require.Less(t, round, 30, "the liar was never asked")
			var ids []uint64
			for range 6 {
				ids = append(ids, a.ask(requeststypes.Optimistic))
			}
			for _, id := range ids {
				r, v := a.ended(id), a.told(id)
				if r.Status == requeststypes.Status_STATUS_FAILED {
					require.False(t, v.Answered)
					continue
				}
				lie := string(v.Answer) != truth
				if !lie && w.forsaken(r) {
					continue
				}
				require.Equal(t, lie, v.Refuted, "request %d was told %q", id, v.Answer)
				require.Equal(t, lie, r.Status == requeststypes.Status_STATUS_REFUTED)
				if !lie {
					require.Equal(t, requeststypes.Status_STATUS_FINAL, r.Status)
					continue
				}
				refuted++
				require.EqualValues(t, 2, v.Calls)
				require.Empty(t, r.Answer, "what was refuted can't be read any more")
				t.Logf("request %d: told a lie after %d blocks, told so after %d", id, r.AnsweredHeight-r.OpenedHeight, r.EndedHeight-r.OpenedHeight)
			}
		}
	})

	t.Run("agreement", func(t *testing.T) {
		w.litigant("third-liar", fraud{Kind: w.infer(), lie: oneToken})
		var ids []uint64
		for range 6 {
			ids = append(ids, a.ask(2))
		}
		for _, id := range ids {
			r, v := a.ended(id), a.told(id)
			if r.Status == requeststypes.Status_STATUS_FINAL {
				require.Equal(t, truth, string(v.Answer), "one liar agrees with nobody")
				require.Equal(t, string(work.Agreed), r.Label)
			}
		}
	})

	b, err := requeststypes.NewQueryClient(w.client.Conn()).Invariants(t.Context(), &requeststypes.QueryInvariantsRequest{})
	require.NoError(t, err)
	require.True(t, b.Ok, "%v", b.Broken)
	require.True(t, b.Held.IsZero(), "%s is held for nothing", b.Held)
	books, err := w.Books(t.Context())
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)
}
