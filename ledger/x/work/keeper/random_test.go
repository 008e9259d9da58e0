package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// chaos sends random messages of many actors, honest and not, and checks the books after
// every block.
type chaos struct {
	*world
	r     *rand.Rand
	gates []*gate
	done  map[string]int // operations that passed
	seen  map[string]bool
	said  map[string]types.VerdictReveal // what auditors committed to, by job/epoch/sample/auditor
	games map[uint64]*chaosGame          // disputes
}

var (
	chaosOperators = []string{"ada", "bob", "cyd", "dan", "eve", "fay"}
	chaosGateways  = []string{"gate", "door", "pier"}
	chaosBuyers    = []string{"buyer", "pat", "ron"}
)

func newChaos(t testing.TB, seed uint64) *chaos {
	w := newWorld(t, func(p *types.Params) {
		p.OpenBlocks, p.VerdictCommitBlocks, p.VerdictRevealBlocks = 8, 6, 6
		p.AnswerBlocks, p.GraceBlocks, p.UnbondingBlocks = 8, 15, 25
		p.DisputeOpenBlocks, p.DisputeMoveBlocks = 4, 5
		p.MinAuditBps = 10
		p.ProbationAudits = 1
	})
	c := &chaos{world: w, r: rand.New(rand.NewPCG(seed, 1)), done: map[string]int{}, seen: map[string]bool{}, said: map[string]types.VerdictReveal{},
		games: map[uint64]*chaosGame{}}
	for _, op := range chaosOperators {
		w.operator(op, 4)
		for i := range 4 {
			must(w, w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech(op), Key: pub(fmt.Sprintf("%s/%d", op, i)), Kinds: []string{kindName, toyKind}})
		}
		w.fund(op, 5000)
	}
	for _, g := range chaosGateways {
		w.addGateway(g)
		w.fund(g, 20_000)
	}
	for _, b := range chaosBuyers {
		w.fund(b, 100_000)
	}
	w.fund("anybody", 10_000)
	w.next()
	return c
}

func pick[T any](c *chaos, list []T) T { return list[c.r.IntN(len(list))] }

func (c *chaos) chance(percent int) bool { return c.r.IntN(100) < percent }

func (c *chaos) anyWorker() string {
	return fmt.Sprintf("%s/%d", pick(c, chaosOperators), c.r.IntN(6))
}

// try sends a message that may be refused, but only with an error that is meant for its
// sender: anything else is a bug in the market.
func try[M, R any](c *chaos, what string, handle func(h M) (R, error), msg M) bool {
	c.t.Helper()
	_, err := handle(msg)
	if err == nil {
		c.done[what]++
		return true
	}
	var meant *errorsmod.Error
	require.ErrorAs(c.t, err, &meant, "%s: %v", what, err)
	require.True(c.t, errors.Is(err, sdkerrors.ErrInsufficientFunds) || meant.Codespace() == types.ModuleName, "%s: %v", what, err)
	return false
}

func (c *chaos) op() {
	switch n := c.r.IntN(100); {
	case n < 12:
		c.members()
	case n < 20:
		c.newJob()
	case n < 38:
		c.commit()
	case n < 52:
		c.open()
	case n < 56:
		c.showPlants()
	case n < 70:
		c.judge()
	case n < 79:
		c.claimSome()
	case n < 83:
		c.dispute()
	case n < 89:
		c.disputeReceipts()
	case n < 91:
		c.endJob()
	case n < 92:
		c.duplicate()
	case n < 93:
		c.setCells()
	default:
		c.next()
		c.observe()
	}
}

