package crawl

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/frontier"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Keys of a plan's state besides the frontier's:
//
//	m        planRecord
//	x n      an address that the scope was extended by
//	d digest body that a page had: nothing
const (
	keyPlan   = 'm'
	keyExtend = 'x'
	keyDigest = 'd'
)

// planRecord is what a plan keeps in one place.
type planRecord struct {
	_        struct{} `cbor:",toarray"`
	Started  bool
	Stopped  bool   // enough pages
	Extended uint64 // addresses that the scope was extended by
	Sitemaps uint64 // queued or asked for
	Counts   counts
}

// plan derives a crawl's tasks from its seeds and from what was found.
type plan struct {
	ctx      context.Context
	kind     *Kind
	job      work.JobID
	specRaw  []byte
	spec     Spec
	env      work.PlanEnv
	state    work.State
	f        *frontier.Frontier
	scope    *scope
	rec      planRecord
	pagesOut uint64
	bodies   recent // digests of bodies seen last
}

// Plan implements work.Planner.
func (k *Kind) Plan(ctx context.Context, job work.JobID, spec []byte, state work.State, env work.PlanEnv) (work.Plan, error) {
	s, err := k.spec(spec)
	if err != nil {
		return nil, err
	}
	if s.Scope == ScopeLive {
		return k.openLive(ctx, job, spec, s, state, env)
	}
	p := &plan{ctx: ctx, kind: k, job: job, specRaw: spec, spec: s, env: env, state: state, scope: newScope(s.Scope)}
	for _, seed := range s.Seeds {
		u, err := weburl.Parse(seed)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		p.scope.add(u)
	}
	if err := p.restore(); err != nil {
		return nil, fmt.Errorf("open the plan of job %d: %w", job, err)
	}
	private := env.AllowPrivate
	if private == nil {
		private = func(string) bool { return false }
	}
	p.f, err = frontier.Open(state, frontier.Config{
		Now:      env.Now,
		Interval: time.Duration(float64(time.Second) * 1000 / float64(s.Rate)),
		Private:  private,
		Dropped:  p.dropped,
	})
	if err != nil {
		return nil, fmt.Errorf("open the plan of job %d: %w", job, err)
	}
	p.pagesOut = p.f.OutOf(uint8(ModePage))
	return p, nil
}

func (p *plan) restore() error {
	b, err := p.state.Get([]byte{keyPlan})
	if err != nil || b == nil {
		return err
	}
	if p.rec, err = work.Decode[planRecord](b, 1<<16); err != nil {
		return err
	}
	var bad error
	err = p.state.Scan([]byte{keyExtend}, []byte{keyExtend + 1}, func(_, value []byte) bool {
		var u weburl.URL
		if u, bad = weburl.Parse(string(value)); bad == nil {
			p.scope.add(u)
		}
		return bad == nil
	})
	if bad != nil {
		return bad
	}
	return err
}

// Next implements work.Plan.
func (p *plan) Next(b work.Batch, max int) ([]work.Bundle, error) {
	if !p.rec.Started {
		p.rec.Started = true
		for _, seed := range p.spec.Seeds {
			u, err := weburl.Parse(seed)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSpec, err)
			}
			if err := p.add(b, frontier.Item{URL: u, Mode: uint8(ModePage)}); err != nil {
				return nil, err
			}
		}
	}
	groups, err := p.f.Next(b, max, p.quota())
	if err != nil {
		return nil, fmt.Errorf("plan job %d: %w", p.job, err)
	}
	bundles := make([]work.Bundle, 0, len(groups))
	for _, g := range groups {
		bundle := work.Bundle{Pace: g.Pace, Tasks: make([]work.Task, 0, len(g.Items))}
		for _, it := range g.Items {
			if it.Item.Mode == uint8(ModePage) {
				p.pagesOut++
			}
			body, err := work.Encode(Fetch{Mode: Mode(it.Item.Mode), URL: it.Item.URL.String(), Depth: it.Item.Depth})
			if err != nil {
				return nil, fmt.Errorf("encode a task: %w", err)
			}
			bundle.Tasks = append(bundle.Tasks, work.Task{Job: p.job, Seq: it.Seq, Body: body})
		}
		bundles = append(bundles, bundle)
	}
	return bundles, p.flush(b)
}

// quota is how many pages may be asked for now: even if all that are out are kept, there
// must not be too many.
func (p *plan) quota() int {
	const unlimited = 1 << 30
	if p.spec.MaxPages == 0 {
		return unlimited
	}
	used := p.rec.Counts.Pages + p.pagesOut
	if used >= p.spec.MaxPages {
		return 0
	}
	return int(min(p.spec.MaxPages-used, unlimited))
}

// Done implements work.Plan.
func (p *plan) Done(b work.Batch, outcomes []work.Outcome) error {
	for _, o := range outcomes {
		if err := p.outcome(b, o); err != nil {
			return fmt.Errorf("plan job %d: task %d: %w", p.job, o.Task.Seq, err)
		}
	}
	if p.spec.MaxPages != 0 && p.rec.Counts.Pages >= p.spec.MaxPages && !p.rec.Stopped {
		p.rec.Stopped = true
		p.rec.Counts.Dropped += p.f.Stop()
	}
	return p.flush(b)
}

func (p *plan) flush(b work.Batch) error {
	if err := p.f.Flush(b); err != nil {
		return err
	}
	enc, err := work.Encode(p.rec)
	if err != nil {
		return fmt.Errorf("encode the plan of job %d: %w", p.job, err)
	}
	b.Set([]byte{keyPlan}, enc)
	return nil
}

// add queues an address that is in scope, unless it is known.
func (p *plan) add(b work.Batch, it frontier.Item) error {
	if p.rec.Stopped {
		return nil
	}
	fresh, err := p.f.Add(b, it)
	if fresh {
		p.rec.Counts.Found++
	}
	return err
}

// extend makes a seed's redirect target part of the crawl, as example.com's
// www.example.com, where it is of the same registrable domain.
func (p *plan) extend(b work.Batch, from frontier.Item, to weburl.URL) {
	if from.Depth != 0 || p.rec.Extended >= 2*uint64(len(p.spec.Seeds)) || p.scope.has(to) || domain(from.URL) != domain(to) {
		return
	}
	p.rec.Extended++
	b.Set(binary.BigEndian.AppendUint64([]byte{keyExtend}, p.rec.Extended), []byte(to.String()))
	p.scope.add(to)
}

// dropped is told of addresses that leave the queues unasked.
func (p *plan) dropped(_ frontier.Item, why string) {
	if why == frontier.Denied {
		p.rec.Counts.Denied++
		return
	}
	p.rec.Counts.fail(why)
}

// Status implements work.Plan.
func (p *plan) Status() work.PlanStatus {
	s := p.f.Stats()
	st := work.PlanStatus{
		Queued: s.Queued, Out: s.Out, Done: p.rec.Counts.Tasks, Failed: p.rec.Counts.Failed,
		Finished: p.rec.Started && s.Queued == 0 && s.Out == 0,
		Counts:   p.rec.Counts.figures(),
	}
	st.Counts["hosts"] = s.Hosts
	if !st.Finished {
		st.Wait = s.Wait
	}
	return st
}

// Close implements work.Plan.
func (p *plan) Close() error { return nil }

// robotsAgent reads a robots.txt as this crawler does.
func readRobots(body []byte) *robots.File {
	f := robots.Parse(body, Agent)
	return &f
}
