package cantus_test

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	requestskeeper "github.com/cantus-network/cantus/ledger/x/requests/keeper"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	workkeeper "github.com/cantus-network/cantus/ledger/x/work/keeper"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

const pageURL = "https://news.example/today"

// entry is Notary.Entry.
type entry struct {
	By     common.Address
	Text   bool
	Cut    bool
	Status uint16
	Time   uint64
	Label  uint8
	Digest [32]byte
	Url    string
}

// recorded is the page that the notary logged, as it read it.
func (d *deployed) recorded(o outcome) types.Page {
	d.w.t.Helper()
	for _, l := range o.logs {
		if l.Address == d.addr.Hex() {
			out, err := d.abi.Unpack("Recorded", l.Data)
			require.NoError(d.w.t, err)
			return *abi.ConvertType(out[0], new(types.Page)).(*types.Page)
		}
	}
	require.Fail(d.w.t, "the notary recorded nothing")
	return types.Page{}
}

// record has the notary ask for a page.
func (d *deployed) record(text bool, policy uint8) outcome {
	d.w.t.Helper()
	o := d.w.send(d.w.accounts[1], d.addr, note, plenty, d.pack("record", pageURL, text, policy))
	require.True(d.w.t, o.ok, o.err)
	return o
}

func (d *deployed) entry(id *big.Int) entry {
	d.w.t.Helper()
	out, err := d.view("entry", id)
	require.NoError(d.w.t, err)
	return *abi.ConvertType(out[0], new(entry)).(*entry)
}

// Solidity reads the pages that the ledger writes, whatever is in them.
func TestContractsReadPages(t *testing.T) {
	w := newWorld(t)
	n := w.deploy("Notary", new(big.Int))
	for _, p := range []types.Page{
		{Status: 200, Time: 1_800_000_000, MediaType: "text/html", Digest: [32]byte{1, 2}, Content: []byte("It rains.")},
		{Status: 301, Time: 1<<64 - 1, Location: pageURL + "/", Cut: true, Digest: sha256.Sum256(nil), Content: []byte{}},
		{Status: 599, MediaType: string(bytes.Repeat([]byte{'a'}, 255)), Location: string(bytes.Repeat([]byte{'b'}, 2048)), Content: bytes.Repeat([]byte{0xff}, 4096)},
		{Content: []byte{}},
	} {
		id := n.record(true, types.Safe).event("Requested")["id"].(*big.Int)
		answer, err := p.Encode()
		require.NoError(t, err)
		o := w.send(w.accounts[2], precompile, new(big.Int), plenty, w.cantus().pack("deliver", id, answer))
		require.True(t, o.ok, o.err)
		require.Equal(t, true, o.event("Called")["success"], "%+v", o.event("Called"))
		require.Equal(t, answer, o.event("Answered")["answer"])
		require.Equal(t, p, n.recorded(o))
		require.Equal(t, entry{
			By: w.accounts[1].addr(), Text: true, Cut: p.Cut, Status: p.Status, Time: p.Time, Digest: p.Digest, Url: pageURL,
			Label: types.LabelCode(work.Replayed),
		}, n.entry(id))
	}
}

// What a fetch asks of x/requests.
func TestFetch(t *testing.T) {
	w := newWorld(t)
	c := w.cantus()
	for _, text := range []bool{false, true} {
		form := types.Body
		if text {
			form = types.Text
		}
		out, err := c.view("quoteFetch", text, uint32(len(pageURL)), uint64(100_000), uint8(types.Optimistic))
		require.NoError(t, err)
		fee := out[0].(*big.Int)
		require.Equal(t, wei(work1+carry+2*100_000*price).String(), fee.String())
		fetch := func(value, most *big.Int) outcome {
			return w.send(w.accounts[1], precompile, value, plenty, c.pack("fetch", pageURL, text, most, w.accounts[0].addr(), uint64(100_000), uint8(types.Optimistic)))
		}
		require.Contains(t, fetch(fee, new(big.Int).Add(fee, wei(1))).err, "is not maxFee")
		require.Contains(t, fetch(wei(1), wei(1)).err, "too little")
		o := fetch(fee, fee)
		require.True(t, o.ok, o.err)
		id := o.event("Requested")["id"].(*big.Int)
		require.Equal(t, id, new(big.Int).SetBytes(o.ret))
		r, err := w.requests.Lookup(w.ctx(), id.Uint64())
		require.NoError(t, err)
		reader := form.ID()
		require.Equal(t, []any{reader[:], pageURL, types.Sampling{}, uint32(1), uint64(100_000)}, []any{r.Speaker, string(r.Prompt), r.Sampling, r.Policy, r.CallbackGas})
		require.Equal(t, w.accounts[0].addr().Bytes(), r.Callback)
		require.Equal(t, common.Hash(reader), common.HexToHash(o.logs[len(o.logs)-1].Topics[2]), "the event names the reader")
	}
	// Not by a call that may change nothing, nor with money for what takes none.
	_, err := c.view("fetch", pageURL, true, new(big.Int), common.Address{}, uint64(0), uint8(0))
	require.ErrorContains(t, err, "too little")
	o := w.send(w.accounts[1], precompile, wei(1), plenty, c.pack("quoteFetch", true, uint32(9), uint64(0), uint8(0)))
	require.Contains(t, o.err, "takes no money")
}

