package measured_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// vocabularies is a machine with the vocabulary of one model.
type vocabularies struct{ root artifact.Digest }

func (v vocabularies) List() ([]artifact.Digest, error) { return []artifact.Digest{v.root}, nil }
func (v vocabularies) Open(root artifact.Digest) (*infer.Card, error) {
	if root != v.root {
		return nil, fs.ErrNotExist
	}
	c := *modeltest.Config()
	c.Vocab, c.Context = vocab, 512
	return &infer.Card{Config: c}, nil
}
func (v vocabularies) Load(artifact.Digest) (*model.Model, error) { return nil, fs.ErrNotExist }
func (v vocabularies) File(artifact.Digest) (infer.ModelFile, int64, error) {
	return nil, 0, fs.ErrNotExist
}

// blobs is a store for what auditors keep.
type blobs struct {
	artifact.Store
	sync.Mutex
	kept map[artifact.Digest][]byte
}

func (b *blobs) Put(_ context.Context, v []byte) (artifact.Digest, error) {
	b.Lock()
	defer b.Unlock()
	d := artifact.Sum(v)
	b.kept[d] = v
	return d, nil
}

type world struct {
	t      testing.TB
	shelf  *measured.Shelf
	d      *measured.Descriptor
	digest artifact.Digest
	spec   []byte
	blobs  *blobs
	infer  *infer.Kind
}

func newWorld(t testing.TB) *world {
	root := artifact.Digest{7}
	w := &world{t: t, shelf: measured.NewShelf(filepath.Join(t.TempDir(), "models", "measured")), blobs: &blobs{kept: map[artifact.Digest][]byte{}},
		d: &measured.Descriptor{Version: measured.Version, Name: "parrot", Root: root, Backend: "parrots", Noise: *calibration(t)}}
	var err error
	w.digest, err = w.shelf.Add(w.d)
	require.NoError(t, err)
	key, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	w.spec, err = (&tab.Spec{Version: tab.Version, Key: key.Public(), MaxUnits: 1000, Models: []tab.Model{{Root: w.digest, Name: "parrot", PromptUnits: 1, OutputUnits: 2}}}).Encode()
	require.NoError(t, err)
	w.infer, err = infer.New(infer.Options{Models: measured.Models(vocabularies{root}, w.shelf)})
	require.NoError(t, err)
	t.Cleanup(w.infer.Close)
	return w
}

func (w *world) kind(b measured.Backend) *measured.Kind {
	o := measured.Options{Infer: w.infer, Shelf: w.shelf}
	if b != nil {
		o.Backends = map[artifact.Digest]measured.Backend{w.digest: b}
	}
	k, err := measured.New(o)
	require.NoError(w.t, err)
	return k
}

func (w *world) task(n int, most uint32) work.Task {
	q := task(n, most)
	q.Model = claim.Digest(w.digest)
	body, err := q.Encode()
	require.NoError(w.t, err)
	return work.Task{Job: 3, Seq: uint64(n + 1), Spec: w.spec, Body: body}
}

func (w *world) env() work.Env { return work.Env{Now: time.Now, Blobs: w.blobs} }

