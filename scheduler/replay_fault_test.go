package scheduler_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// door is the plane's handler: the scheduler of now, and what a gateway adds to a hello.
type door struct {
	mu sync.Mutex
	s  *scheduler.Scheduler
}

func (d *door) now() *scheduler.Scheduler {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s
}

func (d *door) Hello(ctx context.Context, k work.PublicKey, r plane.HelloRequest) (plane.HelloReply, error) {
	reply, err := d.now().Hello(ctx, k, r)
	reply.Artifacts, reply.Token = "http://127.0.0.1:1", "t"
	return reply, err
}

func (d *door) Lease(ctx context.Context, k work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
	return d.now().Lease(ctx, k, r)
}

func (d *door) Part(ctx context.Context, k work.PublicKey, r plane.PartRequest) (plane.PartReply, error) {
	return d.now().Part(ctx, k, r)
}

func (d *door) Done(ctx context.Context, k work.PublicKey, r plane.DoneRequest) (plane.DoneReply, error) {
	return d.now().Done(ctx, k, r)
}

// planed is a world behind a real plane.
type planed struct {
	*world
	door   *door
	server *plane.Server
}

func newPlaned(t *testing.T, cfg func(*scheduler.Config)) *planed {
	w := newWorld(t, cfg)
	p := &planed{world: w, door: &door{s: w.s}}
	var err error
	p.server, err = plane.Listen(plane.Config{Listen: "127.0.0.1:0", Gateway: w.key.Public(), Handler: p.door,
		Authorize: func(context.Context, work.PublicKey) error { return nil },
		Limits:    plane.Limits{Rate: 1e5, Burst: 1e5, PerWorker: 64}})
	require.NoError(t, err)
	t.Cleanup(p.server.Close)
	return p
}

func (p *planed) restart() {
	require.NoError(p.t, p.s.Close())
	p.start()
	p.door.mu.Lock()
	p.door.s = p.s
	p.door.mu.Unlock()
}

// session is a connection of a hand's.
func (p *planed) session(h *hand, address string) *plane.Client {
	c, err := plane.Dial(p.t.Context(), address, h.key, plane.Options{Gateway: p.key.Public(), ReconnectMin: time.Millisecond, ReconnectMax: 10 * time.Millisecond})
	require.NoError(p.t, err)
	p.t.Cleanup(c.Close)
	_, err = c.Hello(p.t.Context(), plane.HelloRequest{Kinds: []work.Name{countName}, Capacity: 8})
	require.NoError(p.t, err)
	return c
}

// opened waits until a job's plan is open again.
func (w *world) opened(id work.JobID) {
	w.t.Helper()
	w.until("the plan is open", func() bool {
		x, err := w.s.Progress(id)
		return err == nil && len(x.Counts) > 0
	})
}

func ask(max uint32, holding ...plane.LeaseID) plane.LeaseRequest {
	return plane.LeaseRequest{Max: max, Kinds: []work.Name{countName}, Holding: holding}
}

