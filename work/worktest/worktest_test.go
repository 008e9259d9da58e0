package worktest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// sum is an honest kind: it adds a task's bytes and keeps the working in a blob.
type sum struct{}

type sumResult struct {
	_       struct{} `cbor:",toarray"`
	Task    artifact.Digest
	Sum     uint64
	Working artifact.Digest
}

func (sum) Name() work.Name { return "sum/1" }

func (sum) Check(spec []byte) (work.Needs, error) {
	if string(spec) != "add" {
		return work.Needs{}, errors.New(`want "add"`)
	}
	return work.Needs{UnitsPerTask: 100, TaskTime: time.Second}, nil
}

func (sum) Meter(t work.Task, r work.Result) (uint64, error) {
	v, err := work.Decode[sumResult](r.Body, 1024)
	if err != nil {
		return 0, err
	}
	if v.Task != artifact.Sum(t.Body) {
		return 0, errors.New("another task's")
	}
	return uint64(len(t.Body)), nil
}

func (sum) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	if err := ctx.Err(); err != nil {
		return work.Result{}, err
	}
	v := sumResult{Task: artifact.Sum(t.Body)}
	var working []byte
	for _, b := range t.Body {
		v.Sum += uint64(b)
		working = append(working, b, '+')
	}
	var err error
	if v.Working, err = env.Blobs.Put(ctx, working); err != nil {
		return work.Result{}, err
	}
	b, err := work.Encode(v)
	return work.Result{Body: b, Blobs: []artifact.Digest{v.Working}}, err
}

func (k sum) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	v, err := work.Decode[sumResult](r.Body, 1024)
	if err != nil {
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed}, nil
	}
	if _, err := env.Blobs.Get(ctx, v.Working, 1<<20); err != nil {
		return work.Verdict{}, err
	}
	again, err := k.Execute(ctx, env, t)
	if err != nil {
		return work.Verdict{}, err
	}
	if !bytes.Equal(again.Body, r.Body) {
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed, Evidence: again.Blobs[0]}, nil
	}
	return work.Verdict{Outcome: work.Pass, Label: work.Replayed}, nil
}

func cases() []Case {
	forge := map[string]func(work.Env, work.Result) (work.Result, error){
		"another sum": func(_ work.Env, r work.Result) (work.Result, error) {
			v, err := work.Decode[sumResult](r.Body, 1024)
			v.Sum++
			b, _ := work.Encode(v)
			return work.Result{Body: b}, err
		},
	}
	return []Case{
		{Name: "one", Task: work.Task{Job: 1, Seq: 1, Spec: []byte("add"), Body: []byte("abc")}, Forge: forge},
		{Name: "two", Task: work.Task{Job: 1, Seq: 2, Spec: []byte("add"), Body: []byte("xyz")}, Forge: forge},
	}
}

func TestHonestKind(t *testing.T) {
	Specs(t, sum{}, [][]byte{[]byte("add")}, map[string][]byte{"empty": nil, "other": []byte("subtract")})
	Run(t, sum{}, cases())
	Run(t, spoiler{}, cases())
}

// Kinds with one fault each: the suite must name it.
type (
	gullible  struct{ sum } // passes whatever it is shown
	generous  struct{ sum } // meters whatever it is shown
	harsh     struct{ sum } // convicts when it is out of time
	nervous   struct{ sum } // panics on what it can't read
	forgotten struct{ sum } // never puts its blob
	blind     struct{ sum } // takes every spec
	fickle    struct {
		sum
		n *int
	} // says now this, now that
	scribbler struct{ sum } // writes into what it is given
	spoiler   struct{ sum } // no fault: it spoils as it should
	kindly    struct{ sum } // spoils nothing
	careless  struct{ sum } // spoils into what is no result
)

func (gullible) Verify(context.Context, work.Env, work.Task, work.Result) (work.Verdict, error) {
	return work.Verdict{Outcome: work.Pass, Label: work.Replayed}, nil
}

func (generous) Meter(work.Task, work.Result) (uint64, error) { return 1, nil }

func (generous) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	return gullible{}.Verify(ctx, env, t, r)
}

func (h harsh) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	v, err := h.sum.Verify(ctx, env, t, r)
	if err != nil {
		return work.Verdict{Outcome: work.Fail, Label: work.Replayed}, nil
	}
	return v, nil
}

func (n nervous) Meter(t work.Task, r work.Result) (uint64, error) {
	u, err := n.sum.Meter(t, r)
	if err != nil {
		panic(err)
	}
	return u, nil
}

func (f forgotten) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	elsewhere, _ := artifact.NewMemory(artifact.Options{})
	env.Blobs = elsewhere
	return f.sum.Execute(ctx, env, t)
}

func (blind) Check([]byte) (work.Needs, error) { return work.Needs{UnitsPerTask: 9}, nil }

func (f fickle) Meter(t work.Task, r work.Result) (uint64, error) {
	*f.n++
	u, err := f.sum.Meter(t, r)
	return u + uint64(*f.n%2), err
}

func (spoiler) Spoil(_ context.Context, _ work.Env, _ work.Task, r work.Result) (work.Result, error) {
	v, err := work.Decode[sumResult](r.Body, 1024)
	if err != nil {
		return work.Result{}, err
	}
	v.Sum += 7
	b, err := work.Encode(v)
	return work.Result{Body: b}, err
}

func (kindly) Spoil(_ context.Context, _ work.Env, _ work.Task, r work.Result) (work.Result, error) {
	return r, nil
}

func (careless) Spoil(context.Context, work.Env, work.Task, work.Result) (work.Result, error) {
	return work.Result{Body: []byte("wrong")}, nil
}

func (s scribbler) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	r, err := s.sum.Execute(ctx, env, t)
	t.Body[0] = 'q'
	return r, err
}

func TestFaultsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind work.Kind
		want string
	}{
		{"gullible", gullible{}, "another sum"},
		{"generous", generous{}, "garbage"},
		{"generous", generous{}, "the result of two"},
		{"harsh", harsh{}, "because its time was up"},
		{"nervous", nervous{}, "panic"},
		{"forgotten", forgotten{}, "didn't put"},
		{"fickle", fickle{n: new(int)}, "and then"},
		{"scribbler", scribbler{}, "changed the task"},
		{"kindly", kindly{}, "gave the right result"},
		{"kindly", kindly{}, "Verify of a spoiled result: pass"},
		{"careless", careless{}, "units of a spoiled result"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs := cases()
			if got := errors.Join(examine(t.Context(), tt.kind, cs[0], cs[1:])...); got == nil || !strings.Contains(got.Error(), tt.want) {
				t.Errorf("found %v, want %q in it", got, tt.want)
			}
		})
	}
	got := errors.Join(examineSpecs(blind{}, [][]byte{[]byte("add")}, map[string][]byte{"empty": nil})...)
	for _, want := range []string{`"empty" is taken`, "beyond the limit", "0s per task"} {
		if got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("found %v, want %q in it", got, want)
		}
	}
}
