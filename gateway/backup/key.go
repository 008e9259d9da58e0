package backup

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cantus-network/cantus/work"
)

// ErrPassphrase is returned for a passphrase that does not open a backup's key.
var ErrPassphrase = errors.New("the passphrase does not open the backup's key")

// sealedKey is the node key under a passphrase: Argon2id makes the passphrase a key,
// ChaCha20-Poly1305 encrypts the seed with it.
type sealedKey struct {
	KDF    string `json:"kdf"`
	Time   uint32 `json:"time"`
	Memory uint32 `json:"memory_kib"`
	Lanes  uint8  `json:"lanes"`
	Salt   []byte `json:"salt"`
	Nonce  []byte `json:"nonce"`
	Seed   []byte `json:"seed"` // encrypted
}

// The cost of trying one passphrase (RFC 9106, section 4, the second choice), and the most
// that a backup may make us pay.
const (
	kdfName             = "argon2id"
	kdfTime, kdfLanes   = 3, 4
	kdfMemory           = 64 << 10 // KiB
	maxTime, maxMemory  = 20, 1 << 20
	saltSize, leastPass = 16, 8
)

func (k sealedKey) key(passphrase []byte) []byte {
	return argon2.IDKey(passphrase, k.Salt, k.Time, k.Memory, k.Lanes, chacha20poly1305.KeySize)
}

func seal(key work.PrivateKey, passphrase []byte) ([]byte, error) {
	if len(passphrase) < leastPass {
		return nil, fmt.Errorf("a passphrase of %d bytes: want at least %d, for whoever opens it is the gateway", len(passphrase), leastPass)
	}
	k := sealedKey{KDF: kdfName, Time: kdfTime, Memory: kdfMemory, Lanes: kdfLanes, Salt: make([]byte, saltSize), Nonce: make([]byte, chacha20poly1305.NonceSize)}
	rand.Read(k.Salt)
	rand.Read(k.Nonce)
	c, err := chacha20poly1305.New(k.key(passphrase))
	if err != nil {
		return nil, err
	}
	pub := key.Public()
	k.Seed = c.Seal(nil, k.Nonce, key.Seed(), pub[:])
	return json.Marshal(k)
}

func unseal(b []byte, pub work.PublicKey, passphrase []byte) (work.PrivateKey, error) {
	var none work.PrivateKey
	var k sealedKey
	if err := strict(b, &k); err != nil {
		return none, fmt.Errorf("%w: its key: %v", ErrDamaged, err)
	}
	if k.KDF != kdfName || k.Time == 0 || k.Time > maxTime || k.Memory == 0 || k.Memory > maxMemory || k.Lanes == 0 || len(k.Salt) != saltSize || len(k.Nonce) != chacha20poly1305.NonceSize {
		return none, fmt.Errorf("%w: its key is encrypted in a way that this program does not know", ErrDamaged)
	}
	c, err := chacha20poly1305.New(k.key(passphrase))
	if err != nil {
		return none, err
	}
	seed, err := c.Open(nil, k.Nonce, k.Seed, pub[:])
	if err != nil {
		return none, ErrPassphrase
	}
	key, err := work.PrivateKeyFromSeed(seed)
	if err != nil || key.Public() != pub {
		return none, fmt.Errorf("%w: its key is not the gateway's", ErrDamaged)
	}
	return key, nil
}
