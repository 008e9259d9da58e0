package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// TestLife takes a job from its opening to the last claim.
func TestLife(t *testing.T) {
	w := newWorld(t, nil)
	hands := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid"), w.hand("dan")}
	id := w.job(countSpec{Tasks: 400, Bundle: 7, Grow: true, Units: 1}, 1<<40, 5)
	stop := w.labour(hands...)
	x := w.ended(id)
	stop()

	require.Equal(t, scheduler.PhaseDone, x.Phase, x.Reason)
	require.Empty(t, w.m.faults)
	require.Len(t, w.exported(id), 400)
	require.EqualValues(t, 400, x.Counts["numbers"])
	j := w.m.job(id)
	require.Equal(t, work.JobClosed, j.Status)
	require.Equal(t, j.Epochs, j.Settled)
	require.Greater(t, j.Epochs, uint64(1), "several epochs")
	require.Equal(t, x.Units, j.Units)
	total, drawn, upheld := uint64(0), uint32(0), uint32(0)
	for _, h := range hands {
		require.Equal(t, j.claimed[h.key.Public()], h.vouchers[id].Units, "what was promised is what was paid")
		total += j.claimed[h.key.Public()]
	}
	require.Equal(t, j.Units, total)
	for _, e := range x.Epochs {
		require.Equal(t, work.EpochSettled, e.Status)
		drawn += e.Drawn
		upheld += e.Upheld
	}
	require.Positive(t, upheld)
	require.LessOrEqual(t, upheld, drawn)
	require.True(t, x.Claimed)
}

// TestLiar has a worker that alters results; the others find out.
func TestLiar(t *testing.T) {
	w := newWorld(t, nil)
	liar := w.hand("liar")
	liar.lies = true
	honest := []*hand{w.hand("ann"), w.hand("ben"), w.hand("cid")}
	w.m.mu.Lock()
	w.m.maxSamples = 32
	w.m.mu.Unlock()
	id := w.job(countSpec{Tasks: 300, Bundle: 2, Units: 1}, 1<<40, 5)
	stop := w.labour(append(honest, liar)...)
	x := w.ended(id)
	stop()
	j := w.m.job(id)
	require.True(t, j.forfeit[liar.key.Public()])
	for _, h := range honest {
		require.False(t, j.forfeit[h.key.Public()])
	}
	wrong := uint32(0)
	for _, e := range x.Epochs {
		wrong += e.False
	}
	require.Positive(t, wrong)
	require.Equal(t, scheduler.PhaseDone, x.Phase)
}

func TestRefusedJobs(t *testing.T) {
	w := newWorld(t, nil)
	bad, err := w.blobs.Put(context.Background(), []byte("not a spec"))
	require.NoError(t, err)
	invalid := w.m.open(countName, bad, 1000, 10, 5)
	unknown := w.m.open("other/1", bad, 1000, 10, 5)
	absent := w.m.open(countName, artifact.Sum([]byte("absent")), 1000, 10, 5)
	for _, id := range []work.JobID{invalid, unknown} {
		x := w.ended(id)
		require.Equal(t, scheduler.PhaseRefused, x.Phase)
		require.NotEmpty(t, x.Reason)
		require.Equal(t, work.JobClosed, w.m.job(id).Status, "so that the buyer is refunded")
	}
	x, err := w.s.Progress(absent)
	require.NoError(t, err)
	require.Equal(t, scheduler.PhaseWaiting, x.Phase)
	require.Contains(t, x.Trouble, "waiting for the spec")
	w.m.closeJob(absent)
	require.Equal(t, scheduler.PhaseRefused, w.ended(absent).Phase)
}

