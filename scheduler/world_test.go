package scheduler_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	rand2 "math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// count/1 is a kind whose tasks are numbers. Its plan holds the scheduler to the Plan
// contract: every outcome is told once, of a task that was given out.
const countName work.Name = "count/1"

type countSpec struct {
	_      struct{} `cbor:",toarray"`
	Tasks  uint64
	Bundle uint64
	Grow   bool // half of the tasks appear only once others are done
	Units  uint64
	Free   bool // results are worth nothing
	Pad    []byte
}

type countResult struct {
	_    struct{} `cbor:",toarray"`
	Seq  uint64
	Lies bool
}

type countKind struct{ planFails func() error }

func (countKind) Name() work.Name { return countName }

func (countKind) Check(spec []byte) (work.Needs, error) {
	s, err := work.Decode[countSpec](spec, work.MaxSpec)
	if err != nil || s.Bundle == 0 {
		return work.Needs{}, errors.New("not a count spec")
	}
	return work.Needs{UnitsPerTask: s.Units + 2, TaskTime: time.Minute}, nil
}

func (countKind) Meter(t work.Task, r work.Result) (uint64, error) {
	s, err := work.Decode[countSpec](t.Spec, work.MaxSpec)
	if err != nil {
		return 0, err
	}
	c, err := work.Decode[countResult](r.Body, 64)
	if err != nil || c.Seq != t.Seq {
		return 0, fmt.Errorf("the result of another task: %w", err)
	}
	if s.Free {
		return 0, nil
	}
	return s.Units + t.Seq%3, nil
}

func (countKind) Execute(_ context.Context, _ work.Env, t work.Task) (work.Result, error) {
	b, err := work.Encode(countResult{Seq: t.Seq})
	return work.Result{Body: b}, err
}

func (countKind) Verify(_ context.Context, _ work.Env, _ work.Task, r work.Result) (work.Verdict, error) {
	c, err := work.Decode[countResult](r.Body, 64)
	if err != nil || c.Lies {
		return work.Verdict{Outcome: work.Fail, Label: work.Agreed}, nil
	}
	return work.Verdict{Outcome: work.Pass, Label: work.Agreed}, nil
}

func (countKind) Spoil(_ context.Context, _ work.Env, t work.Task, right work.Result) (work.Result, error) {
	c, err := work.Decode[countResult](right.Body, 64)
	if err != nil || c.Lies {
		return work.Result{}, work.ErrUnspoilable
	}
	b, err := work.Encode(countResult{Seq: t.Seq, Lies: true})
	return work.Result{Body: b}, err
}

func (k countKind) Plan(_ context.Context, job work.JobID, spec []byte, state work.State, _ work.PlanEnv) (work.Plan, error) {
	s, err := work.Decode[countSpec](spec, work.MaxSpec)
	if err != nil {
		return nil, err
	}
	p := &countPlan{spec: s, job: job, state: state, fails: k.planFails}
	err = state.Scan(nil, nil, func(key, value []byte) bool {
		switch key[0] {
		case 'g':
			p.given++
		case 'd':
			p.done++
		}
		return true
	})
	return p, err
}

type countPlan struct {
	spec        countSpec
	job         work.JobID
	state       work.State
	given, done uint64
	fails       func() error
}

func seqKey(space byte, seq uint64) []byte { return fmt.Appendf(nil, "%c%020d", space, seq) }

func (p *countPlan) known() uint64 {
	if p.spec.Grow {
		return min(p.spec.Tasks, p.spec.Tasks/2+p.done+1)
	}
	return p.spec.Tasks
}

func (p *countPlan) Next(b work.Batch, limit int) ([]work.Bundle, error) {
	if p.fails != nil {
		if err := p.fails(); err != nil {
			return nil, err
		}
	}
	var bundles []work.Bundle
	for n := 0; n < limit && p.given < p.known(); {
		var bundle work.Bundle
		for uint64(len(bundle.Tasks)) < p.spec.Bundle && n < limit && p.given < p.known() {
			p.given++
			n++
			b.Set(seqKey('g', p.given), []byte{1})
			bundle.Tasks = append(bundle.Tasks, work.Task{Job: p.job, Seq: p.given, Body: append(fmt.Appendf(nil, "task %d", p.given), p.spec.Pad...)})
		}
		bundles = append(bundles, bundle)
	}
	return bundles, nil
}

