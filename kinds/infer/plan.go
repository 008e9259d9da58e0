package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// Keys of a plan's state:
//
//	m          planRecord
//	k keyID    account: what an API key has spent
//	o seq      outRecord: a task that is out
//	r          tab.Revocations
//	i seq      Answered: what came of a task of the gateway's own
const (
	keyPlan    = 'm'
	keyAccount = 'k'
	keyOut     = 'o'
	keyRevoked = 'r'
	keyKept    = 'i'
)

const (
	maxKeys  = 1 << 17          // API keys of one tab that have spent something
	maxTries = 2                // tasks for one request
	idleWait = 15 * time.Second // until Next is asked without having been woken
)

type planRecord struct {
	_              struct{} `cbor:",toarray"`
	Next           uint64   // task
	Done, Failed   uint64
	Prompt, Output uint64 // tokens paid for
}

type account struct {
	_        struct{} `cbor:",toarray"`
	Units    uint64
	Requests uint64
}

type outRecord struct {
	_    struct{} `cbor:",toarray"`
	Key  tab.KeyID
	Most uint64 // units that it may cost
}

// purse is what an API key has spent and what its requests under way may cost.
type purse struct {
	account
	reserved uint64
}

// out is a task that a worker has or will have.
type out struct {
	outRecord
	ask *ask // nil where nobody waits for it
}

// plan gives the requests that clients make of a tab to the scheduler. A tab is a standing
// job: it never finishes by itself, but when its buyer closes it, it expires or its escrow
// is used up.
type plan struct {
	kind    *Kind
	job     work.JobID
	spec    *tab.Spec
	digest  artifact.Digest
	env     work.PlanEnv
	amend   func(*claim.Task) error // nil for none
	mu      sync.Mutex
	rec     planRecord
	purses  map[tab.KeyID]*purse
	out     map[uint64]*out
	queue   *queue
	revoked *tab.Revocations // nil where there are none
	dirty   bool             // they are to be written
	closed  bool

	kept []Answered // of the gateway's own tasks
}

var (
	_ work.Plan     = (*plan)(nil)
	_ work.Audience = (*plan)(nil)
)

// Plan implements work.Planner.
func (k *Kind) Plan(ctx context.Context, job work.JobID, spec []byte, state work.State, env work.PlanEnv) (work.Plan, error) {
	return k.PlanWith(ctx, job, spec, state, env, nil)
}

// PlanWith is Plan for a kind whose tabs, API keys and routes are these, but whose tasks ask
// for more: amend changes or refuses a task before it is queued. Clients see no more of its
// answer than they asked for; its proof has all.
func (k *Kind) PlanWith(_ context.Context, job work.JobID, spec []byte, state work.State, env work.PlanEnv, amend func(*claim.Task) error) (work.Plan, error) {
	s, err := k.spec(spec)
	if err != nil {
		return nil, err
	}
	p := &plan{
		kind: k, job: job, spec: s, digest: artifact.Sum(spec), env: env, amend: amend,
		rec: planRecord{Next: 1}, purses: map[tab.KeyID]*purse{}, out: map[uint64]*out{}, queue: newQueue(),
	}
	if p.env.Now == nil {
		p.env.Now = time.Now
	}
	if p.env.Wake == nil {
		p.env.Wake = func(artifact.Digest) {}
	}
	if err := p.restore(state); err != nil {
		return nil, fmt.Errorf("open the tab of job %d: %w", job, err)
	}
	k.mu.Lock()
	was := k.plans[job]
	k.plans[job] = p
	k.mu.Unlock()
	if was != nil {
		_ = was.Close() // the scheduler has left it
	}
	return p, nil
}

