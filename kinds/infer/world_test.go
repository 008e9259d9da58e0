package infer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/engines"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

const chain = "test-1"

// shelf is models in memory.
type shelf struct {
	mu    sync.Mutex
	files map[artifact.Digest][]byte
	order []artifact.Digest
	loads int
	cards map[artifact.Digest]*infer.Card
}

func newShelf(t testing.TB, files ...[]byte) *shelf {
	s := &shelf{files: map[artifact.Digest][]byte{}, cards: map[artifact.Digest]*infer.Card{}}
	for _, f := range files {
		m := modeltest.Load(t, f)
		words, err := tokenizer.Parse(m.Tokenizer)
		require.NoError(t, err)
		root := artifact.Digest(m.Root)
		s.files[root] = f
		s.order = append(s.order, root)
		s.cards[root] = &infer.Card{Config: m.Config, Size: int64(len(f)), Created: time.Unix(1_700_000_000, 0), Tokenizer: words}
	}
	return s
}

func (s *shelf) List() ([]artifact.Digest, error) { return s.order, nil }

func (s *shelf) Open(root artifact.Digest) (*infer.Card, error) {
	if c := s.cards[root]; c != nil {
		return c, nil
	}
	return nil, errors.New("no such model")
}

func (s *shelf) Load(root artifact.Digest) (*model.Model, error) {
	f := s.files[root]
	if f == nil {
		return nil, errors.New("no such model")
	}
	s.mu.Lock()
	s.loads++
	s.mu.Unlock()
	return model.Load(bytes.NewReader(f), int64(len(f)))
}

func (s *shelf) File(root artifact.Digest) (infer.ModelFile, int64, error) {
	f := s.files[root]
	if f == nil {
		return nil, 0, errors.New("no such model")
	}
	return struct {
		*bytes.Reader
		io.Closer
	}{bytes.NewReader(f), io.NopCloser(nil)}, int64(len(f)), nil
}

// seedBytes makes randomness that is the same each time.
type seedBytes byte

func (s seedBytes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s)
	}
	return len(b), nil
}

func key(t testing.TB, n byte) work.PrivateKey {
	k, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{n}, 32))
	require.NoError(t, err)
	return k
}

func newKind(t testing.TB, o infer.Options) *infer.Kind {
	k, err := infer.New(o)
	require.NoError(t, err)
	t.Cleanup(k.Close)
	return k
}

// memory is a plan's state as the scheduler keeps it.
type memory map[string][]byte

func (m memory) Get(k []byte) ([]byte, error) { return bytes.Clone(m[string(k)]), nil }

func (m memory) Scan(start, end []byte, f func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(start) && (end == nil || k < string(end)) && !f([]byte(k), m[k]) {
			return nil
		}
	}
	return nil
}

type batch struct{ writes []func(memory) }

func (b *batch) Set(k, v []byte) {
	key, value := string(k), bytes.Clone(v)
	b.writes = append(b.writes, func(m memory) { m[key] = value })
}

func (b *batch) Delete(k []byte) {
	key := string(k)
	b.writes = append(b.writes, func(m memory) { delete(m, key) })
}

// world is a gateway with one tab: a scheduler that does what the test says, and routes.
type world struct {
	t       testing.TB
	kind    *infer.Kind
	gateway openai.Network
	shelf   *shelf
	job     work.JobID
	spec    *tab.Spec
	raw     []byte
	owner   work.PrivateKey
	now     func() time.Time
	room    func() uint64
	holders func(artifact.Digest) int
	routes  *http.ServeMux

	mu    sync.Mutex // the scheduler's
	state memory
	plan  work.Plan
	woken chan struct{}
}

