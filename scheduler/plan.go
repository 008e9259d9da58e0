package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// planState is the part of the database that a plan reads.
type planState struct {
	store  *store
	prefix []byte
}

var _ work.State = planState{}

func (p planState) Get(key []byte) ([]byte, error) {
	return p.store.get(append(p.prefix[:len(p.prefix):len(p.prefix)], key...))
}

func (p planState) Scan(start, end []byte, f func(key, value []byte) bool) error {
	n := len(p.prefix)
	lower := append(p.prefix[:n:n], start...)
	upper := after(p.prefix)
	if end != nil {
		upper = append(p.prefix[:n:n], end...)
	}
	return p.store.scan(lower, upper, func(k, v []byte) (bool, error) { return f(k[n:], v), nil })
}

// planBatch is what a plan writes, kept to its part.
type planBatch struct {
	b      *pebble.Batch
	prefix []byte
}

var _ work.Batch = planBatch{}

func (p planBatch) Set(key, value []byte) {
	op := p.b.SetDeferred(len(p.prefix)+len(key), len(value))
	copy(op.Key[copy(op.Key, p.prefix):], key)
	copy(op.Value, value)
	_ = op.Finish() // fails for indexed batches only
}

func (p planBatch) Delete(key []byte) {
	op := p.b.DeleteDeferred(len(p.prefix) + len(key))
	copy(op.Key[copy(op.Key, p.prefix):], key)
	_ = op.Finish()
}

// errSpecAbsent says that the job's spec is not in the artifact store yet.
var errSpecAbsent = errors.New("its spec is not in the artifact store yet")

// refused is why a job can never run here.
type refused struct{ reason string }

func (r refused) Error() string { return r.reason }

// readSpec finds the job's kind and loads its spec.
func (j *job) readSpec(ctx context.Context) error {
	if j.kind != nil {
		return nil
	}
	kind := j.s.kinds[j.rec.Kind]
	if kind == nil {
		return refused{fmt.Sprintf("this gateway does not know kind %q", string(j.rec.Kind))}
	}
	if _, ok := kind.(work.Planner); !ok {
		return refused{fmt.Sprintf("kind %q has no plan: it takes its tasks through routes of its own", string(j.rec.Kind))}
	}
	spec, err := j.s.cfg.Artifacts.Get(ctx, j.rec.Spec, work.MaxSpec)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return errSpecAbsent
	case errors.Is(err, artifact.ErrTooLarge):
		return refused{fmt.Sprintf("its spec has more than %d bytes", work.MaxSpec)}
	case err != nil:
		return fmt.Errorf("read the spec: %w", err)
	}
	needs, err := kind.Check(spec)
	if err != nil {
		return refused{"its spec is not valid: " + err.Error()}
	}
	if needs.UnitsPerTask == 0 || needs.UnitsPerTask > work.MaxUnits {
		return refused{fmt.Sprintf("kind %q reserves %d units for a task, want 1 to %d", string(j.rec.Kind), needs.UnitsPerTask, uint64(work.MaxUnits))}
	}
	if needs.TaskTime <= 0 {
		needs.TaskTime = time.Minute
	}
	j.mu.Lock()
	j.kind, j.spec, j.needs = kind, spec, needs
	j.mu.Unlock()
	return nil
}

// openPlan opens the kind's plan from the database. Only the job's loop calls it.
func (j *job) openPlan(ctx context.Context) error {
	j.mu.Lock()
	if j.plan != nil {
		j.mu.Unlock()
		return nil
	}
	j.mu.Unlock()
	plan, err := j.kind.(work.Planner).Plan(ctx, j.id, j.spec, planState{j.s.store, j.prefix}, work.PlanEnv{
		Now: j.s.now, Blobs: j.s.cfg.Artifacts, AllowPrivate: j.s.cfg.AllowPrivate,
		Wake: j.wakeFor, Holders: j.holders, Price: j.price, Room: j.room,
	})
	if err != nil {
		return fmt.Errorf("open the plan: %w", err)
	}
	j.mu.Lock()
	j.plan, j.planWait = plan, time.Time{}
	j.mu.Unlock()
	return nil
}

// closePlan closes the plan. The caller holds j.mu.
func (j *job) closePlan() error {
	if j.plan == nil {
		return nil
	}
	err := j.plan.Close()
	j.plan = nil
	if err != nil {
		return fmt.Errorf("job %d: close its plan: %w", j.id, err)
	}
	return nil
}

// dropPlan forgets a plan that went wrong; the job's loop opens it anew from what is
// committed. The caller holds j.mu.
func (j *job) dropPlan(cause error) {
	j.log.Error("the plan went wrong and is opened anew", "err", cause)
	if err := j.closePlan(); err != nil {
		j.log.Warn("closing a plan", "err", err)
	}
	j.trouble = cause.Error()
	j.kickNow()
}
