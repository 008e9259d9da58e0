package artifact

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxEnvelope bounds an envelope's encoding, MaxPayload what is in it.
const (
	MaxEnvelope = 24 << 20
	MaxPayload  = 16 << 20
)

const (
	maxSignatures  = 16
	maxSignature   = 1024 // bytes
	maxKeyID       = 256
	maxPayloadType = 256
)

var (
	// ErrEnvelope marks what is no DSSE envelope.
	ErrEnvelope = errors.New("bad envelope")
	// ErrUnverified is returned for an envelope without enough good signatures.
	ErrUnverified = errors.New("signatures do not verify")
)

// Signer signs for one key. Node keys are Ed25519Signer; the owner's account, whose key
// lives in the ledger's keyring, brings its own.
type Signer interface {
	// KeyID names the key to verifiers. They never trust it.
	KeyID() string
	// Sign signs message, which is the PAE encoding of what is being said.
	Sign(message []byte) ([]byte, error)
}

// Verifier checks the signatures of one trusted key.
type Verifier interface {
	KeyID() string
	// Verify returns nil if and only if signature is the key's over message.
	Verify(message, signature []byte) error
}

// Envelope is a payload with signatures over it and its type, by DSSE v1
// (github.com/secure-systems-lab/dsse).
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Signature is one key's.
type Signature struct {
	KeyID string // a hint, unauthenticated
	Sig   []byte
}

// PAE is DSSE's pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, 64+len(payloadType)+len(payload))
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// Sign puts payload into an envelope that every signer signs.
func Sign(payloadType string, payload []byte, signers ...Signer) (Envelope, error) {
	e := Envelope{PayloadType: payloadType, Payload: bytes.Clone(payload)}
	if len(signers) == 0 {
		return Envelope{}, fmt.Errorf("sign a %s: no signer", payloadType)
	}
	message := PAE(payloadType, payload)
	for _, s := range signers {
		sig, err := s.Sign(message)
		if err != nil {
			return Envelope{}, fmt.Errorf("sign a %s as %s: %w", payloadType, s.KeyID(), err)
		}
		e.Signatures = append(e.Signatures, Signature{KeyID: s.KeyID(), Sig: sig})
	}
	if err := e.check(); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

// Verify checks that at least threshold of the trusted keys signed the payload as a
// payloadType, and returns the key IDs of those that did. Signatures of other keys, and
// bad ones, are passed over.
func (e Envelope) Verify(payloadType string, threshold int, trusted ...Verifier) ([]string, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	if threshold < 1 || threshold > len(trusted) {
		return nil, fmt.Errorf("verify an envelope: %d signatures of %d trusted keys were asked for", threshold, len(trusted))
	}
	if payloadType == "" || e.PayloadType != payloadType {
		return nil, fmt.Errorf("%w: it holds a %.80q, not a %q", ErrUnverified, e.PayloadType, payloadType)
	}
	known := map[string]bool{}
	for _, v := range trusted {
		if known[v.KeyID()] {
			return nil, fmt.Errorf("verify an envelope: the key %s is trusted twice", v.KeyID())
		}
		known[v.KeyID()] = true
	}
	message := PAE(e.PayloadType, e.Payload)
	var accepted []string
	for _, v := range trusted {
		for _, s := range e.Signatures {
			// The key ID only saves work: no key is tried that it rules out.
			if s.KeyID != "" && s.KeyID != v.KeyID() {
				continue
			}
			if v.Verify(message, s.Sig) == nil {
				accepted = append(accepted, v.KeyID())
				break // a key counts once, however often it signed
			}
		}
	}
	if len(accepted) < threshold {
		return nil, fmt.Errorf("%w: %d of the %d keys that are trusted signed it, want %d", ErrUnverified, len(accepted), len(trusted), threshold)
	}
	return accepted, nil
}

func (e Envelope) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrEnvelope}, args...)...)
	}
	switch {
	case len(e.PayloadType) > maxPayloadType || !utf8.ValidString(e.PayloadType):
		return bad("a payload type of %d bytes", len(e.PayloadType))
	case len(e.Payload) > MaxPayload:
		return bad("a payload of %d bytes, at most %d", len(e.Payload), MaxPayload)
	case len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures:
		return bad("%d signatures, want 1 to %d", len(e.Signatures), maxSignatures)
	}
	for i, s := range e.Signatures {
		if len(s.Sig) == 0 || len(s.Sig) > maxSignature || len(s.KeyID) > maxKeyID || !utf8.ValidString(s.KeyID) {
			return bad("signature %d has %d bytes and a key ID of %d", i+1, len(s.Sig), len(s.KeyID))
		}
	}
	return nil
}