func (c *chaos) members() {
	op, w := pick(c, chaosOperators), c.anyWorker()
	gw := pick(c, chaosGateways)
	status := pick(c, []types.Status{types.Status_STATUS_UNSPECIFIED, types.Status_STATUS_ACTIVE, types.Status_STATUS_ACTIVE, types.Status_STATUS_PAUSED})
	amount := math.NewInt(c.r.Int64N(1 << 62)).MulRaw(c.r.Int64N(40) + 1)
	switch c.r.IntN(10) {
	case 0, 1:
		kinds := [][]string{{kindName}, {kindName, "infer/1"}, {"infer/1"}}
		e := enrollment(w, op, pick(c, kinds)...)
		try(c, "enroll", bind(c, c.msg.EnrollWorkers), &types.MsgEnrollWorkers{Operator: bech(op), Workers: []types.Enrollment{e}})
	case 2, 3, 4:
		m := &types.MsgUpdateWorker{Operator: bech(op), Key: pub(w), Status: status}
		if c.chance(30) {
			m.Kinds = pick(c, [][]string{{kindName}, {"infer/1", kindName}})
		}
		try(c, "update worker", bind(c, c.msg.UpdateWorker), m)
	case 5:
		try(c, "unbond worker", bind(c, c.msg.UnbondWorkers), &types.MsgUnbondWorkers{Operator: bech(op), Keys: [][]byte{pub(w)}})
	case 6:
		try(c, "top up worker", bind(c, c.msg.TopUpBond), &types.MsgTopUpBond{Sender: bech(op), Worker: pub(w), Amount: amount})
	case 7:
		try(c, "top up gateway", bind(c, c.msg.TopUpBond), &types.MsgTopUpBond{Sender: bech(gw), Amount: notes(150)})
		try(c, "update gateway", bind(c, c.msg.UpdateGateway), &types.MsgUpdateGateway{Address: bech(gw), FeeBps: uint32(c.r.IntN(2100)), Status: types.Status_STATUS_ACTIVE})
	case 8:
		try(c, "unbond gateway", bind(c, c.msg.UnbondGateway), &types.MsgUnbondGateway{Address: bech(gw)})
	case 9:
		try(c, "register gateway", bind(c, c.msg.RegisterGateway), registration(gw))
	}
}

func bind[M, R any](c *chaos, handle func(context.Context, M) (R, error)) func(M) (R, error) {
	return func(m M) (R, error) { return send(c.world, handle, m) }
}

func (c *chaos) newJob() {
	m := jobTerms(pick(c, chaosBuyers), pick(c, chaosGateways))
	m.Price = math.NewInt(c.r.Int64N(1<<50) + 1)
	m.Escrow = m.Price.MulRaw(c.r.Int64N(3000))
	m.AuditBps = uint32(c.r.IntN(10_000))
	m.ExpiryBlocks = 1 + c.r.Int64N(200)
	m.EpochBlocks = 1
	if c.chance(40) {
		m.Kind = toyKind
	}
	if c.chance(40) {
		m.Cell = pick(c, chaosCells)
	}
	buyer, gw := m.Buyer, ""
	for _, n := range chaosGateways {
		if bech(n) == m.Gateway {
			gw = n
		}
	}
	r, err := send(c.world, c.msg.OpenJob, m)
	if err != nil {
		try(c, "open job", bind(c, c.msg.OpenJob), m)
		return
	}
	c.done["open job"]++
	g := &gate{w: c.world, name: gw, buyer: buyer, cell: m.Cell, job: r.Job, total: map[string]uint64{}}
	if m.Kind == toyKind {
		g.bodies = chaosBodies
	}
	c.gates = append(c.gates, g)
}

// anyGate favours recent jobs, where there is more to do.
func (c *chaos) anyGate() *gate {
	if len(c.gates) == 0 {
		c.newJob()
	}
	if len(c.gates) == 0 {
		return nil
	}
	recent := c.gates[max(0, len(c.gates)-12):]
	if c.chance(10) {
		recent = c.gates
	}
	return pick(c, recent)
}

