package keeper_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// unbroken checks the books in what a step left behind.
func (w *world) unbroken(t *testing.T, ctx context.Context) {
	t.Helper()
	b, err := w.k.Invariants(ctx)
	require.NoError(t, err)
	require.Empty(t, b.Broken)
	m, err := w.work.Invariants(ctx)
	require.NoError(t, err)
	require.Empty(t, m.Broken)
}

// Whatever is delivered, only the answer that workers signed is taken.
func FuzzDeliver(f *testing.F) {
	w := newWorld(f)
	r := w.request(ask(types.Optimistic))
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"}, receipted{bodies: said(r, "yes"), worker: "bob/0"})
	for i := range 2 {
		f.Add(g.delivery("gate", g.evidence(place{n, i})).evidence)
	}
	f.Add(g.delivery("gate", g.evidence(place{n, 0}, place{n, 1})).evidence)
	f.Fuzz(func(t *testing.T, raw []byte) {
		ctx, _ := w.ctx.CacheContext()
		c, err := w.deliver(ctx, delivery{r.Id, raw, "gate"})
		if err != nil {
			return
		}
		require.Equal(t, "yes", string(c.Answer))
		_, err = w.called(ctx, report{r.Id, types.Called{GasUsed: 1}, "gate"})
		require.NoError(t, err)
		w.unbroken(t, ctx)
	})
}

// message is what every generated message can do.
type message[M any] interface {
	*M
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
	ValidateBasic() error
}

func handlerOf[M any, P message[M], R any](handle func(context.Context, P) (R, error)) func(context.Context, []byte) error {
	return func(ctx context.Context, raw []byte) error {
		m := P(new(M))
		if err := m.Unmarshal(raw); err != nil {
			return err
		}
		if err := m.ValidateBasic(); err != nil {
			return err
		}
		_, err := handle(ctx, m)
		return err
	}
}

// No message breaks the books, nor makes a request impossible to end.
func FuzzMessages(f *testing.F) {
	w, open, told := everywhere(f)
	handlers := []func(context.Context, []byte) error{
		handlerOf(w.msg.UpdateParams), handlerOf(w.msg.Offer), handlerOf(w.msg.WithdrawOffer),
	}
	id := speakerID()
	for i, m := range []interface{ Marshal() ([]byte, error) }{
		&types.MsgUpdateParams{Authority: authority(), Params: types.DefaultParams()}, offer("gate"),
		&types.MsgWithdrawOffer{Gateway: bech("gate"), Speaker: id[:]},
	} {
		raw, err := m.Marshal()
		require.NoError(f, err)
		ctx, _ := w.ctx.CacheContext()
		require.NoError(f, handlers[i](ctx, raw))
		f.Add(uint8(i), raw)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		ctx, _ := w.ctx.CacheContext()
		if handlers[int(which)%len(handlers)](ctx, raw) != nil {
			return
		}
		w.unbroken(t, ctx)
		_, err := w.cancel(ctx, cancellation{open.r.Id, "payer"})
		require.NoError(t, err)
		_, err = w.conclude(ctx, told.r.Id)
		require.ErrorIs(t, err, types.ErrEarly)
		w.unbroken(t, ctx)
	})
}

// Whatever is asked, the fee's parts sum up and a refused request costs nothing.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	f.Add([]byte("what is the ab?"), uint32(20), uint32(500_000), uint32(0), uint32(0), uint64(100_000), uint8(1), int64(1e18))
	f.Add([]byte{0}, uint32(64), uint32(0), uint32(1), uint32(1), uint64(0), uint8(5), int64(1))
	f.Fuzz(func(t *testing.T, prompt []byte, tokens, temperature, k, p uint32, gas uint64, policy uint8, fee int64) {
		a := ask(policy)
		a.Prompt, a.CallbackGas, a.Fee = prompt, gas, anote(fee)
		a.Sampling = types.Sampling{MaxTokens: tokens, Temperature: temperature, TopK: k, TopP: p}
		if gas == 0 {
			a.Callback = [20]byte{}
		}
		ctx, _ := w.ctx.CacheContext()
		before := w.bank.GetBalance(ctx, a.Payer, "anote").Amount
		r, err := w.k.Request(ctx, a)
		if err != nil {
			return
		}
		w.unbroken(t, ctx)
		require.Equal(t, r.Fee.Sub(r.Returned).String(), before.Sub(w.bank.GetBalance(ctx, a.Payer, "anote").Amount).String())
		_, err = w.cancel(ctx, cancellation{r.Id, "payer"})
		require.NoError(t, err)
		w.unbroken(t, ctx)
	})
}