type envelopeJSON struct {
	PayloadType string          `json:"payloadType"`
	Payload     string          `json:"payload"`
	Signatures  []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   string `json:"sig"`
}

// Encode writes the envelope as canonical JSON.
func (e Envelope) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	j := envelopeJSON{PayloadType: e.PayloadType, Payload: base64.StdEncoding.EncodeToString(e.Payload)}
	for _, s := range e.Signatures {
		j.Signatures = append(j.Signatures, signatureJSON{s.KeyID, base64.StdEncoding.EncodeToString(s.Sig)})
	}
	b, err := Canonical(j)
	if err != nil {
		return nil, fmt.Errorf("encode an envelope: %w", err)
	}
	return b, nil
}

// DecodeEnvelope reads any DSSE envelope in JSON, ours or another program's: white space,
// the order of the fields and fields that it does not know are as they please, as DSSE
// demands. A field that is there twice, even in another case, is refused, because readers
// would differ on which one counts. It verifies nothing.
func DecodeEnvelope(b []byte) (Envelope, error) {
	bad := func(err error) (Envelope, error) { return Envelope{}, fmt.Errorf("%w: %w", ErrEnvelope, err) }
	if len(b) > MaxEnvelope {
		return bad(fmt.Errorf("%d bytes, at most %d", len(b), MaxEnvelope))
	}
	if err := uniqueFields(b); err != nil {
		return bad(err)
	}
	var j envelopeJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return bad(err)
	}
	if len(j.Signatures) > maxSignatures {
		return bad(fmt.Errorf("%d signatures, at most %d", len(j.Signatures), maxSignatures))
	}
	e := Envelope{PayloadType: j.PayloadType}
	var err error
	if e.Payload, err = decodeBase64(j.Payload); err != nil {
		return bad(fmt.Errorf("payload: %w", err))
	}
	for i, s := range j.Signatures {
		sig, err := decodeBase64(s.Sig)
		if err != nil {
			return bad(fmt.Errorf("signature %d: %w", i+1, err))
		}
		e.Signatures = append(e.Signatures, Signature{KeyID: s.KeyID, Sig: sig})
	}
	if err := e.check(); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

// decodeBase64 takes either of the two alphabets, padded, as DSSE demands of verifiers.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, errors.New("a line break in base64")
	}
	encoding := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.URLEncoding
	}
	return encoding.Strict().DecodeString(s)
}

// uniqueFields refuses JSON in which an object has two keys that differ in case at most:
// encoding/json would take either for the field.
func uniqueFields(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var open []map[string]bool // the keys of each object that is open; nil for an array
	key := false               // the next string is a key
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				open, key = append(open, map[string]bool{}), true
				continue
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			if len(open) > maxJSONDepth {
				return fmt.Errorf("nested more than %d deep", maxJSONDepth)
			}
		case string:
			if key {
				// Upper and lower, because a few letters fold only one of the ways.
				fold := strings.ToLower(strings.ToUpper(token))
				seen := open[len(open)-1]
				if seen[fold] {
					return fmt.Errorf("the field %.40q twice", token)
				}
				seen[fold], key = true, false
				continue
			}
		}
		key = len(open) > 0 && open[len(open)-1] != nil
	}
}

// Ed25519Signer signs with a node key.
type Ed25519Signer struct{ key ed25519.PrivateKey }

// NewEd25519Signer makes the signer of a 32-byte seed.
func NewEd25519Signer(seed []byte) (Ed25519Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return Ed25519Signer{}, fmt.Errorf("Ed25519 seed of %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	return Ed25519Signer{ed25519.NewKeyFromSeed(seed)}, nil
}

// KeyID implements Signer.
func (s Ed25519Signer) KeyID() string { return s.Verifier().KeyID() }

// Sign implements Signer.
func (s Ed25519Signer) Sign(message []byte) ([]byte, error) { return ed25519.Sign(s.key, message), nil }

// Verifier is the key's public half.
func (s Ed25519Signer) Verifier() Ed25519Verifier {
	var v Ed25519Verifier
	copy(v[:], s.key[ed25519.SeedSize:])
	return v
}

// String hides the secret from logs.
func (s Ed25519Signer) String() string { return "Ed25519Signer(" + s.KeyID() + ")" }

// Ed25519Verifier is a node's public key.
type Ed25519Verifier [ed25519.PublicKeySize]byte

// KeyID implements Verifier: "ed25519:" and the key in hexadecimal.
func (v Ed25519Verifier) KeyID() string { return "ed25519:" + hex.EncodeToString(v[:]) }

// Verify implements Verifier.
func (v Ed25519Verifier) Verify(message, signature []byte) error {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(v[:], message, signature) {
		return fmt.Errorf("%w: key %s", ErrUnverified, v.KeyID())
	}
	return nil
}
