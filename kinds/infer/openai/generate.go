package openai

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// event is what happened to a choice.
type event struct {
	choice int
	said   said
	last   *ending // nothing of the choice follows
	err    error   // nothing at all follows
}

// ending is how a choice ended.
type ending struct {
	finish string // OpenAI's finish_reason
	count  int    // tokens of the answer, as the receipt has them
	proof  *answer.Proof
}

// finish reasons of OpenAI.
const (
	finishStop   = "stop"
	finishLength = "length"
)

// generate has a network answer tasks side by side. Events come until every choice has its
// ending, or one has an error. Ending ctx hangs up.
func generate(ctx context.Context, tab Tab, c *common, tasks []claim.Task, after bool, stops []string) (<-chan event, error) {
	answers := make([]Answer, len(tasks))
	for i, t := range tasks {
		a, err := tab.Ask(ctx, c.model, t)
		if err != nil {
			return nil, err // and the caller ends ctx, which hangs up those before
		}
		answers[i] = a
	}
	events := make(chan event)
	var all sync.WaitGroup
	for i, a := range answers {
		tell := func(e event) {
			e.choice = i
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
		sp := newSpeaker(c.model.Tokenizer, after, tasks[i].Stop, stops, c.logProbs)
		all.Go(func() {
			last, err := follow(a, &tasks[i], sp, tell)
			if err != nil {
				tell(event{err: err})
				return
			}
			tell(event{last: last})
		})
	}
	go func() {
		all.Wait()
		close(events)
	}()
	return events, nil
}

// follow tells an answer as it comes about.
func follow(a Answer, t *claim.Task, sp *speaker, tell func(event)) (*ending, error) {
	for {
		steps, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var now said
		for _, s := range steps {
			more := sp.add(s)
			now.text += more.text
			now.tokens = append(now.tokens, more.tokens...)
			if sp.stopped {
				break
			}
		}
		if now.text != "" || len(now.tokens) > 0 {
			tell(event{said: now})
		}
		if sp.stopped {
			a.Stop()
			break
		}
	}
	if rest := sp.end(); rest.text != "" || len(rest.tokens) > 0 {
		tell(event{said: rest})
	}
	proof, err := a.Proof()
	if err != nil {
		return nil, err
	}
	_, result, err := proof.Claim()
	if err != nil {
		return nil, err
	}
	e := &ending{count: len(result.Output), proof: proof}
	switch {
	case sp.stopped || sp.ended:
		e.finish = finishStop
	case sp.n == int(t.MaxTokens):
		e.finish = finishLength
	default:
		return nil, &failure{status: http.StatusBadGateway, kind: "server_error", code: "broken_off", message: fmt.Sprintf(
			"The answer broke off after %d tokens. Ask again.", sp.n)}
	}
	return e, nil
}

// usage is what OpenAI counts. A prompt of which several choices were made counts once;
// each one's receipt says what was paid.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

func (u *usage) add(prompt, completion int) {
	u.Prompt += prompt
	u.Completion += completion
	u.Total = u.Prompt + u.Completion
}

// whole is a choice that is over.
type whole struct {
	said
	ending
}

// collect waits until all choices are over.
func collect(ctx context.Context, events <-chan event, n int) ([]whole, error) {
	list := make([]whole, n)
	var texts = make([]strings.Builder, n)
	left := n
	for e := range events {
		switch w := &list[e.choice]; {
		case e.err != nil:
			return nil, e.err
		case e.last != nil:
			w.ending = *e.last
			w.text = texts[e.choice].String()
			left--
		default:
			texts[e.choice].WriteString(e.said.text)
			w.tokens = append(w.tokens, e.said.tokens...)
		}
	}
	if left > 0 {
		return nil, context.Cause(ctx)
	}
	return list, nil
}

// proofs is the field `cantus` of an answer: the proof, or, of several choices, a list of
// theirs in order.
func proofs(list []*answer.Proof) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// receipts are the headers of an answer that is not streamed.
func receipts(w http.ResponseWriter, list []*answer.Proof) {
	for _, p := range list {
		w.Header().Add("Cantus-Receipt", base64.RawURLEncoding.EncodeToString(p.Receipt))
	}
}

// tellIgnored names the parameters that had no effect.
func tellIgnored(w http.ResponseWriter, names []string) {
	var list []string
	for _, n := range names {
		plain := n != "" && len(n) <= 64 && strings.Trim(n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
		if plain && len(list) < 20 {
			list = append(list, n)
		}
	}
	if len(list) > 0 {
		w.Header().Set("Cantus-Ignored", strings.Join(list, ", "))
	}
}
