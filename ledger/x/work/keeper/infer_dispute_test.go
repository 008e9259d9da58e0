package keeper_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/exact/trace"
	"github.com/cantus-network/cantus/ledger/x/work/referees"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// noise makes the weights of a model of nothing. A liar's is the same but for one layer.
type noise struct {
	c   *model.Config
	lie int // the layer of which the liar has other weights; -1 for none
}

func (n *noise) rng(part model.Part, layer int) *rand.Rand {
	lie := layer == n.lie && part == model.Down
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, part, layer, lie))))
}

func (n *noise) slot(part model.Part, layer int, kind modelfile.Kind) modelfile.Slot {
	for _, s := range modelfile.Slots(n.c) {
		if s.Part == part && s.Layer == layer && s.Kind == kind {
			return s
		}
	}
	panic("no such part")
}

func (n *noise) Matrix(part model.Part, layer int) (model.Tensor, error) {
	s, r := n.slot(part, layer, modelfile.Matrix), n.rng(part, layer)
	t := model.Tensor{W: make([]int8, s.Rows*s.Cols), Scales: make([]exact.Scale, s.Rows)}
	for i := range t.W {
		t.W[i] = int8(r.IntN(255) - 127)
	}
	den := uint64(127 * 150)
	if part != model.Embedding {
		den = 127 * 50 * uint64(exact.Sqrt(uint64(s.Cols)))
	}
	for i := range t.Scales {
		t.Scales[i], _ = exact.NewScale(100+r.Uint64N(100), den, 0)
	}
	return t, nil
}

func (n *noise) Gain(part model.Part, layer int) (exact.Gain, error) {
	g, r := exact.Gain{M: make([]int32, n.slot(part, layer, modelfile.Gain).Cols), Exp: -23}, n.rng(part, layer)
	for i := range g.M {
		g.M[i] = 1<<22 + r.Int32N(1<<23)
	}
	return g, nil
}

func (n *noise) Bias(part model.Part, layer int) ([]int32, error) {
	return make([]int32, n.slot(part, layer, modelfile.Bias).Cols), nil
}

// mind is a model and its file.
type mind struct {
	*model.Model
	file []byte
}

func newMind(t testing.TB, file []byte) *mind {
	m, err := model.Load(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return &mind{m, file}
}

func noisy(t testing.TB, lie int) *mind {
	c := &model.Config{Name: "noise", Vocab: 61, Dim: 48, Hidden: 72, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 12, Context: 512,
		RotaryPairs: 6, Eps: 42950, Score: 0x3ed53cbb}
	freq := make([]uint64, c.RotaryPairs)
	for i := range freq {
		freq[i] = 0x28be60db9391054a >> (2 * i)
	}
	var b bytes.Buffer
	_, err := model.Write(&b, c, freq, []byte("none"), &noise{c, lie})
	require.NoError(t, err)
	return newMind(t, b.Bytes())
}

// trained is a model of 260,000 parameters that lies beside the checkout, and the same with
// one weight changed.
func trained(t testing.TB) (right, wrong *mind) {
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../../../shared/models"
	}
	src, err := os.ReadFile(filepath.Join(dir, "stories260K", "stories260K.gguf"))
	if err != nil {
		t.Skipf("the trained test model is not here (CANTUS_TEST_MODELS names its folder): %v", err)
	}
	var out bytes.Buffer
	_, err = convert.FromGGUF(&out, bytes.NewReader(src), int64(len(src)), convert.Options{Context: 512})
	require.NoError(t, err)
	right = newMind(t, out.Bytes())
	layout, err := modelfile.NewLayout(&right.Config, int64(len(right.Tokenizer)))
	require.NoError(t, err)
	row, _, err := layout.Rows(model.Down, 3, 5, 1)
	require.NoError(t, err)
	file := bytes.Clone(right.file)
	file[row.Offset+2] ^= 64
	return right, newMind(t, file)
}

func (m *mind) task(prompt, n int) *claim.Task {
	r := rand.New(rand.NewPCG(1, 2))
	t := &claim.Task{Model: m.Root, MaxTokens: uint32(n), LogProbs: true, Top: 2,
		Sampling: exact.Sampling{Seed: [32]byte{4}, Temperature: 1_000_000, TopK: 20, TopP: 900_000}}
	for range prompt {
		t.Prompt = append(t.Prompt, r.Uint32N(uint32(m.Vocab)))
	}
	return t
}

