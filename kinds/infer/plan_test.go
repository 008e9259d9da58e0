package infer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

func decode(t testing.TB, r io.Reader, v any) { require.NoError(t, json.NewDecoder(r).Decode(v)) }

func TestAnswerComesWithItsProof(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	for name, q := range map[string]claim.Task{
		"plain":         question(1, 12),
		"probabilities": func() claim.Task { q := question(2, 12); q.LogProbs, q.Top = true, 4; return q }(),
		"embedding":     {Prompt: []uint32{1, 70, 80}, Embed: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.mustAsk(w.mint(nil), q)
			task := w.one()
			r, err := w.execute(worker, task, 0)
			require.NoError(t, err)
			shown := make(chan []answer.Step, 1)
			go func() {
				s, err := all(a) // ends before the receipt is there
				require.NoError(t, err)
				shown <- s
			}()
			if !q.Embed {
				require.Len(t, <-shown, 12)
			}
			w.done(w.outcome(key(t, 9), task, r))
			p, err := a.Proof()
			require.NoError(t, err)
			require.NoError(t, p.Check())
			require.NoError(t, p.CheckSpec(w.raw))
			require.Equal(t, task.Seq+shift, p.Seq)
			require.Equal(t, "noise", p.Name)
			require.Equal(t, "2500", p.Price)
			asked, res, err := p.Claim()
			require.NoError(t, err)
			if q.Embed {
				require.Len(t, res.Embedding, 48)
				require.EqualValues(t, len(q.Prompt), p.Units)
			} else {
				require.Len(t, res.Output, 12)
				require.EqualValues(t, len(q.Prompt)+12*3, p.Units)
				require.Equal(t, q.Sampling, asked.Sampling)
			}
			b, err := json.Marshal(p)
			require.NoError(t, err)
			again, err := answer.Parse(b)
			require.NoError(t, err)
			require.Equal(t, p, again)
		})
	}
}

func TestSeedsThatNobodyGaveAreDrawn(t *testing.T) {
	w := newWorld(t, infer.Options{Rand: seedBytes(42)}, nil)
	q := question(1, 4)
	q.Sampling.Seed = [32]byte{}
	w.mustAsk(w.mint(nil), q)
	got, err := claim.DecodeTask(w.one().Body)
	require.NoError(t, err)
	require.EqualValues(t, 42, got.Sampling.Seed[31])
	q.Sampling.Temperature, q.Sampling.TopP = 0, 0
	w.mustAsk(w.mint(nil), q)
	got, err = claim.DecodeTask(w.one().Body)
	require.NoError(t, err)
	require.Zero(t, got.Sampling.Seed, "greedy answers need none")
}

// TestAnotherWorkerGoesOn lets workers die in the middle of an answer.
func TestAnotherWorkerGoesOn(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	first := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	second := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	q := question(3, 20)
	q.LogProbs, q.Top = true, 2
	a := w.mustAsk(w.mint(nil), q)
	task := w.one()
	_, err := w.execute(first, task, 7)
	require.Error(t, err)
	seen, err := a.Next()
	require.NoError(t, err)
	require.Len(t, seen, 7)
	_, err = w.execute(second, task, 3) // and again, before it gets as far
	require.Error(t, err)
	r, err := w.execute(second, task, 0)
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), task, r))
	rest, err := all(a)
	require.NoError(t, err)
	p, err := a.Proof()
	require.NoError(t, err)
	_, res, err := p.Claim()
	require.NoError(t, err)
	require.Equal(t, answer.Steps(res), append(seen, rest...))
	units, n := w.spending(tab.KeyID{1})
	require.EqualValues(t, 5+20*3, units)
	require.EqualValues(t, 1, n)
}

func TestAnotherWorkerSaysOtherwise(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	a := w.mustAsk(w.mint(nil), question(3, 20))
	task := w.one()
	c, err := claim.DecodeTask(task.Body)
	require.NoError(t, err)
	lie, err := answer.Part{Steps: []answer.Step{{Token: 77}, {Token: 77}, {Token: 77}}}.Encode(c)
	require.NoError(t, err)
	require.True(t, w.plan.(work.Audience).Part(task.Seq, work.PublicKey{}, lie))
	r, err := w.execute(worker, task, 0) // is told to stop
	require.NoError(t, err)
	res, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	require.Less(t, len(res.Output), 20)
	w.done(w.outcome(key(t, 9), task, r))
	_, err = all(a)
	refusal(t, err, "contradiction")
	_, err = a.Proof()
	refusal(t, err, "contradiction")
	units, _ := w.spending(tab.KeyID{1})
	require.NotZero(t, units, "the honest one is paid for what it did")
	require.Zero(t, w.reserved(tab.KeyID{1}))
}