// served is one worker's word on a page, in an epoch of its own.
type served struct {
	testimony types.Testimony
	result    []byte
}

// serve has a worker of a new operator fetch a request's page, and the gateway commit that.
func (w *world) serve(r types.Request, key work.PrivateKey, pay map[work.PublicKey]uint64, number uint64, rec page.Record) served {
	w.t.Helper()
	task, err := work.Encode(page.Fetch{Mode: page.ModePage, URL: pageURL})
	require.NoError(w.t, err)
	result, err := work.Encode(rec)
	require.NoError(w.t, err)
	j := work.Task{Job: work.JobID(r.Job), Seq: number, Spec: []byte(tab), Body: task}
	signed, err := work.SignReceipt(key, work.Receipt{
		Chain: testChain, Job: j.Job, Seq: j.Seq, Attempt: 1, Task: j.Digest(), Result: work.Result{Body: result}.Digest(), Units: 1, Started: 1000, Finished: 2000,
	})
	require.NoError(w.t, err)
	receipt, err := signed.Encode()
	require.NoError(w.t, err)
	tree, err := work.NewTree([]work.Node{work.ReceiptLeaf(receipt, 1)})
	require.NoError(w.t, err)
	pay[key.Public()]++
	var leaves []work.Node
	var keys []work.PublicKey
	for k := range pay {
		keys = append(keys, k)
	}
	if len(keys) == 2 && keys[0].Compare(keys[1]) > 0 {
		keys[0], keys[1] = keys[1], keys[0]
	}
	for _, k := range keys {
		leaves = append(leaves, work.PayLeaf(k, pay[k]))
	}
	payTree, err := work.NewTree(leaves)
	require.NoError(w.t, err)
	root, pays := tree.Root(), payTree.Root()
	w.edit(func(ctx sdk.Context) error {
		_, err := workkeeper.NewMsgServer(w.app.Work).CommitEpoch(ctx, &worktypes.MsgCommitEpoch{
			Gateway: r.Gateway, Job: r.Job, Number: number, ReceiptsRoot: root.Hash[:], Receipts: root.Leaves, Units: root.Sum,
			PayRoot: pays.Hash[:], Workers: pays.Leaves, TotalUnits: pays.Sum,
		})
		return err
	})
	proof, err := tree.Prove(0)
	require.NoError(w.t, err)
	return served{types.Testimony{Epoch: number, Receipt: receipt, Proof: worktypes.ProofOf(proof)}, result}
}