func (c *chaos) commit() {
	g := c.anyGate()
	if g == nil {
		return
	}
	before := map[string]uint64{}
	for n, u := range g.total {
		before[n] = u
	}
	var tasks []task
	for range 1 + c.r.IntN(6) {
		g.nextSeq++
		x := task{c.anyWorker(), g.nextSeq, uint64(c.r.IntN(120))}
		if c.chance(3) && g.nextSeq > 1 {
			x.seq = 1 + c.r.Uint64N(g.nextSeq-1) // a task that was committed before
		}
		tasks = append(tasks, x)
	}
	if len(g.total) > 1 && c.chance(6) { // take from one worker and give to another
		names := slices.Sorted(maps.Keys(g.total))
		a, b := pick(c, names), pick(c, names)
		if a != b {
			g.total[b] += g.total[a]
			delete(g.total, a)
		}
	}
	m, b := g.plan(tasks...)
	m.Finish = c.chance(5)
	m.Gateway = c.actor(g)
	if c.chance(4) && m.Receipts > 1 { // miscounts those on probation
		m.ProbationReceipts, m.ProbationUnits = 1+c.r.Uint64N(m.Receipts-1), min(m.Units, 1+c.r.Uint64N(100))
	}
	if c.chance(60) {
		for i := range m.Receipts {
			if c.chance(15) {
				b.plants.Indices = append(b.plants.Indices, i)
			}
		}
		b.plants.Chain, b.plants.Job, b.plants.Epoch = testChain, work.JobID(g.job), m.Number
		d, err := b.plants.Commitment()
		require.NoError(c.t, err)
		m.Plants = d[:]
	}
	if try(c, "commit epoch", bind(c, c.msg.CommitEpoch), m) {
		g.epochs = append(g.epochs, b)
		return
	}
	g.total = before
}

// pending calls f with the epochs of a job that are in one of these states.
func (g *gate) pending(f func(e types.Epoch), states ...types.EpochStatus) {
	j := g.j()
	for n := j.EpochsSettled + 1; n <= j.Epochs; n++ {
		if e := g.w.epoch(g.job, n); slices.Contains(states, e.Status) {
			f(e)
		}
	}
}

func (c *chaos) open() {
	for range 3 {
		g := c.anyGate()
		if g == nil {
			return
		}
		g.pending(func(e types.Epoch) {
			if c.chance(4) {
				return // hides for now
			}
			for i, s := range e.Samples {
				if s.Status == types.SampleStatus_SAMPLE_STATUS_DRAWN && !c.chance(5) {
					try(c, "open receipt", bind(c, c.msg.OpenReceipts),
						&types.MsgOpenReceipts{Gateway: c.actor(g), Job: g.job, Epoch: e.Number, Openings: []types.Opening{g.opening(e.Number, i)}})
				}
			}
		}, types.EpochStatus_EPOCH_STATUS_SAMPLED)
	}
}

func (c *chaos) judge() {
	for range 3 {
		g := c.anyGate()
		if g == nil {
			return
		}
		g.pending(func(e types.Epoch) {
			for i, s := range e.Samples {
				for _, slot := range s.Slots {
					if c.chance(10) {
						continue // silent for now
					}
					c.vote(g, e.Number, i, s, slot)
				}
			}
		}, types.EpochStatus_EPOCH_STATUS_SAMPLED, types.EpochStatus_EPOCH_STATUS_AUDITING)
	}
}

func (c *chaos) vote(g *gate, number uint64, i int, s types.Sample, slot types.AuditorSlot) {
	id := fmt.Sprintf("%d/%d/%d/%x", g.job, number, i, slot.Auditor)
	switch s.Status {
	case types.SampleStatus_SAMPLE_STATUS_OPENED:
		// Auditors of one receipt mostly agree.
		o := types.Outcome_OUTCOME_PASS
		if (number+uint64(i))%7 == 0 {
			o = types.Outcome_OUTCOME_FAIL
		}
		if c.chance(15) {
			o = pick(c, []types.Outcome{types.Outcome_OUTCOME_PASS, types.Outcome_OUTCOME_FAIL, types.Outcome_OUTCOME_UNSURE})
		}
		commitment, reveal := g.verdict(number, i, work.PublicKey(slot.Auditor), o)
		if try(c, "commit verdict", bind(c, c.msg.CommitVerdicts), &types.MsgCommitVerdicts{
			Sender: bech("anybody"), Job: g.job, Epoch: number, Verdicts: []types.VerdictCommitment{commitment}}) {
			c.said[id] = reveal
		}
	case types.SampleStatus_SAMPLE_STATUS_REVEALING:
		if reveal, ok := c.said[id]; ok {
			try(c, "reveal verdict", bind(c, c.msg.RevealVerdicts), &types.MsgRevealVerdicts{
				Sender: bech("anybody"), Job: g.job, Epoch: number, Verdicts: []types.VerdictReveal{reveal}})
		}
	}
}

