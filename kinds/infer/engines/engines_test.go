package engines_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/engines"
)

type shelf struct {
	files map[artifact.Digest][]byte
	roots []artifact.Digest
	loads atomic.Int32
	fails atomic.Bool
}

func newShelf(t testing.TB, n int) *shelf {
	s := &shelf{files: map[artifact.Digest][]byte{}}
	for i := range n {
		f := modeltest.File(t, byte(i+1), nil)
		root := artifact.Digest(modeltest.Load(t, f).Root)
		s.files[root], s.roots = f, append(s.roots, root)
	}
	return s
}

func (s *shelf) Shape(root artifact.Digest) (*model.Config, int64, error) {
	f := s.files[root]
	if f == nil {
		return nil, 0, errors.New("no such model")
	}
	return modeltest.Config(), int64(len(f)), nil
}

func (s *shelf) Load(root artifact.Digest) (*model.Model, error) {
	if s.fails.Load() {
		return nil, errors.New("the disk is broken")
	}
	s.loads.Add(1)
	return model.Load(bytes.NewReader(s.files[root]), int64(len(s.files[root])))
}

// forOne is memory for one model and not for two.
func forOne(t testing.TB, s *shelf) int64 {
	one := int64(len(s.files[s.roots[0]])) + int64(512/model.PageTokens*model.PageBytes(modeltest.Config()))
	return one * 3 / 2 * 8 / 7
}

func task(n byte) *claim.Task {
	return &claim.Task{Prompt: []uint32{1, 10 + uint32(n), 70}, MaxTokens: 10, Sampling: exact.Sampling{Seed: [32]byte{n}, Temperature: 700_000}}
}

func answerTo(ctx context.Context, e *engines.Engine, q *claim.Task) (*claim.Result, error) {
	r := &claim.Result{Finish: claim.Length}
	for tok, err := range e.Generate(ctx, q) {
		if err != nil {
			return nil, err
		}
		r.Output = append(r.Output, tok.ID)
	}
	return r, nil
}

func TestModelsTakeTurnsInLittleMemory(t *testing.T) {
	s := newShelf(t, 3)
	p := engines.New(s, engines.Options{Memory: forOne(t, s), Threads: 1, Streams: 4, Turn: 10 * time.Millisecond})
	defer p.Close()
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			root := s.roots[i%3]
			e, err := p.Acquire(t.Context(), root)
			if !assertNoError(t, err) {
				return
			}
			defer e.Release()
			q := task(byte(i))
			q.Model = claim.Digest(root)
			r, err := answerTo(t.Context(), e, q)
			if assertNoError(t, err) {
				assertNoError(t, e.Recompute(t.Context(), q, r))
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, p.Use().Models)
	require.Eventually(t, func() bool { u := p.Use(); return u.Active+u.Waiting == 0 }, 10*time.Second, time.Millisecond)
	require.GreaterOrEqual(t, s.loads.Load(), int32(3))
}

func assertNoError(t testing.TB, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

func TestABusyModelGivesWay(t *testing.T) {
	s := newShelf(t, 2)
	p := engines.New(s, engines.Options{Memory: forOne(t, s), Threads: 1, Streams: 4, Turn: 10 * time.Millisecond})
	defer p.Close()
	first, err := p.Acquire(t.Context(), s.roots[0])
	require.NoError(t, err)
	got := make(chan *engines.Engine)
	go func() {
		e, err := p.Acquire(context.Background(), s.roots[1])
		assertNoError(t, err)
		got <- e
	}()
	// Somebody always uses the first one, until it takes no more work.
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		next, err := p.Acquire(ctx, s.roots[0])
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		first.Release()
		first = next
	}
	first.Release()
	(<-got).Release()
}

func TestModelsThatCannotBeHad(t *testing.T) {
	s := newShelf(t, 1)
	small := engines.New(s, engines.Options{Memory: 1 << 10})
	defer small.Close()
	_, err := small.Acquire(t.Context(), s.roots[0])
	require.ErrorIs(t, err, engines.ErrTooLarge)

	p := engines.New(s, engines.Options{Memory: 64 << 20, Threads: 1})
	_, err = p.Acquire(t.Context(), artifact.Digest{1})
	require.ErrorContains(t, err, "no such model")
	s.fails.Store(true)
	_, err = p.Acquire(t.Context(), s.roots[0])
	require.ErrorContains(t, err, "the disk is broken")
	require.Zero(t, p.Use().Bytes)
	s.fails.Store(false)
	e, err := p.Acquire(t.Context(), s.roots[0])
	require.NoError(t, err)
	q := task(1)
	q.Model, q.MaxTokens = claim.Digest(s.roots[0]), 500
	ended := make(chan error)
	go func() { _, err := answerTo(context.Background(), e, q); ended <- err }()
	p.Close()
	if err := <-ended; err != nil { // it may have been done by then
		require.ErrorIs(t, err, model.ErrClosed)
	}
	_, err = p.Acquire(t.Context(), s.roots[0])
	require.ErrorIs(t, err, engines.ErrClosed)
}

func TestAuditsAndEmbeddingsEndWithTheirContext(t *testing.T) {
	s := newShelf(t, 1)
	p := engines.New(s, engines.Options{Memory: 64 << 20, Threads: 2})
	defer p.Close()
	e, err := p.Acquire(t.Context(), s.roots[0])
	require.NoError(t, err)
	defer e.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := task(1)
	q.Model = claim.Digest(s.roots[0])
	r, err := answerTo(t.Context(), e, q)
	require.NoError(t, err)
	require.NoError(t, e.Recompute(t.Context(), q, r))
	require.ErrorIs(t, e.Recompute(ctx, q, r), context.Canceled)
	_, err = e.Embed(ctx, &claim.Task{Prompt: []uint32{1}, Embed: true})
	require.ErrorIs(t, err, context.Canceled)
	r.Output[9]++
	require.ErrorIs(t, e.Recompute(t.Context(), q, r), answer.ErrFalse)
	long, err := e.Embed(t.Context(), &claim.Task{Prompt: bytesToTokens(bytes.Repeat([]byte{9}, 511)), Embed: true})
	require.NoError(t, err)
	require.Len(t, long, 48)
}

func bytesToTokens(b []byte) (out []uint32) {
	for _, v := range b {
		out = append(out, uint32(v))
	}
	return out
}
