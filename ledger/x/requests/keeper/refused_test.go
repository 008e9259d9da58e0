package keeper_test

import (
	"slices"
	"strings"
	"testing"

	"cosmossdk.io/math"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func TestRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	module := authtypes.NewModuleAddress(types.ModuleName)
	for words, c := range map[string]struct {
		want error
		edit func(*types.Ask)
	}{
		"a prompt of 0 bytes":     {types.ErrInvalid, func(a *types.Ask) { a.Prompt = nil }},
		"a prompt of 32769":       {types.ErrInvalid, func(a *types.Ask) { a.Prompt = make([]byte, types.MaxPrompt+1) }},
		"201 bytes, at most 200":  {types.ErrOffer, func(a *types.Ask) { a.Prompt = make([]byte, 201) }},
		"0 tokens are wanted":     {types.ErrInvalid, func(a *types.Ask) { a.Sampling.MaxTokens = 0 }},
		"65 tokens are wanted":    {types.ErrOffer, func(a *types.Ask) { a.Sampling.MaxTokens = 65 }},
		"temperature of 1 ":       {types.ErrInvalid, func(a *types.Ask) { a.Sampling.Temperature = 1 }},
		"top-p of 1000001":        {types.ErrInvalid, func(a *types.Ask) { a.Sampling.TopP = 1_000_001 }},
		"policy 6":                {types.ErrInvalid, func(a *types.Ask) { a.Policy = 6 }},
		"100 gas":                 {types.ErrInvalid, func(a *types.Ask) { a.CallbackGas = 100 }},
		"2000001 gas":             {types.ErrInvalid, func(a *types.Ask) { a.CallbackGas = 2_000_001 }},
		"want both or neither":    {types.ErrInvalid, func(a *types.Ask) { a.CallbackGas = 0 }},
		"0x0000000000000000":      {types.ErrInvalid, func(a *types.Ask) { a.Callback = [20]byte{} }},
		"want a positive amount":  {types.ErrFee, func(a *types.Ask) { a.Fee = math.ZeroInt() }},
		"no amount":               {types.ErrFee, func(a *types.Ask) { a.Fee = math.Int{} }},
		"more than 128 bits":      {types.ErrFee, func(a *types.Ask) { a.Fee = math.NewInt(2).Mul(notes(1 << 62).Mul(notes(1 << 60))) }},
		"no gateway answers":      {types.ErrOffer, func(a *types.Ask) { a.Speaker[0]++ }},
		"a module's account":      {types.ErrUnauthorized, func(a *types.Ask) { a.Payer = module }},
		"address ":                {types.ErrInvalid, func(a *types.Ask) { a.Payer = nil }},
		"take the fee of request": {nil, func(a *types.Ask) { a.From = addr("pauper") }},
	} {
		a := ask(types.Safe)
		c.edit(&a)
		_, err := send(w, w.k.Request, a)
		require.ErrorContains(t, err, words)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, words)
		}
	}
	// A fee of one anote less than it may cost names the one that it takes.
	a := ask(2)
	q, err := w.k.Quote(w.ctx, a.Size())
	require.NoError(t, err)
	a.Fee = q.Fee.SubRaw(1)
	refused(w, types.ErrFee, "may cost "+q.Fee.String(), w.k.Request, a)
	a.Fee = q.Fee
	w.request(a)
	w.check()
}

func TestTooManyRequests(t *testing.T) {
	w := newWorld(t, func(p *types.Params) { p.MaxOpenPerAccount = 3 })
	w.fund("other", 10)
	var last types.Request
	for range 3 {
		last = w.request(ask(types.Safe))
	}
	refused(w, types.ErrLimit, "3 requests that are not over", w.k.Request, ask(types.Safe))
	other := ask(types.Safe)
	other.Payer, other.From = addr("other"), addr("other")
	w.request(other)
	must(w, w.cancel, cancellation{last.Id, "payer"})
	w.request(ask(types.Safe))
	w.check()
}

// A storm of requests, cancelled or not, does not give a gateway more to commit than it can.
func TestTooManyJobsOfOneGateway(t *testing.T) {
	w := newWorld(t, func(p *types.Params) { p.MaxOpenPerGateway = 3 })
	var last types.Request
	for range 3 {
		last = w.request(ask(types.Safe))
	}
	refused(w, types.ErrOffer, "3 jobs that are not over", w.k.Request, ask(types.Safe))
	must(w, w.cancel, cancellation{last.Id, "payer"})
	refused(w, types.ErrOffer, "3 jobs that are not over", w.k.Request, ask(types.Safe)) // it is not over yet
	w.check()
}

