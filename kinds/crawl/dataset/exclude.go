package dataset

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// exclusion is why an entry has neither exchange nor row. excluded.json is an array of
// them in the order of the receipts.
type exclusion struct {
	Epoch uint64 `json:"epoch"`
	Index uint64 `json:"index"`
	// Reason is "rejected" where the exchange does not give the record, "refuted" where an
	// audit proved the receipt false, and "planted" where the gateway knew that it was wrong.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"` // for people
	Blob   string `json:"blob,omitempty"`   // the file with the exchange as it was delivered
}

const (
	rejected = "rejected"
	refuted  = "refuted"
	plant    = "planted"

	maxExclusions = 256 << 20 // bytes of excluded.json
)

var errRefuted = errors.New("an audit proved the receipt false")

// maxEvidence bounds how many rejected blobs are kept: enough to show what went on.
const maxEvidence = 1000

// excludedBy describes an entry that is not what it says, after n others.
func excludedBy(d derived, n int) exclusion {
	x := exclusion{Epoch: d.Epoch, Index: d.Index, Reason: rejected}
	if errors.Is(d.why, errPlanted) {
		x.Reason = plant
		return x
	}
	if errors.Is(d.why, errRefuted) {
		x.Reason = refuted
		return x
	}
	x.Detail = printable(d.why.Error())
	if d.blob != nil && n < maxEvidence {
		x.Blob = rejectedName(artifact.Sum(d.blob))
	}
	return x
}

// printable keeps what a hostile page put into an error from a reader's terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

// refutations are the receipts, by their encoding, that the epochs' audits proved false.
func refutations(epochs []work.Epoch) map[string]bool {
	var m map[string]bool
	for _, e := range epochs {
		for _, s := range e.Samples {
			if s.Status == work.SampleFalse && len(s.Receipt) > 0 {
				if m == nil {
					m = map[string]bool{}
				}
				m[string(s.Receipt)] = true
			}
		}
	}
	return m
}

func encodeExclusions(l []exclusion) ([]byte, error) {
	b, err := artifact.Canonical(l)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", excludedFile, err)
	}
	return b, nil
}

// decodeExclusions reads what encodeExclusions writes, sorted and without repetition.
func decodeExclusions(b []byte) ([]exclusion, error) {
	var l []exclusion
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, excludedFile, err)
	}
	again, err := artifact.Canonical(l)
	if err != nil || !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: %s: another form of the same", ErrFormat, excludedFile)
	}
	for i, x := range l {
		if x.Reason != rejected && x.Reason != refuted && x.Reason != plant || i > 0 && l[i-1].compare(x) >= 0 {
			return nil, fmt.Errorf("%w: %s: entry %d is out of order or has another reason", ErrFormat, excludedFile, i+1)
		}
		if digest, ok := strings.CutPrefix(x.Blob, rejectedDir+"/"); x.Blob != "" {
			if _, err := artifact.ParseDigest(digest); !ok || err != nil {
				return nil, fmt.Errorf("%w: %s: entry %d: blob %.80q", ErrFormat, excludedFile, i+1, x.Blob)
			}
		}
	}
	return l, nil
}

func (x exclusion) compare(y exclusion) int {
	return cmp.Or(cmp.Compare(x.Epoch, y.Epoch), cmp.Compare(x.Index, y.Index))
}

func sortFiles(files []artifact.File) {
	slices.SortFunc(files, func(a, b artifact.File) int { return cmp.Compare(a.Name, b.Name) })
}
