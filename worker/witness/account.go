package witness

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"
)

// ErrNoAccount means that there is no account key where one is wanted.
var ErrNoAccount = errors.New("no account key")

// prefix opens every account's address.
const prefix = "cantus"

// Account is the key that a worker sends its own transactions with: a secp256k1 key with an
// address as Ethereum derives it. It holds no funds; the worker's operator pays the fees
// and has granted it the few messages that are the operator's to send. It never prints itself.
type Account struct {
	key     *secp256k1.PrivateKey
	public  []byte // compressed
	address string
}

func newAccount(key *secp256k1.PrivateKey) *Account {
	h := keccak(key.PubKey().SerializeUncompressed()[1:])
	return &Account{key: key, public: key.PubKey().SerializeCompressed(), address: bech32(prefix, h[12:])}
}

// Address is the account's address on the ledger, cantus1….
func (a *Account) Address() string { return a.address }

// String hides the secret from logs.
func (a *Account) String() string { return "Account(" + a.address + ")" }

// PublicKey is the compressed public key.
func (a *Account) PublicKey() []byte { return bytes.Clone(a.public) }

// sign signs as the ledger's eth_secp256k1 keys do: over the Keccak-256 of the message,
// r and s alone.
func (a *Account) sign(message []byte) []byte {
	compact := ecdsa.SignCompact(a.key, keccak(message), true)
	return compact[1:] // without the recovery byte
}

func keccak(b []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(b)
	return h.Sum(nil)
}

// LoadAccount reads an account key from a file that only its owner can read.
func LoadAccount(path string) (*Account, error) {
	fail := func(err error) (*Account, error) {
		return nil, fmt.Errorf("read the account key %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s: make one with the key command", ErrNoAccount, path)
	}
	if err != nil {
		return fail(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Errorf("its mode is %v, so that others can read it: chmod 600 it, or make a new key if somebody may have", info.Mode().Perm()))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	raw, err := hex.DecodeString(string(bytes.TrimSpace(b)))
	if err != nil || len(raw) != 32 {
		return fail(errors.New("not an account key: want one line of 64 hexadecimal digits"))
	}
	var s secp256k1.ModNScalar
	if s.SetByteSlice(raw) || s.IsZero() {
		return fail(errors.New("not an account key: the number is out of range"))
	}
	return newAccount(secp256k1.NewPrivateKey(&s)), nil
}

// CreateAccount makes an account key and writes it to a new file, durably. It never
// overwrites.
func CreateAccount(path string) (*Account, error) {
	fail := func(err error) (*Account, error) {
		return nil, fmt.Errorf("make an account key in %s: %w", path, err)
	}
	key, err := secp256k1.GeneratePrivateKeyFromRand(rand.Reader)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = fmt.Fprintf(f, "%x\n", key.Serialize())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fail(errors.Join(err, os.Remove(path)))
	}
	return newAccount(key), nil
}

// EnsureAccount reads an account key, which is made when it is not there.
func EnsureAccount(path string) (*Account, error) {
	a, err := LoadAccount(path)
	if errors.Is(err, ErrNoAccount) {
		return CreateAccount(path)
	}
	return a, err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Addresses are bech32 (BIP 173).
const bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

func bech32Polymod(values []byte) uint32 {
	chk := uint32(1)
	for _, v := range values {
		top := chk >> 25
		chk = (chk&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	return chk
}

func bech32Expand(hrp string) []byte {
	var out []byte
	for _, c := range []byte(hrp) {
		out = append(out, c>>5)
	}
	out = append(out, 0)
	for _, c := range []byte(hrp) {
		out = append(out, c&31)
	}
	return out
}

// bech32 writes bytes whose bits are a multiple of five, as an address's 160 are.
func bech32(hrp string, b []byte) string {
	var data []byte
	acc, bits := uint32(0), 0
	for _, c := range b {
		acc, bits = acc<<8|uint32(c), bits+8
		for bits >= 5 {
			bits -= 5
			data = append(data, byte(acc>>bits&31))
		}
	}
	check := bech32Polymod(append(append(bech32Expand(hrp), data...), 0, 0, 0, 0, 0, 0)) ^ 1
	for i := range 6 {
		data = append(data, byte(check>>(5*(5-i))&31))
	}
	var s strings.Builder
	s.WriteString(hrp + "1")
	for _, d := range data {
		s.WriteByte(bech32Digits[d])
	}
	return s.String()
}

// CheckAddress refuses what is no account's address.
func CheckAddress(s string) error {
	data, ok := strings.CutPrefix(s, prefix+"1")
	if !ok || len(data) < 6+32 || len(data) > 6+64 {
		return fmt.Errorf("%.80q is no account's address", s)
	}
	values := bech32Expand(prefix)
	for _, c := range []byte(data) {
		i := strings.IndexByte(bech32Digits, c)
		if i < 0 {
			return fmt.Errorf("%.80q is no account's address", s)
		}
		values = append(values, byte(i))
	}
	if bech32Polymod(values) != 1 {
		return fmt.Errorf("%.80q is no account's address: its checksum is wrong", s)
	}
	return nil
}
