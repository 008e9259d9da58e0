package measured

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cantus-network/cantus/exact/claim"
)

// Errors of backends.
var (
	// ErrBackend marks an answer of a backend that is not what it was asked for.
	ErrBackend = errors.New("the inference server's answer cannot be used")
	// ErrUnavailable marks a backend that can't be reached, or can't do it now.
	ErrUnavailable = errors.New("the inference server is not available")
)

// Place is one place of an answer as a backend sees it: the likeliest tokens, the likeliest
// first and of several alike the lowest id, with the natural logarithms of their
// probabilities at temperature 1, wide (16 fraction bits).
type Place []claim.Alternative

// Backend serves one model. Its methods are safe for concurrent use.
type Backend interface {
	// Continue gives one place after another of the greedy continuation of tokens, at most
	// limit of them, each with top alternatives, of which the first one is the token that the
	// next place comes after. It ends early where the model ends its text, after the place
	// whose first alternative ends it. Breaking off ends the work.
	Continue(ctx context.Context, tokens []uint32, limit, top int) iter.Seq2[Place, error]
	// Score gives each place of an answer after the prompt and the answer's tokens before it.
	Score(ctx context.Context, prompt, output []uint32, top int) ([]Place, error)
}

// Bounds of what a server may say.
const (
	maxLine     = 256 << 10 // bytes of one event of a stream
	maxList     = 64 << 20  // bytes of an answer that is not a stream
	maxComplain = 4 << 10   // bytes of an error that are read
	maxTop      = 64        // alternatives that are read for a place
)

// HTTPOptions say how a server is asked.
type HTTPOptions struct {
	URL   string // of the server: http://host:port or with /v1
	Model string // by which the server knows it; empty for the only one it has
	Key   string // bearer key; empty for none
	// Vocab is the model's number of tokens: no others are taken from the server.
	Vocab int
	// Silence is how long the server may say nothing while it answers, prompt included;
	// 0 for two minutes.
	Silence time.Duration
	// Scoring says how answers are scored. Auto tries Echo first.
	Scoring Scoring
	Client  *http.Client // nil for one of its own
}

// Scoring is a way to have a server score a given answer.
type Scoring int

// The ways. Echo takes one pass over prompt and answer; vLLM and others that repeat the
// prompt with its probabilities can do it. Steps asks for each place alone: as many requests
// as tokens, each as cheap as the server's prefix cache makes it, which still is about what
// generating the answer cost. Every server that tells probabilities can do that.
const (
	Auto Scoring = iota
	Echo
	Steps
)

// HTTP is an OpenAI-compatible server as a Backend.
type HTTP struct {
	o       HTTPOptions
	base    *url.URL
	client  *http.Client
	dialect dialect
	scoring Scoring
}

var _ Backend = (*HTTP)(nil)

// Connect finds out what a server is and whether it can serve: that it has the model, takes
// prompts as tokens and tells probabilities with the tokens' numbers.
func Connect(ctx context.Context, o HTTPOptions) (*HTTP, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("inference server %.100q: want http://host:port or https://host/v1, and its key in a file", o.URL)
	}
	if !strings.HasSuffix(base.Path, "/v1") {
		base.Path += "/v1"
	}
	if o.Vocab <= 0 || o.Vocab > claim.MaxVocab {
		return nil, fmt.Errorf("inference server %s: a vocabulary of %d: want 1 to %d", base, o.Vocab, claim.MaxVocab)
	}
	if o.Silence <= 0 {
		o.Silence = 2 * time.Minute
	}
	h := &HTTP{o: o, base: base, client: o.Client, scoring: o.Scoring}
	if h.client == nil {
		// No redirects: a prompt and a key go to the server that the owner named.
		h.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if err := h.meet(ctx); err != nil {
		return nil, fmt.Errorf("inference server %s: %w", base, err)
	}
	return h, nil
}

// Model is the name by which the server knows the model.
func (h *HTTP) Model() string { return h.o.Model }

// Scoring is the way that answers are scored.
func (h *HTTP) Scoring() Scoring { return h.scoring }

// meet lists the server's models and tries out what is needed of it.
func (h *HTTP) meet(ctx context.Context) error {
	models, err := h.models(ctx)
	if err != nil {
		return err
	}
	if h.o.Model == "" && len(models) == 1 {
		h.o.Model = models[0].ID
	}
	var names []string
	found := false
	for _, m := range models {
		names = append(names, m.ID)
		if m.ID == h.o.Model {
			found, h.dialect = true, dialectOf(m.Owner)
		}
	}
	switch {
	case h.o.Model == "":
		return fmt.Errorf("%w: it serves %d models: say which one (--infer-backend-model NAME=BACKENDNAME): %s", ErrUnavailable, len(models), shorten(names))
	case !found:
		return fmt.Errorf("%w: it does not serve %q: it has %s", ErrUnavailable, h.o.Model, shorten(names))
	}
	return h.try(ctx)
}

// try asks for one token after one token, and scores one.
func (h *HTTP) try(ctx context.Context) error {
	probe := []uint32{uint32(min(1, h.o.Vocab-1))}
	var first Place
	for p, err := range h.Continue(ctx, probe, 1, 2) {
		if err != nil {
			return fmt.Errorf("ask for one token with probabilities, after a prompt given as tokens: %w", err)
		}
		first = p
	}
	if len(first) == 0 {
		return fmt.Errorf("%w: no token where one was asked for", ErrBackend)
	}
	if h.scoring != Auto {
		return nil
	}
	h.scoring = Echo
	if _, err := h.Score(ctx, probe, []uint32{first[0].ID}, 2); err != nil {
		if ctx.Err() != nil {
			return err
		}
		h.scoring = Steps
	}
	return nil
}

