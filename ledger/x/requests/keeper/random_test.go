package keeper_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// chaos does what anybody might, honest or not, and checks all books after every step. Lies
// are one operator's; every lie that somebody could dispute is disputed.
type chaos struct {
	*world
	r     *rand.Rand
	gates []*gate
	done  map[string]int
	lies  map[uint64]bool // requests that were told a lie
	ends  bool            // nobody asks any more
}

var (
	payers  = []string{"payer", "pat", "ron"}
	readers = []types.Form{types.Body, types.Text}
)

// truth is what an honest worker finds, a page at whatever time.
func (c *chaos) truth(r types.Request) bodies {
	if _, page := types.FormByID(r.Speaker); page {
		return saw(r, func(s *sight) { s.rec.Time += c.r.Int64N(100_000) })
	}
	return said(r, "yes")
}

// lie is what a liar says instead.
func (c *chaos) lie(r types.Request) bodies {
	if _, page := types.FormByID(r.Speaker); page {
		return saw(r, snows)
	}
	return said(r, "a lie")
}

// snows makes another page of one, whatever is asked for of it.
func snows(s *sight) {
	s.content = []byte("It snows.")
	s.rec.Digest, s.rec.TextDigest, s.rec.Size = artifact.Sum(s.content), artifact.Sum(s.content), uint64(len(s.content))
}

// true reports whether an answer is the truth.
func (c *chaos) true(r types.Request, answer []byte) bool {
	form, page := types.FormByID(r.Speaker)
	if !page {
		return string(answer) == "yes"
	}
	p, err := types.DecodePage(answer)
	require.NoError(c.t, err)
	return p.Digest == form.Digest(saw(r).rec)
}

func newChaos(t testing.TB, seed uint64) *chaos {
	w := newWorld(t, func(p *types.Params) { p.MaxOpenPerAccount, p.MaxOffers = 6, 2 }).offerPages("gate")
	for _, name := range gateways[1:] {
		w.gateway(name)
	}
	for _, name := range append(slices.Clone(gateways), payers...) {
		w.fund(name, 100_000)
	}
	return &chaos{world: w, r: rand.New(rand.NewPCG(seed, 5)), done: map[string]int{}, lies: map[uint64]bool{}}
}

func pick[T any](c *chaos, list []T) T { return list[c.r.IntN(len(list))] }

func (c *chaos) chance(percent int) bool { return c.r.IntN(100) < percent }

// try counts what passes. What does not must be refused with an error that is meant for
// whoever did it: anything else is a bug.
func (c *chaos) try(what string, err error) bool {
	c.t.Helper()
	if err == nil {
		c.done[what]++
		return true
	}
	var meant *errorsmod.Error
	require.ErrorAs(c.t, err, &meant, "%s: %v", what, err)
	space := meant.Codespace()
	require.True(c.t, errors.Is(err, sdkerrors.ErrInsufficientFunds) || space == types.ModuleName || space == worktypes.ModuleName, "%s: %v", what, err)
	return false
}

func (c *chaos) step() {
	switch n := c.r.IntN(100); {
	case n < 14:
		c.ask()
	case n < 27:
		c.commit()
	case n < 45:
		c.deliverSome()
	case n < 55:
		c.concludeSome()
	case n < 59:
		c.cancelSome()
	case n < 63:
		c.offerSome()
	case n < 65:
		c.repair()
	case n < 68:
		c.fees.price = math.LegacyNewDec(c.r.Int64N(5 * gasPrice))
	case n < 71:
		c.finish()
	default:
		c.next()
	}
	c.check()
}

func (c *chaos) ask() {
	a := ask(uint8(c.r.IntN(4)))
	what := "ask"
	if a.Prompt = []byte(strings.Repeat("what is ab ", 1+c.r.IntN(3))); c.chance(45) {
		what, a = "fetch", fetch(pick(c, readers), a.Policy)
	} else {
		a.Sampling.MaxTokens = 1 + c.r.Uint32N(70)
	}
	who := pick(c, payers)
	a.From, a.Payer = addr(who), addr(who)
	a.CallbackGas = 25_000 + c.r.Uint64N(200_000)
	if c.chance(20) {
		a.Callback, a.CallbackGas = [20]byte{}, 0
	}
	if q, err := c.k.Quote(c.ctx, a.Size()); err == nil {
		a.Fee = q.Fee.AddRaw(c.r.Int64N(1000) - 100)
	}
	r, err := send(c.world, c.k.Request, a)
	if c.try(fmt.Sprintf("%s %d", what, a.Policy), err) {
		c.gates = append(c.gates, c.gateOf(r))
	}
}

