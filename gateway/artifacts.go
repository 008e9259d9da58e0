package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// The artifact interface. Uploads want a worker's token; whoever knows a digest may have
// the blob: what auditors and outsiders check by must not depend on the gateway's favour.

// caller checks a request's token and that its worker still is in good standing.
func (g *Gateway) caller(r *http.Request) (work.PublicKey, error) {
	var none work.PublicKey
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return none, failf(http.StatusUnauthorized, "unauthorized", "only workers store artifacts: send the token that Hello gave as a bearer token")
	}
	key, err := g.tokens.check(token)
	if err != nil {
		return none, failf(http.StatusUnauthorized, "unauthorized", "%v", err)
	}
	w, err := g.scheduler.Worker(r.Context(), key)
	switch {
	case errors.Is(err, scheduler.ErrNoWorker):
		return none, failf(http.StatusForbidden, "forbidden", "nobody enrolled worker %s", key.Short())
	case err != nil:
		g.log.Warn("an upload is put off", "worker", key.Short(), "err", err)
		return none, failf(http.StatusServiceUnavailable, "ledger", "the gateway can't reach the ledger at the moment: try again")
	}
	if !w.Active {
		return none, failf(http.StatusForbidden, "forbidden", "worker %s is paused, unbonding or jailed", key.Short())
	}
	return key, nil
}

func (g *Gateway) postArtifacts(w http.ResponseWriter, r *http.Request) (any, error) {
	key, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	size := r.ContentLength
	if size < 0 || size > httpstore.MaxRequest {
		size = httpstore.MaxRequest
	}
	if err := g.clients.fromWorker(r, key, classRequest, 1); err != nil {
		return nil, err
	}
	if err := g.clients.fromWorker(r, key, classUpload, size); err != nil {
		return nil, err
	}
	if err := g.clients.fromAddress(r, classUpload, size); err != nil {
		return nil, err
	}
	release, err := g.uploads.reserve(r.Context(), r.ContentLength)
	if err != nil {
		return nil, err
	}
	defer release()
	b, err := body(w, r, httpstore.MaxRequest)
	if err != nil {
		return nil, err
	}
	blobs, err := splitBlobs(b, httpstore.MaxBlobs)
	if err != nil {
		return nil, invalid("%v", err)
	}
	ds, err := g.artifacts.PutAll(r.Context(), blobs)
	if err != nil {
		return nil, err
	}
	return map[string]any{"digests": ds}, nil
}

func (g *Gateway) postHas(w http.ResponseWriter, r *http.Request) (any, error) {
	b, err := body(w, r, 128<<10)
	if err != nil {
		return nil, err
	}
	var q struct {
		Digests []artifact.Digest `json:"digests"`
	}
	if err := strictJSON(b, &q); err != nil {
		return nil, invalid(`the body is not {"digests": ["…"]}: %v`, err)
	}
	if len(q.Digests) > httpstore.MaxHas {
		return nil, invalid("%d digests, at most %d", len(q.Digests), httpstore.MaxHas)
	}
	has, err := g.artifacts.Has(r.Context(), q.Digests...)
	if err != nil {
		return nil, err
	}
	return map[string]any{"has": has}, nil
}

func (g *Gateway) getArtifact(w http.ResponseWriter, r *http.Request) (any, error) {
	d, err := artifact.ParseDigest(r.PathValue("digest"))
	if err != nil {
		return nil, invalid("%v", err)
	}
	blob, size, err := g.artifacts.Open(r.Context(), d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	// What somebody crawled is not this site's to run in a browser.
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", strconv.Quote(d.String()))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Header.Get("If-None-Match") == strconv.Quote(d.String()) {
		h.Del("Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return nil, nil
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil, nil
	}
	if _, err := io.Copy(w, blob); err != nil {
		g.log.Debug("an artifact was not sent whole", "digest", d, "err", err)
	}
	return nil, nil
}
