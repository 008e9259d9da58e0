package infer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/work"
)

func TestAGatewayAsksItself(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	own := w.kind.Own(w.owner.Public())
	worker := newKind(t, infer.Options{Models: w.shelf})
	q := question(1, 4)
	q.Model = claim.Digest(w.shelf.order[0])

	require.NoError(t, own.Ask(w.job, q))
	require.Equal(t, []work.JobID{w.job}, own.Jobs())
	_, pending, err := own.Answered(w.job)
	require.NoError(t, err)
	require.Equal(t, 1, pending)

	// The gateway dies while a worker is at it: the answer is wanted all the same.
	task := w.one()
	w.crash()
	require.True(t, w.plan.(work.Audience).Part(task.Seq, key(t, 5).Public(), nil))
	done, pending, err := own.Answered(w.job)
	require.NoError(t, err)
	require.Equal(t, 1, pending)
	require.Empty(t, done)
	result, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	o := w.outcome(key(t, 5), task, result)
	w.done(o)
	w.crash()
	done, pending, err = own.Answered(w.job)
	require.NoError(t, err)
	require.Zero(t, pending)
	require.Len(t, done, 1)
	require.Equal(t, infer.Answered{Receipt: o.Receipt, Task: task.Body, Result: result.Body}, done[0])
}

func TestTheDoorOpensToTheGatewaysOwnTabsOnly(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	stranger := w.kind.Own(key(t, 9).Public())
	require.Empty(t, stranger.Jobs())
	require.ErrorIs(t, stranger.Ask(w.job, question(1, 4)), infer.ErrNotOpen)
	_, _, err := stranger.Answered(w.job)
	require.ErrorIs(t, err, infer.ErrNotOpen)
	own := w.kind.Own(w.owner.Public())
	require.ErrorIs(t, own.Ask(w.job+1, question(1, 4)), infer.ErrNotOpen)
	require.Error(t, own.Ask(w.job, claim.Task{Model: claim.Digest{1}}), "a model that is not the tab's")

	v, err := own.Voice(w.shelf.order[0])
	require.NoError(t, err)
	again, err := own.Speaks(v.Speaker())
	require.NoError(t, err)
	require.Equal(t, v.ID(), again.ID())
	other := *v.Speaker()
	other.Vocabulary[0] ^= 1
	_, err = own.Speaks(&other)
	require.ErrorIs(t, err, speaker.ErrSpeaker)
}
