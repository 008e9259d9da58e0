package scheduler_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// live/1 is a count whose tasks come up when the test says so, require something, and are
// waited for.
const liveName work.Name = "live/1"

type liveKind struct {
	countKind
	room *liveRoom
}

// liveRoom is what the test and the plan share.
type liveRoom struct {
	mu       sync.Mutex
	env      work.PlanEnv
	queued   int
	given    uint64
	requires artifact.Digest
	parts    []string
	deaf     bool
	outcomes []work.Outcome
}

func (liveKind) Name() work.Name { return liveName }

func (k liveKind) Check(spec []byte) (work.Needs, error) {
	n, err := k.countKind.Check(spec)
	n.Silence = 5 * time.Second
	return n, err
}

func (k liveKind) Plan(_ context.Context, _ work.JobID, _ []byte, _ work.State, env work.PlanEnv) (work.Plan, error) {
	k.room.mu.Lock()
	defer k.room.mu.Unlock()
	k.room.env = env
	return livePlan{k.room}, nil
}

type livePlan struct{ *liveRoom }

var _ work.Audience = livePlan{}

func (p livePlan) Next(_ work.Batch, limit int) (bundles []work.Bundle, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.queued > 0 && limit > 0; limit-- {
		p.queued--
		p.given++
		bundles = append(bundles, work.Bundle{Requires: p.requires, Tasks: []work.Task{{Seq: p.given, Body: []byte("live")}}})
	}
	return bundles, nil
}

func (p livePlan) Part(seq uint64, _ work.PublicKey, part []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(part) > 0 {
		p.parts = append(p.parts, string(part))
	}
	return !p.deaf
}

func (p livePlan) Done(_ work.Batch, outcomes []work.Outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes = append(p.outcomes, outcomes...)
	return nil
}

func (livePlan) Status() work.PlanStatus { return work.PlanStatus{Wait: time.Minute} }
func (livePlan) Close() error            { return nil }

// ask queues a task and wakes a worker, as a route would.
func (r *liveRoom) ask() {
	r.mu.Lock()
	r.queued++
	env, d := r.env, r.requires
	r.mu.Unlock()
	env.Wake(d)
}

func (h *hand) liveLease(held ...artifact.Digest) plane.LeaseReply {
	h.w.t.Helper()
	r, err := h.w.s.Lease(context.Background(), h.key.Public(), plane.LeaseRequest{Max: 4, Kinds: []work.Name{liveName}, Held: held})
	require.NoError(h.w.t, err)
	return r
}

func (w *world) liveHand(operator string) *hand {
	h := w.hand(operator)
	w.m.enroll(h.key.Public(), operator, liveName)
	return h
}

