package keeper_test

import (
	"context"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// handler is one message's way into the market: its encoding, its own check, its handler.
type handler struct {
	name string
	run  func(ctx context.Context, raw []byte) error
	seed []byte
}

// message is what every generated message can do.
type message[M any] interface {
	*M
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
	ValidateBasic() error
}

func handlerOf[M any, P message[M], R any](t testing.TB, name string, handle func(context.Context, P) (R, error), seed P) handler {
	raw, err := seed.Marshal()
	require.NoError(t, err)
	return handler{name: name, seed: raw, run: func(ctx context.Context, raw []byte) error {
		m := P(new(M))
		if err := m.Unmarshal(raw); err != nil {
			return err
		}
		if err := m.ValidateBasic(); err != nil {
			return err
		}
		_, err := handle(ctx, m)
		return err
	}}
}

// bazaar is a market with something going on everywhere, and for every message one that
// passes.
func bazaar(t testing.TB) (*world, []handler) {
	w := crew(t)
	w.fund("ada", 1000)
	w.fund("gate", 1000)
	w.addGateway("idle")
	must(w, w.msg.SetCells, setCells("gate", cell("a", "cell-a")))
	inCell := func(m *types.MsgOpenJob) { m.Cell = "a"; m.AuditBps = 10_000 }
	g := w.openJob("buyer", "gate", inCell)
	g.commit(task{"ada/0", 1, 10}, task{"bob/0", 2, 10})
	g.settle(1)
	g.commitPlanted([]uint64{1}, task{"ada/0", 3, 10}, task{"ada/1", 4, 10})
	g.commit(task{"bob/0", 5, 10})
	g.commit(task{"cyd/0", 6, 10}, task{"ada/0", 1, 3}) // one task twice
	sealed := w.openJob("buyer", "gate", inCell)
	sealed.commit(task{"bob/0", 1, 10})
	w.next()
	g.audit(2, g.eyes(2, nil))
	must(w, w.msg.OpenReceipts, g.openings(3))
	verdicts, _ := g.verdicts(3, honest)
	must(w, w.msg.OpenReceipts, sealed.openings(1))
	commits, reveals := sealed.verdicts(1, honest)
	must(w, w.msg.CommitVerdicts, commits)
	next, _ := sealed.plan(task{"ada/0", 7, 5})
	disputed := w.openJob("buyer", "gate", inCell)
	disputed.commit(task{"dan/0", 1, 10})
	id := must(w, w.msg.ChallengeVoucher, disputed.challenge("dan/0", 1, 10)).Challenge

	// Disputes at every stage, about receipts that nobody could audit.
	refereed := arenaIn(w, 300, inCell, func(m *types.MsgOpenJob) { m.Kind = toyKind })
	var claims []task
	for seq := range uint64(5) {
		refereed.traces[seq+1] = toyRun(uint32(seq)+1, 300, 40)
		claims = append(claims, task{"cyd/1", seq + 1, 10})
	}
	refereed.traces[4], refereed.result[4] = refereed.honest(4), []byte{1, 2, 3, 4}
	refereed.commit(claims...)
	w.next()
	must(w, w.msg.OpenReceipts, refereed.openings(1))
	for i := range 4 {
		seq := uint64(i) + 1
		id := must(w, w.msg.OpenDispute, refereed.dispute("anybody", 1, i, refereed.honest(seq))).Dispute
		if i > 0 {
			must(w, w.msg.AnswerDispute, w.answer(id, "cyd/1", refereed.trace(seq)))
		}
		if i == 2 {
			w.down(id, refereed.trace(seq), refereed.honest(seq))
		}
	}

	open := jobTerms("buyer", "gate")
	open.Cell = "a"
	fresh := enrollment("ada/9", "ada")
	newcomer := registration("pier")
	w.fund("pier", 1100)
	w.next()
	return w, []handler{
		handlerOf(t, "update params", w.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: types.DevnetParams()}),
		handlerOf(t, "register operator", w.msg.RegisterOperator, &types.MsgRegisterOperator{Operator: bech("anybody"), Moniker: "m"}),
		handlerOf(t, "enroll workers", w.msg.EnrollWorkers, &types.MsgEnrollWorkers{Operator: bech("ada"), Workers: []types.Enrollment{fresh}}),
		handlerOf(t, "update worker", w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech("ada"), Key: pub("ada/0"), Kinds: []string{"infer/1"}, Status: types.Status_STATUS_PAUSED}),
		handlerOf(t, "unbond workers", w.msg.UnbondWorkers, &types.MsgUnbondWorkers{Operator: bech("ada"), Keys: [][]byte{pub("ada/0"), pub("ada/1")}}),
		handlerOf(t, "register gateway", w.msg.RegisterGateway, newcomer),
		handlerOf(t, "update gateway", w.msg.UpdateGateway, &types.MsgUpdateGateway{Address: bech("gate"), Url: "https://x.example", FeeBps: 1}),
		handlerOf(t, "unbond gateway", w.msg.UnbondGateway, &types.MsgUnbondGateway{Address: bech("idle")}),
		handlerOf(t, "set cells", w.msg.SetCells, setCells("gate", cell("a", "cell-b"), cell("b", "cell-c"))),
		handlerOf(t, "top up bond", w.msg.TopUpBond, &types.MsgTopUpBond{Sender: bech("ada"), Worker: pub("ada/0"), Amount: math.NewInt(5)}),
		handlerOf(t, "open job", w.msg.OpenJob, open),
		handlerOf(t, "top up job", w.msg.TopUpJob, &types.MsgTopUpJob{Buyer: bech("buyer"), Job: g.job, Amount: math.NewInt(5)}),
		handlerOf(t, "close job", w.msg.CloseJob, &types.MsgCloseJob{Buyer: bech("buyer"), Job: g.job}),
		handlerOf(t, "finish job", w.msg.FinishJob, &types.MsgFinishJob{Gateway: bech("cell-a"), Job: g.job}),
		handlerOf(t, "commit epoch", w.msg.CommitEpoch, next),
		handlerOf(t, "open receipts", w.msg.OpenReceipts, g.openings(4)),
		handlerOf(t, "commit verdicts", w.msg.CommitVerdicts, verdicts),
		handlerOf(t, "reveal verdicts", w.msg.RevealVerdicts, reveals),
		handlerOf(t, "reveal plants", w.msg.RevealPlants, g.reveal(2)),
		handlerOf(t, "claim", w.msg.Claim, g.claims(1, "ada/0", "bob/0")),
		handlerOf(t, "challenge voucher", w.msg.ChallengeVoucher, g.challenge("ada/0", 1, 400)),
		handlerOf(t, "answer challenge", w.msg.AnswerChallenge, &types.MsgAnswerChallenge{Gateway: bech("gate"), Challenge: id, Epoch: 1, Pay: disputed.payProof(1, "dan/0")}),
		handlerOf(t, "challenge duplicate", w.msg.ChallengeDuplicate, &types.MsgChallengeDuplicate{Challenger: bech("anybody"), Job: g.job, First: g.committed(1, 0), Second: g.committed(4, 1)}),
		handlerOf(t, "open dispute", w.msg.OpenDispute, refereed.dispute("anybody", 1, 4, refereed.honest(5))),
		handlerOf(t, "answer dispute", w.msg.AnswerDispute, w.answer(1, "cyd/1", refereed.trace(1))),
		handlerOf(t, "descend", w.msg.Descend, w.descend(2, refereed.trace(2))),
		handlerOf(t, "decide", w.msg.Decide, w.deciding(3, refereed.honest(3))),
		handlerOf(t, "contradict", w.msg.Contradict, &types.MsgContradict{Sender: bech("anybody"), Dispute: 4, Opening: refereed.honest(4).bytes()}),
	}
}

