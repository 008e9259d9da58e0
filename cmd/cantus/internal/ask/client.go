// Package ask asks a gateway for answers, by the routes in OpenAI's shape that any client
// of theirs uses: nothing here can do what those can't. What comes back is kept as one JSON
// object, the file that `cantus verify` takes, also where it was streamed.
//
//	client.go  Client: models, chat, completions, what a key may spend
//	stream.go  server-sent events, put together to the reply that was not streamed
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cantus-network/cantus/kinds/infer/answer"
)

const (
	maxReply   = answer.MaxProof + 32<<20
	firstReply = 3 * time.Minute // until a reply begins
)

// Client asks one gateway with one API key.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New makes a client of the gateway at base, "https://gateway.example".
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway %.80q: want a URL like https://gateway.example", base)
	}
	return &Client{base: strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/v1"), key: key, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, TLSHandshakeTimeout: 10 * time.Second,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ResponseHeaderTimeout: firstReply,
		},
		// A key is for this gateway and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Base is what OpenAI's clients call the base URL.
func (c *Client) Base() string { return c.base + "/v1" }

// Error is what a gateway said against a request.
type Error struct {
	Status  int
	Type    string
	Code    string
	Message string
	Retry   string // seconds, as the gateway wrote them; empty where it did not
}

func (e *Error) Error() string {
	s := "the gateway says: " + e.Message
	if e.Retry != "" && e.Retry != "0" {
		s += " (in " + e.Retry + " s)"
	}
	return s
}

// Model is one that a key may use.
type Model struct {
	ID      string `json:"id"`
	Context int    `json:"max_model_len"`
	Cantus  struct {
		Root        string `json:"root"`
		PromptUnits uint64 `json:"prompt_units"`
		OutputUnits uint64 `json:"output_units"`
	} `json:"cantus"`
}

// Models lists what the key may use.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var r struct{ Data []Model }
	err := c.get(ctx, "/v1/models", &r)
	return r.Data, err
}

// Spending is what an API key may spend and has spent, in units.
type Spending struct {
	Job      uint64 `json:"job"`
	ID       string `json:"id"`
	Limit    uint64 `json:"limit"`
	Spent    uint64 `json:"spent"`
	Reserved uint64 `json:"reserved"`
	Requests uint64 `json:"requests"`
}

// Spending asks what the key has spent.
func (c *Client) Spending(ctx context.Context) (Spending, error) {
	var s Spending
	err := c.get(ctx, "/infer/v1/key", &s)
	return s, err
}

// Revoke hands in a signed list of void keys.
func (c *Client) Revoke(ctx context.Context, list []byte) error {
	resp, err := c.do(ctx, http.MethodPost, "/infer/v1/revoke", "application/octet-stream", list)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return nil
}

// Message is one of a chat's.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Request is a chat, or, without messages, a text to go on with. Fields that are left out
// are the gateway's to choose.
type Request struct {
	Model       string         `json:"model"`
	Messages    []Message      `json:"messages,omitempty"`
	Prompt      string         `json:"prompt,omitempty"`
	MaxTokens   int            `json:"max_tokens,omitempty"`
	Temperature *float64       `json:"temperature,omitempty"`
	TopP        *float64       `json:"top_p,omitempty"`
	TopK        *int           `json:"top_k,omitempty"`
	Seed        *int64         `json:"seed,omitempty"`
	Stop        []string       `json:"stop,omitempty"`
	Stream      bool           `json:"stream,omitempty"`
	Options     *streamOptions `json:"stream_options,omitempty"`
}

type streamOptions struct {
	Usage bool `json:"include_usage"`
}

// Answer is an answer that is over.
type Answer struct {
	Text   string
	Finish string // OpenAI's finish_reason
	Proof  *answer.Proof
	Reply  json.RawMessage // the reply, as it would be if it had not been streamed
	First  time.Duration   // until the first of its text came
	Took   time.Duration
}

// Ask asks for one answer. Say is called with its text as it comes; nil for nobody. Ending
// ctx hangs up: what was made until then is paid.
func (c *Client) Ask(ctx context.Context, r Request, say func(string)) (*Answer, error) {
	path := "/v1/completions"
	if r.Messages != nil {
		path = "/v1/chat/completions"
	}
	r.Stream = say != nil
	if r.Stream {
		r.Options = &streamOptions{Usage: true}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	began := time.Now()
	resp, err := c.do(ctx, http.MethodPost, path, "application/json", body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &Answer{}
	if r.Stream {
		p := pieces{said: func(s string) {
			if a.First == 0 {
				a.First = time.Since(began)
			}
			say(s)
		}}
		if err = p.read(resp.Body); err == nil {
			a.Reply, err = p.reply()
		}
	} else {
		a.Reply, err = io.ReadAll(io.LimitReader(resp.Body, maxReply))
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		var said *Error
		if errors.As(err, &said) {
			return nil, err
		}
		return nil, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	a.Took = time.Since(began)
	if a.First == 0 {
		a.First = a.Took
	}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return a, nil
}

// open takes the reply apart.
func (a *Answer) open() error {
	var r Reply
	if err := json.Unmarshal(a.Reply, &r); err != nil {
		return err
	}
	if len(r.Choices) != 1 || len(r.Cantus) == 0 {
		return fmt.Errorf("it has %d choices and a receipt of %d bytes: want one of each", len(r.Choices), len(r.Cantus))
	}
	a.Text, a.Finish = r.Choices[0].Said(), r.Choices[0].Finish
	var err error
	a.Proof, err = answer.Parse(r.Cantus)
	return err
}

// Reply is what verifying an answer needs of a reply.
type Reply struct {
	Object  string          `json:"object"`
	Model   string          `json:"model"`
	Choices []Choice        `json:"choices"`
	Data    []Embedding     `json:"data"`
	Cantus  json.RawMessage `json:"cantus"`
}

// Choice is one of a reply's answers.
type Choice struct {
	Index   int     `json:"index"`
	Text    *string `json:"text"`
	Message *struct {
		Content string `json:"content"`
	} `json:"message"`
	Finish string `json:"finish_reason"`
}

// Said is the text of a choice.
func (c Choice) Said() string {
	switch {
	case c.Text != nil:
		return *c.Text
	case c.Message != nil:
		return c.Message.Content
	}
	return ""
}

// Embedding is one of a reply's embeddings: its numbers, or base64.
type Embedding struct {
	Index     int             `json:"index"`
	Embedding json.RawMessage `json:"embedding"`
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	resp, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(v); err != nil {
		return fmt.Errorf("read the reply of %s: %w", c.base, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("ask the gateway at %s: %w; is it running? --gateway names another", c.base, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	e := failure(b)
	e.Status, e.Retry = resp.StatusCode, resp.Header.Get("Retry-After")
	if e.Message == "" {
		e.Message = resp.Status
	}
	return nil, e
}

// failure reads an error in OpenAI's shape, or in the gateway's own.
func failure(b []byte) *Error {
	var body struct {
		Error struct{ Type, Code, Message string }
	}
	if json.Unmarshal(b, &body) != nil {
		return &Error{}
	}
	return &Error{Type: body.Error.Type, Code: body.Error.Code, Message: body.Error.Message}
}
