package tab

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cantus-network/cantus/work"
)

// Prefix begins every API key, so that people and scanners for leaked secrets know one.
const Prefix = "ck-"

// Bounds of a Key.
const (
	MaxLabel = 64  // bytes
	maxToken = 400 // characters of an API key
)

// Errors of API keys.
var (
	ErrKey     = errors.New("not an API key of this tab")
	ErrExpired = errors.New("the API key has expired")
	ErrRevoked = errors.New("the API key was revoked")
)

// KeyID tells the keys of a tab apart. Spending is counted by it: keys that share an ID
// share what they may spend.
type KeyID [12]byte

// String is the ID in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ParseKeyID reads what String writes.
func ParseKeyID(s string) (KeyID, error) {
	var id KeyID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("%w: ID %.40q: want %d hexadecimal digits in lower case", ErrKey, s, 2*len(id))
	}
	copy(id[:], b)
	return id, nil
}

// NewKeyID draws an ID from random, which is crypto/rand.Reader outside tests.
func NewKeyID(random io.Reader) (KeyID, error) {
	var id KeyID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return id, fmt.Errorf("draw an API key's ID: %w", err)
	}
	return id, nil
}

// Key is what an API key says. It is a bearer token: whoever has it may spend by it.
type Key struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Job     work.JobID
	ID      KeyID
	Limit   uint64 // units that it may spend in all; 0 for what the escrow holds
	Expires int64  // Unix seconds; 0 for never
	Label   string // for people: whom it was given to
}

// Check refuses a key that says what no key can.
func (k *Key) Check() error {
	switch {
	case k.Version != Version:
		return fmt.Errorf("%w: version %d: this program knows version %d", ErrKey, k.Version, Version)
	case k.Job == 0:
		return fmt.Errorf("%w: job 0: they count from 1", ErrKey)
	case k.Expires < 0:
		return fmt.Errorf("%w: it expires at %d", ErrKey, k.Expires)
	case len(k.Label) > MaxLabel || !utf8.ValidString(k.Label) || strings.ContainsFunc(k.Label, unicode.IsControl):
		return fmt.Errorf("%w: label of %d bytes: want plain text of at most %d", ErrKey, len(k.Label), MaxLabel)
	}
	return nil
}

// Expired reports whether the key's time is over.
func (k *Key) Expired(now time.Time) bool { return k.Expires != 0 && now.Unix() >= k.Expires }

// Signed is a key with its tab's signature, which binds it to one chain.
type Signed struct {
	Key
	payload, sig []byte
}

// Mint makes an API key. Nobody needs to be asked: the tab's private key is all it takes.
func Mint(private work.PrivateKey, chain string, k Key) (string, error) {
	k.Version = Version
	if err := k.Check(); err != nil {
		return "", err
	}
	payload, err := work.Encode(k)
	if err != nil {
		return "", fmt.Errorf("encode an API key: %w", err)
	}
	return Prefix + encoding.EncodeToString(append(payload, sign(private, domainKey, chain, payload)...)), nil
}

// ParseKey takes what Mint gives and nothing else. It does not verify it.
func ParseKey(token string) (*Signed, error) {
	rest, ok := strings.CutPrefix(token, Prefix)
	if !ok || len(token) > maxToken {
		return nil, fmt.Errorf("%w: want %s and at most %d characters", ErrKey, Prefix, maxToken)
	}
	b, err := encoding.DecodeString(rest)
	if err != nil || encoding.EncodeToString(b) != rest || len(b) <= ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: it is cut off or was changed", ErrKey)
	}
	at := len(b) - ed25519.SignatureSize
	k, err := work.Decode[Key](b[:at], maxToken)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return &Signed{Key: k, payload: b[:at], sig: b[at:]}, nil
}

// Verify checks that the tab with this public key made the key for this chain. What it
// compares is no secret, so it need not take the same time for all keys.
func (s *Signed) Verify(public work.PublicKey, chain string) error {
	if !verify(public, domainKey, chain, s.payload, s.sig) {
		return fmt.Errorf("%w: job %d did not sign it for %s", ErrKey, s.Job, chain)
	}
	return nil
}

var encoding = base64.RawURLEncoding.Strict()

// Domains keep what the tab's key signs for one purpose from serving another. The chain's
// ID is part of what is signed, so a key for a test network is void on another.
const (
	domainKey    = "cantus/api-key/1"
	domainRevoke = "cantus/api-key-revocations/1"
)

func message(domain, chain string, payload []byte) []byte {
	b := make([]byte, 0, len(domain)+len(chain)+2+len(payload))
	b = append(append(b, domain...), 0)
	b = append(append(b, chain...), 0) // a chain's ID has no zero byte
	return append(b, payload...)
}

func sign(k work.PrivateKey, domain, chain string, payload []byte) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(k.Seed()), message(domain, chain, payload))
}

func verify(k work.PublicKey, domain, chain string, payload, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(k[:], message(domain, chain, payload), sig)
}
