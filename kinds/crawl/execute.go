package crawl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// Execute does one exchange and stores it. Whatever the server does is a result; an error
// means that this machine could not ask it, or could not store what it said.
func (k *Kind) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	spec, f, err := k.task(t)
	if err != nil {
		return work.Result{}, err
	}
	rec, _, blob, err := k.fetch(ctx, env, spec, f)
	if err != nil {
		return work.Result{}, err
	}
	var result work.Result
	if blob != nil {
		if rec.WARC, err = env.Blobs.Put(ctx, blob); err != nil {
			return work.Result{}, fmt.Errorf("store the exchange with %s: %w", f.URL, err)
		}
		result.Blobs = []artifact.Digest{rec.WARC}
	}
	if result.Body, err = work.Encode(rec); err != nil {
		return work.Result{}, fmt.Errorf("encode the record of %s: %w", f.URL, err)
	}
	return result, nil
}

// task reads a task and its spec.
func (k *Kind) task(t work.Task) (Spec, Fetch, error) {
	spec, err := k.spec(t.Spec)
	if err != nil {
		return Spec{}, Fetch{}, err
	}
	f, err := DecodeFetch(t.Body)
	if err != nil {
		return Spec{}, Fetch{}, err
	}
	return spec, f, checkFetch(f)
}

// fetch does the exchange and returns its record, its text and the WARC records, which
// are nil where there was no response. Their digest is left to the caller, who stores them.
func (k *Kind) fetch(ctx context.Context, env work.Env, spec Spec, f Fetch) (Record, string, []byte, error) {
	u, err := weburl.Parse(f.URL)
	if err != nil {
		return Record{}, "", nil, fmt.Errorf("crawl task: %w", err)
	}
	limit := limitOf(f, spec)
	start := env.Now()
	none := func(err error) (Record, string, []byte, error) {
		if ctx.Err() != nil {
			return Record{}, "", nil, fmt.Errorf("fetch %s: %w", f.URL, ctx.Err())
		}
		class := classify(err)
		if class == "" {
			return Record{}, "", nil, fmt.Errorf("fetch %s: %w", f.URL, err)
		}
		return Record{URL: f.URL, Time: max(1, start.UnixMilli()), Error: class}, "", nil, nil
	}
	ex, err := k.client.do(ctx, env, u, func(r *http.Response) wish {
		mediaType, _ := contentType(r.Header, nil)
		return wish{limit: limit, skip: f.Mode == ModePage && !Keeps(mediaType)}
	})
	if err != nil {
		return none(err)
	}
	body, whole, err := undo(ex.body, ex.response.Header.Get("Content-Encoding"), limit, ex.truncated)
	if err != nil {
		return none(fmt.Errorf("%w: %w", errProtocol, err))
	}
	stored := warc.Exchange{
		URL: f.URL, Time: ex.start.UTC().Truncate(1e6), IP: ex.ip,
		RequestHead: ex.requestHead, ResponseHead: ex.head, Body: body,
		Metadata: metadata(f),
	}
	switch {
	case ex.body == nil && ex.truncated:
		stored.Truncated = "unspecified" // of a type that is not kept
	case !whole:
		stored.Truncated = "length"
	}
	if stored.ResponseHead, err = warc.PlainHead(ex.head, len(body)); err != nil {
		return none(fmt.Errorf("%w: %w", errProtocol, err))
	}
	rec, text, err := derive(spec, f, stored)
	if err != nil {
		if errors.Is(err, errProtocol) {
			return none(err)
		}
		return Record{}, "", nil, err
	}
	blob, members, err := warc.Build(stored)
	if err != nil {
		return none(fmt.Errorf("%w: %w", errProtocol, err))
	}
	rec.Members = members
	return rec, text, blob, nil
}

// metadata is what the third WARC record says.
func metadata(f Fetch) [][2]string {
	return [][2]string{{"software", Agent + "/1.0"}, {"mode", f.Mode.String()}, {"depth", strconv.FormatUint(uint64(f.Depth), 10)}}
}

// limitOf is the most bytes of a body that the task keeps.
func limitOf(f Fetch, s Spec) uint64 {
	if f.Mode == ModeRobots {
		return maxRobots
	}
	return s.MaxBytes
}
