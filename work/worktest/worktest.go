// Package worktest is the suite that every kind passes: what the network relies on when it
// leases a kind's tasks, pays for its results and convicts whoever forges them.
//
//	func TestKind(t *testing.T) {
//		worktest.Specs(t, kind, [][]byte{good}, map[string][]byte{"no URL": bad})
//		worktest.Run(t, kind, []worktest.Case{{Name: "page", Task: task, Env: env, Forge: forgeries}})
//	}
//
// Run executes each case, meters and verifies the result, and then does what a cheat would:
// it hands in nothing, garbage, too much, another task's result, a result with blobs that
// nobody can fetch, a body with bytes changed, and the case's own forgeries. It is the kind
// that must notice, in Meter or in Verify. An honest result must pass, and must never be
// found false because the auditor's network was down or its time was up.
//
// Of a kind that is a work.Spoiler it also demands that what Spoil makes is worth the same,
// passes for a result, and is found false by whoever does the task again.
package worktest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Case is one task with an honest result.
type Case struct {
	Name string
	Task work.Task
	// Env makes the environment of one machine: the worker's, then an auditor's. What it
	// leaves empty is filled in, Blobs with one store for all machines of the case; Dial is
	// then one that reaches nothing.
	Env func() work.Env
	// Forge makes results that differ from the honest one in what matters, by name. Blobs
	// that they name must be in env.Blobs. The kind must refuse each or find it false.
	Forge map[string]func(env work.Env, honest work.Result) (work.Result, error)
}

// patience bounds every call to a kind, so that one that hangs fails instead.
const patience = 2 * time.Minute

// promptness is how long a kind may take to stop once it was cancelled.
const promptness = 20 * time.Second

// Run holds kind to the suite.
func Run(t *testing.T, kind work.Kind, cases []Case) {
	t.Helper()
	if err := kind.Name().Check(); err != nil {
		t.Errorf("its name: %v", err)
	}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, p := range examine(t.Context(), kind, c, others(cases, i)) {
				t.Error(p)
			}
		})
	}
}

// Specs checks that kind takes the good specs and refuses the bad ones, each time alike.
func Specs(t *testing.T, kind work.Kind, good [][]byte, bad map[string][]byte) {
	t.Helper()
	for _, p := range examineSpecs(kind, good, bad) {
		t.Error(p)
	}
}

func others(cases []Case, i int) []Case { return slices.Delete(slices.Clone(cases), i, i+1) }

func examineSpecs(kind work.Kind, good [][]byte, bad map[string][]byte) (problems []error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	check := func(spec []byte) (needs work.Needs, err error) {
		given := bytes.Clone(spec)
		ask := func() (n work.Needs, err error) {
			err = calmly(func() error { n, err = kind.Check(given); return err })
			return n, err
		}
		needs, err = ask()
		if !bytes.Equal(given, spec) {
			problem("Check changed the spec that it was given")
		}
		again, err2 := ask()
		if (err == nil) != (err2 == nil) || again != needs {
			problem("Check of the same spec said %v, %v and then %v, %v", needs, err, again, err2)
		}
		return needs, err
	}
	for i, spec := range good {
		needs, err := check(spec)
		if err != nil {
			problem("good spec %d is refused: %v", i, err)
			continue
		}
		if needs.UnitsPerTask == 0 || needs.UnitsPerTask > work.MaxUnits {
			problem("good spec %d: %d units per task, want 1 to %d", i, needs.UnitsPerTask, uint64(work.MaxUnits))
		}
		if needs.TaskTime <= 0 || needs.TaskTime > 24*time.Hour {
			problem("good spec %d: %v per task", i, needs.TaskTime)
		}
		for _, m := range mutations(spec, 300) { // may be good or bad, but alike, and without a panic
			if _, err := check(m); errors.As(err, new(panicked)) {
				problem("Check of a changed spec: %v", err)
			}
		}
	}
	hostile := map[string][]byte{"beyond the limit": make([]byte, work.MaxSpec+1)}
	for name, spec := range bad {
		hostile[name] = spec
	}
	for name, spec := range hostile {
		_, err := check(spec)
		switch {
		case err == nil:
			problem("bad spec %q is taken", name)
		case errors.As(err, new(panicked)):
			problem("bad spec %q: %v", name, err)
		case err.Error() == "":
			problem("bad spec %q is refused without a reason", name)
		}
	}
	return problems
}

// trial is one case under examination.
type trial struct {
	kind     work.Kind
	c        Case
	store    artifact.Store
	needs    work.Needs
	problems []error
}

func (x *trial) problem(format string, args ...any) {
	x.problems = append(x.problems, fmt.Errorf(format, args...))
}