func TestReceiptForAnotherAnswer(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	a := w.mustAsk(w.mint(nil), question(3, 5))
	task := w.one()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	res, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	res.Output[2]++
	body, err := res.Encode()
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), task, work.Result{Body: body}))
	_, err = a.Proof()
	refusal(t, err, "contradiction")
}

func TestPartsThatAreNone(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	a := w.mustAsk(w.mint(nil), question(3, 5))
	task := w.one()
	c, err := claim.DecodeTask(task.Body)
	require.NoError(t, err)
	audience := w.plan.(work.Audience)
	gap, err := answer.Part{Offset: 3, Steps: []answer.Step{{Token: 7}}}.Encode(c)
	require.NoError(t, err)
	for _, part := range [][]byte{nil, {}, []byte("garbage"), make([]byte, work.MaxPart+1), gap} {
		require.True(t, audience.Part(task.Seq, work.PublicKey{}, part))
	}
	require.False(t, audience.Part(task.Seq+1, work.PublicKey{}, nil), "nobody waits for a task that is not out")
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), task, r))
	steps, err := all(a)
	require.NoError(t, err)
	require.Len(t, steps, 5)

	b := w.mustAsk(w.mint(nil), question(3, 5))
	task = w.one()
	beyond, err := answer.Part{Steps: []answer.Step{{Token: claim.MaxVocab - 1}}}.Encode(c)
	require.NoError(t, err)
	require.False(t, audience.Part(task.Seq, work.PublicKey{}, beyond))
	_, err = all(b)
	refusal(t, err, "contradiction")
}

func TestWhoHangsUpPaysForWhatWasDone(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	ctx, cancel := context.WithCancel(t.Context())
	a, err := w.ask(ctx, w.mint(nil), question(4, 400))
	require.NoError(t, err)
	task := w.one()
	go func() {
		_, _ = a.Next()
		cancel()
	}()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	res, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	require.Equal(t, claim.Cancelled, res.Finish)
	require.Less(t, len(res.Output), 400)
	_, err = a.Proof()
	require.ErrorIs(t, err, context.Canceled)
	w.done(w.outcome(key(t, 9), task, r))
	units, _ := w.spending(tab.KeyID{1})
	require.EqualValues(t, 5+3*len(res.Output), units)
	require.Zero(t, w.reserved(tab.KeyID{1}))

	// While it waits it just leaves.
	ctx, cancel = context.WithCancel(t.Context())
	a, err = w.ask(ctx, w.mint(nil), question(4, 400))
	require.NoError(t, err)
	cancel()
	_, err = all(a)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, w.next(10))
	require.Zero(t, w.reserved(tab.KeyID{1}))
}

func TestStoppedAnswersHaveAProof(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	a := w.mustAsk(w.mint(nil), question(4, 400))
	task := w.one()
	var seen atomic.Int32
	go func() {
		s, _ := a.Next()
		seen.Store(int32(len(s)))
		a.Stop()
	}()
	r, err := w.execute(worker, task, 0)
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), task, r))
	p, err := a.Proof()
	require.NoError(t, err)
	require.NoError(t, p.Check())
	_, res, err := p.Claim()
	require.NoError(t, err)
	require.Equal(t, claim.Cancelled, res.Finish)
	require.GreaterOrEqual(t, len(res.Output), int(seen.Load()))

	b := w.mustAsk(w.mint(nil), question(4, 400))
	b.Stop()
	_, err = all(b)
	require.NoError(t, err)
	_, err = b.Proof()
	refusal(t, err, "no_receipt")
	require.Empty(t, w.next(10))
}

func TestFailuresAreAskedAgainOnce(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	cut := func(task work.Task) work.Result { // a worker that stops although its client waits
		r, err := w.execute(worker, task, 0)
		require.NoError(t, err)
		res, err := claim.DecodeResult(r.Body)
		require.NoError(t, err)
		res.Output, res.Finish = res.Output[:2], claim.Cancelled
		body, err := res.Encode()
		require.NoError(t, err)
		return work.Result{Body: body}
	}
	a := w.mustAsk(w.mint(nil), question(5, 6))
	task := w.one()
	w.done(work.Outcome{Task: task, Failed: true, Reason: "broken"})
	again := w.one()
	require.Equal(t, task.Body, again.Body)
	require.NotEqual(t, task.Seq, again.Seq)
	r, err := w.execute(worker, again, 0)
	require.NoError(t, err)
	w.done(w.outcome(key(t, 9), again, r))
	steps, err := all(a)
	require.NoError(t, err)
	require.Len(t, steps, 6)

	b := w.mustAsk(w.mint(nil), question(5, 6))
	task = w.one()
	w.done(w.outcome(key(t, 9), task, cut(task)))
	again = w.one()
	w.done(work.Outcome{Task: again, Failed: true, Reason: "broken"})
	_, err = b.Proof()
	refusal(t, err, "workers_failed")
	require.Empty(t, w.next(10))
	units, _ := w.spending(tab.KeyID{1})
	require.EqualValues(t, 5+6*3+5+2*3, units)
	require.Zero(t, w.reserved(tab.KeyID{1}))
	require.EqualValues(t, 2, w.plan.Status().Failed)
	require.False(t, w.plan.Status().Finished)
}