func (p *countPlan) Done(b work.Batch, outcomes []work.Outcome) error {
	for _, o := range outcomes {
		given, err := p.state.Get(seqKey('g', o.Task.Seq))
		if err != nil || given == nil {
			return fmt.Errorf("outcome of task %d, which was never given out: %w", o.Task.Seq, err)
		}
		if done, err := p.state.Get(seqKey('d', o.Task.Seq)); err != nil || done != nil {
			return fmt.Errorf("outcome of task %d a second time: %w", o.Task.Seq, err)
		}
		b.Set(seqKey('d', o.Task.Seq), []byte{1})
		p.done++
	}
	return nil
}

func (p *countPlan) Status() work.PlanStatus {
	return work.PlanStatus{
		Queued: p.known() - p.given, Out: p.given - p.done, Done: p.done,
		Finished: p.done == p.spec.Tasks, Counts: map[string]uint64{"numbers": p.done},
	}
}

func (p *countPlan) Close() error { return nil }

// clock is a clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// world is a scheduler with a model ledger and workers that the test plays.
type world struct {
	t     testing.TB
	m     *model
	link  *link
	key   work.PrivateKey
	fs    vfs.FS
	blobs *artifact.Memory
	clock *clock
	kind  countKind
	cfg   func(*scheduler.Config)
	s     *scheduler.Scheduler
	wake  chan work.PublicKey
}

func newKey(t testing.TB) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

func newWorld(t testing.TB, cfg func(*scheduler.Config)) *world {
	blobs, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	w := &world{t: t, key: newKey(t), fs: vfs.NewCrashableMem(), blobs: blobs, cfg: cfg, clock: &clock{now: time.Unix(1_800_000_000, 0)}, wake: make(chan work.PublicKey, 1<<12)}
	w.m = newModel(w.key.Public())
	w.start()
	t.Cleanup(func() { w.s.Close() })
	return w
}

func (w *world) start() {
	w.link = &link{m: w.m}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("CANTUS_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	cfg := scheduler.Config{
		Chain: w.m.chain, Key: w.key, Ledger: w.link, Kinds: []work.Kind{w.kind}, Artifacts: w.blobs,
		Dir: "db", FS: w.fs, Now: w.clock.Now, Log: log, ClaimForWorkers: true,
		Nudge: func(k work.PublicKey) {
			select {
			case w.wake <- k:
			default:
			}
		},
	}
	if w.cfg != nil {
		w.cfg(&cfg)
	}
	var err error
	w.s, err = scheduler.Open(cfg)
	require.NoError(w.t, err)
}

func (w *world) job(spec countSpec, escrow, epochBlocks int64) work.JobID {
	b, err := work.Encode(spec)
	require.NoError(w.t, err)
	d, err := w.blobs.Put(context.Background(), b)
	require.NoError(w.t, err)
	return w.m.open(countName, d, escrow, 10, epochBlocks)
}

// until makes blocks until ok.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s; jobs: %+v; faults: %v", what, w.s.Jobs(), w.m.faults)
		}
		w.m.block()
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *world) phase(id work.JobID, p scheduler.Phase) {
	w.t.Helper()
	w.until(fmt.Sprintf("job %d is %s", id, p), func() bool {
		x, err := w.s.Progress(id)
		// A job that runs has tasks to lease once its plan is open.
		return err == nil && x.Phase == p && (p != scheduler.PhaseRunning || x.Queued+x.Out > 0)
	})
}

// ended waits until nothing is left to do for a job.
func (w *world) ended(id work.JobID) scheduler.Progress {
	w.t.Helper()
	var x scheduler.Progress
	w.until(fmt.Sprintf("job %d is over", id), func() bool {
		var err error
		x, err = w.s.Progress(id)
		return err == nil && !x.EndedAt.IsZero()
	})
	return x
}

// hand is a worker that the test plays.
type hand struct {
	w        *world
	key      work.PrivateKey
	lies     bool
	audits   bool
	blind    bool        // passes whatever it is to audit
	unruly   *rand2.Rand // repeats itself, reports late and in any order; nil for a hand that does not
	late     []work.SignedReceipt
	vouchers map[work.JobID]work.Voucher
	sealed   map[string]plane.VerdictReveal
	acked    func(work.SignedReceipt)
}