func examine(ctx context.Context, kind work.Kind, c Case, others []Case) []error {
	store, err := artifact.NewMemory(artifact.Options{})
	if err != nil {
		return []error{err}
	}
	x := &trial{kind: kind, c: c, store: store}
	if x.needs, err = kind.Check(c.Task.Spec); err != nil {
		return []error{fmt.Errorf("its spec is refused: %w", err)}
	}
	honest, units, ok := x.honest(ctx)
	if !ok {
		return x.problems
	}
	x.garbage(ctx, honest)
	x.mutants(ctx, honest, units)
	x.withheld(ctx, honest)
	x.forgeries(ctx, honest)
	x.strangers(ctx, honest, others)
	x.cancelled(ctx, honest)
	x.offline(ctx, honest)
	x.concurrent(ctx)
	x.spoiled(ctx, honest, units)
	return x.problems
}

// env is a machine's environment, completed.
func (x *trial) env() work.Env {
	var e work.Env
	if x.c.Env != nil {
		e = x.c.Env()
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Rand == nil {
		e.Rand = rand.Reader
	}
	if e.Dial == nil {
		e.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errNoNetwork }
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Blobs == nil {
		e.Blobs = x.store
	} else {
		x.store = e.Blobs
	}
	return e
}

var errNoNetwork = errors.New("there is no network in this test")

func (x *trial) execute(ctx context.Context, env work.Env) (r work.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	task := cloneTask(x.c.Task)
	err = calmly(func() error { r, err = x.kind.Execute(ctx, env, task); return err })
	if task.Digest() != x.c.Task.Digest() {
		x.problem("Execute changed the task that it was given")
	}
	return r, err
}

func (x *trial) meter(task work.Task, r work.Result) (units uint64, err error) {
	task, r = cloneTask(task), cloneResult(r)
	want := r.Digest()
	ask := func() (u uint64, err error) {
		err = calmly(func() error { u, err = x.kind.Meter(task, r); return err })
		return u, err
	}
	units, err = ask()
	if r.Digest() != want {
		x.problem("Meter changed the result that it was given")
	}
	again, err2 := ask()
	if again != units || (err == nil) != (err2 == nil) {
		x.problem("Meter of the same result said %d, %v and then %d, %v", units, err, again, err2)
	}
	return units, err
}

func (x *trial) verify(ctx context.Context, env work.Env, task work.Task, r work.Result) (v work.Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = calmly(func() error { v, err = x.kind.Verify(ctx, env, cloneTask(task), cloneResult(r)); return err })
	if err == nil {
		if v.Outcome < work.Pass || v.Outcome > work.Unsure {
			x.problem("Verify found %v", v.Outcome)
		}
		if lerr := v.Label.Check(); lerr != nil && v.Outcome == work.Pass {
			x.problem("Verify passed a result: %v", lerr)
		}
	}
	return v, err
}

// honest executes the case and follows the result to its verdict.
func (x *trial) honest(ctx context.Context) (work.Result, uint64, bool) {
	before := len(x.problems)
	env := x.env()
	full, err := x.execute(ctx, env)
	if err != nil {
		x.problem("Execute: %v", err)
		return full, 0, false
	}
	if len(full.Body) > work.MaxResult || len(full.Blobs) > work.MaxBlobs {
		x.problem("Execute gave %d bytes and %d blobs, at most %d and %d", len(full.Body), len(full.Blobs), work.MaxResult, work.MaxBlobs)
	}
	if has, err := x.store.Has(ctx, full.Blobs...); err != nil || slices.Contains(has, false) {
		x.problem("Execute named blobs that it didn't put (%v, %v)", has, err)
	}
	// Whoever meters or verifies gets the body alone: it is all that a receipt signs.
	result := work.Result{Body: full.Body}
	units, err := x.meter(x.c.Task, result)
	if err != nil {
		x.problem("Meter refuses an honest result: %v", err)
	}
	if withBlobs, err := x.meter(x.c.Task, full); err != nil || withBlobs != units {
		x.problem("Meter says %d with the list of blobs and %d without (%v)", withBlobs, units, err)
	}
	if units > x.needs.UnitsPerTask {
		x.problem("an honest result is worth %d units, but Check said at most %d", units, x.needs.UnitsPerTask)
	}
	for range 2 {
		v, err := x.verify(ctx, x.env(), x.c.Task, result)
		if err != nil || v.Outcome != work.Pass {
			x.problem("Verify of an honest result: %v, %q, %v", v.Outcome, v.Reason, err)
		}
		if v.Evidence.IsZero() {
			continue
		}
		if has, err := x.store.Has(ctx, v.Evidence); err != nil || !has[0] {
			x.problem("the verdict's evidence isn't in the store (%v)", err)
		}
	}
	return result, units, len(x.problems) == before
}

// refused demands that a result is refused by Meter or found false by Verify.
func (x *trial) refused(ctx context.Context, name string, task work.Task, r work.Result) {
	units, err := x.meter(task, r)
	if errors.As(err, new(panicked)) {
		x.problem("%s: Meter: %v", name, err)
	}
	if err != nil {
		return
	}
	v, err := x.verify(ctx, x.env(), task, r)
	switch {
	case errors.As(err, new(panicked)):
		x.problem("%s: Verify: %v", name, err)
	case err != nil:
		x.problem("%s: Meter says %d units, and Verify can't find out: %v", name, units, err)
	case v.Outcome != work.Fail:
		x.problem("%s: Meter says %d units, and Verify says %v (%s)", name, units, v.Outcome, v.Reason)
	}
}

func (x *trial) garbage(ctx context.Context, honest work.Result) {
	noise := make([]byte, 4096)
	mathrand.NewChaCha8([32]byte{1}).Read(noise)
	for name, body := range map[string][]byte{
		"no result":       nil,
		"garbage":         noise,
		"a huge result":   make([]byte, work.MaxResult+1),
		"a cut result":    honest.Body[:len(honest.Body)-1],
		"a longer result": append(bytes.Clone(honest.Body), 0),
		"nested arrays":   bytes.Repeat([]byte{0x81}, 100_000),
		"text":            []byte("{\"status\":200}"),
	} {
		x.refused(ctx, name, x.c.Task, work.Result{Body: body})
	}
}

// mutants changes bytes here and there. Some change nothing that can be checked, like a
// time; but none may be worth more than the honest result, and none may cause a panic.
func (x *trial) mutants(ctx context.Context, honest work.Result, units uint64) {
	for i, m := range mutations(honest.Body, 300) {
		got, err := x.meter(x.c.Task, work.Result{Body: m})
		if errors.As(err, new(panicked)) {
			x.problem("changed result %d: Meter: %v", i, err)
		}
		if err == nil && got > units {
			x.refused(ctx, fmt.Sprintf("changed result %d, worth %d instead of %d", i, got, units), x.c.Task, work.Result{Body: m})
		}
	}
}

// withheld hides what the result named: nobody can check it, so it must not pass.
func (x *trial) withheld(ctx context.Context, honest work.Result) {
	env := x.env()
	env.Blobs = &forgetful{Store: x.store}
	v, err := x.verify(ctx, env, x.c.Task, honest)
	if errors.As(err, new(panicked)) {
		x.problem("without the blobs: Verify: %v", err)
	}
	if used := env.Blobs.(*forgetful).wasAsked(); used && err == nil && v.Outcome == work.Pass {
		x.problem("Verify passes a result whose blobs it asked for and didn't get")
	}
}

func (x *trial) forgeries(ctx context.Context, honest work.Result) {
	for name, forge := range x.c.Forge {
		env := x.env()
		forged, err := forge(env, cloneResult(honest))
		if err != nil {
			x.problem("make the forgery %q: %v", name, err)
			continue
		}
		if bytes.Equal(forged.Body, honest.Body) {
			x.problem("the forgery %q is the honest result", name)
			continue
		}
		x.refused(ctx, name, x.c.Task, work.Result{Body: forged.Body})
	}
}

// spoiled plants what the kind made of the honest result, under another number.
func (x *trial) spoiled(ctx context.Context, honest work.Result, units uint64) {
	kind, ok := x.kind.(work.Spoiler)
	if !ok {
		return
	}
	task := cloneTask(x.c.Task)
	task.Seq += 1000
	for range 3 {
		var wrong work.Result
		given := cloneResult(honest)
		err := calmly(func() (err error) {
			wrong, err = kind.Spoil(ctx, x.env(), cloneTask(task), given)
			return err
		})
		if given.Digest() != honest.Digest() {
			x.problem("Spoil changed the result that it was given")
		}
		if errors.Is(err, work.ErrUnspoilable) {
			return
		}
		if err != nil {
			x.problem("Spoil: %v", err)
			return
		}
		if bytes.Equal(wrong.Body, honest.Body) {
			x.problem("Spoil gave the right result")
		}
		if has, err := x.store.Has(ctx, wrong.Blobs...); err != nil || slices.Contains(has, false) {
			x.problem("Spoil named blobs that it didn't put (%v, %v)", has, err)
		}
		body := work.Result{Body: wrong.Body}
		if got, err := x.meter(task, body); err != nil || got != units {
			x.problem("Meter says %d units of a spoiled result and %d of the right one (%v)", got, units, err)
		}
		if v, err := x.verify(ctx, x.env(), task, body); err != nil || v.Outcome != work.Fail {
			x.problem("Verify of a spoiled result: %v, %q, %v", v.Outcome, v.Reason, err)
		}
	}
	var again work.Result
	err := calmly(func() (err error) {
		again, err = kind.Spoil(ctx, x.env(), cloneTask(task), work.Result{Body: []byte("no result")})
		return err
	})
	if err == nil || errors.As(err, new(panicked)) {
		x.problem("Spoil of garbage gave %d bytes, %v", len(again.Body), err)
	}
}

// strangers hands in other tasks' honest results.
func (x *trial) strangers(ctx context.Context, honest work.Result, others []Case) {
	for _, o := range others {
		if bytes.Equal(o.Task.Body, x.c.Task.Body) && bytes.Equal(o.Task.Spec, x.c.Task.Spec) {
			continue
		}
		y := &trial{kind: x.kind, c: o, store: x.store}
		r, err := y.execute(ctx, y.env())
		if err != nil || bytes.Equal(r.Body, honest.Body) {
			continue // its own examination will tell; an equal result answers both
		}
		x.refused(ctx, "the result of "+o.Name, x.c.Task, work.Result{Body: r.Body})
	}
}

// cancelled runs out of time in both roles, at once and while the network hangs.
func (x *trial) cancelled(ctx context.Context, honest work.Result) {
	for _, early := range []bool{true, false} {
		ctx, cancel := context.WithCancel(ctx)
		env := x.env()
		if early {
			cancel()
		} else {
			env.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
		x.promptly("Execute", func() { _, _ = x.execute(ctx, env) }) // either outcome is fine, but soon
		x.promptly("Verify", func() {
			v, err := x.verify(ctx, env, x.c.Task, honest)
			if err == nil && v.Outcome == work.Fail {
				x.problem("Verify found an honest result false because its time was up: %s", v.Reason)
			}
		})
		cancel()
	}
}

func (x *trial) promptly(what string, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	t := time.NewTimer(promptness)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		x.problem("%s goes on for more than %v after it was cancelled", what, promptness)
		<-done
	}
}

// offline verifies on a machine that reaches nothing: that is no proof against anybody.
func (x *trial) offline(ctx context.Context, honest work.Result) {
	env := x.env()
	env.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errNoNetwork }
	v, err := x.verify(ctx, env, x.c.Task, honest)
	if errors.As(err, new(panicked)) {
		x.problem("without a network: Verify: %v", err)
	}
	if err == nil && v.Outcome == work.Fail {
		x.problem("Verify found an honest result false because the auditor has no network: %s", v.Reason)
	}
}