func (c *chaos) claimSome() {
	g := c.anyGate()
	if g == nil || len(g.epochs) == 0 {
		return
	}
	n := 1 + c.r.IntN(len(g.epochs))
	if settled := int(g.j().EpochsSettled); settled > 0 && c.chance(80) {
		n = settled
	}
	names := g.epochs[n-1].workers
	m := g.claims(uint64(n), pick(c, names), pick(c, names))
	if c.chance(5) {
		m.Claims[0].Units++
	}
	try(c, "claim", bind(c, c.msg.Claim), m)
}

func (c *chaos) dispute() {
	g := c.anyGate()
	if g == nil || len(g.epochs) == 0 {
		return
	}
	list, err := c.query.Challenges(c.ctx, &types.QueryChallengesRequest{})
	require.NoError(c.t, err)
	for _, ch := range list.Challenges {
		for _, o := range c.gates {
			if o.job != ch.Job || c.chance(30) {
				continue
			}
			number := uint64(len(o.epochs))
			worker := nameOf(work.PublicKey(ch.Worker))
			if slices.Contains(o.epochs[number-1].workers, worker) {
				try(c, "answer", bind(c, c.msg.AnswerChallenge), &types.MsgAnswerChallenge{
					Gateway: c.actor(o), Challenge: ch.Id, Epoch: number, Pay: o.payProof(number, worker)})
			}
		}
	}
	number := 1 + c.r.IntN(len(g.epochs))
	worker := pick(c, g.epochs[number-1].workers)
	units := g.payProof(uint64(number), worker).Units
	if c.chance(20) {
		units += c.r.Uint64N(50)
	}
	try(c, "challenge", bind(c, c.msg.ChallengeVoucher), g.challenge(worker, uint64(number)+c.r.Uint64N(2), units))
}

func (c *chaos) endJob() {
	g := c.anyGate()
	if g == nil {
		return
	}
	switch c.r.IntN(3) {
	case 0:
		try(c, "close job", bind(c, c.msg.CloseJob), &types.MsgCloseJob{Buyer: g.buyer, Job: g.job})
	case 1:
		try(c, "finish job", bind(c, c.msg.FinishJob), &types.MsgFinishJob{Gateway: c.actor(g), Job: g.job})
	case 2:
		try(c, "top up job", bind(c, c.msg.TopUpJob), &types.MsgTopUpJob{Buyer: g.buyer, Job: g.job, Amount: math.NewInt(c.r.Int64N(1 << 60))})
	}
}

// duplicate looks for a task that a job has twice and proves it.
func (c *chaos) duplicate() {
	for _, g := range c.gates {
		type place struct {
			epoch uint64
			i     int
		}
		first := map[uint64]place{}
		for n, b := range g.epochs {
			for i, raw := range b.receipts {
				s, err := work.DecodeReceipt(raw)
				require.NoError(c.t, err)
				at := place{uint64(n) + 1, i}
				if was, twice := first[s.Receipt.Seq]; twice {
					if try(c, "duplicate", bind(c, c.msg.ChallengeDuplicate), &types.MsgChallengeDuplicate{
						Challenger: bech("anybody"), Job: g.job, First: g.committed(was.epoch, was.i), Second: g.committed(at.epoch, at.i)}) {
						return
					}
				}
				first[s.Receipt.Seq] = at
			}
		}
	}
}

