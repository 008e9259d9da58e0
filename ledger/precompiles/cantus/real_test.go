package cantus_test

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/chain"
	requestskeeper "github.com/cantus-network/cantus/ledger/x/requests/keeper"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	workkeeper "github.com/cantus-network/cantus/ledger/x/work/keeper"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// tab is the spec of the gateway's offers.
const tab = "the gateway's tab"

// expiry is how many blocks the real world's jobs take new work.
const expiry = 60

// realWorld is a world with x/requests, and a gateway whose offer requests take.
func realWorld(t testing.TB) *world {
	t.Helper()
	w := startWorld(t)
	gateway := w.accounts[0].addr().Bytes()
	key, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	public := key.Public()
	signature, err := key.SignEnrollment(testChain, sdk.AccAddress(gateway).String())
	require.NoError(t, err)
	who := &speaker.Speaker{Model: speaker.Digest{7}, Vocabulary: speaker.Digest{8}, Size: 100, Prefix: []uint32{0}, Stop: []uint32{1}, Space: true}
	encoded, err := who.Encode()
	require.NoError(t, err)
	w.model = speaker.IDOf(encoded)
	spec := sha256.Sum256([]byte(tab))
	w.edit(func(ctx sdk.Context) error {
		if _, err := workkeeper.NewMsgServer(w.app.Work).RegisterGateway(ctx, &worktypes.MsgRegisterGateway{
			Address: sdk.AccAddress(gateway).String(), Key: public[:], Url: "https://gate.example:8443", Bond: chain.Notes(1000), Signature: signature,
		}); err != nil {
			return err
		}
		_, err := requestskeeper.NewMsgServer(w.app.Requests).Offer(ctx, &types.MsgOffer{
			Gateway: sdk.AccAddress(gateway).String(), Speaker: encoded,
			Terms: types.Terms{
				SpecDigest: spec[:], Price: math.NewInt(1_000_003), PromptUnits: 1, OutputUnits: 3, DeliveryFee: math.NewInt(carry),
				MaxPromptBytes: 200, MaxAnswerBytes: 40, MaxTokens: 64, AuditBps: 10_000, EpochBlocks: 5, ExpiryBlocks: expiry,
			},
		})
		return err
	})
	return w
}

// wait lets the requests' jobs run out.
func (w *world) wait() {
	w.t.Helper()
	r, err := w.requests.Lookup(w.ctx(), w.last())
	require.NoError(w.t, err)
	for range 500 {
		w.block()
		j, err := w.app.Work.Job(w.ctx(), r.Job)
		require.NoError(w.t, err)
		if !j.Live() {
			return
		}
	}
	require.Fail(w.t, "the last request's job never ends")
}

// With x/requests itself: a payer that nobody answers gets back all but its prompt's bytes
// and the gas of the callback that tells it so, to the wei.
func TestFailedRequestsAreRefunded(t *testing.T) {
	w := realWorld(t)
	const gas = 400_000
	var askers []*deployed
	var ids []uint64
	before := map[common.Address]*big.Int{}
	for mode := uint8(behave); mode <= invalidCode; mode++ {
		h := w.hostile(mode, w.module("distribution"))
		before[h.addr] = w.balance(h.addr)
		askers, ids = append(askers, h), append(ids, h.ask(gas, types.Safe))
	}
	require.Contains(t, w.conclude(ids[0]).err, "wait until it is over")
	w.wait()
	for i, h := range askers {
		r, err := w.requests.Lookup(w.ctx(), ids[i])
		require.NoError(t, err)
		gone := w.balance(w.accounts[2].addr())
		o := w.conclude(ids[i])
		require.True(t, o.ok, o.err)
		require.Equal(t, uint8(types.Status_STATUS_FAILED), o.event("Concluded")["status"])
		called := o.event("Called")
		paid := new(big.Int).Mul(new(big.Int).SetUint64(called["gasUsed"].(uint64)), r.CallbackPrice.BigInt())
		require.Equal(t, new(big.Int).Sub(paid, o.fee).String(), new(big.Int).Sub(w.balance(w.accounts[2].addr()), gone).String(), "who concluded")
		if !called["success"].(bool) || i == behave || i == returnLong || i == exhaustCalls || i == giveToCantus {
			want := new(big.Int).Sub(before[h.addr], paid)
			want.Sub(want, r.Burned.BigInt())
			require.Equal(t, want.String(), w.balance(h.addr).String(), "mode %d", i)
		}
		require.False(t, w.conclude(ids[i]).ok)
	}
}

func TestCancelledRequestsAreRefunded(t *testing.T) {
	w := realWorld(t)
	h := w.hostile(behave, common.Address{})
	before := w.balance(h.addr)
	id := h.ask(100_000, types.Optimistic)
	require.False(t, w.hostile(behave, common.Address{}).send("cancel", new(big.Int).SetUint64(id)).ok)
	o := h.must("cancel", new(big.Int).SetUint64(id))
	require.Nil(t, o.event("Called"))
	w.wait()
	r, err := w.requests.Lookup(w.ctx(), id)
	require.NoError(t, err)
	require.Equal(t, before.Sub(before, r.Burned.BigInt()).String(), w.balance(h.addr).String())
	out, err := w.cantus().view("requestOf", new(big.Int).SetUint64(id))
	require.NoError(t, err)
	require.Len(t, out, 1)
}

// Random plays on x/requests itself, where nothing that is delivered is true.
func TestRandomPlaysOnRequests(t *testing.T) {
	w := realWorld(t)
	w.play(noise(rand.New(rand.NewPCG(7, 7)), 1500))
	w.wait()
	w.finish()
}
