package plane

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Code says what sort of error a request met, so that programs can tell them apart.
type Code uint8

const (
	CodeInvalid   Code = 1 // the request is malformed or breaks a limit; sending it again is no use
	CodeBusy      Code = 2 // too much at once; wait and send it again
	CodeDenied    Code = 3 // this worker may not do that
	CodeNoSession Code = 4 // say hello first: the gateway doesn't know the session
	CodeInternal  Code = 5 // the gateway's own fault; send it again later
)

// Error is what travels to a worker when the gateway refuses its request. A Handler
// returns one to say what the worker shall see; other errors become CodeInternal and stay
// in the gateway's log.
type Error struct {
	_     struct{} `cbor:",toarray"`
	Code  Code
	Text  string // for people: what is wrong and what to do
	Retry uint32 // milliseconds to wait before sending the request again, 0 if unknown
}

// The errors that a program may compare with, by code: errors.Is(err, plane.ErrBusy).
var (
	ErrInvalid   error = &Error{Code: CodeInvalid, Text: "invalid request"}
	ErrBusy      error = &Error{Code: CodeBusy, Text: "the gateway is busy"}
	ErrDenied    error = &Error{Code: CodeDenied, Text: "not allowed"}
	ErrNoSession error = &Error{Code: CodeNoSession, Text: "no session: say hello first"}
	ErrInternal  error = &Error{Code: CodeInternal, Text: "the gateway failed"}
)

// Errors of the client's own.
var (
	// ErrLogin means that the gateway did not accept the worker's key.
	ErrLogin = errors.New("the gateway refused the login")
	// ErrDisconnected means that the connection was lost before the reply came. The
	// client reconnects by itself; the request may or may not have been done.
	ErrDisconnected = errors.New("the connection to the gateway was lost")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("the plane's client is closed")
)

const maxErrorText = 1024

// Errorf makes an Error of a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: Clip(fmt.Sprintf(format, args...), maxErrorText)}
}

// Clip shortens s to at most n bytes of valid UTF-8, which is what the wire takes.
func Clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Busy makes the Error that asks a worker to come back after a while.
func Busy(after time.Duration, format string, args ...any) *Error {
	e := Errorf(CodeBusy, format, args...)
	e.Retry = uint32(min(max(after.Milliseconds(), 1), int64(time.Hour/time.Millisecond)))
	return e
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

// Is makes errors of the same code equal to errors.Is.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// After is how long to wait before sending the request again.
func (e *Error) After() time.Duration { return time.Duration(e.Retry) * time.Millisecond }

// Check refuses what no gateway sends.
func (e *Error) Check() error {
	if e.Code < CodeInvalid || e.Code > CodeInternal {
		return fmt.Errorf("error of unknown code %d", e.Code)
	}
	if len(e.Text) > maxErrorText {
		return fmt.Errorf("error text of %d bytes, at most %d", len(e.Text), maxErrorText)
	}
	return nil
}
