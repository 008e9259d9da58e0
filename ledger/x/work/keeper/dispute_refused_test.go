package keeper_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

func TestOpenDisputeRefuses(t *testing.T) {
	a := newArena(t, 300, func(m *types.MsgOpenJob) { m.AuditBps = 100 })
	early := a.commit(task{"bob/0", 9, 10})
	refused(a.world, types.ErrState, "until it settles", a.msg.OpenDispute, a.dispute("anybody", early, 0, a.honest(9)))
	a.next()
	a.audit(early, honest)
	n := a.decided(honest, task{"ada/0", 1, 1000}, task{"bob/0", 2, 1})
	for _, c := range []struct {
		name  string
		edit  func(*types.MsgOpenDispute)
		err   error
		words string
	}{
		{"no job", func(m *types.MsgOpenDispute) { m.Job = 77 }, types.ErrNotFound, "no job 77"},
		{"no epoch", func(m *types.MsgOpenDispute) { m.Epoch = 77 }, types.ErrNotFound, "no epoch 77"},
		{"another epoch's", func(m *types.MsgOpenDispute) { m.Epoch = early }, types.ErrProof, "does not verify"},
		{"no sample", func(m *types.MsgOpenDispute) { m.Receipt, m.Sample = nil, 7 }, types.ErrNotFound, "no sample 7"},
		{"a receipt and a sample", func(m *types.MsgOpenDispute) { m.Sample = 7 }, types.ErrInvalid, "not both"},
		{"another place", func(m *types.MsgOpenDispute) { m.Proof.Index = 1 }, types.ErrProof, "does not verify"},
		{"another task", func(m *types.MsgOpenDispute) { m.Task = toyTask(5, 300) }, types.ErrReceipt, "the task's body"},
		{"another result", func(m *types.MsgOpenDispute) { m.Result = toyRun(5, 300).result() }, types.ErrReceipt, "the result's body"},
		{"a huge result", func(m *types.MsgOpenDispute) { m.Result = make([]byte, types.MaxDisputed+1) }, types.ErrInvalid, "at most"},
		{"a huge model", func(m *types.MsgOpenDispute) { m.Model = make([]byte, types.MaxOpening+1) }, types.ErrInvalid, "at most"},
		{"another model", func(m *types.MsgOpenDispute) { m.Model = nil }, types.ErrDispute, "another model"},
		{"no root", func(m *types.MsgOpenDispute) { m.Root = nil }, types.ErrInvalid, "root of the trace"},
		{"a pauper", func(m *types.MsgOpenDispute) { m.Challenger = bech("pauper") }, nil, "insufficient funds"},
		{"a module's account", func(m *types.MsgOpenDispute) { m.Challenger = modAddr(types.BondsAccount).String() }, types.ErrUnauthorized, "can't be paid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := a.dispute("anybody", n, 0, a.honest(1))
			c.edit(m)
			_, err := send(a.world, a.msg.OpenDispute, m)
			require.ErrorContains(t, err, c.words)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
		})
	}
	must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1)))
	refused(a.world, types.ErrExists, "dispute 1", a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1)))
	a.skip(a.epoch(n).DisputeUntil - a.height())
	refused(a.world, types.ErrDeadline, "could be disputed below", a.msg.OpenDispute, a.dispute("buyer", n, 0, a.honest(1)))
	require.Equal(t, types.EpochStatus_EPOCH_STATUS_SETTLED, a.epoch(early).Status)
	refused(a.world, types.ErrState, "SETTLED", a.msg.OpenDispute, a.dispute("buyer", early, 0, a.honest(9)))

	// A kind that is not refereed.
	w := crew(t)
	b := arenaIn(w, 300)
	n = b.decided(honest, task{"ada/0", 1, 10})
	refused(w, types.ErrState, "its auditors decide", b.msg.OpenDispute, b.dispute("anybody", n, 0, b.honest(1)))
}

