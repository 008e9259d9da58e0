package openai

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Options of the routes; the zero value of each is what its comment says.
type Options struct {
	Now  func() time.Time // time.Now
	Rand io.Reader        // crypto/rand: seeds of requests without one
	Log  *slog.Logger     // slog.Default()

	Heartbeat time.Duration // between comments in a stream that has nothing to say; 10 s
	ReadTime  time.Duration // for a request's body; 30 s
	WriteTime time.Duration // for the client to read what is written at a time; 30 s
	Answer    time.Duration // for a whole answer; 1 h
	MaxTokens int           // of an answer for which the client sets no bound; 4096
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.Heartbeat, 10 * time.Second}, {&o.ReadTime, 30 * time.Second}, {&o.WriteTime, 30 * time.Second}, {&o.Answer, time.Hour}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.MaxTokens <= 0 {
		o.MaxTokens = 4096
	}
	return o
}

// maxBody bounds a request's body.
const maxBody = 4 << 20

type server struct {
	network   Network
	opts      Options
	templates templates
}

// Mount gives the routes to handle, as patterns of http.ServeMux.
func Mount(handle func(pattern string, h http.Handler), n Network, o Options) {
	s := &server{network: n, opts: o.withDefaults()}
	s.templates.now = s.opts.Now
	for _, route := range []struct {
		pattern, method string
		answer          func(http.ResponseWriter, *http.Request, Tab) error
	}{
		{"/v1/models", http.MethodGet, s.models},
		{"/v1/models/{id...}", http.MethodGet, s.model},
		{"/v1/chat/completions", http.MethodPost, s.chat},
		{"/v1/completions", http.MethodPost, s.completions},
		{"/v1/embeddings", http.MethodPost, s.embeddings},
	} {
		handle(route.pattern, s.route(route.method, route.answer))
	}
}

// route does what all routes have in common: CORS, the method, the key.
func (s *server) route(method string, answer func(http.ResponseWriter, *http.Request, Tab) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Nothing here goes by cookies: a page that has a key may ask from anywhere.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Cantus-Receipt, Cantus-Ignored, Retry-After, X-Request-Id, X-Should-Retry")
		h.Set("X-Request-Id", "req_"+s.id())
		switch r.Method {
		case http.MethodOptions:
			s.preflight(w, r, method)
			return
		case method:
		case http.MethodHead:
			if method == http.MethodGet {
				break
			}
			fallthrough
		default:
			h.Set("Allow", method+", OPTIONS")
			s.fail(w, r, &failure{status: http.StatusMethodNotAllowed, kind: invalidRequest, code: "method_not_supported",
				message: "Not allowed to " + r.Method + " on " + r.URL.Path + ": use " + method + "."})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.opts.Answer)
		defer cancel()
		r = r.WithContext(ctx)
		tab, err := s.tab(r)
		if err == nil {
			err = answer(w, r, tab)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *server) preflight(w http.ResponseWriter, r *http.Request, method string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", method+", OPTIONS")
	// A star would not cover Authorization, and clients send headers of their own.
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" && len(asked) <= 4096 {
		h.Set("Access-Control-Allow-Headers", asked)
	} else {
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	}
	h.Set("Access-Control-Max-Age", "86400")
	h.Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}

// maxKey bounds a bearer key.
const maxKey = 2048

// tab finds out who pays.
func (s *server) tab(r *http.Request) (Tab, error) {
	unauthorized := func(message string) error {
		return &failure{status: http.StatusUnauthorized, kind: invalidRequest, code: "invalid_api_key", message: message}
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key = strings.TrimSpace(key)
	switch {
	case scheme == "" && key == "":
		return nil, unauthorized("You didn't provide an API key. Send a key of a tab as \"Authorization: Bearer ck-…\"; the tab's owner issues them.")
	case !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxKey:
		return nil, unauthorized("The Authorization header is not of the form \"Bearer ck-…\".")
	}
	return s.network.Tab(r.Context(), key)
}

// body reads a request's body, which has to come in time.
func (s *server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLong := &failure{status: http.StatusRequestEntityTooLarge, kind: invalidRequest, code: "request_too_large",
		message: "The request is larger than 4 MiB."}
	if r.ContentLength > maxBody {
		return nil, tooLong
	}
	ctl := http.NewResponseController(w)
	// Both fail only for connections that have no deadlines, which are those of tests.
	_ = ctl.SetReadDeadline(time.Now().Add(s.opts.ReadTime))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = ctl.SetReadDeadline(time.Time{})
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, tooLong
	case err != nil:
		return nil, &failure{status: http.StatusBadRequest, kind: invalidRequest, message: "The request's body broke off or came too slowly."}
	}
	return b, nil
}

// allow gives the client time to read what is written next.
func (s *server) allow(w http.ResponseWriter) {
	// It fails only for writers that have no deadlines, which are those of tests.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opts.WriteTime))
}

// id is a new name for an answer. It is no secret.
func (s *server) id() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
