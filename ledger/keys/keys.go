// Package keys keeps the ledger accounts' keys: Ethereum's kind of key
// (eth_secp256k1), one file each, in a directory that only its owner may read.
package keys

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/cosmos/go-bip39"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/term"

	"github.com/cosmos/cosmos-sdk/crypto/hd"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	sdk "github.com/cosmos/cosmos-sdk/types"
	evmhd "github.com/cosmos/evm/crypto/hd"
	evmkeyring "github.com/cosmos/evm/crypto/keyring"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
)

// Ring holds named keys and signs with them.
type Ring = keyring.Keyring

// PassphraseFileEnv names a file whose first line is the passphrase, for programs
// without a terminal.
const PassphraseFileEnv = "CANTUS_PASSPHRASE_FILE"

var (
	// ErrNoKey is wrapped when a name has no key.
	ErrNoKey = errors.New("no such account")
	// ErrExists is wrapped when a name has one already.
	ErrExists = errors.New("there is an account of this name already")
)

// Open opens, or makes, the keys in dir, each encrypted with a passphrase. It asks
// for the passphrase when a key is first used: PassphraseFileEnv answers if it is
// set, otherwise the person at the terminal.
func Open(dir string) (Ring, error) {
	in, err := passphraseInput()
	if err != nil {
		return nil, err
	}
	return open(dir, keyring.BackendFile, in)
}

// OpenUnencrypted opens, or makes, the keys in dir without a passphrase: for the
// worthless notes of a devnet. Whoever can read the files can spend.
func OpenUnencrypted(dir string) (Ring, error) {
	return open(dir, keyring.BackendTest, strings.NewReader(""))
}

func open(dir, backend string, in io.Reader) (Ring, error) {
	chain.Configure()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the accounts' keys: %w", err)
	}
	enc := encoding.New(chain.DefaultEVMChainID)
	ring, err := keyring.New(chain.Name, backend, dir, in, enc.Codec, evmkeyring.Option())
	if err != nil {
		return nil, fmt.Errorf("open the accounts' keys in %s: %w", dir, err)
	}
	return ring, nil
}

// passphraseInput is what the keyring reads the passphrase from.
func passphraseInput() (io.Reader, error) {
	path := os.Getenv(PassphraseFileEnv)
	if path == "" {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return failingReader{fmt.Errorf("the accounts' keys are encrypted and there is no terminal to ask for the passphrase: put it into a file and name the file in %s", PassphraseFileEnv)}, nil
		}
		return os.Stdin, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the passphrase from %s: %w", path, err)
	}
	if line = strings.TrimRight(line, "\r\n"); len(line) < 8 {
		return nil, fmt.Errorf("read the passphrase from %s: its first line has fewer than 8 characters", path)
	}
	return &repeat{line: []byte(line + "\n")}, nil
}

// failingReader reports why there is no passphrase.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// repeat answers every question with the same line: the keyring asks twice for a
// new passphrase.
type repeat struct {
	line []byte
	rest []byte
}

func (r *repeat) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		r.rest = bytes.Clone(r.line)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// names are what a key may be called: it becomes a file's name.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func checkName(ring Ring, name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("account name %.80q: use up to 64 letters, digits, dots, dashes and underscores", name)
	}
	if _, err := ring.Key(name); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, name)
	}
	return nil
}

// mnemonicBits are 24 words.
const mnemonicBits = 256

// Create makes a new key and returns the words that bring it back.
func Create(ring Ring, name string) (mnemonic string, err error) {
	if err := checkName(ring, name); err != nil {
		return "", err
	}
	entropy, err := bip39.NewEntropy(mnemonicBits)
	if err != nil {
		return "", fmt.Errorf("create account %s: %w", name, err)
	}
	if mnemonic, err = bip39.NewMnemonic(entropy); err != nil {
		return "", fmt.Errorf("create account %s: %w", name, err)
	}
	return mnemonic, Import(ring, name, mnemonic)
}

// Import makes the key that a mnemonic stands for: the same as an Ethereum
// wallet's first account.
func Import(ring Ring, name, mnemonic string) error {
	if err := checkName(ring, name); err != nil {
		return err
	}
	mnemonic = strings.Join(strings.Fields(mnemonic), " ")
	if !bip39.IsMnemonicValid(mnemonic) {
		return fmt.Errorf("import account %s: these are not the words of a mnemonic: check their spelling and order", name)
	}
	path := hd.CreateHDPath(chain.CoinType, 0, 0).String()
	if _, err := ring.NewAccount(name, mnemonic, keyring.DefaultBIP39Passphrase, path, evmhd.EthSecp256k1); err != nil {
		return fmt.Errorf("import account %s: %w", name, err)
	}
	return nil
}

// ImportHex makes a key from a private key in hexadecimal, as Ethereum wallets
// export it.
func ImportHex(ring Ring, name, key string) error {
	if err := checkName(ring, name); err != nil {
		return err
	}
	key = strings.TrimPrefix(strings.TrimSpace(key), "0x")
	if len(key) != 64 {
		return fmt.Errorf("import account %s: a private key has 64 hexadecimal digits", name)
	}
	if err := ring.ImportPrivKeyHex(name, key, string(evmhd.EthSecp256k1Type)); err != nil {
		return fmt.Errorf("import account %s: %w", name, err)
	}
	return nil
}

// Account is a key's public side.
type Account struct {
	Name    string
	Address sdk.AccAddress // 20 bytes: cantus1… and 0x… are two ways to write them
}

// Hex is the address as Ethereum tools write it.
func (a Account) Hex() string { return common.BytesToAddress(a.Address).Hex() }

// Find looks an account up by name.
func Find(ring Ring, name string) (Account, error) {
	record, err := ring.Key(name)
	if err != nil {
		return Account{}, fmt.Errorf("%w: %q (%w)", ErrNoKey, name, err)
	}
	addr, err := record.GetAddress()
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", name, err)
	}
	return Account{Name: name, Address: addr}, nil
}

// List gives all accounts, by name.
func List(ring Ring) ([]Account, error) {
	records, err := ring.List()
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	accounts := make([]Account, 0, len(records))
	for _, r := range records {
		addr, err := r.GetAddress()
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", r.Name, err)
		}
		accounts = append(accounts, Account{Name: r.Name, Address: addr})
	}
	return accounts, nil
}
