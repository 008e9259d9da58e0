package keeper_test

import (
	"bytes"
	"fmt"
	"testing"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

func TestTheCheapestOfferIsTaken(t *testing.T) {
	w := newWorld(t)
	a := ask(types.Safe)
	taken := func() string {
		q, err := w.k.Quote(w.ctx, a.Size())
		require.NoError(t, err)
		return q.Offer.Gateway
	}
	w.gateway("door")
	w.gateway("pier")
	must(w, w.msg.Offer, offer("door"))
	must(w, w.msg.Offer, offer("pier"))
	lowest := "gate"
	for _, name := range gateways {
		if bytes.Compare(addr(name), addr(lowest)) < 0 {
			lowest = name
		}
	}
	require.Equal(t, bech(lowest), taken(), "of equal ones that with the lowest address")
	must(w, w.msg.Offer, offer("pier", func(t *types.Terms) { t.DeliveryFee = t.DeliveryFee.SubRaw(1) }))
	require.Equal(t, bech("pier"), taken())
	must(w, w.msg.Offer, offer("door", func(t *types.Terms) { t.Price = t.Price.QuoRaw(2) }))
	require.Equal(t, bech("door"), taken())
	must(w, w.msg.Offer, offer("door", func(t *types.Terms) { t.Price, t.MaxPromptBytes = t.Price.QuoRaw(2), 10 }))
	require.Equal(t, bech("pier"), taken(), "the cheaper one does not take so much")
	must(w, w.market.UpdateGateway, &worktypes.MsgUpdateGateway{Address: bech("pier"), FeeBps: 500, Status: worktypes.Status_STATUS_PAUSED})
	require.Equal(t, bech("gate"), taken(), "and another takes no jobs now")
	r := w.request(a)
	require.Equal(t, bech("gate"), r.Gateway)

	// A request keeps its terms.
	must(w, w.msg.WithdrawOffer, &types.MsgWithdrawOffer{Gateway: bech("gate"), Speaker: r.Speaker})
	refused(w, types.ErrNotFound, "no offer of "+bech("gate"), w.msg.WithdrawOffer, &types.MsgWithdrawOffer{Gateway: bech("gate"), Speaker: r.Speaker})
	_, err := w.k.Quote(w.ctx, a.Size())
	require.ErrorIs(t, err, types.ErrOffer)
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})
	g.audit(n, pass)
	g.settle(n)
	g.deliver(place{n, 0})
	must(w, w.called, report{r.Id, types.Called{}, "gate"})
	w.check()
}

func TestOffersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	refused(w, types.ErrOffer, "no gateway", w.msg.Offer, offer("nobody"))
	bad := offer("gate")
	bad.Speaker = bad.Speaker[1:]
	refused(w, types.ErrInvalid, "speaker", w.msg.Offer, bad)
	for words, edit := range map[string]func(*types.Terms){
		"spec digest":      func(t *types.Terms) { t.SpecDigest = t.SpecDigest[1:] },
		"price":            func(t *types.Terms) { t.Price = math.ZeroInt() },
		"delivery fee":     func(t *types.Terms) { t.DeliveryFee = math.NewInt(-1) },
		"prompt_units":     func(t *types.Terms) { t.PromptUnits = 0 },
		"output_units":     func(t *types.Terms) { t.OutputUnits = types.MaxUnits + 1 },
		"max_prompt_bytes": func(t *types.Terms) { t.MaxPromptBytes = types.MaxPrompt + 1 },
		"max_answer_bytes": func(t *types.Terms) { t.MaxAnswerBytes = types.MaxAnswer + 1 },
		"max_tokens":       func(t *types.Terms) { t.MaxTokens = 0 },
		"cell":             func(t *types.Terms) { t.Cell = "A" },
		"twice":            func(t *types.Terms) { t.Uses = []string{"a", "a"} },
	} {
		refused(w, types.ErrInvalid, words, w.msg.Offer, offer("gate", edit))
	}
	for words, edit := range map[string]func(*types.Terms){
		"audit rate":      func(t *types.Terms) { t.AuditBps = 1 },
		"expiry":          func(t *types.Terms) { t.ExpiryBlocks = 1 << 39 },
		"an epoch of 100": func(t *types.Terms) { t.EpochBlocks = 100 },
		"no cell a":       func(t *types.Terms) { t.Cell = "a" },
		"royalties":       func(t *types.Terms) { t.Uses = []string{"bafkrei"} },
	} {
		refused(w, types.ErrOffer, words, w.msg.Offer, offer("gate", edit))
	}
	refused(w, types.ErrInvalid, "an ID of", w.msg.WithdrawOffer, &types.MsgWithdrawOffer{Gateway: bech("gate"), Speaker: []byte{1}})
	refused(w, types.ErrUnauthorized, "may not change", w.msg.UpdateParams, &types.MsgUpdateParams{Authority: bech("gate"), Params: types.DefaultParams()})
	must(w, w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: types.DefaultParams()})
}

