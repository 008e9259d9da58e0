package infer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/work"
)

// answered has a worker answer a question.
func answered(t *testing.T, w *world, worker *infer.Kind, q claim.Task) (work.Task, *claim.Result) {
	w.mustAsk(w.mint(nil), q)
	task := w.one()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	res, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	return task, res
}

func encoded(t *testing.T, r *claim.Result) work.Result {
	b, err := r.Encode()
	require.NoError(t, err)
	return work.Result{Body: b}
}

// What a worker shows of its answers in a dispute is what the ledger's referee goes by, from
// the root to the opening of a step; a false answer contradicts its own trace.
func TestTracesAreTheReferees(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	task, res := answered(t, w, worker, question(1, 6))
	right := encoded(t, res)

	tr, err := worker.Trace(t.Context(), work.Task{Job: 1, Seq: task.Seq, Body: task.Body}, right)
	require.NoError(t, err)
	head, err := tr.Head(t.Context())
	require.NoError(t, err)
	c, err := claim.DecodeTask(task.Body)
	require.NoError(t, err)
	opened, err := modelfile.OpenHead(c.Model, head)
	require.NoError(t, err)
	rule, err := referee.NewCase(opened, c, res)
	require.NoError(t, err)
	_, _, found, err := tr.Contradiction(t.Context())
	require.NoError(t, err)
	require.False(t, found)

	// Down to a step somewhere in the middle, of which the other party says something else.
	parent, err := tr.Root(t.Context())
	require.NoError(t, err)
	leaf := rule.Leaves() * 2 / 3
	var agreed [][]referee.Digest
	for level := rule.Levels(); level > 0; level-- {
		list, err := tr.Children(t.Context(), uint32(level), leaf>>(4*level))
		require.NoError(t, err)
		hashes := make([]referee.Digest, len(list))
		for i, h := range list {
			hashes[i] = referee.Digest(h)
		}
		require.Equal(t, parent, artifact.Digest(referee.Parent(hashes)))
		i := leaf >> (4 * (level - 1)) & 15
		agreed, parent = append(agreed, hashes[:i]), list[i]
	}
	opening, err := tr.Open(t.Context(), leaf)
	require.NoError(t, err)
	ruling, err := rule.Decide(leaf, agreed, referee.Digest(parent), referee.Digest{1}, opening)
	require.NoError(t, err)
	require.True(t, ruling.Worker)
	require.False(t, ruling.Challenger)
	tr.Close()

	// A false answer.
	res.Output[3] ^= 1
	wrong := encoded(t, res)
	tr, err = worker.Trace(t.Context(), task, wrong)
	require.NoError(t, err)
	defer tr.Close()
	position, opening, found, err := tr.Contradiction(t.Context())
	require.NoError(t, err)
	require.True(t, found)
	root, err := tr.Root(t.Context())
	require.NoError(t, err)
	rule, err = referee.NewCase(opened, c, res)
	require.NoError(t, err)
	require.NoError(t, rule.Contradicts(referee.Digest(root), int(position), opening))
}

// A result that no computation gives has no trace; the model can be shown all the same.
func TestAbsurdResultsHaveNoTrace(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	task, res := answered(t, w, worker, question(1, 6))
	res.Output[0] = 1 << 20
	for _, r := range []work.Result{encoded(t, res), {Body: []byte("?")}} {
		tr, err := worker.Trace(t.Context(), task, r)
		require.NoError(t, err)
		_, err = tr.Root(t.Context())
		require.ErrorIs(t, err, work.ErrNoTrace)
		head, err := tr.Head(t.Context())
		require.NoError(t, err)
		c, err := claim.DecodeTask(task.Body)
		require.NoError(t, err)
		_, err = modelfile.OpenHead(c.Model, head)
		require.NoError(t, err)
		tr.Close()
	}
}

// A trace holds memory until it is closed. Whoever wants another one is told so, and doesn't wait.
func TestTracesNeedRoom(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	small := machine()
	small.Memory = 16 << 20
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: small})
	task, res := answered(t, w, worker, question(1, 6))
	r := encoded(t, res)
	tr, err := worker.Trace(t.Context(), task, r)
	require.NoError(t, err)
	_, err = worker.Trace(t.Context(), task, r)
	require.ErrorIs(t, err, work.ErrNoRoom)
	tr.Close()
	tr, err = worker.Trace(t.Context(), task, r)
	require.NoError(t, err)
	tr.Close()
	_, err = newKind(t, infer.Options{Models: newShelf(t)}).Trace(t.Context(), task, r)
	require.ErrorContains(t, err, "must hold the model")
}