// TestNothingIsLostInACrash forgets what the gateway has in memory while requests wait and
// tasks are out.
func TestNothingIsLostInACrash(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	token := w.mint(nil)
	out, waits := w.mustAsk(token, question(6, 50)), w.mustAsk(token, question(7, 50))
	task := w.one()
	w.crash()
	for _, a := range []openai.Answer{out, waits} {
		_, err := all(a)
		require.Positive(t, refusal(t, err, "tab_closed").Retry)
	}
	require.Empty(t, w.next(10), "who waited has gone")
	require.EqualValues(t, 5+50*3, w.reserved(tab.KeyID{1}))
	r, err := w.execute(worker, task, 0) // nobody waits, so it stops
	require.NoError(t, err)
	res, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	require.Equal(t, claim.Cancelled, res.Finish)
	w.done(w.outcome(key(t, 9), task, r))
	units, n := w.spending(tab.KeyID{1})
	require.EqualValues(t, 5+3*len(res.Output), units)
	require.EqualValues(t, 1, n)
	require.Zero(t, w.reserved(tab.KeyID{1}))
	w.crash()
	again, _ := w.spending(tab.KeyID{1})
	require.Equal(t, units, again)
	require.EqualValues(t, 1, w.plan.Status().Done)
	w.mustAsk(token, question(8, 5))
	require.Greater(t, w.one().Seq, task.Seq, "numbers are not used twice")
}

func TestKeysTakeTurns(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	for i := range 30 {
		w.mustAsk(w.mint(nil), question(byte(i), 5))
	}
	for i := range 3 {
		w.mustAsk(w.mint(func(k *tab.Key) { k.ID = tab.KeyID{2} }), question(byte(100+i), 5))
	}
	var second []int
	for i := range 33 {
		c, err := claim.DecodeTask(w.one().Body)
		require.NoError(t, err)
		if c.Sampling.Seed[0] > 100 {
			second = append(second, i)
		}
	}
	require.Equal(t, []int{1, 3, 5}, second)
}

func TestNothingHappensForTooLong(t *testing.T) {
	w := newWorld(t, infer.Options{Patience: 100 * time.Millisecond}, nil)
	a := w.mustAsk(w.mint(nil), question(1, 5))
	_, err := all(a)
	refusal(t, err, "timeout")
	require.Empty(t, w.next(10))
	b := w.mustAsk(w.mint(nil), question(1, 5))
	task := w.one()
	_, err = all(b)
	refusal(t, err, "timeout")
	require.False(t, w.plan.(work.Audience).Part(task.Seq, work.PublicKey{}, nil))
	require.NotZero(t, w.reserved(tab.KeyID{1}), "it may yet be done")
}

// TestTenThousandAtOnce asks far more than there is room for. All that is taken is answered,
// all that is not is told when to ask again, and nothing stays behind.
func TestTenThousandAtOnce(t *testing.T) {
	w := newWorld(t, infer.Options{QueuePerTab: 300, QueuePerKey: 200}, nil)
	worker := newKind(t, infer.Options{Models: w.shelf, Engines: machine()})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { defer close(served); w.serve(ctx, worker, 64) }()
	before := runtime.NumGoroutine()
	const n = 10_000
	var answered, refused, tokens atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, n)
	begin := make(chan struct{})
	var keys []string
	for i := range byte(8) {
		keys = append(keys, w.mint(func(k *tab.Key) { k.ID = tab.KeyID{1 + i} }))
	}
	for i := range n {
		wg.Go(func() {
			<-begin
			a, err := w.ask(t.Context(), keys[i%8], question(byte(i), 2))
			var no *openai.Refusal
			switch {
			case errors.As(err, &no) && no.Status == 429 && no.Retry > 0:
				refused.Add(1)
				return
			case err != nil:
				errs <- err
				return
			}
			steps, err := all(a)
			if err != nil {
				errs <- err
				return
			}
			if _, err := a.Proof(); err != nil {
				errs <- err
				return
			}
			answered.Add(1)
			tokens.Add(int64(len(steps)))
		})
	}
	close(begin)
	wg.Wait()
	cancel()
	<-served
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, n, answered.Load()+refused.Load())
	require.NotZero(t, refused.Load())
	require.NotZero(t, answered.Load())
	require.Equal(t, 2*answered.Load(), tokens.Load())
	var spent, requests uint64
	for i := range 8 {
		u, r := w.spending(tab.KeyID{1 + byte(i)})
		spent, requests = spent+u, requests+r
		require.Zero(t, w.reserved(tab.KeyID{1 + byte(i)}))
	}
	require.EqualValues(t, answered.Load(), requests)
	require.EqualValues(t, answered.Load()*(5+2*3), spent)
	s := w.plan.Status()
	require.Zero(t, s.Queued+s.Out)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+8 }, 10*time.Second, 10*time.Millisecond)
}

