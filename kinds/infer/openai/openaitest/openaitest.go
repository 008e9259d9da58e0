// Package openaitest answers in a Network's place: without workers, ledger or model, the
// same words for the same task, with true receipts of a worker of its own. It serves tests
// of the routes and of clients that speak to them.
//
//	openaitest.go  Network, and what it does for each key
//	vocabulary.go  a small tokenizer with control tokens
package openaitest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// Keys that a Network knows.
const (
	Key   = "ck-parrot"   // may do all
	Poor  = "ck-poor"     // has no money left
	Hasty = "ck-hasty"    // asks too often: its first question is refused, the next ones not
	Alone = "ck-alone"    // finds no worker
	Cut   = "ck-cut"      // has answers that break off after 3 tokens
	Void  = "ck-void"     // has no model
	Chain = "cantus-test" // of the receipts
)

// Network answers tasks.
type Network struct {
	Models []openai.Model
	// Script, where it is set, says an answer's tokens instead of words that follow from the
	// task alone.
	Script func(claim.Task) []uint32
	Delay  time.Duration // before each token

	worker work.PrivateKey
	spec   artifact.Digest

	mu     sync.Mutex
	asked  []claim.Task
	ended  []claim.Finish
	hasted bool
}

// New makes a Network with the models "parrot", which chats, and "acme/parrot-base", which
// has no chat template.
func New() *Network {
	worker, err := work.PrivateKeyFromSeed(make([]byte, 32))
	if err != nil {
		panic(err) // the seed has the right length
	}
	model := func(id string, t *tokenizer.Tokenizer) openai.Model {
		return openai.Model{
			ID: id, Root: artifact.Sum([]byte(id)), Created: time.Unix(1_760_000_000, 0), Owner: "acme",
			Context: 2048, Vocab: len(t.Vocabulary().Tokens), PromptUnits: 1, OutputUnits: 4, MaxUnits: 1 << 16, Tokenizer: t,
		}
	}
	return &Network{
		Models: []openai.Model{model("parrot", Tokenizer(ChatML)), model("acme/parrot-base", Plain())},
		worker: worker, spec: artifact.Sum([]byte("spec")),
	}
}

// Asked are the tasks so far.
func (n *Network) Asked() []claim.Task {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]claim.Task(nil), n.asked...)
}

// Ended are the reasons for which answers ended so far.
func (n *Network) Ended() []claim.Finish {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]claim.Finish(nil), n.ended...)
}

// Tab implements openai.Network.
func (n *Network) Tab(_ context.Context, key string) (openai.Tab, error) {
	switch key {
	case Key, Poor, Hasty, Alone, Cut, Void:
		return &purse{n, key}, nil
	}
	return nil, &openai.Refusal{Status: 401, Type: "invalid_request_error", Code: "invalid_api_key", Message: "Incorrect API key provided."}
}

type purse struct {
	n   *Network
	key string
}

// Models implements openai.Tab.
func (p *purse) Models() []openai.Model {
	if p.key == Void {
		return nil
	}
	return append([]openai.Model(nil), p.n.Models...)
}

// Ask implements openai.Tab.
func (p *purse) Ask(ctx context.Context, m *openai.Model, t claim.Task) (openai.Answer, error) {
	if _, err := t.Encode(); err != nil {
		return nil, err
	}
	n := p.n
	n.mu.Lock()
	first := !n.hasted
	if p.key == Hasty {
		n.hasted = true
	}
	n.asked = append(n.asked, t)
	n.mu.Unlock()
	switch {
	case p.key == Poor:
		return nil, &openai.Refusal{Status: 429, Type: "insufficient_quota", Code: "insufficient_quota", Message: "The key may spend 10 units and has spent 10."}
	case p.key == Hasty && first:
		return nil, &openai.Refusal{Status: 429, Type: "rate_limit_error", Code: "rate_limit_exceeded", Message: "Too many requests are waiting.", Retry: time.Second}
	case p.key == Alone:
		return nil, &openai.Refusal{Status: 503, Type: "server_error", Code: "no_worker", Message: "No worker holds the model.", Retry: 10 * time.Second}
	}
	a := &parrot{n: n, ctx: ctx, model: m, task: t, stop: make(chan struct{})}
	if !t.Embed {
		a.words = n.words(m, t)
	}
	if p.key == Cut {
		a.words, a.cut = a.words[:min(3, len(a.words))], true
	}
	return a, nil
}

