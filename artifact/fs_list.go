package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// Info is what a store knows of a blob without reading it.
type Info struct {
	Digest Digest
	Size   int64
	Stored time.Time
}

// All lists what is stored, in the order of the digests. It holds one directory's names
// at a time. What is put or deleted meanwhile may be listed or not.
func (f *FS) All(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for i := range 256 {
			dir := filepath.Join(f.dir, fmt.Sprintf("%02x", i))
			entries, err := os.ReadDir(dir)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Info{}, fmt.Errorf("list the artifacts in %s: %w", dir, err))
				return
			}
			for _, e := range entries {
				d, err := ParseDigest(e.Name())
				if err != nil || !e.Type().IsRegular() {
					continue // not ours
				}
				info, err := e.Info()
				if err != nil {
					continue // deleted since
				}
				if !yield(Info{Digest: d, Size: info.Size(), Stored: info.ModTime()}, nil) {
					return
				}
			}
		}
	}
}

// Usage counts the blobs and their bytes.
func (f *FS) Usage(ctx context.Context) (blobs int, size int64, err error) {
	for info, err := range f.All(ctx) {
		if err != nil {
			return 0, 0, err
		}
		blobs++
		size += info.Size
	}
	return blobs, size, nil
}

// Delete removes blobs for good. One that is not stored is no error.
func (f *FS) Delete(ctx context.Context, ds ...Digest) error {
	for _, d := range ds {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("delete %d artifacts: %w", len(ds), err)
		}
		info, err := os.Lstat(f.path(d))
		if err == nil {
			err = os.Remove(f.path(d))
		}
		switch {
		case err == nil:
			f.unreserve(info.Size())
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("delete artifact %s: %w", d, err)
		}
	}
	return nil
}