func (w *world) hand(operator string) *hand {
	h := &hand{w: w, key: newKey(w.t), audits: true, vouchers: map[work.JobID]work.Voucher{}, sealed: map[string]plane.VerdictReveal{}}
	w.m.enroll(h.key.Public(), operator, countName)
	return h
}

func (h *hand) hello(capacity uint32) {
	_, err := h.w.s.Hello(context.Background(), h.key.Public(), plane.HelloRequest{Kinds: []work.Name{countName}, Capacity: capacity})
	require.NoError(h.w.t, err)
}

func (h *hand) lease(bundles uint32, holding ...plane.LeaseID) plane.LeaseReply {
	h.w.t.Helper()
	r, err := h.w.s.Lease(context.Background(), h.key.Public(), plane.LeaseRequest{Max: bundles, Kinds: []work.Name{countName}, Holding: holding})
	require.NoError(h.w.t, err)
	return r
}

func (h *hand) done(r plane.DoneRequest) plane.DoneReply {
	h.w.t.Helper()
	reply, err := h.w.s.Done(context.Background(), h.key.Public(), r)
	require.NoError(h.w.t, err)
	return reply
}

// receipt does a task.
func (h *hand) receipt(b plane.Bundle, l plane.Lease) work.SignedReceipt {
	ctx := context.Background()
	spec, err := h.w.blobs.Get(ctx, b.Spec, 0)
	require.NoError(h.w.t, err)
	t := work.Task{Job: b.Job, Seq: l.Seq, Spec: spec, Body: l.Body}
	res, err := h.w.kind.Execute(ctx, work.Env{}, t)
	require.NoError(h.w.t, err)
	if h.lies {
		res.Body, err = work.Encode(countResult{Seq: l.Seq, Lies: true})
		require.NoError(h.w.t, err)
	}
	d, err := h.w.blobs.Put(ctx, res.Body)
	require.NoError(h.w.t, err)
	units, err := h.w.kind.Meter(t, res)
	require.NoError(h.w.t, err)
	s, err := work.SignReceipt(h.key, work.Receipt{Chain: h.w.m.chain, Job: b.Job, Seq: l.Seq, Attempt: l.Attempt, Task: t.Digest(), Result: d, Units: units, Started: 1, Finished: 2})
	require.NoError(h.w.t, err)
	return s
}

func (h *hand) receipts(bundles []plane.Bundle) (rs []work.SignedReceipt) {
	for _, b := range bundles {
		for _, l := range b.Tasks {
			rs = append(rs, h.receipt(b, l))
		}
	}
	return rs
}

// disturb has an unruly hand keep some receipts for later, send older ones again and mix
// them all.
func (h *hand) disturb(req *plane.DoneRequest) {
	if h.unruly == nil {
		return
	}
	rs := append(req.Receipts, h.late...)
	h.unruly.Shuffle(len(rs), func(i, k int) { rs[i], rs[k] = rs[k], rs[i] })
	n := len(rs)
	if n > 1 {
		n -= h.unruly.IntN(n / 2)
	}
	req.Receipts, h.late = rs[:n:n], append([]work.SignedReceipt{}, rs[n:]...)
	if n > 0 && h.unruly.IntN(2) == 0 {
		req.Receipts = append(req.Receipts, rs[h.unruly.IntN(n)])
		h.late = append(h.late, rs[h.unruly.IntN(n)])
	}
	if len(h.late) > 40 {
		h.late = h.late[20:]
	}
}

// turn asks for work, does it and reports it. It reports whether there was any.
func (h *hand) turn(ctx context.Context) (bool, error) {
	reply, err := h.w.s.Lease(ctx, h.key.Public(), plane.LeaseRequest{Max: 4, Kinds: []work.Name{countName}})
	if err != nil {
		return false, err
	}
	req := plane.DoneRequest{Receipts: h.receipts(reply.Bundles)}
	h.disturb(&req)
	for _, a := range reply.Audits {
		if h.audits {
			req.Verdicts = append(req.Verdicts, h.audit(a))
		}
	}
	for _, r := range reply.Reveals {
		if v, ok := h.sealed[fmt.Sprint(r)]; ok {
			req.Reveals = append(req.Reveals, v)
		}
	}
	if len(req.Receipts)+len(req.Verdicts)+len(req.Reveals) == 0 {
		return false, nil
	}
	done, err := h.w.s.Done(ctx, h.key.Public(), req)
	if err != nil {
		return true, err
	}
	if h.unruly != nil && h.unruly.IntN(3) == 0 { // the reply was lost, say
		if done, err = h.w.s.Done(ctx, h.key.Public(), req); err != nil {
			return true, err
		}
	}
	refused := map[uint64]bool{}
	for _, r := range done.Refused {
		refused[r.Seq] = true
	}
	for _, v := range done.Vouchers {
		if err := v.Verify(); err != nil {
			return true, err
		}
		h.vouchers[v.Voucher.Job] = v.Voucher
	}
	for _, r := range req.Receipts {
		if !refused[r.Receipt.Seq] && h.acked != nil {
			h.acked(r)
		}
	}
	return true, nil
}

