package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// stream writes server-sent events. Each write has its own deadline, so that who does not
// read is let go; what is written meanwhile waits in the answer, which is bounded.
type stream struct {
	s   *server
	w   http.ResponseWriter
	ctl *http.ResponseController
	err error // of the first write that failed
}

func (s *server) stream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // proxies are not to collect it
	s.allow(w)
	w.WriteHeader(http.StatusOK)
	return &stream{s: s, w: w, ctl: http.NewResponseController(w)}
}

func (t *stream) write(line string) {
	if t.err != nil {
		return
	}
	t.s.allow(t.w)
	if _, t.err = t.w.Write([]byte(line)); t.err == nil {
		t.err = t.ctl.Flush()
	}
}

func (t *stream) data(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		t.err = fmt.Errorf("encode an event: %w", err)
		return
	}
	t.write("data: " + string(b) + "\n\n")
}

// events writes what happens to choices until all is over, and then what end gives. A
// client that goes, or that does not read, ends it.
func (t *stream) events(r *http.Request, events <-chan event, each func(event), end func()) {
	beat := time.NewTicker(t.s.opts.Heartbeat)
	defer beat.Stop()
	for t.err == nil {
		select {
		case e, ok := <-events:
			beat.Reset(t.s.opts.Heartbeat)
			switch {
			case !ok && r.Context().Err() != nil:
				t.fail(r, context.Cause(r.Context()))
				return
			case !ok:
				end()
				t.write("data: [DONE]\n\n")
				return
			case e.err != nil:
				t.fail(r, e.err)
				return
			}
			each(e)
		case <-beat.C:
			t.write(": waiting\n\n")
		case <-r.Context().Done():
			t.fail(r, context.Cause(r.Context()))
			return
		}
	}
}

// fail ends a stream with an error, in OpenAI's shape as well.
func (t *stream) fail(r *http.Request, err error) {
	t.data(t.s.failureOf(r, err).body())
	t.write("data: [DONE]\n\n")
}
