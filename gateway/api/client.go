package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/work"
)

const (
	maxReply    = 64 << 20
	maxEvent    = 4 << 20
	requestTime = 60 * time.Second
	tries       = 4 // of a request that failed on the way or was told to wait
)

// Error is what a gateway said against a request.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("the gateway says: %s", e.Message) }

// NotFound reports whether the gateway has no such thing.
func NotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// Client asks one gateway. It is safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	streams *http.Client // without a limit of time for the whole
	blobs   *httpstore.Store
}

// New makes a client of the gateway at base, "https://gateway.example".
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway %.80q: want a URL like https://gateway.example", base)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
	blobs, err := httpstore.New(base, httpstore.Options{Transport: transport})
	if err != nil {
		return nil, err
	}
	return &Client{base: strings.TrimSuffix(u.String(), "/"), http: &http.Client{Transport: transport, Timeout: requestTime}, streams: &http.Client{Transport: transport}, blobs: blobs}, nil
}

// Info asks the gateway about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var r Info
	err := c.get(ctx, "/v1/info", &r)
	return r, err
}

// Cells lists the gateway's cells; there are none where it is all of itself.
func (c *Client) Cells(ctx context.Context) ([]Cell, error) {
	var r []Cell
	err := c.get(ctx, "/v1/cells", &r)
	return r, err
}

// SubmitSpec stores a spec that a job is to name by its digest.
func (c *Client) SubmitSpec(ctx context.Context, kind work.Name, spec []byte) (SpecReply, error) {
	var r SpecReply
	err := c.do(ctx, http.MethodPost, "/v1/specs?kind="+url.QueryEscape(string(kind)), spec, &r)
	return r, err
}

// Job asks how a job gets on.
func (c *Client) Job(ctx context.Context, id work.JobID) (Job, error) {
	var r Job
	err := c.get(ctx, fmt.Sprintf("/v1/jobs/%d", id), &r)
	return r, err
}

// Jobs lists all of the gateway's jobs, newest first.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var all []Job
	for before := uint64(0); ; {
		var page JobList
		if err := c.get(ctx, fmt.Sprintf("/v1/jobs?before=%d", before), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Jobs...)
		if !page.More || len(page.Jobs) == 0 {
			return all, nil
		}
		before = page.Jobs[len(page.Jobs)-1].ID
	}
}

// Newest lists the newest of the gateway's jobs, at most MaxJobs.
func (c *Client) Newest(ctx context.Context) ([]Job, error) {
	var page JobList
	err := c.get(ctx, "/v1/jobs", &page)
	return page.Jobs, err
}

