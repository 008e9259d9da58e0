package desk_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/desk"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// world is a ledger, a scheduler and a gateway's inference that do what the test says.
type world struct {
	t     *testing.T
	voice *voice.Voice
	key   work.PrivateKey // the gateway's, and that of its only worker
	store artifact.Store

	mu        sync.Mutex
	height    int64
	request   types.Request
	epoch     *worktypes.Epoch
	asked     []claim.Task
	done      []infer.Answered
	sealed    bool
	closed    bool // the plan
	refuse    error
	unable    error // of Ask
	failed    int   // how often Ask was
	delivered []types.Evidence
	concluded int

	pages desk.Pages   // instead of the world's own models
	log   *slog.Logger // nil for none
}

func newWorld(t *testing.T, policy uint32) *world {
	v, err := voice.New([32]byte{1}, modeltest.Vocabulary(), voice.Plain(modeltest.Vocabulary()))
	require.NoError(t, err)
	w := &world{t: t, voice: v, height: 10}
	w.key, err = work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	fs, err := artifact.OpenFS(t.TempDir(), artifact.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { fs.Close() })
	w.store = fs
	m, _, err := desk.Offer("gateway", "", w.key.Public(), v, 512, desk.Prices{Price: math.NewInt(5), DeliveryFee: math.NewInt(7), PromptUnits: 2, OutputUnits: 3, AuditBps: 10_000, Epoch: 1, Expiry: 100})
	require.NoError(t, err)
	id := v.ID()
	w.request = types.Request{Id: 3, Job: 8, Policy: policy, Speaker: id[:], Prompt: []byte("ab"), Sampling: types.Sampling{MaxTokens: 2}, Terms: m.Terms, Status: types.Status_STATUS_OPEN}
	return w
}

// run has a desk at work until what is wanted came about, and ends it.
func (w *world) run(until func() bool) {
	c := desk.Config{Key: w.key.Public(), Ledger: w, Scheduler: w, Artifacts: w.store, Log: w.log, Pages: w.pages}
	if w.pages == nil {
		c.Models = w
	}
	d, err := desk.New(c)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	require.Eventually(w.t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return until() }, 20*time.Second, time.Millisecond)
}

// answer has the worker do what was asked last.
func (w *world) answer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	task, err := w.asked[len(w.asked)-1].Encode()
	require.NoError(w.t, err)
	result, err := (&claim.Result{Output: []uint32{5, 6}, Finish: claim.Length}).Encode()
	require.NoError(w.t, err)
	w.signs(w.key, task, result)
}

// signs has a worker give its word for a result. The caller holds w.mu.
func (w *world) signs(worker work.PrivateKey, task, result []byte) {
	r, err := work.SignReceipt(worker, work.Receipt{Chain: "c", Job: 8, Seq: uint64(len(w.done) + 1), Attempt: 1, Task: artifact.Sum(task), Result: artifact.Sum(result), Units: 4, Started: 1, Finished: 2})
	require.NoError(w.t, err)
	b, err := r.Encode()
	require.NoError(w.t, err)
	w.done = append(w.done, infer.Answered{Receipt: b, Task: task, Result: result})
}

func (w *world) WaitHeight(ctx context.Context, _ int64) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(time.Millisecond):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.height++
	return w.height, nil
}

func (w *world) Open(context.Context) ([]types.Request, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.request.Over() {
		return nil, nil
	}
	return []types.Request{w.request}, nil
}

func (w *world) Speaker(context.Context, speaker.ID) (*speaker.Speaker, error) {
	return w.voice.Speaker(), nil
}
func (w *world) Speaks(*speaker.Speaker) (*voice.Voice, error) { return w.voice, nil }
func (w *world) Operator(_ context.Context, key work.PublicKey) (string, error) {
	return "operator of " + key.String(), nil
}
func (w *world) Forfeited(context.Context, work.JobID, work.PublicKey) (bool, error) {
	return false, nil
}

func (w *world) Job(context.Context, work.JobID) (worktypes.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return worktypes.Job{Status: worktypes.JobStatus_JOB_STATUS_CLOSED}, nil
	}
	return worktypes.Job{Status: worktypes.JobStatus_JOB_STATUS_OPEN}, nil
}

func (w *world) Epoch(context.Context, work.JobID, uint64) (worktypes.Epoch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch == nil {
		return worktypes.Epoch{}, desk.ErrAbsent
	}
	return *w.epoch, nil
}

func (w *world) Deliver(_ context.Context, id uint64, evidence []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		err := w.refuse
		w.refuse = nil
		return err
	}
	var e types.Evidence
	if err := e.Unmarshal(evidence); err != nil {
		return err
	}
	w.delivered = append(w.delivered, e)
	w.request.Status = types.Status_STATUS_FINAL
	if w.request.Policy == types.Optimistic {
		w.request.Status, w.request.Epoch, w.request.Worker = types.Status_STATUS_ANSWERED, 1, make([]byte, 32)
		k := w.key.Public()
		copy(w.request.Worker, k[:])
	}
	return nil
}

func (w *world) Conclude(context.Context, uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.concluded++
	w.request.Status = types.Status_STATUS_FAILED
	return nil
}

func (w *world) Progress(work.JobID) (scheduler.Progress, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return scheduler.Progress{Phase: scheduler.PhaseDone}, nil
	}
	return scheduler.Progress{Phase: scheduler.PhaseRunning, Spent: new(big.Int)}, nil
}