func TestBudget(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(4)
	// A task costs at most 5 units of 10: 1,234 pay for 123 units.
	id := w.job(countSpec{Tasks: 10_000, Bundle: 10, Units: 3}, 1234, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	r := h.lease(64)
	leased := 0
	for _, b := range r.Bundles {
		leased += len(b.Tasks)
	}
	require.LessOrEqual(t, leased*5, 123, "what is out is reserved for")
	require.Positive(t, leased)
	stop := w.labour(w.hand("ben"))
	h.done(plane.DoneRequest{Receipts: h.receipts(r.Bundles)})
	x := w.ended(id)
	stop()
	require.Contains(t, x.Reason, "escrow")
	require.LessOrEqual(t, x.Units, uint64(123))
	require.Greater(t, x.Units, uint64(123-5), "it is used up")
	require.Equal(t, x.Units, w.m.job(id).Units)
}

// TestForged sends receipts that claim what is not so.
func TestForged(t *testing.T) {
	w := newWorld(t, nil)
	other := w.hand("ben")
	id := w.job(countSpec{Tasks: 100, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)

	resign := func(s work.SignedReceipt, k work.PrivateKey, change func(*work.Receipt)) work.SignedReceipt {
		change(&s.Receipt)
		s, err := work.SignReceipt(k, s.Receipt)
		require.NoError(t, err)
		return s
	}
	lie, err := work.Encode(countResult{Seq: 99})
	require.NoError(t, err)
	elsewhere, err := w.blobs.Put(context.Background(), lie)
	require.NoError(t, err)
	forgeries := map[string]func(*hand, work.SignedReceipt) work.SignedReceipt{
		"signature": func(h *hand, s work.SignedReceipt) work.SignedReceipt { s.Signature[5] ^= 1; return s },
		"units": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Units++ })
		},
		"many units": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Units = work.MaxUnits })
		},
		"chain": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Chain = "other-1" })
		},
		"task": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Task[0] ^= 1 })
		},
		"absent result": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Result[0] ^= 1 })
		},
		"another's result": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Result = elsewhere })
		},
		"attempt": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Attempt++ })
		},
		"never leased": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Seq = 1 << 40 })
		},
		"no such job": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, h.key, func(r *work.Receipt) { r.Job = 77 })
		},
		"another's key": func(h *hand, s work.SignedReceipt) work.SignedReceipt {
			return resign(s, other.key, func(*work.Receipt) {})
		},
	}
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			h := w.hand("ann")
			r := h.lease(1)
			w.until("there is a task", func() bool {
				if len(r.Bundles) == 0 {
					r = h.lease(1)
				}
				return len(r.Bundles) == 1
			})
			good := h.receipt(r.Bundles[0], r.Bundles[0].Tasks[0])
			bad := good
			bad.Signature = append([]byte{}, good.Signature...)
			reply := h.done(plane.DoneRequest{Receipts: []work.SignedReceipt{forge(h, bad)}})
			require.Len(t, reply.Refused, 1)
			require.Empty(t, reply.Vouchers)
			x, err := w.s.Progress(id)
			require.NoError(t, err)
			require.Zero(t, x.Units)
			w.clock.advance(10 * time.Second) // past the time that this worker is passed over
		})
	}
}

func TestDuplicates(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 20, Bundle: 4, Units: 1}, 1<<40, 3)
	w.phase(id, scheduler.PhaseRunning)
	rs := h.receipts(h.lease(1).Bundles)
	first := h.done(plane.DoneRequest{Receipts: rs})
	require.Empty(t, first.Refused)
	require.Len(t, first.Vouchers, 1)
	again := h.done(plane.DoneRequest{Receipts: append(rs, rs...)})
	require.Empty(t, again.Refused)
	require.Equal(t, first.Vouchers, again.Vouchers)
	x, err := w.s.Progress(id)
	require.NoError(t, err)
	require.EqualValues(t, len(rs), x.Receipts)

	// Another receipt for a task that is done, properly signed, is not the same one.
	other := rs[0].Receipt
	other.Finished++
	s, err := work.SignReceipt(h.key, other)
	require.NoError(t, err)
	require.Len(t, h.done(plane.DoneRequest{Receipts: []work.SignedReceipt{s}}).Refused, 1)

	// A voucher names the epoch of the last receipt, also once that is sealed: one that
	// named a later epoch would promise an epoch that may never come.
	w.until("the epoch is committed", func() bool { return w.m.job(id).Epochs == 1 })
	later := h.done(plane.DoneRequest{Receipts: rs})
	require.Empty(t, later.Refused)
	require.Equal(t, first.Vouchers, later.Vouchers)
	require.EqualValues(t, 1, later.Vouchers[0].Voucher.Epoch)
}