// Every message of the bazaar passes: what the fuzzer starts from reaches the handlers.
func TestBazaar(t *testing.T) {
	w, handlers := bazaar(t)
	require.Len(t, types.Msg_serviceDesc.Methods, len(handlers), "a handler was added: add its message here")
	for _, h := range handlers {
		ctx, _ := w.ctx.CacheContext()
		require.NoError(t, h.run(ctx, h.seed), h.name)
	}
}

// Whatever a message holds, its handler answers with an error or keeps the books right,
// in this block and in those that follow. It never panics.
func FuzzMessages(f *testing.F) {
	w, handlers := bazaar(f)
	for i, h := range handlers {
		f.Add(uint8(i), h.seed)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		h := handlers[int(which)%len(handlers)]
		ctx, _ := w.ctx.CacheContext() // never written
		if h.run(ctx, raw) != nil {
			return // a failed transaction leaves no trace
		}
		check := func() {
			b, err := w.k.Invariants(ctx)
			require.NoError(t, err)
			require.Empty(t, b.Broken, h.name)
		}
		check()
		for range 3 {
			require.NoError(t, w.k.EndBlock(ctx))
			check()
			ctx = ctx.WithBlockHeight(ctx.BlockHeight() + 40)
			require.NoError(t, w.k.BeginBlock(ctx))
		}
		for _, e := range ctx.EventManager().Events() {
			require.NotEqual(t, types.EventStuck, e.Type, "%s: %v", h.name, e)
		}
	})
}
