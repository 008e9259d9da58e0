package keeper_test

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

var chaosCells = []string{"a", "b"}

// actor is who sends for a job's gateway: mostly itself or the cell's account, seldom
// another.
func (c *chaos) actor(g *gate) string {
	switch {
	case c.chance(2):
		return bech(g.name + "/other")
	case g.cell != "" && c.chance(60):
		return bech(g.name + "/" + g.cell)
	}
	return bech(g.name)
}

func (c *chaos) setCells() {
	gw := pick(c, chaosGateways)
	var cells []types.Cell
	for _, name := range chaosCells {
		if c.chance(70) {
			cells = append(cells, cell(name, gw+"/"+name))
		}
	}
	try(c, "set cells", bind(c, c.msg.SetCells), setCells(gw, cells...))
}

func (c *chaos) showPlants() {
	for range 4 {
		if g := c.anyGate(); g != nil {
			c.show(g)
		}
	}
}

// show shows the plants of what is decided, sometimes not all, sometimes not at all.
func (c *chaos) show(g *gate) {
	g.pending(func(e types.Epoch) {
		if !e.OwesPlants() || c.chance(5) {
			return
		}
		m := g.reveal(e.Number)
		m.Gateway = c.actor(g)
		if c.chance(5) && len(m.Plants) > 0 {
			m.Plants = slices.Delete(m.Plants, 0, 1)
		}
		try(c, "reveal plants", bind(c, c.msg.RevealPlants), m)
	}, types.EpochStatus_EPOCH_STATUS_DECIDED)
}

// chaosGame is what the parties of a dispute say that the numbers are.
type chaosGame struct{ worker, challenger, right toyTrace }

const chaosSteps = 40

// chaosRun is the trace of whoever does a task: some do some of them wrongly.
func chaosRun(seq uint64) toyTrace {
	if seq%5 == 0 {
		return toyRun(uint32(seq), chaosSteps, int(seq)%chaosSteps)
	}
	return toyRun(uint32(seq), chaosSteps)
}

func chaosBodies(seq uint64) (task, result []byte) {
	task, result = toyTask(uint32(seq), chaosSteps), chaosRun(seq).result()
	switch {
	case seq%7 == 0:
		result = []byte{1, 2, 3, 4}
	case seq%23 == 0:
		result = []byte("nonsense")
	}
	return task, result
}

// disputeReceipts opens disputes about whatever receipts, rightly or not, and has the
// parties of those that are open do something, or nothing, or what they may not.
func (c *chaos) disputeReceipts() {
	for _, g := range c.gates[max(0, len(c.gates)-12):] {
		if g.bodies == nil {
			continue
		}
		g.pending(func(e types.Epoch) {
			for range c.r.IntN(3) {
				c.openDispute(g, e.Number)
			}
		}, types.EpochStatus_EPOCH_STATUS_DECIDED)
	}
	list, err := c.query.Disputes(c.ctx, &types.QueryDisputesRequest{Open: true})
	require.NoError(c.t, err)
	for _, d := range list.Disputes {
		for range 1 + c.r.IntN(4) {
			c.move(d.Id)
		}
	}
}

func (c *chaos) openDispute(g *gate, number uint64) {
	b := g.epochs[number-1]
	i := c.r.IntN(len(b.receipts))
	s, err := work.DecodeReceipt(b.receipts[i])
	require.NoError(c.t, err)
	seq := s.Receipt.Seq
	task, result := chaosBodies(seq)
	game := &chaosGame{worker: chaosRun(seq), right: toyRun(uint32(seq), chaosSteps)}
	game.challenger = game.right
	if c.chance(40) {
		game.challenger = toyRun(uint32(seq), chaosSteps, c.r.IntN(chaosSteps))
	}
	if c.chance(15) {
		game.worker = toyRun(uint32(seq), chaosSteps, c.r.IntN(chaosSteps))
	}
	m := &types.MsgOpenDispute{Challenger: bech(pick(c, append(chaosOperators, "anybody"))), Job: g.job, Epoch: number, Receipt: b.receipts[i], Proof: g.proof(b.tree, i),
		Task: task, Result: result, Model: []byte(toyModel), Root: game.challenger.root()}
	if at := c.epoch(g.job, number).SampleAt(uint64(i)); at >= 0 && c.chance(50) {
		m.Receipt, m.Proof, m.Sample = nil, types.Proof{}, uint32(at)
	}
	r, err := send(c.world, c.msg.OpenDispute, m)
	if err != nil {
		try(c, "open dispute", bind(c, c.msg.OpenDispute), m)
		return
	}
	c.done["open dispute"]++
	c.games[r.Dispute] = game
}

func (c *chaos) move(id uint64) {
	d, game := c.world.dispute(id), c.games[id]
	c.seen[d.Status.String()] = true
	if c.chance(10) {
		return // silent for now
	}
	switch d.Status {
	case types.DisputeStatus_DISPUTE_STATUS_ASKED:
		try(c, "answer dispute", bind(c, c.msg.AnswerDispute), c.answer(id, nameOf(work.PublicKey(d.Worker)), game.worker))
	case types.DisputeStatus_DISPUTE_STATUS_DESCENDING:
		try(c, "descend", bind(c, c.msg.Descend), c.descend(id, pick(c, []toyTrace{game.worker, game.challenger, game.worker, game.challenger, game.right})))
	case types.DisputeStatus_DISPUTE_STATUS_DECIDING:
		try(c, "decide", bind(c, c.msg.Decide), c.deciding(id, pick(c, []toyTrace{game.worker, game.challenger, game.right})))
	case types.DisputeStatus_DISPUTE_STATUS_AGREED:
		try(c, "contradict", bind(c, c.msg.Contradict), &types.MsgContradict{Sender: bech("anybody"), Dispute: id, Opening: game.worker.bytes()})
	}
}