func TestMovesRefused(t *testing.T) {
	a := newArena(t, 300)
	a.traces[1] = toyRun(1, 300, 40)
	n := a.decided(liar, task{"ada/0", 1, 10})
	id := must(a.world, a.msg.OpenDispute, a.dispute("anybody", n, 0, a.honest(1))).Dispute
	refused(a.world, types.ErrState, "ASKED", a.msg.Descend, a.descend(id, a.trace(1)))
	refused(a.world, types.ErrState, "not at a step", a.msg.Decide, &types.MsgDecide{Sender: bech("anybody"), Dispute: id, Opening: []byte{1}})

	answer := a.answer(id, "ada/0", a.trace(1))
	for name, edit := range map[string]func(*types.MsgAnswerDispute){
		"another key's": func(m *types.MsgAnswerDispute) { m.Signature = a.answer(id, "bob/0", a.trace(1)).Signature },
		"another dispute's": func(m *types.MsgAnswerDispute) {
			m.Signature = a.answer(id+1, "ada/0", a.trace(1)).Signature
		},
		"another root's": func(m *types.MsgAnswerDispute) { m.Root = a.honest(1).root() },
		"none, and not from the operator": func(m *types.MsgAnswerDispute) {
			m.Signature = nil
		},
	} {
		m := *answer
		edit(&m)
		refused(a.world, types.ErrUnauthorized, "must sign", a.msg.AnswerDispute, &m)
		require.NotEmpty(t, name)
	}
	m := *answer
	m.Sender, m.Signature = bech("ada"), nil // the operator needs no signature
	must(a.world, a.msg.AnswerDispute, &m)
	must(a.world, a.msg.AnswerDispute, answer) // carried twice
	refused(a.world, types.ErrState, "named another trace", a.msg.AnswerDispute, a.answer(id, "ada/0", a.honest(1)))

	good := a.descend(id, a.trace(1))
	bad := *good
	bad.Children = slices.Clone(good.Children)
	bad.Children[1] = a.honest(1).children(2, 0)[0]
	refused(a.world, types.ErrDispute, "the worker committed to", a.msg.Descend, &bad)
	bad.Children = good.Children[:1]
	refused(a.world, types.ErrDispute, "has 2", a.msg.Descend, &bad)
	bad.Children = slices.Repeat(good.Children, 9)
	refused(a.world, types.ErrInvalid, "at most 16", a.msg.Descend, &bad)
	bad.Children = [][]byte{{1}, {2}}
	refused(a.world, types.ErrInvalid, "want 32", a.msg.Descend, &bad)
	bad = *good
	bad.Node = 1
	refused(a.world, types.ErrState, "is at node 0", a.msg.Descend, &bad)
	bad = *good
	bad.Dispute = 99
	refused(a.world, types.ErrNotFound, "no dispute 99", a.msg.Descend, &bad)
	must(a.world, a.msg.Descend, good)
	size := a.world.dispute(id).Bytes
	must(a.world, a.msg.Descend, good) // carried twice
	require.Equal(t, size, a.world.dispute(id).Bytes)
	must(a.world, a.msg.Descend, a.descend(id, a.honest(1)))
	refused(a.world, types.ErrState, "is at node", a.msg.Descend, good) // of a level that is behind
	a.down(id, a.trace(1), a.honest(1))

	open := a.deciding(id, a.honest(1))
	wrong := *open
	wrong.Opening = toyRun(1, 300, 3)[:40].bytes()
	refused(a.world, types.ErrDispute, "agree on", a.msg.Decide, &wrong)
	wrong.Opening = open.Opening[:8]
	refused(a.world, types.ErrDispute, "numbers before", a.msg.Decide, &wrong)
	wrong.Opening = make([]byte, types.MaxOpening+1)
	refused(a.world, types.ErrInvalid, "want 1 to", a.msg.Decide, &wrong)
	p, err := a.k.Params(a.ctx)
	require.NoError(t, err)
	p.MaxOpeningBytes = 100
	must(a.world, a.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	refused(a.world, types.ErrInvalid, "at most 100", a.msg.Decide, open)
	p.MaxOpeningBytes = 200
	must(a.world, a.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	p.RefereedKinds = []string{"paint/1"}
	refused(a.world, types.ErrInvalid, "no referee", a.msg.UpdateParams, &types.MsgUpdateParams{Authority: authority(), Params: p})
	must(a.world, a.msg.Decide, open)
	refused(a.world, types.ErrState, "is over", a.msg.Decide, open)
	a.next()
}