// someGate is one whose job goes on, rather an old one.
func (c *chaos) someGate() *gate {
	var live []*gate
	for _, g := range c.gates {
		if c.job(g.r.Job).Live() {
			live = append(live, g)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return live[c.r.IntN(min(len(live), 4))]
}

// liar is a worker of the lying operator that has a bond.
func (c *chaos) liar() string {
	for i := range 2 {
		name := fmt.Sprintf("dan/%d", i)
		if w, err := c.work.Worker(c.ctx, pub(name)); err == nil && w.Status == worktypes.Status_STATUS_ACTIVE {
			return name
		}
	}
	return ""
}

// commit commits an epoch, of the truth or of a lie, and mostly sees to its audit: a lie is
// disputed then. What it hides is void.
func (c *chaos) commit() {
	g := c.someGate()
	if g == nil || len(g.r.Prompt) == 0 {
		return
	}
	var list []receipted
	if liar := c.liar(); liar != "" && c.chance(35) {
		list = append(list, receipted{bodies: c.lie(g.r), worker: liar})
	} else {
		for _, name := range []string{"ada/0", "bob/1", "cyd/0"} {
			if c.chance(70) {
				list = append(list, receipted{bodies: c.truth(g.r), worker: name})
			}
		}
	}
	if len(list) == 0 {
		return
	}
	before, total := len(g.epochs), map[string]uint64{}
	for k, v := range g.total {
		total[k] = v
	}
	_, err := send(c.world, c.market.CommitEpoch, g.plan(list...))
	if !c.try("commit", err) {
		g.epochs, g.total = g.epochs[:before], total
		return
	}
	n := uint64(len(g.epochs))
	if c.chance(40) {
		c.tell(g, place{n, 0})
	}
	if c.chance(4) {
		c.done["hide"]++
		return
	}
	lie := list[0].worker[:3] == "dan"
	find := pass
	if lie {
		find = fail
	}
	if g.audit(n, find); lie {
		if types.KindOf(g.r.Speaker) == types.Kind { // auditors' word alone refutes a page
			g.dispute(n, 0, "anybody")
			c.done["dispute"]++
		}
		c.skip(c.r.Int64N(6))
	} else if c.chance(50) {
		g.settle(n)
	}
}

func (c *chaos) deliverSome() {
	var ready []*gate
	for _, g := range c.gates {
		if len(g.epochs) > 0 && (c.chance(10) || c.lookup(g.r.Id).Status == types.Status_STATUS_OPEN) {
			ready = append(ready, g)
		}
	}
	if len(ready) == 0 {
		return
	}
	g := pick(c, ready)
	var places []place
	for range max(1, int(g.r.Policy)) {
		n := 1 + c.r.IntN(len(g.epochs))
		places = append(places, place{uint64(n), c.r.IntN(len(g.epochs[n-1].list))})
	}
	c.tell(g, places...)
}

// tell delivers receipts, sometimes spoiled ones, and calls back.
func (c *chaos) tell(g *gate, places ...place) {
	d := g.delivery(pick(c, []string{g.name, "anybody"}), g.evidence(places...))
	if c.chance(20) {
		d.evidence[c.r.IntN(len(d.evidence))] ^= byte(1 + c.r.IntN(255))
	}
	call, err := send(c.world, c.deliver, d)
	if !c.try(fmt.Sprintf("deliver %d", g.r.Policy), err) {
		return
	}
	c.done["deliver of "+types.KindOf(g.r.Speaker)]++
	if !c.true(g.r, call.Answer) {
		require.Equal(c.t, types.Status_STATUS_ANSWERED, call.Status, "a lie is told at once or never: %q", call.Answer)
		require.Equal(c.t, work.Asserted, call.Label)
		c.lies[g.r.Id] = true
	}
	c.callBack(call, d)
}

// callBack is a contract's call, from which everything is tried that the request's own
// doors must not let through.
func (c *chaos) callBack(call types.Call, d delivery) {
	if !call.Due {
		return
	}
	for _, again := range []func() error{
		func() error { _, err := send(c.world, c.deliver, d); return err },
		func() error { _, err := send(c.world, c.conclude, call.ID); return err },
		func() error {
			_, err := send(c.world, c.cancel, cancellation{call.ID, pick(c, payers)})
			return err
		},
	} {
		require.ErrorIs(c.t, again(), types.ErrState)
	}
	if !c.ends && c.chance(50) {
		c.ask() // of another request
	}
	must(c.world, c.called, report{call.ID, types.Called{GasUsed: c.r.Uint64N(call.Gas + 1), OK: c.chance(50)}, "anybody"})
}

func (c *chaos) concludeSome() {
	if len(c.gates) == 0 {
		return
	}
	id := pick(c, c.gates).r.Id
	call, err := send(c.world, c.conclude, id)
	if c.try("conclude", err) {
		c.done[call.Status.String()]++
		c.callBack(call, delivery{id: id, by: "anybody"})
	}
}

func (c *chaos) cancelSome() {
	if len(c.gates) > 0 {
		_, err := send(c.world, c.cancel, cancellation{pick(c, c.gates).r.Id, pick(c, payers)})
		c.try("cancel", err)
	}
}

func (c *chaos) offerSome() {
	name, id := pick(c, gateways), speakerID()
	edit := func(t *types.Terms) {
		t.Price, t.DeliveryFee = math.NewInt(1_000+c.r.Int64N(1_000)), math.NewInt(c.r.Int64N(1000))
		t.MaxAnswerBytes, t.ExpiryBlocks = 10+c.r.Uint32N(30), 300
	}
	msg := offer(name, edit)
	if f := pick(c, readers); c.chance(40) {
		id, msg = f.ID(), offerPages(name, f, edit)
	}
	if c.chance(25) {
		_, err := send(c.world, c.msg.WithdrawOffer, &types.MsgWithdrawOffer{Gateway: bech(name), Speaker: id[:]})
		c.try("withdraw", err)
		return
	}
	_, err := send(c.world, c.msg.Offer, msg)
	c.try("offer", err)
}

// repair has gateways that were at fault serve again, and the liar's workers come back.
func (c *chaos) repair() {
	for _, name := range gateways {
		_, err := send(c.world, c.market.TopUpBond, &worktypes.MsgTopUpBond{Sender: bech(name), Amount: notes(100)})
		c.try("bond", err)
		_, err = send(c.world, c.market.UpdateGateway, &worktypes.MsgUpdateGateway{Address: bech(name), FeeBps: 500, Status: worktypes.Status_STATUS_ACTIVE})
		c.try("serve", err)
	}
}

func (c *chaos) finish() {
	if g := c.someGate(); g != nil {
		_, err := send(c.world, c.market.FinishJob, &worktypes.MsgFinishJob{Gateway: bech(g.name), Job: g.r.Job})
		c.try("finish", err)
	}
}

// drain ends everything: then nothing is held, and nobody who was told a lie was not told so.
func (c *chaos) drain() {
	c.ends = true
	for range 500 {
		c.next()
		left := 0
		for _, g := range c.gates {
			r := c.lookup(g.r.Id)
			if r.Over() {
				continue
			}
			left++
			call, err := send(c.world, c.conclude, r.Id)
			if c.try("conclude", err) {
				c.done[call.Status.String()]++
				c.callBack(call, delivery{id: r.Id, by: "anybody"})
			}
		}
		if left == 0 {
			break
		}
	}
	for _, g := range c.gates {
		r := c.lookup(g.r.Id)
		require.True(c.t, r.Over(), "request %d is %s, its job %+v", r.Id, r.Status, c.job(r.Job))
		if c.lies[r.Id] {
			require.Equal(c.t, types.Status_STATUS_REFUTED, r.Status, "request %d was told a lie", r.Id)
		}
		if len(r.Answer) > 0 {
			require.True(c.t, c.true(r, r.Answer), "request %d", r.Id)
		}
	}
	c.check()
	b, err := c.k.Invariants(c.ctx)
	require.NoError(c.t, err)
	require.Equal(c.t, "0", b.Held.String())
	require.Equal(c.t, "0", c.bank.GetBalance(c.ctx, addr("pauper"), chain.BaseDenom).Amount.String())
}

func TestRandomOperations(t *testing.T) {
	seeds, steps := uint64(4), 300
	if testing.Short() {
		seeds = 2
	}
	done := map[string]int{}
	for seed := range seeds {
		c := newChaos(t, seed)
		for range steps {
			c.step()
		}
		c.drain()
		for what, n := range c.done {
			done[what] += n
		}
	}
	t.Logf("%v", done)
	for _, what := range []string{
		"ask 0", "ask 1", "ask 2", "ask 3", "fetch 0", "fetch 1", "fetch 2", "fetch 3", "commit", "dispute", "hide",
		"deliver 0", "deliver 1", "deliver 2", "deliver of infer/1", "deliver of crawl/1", "conclude", "cancel", "offer", "withdraw",
		types.Status_STATUS_REFUTED.String(), types.Status_STATUS_FAILED.String(), types.Status_STATUS_FINAL.String(),
	} {
		require.Positive(t, done[what], "nobody managed to %s", what)
	}
}
