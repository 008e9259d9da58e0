package keeper_test

import (
	"crypto/sha256"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

func anote(n int64) math.Int { return math.NewInt(n) }

// spent is what a balance has lost since.
func (w *world) spent(name string, before math.Int) string {
	return before.Sub(w.balance(name)).String()
}

// close has the request's job closed and everything refunded that it does not pay.
func (g *gate) close() worktypes.Job {
	g.w.t.Helper()
	must(g.w, g.w.market.FinishJob, &worktypes.MsgFinishJob{Gateway: bech(g.name), Job: g.r.Job})
	for range 60 {
		if j := g.w.job(g.r.Job); !j.Live() {
			return j
		}
		g.w.next()
	}
	g.w.t.Fatalf("job %d did not close", g.r.Job)
	return worktypes.Job{}
}

// An offer that has everything audited means each receipt, not most of an epoch: draws go by
// units, so that a cheap receipt beside a dear one is often missed.
func TestSafeTakesOnlyWhatWasAudited(t *testing.T) {
	for try := range 20 {
		w := newWorld(t)
		w.skip(int64(try)) // another beacon
		r := w.request(ask(types.Safe))
		g := w.gateOf(r)
		n := g.commit(
			receipted{bodies: said(r, "the answer the answer"), worker: "ada/0"},
			receipted{bodies: said(r, "yes"), worker: "bob/0"},
		)
		g.audit(n, pass)
		g.settle(n)
		if e := w.epoch(r.Job, n); e.StatusAt(1) != worktypes.SampleStatus_SAMPLE_STATUS_UNSPECIFIED {
			continue
		}
		require.Equal(t, string(work.Replayed), w.epoch(r.Job, n).Label, "of what was looked at")
		g.refused(types.ErrEvidence, "no audit upheld the receipt", g.evidence(place{n, 1}))
		require.Equal(t, work.Replayed, g.deliver(place{n, 0}).Label)
		return
	}
	t.Fatal("both receipts were always drawn")
}

func TestASafeAnswer(t *testing.T) {
	w := newWorld(t)
	before, gateBefore := w.balance("payer"), w.balance("gate")
	a := ask(types.Safe)
	q, err := w.k.Quote(w.ctx, a.Size())
	require.NoError(t, err)
	// Twice " " and 200 bytes after one token, 64 tokens of 3 units; 100,000 gas; 15 and 40 bytes.
	require.Equal(t, anote(2*1_000_003*(202+192)).String(), q.Escrow.String())
	require.Equal(t, anote(100_000*gasPrice).String(), q.Callback.String())
	require.Equal(t, types.DefaultParams().BytePrice.MulRaw(55).String(), q.Bytes.String())
	require.Equal(t, q.Escrow.Add(q.Callback).Add(q.Delivery).Add(q.Bytes).String(), q.Fee.String())
	require.Equal(t, bech("gate"), q.Offer.Gateway)

	r := w.request(a)
	require.Equal(t, q.Fee.String(), w.spent("payer", before), "what the request can't cost is not taken")
	w.check()
	j := w.job(r.Job)
	require.Equal(t, []any{bech("payer"), bech("gate"), types.Kind, q.Escrow.String()}, []any{j.Buyer, j.Gateway, j.Kind, j.Escrow.String()})

	g := w.gateOf(r)
	x := receipted{bodies: said(r, "yes the answer"), worker: "ada/0"}
	n := g.commit(x)
	g.refused(types.ErrEarly, "has not settled", g.evidence(place{n, 0}))
	g.audit(n, pass)
	g.refused(types.ErrEarly, "has not settled", g.evidence(place{n, 0}))
	g.settle(n)
	require.Empty(t, w.lookup(r.Id).Answer, "nothing is stored before it may be seen")

	c := g.deliver(place{n, 0})
	require.Equal(t, types.Call{
		Due: true, To: contract, Gas: 100_000, ID: r.Id, Status: types.Status_STATUS_FINAL, Answer: []byte("yes the answer"),
		Label: work.Replayed, Receipt: sha256.Sum256(g.epochs[0].receipts[0]),
	}, c)
	require.Equal(t, []uint8{3, 5}, []uint8{c.StatusCode(), c.LabelCode()})

	require.Equal(t, worktypes.JobStatus_JOB_STATUS_CLOSING, w.job(r.Job).Status, "nothing more is to be done for it")

	// While the contract is called, nothing else happens to the request.
	refused(w, types.ErrState, "under way", w.deliver, g.delivery("gate", g.evidence(place{n, 0})))
	refused(w, types.ErrState, "under way", w.conclude, r.Id)
	refused(w, types.ErrState, "under way", w.cancel, cancellation{r.Id, "payer"})
	refused(w, types.ErrInvalid, "had 100000", w.called, report{r.Id, types.Called{GasUsed: 100_001}, "gate"})
	must(w, w.called, report{r.Id, types.Called{GasUsed: 41_234, OK: true}, "gate"})
	w.check()
	refused(w, types.ErrState, "no callback", w.called, report{r.Id, types.Called{}, "gate"})
	refused(w, types.ErrState, "takes no answer", w.deliver, g.delivery("gate", g.evidence(place{n, 0})))
	refused(w, types.ErrState, "is over", w.conclude, r.Id)
	refused(w, types.ErrState, "only one that is open", w.cancel, cancellation{r.Id, "payer"})

	// The refund is exact to the anote.
	j = g.close()
	units := x.units()
	require.Equal(t, uint64(1+len(tokensOf(" what is the ab?")))+3*uint64(len(tokensOf("yes the answer"))+1), units)
	require.Equal(t, j.Escrow.Sub(j.Price.Mul(math.NewIntFromUint64(units))).Add(j.AuditPrice.Mul(math.NewIntFromUint64(units))).Sub(j.PaidAuditors).String(), j.Refunded.String())
	work := j.Escrow.Sub(j.Refunded)
	fees := terms().DeliveryFee.Add(anote(41_234 * gasPrice))
	bytes := types.DefaultParams().BytePrice.MulRaw(15 + 14)
	require.Equal(t, work.Add(fees).Add(bytes).String(), w.spent("payer", before))
	require.Equal(t, fees.Add(j.PaidGateway).Neg().String(), w.spent("gate", gateBefore))
	r = w.lookup(r.Id)
	require.True(t, r.Over() && len(r.Prompt) == 0 && r.Held.IsZero())
	require.Equal(t, []byte("yes the answer"), r.Answer)
}

func TestAnOptimisticAnswerThatHolds(t *testing.T) {
	w := newWorld(t)
	before := w.balance("payer")
	r := w.request(ask(types.Optimistic))
	g := w.gateOf(r)
	x := receipted{bodies: said(r, "no"), worker: "bob/1"}
	n := g.commit(x)
	c := g.deliver(place{n, 0})
	require.Equal(t, []any{true, types.Status_STATUS_ANSWERED, work.Asserted, "no"}, []any{c.Due, c.Status, c.Label, string(c.Answer)})
	must(w, w.called, report{r.Id, types.Called{GasUsed: 100_000}, "gate"})
	w.check()
	r = w.lookup(r.Id)
	require.True(t, r.CallFailed)
	require.Equal(t, anote(100_000*gasPrice).String(), r.Held.String(), "one more callback may come")
	refused(w, types.ErrEarly, "wait until it has settled", w.conclude, r.Id)
	refused(w, types.ErrState, "takes no answer", w.deliver, g.delivery("gate", g.evidence(place{n, 0})))
	refused(w, types.ErrState, "only one that is open", w.cancel, cancellation{r.Id, "payer"})
	g.audit(n, pass)
	refused(w, types.ErrEarly, "wait until it has settled", w.conclude, r.Id)
	g.settle(n)
	c = must(w, w.conclude, r.Id)
	require.Equal(t, []any{false, types.Status_STATUS_FINAL, work.Replayed}, []any{c.Due, c.Status, c.Label})
	w.check()
	j := g.close()
	work := j.Escrow.Sub(j.Refunded)
	require.Equal(t, work.Add(terms().DeliveryFee).Add(anote(100_000*gasPrice)).Add(types.DefaultParams().BytePrice.MulRaw(15+2)).String(), w.spent("payer", before))
}

func TestAnOptimisticAnswerThatIsRefuted(t *testing.T) {
	for name, ruin := range map[string]func(*world, *gate, uint64){
		"found false in a dispute": func(_ *world, g *gate, n uint64) {
			g.audit(n, fail)
			g.refute(n, 0)
		},
		"its gateway hides it": func(w *world, g *gate, n uint64) {
			for !w.epoch(g.r.Job, n).Final() {
				w.next()
			}
			require.Equal(w.t, worktypes.EpochStatus_EPOCH_STATUS_VOID, w.epoch(g.r.Job, n).Status)
		},
		"nobody upholds it": func(_ *world, g *gate, n uint64) {
			g.audit(n, fail) // and nobody proves it
			g.settle(n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.balance("payer")
			r := w.request(ask(types.Optimistic))
			g := w.gateOf(r)
			n := g.commit(receipted{bodies: said(r, "a lie"), worker: "bob/1"})
			g.deliver(place{n, 0})
			must(w, w.called, report{r.Id, types.Called{GasUsed: 60_000, OK: true}, "gate"})
			ruin(w, g, n)
			c := must(w, w.conclude, r.Id)
			require.Equal(t, []any{true, types.Status_STATUS_REFUTED, 0, work.Label("")}, []any{c.Due, c.Status, len(c.Answer), c.Label})
			require.Equal(t, sha256.Sum256(g.epochs[0].receipts[0]), c.Receipt)
			refused(w, types.ErrState, "under way", w.conclude, r.Id)
			must(w, w.called, report{r.Id, types.Called{GasUsed: 70_000, OK: true}, "anybody"})
			w.check()
			require.Empty(t, w.lookup(r.Id).Answer)
			refused(w, types.ErrState, "is over", w.conclude, r.Id)
			for w.job(r.Job).Live() {
				w.next()
			}
			j := w.job(r.Job)
			rest := j.Left() // of a forfeited worker, which the buyer gets when it is claimed
			fees := terms().DeliveryFee.Add(anote(130_000 * gasPrice)).Add(types.DefaultParams().BytePrice.MulRaw(15 + 5))
			require.Equal(t, j.Escrow.Sub(j.Refunded).Add(fees).String(), w.spent("payer", before))
			require.False(t, rest.IsNegative())
		})
	}
}

// A lie that was found out is never told under the safe policy; the request ends without an
// answer, and its contract is told that.
func TestASafeRequestNeverSeesALie(t *testing.T) {
	w := newWorld(t)
	before := w.balance("payer")
	r := w.request(ask(types.Safe))
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "a lie"), worker: "bob/1"})
	g.audit(n, fail)
	g.refused(types.ErrEvidence, "don't uphold it", g.evidence(place{n, 0}))
	g.refute(n, 0)
	g.refused(types.ErrEvidence, "found false", g.evidence(place{n, 0}))
	g.settle(n)
	g.refused(types.ErrEvidence, "found false", g.evidence(place{n, 0}))
	refused(w, types.ErrEarly, "wait until it is over", w.conclude, r.Id)

	// Another worker's answer is taken still.
	late := g.commit(receipted{bodies: said(r, "no lie"), worker: "ada/0"})
	g.audit(late, pass)
	g.settle(late)
	g.close()
	refused(w, types.ErrEarly, "may be answered below", w.conclude, r.Id)
	w.skip(10)
	c := must(w, w.conclude, r.Id)
	require.Equal(t, []any{true, types.Status_STATUS_FAILED, 0}, []any{c.Due, c.Status, len(c.Answer)})
	must(w, w.called, report{r.Id, types.Called{GasUsed: 1, OK: true}, "anybody"})
	w.check()
	j := w.job(r.Job)
	require.Equal(t, j.Escrow.Sub(j.Refunded).Add(anote(gasPrice)).Add(types.DefaultParams().BytePrice.MulRaw(15)).String(), w.spent("payer", before))
}

