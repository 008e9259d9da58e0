package cantus_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// What Hostile does when it is called back.
const (
	behave = iota
	revert
	burnGas
	revertLoud
	returnLong
	askAgain
	cancelInside
	deliverInside
	concludeInside
	payModule
	exhaustCalls
	makeShortlived
	destroyItself
	undoRequest
	undoAndPay
	sendAllAway
	giveToCantus
	invalidCode
)

func wei(n int64) *big.Int { return big.NewInt(n) }

var note = new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)

// hostile puts a Hostile with a note on the ledger.
func (w *world) hostile(mode uint8, target common.Address) *deployed {
	w.t.Helper()
	h := w.deploy("Hostile", note)
	h.must("set", mode, w.model, target)
	return h
}

func (w *world) module(name string) common.Address {
	return common.BytesToAddress(authtypes.NewModuleAddress(name))
}

// ask has a contract ask, and returns the request.
func (h *deployed) ask(gas uint64, policy uint8) uint64 {
	h.w.t.Helper()
	return h.must("ask", gas, policy).event("Requested")["id"].(*big.Int).Uint64()
}

func (w *world) deliver(id uint64, answer string) outcome {
	w.t.Helper()
	c := w.cantus()
	return w.send(w.accounts[2], precompile, new(big.Int), plenty, c.pack("deliver", new(big.Int).SetUint64(id), []byte(answer)))
}

func (w *world) conclude(id uint64) outcome {
	w.t.Helper()
	return w.send(w.accounts[2], precompile, new(big.Int), plenty, w.cantus().pack("conclude", new(big.Int).SetUint64(id)))
}

func (w *world) status(id uint64) types.Status {
	w.t.Helper()
	r, err := w.requests.Lookup(w.ctx(), id)
	require.NoError(w.t, err)
	return r.Status
}

// A request's money goes where it belongs, to the wei, whatever its callback does; the answer
// stands, and what a failed callback did is undone.
func TestCallbacks(t *testing.T) {
	w := newWorld(t)
	const gas = 600_000
	for _, tc := range []struct {
		name   string
		mode   uint8
		target common.Address
		ok     bool
		away   int64 // what the callback sends away, in wei
	}{
		{name: "well-behaved", mode: behave, ok: true},
		{name: "reverts", mode: revert},
		{name: "burns its gas", mode: burnGas},
		{name: "reverts with 100 kB", mode: revertLoud},
		{name: "returns 400 kB", mode: returnLong, ok: true},
		{name: "asks again", mode: askAgain, ok: true, away: work1 + carry + 50_000*price},
		{name: "cancels what is being answered", mode: cancelInside},
		{name: "delivers from inside", mode: deliverInside},
		{name: "concludes from inside", mode: concludeInside},
		{name: "pays a module's account", mode: payModule, target: w.module("distribution")},
		{name: "pays the desk's account", mode: payModule, target: w.module(held)},
		{name: "uses up the calls of precompiled contracts", mode: exhaustCalls, ok: true},
		{name: "leaves an account that can't be written", mode: makeShortlived},
		{name: "destroys itself", mode: destroyItself, target: common.Address{9}, ok: true, away: -1},
		{name: "undoes a request", mode: undoRequest},
		{name: "undoes a request and pays", mode: undoAndPay, target: common.Address{8}, ok: true, away: 7},
		{name: "sends all it has away", mode: sendAllAway, target: common.Address{7}, ok: true, away: -1},
		{name: "gives Cantus money", mode: giveToCantus, ok: true},
		{name: "runs invalid code", mode: invalidCode},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			h := w.hostile(tc.mode, tc.target)
			id := h.ask(gas, types.Safe)
			payer, deliverer := w.balance(h.addr), w.balance(w.accounts[2].addr())
			o := w.deliver(id, "forty-two")
			require.True(t, o.ok, o.err)

			called := o.event("Called")
			require.NotNil(t, called)
			require.Equal(t, tc.ok, called["success"], "%v", called)
			used := called["gasUsed"].(uint64)
			require.LessOrEqual(t, used, uint64(gas))
			require.Equal(t, "forty-two", string(o.event("Answered")["answer"].([]byte)))
			require.Equal(t, uint8(types.Status_STATUS_FINAL), o.event("Concluded")["status"])
			require.Equal(t, types.Status_STATUS_FINAL, w.status(id))
			out, err := w.cantus().view("result", new(big.Int).SetUint64(id))
			require.NoError(t, err)
			require.Equal(t, "forty-two", string(out[1].([]byte)))

			// The deliverer has the delivery fee and the gas that was used.
			paid := new(big.Int).SetUint64(used)
			paid.Mul(paid, wei(price)).Add(paid, wei(carry)).Sub(paid, o.fee)
			require.Equal(t, paid.Add(paid, deliverer).String(), w.balance(w.accounts[2].addr()).String(), "deliverer")
			// The payer has back what was not used.
			back := new(big.Int).SetUint64(gas - used)
			back.Mul(back, wei(price))
			if tc.away < 0 {
				// It had the market's part back before it was called, and the gas after.
				require.Equal(t, back.String(), w.balance(h.addr).String(), "payer")
			} else {
				back.Add(back, wei(work1-work1/2)).Add(back, payer).Sub(back, wei(tc.away))
				require.Equal(t, back.String(), w.balance(h.addr).String(), "payer")
			}
			require.Zero(t, w.balance(precompile).Sign(), "nothing stays with the precompile")

			calls, err := h.view("calls")
			require.NoError(t, err)
			want := int64(0)
			if tc.ok {
				want = 1
			}
			require.Equal(t, want, calls[0].(*big.Int).Int64(), "the state after the callback")
		})
	}
}

