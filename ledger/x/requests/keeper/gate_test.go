package keeper_test

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// bodies are a task and what a worker says came of it: speech of a model, or a sight of a page.
type bodies interface {
	encode() (task, result []byte)
	units() uint64
	spelling() []byte // what evidence shows besides
}

// speech is what a model says.
type speech struct {
	task   *claim.Task
	result *claim.Result
}

// said is an answer to a request with this text.
func said(r types.Request, text string) speech {
	prompt := append([]uint32{tokenBegin}, tokensOf(" "+string(r.Prompt))...)
	out := append(tokensOf(text), tokenEnd)
	return speech{voice().Task(prompt, r.Id, r.Sampling.Speakers()), &claim.Result{Output: out, Finish: claim.Stop}}
}

func (b speech) units() uint64 {
	return terms().Units(len(b.task.Prompt), len(b.result.Output))
}

func (b speech) spelling() []byte { return spelling(b.task.Prompt, b.result.Output) }

func (b speech) encode() (task, result []byte) {
	task, err := b.task.Encode()
	if err != nil {
		panic(err)
	}
	if result, err = b.result.Encode(); err != nil {
		panic(err)
	}
	return task, result
}

// receipted is an answer that a worker signs.
type receipted struct {
	bodies
	worker string
	edit   func(*work.Receipt)
}

// gate plays the gateway of one request's job: it keeps what the gateway must be able to
// show.
type gate struct {
	w      *world
	r      types.Request
	name   string
	epochs []*batch
	total  map[string]uint64
}

type batch struct {
	list     []receipted
	receipts [][]byte
	tree     *work.Tree
}

func (w *world) gateOf(r types.Request) *gate {
	g := &gate{w: w, r: r, total: map[string]uint64{}}
	for _, name := range gateways {
		if bech(name) == r.Gateway {
			g.name = name
		}
	}
	return g
}

var gateways = []string{"gate", "door", "pier"}

// commit commits an epoch of these receipts.
func (g *gate) commit(list ...receipted) uint64 {
	g.w.t.Helper()
	m := g.plan(list...)
	must(g.w, g.w.market.CommitEpoch, m)
	return m.Number
}

func (g *gate) plan(list ...receipted) *worktypes.MsgCommitEpoch {
	g.w.t.Helper()
	b := &batch{list: list}
	var leaves []work.Node
	for _, x := range list {
		g.w.seq++
		body, result := x.encode()
		t := work.Task{Job: work.JobID(g.r.Job), Seq: g.w.seq, Spec: []byte("spec"), Body: body}
		r := work.Receipt{
			Chain: testChain, Job: t.Job, Seq: t.Seq, Attempt: 1, Task: t.Digest(), Result: work.Result{Body: result}.Digest(),
			Units: x.units(), Started: 1000, Finished: 2000,
		}
		if x.edit != nil {
			x.edit(&r)
		}
		s, err := work.SignReceipt(nodeKey(x.worker), r)
		require.NoError(g.w.t, err)
		enc, err := s.Encode()
		require.NoError(g.w.t, err)
		b.receipts = append(b.receipts, enc)
		leaves = append(leaves, work.ReceiptLeaf(enc, r.Units))
		g.total[x.worker] += r.Units
	}
	var err error
	b.tree, err = work.NewTree(leaves)
	require.NoError(g.w.t, err)
	g.epochs = append(g.epochs, b)
	var names []string
	for n := range g.total {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return nodeKey(a).Public().Compare(nodeKey(b).Public()) })
	leaves = nil
	for _, n := range names {
		leaves = append(leaves, work.PayLeaf(nodeKey(n).Public(), g.total[n]))
	}
	payTree, err := work.NewTree(leaves)
	require.NoError(g.w.t, err)
	root, pay := b.tree.Root(), payTree.Root()
	return &worktypes.MsgCommitEpoch{
		Gateway: bech(g.name), Job: g.r.Job, Number: uint64(len(g.epochs)),
		ReceiptsRoot: root.Hash[:], Receipts: root.Leaves, Units: root.Sum, PayRoot: pay.Hash[:], Workers: pay.Leaves, TotalUnits: pay.Sum,
	}
}

func (g *gate) proof(number uint64, i int) worktypes.Proof {
	g.w.t.Helper()
	p, err := g.epochs[number-1].tree.Prove(i)
	require.NoError(g.w.t, err)
	return worktypes.ProofOf(p)
}

func (g *gate) open(number uint64) {
	g.w.t.Helper()
	m := &worktypes.MsgOpenReceipts{Gateway: bech(g.name), Job: g.r.Job, Epoch: number}
	for i, s := range g.w.epoch(g.r.Job, number).Samples {
		at, err := g.epochs[number-1].tree.Find(s.Unit)
		require.NoError(g.w.t, err)
		m.Openings = append(m.Openings, worktypes.Opening{Sample: uint32(i), Receipt: g.epochs[number-1].receipts[at], Proof: g.proof(number, at)})
	}
	must(g.w, g.w.market.OpenReceipts, m)
}

