package witness

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

var (
	// ErrUnreachable means that no node answered.
	ErrUnreachable = errors.New("the ledger can't be reached")
	// ErrNotFound means that the ledger has no such record.
	ErrNotFound = errors.New("not found on the ledger")
	// ErrAnswer means that a node's answer makes no sense.
	ErrAnswer = errors.New("the ledger's answer can't be read")
)

// Refused is what the ledger said against a request or a transaction.
type Refused struct {
	Space string // whose code it is; empty for gRPC's
	Code  uint32
	Text  string
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the ledger refused it: %s (code %d)", e.Text, e.Code)
}

// Options say which ledger, and as whom to send.
type Options struct {
	URLs     []string    // REST interfaces of nodes, by preference
	Account  *Account    // nil to read only
	Insecure bool        // go without TLS to other machines
	TLS      *tls.Config // nil for the system's certificates
	// MaxFee bounds what one transaction may cost its payer, in anote; 0.1 note if nil.
	MaxFee *big.Int
	Log    *slog.Logger // nil for none
	// Timeout bounds one request; 10 s if zero.
	Timeout time.Duration
	// ConfirmTime is how long a transaction may take into a block; a minute if zero.
	ConfirmTime time.Duration
}

// Ledger is the ledger as a worker sees it. It is safe for concurrent use.
type Ledger struct {
	opts  Options
	nodes []*url.URL
	http  *http.Client

	sending sync.Mutex // one transaction at a time, so that its number is known

	mu    sync.Mutex
	first int // the node that answered last
}

const (
	maxNodes  = 8
	maxAnswer = 8 << 20 // an epoch with 256 opened samples is far below
)

// New makes a Ledger. It asks nothing yet.
func New(o Options) (*Ledger, error) {
	if len(o.URLs) == 0 || len(o.URLs) > maxNodes {
		return nil, fmt.Errorf("%d ledger nodes, want 1 to %d", len(o.URLs), maxNodes)
	}
	l := &Ledger{opts: o}
	for _, raw := range o.URLs {
		u, err := url.Parse(raw)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("ledger %.80q: want the URL of a node's REST interface, like https://node.example:1317", raw)
		}
		if u.Scheme == "http" && !o.Insecure && !loopback(u.Hostname()) {
			return nil, fmt.Errorf("ledger %.80q: without TLS anybody on the way could lie: use https, or a node on this machine", raw)
		}
		l.nodes = append(l.nodes, u)
	}
	if o.MaxFee == nil {
		l.opts.MaxFee = new(big.Int).Exp(big.NewInt(10), big.NewInt(17), nil)
	}
	if o.Log == nil {
		l.opts.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		l.opts.Timeout = 10 * time.Second
	}
	if o.ConfirmTime == 0 {
		l.opts.ConfirmTime = time.Minute
	}
	l.http = &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS.Clone(), MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// get reads a record.
func (l *Ledger) get(ctx context.Context, into any, path ...string) error {
	return l.ask(ctx, http.MethodGet, nil, into, path...)
}

// post sends a body and reads the answer.
func (l *Ledger) post(ctx context.Context, body, into any, path ...string) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return l.ask(ctx, http.MethodPost, b, into, path...)
}

// ask asks the nodes in turn, beginning with the one that answered last.
func (l *Ledger) ask(ctx context.Context, method string, body []byte, into any, path ...string) error {
	l.mu.Lock()
	first := l.first
	l.mu.Unlock()
	var tried error
	for i := range l.nodes {
		n := (first + i) % len(l.nodes)
		err := l.askNode(ctx, l.nodes[n], method, body, into, path...)
		if !errors.Is(err, ErrUnreachable) {
			l.mu.Lock()
			l.first = n
			l.mu.Unlock()
			return err
		}
		tried = errors.Join(tried, err)
		if ctx.Err() != nil {
			break
		}
	}
	return tried
}

func (l *Ledger) askNode(ctx context.Context, node *url.URL, method string, body []byte, into any, path ...string) error {
	p, query, _ := strings.Cut(strings.Join(path, "/"), "?")
	u := node.JoinPath(p)
	u.RawQuery = query
	away := func(err error) error { return fmt.Errorf("%w: %s %s: %w", ErrUnreachable, method, u, err) }
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return away(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := l.http.Do(r)
	if err != nil {
		return away(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return away(err)
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%w: %s: more than %d bytes", ErrAnswer, u, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(u, resp.StatusCode, b)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrAnswer, u, err)
	}
	return nil
}

// The codes of gRPC that matter here.
const (
	codeNotFound      = 5
	codeUnimplemented = 12
	codeUnavailable   = 14
)

// refusal reads an error. What has no code came from something between here and a node.
func refusal(u *url.URL, status int, b []byte) error {
	var e struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(b, &e); err != nil || e.Code == 0 || e.Code == codeUnavailable {
		return fmt.Errorf("%w: %s: HTTP status %d", ErrUnreachable, u, status)
	}
	text := clean(e.Message)
	if e.Code == codeNotFound && status == http.StatusNotFound {
		return fmt.Errorf("%w: %s", ErrNotFound, text)
	}
	return &Refused{Code: e.Code, Text: text}
}

// clean makes a node's text fit for a log.
func clean(s string) string {
	s, _, _ = strings.Cut(strings.ToValidUTF8(s, "?"), "\n")
	return s[:min(len(s), 400)]
}
