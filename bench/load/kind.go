package main

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cantus-network/cantus/work"
)

// load/1 is a kind whose tasks never end and whose result is always the same bytes, so that
// what is measured is leasing, receipts and vouchers, and nothing of any kind of work.
const kindName work.Name = "load/1"

var resultBody = []byte("done")

type spec struct {
	_      struct{} `cbor:",toarray"`
	Bundle uint64   // tasks in one bundle
	Body   uint64   // bytes of a task
	Time   uint64   // milliseconds that a task may take
}

type kind struct{}

var _ work.Planner = kind{}

func (kind) Name() work.Name { return kindName }

func (kind) Check(b []byte) (work.Needs, error) {
	s, err := work.Decode[spec](b, work.MaxSpec)
	if err != nil || s.Bundle == 0 || s.Body > work.MaxTask {
		return work.Needs{}, errors.New("not a load spec")
	}
	return work.Needs{UnitsPerTask: 3, TaskTime: time.Duration(s.Time) * time.Millisecond}, nil
}

// unitsOf lets tasks cost different amounts, so that a sum over the wrong ones shows.
func unitsOf(seq uint64) uint64 { return 1 + seq%3 }

func (kind) Meter(t work.Task, r work.Result) (uint64, error) {
	if string(r.Body) != string(resultBody) {
		return 0, errors.New("another result")
	}
	return unitsOf(t.Seq), nil
}

func (kind) Execute(context.Context, work.Env, work.Task) (work.Result, error) {
	return work.Result{Body: resultBody}, nil
}

func (kind) Verify(context.Context, work.Env, work.Task, work.Result) (work.Verdict, error) {
	return work.Verdict{Outcome: work.Pass, Label: work.Agreed}, nil
}

var nextKey = []byte("next")

func (kind) Plan(_ context.Context, job work.JobID, b []byte, state work.State, _ work.PlanEnv) (work.Plan, error) {
	s, err := work.Decode[spec](b, work.MaxSpec)
	if err != nil {
		return nil, err
	}
	given, err := state.Get(nextKey)
	if err != nil {
		return nil, err
	}
	p := &plan{spec: s, job: job}
	if len(given) == 8 {
		p.given = binary.BigEndian.Uint64(given)
	}
	return p, nil
}

type plan struct {
	spec        spec
	job         work.JobID
	given, done uint64
}

func (p *plan) Next(b work.Batch, limit int) ([]work.Bundle, error) {
	var bundles []work.Bundle
	for n := 0; n < limit; {
		var bundle work.Bundle
		for range p.spec.Bundle {
			p.given++
			n++
			body := make([]byte, p.spec.Body)
			binary.BigEndian.PutUint64(body[:8], p.given)
			bundle.Tasks = append(bundle.Tasks, work.Task{Job: p.job, Seq: p.given, Body: body})
		}
		bundles = append(bundles, bundle)
	}
	b.Set(nextKey, binary.BigEndian.AppendUint64(nil, p.given))
	return bundles, nil
}

func (p *plan) Done(_ work.Batch, outcomes []work.Outcome) error {
	p.done += uint64(len(outcomes))
	return nil
}

func (p *plan) Status() work.PlanStatus {
	return work.PlanStatus{Out: p.given - p.done, Done: p.done}
}

func (p *plan) Close() error { return nil }
