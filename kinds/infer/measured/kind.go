package measured

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// Name is the kind's name on the network.
const Name work.Name = "infer-measured/1"

const (
	taskTime = 10 * time.Minute
	silence  = 30 * time.Second // a foreign server may take long for a prompt
	restFor  = 10 * time.Second // of a server that failed, until it is offered work again
)

// Options of a Kind.
type Options struct {
	// Infer is the same machine's kind infer/1, whose plans and routes serve this one too. Its
	// Models must be those of function Models.
	Infer *infer.Kind
	Shelf *Shelf
	// Backends are a worker's, by the digests of the descriptors that they serve and audit.
	Backends map[artifact.Digest]Backend
	Log      *slog.Logger
}

// Kind answers prompts by foreign servers.
type Kind struct {
	o Options

	mu    sync.Mutex
	rests map[artifact.Digest]time.Time // servers that failed, and until when they are left alone
}

var (
	_ work.Kind    = (*Kind)(nil)
	_ work.Planner = (*Kind)(nil)
	_ work.Holder  = (*Kind)(nil)
)

// New makes the kind for one worker, gateway or auditor.
func New(o Options) (*Kind, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Infer == nil || o.Shelf == nil {
		return nil, errors.New("measured inference needs the kind infer and a directory of descriptions")
	}
	if len(o.Backends) > work.MaxHeld {
		return nil, fmt.Errorf("%d inference servers: at most %d", len(o.Backends), work.MaxHeld)
	}
	for digest := range o.Backends { // order-free: each is looked at alone
		if _, err := o.Shelf.Get(digest); err != nil {
			return nil, fmt.Errorf("serve a measured model: %w", err)
		}
	}
	return &Kind{o: o, rests: map[artifact.Digest]time.Time{}}, nil
}

// Name implements work.Kind.
func (k *Kind) Name() work.Name { return Name }

// Check implements work.Kind. The spec is a tab whose models are descriptors.
func (k *Kind) Check(spec []byte) (work.Needs, error) {
	s, err := tab.Decode(spec)
	if err != nil {
		return work.Needs{}, err
	}
	return work.Needs{UnitsPerTask: s.MaxUnits, TaskTime: taskTime, Silence: silence}, nil
}

// Plan implements work.Planner: a tab as that of infer/1, whose tasks all commit to what an
// audit compares.
func (k *Kind) Plan(ctx context.Context, job work.JobID, spec []byte, state work.State, env work.PlanEnv) (work.Plan, error) {
	return k.o.Infer.PlanWith(ctx, job, spec, state, env, func(t *claim.Task) error {
		if t.Embed {
			return errors.New("embeddings of foreign servers can't be measured: order them of a model that is computed exactly")
		}
		Complete(t)
		return nil
	})
}

func (k *Kind) task(t work.Task) (tab.Model, *claim.Task, error) {
	s, err := tab.Decode(t.Spec)
	if err != nil {
		return tab.Model{}, nil, err
	}
	c, err := claim.DecodeTask(t.Body)
	if err != nil {
		return tab.Model{}, nil, err
	}
	m, ok := s.Model(artifact.Digest(c.Model))
	switch {
	case !ok:
		return m, nil, fmt.Errorf("%w: model %x is not one of the tab's", claim.ErrTask, c.Model)
	case c.Embed || c.Top != Top:
		return m, nil, fmt.Errorf("%w: it must commit to %d alternatives at each place", claim.ErrTask, Top)
	case m.Most(c) > s.MaxUnits:
		return m, nil, fmt.Errorf("%w: its answer may cost %d units, and the tab pays %d for a request", claim.ErrTask, m.Most(c), s.MaxUnits)
	}
	return m, c, nil
}

// result reads a result and refuses one that is not of its task or contradicts itself.
func result(t *claim.Task, r work.Result) (*claim.Result, error) {
	if len(r.Blobs) > 0 {
		return nil, fmt.Errorf("%w: %d blobs: an answer has none", claim.ErrResult, len(r.Blobs))
	}
	res, err := claim.DecodeResult(r.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", claim.ErrResult, err)
	}
	return res, Check(t, res)
}

// Meter implements work.Kind. An answer whose tokens are not those that its own alternatives
// give under the task's seed is worth nothing to anybody: it is refused before it is paid.
func (k *Kind) Meter(t work.Task, r work.Result) (uint64, error) {
	m, c, err := k.task(t)
	if err != nil {
		return 0, err
	}
	res, err := result(c, r)
	if err != nil {
		return 0, err
	}
	return m.Units(c, res), nil
}

