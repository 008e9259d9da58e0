package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// failure is an error as OpenAI writes it.
type failure struct {
	status  int
	kind    string // of errors: invalid_request_error
	param   string
	code    string
	message string
	retry   time.Duration
}

func (f *failure) Error() string { return f.message }

const invalidRequest = "invalid_request_error"

// invalid is a 400 about a parameter.
func invalid(param, code, format string, a ...any) *failure {
	return &failure{status: http.StatusBadRequest, kind: invalidRequest, param: param, code: code, message: fmt.Sprintf(format, a...)}
}

// The codes of errors about parameters.
const (
	codeMissing     = "missing_required_parameter"
	codeType        = "invalid_type"
	codeValue       = "invalid_value"
	codeUnsupported = "unsupported_parameter"
	codeTooLong     = "context_length_exceeded"
)

func unsupported(param, why string) *failure {
	return invalid(param, codeUnsupported, "Unsupported parameter: '%s': %s", param, why)
}

type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

type errorReply struct {
	Error errorBody `json:"error"`
}

func (f *failure) body() errorReply {
	b := errorBody{Message: f.message, Type: f.kind}
	if f.param != "" {
		b.Param = &f.param
	}
	if f.code != "" {
		b.Code = &f.code
	}
	return errorReply{b}
}

// failureOf is an error as the client gets it. What is not the client's doing and no
// refusal is logged and only named.
func (s *server) failureOf(r *http.Request, err error) *failure {
	var f *failure
	var no *Refusal
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &no):
		f = &failure{status: no.Status, kind: no.Type, code: no.Code, message: no.Message, retry: no.Retry}
		if f.status < 400 || f.status > 599 {
			f.status = http.StatusInternalServerError
		}
		if f.kind == "" {
			f.kind = kindOf(f.status)
		}
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{status: http.StatusGatewayTimeout, kind: "timeout", code: "timeout", message: "The answer took too long."}
	}
	if r.Context().Err() == nil {
		s.opts.Log.Error("an answer failed", "route", r.Pattern, "err", err)
	}
	return &failure{status: http.StatusInternalServerError, kind: "server_error", code: "server_error",
		message: "The gateway failed to answer; its log says why. Ask again."}
}

func kindOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status == http.StatusServiceUnavailable:
		return "service_unavailable"
	case status >= 500:
		return "server_error"
	}
	return invalidRequest
}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := s.failureOf(r, err)
	h := w.Header()
	if f.retry > 0 || f.status == http.StatusTooManyRequests && f.code != quota || f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.retry.Seconds())))))
	}
	if f.code == quota {
		h.Set("X-Should-Retry", "false") // OpenAI's clients ask again after any other 429
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="cantus"`)
	}
	s.reply(w, f.status, f.body())
}

// quota is the code of a tab or key that has no money left.
const quota = "insufficient_quota"

// reply writes JSON.
func (s *server) reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.opts.Log.Error("a reply can't be encoded", "err", err)
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"The reply can't be encoded.","type":"server_error","param":null,"code":null}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	s.allow(w)
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // fails when the client has gone
}