// observe notes which states jobs, epochs and samples got into.
func (c *chaos) observe() {
	for _, g := range c.gates[max(0, len(c.gates)-12):] {
		j := g.j()
		c.seen[j.Status.String()] = true
		for n := uint64(1); n <= j.Epochs; n++ {
			e := c.epoch(g.job, n)
			c.seen[e.Status.String()] = true
			for _, s := range e.Samples {
				c.seen[s.Status.String()] = true
			}
		}
	}
	for id := range c.games { // order-free: only notes what is there
		c.seen[c.world.dispute(id).Status.String()] = true
	}
}

// windDown ends every job and has everybody claim.
func (c *chaos) windDown() {
	for _, g := range c.gates {
		try(c, "finish job", bind(c, c.msg.FinishJob), &types.MsgFinishJob{Gateway: bech(g.name), Job: g.job})
	}
	c.skip(20)
	for _, g := range c.gates {
		c.show(g)
	}
	c.skip(60)
	for _, g := range c.gates {
		j := g.j()
		require.False(c.t, j.Live(), "job %d", j.Id)
		for n := j.EpochsSettled; n > 0; n-- {
			try(c, "claim", bind(c, c.msg.Claim), g.claims(n, g.epochs[n-1].workers...))
		}
	}
	c.next()
	for _, g := range c.gates {
		j := g.j()
		require.True(c.t, j.Left().Equal(j.Payable()), "job %d", j.Id)
	}
}

func TestChaos(t *testing.T) {
	ops := 5_000
	if testing.Short() {
		ops = 800
	}
	c := newChaos(t, 20261122)
	for range ops {
		c.op()
	}
	c.windDown()
	t.Logf("%d blocks, %d jobs; passed: %v", c.height(), len(c.gates), c.done)
	if testing.Short() {
		return
	}
	for _, what := range []string{"enroll", "update worker", "unbond worker", "top up worker", "top up gateway", "update gateway",
		"unbond gateway", "register gateway", "open job", "commit epoch", "open receipt", "commit verdict", "reveal verdict",
		"open dispute", "answer dispute", "descend", "decide", "contradict", "reveal plants", "set cells", "claim", "challenge", "answer", "close job", "finish job", "top up job", "duplicate"} {
		require.Positive(t, c.done[what], what)
	}
	for _, state := range []types.JobStatus{types.JobStatus_JOB_STATUS_CLOSED, types.JobStatus_JOB_STATUS_FAULTED} {
		require.True(t, c.seen[state.String()], state)
	}
	for state := types.EpochStatus_EPOCH_STATUS_SAMPLED; state <= types.EpochStatus_EPOCH_STATUS_VOID; state++ {
		require.True(t, c.seen[state.String()], state)
	}
	for state := types.DisputeStatus_DISPUTE_STATUS_ASKED; state <= types.DisputeStatus_DISPUTE_STATUS_AGREED; state++ {
		require.True(t, c.seen[state.String()], state)
	}
	for state := types.SampleStatus_SAMPLE_STATUS_DRAWN; state <= types.SampleStatus_SAMPLE_STATUS_ACCUSED; state++ {
		if state != types.SampleStatus_SAMPLE_STATUS_UNAUDITED { // there is always somebody here
			require.True(t, c.seen[state.String()], state)
		}
	}
}

// Whatever happens in whatever order, the books are right after every block, and in the
// end everybody has their money.
func FuzzChaos(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := newChaos(t, seed)
		for range 500 {
			c.op()
		}
		c.windDown()
	})
}

// The same messages give the same market, to the byte.
func TestChaosIsDeterministic(t *testing.T) {
	run := func() string {
		c := newChaos(t, 7)
		for range 400 {
			c.op()
		}
		g, err := c.k.ExportGenesis(c.ctx)
		require.NoError(t, err)
		return string(c.cdc.MustMarshalJSON(g))
	}
	require.Equal(t, run(), run())
}