func TestWhatARequestMayCost(t *testing.T) {
	w := newWorld(t, infer.Options{}, func(s *tab.Spec) { s.MaxUnits = 100 })
	limited := func(units uint64) string { return w.mint(func(k *tab.Key) { k.Limit = units }) }
	for name, c := range map[string]struct {
		key    string
		edit   func(*claim.Task)
		code   string
		status int
	}{
		"too expensive":    {w.mint(nil), func(q *claim.Task) { q.MaxTokens = 40 }, "request_too_expensive", 400},
		"beyond context":   {w.mint(nil), func(q *claim.Task) { q.MaxTokens = 4000 }, "context_length_exceeded", 400},
		"token unknown":    {w.mint(nil), func(q *claim.Task) { q.Prompt[0] = 200_000 }, "context_length_exceeded", 400},
		"no prompt":        {w.mint(nil), func(q *claim.Task) { q.Prompt = nil }, "invalid_request", 400},
		"absurd":           {w.mint(nil), func(q *claim.Task) { q.Sampling.Temperature = 1 }, "invalid_request", 400},
		"limit of the key": {limited(34), func(*claim.Task) {}, "insufficient_quota", 429},
	} {
		q := question(1, 10) // costs at most 5 + 10·3
		c.edit(&q)
		_, err := w.ask(t.Context(), c.key, q)
		require.Equal(t, c.status, refusal(t, err, c.code).Status, name)
	}
	require.Empty(t, w.next(10))
	// What is under way counts, until it is known what it cost.
	_, err := w.ask(t.Context(), limited(60), question(1, 10))
	require.NoError(t, err)
	_, err = w.ask(t.Context(), limited(60), question(1, 10))
	require.Positive(t, refusal(t, err, "rate_limit_exceeded").Retry)
	task := w.one()
	w.done(work.Outcome{Task: task, Failed: true})
	w.done(work.Outcome{Task: w.one(), Failed: true})
	_, err = w.ask(t.Context(), limited(60), question(1, 10))
	require.NoError(t, err)
	w.one()

	w.crash()
	w.holders = func(artifact.Digest) int { return 0 }
	_, err = w.ask(t.Context(), w.mint(nil), question(1, 10))
	require.Equal(t, 503, refusal(t, err, "no_worker").Status)
}

func TestEscrowThatIsUsedUp(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	w.room = func() uint64 { return w.spec.MaxUnits - 1 }
	_, err := w.ask(t.Context(), w.mint(nil), question(1, 10))
	require.Equal(t, 429, refusal(t, err, "insufficient_quota").Status)
	w.room = func() uint64 { return w.spec.MaxUnits }
	_, err = w.ask(t.Context(), w.mint(nil), question(1, 10))
	require.NoError(t, err)
	w.one()
	w.room = func() uint64 { return 0 } // some of what is out will come back
	_, err = w.ask(t.Context(), w.mint(nil), question(1, 10))
	require.NoError(t, err)
}

func TestFailedCommitOpensThePlanAnew(t *testing.T) {
	w := newWorld(t, infer.Options{}, nil)
	a := w.mustAsk(w.mint(nil), question(1, 5))
	var lost batch
	given, err := w.plan.Next(&lost, 10)
	require.NoError(t, err)
	require.Len(t, given, 1)
	w.crash() // the batch was not committed
	_, err = all(a)
	refusal(t, err, "tab_closed")
	require.Zero(t, w.reserved(tab.KeyID{1}))
	require.Zero(t, w.plan.Status().Out)
}

func ExampleKind() {
	k, err := infer.New(infer.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	_, err = k.Check([]byte("not a tab"))
	fmt.Println(errors.Is(err, tab.ErrSpec))
	// Output: true
}
