package keeper_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/ledger/x/work/keeper"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// toyKind's work is to apply a step to a number so many times. Its trace is all the numbers
// on the way, its result the last one.
const toyKind = "infer/1"

const (
	toyModel = "what is shown of the model"
	toyMost  = 5000
)

func toyStep(x uint32) uint32 { return x*31 + 7 }

func toyTask(start uint32, steps uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, start), steps)
}

// toyTrace is what somebody says that the numbers are.
type toyTrace []uint32

// toyRun is a trace that goes wrong at these steps, by adding one.
func toyRun(start uint32, steps uint16, wrong ...int) toyTrace {
	t := toyTrace{start}
	for i := range wrong {
		if wrong[i] == 0 {
			t[0]++
		}
	}
	for i := 1; i <= int(steps); i++ {
		x := toyStep(t[i-1])
		for _, w := range wrong {
			if w == i {
				x++
			}
		}
		t = append(t, x)
	}
	return t
}

func (t toyTrace) bytes() []byte {
	var b []byte
	for _, x := range t {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

func (t toyTrace) result() []byte { return t[len(t)-1:].bytes() }

// node is the hash of a node of the trace.
func (t toyTrace) node(level uint32, i uint64) []byte {
	size := uint64(1) << (4 * level)
	var leaves []merkle.Digest
	for _, x := range t[i*size : min((i+1)*size, uint64(len(t)))] {
		leaves = append(leaves, merkle.Leaf(binary.BigEndian.AppendUint32(nil, x)))
	}
	d := merkle.Root(leaves)
	return d[:]
}

func (t toyTrace) levels() uint32 { return types.Levels(uint64(len(t))) }

func (t toyTrace) root() []byte { return t.node(t.levels(), 0) }

func (t toyTrace) children(level uint32, i uint64) [][]byte {
	var list [][]byte
	size := uint64(1) << (4 * (level - 1))
	for c := i * types.Ways; c < (i+1)*types.Ways && c*size < uint64(len(t)); c++ {
		list = append(list, t.node(level-1, c))
	}
	return list
}

type toyReferee struct{}

type toyCase struct {
	start  uint32
	steps  uint16
	result []byte
}

func (toyReferee) Case(task, result, model []byte) (keeper.Case, error) {
	if len(task) != 6 || string(model) != toyModel {
		return nil, errors.New("no task of this kind, or another model")
	}
	c := toyCase{binary.BigEndian.Uint32(task), binary.BigEndian.Uint16(task[4:]), result}
	if c.steps > toyMost {
		return nil, errors.New("too many steps")
	}
	if len(result) != 4 {
		return nil, fmt.Errorf("%w: %d bytes", keeper.ErrFalse, len(result))
	}
	return c, nil
}

func (c toyCase) Leaves() uint64                 { return uint64(c.steps) + 1 }
func (c toyCase) Describe(leaf uint64) string    { return fmt.Sprintf("step %d", leaf) }
func (c toyCase) Gas(leaf uint64) uint64         { return 1000 + leaf }
func (c toyCase) ContradictionGas(uint64) uint64 { return 2000 }
func toyNumbers(b []byte) toyTrace               { return toyTrace(nil).append(b) }
func (t toyTrace) append(b []byte) toyTrace {
	for ; len(b) >= 4; b = b[4:] {
		t = append(t, binary.BigEndian.Uint32(b))
	}
	return t
}

// Decide is shown all numbers before the step.
func (c toyCase) Decide(leaf uint64, agreed [][]merkle.Digest, worker, challenger merkle.Digest, opening []byte) (keeper.Ruling, error) {
	before := toyNumbers(opening)
	if uint64(len(before)) != leaf {
		return keeper.Ruling{}, fmt.Errorf("%d numbers before step %d", len(before), leaf)
	}
	var at uint64 // the first step that is not under a node that was looked at
	for i, list := range agreed {
		level := uint32(len(agreed) - 1 - i)
		for _, h := range list {
			if string(before.node(level, at>>(4*level))) != string(h[:]) {
				return keeper.Ruling{}, errors.New("not the numbers that the parties agree on")
			}
			at += 1 << (4 * level)
		}
	}
	if at != leaf {
		return keeper.Ruling{}, fmt.Errorf("the parties agree on %d steps, not on %d", at, leaf)
	}
	x := c.start
	if leaf > 0 {
		x = toyStep(before[leaf-1])
	}
	right := merkle.Leaf(binary.BigEndian.AppendUint32(nil, x))
	return keeper.Ruling{Worker: worker == right, Challenger: challenger == right}, nil
}

// Contradicts is shown all numbers.
func (c toyCase) Contradicts(root merkle.Digest, position uint64, opening []byte) error {
	t := toyNumbers(opening)
	if len(t) != int(c.steps)+1 || position != 0 || string(t.root()) != string(root[:]) {
		return errors.New("not this trace")
	}
	if string(t.result()) == string(c.result) {
		return errors.New("the trace gives this result")
	}
	return nil
}

// arena is a crew whose gateway has a job of a refereed kind. Each task has so many steps;
// results are what the traces of whoever does them give.
type arena struct {
	*world
	*gate
	steps  uint16
	traces map[uint64]toyTrace // of the workers, by task; honest where there is none
	result map[uint64][]byte   // where it is not the trace's
}

func (a *arena) honest(seq uint64) toyTrace { return toyRun(uint32(seq), a.steps) }

func (a *arena) trace(seq uint64) toyTrace {
	if t, ok := a.traces[seq]; ok {
		return t
	}
	return a.honest(seq)
}

func newArena(t testing.TB, steps uint16, edit ...func(*types.MsgOpenJob)) *arena {
	return arenaIn(crew(t, func(p *types.Params) { p.RefereedKinds = []string{kindName} }), steps, edit...)
}

func arenaIn(w *world, steps uint16, edit ...func(*types.MsgOpenJob)) *arena {
	for _, op := range []string{"ada", "bob", "cyd", "dan"} {
		w.fund(op, 100)
	}
	a := &arena{world: w, steps: steps, traces: map[uint64]toyTrace{}, result: map[uint64][]byte{}}
	a.gate = w.openJob("buyer", "gate", edit...)
	a.gate.bodies = func(seq uint64) ([]byte, []byte) {
		if r, ok := a.result[seq]; ok {
			return toyTask(uint32(seq), a.steps), r
		}
		return toyTask(uint32(seq), a.steps), a.trace(seq).result()
	}
	return a
}

// decided commits an epoch of these tasks and has its auditors say what they find.
func (a *arena) decided(find finding, tasks ...task) uint64 {
	a.t.Helper()
	n := a.commit(tasks...)
	a.next()
	a.audit(n, find)
	require.Equal(a.t, types.EpochStatus_EPOCH_STATUS_DECIDED, a.epoch(n).Status)
	return n
}

func (a *arena) epoch(n uint64) types.Epoch { return a.world.epoch(a.gate.job, n) }

// opening disputes the i-th receipt of an epoch with a trace.
func (a *arena) dispute(challenger string, number uint64, i int, t toyTrace) *types.MsgOpenDispute {
	a.t.Helper()
	b := a.epochs[number-1]
	s, err := work.DecodeReceipt(b.receipts[i])
	require.NoError(a.t, err)
	task, result := a.bodies(s.Receipt.Seq)
	return &types.MsgOpenDispute{Challenger: bech(challenger), Job: a.gate.job, Epoch: number, Receipt: b.receipts[i], Proof: a.proof(b.tree, i),
		Task: task, Result: result, Model: []byte(toyModel), Root: t.root()}
}

func (w *world) dispute(id uint64) types.Dispute {
	w.t.Helper()
	r, err := w.query.Dispute(w.ctx, &types.QueryDisputeRequest{Id: id})
	require.NoError(w.t, err)
	return r.Dispute
}

// answer names a worker's trace.
func (w *world) answer(id uint64, worker string, t toyTrace) *types.MsgAnswerDispute {
	w.t.Helper()
	sig, err := nodeKey(worker).SignTrace(work.TraceID{Chain: testChain, Dispute: id}, [32]byte(t.root()))
	require.NoError(w.t, err)
	return &types.MsgAnswerDispute{Sender: bech("anybody"), Dispute: id, Root: t.root(), Signature: sig}
}

// descend shows the children of the node where a dispute is.
func (w *world) descend(id uint64, t toyTrace) *types.MsgDescend {
	w.t.Helper()
	d := w.dispute(id)
	return &types.MsgDescend{Sender: bech("anybody"), Dispute: id, Level: d.Level, Node: d.Node, Children: t.children(d.Level, d.Node)}
}

// down plays an answered dispute down to its step.
func (w *world) down(id uint64, worker, challenger toyTrace) types.Dispute {
	w.t.Helper()
	for w.dispute(id).Status == types.DisputeStatus_DISPUTE_STATUS_DESCENDING {
		one := w.descend(id, worker)
		must(w, w.msg.Descend, w.descend(id, challenger))
		must(w, w.msg.Descend, one)
	}
	return w.dispute(id)
}

// deciding opens the step where a dispute is, from a trace that both agree with up to it.
func (w *world) deciding(id uint64, t toyTrace) *types.MsgDecide {
	w.t.Helper()
	return &types.MsgDecide{Sender: bech("anybody"), Dispute: id, Opening: append(t[:w.dispute(id).Node].bytes(), zeroStep(w.dispute(id).Node)...)}
}

// zeroStep makes the opening of step 0, before which there is nothing, not empty.
func zeroStep(step uint64) []byte {
	if step == 0 {
		return []byte{0}
	}
	return nil
}