// audit draws an epoch's samples, opens them, and has all auditors find this.
func (g *gate) audit(number uint64, find worktypes.Outcome) {
	g.w.t.Helper()
	g.w.next()
	g.open(number)
	c := &worktypes.MsgCommitVerdicts{Sender: bech("anybody"), Job: g.r.Job, Epoch: number}
	r := &worktypes.MsgRevealVerdicts{Sender: bech("anybody"), Job: g.r.Job, Epoch: number}
	for i, s := range g.w.epoch(g.r.Job, number).Samples {
		for _, slot := range s.Slots {
			key := work.PublicKey(slot.Auditor)
			id := work.VerdictID{Chain: testChain, Job: work.JobID(g.r.Job), Epoch: number, Sample: uint32(i), Auditor: key}
			v := work.Verdict{Outcome: work.AuditOutcome(find), Evidence: sha256.Sum256([]byte("evidence"))}
			salt := sha256.Sum256(key[:])
			digest, err := v.Commitment(id, salt)
			require.NoError(g.w.t, err)
			sig, err := nodeKey(nameOf(key)).SignCommitment(id, digest)
			require.NoError(g.w.t, err)
			c.Verdicts = append(c.Verdicts, worktypes.VerdictCommitment{Sample: uint32(i), Auditor: key[:], Commitment: digest[:], Signature: sig})
			r.Verdicts = append(r.Verdicts, worktypes.VerdictReveal{Sample: uint32(i), Auditor: key[:], Outcome: find, Evidence: v.Evidence[:], Salt: salt[:]})
		}
	}
	must(g.w, g.w.market.CommitVerdicts, c)
	must(g.w, g.w.market.RevealVerdicts, r)
}

func nameOf(key work.PublicKey) string {
	for _, op := range append([]string{"eve"}, operators...) {
		for i := range 3 {
			if n := fmt.Sprintf("%s/%d", op, i); nodeKey(n).Public() == key {
				return n
			}
		}
	}
	panic("nobody has that key")
}

const (
	pass = worktypes.Outcome_OUTCOME_PASS
	fail = worktypes.Outcome_OUTCOME_FAIL
)

// settle takes an audited epoch to its end.
func (g *gate) settle(number uint64) {
	g.w.t.Helper()
	for range 60 {
		if e := g.w.epoch(g.r.Job, number); e.Final() {
			return
		}
		g.w.next()
	}
	g.w.t.Fatalf("epoch %d of job %d did not settle: %s", number, g.r.Job, g.w.epoch(g.r.Job, number).Status)
}

// dispute claims that a receipt is false.
func (g *gate) dispute(number uint64, i int, challenger string) {
	g.w.t.Helper()
	b := g.epochs[number-1]
	task, result := b.list[i].encode()
	root := sha256.Sum256([]byte("a trace"))
	must(g.w, g.w.market.OpenDispute, &worktypes.MsgOpenDispute{
		Challenger: bech(challenger), Job: g.r.Job, Epoch: number, Receipt: b.receipts[i], Proof: g.proof(number, i),
		Task: task, Result: result, Model: []byte{1}, Root: root[:],
	})
}

// refute has an audited epoch's receipt found false: its worker does not answer a dispute.
func (g *gate) refute(number uint64, i int) {
	g.w.t.Helper()
	g.dispute(number, i, "anybody")
	g.w.skip(4)
	require.Equal(g.w.t, worktypes.SampleStatus_SAMPLE_STATUS_FALSE, g.w.epoch(g.r.Job, number).Samples[0].Status)
}

// place is a receipt of an epoch.
type place struct {
	epoch uint64
	index int
}

// evidence shows receipts; the first one's bodies are shown, and of pages the others' results.
func (g *gate) evidence(places ...place) *types.Evidence {
	g.w.t.Helper()
	e := &types.Evidence{}
	for i, p := range places {
		b := g.epochs[p.epoch-1]
		e.Testimonies = append(e.Testimonies, types.Testimony{Epoch: p.epoch, Receipt: slices.Clone(b.receipts[p.index]), Proof: g.proof(p.epoch, p.index)})
		x := b.list[p.index]
		task, result := x.encode()
		if i == 0 {
			e.Task, e.Result, e.Spelling = task, result, x.spelling()
		} else if _, page := x.bodies.(sight); page {
			e.Results = append(e.Results, result)
		}
	}
	return e
}

func (g *gate) delivery(by string, e *types.Evidence) delivery {
	g.w.t.Helper()
	raw, err := e.Marshal()
	require.NoError(g.w.t, err)
	return delivery{g.r.Id, raw, by}
}

// deliver answers the request with receipts.
func (g *gate) deliver(places ...place) types.Call {
	g.w.t.Helper()
	return must(g.w, g.w.deliver, g.delivery(g.name, g.evidence(places...)))
}

// refused has a delivery refused.
func (g *gate) refused(want error, words string, e *types.Evidence) {
	g.w.t.Helper()
	refused(g.w, want, words, g.w.deliver, g.delivery(g.name, e))
}
