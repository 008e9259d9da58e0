package keeper_test

import (
	"testing"

	"cosmossdk.io/math"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// reborn exports everything as JSON and imports it into a new world at the same height.
func (w *world) reborn() *world {
	w.t.Helper()
	n := emptyWorld(w.t)
	n.supply, n.seq = w.supply, w.seq
	n.ctx = n.ctx.WithBlockHeight(w.height())
	n.bank.InitGenesis(n.ctx, w.bank.ExportGenesis(w.ctx))
	market, err := w.work.ExportGenesis(w.ctx)
	require.NoError(w.t, err)
	require.NoError(w.t, n.work.InitGenesis(n.ctx, market))
	g, err := w.k.ExportGenesis(w.ctx)
	require.NoError(w.t, err)
	var again types.GenesisState
	require.NoError(w.t, n.cdc.UnmarshalJSON(w.cdc.MustMarshalJSON(g), &again))
	require.NoError(w.t, n.k.InitGenesis(n.ctx, &again))
	back, err := n.k.ExportGenesis(n.ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, string(w.cdc.MustMarshalJSON(g)), string(n.cdc.MustMarshalJSON(back)))
	n.begin()
	return n
}

// everywhere is a world with a request in every state.
func everywhere(t testing.TB) (w *world, open, told *gate) {
	w = newWorld(t)
	w.gateway("door")
	must(w, w.msg.Offer, offer("door", func(t *types.Terms) { t.Price = t.Price.MulRaw(2) }))
	open, told = w.gateOf(w.request(ask(types.Safe))), w.gateOf(w.request(ask(types.Optimistic)))
	open.commit(receipted{bodies: said(open.r, "yes"), worker: "ada/0"})
	told.commit(receipted{bodies: said(told.r, "no"), worker: "bob/0"})
	told.deliver(place{1, 0})
	must(w, w.called, report{told.r.Id, types.Called{GasUsed: 5}, "gate"})
	must(w, w.cancel, cancellation{w.request(ask(types.Safe)).Id, "payer"})
	done := w.gateOf(w.request(ask(2)))
	done.commit(receipted{bodies: said(done.r, "yes"), worker: "ada/0"}, receipted{bodies: said(done.r, "yes"), worker: "bob/0"})
	done.deliver(place{1, 0}, place{1, 1})
	must(w, w.called, report{done.r.Id, types.Called{GasUsed: 50_000, OK: true}, "gate"})
	return w, open, told
}

// What is asked goes on after an export and an import as if nothing had happened.
func TestGenesisRoundTrip(t *testing.T) {
	w, open, told := everywhere(t)
	w = w.reborn()
	open.w, told.w = w, w
	w.next()
	for _, g := range []*gate{open, told} {
		g.open(1)
		require.NotEmpty(t, w.epoch(g.r.Job, 1).Samples)
	}
	for !w.epoch(open.r.Job, 1).Final() || !w.epoch(told.r.Job, 1).Final() { // their auditors are silent
		w.next()
	}
	require.Equal(t, worktypes.EpochStatus_EPOCH_STATUS_SETTLED, w.epoch(open.r.Job, 1).Status)
	must(w, w.cancel, cancellation{open.r.Id, "payer"})
	c := must(w, w.conclude, told.r.Id)
	if c.Due {
		must(w, w.called, report{told.r.Id, types.Called{}, "gate"})
	}
	w.check()
	require.Equal(t, uint64(5), w.request(ask(types.Safe)).Id)
	w.check()
}

// Whoever sends to the account of a module that is to come stops no upgrade that brings it.
func TestAnAccountThatWasThereBefore(t *testing.T) {
	w := emptyWorld(t)
	require.NoError(t, w.work.InitGenesis(w.ctx, worktypes.DefaultGenesis()))
	module := authtypes.NewModuleAddress(types.ModuleName)
	w.fund("vandal", 5)
	w.accounts.SetAccount(w.ctx, w.accounts.NewAccountWithAddress(w.ctx, module))
	number := w.accounts.GetAccount(w.ctx, module).GetAccountNumber()
	require.NoError(t, w.bank.SendCoins(w.ctx, addr("vandal"), module, chain.Coins(notes(3))))
	require.NoError(t, w.k.InitGenesis(w.ctx, types.DefaultGenesis()))
	w.check()
	require.Equal(t, "0", w.bank.GetBalance(w.ctx, module, chain.BaseDenom).Amount.String())
	a := w.accounts.GetModuleAccount(w.ctx, types.ModuleName)
	require.Equal(t, number, a.GetAccountNumber())
	require.True(t, a.HasPermission(authtypes.Burner))
}

// Pages as well: what was offered and asked of readers goes on after an export and an import.
func TestGenesisRoundTripOfPages(t *testing.T) {
	w := newWorld(t).offerPages("gate")
	open, told := w.gateOf(w.request(fetch(types.Text, types.Safe))), w.gateOf(w.request(fetch(types.Body, types.Optimistic)))
	open.commit(seen(open.r, "ada/0"))
	told.commit(seen(told.r, "bob/0"))
	told.deliver(place{1, 0})
	must(w, w.called, report{told.r.Id, types.Called{GasUsed: 5}, "gate"})
	w = w.reborn()
	open.w, told.w = w, w
	for _, g := range []*gate{open, told} {
		g.audit(1, pass)
		g.settle(1)
	}
	_, p := open.told(place{1, 0})
	require.Equal(t, expected(testText), p)
	must(w, w.called, report{open.r.Id, types.Called{}, "gate"})
	require.Equal(t, types.Status_STATUS_FINAL, must(w, w.conclude, told.r.Id).Status)
	w.request(fetch(types.Body, 2))
	w.check()

	good, err := w.k.ExportGenesis(w.ctx)
	require.NoError(t, err)
	require.NoError(t, good.Validate())
	for words, edit := range map[string]func(*types.GenesisState){
		"not drawn":         func(g *types.GenesisState) { g.Requests[0].Sampling.MaxTokens = 1 },
		"max_tokens is 5":   func(g *types.GenesisState) { g.Requests[0].Terms.MaxTokens = 5 },
		"prompt_units is 1": func(g *types.GenesisState) { g.Offers[0].Terms.PromptUnits, g.Offers[1].Terms.PromptUnits = 1, 1 },
		"an answer of 3113": func(g *types.GenesisState) { g.Requests[0].Answer = make([]byte, types.PageHead+40+1) },
		"which is not ther": func(g *types.GenesisState) { g.Speakers = g.Speakers[:0]; g.Offers = nil },
		"not a speaker":     func(g *types.GenesisState) { g.Speakers = append(g.Speakers, []byte("\x69page/head")) },
	} {
		var g types.GenesisState
		require.NoError(t, w.cdc.UnmarshalJSON(w.cdc.MustMarshalJSON(good), &g))
		edit(&g)
		require.ErrorContains(t, g.Validate(), words)
	}
}

func TestGenesisThatIsRefused(t *testing.T) {
	w, _, _ := everywhere(t)
	good, err := w.k.ExportGenesis(w.ctx)
	require.NoError(t, err)
	for words, edit := range map[string]func(*types.GenesisState){
		"max_callback_gas":         func(g *types.GenesisState) { g.Params.MaxCallbackGas = 0 },
		"burned":                   func(g *types.GenesisState) { g.Burned = math.Int{} },
		"speaker 0":                func(g *types.GenesisState) { g.Speakers[0] = g.Speakers[0][1:] },
		"is there twice":           func(g *types.GenesisState) { g.Speakers = append(g.Speakers, g.Speakers[0]) },
		"is for none":              func(g *types.GenesisState) { g.Speakers = nil },
		"or there twice":           func(g *types.GenesisState) { g.Offers = append(g.Offers, g.Offers[0]) },
		"price":                    func(g *types.GenesisState) { g.Offers[0].Terms.Price = math.ZeroInt() },
		"the next is to be 1":      func(g *types.GenesisState) { g.NextRequest = 1 },
		"request 1 is there":       func(g *types.GenesisState) { g.Requests[1].Id = 1 },
		"which is not there":       func(g *types.GenesisState) { g.Requests[0].Speaker = []byte{1} },
		"which another has":        func(g *types.GenesisState) { g.Requests[1].Job = g.Requests[0].Job },
		"its callback":             func(g *types.GenesisState) { g.Requests[0].Calling = true },
		"policy 9":                 func(g *types.GenesisState) { g.Requests[0].Policy = 9 },
		"a callback of 3 bytes":    func(g *types.GenesisState) { g.Requests[0].Callback = []byte{1, 2, 3} },
		"status":                   func(g *types.GenesisState) { g.Requests[0].Status = 0 },
		"with a prompt of 0":       func(g *types.GenesisState) { g.Requests[0].Prompt = nil },
		"held":                     func(g *types.GenesisState) { g.Requests[0].Held = math.NewInt(-1) },
		"digest of its prompt":     func(g *types.GenesisState) { g.Requests[0].PromptDigest = nil },
		"the parts of its fee":     func(g *types.GenesisState) { g.Requests[0].Fee = notes(2) },
		"the account holds":        func(g *types.GenesisState) { g.Requests[0].Held, g.Requests[0].Returned = notes(1), math.ZeroInt() },
		"in all ":                  func(g *types.GenesisState) { g.Burned = math.OneInt() },
		"1 is of " + bech("payer"): func(g *types.GenesisState) { g.Requests[0].Payer = bech("anybody") },
		"no job 77":                func(g *types.GenesisState) { g.Requests[3].Job = 77 },
		"paid for 3 callbacks":     func(g *types.GenesisState) { g.Requests[0].Calls = 3 },
		"tokens are wanted":        func(g *types.GenesisState) { g.Requests[0].Sampling.MaxTokens = 0 },
		"callback_price: no amou":  func(g *types.GenesisState) { g.Requests[0].CallbackPrice = math.Int{} },
	} {
		var g types.GenesisState
		require.NoError(t, w.cdc.UnmarshalJSON(w.cdc.MustMarshalJSON(good), &g))
		edit(&g)
		n := emptyWorld(t)
		n.bank.InitGenesis(n.ctx, w.bank.ExportGenesis(w.ctx))
		market, err := w.work.ExportGenesis(w.ctx)
		require.NoError(t, err)
		require.NoError(t, n.work.InitGenesis(n.ctx, market))
		require.ErrorContains(t, n.k.InitGenesis(n.ctx, &g), words)
	}
	require.NoError(t, types.DefaultGenesis().Validate())
	require.NoError(t, types.DevnetParams().Validate())
	require.Equal(t, "0", w.bank.GetBalance(w.ctx, addr("nobody"), chain.BaseDenom).Amount.String())
}
