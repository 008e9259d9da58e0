package keys_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/keys"
)

// The first account of the mnemonic that Hardhat and Anvil print: any Ethereum
// wallet gives the same address.
const (
	knownMnemonic = "test test test test test test test test test test test junk"
	knownAddress  = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
	knownKey      = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
)

func TestKnownKeys(t *testing.T) {
	ring, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, keys.Import(ring, "words", "  "+knownMnemonic+"\n"))
	a, err := keys.Find(ring, "words")
	require.NoError(t, err)
	require.Equal(t, knownAddress, a.Hex())

	other, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, keys.ImportHex(other, "hex", knownKey))
	a, err = keys.Find(other, "hex")
	require.NoError(t, err)
	require.Equal(t, knownAddress, a.Hex())
}

func TestCreateComesBack(t *testing.T) {
	one, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	words, err := keys.Create(one, "ada")
	require.NoError(t, err)
	two, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, keys.Import(two, "ada", words))
	a, err := keys.Find(one, "ada")
	require.NoError(t, err)
	b, err := keys.Find(two, "ada")
	require.NoError(t, err)
	require.Equal(t, a, b)
	list, err := keys.List(two)
	require.NoError(t, err)
	require.Equal(t, []keys.Account{b}, list)
}

func TestRefuses(t *testing.T) {
	ring, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	_, err = keys.Create(ring, "ada")
	require.NoError(t, err)
	_, err = keys.Create(ring, "ada")
	require.ErrorIs(t, err, keys.ErrExists)
	for _, name := range []string{"", "../ada", "a b", ".ada", "é"} {
		_, err = keys.Create(ring, name)
		require.Error(t, err, name)
	}
	require.Error(t, keys.Import(ring, "bob", "test test test"))
	require.Error(t, keys.ImportHex(ring, "bob", "0x12"))
	_, err = keys.Find(ring, "bob")
	require.ErrorIs(t, err, keys.ErrNoKey)
}

// Encrypted keys open with the passphrase of the file that the environment names,
// and with no other; nobody else may read them.
func TestEncrypted(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, os.WriteFile(secret, []byte("correct horse battery\n"), 0o600))
	t.Setenv(keys.PassphraseFileEnv, secret)
	ring, err := keys.Open(dir)
	require.NoError(t, err)
	require.NoError(t, keys.Import(ring, "ada", knownMnemonic))

	again, err := keys.Open(dir)
	require.NoError(t, err)
	_, _, err = again.Sign("ada", []byte("message"), 1)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(secret, []byte("another passphrase\n"), 0o600))
	wrong, err := keys.Open(dir)
	require.NoError(t, err)
	_, _, err = wrong.Sign("ada", []byte("message"), 1)
	require.Error(t, err)

	require.NoError(t, os.WriteFile(secret, []byte("short\n"), 0o600))
	_, err = keys.Open(dir)
	require.ErrorContains(t, err, "8 characters")

	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		require.Zero(t, info.Mode().Perm()&0o077, path)
		return err
	}))
}
