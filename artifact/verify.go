package artifact

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// VerifiedReader reads r and fails with ErrCorrupt, instead of ending, where its bytes
// are not size bytes with the digest d. It never hands out more than size bytes. What
// was read before the failure is unverified: use it only once io.EOF came.
func VerifiedReader(r io.ReadCloser, d Digest, size int64) io.ReadCloser {
	return &verifiedReader{r: r, want: d, left: size, hash: sha256.New()}
}

type verifiedReader struct {
	r    io.ReadCloser
	want Digest
	left int64
	hash hash.Hash
	err  error  // sticky
	bad  func() // called once where the bytes are not the blob's
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if v.left == 0 {
		v.err = v.end()
		return 0, v.err
	}
	if int64(len(p)) > v.left {
		p = p[:v.left]
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && v.left > 0:
		v.err = v.corrupt(fmt.Sprintf("%d bytes are missing", v.left))
	case errors.Is(err, io.EOF):
		v.err = v.end()
	case err != nil:
		v.err = fmt.Errorf("read artifact %s: %w", v.want, err)
	}
	return n, v.err
}

// end is called once all bytes were read: the source must have ended, and the digest must
// be the right one.
func (v *verifiedReader) end() error {
	var extra [1]byte
	for range 100 { // as bufio does: a reader may return nothing and no error, but not forever
		n, err := v.r.Read(extra[:])
		if n > 0 {
			return v.corrupt("it is longer than it should be")
		}
		if errors.Is(err, io.EOF) {
			if Digest(v.hash.Sum(nil)) != v.want {
				return v.corrupt("its bytes were changed")
			}
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("read artifact %s: %w", v.want, err)
		}
	}
	return fmt.Errorf("read artifact %s: %w", v.want, io.ErrNoProgress)
}

func (v *verifiedReader) corrupt(why string) error {
	if v.bad != nil {
		v.bad()
	}
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, v.want, why)
}

func (v *verifiedReader) Close() error { return v.r.Close() }
