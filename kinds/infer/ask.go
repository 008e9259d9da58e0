package infer

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
)

// ask is one request on its way: the client's end of a task. It ends in one of these ways,
// each of which ends it for good: its result comes, its client hangs up, nothing happens
// for too long, it can't be done, or its plan is closed.
type ask struct {
	p     *plan
	key   tab.KeyID
	model tab.Model
	vocab int
	task  *claim.Task
	top   int // alternatives that the client asked for
	body  []byte
	most  uint64 // units that it may cost
	price string // of a unit in anote, when it was asked; empty where it is not known
	begun time.Time

	// The plan's mutex guards these.
	place *list.Element // while it waits
	seq   uint64        // while it is out
	tries int

	timer *time.Timer

	mu      sync.Mutex
	unhook  func() bool // forgets the client's context
	reached int         // how far the worker at it has come
	steps   []answer.Step
	given   int           // of the steps, to the client
	news    chan struct{} // has an element when there are steps that were not given
	stopped bool          // the client has enough
	ended   bool
	err     error
	proof   *answer.Proof
	done    chan struct{} // closed when it has ended
}

// complete reports whether no step can follow. The caller holds a.mu.
func (a *ask) complete() bool {
	n := len(a.steps)
	return n > 0 && (n == int(a.task.MaxTokens) || a.task.Ends(a.steps[n-1].Token))
}

// errContradiction says that steps are not those that were shown before.
var errContradiction = errors.New("the answer is not the one that was begun")

// add takes steps from a place of the answer on. What was shown already must be equal.
func (a *ask) add(from int, steps []answer.Step) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || from > len(a.steps) {
		return nil // a part between was lost; the result will have it
	}
	a.reached = from + len(steps)
	for i, s := range steps {
		at := from + i
		switch {
		case at < len(a.steps):
			if !a.steps[at].Equal(s) {
				return fmt.Errorf("%w: token %d was %d and is %d now", errContradiction, at, a.steps[at].Token, s.Token)
			}
			continue
		case a.complete():
			return fmt.Errorf("%w: something follows its end", errContradiction)
		case int(s.Token) >= a.vocab:
			return fmt.Errorf("%w: token %d is %d, and the vocabulary has %d", errContradiction, at, s.Token, a.vocab)
		}
		if at == 0 {
			a.p.kind.m.firstToken.Observe(a.p.env.Now().Sub(a.begun).Seconds())
		}
		a.steps = append(a.steps, s)
	}
	if a.given < len(a.steps) {
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
	return nil
}

// wanted reports whether anybody wants more of it. Of a client that has enough, what it has
// is to be in the receipt, also if another worker begins anew.
func (a *ask) wanted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.ended && (!a.stopped || a.reached < len(a.steps))
}

// hopes reports whether the client waits for the whole answer.
func (a *ask) hopes() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.ended && !a.stopped
}

// over reports whether it has ended.
func (a *ask) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// shown is how many steps there are.
func (a *ask) shown() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.steps)
}

// touch says that something happens.
func (a *ask) touch() { a.timer.Reset(a.p.kind.o.Patience) }

// end ends it, once.
func (a *ask) end(proof *answer.Proof, err error) {
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		return
	}
	a.ended, a.proof, a.err = true, proof, err
	how := "answered"
	switch {
	case err == nil && proof == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		how = "hung up"
	case err != nil:
		how = "failed"
	case a.stopped:
		how = "stopped"
	}
	close(a.done)
	unhook := a.unhook
	a.mu.Unlock()
	a.timer.Stop()
	if unhook != nil {
		unhook()
	}
	a.p.kind.m.asked.WithLabelValues(how).Inc()
	if proof != nil {
		a.p.kind.m.answer.Observe(a.p.env.Now().Sub(a.begun).Seconds())
	}
}

var _ openai.Answer = (*ask)(nil)

// Next implements openai.Answer.
func (a *ask) Next() ([]answer.Step, error) {
	for {
		a.mu.Lock()
		if n := a.given; n < len(a.steps) {
			a.given = len(a.steps)
			defer a.mu.Unlock()
			return a.show(a.steps[n:]), nil
		}
		ended, err, whole := a.ended, a.err, a.stopped || a.complete()
		a.mu.Unlock()
		switch {
		case ended && err != nil:
			return nil, err
		case ended || whole:
			return nil, io.EOF
		}
		select {
		case <-a.news:
		case <-a.done:
		}
	}
}

// show is steps as the client asked for them: its plan may have asked for more alternatives.
func (a *ask) show(steps []answer.Step) []answer.Step {
	list := slices.Clone(steps)
	for i := range list {
		list[i].Top = list[i].Top[:min(a.top, len(list[i].Top))]
	}
	return list
}

// Stop implements openai.Answer.
func (a *ask) Stop() {
	a.mu.Lock()
	a.stopped = true
	a.given = len(a.steps)
	a.mu.Unlock()
	a.p.mu.Lock()
	waits := a.place != nil
	a.p.mu.Unlock()
	if waits {
		a.p.leave(a, nil)
	}
}

// Proof implements openai.Answer.
func (a *ask) Proof() (*answer.Proof, error) {
	<-a.done
	a.mu.Lock()
	proof, err := a.proof, a.err
	a.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case proof == nil:
		return nil, &openai.Refusal{Status: 503, Type: "server_error", Code: "no_receipt", Message: "the answer was stopped before a worker had it, so there is no receipt"}
	}
	if err := proof.Check(); err != nil {
		return nil, &openai.Refusal{Status: 502, Type: "server_error", Code: "bad_receipt", Message: err.Error()}
	}
	return proof, nil
}