func TestKindMeasures(t *testing.T) {
	w := newWorld(t)
	worker, cheat, audit := w.kind(honest()), w.kind(quantised()), w.kind(auditor())
	_, err := worker.Check(w.spec)
	require.NoError(t, err)
	require.Equal(t, []artifact.Digest{w.digest}, worker.Holds())
	require.Empty(t, w.kind(nil).Holds())
	var good, bad measured.Sequence
	for n := range 12 {
		q := w.task(2000+n, 24)
		for _, c := range []struct {
			by  *measured.Kind
			sum *measured.Sequence
		}{{worker, &good}, {cheat, &bad}} {
			r, err := c.by.Execute(t.Context(), w.env(), q)
			require.NoError(t, err)
			units, err := audit.Meter(q, r)
			require.NoError(t, err)
			require.EqualValues(t, 3+24*2, units)
			v, err := audit.Verify(t.Context(), w.env(), q, r)
			require.NoError(t, err)
			require.Equal(t, work.Measured, v.Label)
			require.NotEqual(t, work.Unsure, v.Outcome, "the ledger would not count its score")
			require.Equal(t, v.Score > 0, v.Outcome == work.Fail)
			c.sum.Add(v.Score)

			// Whoever has the evidence gets the same score.
			e, err := measured.DecodeEvidence(w.blobs.kept[v.Evidence])
			require.NoError(t, err)
			require.NoError(t, e.Check(w.d, q.Body, r.Body))
			require.ErrorIs(t, e.Check(w.d, w.task(1, 24).Body, r.Body), claim.ErrResult)
			e.Score++
			require.ErrorIs(t, e.Check(w.d, q.Body, r.Body), measured.ErrEvidence)
		}
	}
	require.False(t, good.Crossed(), "%v", &good)
	require.True(t, bad.Crossed(), "%v", &bad)
}

func TestKindRefusesWhatContradictsItself(t *testing.T) {
	w := newWorld(t)
	k := w.kind(honest())
	q := w.task(4, 10)
	r, err := k.Execute(t.Context(), w.env(), q)
	require.NoError(t, err)
	c, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	c.Output[3] = (c.Output[3] + 1) % vocab
	r.Body, err = c.Encode()
	require.NoError(t, err)
	_, err = k.Meter(q, r)
	require.ErrorIs(t, err, claim.ErrResult)
	v, err := k.Verify(t.Context(), w.env(), q, r)
	require.NoError(t, err)
	require.Equal(t, work.Fail, v.Outcome)
	require.EqualValues(t, measured.MaxScore, v.Score)

	for name, edit := range map[string]func(*claim.Task){
		"must commit to":     func(c *claim.Task) { c.Top = 5 },
		"not one of the tab": func(c *claim.Task) { c.Model[0]++ },
		"may cost":           func(c *claim.Task) { c.MaxTokens = 1000 },
	} {
		c, err := claim.DecodeTask(q.Body)
		require.NoError(t, err)
		edit(c)
		bad := q
		bad.Body, err = c.Encode()
		require.NoError(t, err)
		_, err = k.Execute(t.Context(), w.env(), bad)
		require.ErrorContains(t, err, name)
	}
}

// audience is somebody who waits for a task, and leaves after some parts.
type audience struct {
	parts   int
	leaves  int
	stopped chan struct{}
}

func (a *audience) Send([]byte) {
	if a.parts++; a.parts == a.leaves {
		close(a.stopped)
	}
}
func (a *audience) Stopped() <-chan struct{} { return a.stopped }

// broken is a server that is away.
type broken struct{}

func (broken) Continue(context.Context, []uint32, int, int) iter.Seq2[measured.Place, error] {
	return func(yield func(measured.Place, error) bool) { yield(nil, measured.ErrUnavailable) }
}
func (broken) Score(context.Context, []uint32, []uint32, int) ([]measured.Place, error) {
	return nil, measured.ErrUnavailable
}

func TestKindStreamsAndStops(t *testing.T) {
	w := newWorld(t)
	k := w.kind(honest())
	q := w.task(1, 40)
	env := w.env()
	all := &audience{stopped: make(chan struct{})}
	env.Stream = all
	r, err := k.Execute(t.Context(), env, q)
	require.NoError(t, err)
	require.Equal(t, 40, all.parts)

	env.Stream = &audience{leaves: 7, stopped: make(chan struct{})}
	cut, err := k.Execute(t.Context(), env, q)
	require.NoError(t, err)
	whole, err := claim.DecodeResult(r.Body)
	require.NoError(t, err)
	c, err := claim.DecodeResult(cut.Body)
	require.NoError(t, err)
	require.Equal(t, claim.Cancelled, c.Finish)
	require.Equal(t, whole.Output[:7], c.Output)
	units, err := k.Meter(q, cut)
	require.NoError(t, err)
	require.EqualValues(t, 3+7*2, units)
	v, err := k.Verify(t.Context(), w.env(), q, cut)
	require.NoError(t, err)
	require.NotEqual(t, work.Fail, v.Outcome)

	away := w.kind(broken{})
	_, err = away.Execute(t.Context(), w.env(), q)
	require.ErrorIs(t, err, measured.ErrUnavailable)
	require.Empty(t, away.Holds(), "a server that is away is offered no work for a while")
	_, err = away.Verify(t.Context(), w.env(), q, r)
	require.Error(t, err, "an auditor that can't find out says so")
}

