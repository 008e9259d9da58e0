package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// worker is one that answers.
type worker struct {
	name   string
	model  string // in which type; own for the project's own engine
	args   []string
	honest bool
}

// The honest ones differ in how llama.cpp computes: batches, flash attention, the type
// of keys and values, weights of half the size. The auditor is the first one.
var workers = []worker{
	{"llama.cpp", "F32", nil, true},
	{"batches of 8", "F32", []string{"--batch", "8"}, true},
	{"flash attention", "F32", []string{"--flash"}, true},
	{"F32 keys and values", "F32", []string{"--cache", "F32"}, true},
	{"F16 weights", "F16", []string{"--batch", "64"}, true},
	{"int8 weights (Q8_0)", "Q8_0", nil, false},
	{"int4 weights (Q4_0)", "Q4_0", nil, false},
	{"a layer missing", "short", nil, false},
}

// answered is a task with an answer.
type answered struct {
	task   *claim.Task
	result *claim.Result
}

func answers(ctx context.Context, b measured.Backend, tasks []*claim.Task) ([]answered, error) {
	var list []answered
	for i, t := range tasks {
		r, err := measured.Generate(ctx, b, t, func(answer.Step) bool { return true })
		if err == nil {
			err = measured.Check(t, r)
		}
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", i, err)
		}
		list = append(list, answered{t, r})
	}
	return list, nil
}