// Ready asks whether the gateway can do its work. That it can't is no error.
func (c *Client) Ready(ctx context.Context) (Ready, error) {
	var r Ready
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/readyz", nil)
	if err != nil {
		return r, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return r, fmt.Errorf("ask the gateway at %s: %w", c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return r, failed(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&r); err != nil || r.Checks == nil {
		return r, fmt.Errorf("ask the gateway at %s: its reply is not what was asked for: %w", c.base, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return r, nil
}

// Follow calls f with a job's progress whenever it changes, until the job is over, f
// returns an error or ctx ends. A stream that breaks is taken up again.
func (c *Client) Follow(ctx context.Context, id work.JobID, f func(Job) error) error {
	for try := 0; ; try++ {
		over, err := c.stream(ctx, id, func(j Job) error { try = 0; return f(j) })
		var e *Error
		var own stopped
		switch {
		case errors.As(err, &own):
			return own.error
		case over, ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &e) && e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable:
			return err
		case try+1 >= tries:
			return err
		}
		if werr := wait(ctx, try, 0); werr != nil {
			return werr
		}
	}
}

// stopped is an error of the caller's own.
type stopped struct{ error }

// stream reads one event stream and reports whether the job is over.
func (c *Client) stream(ctx context.Context, id work.JobID, f func(Job) error) (over bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/jobs/%d/events", c.base, id), nil)
	if err != nil {
		return false, err
	}
	resp, err := c.streams.Do(req)
	if err != nil {
		return false, fmt.Errorf("follow job %d at %s: %w", id, c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, failed(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var j Job
		if err := json.Unmarshal(data, &j); err != nil {
			return false, fmt.Errorf("follow job %d at %s: %w", id, c.base, err)
		}
		if err := f(j); err != nil {
			return false, stopped{err}
		}
		if j.Ended != nil {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("follow job %d at %s: %w", id, c.base, err)
	}
	return false, fmt.Errorf("follow job %d at %s: the stream ended", id, c.base)
}

// Receipts calls f with each sealed receipt from a place on, in order, until there are no
// more or f returns an error. A call with the place behind the last one goes on there.
func (c *Client) Receipts(ctx context.Context, id work.JobID, from Cursor, f func(Receipt) error) error {
	for {
		var page ReceiptPage
		path := fmt.Sprintf("/v1/jobs/%d/receipts?epoch=%d&index=%d&limit=%d", id, from.Epoch, from.Index, MaxReceipts)
		if err := c.get(ctx, path, &page); err != nil {
			return err
		}
		for _, r := range page.Receipts {
			if err := f(r); err != nil {
				return err
			}
		}
		if page.End {
			return nil
		}
		if page.Next == from {
			return fmt.Errorf("read the receipts of job %d: the gateway stands still at epoch %d, index %d", id, from.Epoch, from.Index)
		}
		from = page.Next
	}
}

// Owed asks for a worker's place in the pay tree of the newest settled epoch.
func (c *Client) Owed(ctx context.Context, id work.JobID, worker work.PublicKey) (Pay, error) {
	var r Pay
	err := c.get(ctx, fmt.Sprintf("/v1/jobs/%d/pay/%s", id, worker), &r)
	return r, err
}

// Pay asks for a worker's place in an epoch's pay tree, with its proof.
func (c *Client) Pay(ctx context.Context, id work.JobID, epoch uint64, worker work.PublicKey) (Pay, error) {
	var r Pay
	err := c.get(ctx, fmt.Sprintf("/v1/jobs/%d/epochs/%d/pay/%s", id, epoch, worker), &r)
	return r, err
}

// Plants fetches which receipts of an epoch the gateway had planted, which the caller holds
// against the ledger's commitment.
func (c *Client) Plants(ctx context.Context, id work.JobID, epoch uint64) (Plants, error) {
	var r Plants
	err := c.get(ctx, fmt.Sprintf("/v1/jobs/%d/epochs/%d/plants", id, epoch), &r)
	return r, err
}

// Artifact fetches a blob, verified against its digest; more than max bytes are refused.
func (c *Client) Artifact(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	var err error
	for i := range tries {
		var b []byte
		if b, err = c.blobs.Get(ctx, d, max); err == nil {
			return b, nil
		}
		var status *httpstore.StatusError
		if ctx.Err() != nil || errors.As(err, &status) && !status.Temporary() {
			return nil, err
		}
		if werr := wait(ctx, i, 0); werr != nil {
			return nil, err
		}
	}
	return nil, err
}

func (c *Client) get(ctx context.Context, path string, reply any) error {
	return c.do(ctx, http.MethodGet, path, nil, reply)
}

// do sends a request and reads the reply. What fails on the way, and what the gateway asks
// to be sent later, is sent again: every request here may be.
func (c *Client) do(ctx context.Context, method, path string, body []byte, reply any) error {
	for i := 0; ; i++ {
		after, err := c.once(ctx, method, path, body, reply)
		var e *Error
		again := err != nil && (!errors.As(err, &e) || e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable)
		if !again || i+1 == tries || ctx.Err() != nil || wait(ctx, i, after) != nil {
			return err
		}
	}
}

func wait(ctx context.Context, try int, after time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(after, 100*time.Millisecond<<try)):
		return nil
	}
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, reply any) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the gateway at %s: %w", c.base, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return 0, fmt.Errorf("ask the gateway at %s: %w", c.base, err)
	}
	if len(b) > maxReply {
		return 0, fmt.Errorf("ask the gateway at %s: its reply is longer than %d bytes", c.base, maxReply)
	}
	if resp.StatusCode/100 != 2 {
		if s, perr := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); perr == nil {
			after = min(s, 10*time.Second)
		}
		return after, failureOf(resp, b)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return 0, fmt.Errorf("ask the gateway at %s: its reply is not what was asked for: %w", c.base, err)
	}
	return 0, nil
}

func failed(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the gateway's reply: %w", err)
	}
	return failureOf(resp, b)
}

func failureOf(resp *http.Response, b []byte) *Error {
	var e ErrorReply
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" {
		e.Error = ErrorBody{Code: "unknown", Message: resp.Status}
	}
	return &Error{Status: resp.StatusCode, Code: e.Error.Code, Message: e.Error.Message}
}