func (w *world) Receipts(_ context.Context, _ work.JobID, at scheduler.Cursor, f func(scheduler.SealedReceipt) bool) (scheduler.Cursor, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed {
		for i, a := range w.done {
			f(scheduler.SealedReceipt{Epoch: 1, Index: uint64(i), Receipt: a.Receipt, Body: a.Task})
		}
	}
	return at, false, nil
}

func (w *world) Ask(_ work.JobID, t claim.Task) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unable != nil {
		w.failed++
		return w.unable
	}
	w.asked = append(w.asked, t)
	return nil
}

func (w *world) Answered(work.JobID) ([]infer.Answered, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, 0, infer.ErrNotOpen
	}
	return append([]infer.Answered(nil), w.done...), len(w.asked) - len(w.done), nil
}

func status(s worktypes.EpochStatus) *worktypes.Epoch { return &worktypes.Epoch{Number: 1, Status: s} }

// audited is a settled epoch whose first receipts were drawn, with what came of it.
func audited(samples ...worktypes.SampleStatus) *worktypes.Epoch {
	e := status(worktypes.EpochStatus_EPOCH_STATUS_SETTLED)
	for i, s := range samples {
		e.Samples = append(e.Samples, worktypes.Sample{Index: uint64(i), Receipt: []byte{1}, Status: s})
	}
	return e
}

const upheld = worktypes.SampleStatus_SAMPLE_STATUS_UPHELD

// A request is asked once, answered when its policy allows it, and by the evidence that the
// ledger can check; a desk that starts anew in between asks nobody again.
func TestASafeRequest(t *testing.T) {
	w := newWorld(t, types.Safe)
	w.run(func() bool { return len(w.asked) > 0 })
	prompt, err := w.voice.Prompt([]byte("ab"))
	require.NoError(t, err)
	require.Equal(t, *w.voice.Speaker().Task(prompt, 3, speaker.Params{MaxTokens: 2}), w.asked[0])
	has, err := w.store.Has(t.Context(), artifact.Digest(w.request.Terms.SpecDigest))
	require.NoError(t, err)
	require.True(t, has[0], "the scheduler finds the spec")

	w.answer()
	w.sealed, w.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_SAMPLED)
	from := w.height
	w.run(func() bool { return w.height > from+20 })
	require.Empty(t, w.delivered, "not before the epoch settled")
	// The job is at its end: what the worker answered is in the artifact store.
	w.closed, w.epoch = true, audited(upheld)
	w.refuse = errors.Join(desk.ErrRefused, errors.New("a moment please"))
	w.run(func() bool { return len(w.delivered) > 0 })
	require.Len(t, w.asked, 1)
	e := w.delivered[0]
	require.Equal(t, w.done[0].Receipt, e.Testimonies[0].Receipt)
	sp, err := w.voice.Speaker().Open(e.Spelling)
	require.NoError(t, err)
	require.NoError(t, w.voice.Speaker().Prompt([]byte("ab"), prompt, sp))
	_, err = w.voice.Speaker().Answer([]uint32{5, 6}, sp)
	require.NoError(t, err)
	require.Zero(t, w.concluded)
}

func TestAnOptimisticRequestIsConcluded(t *testing.T) {
	w := newWorld(t, types.Optimistic)
	w.run(func() bool { return len(w.asked) > 0 })
	w.answer()
	w.sealed, w.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_SAMPLED)
	w.run(func() bool { return len(w.delivered) > 0 })
	from := w.height
	w.run(func() bool { return w.height > from+20 })
	require.Zero(t, w.concluded, "nothing is known yet")
	w.epoch = status(worktypes.EpochStatus_EPOCH_STATUS_VOID)
	w.run(func() bool { return w.concluded > 0 })
}

func TestAVoidEpochIsAskedAgain(t *testing.T) {
	w := newWorld(t, types.Safe)
	w.run(func() bool { return len(w.asked) == 1 })
	w.answer()
	w.sealed, w.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_VOID)
	w.run(func() bool { return len(w.asked) == 2 })
	w.closed = true
	w.run(func() bool { return w.concluded == 1 })
	require.Empty(t, w.delivered)
}

// Where all answers are to be audited, one that nobody looked at is not good enough for the
// safe policy: another worker is asked.
func TestAnUnauditedAnswerIsAskedAgain(t *testing.T) {
	for name, e := range map[string]*worktypes.Epoch{
		"not drawn": audited(), "nobody could": audited(worktypes.SampleStatus_SAMPLE_STATUS_UNAUDITED),
		"not upheld": audited(worktypes.SampleStatus_SAMPLE_STATUS_UNDECIDED), "false": audited(worktypes.SampleStatus_SAMPLE_STATUS_FALSE),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, types.Safe)
			w.run(func() bool { return len(w.asked) == 1 })
			w.answer()
			w.sealed, w.epoch = true, e
			w.run(func() bool { return len(w.asked) == 2 })
			require.Empty(t, w.delivered)
		})
	}
}

// What does not change is told once: a gateway without workers for a model does not fill its
// log.
func TestTroubleIsToldOnce(t *testing.T) {
	var told bytes.Buffer
	w := newWorld(t, types.Safe)
	w.log = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.unable = errors.New("no worker holds the model")
	w.run(func() bool {
		if w.failed == 4 {
			w.unable = errors.New("no worker has room")
		}
		return w.failed >= 7
	})
	require.Equal(t, 1, strings.Count(told.String(), "no worker holds the model"), told.String())
	require.Equal(t, 1, strings.Count(told.String(), "no worker has room"), told.String())
}
