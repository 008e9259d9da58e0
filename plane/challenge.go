package plane

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nkeys"

	"github.com/cantus-network/cantus/work"
)

// maxNonce bounds the nonce that a client is ready to answer.
const maxNonce = 256

// challenge is what a worker signs to log in: a digest of the server's nonce and of the
// key of the gateway that the worker means to reach. The digest keeps a hostile server,
// which chooses the nonce, from getting a signature over bytes of its choice: it can't be
// the preimage of a receipt or an enrolment. The gateway's key keeps one gateway from
// passing another's nonce on and logging in there in the worker's name.
func challenge(gateway work.PublicKey, nonce []byte) []byte {
	h := sha256.New()
	h.Write([]byte("cantus/plane-login/1\x00"))
	h.Write(gateway[:])
	h.Write(nonce)
	return h.Sum(nil)
}

// signLogin answers a server's nonce.
func signLogin(key work.PrivateKey, gateway work.PublicKey, nonce []byte) ([]byte, error) {
	if len(nonce) == 0 || len(nonce) > maxNonce {
		return nil, fmt.Errorf("the server's nonce has %d bytes, want 1 to %d", len(nonce), maxNonce)
	}
	return key.SignNonce(challenge(gateway, nonce)), nil
}

// checkLogin reads the key that a connection claims and verifies its answer.
func checkLogin(gateway work.PublicKey, nonce []byte, nkey, signature string) (work.PublicKey, error) {
	worker, err := parseNkey(nkey)
	if err != nil {
		return work.PublicKey{}, err
	}
	if len(nonce) == 0 {
		return worker, fmt.Errorf("connection of %s: no nonce", worker.Short())
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return worker, fmt.Errorf("connection of %s: signature is not base64url: %w", worker.Short(), err)
	}
	return worker, worker.VerifyNonce(challenge(gateway, nonce), sig)
}

// The login carries the key in NATS' own notation, since that is the field it has.
func formatNkey(k work.PublicKey) (string, error) {
	b, err := nkeys.Encode(nkeys.PrefixByteUser, k[:])
	if err != nil {
		return "", fmt.Errorf("write the key %s for the login: %w", k.Short(), err)
	}
	return string(b), nil
}

func parseNkey(s string) (work.PublicKey, error) {
	if len(s) > 64 {
		return work.PublicKey{}, fmt.Errorf("%w: a login key of %d characters", work.ErrKey, len(s))
	}
	b, err := nkeys.Decode(nkeys.PrefixByteUser, []byte(s))
	if err != nil {
		return work.PublicKey{}, fmt.Errorf("%w: %v", work.ErrKey, err)
	}
	return work.KeyFromBytes(b)
}
