// Package httpstoretest is the in-process twin of a gateway's artifact API, for tests.
package httpstoretest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/work"
)

// Handler serves store by the text of httpstore's package doc to whoever has a token that
// admit takes; nil admits all.
func Handler(store artifact.Store, admit func(token string) bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/artifacts", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, httpstore.MaxRequest))
		if err != nil || int64(len(b)) != r.ContentLength {
			http.Error(w, "the body is not as long as it should be", http.StatusBadRequest)
			return
		}
		blobs, err := work.Decode[[][]byte](b, httpstore.MaxRequest)
		if err != nil || len(blobs) > httpstore.MaxBlobs {
			http.Error(w, "the body is no canonical array of byte strings", http.StatusBadRequest)
			return
		}
		ds, err := store.PutAll(r.Context(), blobs)
		answer(w, map[string]any{"digests": ds}, err)
	})
	mux.HandleFunc("POST /v1/artifacts/has", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Digests []artifact.Digest }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Digests) > httpstore.MaxHas {
			http.Error(w, "the body is no list of digests", http.StatusBadRequest)
			return
		}
		has, err := store.Has(r.Context(), q.Digests...)
		answer(w, map[string]any{"has": has}, err)
	})
	mux.HandleFunc("GET /v1/artifacts/{digest}", func(w http.ResponseWriter, r *http.Request) {
		d, err := artifact.ParseDigest(r.PathValue("digest"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, err := store.Get(r.Context(), d, 0)
		if err != nil {
			answer(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b) // the client notices what is missing
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if admit != nil && !admit(bearer(r)) {
			http.Error(w, "say hello for a token", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	const scheme = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && h[:len(scheme)] == scheme {
		return h[len(scheme):]
	}
	return ""
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusInternalServerError
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the client notices what is missing
		return
	case errors.Is(err, artifact.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, artifact.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, artifact.ErrFull):
		status = http.StatusInsufficientStorage
	}
	http.Error(w, err.Error(), status)
}