func TestEvidenceThatIsRefused(t *testing.T) {
	w := newWorld(t)
	r, other := w.request(ask(types.Optimistic)), w.request(ask(types.Optimistic))
	g, elsewhere := w.gateOf(r), w.gateOf(other)
	must(w, w.market.TopUpJob, &worktypes.MsgTopUpJob{Buyer: bech("payer"), Job: r.Job, Amount: notes(1)}) // for many receipts
	signed := func(edit func(*speech), receipt func(*work.Receipt)) place {
		b := said(r, "yes")
		if edit != nil {
			edit(&b)
		}
		return place{g.commit(receipted{b, "ada/0", receipt}), 0}
	}
	good := signed(nil, nil)
	away := elsewhere.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})

	for words, p := range map[string]place{
		"not that of request 1: another model": signed(func(b *speech) { b.task.Model[0]++ }, nil),
		"other parameters":                     signed(func(b *speech) { b.task.MaxTokens++ }, nil),
		"or other parameters":                  signed(func(b *speech) { b.task.Sampling.Seed[3]++ }, nil),
		"request 1: another model, or": signed(func(b *speech) {
			b.task.Stop = nil
			b.result.Output = b.result.Output[:1]
			b.result.Finish = claim.Cancelled
		}, nil),
		"which has no text":                   signed(func(b *speech) { b.task.Prompt = append(b.task.Prompt, tokenMute) }, nil),
		"the text goes on with":               signed(func(b *speech) { b.task.Prompt[1] = tokensOf("b")[0] }, nil),
		"last 1 bytes are missing":            signed(func(b *speech) { b.task.Prompt = b.task.Prompt[:len(b.task.Prompt)-1] }, nil),
		"that are not the speaker's 1 before": signed(func(b *speech) { b.task.Prompt = b.task.Prompt[1:] }, nil),
		"only the beginning of an answer": signed(func(b *speech) {
			b.result.Output, b.result.Finish = b.result.Output[:1], claim.Cancelled
		}, nil),
		`its reason to end is "stop"`: signed(func(b *speech) { b.result.Finish = claim.Length }, nil),
		"units, and it took":          signed(nil, func(r *work.Receipt) { r.Units++ }),
		"is of another task":          signed(nil, func(r *work.Receipt) { r.Task[0]++ }),
		"is of another result":        signed(nil, func(r *work.Receipt) { r.Result[0]++ }),
		"it is of job":                signed(nil, func(r *work.Receipt) { r.Chain = "cantus-other-1" }),
	} {
		g.refused(types.ErrEvidence, words, g.evidence(p))
	}
	for words, edit := range map[string]func(*types.Evidence){
		"it is of job 2": func(e *types.Evidence) {
			e.Testimonies = elsewhere.evidence(place{away, 0}).Testimonies
		},
		"no epoch 99":  func(e *types.Evidence) { e.Testimonies[0].Epoch = 99 },
		"epoch 0":      func(e *types.Evidence) { e.Testimonies[0].Epoch = 0 },
		"another root": func(e *types.Evidence) { e.Testimonies[0].Epoch++ },
		"too long": func(e *types.Evidence) {
			e.Testimonies[0].Proof.Siblings = make([]worktypes.Node, 1)
			e.Testimonies[0].Proof.Siblings[0].Hash = make([]byte, 32)
		},
		"receipt":                 func(e *types.Evidence) { e.Testimonies[0].Receipt[20]++ },
		"a receipt of 0 bytes":    func(e *types.Evidence) { e.Testimonies[0].Receipt = nil },
		"0 testimonies":           func(e *types.Evidence) { e.Testimonies = nil },
		"2 testimonies":           func(e *types.Evidence) { e.Testimonies = append(e.Testimonies, e.Testimonies[0]) },
		"a task of 0 bytes":       func(e *types.Evidence) { e.Task = nil },
		"decode task":             func(e *types.Evidence) { e.Task = e.Task[1:] },
		"decode result":           func(e *types.Evidence) { e.Result = append(e.Result, 0) },
		"a spelling of 0 bytes":   func(e *types.Evidence) { e.Spelling = nil },
		"not a spelling":          func(e *types.Evidence) { e.Spelling[len(e.Spelling)-1]++ },
		"spelling does not show":  func(e *types.Evidence) { e.Spelling = spelling(tokensOf(" what is the ab?")) },
		"does not show the token": func(e *types.Evidence) { e.Spelling = spelling([]uint32{3}) },
	} {
		e := g.evidence(good)
		edit(e)
		words = strings.TrimSuffix(words, " the token")
		words = strings.TrimPrefix(words, "spelling ")
		_, err := send(w, w.deliver, g.delivery("gate", e))
		require.ErrorContains(t, err, words)
		require.ErrorIs(t, err, types.ErrEvidence, words)
	}
	raw := g.delivery("gate", g.evidence(good))
	raw.evidence = append(raw.evidence, 0x30, 1) // a field 6
	refused(w, types.ErrEvidence, "more than evidence", w.deliver, raw)
	raw.evidence = make([]byte, 128<<10+1)
	refused(w, types.ErrEvidence, "at most 131072", w.deliver, raw)
	raw.id = 99
	refused(w, types.ErrNotFound, "no request 99", w.deliver, raw)
	w.check()
	g.deliver(good)
	must(w, w.called, report{r.Id, types.Called{}, "gate"})
	w.check()
}