// backend finds who serves a task's model here.
func (k *Kind) backend(t *claim.Task) (Backend, *Descriptor, error) {
	digest := artifact.Digest(t.Model)
	b := k.o.Backends[digest]
	if b == nil {
		return nil, nil, fmt.Errorf("no inference server for measured model %s (--infer-backend)", digest)
	}
	d, err := k.o.Shelf.Get(digest)
	return b, d, err
}

// Holds implements work.Holder: the models whose servers did not just fail.
func (k *Kind) Holds() []artifact.Digest {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var list []artifact.Digest
	for digest := range k.o.Backends { // order-free: they are sorted
		if now.After(k.rests[digest]) {
			list = append(list, digest)
		}
	}
	slices.SortFunc(list, artifact.Digest.Compare)
	return list
}

// failed leaves a server alone for a while that is not available.
func (k *Kind) failed(model artifact.Digest, err error) {
	if !errors.Is(err, ErrUnavailable) {
		return
	}
	k.o.Log.Warn("an inference server fails: its model is not offered for a while", "model", model, "for", restFor, "err", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rests[model] = time.Now().Add(restFor)
}

var errStopped = errors.New("nobody waits for the answer any more")

// Execute implements work.Kind.
func (k *Kind) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	_, c, err := k.task(t)
	if err != nil {
		return work.Result{}, err
	}
	b, d, err := k.backend(c)
	if err != nil {
		return work.Result{}, err
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(<-chan struct{}) // never closed
	if env.Stream != nil {
		stopped = env.Stream.Stopped()
		go func() {
			select {
			case <-stopped:
				cancel(errStopped)
			case <-run.Done():
			}
		}()
	}
	n := uint32(0)
	var sendErr error
	res, err := Generate(run, b, c, func(s answer.Step) bool {
		if env.Stream == nil {
			return true
		}
		var part []byte
		if part, sendErr = (answer.Part{Offset: n, Steps: []answer.Step{s}}).Encode(c); sendErr != nil {
			return false
		}
		env.Stream.Send(part)
		n++
		select {
		case <-stopped:
			return false
		default:
			return true
		}
	})
	if err == nil {
		err = sendErr
	}
	if err != nil && (ctx.Err() != nil || !errors.Is(err, errStopped)) {
		k.failed(artifact.Digest(c.Model), err)
		return work.Result{}, fmt.Errorf("answer with measured model %s: %w", d.Name, err)
	}
	// What signs for a result looks at it first, as everybody else will.
	if err := Check(c, res); err != nil {
		return work.Result{}, fmt.Errorf("answer with measured model %s: %w", d.Name, err)
	}
	body, err := res.Encode()
	return work.Result{Body: body}, err
}

// Verify implements work.Kind. What contradicts itself is false, and everybody sees it. Beyond
// that one answer shows nothing for sure: it passes if it is likelier to be honest than not,
// its score is in the verdict and, with what the auditor saw, in the evidence, and the ledger
// adds up what several auditors found of a worker's answers. See Sequence. Who
// has measured is never Unsure: the ledger counts no scores of auditors who are.
func (k *Kind) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	_, c, err := k.task(t)
	if err != nil {
		return work.Verdict{}, err
	}
	res, err := result(c, r)
	if err != nil {
		return work.Verdict{Outcome: work.Fail, Label: work.Measured, Score: MaxScore, Reason: err.Error()}, nil
	}
	b, d, err := k.backend(c)
	if err != nil {
		return work.Verdict{}, err
	}
	m, places, err := Audit(ctx, b, c, res)
	if err != nil {
		k.failed(artifact.Digest(c.Model), err)
		return work.Verdict{}, fmt.Errorf("measure an answer of %s: %w", d.Name, err)
	}
	v := work.Verdict{Outcome: work.Pass, Label: work.Measured, Score: d.Noise.Score(m)}
	evidence, err := NewEvidence(artifact.Digest(c.Model), artifact.Sum(t.Body), r.Digest(), v.Score, res.Output, places)
	if err == nil {
		v.Evidence, err = env.Blobs.Put(ctx, evidence)
	}
	if err != nil {
		return work.Verdict{}, fmt.Errorf("keep what was measured: %w", err)
	}
	if v.Score > 0 {
		v.Outcome = work.Fail
		v.Reason = fmt.Sprintf("%.2f nats for a worse model than %s: more answers will tell", float64(v.Score)/1000, d.Name)
	}
	return v, nil
}
