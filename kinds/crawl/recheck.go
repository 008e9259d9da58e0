package crawl

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
)

// Answer reads the bodies of a task and of its result and holds them against each other,
// as Kind.Meter does, without the blobs.
func Answer(s Spec, task, result []byte) (Fetch, Record, error) {
	f, err := DecodeFetch(task)
	if err != nil {
		return Fetch{}, Record{}, err
	}
	if err := checkFetch(f); err != nil {
		return Fetch{}, Record{}, err
	}
	r, err := DecodeRecord(result)
	if err != nil {
		return Fetch{}, Record{}, err
	}
	var blobs []artifact.Digest
	if !r.WARC.IsZero() {
		blobs = []artifact.Digest{r.WARC}
	}
	return f, r, checkRecord(r, s, f, blobs)
}

// Recheck holds a record that Answer accepted against the blob that it names: the record
// must be exactly what follows from the exchange in it. It returns that exchange and the
// page's text.
func Recheck(s Spec, f Fetch, r Record, blob []byte) (warc.Exchange, string, error) {
	bad := func(err error) (warc.Exchange, string, error) {
		return warc.Exchange{}, "", fmt.Errorf("%w: %s: %w", ErrResult, f.URL, err)
	}
	if d := artifact.Sum(blob); d != r.WARC {
		return bad(fmt.Errorf("the blob has digest %s, the record says %s", d, r.WARC))
	}
	ex, err := warc.ParseLimit(blob, r.Members, int64(limitOf(f, s)))
	if err != nil {
		return bad(err)
	}
	if ex.URL != f.URL {
		return bad(fmt.Errorf("the exchange is with %.80q", ex.URL))
	}
	u, err := weburl.Parse(f.URL)
	if err != nil {
		return bad(err)
	}
	skipped := f.Mode == ModePage && !Keeps(r.MediaType)
	switch {
	case !bytes.Equal(ex.RequestHead, requestHead(u)):
		return bad(errors.New("the request is not this crawler's"))
	case !slices.Equal(ex.Metadata, metadata(f)):
		return bad(errors.New("the metadata is not this crawler's"))
	case ex.Truncated != "" && ex.Truncated != "length" && ex.Truncated != "unspecified":
		return bad(fmt.Errorf("truncated for %q", ex.Truncated))
	case skipped && len(ex.Body) > 0, !skipped && ex.Truncated == "unspecified":
		return bad(fmt.Errorf("a body of %d bytes, truncated for %q, of type %.80q", len(ex.Body), ex.Truncated, r.MediaType))
	}
	want, page, err := derive(s, f, ex)
	if err != nil {
		return bad(err)
	}
	want.WARC, want.Members = r.WARC, r.Members
	if !equal(want, r) {
		return bad(fmt.Errorf("the record is not what its exchange gives"))
	}
	return ex, page, nil
}