// words is the answer to a task.
func (n *Network) words(m *openai.Model, t claim.Task) []uint32 {
	if n.Script != nil {
		list := n.Script(t)
		return list[:min(len(list), int(t.MaxTokens))]
	}
	// Without temperature the seed says nothing.
	in := append([]byte(nil), t.Sampling.Seed[:]...)
	for _, id := range t.Prompt {
		in = binary.BigEndian.AppendUint32(in, id)
	}
	state := sha256.Sum256(in)
	var list []uint32
	for i := 0; len(list) < int(t.MaxTokens); i++ {
		state = sha256.Sum256(state[:])
		if i > 24 && state[0] < 16 && len(t.Stop) > 0 {
			list = append(list, t.Stop[0])
			break
		}
		word := lexicon[int(state[1])%len(lexicon)]
		if i > 0 {
			word = " " + word
		}
		list = append(list, m.Tokenizer.Encode(word, false, false)...)
	}
	return list[:min(len(list), int(t.MaxTokens))]
}

// parrot is an answer.
type parrot struct {
	n     *Network
	ctx   context.Context
	model *openai.Model
	task  claim.Task
	words []uint32
	said  int
	cut   bool // breaks off

	once sync.Once
	stop chan struct{}
}

// Next implements openai.Answer.
func (p *parrot) Next() ([]answer.Step, error) {
	select {
	case <-p.ctx.Done():
		p.n.end(claim.Cancelled)
		return nil, context.Cause(p.ctx)
	case <-p.stop:
		return nil, io.EOF
	default:
	}
	if p.said == len(p.words) {
		return nil, io.EOF
	}
	if p.n.Delay > 0 {
		select {
		case <-p.ctx.Done():
			p.n.end(claim.Cancelled)
			return nil, context.Cause(p.ctx)
		case <-p.stop:
			return nil, io.EOF
		case <-time.After(p.n.Delay):
		}
	}
	p.said++
	return []answer.Step{p.step(p.said - 1)}, nil
}

func (p *parrot) step(i int) answer.Step {
	s := answer.Step{Token: p.words[i]}
	if p.task.LogProbs {
		s.LogProb = -1 << 14 // a quarter
		for k := range int(p.task.Top) {
			s.Top = append(s.Top, claim.Alternative{ID: (s.Token + uint32(k)) % uint32(p.model.Vocab), LogProb: -1<<14 - int32(k)<<16})
		}
	}
	return s
}

// Stop implements openai.Answer.
func (p *parrot) Stop() { p.once.Do(func() { close(p.stop) }) }

// Proof implements openai.Answer.
func (p *parrot) Proof() (*answer.Proof, error) {
	var steps []answer.Step
	for i := range p.said {
		steps = append(steps, p.step(i))
	}
	r := answer.Join(&p.task, steps)
	switch {
	case p.task.Embed:
		r = &claim.Result{Finish: claim.Embedded, Embedding: vector(p.task)}
	case p.said > 0 && p.task.Ends(p.words[p.said-1]):
		r.Finish = claim.Stop
	case p.said == int(p.task.MaxTokens):
		r.Finish = claim.Length
	default:
		r.Finish = claim.Cancelled
	}
	p.n.end(r.Finish)
	task, err := p.task.Encode()
	if err != nil {
		return nil, err
	}
	result, err := r.Encode()
	if err != nil {
		return nil, err
	}
	m := tab.Model{Root: p.model.Root, Name: p.model.ID, PromptUnits: p.model.PromptUnits, OutputUnits: p.model.OutputUnits}
	t := work.Task{Job: 7, Seq: 1, Body: task}
	signed, err := work.SignReceipt(p.n.worker, work.Receipt{
		Chain: Chain, Job: t.Job, Seq: t.Seq, Attempt: 1, Task: t.DigestOf(p.n.spec), Result: artifact.Sum(result),
		Units: m.Units(&p.task, r), Started: 1_760_000_000_000, Finished: 1_760_000_001_000,
	})
	if err != nil {
		return nil, err
	}
	receipt, err := signed.Encode()
	if err != nil {
		return nil, err
	}
	return answer.New(p.n.spec, m, "1000000000", receipt, task, result)
}

func (n *Network) end(f claim.Finish) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, f)
}

// vector is the embedding of a prompt: how often each letter token comes in it.
func vector(t claim.Task) []int32 {
	v := make([]int32, 32)
	for i, id := range t.Prompt {
		v[(int(id)+i)%len(v)] += 1 << 16
	}
	return v
}