// A worker without a bond that could be taken testifies to nothing.
func TestWorkersWithoutABond(t *testing.T) {
	w := newWorld(t)
	r := w.request(ask(types.Optimistic))
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "eve/0"})
	g.refused(types.ErrEvidence, "no worker", g.evidence(place{n, 0}))
	w.next()
	w.fund("eve", 1000)
	must(w, w.market.RegisterOperator, &worktypes.MsgRegisterOperator{Operator: bech("eve"), Moniker: "eve"})
	must(w, w.market.EnrollWorkers, &worktypes.MsgEnrollWorkers{Operator: bech("eve"), Workers: []worktypes.Enrollment{w.enrollment("eve/0", "eve")}})
	g.refused(types.ErrEvidence, "had no bond when", g.evidence(place{n, 0}))
}

// A receipt that its gateway shows to be a plant answers nothing, and refutes what was told.
func TestPlants(t *testing.T) {
	w := newWorld(t)
	told, waits := w.request(ask(types.Optimistic)), w.request(ask(types.Safe))
	for _, r := range []types.Request{told, waits} {
		g := w.gateOf(r)
		m := g.plan(receipted{bodies: said(r, "a plant"), worker: "ada/0"})
		plants := work.Plants{Chain: testChain, Job: work.JobID(r.Job), Epoch: 1, Indices: []uint64{0}, Salt: [32]byte{1}}
		digest, err := plants.Commitment()
		require.NoError(t, err)
		m.Plants = digest[:]
		must(w, w.market.CommitEpoch, m)
		if r.Policy == types.Optimistic {
			require.Equal(t, types.Status_STATUS_ANSWERED, g.deliver(place{1, 0}).Status)
			must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
		}
		g.audit(1, fail)
		must(w, w.market.RevealPlants, &worktypes.MsgRevealPlants{
			Gateway: bech("gate"), Job: r.Job, Epoch: 1, Salt: plants.Salt[:],
			Plants: []worktypes.PlantedReceipt{{Receipt: g.epochs[0].receipts[0], Proof: g.proof(1, 0)}},
		})
		if r.Policy == types.Safe {
			g.settle(1)
			g.refused(types.ErrEvidence, "knew it to be wrong", g.evidence(place{1, 0}))
			continue
		}
		require.Equal(t, types.Status_STATUS_REFUTED, must(w, w.conclude, r.Id).Status)
		must(w, w.called, report{r.Id, types.Called{OK: true}, "anybody"})
	}
	w.check()
}

// A worker that was proved to have cheated in a job testifies to nothing in it.
func TestForfeitedWorkers(t *testing.T) {
	w := newWorld(t)
	r := w.request(ask(types.Safe))
	g := w.gateOf(r)
	first := g.commit(receipted{bodies: said(r, "a lie"), worker: "bob/0"})
	second := g.commit(receipted{bodies: said(r, "yes"), worker: "bob/0"})
	g.audit(first, fail)
	g.audit(second, pass)
	g.refute(first, 0)
	g.settle(second)
	g.refused(types.ErrEvidence, "cheated in this job", g.evidence(place{second, 0}))
}

// Looking at evidence costs gas before it is done: by its bytes, signatures and hashes.
func TestGas(t *testing.T) {
	w := newWorld(t)
	r := w.request(ask(types.Optimistic))
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})
	d := g.delivery("gate", g.evidence(place{n, 0}))
	cost := func(d delivery) uint64 {
		ctx, _ := w.ctx.CacheContext()
		ctx = ctx.WithGasMeter(storetypes.NewInfiniteGasMeter())
		_, _ = w.deliver(ctx, d)
		return ctx.GasMeter().GasConsumed()
	}
	require.Greater(t, cost(d), uint64(10_000+3*len(d.evidence)+3_000))
	padded := d
	padded.evidence = append(slices.Clone(d.evidence), make([]byte, 100_000)...)
	require.Greater(t, cost(padded), uint64(300_000))
	require.Panics(t, func() {
		ctx, _ := w.ctx.CacheContext()
		_, _ = w.deliver(ctx.WithGasMeter(storetypes.NewGasMeter(20_000)), d)
	})
}