func (m *mind) answer(t testing.TB, q *claim.Task) *claim.Result {
	run := model.NewRunner(m.Model, kernel.Best(), 2)
	e := model.NewEngine(m.Model, run, model.Limits{Pages: 64, Active: 1, Waiting: 1, Rows: 64})
	defer e.Close()
	out := &claim.Result{Finish: claim.Length}
	for token, err := range e.Generate(t.Context(), model.Request{Prompt: q.Prompt, MaxTokens: int(q.MaxTokens), Sampling: q.Sampling, Stop: q.Stop, Top: int(q.Top)}) {
		require.NoError(t, err)
		out.Output, out.LogProbs = append(out.Output, token.ID), append(out.LogProbs, token.LogProb)
		for _, a := range token.Top {
			out.Top = append(out.Top, claim.Alternative{ID: a.ID, LogProb: a.LogProb})
		}
	}
	require.NoError(t, out.Check(q))
	return out
}

// tracer is what this model makes of an answer; a liar says that it is the task's model.
func (m *mind) tracer(t testing.TB, q claim.Task, r *claim.Result) *trace.Tracer {
	q.Model = m.Root
	x, err := trace.New(m.Model, bytes.NewReader(m.file), int64(len(m.file)), &q, r, 2)
	require.NoError(t, err)
	t.Cleanup(x.Close)
	return x
}

// trial is a dispute about one answer, by messages.
type trial struct {
	*arena
	number uint64 // of the epoch
	gas    uint64 // of the dearest message
	all    uint64 // of all messages
}

func newTrial(t testing.TB, q *claim.Task, r *claim.Result, find finding) *trial {
	w := crew(t, func(p *types.Params) { p.RefereedKinds = []string{toyKind} })
	referees.Set(w.k)
	for _, op := range []string{"ada", "bob", "cyd", "dan"} {
		for i := range 2 {
			must(w, w.msg.UpdateWorker, &types.MsgUpdateWorker{Operator: bech(op), Key: pub(op + "/" + string('0'+rune(i))), Kinds: []string{toyKind}})
		}
	}
	w.next()
	a := arenaIn(w, 1, func(m *types.MsgOpenJob) { m.Kind = toyKind })
	body, err := q.Encode()
	require.NoError(t, err)
	result, err := r.Encode()
	require.NoError(t, err)
	a.bodies = func(uint64) ([]byte, []byte) { return body, result }
	return &trial{arena: a, number: a.decided(find, task{"ada/0", 1, 10})}
}

// did adds up the gas of one message.
func (x *trial) did(f func()) {
	m := storetypes.NewInfiniteGasMeter()
	x.ctx = x.ctx.WithGasMeter(m)
	f()
	x.gas, x.all = max(x.gas, m.GasConsumed()), x.all+m.GasConsumed()
}

// open disputes the answer with a party's trace; head is who shows the model's file.
func (x *trial) open(challenger string, c, head *trace.Tracer) uint64 {
	root, err := c.Root(x.t.Context())
	require.NoError(x.t, err)
	shown, err := head.Head()
	require.NoError(x.t, err)
	m := x.dispute(challenger, x.number, 0, toyTrace{0})
	m.Root, m.Model = root[:], shown
	var id uint64
	x.did(func() { id = must(x.world, x.msg.OpenDispute, m).Dispute })
	return id
}

func (x *trial) answerWith(id uint64, c *trace.Tracer) {
	root, err := c.Root(x.t.Context())
	require.NoError(x.t, err)
	sig, err := nodeKey("ada/0").SignTrace(work.TraceID{Chain: testChain, Dispute: id}, root)
	require.NoError(x.t, err)
	x.did(func() {
		must(x.world, x.msg.AnswerDispute, &types.MsgAnswerDispute{Sender: bech("anybody"), Dispute: id, Root: root[:], Signature: sig})
	})
}

// play has both parties go down to the step.
func (x *trial) play(id uint64, parties ...*trace.Tracer) types.Dispute {
	for {
		d := x.world.dispute(id)
		if d.Status != types.DisputeStatus_DISPUTE_STATUS_DESCENDING {
			return d
		}
		for _, p := range parties {
			list, err := p.Children(x.t.Context(), referee.Node{Level: int(d.Level), Index: d.Node})
			require.NoError(x.t, err)
			m := &types.MsgDescend{Sender: bech("anybody"), Dispute: id, Level: d.Level, Node: d.Node}
			for _, c := range list {
				m.Children = append(m.Children, c[:])
			}
			x.did(func() { must(x.world, x.msg.Descend, m) })
		}
	}
}