func TestWorkersThatMustAgree(t *testing.T) {
	w := newWorld(t)
	r := w.request(ask(3))
	require.Equal(t, anote(4*1_000_003*(202+192)).String(), r.Escrow.String())
	g := w.gateOf(r)
	x := func(worker, text string) receipted { return receipted{bodies: said(r, text), worker: worker} }
	first := g.commit(x("ada/0", "yes"), x("bob/0", "yes"), x("ada/1", "yes"), x("cyd/0", "no"))
	g.refused(types.ErrEvidence, "2 testimonies", g.evidence(place{first, 0}, place{first, 1}))
	g.refused(types.ErrEvidence, "second worker of "+bech("ada"), g.evidence(place{first, 0}, place{first, 1}, place{first, 2}))
	g.refused(types.ErrEvidence, "second worker of "+bech("ada"), g.evidence(place{first, 0}, place{first, 1}, place{first, 0}))
	g.refused(types.ErrEvidence, "another result", g.evidence(place{first, 0}, place{first, 1}, place{first, 3}))
	second := g.commit(x("dan/1", "yes"))
	c := g.deliver(place{first, 0}, place{first, 1}, place{second, 0})
	require.Equal(t, []any{true, types.Status_STATUS_FINAL, work.Agreed, "yes"}, []any{c.Due, c.Status, c.Label, string(c.Answer)})
	must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
	w.check()
}