// Under the optimistic policy a refuted answer is told again, out of gas that was kept.
func TestToldAgainWhenRefuted(t *testing.T) {
	w := newWorld(t)
	for mode, ok := range map[uint8]bool{behave: true, revert: false, payModule: false} {
		h := w.hostile(mode, w.module("distribution"))
		id := h.ask(200_000, types.Optimistic)
		before := w.balance(h.addr)
		first := w.deliver(id, "so it is said")
		require.True(t, first.ok, first.err)
		require.Equal(t, uint8(types.Status_STATUS_ANSWERED), first.event("Answered")["status"])
		require.Nil(t, first.event("Concluded"))
		require.Equal(t, ok, first.event("Called")["success"])
		second := w.conclude(id)
		require.True(t, second.ok, second.err)
		require.Nil(t, second.event("Answered"))
		require.Equal(t, uint8(types.Status_STATUS_REFUTED), second.event("Concluded")["status"])
		used := first.event("Called")["gasUsed"].(uint64) + second.event("Called")["gasUsed"].(uint64)
		back := new(big.Int).SetUint64(2*200_000 - used)
		back.Mul(back, wei(price)).Add(back, wei(work1-work1/2)).Add(back, before)
		require.Equal(t, back.String(), w.balance(h.addr).String())
		require.False(t, w.conclude(id).ok, "once is enough")
		out, err := w.cantus().view("result", new(big.Int).SetUint64(id))
		require.NoError(t, err)
		require.Equal(t, []any{uint8(types.Status_STATUS_REFUTED), []byte{}, uint8(0), [32]byte{}}, out)
	}
}

// Requests in one transaction: as many as a transaction may call precompiled contracts.
func TestRequestStorms(t *testing.T) {
	w := newWorld(t)
	h := w.hostile(behave, common.Address{})
	fee := wei(work1 + carry + 50_000*price)
	send := func(method string, n int64) outcome {
		return w.send(w.accounts[1], h.addr, new(big.Int), 30_000_000, h.pack(method, big.NewInt(n), fee, uint64(50_000)))
	}
	o := send("storm", 20)
	require.True(t, o.ok, o.err)
	require.Equal(t, 20, o.count("Requested"))
	before := w.balance(h.addr)
	o = send("storm", 21)
	require.False(t, o.ok)
	require.Contains(t, o.err, "execution reverted")
	require.Equal(t, before.String(), w.balance(h.addr).String(), "none of them was made")
	o = send("storming", 24)
	require.True(t, o.ok, o.err)
	require.Equal(t, 20, o.count("Requested"), "the others failed alone")
	spent := new(big.Int).Mul(fee, big.NewInt(20))
	require.Equal(t, before.Sub(before, spent).String(), w.balance(h.addr).String())
	for id := uint64(1); id <= 40; id += 7 {
		d := w.deliver(id, "yes")
		require.True(t, d.ok, d.err)
	}
}

