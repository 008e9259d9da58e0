package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// slowChain is a ledger that decides every epoch with a commitment at once, and is shown its
// plants only when the test says so.
type slowChain struct {
	*chainOf
	show  chan struct{}
	shown map[uint64][]uint64 // places by epoch
}

func (c *slowChain) CommitEpoch(_ context.Context, x scheduler.Commitment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[x.Job]
	c.epochs[x.Job] = append(c.epochs[x.Job], work.Epoch{Job: x.Job, Number: x.Number, Receipts: x.Receipts, Pay: x.Pay, Plants: x.Plants, Status: work.EpochDecided, CommitHeight: c.height})
	j.Epochs, j.Finished = x.Number, x.Finish
	return nil
}

func (c *slowChain) RevealPlants(ctx context.Context, id work.JobID, n uint64, _ [work.SaltSize]byte, plants []scheduler.CommittedReceipt) error {
	select {
	case <-c.show:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.epochs[id][n-1]
	for _, p := range plants {
		c.shown[n] = append(c.shown[n], p.Proof.Index)
	}
	e.PlantsShown, e.Status, e.SettledHeight, e.Label = true, work.EpochSettled, c.height, work.Asserted
	j := c.jobs[id]
	if j.Settled = n; j.Finished && j.Settled == j.Epochs {
		j.Status = work.JobClosed
	}
	return nil
}

// spoilt is an echo whose results can be planted.
type spoilt struct{ echo }

func (spoilt) Meter(t work.Task, r work.Result) (uint64, error) {
	if len(t.Body) != len(r.Body) {
		return 0, errors.New("no echo")
	}
	return 1, nil
}

func (spoilt) Spoil(_ context.Context, _ work.Env, _ work.Task, right work.Result) (work.Result, error) {
	return work.Result{Body: []byte{right.Body[0] ^ 0x80}}, nil
}

// TestPlantsRoute: what a gateway planted in an epoch is nobody's to know, and neither are
// the epoch's receipts, until the ledger was shown it; then it opens the commitment.
func TestPlantsRoute(t *testing.T) {
	f := start(t)
	f.stop()
	slow := &slowChain{chainOf: f.chain, show: make(chan struct{}), shown: map[uint64][]uint64{}}
	f.cfg.Ledger, f.cfg.Kinds, f.cfg.PlantBps = slow, []work.Kind{spoilt{}}, 2000
	f.cfg.Decoys = []work.PrivateKey{f.enroll()}
	f.run()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := f.open(make([]byte, 300))
	route := func(n any) string { return fmt.Sprintf("/v1/jobs/%d/epochs/%v/plants", id, n) }

	working, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range 2 {
		k := f.enroll()
		wg.Go(func() {
			if err := f.labour(working, k); err != nil && working.Err() == nil {
				t.Errorf("worker: %v", err)
			}
		})
	}
	defer wg.Wait()
	defer stop()
	committed := func() []work.Epoch {
		f.chain.mu.Lock()
		defer f.chain.mu.Unlock()
		return append([]work.Epoch(nil), f.chain.epochs[id]...)
	}
	for len(committed()) == 0 {
		require.NoError(t, ctx.Err())
		time.Sleep(5 * time.Millisecond)
	}
	status, body := f.do("GET", route(1), "", nil)
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"shown":false,"salt":"0000000000000000000000000000000000000000000000000000000000000000","indices":[]}`, body)
	require.NoError(t, f.c.Receipts(ctx, id, api.Cursor{}, func(api.Receipt) error { return errors.New("a receipt of an epoch whose plants were not shown") }))
	for _, n := range []any{0, 99, "x", -1} {
		status, _ = f.do("GET", route(n), "", nil)
		require.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest}, status, "%v", n)
	}
	early, err := f.c.Plants(ctx, id, 1)
	require.NoError(t, err)
	_, err = early.Of("test-1", id, 1)
	require.ErrorContains(t, err, "not shown")
	status, _ = f.do("GET", "/v1/jobs/77/epochs/1/plants", "", nil)
	require.Equal(t, http.StatusNotFound, status)

	close(slow.show)
	require.NoError(t, f.c.Follow(ctx, id, func(api.Job) error { return nil }))
	plants := map[uint64]map[uint64]bool{}
	total := 0
	for _, e := range committed() {
		require.False(t, e.Plants.IsZero(), "also to none")
		p, err := f.c.Plants(ctx, id, e.Number)
		require.NoError(t, err)
		require.True(t, p.Shown)
		opened, err := p.Of("test-1", id, e.Number)
		require.NoError(t, err)
		require.NoError(t, opened.Check(e.Plants), "the ledger's commitment")
		require.ElementsMatch(t, slow.shown[e.Number], p.Indices)
		plants[e.Number] = map[uint64]bool{}
		for _, i := range p.Indices {
			plants[e.Number][i] = true
		}
		total += len(p.Indices)
	}
	require.Positive(t, total)
	decoy := f.cfg.Decoys[0].Public()
	genuine := 0
	require.NoError(t, f.c.Receipts(ctx, id, api.Cursor{}, func(r api.Receipt) error {
		s, err := work.DecodeReceipt(r.Receipt)
		if err != nil {
			return err
		}
		if planted := plants[r.Epoch][r.Index]; planted != (s.Receipt.Worker == decoy) {
			return fmt.Errorf("receipt %d of epoch %d is the decoy's or in the list, not both", r.Index, r.Epoch)
		} else if !planted {
			genuine++
		}
		return nil
	}))
	require.Equal(t, 300, genuine)
}

// colleague is a worker at the plane that a test holds by the hand.
type colleague struct {
	*plane.Client
	key   work.PrivateKey
	hello plane.HelloReply
}

func (f *fixture) colleague(ctx context.Context) colleague {
	key := f.enroll()
	info, err := f.c.Info(ctx)
	require.NoError(f.t, err)
	c, err := plane.Dial(ctx, info.Plane[0], key, plane.Options{Gateway: info.GatewayKey})
	require.NoError(f.t, err)
	f.t.Cleanup(func() { c.Close() })
	hello, err := c.Hello(ctx, plane.HelloRequest{Kinds: []work.Name{echoName}, Capacity: 1})
	require.NoError(f.t, err)
	return colleague{c, key, hello}
}

// TestReplayedReceipts: over the real plane, nobody is paid for another's receipt, nor twice
// for their own.
func TestReplayedReceipts(t *testing.T) {
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := f.open([]byte("abc"))
	ann, thief := f.colleague(ctx), f.colleague(ctx)
	store, err := httpstore.New(ann.hello.Artifacts, httpstore.Options{Token: func() string { return ann.hello.Token }})
	require.NoError(t, err)
	defer store.Close()

	var bundles []plane.Bundle
	for len(bundles) == 0 {
		r, err := ann.Lease(ctx, plane.LeaseRequest{Max: 1, Kinds: []work.Name{echoName}})
		require.NoError(t, err)
		bundles = r.Bundles
		time.Sleep(5 * time.Millisecond)
	}
	b := bundles[0]
	var honest, stolen plane.DoneRequest
	for _, l := range b.Tasks {
		d, err := store.Put(ctx, l.Body)
		require.NoError(t, err)
		r := work.Receipt{Chain: ann.hello.Chain, Job: b.Job, Seq: l.Seq, Attempt: l.Attempt, Task: work.Task{Job: b.Job, Seq: l.Seq, Spec: []byte("abc"), Body: l.Body}.Digest(), Result: d, Units: 1}
		s, err := work.SignReceipt(ann.key, r)
		require.NoError(t, err)
		honest.Receipts = append(honest.Receipts, s)
		s, err = work.SignReceipt(thief.key, r)
		require.NoError(t, err)
		stolen.Receipts = append(stolen.Receipts, s)
	}
	refused := func(c colleague, d plane.DoneRequest) {
		t.Helper()
		reply, err := c.Done(ctx, d)
		require.NoError(t, err)
		require.Len(t, reply.Refused, len(d.Receipts))
		require.Empty(t, reply.Vouchers)
	}
	refused(thief, honest) // as ann signed them, before she sent them
	refused(thief, stolen) // and signed again
	reply, err := ann.Done(ctx, honest)
	require.NoError(t, err)
	require.Empty(t, reply.Refused, "what the thief sent cost her nothing")
	require.Len(t, reply.Vouchers, 1)
	require.EqualValues(t, len(b.Tasks), reply.Vouchers[0].Voucher.Units)
	refused(thief, honest) // after it
	refused(thief, stolen)
	again, err := ann.Done(ctx, honest)
	require.NoError(t, err)
	for _, v := range again.Vouchers {
		require.EqualValues(t, len(b.Tasks), v.Voucher.Units, "the same again is worth nothing more")
	}

	working, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.labour(working, f.enroll()) }) // what is left, if anything
	require.NoError(t, f.c.Follow(ctx, id, func(api.Job) error { return nil }))
	stop()
	wg.Wait()
	x, err := f.c.Job(ctx, id)
	require.NoError(t, err)
	require.EqualValues(t, 3, x.Receipts)
	p, err := f.c.Owed(ctx, id, ann.key.Public())
	require.NoError(t, err)
	require.EqualValues(t, len(b.Tasks), p.Units)
	_, err = f.c.Owed(ctx, id, thief.key.Public())
	require.True(t, api.NotFound(err), "%v", err)
}