// With x/requests itself: two workers fetch a page, and the contract that asked for it reads it.
func TestAPageFromWorkersToAContract(t *testing.T) {
	w := realWorld(t)
	gateway := sdk.AccAddress(w.accounts[0].addr().Bytes()).String()
	spec := sha256.Sum256([]byte(tab))
	var workers []work.PrivateKey
	w.edit(func(ctx sdk.Context) error {
		if _, err := requestskeeper.NewMsgServer(w.app.Requests).Offer(ctx, &types.MsgOffer{
			Gateway: gateway, Speaker: types.Text.Encoded(),
			Terms: types.Terms{
				SpecDigest: spec[:], Price: math.NewInt(1_000_003), DeliveryFee: math.NewInt(carry),
				MaxPromptBytes: 200, MaxAnswerBytes: 40, AuditBps: 10_000, EpochBlocks: 5, ExpiryBlocks: expiry,
			},
		}); err != nil {
			return err
		}
		market := workkeeper.NewMsgServer(w.app.Work)
		for i := range 2 {
			operator := sdk.AccAddress(w.accounts[1+i].addr().Bytes()).String()
			key, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{byte(40 + i)}, 32))
			if err != nil {
				return err
			}
			public := key.Public()
			signature, err := key.SignEnrollment(testChain, operator)
			if err != nil {
				return err
			}
			if _, err := market.RegisterOperator(ctx, &worktypes.MsgRegisterOperator{Operator: operator, Moniker: "op"}); err != nil {
				return err
			}
			if _, err := market.EnrollWorkers(ctx, &worktypes.MsgEnrollWorkers{Operator: operator, Workers: []worktypes.Enrollment{
				{Key: public[:], Kinds: []string{types.PageKind}, Bond: chain.Notes(100), Signature: signature, Network: "net"},
			}}); err != nil {
				return err
			}
			workers = append(workers, key)
		}
		return nil
	})
	n := w.deploy("Notary", new(big.Int))
	o := n.record(true, 2)
	t.Logf("fetch, by a contract: 26 bytes: %d gas", o.used)
	id := o.event("Requested")["id"].(*big.Int)
	r, err := w.requests.Lookup(w.ctx(), id.Uint64())
	require.NoError(t, err)

	text := []byte("It rains in Riga.")
	rec := page.Record{
		URL: pageURL, Time: 1_800_000_001_500, Status: 200, IP: "203.0.113.7", MediaType: "text/html", Digest: artifact.Digest{9}, Size: 300,
		TextDigest: artifact.Sum(text), WARC: artifact.Digest{8}, Members: [3]uint32{1, 2, 3},
	}
	pay := map[work.PublicKey]uint64{}
	first := w.serve(r, workers[0], pay, 1, rec)
	rec.Time += 4000
	second := w.serve(r, workers[1], pay, 2, rec)
	task, err := work.Encode(page.Fetch{Mode: page.ModePage, URL: pageURL})
	require.NoError(t, err)
	deliver := func(content []byte) outcome {
		e := types.Evidence{
			Testimonies: []types.Testimony{first.testimony, second.testimony}, Task: task, Result: first.result, Spelling: content, Results: [][]byte{second.result},
		}
		raw, err := e.Marshal()
		require.NoError(t, err)
		o := w.send(w.accounts[2], precompile, new(big.Int), plenty, w.cantus().pack("deliver", id, raw))
		t.Logf("deliver with its callback, %d bytes of evidence: %d gas", len(raw), o.used)
		return o
	}
	require.Contains(t, deliver([]byte("It snows in Riga.")).err, "the record says")
	require.Contains(t, deliver(nil).err, "is missing")
	o = deliver(text)
	require.True(t, o.ok, o.err)
	require.Equal(t, true, o.event("Called")["success"])
	require.Equal(t, types.Page{Status: 200, Time: 1_800_000_001, MediaType: "text/html", Digest: sha256.Sum256(text), Content: text}, n.recorded(o))
	require.Equal(t, entry{
		By: w.accounts[1].addr(), Text: true, Status: 200, Time: 1_800_000_001, Digest: sha256.Sum256(text), Url: pageURL,
		Label: types.LabelCode(work.Agreed),
	}, n.entry(id))
	out, err := w.cantus().view("result", id)
	require.NoError(t, err)
	p, err := types.DecodePage(out[1].([]byte))
	require.NoError(t, err)
	require.Equal(t, text, p.Content)
}

// An address that nobody can fetch is refused before it costs anything, with a reason.
func TestFetchOfWhatIsNoAddress(t *testing.T) {
	w := realWorld(t)
	for url, why := range map[string]string{
		"news.example":             "want http:// or https://",
		"https://News.example/":    "small letters",
		"https://news.example":     "want a / after the host",
		"https://news.example/a b": "%XX",
	} {
		o := w.send(w.accounts[1], precompile, note, plenty, w.cantus().pack("fetch", url, true, note, common.Address{}, uint64(0), uint8(0)))
		require.False(t, o.ok)
		require.Contains(t, o.err, why)
	}
	o := w.send(w.accounts[1], precompile, note, plenty, w.cantus().pack("fetch", pageURL, true, note, common.Address{}, uint64(0), uint8(0)))
	require.Contains(t, o.err, "no gateway answers")
	require.Zero(t, w.balance(precompile).Sign())
}