func TestWithoutACallback(t *testing.T) {
	w := newWorld(t)
	a := ask(types.Optimistic)
	a.Callback, a.CallbackGas = [20]byte{}, 0
	r := w.request(a)
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})
	require.False(t, g.deliver(place{n, 0}).Due)
	refused(w, types.ErrState, "no callback", w.called, report{r.Id, types.Called{}, "gate"})
	w.check()
	g.audit(n, pass)
	g.settle(n)
	require.Equal(t, types.Status_STATUS_FINAL, must(w, w.conclude, r.Id).Status)
	w.check()
}

func TestALongAnswerIsToldByItsDigest(t *testing.T) {
	w := newWorld(t)
	a := ask(types.Optimistic)
	a.Sampling.MaxTokens = 64
	r := w.request(a)
	g := w.gateOf(r)
	text := "a longer answer than the forty bytes of the terms"
	n := g.commit(receipted{bodies: said(r, text), worker: "ada/0"})
	c := g.deliver(place{n, 0})
	want := sha256.Sum256([]byte(text))
	require.Equal(t, want[:], c.Answer)
	require.Equal(t, uint8(2|types.Digested), c.StatusCode())
	must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
	require.Equal(t, uint8(2|types.Digested), w.lookup(r.Id).StatusCode())
	w.check()
}