func TestLiveTasks(t *testing.T) {
	room := &liveRoom{requires: artifact.Sum([]byte("a model"))}
	w := newWorld(t, func(c *scheduler.Config) { c.Kinds = append(c.Kinds, liveKind{room: room}) })
	spec, err := work.Encode(countSpec{Tasks: 1, Bundle: 1, Units: 5})
	require.NoError(t, err)
	d, err := w.blobs.Put(t.Context(), spec)
	require.NoError(t, err)
	id := w.m.open(liveName, d, 10_000, 10, 1000)
	w.until("the plan is open", func() bool {
		room.mu.Lock()
		defer room.mu.Unlock()
		return room.env.Wake != nil
	})
	w.until("the job runs", func() bool { x, err := w.s.Progress(id); return err == nil && x.Phase == scheduler.PhaseRunning })

	with, without, other := w.liveHand("ann"), w.liveHand("bob"), w.liveHand("cyd")
	require.Empty(t, with.liveLease(room.requires).Bundles)
	require.Empty(t, without.liveLease().Bundles)
	require.Equal(t, 1, room.env.Holders(room.requires))
	require.Equal(t, 2, room.env.Holders(artifact.Digest{}))
	require.Greater(t, room.env.Room(), uint64(7))

	// The one that holds what is required is woken, at once and alone, and gets it.
	for len(w.wake) > 0 {
		<-w.wake
	}
	room.ask()
	require.Equal(t, with.key.Public(), <-w.wake)
	require.Empty(t, w.wake)
	require.Empty(t, without.liveLease().Bundles, "it does not hold what is required")
	got := with.liveLease(room.requires)
	require.Len(t, got.Bundles, 1)
	lease := plane.LeaseID{Job: id, Seq: got.Bundles[0].Tasks[0].Seq, Attempt: got.Bundles[0].Tasks[0].Attempt}

	part := func(h *hand, l plane.LeaseID, body string) []plane.LeaseID {
		r, err := w.s.Part(t.Context(), h.key.Public(), plane.PartRequest{Parts: []plane.Part{{Lease: l, Body: []byte(body)}}})
		require.NoError(t, err)
		return r.Stop
	}
	require.Empty(t, part(with, lease, "one"))
	require.Equal(t, []plane.LeaseID{lease}, part(without, lease, "forged"), "it is not its task")
	require.Equal(t, []string{"one"}, room.parts)

	// Signs of life keep the lease; silence loses it to another.
	for range 4 {
		w.clock.advance(4 * time.Second)
		require.Empty(t, part(with, lease, ""))
	}
	require.Empty(t, other.liveLease(room.requires).Bundles)
	w.clock.advance(6 * time.Second)
	var again plane.LeaseReply
	w.until("another has it", func() bool {
		again = other.liveLease(room.requires)
		return len(again.Bundles) == 1
	})
	second := plane.LeaseID{Job: id, Seq: lease.Seq, Attempt: 2}
	require.Equal(t, []plane.LeaseID{lease}, part(with, lease, "late"))
	require.Empty(t, part(other, second, "two"))
	require.Equal(t, []string{"one", "two"}, room.parts)

	// Nobody waits any more.
	room.mu.Lock()
	room.deaf = true
	room.mu.Unlock()
	require.Equal(t, []plane.LeaseID{second}, part(other, second, ""))

	// What a bundle requires outlives the gateway.
	room.ask()
	require.Empty(t, without.liveLease().Bundles)
	w.s.Close()
	w.start()
	w.until("the job runs again", func() bool {
		x, err := w.s.Progress(id)
		return err == nil && x.Phase == scheduler.PhaseRunning && x.Out > 0
	})
	require.Empty(t, without.liveLease().Bundles)
	var third plane.LeaseReply
	w.until("the one that holds it has it", func() bool {
		third = with.liveLease(room.requires)
		return len(third.Bundles) == 1
	})
	w.kind = countKind{}
	done := with.done(plane.DoneRequest{Receipts: with.liveReceipts(third.Bundles)})
	require.Empty(t, done.Refused)
	require.Len(t, room.outcomes, 1)
	signed, err := work.DecodeReceipt(room.outcomes[0].Receipt)
	require.NoError(t, err)
	require.NoError(t, signed.Verify())
}

// liveReceipts does tasks, whose results name the plan's number.
func (h *hand) liveReceipts(bundles []plane.Bundle) (rs []work.SignedReceipt) {
	for _, b := range bundles {
		for _, l := range b.Tasks {
			r, err := work.Encode(countResult{Seq: l.Seq})
			require.NoError(h.w.t, err)
			d, err := h.w.blobs.Put(context.Background(), r)
			require.NoError(h.w.t, err)
			spec, err := h.w.blobs.Get(context.Background(), b.Spec, 0)
			require.NoError(h.w.t, err)
			t := work.Task{Job: b.Job, Seq: l.Seq, Spec: spec, Body: l.Body}
			units, err := h.w.kind.Meter(t, work.Result{Body: r})
			require.NoError(h.w.t, err)
			s, err := work.SignReceipt(h.key, work.Receipt{Chain: h.w.m.chain, Job: b.Job, Seq: l.Seq, Attempt: l.Attempt, Task: t.Digest(), Result: d, Units: units, Started: 1, Finished: 2})
			require.NoError(h.w.t, err)
			rs = append(rs, s)
		}
	}
	return rs
}
