package infer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cantus-network/cantus/kinds/infer/openai"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// Mount implements work.Mounter: the routes in OpenAI's shape, and two for who has a tab.
//
//	GET  /infer/v1/key      what the API key in the request may spend and has spent
//	POST /infer/v1/revoke   a list of void keys, signed with the tab's key
func (k *Kind) Mount(handle func(pattern string, h http.Handler), env work.MountEnv) {
	chain := env.Chain
	k.chain.Store(&chain)
	openai.Mount(handle, network{k}, openai.Options{Now: env.Now, Log: env.Log, Rand: k.o.Rand})
	handle("GET /infer/v1/key", http.HandlerFunc(k.showKey))
	handle("POST /infer/v1/revoke", http.HandlerFunc(k.takeRevocations))
}

func (k *Kind) showKey(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		reply(w, 401, &openai.Refusal{Status: 401, Type: badRequest, Code: "invalid_api_key", Message: "want the header Authorization: Bearer " + tab.Prefix + "…"})
		return
	}
	d, err := k.tab(token)
	if err != nil {
		reply(w, 0, err)
		return
	}
	reply(w, 200, d.usage())
}

func (k *Kind) takeRevocations(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, tab.MaxRevocations))
	if err != nil {
		reply(w, 0, &openai.Refusal{Status: 413, Type: badRequest, Code: "too_large", Message: err.Error()})
		return
	}
	list, verify, err := tab.OpenRevocations(b)
	if err != nil {
		reply(w, 0, &openai.Refusal{Status: 400, Type: badRequest, Code: "invalid_request", Message: err.Error()})
		return
	}
	k.mu.Lock()
	p := k.plans[list.Job]
	k.mu.Unlock()
	if p == nil {
		reply(w, 0, &openai.Refusal{Status: 404, Type: badRequest, Code: "unknown_tab", Message: "this gateway does not run that job"})
		return
	}
	if err := verify(p.spec.Key, *k.chain.Load()); err != nil {
		reply(w, 0, &openai.Refusal{Status: 403, Type: badRequest, Code: "invalid_signature", Message: err.Error()})
		return
	}
	if err := p.revoke(list); err != nil {
		reply(w, 0, &openai.Refusal{Status: 409, Type: badRequest, Code: "old_list", Message: err.Error()})
		return
	}
	p.env.Wake(p.spec.Models[0].Root) // so that it is written soon
	reply(w, 202, map[string]any{"job": list.Job, "number": list.Number, "keys": len(list.IDs)})
}

// reply writes JSON; errors in OpenAI's shape.
func reply(w http.ResponseWriter, status int, v any) {
	if err, ok := v.(error); ok {
		var no *openai.Refusal
		if !errors.As(err, &no) {
			no = &openai.Refusal{Status: 500, Type: serverSide, Code: "internal_error", Message: err.Error()}
		}
		status = no.Status
		v = map[string]any{"error": map[string]any{"message": no.Message, "type": no.Type, "code": no.Code, "param": nil}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