func (p *plan) restore(state work.State) error {
	b, err := state.Get([]byte{keyPlan})
	if err == nil && b != nil {
		p.rec, err = work.Decode[planRecord](b, 1<<10)
	}
	if err != nil {
		return err
	}
	if b, err = state.Get([]byte{keyRevoked}); err == nil && b != nil {
		var r tab.Revocations
		r, err = work.Decode[tab.Revocations](b, tab.MaxRevocations)
		p.revoked = &r
	}
	if err != nil {
		return err
	}
	var bad error
	err = state.Scan([]byte{keyAccount}, []byte{keyAccount + 1}, func(k, v []byte) bool {
		var a account
		if a, bad = work.Decode[account](v, 64); bad == nil {
			p.purse(tab.KeyID(k[1:])).account = a
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	err = state.Scan([]byte{keyOut}, []byte{keyOut + 1}, func(k, v []byte) bool {
		var r outRecord
		if r, bad = work.Decode[outRecord](v, 64); bad == nil {
			p.out[binary.BigEndian.Uint64(k[1:])] = &out{outRecord: r}
			p.purse(r.Key).reserved += r.Most
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	return p.restoreKept(state)
}

// purse finds a key's purse, and makes one for a key that was never seen. The caller holds
// p.mu, or is the only one that has p.
func (p *plan) purse(id tab.KeyID) *purse {
	u := p.purses[id]
	if u == nil {
		u = new(purse)
		p.purses[id] = u
	}
	return u
}

func outKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyOut}, seq) }

// set writes a value that can be encoded.
func set(b work.Batch, key []byte, v any) error {
	enc, err := work.Encode(v)
	if err != nil {
		return fmt.Errorf("encode the state of a tab: %w", err)
	}
	b.Set(key, enc)
	return nil
}

// Next implements work.Plan.
func (p *plan) Next(b work.Batch, max int) ([]work.Bundle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.flush(b); err != nil {
		return nil, err
	}
	var bundles []work.Bundle
	for len(bundles) < max {
		a := p.queue.pop()
		if a == nil {
			break
		}
		p.kind.queued.Add(-1)
		a.seq = p.rec.Next
		p.rec.Next++
		o := &out{outRecord: outRecord{Key: a.key, Most: a.most}, ask: a}
		p.out[a.seq] = o
		if err := set(b, outKey(a.seq), o.outRecord); err != nil {
			return nil, err
		}
		a.touch()
		bundles = append(bundles, work.Bundle{Tasks: []work.Task{{Job: p.job, Seq: a.seq, Body: a.body}}, Requires: a.model.Root})
	}
	if len(bundles) == 0 {
		return nil, nil
	}
	return bundles, set(b, []byte{keyPlan}, p.rec)
}

// flush writes a new list of revocations. The caller holds p.mu.
func (p *plan) flush(b work.Batch) error {
	if !p.dirty {
		return nil
	}
	p.dirty = false
	return set(b, []byte{keyRevoked}, p.revoked)
}

// Part implements work.Audience.
func (p *plan) Part(seq uint64, _ work.PublicKey, part []byte) bool {
	p.mu.Lock()
	var a *ask
	own := false
	if o := p.out[seq]; o != nil {
		a, own = o.ask, o.Key == ownKey
	}
	p.mu.Unlock()
	if a == nil {
		return own // nobody follows it, but its result is wanted
	}
	a.touch()
	if len(part) == 0 {
		return a.wanted()
	}
	d, err := answer.DecodePart(part, a.task)
	if err != nil {
		p.kind.o.Log.Warn("a worker sent what is no part of an answer", "job", p.job, "err", err)
		return a.wanted() // its result will tell
	}
	if err := a.add(int(d.Offset), d.Steps); err != nil {
		p.contradicted(a, err)
		return false
	}
	return a.wanted()
}

// contradicted ends a request of which a client saw something else than what is said now.
func (p *plan) contradicted(a *ask, err error) {
	p.kind.m.changed.Inc()
	p.kind.o.Log.Warn("an answer contradicts itself: one of its workers lied or is broken, and audits will find out which", "job", p.job, "err", err)
	p.leave(a, &openai.Refusal{Status: 502, Type: "server_error", Code: "contradiction", Message: err.Error() + ": one of two workers is wrong; ask again"})
}

// Done implements work.Plan.
func (p *plan) Done(b work.Batch, outcomes []work.Outcome) error {
	var after []func() // ends requests once the mutex is free
	p.mu.Lock()
	err := p.flush(b)
	for i := range outcomes {
		if err != nil {
			break
		}
		var f func()
		if f, err = p.outcome(b, &outcomes[i]); f != nil {
			after = append(after, f)
		}
	}
	if err == nil {
		err = set(b, []byte{keyPlan}, p.rec)
	}
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("tab of job %d: %w", p.job, err) // the plan is dropped, and all requests end
	}
	for _, f := range after {
		f()
	}
	return nil
}

// outcome enters how a task ended: spending in the same batch as the scheduler's record of
// the receipt. It gives what is left to do without the mutex, which the caller holds.
func (p *plan) outcome(b work.Batch, o *work.Outcome) (func(), error) {
	seq := o.Task.Seq
	t := p.out[seq]
	if t == nil { // it is not known whose it was; an error would come again each time
		p.kind.o.Log.Error("the outcome of a task that is not out", "job", p.job, "task", seq, "units", o.Units)
		return nil, nil
	}
	delete(p.out, seq)
	b.Delete(outKey(seq))
	u := p.purse(t.Key)
	u.reserved -= t.Most
	if o.Failed {
		p.rec.Failed++
	} else {
		p.rec.Done++
		u.Units += o.Units
		u.Requests++
		if err := set(b, append([]byte{keyAccount}, t.Key[:]...), u.account); err != nil {
			return nil, err
		}
		p.count(o)
		if t.Key == ownKey {
			if err := p.keep(b, o); err != nil {
				return nil, err
			}
		}
	}
	a := t.ask
	if a == nil {
		return nil, nil
	}
	a.seq = 0
	return p.conclude(a, o), nil
}

// count adds up what was paid for.
func (p *plan) count(o *work.Outcome) {
	t, err := claim.DecodeTask(o.Task.Body)
	if err != nil || o.Units == 0 {
		return
	}
	prompt, output := uint64(len(t.Prompt)), uint64(0)
	if m, ok := p.spec.Model(t.Model); ok && o.Units > prompt*m.PromptUnits {
		output = (o.Units - prompt*m.PromptUnits) / m.OutputUnits
	}
	p.rec.Prompt, p.rec.Output = p.rec.Prompt+prompt, p.rec.Output+output
	p.kind.m.tokens.WithLabelValues("prompt").Add(float64(prompt))
	p.kind.m.tokens.WithLabelValues("output").Add(float64(output))
}

// conclude sees what a task's outcome is to the client that waits. The caller holds p.mu.
func (p *plan) conclude(a *ask, o *work.Outcome) func() {
	failed := func(format string, args ...any) func() {
		if p.again(a) {
			return nil
		}
		r := &openai.Refusal{Status: 503, Type: "server_error", Code: "workers_failed", Message: fmt.Sprintf(format, args...), Retry: 5 * time.Second}
		return func() { a.end(nil, r) }
	}
	if o.Failed {
		return failed("several workers could not do it: %s", o.Reason)
	}
	res, err := claim.DecodeResult(o.Result.Body)
	if err != nil { // the scheduler has metered it, so this can't be
		return failed("a worker's result: %v", err)
	}
	if res.Finish == claim.Cancelled && a.hopes() {
		return failed("a worker ended the answer before its end")
	}
	proof, err := answer.New(p.digest, a.model, a.price, o.Receipt, o.Task.Body, o.Result.Body)
	if err != nil {
		r := &openai.Refusal{Status: 502, Type: "server_error", Code: "bad_receipt", Message: err.Error()}
		return func() { a.end(nil, r) }
	}
	return func() {
		if err := a.add(0, answer.Steps(res)); err != nil {
			p.contradicted(a, err)
			return
		}
		if n := a.shown(); len(res.Output) < n {
			a.end(nil, &openai.Refusal{Status: 503, Type: serverSide, Code: "no_receipt", Message: fmt.Sprintf("the worker was lost, and the next one was stopped after %d of the %d tokens that were shown: there is no receipt for them", len(res.Output), n)})
			return
		}
		a.end(proof, nil)
	}
}

// again queues a request once more, before the others of its key. The caller holds p.mu.
func (p *plan) again(a *ask) bool {
	if a.tries++; a.tries >= maxTries || p.closed || !a.hopes() {
		return false
	}
	p.purse(a.key).reserved += a.most
	p.queue.push(a, true)
	p.kind.queued.Add(1)
	p.kind.m.again.Inc()
	go p.env.Wake(a.model.Root) // which may not be called from within Done
	return true
}

// leave ends a request whose client does not wait for it any more. A task that is out goes
// on until its worker hears of it.
func (p *plan) leave(a *ask, err error) {
	p.mu.Lock()
	if p.queue.remove(a) {
		p.kind.queued.Add(-1)
		p.purse(a.key).reserved -= a.most
	} else if o := p.out[a.seq]; o != nil {
		o.ask = nil
	}
	p.mu.Unlock()
	a.end(nil, err)
}

// Status implements work.Plan.
func (p *plan) Status() work.PlanStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return work.PlanStatus{
		Queued: uint64(p.queue.n), Out: uint64(len(p.out)), Done: p.rec.Done, Failed: p.rec.Failed, Wait: idleWait,
		Counts: map[string]uint64{"prompt_tokens": p.rec.Prompt, "output_tokens": p.rec.Output, "keys": uint64(len(p.purses))},
	}
}

// Close implements work.Plan. Whoever waits is told to ask again: what is out is paid, but
// nobody hears of it.
func (p *plan) Close() error {
	p.kind.mu.Lock()
	if p.kind.plans[p.job] == p {
		delete(p.kind.plans, p.job)
	}
	p.kind.mu.Unlock()
	p.mu.Lock()
	p.closed = true
	var all []*ask
	for a := p.queue.pop(); a != nil; a = p.queue.pop() {
		p.kind.queued.Add(-1)
		all = append(all, a)
	}
	for _, o := range p.out { // order-free: all of them end alike
		if o.ask != nil {
			all = append(all, o.ask)
			o.ask = nil
		}
	}
	p.mu.Unlock()
	for _, a := range all {
		a.end(nil, closing())
	}
	return nil
}

func closing() *openai.Refusal {
	return &openai.Refusal{Status: 503, Type: "server_error", Code: "tab_closed", Message: "the tab is being closed or the gateway starts anew: ask again in a moment", Retry: 2 * time.Second}
}

// out counts the tasks that are out, of all tabs.
func (k *Kind) out() (n int) {
	k.mu.Lock()
	plans := make([]*plan, 0, len(k.plans))
	for _, p := range k.plans { // order-free: a sum
		plans = append(plans, p)
	}
	k.mu.Unlock()
	for _, p := range plans {
		p.mu.Lock()
		n += len(p.out)
		p.mu.Unlock()
	}
	return n
}