// decideWith opens the step and reports what the whole dispute took.
func (x *trial) decideWith(id uint64, c *trace.Tracer) {
	d := x.world.dispute(id)
	opening, err := c.Open(x.t.Context(), d.Node)
	require.NoError(x.t, err)
	m := &types.MsgDecide{Sender: bech("anybody"), Dispute: id, Opening: bytes.Clone(opening)}
	m.Opening[len(opening)/2] ^= 1
	_, err = send(x.world, x.msg.Decide, m)
	require.ErrorIs(x.t, err, types.ErrDispute, "an altered opening shows nothing")
	m.Opening = opening
	began := time.Now()
	x.did(func() { must(x.world, x.msg.Decide, m) })
	took := time.Since(began)
	d = x.world.dispute(id)
	x.t.Logf("%d steps, %d rounds, %d bytes in all, %d in the opening, %d gas, %d for the dearest message, %s to decide; %s",
		d.Leaves, d.Rounds, d.Bytes, len(opening), x.all, x.gas, took, d.Reason)
}

// Answers of real models, disputed to the end: a worker that computes with another model, or
// alters what it says, is convicted; one that is right is not, whatever it is accused of.
func TestInferenceDisputes(t *testing.T) {
	for name, models := range map[string]func(t testing.TB) (right, wrong *mind){
		"noise":   func(t testing.TB) (*mind, *mind) { return noisy(t, -1), noisy(t, 1) },
		"trained": trained,
	} {
		t.Run(name, func(t *testing.T) {
			right, wrong := models(t)
			q := right.task(20, 40)
			good := right.answer(t, q)
			bad := wrong.answer(t, &claim.Task{Model: wrong.Root, Prompt: q.Prompt, MaxTokens: q.MaxTokens, LogProbs: true, Top: 2, Sampling: q.Sampling})
			require.NotEqual(t, good, bad)

			t.Run("another model", func(t *testing.T) {
				x := newTrial(t, q, bad, liar)
				honest, cheat := right.tracer(t, *q, bad), wrong.tracer(t, *q, bad)
				who := x.accuser(x.number)
				id := x.open(who, honest, honest)
				x.answerWith(id, cheat)
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_DECIDING, x.play(id, cheat, honest).Status)
				x.decideWith(id, honest)
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, x.world.dispute(id).Status)
				require.Equal(t, notes(50), x.worker("ada/0").Bond)
				x.next()
			})
			t.Run("accused falsely", func(t *testing.T) {
				x := newTrial(t, q, good, honest)
				mine, accuser := right.tracer(t, *q, good), wrong.tracer(t, *q, good)
				id := x.open("anybody", accuser, mine)
				x.answerWith(id, mine)
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_DECIDING, x.play(id, mine, accuser).Status)
				x.decideWith(id, mine)
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_LOST, x.world.dispute(id).Status)
				require.Equal(t, notes(100), x.worker("ada/0").Bond)
				x.skip(21)
				require.Equal(t, "replayed", x.epoch(x.number).Label)
			})
			t.Run("one token changed", func(t *testing.T) {
				lie := *good
				lie.Output = append([]uint32(nil), good.Output...)
				lie.Output[30] = (lie.Output[30] + 1) % uint32(right.Vocab)
				x := newTrial(t, q, &lie, liar)
				mine := right.tracer(t, *q, &lie)
				id := x.open("anybody", mine, mine)
				x.answerWith(id, right.tracer(t, *q, &lie))
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_AGREED, x.world.dispute(id).Status)
				position, opening, found, err := mine.Contradiction(t.Context())
				require.NoError(t, err)
				require.True(t, found)
				x.did(func() {
					must(x.world, x.msg.Contradict, &types.MsgContradict{Sender: bech("anybody"), Dispute: id, Position: uint64(position), Opening: opening})
				})
				d := x.world.dispute(id)
				t.Logf("%d steps, %d bytes in all, %d in the opening, %d gas; %s", d.Leaves, d.Bytes, len(opening), x.all, d.Reason)
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, d.Status)
				x.next()
			})
			t.Run("an answer of another form", func(t *testing.T) {
				lie := *good
				lie.Output, lie.LogProbs, lie.Top = lie.Output[:9], lie.LogProbs[:9], lie.Top[:18] // and not by its end
				x := newTrial(t, q, &lie, liar)
				id := x.open("anybody", right.tracer(t, *q, good), right.tracer(t, *q, good))
				require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_WON, x.world.dispute(id).Status)
				x.next()
			})
		})
	}
}
