package work

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// ErrKey marks text or bytes that are no node key, ErrSignature a signature that does
// not verify.
var (
	ErrKey       = errors.New("not a node key")
	ErrSignature = errors.New("signature does not verify")
)

// PublicKey is the Ed25519 key that a worker or a gateway is known by.
type PublicKey [ed25519.PublicKeySize]byte

// ParseKey reads the form that String writes: 64 lower-case hexadecimal digits.
func ParseKey(s string) (PublicKey, error) {
	var k PublicKey
	if len(s) != 2*len(k) {
		return k, fmt.Errorf("%w: %d characters, want %d hexadecimal digits", ErrKey, len(s), 2*len(k))
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return PublicKey{}, fmt.Errorf("%w: %v", ErrKey, err)
	}
	if k.String() != s {
		return PublicKey{}, fmt.Errorf("%w: upper-case digits", ErrKey)
	}
	return k, nil
}

// KeyFromBytes copies a key out of b.
func KeyFromBytes(b []byte) (PublicKey, error) {
	var k PublicKey
	if len(b) != len(k) {
		return k, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(b), len(k))
	}
	copy(k[:], b)
	return k, nil
}

// String is the key in lower-case hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// Short is the key's first eight digits, for people and logs.
func (k PublicKey) Short() string { return hex.EncodeToString(k[:4]) }

// IsZero reports whether k is the zero value, which is nobody's key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Compare orders keys by their bytes.
func (k PublicKey) Compare(o PublicKey) int { return bytes.Compare(k[:], o[:]) }

// MarshalText makes keys hexadecimal in JSON.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the strict inverse of MarshalText.
func (k *PublicKey) UnmarshalText(b []byte) error {
	p, err := ParseKey(string(b))
	if err != nil {
		return err
	}
	*k = p
	return nil
}

// verify checks a signature by the rule in signature.go.
func (k PublicKey) verify(domain string, msg, sig []byte) error {
	if !verifyOne(k, signed{domainBytes(domain, msg), sig}) {
		return badSignature(k)
	}
	return nil
}

func badSignature(k PublicKey) error { return fmt.Errorf("%w (key %s)", ErrSignature, k.Short()) }

// PrivateKey signs for a node. It is safe for concurrent use and never prints itself.
type PrivateKey struct{ key ed25519.PrivateKey }

// GenerateKey makes a key from random, which is crypto/rand.Reader outside tests.
func GenerateKey(random io.Reader) (PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PrivateKey{}, fmt.Errorf("make a node key: %w", err)
	}
	return PrivateKeyFromSeed(seed)
}

// PrivateKeyFromSeed makes the key of a 32-byte seed.
func PrivateKeyFromSeed(seed []byte) (PrivateKey, error) {
	if len(seed) != ed25519.SeedSize {
		return PrivateKey{}, fmt.Errorf("%w: a seed of %d bytes, want %d", ErrKey, len(seed), ed25519.SeedSize)
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is the key that others know the node by. The zero PrivateKey's is zero.
func (k PrivateKey) Public() PublicKey {
	var p PublicKey
	if len(k.key) == ed25519.PrivateKeySize {
		copy(p[:], k.key[ed25519.SeedSize:])
	}
	return p
}

// Seed is the secret that PrivateKeyFromSeed takes, for storage in a file of mode 0600.
func (k PrivateKey) Seed() []byte { return k.key.Seed() }

// String hides the secret from logs.
func (k PrivateKey) String() string { return "PrivateKey(" + k.Public().Short() + ")" }

// SignNonce answers the plane's challenge: the key's plain signature over the nonce, as
// NATS nkeys do it. Nothing else is ever signed without a domain.
func (k PrivateKey) SignNonce(nonce []byte) []byte { return ed25519.Sign(k.key, nonce) }

// VerifyNonce checks SignNonce.
func (k PublicKey) VerifyNonce(nonce, sig []byte) error {
	if !verifyOne(k, signed{nonce, sig}) {
		return badSignature(k)
	}
	return nil
}

func (k PrivateKey) sign(domain string, msg []byte) []byte {
	return ed25519.Sign(k.key, domainBytes(domain, msg))
}

// enrollment is what a key signs to show that whoever enrols it holds it.
type enrollment struct {
	_     struct{} `cbor:",toarray"`
	Chain string
	Owner string
	Key   PublicKey
}

// SignEnrollment proves to the chain that k's holder agrees to belong to owner (a
// bech32 address). It keeps anybody from enrolling a key that isn't theirs.
func (k PrivateKey) SignEnrollment(chain, owner string) ([]byte, error) {
	b, err := Encode(enrollment{Chain: chain, Owner: owner, Key: k.Public()})
	if err != nil {
		return nil, fmt.Errorf("encode an enrollment: %w", err)
	}
	return k.sign(domainEnrollment, b), nil
}

// VerifyEnrollment checks SignEnrollment.
func (k PublicKey) VerifyEnrollment(chain, owner string, sig []byte) error {
	b, err := Encode(enrollment{Chain: chain, Owner: owner, Key: k})
	if err != nil {
		return fmt.Errorf("encode an enrollment: %w", err)
	}
	return k.verify(domainEnrollment, b, sig)
}