func newWorld(t testing.TB, o infer.Options, edit func(*tab.Spec)) *world {
	w := &world{t: t, job: 7, owner: key(t, 1), now: time.Now, state: memory{}, woken: make(chan struct{}, 1), routes: http.NewServeMux()}
	w.room = func() uint64 { return 1 << 40 }
	w.holders = func(artifact.Digest) int { return 1 }
	w.shelf = newShelf(t, modeltest.File(t, 1, nil))
	if o.Models == nil {
		o.Models = w.shelf
	}
	w.kind = newKind(t, o)
	w.kind.Mount(w.routes.Handle, work.MountEnv{Chain: chain, Now: time.Now})
	w.gateway = infer.NetworkOf(w.kind)
	w.spec = &tab.Spec{Version: tab.Version, Key: w.owner.Public(), MaxUnits: 10_000,
		Models: []tab.Model{{Root: w.shelf.order[0], Name: "noise", PromptUnits: 1, OutputUnits: 3}}}
	if edit != nil {
		edit(w.spec)
	}
	var err error
	w.raw, err = w.spec.Encode()
	require.NoError(t, err)
	w.open()
	t.Cleanup(func() { require.NoError(t, w.plan.Close()) })
	return w
}

func (w *world) open() {
	p, err := w.kind.Plan(w.t.Context(), w.job, w.raw, w.state, work.PlanEnv{
		Now: func() time.Time { return w.now() },
		Wake: func(artifact.Digest) {
			w.mu.Lock() // as the scheduler's does
			defer w.mu.Unlock()
			select {
			case w.woken <- struct{}{}:
			default:
			}
		},
		Price:   func() *big.Int { return big.NewInt(2500) },
		Holders: func(d artifact.Digest) int { return w.holders(d) },
		Room: func() uint64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.room()
		},
	})
	require.NoError(w.t, err)
	w.plan = p
}

// crash forgets what the gateway has in memory.
func (w *world) crash() {
	require.NoError(w.t, w.plan.Close())
	w.open()
}

// next asks the plan for tasks and commits what it wrote.
func (w *world) next(most int) []work.Bundle {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b batch
	bundles, err := w.plan.Next(&b, most)
	require.NoError(w.t, err)
	for _, f := range b.writes {
		f(w.state)
	}
	return bundles
}

// one waits for one task.
func (w *world) one() work.Task {
	for {
		if b := w.next(1); len(b) > 0 {
			require.Len(w.t, b[0].Tasks, 1)
			return b[0].Tasks[0]
		}
		select {
		case <-w.woken:
		case <-time.After(10 * time.Second):
			w.t.Fatal("the plan gives out no task")
		}
	}
}

func (w *world) done(outcomes ...work.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b batch
	require.NoError(w.t, w.plan.Done(&b, outcomes))
	for _, f := range b.writes {
		f(w.state)
	}
}

// shift is between a plan's numbers and the network's.
const shift = 1000

// outcome is a worker's result with its receipt, as the scheduler gives it to the plan.
func (w *world) outcome(by work.PrivateKey, t work.Task, r work.Result) work.Outcome {
	onNet := work.Task{Job: t.Job, Seq: t.Seq + shift, Spec: w.raw, Body: t.Body}
	units, err := w.kind.Meter(onNet, r)
	require.NoError(w.t, err)
	s, err := work.SignReceipt(by, work.Receipt{Chain: chain, Job: t.Job, Seq: onNet.Seq, Attempt: 1, Task: onNet.Digest(), Result: r.Digest(), Units: units, Started: 1, Finished: 2})
	require.NoError(w.t, err)
	enc, err := s.Encode()
	require.NoError(w.t, err)
	t.Spec = w.raw
	return work.Outcome{Task: t, Result: r, Units: units, Worker: by.Public(), Receipt: enc}
}

// stream brings parts to the plan, as worker, plane and scheduler do together.
type stream struct {
	w    *world
	seq  uint64
	dies int // after so many parts; 0 for never

	mu      sync.Mutex
	sent    int
	stopped chan struct{}
	dead    context.CancelFunc
}

func (s *stream) Send(part []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dies > 0 && s.sent == s.dies {
		s.dead()
		return
	}
	s.sent++
	if !s.w.plan.(work.Audience).Part(s.seq, work.PublicKey{}, part) {
		select {
		case <-s.stopped:
		default:
			close(s.stopped)
		}
	}
}

func (s *stream) Stopped() <-chan struct{} { return s.stopped }

