package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Size is the length of a Digest in bytes.
const Size = sha256.Size

// Digest is the SHA-256 of a blob's bytes: its address in every Store.
type Digest [Size]byte

// ErrDigest marks text or bytes that are no digest.
var ErrDigest = errors.New("not a SHA-256 digest")

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the form that String writes: 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(Size) {
		return d, fmt.Errorf("%w: %d characters, want %d", ErrDigest, len(s), hex.EncodedLen(Size))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("%w: %v", ErrDigest, err)
	}
	if d.String() != s {
		return Digest{}, fmt.Errorf("%w: upper-case digits", ErrDigest)
	}
	return d, nil
}

// DigestFromBytes copies a digest out of b, which must be Size bytes long.
func DigestFromBytes(b []byte) (Digest, error) {
	var d Digest
	if len(b) != Size {
		return d, fmt.Errorf("%w: %d bytes, want %d", ErrDigest, len(b), Size)
	}
	copy(d[:], b)
	return d, nil
}

// String is the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is the zero value, which is the digest of nothing we know.
func (d Digest) IsZero() bool { return d == Digest{} }

// Compare orders digests by their bytes.
func (d Digest) Compare(e Digest) int { return bytes.Compare(d[:], e[:]) }

// MarshalText makes digests hexadecimal in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the strict inverse of MarshalText.
func (d *Digest) UnmarshalText(b []byte) error {
	p, err := ParseDigest(string(b))
	if err != nil {
		return err
	}
	*d = p
	return nil
}