// Health asks whether the server still has the model.
func (h *HTTP) Health(ctx context.Context) error {
	models, err := h.models(ctx)
	if err != nil {
		return fmt.Errorf("inference server %s: %w", h.base, err)
	}
	for _, m := range models {
		if m.ID == h.o.Model {
			return nil
		}
	}
	return fmt.Errorf("inference server %s: %w: it does not serve %q any more", h.base, ErrUnavailable, h.o.Model)
}

// Continue implements Backend.
func (h *HTTP) Continue(ctx context.Context, tokens []uint32, limit, top int) iter.Seq2[Place, error] {
	return func(yield func(Place, error) bool) {
		if err := h.stream(ctx, tokens, limit, top, yield); err != nil {
			yield(nil, fmt.Errorf("inference server %s: %w", h.base, err))
		}
	}
}

func (h *HTTP) stream(ctx context.Context, tokens []uint32, limit, top int, yield func(Place, error) bool) error {
	body := h.question(tokens, limit, top)
	body["stream"] = true
	given, more := 0, true
	finish, err := h.events(ctx, "completions", body, func(c *choice) (bool, error) {
		places, err := h.places(c)
		if err != nil {
			return false, err
		}
		for _, p := range places {
			if given == limit {
				return false, fmt.Errorf("%w: more than the %d tokens that were asked for", ErrBackend, limit)
			}
			if len(p.top) < min(top, h.o.Vocab) {
				return false, fmt.Errorf("%w: %d alternatives at a place, and %d were asked for: let the server tell as many (vLLM: --max-logprobs %d)", ErrBackend, len(p.top), top, top)
			}
			given++
			if p.top[0].ID != p.token {
				// Two tokens alike, or a server that samples though it was asked not to.
				if at := p.top.find(p.token); at < 0 || p.top[0].LogProb-p.top[at].LogProb > tie {
					return false, fmt.Errorf("%w: it took token %d where %d is likelier: it must not sample or punish repetition", ErrBackend, p.token, p.top[0].ID)
				}
				yield(p.top, nil)
				more = false // what comes next comes after another token
				return false, nil
			}
			if more = yield(p.top, nil); !more {
				return false, nil
			}
		}
		return true, nil
	})
	switch {
	case err != nil || !more:
		return err
	case given == limit, finish == "stop" && given > 0:
		return nil
	case finish == "stop":
		return fmt.Errorf("%w: it ended without telling which token ended the text: have it report stop tokens (vLLM does; llama.cpp's server from release b4400 on)", ErrBackend)
	}
	return fmt.Errorf("%w: it broke off after %d of %d tokens", ErrUnavailable, given, limit)
}

// tie is how far apart the probabilities of two tokens may lie for a server to take either
// one as the likeliest: what float32 makes of the same number in two ways.
const tie = 1 << 16 / 1000

// Score implements Backend.
func (h *HTTP) Score(ctx context.Context, prompt, output []uint32, top int) ([]Place, error) {
	if len(output) == 0 {
		return nil, nil
	}
	var places []Place
	var err error
	if h.scoring == Steps {
		places, err = h.scoreSteps(ctx, prompt, output, top)
	} else {
		places, err = h.scoreEcho(ctx, prompt, output, top)
	}
	if err != nil {
		return nil, fmt.Errorf("inference server %s: score an answer of %d tokens: %w", h.base, len(output), err)
	}
	return places, nil
}

func (h *HTTP) scoreEcho(ctx context.Context, prompt, output []uint32, top int) ([]Place, error) {
	all := append(append([]uint32(nil), prompt...), output...)
	body := h.question(all, 1, top) // some servers refuse 0 tokens, so the place after the answer comes too
	body["echo"] = true
	c, err := h.ask(ctx, "completions", body)
	if err != nil {
		return nil, err
	}
	said, err := h.places(c)
	if err != nil {
		return nil, err
	}
	if len(said) < len(all) {
		return nil, fmt.Errorf("%w: probabilities of %d places, and %d were given: it does not repeat the prompt", ErrBackend, len(said), len(all))
	}
	places := make([]Place, len(output))
	for i := range output {
		p := said[len(prompt)+i]
		if p.token != output[i] {
			return nil, fmt.Errorf("%w: place %d has token %d, and token %d was given", ErrBackend, i, p.token, output[i])
		}
		places[i] = p.top
	}
	return places, nil
}

func (h *HTTP) scoreSteps(ctx context.Context, prompt, output []uint32, top int) ([]Place, error) {
	all := append(append([]uint32(nil), prompt...), output...)
	places := make([]Place, len(output))
	for i := range output {
		c, err := h.ask(ctx, "completions", h.question(all[:len(prompt)+i], 1, top))
		if err != nil {
			return nil, err
		}
		said, err := h.places(c)
		if err != nil {
			return nil, err
		}
		if len(said) != 1 {
			return nil, fmt.Errorf("%w: %d tokens where one was asked for", ErrBackend, len(said))
		}
		places[i] = said[0].top
	}
	return places, nil
}