// What an inner call asked is undone with it, and what stands around it stays.
func TestRequestsInRevertedCalls(t *testing.T) {
	w := newWorld(t)
	h := w.hostile(behave, common.Address{})
	before := w.balance(h.addr)
	o := h.must("askAround", uint64(50_000))
	require.Equal(t, 2, o.count("Requested"))
	fee := wei(2 * (work1 + carry + 50_000*price))
	require.Equal(t, before.Sub(before, fee).String(), w.balance(h.addr).String())
	first := o.event("Requested")["id"].(*big.Int).Uint64()
	require.Equal(t, types.Status_STATUS_OPEN, w.status(first+1))
	_, err := w.desk.Lookup(w.ctx(), first+2)
	require.ErrorIs(t, err, types.ErrNotFound)
	require.False(t, h.send("askAndRevert", uint64(50_000)).ok)
}

// Money comes with requests, as much as they name, and with nothing else.
func TestMoneyThatDoesNotMatch(t *testing.T) {
	w := newWorld(t)
	h := w.hostile(behave, common.Address{})
	fee := int64(work1 + carry + 50_000*price)
	before := w.balance(h.addr)
	for _, pair := range [][2]int64{{fee - 1, fee}, {fee + 1, fee}, {0, fee}, {fee, 0}} {
		o := h.send("askMismatched", wei(pair[0]), wei(pair[1]))
		require.False(t, o.ok)
		require.Contains(t, o.err, "is not maxFee")
	}
	o := h.send("askMismatched", wei(fee-1), wei(fee-1))
	require.False(t, o.ok)
	require.Contains(t, o.err, "too little")
	for _, method := range []string{"give", "viewWithValue"} {
		h.must(method, wei(5))
	}
	require.Equal(t, before.String(), w.balance(h.addr).String())
	// Straight from an account, too.
	direct := w.send(w.accounts[1], precompile, wei(5), plenty, w.cantus().pack("conclude", wei(1)))
	require.False(t, direct.ok)
	require.Contains(t, direct.err, "takes no money")
	require.False(t, w.send(w.accounts[1], precompile, wei(5), plenty, nil).ok)
	require.Zero(t, w.balance(precompile).Sign())
	// More than is needed is the request's, and comes back when its job closes.
	o = h.must("askMismatched", wei(fee+11), wei(fee+11))
	id := o.event("Requested")["id"].(*big.Int).Uint64()
	require.True(t, w.deliver(id, "yes").ok)
}

// Nobody acts in another's name or under a promise to change nothing.
func TestDelegateAndStaticCalls(t *testing.T) {
	w := newWorld(t)
	h := w.hostile(behave, common.Address{})
	id := h.ask(50_000, types.Safe)
	fee := wei(work1 + carry + 50_000*price)
	before := w.balance(h.addr)
	for _, call := range []struct {
		method string
		arg    *big.Int
	}{
		{"askDelegated", fee}, {"askDelegated", new(big.Int)}, {"askCallcode", fee}, {"askCallcode", new(big.Int)},
		{"cancelDelegated", new(big.Int).SetUint64(id)},
	} {
		o := h.must(call.method, call.arg)
		out, err := h.abi.Unpack(call.method, o.ret)
		require.NoError(t, err)
		require.Equal(t, []any{false}, out, call.method)
		require.Empty(t, o.logs)
	}
	for method, arg := range map[string]*big.Int{"askStatic": fee, "cancelStatic": new(big.Int).SetUint64(id)} {
		o := h.must(method, arg)
		out, err := h.abi.Unpack(method, o.ret)
		require.NoError(t, err)
		require.Equal(t, []any{false}, out, method)
	}
	require.Equal(t, before.String(), w.balance(h.addr).String())
	require.Equal(t, types.Status_STATUS_OPEN, w.status(id))
}

