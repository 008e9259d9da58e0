package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// failure is an answer that is no success.
type failure struct {
	status  int
	code    string
	message string
	retry   time.Duration // when to ask again; 0 where the status doesn't say to
}

func (f *failure) Error() string { return f.message }

func failf(status int, code, format string, a ...any) error {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, a...)}
}

func invalid(format string, a ...any) error {
	return failf(http.StatusBadRequest, "invalid", format, a...)
}

// route is what answers one kind of request: a value that becomes JSON, or an error. One
// that has written its reply itself returns nil twice.
type route func(w http.ResponseWriter, r *http.Request) (any, error)

func (g *Gateway) routes(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f route) { mux.Handle(pattern, g.serve(pattern, f)) }
	handle("GET /v1/info", g.getInfo)
	handle("GET /v1/cells", g.getCells)
	handle("POST /v1/specs", g.postSpec)
	handle("GET /v1/jobs", g.getJobs)
	handle("GET /v1/jobs/{id}", g.getJob)
	handle("GET /v1/jobs/{id}/events", g.getEvents)
	handle("GET /v1/jobs/{id}/receipts", g.getReceipts)
	handle("GET /v1/jobs/{id}/epochs/{n}/plants", g.getPlants)
	handle("GET /v1/jobs/{id}/epochs/{n}/pay", g.getPayList)
	handle("GET /v1/jobs/{id}/epochs/{n}/pay/{worker}", g.getPay)
	handle("GET /v1/jobs/{id}/pay/{worker}", g.getPay)
	handle("POST /v1/artifacts", g.postArtifacts)
	handle("POST /v1/artifacts/has", g.postHas)
	handle("GET /v1/artifacts/{digest}", g.getArtifact)
	handle("GET /healthz", g.getHealth)
	handle("GET /readyz", g.getReady)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if ip := clientIP(r); ip == nil || !ip.IsLoopback() {
			http.Error(w, "metrics are for this machine alone", http.StatusForbidden)
			return
		}
		metrics.ServeHTTP(w, r)
	})
	for _, k := range g.cfg.Kinds {
		if m, ok := k.(work.Mounter); ok {
			m.Mount(func(pattern string, h http.Handler) {
				handle(pattern, func(w http.ResponseWriter, r *http.Request) (any, error) {
					h.ServeHTTP(w, r)
					return nil, nil
				})
			}, work.MountEnv{Chain: g.cfg.Chain, Gateway: g.cfg.Key.Public(), Now: time.Now, Log: g.log.With("kind", k.Name())})
		}
	}
	if g.cfg.Models != nil {
		files := func(w http.ResponseWriter, r *http.Request) (any, error) {
			g.cfg.Models.ServeHTTP(w, r)
			return nil, nil
		}
		handle("GET /models", files)
		handle("GET /models/{root}", files)
	}
	if g.cfg.Docs != nil {
		mux.Handle("GET /docs/", http.StripPrefix("/docs", g.cfg.Docs))
		mux.Handle("GET /{$}", http.RedirectHandler("/docs/", http.StatusFound))
	}
	handle("/", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, failf(http.StatusNotFound, "not_found", "there is nothing at %.100q; the documentation is at /docs/", r.URL.Path)
	})
	return mux
}

// dear are the routes that cost more than others, and what they are counted as besides.
var dear = map[string]class{
	"POST /v1/specs":                            classSpec,
	"GET /v1/jobs/{id}/receipts":                classProof,
	"GET /v1/jobs/{id}/epochs/{n}/plants":       classProof,
	"GET /v1/jobs/{id}/epochs/{n}/pay":          classProof,
	"GET /v1/jobs/{id}/epochs/{n}/pay/{worker}": classProof,
	"GET /v1/jobs/{id}/pay/{worker}":            classProof,
}

// serve turns a route into a handler: limits, panics, errors, JSON, metrics.
func (g *Gateway) serve(pattern string, f route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &recorder{ResponseWriter: w, ctl: http.NewResponseController(w)}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			// Nothing here is read with cookies, so any page may read it.
			out.Header().Set("Access-Control-Allow-Origin", "*")
		}
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				g.about(r).Error("a request panicked", "route", pattern, "panic", v, "stack", string(debug.Stack()))
				g.fail(out, r, errors.New("internal error"))
			}
			g.requests.WithLabelValues(pattern, strconv.Itoa(out.code())).Observe(time.Since(began).Seconds())
		}()
		err := g.clients.fromAddress(r, classRequest, 1)
		if err == nil {
			if c, ok := dear[pattern]; ok {
				err = g.clients.fromAddress(r, c, 1)
			}
		}
		var v any
		if err == nil {
			v, err = f(out, r)
		}
		switch {
		case err != nil:
			g.fail(out, r, err)
		case v != nil:
			writeJSON(out, http.StatusOK, v)
		}
	})
}

// recorder remembers the status and lets go of clients that do not read.
type recorder struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	status int
}

// readerTime is how long a client may take to read what one Write sends.
const readerTime = 30 * time.Second

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// It fails only for writers that have no deadlines, which are those of tests.
	_ = w.ctl.SetWriteDeadline(time.Now().Add(readerTime))
	return w.ResponseWriter.Write(b)
}

func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap lets http.ResponseController reach the real one.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error. What is not the client's doing is logged, and only named.
func (g *Gateway) fail(w *recorder, r *http.Request, err error) {
	if w.status != 0 || errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // too late to say anything, or nobody listens
	}
	f := &failure{status: http.StatusInternalServerError, code: "internal", message: "the gateway failed; its log says why"}
	var mine *failure
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &mine):
		f = mine
	case errors.As(err, &tooLong):
		f = &failure{status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit)}
	case errors.Is(err, scheduler.ErrUnknownJob), errors.Is(err, scheduler.ErrNotSealed), errors.Is(err, scheduler.ErrNoPay), errors.Is(err, artifact.ErrNotFound):
		f = &failure{status: http.StatusNotFound, code: "not_found", message: err.Error()}
	case errors.Is(err, artifact.ErrTooLarge):
		f = &failure{status: http.StatusRequestEntityTooLarge, code: "too_large", message: err.Error()}
	case errors.Is(err, artifact.ErrFull):
		f = &failure{status: http.StatusInsufficientStorage, code: "full", message: "the gateway's disk is full: try again later"}
		g.log.Error("the artifact store is full", "err", err)
	case errors.Is(err, scheduler.ErrClosed):
		f = &failure{status: http.StatusServiceUnavailable, code: "closing", message: "the gateway is stopping: try again later"}
	default:
		g.about(r).Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	body := api.ErrorBody{Code: f.code, Message: f.message}
	if f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests {
		body.RetryAfter = max(1, int(math.Ceil(f.retry.Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(body.RetryAfter))
	}
	writeJSON(w, f.status, api.ErrorReply{Error: body})
}

// about is the log with what a request is about: job, worker, artifact.
func (g *Gateway) about(r *http.Request) *slog.Logger {
	log := g.log
	for key, part := range map[string]string{"job": "id", "epoch": "n", "worker": "worker", "artifact": "digest"} { // order-free: attributes
		if v := r.PathValue(part); v != "" {
			log = log.With(key, v)
		}
	}
	return log
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":{"code":"internal","message":"the reply can't be encoded"}}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // fails when the client has gone
}

// body reads a request's body of at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return nil, err
		}
		return nil, invalid("the body broke off: %v", err)
	}
	return b, nil
}

// strictJSON decodes one value with no unknown fields and nothing behind it.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}

// number reads a number from the path or the query; empty is zero.
func number(what, s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, invalid("%s %.40q: want a number", what, s)
	}
	return n, nil
}
