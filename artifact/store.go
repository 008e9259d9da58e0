package artifact

import (
	"context"
	"errors"
	"io"
)

// ErrNotFound is returned by a Store for a blob that it does not hold.
var ErrNotFound = errors.New("artifact not found")

// ErrTooLarge is returned for a blob above the limit of the store or the call.
var ErrTooLarge = errors.New("artifact too large")

// Store keeps blobs by the digest of their bytes. All methods are safe for concurrent
// use. A blob that Put or PutAll acknowledged survives a crash of the process and of
// the machine; storing a blob twice is free and not an error.
type Store interface {
	// Put stores b and returns its digest.
	Put(ctx context.Context, b []byte) (Digest, error)
	// PutAll stores several blobs and makes them durable together, which costs far
	// less than as many calls of Put. The digests come back in the order of the blobs.
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