// Answers come from ordinary accounts straight, with enough gas for the callback.
func TestDelivering(t *testing.T) {
	w := newWorld(t)
	h := w.hostile(behave, common.Address{})
	id := h.ask(1_500_000, types.Safe)
	number := new(big.Int).SetUint64(id)
	o := h.send("deliver", number, []byte("yes"))
	require.False(t, o.ok)
	require.False(t, h.send("conclude", number).ok)
	require.Equal(t, types.Status_STATUS_OPEN, w.status(id))

	data := w.cantus().pack("deliver", number, []byte("yes"))
	before := w.balance(h.addr)
	for _, gas := range []uint64{30_000, 60_000, 100_000, 1_500_000, 1_600_000} {
		o := w.send(w.accounts[2], precompile, new(big.Int), gas, data)
		require.False(t, o.ok, "%d gas", gas)
		require.Equal(t, types.Status_STATUS_OPEN, w.status(id))
	}
	require.Contains(t, w.send(w.accounts[2], precompile, new(big.Int), 1_600_000, data).err, "send at least so much more")
	require.Equal(t, before.String(), w.balance(h.addr).String())
	require.Contains(t, w.deliver(id, tooLate).err, "it is nothing")
	require.Contains(t, w.deliver(id+1, "yes").err, "not found")
	require.True(t, w.deliver(id, "yes").ok)
	require.Contains(t, w.deliver(id, "yes").err, "STATUS_FINAL")

	// A payer takes back what is its own, and nobody else's.
	mine, other := h.ask(50_000, types.Safe), w.hostile(behave, common.Address{})
	require.False(t, other.send("cancel", new(big.Int).SetUint64(mine)).ok)
	before = w.balance(h.addr)
	o = h.must("cancel", new(big.Int).SetUint64(mine))
	require.Equal(t, uint8(types.Status_STATUS_CANCELLED), o.event("Concluded")["status"])
	back := before.Add(before, wei(carry+50_000*price+work1-work1/2))
	require.Equal(t, back.String(), w.balance(h.addr).String())
	require.False(t, w.deliver(mine, "yes").ok)

	// A payer that no longer exists is paid all the same.
	o = h.must("mayfly", wei(work1+carry+50_000*price))
	gone := o.event("Requested")["id"].(*big.Int).Uint64()
	require.True(t, w.deliver(gone, "yes").ok)
	// The ledger refuses a whole transaction that leaves such an account: TestCallbacks shows
	// that a callback can't.
	require.Contains(t, h.send("shortlived").err, "failed to commit")
	// And one that never asked to be called is not.
	quiet := h.ask(0, types.Safe)
	o = w.deliver(quiet, "yes")
	require.True(t, o.ok, o.err)
	require.Nil(t, o.event("Called"))
}

func TestViews(t *testing.T) {
	w := newWorld(t)
	c := w.cantus()
	out, err := c.view("result", wei(1))
	require.NoError(t, err)
	require.Equal(t, uint8(0), out[0])
	out, err = c.view("requestOf", new(big.Int).Lsh(wei(1), 200))
	require.NoError(t, err)
	require.NotNil(t, out[0])
	_, err = c.view("quote", [32]byte{9}, uint32(2), uint32(4), uint64(0), uint8(0))
	require.ErrorContains(t, err, "nobody speaks it")
	for _, method := range []string{"origin", "label", "isTainted"} {
		_, err = c.view(method, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
		require.ErrorContains(t, err, "not registered", method)
		_, err = c.view(method, "no CID")
		require.Error(t, err, method)
	}
	h := w.hostile(behave, common.Address{})
	id := h.ask(50_000, types.Safe)
	out, err = c.view("requestOf", new(big.Int).SetUint64(id))
	require.NoError(t, err)
	r := out[0].(struct {
		Status           uint8          `json:"status"`
		Payer            common.Address `json:"payer"`
		Gateway          common.Address `json:"gateway"`
		Callback         common.Address `json:"callback"`
		CallbackGas      uint64         `json:"callbackGas"`
		CallbackGasPrice *big.Int       `json:"callbackGasPrice"`
		Policy           uint8          `json:"policy"`
		Model            [32]uint8      `json:"model"`
		Job              uint64         `json:"job"`
		Height           uint64         `json:"height"`
		Prompt           []uint8        `json:"prompt"`
		PromptDigest     [32]uint8      `json:"promptDigest"`
		Params           struct {
			MaxTokens   uint32 `json:"maxTokens"`
			Temperature uint32 `json:"temperature"`
			TopK        uint32 `json:"topK"`
			TopP        uint32 `json:"topP"`
			Seed        uint64 `json:"seed"`
		} `json:"params"`
	})
	require.Equal(t, h.addr, r.Payer)
	require.Equal(t, h.addr, r.Callback)
	require.Equal(t, "hi", string(r.Prompt))
	require.Equal(t, uint32(4), r.Params.MaxTokens)
	require.Equal(t, [32]byte(model), r.Model)
}
