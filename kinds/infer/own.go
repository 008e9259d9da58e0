package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// ErrNotOpen says that a tab is not open here, or not the gateway's own.
var ErrNotOpen = errors.New("no such tab is open at this gateway")

// ownKey is what a gateway's requests to its own tabs are booked under. No API key has it
// but one that the gateway itself makes.
var ownKey = tab.KeyID([]byte("gateway's own")[:12])

// Own is the door for a gateway itself to the tabs that it wrote: those whose API keys
// would be signed by its own key. What is asked by it needs no API key, nobody follows it
// as it comes about, and what came of it is kept with the tab's state, so that it is there
// whatever happens in between.
type Own struct {
	kind *Kind
	key  work.PublicKey
}

// Own opens the door for the gateway with this key.
func (k *Kind) Own(key work.PublicKey) *Own { return &Own{k, key} }

// Answered is a task that was done, and the worker's word for it.
type Answered struct {
	_       struct{} `cbor:",toarray"`
	Receipt []byte   // work.SignedReceipt
	Task    []byte   // claim.Task
	Result  []byte   // claim.Result
}

// maxAnswered bounds an encoded Answered.
const maxAnswered = claim.MaxTaskBytes + claim.MaxResultBytes + 4<<10

// Voice is the speaker by which contracts know a model of this gateway.
func (o *Own) Voice(root artifact.Digest) (*voice.Voice, error) {
	c, err := o.kind.card(root)
	if err != nil {
		return nil, err
	}
	return Voice(root, c)
}

// Speaks is the voice of a speaker whose model this gateway has. The frame around texts is
// the speaker's, whoever made it.
func (o *Own) Speaks(s *speaker.Speaker) (*voice.Voice, error) {
	c, err := o.kind.card(s.Model)
	if err != nil {
		return nil, err
	}
	want, err := s.ID()
	if err != nil {
		return nil, err
	}
	v, err := voice.New(s.Model, c.Tokenizer.Vocabulary(), voice.Frame{Prefix: s.Prefix, Suffix: s.Suffix, Space: s.Space, Trim: s.Trim})
	if err != nil {
		return nil, err
	}
	if v.ID() != want {
		return nil, fmt.Errorf("%w: %s says another vocabulary or other stop tokens than model %x has", speaker.ErrSpeaker, want, s.Model[:6])
	}
	return v, nil
}

// Context is how many tokens a model takes, of prompt and answer together.
func (o *Own) Context(root artifact.Digest) (int, error) {
	c, err := o.kind.card(root)
	if err != nil {
		return 0, err
	}
	return c.Config.Context, nil
}

// Voice is the speaker by which contracts know a model.
func Voice(root artifact.Digest, c *Card) (*voice.Voice, error) {
	f, err := openai.Frame(c.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("make a speaker of model %s: %w", root, err)
	}
	return voice.New(root, c.Tokenizer.Vocabulary(), f)
}

func (o *Own) plan(job work.JobID) (*plan, error) {
	o.kind.mu.Lock()
	p := o.kind.plans[job]
	o.kind.mu.Unlock()
	if p == nil || p.spec.Key != o.key {
		return nil, fmt.Errorf("job %d: %w", job, ErrNotOpen)
	}
	return p, nil
}

// Jobs are the gateway's own tabs that are open, the oldest first.
func (o *Own) Jobs() []work.JobID {
	o.kind.mu.Lock()
	defer o.kind.mu.Unlock()
	var list []work.JobID
	for id, p := range o.kind.plans { // order-free: sorted below
		if p.spec.Key == o.key {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// Ask has a task done. It does not wait for it: Answered tells what came of it. Errors of
// the tab are those that a client of its routes would get.
func (o *Own) Ask(job work.JobID, t claim.Task) error {
	p, err := o.plan(job)
	if err != nil {
		return err
	}
	d := &drawer{plan: p, key: &tab.Signed{Key: tab.Key{Version: tab.Version, Job: job, ID: ownKey}}}
	m, ok := p.spec.Model(t.Model)
	if !ok {
		return fmt.Errorf("job %d: model %x is not the tab's", job, t.Model)
	}
	if _, err := d.Ask(context.Background(), &openai.Model{ID: m.Name, Root: m.Root}, t); err != nil {
		return fmt.Errorf("ask in job %d: %w", job, err)
	}
	return nil
}

// Answered tells what was asked of a tab by this door: the tasks that were done, the oldest
// first, and how many are waiting or with a worker.
func (o *Own) Answered(job work.JobID) (done []Answered, pending int, err error) {
	p, err := o.plan(job)
	if err != nil {
		return nil, 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pending = p.queue.of(ownKey)
	for _, t := range p.out { // order-free: a sum
		if t.Key == ownKey {
			pending++
		}
	}
	return slices.Clone(p.kept), pending, nil
}

// keep writes what came of a task of the gateway's own. The caller holds p.mu.
func (p *plan) keep(b work.Batch, o *work.Outcome) error {
	a := Answered{Receipt: slices.Clone(o.Receipt), Task: slices.Clone(o.Task.Body), Result: slices.Clone(o.Result.Body)}
	p.kept = append(p.kept, a)
	return set(b, binary.BigEndian.AppendUint64([]byte{keyKept}, o.Task.Seq), a)
}

// restoreKept reads what keep wrote.
func (p *plan) restoreKept(state work.State) error {
	var bad error
	err := state.Scan([]byte{keyKept}, []byte{keyKept + 1}, func(_, v []byte) bool {
		var a Answered
		if a, bad = work.Decode[Answered](v, maxAnswered); bad == nil {
			p.kept = append(p.kept, a)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}