// concurrent does the task several times at once, for the race detector to watch.
func (x *trial) concurrent(ctx context.Context) {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		env := x.env()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			errs[i] = calmly(func() error {
				r, err := x.kind.Execute(ctx, env, cloneTask(x.c.Task))
				if err != nil {
					return err
				}
				_, err = x.kind.Meter(x.c.Task, work.Result{Body: r.Body})
				return err
			})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		x.problem("several at once: %v", err)
	}
}

// forgetful is a store in which nothing is found, though everything can be put.
type forgetful struct {
	artifact.Store
	mu    sync.Mutex
	asked bool
}

func (f *forgetful) wasAsked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// Get implements artifact.Store.
func (f *forgetful) Get(_ context.Context, d artifact.Digest, _ int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = true
	return nil, fmt.Errorf("%w: %s", artifact.ErrNotFound, d)
}

// Open implements artifact.Store.
func (f *forgetful) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, int64, error) {
	_, err := f.Get(ctx, d, 0)
	return nil, 0, err
}

// Has implements artifact.Store.
func (f *forgetful) Has(_ context.Context, ds ...artifact.Digest) ([]bool, error) {
	return make([]bool, len(ds)), nil
}

// mutations are n variants of b, the same each time.
func mutations(b []byte, n int) [][]byte {
	if len(b) == 0 {
		return nil
	}
	r := mathrand.New(mathrand.NewPCG(1, uint64(len(b))))
	ms := make([][]byte, 0, n)
	for i := range n {
		m := bytes.Clone(b)
		at := r.IntN(len(m))
		switch i % 4 {
		case 0:
			m[at] ^= 1 << r.IntN(8)
		case 1:
			m[at] = byte(r.Uint32())
		case 2:
			m = slices.Delete(m, at, min(len(m), at+1+r.IntN(4)))
		case 3:
			m = slices.Insert(m, at, byte(r.Uint32()))
		}
		if !bytes.Equal(m, b) {
			ms = append(ms, m)
		}
	}
	return ms
}

// panicked is a panic of the kind's.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

func calmly(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{v, debug.Stack()}
		}
	}()
	return f()
}

func cloneTask(t work.Task) work.Task {
	t.Spec, t.Body = bytes.Clone(t.Spec), bytes.Clone(t.Body)
	return t
}

func cloneResult(r work.Result) work.Result {
	return work.Result{Body: bytes.Clone(r.Body), Blobs: slices.Clone(r.Blobs)}
}
