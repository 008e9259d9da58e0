package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
)

// network is the gateway as the routes see it.
type network struct{ kind *Kind }

var _ openai.Network = network{}

// refuse makes a refusal and counts it.
func (k *Kind) refuse(status int, kind, code string, retry time.Duration, format string, args ...any) *openai.Refusal {
	k.m.refused.WithLabelValues(code).Inc()
	return &openai.Refusal{Status: status, Type: kind, Code: code, Message: fmt.Sprintf(format, args...), Retry: retry}
}

const (
	badRequest = "invalid_request_error"
	noQuota    = "insufficient_quota"
	tooMany    = "rate_limit_error"
	serverSide = "server_error"
)

// Tab implements openai.Network.
func (n network) Tab(_ context.Context, token string) (openai.Tab, error) {
	t, err := n.kind.tab(token)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (k *Kind) tab(token string) (*drawer, error) {
	signed, err := tab.ParseKey(token)
	if err != nil {
		return nil, k.refuse(401, badRequest, "invalid_api_key", 0, "%v", err)
	}
	k.mu.Lock()
	p := k.plans[signed.Job]
	k.mu.Unlock()
	if p == nil {
		return nil, k.refuse(401, badRequest, "unknown_tab", 0, "the API key is for job %d, which this gateway does not run: it may be closed, new, or another gateway's", signed.Job)
	}
	d := &drawer{plan: p, key: signed}
	if err := d.valid(); err != nil {
		return nil, err
	}
	return d, nil
}

// drawer is a tab as the holder of one API key sees it.
type drawer struct {
	*plan
	key *tab.Signed
}

// valid refuses a key that the tab did not sign, or that is not valid any more.
func (d *drawer) valid() error {
	chain := d.kind.chain.Load()
	if chain == nil {
		return d.kind.refuse(503, serverSide, "starting", time.Second, "the gateway is starting")
	}
	if err := d.key.Verify(d.spec.Key, *chain); err != nil {
		return d.kind.refuse(401, badRequest, "invalid_api_key", 0, "%v", err)
	}
	return d.current()
}

// current refuses a key that is not valid any more.
func (d *drawer) current() error {
	if d.key.Expired(d.env.Now()) {
		return d.kind.refuse(401, badRequest, "expired_api_key", 0, "%v on %s", tab.ErrExpired, time.Unix(d.key.Expires, 0).UTC().Format(time.DateTime))
	}
	d.mu.Lock()
	revoked := d.revoked != nil && d.revoked.Has(d.key.ID)
	d.mu.Unlock()
	if revoked {
		return d.kind.refuse(401, badRequest, "revoked_api_key", 0, "%v", tab.ErrRevoked)
	}
	return nil
}

// Models implements openai.Tab: those of the tab whose vocabulary this gateway has.
func (d *drawer) Models() []openai.Model {
	var list []openai.Model
	for _, m := range d.spec.Models {
		c, err := d.kind.card(m.Root)
		if err != nil {
			d.kind.o.Log.Warn("a tab uses a model that this gateway does not have", "job", d.job, "model", m.Name, "err", err)
			continue
		}
		list = append(list, openai.Model{
			ID: m.Name, Root: m.Root, Created: c.Created, Owner: "cantus", Context: c.Config.Context, Vocab: c.Config.Vocab,
			PromptUnits: m.PromptUnits, OutputUnits: m.OutputUnits, MaxUnits: d.spec.MaxUnits, Tokenizer: c.Tokenizer,
		})
	}
	return list
}

// Ask implements openai.Tab.
func (d *drawer) Ask(ctx context.Context, on *openai.Model, t claim.Task) (openai.Answer, error) {
	a, err := d.request(on.Root, &t)
	if err != nil {
		return nil, err
	}
	room, bounded := uint64(0), d.env.Room != nil
	if bounded {
		room = d.env.Room()
	}
	if d.env.Price != nil {
		if n := d.env.Price(); n != nil {
			a.price = n.String()
		}
	}
	if h := d.env.Holders; h != nil && h(on.Root) == 0 {
		return nil, d.kind.refuse(503, serverSide, "no_worker", 10*time.Second, "no worker that holds %s is at hand: ask again later", on.ID)
	}
	a.timer = time.AfterFunc(d.kind.o.Patience, func() {
		if a.over() {
			return
		}
		d.leave(a, d.kind.refuse(504, serverSide, "timeout", 10*time.Second, "no worker went on with it for %v", d.kind.o.Patience))
	})
	if err := d.enter(a, room, bounded); err != nil {
		a.timer.Stop()
		return nil, err
	}
	a.mu.Lock()
	if !a.ended {
		a.unhook = context.AfterFunc(ctx, func() { d.leave(a, context.Cause(ctx)) })
	}
	a.mu.Unlock()
	d.env.Wake(on.Root)
	return a, nil
}

// request makes a request that the network could answer.
func (d *drawer) request(root artifact.Digest, t *claim.Task) (*ask, error) {
	k := d.kind
	m, ok := d.spec.Model(root)
	if !ok {
		return nil, k.refuse(404, badRequest, "model_not_found", 0, "model %s is not one of the tab's", root)
	}
	c, err := k.card(root)
	if err != nil {
		return nil, k.refuse(503, serverSide, "model_not_here", 0, "this gateway does not have model %q: %v", m.Name, err)
	}
	t.Model = root
	if t.Sampling.Temperature != 0 && t.Sampling.Seed == [32]byte{} {
		if _, err := io.ReadFull(k.o.Rand, t.Sampling.Seed[:]); err != nil {
			return nil, k.refuse(500, serverSide, "internal_error", 0, "draw a seed: %v", err)
		}
	}
	top := int(t.Top)
	if d.amend != nil {
		if err := d.amend(t); err != nil {
			return nil, k.refuse(400, badRequest, "invalid_request", 0, "%v", err)
		}
	}
	if err := t.Fits(c.Config.Vocab, c.Config.Context); err != nil {
		return nil, k.refuse(400, badRequest, "context_length_exceeded", 0, "%v", err)
	}
	body, err := t.Encode()
	if err != nil {
		return nil, k.refuse(400, badRequest, "invalid_request", 0, "%v", err)
	}
	most := m.Most(t)
	if most > d.spec.MaxUnits {
		return nil, k.refuse(400, badRequest, "request_too_expensive", 0, "%d tokens of prompt and %d of answer may cost %d units, and the tab pays %d for a request: ask for fewer tokens",
			len(t.Prompt), t.MaxTokens, most, d.spec.MaxUnits)
	}
	return &ask{
		p: d.plan, key: d.key.ID, model: m, vocab: c.Config.Vocab, task: t, top: top, body: body, most: most, begun: d.env.Now(),
		news: make(chan struct{}, 1), done: make(chan struct{}),
	}, nil
}

// enter queues a request unless that is more than its key, its tab or the gateway may.
func (d *drawer) enter(a *ask, room uint64, bounded bool) error {
	k := d.kind
	if err := d.current(); err != nil { // the key may be some requests old
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		k.m.refused.WithLabelValues("tab_closed").Inc()
		return closing()
	}
	u := d.purses[a.key]
	if u == nil && len(d.purses) >= maxKeys {
		return k.refuse(429, noQuota, "too_many_keys", 0, "the tab has %d API keys in use, the most that a gateway keeps books on", maxKeys)
	}
	spent, reserved := uint64(0), uint64(0)
	if u != nil {
		spent, reserved = u.Units, u.reserved
	}
	if limit := d.key.Limit; limit != 0 && (spent >= limit || limit-spent < reserved || limit-spent-reserved < a.most) {
		if spent >= limit || limit-spent < a.most {
			return k.refuse(429, noQuota, noQuota, 0, "the API key may spend %d units and has spent %d: this request may cost %d", limit, spent, a.most)
		}
		return k.refuse(429, tooMany, "rate_limit_exceeded", time.Second, "the API key may spend %d units and has spent %d; its other requests under way may cost %d: wait for them", limit, spent, reserved)
	}
	if bounded && room < d.spec.MaxUnits && len(d.out) == 0 {
		return k.refuse(429, noQuota, noQuota, 0, "the tab's escrow covers %d units more, and a request needs %d: its owner can add to it", room, d.spec.MaxUnits)
	}
	busy := func(what string, n, most int) error {
		return k.refuse(429, tooMany, "rate_limit_exceeded", min(30*time.Second, time.Second+time.Duration(n)*time.Millisecond),
			"%s has %d requests waiting, at most %d: ask again later", what, n, most)
	}
	if n := d.queue.of(a.key); n >= k.o.QueuePerKey {
		return busy("the API key", n, k.o.QueuePerKey)
	}
	if n := d.queue.n; n >= k.o.QueuePerTab {
		return busy("the tab", n, k.o.QueuePerTab)
	}
	if n := k.queued.Add(1); int(n) > k.o.Queue {
		k.queued.Add(-1)
		return busy("the gateway", k.o.Queue, k.o.Queue)
	}
	d.purse(a.key).reserved += a.most
	d.queue.push(a, false)
	return nil
}

// usage is what an API key may still spend.
type usage struct {
	Job      uint64 `json:"job"`
	ID       string `json:"id"`
	Label    string `json:"label,omitempty"`
	Limit    uint64 `json:"limit"` // 0 for the escrow
	Spent    uint64 `json:"spent"`
	Reserved uint64 `json:"reserved"`
	Requests uint64 `json:"requests"`
	Expires  int64  `json:"expires,omitempty"`
}

func (d *drawer) usage() usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := usage{Job: uint64(d.job), ID: d.key.ID.String(), Label: d.key.Label, Limit: d.key.Limit, Expires: d.key.Expires}
	if u := d.purses[d.key.ID]; u != nil {
		v.Spent, v.Reserved, v.Requests = u.Units, u.reserved, u.Requests
	}
	return v
}

var errOldList = errors.New("this gateway has a newer list of revoked keys")

// revoke takes a tab's new list of void keys. It holds at once, and is written with the next
// thing that the scheduler writes for the tab.
func (p *plan) revoke(r *tab.Revocations) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked != nil && r.Number <= p.revoked.Number {
		return fmt.Errorf("%w: number %d, and this one is number %d", errOldList, p.revoked.Number, r.Number)
	}
	p.revoked, p.dirty = r, true
	return nil
}
