package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/httpstore"
)

// The artifact interface. Uploads want a worker's token; whoever knows a digest may have
// the blob: what auditors and outsiders check by must not depend on the gateway's favour.

// caller checks a request's token and that its worker still is in good standing.
func (g *Gateway) caller(r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return failf(http.StatusUnauthorized, "unauthorized", "only workers store artifacts: send the token that Hello gave as a bearer token")
	}
	key, err := g.tokens.check(token)
	if err != nil {
		return failf(http.StatusUnauthorized, "unauthorized", "%v", err)
	}
	w, err := g.scheduler.Worker(r.Context(), key)
	if err != nil {
		return err
	}
	if !w.Active {
		return failf(http.StatusForbidden, "forbidden", "worker %s is paused, unbonding or jailed", key.Short())
	}
	return nil
}

// blobDecoding reads what httpstore sends: one array of byte strings and nothing else.
var blobDecoding = cbor.DecOptions{
	MaxArrayElements: httpstore.MaxBlobs, MaxNestedLevels: 4,
	IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
}

func (g *Gateway) postArtifacts(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := g.caller(r); err != nil {
		return nil, err
	}
	b, err := body(w, r, httpstore.MaxRequest)
	if err != nil {
		return nil, err
	}
	mode, err := blobDecoding.DecMode()
	if err != nil {
		return nil, err
	}
	var blobs [][]byte
	if err := mode.Unmarshal(b, &blobs); err != nil {
		return nil, invalid("the body is not a CBOR array of at most %d byte strings: %v", httpstore.MaxBlobs, err)
	}
	if len(blobs) == 0 {
		return nil, invalid("the body holds no artifact")
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
	if err := json.Unmarshal(b, &q); err != nil {
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
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", strconv.Quote(d.String()))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	if _, err := io.Copy(w, blob); err != nil {
		g.log.Debug("an artifact was not sent whole", "digest", d, "err", err)
	}
	return nil, nil
}
