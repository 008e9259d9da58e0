package work

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
)

// MaxPlants is the most plants that an epoch may hold.
const MaxPlants = 16

// ErrPlants is returned for plants that are not those committed to.
var ErrPlants = errors.New("plants are not the committed ones")

// Plants says which receipts of an epoch its gateway knew to be wrong before anybody was
// drawn to check them. The gateway commits to them with the epoch, also to none of them,
// and must show them once the verdicts are in: so an auditor can't tell whether what it
// holds is a plant, and a gateway can't call a receipt one afterwards.
type Plants struct {
	_     struct{} `cbor:",toarray"`
	Chain string
	Job   JobID
	Epoch uint64
	// Indices are the plants' places in the receipts tree, in strictly ascending order.
	Indices []uint64
	Salt    [SaltSize]byte
}

// Commitment is the digest that goes to the ledger with the epoch. It is never zero.
func (p Plants) Commitment() (artifact.Digest, error) {
	if len(p.Indices) > MaxPlants {
		return artifact.Digest{}, fmt.Errorf("%d plants in epoch %d of job %d, at most %d", len(p.Indices), p.Epoch, p.Job, MaxPlants)
	}
	for i := 1; i < len(p.Indices); i++ {
		if p.Indices[i-1] >= p.Indices[i] {
			return artifact.Digest{}, fmt.Errorf("plants of epoch %d of job %d are not in ascending order: %d before %d", p.Epoch, p.Job, p.Indices[i-1], p.Indices[i])
		}
	}
	b, err := Encode(p)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("encode plants: %w", err)
	}
	return domainHash(domainPlants, b), nil
}

// Check checks that c is p's commitment.
func (p Plants) Check(c artifact.Digest) error {
	got, err := p.Commitment()
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got[:], c[:]) != 1 {
		return fmt.Errorf("%w (job %d, epoch %d)", ErrPlants, p.Job, p.Epoch)
	}
	return nil
}

// Has reports whether the receipt at a place of the tree is a plant.
func (p Plants) Has(index uint64) bool {
	_, found := slices.BinarySearch(p.Indices, index)
	return found
}
