// Package httpstore is an artifact.Store behind a gateway's HTTP API: the store that
// workers upload to and auditors read from.
//
//	POST {base}/v1/artifacts        a CBOR array of byte strings → {"digests":["…"]}
//	GET  {base}/v1/artifacts/{hex}  the blob, or 404
//	POST {base}/v1/artifacts/has    {"digests":["…"]} → {"has":[true]}
//
// Each request carries "Authorization: Bearer TOKEN" where there is a token. The store
// trusts nothing that comes back: a blob must have its digest, an upload must be answered
// with the digests of what was sent, and every reply is bounded.
package httpstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/artifact"
)

// Limits of the API.
const (
	MaxRequest = 64 << 20 // bytes of one upload's body
	MaxBlobs   = 256      // blobs of one upload
	MaxHas     = 1000     // digests of one question
)

// blobHeader is the most that CBOR puts before a byte string, batchHeader before an array.
const blobHeader, batchHeader = 9, 9

// ErrUnauthorized means that the gateway didn't take the token: say hello for a new one.
var ErrUnauthorized = errors.New("the artifact store refused the token")

// StatusError is an answer of the gateway's that is no success.
type StatusError struct {
	Status     int
	Text       string        // what the gateway said, shortened
	RetryAfter time.Duration // if it said so
}

// Error is the status and what the gateway said.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("HTTP status %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("HTTP status %d: %s", e.Status, e.Text)
}

// Is maps statuses to the store's errors.
func (e *StatusError) Is(target error) bool {
	switch e.Status {
	case http.StatusNotFound:
		return target == artifact.ErrNotFound
	case http.StatusRequestEntityTooLarge:
		return target == artifact.ErrTooLarge
	case http.StatusInsufficientStorage:
		return target == artifact.ErrFull
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == ErrUnauthorized
	}
	return false
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusInsufficientStorage || (e.Status >= 500 && e.Status != http.StatusNotImplemented)
}

// Options say how a store connects. The zero value asks without a token.
type Options struct {
	Token     func() string     // asked for each request; nil for none
	Transport http.RoundTripper // nil for one of the store's own
	Time      time.Duration     // for one request, without the body of Open; 2 minutes if zero
}

// Store is an artifact.Store behind a gateway's API.
type Store struct {
	base  string
	token func() string
	http  *http.Client
	time  time.Duration
	size  atomic.Int64 // bytes that one upload's body has at most, by how fast the last ones went
}

var _ artifact.Store = (*Store)(nil)

// New makes a store of the API at base, "https://gateway.example".
func New(base string, opts Options) (*Store, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("artifact store %.80q: %w", base, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("artifact store %.80q: want an http or https URL without user, query and fragment", base)
	}
	s := &Store{base: strings.TrimSuffix(u.String(), "/") + "/v1/artifacts", token: opts.Token, time: opts.Time}
	if s.token == nil {
		s.token = func() string { return "" }
	}
	if s.time <= 0 {
		s.time = 2 * time.Minute
	}
	s.size.Store(firstSize)
	transport := opts.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: s.time,
			DisableCompression:    true, // sizes and digests are of the bytes as they are
		}
	}
	s.http = &http.Client{
		Transport: transport,
		// A redirect would carry the token elsewhere; the API has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Close drops idle connections. The store stays usable.
func (s *Store) Close() { s.http.CloseIdleConnections() }

// Put implements artifact.Store.
func (s *Store) Put(ctx context.Context, b []byte) (artifact.Digest, error) {
	ds, err := s.PutAll(ctx, [][]byte{b})
	if err != nil {
		return artifact.Digest{}, err
	}
	return ds[0], nil
}

// A request has a time within which it must be over, on both ends. How much fits into one
// depends on the link, so the bodies of uploads grow where they go fast and shrink where
// they don't. A single blob is never divided.
const (
	firstSize = 8 << 20
	leastSize = 256 << 10
)

// PutAll implements artifact.Store. It sends as many requests as the API's limits and the
// speed of the link ask for.
func (s *Store) PutAll(ctx context.Context, blobs [][]byte) ([]artifact.Digest, error) {
	digests := make([]artifact.Digest, 0, len(blobs))
	for len(blobs) > 0 {
		most := s.size.Load()
		n, size := 0, batchHeader
		for n < len(blobs) && n < MaxBlobs && size+blobHeader+len(blobs[n]) <= MaxRequest {
			if n > 0 && int64(size+len(blobs[n])) > most {
				break
			}
			size += blobHeader + len(blobs[n])
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("upload an artifact: %w: %d bytes, at most %d", artifact.ErrTooLarge, len(blobs[0]), MaxRequest-batchHeader-blobHeader)
		}
		start := time.Now()
		ds, err := s.upload(ctx, blobs[:n])
		s.learn(int64(size), time.Since(start), err)
		if err != nil {
			if n > 1 && s.size.Load() < most && ctx.Err() == nil && timedOut(err) {
				continue // in smaller parts
			}
			return nil, fmt.Errorf("upload %d artifacts to %s: %w", n, s.base, err)
		}
		digests = append(digests, ds...)
		blobs = blobs[n:]
	}
	return digests, nil
}

// learn takes note of how an upload of size bytes went.
func (s *Store) learn(size int64, took time.Duration, err error) {
	most := s.size.Load()
	switch {
	case err != nil && timedOut(err):
		s.size.Store(max(leastSize, min(most, size)/4))
	case err != nil:
	case took > s.time/4:
		s.size.Store(max(leastSize, most/2))
	case took < s.time/20 && size > most/2:
		s.size.Store(min(MaxRequest, 2*most))
	}
}

// timedOut reports whether an upload failed because it took too long, for us or for the
// gateway, which then ends the connection.
func timedOut(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

func (s *Store) upload(ctx context.Context, blobs [][]byte) ([]artifact.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, s.time)
	defer cancel()
	parts := make([][]byte, 0, 1+2*len(blobs))
	parts = append(parts, cborHead(4, len(blobs)))
	for _, b := range blobs {
		parts = append(parts, cborHead(2, len(b)), b)
	}
	var size int64
	for _, p := range parts {
		size += int64(len(p))
	}
	body := func() (io.ReadCloser, error) {
		readers := make([]io.Reader, len(parts))
		for i, p := range parts {
			readers[i] = bytes.NewReader(p)
		}
		return io.NopCloser(io.MultiReader(readers...)), nil
	}
	r, err := s.request(ctx, http.MethodPost, "", nil, "application/cbor")
	if err != nil {
		return nil, err
	}
	r.Body, _ = body()
	r.GetBody, r.ContentLength = body, size
	var reply struct {
		Digests []artifact.Digest `json:"digests"`
	}
	if err := s.json(r, &reply); err != nil {
		return nil, err
	}
	if len(reply.Digests) != len(blobs) {
		return nil, fmt.Errorf("%d digests came back for %d artifacts", len(reply.Digests), len(blobs))
	}
	for i, b := range blobs {
		if d := artifact.Sum(b); reply.Digests[i] != d {
			return nil, fmt.Errorf("artifact %s was stored as %s: %w", d, reply.Digests[i], artifact.ErrCorrupt)
		}
	}
	return reply.Digests, nil
}

// cborHead is the head of a CBOR array (4) or byte string (2) in its shortest form.
func cborHead(major byte, n int) []byte {
	m := major << 5
	switch {
	case n < 24:
		return []byte{m | byte(n)}
	case n < 1<<8:
		return []byte{m | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{m | 25}, uint16(n))
	default:
		return binary.BigEndian.AppendUint32([]byte{m | 26}, uint32(n))
	}
}

// Get implements artifact.Store.
func (s *Store) Get(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.time)
	defer cancel()
	r, size, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if max > 0 && size > max {
		return nil, fmt.Errorf("fetch artifact %s: %w: %d bytes, at most %d were asked for", d, artifact.ErrTooLarge, size, max)
	}
	// The buffer grows with what comes, so that a size that is announced and doesn't come
	// costs nothing.
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("fetch artifact %s: %w", d, err)
	}
	return b, nil
}