// TestReplays sends the same bytes again: at once, later, in another order, in a new
// session, to a gateway that started again, as another worker, after the lease went
// elsewhere and after the job ended. Each receipt counts once, each voucher says the same,
// and what is another's is refused.
func TestReplays(t *testing.T) {
	p := newPlaned(t, func(c *scheduler.Config) { c.LostAfter = 24 * time.Hour })
	url := p.server.URLs()[0]
	ann, ben := p.hand("ann"), p.hand("ben")
	id := p.job(countSpec{Tasks: 6, Bundle: 2, Units: 1}, 1<<40, 1<<30)
	p.phase(id, scheduler.PhaseRunning)
	a, b := p.session(ann, url), p.session(ben, url)
	ctx := t.Context()
	lease := func(c *plane.Client, r plane.LeaseRequest) []plane.Bundle {
		t.Helper()
		reply, err := c.Lease(ctx, r)
		require.NoError(t, err)
		return reply.Bundles
	}
	report := func(c *plane.Client, r plane.DoneRequest) plane.DoneReply {
		t.Helper()
		reply, err := c.Done(ctx, r)
		require.NoError(t, err)
		return reply
	}
	first := lease(a, ask(1))
	require.Len(t, first, 1)
	one := plane.DoneRequest{Receipts: ann.receipts(first)}
	taken := report(a, one)
	require.Empty(t, taken.Refused)
	require.Len(t, taken.Vouchers, 1)
	same := func(r plane.DoneReply) {
		t.Helper()
		require.Empty(t, r.Refused)
		require.Len(t, r.Vouchers, 1)
		require.Equal(t, taken.Vouchers[0].Voucher.Units, r.Vouchers[0].Voucher.Units)
		require.EqualValues(t, 2, p.accepted(id))
	}
	same(report(a, one))
	var wg sync.WaitGroup
	for range 8 { // at the same time
		wg.Go(func() {
			if r, err := a.Done(ctx, one); err != nil || len(r.Refused) > 0 || r.Vouchers[0].Voucher.Units != taken.Vouchers[0].Voucher.Units {
				t.Errorf("a replay at the same time: %v %v", r.Refused, err)
			}
		})
	}
	wg.Wait()

	// Another worker's replay gets it nothing.
	stolen := report(b, one)
	require.Len(t, stolen.Refused, 2)
	require.Contains(t, stolen.Refused[0].Reason, "it is of worker")
	require.Empty(t, stolen.Vouchers)
	// Nor do failures for leases that are over or another's.
	fail := plane.DoneRequest{}
	for _, x := range one.Receipts {
		fail.Failures = append(fail.Failures, plane.Failure{Lease: plane.LeaseID{Job: id, Seq: x.Receipt.Seq, Attempt: 1}, Reason: "replayed"})
	}
	report(a, fail)
	report(b, fail)
	same(report(a, one))

	// A lease that ends, and a report of it that was held up until another has the tasks.
	second := lease(a, ask(1))
	require.Len(t, second, 1)
	two := plane.DoneRequest{Receipts: ann.receipts(second)}
	p.clock.advance(time.Hour)
	third := lease(b, ask(1))
	require.Len(t, third, 1)
	require.Equal(t, second[0].Tasks[0].Seq, third[0].Tasks[0].Seq)
	require.Len(t, report(a, two).Refused, 2)
	// An old request for work, whose list of leases is of then, brings nothing back.
	old := ask(0, plane.LeaseID{Job: id, Seq: second[0].Tasks[0].Seq, Attempt: 1}, plane.LeaseID{Job: id, Seq: 1, Attempt: 1})
	require.Empty(t, lease(a, old))
	require.Len(t, report(a, two).Refused, 2)
	three := plane.DoneRequest{Receipts: ben.receipts(third)}
	require.Empty(t, report(b, three).Refused)
	require.Len(t, report(a, two).Refused, 2)
	require.Empty(t, report(b, three).Refused)

	// The gateway starts again; sessions are new; the same bytes.
	p.restart()
	p.opened(id)
	a = p.session(ann, url)
	r := report(a, one)
	require.Empty(t, r.Refused)
	require.Equal(t, taken.Vouchers[0].Voucher.Units, r.Vouchers[0].Voucher.Units)
	require.Len(t, report(a, two).Refused, 2)
	b = p.session(ben, url)

	// Two reports in the wrong order, of two leases of one worker.
	p.clock.advance(time.Hour)
	rest := lease(b, ask(8))
	require.Len(t, rest, 1)
	late := ben.receipts(rest)
	require.Empty(t, report(b, plane.DoneRequest{Receipts: late[1:]}).Refused)
	require.Empty(t, report(b, plane.DoneRequest{Receipts: late[:1]}).Refused)
	p.ended(id)
	for _, again := range []plane.DoneRequest{three, {Receipts: late}} {
		require.Empty(t, report(b, again).Refused, "after the end")
	}
	require.Len(t, report(a, two).Refused, 2)
	require.Empty(t, report(a, one).Refused)
	p.books(id, 6, ann, ben)
}

// books checks that n tasks were accepted once each and that all that is promised is paid.
func (p *planed) books(id work.JobID, n int, hands ...*hand) {
	p.t.Helper()
	all := p.exported(id)
	require.Len(p.t, all, n)
	units := map[work.PublicKey]uint64{}
	for _, s := range all {
		units[s.Receipt.Worker] += s.Receipt.Units
	}
	j := p.m.job(id)
	require.EqualValues(p.t, n, j.Receipts)
	for _, h := range hands {
		require.Equal(p.t, units[h.key.Public()], j.claimed[h.key.Public()])
	}
	require.Empty(p.t, p.m.faults)
}

// accepted is how many of a job's receipts were taken.
func (p *planed) accepted(id work.JobID) uint64 {
	x, err := p.s.Progress(id)
	require.NoError(p.t, err)
	return x.Receipts
}

// TestDuplicatesAndReordering: every request of every worker is sent three times, over
// three ways that each take as long as they like, and old ones are sent again at random,
// by their worker and by others. Each task is accepted once.
func TestDuplicatesAndReordering(t *testing.T) {
	p := newPlaned(t, func(c *scheduler.Config) {
		c.Now = time.Now
		c.LostAfter, c.LeaseGrace, c.MaxTries = 200*time.Millisecond, 50*time.Millisecond, 1<<20
	})
	link, err := fault.NewProxy(strings.TrimPrefix(p.server.URLs()[0], "nats://"))
	require.NoError(t, err)
	t.Cleanup(link.Close)
	link.Delay(0, 10*time.Millisecond)
	id := p.job(countSpec{Tasks: 90, Bundle: 3, Grow: true, Units: 1}, 1<<40, 6)
	p.m.mu.Lock()
	p.m.jobs[id].AuditBps = 0
	p.m.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var sent []plane.DoneRequest
	var wg sync.WaitGroup
	var hands []*hand
	for range 3 {
		h := p.hand("operator")
		hands = append(hands, h)
		c := p.session(h, "nats://"+link.Addr())
		wg.Go(func() {
			for ctx.Err() == nil {
				var once sync.WaitGroup
				for range 3 {
					once.Go(func() {
						got, err := c.Lease(ctx, ask(2))
						if err != nil || len(got.Bundles) == 0 {
							time.Sleep(time.Millisecond)
							return
						}
						req := plane.DoneRequest{Receipts: h.receipts(got.Bundles)}
						mu.Lock()
						sent = append(sent, req)
						old := sent[rand.N(len(sent))]
						mu.Unlock()
						for range 3 {
							once.Go(func() { _, _ = c.Done(ctx, req) })
						}
						_, _ = c.Done(ctx, old)
					})
				}
				once.Wait()
			}
		})
	}
	p.ended(id)
	cancel()
	wg.Wait()
	p.books(id, 90, hands...)
}
