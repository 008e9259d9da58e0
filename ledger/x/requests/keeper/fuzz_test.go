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

// Whatever is delivered, only the answer that workers signed is taken, of a model and of a page.
func FuzzDeliver(f *testing.F) {
	w := newWorld(f).offerPages("gate")
	model, body, text := w.request(ask(types.Optimistic)), w.request(fetch(types.Body, types.Optimistic)), w.request(fetch(types.Text, 2))
	asked := []types.Request{model, body, text}
	want := map[uint64]string{model.Id: "yes", body.Id: testBody, text.Id: testText}
	for i, r := range asked {
		g := w.gateOf(r)
		list := []receipted{{bodies: said(r, "yes"), worker: "ada/0"}, {bodies: said(r, "yes"), worker: "bob/0"}}
		if r.Id != model.Id {
			list = []receipted{seen(r, "ada/0"), seen(r, "bob/0", func(s *sight) { s.rec.Time++ })}
		}
		n := g.commit(list...)
		for j := range 2 {
			f.Add(uint8(i), g.delivery("gate", g.evidence(place{n, j})).evidence)
		}
		f.Add(uint8(i), g.delivery("gate", g.evidence(place{n, 0}, place{n, 1})).evidence)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		r := asked[int(which)%len(asked)]
		ctx, _ := w.ctx.CacheContext()
		c, err := w.deliver(ctx, delivery{r.Id, raw, "gate"})
		if err != nil {
			return
		}
		answer := string(c.Answer)
		if r.Id != model.Id {
			p, err := types.DecodePage(c.Answer)
			require.NoError(t, err)
			answer = string(p.Content)
		}
		require.Equal(t, want[r.Id], answer)
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
	pages, err := offerPages("gate", types.Text).Marshal()
	require.NoError(f, err)
	f.Add(uint8(1), pages)
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
	w := newWorld(f).offerPages("gate")
	f.Add([]byte("what is the ab?"), uint8(0), uint32(20), uint32(500_000), uint32(0), uint32(0), uint64(100_000), uint8(1), int64(1e18))
	f.Add([]byte{0}, uint8(0), uint32(64), uint32(0), uint32(1), uint32(1), uint64(0), uint8(5), int64(1))
	f.Add([]byte(testURL), uint8(1), uint32(0), uint32(0), uint32(0), uint32(0), uint64(100_000), uint8(1), int64(1e18))
	f.Fuzz(func(t *testing.T, prompt []byte, reader uint8, tokens, temperature, k, p uint32, gas uint64, policy uint8, fee int64) {
		a := ask(policy)
		if reader%3 > 0 {
			a.Speaker = types.Form(reader % 3).ID()
		}
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
