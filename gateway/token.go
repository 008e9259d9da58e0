package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cantus-network/cantus/work"
)

// tokens makes and checks the bearer tokens of the artifact interface. A token is a
// worker's key, an expiry and a MAC over both under a secret that follows from the
// gateway's key: nothing to store, and good across restarts, so that uploads that are
// under way when the gateway restarts can go on.
type tokens struct{ secret [32]byte }

const tokenLife = 12 * time.Hour

var errToken = errors.New("the token is not valid: say hello on the plane for a new one")

func newTokens(key work.PrivateKey) tokens {
	m := hmac.New(sha256.New, key.Seed())
	m.Write([]byte("cantus/artifact-token/1"))
	return tokens{[sha256.Size]byte(m.Sum(nil))}
}

func (t tokens) issue(key work.PublicKey) string {
	b := make([]byte, 0, len(key)+8+sha256.Size)
	b = append(b, key[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().Add(tokenLife).Unix()))
	return base64.RawURLEncoding.EncodeToString(t.mac(b))
}

// mac appends the MAC of b to b.
func (t tokens) mac(b []byte) []byte {
	m := hmac.New(sha256.New, t.secret[:])
	m.Write(b)
	return m.Sum(b)
}

// check returns whose token it is.
func (t tokens) check(token string) (work.PublicKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	var key work.PublicKey
	signed := len(key) + 8
	if err != nil || len(b) != signed+sha256.Size {
		return key, errToken
	}
	if want := t.mac(append([]byte(nil), b[:signed]...)); !hmac.Equal(want, b) {
		return key, errToken
	}
	if int64(binary.BigEndian.Uint64(b[len(key):])) < time.Now().Unix() {
		return key, errToken
	}
	copy(key[:], b)
	return key, nil
}