// Open implements artifact.Store.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, int64, error) {
	r, err := s.request(ctx, http.MethodGet, "/"+d.String(), nil, "")
	if err != nil {
		return nil, 0, err
	}
	resp, err := s.do(r)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch artifact %s from %s: %w", d, s.base, err)
	}
	if resp.ContentLength < 0 {
		resp.Body.Close()
		return nil, 0, fmt.Errorf("fetch artifact %s from %s: the gateway didn't say how long it is", d, s.base)
	}
	return artifact.VerifiedReader(resp.Body, d, resp.ContentLength), resp.ContentLength, nil
}

// Has implements artifact.Store.
func (s *Store) Has(ctx context.Context, ds ...artifact.Digest) ([]bool, error) {
	has := make([]bool, 0, len(ds))
	for len(ds) > 0 {
		n := min(len(ds), MaxHas)
		got, err := s.ask(ctx, ds[:n])
		if err != nil {
			return nil, fmt.Errorf("ask %s for %d artifacts: %w", s.base, n, err)
		}
		has = append(has, got...)
		ds = ds[n:]
	}
	return has, nil
}

func (s *Store) ask(ctx context.Context, ds []artifact.Digest) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.time)
	defer cancel()
	b, err := json.Marshal(map[string][]artifact.Digest{"digests": ds})
	if err != nil {
		return nil, err
	}
	r, err := s.request(ctx, http.MethodPost, "/has", bytes.NewReader(b), "application/json")
	if err != nil {
		return nil, err
	}
	var reply struct {
		Has []bool `json:"has"`
	}
	if err := s.json(r, &reply); err != nil {
		return nil, err
	}
	if len(reply.Has) != len(ds) {
		return nil, fmt.Errorf("%d answers came back for %d digests", len(reply.Has), len(ds))
	}
	return reply.Has, nil
}

func (s *Store) request(ctx context.Context, method, path string, body io.Reader, mediaType string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	if t := s.token(); t != "" {
		r.Header.Set("Authorization", "Bearer "+t)
	}
	return r, nil
}

// do sends a request and turns every answer but 2xx into an error.
func (s *Store) do(r *http.Request) (*http.Response, error) {
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // what of it can be read is enough for people
	e := &StatusError{Status: resp.StatusCode, Text: strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))}
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return nil, e
}

func (s *Store) json(r *http.Request, reply any) error {
	resp, err := s.do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const limit = 1 << 20
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if len(b) > limit {
		return fmt.Errorf("the gateway's answer is longer than %d bytes", limit)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("the gateway's answer isn't the JSON it should be: %w", err)
	}
	return nil
}
