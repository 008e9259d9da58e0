package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/cantus-network/cantus/artifact/httpstore"
)

// uploadMemory is how much of uploads' bodies is held at a time; others wait.
const uploadMemory = 8 * httpstore.MaxRequest

// uploads bounds the memory that bodies under way take.
type uploads struct{ free *semaphore.Weighted }

func newUploads() uploads { return uploads{semaphore.NewWeighted(uploadMemory)} }

// reserve waits for room for a body of so many bytes; -1 stands for an unknown number.
func (u uploads) reserve(ctx context.Context, bytes int64) (release func(), err error) {
	if bytes < 0 || bytes > httpstore.MaxRequest {
		bytes = httpstore.MaxRequest
	}
	if err := u.free.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("wait for other uploads: %w", err)
	}
	return func() { u.free.Release(bytes) }, nil
}

var errBlobs = errors.New("the body is not a canonical CBOR array of byte strings")

// splitBlobs reads an array of byte strings in CBOR's shortest form, without copying.
func splitBlobs(b []byte, limit int) ([][]byte, error) {
	n, rest, err := cborHead(b, 4)
	if err != nil {
		return nil, err
	}
	if n == 0 || n > uint64(limit) {
		return nil, fmt.Errorf("%w: %d artifacts, want 1 to %d", errBlobs, n, limit)
	}
	blobs := make([][]byte, n)
	for i := range blobs {
		size, after, err := cborHead(rest, 2)
		if err != nil {
			return nil, fmt.Errorf("artifact %d: %w", i, err)
		}
		if size > uint64(len(after)) {
			return nil, fmt.Errorf("%w: artifact %d has %d bytes, %d follow", errBlobs, i, size, len(after))
		}
		blobs[i], rest = after[:size:size], after[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow it", errBlobs, len(rest))
	}
	return blobs, nil
}

// cborHead reads the head of an item of a major type: its argument, in no longer form
// than it needs.
func cborHead(b []byte, major byte) (n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, fmt.Errorf("%w: it breaks off", errBlobs)
	}
	if b[0]>>5 != major {
		return 0, nil, fmt.Errorf("%w: an item of major type %d where %d is wanted", errBlobs, b[0]>>5, major)
	}
	info := b[0] & 0x1f
	if info < 24 {
		return uint64(info), b[1:], nil
	}
	if info > 27 {
		return 0, nil, fmt.Errorf("%w: an item of indefinite length", errBlobs)
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, nil, fmt.Errorf("%w: it breaks off", errBlobs)
	}
	var full [8]byte
	copy(full[8-size:], b[1:])
	n = binary.BigEndian.Uint64(full[:])
	least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}
	if n < least[info-24] {
		return 0, nil, fmt.Errorf("%w: %d in %d bytes", errBlobs, n, size)
	}
	return n, b[1+size:], nil
}
