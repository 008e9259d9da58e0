package crawl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Keys of a live plan's state:
//
//	m          liveRecord
//	o seq      liveOut: a task that is out
//	i seq      Answered: what came of a page
const (
	keyLiveOut  = 'o'
	keyAnswered = 'i'
)

// idleWait is how long Next need not be asked without having been woken.
const idleWait = 15 * time.Second

type liveRecord struct {
	_                     struct{} `cbor:",toarray"`
	Next                  uint64   // task
	Done, Failed          uint64   // tasks
	Pages, Robots, Silent uint64   // responses to each, and exchanges without one
	Units                 uint64
	Finished              bool
}

// liveOut is a task that a worker has or will have.
type liveOut struct {
	_      struct{} `cbor:",toarray"`
	Mode   Mode
	URL    string
	Origin string // of which a robots.txt is
}

// livePlan gives the pages that a gateway asks for by its own door to the scheduler, each
// when its host's robots.txt is known to allow it and the host may be asked again. The live
// jobs of a Kind share what is known of hosts; live.mu guards all of it.
type livePlan struct {
	ctx      context.Context
	kind     *Kind
	job      work.JobID
	specRaw  []byte
	interval time.Duration
	env      work.PlanEnv

	rec    liveRecord
	asks   []weburl.URL
	out    map[uint64]liveOut
	silent map[string]int // tries in a row without a response, by URL
	kept   []Answered
	dirty  bool // rec is to be written
}

var _ work.Plan = (*livePlan)(nil)

func (k *Kind) openLive(ctx context.Context, job work.JobID, raw []byte, s Spec, state work.State, env work.PlanEnv) (work.Plan, error) {
	p := &livePlan{
		ctx: ctx, kind: k, job: job, specRaw: raw, interval: s.interval(), env: env,
		rec: liveRecord{Next: 1}, out: map[uint64]liveOut{}, silent: map[string]int{},
	}
	if p.env.Now == nil {
		p.env.Now = time.Now
	}
	if p.env.AllowPrivate == nil {
		p.env.AllowPrivate = func(string) bool { return false }
	}
	if p.env.Wake == nil {
		p.env.Wake = func(artifact.Digest) {}
	}
	if err := p.restore(state); err != nil {
		return nil, fmt.Errorf("open the plan of job %d: %w", job, err)
	}
	k.live.open(p)
	return p, nil
}

// interval is the pause between two requests to a host.
func (s Spec) interval() time.Duration {
	return time.Duration(float64(time.Second) * 1000 / float64(s.Rate))
}