// An answer that settled before it was delivered is final at once, whatever the policy.
func TestALateOptimisticAnswerIsFinal(t *testing.T) {
	w := newWorld(t)
	r := w.request(ask(types.Optimistic))
	g := w.gateOf(r)
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})
	g.audit(n, pass)
	g.settle(n)
	c := g.deliver(place{n, 0})
	require.Equal(t, []any{types.Status_STATUS_FINAL, work.Replayed}, []any{c.Status, c.Label})
	must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
	w.check()
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	before := w.balance("payer")
	r := w.request(ask(types.Safe))
	g := w.gateOf(r)
	refused(w, types.ErrUnauthorized, "is "+bech("payer")+"'s", w.cancel, cancellation{r.Id, "anybody"})
	refused(w, types.ErrNotFound, "no request 99", w.cancel, cancellation{99, "payer"})
	c := must(w, w.cancel, cancellation{r.Id, "payer"})
	require.Equal(t, []any{false, types.Status_STATUS_CANCELLED}, []any{c.Due, c.Status})
	w.check()
	refused(w, types.ErrState, "only one that is open", w.cancel, cancellation{r.Id, "payer"})
	require.Equal(t, worktypes.JobStatus_JOB_STATUS_CLOSING, w.job(r.Job).Status)

	// What was on its way is still committed and paid, and told nobody.
	n := g.commit(receipted{bodies: said(r, "yes"), worker: "ada/0"})
	g.audit(n, pass)
	g.settle(n)
	g.refused(types.ErrState, "takes no answer", g.evidence(place{n, 0}))
	j := g.close()
	require.Equal(t, j.Escrow.Sub(j.Refunded).Add(types.DefaultParams().BytePrice.MulRaw(15)).String(), w.spent("payer", before))
}

// A request whose job nobody works on fails once that has expired.
func TestARequestThatNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	before := w.balance("payer")
	r := w.request(ask(2))
	for w.job(r.Job).Live() {
		refused(w, types.ErrEarly, "wait until it is over", w.conclude, r.Id)
		w.next()
	}
	c := must(w, w.conclude, r.Id)
	require.Equal(t, []any{true, types.Status_STATUS_FAILED}, []any{c.Due, c.Status})
	must(w, w.called, report{r.Id, types.Called{}, "anybody"})
	w.check()
	require.Equal(t, types.DefaultParams().BytePrice.MulRaw(15).String(), w.spent("payer", before))
}