func TestShelf(t *testing.T) {
	w := newWorld(t)
	models := measured.Models(vocabularies{artifact.Digest{7}}, w.shelf)
	c, err := models.Open(w.digest)
	require.NoError(t, err)
	require.Equal(t, vocab, c.Config.Vocab)
	_, err = models.Load(w.digest)
	require.ErrorContains(t, err, "measured model")
	list, err := models.List()
	require.NoError(t, err)
	require.NotContains(t, list, w.digest, "the exact kind does not hold it")

	for _, name := range []string{"", "parrot", w.digest.String()[:6]} {
		digest, _, err := w.shelf.Find(name)
		require.NoError(t, err)
		require.Equal(t, w.digest, digest)
	}
	for _, name := range []string{"par", "zzzz", w.digest.String()[:3]} {
		_, _, err := w.shelf.Find(name)
		require.ErrorIs(t, err, os.ErrNotExist, name)
	}
	other := *w.d
	other.Backend = "others"
	digest, err := w.shelf.Add(&other)
	require.NoError(t, err)
	require.NotEqual(t, w.digest, digest)
	_, _, err = w.shelf.Find("parrot")
	require.ErrorContains(t, err, "2 measured models")

	// A file that is not what its name says.
	dir := t.TempDir()
	s := measured.NewShelf(dir)
	b, err := w.d.JSON()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, digest.String()+".measured.json"), b, 0o600))
	_, err = s.Get(digest)
	require.ErrorIs(t, err, measured.ErrDescriptor)
	_, err = measured.New(measured.Options{Infer: w.infer, Shelf: s, Backends: map[artifact.Digest]measured.Backend{digest: honest()}})
	require.ErrorIs(t, err, measured.ErrDescriptor)
}

func TestServe(t *testing.T) {
	w := newWorld(t)
	url := (&server{parrot: honest(), owner: "vllm"}).start(t)
	vocabs := vocabularies{artifact.Digest{7}}
	for _, models := range [][]string{nil, {"parrot=parrot-q"}, {w.digest.String()[:8] + "=parrot-q"}} {
		list, err := measured.Serve(t.Context(), w.shelf, measured.ServeOptions{URL: url, Models: models, Vocabs: vocabs})
		require.NoError(t, err)
		require.Contains(t, list, w.digest)
	}
	for says, models := range map[string][]string{
		"want NAME=BACKENDNAME": {"parrot"}, "want NAME": {"=x"}, "no measured model": {"owl=parrot-q"},
		"does not serve": {"parrot=owl"}, "served already": {"parrot=parrot-q", "parrot=parrot-q"},
	} {
		_, err := measured.Serve(t.Context(), w.shelf, measured.ServeOptions{URL: url, Models: models, Vocabs: vocabs})
		require.ErrorContains(t, err, says)
	}
	empty := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(empty, []byte("\nsk"), 0o600))
	_, err := measured.Serve(t.Context(), w.shelf, measured.ServeOptions{URL: url, KeyFile: empty, Vocabs: vocabs})
	require.ErrorContains(t, err, "no bearer key")
}

// state is an empty one.
type state struct{}