func (h *hand) audit(a plane.Audit) plane.VerdictCommit {
	t := h.w.t
	ctx := context.Background()
	signed, err := work.DecodeReceipt(a.Receipt)
	require.NoError(t, err)
	spec, err := h.w.blobs.Get(ctx, a.Spec, 0)
	require.NoError(t, err)
	task := work.Task{Job: a.Job, Seq: a.Seq, Spec: spec, Body: a.Body}
	require.Equal(t, signed.Receipt.Task, task.Digest(), "the order is for the receipt's task")
	body, err := h.w.blobs.Get(ctx, signed.Receipt.Result, 0)
	require.NoError(t, err)
	v, err := h.w.kind.Verify(ctx, work.Env{}, task, work.Result{Body: body})
	require.NoError(t, err)
	if h.blind {
		v.Outcome = work.Pass
	}
	id := work.VerdictID{Chain: h.w.m.chain, Job: a.Job, Epoch: a.Epoch, Sample: a.Sample, Auditor: h.key.Public()}
	key := fmt.Sprint(plane.Reveal{Job: a.Job, Epoch: a.Epoch, Sample: a.Sample})
	reveal, again := h.sealed[key]
	if !again {
		reveal = plane.VerdictReveal{Job: a.Job, Epoch: a.Epoch, Sample: a.Sample, Outcome: v.Outcome, Evidence: v.Evidence}
		_, err = rand.Read(reveal.Salt[:])
		require.NoError(t, err)
		h.sealed[key] = reveal
	}
	c, err := v.Commitment(id, reveal.Salt)
	require.NoError(t, err)
	sig, err := h.key.SignCommitment(id, c)
	require.NoError(t, err)
	return plane.VerdictCommit{Job: a.Job, Epoch: a.Epoch, Sample: a.Sample, Commitment: c, Signature: sig}
}

// labour lets hands work until stopped.
func (w *world) labour(hands ...*hand) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, h := range hands {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for ctx.Err() == nil {
				busy, err := h.turn(ctx)
				if err != nil && ctx.Err() == nil {
					w.t.Errorf("worker %s: %v", h.key.Public().Short(), err)
					return
				}
				if !busy {
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	stop = func() { cancel(); wg.Wait() }
	w.t.Cleanup(stop)
	return stop
}

// exported reads all sealed receipts of a job, checking that they rebuild the roots that
// the ledger has.
func (w *world) exported(id work.JobID) map[uint64]work.SignedReceipt {
	t := w.t
	t.Helper()
	all := map[uint64]work.SignedReceipt{}
	leaves := map[uint64][]work.Node{}
	_, _, err := w.s.Receipts(context.Background(), id, scheduler.Cursor{}, func(r scheduler.SealedReceipt) bool {
		s, err := work.DecodeReceipt(r.Receipt)
		require.NoError(t, err)
		require.NoError(t, s.Verify())
		require.NotContains(t, all, s.Receipt.Seq, "a task was accepted twice")
		all[s.Receipt.Seq] = s
		require.Equal(t, uint64(len(leaves[r.Epoch])), r.Index)
		leaves[r.Epoch] = append(leaves[r.Epoch], work.ReceiptLeaf(r.Receipt, s.Receipt.Units))
		return true
	})
	require.NoError(t, err)
	j := w.m.job(id)
	for _, e := range j.epochs {
		tree, err := work.NewTree(leaves[e.Number])
		require.NoError(t, err)
		require.Equal(t, e.Receipts, tree.Root(), "epoch %d", e.Number)
	}
	return all
}