func (p *livePlan) restore(state work.State) error {
	b, err := state.Get([]byte{keyPlan})
	if err == nil && b != nil {
		p.rec, err = work.Decode[liveRecord](b, 1<<10)
	}
	if err != nil {
		return err
	}
	var bad error
	err = state.Scan([]byte{keyLiveOut}, []byte{keyLiveOut + 1}, func(k, v []byte) bool {
		var o liveOut
		if o, bad = work.Decode[liveOut](v, 8<<10); bad == nil {
			p.out[binary.BigEndian.Uint64(k[1:])] = o
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	err = state.Scan([]byte{keyAnswered}, []byte{keyAnswered + 1}, func(_, v []byte) bool {
		var a Answered
		if a, bad = work.Decode[Answered](v, maxAnswered); bad == nil {
			p.kept = append(p.kept, a)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

// wake has Next asked soon. It may be called by whoever holds live.mu.
func (p *livePlan) wake() { go p.env.Wake(artifact.Digest{}) }

func liveKey(space byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{space}, seq)
}

// write puts down a value that can be encoded.
func write(b work.Batch, key []byte, v any) error {
	enc, err := work.Encode(v)
	if err != nil {
		return fmt.Errorf("encode the state of a live job: %w", err)
	}
	b.Set(key, enc)
	return nil
}

// Next implements work.Plan.
func (p *livePlan) Next(b work.Batch, max int) ([]work.Bundle, error) {
	l := &p.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	now := p.env.Now()
	var bundles []work.Bundle
	waiting := p.asks[:0:0]
	for i, u := range p.asks {
		if len(bundles) == max {
			waiting = append(waiting, p.asks[i:]...)
			break
		}
		if l.refusal(p, u, now) != nil {
			continue // Ask tells whoever asks again
		}
		o, ok := l.turn(p, u, now)
		if !ok || o.Mode == ModeRobots {
			waiting = append(waiting, u)
		}
		if !ok {
			continue
		}
		t, err := p.give(b, o, l.hops(o))
		if err != nil {
			return nil, fmt.Errorf("plan job %d: %w", p.job, err)
		}
		bundles = append(bundles, work.Bundle{Tasks: []work.Task{t}})
	}
	p.asks = waiting
	if !p.dirty {
		return bundles, nil
	}
	p.dirty = false
	return bundles, write(b, []byte{keyPlan}, p.rec)
}

// give makes a task.
func (p *livePlan) give(b work.Batch, o liveOut, depth uint32) (work.Task, error) {
	body, err := work.Encode(Fetch{Mode: o.Mode, URL: o.URL, Depth: depth})
	if err != nil {
		return work.Task{}, fmt.Errorf("encode a task: %w", err)
	}
	seq := p.rec.Next
	p.rec.Next, p.dirty = seq+1, true
	p.out[seq] = o
	return work.Task{Job: p.job, Seq: seq, Body: body}, write(b, liveKey(keyLiveOut, seq), o)
}

// Done implements work.Plan.
func (p *livePlan) Done(b work.Batch, outcomes []work.Outcome) error {
	read := make([]reading, len(outcomes)) // before the mutex: stores take their time
	for i := range outcomes {
		var err error
		if read[i], err = p.read(&outcomes[i]); err != nil {
			return fmt.Errorf("plan job %d: task %d: %w", p.job, outcomes[i].Task.Seq, err)
		}
	}
	l := &p.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	now := p.env.Now()
	for i := range outcomes {
		o := &outcomes[i]
		out, ok := p.out[o.Task.Seq]
		if !ok {
			continue // told twice: the first time counted
		}
		delete(p.out, o.Task.Seq)
		b.Delete(liveKey(keyLiveOut, o.Task.Seq))
		if o.Failed {
			p.rec.Failed++
		} else {
			p.rec.Done++
			p.rec.Units += o.Units
		}
		if read[i].rec.Status == 0 {
			p.rec.Silent++
		}
		if out.Mode == ModeRobots {
			p.rec.Robots++
			l.learn(p, out, read[i], now)
			continue
		}
		l.heard(out.URL, read[i].rec, now)
		if read[i].rec.Status == 0 {
			p.unanswered(out.URL, read[i].rec.Error)
			continue
		}
		p.rec.Pages++
		delete(p.silent, out.URL)
		a := Answered{Receipt: o.Receipt, Task: o.Task.Body, Result: o.Result.Body}
		p.kept = append(p.kept, a)
		if err := write(b, liveKey(keyAnswered, o.Task.Seq), a); err != nil {
			return err
		}
	}
	return write(b, []byte{keyPlan}, p.rec)
}

// reading is an outcome as far as it can be read without the mutex.
type reading struct {
	fetch Fetch
	rec   Record // without Status and Error where no worker could do the task
	rules *robots.File
}

func (p *livePlan) read(o *work.Outcome) (r reading, err error) {
	if r.fetch, err = DecodeFetch(o.Task.Body); err != nil || o.Failed {
		return r, err
	}
	t := o.Task
	t.Spec = p.specRaw
	rec, err := p.kind.record(t, o.Result)
	if err != nil {
		return r, nil // the scheduler has metered it, so this can't be; if it is, there was no response
	}
	r.rec = rec
	if r.fetch.Mode != ModeRobots || rec.Status < 200 || rec.Status > 299 {
		return r, nil
	}
	body, err := storedBody(p.ctx, p.env.Blobs, rec)
	if err == nil && body != nil {
		r.rules = readRobots(*body)
	}
	return r, err
}

// unanswered notes that a try for a page came to nothing.
func (p *livePlan) unanswered(url, class string) {
	p.silent[url]++
	switch class {
	case ErrForbidden, ErrTooLarge, ErrProtocol: // it would be so again
		p.silent[url] = maxSilent
	}
}

// Status implements work.Plan.
func (p *livePlan) Status() work.PlanStatus {
	l := &p.kind.live
	l.mu.Lock()
	defer l.mu.Unlock()
	return work.PlanStatus{
		Queued: uint64(len(p.asks)), Out: uint64(len(p.out)), Done: p.rec.Done, Failed: p.rec.Failed,
		Finished: p.rec.Finished && len(p.asks)+len(p.out) == 0, Wait: l.wait(p, p.env.Now()),
		Counts: map[string]uint64{"pages": p.rec.Pages, "robots": p.rec.Robots, "silent": p.rec.Silent, "units": p.rec.Units},
	}
}

// Close implements work.Plan.
func (p *livePlan) Close() error {
	p.kind.live.close(p)
	return nil
}
