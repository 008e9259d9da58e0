package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrNotFound is returned by a Store for a blob that it does not hold.
	ErrNotFound = errors.New("artifact not found")

	// ErrTooLarge is returned for a blob above the limit of the store or the call.
	ErrTooLarge = errors.New("artifact too large")

	// ErrFull is returned when a store's quota or its disk has no room for a blob.
	// Nothing that was acknowledged is lost by it.
	ErrFull = errors.New("artifact store is full")

	// ErrCorrupt is returned where stored bytes do not have the digest that they are
	// kept under. Putting the blob again repairs it.
	ErrCorrupt = errors.New("artifact is corrupt")

	// ErrClosed is returned by a store that was closed.
	ErrClosed = errors.New("artifact store is closed")
)

// Store keeps blobs by the digest of their bytes. All methods are safe for concurrent
// use. A blob that Put or PutAll acknowledged survives a crash of the process and of
// the machine; storing a blob twice is free and not an error.
type Store interface {
	// Put stores b and returns its digest.
	Put(ctx context.Context, b []byte) (Digest, error)
	// PutAll stores several blobs and makes them durable together, which costs far
	// less than as many calls of Put. The digests come back in the order of the blobs.
	// On an error some of the blobs may have been stored.
	PutAll(ctx context.Context, blobs [][]byte) ([]Digest, error)
	// Get returns the whole blob, verified against its digest, or ErrNotFound.
	// A blob longer than max bytes is refused with ErrTooLarge; max <= 0 means no limit.
	Get(ctx context.Context, d Digest, max int64) ([]byte, error)
	// Open streams a blob and its size. The reader fails at the end if the bytes do not
	// have the digest d.
	Open(ctx context.Context, d Digest) (io.ReadCloser, int64, error)
	// Has says which of ds the store holds, in their order.
	Has(ctx context.Context, ds ...Digest) ([]bool, error)
}

// DefaultMaxBlob is the longest blob that a store takes unless its Options say otherwise.
const DefaultMaxBlob = 256 << 20

// Options are a store's limits. The zero value is a good default.
type Options struct {
	// MaxBlob is the longest blob in bytes that Put takes; 0 means DefaultMaxBlob.
	MaxBlob int64
	// Quota is how many bytes of blobs the store holds at most; 0 means no limit but
	// the disk's.
	Quota int64
}

func (o Options) check() (Options, error) {
	if o.MaxBlob < 0 || o.Quota < 0 {
		return o, fmt.Errorf("artifact store options: a blob limit of %d and a quota of %d bytes: neither may be negative", o.MaxBlob, o.Quota)
	}
	if o.MaxBlob == 0 {
		o.MaxBlob = DefaultMaxBlob
	}
	return o, nil
}

func (o Options) checkBlobs(blobs [][]byte) error {
	for i, b := range blobs {
		if int64(len(b)) > o.MaxBlob {
			return fmt.Errorf("%w: blob %d of %d has %d bytes, this store takes %d", ErrTooLarge, i+1, len(blobs), len(b), o.MaxBlob)
		}
	}
	return nil
}

func tooLarge(d Digest, size, max int64) error {
	return fmt.Errorf("%w: %s has %d bytes, at most %d were asked for", ErrTooLarge, d, size, max)
}
