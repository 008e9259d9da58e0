package tab

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/work"
)

// Bounds of Revocations.
const (
	MaxRevoked     = 10_000
	MaxRevocations = 256 << 10 // bytes of a signed list
)

// ErrRevocations marks a list of revocations that is not its tab's.
var ErrRevocations = errors.New("not a list of revoked API keys of this tab")

// Revocations is the list of a tab's keys that are void. A list replaces the one before it,
// so it names them all; the one with the highest number counts.
type Revocations struct {
	_      struct{} `cbor:",toarray"`
	Job    work.JobID
	Number uint64  // from 1
	IDs    []KeyID // ascending
}

type signedRevocations struct {
	_    struct{} `cbor:",toarray"`
	List []byte
	Sig  []byte
}

// Has reports whether a key is void.
func (r *Revocations) Has(id KeyID) bool {
	_, found := slices.BinarySearchFunc(r.IDs, id, compareIDs)
	return found
}

func compareIDs(a, b KeyID) int { return bytes.Compare(a[:], b[:]) }

func (r *Revocations) check() error {
	if r.Job == 0 || r.Number == 0 || len(r.IDs) > MaxRevoked {
		return fmt.Errorf("%w: job %d, number %d, %d keys: both count from 1, at most %d keys", ErrRevocations, r.Job, r.Number, len(r.IDs), MaxRevoked)
	}
	for i := 1; i < len(r.IDs); i++ {
		if compareIDs(r.IDs[i-1], r.IDs[i]) >= 0 {
			return fmt.Errorf("%w: %s before %s: want ascending order", ErrRevocations, r.IDs[i-1], r.IDs[i])
		}
	}
	return nil
}

// Revoke signs a list of void keys, in any order.
func Revoke(private work.PrivateKey, chain string, r Revocations) ([]byte, error) {
	r.IDs = slices.Clone(r.IDs)
	slices.SortFunc(r.IDs, compareIDs)
	r.IDs = slices.Compact(r.IDs)
	if err := r.check(); err != nil {
		return nil, err
	}
	list, err := work.Encode(r)
	if err != nil {
		return nil, fmt.Errorf("encode revocations: %w", err)
	}
	return work.Encode(signedRevocations{List: list, Sig: sign(private, domainRevoke, chain, list)})
}

// OpenRevocations reads the job that a signed list is for, and gives a function that checks
// it against that job's tab.
func OpenRevocations(b []byte) (*Revocations, func(public work.PublicKey, chain string) error, error) {
	s, err := work.Decode[signedRevocations](b, MaxRevocations)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	r, err := work.Decode[Revocations](s.List, MaxRevocations)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	if len(s.Sig) != ed25519.SignatureSize {
		return nil, nil, fmt.Errorf("%w: signature of %d bytes", ErrRevocations, len(s.Sig))
	}
	return &r, func(public work.PublicKey, chain string) error {
		if !verify(public, domainRevoke, chain, s.List, s.Sig) {
			return fmt.Errorf("%w: job %d did not sign it for %s", ErrRevocations, r.Job, chain)
		}
		return nil
	}, nil
}