func TestExpiry(t *testing.T) {
	w := newWorld(t, func(c *scheduler.Config) { c.MaxTries = 3 })
	slow, quick := w.hand("ann"), w.hand("ben")
	id := w.job(countSpec{Tasks: 4, Bundle: 4, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	a := slow.lease(1)
	require.Len(t, a.Bundles, 1)
	require.Empty(t, quick.lease(1).Bundles, "a bundle is with one worker")

	w.clock.advance(10 * time.Minute)
	b := quick.lease(1)
	require.Len(t, b.Bundles, 1)
	for i, l := range b.Bundles[0].Tasks {
		require.Equal(t, a.Bundles[0].Tasks[i].Seq, l.Seq)
		require.Equal(t, a.Bundles[0].Tasks[i].Attempt+1, l.Attempt)
	}
	late := slow.done(plane.DoneRequest{Receipts: slow.receipts(a.Bundles)})
	require.Len(t, late.Refused, 4, "the task is another's now")

	rs := quick.receipts(b.Bundles)
	require.Empty(t, quick.done(plane.DoneRequest{Receipts: rs[1:3]}).Refused)
	w.clock.advance(10 * time.Minute)
	slow.lease(0)
	w.clock.advance(10 * time.Second) // nobody else came: who failed may try again
	// The rest of the bundle is leased anew. Its first task was tried twice in vain; the
	// other one bears no blame.
	c := slow.lease(1)
	require.Len(t, c.Bundles, 1)
	require.Len(t, c.Bundles[0].Tasks, 2)
	reply := slow.done(plane.DoneRequest{Failures: []plane.Failure{{Lease: plane.LeaseID{Job: id, Seq: c.Bundles[0].Tasks[0].Seq, Attempt: c.Bundles[0].Tasks[0].Attempt}}}})
	require.Empty(t, reply.Refused)
	x, err := w.s.Progress(id)
	require.NoError(t, err)
	require.EqualValues(t, 1, x.Failed, "three workers could not do it")
	require.Empty(t, slow.done(plane.DoneRequest{Receipts: []work.SignedReceipt{slow.receipt(c.Bundles[0], c.Bundles[0].Tasks[1])}}).Refused)
	require.Len(t, w.exported2(id), 3)
}

// exported2 seals what is there by ending the job, and exports it.
func (w *world) exported2(id work.JobID) map[uint64]work.SignedReceipt {
	w.ended(id)
	return w.exported(id)
}

// TestLate: a receipt that comes after its deadline counts while nobody else has the task.
func TestLate(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 3, Bundle: 3, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	a := h.lease(1)
	w.clock.advance(time.Hour)
	w.hand("idle").lease(0) // any request takes back what ran out
	require.Empty(t, h.done(plane.DoneRequest{Receipts: h.receipts(a.Bundles)}).Refused)
	require.Len(t, w.exported2(id), 3)
}

// TestLost: a lease whose worker does not know of it comes back before its deadline.
func TestLost(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 3, Bundle: 3, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	a := h.lease(1)
	held := plane.LeaseID{Job: id, Seq: a.Bundles[0].Tasks[2].Seq, Attempt: 1}
	h.lease(1, held)
	w.clock.advance(11 * time.Second)
	h.lease(1, held)
	h.lease(1) // from here on it does not mention it
	w.clock.advance(11 * time.Second)
	require.Empty(t, h.lease(0).Bundles)
	w.clock.advance(6 * time.Second)
	b := h.lease(1)
	require.Len(t, b.Bundles, 1)
	require.EqualValues(t, 2, b.Bundles[0].Tasks[0].Attempt)
}

// What a worker holds that was convicted goes to others as soon as it is heard of, and not
// when its lease ends.
func TestConvicted(t *testing.T) {
	for name, heard := range map[string]func(*hand){
		"lease": func(h *hand) { require.Empty(t, h.lease(1).Bundles) },
		"hello": func(h *hand) {
			_, err := h.w.s.Hello(t.Context(), h.key.Public(), plane.HelloRequest{Kinds: []work.Name{countName}, Capacity: 1})
			require.ErrorContains(t, err, "jailed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			liar, honest := w.hand("ann"), w.hand("bob")
			id := w.job(countSpec{Tasks: 3, Bundle: 3, Units: 1}, 1<<40, 1<<30)
			w.phase(id, scheduler.PhaseRunning)
			require.Len(t, liar.lease(1).Bundles, 1)
			require.Empty(t, honest.lease(1).Bundles)
			w.m.setActive(liar.key.Public(), false)
			w.clock.advance(6 * time.Second) // the ledger's record is read again
			heard(liar)
			b := honest.lease(1)
			require.Len(t, b.Bundles, 1)
			require.EqualValues(t, 2, b.Bundles[0].Tasks[0].Attempt)
		})
	}
}

// TestShare: a worker whose leases run out gets fewer.
func TestShare(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(8)
	id := w.job(countSpec{Tasks: 10_000, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	n := len(h.lease(64).Bundles)
	require.Equal(t, 16, n, "twice its capacity")
	require.Empty(t, h.lease(64).Bundles, "and no more until something comes back")
	w.clock.advance(time.Hour)
	require.Less(t, len(h.lease(64).Bundles), n/4)
}

func TestNotAdmitted(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	id := w.job(countSpec{Tasks: 10, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	stranger := newKey(t).Public()
	_, err := w.s.Hello(context.Background(), stranger, plane.HelloRequest{Capacity: 1})
	require.ErrorIs(t, err, plane.ErrDenied)
	_, err = w.s.Lease(context.Background(), stranger, plane.LeaseRequest{Max: 1})
	require.ErrorIs(t, err, plane.ErrDenied)
	a := h.lease(1)
	w.m.setActive(h.key.Public(), false)
	w.clock.advance(5 * time.Second) // past the cache
	require.Empty(t, h.lease(1).Bundles)
	require.Len(t, h.done(plane.DoneRequest{Receipts: h.receipts(a.Bundles)}).Refused, 1)
}

// TestFair: two jobs share a worker about equally, whichever came first.
func TestFair(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(4)
	a := w.job(countSpec{Tasks: 5000, Bundle: 5, Units: 1}, 1<<40, 1<<30)
	b := w.job(countSpec{Tasks: 5000, Bundle: 1, Units: 1}, 1<<40, 1<<30)
	w.phase(a, scheduler.PhaseRunning)
	w.phase(b, scheduler.PhaseRunning)
	tasks := map[work.JobID]int{}
	for range 200 {
		r := h.lease(2)
		for _, x := range r.Bundles {
			tasks[x.Job] += len(x.Tasks)
		}
		w.clock.advance(time.Duration(tasks[a]+tasks[b]) * time.Millisecond)
		h.done(plane.DoneRequest{Receipts: h.receipts(r.Bundles)})
	}
	ratio := float64(tasks[a]) / float64(tasks[b])
	require.Greater(t, ratio, 0.1, "%v", tasks)
	require.Less(t, ratio, 10.0, "%v", tasks)
}

func TestClosing(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(4)
	id := w.job(countSpec{Tasks: 1000, Bundle: 3, Units: 1}, 1<<40, 1<<30)
	w.phase(id, scheduler.PhaseRunning)
	r := h.lease(2)
	w.m.closeJob(id)
	w.phase(id, scheduler.PhaseDraining)
	require.Empty(t, h.lease(2).Bundles, "no new work")
	require.Empty(t, h.done(plane.DoneRequest{Receipts: h.receipts(r.Bundles)}).Refused, "but what was out is taken")
	x := w.ended(id)
	require.Equal(t, scheduler.PhaseDone, x.Phase)
	require.EqualValues(t, 6, w.m.job(id).Receipts)
	require.Equal(t, x.Units, w.m.job(id).claimed[h.key.Public()])
}

// TestSilentSends: transactions that fail, and ones whose answer is lost, change nothing
// but the time it takes.
func TestSilentSends(t *testing.T) {
	w := newWorld(t, nil)
	n := 0
	w.m.trouble = func(string) (before, after error) {
		switch n++; n % 3 {
		case 0:
			return errors.New("not sent"), nil
		case 1:
			return nil, errors.New("sent, but the answer is lost")
		}
		return nil, nil
	}
	id := w.job(countSpec{Tasks: 60, Bundle: 5, Units: 1}, 1<<40, 4)
	stop := w.labour(w.hand("ann"), w.hand("ben"), w.hand("cid"))
	x := w.ended(id)
	stop()
	require.Equal(t, scheduler.PhaseDone, x.Phase)
	require.Empty(t, w.m.faults)
	require.Len(t, w.exported(id), 60)
}

func TestChallenge(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	h.hello(4)
	id := w.job(countSpec{Tasks: 40, Bundle: 5, Units: 1}, 1<<40, 3)
	w.phase(id, scheduler.PhaseRunning)
	v := h.done(plane.DoneRequest{Receipts: h.receipts(h.lease(2).Bundles)}).Vouchers[0].Voucher
	w.until("an epoch is committed", func() bool { return w.m.job(id).Epochs >= 1 })
	w.m.mu.Lock()
	w.m.challenges[1] = &scheduler.Challenge{ID: 1, Job: id, Worker: h.key.Public(), Epoch: v.Epoch, Units: v.Units}
	w.m.mu.Unlock()
	w.until("the challenge is answered", func() bool { return w.m.sent("answer") == 1 })
}

func TestPlanError(t *testing.T) {
	w := newWorld(t, nil)
	w.s.Close()
	fails := 3
	w.kind.planFails = func() error {
		if fails > 0 {
			fails--
			return errors.New("the plan has a bad day")
		}
		return nil
	}
	w.start()
	id := w.job(countSpec{Tasks: 20, Bundle: 5, Units: 1}, 1<<40, 4)
	stop := w.labour(w.hand("ann"), w.hand("ben"))
	w.ended(id)
	stop()
	require.Len(t, w.exported(id), 20)
}

func TestProgressAndPay(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.hand("ann"), w.hand("ben")
	id := w.job(countSpec{Tasks: 30, Bundle: 3, Units: 1}, 1<<40, 3)
	_, _, err := w.s.Subscribe(id)
	require.ErrorIs(t, err, scheduler.ErrUnknownJob)
	w.phase(id, scheduler.PhaseRunning)
	changes, cancel, err := w.s.Subscribe(id)
	require.NoError(t, err)
	defer cancel()
	stop := w.labour(a, b)
	<-changes
	x := w.ended(id)
	stop()
	require.Equal(t, x.Units*10, x.Spent.Uint64())
	require.Zero(t, x.Queued)
	j := w.m.job(id)
	last := j.epochs[len(j.epochs)-1]
	for _, h := range []*hand{a, b} {
		p, err := w.s.PayOf(id, 0, h.key.Public())
		if j.claimed[h.key.Public()] == 0 {
			require.ErrorIs(t, err, scheduler.ErrNoPay)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, last.Pay, p.Root)
		_, err = p.Proof.Verify(last.Pay, work.PayLeaf(p.Worker, p.Units))
		require.NoError(t, err)
	}
	sum := uint64(0)
	root, err := w.s.PayList(id, last.Number, work.PublicKey{}, func(_ work.PublicKey, units uint64) bool { sum += units; return true })
	require.NoError(t, err)
	require.Equal(t, last.Pay, root)
	require.Equal(t, last.Pay.Sum, sum)
	_, err = w.s.PayOf(id, 99, a.key.Public())
	require.ErrorIs(t, err, scheduler.ErrNotSealed)
	_, err = w.s.PayOf(77, 0, a.key.Public())
	require.ErrorIs(t, err, scheduler.ErrUnknownJob)
}

func TestAnothersDatabase(t *testing.T) {
	w := newWorld(t, nil)
	w.s.Close()
	other := scheduler.Config{Chain: "test-2", Key: w.key, Ledger: w.link, Artifacts: w.blobs, Dir: "db", FS: w.fs}
	_, err := scheduler.Open(other)
	require.ErrorContains(t, err, "belongs to gateway")
	other.Chain, other.Key = w.m.chain, newKey(t)
	_, err = scheduler.Open(other)
	require.ErrorContains(t, err, "belongs to gateway")
	w.start()
}

func TestClosed(t *testing.T) {
	w := newWorld(t, nil)
	h := w.hand("ann")
	require.NoError(t, w.s.Close())
	require.NoError(t, w.s.Close())
	_, err := w.s.Lease(context.Background(), h.key.Public(), plane.LeaseRequest{})
	require.ErrorIs(t, err, scheduler.ErrClosed)
}