func audit(ctx context.Context, b measured.Backend, list []answered) ([]*measured.Measurement, error) {
	var out []*measured.Measurement
	for i, a := range list {
		m, _, err := measured.Audit(ctx, b, a.task, a.result)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", i, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// copied is an answer of a cheaper model as its worker sells it for the right one's: the right
// model scores the cheap tokens in one pass, and where the seed would not have given the token,
// its probability is raised as little as makes it the one.
func copied(ctx context.Context, right measured.Backend, cheap answered) (answered, error) {
	t, r := cheap.task, &claim.Result{Output: cheap.result.Output, Finish: cheap.result.Finish}
	places, err := right.Score(ctx, t.Prompt, r.Output, int(t.Top))
	if err != nil {
		return answered{}, err
	}
	for i, p := range places {
		p = raise(p, r.Output[i], t, uint64(len(t.Prompt)+i))
		r.Top = append(r.Top, p...)
		for _, a := range p {
			if a.ID == r.Output[i] {
				r.LogProbs = append(r.LogProbs, a.LogProb)
			}
		}
	}
	return answered{t, r}, measured.Check(t, r)
}

func raise(p measured.Place, id uint32, t *claim.Task, position uint64) measured.Place {
	was := p[len(p)-1].LogProb
	rest := make(measured.Place, 0, len(p))
	for _, a := range p {
		if a.ID == id {
			was = a.LogProb
		} else {
			rest = append(rest, a)
		}
	}
	rest = rest[:len(p)-1]
	with := func(lp int32) measured.Place {
		out := append(measured.Place{{ID: id, LogProb: lp}}, rest...)
		sum := 0.0
		for _, a := range out {
			sum += math.Exp(float64(a.LogProb) / 65536)
		}
		if less := int32(math.Ceil(math.Log(sum) * 65536)); less > 0 {
			for i := range out {
				out[i].LogProb -= less
			}
		}
		sort.Slice(out, func(i, j int) bool {
			return out[i].LogProb > out[j].LogProb || out[i].LogProb == out[j].LogProb && out[i].ID < out[j].ID
		})
		return out
	}
	drawn := func(lp int32) bool { return measured.Draw(with(lp), &t.Sampling, position) == id }
	if drawn(was) {
		return with(was)
	}
	low, high := was, int32(20<<16)
	for high-low > 1 {
		if mid := low + (high-low)/2; drawn(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return with(high)
}

// measure lets all workers answer, audits them, calibrates with the first half of the honest
// answers and tests with the second.
func (s *subject) measure(ctx context.Context, o *options) (*report, error) {
	vocab := s.exact.Vocab
	calibrating, testing := s.tasks(0, o.answers, o.tokens), s.tasks(o.answers, o.answers, o.tokens)
	type sold struct {
		worker
		calibrating, testing []answered
	}
	var all []sold
	for _, w := range workers {
		path, err := s.variant(o.dir, w.model)
		if err != nil {
			return nil, err
		}
		b, stop, err := serve(ctx, o.node, path, vocab, w.args...)
		if err != nil {
			return nil, err
		}
		x := sold{worker: w}
		if w.honest {
			x.calibrating, err = answers(ctx, b, calibrating)
		}
		if err == nil {
			x.testing, err = answers(ctx, b, testing)
		}
		stop()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		slog.Info("answered", "model", s.name, "worker", w.name)
		all = append(all, x)
	}
	engine, end := s.engine()
	defer end()
	own := sold{worker: worker{name: "own engine (int8 activations)", honest: true}}
	var err error
	if own.calibrating, err = answers(ctx, engine, calibrating); err == nil {
		own.testing, err = answers(ctx, engine, testing)
	}
	if err != nil {
		return nil, err
	}
	path, err := s.variant(o.dir, "F32")
	if err != nil {
		return nil, err
	}
	auditor, stop, err := serve(ctx, o.node, path, vocab)
	if err != nil {
		return nil, err
	}
	defer stop()
	for _, from := range []string{"int4 weights (Q4_0)", "a layer missing"} {
		x := sold{worker: worker{name: "copied probabilities, tokens of: " + from}}
		for _, y := range all {
			if y.name != from {
				continue
			}
			for i, cheap := range y.testing {
				c, err := copied(ctx, auditor, cheap)
				if err != nil {
					return nil, fmt.Errorf("%s, answer %d: %w", x.name, i, err)
				}
				x.testing = append(x.testing, c)
			}
		}
		all = append(all, x)
	}
	r := &report{Model: s.name, Answers: o.answers, Tokens: o.tokens}
	seen := map[string][2][]*measured.Measurement{} // by auditor and worker
	for _, c := range []struct {
		name    string
		auditor measured.Backend
		with    []sold // honest besides llama.cpp's
	}{
		{"llama.cpp audits llama.cpp", auditor, nil},
		{"llama.cpp audits llama.cpp and the own engine", auditor, []sold{own}},
		{"the own engine audits llama.cpp", engine, nil},
	} {
		t := table{Name: c.name}
		var runs []measured.Run
		tested := map[string][]*measured.Measurement{}
		for _, x := range append(append([]sold(nil), all...), c.with...) {
			key := fmt.Sprintf("%T %s", c.auditor, x.name)
			got, ok := seen[key]
			if !ok {
				for k, list := range [][]answered{x.calibrating, x.testing} {
					if got[k], err = audit(ctx, c.auditor, list); err != nil {
						return nil, fmt.Errorf("%s, of %s: %w", c.name, x.name, err)
					}
				}
				seen[key] = got
			}
			for _, v := range got[0] {
				runs = append(runs, measured.Run{Group: x.name, Measurement: v})
			}
			tested[x.name] = got[1]
		}
		if t.Calibration, err = measured.Calibrate(runs); err != nil {
			t.Problem = err.Error()
			r.Tables = append(r.Tables, t)
			continue
		}
		for _, x := range append(append([]sold(nil), all...), c.with...) {
			t.Rows = append(t.Rows, evaluate(t.Calibration, x.name, x.honest, tested[x.name]))
		}
		r.Tables = append(r.Tables, t)
		slog.Info("audited", "model", s.name, "how", c.name)
	}
	return r, nil
}

// evaluate draws answers again and again, as if the worker went on like that.
func evaluate(c *measured.Calibration, name string, honest bool, list []*measured.Measurement) row {
	r := row{Worker: name, Honest: honest, Answers: len(list)}
	var scores []int32
	var e, e2 float64
	misses := 0
	for _, m := range list {
		s := c.Score(m)
		scores = append(scores, s)
		r.Tokens += m.Tokens
		misses += m.Misses(float64(c.Gap) / 1e6)
		r.Distance += m.Near / float64(len(list))
		r.Score += float64(s) / 1000 / float64(len(list))
		if s > 0 {
			r.Suspicious++
		}
		v := math.Exp(float64(s) / 1000)
		e, e2 = e+v, e2+v*v
	}
	n := float64(len(list))
	r.E = e / n
	r.EHigh = r.E + 2*math.Sqrt(max(e2/n-r.E*r.E, 0)/n)
	r.Distance = math.Exp(r.Distance)
	r.Missed = float64(misses) / float64(max(r.Tokens, 1))
	r.MissedLow, r.MissedHigh = measured.Interval(misses, r.Tokens)
	random := rand.New(rand.NewPCG(1, 2))
	if honest {
		// A hundred thousand answers of a worker that goes on like that.
		var q measured.Sequence
		for range 100_000 {
			if q.Add(scores[random.IntN(len(scores))]) {
				r.Alarms++
				q.Sum = 0
			}
		}
		r.Highest = float64(q.Highest) / 1000
		return r
	}
	var found []int
	const trials, most = 2000, 2000
	for range trials {
		var q measured.Sequence
		n := 0
		for n < most {
			n++
			if q.Add(scores[random.IntN(len(scores))]) {
				break
			}
		}
		if q.Crossed() {
			found = append(found, n)
		}
	}
	r.Found = float64(len(found)) / trials
	if len(found) > 0 {
		sort.Ints(found)
		r.Median, r.P95 = found[len(found)/2], found[len(found)*95/100]
	}
	return r
}