// execute does a task on a worker, which dies after some parts if dies is not 0.
func (w *world) execute(worker *infer.Kind, t work.Task, dies int) (work.Result, error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	t.Spec = w.raw
	s := &stream{w: w, seq: t.Seq, dies: dies, stopped: make(chan struct{}), dead: cancel}
	r, err := worker.Execute(ctx, work.Env{Now: time.Now, Rand: rand.Reader, Stream: s}, t)
	if ctx.Err() != nil {
		return r, ctx.Err() // dead, whatever it had
	}
	return r, err
}

// serve does what the plan gives out until ctx ends.
func (w *world) serve(ctx context.Context, worker *infer.Kind, at int) {
	by := key(w.t, 9)
	var wg sync.WaitGroup
	slots := make(chan struct{}, at)
	for ctx.Err() == nil {
		for _, b := range w.next(at) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				r, err := w.execute(worker, b.Tasks[0], 0)
				if err != nil {
					w.done(work.Outcome{Task: b.Tasks[0], Failed: true, Reason: err.Error()})
					return
				}
				w.done(w.outcome(by, b.Tasks[0], r))
			})
		}
		select {
		case <-w.woken:
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	wg.Wait()
}

func (w *world) mint(edit func(*tab.Key)) string {
	k := tab.Key{Job: w.job, ID: tab.KeyID{1}}
	if edit != nil {
		edit(&k)
	}
	s, err := tab.Mint(w.owner, chain, k)
	require.NoError(w.t, err)
	return s
}

func (w *world) tab(token string) openai.Tab {
	d, err := w.gateway.Tab(w.t.Context(), token)
	require.NoError(w.t, err)
	return d
}

// ask asks the tab's model.
func (w *world) ask(ctx context.Context, token string, t claim.Task) (openai.Answer, error) {
	d, err := w.gateway.Tab(ctx, token)
	if err != nil {
		return nil, err
	}
	list := d.Models()
	require.NotEmpty(w.t, list)
	return d.Ask(ctx, &list[0], t)
}

func (w *world) mustAsk(token string, t claim.Task) openai.Answer {
	a, err := w.ask(w.t.Context(), token, t)
	require.NoError(w.t, err)
	return a
}

func (w *world) spending(id tab.KeyID) (units, requests uint64) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/infer/v1/key", nil)
	r.Header.Set("Authorization", "Bearer "+w.mint(func(k *tab.Key) { k.ID = id }))
	w.routes.ServeHTTP(rec, r)
	require.Equal(w.t, 200, rec.Code, rec.Body.String())
	var v struct{ Spent, Reserved, Requests uint64 }
	decode(w.t, rec.Body, &v)
	return v.Spent, v.Requests
}

func (w *world) reserved(id tab.KeyID) uint64 {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/infer/v1/key", nil)
	r.Header.Set("Authorization", "Bearer "+w.mint(func(k *tab.Key) { k.ID = id }))
	w.routes.ServeHTTP(rec, r)
	var v struct{ Reserved uint64 }
	decode(w.t, rec.Body, &v)
	return v.Reserved
}

// all collects an answer.
func all(a openai.Answer) (steps []answer.Step, err error) {
	for {
		some, err := a.Next()
		if errors.Is(err, io.EOF) {
			return steps, nil
		}
		if err != nil {
			return steps, err
		}
		steps = append(steps, some...)
	}
}

func tokens(steps []answer.Step) (out []uint32) {
	for _, s := range steps {
		out = append(out, s.Token)
	}
	return out
}

// question is a task whose answer depends on much.
func question(n byte, most uint32) claim.Task {
	return claim.Task{Prompt: []uint32{1, 3 + uint32(n), 70, 80, 90}, MaxTokens: most,
		Sampling: exact.Sampling{Seed: [32]byte{n + 1}, Temperature: 800_000, TopP: 950_000}}
}

func machine() engines.Options { return engines.Options{Memory: 64 << 20, Threads: 1, Streams: 8} }

func refusal(t testing.TB, err error, code string) *openai.Refusal {
	var r *openai.Refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, code, r.Code, r.Message)
	return r
}