// Where a speaker has as many offers as it may, those of gateways that are gone make room.
func TestRoomForOffers(t *testing.T) {
	w := newWorld(t, func(p *types.Params) { p.MaxOffers = 2 })
	w.gateway("door")
	w.gateway("pier")
	must(w, w.msg.Offer, offer("door"))
	refused(w, types.ErrLimit, "has 2 offers", w.msg.Offer, offer("pier"))
	must(w, w.msg.Offer, offer("door"))
	must(w, w.market.UpdateGateway, &worktypes.MsgUpdateGateway{Address: bech("gate"), FeeBps: 500, Status: worktypes.Status_STATUS_PAUSED})
	must(w, w.msg.Offer, offer("pier"))
	w.check()
	s, err := w.query.Speaker(w.ctx, &types.QuerySpeakerRequest{Id: fmt.Sprintf("%x", speakerID())})
	require.NoError(t, err)
	require.Len(t, s.Offers, 2)
}

func TestCallbackPrices(t *testing.T) {
	w := newWorld(t)
	price := func() string {
		q, err := w.k.Quote(w.ctx, ask(types.Optimistic).Size())
		require.NoError(t, err)
		require.Equal(t, q.Price.MulRaw(200_000).String(), q.Callback.String())
		return q.Price.String()
	}
	require.Equal(t, "2000000000", price())
	w.fees.price = math.LegacyNewDecWithPrec(15, 1).MulInt64(3_000_000_001)
	require.Equal(t, "4500000002", price(), "rounded up")
	w.fees.price = math.LegacyNewDec(1)
	require.Equal(t, types.DefaultParams().MinCallbackPrice.String(), price())
	w.fees.price = math.LegacyDec{}
	require.Equal(t, types.DefaultParams().MinCallbackPrice.String(), price())
}

func TestQueries(t *testing.T) {
	w := newWorld(t)
	id := fmt.Sprintf("0x%x", speakerID())
	a, b := w.request(ask(types.Safe)), w.request(ask(types.Optimistic))
	must(w, w.cancel, cancellation{a.Id, "payer"})
	s, err := w.query.Speaker(w.ctx, &types.QuerySpeakerRequest{Id: id})
	require.NoError(t, err)
	require.Equal(t, encoded(voice()), s.Speaker)
	require.Len(t, s.Offers, 1)
	_, err = w.query.Speaker(w.ctx, &types.QuerySpeakerRequest{Id: "0x12"})
	require.ErrorContains(t, err, "64 hexadecimal digits")
	for gateway, want := range map[string]int{"": 1, bech("gate"): 1, bech("door"): 0} {
		o, err := w.query.Offers(w.ctx, &types.QueryOffersRequest{Gateway: gateway, Pagination: &query.PageRequest{Limit: 5}})
		require.NoError(t, err)
		require.Len(t, o.Offers, want)
	}
	for _, c := range []struct {
		r    types.QueryRequestsRequest
		want int
	}{{types.QueryRequestsRequest{}, 2}, {types.QueryRequestsRequest{Payer: bech("payer")}, 1}, {types.QueryRequestsRequest{Gateway: bech("gate")}, 1},
		{types.QueryRequestsRequest{Payer: bech("gate")}, 0}} {
		l, err := w.query.Requests(w.ctx, &c.r)
		require.NoError(t, err)
		require.Len(t, l.Requests, c.want)
	}
	_, err = w.query.Requests(w.ctx, &types.QueryRequestsRequest{Payer: bech("payer"), Gateway: bech("gate")})
	require.ErrorContains(t, err, "name one of them")
	got, err := w.query.RequestOfJob(w.ctx, &types.QueryRequestOfJobRequest{Job: b.Job})
	require.NoError(t, err)
	require.Equal(t, b.Id, got.Request.Id)
	_, err = w.query.RequestOfJob(w.ctx, &types.QueryRequestOfJobRequest{Job: 99})
	require.ErrorContains(t, err, "no request of job 99")
	one, err := w.query.Request(w.ctx, &types.QueryRequestRequest{Id: b.Id})
	require.NoError(t, err)
	require.Equal(t, b, one.Request)
	_, err = w.query.Request(w.ctx, &types.QueryRequestRequest{Id: 99})
	require.ErrorContains(t, err, "no request 99")
	q, err := w.query.Quote(w.ctx, &types.QueryQuoteRequest{Speaker: id, PromptBytes: 15, MaxTokens: 20, CallbackGas: 100_000, Policy: 1})
	require.NoError(t, err)
	require.Equal(t, b.Fee.Sub(b.Returned).String(), q.Fee.String())
	_, err = w.query.Quote(w.ctx, &types.QueryQuoteRequest{Speaker: id, PromptBytes: 15, MaxTokens: 20, Policy: 1 << 8})
	require.ErrorContains(t, err, "policy")
	inv, err := w.query.Invariants(w.ctx, &types.QueryInvariantsRequest{})
	require.NoError(t, err)
	require.True(t, inv.Ok)
	require.Equal(t, b.Held.String(), inv.Held.String())
	p, err := w.query.Params(w.ctx, &types.QueryParamsRequest{})
	require.NoError(t, err)
	require.NoError(t, p.Params.Validate())
}