func (state) Get([]byte) ([]byte, error)                             { return nil, nil }
func (state) Scan(_, _ []byte, _ func(key, value []byte) bool) error { return nil }

func TestPlansAreOpened(t *testing.T) {
	w := newWorld(t)
	p, err := w.kind(nil).Plan(t.Context(), 3, w.spec, state{}, work.PlanEnv{})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	_, err = w.kind(nil).Plan(t.Context(), 3, []byte("x"), state{}, work.PlanEnv{})
	require.Error(t, err)
}

func TestDescriptorsAreStrict(t *testing.T) {
	w := newWorld(t)
	b, err := w.d.JSON()
	require.NoError(t, err)
	again, err := measured.ParseDescriptor(b)
	require.NoError(t, err)
	digest, err := again.Digest()
	require.NoError(t, err)
	require.Equal(t, w.digest, digest)
	seen := []artifact.Digest{digest}
	for _, edit := range []func(*measured.Descriptor){
		func(d *measured.Descriptor) { d.Name += "2" }, func(d *measured.Descriptor) { d.Root[0]++ }, func(d *measured.Descriptor) { d.Backend = "x" },
		func(d *measured.Descriptor) { d.Noise.Near++ }, func(d *measured.Descriptor) { d.Noise.NearWeight-- },
	} {
		other := *w.d
		edit(&other)
		is, err := other.Digest()
		require.NoError(t, err)
		require.False(t, slices.Contains(seen, is))
		seen = append(seen, is)
	}
	for name, bad := range map[string]string{
		"nothing": "", "more": string(b) + "{}", "a field": strings.Replace(string(b), `"Name"`, `"Nom"`, 1),
		"version": strings.Replace(string(b), `"Version": 1`, `"Version": 2`, 1), "huge": strings.Repeat(" ", 1<<20),
	} {
		_, err := measured.ParseDescriptor([]byte(bad))
		require.ErrorIs(t, err, measured.ErrDescriptor, name)
	}
}

func FuzzDescriptor(f *testing.F) {
	d := &measured.Descriptor{Version: measured.Version, Name: "parrot", Root: artifact.Digest{1}, Backend: "b", Noise: measured.Calibration{
		Answers: 100, Tokens: 5000, Groups: []string{"g"}, Near: -5e6, Answer: 2500, Place: 1e5, Shift: 693147, Gap: 5000, Miss: 3000, Worse: 23000, NearWeight: 1e6, MissWeight: 1e6}}
	b, err := d.JSON()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := measured.ParseDescriptor(b)
		if err != nil {
			return
		}
		_, err = d.Digest()
		require.NoError(t, err)
		// Whatever a calibration says, a score is a number within its bounds.
		for _, m := range []measured.Measurement{{Tokens: 1, Near: -11}, {Tokens: 1 << 17, Near: 1, Gaps: []float64{4}}, {}} {
			s := d.Noise.Score(&m)
			require.LessOrEqual(t, s, int32(measured.MaxScore))
			require.GreaterOrEqual(t, s, int32(-measured.MaxScore))
		}
	})
}

func FuzzEvidence(f *testing.F) {
	q := task(2, 3)
	a, b := auditor(), honest()
	c, err := measured.Generate(context.Background(), b, q, func(answer.Step) bool { return true })
	require.NoError(f, err)
	places, err := a.Score(context.Background(), q.Prompt, c.Output, 4)
	require.NoError(f, err)
	body, err := q.Encode()
	require.NoError(f, err)
	result, err := c.Encode()
	require.NoError(f, err)
	e, err := measured.NewEvidence(artifact.Digest{1}, artifact.Sum(body), artifact.Sum(result), 5, c.Output, places)
	require.NoError(f, err)
	f.Add(e)
	d := &measured.Descriptor{}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := measured.DecodeEvidence(b)
		if err != nil {
			require.True(t, errors.Is(err, measured.ErrEvidence))
			return
		}
		require.Error(t, e.Check(d, body, result), "of no model")
	})
}
