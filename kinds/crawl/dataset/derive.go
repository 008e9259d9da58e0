package dataset

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
)

// derived is what an entry amounts to.
type derived struct {
	entry
	fetch  crawl.Fetch
	record crawl.Record
	text   string
	blob   []byte
	// why says that the entry has neither exchange nor row; nil if it has.
	why error
}

// maxBlob is more than the three members of any record that crawl.Answer accepts.
const maxBlob = 3 * (crawl.MaxBytes + 1<<20)

// derive reads an entry and holds it against its blob, which get provides. The error is
// get's: what is wrong with the entry itself is in why.
func derive(spec crawl.Spec, e entry, get func(crawl.Fetch, crawl.Record) ([]byte, error)) (derived, error) {
	d := derived{entry: e}
	d.fetch, d.record, d.why = crawl.Answer(spec, e.Task, e.record)
	if d.why != nil || d.record.WARC.IsZero() {
		return d, nil
	}
	var err error
	if d.blob, err = get(d.fetch, d.record); err != nil {
		return d, fmt.Errorf("receipt %d of epoch %d: %w", e.Index, e.Epoch, err)
	}
	if d.blob == nil {
		return d, nil // nothing to hold it against
	}
	_, d.text, d.why = crawl.Recheck(spec, d.fetch, d.record, d.blob)
	return d, nil
}

// archived reports whether the entry's exchange belongs into the WARC files: there was a
// response, and it is no page that asks to be left out.
func archived(f crawl.Fetch, r crawl.Record) bool {
	return r.Status != 0 && !(f.Mode == crawl.ModePage && r.NoIndex)
}

// length of the exchange's members together.
func length(r crawl.Record) int64 {
	return int64(r.Members[0]) + int64(r.Members[1]) + int64(r.Members[2])
}

// rejectedName is where a rejected blob is kept.
func rejectedName(d artifact.Digest) string { return rejectedDir + "/" + d.String() }
